"""
A-RELEASE-RQ and A-RELEASE-RP: the orderly end of an association (PS3.8 9.3.6 and 9.3.7).
"""

from __future__ import annotations

from typing import ClassVar, Self

import attrs

from pacs_twisted.errors import InvalidPDU
from pacs_twisted.pdu._header import encode_pdu

_BODY = bytes(4)  # reserved: sent as zero, not examined when received


@attrs.frozen
class _Release:
    """What both have in common: four reserved bytes and nothing else."""

    pdu_type: ClassVar[int]

    def encode(self) -> bytes:
        """Return the whole PDU, its six-byte header included."""
        return encode_pdu(self.pdu_type, _BODY)

    @classmethod
    def decode(cls, body: memoryview) -> Self:
        """
        Read the PDU from its body, the bytes after the header.

        Raises:
            InvalidPDU: the body is not four bytes.
        """
        if len(body) != len(_BODY):
            raise InvalidPDU(f"A-RELEASE PDU of {len(body)} bytes, not {len(_BODY)}")
        return cls()


@attrs.frozen
class AReleaseRQ(_Release):
    """A-RELEASE-RQ: the sender wants to end the association (PS3.8 section 9.3.6)."""

    pdu_type: ClassVar[int] = 0x05


@attrs.frozen
class AReleaseRP(_Release):
    """A-RELEASE-RP: the answer to an A-RELEASE-RQ, always affirmative (PS3.8 section 9.3.7)."""

    pdu_type: ClassVar[int] = 0x06
