"""
The messages of the composite services, DIMSE-C (PS3.7 section 9.3).

Fields have the standard's names; what it makes mandatory has no default, or the usual one.
Less than that is asked of a message received: the priority may be missing, and the SOP class
where the presentation context says the same, since deployed peers leave it out of a C-ECHO-RQ.
The data set that may follow a command is not part of these values.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from struct import Struct
from typing import Any

import attrs

from pacs_twisted.dimse._command import (
    DATA_SET,
    DISPENSABLE,
    NO_DATA_SET,
    Command,
    Request,
    Response,
)
from pacs_twisted.dimse.status import Status
from pacs_twisted.uids import VERIFICATION


class Priority(IntEnum):
    """The urgency that a requestor asks for; values received may be any number."""

    MEDIUM = 0x0000
    HIGH = 0x0001
    LOW = 0x0002


@attrs.frozen
class CStoreRSP(Response):
    """C-STORE-RSP: the fate of an instance (PS3.7 section 9.3.1.2)."""

    command_field = 0x8001

    affected_sop_class_uid: str | None = None
    affected_sop_instance_uid: str | None = None
    offending_element: tuple[int, ...] = ()
    error_comment: str | None = None
    command_data_set_type: int = NO_DATA_SET


@attrs.frozen
class CStoreRQ(Request[CStoreRSP]):
    """C-STORE-RQ: store the instance that follows (PS3.7 section 9.3.1.1)."""

    command_field = 0x0001
    response = CStoreRSP

    affected_sop_class_uid: str
    affected_sop_instance_uid: str
    priority: int = Priority.MEDIUM
    move_originator_application_entity_title: str | None = None
    move_originator_message_id: int | None = None
    command_data_set_type: int = DATA_SET


@attrs.frozen
class CFindRSP(Response):
    """C-FIND-RSP: a match, which follows, or the end (PS3.7 section 9.3.2.2)."""

    command_field = 0x8020

    affected_sop_class_uid: str | None = None
    offending_element: tuple[int, ...] = ()
    error_comment: str | None = None
    command_data_set_type: int = NO_DATA_SET


@attrs.frozen
class CFindRQ(Request[CFindRSP]):
    """C-FIND-RQ: look for what matches the identifier that follows (PS3.7 section 9.3.2.1)."""

    command_field = 0x0020
    response = CFindRSP

    affected_sop_class_uid: str | None = attrs.field(metadata=DISPENSABLE)
    priority: int = Priority.MEDIUM
    command_data_set_type: int = DATA_SET


@attrs.frozen
class CGetRSP(Response):
    """C-GET-RSP: how far the sub-operations are (PS3.7 section 9.3.3.2)."""

    command_field = 0x8010

    affected_sop_class_uid: str | None = None
    number_of_remaining_suboperations: int | None = None
    number_of_completed_suboperations: int | None = None
    number_of_failed_suboperations: int | None = None
    number_of_warning_suboperations: int | None = None
    offending_element: tuple[int, ...] = ()
    error_comment: str | None = None
    command_data_set_type: int = NO_DATA_SET


@attrs.frozen
class CGetRQ(Request[CGetRSP]):
    """C-GET-RQ: send what matches on this association (PS3.7 section 9.3.3.1)."""

    command_field = 0x0010
    response = CGetRSP

    affected_sop_class_uid: str | None = attrs.field(metadata=DISPENSABLE)
    priority: int = Priority.MEDIUM
    command_data_set_type: int = DATA_SET


@attrs.frozen
class CMoveRSP(Response):
    """C-MOVE-RSP: how far the sub-operations are (PS3.7 section 9.3.4.2)."""

    command_field = 0x8021

    affected_sop_class_uid: str | None = None
    number_of_remaining_suboperations: int | None = None
    number_of_completed_suboperations: int | None = None
    number_of_failed_suboperations: int | None = None
    number_of_warning_suboperations: int | None = None
    offending_element: tuple[int, ...] = ()
    error_comment: str | None = None
    command_data_set_type: int = NO_DATA_SET


@attrs.frozen
class CMoveRQ(Request[CMoveRSP]):
    """C-MOVE-RQ: send what matches to another application entity (PS3.7 section 9.3.4.1)."""

    command_field = 0x0021
    response = CMoveRSP

    affected_sop_class_uid: str | None = attrs.field(metadata=DISPENSABLE)
    move_destination: str
    priority: int = Priority.MEDIUM
    command_data_set_type: int = DATA_SET


@attrs.frozen
class CEchoRSP(Response):
    """C-ECHO-RSP: the verification succeeded, or not (PS3.7 section 9.3.5.2)."""

    command_field = 0x8030

    affected_sop_class_uid: str | None = None
    error_comment: str | None = None
    command_data_set_type: int = NO_DATA_SET

    def encode(self) -> bytes:
        """Return the whole command set; the usual answer is a template with two gaps."""
        if (
            self.affected_sop_class_uid == VERIFICATION
            and not self.error_comment
            and self.command_data_set_type == NO_DATA_SET
        ):
            try:
                return _ECHO_RSP.pack(
                    _ECHO_RSP_START,
                    self.message_id_being_responded_to,
                    _ECHO_RSP_MIDDLE,
                    self.status,
                )
            except struct.error:
                pass  # the general way says what is wrong
        return Command.encode(self)


@attrs.frozen
class CEchoRQ(Request[CEchoRSP]):
    """C-ECHO-RQ: are you there? (PS3.7 section 9.3.5.1)."""

    command_field = 0x0030
    response = CEchoRSP

    affected_sop_class_uid: str | None = attrs.field(default=VERIFICATION, metadata=DISPENSABLE)
    command_data_set_type: int = NO_DATA_SET

    def respond(self, status: Status, **fields: Any) -> CEchoRSP:
        """Return the answer; the usual one has no further fields."""
        if fields:
            return super().respond(status, **fields)
        return CEchoRSP(self.message_id, status, self.affected_sop_class_uid)


@attrs.frozen
class CCancelRQ(Command):
    """C-CANCEL-RQ: stop a C-FIND, C-GET or C-MOVE; it has no answer (PS3.7 section 9.3.2.3)."""

    command_field = 0x0FFF

    message_id_being_responded_to: int
    command_data_set_type: int = NO_DATA_SET


_ECHO_RSP = Struct("<56sH18sH")  # up to the message ID, message ID, up to the status, status
_ECHO_RSP_START, _, _ECHO_RSP_MIDDLE, _ = _ECHO_RSP.unpack(
    Command.encode(CEchoRSP(0, Status.SUCCESS, VERIFICATION))
)
