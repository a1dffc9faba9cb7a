"""
Real DICOM files for tests: those of tests/data, and a larger collection where there is one.

The collection is looked for in the folder that the environment variable
PACS_TWISTED_DICOM_SAMPLES names, by default ../shared/dicom-samples beside the checkout. Tests
that loop over `all_files()` do with what is there; a test that cannot do without the collection
is skipped by `needs_collection`.
"""

from __future__ import annotations

import os
import unittest
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parent.parent

DATA: Final = _ROOT / "tests" / "data"
COLLECTION: Final = Path(
    os.environ.get("PACS_TWISTED_DICOM_SAMPLES", _ROOT.parent / "shared" / "dicom-samples")
)


def own_files() -> list[Path]:
    """Return the files of tests/data, small and always there."""
    return sorted(DATA.glob("*.dcm"))


def collected_files() -> list[Path]:
    """Return the files of the collection, none if it is not there."""
    return sorted(COLLECTION.glob("*.dcm"))


def all_files() -> list[Path]:
    """Return the files of both folders, each name once."""
    return list({path.name: path for path in collected_files() + own_files()}.values())


needs_collection = unittest.skipUnless(
    collected_files(), "no files in PACS_TWISTED_DICOM_SAMPLES nor in ../shared/dicom-samples"
)
"""Skip a test, or all tests of a class, that is about a file of the collection."""
