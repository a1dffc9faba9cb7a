"""The acceptor's end of a connection: admission, establishment, release and abort."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import LogLevel

from pacs_twisted.admission import AdmissionPolicy, Applicant, Limits, PermittedPeer
from pacs_twisted.net import Timeouts
from pacs_twisted.pdu import AAssociateRJ
from tests.bytes_of import IMPLICIT_ITEM, item, pdu, proposed_context
from tests.net.memory import (
    ABORT,
    AC,
    RELEASE_RP,
    RELEASE_RQ,
    Peer,
    ServerCase,
    abort_by_provider,
    associate_rq,
    echo_rq,
    reject,
    split_pdus,
    window,
)
from tests.requirements import requirement

NO_REASON = reject(1, 1, 1)
STORAGE_CONTEXT = proposed_context(3, item(0x30, b"1.2.840.10008.5.1.4.1.1.2"), IMPLICIT_ITEM)


class Trouble(Exception):
    """What an application raises in these tests."""


@attrs.define
class Policy:
    """An application's own admission, which answers as a test wants it."""

    answer: Any = None
    limits: Limits = attrs.field(factory=Limits)
    asked: list[Applicant] = attrs.field(factory=list)

    def judge(self, applicant: Applicant) -> Any:
        self.asked.append(applicant)
        return self.answer(applicant) if callable(self.answer) else self.answer


class RejectTests(ServerCase):
    """Who is refused hears why, and the connection waits for the peer to close it."""

    def assert_rejected(self, rq: bytes, answer: bytes, **options: Any) -> None:
        """Assert what a server with these options answers."""
        self.make_factory(**options)
        peer = self.connect()
        peer.send(rq)
        self.assertEqual(peer.take(), answer)
        self.assertEqual((peer.state, peer.is_closed), ("Sta13", False))
        self.assertEqual(self.factory.association_count, 0)
        peer.close()
        self.assert_over(peer)

    @requirement("C1", "F1")
    def test_version(self) -> None:
        """Without bit 0 of the version: 1/2/2, before anybody is asked; with it all is well."""
        policy = Policy()
        for version in 2, 0, 0xFFFE:
            self.assert_rejected(associate_rq(version=version), reject(1, 2, 2), admission=policy)
        self.assertEqual(policy.asked, [])
        for version in 1, 3, 0xFFFF:
            self.assertEqual(self.associated(associate_rq(version=version)).echo(), [(1, 0)])

    @requirement("F3", "F8")
    def test_application_context(self) -> None:
        """A foreign application context: 1/1/2."""
        rq = associate_rq(application_context=item(0x10, b"1.2.840.10008.3.1.1.2"))
        self.assert_rejected(rq, reject(1, 1, 2))

    @requirement("C2", "F2", "F8")
    def test_titles(self) -> None:
        """The called title: 1/1/7; the calling one: 1/1/3."""
        required = AdmissionPolicy(require_called_ae=True)
        self.assert_rejected(associate_rq(), reject(1, 1, 7), admission=required)
        lower = associate_rq(called=b"pacs_echo")
        self.assert_rejected(lower, reject(1, 1, 7), admission=required)
        permitted = AdmissionPolicy(permitted=(PermittedPeer.parse("CT1"),))
        self.assert_rejected(associate_rq(), reject(1, 1, 3), admission=permitted)
        self.assert_rejected(associate_rq(b"ct1"), reject(1, 1, 3), admission=permitted)

    @requirement("C4", "F8")
    def test_no_title(self) -> None:
        """Titles that are none: rejects, no crash."""
        for bad in (b"", bytes(16), b"\x80\xff", b"A\\B", b"\r\n", "é".encode()):
            self.assert_rejected(associate_rq(called=bad), reject(1, 1, 7))
            self.assert_rejected(associate_rq(bad), reject(1, 1, 3))

    def test_network(self) -> None:
        """A permitted title from a network that is not: 1/1/3."""
        policy = AdmissionPolicy(permitted=(PermittedPeer.parse("ECHOSCU@10.0.0.0/8"),))
        self.make_factory(admission=policy)
        for host, code in (
            ("10.1.2.3", AC),
            ("::ffff:10.1.2.3", AC),
            ("127.0.0.1", 3),
            ("2001:db8::1", 3),
        ):
            self.assertEqual(self.connect(host).associate()[0], code, host)

    def test_maximum_length(self) -> None:
        """A maximum length that leaves no room for a fragment: 1/1/1."""
        self.assert_rejected(associate_rq(maximum_length=7), NO_REASON)

    @requirement("F5")
    def test_order(self) -> None:
        """The version goes before the context, that before the title, that before the limit."""
        foreign = item(0x10, b"1.2.3")
        admission = AdmissionPolicy(
            require_called_ae=True, limits=Limits(associations=1), permitted=()
        )
        self.make_factory(admission=admission)
        there = self.connect()
        there.associate(associate_rq(called=b"PACS_ECHO"))
        for rq, code in (
            (associate_rq(version=2, application_context=foreign), (1, 2, 2)),
            (associate_rq(application_context=foreign), (1, 1, 2)),
            (associate_rq(), (1, 1, 7)),
            (associate_rq(called=b"PACS_ECHO"), (2, 3, 2)),
        ):
            self.assertEqual(self.connect().associate(rq), reject(*code))

    @requirement("A7")
    def test_no_context(self) -> None:
        """No context accepted: an A-ASSOCIATE-AC that says so; by policy a reject 1/1/1."""
        rq = associate_rq(contexts=STORAGE_CONTEXT)
        peer = self.associated(rq)
        peer.send(RELEASE_RQ)
        self.assertEqual(peer.take(), RELEASE_RP)
        peer.close()
        self.assert_over(peer)
        self.assert_rejected(rq, NO_REASON, reject_empty=True)

    @requirement("A1", "F6")
    def test_then_closes(self) -> None:
        """After the reject the server waits for the peer, under ARTIM, and serves nothing."""
        self.make_factory(admission=AdmissionPolicy(require_called_ae=True))
        peer = self.connect()
        peer.associate()
        self.reactor.wait(29)
        self.assertFalse(peer.is_closed)
        peer.send(echo_rq())
        self.assertEqual(peer.take(), b"")
        peer.send(associate_rq(called=b"PACS_ECHO"))  # a second try on the same connection
        self.assertEqual(peer.take(), abort_by_provider(2))
        peer.send(associate_rq(called=b"PACS_ECHO"))
        self.assertEqual(peer.take(), b"")
        self.reactor.wait(1)
        self.assert_over(peer)


