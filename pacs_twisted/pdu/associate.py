"""
A-ASSOCIATE-RQ, -AC and -RJ: how an association begins (PS3.8 sections 9.3.2 to 9.3.4).

The values are the parameters of the A-ASSOCIATE service primitives as well. What the standard
makes a duty of the service-user, such as judging the titles, is not done here.
"""

from __future__ import annotations

from struct import Struct
from typing import ClassVar, Self

import attrs

from pacs_twisted.errors import InvalidPDU
from pacs_twisted.pdu._header import encode_pdu
from pacs_twisted.pdu._items import decode_uid, encode_item, encode_uid, read_items
from pacs_twisted.pdu.user_information import UserInformation
from pacs_twisted.uids import APPLICATION_CONTEXT

_FIXED = Struct(">H2x64s")  # protocol version, reserved, titles and reserved bytes
_REJECT = Struct(">xBBB")  # reserved, result, source, reason
_CONTEXT_ID = Struct(">Bxxx")
_CONTEXT_RESULT = Struct(">BxBx")  # context ID, reserved, result, reserved

_LONGEST_REMEMBERED = 2048  # bytes of a body
_MOST_REMEMBERED = 64

_MAXIMUM_CONTEXTS = 128  # as many as there are odd context IDs

_TITLE_LENGTH = 16
_RESERVED = bytes(32)

PROTOCOL_VERSION = 1
ACCEPTANCE = 0
"""The result of an accepted presentation context (PS3.8 section 9.3.3.2)."""


class _Item:
    """Types of the items."""

    APPLICATION_CONTEXT = 0x10
    PROPOSED_CONTEXT = 0x20
    CONTEXT_RESULT = 0x21
    ABSTRACT_SYNTAX = 0x30
    TRANSFER_SYNTAX = 0x40
    USER_INFORMATION = 0x50


def _check_title(_: object, attribute: attrs.Attribute[str], title: str) -> None:
    if len(title) > _TITLE_LENGTH:
        raise ValueError(f"{attribute.name} {title!r} has {len(title)} characters, at most 16 fit")


def _pad_title(title: str) -> bytes:
    return title.encode("latin-1").ljust(_TITLE_LENGTH)


def _decode_title(field: bytes) -> str:
    """
    Strip what is not significant: blanks on both sides (PS3.5 section 6.2), NULs behind.

    Some peers pad with NULs.

    Latin-1 never fails: whether the title is a permitted one is for the admission to say.
    """
    return field.rstrip(b"\0 ").lstrip(b" ").decode("latin-1")


def _check_context_id(context_id: int) -> None:
    if context_id % 2 == 0:
        raise InvalidPDU(f"presentation context ID {context_id} is not odd")


@attrs.frozen
class ProposedContext:
    """
    A presentation context as the requestor proposes it (PS3.8 section 9.3.2.2).

    Args:
        context_id: odd, 1 to 255.
        abstract_syntax: the UID of a SOP class or meta SOP class.
        transfer_syntaxes: at least one UID, in the requestor's order.
    """

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]

    def encode(self) -> bytes:
        """Return the value of the item."""
        return (
            _CONTEXT_ID.pack(self.context_id)
            + encode_item(_Item.ABSTRACT_SYNTAX, encode_uid(self.abstract_syntax))
            + b"".join(
                encode_item(_Item.TRANSFER_SYNTAX, encode_uid(uid))
                for uid in self.transfer_syntaxes
            )
        )

    @classmethod
    def decode(cls, value: memoryview) -> ProposedContext:
        """
        Read the value of the item.

        Raises:
            InvalidPDU: the context ID is even, or the syntaxes are not one abstract and at least
                one transfer syntax.
        """
        if len(value) < _CONTEXT_ID.size:
            raise InvalidPDU(f"presentation context item of {len(value)} bytes")
        (context_id,) = _CONTEXT_ID.unpack_from(value)
        _check_context_id(context_id)
        where = f"presentation context {context_id}"
        abstract: list[str] = []
        transfer: list[str] = []
        for item_type, sub_item in read_items(value[_CONTEXT_ID.size :], where):
            if item_type == _Item.TRANSFER_SYNTAX:
                transfer.append(decode_uid(sub_item, where))
            elif item_type == _Item.ABSTRACT_SYNTAX:
                abstract.append(decode_uid(sub_item, where))
        if len(abstract) != 1 or not transfer:
            raise InvalidPDU(
                f"{where} has {len(abstract)} abstract and {len(transfer)} transfer syntaxes"
            )
        return cls(context_id, abstract[0], tuple(transfer))


