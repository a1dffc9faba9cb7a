"""Valid conversations of a requestor: any items, any services, fragments cut in any allowed way."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from struct import pack
from typing import Final

import attrs

from tests.fuzz.tree import Part, counted, element, encode, item, pdu, pdv, plain, value

COMMAND: Final = 1
LAST: Final = 2

VERIFICATION: Final = b"1.2.840.10008.1.1"
IMPLICIT: Final = b"1.2.840.10008.1.2"
_CT: Final = b"1.2.840.10008.5.1.4.1.1.2"
_SOP_CLASSES: Final = (
    _CT,
    b"1.2.840.10008.5.1.4.1.2.2.1",  # Study Root Query/Retrieve: FIND
    b"1.2.840.10008.5.1.4.1.2.2.2",  # MOVE
    b"1.2.840.10008.5.1.4.31",  # Modality Worklist
    b"1.2.840.10008.1.20.1",  # Storage Commitment
    b"1.2.276.0.7230010.3.99",  # nobody's
)
_TRANSFER_SYNTAXES: Final = (
    IMPLICIT,
    b"1.2.840.10008.1.2.1",
    b"1.2.840.10008.1.2.2",
    b"1.2.840.10008.1.2.4.50",
    b"1.2.840.10008.1.2.4.90",
    b"1.2.3.4.5",
)
_APPLICATION_CONTEXT: Final = b"1.2.840.10008.3.1.1.1"

# Command fields of the requests, and whether a data set usually follows.
_REQUESTS: Final = {
    0x0001: True,  # C-STORE
    0x0010: True,  # C-GET
    0x0020: True,  # C-FIND
    0x0021: True,  # C-MOVE
    0x0100: True,  # N-EVENT-REPORT
    0x0110: False,  # N-GET
    0x0120: True,  # N-SET
    0x0130: True,  # N-ACTION
    0x0140: True,  # N-CREATE
    0x0150: False,  # N-DELETE
}
_C_ECHO_RQ: Final = 0x0030
_C_CANCEL_RQ: Final = 0x0FFF
_RESPONSE: Final = 0x8000
_NO_DATA_SET: Final = 0x0101


@attrs.define
class Conversation:
    """
    What a requestor says, and what is known of the answer.

    Args:
        pdus: in their order.
        echoes: how many C-ECHO-RQs there are.
        is_plain: whether there is nothing but them, in an accepted context, and a release at
            the end, so that every server has to answer all of it.
    """

    pdus: list[Part]
    echoes: int
    is_plain: bool


def converse(rng: Random) -> Conversation:
    """Return a conversation."""
    simple = rng.random() < 0.5
    pdus = [_associate_rq(rng, simple)]
    echoes = 0
    is_plain = simple
    for _ in range(rng.choice((0, 1, 1, 2, 3, 8))):
        if simple or rng.random() < 0.5:
            pdus += _fragments(rng, 1, _c_echo_rq(rng), b"")
            echoes += 1
        else:
            pdus += _message(rng)
    match rng.randrange(8):
        case 0:
            is_plain = False  # goes on to be silent
        case 1:
            is_plain = False
            pdus.append(_abort(rng))
        case _:
            pdus.append(pdu(0x05, plain(bytes(4))))
    return Conversation(pdus, echoes, is_plain)


def any_pdu(rng: Random) -> Part:
    """Return a PDU of any type, in its place or not."""
    match rng.randrange(8):
        case 0:
            return _associate_rq(rng, simple=False)
        case 1:
            return _associate_ac(rng)
        case 2:
            return pdu(
                0x03, plain(bytes((0, rng.randrange(4), rng.randrange(5), rng.randrange(9))))
            )
        case 3:
            return rng.choice(_message(rng))
        case 4:
            return pdu(0x05, plain(bytes(4)))
        case 5:
            return pdu(0x06, plain(bytes(4)))
        case 6:
            return _abort(rng)
        case _:
            return pdu(rng.randrange(256), plain(rng.randbytes(rng.choice((0, 1, 4, 5, 70)))))


def any_item(rng: Random) -> Part:
    """Return an item or sub-item of any type."""
    choices = [
        *_user_items(rng),
        value(0x10, _APPLICATION_CONTEXT),
        value(0x30, rng.choice(_SOP_CLASSES)),
        value(0x40, rng.choice(_TRANSFER_SYNTAXES)),
        _context(rng, 1, VERIFICATION),
        item(0x50, *_user_items(rng)),
        value(rng.randrange(256), rng.randbytes(rng.randrange(12))),
    ]
    return rng.choice(choices)


def any_element(rng: Random) -> Part:
    """Return an element of a command set, known or not."""
    number = rng.choice(
        (0, 2, 3, 0x100, 0x110, 0x120, 0x800, 0x900, 0x902, 0x1000, 0x5110, 0x80010)
    )
    return element(number, rng.randbytes(rng.choice((0, 1, 2, 4, 18, 66))))


# Establishment


def _title(rng: Random, usual: bytes) -> bytes:
    match rng.randrange(12):
        case 0:
            return rng.choice((b"", b"\\", b"A\nB", b"\xc4E", b"STORE\0SCU", b"*", b"AE@10.0.0.1"))
        case 1:
            return rng.randbytes(16)
    return usual


def _associate_rq(rng: Random, simple: bool) -> Part:
    version = 1 if simple or rng.random() < 0.95 else rng.choice((0, 2, 3, 0xFFFF))
    called, calling = b"PACS_ECHO", rng.choice((b"CT1", b"MR_2", b"ECHOSCU"))
    if not simple:
        called, calling = _title(rng, called), _title(rng, calling)
    titles = called.ljust(16)[:16] + calling.ljust(16)[:16]
    contexts = [_context(rng, 1, VERIFICATION, usable=True)]
    if not simple:
        if rng.random() < 0.1:
            contexts = []
        number = rng.choice((0, 1, 2, 2, 5, 127)) if rng.random() < 0.7 else 0
        contexts += [
            _context(rng, 3 + 2 * index, rng.choice((VERIFICATION, *_SOP_CLASSES)))
            for index in range(number)
        ]
        rng.shuffle(contexts)
    name = _APPLICATION_CONTEXT if simple or rng.random() < 0.95 else b"1.2.3"
    information = [value(0x51, pack(">L", 16384)), value(0x52, b"1.2.3.4")]
    if not simple:
        information = _user_items(rng)
    return pdu(
        0x01,
        plain(pack(">H2x", version) + titles + bytes(32)),
        value(0x10, name),
        *contexts,
        item(0x50, *information),
    )


def _associate_ac(rng: Random) -> Part:
    result = item(0x21, plain(bytes((1, 0, rng.randrange(5), 0))), value(0x40, IMPLICIT))
    return pdu(
        0x02,
        plain(pack(">H2x", 1) + b"PACS_ECHO".ljust(16) + b"CT1".ljust(16) + bytes(32)),
        value(0x10, _APPLICATION_CONTEXT),
        result,
        item(0x50, *_user_items(rng)),
    )


def _context(rng: Random, context_id: int, abstract_syntax: bytes, usable: bool = False) -> Part:
    syntaxes = rng.sample(_TRANSFER_SYNTAXES, rng.choice((1, 1, 2, 3, 6)))
    if usable and IMPLICIT not in syntaxes:
        syntaxes.append(IMPLICIT)
    return item(
        0x20,
        plain(bytes((context_id, 0, 0, 0))),
        value(0x30, abstract_syntax),
        *(value(0x40, uid) for uid in syntaxes),
    )


def _user_items(rng: Random) -> list[Part]:
    sop_class = rng.choice((VERIFICATION, *_SOP_CLASSES))
    maximum = rng.choice((16384, 16384, 131072, 0, 1, 7, 8, 9, 14, 100, 0x7FFFFFFF, 0xFFFFFFFF))
    optional = [
        value(0x53, pack(">HH", rng.choice((0, 1, 3, 65535)), rng.choice((0, 1, 65535)))),
        item(0x54, counted(sop_class), plain(bytes((rng.randrange(2), rng.randrange(2))))),
        value(0x55, rng.choice((b"OFFIS_DCMTK_367", b"X", b"TEST\r\n_1", b"\xff" * 16))),
        item(0x56, counted(sop_class), plain(rng.randbytes(rng.randrange(8)))),
        item(
            0x57,
            counted(sop_class),
            counted(b"1.2.840.10008.4.2"),
            _related(rng),
        ),
        item(
            0x58,
            plain(bytes((rng.randrange(7), rng.randrange(2)))),
            counted(rng.randbytes(rng.choice((0, 5, 300)))),
            counted(rng.choice((b"", b"secret"))),
        ),
        value(rng.choice((0x59, 0x5A, 0xFF, 0x00)), rng.randbytes(rng.randrange(9))),
    ]
    chosen = [part for part in optional if rng.random() < 0.25]
    chosen.append(value(0x52, b"1.2.3.4"))
    if rng.random() < 0.9:
        chosen.append(value(0x51, pack(">L", maximum)))
    rng.shuffle(chosen)
    return chosen


def _related(rng: Random) -> Part:
    """Return the related general SOP classes of a common extended negotiation."""
    return counted(encode([counted(uid) for uid in rng.sample(_SOP_CLASSES, rng.randrange(3))]))


def _abort(rng: Random) -> Part:
    return pdu(0x07, plain(bytes((0, 0, rng.choice((0, 2)), rng.choice((0, 1, 2, 4, 5, 6, 9))))))


# Messages


def _us(number: int) -> bytes:
    return pack("<H", number)


def _even(octets: bytes) -> bytes:
    return octets + b"\0" if len(octets) & 1 else octets


def _command_set(rng: Random, elements: list[Part]) -> list[Part]:
    return [element(0, pack("<L", len(encode(elements)))), *elements]


def _c_echo_rq(rng: Random) -> list[Part]:
    message_id = rng.choice((0, 1, 1, 2, 7, 255, 256, 65535))
    return _command_set(
        rng,
        [
            element(0x0002, _even(VERIFICATION)),
            element(0x0100, _us(_C_ECHO_RQ)),
            element(0x0110, _us(message_id)),
            element(0x0800, _us(_NO_DATA_SET)),
        ],
    )


def _message(rng: Random) -> list[Part]:
    """Return the PDUs of a message that is not a plain C-ECHO-RQ."""
    field = rng.choice((*_REQUESTS, _C_ECHO_RQ, _C_CANCEL_RQ, 0x4242))
    has_data_set = _REQUESTS.get(field, False) != (rng.random() < 0.1)
    sop_class = rng.choice((VERIFICATION, *_SOP_CLASSES))
    elements = [element(rng.choice((0x0002, 0x0002, 0x0003)), _even(sop_class))]
    if rng.random() < 0.1:
        elements.append(element(0x0900, _us(rng.choice((0, 0xFF00, 0xA700)))))
        field |= _RESPONSE
    elements.append(element(0x0100, _us(field)))
    about = 0x0120 if field == _C_CANCEL_RQ or field & _RESPONSE else 0x0110
    elements.append(element(about, _us(rng.randrange(4))))
    if rng.random() < 0.5:
        elements += (
            element(0x0600, b"MOVE_SCP"),
            element(0x0700, _us(rng.randrange(4))),
            element(0x1000, b"1.2.3.4.5.6 "),
            element(0x1005, pack("<HH", 0x10, 0x10) * rng.randrange(1, 4)),
            element(0x1008, _us(1)),
        )
    elements.append(element(0x0800, _us(1 if has_data_set else _NO_DATA_SET)))
    if rng.random() < 0.1:
        rng.shuffle(elements)
    context_id = rng.choice((1, 1, 1, 3, 5))
    data_set = rng.randbytes(2 * rng.choice((0, 1, 50, 3000, 40000))) if has_data_set else b""
    return _fragments(rng, context_id, _command_set(rng, elements), data_set)


def _fragments(rng: Random, context_id: int, elements: list[Part], data_set: bytes) -> list[Part]:
    """Cut a message into PDVs and put those into P-DATA-TFs."""
    if rng.random() < 0.6:
        pdvs = [pdv(context_id, COMMAND | LAST, list(elements))]
    else:
        pdvs = cut(rng, context_id, COMMAND, encode(elements))
    if data_set:
        pdvs += cut(rng, context_id, 0, data_set)
    pdus = [pdu(0x04, pdvs[0])]
    for part in pdvs[1:]:
        body = pdus[-1].body
        if rng.random() < 0.5 and isinstance(body, list):
            body.append(part)
        else:
            pdus.append(pdu(0x04, part))
    return pdus


def cut(rng: Random, context_id: int, control: int, octets: bytes) -> list[Part]:
    """Cut a command set or a data set into PDVs, the last of them marked so; some may be empty."""
    points = sorted(rng.randrange(len(octets) + 1) for _ in range(rng.choice((0, 1, 2, 6))))
    bounds = [0, *points, len(octets)]
    pieces = [octets[begin:end] for begin, end in pairwise(bounds)]
    return [
        pdv(context_id, control | (LAST if index == len(pieces) - 1 else 0), piece)
        for index, piece in enumerate(pieces)
    ]
