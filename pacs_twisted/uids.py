"""
The UIDs that this package speaks itself.

Names of other UIDs come from pydicom's dictionary, which the core never imports.
"""

from __future__ import annotations

__all__ = [
    "APPLICATION_CONTEXT",
    "DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN",
    "EXPLICIT_VR_BIG_ENDIAN",
    "EXPLICIT_VR_LITTLE_ENDIAN",
    "IMPLEMENTATION_CLASS_UID",
    "IMPLICIT_VR_LITTLE_ENDIAN",
    "VERIFICATION",
    "implementation_version_name",
]

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
"""The DICOM application context (PS3.7 section A.2.1)."""

VERIFICATION = "1.2.840.10008.1.1"
"""The Verification SOP class (PS3.4 section A.4)."""

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"

IMPLEMENTATION_CLASS_UID = "2.25.294081262719826920860642614800498088033"
"""
Our implementation class UID (PS3.7 section D.3.3.2): derived from a UUID as PS3.5
section B.2 allows, the same for every installation.
"""

_VERSION_NAME_LENGTH = 16  # PS3.7 section D.3.3.2.4


def implementation_version_name(version: str) -> str:
    """Return the implementation version name of a version of the package."""
    return f"PACSTW_{version}"[:_VERSION_NAME_LENGTH]
