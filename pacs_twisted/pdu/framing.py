"""
From a stream of bytes to PDUs (PS3.8 section 9.3.1).

The type is judged on the first byte and the length on the sixth, before anything of a body is
kept. P-DATA-TF is handed on as it comes, whatever has arrived of it; every other PDU is held
until it is whole, and its length is bounded.
"""

from __future__ import annotations

from pacs_twisted.errors import InvalidPDU, UnrecognizedPDU
from pacs_twisted.pdu._header import HEADER
from pacs_twisted.pdu.abort import AAbort
from pacs_twisted.pdu.associate import AAssociateAC, AAssociateRJ, AAssociateRQ
from pacs_twisted.pdu.pdata import (
    LAST,
    MINIMUM_PDV_LENGTH,
    PDV,
    PDV_HEADER,
    PDV_LENGTH_SIZE,
    PDataTF,
)
from pacs_twisted.pdu.release import AReleaseRP, AReleaseRQ

PDU = AAssociateRQ | AAssociateAC | AAssociateRJ | PDataTF | AReleaseRQ | AReleaseRP | AAbort

_P_DATA_TF = PDataTF.pdu_type
_ASSOCIATE = (AAssociateRQ.pdu_type, AAssociateAC.pdu_type)
_FIXED_LENGTH = 4  # PDU-length of the reject, release and abort PDUs
_DECODERS = {
    pdu.pdu_type: pdu.decode
    for pdu in (AAssociateRQ, AAssociateAC, AAssociateRJ, AReleaseRQ, AReleaseRP, AAbort)
}
_TYPES = frozenset({*_DECODERS, _P_DATA_TF})

_MINIMUM_P_DATA_LENGTH = PDV_HEADER.size
_NO_MAXIMUM = 0xFFFFFFFF  # what the field holds
_NOTHING = memoryview(b"")

MAXIMUM_LENGTH = 131072
"""The longest P-DATA-TF that we take unless told otherwise, in bytes of its PDU-length field."""

MAXIMUM_ASSOCIATE_LENGTH = 1 << 20
"""The longest A-ASSOCIATE-RQ or -AC that we take unless told otherwise, likewise."""


