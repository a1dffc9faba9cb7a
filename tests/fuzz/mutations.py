"""From a valid conversation to what is sent: parts and bytes are changed, and cut into chunks."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from random import Random
from typing import Final

import attrs

from tests.fuzz.conversations import any_element, any_item, any_pdu, converse, cut
from tests.fuzz.tree import Kind, Part, encode, pdu, places

_LENGTHS: Final = (0, 1, 2, 3, 4, 5, 6, 68, 0xFF, 0xFFFF, 0x10000, 131072, 131073, 0x7FFFFFFF)
_MOST_BYTES: Final = 400_000


class Ending:
    """What the peer does when it has said everything."""

    SILENT: Final = "silent"
    CLOSE: Final = "close"
    RESET: Final = "reset"


@attrs.frozen
class Stream:
    """
    What one peer sends.

    Args:
        index: its number in the run; with the seed all of it follows from that.
        chunks: the bytes, in the pieces in which they arrive.
        ending: what the peer does then, see `Ending`.
        mutations: what has been done to a valid conversation; nothing if it still is one.
        echoes: how many C-ECHOs must be answered before the release, if that is known.
    """

    index: int
    chunks: tuple[bytes, ...]
    ending: str
    mutations: tuple[str, ...]
    echoes: int | None


def stream(seed: int, index: int) -> Stream:
    """Return a stream of a run."""
    rng = Random(f"{seed}/{index}")
    conversation = converse(rng)
    pdus = conversation.pdus
    done: list[str] = []
    echoes = None
    octets = b""
    match rng.randrange(20):
        case 0:
            done.append("noise")
            octets = rng.randbytes(rng.choice((1, 3, 6, 10, 200, 5000)))
        case 1 | 2:
            echoes = conversation.echoes if conversation.is_plain else None
        case _:
            # Half of them leave the A-ASSOCIATE-RQ alone, else few would come further.
            begin = pdus[:1] if rng.random() < 0.5 else []
            pdus = pdus[len(begin) :]
            for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 6))):
                mutate = rng.choice(_OF_PARTS)
                mutate(rng, pdus)
                done.append(mutate.__name__.strip("_"))
            pdus = begin + pdus
    octets = octets or encode(pdus)
    if done and rng.random() < 0.3:
        for _ in range(rng.choice((1, 1, 2, 5))):
            change = rng.choice(_OF_BYTES)
            octets = change(rng, octets)
            done.append(change.__name__.strip("_"))
    ending = rng.choice((Ending.SILENT, Ending.SILENT, Ending.CLOSE, Ending.RESET))
    if echoes is not None:
        ending = Ending.SILENT
    return Stream(index, _chunks(rng, octets[:_MOST_BYTES], pdus), ending, tuple(done), echoes)


# Parts

OfParts = Callable[[Random, list[Part]], None]


def _place(rng: Random, pdus: list[Part]) -> tuple[list[Part], int] | None:
    found = list(places(pdus))
    return rng.choice(found) if found else None


def _remove(rng: Random, pdus: list[Part]) -> None:
    place = _place(rng, pdus)
    if place is not None:
        del place[0][place[1]]


def _duplicate(rng: Random, pdus: list[Part]) -> None:
    place = _place(rng, pdus)
    if place is not None:
        parts, index = place
        copies = rng.choice((1, 1, 1, 2, 30))
        parts[index:index] = [deepcopy(parts[index]) for _ in range(copies)]


def _swap(rng: Random, pdus: list[Part]) -> None:
    place = _place(rng, pdus)
    if place is not None:
        parts, index = place
        other = rng.randrange(len(parts))
        parts[index], parts[other] = parts[other], parts[index]


def _move(rng: Random, pdus: list[Part]) -> None:
    """Put a copy of a part where another part is, of whatever kind."""
    source, target = _place(rng, pdus), _place(rng, pdus)
    if source is not None and target is not None:
        copied = deepcopy(source[0][source[1]])
        target[0].insert(target[1], copied)


def _lie(rng: Random, pdus: list[Part]) -> None:
    """State a length that is not the right one."""
    headed = [parts[index] for parts, index in places(pdus) if parts[index].kind is not Kind.PLAIN]
    if headed:
        part = rng.choice(headed)
        body = part.body if isinstance(part.body, bytes) else encode(part.body)
        near = len(body) + rng.choice((-4, -2, -1, 1, 2, 3, 4, 100))
        part.length = rng.choice((near, near, *rng.sample(_LENGTHS, 2), rng.getrandbits(32)))


def _retag(rng: Random, pdus: list[Part]) -> None:
    """Change a type, a context ID, a control header or the number of an element."""
    place = _place(rng, pdus)
    if place is not None:
        part = place[0][place[1]]
        match part.kind:
            case Kind.PDU:
                part.tag = rng.choice((1, 2, 3, 4, 5, 6, 7, 0, 8, 0x16, 0x47, rng.randrange(256)))
            case Kind.PDV:
                context_id = rng.choice((1, 1, 3, 2, 0, 255))
                part.tag = context_id << 8 | rng.choice((0, 1, 2, 3, 3, 4, 0xFC, 0xFF))
            case _:
                part.tag ^= 1 << rng.randrange(24)


def _replace_body(rng: Random, pdus: list[Part]) -> None:
    place = _place(rng, pdus)
    if place is not None:
        part = place[0][place[1]]
        part.body = rng.randbytes(rng.choice((0, 1, 2, 3, 4, 16, 64, 65, 300)))


def _change_value(rng: Random, pdus: list[Part]) -> None:
    """Cut, lengthen or flip something in a value."""
    leaves = [parts[index] for parts, index in places(pdus) if isinstance(parts[index].body, bytes)]
    if leaves:
        part = rng.choice(leaves)
        assert isinstance(part.body, bytes)
        change = rng.choice((_flip, _truncate, _insert_noise, _repeat))
        part.body = change(rng, part.body)


def _insert_pdu(rng: Random, pdus: list[Part]) -> None:
    pdus.insert(rng.randrange(len(pdus) + 1), any_pdu(rng))


def _insert_inside(rng: Random, pdus: list[Part]) -> None:
    """Insert an item or an element among others."""
    bodies = [
        parts[index].body for parts, index in places(pdus) if isinstance(parts[index].body, list)
    ]
    if bodies:
        body = rng.choice(bodies)
        assert isinstance(body, list)
        is_command = any(part.kind is Kind.ELEMENT for part in body)
        part = any_element(rng) if is_command else any_item(rng)
        body.insert(rng.randrange(len(body) + 1), part)


def _shuffle_pdus(rng: Random, pdus: list[Part]) -> None:
    rng.shuffle(pdus)


def _drop_request(rng: Random, pdus: list[Part]) -> None:
    """Begin without an A-ASSOCIATE-RQ."""
    del pdus[:1]


def _resplit(rng: Random, pdus: list[Part]) -> None:
    """Cut a fragment into others, in the same PDU or in several."""
    values = [place for place in places(pdus) if place[0][place[1]].kind is Kind.PDV]
    if not values:
        return
    parts, index = rng.choice(values)
    part = parts[index]
    octets = part.body if isinstance(part.body, bytes) else encode(part.body)
    pieces = cut(rng, part.tag >> 8 & 0xFF, part.tag & 1, octets)
    if not part.tag & 2:
        pieces[-1].tag &= ~2
    if rng.random() < 0.2:
        rng.shuffle(pieces)
    parts[index : index + 1] = pieces


def _open_pdus(rng: Random, pdus: list[Part]) -> None:
    """Let each fragment have a P-DATA-TF of its own."""
    for index in range(len(pdus) - 1, -1, -1):
        body = pdus[index].body
        if pdus[index].tag == 0x04 and isinstance(body, list):
            pdus[index : index + 1] = [pdu(0x04, part) for part in body]


_OF_PARTS: Final[tuple[OfParts, ...]] = (
    _remove,
    _duplicate,
    _swap,
    _move,
    _lie,
    _lie,
    _lie,
    _retag,
    _replace_body,
    _change_value,
    _change_value,
    _insert_pdu,
    _insert_pdu,
    _insert_inside,
    _insert_inside,
    _shuffle_pdus,
    _drop_request,
    _resplit,
    _resplit,
    _open_pdus,
)

# Bytes

OfBytes = Callable[[Random, bytes], bytes]


def _flip(rng: Random, octets: bytes) -> bytes:
    changed = bytearray(octets)
    for _ in range(rng.choice((1, 1, 2, 8)) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(rng: Random, octets: bytes) -> bytes:
    return octets[: rng.randrange(len(octets) + 1)]


def _cut_out(rng: Random, octets: bytes) -> bytes:
    begin = rng.randrange(len(octets) + 1)
    return octets[:begin] + octets[begin + rng.choice((1, 2, 4, 30)) :]


def _insert_noise(rng: Random, octets: bytes) -> bytes:
    at = rng.randrange(len(octets) + 1)
    noise = rng.choice((b"\0", b"\xff", rng.randbytes(4), rng.randbytes(100)))
    return octets[:at] + noise + octets[at:]


def _repeat(rng: Random, octets: bytes) -> bytes:
    begin = rng.randrange(len(octets) + 1)
    end = begin + rng.choice((1, 2, 8, 80))
    return octets[:end] + octets[begin:end] * rng.choice((1, 1, 5)) + octets[end:]


def _overwrite(rng: Random, octets: bytes) -> bytes:
    at = rng.randrange(len(octets) + 1)
    return octets[:at] + rng.choice((b"\0\0", b"\xff\xff\xff\xff", b"\x7f")) + octets[at + 2 :]


_OF_BYTES: Final[tuple[OfBytes, ...]] = (
    _flip,
    _flip,
    _truncate,
    _cut_out,
    _insert_noise,
    _repeat,
    _overwrite,
)

# Chunks


def _chunks(rng: Random, octets: bytes, pdus: list[Part]) -> tuple[bytes, ...]:
    """Cut the bytes as a network might: all at once, PDU by PDU, byte by byte, anyhow."""
    points: list[int] = []
    match rng.randrange(5):
        case 0:
            pass
        case 1:
            offset = 0
            for part in pdus:  # of mutated bytes the points are somewhere, which is as good
                offset += len(part.encode())
                points.append(offset)
        case 2:
            points = list(range(1, min(len(octets), 300)))
        case _:
            points = [rng.randrange(len(octets) + 1) for _ in range(rng.choice((1, 3, 10)))]
    bounds = [0, *sorted(min(point, len(octets)) for point in points), len(octets)]
    pieces = [octets[begin:end] for begin, end in pairwise(bounds)]
    return tuple(piece for piece in pieces if piece)
