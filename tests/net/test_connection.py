"""Connections: timers where they meet each other, peers that cannot be answered, identities."""

from __future__ import annotations

from typing import Any, cast

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.association import Ending, Outcome
from pacs_twisted.dimse import CEchoRQ, CEchoRSP, Status
from pacs_twisted.net import (
    AcceptorFactory,
    AcceptorProtocol,
    Applicant,
    ApplicationEntity,
    Limits,
    Timeouts,
)
from pacs_twisted.pdu import AAssociateAC, AAssociateRJ, UserIdentity
from pacs_twisted.services import RequestContext, Verification
from pacs_twisted.testing import NoAnswer, ScriptedRequestor, associate_rq, echo_rq
from pacs_twisted.upper_layer.negotiation import USER_IDENTITY_REFUSED
from tests.requirements import requirement

Judgement = AAssociateRJ | None


class Everybody:
    """An admission that rejects nobody."""

    limits = Limits()

    def judge(self, applicant: Applicant) -> Judgement:
        """Let it in."""
        return None


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


class NoRoomTests(SynchronousTestCase):
    """A peer whose maximum length has no room for a fragment cannot be answered."""

    def test_rejected(self) -> None:
        """It is rejected with 1/1/1, whoever judges the applicants; the next ones are accepted."""
        factory = AcceptorFactory(
            ApplicationEntity("PACS", [Verification()]), admission=Everybody(), reactor=Clock()
        )
        for length, answer in (
            *((length, AAssociateRJ(1, 1, 1)) for length in range(1, 8)),
            (8, AAssociateAC),
            (0, AAssociateAC),
            (None, AAssociateAC),
            (0xFFFFFFFF, AAssociateAC),
        ):
            rq = associate_rq()
            information = attrs.evolve(rq.user_information, maximum_length_received=length)
            rq = attrs.evolve(rq, user_information=information)
            answered = ScriptedRequestor(factory).associate(rq)
            if isinstance(answer, AAssociateRJ):
                self.assertEqual(answered, answer)
            else:
                self.assertIsInstance(answered, answer)


class IdentityTests(SynchronousTestCase):
    """An admission of one's own may judge who the user is."""

    @requirement("E17")
    def test_refused_identity(self) -> None:
        """A wrong passcode is answered with 1/2/1, and stands nowhere in the log."""

        class Guard(Everybody):
            def judge(self, applicant: Applicant) -> Judgement:
                identity = applicant.request.user_information.user_identity
                known = identity is not None and identity.secondary_field == b"open sesame"
                return None if known else USER_IDENTITY_REFUSED

        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        factory = AcceptorFactory(
            ApplicationEntity("PACS", [Verification()]), admission=Guard(), reactor=Clock()
        )
        for passcode, answer in (b"hush hush", AAssociateRJ), (b"open sesame", AAssociateAC):
            rq = associate_rq()
            information = attrs.evolve(
                rq.user_information, user_identity=UserIdentity(2, b"alice", passcode)
            )
            rq = attrs.evolve(rq, user_information=information)
            answered = ScriptedRequestor(factory).associate(rq)
            self.assertIsInstance(answered, answer)
            if isinstance(answered, AAssociateRJ):
                self.assertEqual(answered, AAssociateRJ(1, 2, 1))
        self.assertTrue(events)
        self.assertNotIn("hush", repr(events))
        self.assertNotIn("sesame", repr(events))

    @requirement("E15", "E16")
    def test_no_answer(self) -> None:
        """Without a verifier an identity is accepted, and not answered even if asked for."""
        factory = AcceptorFactory(ApplicationEntity("PACS", [Verification()]), reactor=Clock())
        rq = associate_rq()
        information = attrs.evolve(
            rq.user_information,
            user_identity=UserIdentity(1, b"alice", positive_response_requested=True),
        )
        answered = ScriptedRequestor(factory).associate(
            attrs.evolve(rq, user_information=information)
        )
        assert isinstance(answered, AAssociateAC)
        self.assertIsNone(answered.user_information.user_identity_response)


