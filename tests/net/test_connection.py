"""The timers of a connection where they meet each other."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.net import AcceptorFactory, ApplicationEntity, Timeouts
from pacs_twisted.services import Verification
from pacs_twisted.testing import ScriptedRequestor, echo_rq


class PausedTests(SynchronousTestCase):
    """While we do not read, nothing that we wait for can come."""

    def setUp(self) -> None:
        """An association of which half a PDU has come, and then we read no more."""
        self.clock = Clock()
        self.factory = AcceptorFactory(
            ApplicationEntity("PACS", [Verification()]),
            timeouts=Timeouts(pdu=10.0, idle=10.0),
            reactor=self.clock,
        )
        self.requestor = ScriptedRequestor(self.factory, self.clock)
        self.requestor.associate()
        self.requestor.pump.client_transport.write(echo_rq().encode()[:20])
        self.requestor.pump.flush()
        (self.connection,) = self.factory.connections
        self.connection.pause()
        self.clock.pump([10.0] * 10 + [5.0])

    def test_pause_does_not_count(self) -> None:
        """The time of the PDU begins anew when we read on."""
        self.connection.resume()
        self.clock.advance(9.0)
        self.assertEqual(self.factory.association_count, 1)

    def test_time_runs_again(self) -> None:
        """A peer that is silent then is ended by the PDU timer."""
        self.connection.resume()
        self.clock.advance(10.0)
        self.clock.advance(10.0)
        self.assertEqual(self.factory.association_count, 0)
