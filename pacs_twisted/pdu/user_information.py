"""
The user-information item and its sub-items (PS3.8 section 9.3.2.3, PS3.7 annex D.3.3).

Sub-items are sent in increasing order of type and taken in any order; those of unknown type
are skipped. Where a peer repeats one that may stand only once, the last one counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

import attrs

from pacs_twisted.errors import InvalidPDU
from pacs_twisted.pdu._items import (
    decode_uid,
    encode_counted,
    encode_item,
    encode_uid,
    read_counted,
    read_items,
)


class _SubItem:
    """Types of the sub-items."""

    MAXIMUM_LENGTH = 0x51
    IMPLEMENTATION_CLASS_UID = 0x52
    ASYNCHRONOUS_OPERATIONS_WINDOW = 0x53
    ROLE_SELECTION = 0x54
    IMPLEMENTATION_VERSION_NAME = 0x55
    EXTENDED_NEGOTIATION = 0x56
    COMMON_EXTENDED_NEGOTIATION = 0x57
    USER_IDENTITY = 0x58
    USER_IDENTITY_RESPONSE = 0x59


_LONG = Struct(">L")
_WINDOW = Struct(">HH")  # operations invoked, operations performed
_ROLES = Struct(">BB")  # SCU role, SCP role
_IDENTITY_HEAD = Struct(">BB")  # type, positive response requested


@attrs.frozen
class AsynchronousOperationsWindow:
    """How many operations may be outstanding; 0 means without limit (PS3.7 section D.3.3.3)."""

    maximum_number_operations_invoked: int = 1
    maximum_number_operations_performed: int = 1

    def _encode(self) -> bytes:
        return _WINDOW.pack(
            self.maximum_number_operations_invoked, self.maximum_number_operations_performed
        )

    @classmethod
    def _decode(cls, value: memoryview) -> AsynchronousOperationsWindow:
        if len(value) != _WINDOW.size:
            raise InvalidPDU(f"asynchronous operations window of {len(value)} bytes, not 4")
        return cls(*_WINDOW.unpack(value))


@attrs.frozen
class RoleSelection:
    """The roles that the association requestor takes for a SOP class (PS3.7 section D.3.3.4)."""

    sop_class_uid: str
    scu_role: bool
    scp_role: bool

    def _encode(self) -> bytes:
        uid = encode_counted(encode_uid(self.sop_class_uid))
        return uid + _ROLES.pack(self.scu_role, self.scp_role)

    @classmethod
    def _decode(cls, value: memoryview) -> RoleSelection:
        where = "the role selection sub-item"
        uid, offset = read_counted(value, 0, where)
        if len(value) - offset != _ROLES.size:
            raise InvalidPDU(f"{where} has {len(value) - offset} bytes for the two roles")
        scu_role, scp_role = _ROLES.unpack_from(value, offset)
        return cls(decode_uid(uid, where), bool(scu_role), bool(scp_role))


@attrs.frozen
class ExtendedNegotiation:
    """SOP class extended negotiation, in bytes of the service class (PS3.7 section D.3.3.5)."""

    sop_class_uid: str
    service_class_application_information: bytes = b""

    def _encode(self) -> bytes:
        uid = encode_counted(encode_uid(self.sop_class_uid))
        return uid + self.service_class_application_information

    @classmethod
    def _decode(cls, value: memoryview) -> ExtendedNegotiation:
        where = "the SOP class extended negotiation sub-item"
        uid, offset = read_counted(value, 0, where)
        return cls(decode_uid(uid, where), bytes(value[offset:]))


@attrs.frozen
class CommonExtendedNegotiation:
    """SOP class common extended negotiation, in an A-ASSOCIATE-RQ only (PS3.7 section D.3.3.6)."""

    sop_class_uid: str
    service_class_uid: str
    related_general_sop_class_uids: tuple[str, ...] = ()

    def _encode(self) -> bytes:
        related = b"".join(
            encode_counted(encode_uid(uid)) for uid in self.related_general_sop_class_uids
        )
        return (
            encode_counted(encode_uid(self.sop_class_uid))
            + encode_counted(encode_uid(self.service_class_uid))
            + encode_counted(related)
        )

    @classmethod
    def _decode(cls, value: memoryview) -> CommonExtendedNegotiation:
        where = "the SOP class common extended negotiation sub-item"
        sop_class, offset = read_counted(value, 0, where)
        service_class, offset = read_counted(value, offset, where)
        # What follows the identification is reserved: later versions may use it.
        related, _ = read_counted(value, offset, where)
        uids, offset = [], 0
        while offset < len(related):
            uid, offset = read_counted(related, offset, where)
            uids.append(decode_uid(uid, where))
        return cls(decode_uid(sop_class, where), decode_uid(service_class, where), tuple(uids))


@attrs.frozen
class UserIdentity:
    """
    Who asks for the association, in an A-ASSOCIATE-RQ only (PS3.7 section D.3.3.7).

    The fields may be a passcode or a token, so they are left out of the representation.

    Args:
        user_identity_type: 1 user name, 2 user name and passcode, 3 Kerberos service ticket,
            4 SAML assertion, 5 JSON web token; any number that the peer sent.
        primary_field: the user name, ticket, assertion or token.
        secondary_field: the passcode; empty unless the type is 2.
        positive_response_requested: whether the requestor wants an answer on success.
    """

    user_identity_type: int
    primary_field: bytes = attrs.field(repr=False)
    secondary_field: bytes = attrs.field(default=b"", repr=False)
    positive_response_requested: bool = False

    def _encode(self) -> bytes:
        head = _IDENTITY_HEAD.pack(self.user_identity_type, self.positive_response_requested)
        return head + encode_counted(self.primary_field) + encode_counted(self.secondary_field)

    @classmethod
    def _decode(cls, value: memoryview) -> UserIdentity:
        where = "the user identity sub-item"
        if len(value) < _IDENTITY_HEAD.size:
            raise InvalidPDU(f"{where} has only {len(value)} bytes")
        identity_type, requested = _IDENTITY_HEAD.unpack_from(value)
        primary, offset = read_counted(value, _IDENTITY_HEAD.size, where)
        secondary, offset = read_counted(value, offset, where)
        if offset != len(value):
            raise InvalidPDU(f"{len(value) - offset} bytes left over at the end of {where}")
        return cls(identity_type, bytes(primary), bytes(secondary), bool(requested))


def _decode_maximum_length(value: memoryview) -> int:
    if len(value) != _LONG.size:
        raise InvalidPDU(f"maximum length sub-item of {len(value)} bytes, not 4")
    (length,) = _LONG.unpack(value)
    return int(length)


def _decode_identity_response(value: memoryview) -> bytes:
    response, offset = read_counted(value, 0, "the user identity response sub-item")
    if offset != len(value):
        raise InvalidPDU(f"{len(value) - offset} bytes left over after the user identity response")
    return bytes(response)


@attrs.frozen
class UserInformation:
    """
    What the two sides tell each other beside the presentation contexts.

    A field is None or empty when its sub-item is absent.

    Args:
        maximum_length_received: the longest P-DATA-TF that the sender takes, in bytes of the
            PDU-length field; 0 means without limit (PS3.8 section D.1).
        implementation_class_uid: PS3.7 section D.3.3.2.
        implementation_version_name: 1 to 16 characters; received ones are kept as they are.
        asynchronous_operations_window: PS3.7 section D.3.3.3.
        role_selections: PS3.7 section D.3.3.4.
        extended_negotiations: PS3.7 section D.3.3.5.
        common_extended_negotiations: PS3.7 section D.3.3.6, request only.
        user_identity: PS3.7 section D.3.3.7, request only.
        user_identity_response: the server response, accept only.
    """

    maximum_length_received: int | None = None
    implementation_class_uid: str | None = None
    implementation_version_name: str | None = None
    asynchronous_operations_window: AsynchronousOperationsWindow | None = None
    role_selections: tuple[RoleSelection, ...] = ()
    extended_negotiations: tuple[ExtendedNegotiation, ...] = ()
    common_extended_negotiations: tuple[CommonExtendedNegotiation, ...] = ()
    user_identity: UserIdentity | None = None
    user_identity_response: bytes | None = attrs.field(default=None, repr=False)

    def encode(self) -> bytes:
        """Return the value of the item: its sub-items in increasing order of type."""
        return b"".join(
            encode_item(item_type, value) for item_type, value in self._encode_sub_items()
        )

    def _encode_sub_items(self) -> Iterator[tuple[int, bytes]]:
        if self.maximum_length_received is not None:
            yield _SubItem.MAXIMUM_LENGTH, _LONG.pack(self.maximum_length_received)
        if self.implementation_class_uid is not None:
            yield _SubItem.IMPLEMENTATION_CLASS_UID, encode_uid(self.implementation_class_uid)
        if self.asynchronous_operations_window is not None:
            yield (
                _SubItem.ASYNCHRONOUS_OPERATIONS_WINDOW,
                self.asynchronous_operations_window._encode(),
            )
        for role in self.role_selections:
            yield _SubItem.ROLE_SELECTION, role._encode()
        if self.implementation_version_name is not None:
            yield (
                _SubItem.IMPLEMENTATION_VERSION_NAME,
                self.implementation_version_name.encode("latin-1"),
            )
        for negotiation in self.extended_negotiations:
            yield _SubItem.EXTENDED_NEGOTIATION, negotiation._encode()
        for common in self.common_extended_negotiations:
            yield _SubItem.COMMON_EXTENDED_NEGOTIATION, common._encode()
        if self.user_identity is not None:
            yield _SubItem.USER_IDENTITY, self.user_identity._encode()
        if self.user_identity_response is not None:
            yield _SubItem.USER_IDENTITY_RESPONSE, encode_counted(self.user_identity_response)

    @classmethod
    def decode(cls, value: memoryview) -> UserInformation:
        """
        Read the value of the item.

        Raises:
            InvalidPDU: a length is wrong, or a UID is not ASCII.
        """
        maximum_length = class_uid = version_name = window = identity = response = None
        roles: list[RoleSelection] = []
        extended: list[ExtendedNegotiation] = []
        common: list[CommonExtendedNegotiation] = []
        for item_type, sub_item in read_items(value, "the user-information item"):
            match item_type:
                case _SubItem.MAXIMUM_LENGTH:
                    maximum_length = _decode_maximum_length(sub_item)
                case _SubItem.IMPLEMENTATION_CLASS_UID:
                    class_uid = decode_uid(sub_item, "the implementation class UID sub-item")
                case _SubItem.ASYNCHRONOUS_OPERATIONS_WINDOW:
                    window = AsynchronousOperationsWindow._decode(sub_item)
                case _SubItem.ROLE_SELECTION:
                    roles.append(RoleSelection._decode(sub_item))
                case _SubItem.IMPLEMENTATION_VERSION_NAME:
                    version_name = bytes(sub_item).rstrip(b"\0 ").decode("latin-1")
                case _SubItem.EXTENDED_NEGOTIATION:
                    extended.append(ExtendedNegotiation._decode(sub_item))
                case _SubItem.COMMON_EXTENDED_NEGOTIATION:
                    common.append(CommonExtendedNegotiation._decode(sub_item))
                case _SubItem.USER_IDENTITY:
                    identity = UserIdentity._decode(sub_item)
                case _SubItem.USER_IDENTITY_RESPONSE:
                    response = _decode_identity_response(sub_item)
        return cls(
            maximum_length,
            class_uid,
            version_name,
            window,
            tuple(roles),
            tuple(extended),
            tuple(common),
            identity,
            response,
        )