class JudgementTests(ServerCase):
    """An application's own admission may take its time, and may fail."""

    def admit(self, answer: Any, timeouts: Timeouts | None = None) -> Policy:
        """Let an application's policy answer so."""
        policy = Policy(answer)
        self.make_factory(admission=policy, timeouts=timeouts)
        return policy

    def assert_serves(self, peer: Peer) -> None:
        """Assert that an association is as good as any."""
        [pdu] = peer.pdus()
        self.assertEqual(pdu[0], AC)
        self.assertEqual(peer.echo(), [(1, 0)])
        peer.send(RELEASE_RQ)
        self.assertEqual(peer.take(), RELEASE_RP)
        peer.close()
        self.assert_over(peer)

    def assert_refused(self, peer: Peer, answer: bytes) -> None:
        """Assert that it was rejected, and that nothing is left of it."""
        self.assertEqual(peer.take(), answer)
        self.assertEqual(self.factory.association_count, 0)
        peer.close()
        self.assert_over(peer)

    def ask(self, host: str = "10.1.2.3") -> Peer:
        """Let a peer ask for an association."""
        peer = self.connect(host)
        peer.send(associate_rq())
        return peer

    def test_applicant(self) -> None:
        """It is told who asks and how things stand."""
        policy = self.admit(None)
        for _ in range(2):
            self.ask()
        self.ask("10.9.9.9")
        told = [
            (str(each.address), each.associations, each.associations_of_host)
            for each in policy.asked
        ]
        self.assertEqual(told, [("10.1.2.3", 0, 0), ("10.1.2.3", 1, 1), ("10.9.9.9", 2, 0)])
        self.assertEqual(policy.asked[0].ae_title, "PACS_ECHO")
        self.assertEqual(policy.asked[0].request.calling_ae_title, "ECHOSCU")

    def test_value(self) -> None:
        """At once, by a value."""
        self.admit(None)
        self.assert_serves(self.ask())
        self.admit(AAssociateRJ(2, 1, 1))
        self.assert_refused(self.ask(), reject(2, 1, 1))

    def test_deferred(self) -> None:
        """At once, by a `Deferred`, a coroutine, or something else that can be awaited."""

        class Answer(Awaitable[Any]):
            def __init__(self, value: Any) -> None:
                self.value = value

            def __await__(self) -> Generator[Any, Any, Any]:
                return succeed(self.value).__await__()

        async def coroutine(value: Any) -> Any:
            return value

        for make in (succeed, coroutine, Answer):
            self.admit(lambda _, make=make: make(None))
            self.assert_serves(self.ask())
            self.admit(lambda _, make=make: make(AAssociateRJ(1, 1, 3)))
            self.assert_refused(self.ask(), reject(1, 1, 3))

    def test_later(self) -> None:
        """Later: the peer waits in Sta3, and its place is taken meanwhile."""
        answers: list[Deferred[Any]] = []

        def judge(_: Applicant) -> Deferred[Any]:
            answers.append(Deferred())
            return answers[-1]

        self.admit(judge)
        accepted, rejected = self.ask(), self.ask()
        self.assertEqual((accepted.state, accepted.take()), ("Sta3", b""))
        self.assertEqual(self.factory.association_count, 2)
        answers[1].callback(AAssociateRJ(1, 1, 1))
        self.assertEqual(self.factory.association_count, 1)
        self.assertEqual(rejected.take(), NO_REASON)
        rejected.close()
        answers[0].callback(None)
        self.reactor.run()
        self.assert_serves(accepted)

    def test_slow_coroutine(self) -> None:
        """The same by a coroutine."""
        gate: Deferred[None] = Deferred()

        async def judge(_: Applicant) -> None:
            await gate

        self.admit(judge)
        peer = self.ask()
        self.assertEqual(peer.state, "Sta3")
        gate.callback(None)
        self.reactor.run()
        self.assert_serves(peer)

    def test_fails(self) -> None:
        """A judgement that fails in any way is a reject 1/1/1 and a traceback in the log."""

        def raises(_: Applicant) -> None:
            raise Trouble

        async def raises_later(_: Applicant) -> None:
            raise Trouble

        for judge in (raises, raises_later, lambda _: fail(Trouble())):
            self.admit(judge)
            self.forget_log()
            self.assert_refused(self.ask(), NO_REASON)
            [event] = self.events("admission-failure")
            self.assertIs(event["log_level"], LogLevel.critical)
            self.assertEqual(len(self.flushLoggedErrors(Trouble)), 1)

    def test_wrong_type(self) -> None:
        """An answer that is none is an error of the application's: nobody is let in by it."""
        for answer in (True, False, "yes", succeed(True), succeed("no")):
            self.admit(answer)
            self.assert_refused(self.ask(), NO_REASON)
            self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1, answer)

    def test_peer_gone(self) -> None:
        """A peer that goes meanwhile: the judgement is cancelled, and is not heard any more."""
        cancelled: list[Any] = []
        for end in (Peer.close, Peer.reset, lambda peer: peer.send(ABORT)):
            self.admit(lambda _: Deferred(cancelled.append))
            peer = self.ask()
            cancelled.clear()
            end(peer)
            self.assertEqual(len(cancelled), 1)
            self.assert_over(peer)
        self.assertEqual(self.lines(LogLevel.error), [])

    def test_answers_too_late(self) -> None:
        """One that cannot be cancelled and answers when all is over is not heard."""
        for late in (None, AAssociateRJ(1, 1, 1), Trouble()):
            answer: Deferred[Any] = Deferred()
            self.admit(lambda _, answer=answer: answer)
            peer = self.ask()
            peer.close()
            if isinstance(late, Exception):
                answer.errback(late)
            else:
                answer.callback(late)
            self.assertEqual(peer.take(), b"")
            self.assert_over(peer)
        self.assertEqual(self.lines(LogLevel.error), [])

    def test_speaks_too_early(self) -> None:
        """A peer that sends anything meanwhile is aborted, the judgement is not heard."""
        answer: Deferred[Any] = Deferred()
        self.admit(lambda _: answer)
        peer = self.ask()
        peer.send(echo_rq())
        self.assertEqual(peer.take(), abort_by_provider(2))
        self.assertTrue(answer.called)
        peer.close()
        self.assert_over(peer)

    @requirement("A8")
    def test_acse_timer(self) -> None:
        """A judgement that takes too long: the ACSE timer aborts, ARTIM has nothing to do."""
        answer: Deferred[Any] = Deferred()
        self.admit(lambda _: answer, Timeouts(artim=5, acse=12))
        peer = self.ask()
        self.reactor.wait(11)
        self.assertEqual((peer.take(), peer.state), (b"", "Sta3"))
        self.reactor.wait(1)
        self.assertEqual((peer.take(), peer.state), (ABORT, "Sta13"))
        self.assertEqual(self.factory.association_count, 0)
        self.assertTrue(answer.called)
        self.reactor.wait(5)
        self.assert_over(peer)

    def test_drained_meanwhile(self) -> None:
        """A shut-down answers 2/3/1 to who still waits."""
        answer: Deferred[Any] = Deferred()
        self.admit(lambda _: answer)
        peer = self.ask()
        self.factory.shut_down()
        self.reactor.run()
        self.assertEqual(peer.take(), reject(2, 3, 1))
        self.assertTrue(answer.called)
        peer.close()
        self.assert_over(peer)


