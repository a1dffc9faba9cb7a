"""Behind a balancer that speaks the PROXY protocol: what docs/how-to/balancer.md says of it."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import serverFromString
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogEvent, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.net import (
    AcceptorFactory,
    AdmissionPolicy,
    ApplicationEntity,
    Limits,
    PermittedPeer,
    Timeouts,
)
from pacs_twisted.services import Verification
from tests.raw_peer import A_ASSOCIATE_AC_TYPE, A_ASSOCIATE_RQ, LOCAL_LIMIT_EXCEEDED

BALANCER = IPv4Address("TCP", "192.0.2.1", 50000)
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"  # version 2, the balancer's own connection
CALLING_NOT_RECOGNIZED = bytes.fromhex("0300 00000004 00 01 01 03")


class BalancerTests(SynchronousTestCase):
    """A server whose peers all come from the balancer's address, and say who they are."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()

    def serve(self, admission: AdmissionPolicy) -> None:
        self.factory = AcceptorFactory(
            ApplicationEntity("PACS_ECHO", [Verification()]),
            admission=admission,
            timeouts=Timeouts(artim=10.0),
            reactor=self.reactor,
        )
        self.successResultOf(
            serverFromString(self.reactor, "haproxy:tcp:11112").listen(self.factory)
        )

    def connect(self, header: bytes, data: bytes = A_ASSOCIATE_RQ) -> StringTransport:
        transport = StringTransport(peerAddress=BALANCER)
        protocol = self.reactor.tcpServers[0][1].buildProtocol(BALANCER)
        assert protocol is not None
        protocol.makeConnection(transport)
        protocol.dataReceived(header)
        protocol.dataReceived(data)
        return transport

    def test_permitted_peers(self) -> None:
        """A network that is permitted means the peer's address, not the balancer's."""
        self.serve(AdmissionPolicy(permitted=(PermittedPeer.parse("*@10.1.0.0/16"),)))
        permitted = self.connect(b"PROXY TCP4 10.1.2.3 192.0.2.9 4711 104\r\n")
        self.assertEqual(permitted.value()[0], A_ASSOCIATE_AC_TYPE)
        other = self.connect(b"PROXY TCP4 10.2.2.3 192.0.2.9 4711 104\r\n")
        self.assertEqual(other.value(), CALLING_NOT_RECOGNIZED)

    def test_limit_per_host(self) -> None:
        """The limit per address counts the peers' addresses, and gives each its place back."""
        self.serve(AdmissionPolicy(limits=Limits(per_host=1)))
        first = self.connect(b"PROXY TCP4 10.1.2.3 192.0.2.9 4711 104\r\n")
        same = self.connect(b"PROXY TCP4 10.1.2.3 192.0.2.9 4712 104\r\n")
        other = self.connect(b"PROXY TCP6 2001:db8::1 2001:db8::2 4711 104\r\n")
        self.assertEqual(first.value()[0], A_ASSOCIATE_AC_TYPE)
        self.assertEqual(same.value(), LOCAL_LIMIT_EXCEEDED)
        self.assertEqual(other.value()[0], A_ASSOCIATE_AC_TYPE)
        for connection in self.factory.connections:
            connection.association.abort()
        again = self.connect(b"PROXY TCP4 10.1.2.3 192.0.2.9 4713 104\r\n")
        self.assertEqual(again.value()[0], A_ASSOCIATE_AC_TYPE)

    def test_log(self) -> None:
        """The log names the peer, whether it associates, talks nonsense or nothing at all."""
        self.serve(AdmissionPolicy())
        with capturedLogs() as events:
            self.connect(b"PROXY TCP4 10.1.2.3 192.0.2.9 4711 104\r\n")
            self.connect(b"PROXY TCP4 10.1.2.4 192.0.2.9 4712 104\r\n", b"GET / HTTP/1.1\r\n")
            self.connect(b"PROXY TCP4 10.1.2.5 192.0.2.9 4713 104\r\n", b"")
            self.reactor.advance(10.0)
        self.assertEqual(peers(events, "associate"), ["10.1.2.3:4711"])
        self.assertEqual(peers(events, "protocol-error"), ["10.1.2.4:4712"])
        self.assertEqual(peers(events, "artim"), ["10.1.2.5:4713"])

    def test_check(self) -> None:
        """A balancer's own check names nobody: it stays the balancer's connection."""
        self.serve(AdmissionPolicy())
        with capturedLogs() as events:
            self.connect(LOCAL)
        self.assertEqual(peers(events, "associate"), ["192.0.2.1:50000"])


def peers(events: Sequence[LogEvent], event: str) -> list[str]:
    """Return the peers that events of a name tell of."""
    return [found["peer"] for found in events if found.get("event") == event]
