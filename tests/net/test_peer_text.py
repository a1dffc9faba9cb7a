"""What the log says of where a peer connects from, when a balancer tells."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.net import AcceptorFactory, ApplicationEntity
from pacs_twisted.testing import associate_rq


class ProxiedPeerTests(SynchronousTestCase):
    """A peer behind a balancer that speaks the PROXY protocol."""

    def peers(self, header: bytes) -> set[str]:
        """Return what the log calls a peer that is announced so, from its request on."""
        entity = ApplicationEntity("PACS")
        factory = HAProxyWrappingFactory(AcceptorFactory(entity, reactor=Clock()))
        server = factory.buildProtocol(None)
        server.makeConnection(StringTransport())
        with capturedLogs() as events:
            server.dataReceived(header + associate_rq().encode())
        return {event["peer"] for event in events if "peer" in event}

    def test_address(self) -> None:
        """It is called by the address that the balancer saw."""
        header = b"PROXY TCP4 10.0.0.7 10.0.0.1 4711 11112\r\n"
        self.assertEqual(self.peers(header), {"10.0.0.7:4711"})

    def test_forged(self) -> None:
        """Twisted takes any text for an address: none of it is a line of the log."""
        header = b"PROXY TCP4 1\n2026-01-01 10.0.0.1 4711 11112\r\n"
        self.assertEqual(self.peers(header), {"1\\n2026-01-01:4711"})
