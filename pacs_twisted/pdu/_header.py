"""
The six bytes that open every PDU (PS3.8 section 9.3.1).

A type, a reserved byte, the length of what follows.
"""

from __future__ import annotations

from struct import Struct

HEADER = Struct(">BxL")


def encode_pdu(pdu_type: int, body: bytes) -> bytes:
    """Return a whole PDU: the header and the body."""
    return HEADER.pack(pdu_type, len(body)) + body
