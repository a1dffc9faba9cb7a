"""Whatever happens to an association of ours, in whatever order."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pacs_twisted.dimse import CEchoRQ, CEchoRSP, Status
from pacs_twisted.errors import NoPresentationContext, OutOfSequence
from pacs_twisted.testing import abort, associate_ac, echo_rq, release_rp, release_rq
from tests.net.requesting import CT, INSTANCE, SECONDS, Peer, RequestorCase, Source, Waiter
from tests.requirements import requirement

COMMON = (
    "echo",
    "store",
    "slow store",
    "cancel",
    "piece",
    "piece",
    "respond",
    "respond",
    "respond",
    "fail",
    "pending",
    "unasked",
    "request",
    "stop reading",
    "read on",
    "step",
    "wait",
)
"""What happens while all goes on."""

ENDS = (
    "failing store",
    "release",
    "our abort",
    "abort when answered",
    "peer's release",
    "peer's abort",
    "answer again",
    "raw release",
    "raw response to release",
    "half a PDU",
    "nonsense",
    "close",
    "wait long",
    "lose",
)
"""What may lead to an end."""

STEPS = st.tuples(st.sampled_from([*COMMON * 4, *ENDS]), st.integers(0, 3).map(bool))
"""A step, and whether bytes are carried after it."""


class StoryTests(RequestorCase):
    """Random stories, each to its end."""

    def begin(self, window: int, small: bool) -> None:
        """Ask for an association, of which everything may become."""
        self.clock = Clock()
        self.waiters: list[Waiter] = []
        self.sources: list[Source] = []
        self.pieces: list[Deferred[bytes]] = []
        self.late = 0
        options = {"capacity": 300, "buffer_size": 300} if small else {}
        self.establish(Peer(window=window), maximum_operations=window, timeouts=SECONDS, **options)
        self.ended = Waiter(self.peer.when_ended())
        self.closed = Waiter(self.peer.when_closed())

    def wait_for(self, deferred: Deferred[Any]) -> Waiter:
        """Let somebody wait for something."""
        waiter = Waiter(deferred)
        self.waiters.append(waiter)
        return waiter

    def send(self, source: Source) -> None:
        """Send an instance."""
        self.sources.append(source)
        self.wait_for(self.peer.store(CT, INSTANCE, source))

    def later(self) -> Deferred[bytes]:
        """Return a piece that comes when a test wants."""
        deferred: Deferred[bytes] = Deferred()
        self.pieces.append(deferred)
        return deferred

    def do(self, step: str) -> None:
        """Let one thing happen."""
        server, connection = self.server, self.endpoint.connections[0]
        match step:
            case "echo":
                self.wait_for(self.peer.echo())
            case "store":
                self.send(Source([b"12" * 500] * 4))
            case "slow store":
                self.send(Source([b"12", self.later, b"34" * 500, self.later], length=1006))
            case "failing store":
                self.send(Source([b"12", self.later], length=6))
            case "abort when answered":
                waiter = self.wait_for(self.peer.echo())
                waiter.deferred.addBoth(lambda _: self.peer.abort())
            case "cancel" if self.waiters:
                self.late += 1
                self.waiters[self.late % len(self.waiters)].deferred.cancel()
            case "piece":
                for piece in self.pieces:
                    if not piece.called:
                        piece.callback(b"xy")
                        break
            case "release":
                self.wait_for(self.peer.release())
            case "our abort":
                self.peer.abort()
            case "step":
                connection.step(7)
            case "wait":
                self.endpoint.advance(0.9)
            case "wait long":
                self.endpoint.advance(6)
            case "lose":
                connection.lose()
            case "stop reading":
                connection.server_transport.pauseProducing()
            case "read on":
                connection.server_transport.resumeProducing()
            case _ if not server.is_lost:
                self.say(step)

    def say(self, step: str) -> None:
        """Let the peer do something."""
        server = self.server
        association = server.association
        try:
            match step:
                case "respond" | "fail" | "pending" if server.requests:
                    status = {"respond": 0, "fail": 0xA700, "pending": 0xFF00}[step]
                    self.late += 1
                    server.respond(self.late % len(server.requests), status)
                case "unasked":
                    server.tell(CEchoRSP(77, Status.SUCCESS))
                case "request":
                    association.send(1, CEchoRQ(5))
                case "peer's release":
                    association.release()
                case "peer's abort":
                    association.abort()
                case "answer again":
                    server.say(associate_ac())
                case "raw release":
                    server.say(release_rq(), echo_rq())
                case "raw response to release":
                    server.say(release_rp())
                case "half a PDU":
                    server.say(abort().encode()[:7])
                case "nonsense":
                    server.say(b"GET")
                case "close":
                    server.wire.loseConnection()
        except (OutOfSequence, NoPresentationContext):
            pass

    @requirement("H10")
    @settings(max_examples=300, deadline=None)
    @given(
        st.integers(0, 3),
        st.booleans(),
        st.lists(STEPS, max_size=40),
    )
    def test_each_is_told_once(
        self, window: int, small: bool, steps: list[tuple[str, bool]]
    ) -> None:
        """Everybody who waits is told once, every source is closed once, nothing is left."""
        self.begin(window, small)
        for step, carried in steps:
            self.do(step)
            if carried:
                self.flush()
            for waiter in self.waiters:
                self.assertLessEqual(len(waiter.results), 1)
            for source in self.sources:
                self.assertLessEqual(source.closed, 1)
        self.peer.abort()
        self.endpoint.connections[0].server_transport.resumeProducing()
        self.endpoint.advance(100)
        for waiter in [*self.waiters, self.ended, self.closed]:
            self.assertEqual(len(waiter.results), 1, steps)
        for source in self.sources:
            self.assertEqual(source.closed, 1, steps)
        self.assert_nothing_left()
