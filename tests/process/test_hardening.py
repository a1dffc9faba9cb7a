"""
A real server against peers that do their worst, over loopback.

What a virtual clock and a socket of memory cannot show: memory, descriptors, resets, and that
others are served meanwhile. Counts and times are bounded; nobody sleeps: a test waits for bytes,
for the end of a connection, or for a line of the log.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from struct import pack

from tests.net.memory import associate_rq
from tests.process.test_twistd import CommandCase
from tests.processes import PATIENCE, Process
from tests.raw_peer import (
    A_ASSOCIATE_AC_TYPE,
    A_ASSOCIATE_RQ,
    A_RELEASE_RP,
    A_RELEASE_RQ,
    C_ECHO_RQ,
    C_ECHO_RSP,
    LOCAL_LIMIT_EXCEEDED,
    RawPeer,
)
from tests.requirements import requirement

CALLED_NOT_RECOGNIZED = bytes.fromhex("0300 00000004 00010107")
ABORT_BY_PROVIDER_1 = bytes.fromhex("0700 00000004 00000201")
LISTENING = r"listening on 127\.0\.0\.1:(\d+) "
NOBODY = b""


class Rough(RawPeer):
    """A peer that does what a well-behaved one does not."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        super().__init__(port, host)
        self.since = time.monotonic()

    def end(self) -> float:
        """Wait for the server to end the connection; return how long it lasted, in seconds."""
        with contextlib.suppress(ConnectionResetError):
            while self._socket.recv(65536):
                pass
        return time.monotonic() - self.since

    def read_to_end(self) -> bytes:
        """Return all that comes until the server closes; a reset is an error."""
        data = b""
        while chunk := self._socket.recv(65536):
            data += chunk
        return data

    def flood(self, data: bytes, most: int, seconds: float) -> int:
        """Send again and again until the server takes no more for that long; return the bytes."""
        self._socket.setblocking(False)
        sent = 0
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_WRITE)
            while sent < most and selector.select(seconds):
                offset = sent % len(data)
                sent += self._socket.send(memoryview(data)[offset:])
        self._socket.settimeout(PATIENCE)
        return sent

    def converse(self, data: bytes, expected: int) -> int:
        """Send all while reading until so many bytes have come; return how many."""
        self._socket.setblocking(False)
        rest, received = memoryview(data), 0
        with selectors.DefaultSelector() as selector:
            both = selectors.EVENT_READ | selectors.EVENT_WRITE
            selector.register(self._socket, both if rest else selectors.EVENT_READ)
            while received < expected:
                ready = selector.select(PATIENCE)
                if not ready:
                    break
                if ready[0][1] & selectors.EVENT_READ:
                    chunk = self._socket.recv(1 << 20)
                    if not chunk:
                        break
                    received += len(chunk)
                if rest and ready[0][1] & selectors.EVENT_WRITE:
                    rest = rest[self._socket.send(rest[: 1 << 20]) :]
                    if not rest:
                        selector.modify(self._socket, selectors.EVENT_READ)
        self._socket.settimeout(PATIENCE)
        return received

    def finish(self) -> None:
        """Say that no more will come, and go on reading."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection off."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


class HardeningCase(CommandCase):
    """A server whose log is clean at the end, whatever was done to it."""

    def attack(self, *options: str, listen: str = "tcp:0:interface=127.0.0.1") -> int:
        """Start a server and return its port."""
        self.server: Process = self.start(
            *(sys.executable, "-c", "from twisted.scripts.twistd import run; run()"),
            *("-n", "--pidfile=", "pacs-echo", f"--listen={listen}", *options),
        )
        self.addCleanup(self._stop)
        self.number = int(self.server.wait_for(LISTENING)[1])
        return self.number

    def _stop(self) -> None:
        self.server.terminate()
        for word in ("Traceback", "Unhandled", "critical"):
            self.assertNotIn(word, self.server.output)

    def peer(self) -> Rough:
        """Connect."""
        peer = Rough(self.number)
        self.addCleanup(peer.close)
        return peer

    def associated(self, rq: bytes = A_ASSOCIATE_RQ) -> Rough:
        """Connect and associate."""
        peer = self.peer()
        peer.send(rq)
        self.assertEqual(peer.receive_pdu()[0], A_ASSOCIATE_AC_TYPE)
        return peer

    def assert_served(self) -> None:
        """Assert that somebody new is served, and soon."""
        begun = time.monotonic()
        with Rough(self.number) as peer:
            self.assertEqual(peer.associate()[0], A_ASSOCIATE_AC_TYPE)
            self.assertEqual(peer.echo(), C_ECHO_RSP)
            self.assertEqual(peer.release(), A_RELEASE_RP)
        self.assertLess(time.monotonic() - begun, 5.0)

    def descriptors(self) -> int:
        """Return how many descriptors the server has open."""
        return len(os.listdir(f"/proc/{self.server._child.pid}/fd"))

    def memory(self) -> int:
        """Return how much memory the server takes, in bytes."""
        status = Path(f"/proc/{self.server._child.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def eventually(self, is_so: Callable[[], bool], what: str) -> None:
        """Ask until it is so; each time the server has served somebody, so it had its turn."""
        deadline = time.monotonic() + 10
        while not is_so():
            self.assertLess(time.monotonic(), deadline, what)
            self.assert_served()


class TimerTests(HardeningCase):
    """Peers that keep the server waiting."""

    @requirement("A3", "A4")
    def test_silent(self) -> None:
        """Silent, three bytes, half a request: gone by ARTIM, and everybody else is served."""
        self.attack("--artim-timeout=1")
        peers = [self.peer() for _ in range(60)]
        for number, peer in enumerate(peers):
            peer.send((NOBODY, b"\x01\x00\x00", A_ASSOCIATE_RQ[:100])[number % 3])
        self.assert_served()
        for peer in peers:
            self.assertLess(peer.end(), 5.0)
            self.assertGreater(peer.end(), 0.9)

    def test_stalled(self) -> None:
        """Half a PDU, or nothing more, in an association: an A-ABORT, then the connection ends."""
        self.attack("--idle-timeout=1", "--artim-timeout=1")
        for data in (C_ECHO_RQ[:40], NOBODY):
            peer = self.associated()
            peer.send(data)
            self.assertEqual(peer.receive_pdu(), bytes.fromhex("0700 00000004 00000000"))
            self.assertLess(peer.end(), 6.0)


class WriteTests(HardeningCase):
    """Peers that do not read."""

    requests = 300_000

    def hold(self, peer: Rough) -> int:
        """Let a peer send requests that it does not read the answers of."""
        return peer.flood(C_ECHO_RQ * 1000, self.requests * len(C_ECHO_RQ), 1.0)

    def test_never_reads(self) -> None:
        """It is held, takes no memory to speak of, and is dropped by the send timer."""
        self.attack("--send-timeout=2")
        self.assert_served()
        before = self.memory()
        for drops, maximum_length in enumerate((16384, 8), 1):
            peer = self.associated(associate_rq(maximum_length=maximum_length))
            self.assertLess(self.hold(peer), 20 << 20)
            self.assertLess(self.memory() - before, 16 << 20)
            self.assert_served()
            self.server.wait_for("(?s)" + "send timer expired.*" * drops)
            peer.end()
            self.assert_served()

    def test_reads_on(self) -> None:
        """One that was held, and reads after all, gets every answer."""
        self.attack()
        peer = self.associated()
        sent = self.hold(peer)
        self.assert_served()
        requests, half = divmod(sent, len(C_ECHO_RQ))
        rest = C_ECHO_RQ[half:] if half else b""
        expected = (requests + bool(half)) * len(C_ECHO_RSP)
        self.assertEqual(peer.converse(rest, expected), expected)
        self.assertEqual(peer.release(), A_RELEASE_RP)

    def test_pipelined(self) -> None:
        """Pipelined by the thousand, and read: all are answered, then the release."""
        self.attack()
        peer = self.associated()
        stream = C_ECHO_RQ * 30_000 + A_RELEASE_RQ
        expected = 30_000 * len(C_ECHO_RSP) + len(A_RELEASE_RP)
        self.assertEqual(peer.converse(stream, expected), expected)

    def test_others_meanwhile(self) -> None:
        """While one floods with the smallest maximum length others are served in good time."""
        self.attack()
        peer = self.associated(associate_rq(maximum_length=8))
        peer.flood(C_ECHO_RQ * 1000, 400_000, 1.0)
        for _ in range(5):
            self.assert_served()
        peer.reset()


class LastWordTests(HardeningCase):
    """The last word arrives, although there is more on its way to the server."""

    @requirement("F6")
    def test_reject(self) -> None:
        """A reject is read by who has sent a megabyte more before it reads."""
        self.attack("--require-called-ae")
        for _ in range(20):
            peer = self.peer()
            peer.send(A_ASSOCIATE_RQ + bytes(1 << 20))
            self.assertEqual(peer.receive_pdu(), CALLED_NOT_RECOGNIZED)
            peer.close()

    @requirement("H8")
    def test_abort(self) -> None:
        """So is an abort."""
        self.attack()
        for _ in range(20):
            peer = self.associated()
            peer.send(b"\x09" + bytes(1 << 20))
            self.assertEqual(peer.receive_pdu(), ABORT_BY_PROVIDER_1)
            peer.close()

    def test_half_closed(self) -> None:
        """A peer that says that it has no more to say gets what it is owed, and an orderly end."""
        self.attack()
        peer = self.associated()
        peer.send(C_ECHO_RQ)
        self.assertEqual(peer.receive_pdu(), C_ECHO_RSP)
        peer.finish()
        self.assertEqual(peer.read_to_end(), b"")

    def test_flood_after_the_end(self) -> None:
        """But who only goes on sending is cut off."""
        self.attack("--require-called-ae")
        peer = self.peer()
        peer.send(A_ASSOCIATE_RQ)
        with self.assertRaises(OSError):
            for _ in range(100):
                peer.send(bytes(1 << 20))
        self.assert_served_by_title()

    def assert_served_by_title(self) -> None:
        """Assert that who calls the right title is served."""
        self.associated(associate_rq(called=b"PACS_ECHO")).close()


class LimitTests(HardeningCase):
    """Everything comes back at once."""

    def test_bare_connects(self) -> None:
        """A thousand connects of a balancer, by FIN and by RST, leave no descriptor."""
        self.attack()
        self.assert_served()
        before = self.descriptors()
        for number in range(1000):
            if not number % 40:
                self.assert_served()  # so that no connect has to wait for a place in the queue
            peer = Rough(self.number)
            if number % 2:
                peer.close()
            else:
                peer.reset()
        self.eventually(lambda: self.descriptors() <= before, "descriptors")
        self.assertLess(len(self.server.output.splitlines()), 200)

    @requirement("F4")
    def test_place_free_at_once(self) -> None:
        """The only place is free again after any end, without a wait."""
        self.attack("--max-associations=1")
        for end in ("release", "abort", "FIN", "RST", "garbage"):
            peer = self.associated()
            with Rough(self.number) as other:
                self.assertEqual(other.associate(), LOCAL_LIMIT_EXCEEDED)
            if end == "release":
                self.assertEqual(peer.release(), A_RELEASE_RP)
                continue  # the connection stays
            if end == "abort":
                peer.send(bytes.fromhex("0700 00000004 00000000"))
                peer.end()
            elif end == "garbage":
                peer.send(b"\x09")
                self.assertEqual(peer.receive_pdu(), ABORT_BY_PROVIDER_1)
            elif end == "FIN":
                peer.finish()
                peer.end()
            else:
                peer.reset()
                self.server.wait_for("connection lost(?s:.*)connection lost")  # FIN's and this
        self.assert_served()

    def test_connections(self) -> None:
        """Beyond the cap connections are closed at once, with a line a second at most."""
        self.attack("--max-connections=5")
        self._fill(5)

    def test_connections_proxied(self) -> None:
        """Also where the balancer tells who comes."""
        self.attack("--max-connections=5", listen="haproxy:tcp:0:interface=127.0.0.1")
        self._fill(5)

    def _fill(self, count: int) -> None:
        there = [self.peer() for _ in range(count)]
        begun = time.monotonic()
        for _ in range(200):
            with Rough(self.number) as refused:
                self.assertLess(refused.end(), 5.0)
        seconds = time.monotonic() - begun
        refusals = self.server.output.count("closed at once")
        self.assertLessEqual(refusals, seconds + 2)
        for peer in there:
            peer.close()

    def test_claims(self) -> None:
        """A hundred peers that claim 4 GiB, or a megabyte each and stall, cost next to nothing."""
        self.attack("--max-unfinished=4194304")
        self.assert_served()
        before = self.memory()
        gigantic = [self.peer() for _ in range(50)]
        for peer in gigantic:
            peer.send(b"\x01\x00\xff\xff\xff\xff")
            self.assertEqual(peer.receive_pdu()[0], 0x07)
        stalled = [self.peer() for _ in range(50)]
        for peer in stalled:
            with contextlib.suppress(OSError):
                peer.send(b"\x01\x00" + pack(">L", 1 << 20) + bytes(1 << 19))
        self.assert_served()
        self.assertLess(self.memory() - before, 16 << 20)
