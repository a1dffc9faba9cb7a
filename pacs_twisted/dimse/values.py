"""
The values of command elements: the few value representations of group 0000 (PS3.5 section 6.2).

Decoders are lenient where no harm can follow: padding may be NUL or space on either side,
a UID need not be well formed. A value is refused with ValueError when its length is wrong,
when a UID or an AE title is longer than it may be, or is not ASCII. A blank value is None,
as if the element were absent: peers do send empty elements for what they have not got.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple

from pacs_twisted.dimse.status import Status

_NUMBER = Struct("<H")
_TAG = Struct("<HH")  # group, element
_PADDING = "\0 "
_MAXIMUM_UID = 64  # PS3.5 section 9.1
_MAXIMUM_AE_TITLE = 16
_MAXIMUM_LONG_STRING = 64
_REMEMBERED_UIDS = 256  # a SOP class is of some hundred; each entry holds 64 bytes at most


class ValueRepresentation(NamedTuple):
    """How values of one kind are written and read."""

    name: str
    encode: Callable[[Any], bytes]
    """Value to bytes of even length; ValueError for what cannot be written."""
    decode: Callable[[bytes], Any]
    """Bytes to value, None if blank; ValueError for what cannot be read."""


def _encode_number(number: int) -> bytes:
    try:
        return _NUMBER.pack(number)
    except struct.error as error:
        raise ValueError(f"{number!r} is not a number of 16 bits") from error


def decode_number(raw: bytes) -> int:
    """
    Read an unsigned number of 16 bits.

    Raises:
        ValueError: there are not exactly two bytes.
    """
    if len(raw) != 2:
        raise ValueError(f"{len(raw)} bytes, not 2")
    return raw[0] | raw[1] << 8


def _decode_status(raw: bytes) -> Status:
    return Status(decode_number(raw))


def _encode_tags(tags: tuple[int, ...]) -> bytes:
    try:
        return b"".join([_TAG.pack(tag >> 16, tag & 0xFFFF) for tag in tags])
    except struct.error as error:
        raise ValueError("an attribute tag is not a number of 32 bits") from error


def _decode_tags(raw: bytes) -> tuple[int, ...]:
    if len(raw) % _TAG.size:
        raise ValueError(f"{len(raw)} bytes, not a multiple of {_TAG.size}")
    return tuple([group << 16 | element for group, element in _TAG.iter_unpack(raw)])


def _encode_uid(uid: str) -> bytes:
    raw = uid.encode("ascii")
    return raw + b"\0" if len(raw) & 1 else raw


def _decode_uid(raw: bytes) -> str | None:
    if len(raw) > _MAXIMUM_UID:
        raise ValueError(f"UID of {len(raw)} bytes, over {_MAXIMUM_UID}")
    return str(raw, "ascii").strip(_PADDING) or None


def _encode_ae_title(title: str) -> bytes:
    raw = title.encode("ascii")
    if len(raw) > _MAXIMUM_AE_TITLE:
        raise ValueError(f"AE title of {len(raw)} bytes, over {_MAXIMUM_AE_TITLE}")
    return raw + b" " if len(raw) & 1 else raw


def _decode_ae_title(raw: bytes) -> str | None:
    if len(raw) > _MAXIMUM_AE_TITLE:
        raise ValueError(f"AE title of {len(raw)} bytes, over {_MAXIMUM_AE_TITLE}")
    return str(raw, "ascii").strip(_PADDING) or None


def _encode_long_string(text: str) -> bytes:
    # A remark must never be the reason that an answer fails: what LO cannot hold is cut.
    raw = text[:_MAXIMUM_LONG_STRING].encode("latin-1", "replace")
    return raw + b" " if len(raw) & 1 else raw


def _decode_long_string(raw: bytes) -> str | None:
    return str(raw, "latin-1").strip(_PADDING) or None


US = ValueRepresentation("US", _encode_number, decode_number)
STATUS = ValueRepresentation("US", _encode_number, _decode_status)
AT = ValueRepresentation("AT", _encode_tags, _decode_tags)
"""Attribute tags, one or more: a tuple of numbers such as 0x00100010."""

UI = ValueRepresentation("UI", _encode_uid, _decode_uid)
SOP_CLASS = ValueRepresentation(
    "UI",
    lru_cache(_REMEMBERED_UIDS)(_encode_uid),
    lru_cache(_REMEMBERED_UIDS)(_decode_uid),  # refuses what is long, so remembers nothing long
)
"""A UID that comes again and again; an instance's would only push others out of the cache."""

AE = ValueRepresentation("AE", _encode_ae_title, _decode_ae_title)
LO = ValueRepresentation("LO", _encode_long_string, _decode_long_string)
"""Free text; the command set has no character set, so Latin-1, which reads any bytes."""