@attrs.frozen
class ContextResult:
    """
    The acceptor's answer to one proposed context (PS3.8 section 9.3.3.2).

    Args:
        context_id: odd, 1 to 255.
        result: 0 acceptance, 1 user-rejection, 2 no reason (provider-rejection), 3 abstract
            syntax not supported, 4 transfer syntaxes not supported; any number that the peer sent.
        transfer_syntax: the one to be used; not significant unless the result is acceptance.
    """

    context_id: int
    result: int
    transfer_syntax: str

    @property
    def accepted(self) -> bool:
        """Whether the context may be used."""
        return self.result == ACCEPTANCE

    def encode(self) -> bytes:
        """Return the value of the item."""
        transfer_syntax = encode_item(_Item.TRANSFER_SYNTAX, encode_uid(self.transfer_syntax))
        return _CONTEXT_RESULT.pack(self.context_id, self.result) + transfer_syntax

    @classmethod
    def decode(cls, value: memoryview) -> ContextResult:
        """
        Read the value of the item; what a refused one says of transfer syntaxes is not tested.

        Raises:
            InvalidPDU: the context ID is even, or an accepted context does not name exactly one
                transfer syntax.
        """
        if len(value) < _CONTEXT_RESULT.size:
            raise InvalidPDU(f"presentation context result of {len(value)} bytes")
        context_id, result = _CONTEXT_RESULT.unpack_from(value)
        _check_context_id(context_id)
        if result != ACCEPTANCE:
            return cls(context_id, result, "")
        where = f"the result of presentation context {context_id}"
        transfer = [
            decode_uid(sub_item, where)
            for item_type, sub_item in read_items(value[_CONTEXT_RESULT.size :], where)
            if item_type == _Item.TRANSFER_SYNTAX
        ]
        if len(transfer) != 1:
            raise InvalidPDU(f"{where} accepts {len(transfer)} transfer syntaxes, not one")
        return cls(context_id, result, transfer[0])


@attrs.define
class _Body:
    """What A-ASSOCIATE-RQ and -AC share; the one carries proposals, the other results."""

    protocol_version: int
    title_bytes: bytes
    application_context: str
    contexts: list[memoryview]
    user_information: UserInformation

    @classmethod
    def read(cls, body: memoryview, context_type: int) -> _Body:
        if len(body) < _FIXED.size:
            raise InvalidPDU(f"A-ASSOCIATE PDU of {len(body)} bytes, at least {_FIXED.size} needed")
        version, title_bytes = _FIXED.unpack_from(body)
        # An item that is missing altogether is left to the acceptor's or requestor's judgement: an
        # empty application context is refused as any foreign one.
        found = cls(version, title_bytes, "", [], UserInformation())
        seen = set()
        for item_type, value in read_items(body[_FIXED.size :], "the A-ASSOCIATE PDU"):
            if item_type == context_type:
                if len(found.contexts) == _MAXIMUM_CONTEXTS:
                    raise InvalidPDU(f"more than {_MAXIMUM_CONTEXTS} presentation contexts")
                found.contexts.append(value)
                continue
            if item_type in seen:
                raise InvalidPDU(f"item {item_type:02X}H stands twice in an A-ASSOCIATE PDU")
            if item_type == _Item.APPLICATION_CONTEXT:
                found.application_context = decode_uid(value, "the application context item")
                seen.add(item_type)
            elif item_type == _Item.USER_INFORMATION:
                found.user_information = UserInformation.decode(value)
                seen.add(item_type)
        return found


def _encode_body(
    version: int,
    title_bytes: bytes,
    application_context: str,
    contexts: bytes,
    user: UserInformation,
) -> bytes:
    return (
        _FIXED.pack(version, title_bytes)
        + encode_item(_Item.APPLICATION_CONTEXT, encode_uid(application_context))
        + contexts
        + encode_item(_Item.USER_INFORMATION, user.encode())
    )


def _check_unique(contexts: tuple[ProposedContext, ...] | tuple[ContextResult, ...]) -> None:
    if len({context.context_id for context in contexts}) != len(contexts):
        raise InvalidPDU("a presentation context ID stands twice")


