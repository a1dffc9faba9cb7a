"""
PDUs as trees of parts, whose lengths are right until somebody lies.

Nothing here comes from the code under test.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from struct import pack
from typing import Final

import attrs

ANY_LENGTH: Final = 0xFFFFFFFF


class Kind(Enum):
    """How the head of a part is written."""

    PDU = "type, reserved, length in 4 bytes"
    ITEM = "type, reserved, length in 2 bytes"
    PDV = "length in 4 bytes, context ID, control header"
    ELEMENT = "group and element, length in 4 bytes, all little endian"
    COUNTED = "length in 2 bytes"
    PLAIN = "no head"


@attrs.define(eq=False)
class Part:
    """
    A PDU or something in it.

    Args:
        kind: how its head is written.
        tag: the type of a PDU or item, group and element, or context ID and control header.
        body: bytes, or further parts.
        length: the length to state instead of the right one.
    """

    kind: Kind
    tag: int
    body: bytes | list[Part]
    length: int | None = None

    def encode(self) -> bytes:
        """Return its bytes."""
        body = self.body if isinstance(self.body, bytes) else encode(self.body)
        right = len(body) + (2 if self.kind is Kind.PDV else 0)
        length = right if self.length is None else self.length
        match self.kind:
            case Kind.PDU:
                head = pack(">BxL", self.tag & 0xFF, length & 0xFFFFFFFF)
            case Kind.ITEM:
                head = pack(">BxH", self.tag & 0xFF, length & 0xFFFF)
            case Kind.PDV:
                head = pack(">LH", length & 0xFFFFFFFF, self.tag & 0xFFFF)
            case Kind.ELEMENT:
                tag = self.tag & 0xFFFFFFFF
                head = pack("<HHL", tag >> 16, tag & 0xFFFF, length & 0xFFFFFFFF)
            case Kind.COUNTED:
                head = pack(">H", length & 0xFFFF)
            case Kind.PLAIN:
                head = b""
        return head + body


def encode(parts: Sequence[Part]) -> bytes:
    """Return the bytes of parts in their order."""
    return b"".join([part.encode() for part in parts])


def pdu(pdu_type: int, *parts: Part) -> Part:
    """Return a PDU."""
    return Part(Kind.PDU, pdu_type, list(parts))


def item(item_type: int, *parts: Part) -> Part:
    """Return an item or sub-item of further parts."""
    return Part(Kind.ITEM, item_type, list(parts))


def value(item_type: int, octets: bytes) -> Part:
    """Return an item or sub-item that holds a value."""
    return Part(Kind.ITEM, item_type, octets)


def counted(octets: bytes) -> Part:
    """Return a value behind its length."""
    return Part(Kind.COUNTED, 0, octets)


def plain(octets: bytes) -> Part:
    """Return bytes without a head."""
    return Part(Kind.PLAIN, 0, octets)


def element(number: int, octets: bytes) -> Part:
    """Return an element of group 0000."""
    return Part(Kind.ELEMENT, number, octets)


def pdv(context_id: int, control: int, body: bytes | list[Part]) -> Part:
    """Return a presentation data value."""
    return Part(Kind.PDV, context_id << 8 | control, body)


def places(parts: list[Part]) -> Iterator[tuple[list[Part], int]]:
    """Yield where every part stands: the list it is in and its index there."""
    for index, part in enumerate(parts):
        yield parts, index
        if isinstance(part.body, list):
            yield from places(part.body)
