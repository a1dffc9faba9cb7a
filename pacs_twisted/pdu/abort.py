"""A-ABORT: the immediate end of an association (PS3.8 section 9.3.8)."""

from __future__ import annotations

from struct import Struct
from typing import ClassVar

import attrs

from pacs_twisted.errors import InvalidPDU
from pacs_twisted.pdu._header import encode_pdu

_ABORT = Struct(">xxBB")  # reserved, reserved, source, reason

SERVICE_USER = 0
SERVICE_PROVIDER = 2


@attrs.frozen
class AAbort:
    """
    A-ABORT: the association ends here, and what was under way is lost.

    The reason says something only when the source is 2, the service-provider; received values
    are kept whatever they are.
    """

    pdu_type: ClassVar[int] = 0x07

    source: int = SERVICE_USER
    reason: int = 0

    def encode(self) -> bytes:
        """Return the whole PDU, its six-byte header included."""
        return encode_pdu(self.pdu_type, _ABORT.pack(self.source, self.reason))

    @classmethod
    def decode(cls, body: memoryview) -> AAbort:
        """
        Read the PDU from its body, the bytes after the header.

        Raises:
            InvalidPDU: the body is not four bytes.
        """
        if len(body) != _ABORT.size:
            raise InvalidPDU(f"A-ABORT of {len(body)} bytes, not {_ABORT.size}")
        source, reason = _ABORT.unpack(body)
        return cls(source, reason)