class PDUReader:
    """
    Cut the bytes of one connection into PDUs.

    Give it each chunk by `feed`, then take PDUs by `next_pdu` until there is none. Any chunking
    gives the same PDUs, except that P-DATA-TF comes in runs (see `PDataTF`).

    Args:
        maximum_length: the longest P-DATA-TF, as announced to the peer; 0 means without limit.
        maximum_associate_length: the longest A-ASSOCIATE-RQ or -AC.

    `completed` counts whole PDUs. `broken` tells, after an error, that the boundaries of PDUs are
    lost, so that nothing can be taken any more; else the next call goes on behind the wrong PDU.
    """

    __slots__ = (
        "_body",
        "_body_type",
        "_context_id",
        "_control",
        "_end",
        "_missing",
        "_offset",
        "_pdu_left",
        "_pdv_left",
        "_view",
        "broken",
        "completed",
        "maximum_associate_length",
        "maximum_length",
    )

    def __init__(
        self,
        maximum_length: int = MAXIMUM_LENGTH,
        maximum_associate_length: int = MAXIMUM_ASSOCIATE_LENGTH,
    ) -> None:
        self.maximum_length = maximum_length
        self.maximum_associate_length = maximum_associate_length
        self.broken = False
        self.completed = 0
        self._view = _NOTHING
        self._offset = self._end = 0
        self._body: bytearray | None = None
        self._body_type = 0
        self._missing = 0  # bytes that the body still waits for
        self._pdu_left = 0  # bytes of the P-DATA-TF that are still to come
        self._pdv_left = 0  # bytes of its current fragment that are still to come
        self._context_id = self._control = 0

    @property
    def held(self) -> int:
        """How many bytes of an unfinished PDU are kept."""
        return 0 if self._body is None else len(self._body)

    @property
    def inside_pdu(self) -> bool:
        """Whether bytes have come that no PDU which was taken has accounted for."""
        return self._missing > 0 or self._pdu_left > 0 or self._offset < self._end

    def feed(self, data: bytes) -> None:
        """Take a chunk; it is kept, not copied, until `next_pdu` has gone through it."""
        if self._offset < self._end:  # a header that came in part, rarely more
            data = bytes(self._view[self._offset : self._end]) + data
        self._view = memoryview(data)
        self._offset = 0
        self._end = len(data)

    def forget(self) -> None:
        """Give the memory of what has come back: there will be no more."""
        self._view = _NOTHING
        self._offset = self._end = 0
        self._body = None
        self._missing = self._pdu_left = self._pdv_left = 0

    def next_pdu(self) -> PDU | None:
        """
        Return the next PDU, or None when more bytes are needed.

        Raises:
            UnrecognizedPDU: a byte that must be a type is none.
            InvalidPDU: a length or a content is wrong.
        """
        available = self._end - self._offset
        if not available:
            self._view = _NOTHING  # an idle connection keeps no chunk alive
            return None
        if self._pdu_left:
            return self._read_run()
        if self._missing:
            return self._collect_body()
        pdu_type = self._view[self._offset]
        if pdu_type not in _TYPES:
            self.broken = True
            raise UnrecognizedPDU(pdu_type)
        if available < HEADER.size:
            return None
        length = HEADER.unpack_from(self._view, self._offset)[1]
        problem = self._judge_length(pdu_type, length)
        if problem:
            self.broken = True
            raise InvalidPDU(problem)
        self._offset += HEADER.size
        if pdu_type == _P_DATA_TF:
            self._pdu_left = length
            return self._read_run()
        self._body_type = pdu_type
        self._missing = length
        return self._collect_body()

    def _judge_length(self, pdu_type: int, length: int) -> str:
        if pdu_type == _P_DATA_TF:
            if length < _MINIMUM_P_DATA_LENGTH:
                return f"P-DATA-TF of {length} bytes holds no presentation data value"
            if self.maximum_length and length > self.maximum_length:
                return f"P-DATA-TF of {length} bytes, at most {self.maximum_length} were announced"
        elif pdu_type in _ASSOCIATE:
            if length > self.maximum_associate_length:
                maximum = self.maximum_associate_length
                return f"A-ASSOCIATE PDU of {length} bytes, at most {maximum} are taken"
        elif length != _FIXED_LENGTH:
            return f"PDU of type {pdu_type:02X}H and {length} bytes, not {_FIXED_LENGTH}"
        return ""

    def _collect_body(self) -> PDU | None:
        take = min(self._missing, self._end - self._offset)
        part = self._view[self._offset : self._offset + take]
        self._offset += take
        self._missing -= take
        body = self._body
        if body is None:  # all of it is in this chunk
            if self._missing:
                self._body = bytearray(part)
                return None
        else:
            body += part
            if self._missing:
                return None
            part = memoryview(body)
            self._body = None
        self.completed += 1
        return _DECODERS[self._body_type](part)

    def _read_run(self) -> PDataTF | None:
        """
        Hand on what has arrived of P-DATA-TFs, up to the last fragment of a command or data set.

        Where something wrong follows good fragments, those are handed on first: the next call
        comes upon it again and raises the error.
        """
        view, offset, end = self._view, self._offset, self._end
        pdu_left, pdv_left = self._pdu_left, self._pdv_left
        context_id, control = self._context_id, self._control
        longest = self.maximum_length or _NO_MAXIMUM
        pdvs: list[PDV] = []
        while True:
            if not pdv_left:
                if not pdu_left:  # may the run go on with the next PDU?
                    if end - offset < HEADER.size:
                        break
                    pdu_type, length = HEADER.unpack_from(view, offset)
                    if pdu_type != _P_DATA_TF or not _MINIMUM_P_DATA_LENGTH <= length <= longest:
                        break
                    offset += HEADER.size
                    pdu_left = length
                if end - offset < PDV_HEADER.size:
                    break
                length, context_id, control = PDV_HEADER.unpack_from(view, offset)
                rest = pdu_left - PDV_LENGTH_SIZE - length
                if (
                    length < MINIMUM_PDV_LENGTH
                    or rest < 0
                    or 0 < rest < PDV_HEADER.size
                    or context_id % 2 == 0
                ):
                    if pdvs:
                        break
                    self.broken = True
                    raise InvalidPDU(_describe_wrong_pdv(length, context_id, rest))
                offset += PDV_HEADER.size
                pdu_left -= PDV_HEADER.size
                pdv_left = length - MINIMUM_PDV_LENGTH
            if pdv_left and offset == end:
                break
            take = min(pdv_left, end - offset)
            pdu_left -= take
            pdv_left -= take
            if not pdu_left:
                self.completed += 1
            fragment = view[offset : offset + take]
            offset += take
            pdvs.append(PDV(context_id, control & ~LAST if pdv_left else control, fragment))
            if control & LAST:
                break
        self._offset, self._pdu_left, self._pdv_left = offset, pdu_left, pdv_left
        self._context_id, self._control = context_id, control
        return PDataTF(pdvs) if pdvs else None


def _describe_wrong_pdv(length: int, context_id: int, rest: int) -> str:
    if length < MINIMUM_PDV_LENGTH:
        return f"presentation data value of {length} bytes"
    if rest < 0:
        return f"presentation data value of {length} bytes in {length + rest} of its PDU"
    if 0 < rest < PDV_HEADER.size:
        return f"{rest} bytes left over at the end of a P-DATA-TF"
    return f"presentation context ID {context_id} is not odd"
