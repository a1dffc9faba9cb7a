"""
Command sets as elements of group 0000, in implicit VR little endian (PS3.7 section 6.3).

Whatever the transfer syntax of the data sets, a command set is written like this. The
values stay bytes here; `values` knows their representations and `commands` what they
mean. pydicom does the same for any data set, at some twenty times the cost.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from struct import Struct

from pacs_twisted.errors import InvalidPDU

_HEADER = Struct("<HHL")  # group, element, length of the value
_GROUP_LENGTH = Struct("<HHLL")  # the same with its value
_GROUP_LENGTH_ELEMENT = 0x0000


def decode_elements(data: bytes | memoryview) -> dict[int, bytes]:
    """
    Split a command set into raw values by element number.

    The last-fragment bit delimits a command set, so the group length is not examined.
    Any order and odd lengths are tolerated: nothing in them can be misread. The same
    element twice is refused, since two readers could take two different values from it.

    Args:
        data: the whole command set; not kept, the values are copies.

    Raises:
        InvalidPDU: an element is truncated, comes twice or is not of group 0000.
    """
    data = bytes(data)
    elements: dict[int, bytes] = {}
    end = len(data)
    position = 0
    while position < end:
        try:
            group, element, length = _HEADER.unpack_from(data, position)
        except struct.error as error:
            raise InvalidPDU(f"command set ends inside the header at byte {position}") from error
        if group:
            raise InvalidPDU(f"element ({group:04X},{element:04X}) in a command set")
        if element in elements:
            raise InvalidPDU(f"element (0000,{element:04X}) twice in a command set")
        start = position + _HEADER.size
        position = start + length
        if position > end:
            raise InvalidPDU(
                f"element (0000,{element:04X}) claims {length} bytes, {end - start} are left"
            )
        elements[element] = data[start:position]
    return elements


def encode_elements(elements: Mapping[int, bytes]) -> bytes:
    """
    Write a command set: the group length, then the elements in increasing order.

    Args:
        elements: raw values by element number, padded as their representation asks. A
            group length among them is replaced by the right one.

    Raises:
        ValueError: a value has an odd length.
    """
    parts: list[bytes] = []
    for element in sorted(elements):
        value = elements[element]
        if len(value) & 1:
            raise ValueError(f"value of (0000,{element:04X}) has an odd length, {len(value)}")
        if element != _GROUP_LENGTH_ELEMENT:
            parts += _HEADER.pack(0, element, len(value)), value
    body = b"".join(parts)
    return _GROUP_LENGTH.pack(0, _GROUP_LENGTH_ELEMENT, 4, len(body)) + body
