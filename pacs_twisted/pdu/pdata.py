"""
P-DATA-TF: fragments of messages in presentation data values (PS3.8 sections 9.3.5 and annex E).
"""

from __future__ import annotations

from struct import Struct
from typing import ClassVar

import attrs

from pacs_twisted.pdu._header import HEADER

PDV_HEADER = Struct(">LBB")
"""The header of a PDV: the length of what follows, context ID, message control header."""

_ONE_PDV = Struct(">BxLLBB")  # both headers of a P-DATA-TF with a single PDV

COMMAND = 0x01
LAST = 0x02
PDV_LENGTH_SIZE = 4
"""Bytes of the length of a PDV, which it does not count itself."""

MINIMUM_PDV_LENGTH = PDV_HEADER.size - PDV_LENGTH_SIZE
"""What the length of a PDV counts beside the fragment: context ID and control header."""

PDV_OVERHEAD = PDV_HEADER.size
"""Bytes that a PDV adds to its fragment; they count in the maximum length (PS3.8 D.1.1)."""


@attrs.define
class PDV:
    """
    A presentation data value: one fragment of a message, and where it belongs.

    Not frozen: one is made for every fragment, and a frozen one costs four times as much.

    Args:
        context_id: the presentation context.
        control: the message control header: bit 0 command, bit 1 last fragment.
        fragment: the bytes; a received one is a view that is valid while it is being handled.
    """

    context_id: int
    control: int
    fragment: bytes | memoryview

    @property
    def is_command(self) -> bool:
        """Whether the fragment belongs to the command set and not to the data set."""
        return bool(self.control & COMMAND)

    @property
    def is_last(self) -> bool:
        """Whether the command set or the data set ends with it."""
        return bool(self.control & LAST)


@attrs.define
class PDataTF:
    """
    P-DATA-TF: one or more presentation data values (PS3.8 section 9.3.5).

    A received value stands for what has arrived by one read, up to the last fragment of a command
    set or data set, so it may be part of a PDU or some PDUs together; what the fragments say is
    the same.
    """

    pdu_type: ClassVar[int] = 0x04

    pdvs: list[PDV]

    def encode_parts(self) -> list[bytes | memoryview]:
        """Return the whole PDU as `encode` does, in parts, of which the fragments are no copies."""
        parts: list[bytes | memoryview] = [b""]
        total = 0
        for pdv in self.pdvs:
            length = len(pdv.fragment) + MINIMUM_PDV_LENGTH
            parts += PDV_HEADER.pack(length, pdv.context_id, pdv.control), pdv.fragment
            total += length + PDV_LENGTH_SIZE
        parts[0] = HEADER.pack(self.pdu_type, total)
        return parts

    def encode(self) -> bytes:
        """Return the whole PDU, its six-byte header included."""
        if len(self.pdvs) == 1:
            (pdv,) = self.pdvs
            length = len(pdv.fragment) + MINIMUM_PDV_LENGTH
            head = _ONE_PDV.pack(
                self.pdu_type, length + PDV_LENGTH_SIZE, length, pdv.context_id, pdv.control
            )
            return b"".join((head, pdv.fragment))
        return b"".join(self.encode_parts())
