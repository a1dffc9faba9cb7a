"""Read streams of bytes by a `PDUReader`, and say what came of them in comparable form."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from pacs_twisted.errors import ProtocolError
from pacs_twisted.pdu import PDU, PDataTF, PDUReader

LAST = 0x02


@attrs.define
class Fragments:
    """
    Fragments of one kind in one context that followed each other, up to a last one.

    Args:
        context_id: the presentation context.
        control: the message control header without its last-fragment bit.
        octets: all fragments concatenated.
        ended: whether the last-fragment bit came.
    """

    context_id: int
    control: int
    octets: bytes
    ended: bool


@attrs.define
class Reading:
    """
    What a reader made of a stream: the PDUs up to the first error.

    P-DATA-TF is given as what its fragments say, because it comes in parts as the bytes do.
    """

    found: list[PDU | Fragments] = attrs.Factory(list)
    error: ProtocolError | None = attrs.field(default=None, eq=repr)
    completed: int = 0

    def add(self, pdu: PDU) -> None:
        """Note a PDU; the views in it are used up."""
        if not isinstance(pdu, PDataTF):
            self.found.append(pdu)
            return
        for pdv in pdu.pdvs:
            control = pdv.control & ~LAST
            ended = bool(pdv.control & LAST)
            before = self.found[-1] if self.found else None
            if (
                isinstance(before, Fragments)
                and not before.ended
                and (before.context_id, before.control) == (pdv.context_id, control)
            ):
                before.octets += bytes(pdv.fragment)
                before.ended = ended
            else:
                self.found.append(Fragments(pdv.context_id, control, bytes(pdv.fragment), ended))


def read(chunks: Iterable[bytes], reader: PDUReader | None = None) -> Reading:
    """Feed the chunks and take all PDUs after each, up to the first error."""
    reader = PDUReader() if reader is None else reader
    reading = Reading()
    try:
        for chunk in chunks:
            reader.feed(chunk)
            while (pdu := reader.next_pdu()) is not None:
                reading.add(pdu)
    except ProtocolError as error:
        reading.error = error
    reading.completed = reader.completed
    return reading


def read_pdu(octets: bytes) -> PDU:
    """Return the one PDU that these bytes are; raise what the reader raises."""
    reader = PDUReader()
    reader.feed(octets)
    pdu = reader.next_pdu()
    assert pdu is not None and not reader.inside_pdu, "not one whole PDU"
    return pdu