class EstablishmentTests(ServerCase):
    """The A-ASSOCIATE-AC."""

    @requirement("A2")
    def test_speaks_second(self) -> None:
        """The server says nothing first."""
        peer = self.connect()
        self.reactor.wait(29)
        self.assertEqual(peer.take(), b"")

    @requirement("C5")
    def test_echo_of_titles(self) -> None:
        """What the peer sent as titles, and reserved, comes back byte for byte."""
        rq = bytearray(associate_rq(b" ct1\0", b"ANY\0\0"))
        rq[42:74] = bytes(range(32))
        answer = self.connect().associate(bytes(rq))
        self.assertEqual(answer[10:74], rq[10:74])

    @requirement("E7")
    def test_window(self) -> None:
        """The window is answered if it was proposed, with what the server does."""
        self.make_factory(maximum_operations=4)
        self.assertNotIn(b"\x53\x00\x00\x04", self.connect().associate())
        for proposed, answered in ((0, 4), (1, 1), (9, 4)):
            answer = self.connect().associate(associate_rq(user_items=window(proposed, 0)))
            self.assertIn(item(0x53, bytes((0, answered, 0, 1))), answer)

    @requirement("A10")
    def test_any_chunks(self) -> None:
        """Byte by byte, or everything at once with requests and release behind: the same answer."""
        stream = associate_rq() + echo_rq(1) + echo_rq(2) + RELEASE_RQ
        peers = [self.connect(), self.connect()]
        peers[0].drip(stream)
        peers[1].send(stream)
        first, second = (peer.take() for peer in peers)
        self.assertEqual(first, second)
        self.assertEqual([each[0] for each in split_pdus(first)], [AC, 4, 4, 6])

    def test_wrapped(self) -> None:
        """A transport that is not Twisted's own serves as well."""
        peer = self.associated(wrapped=True)
        peer.send(echo_rq(1), echo_rq(2), RELEASE_RQ)
        self.assertEqual([each[0] for each in peer.pdus()], [4, 4, 6])
        peer.close()
        self.assert_over(peer)