@attrs.frozen(cache_hash=True)
class AAssociateRQ:
    """
    A-ASSOCIATE-RQ: the requestor asks for an association (PS3.8 section 9.3.2).

    Titles are without padding. A received one is kept even when it is blank or not a permitted
    title, because the acceptor answers such a one with an A-ASSOCIATE-RJ.

    Args:
        called_ae_title: at most 16 characters.
        calling_ae_title: at most 16 characters.
        presentation_contexts: 1 to 128.
        user_information: PS3.8 section 9.3.2.3.
        application_context: the DICOM one unless the peer says otherwise.
        protocol_version: bit 0 is the only version there is.
    """

    pdu_type: ClassVar[int] = 0x01

    called_ae_title: str = attrs.field(validator=_check_title)
    calling_ae_title: str = attrs.field(validator=_check_title)
    presentation_contexts: tuple[ProposedContext, ...]
    user_information: UserInformation
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = PROTOCOL_VERSION

    title_bytes: bytes = attrs.field(init=False, repr=False)
    """The 64 bytes that an A-ASSOCIATE-AC echoes: both titles as they travel, reserved bytes."""

    @title_bytes.default
    def _pad_titles(self) -> bytes:
        return _pad_title(self.called_ae_title) + _pad_title(self.calling_ae_title) + _RESERVED

    def encode(self) -> bytes:
        """Return the whole PDU, its six-byte header included."""
        contexts = b"".join(
            encode_item(_Item.PROPOSED_CONTEXT, context.encode())
            for context in self.presentation_contexts
        )
        return encode_pdu(
            self.pdu_type,
            _encode_body(
                self.protocol_version,
                self.title_bytes,
                self.application_context,
                contexts,
                self.user_information,
            ),
        )

    @classmethod
    def decode(cls, body: memoryview) -> AAssociateRQ:
        """
        Read the PDU from its body, the bytes after the header.

        Raises:
            InvalidPDU: a length is wrong, a UID is not ASCII, a context ID is even or stands
                twice, or there is no presentation context.
        """
        # Peers ask again and again in the same words, and the value is frozen: one serves them all.
        if len(body) > _LONGEST_REMEMBERED:
            return cls._decode(body)
        words = bytes(body)
        request = _remembered.get(words)
        if request is None:
            request = cls._decode(body)
            if request.user_information.user_identity is None:  # it may hold a secret
                if len(_remembered) == _MOST_REMEMBERED:
                    del _remembered[next(iter(_remembered))]
                _remembered[words] = request
        return request

    @classmethod
    def _decode(cls, body: memoryview) -> AAssociateRQ:
        read = _Body.read(body, _Item.PROPOSED_CONTEXT)
        contexts = tuple(map(ProposedContext.decode, read.contexts))
        if not contexts:
            raise InvalidPDU("A-ASSOCIATE-RQ without a presentation context")
        _check_unique(contexts)
        request = cls(
            _decode_title(read.title_bytes[:_TITLE_LENGTH]),
            _decode_title(read.title_bytes[_TITLE_LENGTH : 2 * _TITLE_LENGTH]),
            contexts,
            read.user_information,
            read.application_context,
            read.protocol_version,
        )
        object.__setattr__(request, "title_bytes", read.title_bytes)
        return request


_remembered: dict[bytes, AAssociateRQ] = {}  # by its body


@attrs.frozen
class AAssociateAC:
    """
    A-ASSOCIATE-AC: the acceptor accepts the association (PS3.8 section 9.3.3).

    Args:
        context_results: one for each proposed context.
        user_information: PS3.8 section 9.3.3.3.
        title_bytes: the 64 bytes of titles and reserved bytes, copied from the request; a
            requestor does not test them.
        application_context: the one to be used.
        protocol_version: bit 0 is the only version there is.
    """

    pdu_type: ClassVar[int] = 0x02

    context_results: tuple[ContextResult, ...]
    user_information: UserInformation
    title_bytes: bytes = attrs.field(default=bytes(64), repr=False)
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = PROTOCOL_VERSION

    def encode(self) -> bytes:
        """Return the whole PDU, its six-byte header included."""
        results = b"".join(
            encode_item(_Item.CONTEXT_RESULT, result.encode()) for result in self.context_results
        )
        return encode_pdu(
            self.pdu_type,
            _encode_body(
                self.protocol_version,
                self.title_bytes,
                self.application_context,
                results,
                self.user_information,
            ),
        )

    @classmethod
    def decode(cls, body: memoryview) -> Self:
        """
        Read the PDU from its body, the bytes after the header.

        Raises:
            InvalidPDU: a length is wrong, a UID is not ASCII, or a context ID is even or stands
                twice.
        """
        read = _Body.read(body, _Item.CONTEXT_RESULT)
        results = tuple(map(ContextResult.decode, read.contexts))
        _check_unique(results)
        return cls(
            results,
            read.user_information,
            read.title_bytes,
            read.application_context,
            read.protocol_version,
        )


@attrs.frozen
class AAssociateRJ:
    """
    A-ASSOCIATE-RJ: the association is refused (PS3.8 section 9.3.4).

    Received values are kept whatever they are.

    Args:
        result: 1 rejected-permanent, 2 rejected-transient.
        source: 1 service-user, 2 service-provider (ACSE), 3 service-provider (presentation).
        reason: its meaning depends on the source.
    """

    pdu_type: ClassVar[int] = 0x03

    result: int
    source: int
    reason: int

    def encode(self) -> bytes:
        """Return the whole PDU, its six-byte header included."""
        return encode_pdu(self.pdu_type, _REJECT.pack(self.result, self.source, self.reason))

    @classmethod
    def decode(cls, body: memoryview) -> Self:
        """
        Read the PDU from its body, the bytes after the header.

        Raises:
            InvalidPDU: the body is not four bytes.
        """
        if len(body) != _REJECT.size:
            raise InvalidPDU(f"A-ASSOCIATE-RJ of {len(body)} bytes, not {_REJECT.size}")
        return cls(*_REJECT.unpack(body))