class CloseTests(SynchronousTestCase):
    """A connection is closed without waiting, and gone in bounded time."""

    @requirement("A6")
    def test_peer_that_takes_nothing(self) -> None:
        """Closing returns at once though bytes wait; if they still do later, it is cut."""
        clock = Clock()
        factory = AcceptorFactory(ApplicationEntity("PACS", [Verification()]), reactor=clock)
        requestor = ScriptedRequestor(factory, clock)
        requestor.associate()
        (connection,) = factory.connections
        requestor.pump.client_transport.pauseProducing()
        connection.send(bytes(1_000_000))
        requestor.pump.flush()
        connection.close()
        self.assertEqual(factory.connections, [connection])
        requestor.pump.advance(5.0)
        self.assertEqual(factory.connections, [])
        self.assertEqual(factory.association_count, 0)


class TLSTests(SynchronousTestCase):
    """A handshake that fails is told in one line, because nothing else tells of it."""

    def lose(self, error: BaseException) -> list[str]:
        """Connect, let the transport fail, and return the lines above debug."""
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        factory = AcceptorFactory(ApplicationEntity("PACS", [Verification()]), reactor=Clock())
        connection = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 4711))
        connection.makeConnection(StringTransport())
        connection.connectionLost(Failure(error))
        self.assertEqual(factory.connections, [])
        return [
            formatEvent(event)
            for event in events
            if event["log_level"] > LogLevel.debug and event["log_namespace"] == "pacs_twisted.net"
        ]

    def test_failed_handshake(self) -> None:
        """The words are OpenSSL's, whatever form its error has."""
        kind = type("Error", (Exception,), {"__module__": "OpenSSL.SSL"})
        line = "connection 1 from 127.0.0.1:4711: TLS handshake failed: "
        for arguments, words in (
            (([("SSL routines", "", "no shared cipher")],), "no shared cipher"),
            (([],), "[]"),
            ((-1, "Unexpected EOF"), "(-1, 'Unexpected EOF')"),
            ((), "Error"),
        ):
            self.assertEqual(self.lose(kind(*arguments)), [line + words])

    def test_other_loss(self) -> None:
        """Who only looks in leaves no line."""
        self.assertEqual(self.lose(ConnectionDone()), [])


class LossTests(SynchronousTestCase):
    """The end of an association says how its connection went."""

    def test_how(self) -> None:
        """A peer that closes, a connection that breaks, and one that we drop are told apart."""
        endings: list[Ending] = []
        self.patch(AcceptorProtocol, "association_ended", lambda _, end: endings.append(end))
        for error, how in (
            (ConnectionDone(), "closed by the peer"),
            (ConnectionLost(), "broken off"),
            (ConnectionAborted(), "dropped"),
        ):
            clock = Clock()
            factory = AcceptorFactory(ApplicationEntity("PACS", [Verification()]), reactor=clock)
            ScriptedRequestor(factory, clock).associate()
            (connection,) = factory.connections
            connection.connectionLost(Failure(error))
            ending = endings.pop()
            self.assertEqual((ending.outcome, str(ending.cause)), (Outcome.LOST, how))
            self.assertEqual(endings, [])


class HandlerTimeoutTests(SynchronousTestCase):
    """A service that takes too long."""

    def test_told(self) -> None:
        """Its peer gets a failure, and it is told that nobody waits any more."""
        told: list[str] = []

        class Slow(Verification):
            def c_echo(self, request: CEchoRQ, context: RequestContext) -> Any:
                context.on_cancel(lambda: told.append("on_cancel"))
                return Deferred(lambda _: told.append("canceller"))

        clock = Clock()
        factory = AcceptorFactory(
            ApplicationEntity("PACS", [Slow()]), timeouts=Timeouts(handler=5.0), reactor=clock
        )
        requestor = ScriptedRequestor(factory, clock)
        requestor.associate()
        self.assertRaises(NoAnswer, requestor.echo)
        requestor.advance(5.0)
        (response,) = requestor.responses
        assert isinstance(response, CEchoRSP)
        self.assertEqual(response.status, Status.PROCESSING_FAILURE)
        self.assertEqual(told, ["on_cancel", "canceller"])