class ReleaseTests(ServerCase):
    """The peaceful end."""

    @requirement("A1", "H2", "H3", "H4")
    def test_release(self) -> None:
        """The server answers, waits for the peer's close, and says nothing more."""
        peer = self.associated()
        peer.send(RELEASE_RQ)
        self.assertEqual((peer.take(), peer.state, peer.is_closed), (RELEASE_RP, "Sta13", False))
        peer.send(echo_rq())
        self.assertEqual(peer.take(), b"")
        peer.close()
        self.assert_over(peer)

    def test_peer_does_not_close(self) -> None:
        """A peer that does not close is closed by ARTIM."""
        peer = self.associated()
        peer.send(RELEASE_RQ)
        self.reactor.wait(29)
        self.assertFalse(peer.is_closed)
        self.reactor.wait(1)
        self.assert_over(peer)
        self.assertEqual(self.lines(LogLevel.warn), [])

    def test_close_right_after(self) -> None:
        """A peer that closes without waiting for the answer is no error (ruby-dicom does)."""
        peer = self.associated()
        peer.socket.arrived += RELEASE_RQ
        peer.close()
        self.assert_over(peer)
        self.assertEqual(self.lines(LogLevel.warn), [])

    @requirement("H1", "H5")
    def test_collision(self) -> None:
        """The server releases an idle association while the peer does: both end in peace."""
        self.make_factory(idle_action="release")
        peer = self.associated()
        self.reactor.wait(30)
        self.assertEqual((peer.take(), peer.state), (RELEASE_RQ, "Sta7"))
        peer.send(RELEASE_RQ)
        self.assertEqual((peer.take(), peer.state), (b"", "Sta10"))
        peer.send(RELEASE_RP)
        self.assertEqual((peer.take(), peer.state), (RELEASE_RP, "Sta13"))
        peer.close()
        self.assert_over(peer)
        self.assertEqual(self.lines(LogLevel.warn), [])

    @requirement("H1")
    def test_idle_release(self) -> None:
        """By policy an idle association is released; what still comes is taken, unanswered."""
        self.make_factory(idle_action="release")
        peer = self.associated()
        self.reactor.wait(30)
        self.assertEqual(peer.take(), RELEASE_RQ)
        peer.send(echo_rq())
        self.assertEqual((peer.take(), peer.state), (b"", "Sta7"))
        peer.send(RELEASE_RP)
        self.assert_over(peer)

    def test_release_unanswered(self) -> None:
        """If the peer does not answer that, the ACSE timer aborts."""
        self.make_factory(idle_action="release", timeouts=Timeouts(idle=10, acse=20, artim=5))
        for further in (b"", RELEASE_RQ):
            peer = self.associated()
            self.reactor.wait(10)
            self.assertEqual(peer.take(), RELEASE_RQ)
            peer.send(further)
            self.reactor.wait(19)
            self.assertIn(peer.state, ("Sta7", "Sta10"))
            self.reactor.wait(1)
            self.assertEqual((peer.take(), peer.state), (ABORT, "Sta13"))
            self.reactor.wait(5)
            self.assert_over(peer)


