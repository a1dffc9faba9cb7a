"""
A look at the first elements of a data set while it passes by (PS3.5 sections 7 and 10).

The receiver wants a few short top-level elements to name a file by, not the data set: it is
stored as it came, whether or not anybody can read it. So this parser is pushed, keeps nothing
but what it was asked for, steps over values by their length, and gives up early and silently.
It knows no dictionary and decodes no character set.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterator
from struct import Struct
from typing import Any, Final

import attrs

from pacs_twisted.uids import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)

__all__ = ["LONGEST_VALUE", "Scanner", "guess_transfer_syntax"]

LONGEST_VALUE: Final = 1024
"""Longer values of wanted elements are stepped over like any others, in bytes."""

_DEEPEST: Final = 64  # sequences and items of undefined length in each other
_UNDEFINED: Final = 0xFFFFFFFF
_PADDING: Final = "\0 "

# --- how elements are written -------------------------------------------------------------------

_SHORT_FORM: Final = (
    "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO",
    "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US",
)  # fmt: skip
"""What has a length of two bytes; all others, also future ones, have four (PS3.5 table 7.1-1)."""

_LONG_FORM: Final = (
    "OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV",
)  # fmt: skip
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@attrs.frozen(eq=False)
class _Encoding:
    """
    How the elements of a data set are written.

    Every header is read as four numbers of 16 bits. The last two are the VR and the length, or
    a length of 32 bits where there is no VR: in implicit VR, and before items everywhere.
    """

    explicit: bool
    header: Callable[[Any, int], tuple[int, int, int, int]]
    length: Callable[[Any, int], tuple[int]]
    low: int
    """By how many bits the first half of a length of 32 bits is shifted, to the left."""

    high: int
    short_form: frozenset[int]
    long_form: frozenset[int]
    unknown: int
    """The number of the VR UN."""

    @classmethod
    def make(cls, explicit: bool, little: bool) -> _Encoding:
        """Derive all of it from the two things that differ."""

        def number(vr: str) -> int:
            return int.from_bytes(vr.encode(), "little" if little else "big")

        order = "<" if little else ">"
        short_form = frozenset(map(number, _SHORT_FORM))
        pairs = frozenset(number(one + other) for one in _LETTERS for other in _LETTERS)
        return cls(
            explicit,
            Struct(f"{order}HHHH").unpack_from,
            Struct(f"{order}L").unpack_from,
            low=0 if little else 16,
            high=16 if little else 0,
            short_form=short_form,
            long_form=pairs - short_form,
            unknown=number("UN"),
        )


_EXPLICIT_LITTLE: Final = _Encoding.make(explicit=True, little=True)
_EXPLICIT_BIG: Final = _Encoding.make(explicit=True, little=False)
_IMPLICIT_LITTLE: Final = _Encoding.make(explicit=False, little=True)

_ENCODINGS: Final = {
    IMPLICIT_VR_LITTLE_ENDIAN: _IMPLICIT_LITTLE,
    "1.2.840.10008.1.20": _IMPLICIT_LITTLE,  # Papyrus 3, retired
    "1.2.840.113619.5.2": _IMPLICIT_LITTLE,  # a private one of GE's, pixels in big endian
    EXPLICIT_VR_BIG_ENDIAN: _EXPLICIT_BIG,
}
"""All others, compressed ones included, are in explicit VR little endian (PS3.5 annex A)."""

_DEFLATED: Final = frozenset(
    (
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
    )
)
_HEAD: Final = 8  # bytes that a header has at least, and that tell one encoding from the others
_VRS: Final = frozenset(vr.encode() for vr in _SHORT_FORM + _LONG_FORM)
_FIRST_GROUPS: Final = range(1, 9)  # every data set has elements of group 0008, or a lower one


def guess_transfer_syntax(head: bytes | memoryview) -> str | None:
    """
    Tell how a data set is written from its first element, whatever its label says.

    Args:
        head: the first bytes of the data set, eight or more.

    Returns:
        The UID of one of the three plain transfer syntaxes; None if the bytes do not look like
        the beginning of a data set, or not enough of them are there.
    """
    head = bytes(head[:_HEAD])
    if len(head) < _HEAD:
        return None
    vr = head[4:6]
    explicit = vr in _VRS
    if int.from_bytes(head[:2], "little") in _FIRST_GROUPS:
        if explicit:
            return EXPLICIT_VR_LITTLE_ENDIAN
        # A length below 64 KiB or the undefined one, and not a VR that nobody knows yet.
        if head[6:] in (b"\0\0", b"\xff\xff") and not (vr.isalpha() and vr.isupper()):
            return IMPLICIT_VR_LITTLE_ENDIAN
    elif explicit and int.from_bytes(head[:2], "big") in _FIRST_GROUPS:
        return EXPLICIT_VR_BIG_ENDIAN
    return None


# --- the scanner --------------------------------------------------------------------------------


class Scanner:
    """
    Collect the values of some top-level elements from a data set that comes in pieces.

    Never raises, whatever the bytes are. The pieces may be of any size, and the result does not
    depend on it. A data set whose first element is evidently written otherwise than its
    transfer syntax says is read as it is written.

    Args:
        wanted: tags, such as 0x00080018.
        transfer_syntax: the UID that the data set is labelled with; an unknown one is taken for
            explicit VR little endian, like all compressed ones.
        limit: how many bytes are looked at: those of headers, of wanted values and inside of
            sequences of undefined length; what is stepped over by its length costs nothing. Of
            a deflated data set, how many bytes are inflated.
    """

    __slots__ = (
        "_begun",
        "_budget",
        "_encoding",
        "_inflater",
        "_last",
        "_nesting",
        "_remaining",
        "_rest",
        "_skip",
        "_transfer_syntax",
        "done",
        "values",
    )

    def __init__(self, wanted: Collection[int], transfer_syntax: str, limit: int = 262144) -> None:
        self.values: dict[int, bytes] = {}
        """Raw values, padding included, by tag."""

        self.done = not wanted
        """Whether nothing further is looked for: all was found, or there is no hope."""

        self._remaining = set(wanted)
        self._last = max(wanted, default=0)
        self._budget = limit
        self._transfer_syntax = transfer_syntax
        self._begun = False  # whether the first bytes were seen, which tell the encoding
        self._encoding = _EXPLICIT_LITTLE
        self._inflater: _Inflater | None = None
        self._rest = b""  # the beginning of a header or of a wanted value
        self._skip = 0  # bytes of a value that are still to come and do not matter
        self._nesting: list[tuple[bool, _Encoding]] = []  # see _nested

    def text(self, tag: int) -> str | None:
        """
        Return a value as text without its padding, None if it was not found.

        Any bytes can be read as Latin-1: it is exact for UIDs, codes, dates and numbers, and
        for other text it is as good as any while the character set is not known.
        """
        value = self.values.get(tag)
        return None if value is None else value.decode("latin-1").strip(_PADDING)

    def feed(self, data: bytes | memoryview) -> None:
        """
        Take the next piece of the data set; it is not kept.

        Costs next to nothing when `done`, or inside of a value that is stepped over.
        """
        if self.done:
            return
        if not self._begun:
            if self._rest or len(data) < _HEAD:
                data = self._rest + bytes(data)
                if len(data) < _HEAD:
                    self._rest = data
                    return
                self._rest = b""
            self._begin(bytes(data[:_HEAD]))
        if self._inflater is None:
            self._scan(data)
        else:
            self._inflate(self._inflater, data)

    def _begin(self, head: bytes) -> None:
        self._begun = True
        guess = guess_transfer_syntax(head)
        if self._transfer_syntax in _DEFLATED:
            # No deflated stream begins like an element of group 0008: a block that is stored,
            # whose length and inverted length contradict each other.
            if guess is None or b"\x08" not in head[:2]:
                self._inflater = _Inflater(head, self._budget)
                guess = EXPLICIT_VR_LITTLE_ENDIAN
        elif guess is None:
            guess = self._transfer_syntax
        self._encoding = _ENCODINGS.get(guess, _EXPLICIT_LITTLE)

    def _inflate(self, inflater: _Inflater, data: bytes | memoryview) -> None:
        for piece in inflater.inflate(data):
            self._scan(piece)
            if self.done:
                return
        self.done = inflater.ended

    def _scan(self, data: bytes | memoryview) -> None:
        end = len(data)
        position = self._skip
        if position >= end:
            self._skip = position - end
            return
        if self._rest:
            data = self._rest + bytes(data)
            end = len(data)
        while position < end:
            before = position
            position = (self._nested if self._nesting else self._top_level)(data, position)
            if self.done:
                self._rest = b""
                return
            if position == before:  # the rest is not enough for any step
                break
        self._skip = max(0, position - end)
        self._rest = bytes(data[position:])

    def _top_level(self, data: bytes | memoryview, position: int) -> int:
        """
        Step over elements until one has undefined length, or the data or the interest end.

        Returns:
            Where the next element begins, maybe beyond the data.
        """
        # Everything in local variables: this loop runs for every element before the last wanted
        # one of every object.
        encoding, remaining, last, budget = (
            self._encoding,
            self._remaining,
            self._last,
            self._budget,
        )
        header, explicit, short_form = encoding.header, encoding.explicit, encoding.short_form
        end = len(data)
        last_header = end - _HEAD
        while position <= last_header:
            group, element, vr, length = header(data, position)
            tag = group << 16 | element
            if tag > last:
                self.done = True
                break
            start = position + 8
            if not explicit:
                length = vr << encoding.low | length << encoding.high
            elif vr not in short_form:
                start += 4
                if start > end:
                    break
                if vr not in encoding.long_form:
                    self.done = True
                    break
                (length,) = encoding.length(data, start - 4)
            if tag in remaining:
                if length <= LONGEST_VALUE:
                    if start + length > end:
                        break
                    budget -= length
                    self.values[tag] = bytes(data[start : start + length])
                remaining.remove(tag)
                if not remaining:
                    self.done = True
                    break
            budget -= start - position
            if budget < 0:
                self.done = True
                break
            if length == _UNDEFINED:
                self._nesting.append((False, _inside(encoding, vr)))
                position = start
                break
            position = start + length
        self._budget = budget
        return position

    def _nested(self, data: bytes | memoryview, position: int) -> int:
        """
        Step over what is inside of a sequence of undefined length, to look for its end.

        Encapsulated pixels look the same: a sequence of items with lengths. Each entry of
        `_nesting` tells whether elements are expected, for an item is open, or items; and how
        elements are written there.

        Returns:
            As `_top_level`.
        """
        nesting = self._nesting
        end = len(data)
        while nesting and position + _HEAD <= end:
            in_item, encoding = nesting[-1]
            group, element, vr, length = encoding.header(data, position)
            start = position + 8
            if group == 0xFFFE:
                length = vr << encoding.low | length << encoding.high
                if element == 0xE000 and not in_item:
                    if length == _UNDEFINED:
                        nesting.append((True, encoding))
                        length = 0
                elif element == (0xE00D if in_item else 0xE0DD):
                    nesting.pop()
                    length = 0
                else:
                    self.done = True
                    break
            elif in_item:
                if not encoding.explicit:
                    length = vr << encoding.low | length << encoding.high
                elif vr not in encoding.short_form:
                    start += 4
                    if start > end:
                        break
                    if vr not in encoding.long_form:
                        self.done = True
                        break
                    (length,) = encoding.length(data, start - 4)
                if length == _UNDEFINED:
                    nesting.append((False, _inside(encoding, vr)))
                    length = 0
            else:
                self.done = True
                break
            self._budget -= start - position
            if self._budget < 0 or len(nesting) > _DEEPEST:
                self.done = True
                break
            position = start + length
        return position


def _inside(encoding: _Encoding, vr: int) -> _Encoding:
    """Return how the content of a value of undefined length is written."""
    if encoding.explicit and vr == encoding.unknown:
        return _IMPLICIT_LITTLE  # PS3.5 section 6.2.2, note 4
    return encoding


class _Inflater:
    """
    Inflate the beginning of a deflated data set, a little at a time (PS3.5 section A.5).

    Args:
        head: the first bytes of the stream.
        limit: how many bytes are taken at most, and how many are given at most.
    """

    __slots__ = ("_room", "_stream", "_to_take", "ended")

    _STEP: Final = 4096  # most look no further than that

    def __init__(self, head: bytes, limit: int) -> None:
        self.ended = False
        """Whether nothing more will come: the end, the limit, or no deflated stream at all."""

        # Raw, as the standard says; some writers put zlib's header in front (RFC 1950).
        has_header = head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head[:2], "big") % 31 == 0
        self._stream = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
        self._to_take = limit
        self._room = limit

    def inflate(self, data: bytes | memoryview) -> Iterator[bytes]:
        """Yield what comes of the next piece of the stream."""
        taken = bytes(data[: self._to_take])
        self._to_take -= len(taken)
        pending = [taken]
        while pending and not self.ended:
            taken = pending.pop()
            step = min(self._STEP, self._room)
            before = self._stream.copy()
            try:
                piece = self._stream.decompress(taken, step)
            except zlib.error:
                # All that was inflated before the damage would be lost, more or less of it by
                # the size of the pieces. Again, in halves.
                half = len(taken) // 2
                self._stream = before
                self.ended = not half
                pending += taken[half:], taken[:half]
                continue
            self._room -= len(piece)
            self.ended = self._stream.eof or not self._room
            if len(piece) == step:
                pending.append(self._stream.unconsumed_tail)  # even if empty, there may be more
            yield piece
        self.ended = self.ended or not self._to_take
