"""What a server may answer: PDUs of the right form in an order that PS3.8 allows."""

from __future__ import annotations

from struct import unpack, unpack_from
from typing import Final

from tests.bytes_of import items_of

_REJECTS: Final = {
    (1, 1, 1): "no reason given",
    (1, 1, 2): "application context",
    (1, 1, 3): "calling AE title",
    (1, 1, 7): "called AE title",
    (1, 2, 2): "protocol version",
    (2, 3, 1): "temporary congestion",
    (2, 3, 2): "local limit exceeded",
}
_ABORTS: Final = {
    (0, 0): "by the user",
    (2, 1): "unrecognized PDU",
    (2, 2): "unexpected PDU",
    (2, 5): "unexpected parameter",
    (2, 6): "invalid parameter value",
}
_ABORT = 7


class WrongAnswer(Exception):
    """A server has answered with something that it may not."""


def split(octets: bytes) -> list[tuple[int, bytes]]:
    """
    Split what a server sent into PDUs: type and body.

    Raises:
        WrongAnswer: it does not consist of whole PDUs.
    """
    pdus = []
    offset = 0
    while offset < len(octets):
        if len(octets) - offset < 6:
            raise WrongAnswer(f"the header of a PDU in {len(octets) - offset} bytes")
        pdu_type, reserved, length = unpack_from(">BBL", octets, offset)
        if not 2 <= pdu_type <= _ABORT or reserved or length > len(octets) - offset - 6:
            raise WrongAnswer(f"no PDU: {octets[offset : offset + 40].hex()}")
        offset += 6 + length
        pdus.append((pdu_type, octets[offset - length : offset]))
    return pdus


def judge(pdus: list[tuple[int, bytes]]) -> None:
    """
    Look at all that a server has sent in one connection.

    Raises:
        WrongAnswer: PS3.8 does not allow it.
    """
    before = "".join(f"{pdu_type:x}" for pdu_type, _ in pdus)
    after_aborts = before.rstrip("7")
    if len(before) - len(after_aborts) > 2:
        raise WrongAnswer(f"A-ABORT without end: {before}")
    order = after_aborts.lstrip("2")
    if len(after_aborts) - len(order) > 1:
        raise WrongAnswer(f"accepted twice: {before}")
    accepted = len(after_aborts) > len(order)
    order = order.lstrip("4") if accepted else order
    if order not in (("", "6", "5", "56") if accepted else ("", "3")):
        raise WrongAnswer(f"PDUs in this order: {before}")
    for pdu_type, body in pdus:
        if pdu_type == 2:
            _judge_associate_ac(body)
        elif pdu_type == 3:
            if tuple(body[1:]) not in _REJECTS or body[0]:
                raise WrongAnswer(f"A-ASSOCIATE-RJ {body.hex()}")
        elif pdu_type == 4:
            _judge_p_data(body)
        elif pdu_type == _ABORT:
            if tuple(body[2:]) not in _ABORTS or body[0] or body[1]:
                raise WrongAnswer(f"A-ABORT {body.hex()}")
        elif body != bytes(4):
            raise WrongAnswer(f"PDU of type {pdu_type} and body {body.hex()}")


def _judge_associate_ac(body: bytes) -> None:
    items = items_of(body[68:])
    types = [item_type for item_type, _ in items]
    if body[:4] != b"\0\1\0\0" or types != [0x10, *[0x21] * (len(items) - 2), 0x50]:
        raise WrongAnswer(f"A-ASSOCIATE-AC {body[:4].hex()} with items {types}")
    for _, value in items[1:-1]:
        syntaxes = items_of(value[4:])
        if not value[0] & 1 or value[2] > 4 or [kind for kind, _ in syntaxes] != [0x40]:
            raise WrongAnswer(f"presentation context result {value.hex()}")
    user = [item_type for item_type, _ in items_of(items[-1][1])]
    if user != sorted(user) or 0x51 not in user or 0x52 not in user:
        raise WrongAnswer(f"user information of {user}")


def _judge_p_data(body: bytes) -> None:
    offset = 0
    while offset < len(body):
        length, context_id, control = unpack_from(">LBB", body, offset)
        offset += 4 + length
        if length < 2 or length % 2 or not context_id & 1 or control > 3 or offset > len(body):
            raise WrongAnswer(f"P-DATA-TF {body.hex()}")


def count_messages(pdus: list[tuple[int, bytes]]) -> int:
    """Return how many command sets have been sent whole."""
    return sum(body[5] == 3 for pdu_type, body in pdus if pdu_type == 4)


def describe(pdus: list[tuple[int, bytes]]) -> str:
    """Say how the server has ended a connection; empty if it was not the server."""
    if not pdus:
        return ""
    pdu_type, body = pdus[-1]
    if pdu_type == 3:
        return f"rejected: {_REJECTS[unpack('>xBBB', body)]}"
    if pdu_type == _ABORT:
        return f"aborted: {_ABORTS[unpack('>xxBB', body)]}"
    return "released" if pdu_type == 6 else ""
