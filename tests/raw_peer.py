"""
A peer made of a plain socket and bytes written out by hand, for tests of a running server.

It shares no code with the package, so that both cannot be wrong in the same way.
"""

from __future__ import annotations

import socket
from typing import Final, Self

from tests.processes import PATIENCE

A_ASSOCIATE_RQ: Final = bytes.fromhex(
    "0100 000000b0 0001 0000"  # type, length, protocol version, reserved
    "414e592d534350202020202020202020"  # called: ANY-SCP
    "4543484f534355202020202020202020"  # calling: ECHOSCU
    + "00"
    * 32
    + "1000 0015 312e322e3834302e31303030382e332e312e312e31"  # DICOM application context
    "2000 002e 01000000"  # context 1
    "3000 0011 312e322e3834302e31303030382e312e31"  # Verification
    "4000 0011 312e322e3834302e31303030382e312e32"  # Implicit VR Little Endian
    "5000 001d"
    "5100 0004 00004000"  # maximum length 16384
    "5200 0007 312e322e332e34"  # implementation class 1.2.3.4
    "5500 0006 544553545f31"  # implementation version TEST_1
)

C_ECHO_RQ: Final = bytes.fromhex(
    "0400 0000004a 00000046 01 03"  # P-DATA-TF, one PDV: context 1, command, last
    "0000 0000 04000000 38000000"
    "0000 0200 12000000 312e322e3834302e31303030382e312e3100"  # Verification
    "0000 0001 02000000 3000"  # C-ECHO-RQ
    "0000 1001 02000000 0100"  # message ID 1
    "0000 0008 02000000 0101"  # no data set
)

C_ECHO_RSP: Final = bytes.fromhex(
    "0400 00000054 00000050 01 03"
    "0000 0000 04000000 42000000"
    "0000 0200 12000000 312e322e3834302e31303030382e312e3100"
    "0000 0001 02000000 3080"  # C-ECHO-RSP
    "0000 2001 02000000 0100"  # to message ID 1
    "0000 0008 02000000 0101"
    "0000 0009 02000000 0000"  # success
)

A_RELEASE_RQ: Final = bytes.fromhex("0500 00000004 00000000")
A_RELEASE_RP: Final = bytes.fromhex("0600 00000004 00000000")
A_ABORT: Final = bytes.fromhex("0700 00000004 00000000")
LOCAL_LIMIT_EXCEEDED: Final = bytes.fromhex("0300 00000004 00 02 03 02")

A_ASSOCIATE_AC_TYPE: Final = 0x02


class RawPeer:
    """A connection to a server; every wait on it ends in time."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection((host, port), timeout=PATIENCE)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive_pdu(self) -> bytes:
        """Return one whole PDU; less than that if the server has closed the connection."""
        header = self._receive(6)
        return header + self._receive(int.from_bytes(header[2:6], "big"))

    def _receive(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            chunk = self._socket.recv(length - len(data))
            if not chunk:
                break
            data += chunk
        return data

    def associate(self) -> bytes:
        """Ask for an association and return the server's answer."""
        self.send(A_ASSOCIATE_RQ)
        return self.receive_pdu()

    def echo(self) -> bytes:
        """Send a C-ECHO-RQ and return the PDU that answers it."""
        self.send(C_ECHO_RQ)
        return self.receive_pdu()

    def release(self) -> bytes:
        """Ask for the release and return the server's answer."""
        self.send(A_RELEASE_RQ)
        return self.receive_pdu()

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
