"""
The same data set in another uncompressed transfer syntax (PS3.5 sections 7 and annex A).

Element by element and byte for byte: numbers are turned round where the byte order changes, VRs
come from pydicom's dictionary where there were none, and nothing else is interpreted, so that a
value that nobody can read arrives as it was. Pixels are not touched beyond their byte order.
"""

from __future__ import annotations

from array import array
from struct import Struct, error
from typing import Final

import attrs

from pacs_twisted.errors import PacsError
from pacs_twisted.uids import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)

_UNDEFINED: Final = 0xFFFFFFFF
_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_PIXEL_DATA: Final = 0x7FE00010
_PIXEL_REPRESENTATION: Final = 0x00280103
_LONG_FORM: Final = frozenset(
    ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
)
_LONGEST_SHORT: Final = 0xFFFF
_SHORTEST: Final = 8  # bytes of the header of an element, at least
_DEEPEST: Final = 100  # sequences in each other
_WIDTHS: Final = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), "H"),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), "I"),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), "Q"),
}
"""For VRs of numbers the type of an array of the same width."""


class NotConvertible(PacsError):
    """The data set cannot be converted to what the peer takes; the message says why."""


@attrs.frozen
class _Syntax:
    """How elements are written."""

    explicit: bool
    order: str
    tag: Struct
    short: Struct
    long: Struct

    @classmethod
    def make(cls, explicit: bool, order: str) -> _Syntax:
        """Prepare the structures for a byte order."""
        return cls(explicit, order, Struct(f"{order}HH"), Struct(f"{order}H"), Struct(f"{order}L"))


_IMPLICIT: Final = _Syntax.make(False, "<")
_SYNTAXES: Final = {
    IMPLICIT_VR_LITTLE_ENDIAN: _IMPLICIT,
    EXPLICIT_VR_LITTLE_ENDIAN: _Syntax.make(True, "<"),
    EXPLICIT_VR_BIG_ENDIAN: _Syntax.make(True, ">"),
}


def recode(data: bytes | memoryview, source: str, target: str) -> bytes:
    """
    Return a data set in another transfer syntax.

    Args:
        data: the encoded data set, in memory as a whole; the result takes as much again, and as
            much once more for a moment.
        source: the UID of its transfer syntax, one of the three uncompressed ones.
        target: another one of these.

    Raises:
        NotConvertible: it does not parse.
    """
    view = memoryview(data)
    recoder = _Recoder(view, _SYNTAXES[target])
    try:
        pieces, _ = recoder.elements(0, len(view), _SYNTAXES[source], _Surroundings())
    except error as short:
        raise NotConvertible("the data set ends inside of an element") from short
    return b"".join(pieces)


@attrs.define
class _Surroundings:
    """What the VR of an element depends on, besides its tag."""

    signed: bool = False
    creators: dict[int, str] = attrs.field(factory=dict)
    depth: int = 0


