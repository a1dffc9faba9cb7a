"""
A Storage SCU made of a plain socket and bytes written out by hand, for tests of a running server.

Like `raw_peer` it shares no code with the package. An object follows from its number alone, so
that whoever finds its file knows what must be in it:

    python -m tests.raw_storage PORT FIRST LENGTH

sends objects from the number FIRST on, one after another, until the server is gone, and writes a
line for each that was answered with success.
"""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Iterator
from typing import Final

from tests.raw_peer import A_ASSOCIATE_AC_TYPE, RawPeer

CT_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"

_CONTEXT: Final = 1
_COMMAND_LAST: Final = 0x03
_DATA: Final = 0x00
_DATA_LAST: Final = 0x02


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def associate_rq(sop_class: str = CT_IMAGE_STORAGE, *transfer_syntaxes: str) -> bytes:
    """Return an A-ASSOCIATE-RQ that proposes one presentation context."""
    context = struct.pack(">B3x", _CONTEXT) + _item(0x30, sop_class.encode())
    for syntax in transfer_syntaxes or (IMPLICIT_VR_LITTLE_ENDIAN,):
        context += _item(0x40, syntax.encode())
    user = _item(0x51, struct.pack(">L", 16384)) + _item(0x52, b"1.2.3.4")
    body = struct.pack(">H2x16s16s32x", 1, b"ANY-SCP".ljust(16), b"STORESCU".ljust(16))
    body += _item(0x10, b"1.2.840.10008.3.1.1.1") + _item(0x20, context) + _item(0x50, user)
    return struct.pack(">BxL", 0x01, len(body)) + body


def _element(group: int, element: int, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0"
    return struct.pack("<HHL", group, element, len(value)) + value


def p_data(control: int, fragment: bytes) -> bytes:
    """Return a P-DATA-TF with one fragment."""
    length = len(fragment)
    return struct.pack(">BxLLBB", 0x04, length + 6, length + 2, _CONTEXT, control) + fragment


def c_store_rq(instance: str, sop_class: str = CT_IMAGE_STORAGE) -> bytes:
    """Return the P-DATA-TF of a C-STORE-RQ."""
    elements = (
        _element(0x0000, 0x0002, sop_class.encode())
        + _element(0x0000, 0x0100, b"\x01\x00")
        + _element(0x0000, 0x0110, b"\x01\x00")  # message ID 1
        + _element(0x0000, 0x0700, b"\x00\x00")
        + _element(0x0000, 0x0800, b"\x00\x00")  # there is a data set
        + _element(0x0000, 0x1000, instance.encode())
    )
    return p_data(
        _COMMAND_LAST, _element(0x0000, 0x0000, struct.pack("<L", len(elements))) + elements
    )


def study(number: int) -> str:
    """Return the UID of the study that an object belongs to."""
    return f"1.2.3.{number // 10}"


def series(number: int) -> str:
    """Return the UID of the series that an object belongs to."""
    return f"{study(number)}.1"


def instance(number: int) -> str:
    """Return the UID of an object."""
    return f"{series(number)}.{number}"


def path(number: int) -> str:
    """Return where an object is found, below the directory of a server with the default options."""
    return f"{study(number)}/{series(number)}/{instance(number)}.dcm"


def data_set(number: int, length: int) -> bytes:
    """Return the data set of an object, with pixel data of so many bytes."""
    return (
        _element(0x0008, 0x0016, CT_IMAGE_STORAGE.encode())
        + _element(0x0008, 0x0018, instance(number).encode())
        + _element(0x0020, 0x000D, study(number).encode())
        + _element(0x0020, 0x000E, series(number).encode())
        + _element(0x7FE0, 0x0010, random.Random(number).randbytes(length))
    )


def data_pdus(data: bytes, size: int = 32768) -> Iterator[bytes]:
    """Yield a data set in P-DATA-TFs."""
    for start in range(0, len(data), size):
        last = start + size >= len(data)
        yield p_data(_DATA_LAST if last else _DATA, data[start : start + size])


class StoringPeer(RawPeer):
    """A peer that stores, over one presentation context, one object at a time."""

    def open(self, rq: bytes | None = None) -> None:
        """Associate."""
        self.send(rq or associate_rq())
        answer = self.receive_pdu()
        if answer[:1] != bytes([A_ASSOCIATE_AC_TYPE]):
            raise ConnectionError(f"not associated: {answer.hex()}")

    def store(self, number: int, length: int) -> int:
        """Send an object and return the status of the answer."""
        self.send(c_store_rq(instance(number)))
        for pdu in data_pdus(data_set(number, length)):
            self.send(pdu)
        return self.receive_status()

    def begin(self, number: int, length: int) -> bytes:
        """Send all of an object but its last PDU, which is returned."""
        self.send(c_store_rq(instance(number)))
        *first, last = data_pdus(data_set(number, length))
        for pdu in first:
            self.send(pdu)
        return last

    def receive_status(self) -> int:
        """Return the status of a C-STORE-RSP; -1 if the connection ends before it has come."""
        pdu = self.receive_pdu()
        if pdu[:1] != b"\x04":
            return -1
        elements, offset = {}, 12
        while offset < len(pdu):
            group, element, length = struct.unpack_from("<HHL", pdu, offset)
            elements[group, element] = pdu[offset + 8 : offset + 8 + length]
            offset += 8 + length
        return int.from_bytes(elements[0x0000, 0x0900], "little")


def main() -> None:
    """Send objects until the server is gone."""
    port, number, length = map(int, sys.argv[1:])
    try:
        with StoringPeer(port) as peer:
            peer.open()
            while (status := peer.store(number, length)) == 0:
                print(number, flush=True)
                number += 1
        if status > 0:
            print(f"status {status:04X}H")
    except OSError:
        pass


if __name__ == "__main__":
    main()
