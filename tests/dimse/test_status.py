"""Statuses: every number of 16 bits has a category, the standard's have words."""

from __future__ import annotations

import pickle

from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.dimse.status import Status, StatusCategory

# First and last number of each run of one category, from PS3.7 annex C.
RUNS = [
    (0x0000, 0x0000, StatusCategory.SUCCESS),
    (0x0001, 0x0001, StatusCategory.WARNING),
    (0x0002, 0x0106, StatusCategory.FAILURE),
    (0x0107, 0x0107, StatusCategory.WARNING),
    (0x0108, 0x0115, StatusCategory.FAILURE),
    (0x0116, 0x0116, StatusCategory.WARNING),
    (0x0117, 0xAFFF, StatusCategory.FAILURE),
    (0xB000, 0xBFFF, StatusCategory.WARNING),
    (0xC000, 0xFDFF, StatusCategory.FAILURE),
    (0xFE00, 0xFE00, StatusCategory.CANCEL),
    (0xFE01, 0xFEFF, StatusCategory.FAILURE),
    (0xFF00, 0xFF01, StatusCategory.PENDING),
    (0xFF02, 0xFFFF, StatusCategory.FAILURE),
]


class StatusTests(SynchronousTestCase):
    def test_every_number_has_a_category(self) -> None:
        """Whatever 16 bits a peer sends, they are a status with the category of annex C."""
        seen = 0
        for first, last, category in RUNS:
            for number in range(first, last + 1):
                status = Status(number)
                self.assertEqual((status, status.category), (number, category))
                seen += 1
        self.assertEqual(seen, 0x10000)

    def test_words(self) -> None:
        """A status reads as its number and the words of the standard."""
        self.assertEqual(str(Status.SOP_CLASS_NOT_SUPPORTED), "0122H SOP class not supported")
        self.assertEqual(str(Status(0x0122)), "0122H SOP class not supported")
        self.assertEqual(repr(Status.SUCCESS), "<Status 0000H success>")

    def test_ranges_of_storage(self) -> None:
        """All of A7xx, A9xx and Cxxx mean what their first number means (PS3.4 B.2.3)."""
        for number, meaning in [
            (0xA700, "out of resources"),
            (0xA7FF, "out of resources"),
            (0xA800, ""),
            (0xA900, "data set does not match SOP class"),
            (0xA9FF, "data set does not match SOP class"),
            (0xC000, "cannot understand"),
            (0xCFFF, "cannot understand"),
            (0xD000, ""),
        ]:
            self.assertEqual(Status(number).meaning, meaning)

    def test_without_a_name(self) -> None:
        """A status without a name shows its number and category, and is equal to its like."""
        status = Status(0xB123)
        self.assertEqual(str(status), "B123H warning")
        self.assertEqual(status, Status(0xB123))
        self.assertEqual(hash(status), hash(Status(0xB123)))
        self.assertEqual(pickle.loads(pickle.dumps(status)), status)

    def test_no_status(self) -> None:
        """What is not a number of 16 bits is no status."""
        for value in (-1, 0x10000, "0000"):
            self.assertRaises(ValueError, Status, value)

    def test_numbers(self) -> None:
        """The statuses that the stack itself sends have the standard's numbers."""
        self.assertEqual(
            [
                Status.SUCCESS.value,
                Status.PROCESSING_FAILURE.value,
                Status.INVALID_SOP_INSTANCE.value,
                Status.SOP_CLASS_NOT_SUPPORTED.value,
                Status.NOT_AUTHORIZED.value,
                Status.DUPLICATE_INVOCATION.value,
                Status.UNRECOGNIZED_OPERATION.value,
                Status.MISTYPED_ARGUMENT.value,
                Status.RESOURCE_LIMITATION.value,
                Status.OUT_OF_RESOURCES.value,
                Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS.value,
                Status.CANNOT_UNDERSTAND.value,
            ],
            [
                0x0000,
                0x0110,
                0x0117,
                0x0122,
                0x0124,
                0x0210,
                0x0211,
                0x0212,
                0x0213,
                0xA700,
                0xA900,
                0xC000,
            ],
        )