class _Recoder:
    def __init__(self, data: memoryview, target: _Syntax) -> None:
        self._data = data
        self._target = target

    def elements(
        self, position: int, end: int | None, source: _Syntax, around: _Surroundings
    ) -> tuple[list[bytes | memoryview], int]:
        """
        Recode the elements of a data set or item.

        Args:
            position: where they begin.
            end: where they end; None if a delimiter ends them.
            source: how they are written.
            around: of the same item.

        Returns:
            The recoded bytes and where the delimiter, if any, has ended.
        """
        pieces: list[bytes | memoryview] = []
        limit = len(self._data) if end is None else end
        while end is None or position < end:
            if limit - position < _SHORTEST and not any(self._data[position:limit]):
                break  # padding that somebody has added
            tag, vr, length, start = self._header(position, source)
            if tag == _ITEM_END and end is None:
                return pieces, start
            name = vr if source.explicit else _look_up(tag, length, around)
            if length == _UNDEFINED or name == "SQ":
                value, position = self._sequence(tag, name, length, start, source, around)
                written = _UNDEFINED if length == _UNDEFINED else sum(map(len, value))
                name = "SQ"
            else:
                position = start + length
                if position > limit:
                    raise NotConvertible("the data set ends inside of an element")
                _take_note(tag, self._data[start:position], source, around)
                value = [self._swap(name, self._data[start:position], source)]
                written = length
            if tag & 0xFFFF == 0 and tag >> 16 > 7:
                continue  # group lengths are retired, and would be wrong
            pieces.append(self._encode_header(tag, name, written))
            pieces += value
        return pieces, position

    def _sequence(
        self,
        tag: int,
        vr: str,
        length: int,
        start: int,
        source: _Syntax,
        around: _Surroundings,
    ) -> tuple[list[bytes | memoryview], int]:
        """Recode the items of a sequence; return the bytes and where it ends."""
        if tag == _PIXEL_DATA:
            raise NotConvertible("its pixel data is compressed, whatever its transfer syntax says")
        if around.depth == _DEEPEST:
            raise NotConvertible(f"more than {_DEEPEST} sequences in each other")
        if vr == "UN":
            source = _IMPLICIT  # PS3.5 section 6.2.2, note 4
        pieces: list[bytes | memoryview] = []
        position = start
        end = None if length == _UNDEFINED else start + length
        if end is not None and end > len(self._data):
            raise NotConvertible("the data set ends inside of a sequence")
        while end is None or position < end:
            item, _, item_length, position = self._header(position, source)
            if item == _SEQUENCE_END and end is None:
                pieces.append(self._encode_mark(_SEQUENCE_END, 0))
                return pieces, position
            if item != _ITEM:
                raise NotConvertible("a sequence holds something else than items")
            inside = _Surroundings(around.signed, depth=around.depth + 1)
            if item_length == _UNDEFINED:
                content, position = self.elements(position, None, source, inside)
                content.append(self._encode_mark(_ITEM_END, 0))
                written = _UNDEFINED
            else:
                item_end = position + item_length
                if item_end > (len(self._data) if end is None else end):
                    raise NotConvertible("an item is longer than its sequence")
                content, position = self.elements(position, item_end, source, inside)
                written = sum(map(len, content))
            pieces.append(self._encode_mark(_ITEM, written))
            pieces += content
        return pieces, position

    def _header(self, position: int, source: _Syntax) -> tuple[int, str, int, int]:
        """Return tag, VR, length of the value and where that begins."""
        group, element = source.tag.unpack_from(self._data, position)
        if group == 0xFFFE or not source.explicit:
            (length,) = source.long.unpack_from(self._data, position + 4)
            return group << 16 | element, "", length, position + 8
        vr = bytes(self._data[position + 4 : position + 6]).decode("latin-1")
        if not (vr.isalpha() and vr.isupper()):
            raise NotConvertible(f"({group:04X},{element:04X}) has no VR")
        if vr in _LONG_FORM:
            (length,) = source.long.unpack_from(self._data, position + 8)
            return group << 16 | element, vr, length, position + 12
        (length,) = source.short.unpack_from(self._data, position + 6)
        return group << 16 | element, vr, length, position + 8

    def _encode_header(self, tag: int, vr: str, length: int) -> bytes:
        target = self._target
        head = target.tag.pack(tag >> 16, tag & 0xFFFF)
        if not target.explicit:
            return head + target.long.pack(length)
        if vr not in _LONG_FORM and length > _LONGEST_SHORT:
            vr = "UN"  # PS3.5 section 6.2.2, note 5
        if vr in _LONG_FORM:
            return head + vr.encode("latin-1") + b"\0\0" + target.long.pack(length)
        return head + vr.encode("latin-1") + target.short.pack(length)

    def _encode_mark(self, tag: int, length: int) -> bytes:
        return self._target.tag.pack(tag >> 16, tag & 0xFFFF) + self._target.long.pack(length)

    def _swap(self, vr: str, value: memoryview, source: _Syntax) -> bytes | memoryview:
        width = _WIDTHS.get(vr)
        if source.order == self._target.order or width is None:
            return value
        if len(value) % array(width).itemsize:
            return value  # nobody knows what it was meant to be
        numbers = array(width, bytes(value))
        numbers.byteswap()
        return numbers.tobytes()


def _take_note(tag: int, value: memoryview, source: _Syntax, around: _Surroundings) -> None:
    """Remember what the VR of later elements depends on."""
    if tag == _PIXEL_REPRESENTATION and len(value) >= 2:
        around.signed = source.short.unpack_from(value)[0] == 1
    elif tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
        around.creators[tag & 0xFFFF00FF] = bytes(value).decode("latin-1").strip("\0 ")


def _look_up(tag: int, length: int, around: _Surroundings) -> str:
    """Return the VR that the dictionary gives an element."""
    from pydicom.datadict import dictionary_VR, private_dictionary_VR

    group, element = tag >> 16, tag & 0xFFFF
    if not element:
        return "UL"
    unknown = "SQ" if length == _UNDEFINED else "UN"
    try:
        if not group & 1:
            return _decide(tag, dictionary_VR(tag), length, around)
        if element <= 0xFF:
            return "LO"
        creator = around.creators.get(group << 16 | element >> 8)
        return private_dictionary_VR(tag, creator) if creator else unknown
    except KeyError:
        return unknown


def _decide(tag: int, vr: str, length: int, around: _Surroundings) -> str:
    """Return one VR where the dictionary leaves a choice (PS3.5 section A.1)."""
    if " or " not in vr:
        return vr
    if vr == "US or SS":
        return "SS" if around.signed else "US"
    if vr == "US or OW":
        return "OW" if length > _LONGEST_SHORT else "US"
    return "OW"