class AbortTests(ServerCase):
    """The other ends."""

    @requirement("H7")
    def test_by_peer(self) -> None:
        """A peer's A-ABORT closes the connection, without an answer."""
        for data in (ABORT, abort_by_provider(2), pdu(0x07, b"\x00\x00\x09\x63")):
            peer = self.associated()
            peer.send(data)
            self.assertEqual(peer.take(), b"")
            self.assert_over(peer)

    @requirement("H6")
    def test_by_us(self) -> None:
        """Ours is sent once, then the peer has ARTIM's time to close."""
        peer = self.associated()
        peer.connection.association.abort()
        peer.connection.association.abort()
        self.assertEqual((peer.take(), peer.state), (ABORT, "Sta13"))
        peer.send(echo_rq())
        self.assertEqual(peer.take(), b"")
        self.reactor.wait(30)
        self.assert_over(peer)

    @requirement("H8")
    def test_unexpected(self) -> None:
        """A PDU that does not belong there: A-ABORT by the provider, reason 2."""
        for data in (associate_rq(), RELEASE_RP, pdu(0x03, b"\x00\x01\x01\x01")):
            peer = self.associated()
            peer.send(data)
            self.assertEqual((peer.take(), peer.state), (abort_by_provider(2), "Sta13"))
            peer.close()
            self.assert_over(peer)

    @requirement("H9")
    def test_before_association(self) -> None:
        """Before there is an association: A-ABORT by the user, and ARTIM begins anew."""
        for data in (b"GET / HTTP/1.1\r\n\r\n", RELEASE_RQ, echo_rq(), b"\x01\0\xff\xff\xff\xff"):
            peer = self.connect()
            self.reactor.wait(20)
            peer.send(data)
            self.assertEqual((peer.take(), peer.state), (ABORT, "Sta13"))
            self.reactor.wait(29)
            self.assertFalse(peer.is_closed)
            self.reactor.wait(1)
            self.assert_over(peer)

    def test_abort_before_association(self) -> None:
        """A peer's A-ABORT then is no more than a close."""
        peer = self.connect()
        peer.send(ABORT)
        self.assertEqual(peer.take(), b"")
        self.assert_over(peer)

    @requirement("A9")
    def test_lost(self) -> None:
        """A connection that breaks in any state is the end, and the log says what it cost."""
        for prepare in (
            lambda peer: peer.associate(),
            lambda peer: (peer.associate(), peer.send(echo_rq()[:20])),
            lambda peer: (peer.associate(), peer.send(echo_rq(), RELEASE_RQ)),
        ):
            for end in (Peer.close, Peer.reset):
                peer = self.connect()
                prepare(peer)
                end(peer)
                self.assert_over(peer)
        self.assertEqual(len(self.events("lost")), 4)

    def test_error_in_data_received(self) -> None:
        """An error of ours while bytes are handled: A-ABORT, a traceback, and nobody else."""
        other = self.associated()
        for wrapped in False, True:
            peer = self.associated(wrapped=wrapped)

            def broken(*_: object) -> None:
                raise Trouble

            connection: Any = peer.connection
            connection.message_received = broken
            peer.send(echo_rq(), echo_rq())
            self.assertEqual((peer.take(), peer.state), (ABORT, "Sta13"))
            self.assertEqual(len(self.flushLoggedErrors(Trouble)), 1)
            self.assertEqual(self.factory.association_count, 1)
            self.reactor.wait(5)
            self.assertTrue(peer.is_closed)
        self.assertEqual(other.echo(), [(1, 0)])
        other.close()
        self.assert_nothing_left()
