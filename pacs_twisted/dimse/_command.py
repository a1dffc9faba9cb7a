"""
What all DIMSE messages have in common: fields that are elements of the command set.

A message is an attrs class whose fields have the standard's names (PS3.7 annex E). The
dictionary here says once for each name which element it is and how it is written, and the
base class derives from it how to write and read each message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import attrs

from pacs_twisted.dimse.command_set import encode_elements
from pacs_twisted.dimse.status import Status
from pacs_twisted.dimse.values import AE, AT, LO, SOP_CLASS, STATUS, UI, US, ValueRepresentation

NO_DATA_SET = 0x0101
"""The command data set type that says that no data set follows; any other says it does."""

DATA_SET = 0x0001
"""The command data set type that we send when a data set follows."""

DISPENSABLE: Mapping[str, Any] = {"if_missing": None}
"""
Metadata of a field that must be given to send the message, since the standard makes it
mandatory, and that is None in a message received without it.
"""


class Element(NamedTuple):
    """An element of group 0000: its number and its representation."""

    number: int
    representation: ValueRepresentation


DICTIONARY: Mapping[str, Element] = {
    "affected_sop_class_uid": Element(0x0002, SOP_CLASS),
    "requested_sop_class_uid": Element(0x0003, SOP_CLASS),
    "command_field": Element(0x0100, US),
    "message_id": Element(0x0110, US),
    "message_id_being_responded_to": Element(0x0120, US),
    "move_destination": Element(0x0600, AE),
    "priority": Element(0x0700, US),
    "command_data_set_type": Element(0x0800, US),
    "status": Element(0x0900, STATUS),
    "offending_element": Element(0x0901, AT),
    "error_comment": Element(0x0902, LO),
    "error_id": Element(0x0903, US),
    "affected_sop_instance_uid": Element(0x1000, UI),
    "requested_sop_instance_uid": Element(0x1001, UI),
    "event_type_id": Element(0x1002, US),
    "attribute_identifier_list": Element(0x1005, AT),
    "action_type_id": Element(0x1008, US),
    "number_of_remaining_suboperations": Element(0x1020, US),
    "number_of_completed_suboperations": Element(0x1021, US),
    "number_of_failed_suboperations": Element(0x1022, US),
    "number_of_warning_suboperations": Element(0x1023, US),
    "move_originator_application_entity_title": Element(0x1030, AE),
    "move_originator_message_id": Element(0x1031, US),
}
"""The elements of PS3.7 section E.1 that are not retired, by field name."""

_ANSWERED_AS = {
    "affected_sop_class_uid": "affected_sop_class_uid",
    "requested_sop_class_uid": "affected_sop_class_uid",
    "affected_sop_instance_uid": "affected_sop_instance_uid",
    "requested_sop_instance_uid": "affected_sop_instance_uid",
}
"""What a response repeats of its request, and under which name."""


class UndecodableElement(Exception):
    """
    An element that a message cannot do without is missing, or one cannot be read.

    Args:
        element: its number in group 0000.
        problem: what is wrong, in words.
    """

    def __init__(self, element: int, problem: str) -> None:
        super().__init__(f"(0000,{element:04X}): {problem}")
        self.element = element
        self.problem = problem


class _Writing(NamedTuple):
    """How a field is written."""

    number: int
    name: str
    encode: Callable[[Any], bytes]


class _Reading(NamedTuple):
    """How a field is read; NOTHING for `if_missing` if it must be there."""

    number: int
    decode: Callable[[bytes], Any]
    if_missing: Any


def _if_missing(field: attrs.Attribute[Any]) -> Any:
    if field.name == "command_data_set_type":
        return attrs.NOTHING  # nobody knows where the message ends: never to be guessed
    return field.metadata.get("if_missing", field.default)


@attrs.frozen(auto_attribs=False)
class Command:
    """
    A DIMSE message's command, the base of all.

    A field without a value (None, or an empty text or tuple) is not sent.
    """

    is_response: ClassVar[bool] = False
    _writing: ClassVar[tuple[_Writing, ...]]
    _reading: ClassVar[tuple[_Reading, ...]]

    command_field: int
    """Which message it is (0000,0100): a constant of its class where that is known."""

    command_data_set_type: int
    """Whether a data set follows (0000,0800), by default what is usual for the message."""

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        """Derive from the fields how to write and read a message; attrs calls this."""
        fields = [field for field in attrs.fields(cls) if field.name in DICTIONARY]
        names = {"command_field", *(field.name for field in fields)}
        cls._writing = tuple(
            _Writing(number, name, representation.encode)
            for name, (number, representation) in DICTIONARY.items()
            if name in names
        )
        cls._reading = tuple(
            _Reading(number, representation.decode, _if_missing(field))
            for field in fields
            for number, representation in [DICTIONARY[field.name]]
        )

    @property
    def has_data_set(self) -> bool:
        """Whether a data set follows the command (PS3.7 section E.1)."""
        return self.command_data_set_type != NO_DATA_SET

    def encode(self) -> bytes:
        """
        Return the whole command set, its group length included.

        Raises:
            ValueError: a field has a value that its element cannot hold.
        """
        elements = {}
        for number, name, encode in self._writing:
            value = getattr(self, name)
            if value or value == 0:
                try:
                    elements[number] = encode(value)
                except ValueError as error:
                    raise ValueError(f"{type(self).__name__}.{name}: {error}") from error
        return encode_elements(elements)

    @classmethod
    def from_elements(cls, elements: Mapping[int, bytes]) -> Self:
        """
        Read this message from the raw values of a command set; others are left alone.

        Raises:
            UndecodableElement: an element cannot be read, or is missing and indispensable.
        """
        values = []
        for number, decode, if_missing in cls._reading:
            raw = elements.get(number)
            try:
                value = decode(raw) if raw else None
            except ValueError as error:
                raise UndecodableElement(number, str(error)) from error
            if value is None:
                if if_missing is attrs.NOTHING:
                    raise UndecodableElement(number, "missing or empty")
                value = if_missing
            values.append(value)
        return cls(*values)


@attrs.frozen
class Response(Command):
    """An answer to a request: C-…-RSP and N-…-RSP."""

    is_response = True

    message_id_being_responded_to: int
    status: Status


R = TypeVar("R", bound=Response)


@attrs.frozen
class Request(Command, Generic[R]):
    """A message that is answered: C-…-RQ and N-…-RQ, but for C-CANCEL-RQ."""

    response: ClassVar[type[Any]]
    """The class of the answer."""

    _repeated: ClassVar[tuple[tuple[str, str], ...]]

    message_id: int

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        """Derive also what a response repeats of the request."""
        super().__attrs_init_subclass__()
        answered = attrs.fields_dict(getattr(cls, "response", Response))
        cls._repeated = tuple(
            (name, repeated)
            for name, repeated in _ANSWERED_AS.items()
            if name in attrs.fields_dict(cls) and repeated in answered
        )

    def respond(self, status: Status, **fields: Any) -> R:
        """
        Return the answer: message ID and UIDs are the request's (PS3.7 section 9.3).

        Args:
            status: the outcome.
            fields: further fields of the response; they win over what would be repeated.
        """
        repeated = {target: getattr(self, source) for source, target in self._repeated}
        response: R = self.response(self.message_id, status, **{**repeated, **fields})
        return response
