"""The table of storage SOP classes: all that can be sent by C-STORE, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydicom._uid_dict import UID_dictionary
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.storage import sop_classes
from pacs_twisted.storage.sop_classes import NON_PATIENT, RETIRED, STORAGE_SOP_CLASSES
from tests.storage import generate_sop_classes
from tests.storage.generate_sop_classes import NEWER

ROOT: Final = "1.2.840.10008"
IMAGES: Final = f"{ROOT}.5.1.4.1.1"

NOT_BY_C_STORE: Final = {
    f"{ROOT}.1.3.10": "the directory of a medium, written with a file set (PS3.10) and never sent",
    f"{ROOT}.5.1.1.27": "Stored Print: print management, retired with the Pull Print classes",
    f"{ROOT}.5.1.1.29": "Hardcopy Grayscale Image: print management, retired with it",
    f"{ROOT}.5.1.1.30": "Hardcopy Color Image: print management, retired with it",
}
"""What the rule "keyword ends in Storage" takes in wrongly, and why it is wrong."""

NAMED_OTHERWISE: Final = {
    "for presentation": "1.1 1.2 1.3 13.1.4 14.1 501.2.1",
    "for processing": "1.1.1 1.2.1 1.3.1 13.1.5 14.2 501.2.2",
    "trial": "9.1 77.1 77.2 88.1 88.2 88.3 88.4",
    "retired, and another class has taken over the name": "3 5 6",
}
"""What the rule misses, without what pydicom may not know; UIDs without what they begin with."""

NAMELESS: Final = {f"{IMAGES}.12.77", f"{IMAGES}.40"}
"""SOP classes that PS3.6 has withdrawn without leaving even the name."""


def by_keyword() -> set[str]:
    """Return what one would take for the storage SOP classes by pydicom's dictionary."""
    return {
        uid
        for uid, (_, kind, _, _, keyword) in UID_dictionary.items()
        if kind == "SOP Class" and keyword.endswith("Storage")
    }


class TableTests(SynchronousTestCase):
    def test_too_many(self) -> None:
        """By their keywords, some would be in the table that no C-STORE sends."""
        self.assertEqual(by_keyword() - set(STORAGE_SOP_CLASSES), set(NOT_BY_C_STORE))

    def test_too_few(self) -> None:
        """By their keywords, these would be missed."""
        missed = {f"{IMAGES}.{end}" for ends in NAMED_OTHERWISE.values() for end in ends.split()}
        missed.add(f"{ROOT}.5.1.4.34.1")  # RT Beams Delivery Instruction Storage - Trial
        self.assertEqual(set(STORAGE_SOP_CLASSES) - by_keyword() - set(NEWER), missed)

    def test_image_root(self) -> None:
        """What stands where storage SOP classes do and is none, is a query or has no name."""
        others = {
            uid: entry[0]
            for uid, entry in UID_dictionary.items()
            if uid.startswith(f"{IMAGES}.")
            and entry[1] == "SOP Class"
            and uid not in STORAGE_SOP_CLASSES
        }
        self.assertEqual({uid for uid, name in others.items() if not name}, NAMELESS)
        for name in filter(None, others.values()):
            self.assertRegex(name, r" - (FIND|MOVE|GET)$|^Inventory Creation$|^Repository Query$")

    def test_generated(self) -> None:
        """The table is what its generator makes of the pydicom that is installed."""
        path = Path(sop_classes.__file__)
        self.assertEqual(path.read_text("utf-8"), generate_sop_classes.source())

    def test_standard(self) -> None:
        """As many as in the standard's tables: B.5-1, GG.3-1, what is retired, DICOS, DICONDE."""
        related = {
            uid
            for uid in STORAGE_SOP_CLASSES
            if uid.startswith((f"{IMAGES}.501.", f"{IMAGES}.601."))
        }
        annex_b = set(STORAGE_SOP_CLASSES) - NON_PATIENT - RETIRED - related
        self.assertEqual(
            [len(part) for part in (annex_b, NON_PATIENT, RETIRED, related)], [173, 9, 17, 12]
        )

    def test_names(self) -> None:
        """Every class has a name of its own, which tells the retired ones."""
        self.assertEqual(len(set(STORAGE_SOP_CLASSES.values())), len(STORAGE_SOP_CLASSES))
        self.assertEqual(STORAGE_SOP_CLASSES[f"{IMAGES}.2"], "CT Image Storage")
        self.assertEqual(STORAGE_SOP_CLASSES[f"{IMAGES}.6"], "Ultrasound Image Storage (Retired)")
        for uid, name in STORAGE_SOP_CLASSES.items():
            self.assertEqual(name.endswith("(Retired)"), uid in RETIRED)

    def test_subsets(self) -> None:
        """The two sets are of classes of the table."""
        self.assertLessEqual(RETIRED | NON_PATIENT, set(STORAGE_SOP_CLASSES))
        self.assertFalse(RETIRED & NON_PATIENT)

    def test_newer(self) -> None:
        """Where pydicom knows a recent class, it has the same name for it."""
        for uid in set(NEWER) & set(UID_dictionary):
            self.assertEqual(UID_dictionary[uid][0], NEWER[uid])
