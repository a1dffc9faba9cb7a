"""The table of transfer syntaxes."""

from __future__ import annotations

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import AllTransferSyntaxes
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.storage.transfer_syntaxes import TRANSFER_SYNTAXES, prefer
from pacs_twisted.uids import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)

LEFT_OUT = {
    "1.2.840.10008.1.2.6.1",  # RFC 2557 MIME encapsulation
    "1.2.840.10008.1.2.6.2",  # XML encoding
    "1.2.840.10008.1.20",  # Papyrus 3
}

NEWER = {
    "1.2.840.10008.1.2.4.110",
    "1.2.840.10008.1.2.4.111",
    "1.2.840.10008.1.2.4.112",
    "1.2.840.10008.1.2.8.1",
}
"""Younger than the oldest pydicom that we work with."""


class TransferSyntaxTests(SynchronousTestCase):
    """What a Storage SCP can take."""

    def test_pydicom(self) -> None:
        """All that pydicom knows are there, but for three; and no others but recent ones."""
        known = {uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax"}
        self.assertEqual(known - set(TRANSFER_SYNTAXES), LEFT_OUT)
        self.assertLessEqual(set(TRANSFER_SYNTAXES) - known, NEWER)
        self.assertLessEqual({str(uid) for uid in AllTransferSyntaxes}, set(TRANSFER_SYNTAXES))

    def test_order(self) -> None:
        """Uncompressed ones come first."""
        self.assertEqual(
            list(TRANSFER_SYNTAXES)[:3],
            [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN],
        )

    def test_prefer(self) -> None:
        """Any can be put in front, and unknown ones added."""
        rle = "1.2.840.10008.1.2.5"
        preferred = prefer([rle, "1.2.3.4"])
        self.assertEqual(preferred[:3], (rle, "1.2.3.4", EXPLICIT_VR_LITTLE_ENDIAN))
        self.assertEqual(set(preferred), {*TRANSFER_SYNTAXES, "1.2.3.4"})
        self.assertEqual(len(preferred), len(TRANSFER_SYNTAXES) + 1)
        self.assertEqual(
            prefer([rle], [IMPLICIT_VR_LITTLE_ENDIAN]), (rle, IMPLICIT_VR_LITTLE_ENDIAN)
        )
