"""
Items and sub-items: type, a reserved byte, a length of two bytes, a value (PS3.8 section 9.3.1).

Only what the A-ASSOCIATE PDUs share: walking over items, and the text in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from struct import Struct

from pacs_twisted.errors import InvalidPDU

_HEADER = Struct(">BxH")  # item type, reserved, item length
_LENGTH = Struct(">H")

MAXIMUM_UID_LENGTH = 64  # PS3.5 section 9.1


def encode_item(item_type: int, value: bytes) -> bytes:
    """Return an item with its header; the value has at most 65,535 bytes."""
    return _HEADER.pack(item_type, len(value)) + value


def read_items(data: memoryview, where: str) -> Iterator[tuple[int, memoryview]]:
    """
    Yield the type and the value of each item that fills `data`.

    Raises:
        InvalidPDU: an item runs past the end, or bytes are left that are none.
    """
    offset, end = 0, len(data)
    while offset < end:
        if end - offset < _HEADER.size:
            raise InvalidPDU(f"{end - offset} bytes left over at the end of {where}")
        item_type, length = _HEADER.unpack_from(data, offset)
        offset += _HEADER.size
        if length > end - offset:
            raise InvalidPDU(
                f"item {item_type:02X}H of {length} bytes runs past the {end - offset} left"
                f" in {where}"
            )
        yield item_type, data[offset : offset + length]
        offset += length


def read_counted(data: memoryview, offset: int, where: str) -> tuple[memoryview, int]:
    """
    Read a value that is preceded by its length in two bytes.

    Returns:
        The value, and the offset behind it.

    Raises:
        InvalidPDU: the length or the value runs past the end.
    """
    start = offset + _LENGTH.size
    if start > len(data):
        raise InvalidPDU(f"{where} ends inside a length")
    (length,) = _LENGTH.unpack_from(data, offset)
    if length > len(data) - start:
        raise InvalidPDU(
            f"a field of {length} bytes runs past the {len(data) - start} left in {where}"
        )
    return data[start : start + length], start + length


def encode_counted(value: bytes) -> bytes:
    """Return a value preceded by its length in two bytes."""
    return _LENGTH.pack(len(value)) + value


@lru_cache(maxsize=1024)
def _uid_text(value: bytes) -> str:
    return value.rstrip(b"\0 ").decode("ascii")


def decode_uid(value: memoryview, where: str) -> str:
    """
    Return a UID as text; the padding that some peers send is stripped.

    A malformed UID (a leading zero, a letter) is kept as it is: it will not equal any that we
    serve, and the refusal names it.

    Raises:
        InvalidPDU: it is not ASCII.
    """
    try:
        # Only what can be a UID goes through the cache, so that a peer cannot fill it with bulk.
        if len(value) <= MAXIMUM_UID_LENGTH:
            return _uid_text(bytes(value))
        return bytes(value).rstrip(b"\0 ").decode("ascii")
    except UnicodeDecodeError as error:
        raise InvalidPDU(f"the UID in {where} is not ASCII") from error


@lru_cache(maxsize=1024)
def encode_uid(uid: str) -> bytes:
    """Return a UID as it stands in an item: ASCII, without padding."""
    return uid.encode("ascii")
