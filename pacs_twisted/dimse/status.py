"""
The status of a DIMSE response, element (0000,0900) (PS3.7 annex C).

The names are those of PS3.7 annex C and, for what is particular to a service, of storage
(PS3.4 section B.2.3). A peer may send any 16 bits, so every such number is a `Status`:
those without a name have a category all the same.
"""

from __future__ import annotations

from enum import Enum, IntEnum


class StatusCategory(Enum):
    """What a status means for the operation (PS3.7 sections C.1 to C.5)."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    CANCEL = "cancel"
    PENDING = "pending"


class Status(IntEnum):
    """
    A status as sent or received, equal to its number.

    `Status(number)` takes any number of 16 bits and raises ValueError for others. Compare
    with `==`: a number without a name gives a new object each time.
    """

    meaning: str
    """The status in words; empty where the standard gives none."""

    SUCCESS = 0x0000, "success"
    NO_SUCH_ATTRIBUTE = 0x0105, "no such attribute"
    INVALID_ATTRIBUTE_VALUE = 0x0106, "invalid attribute value"
    ATTRIBUTE_LIST_ERROR = 0x0107, "attribute list error"
    PROCESSING_FAILURE = 0x0110, "processing failure"
    DUPLICATE_SOP_INSTANCE = 0x0111, "duplicate SOP instance"
    NO_SUCH_SOP_INSTANCE = 0x0112, "no such SOP instance"
    NO_SUCH_EVENT_TYPE = 0x0113, "no such event type"
    NO_SUCH_ARGUMENT = 0x0114, "no such argument"
    INVALID_ARGUMENT_VALUE = 0x0115, "invalid argument value"
    ATTRIBUTE_VALUE_OUT_OF_RANGE = 0x0116, "attribute value out of range"
    INVALID_SOP_INSTANCE = 0x0117, "invalid SOP instance"
    NO_SUCH_SOP_CLASS = 0x0118, "no such SOP class"
    CLASS_INSTANCE_CONFLICT = 0x0119, "class-instance conflict"
    MISSING_ATTRIBUTE = 0x0120, "missing attribute"
    MISSING_ATTRIBUTE_VALUE = 0x0121, "missing attribute value"
    SOP_CLASS_NOT_SUPPORTED = 0x0122, "SOP class not supported"
    NO_SUCH_ACTION_TYPE = 0x0123, "no such action type"
    NOT_AUTHORIZED = 0x0124, "not authorized"
    DUPLICATE_INVOCATION = 0x0210, "duplicate invocation"
    UNRECOGNIZED_OPERATION = 0x0211, "unrecognized operation"
    MISTYPED_ARGUMENT = 0x0212, "mistyped argument"
    RESOURCE_LIMITATION = 0x0213, "resource limitation"
    OUT_OF_RESOURCES = 0xA700, "out of resources"
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900, "data set does not match SOP class"
    COERCION_OF_DATA_ELEMENTS = 0xB000, "coercion of data elements"
    ELEMENTS_DISCARDED = 0xB006, "elements discarded"
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING = 0xB007, "data set does not match SOP class"
    CANNOT_UNDERSTAND = 0xC000, "cannot understand"
    CANCEL = 0xFE00, "canceled"
    PENDING = 0xFF00, "pending"
    PENDING_WARNING = 0xFF01, "pending, optional keys not supported"

    def __new__(cls, value: int, meaning: str = "") -> Status:
        """Make the named statuses, from the number and the words of each."""
        status = int.__new__(cls, value)
        status._value_ = value
        status.meaning = meaning
        return status

    @classmethod
    def _missing_(cls, value: object) -> Status | None:
        """Make a status of a number that has no name; Enum asks here for those."""
        if not isinstance(value, int) or not 0 <= value <= 0xFFFF:
            return None
        status = int.__new__(cls, value)
        status._name_ = f"STATUS_{value:04X}"
        status._value_ = int(value)
        status.meaning = next(
            (first.meaning for mask, first in _RANGES if value & mask == first), ""
        )
        return status

    @property
    def category(self) -> StatusCategory:
        """
        The status class of PS3.7 annex C.

        What the annex does not assign is a failure: the only reading that makes nobody
        believe in a success which was never stated.
        """
        if self in _CATEGORIES:
            return _CATEGORIES[self]
        return StatusCategory.WARNING if self & 0xF000 == 0xB000 else StatusCategory.FAILURE

    def __reduce_ex__(self, protocol: object) -> tuple[type[Status], tuple[int]]:
        """Pickle and copy it as its number: some have no name to be found by."""
        return Status, (self.value,)

    def __str__(self) -> str:
        """Return number and words, such as `0122H SOP class not supported`."""
        return f"{self.value:04X}H {self.meaning or self.category.value}"

    def __repr__(self) -> str:
        """Return what a log can show."""
        return f"<Status {self}>"


_RANGES = (
    (0xFF00, Status.OUT_OF_RESOURCES),
    (0xFF00, Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS),
    (0xF000, Status.CANNOT_UNDERSTAND),
)
"""Mask and first number of the ranges that PS3.4 section B.2.3 gives one meaning each."""

_CATEGORIES: dict[int, StatusCategory] = {
    0x0000: StatusCategory.SUCCESS,
    0x0001: StatusCategory.WARNING,
    0x0107: StatusCategory.WARNING,
    0x0116: StatusCategory.WARNING,
    0xFE00: StatusCategory.CANCEL,
    0xFF00: StatusCategory.PENDING,
    0xFF01: StatusCategory.PENDING,
}
"""The numbers that a category names one by one; the others go by their first digit."""
