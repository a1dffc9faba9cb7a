"""
Commands: which there are, and how one is read from the bytes of its command set.

A request that cannot be served but can be answered is a value as well: PS3.7 has a status for
it, and the association goes on.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

import attrs

from pacs_twisted.dimse._command import (
    DATA_SET,
    DICTIONARY,
    NO_DATA_SET,
    Command,
    Request,
    Response,
    UndecodableElement,
)
from pacs_twisted.dimse.command_set import decode_elements
from pacs_twisted.dimse.composite import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CGetRQ,
    CGetRSP,
    CMoveRQ,
    CMoveRSP,
    CStoreRQ,
    CStoreRSP,
    Priority,
)
from pacs_twisted.dimse.normalized import (
    NActionRQ,
    NActionRSP,
    NCreateRQ,
    NCreateRSP,
    NDeleteRQ,
    NDeleteRSP,
    NEventReportRQ,
    NEventReportRSP,
    NGetRQ,
    NGetRSP,
    NSetRQ,
    NSetRSP,
)
from pacs_twisted.dimse.status import Status
from pacs_twisted.dimse.values import decode_number
from pacs_twisted.errors import InvalidPDU
from pacs_twisted.uids import VERIFICATION

__all__ = [
    "DATA_SET",
    "MESSAGES",
    "NO_DATA_SET",
    "REQUESTS",
    "CCancelRQ",
    "CEchoRQ",
    "CEchoRSP",
    "CFindRQ",
    "CFindRSP",
    "CGetRQ",
    "CGetRSP",
    "CMoveRQ",
    "CMoveRSP",
    "CStoreRQ",
    "CStoreRSP",
    "Command",
    "MistypedCommand",
    "NActionRQ",
    "NActionRSP",
    "NCreateRQ",
    "NCreateRSP",
    "NDeleteRQ",
    "NDeleteRSP",
    "NEventReportRQ",
    "NEventReportRSP",
    "NGetRQ",
    "NGetRSP",
    "NSetRQ",
    "NSetRSP",
    "Priority",
    "Request",
    "Response",
    "UnrecognizedCommand",
    "UnrecognizedRSP",
    "decode_command",
]

_RESPONSE_BIT = 0x8000
"""A response's command field is its request's with this bit set (PS3.7 section E.1)."""

REQUESTS: dict[int, type[Request[Any]]] = {
    request.command_field: request
    for request in (
        CStoreRQ,
        CFindRQ,
        CGetRQ,
        CMoveRQ,
        CEchoRQ,
        NEventReportRQ,
        NGetRQ,
        NSetRQ,
        NActionRQ,
        NCreateRQ,
        NDeleteRQ,
    )
}
"""The requests that have an answer, by command field."""

MESSAGES: dict[int, type[Command]] = {
    **REQUESTS,
    **{request.response.command_field: request.response for request in REQUESTS.values()},
    CCancelRQ.command_field: CCancelRQ,
}
"""All messages by command field."""


# Requests that cannot be served


@attrs.frozen
class UnrecognizedRSP(Response):
    """The answer to a request that nobody knows, so with any command field."""

    command_field: int
    command_data_set_type: int = NO_DATA_SET


@attrs.frozen
class UnrecognizedCommand(Request[UnrecognizedRSP]):
    """A request with a command field that PS3.7 does not know."""

    response = UnrecognizedRSP

    command_field: int
    message_id: int
    command_data_set_type: int

    def respond(
        self, status: Status = Status.UNRECOGNIZED_OPERATION, **fields: Any
    ) -> UnrecognizedRSP:
        """Return the answer that PS3.7 section 9.1 asks for."""
        return UnrecognizedRSP(
            self.message_id, status, self.command_field | _RESPONSE_BIT, **fields
        )


@attrs.frozen
class MistypedCommand(Request[Response]):
    """A known request that lacks what it cannot do without, or has a value nobody can read."""

    command_field: int
    message_id: int
    command_data_set_type: int
    element: int
    """The element of group 0000 that is wrong."""
    problem: str
    """What is wrong with it, for a log."""

    def respond(self, status: Status = Status.MISTYPED_ARGUMENT, **fields: Any) -> Response:
        """Return the answer: the request's usual response, without the UIDs."""
        response: Response = REQUESTS[self.command_field].response(
            self.message_id, status, **fields
        )
        return response


# Reading

_ECHO_RQ = Struct("<56sH10s")  # up to the message ID, message ID, rest
_ECHO_RQ_START, _, _ECHO_RQ_REST = _ECHO_RQ.unpack(CEchoRQ(0, VERIFICATION).encode())


def decode_command(data: bytes | memoryview) -> Command:
    """
    Read a whole command set.

    Returns:
        The message. A request that cannot be served but can be answered is an
        `UnrecognizedCommand` or a `MistypedCommand`.

    Raises:
        InvalidPDU: the elements cannot be told apart, or the message can neither be
            understood nor answered: it has no command field, no message ID, no word on
            whether a data set follows, or it is a response (or a C-CANCEL-RQ) itself.
    """
    # The C-ECHO-RQ that nearly every peer sends, 68 bytes: what the general way would find.
    if len(data) == _ECHO_RQ.size:
        start, message_id, rest = _ECHO_RQ.unpack(data)
        if start == _ECHO_RQ_START and rest == _ECHO_RQ_REST:
            return CEchoRQ(message_id, VERIFICATION)
    elements = decode_elements(data)
    command_field = _read_number(elements, "command_field")
    message = MESSAGES.get(command_field)
    problem = None
    if message is not None:
        try:
            return message.from_elements(elements)
        except UndecodableElement as error:
            if command_field not in REQUESTS:
                raise InvalidPDU(f"{message.__name__} with {error}") from error
            problem = error
    elif command_field & _RESPONSE_BIT:
        raise InvalidPDU(f"response with unknown command field {command_field:04X}H")
    message_id = _read_number(elements, "message_id")
    data_set_type = _read_number(elements, "command_data_set_type")
    if problem is None:
        return UnrecognizedCommand(command_field, message_id, data_set_type)
    return MistypedCommand(
        command_field, message_id, data_set_type, problem.element, problem.problem
    )


def _read_number(elements: dict[int, bytes], name: str) -> int:
    """Read an element without which a message cannot even be answered."""
    element = DICTIONARY[name].number
    try:
        return decode_number(elements[element])
    except KeyError as error:
        raise InvalidPDU(f"command set without {name}, (0000,{element:04X})") from error
    except ValueError as error:
        raise InvalidPDU(f"{name}, (0000,{element:04X}), has {error}") from error
