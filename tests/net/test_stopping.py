"""The end of a server: who waits is answered, who works may finish, then it is over."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from pacs_twisted.dimse import Status
from pacs_twisted.net import Timeouts
from tests.net.memory import (
    ABORT,
    RELEASE_RP,
    RELEASE_RQ,
    Peer,
    ServerCase,
    associate_rq,
    echo_rq,
    reject,
)
from tests.net.test_operations import Service
from tests.requirements import requirement

CONGESTION = reject(2, 3, 1)


class StoppingCase(ServerCase):
    """A server that is told to stop."""

    timeouts = Timeouts(idle=0, drain=60)

    def shut_down(self) -> list[None]:
        """Close the port and shut down; return a list that is filled when all is over."""
        over: list[None] = []
        self.factory.doStop()
        self.factory.shut_down().addCallback(over.append)
        self.reactor.run()
        return over

    def assert_stopped(self, over: list[None], *peers: Peer) -> None:
        """Assert that it is over and that nothing is left."""
        self.assertEqual(over, [None])
        self.assertEqual([peer.is_closed for peer in peers], [True] * len(peers))
        self.assertEqual(self.factory.connections, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class ShutDownTests(StoppingCase):
    """`shut_down`."""

    def test_nobody(self) -> None:
        """Without connections it is over at once, however often it is asked for."""
        self.assert_stopped(self.shut_down())
        over: list[None] = []
        self.factory.shut_down().addCallback(over.append)
        self.assert_stopped(over)

    @requirement("H11")
    def test_running(self) -> None:
        """Running associations go on, with as many requests as they like, until they end."""
        peers = [self.associated(), self.associated()]
        over = self.shut_down()
        self.reactor.wait(30)
        for peer in peers:
            self.assertEqual(peer.echo(), [(1, 0)])
            self.assertEqual(over, [])
            peer.send(RELEASE_RQ)
            self.assertEqual(peer.take(), RELEASE_RP)
            peer.close()
        self.assert_stopped(over, *peers)

    @requirement("H11")
    def test_deadline(self) -> None:
        """At the deadline those that still run are aborted, and dropped if they do not go."""
        polite, rude = self.associated(), self.associated()
        over = self.shut_down()
        self.reactor.wait(59)
        self.assertEqual(rude.echo(), [(1, 0)])
        self.reactor.wait(1)
        self.assertEqual((polite.take(), rude.take()), (ABORT, ABORT))
        polite.close()
        self.assertEqual(over, [])
        self.assertFalse(rude.is_closed)
        self.reactor.wait(2)
        self.assert_stopped(over, polite, rude)

    @requirement("H11")
    def test_asked(self) -> None:
        """Who is connected and asks now, or waits for our answer, hears 2/3/1."""
        answer: Deferred[Any] = Deferred()

        class Admission:
            limits = self.factory.admission.limits

            def judge(self, applicant: object) -> Deferred[Any]:
                return answer

        running = self.associated()
        self.factory.reconfigure(admission=Admission())
        waiting, silent, half = self.connect(), self.connect(), self.connect()
        waiting.send(associate_rq())
        half.send(associate_rq()[:100])
        over = self.shut_down()
        self.assertEqual(waiting.take(), CONGESTION)
        silent.send(associate_rq())
        half.send(associate_rq()[100:])
        self.assertEqual((silent.take(), half.take()), (CONGESTION, CONGESTION))
        for peer in waiting, silent, half:
            peer.close()
        self.assertEqual(over, [])
        running.close()
        self.assert_stopped(over, running, waiting, silent, half)

    def test_silent(self) -> None:
        """Who is connected and says nothing does not keep the server, nor does who stays."""
        silent, stays = self.connect(), self.associated()
        stays.send(RELEASE_RQ)
        over = self.shut_down()
        self.reactor.wait(1.5, 0.5)
        self.assertEqual(over, [])
        self.reactor.wait(0.5, 0.5)
        self.assert_stopped(over, silent, stays)

    def test_last_word(self) -> None:
        """The last association's end leaves its peer the time to read the answer."""
        peer = self.associated()
        over = self.shut_down()
        peer.send(RELEASE_RQ)
        self.assertFalse(peer.is_closed)
        self.assertEqual(peer.take(), RELEASE_RP)
        self.reactor.wait(2)
        self.assert_stopped(over, peer)

    def test_not_reading(self) -> None:
        """A peer that does not read does not keep the server beyond the deadline."""
        peer = self.associated()
        peer.stop_reading()
        peer.send(echo_rq() * 5000)
        self.make_timeouts(send=0)
        over = self.shut_down()
        self.reactor.wait(63)
        self.assert_stopped(over, peer)

    def make_timeouts(self, **seconds: float) -> None:
        """Set the timers of new connections."""
        self.factory.reconfigure(timeouts=Timeouts(drain=60, **seconds))

    def test_service_at_work(self) -> None:
        """A service that works on is cancelled at the deadline."""
        service = Service()
        self.make_factory(services=[service])
        peer = self.associated()
        peer.send(echo_rq())
        over = self.shut_down()
        self.reactor.wait(60)
        self.assertEqual((peer.take(), service.cancelled), (ABORT, [1]))
        peer.close()
        self.assert_stopped(over, peer)

    def test_answer_while_stopping(self) -> None:
        """A service that answers before the deadline is heard, and the release behind it."""
        service = Service()
        self.make_factory(services=[service])
        peer = self.associated()
        peer.send(echo_rq(), RELEASE_RQ)
        over = self.shut_down()
        self.reactor.wait(50)
        service.finish(1, Status.SUCCESS)
        self.reactor.run()
        *responses, last = peer.pdus()
        self.assertEqual((len(responses), last), (1, RELEASE_RP))
        peer.close()
        self.assert_stopped(over, peer)

    def test_no_deadline(self) -> None:
        """A drain time of 0 has no end."""
        self.make_factory(timeouts=Timeouts(idle=0, drain=0))
        peer = self.associated()
        over = self.shut_down()
        self.reactor.wait(100_000, 1000)
        self.assertEqual(peer.echo(), [(1, 0)])
        peer.close()
        self.assert_stopped(over, peer)

    def test_twice(self) -> None:
        """Asked for twice, both hear of the end, and the deadline stays what it was."""
        peer = self.associated()
        first = self.shut_down()
        self.reactor.wait(30)
        second: list[None] = []
        self.factory.shut_down().addCallback(second.append)
        self.reactor.wait(30)
        self.assertEqual(peer.take(), ABORT)
        peer.close()
        self.assert_stopped(first, peer)
        self.assertEqual(second, [None])

    def test_drain_before(self) -> None:
        """An administrator's draining may come before."""
        peer = self.associated()
        self.factory.drain()
        over = self.shut_down()
        peer.close()
        self.assert_stopped(over, peer)

    def test_start_again(self) -> None:
        """A server that has stopped can start again and serves as before."""
        for _ in range(2):
            peer = self.associated()
            over = self.shut_down()
            peer.close()
            self.assert_stopped(over, peer)
            self.factory.doStart()
        self.assertEqual(self.associated().echo(), [(1, 0)])

    def test_start_again_too_early(self) -> None:
        """One that starts again while it stops ends nobody: who waited for that is told."""
        old = self.associated()
        over = self.shut_down()
        self.factory.doStart()
        self.assertEqual(over, [None])
        new = self.associated()
        self.reactor.wait(70)
        self.assertEqual((old.echo(), new.echo()), ([(1, 0)], [(1, 0)]))
        old.close()
        new.close()
        self.assert_nothing_left()

    def test_log(self) -> None:
        """One line says how many are waited for and how long."""
        self.associated()
        self.shut_down()
        self.reactor.wait(60)
        self.assertEqual(
            [line for line in self.lines() if line.startswith("stopping")],
            ["stopping: 1 associations have 60 s to end"],
        )
        self.assertIn("the server stops", self.lines()[-1])
