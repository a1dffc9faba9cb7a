"""Asking for associations: what is sent, how connecting goes, and every way to hear no."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet import endpoints
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.error import (
    ConnectError,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
)
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint
from twisted.internet.protocol import ServerFactory
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogLevel
from twisted.trial.unittest import SkipTest
from zope.interface import implementer

from pacs_twisted.dimse import CEchoRQ, Status
from pacs_twisted.errors import (
    AssociationAborted,
    AssociationLost,
    AssociationRejected,
    ConnectionFailed,
    InvalidPDU,
    NoPresentationContext,
    OutOfSequence,
    TimedOut,
    UnexpectedPDU,
)
from pacs_twisted.net import (
    AcceptorFactory,
    AdmissionPolicy,
    ApplicationEntity,
    Timeouts,
    associate,
)
from pacs_twisted.net.client import propose
from pacs_twisted.pdu import (
    AAssociateAC,
    AAssociateRJ,
    ContextResult,
    ProposedContext,
    RoleSelection,
    UserIdentity,
)
from pacs_twisted.services import Verification
from pacs_twisted.testing import abort, associate_ac, echo_rsp, release_rp, release_rq
from pacs_twisted.uids import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLEMENTATION_CLASS_UID,
    IMPLICIT_VR_LITTLE_ENDIAN,
    VERIFICATION,
)
from tests.net.memory import ABORT, split_pdus
from tests.net.requesting import CT, SECONDS, Peer, RequestorCase, Waiter
from tests.requirements import requirement

A_ABORT = 7


class ProposeTests(RequestorCase):
    """What is proposed."""

    def test_forms(self) -> None:
        """A UID gets the uncompressed transfer syntaxes; numbers are given where there are none."""
        (first, second, third, fourth) = propose(
            [
                VERIFICATION,
                (CT, [EXPLICIT_VR_LITTLE_ENDIAN]),
                ProposedContext(3, CT, (IMPLICIT_VR_LITTLE_ENDIAN,)),
                CT,
            ]
        )
        self.assertEqual([each.context_id for each in (first, second, third, fourth)], [1, 5, 3, 7])
        self.assertEqual(second.transfer_syntaxes, (EXPLICIT_VR_LITTLE_ENDIAN,))
        for each in first, fourth:
            self.assertIn(IMPLICIT_VR_LITTLE_ENDIAN, each.transfer_syntaxes)

    @requirement("D1")
    def test_how_many(self) -> None:
        """1 to 128 contexts, with the IDs 1 to 255."""
        self.assertEqual([each.context_id for each in propose([CT] * 128)], list(range(1, 256, 2)))
        self.assertRaises(ValueError, propose, [])
        self.assertRaises(ValueError, propose, [CT] * 129)

    @requirement("D1", "D2", "C3", "E14")
    def test_mistakes(self) -> None:
        """What the standard does not allow is refused before anybody connects."""
        mistakes: Sequence[dict[str, Any]] = (
            {"called": ""},
            {"called": "SEVENTEEN LETTERS"},
            {"calling": "BACK\\SLASH"},
            {"calling": "N\u00c4ME"},
            {"contexts": []},
            {"contexts": [(CT, [])]},
            {"contexts": [ProposedContext(2, CT, (IMPLICIT_VR_LITTLE_ENDIAN,))]},
            {"contexts": [ProposedContext(257, CT, (IMPLICIT_VR_LITTLE_ENDIAN,))]},
            {"contexts": [ProposedContext(1, CT, (IMPLICIT_VR_LITTLE_ENDIAN,))] * 2},
            {"contexts": [("1.2.\u00e9", [IMPLICIT_VR_LITTLE_ENDIAN])]},
            {"maximum_length": 127},
            {"maximum_length": -1},
            {"maximum_length": 1 << 32},
            {"maximum_operations": -1},
            {"maximum_operations": 65536},
        )
        for options in mistakes:
            with self.assertRaises(ValueError, msg=str(options)):
                self.ask(**options)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_types(self) -> None:
        """What is of a wrong type is refused in words before anybody connects."""
        mistakes: Sequence[tuple[dict[str, Any], str]] = (
            ({"called": None}, "called: str wanted, not NoneType"),
            ({"calling": b"ME"}, "calling: str wanted, not bytes"),
            ({"timeouts": 5}, "timeouts: Timeouts wanted, not int"),
            ({"maximum_length": "1"}, "maximum_length: int wanted, not str"),
            ({"maximum_operations": None}, "maximum_operations: int wanted, not NoneType"),
            ({"user_identity": "me"}, "user_identity: UserIdentity wanted, not str"),
            ({"contexts": CT}, "contexts: a list of presentation contexts, not a single str"),
            ({"contexts": 5}, "contexts: a list of presentation contexts, not a single int"),
            ({"contexts": None}, "contexts: a list of presentation contexts, not None"),
            ({"contexts": [1]}, "or a ProposedContext, not a single int"),
            ({"contexts": [(1, [])]}, "or a ProposedContext, not a single tuple"),
            ({"contexts": [(CT,)]}, "or a ProposedContext, not a single tuple"),
            ({"contexts": [(CT, CT)]}, "contexts: a list of transfer syntaxes, not a single str"),
            ({"role_selections": [5]}, "role_selections: RoleSelection wanted, not int"),
        )
        for options, words in mistakes:
            with self.assertRaises(TypeError, msg=str(options)) as raised:
                self.ask(**options)
            self.assertIn(words, str(raised.exception))
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.assertEqual(self.endpoint.attempts, 0)

    def test_endpoint_string(self) -> None:
        """What is no endpoint, nor the string of one, is the caller's mistake."""
        for text, words in (
            ("nonsense:", "write tcp:host:port"),
            ("host:104", "Unknown endpoint type: 'host'; for a host and a port write"),
            ("", "write tcp:host:port"),
            ("tcp:host", "missing 1 required positional argument: 'port'"),
            ("tcp:host:x", "invalid literal"),
        ):
            with self.assertRaises(ValueError, msg=text) as raised:
                associate(text, called="PEER", reactor=self.clock)
            self.assertIn("not a usable endpoint string", str(raised.exception))
            self.assertIn(words, str(raised.exception))
        for value in (None, b"tcp:host:104", 104):
            wrong: Any = value
            with self.assertRaises(TypeError) as raised_too:
                associate(wrong, called="PEER", reactor=self.clock)
            self.assertIn("a client endpoint, or the string", str(raised_too.exception))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_endpoint_string_without_tls(self) -> None:
        """Without what TLS takes it is said how to get it."""

        def fail(*_: object) -> None:
            raise NameError("name 'optionsForClientTLS' is not defined")

        self.patch(endpoints, "clientFromString", fail)
        with self.assertRaises(ValueError) as raised:
            associate("tls:host:2762", called="PEER", reactor=self.clock)
        self.assertIn("needs pip install 'pacs-twisted[tls]'", str(raised.exception))

    @requirement("C8", "E1", "E6", "E9", "C6")
    def test_request(self) -> None:
        """What goes out says what was asked for, and nothing that was not."""
        peer = self.establish(called="PEER", calling="ME", maximum_length=4096)
        (rq,) = self.server.user.requests
        self.assertEqual((rq.called_ae_title, rq.calling_ae_title), ("PEER", "ME"))
        information = rq.user_information
        self.assertEqual(information.maximum_length_received, 4096)
        self.assertEqual(information.implementation_class_uid, IMPLEMENTATION_CLASS_UID)
        self.assertIsNone(information.asynchronous_operations_window)
        self.assertEqual(information.role_selections, ())
        self.assertIsNone(information.user_identity)
        self.assertEqual(peer.request.encode(), rq.encode())
        self.assertEqual(peer.answer, self.server.user.answer)

    def test_options(self) -> None:
        """Window, roles and identity go out as they are given."""
        role = RoleSelection(CT, True, True)
        identity = UserIdentity(2, b"somebody", b"passcode", True)
        self.establish(
            maximum_operations=5, role_selections=[role], user_identity=identity, maximum_length=0
        )
        information = self.server.user.requests[0].user_information
        window: Any = information.asynchronous_operations_window
        self.assertEqual(
            (window.maximum_number_operations_invoked, window.maximum_number_operations_performed),
            (5, 1),
        )
        self.assertEqual(information.role_selections, (role,))
        self.assertEqual(information.user_identity, identity)
        self.assertEqual(information.maximum_length_received, 0)
        self.assertNotIn("passcode", str(self.log))


class EstablishTests(RequestorCase):
    """An association is there."""

    def test_what_was_agreed(self) -> None:
        """Who holds it can see what was agreed on."""
        peer = self.establish(Peer(maximum_length=5000), debug=True)
        self.assertEqual([*peer.contexts], [1, 3])
        self.assertEqual(peer.find_context(CT).context_id, 3)
        self.assertEqual(peer.find_context(CT, IMPLICIT_VR_LITTLE_ENDIAN).context_id, 3)
        self.assertRaises(NoPresentationContext, peer.find_context, CT, EXPLICIT_VR_LITTLE_ENDIAN)
        self.assertRaises(NoPresentationContext, peer.find_context, "1.2.3")
        self.assertEqual((peer.peer_maximum_length, peer.window, peer.outstanding), (5000, 1, 0))
        self.assertEqual(peer.peer, "127.0.0.1:11112")
        self.assertRegex(peer.number, r"\Ar\d+\Z")
        self.assertFalse(peer.is_over)
        self.assertEqual(peer.bytes_sent, len(self.server.data))
        self.assertGreater(peer.bytes_received, 100)

    def test_against_our_server(self) -> None:
        """A whole story with a server of this package."""
        factory = AcceptorFactory(ApplicationEntity("PACS", [Verification()]), reactor=self.clock)
        self.establish(factory, called="PACS", contexts=[VERIFICATION, CT])
        self.assertEqual([*self.peer.contexts], [1])
        self.assertEqual(self.echo().result, CEchoRQ(1).respond(Status.SUCCESS))
        self.assertRaises(NoPresentationContext, self.peer.store, CT, "1.2", b"12")
        self.release_from(factory)

    def release_from(self, factory: AcceptorFactory) -> None:
        """Release, and assert that nothing is left at either end."""
        released = Waiter(self.peer.release())
        self.flush()
        self.assertIsNone(released.result)
        self.assertEqual(factory.connections, [])
        factory.doStart()
        factory.doStop()
        self.assert_nothing_left()

    def test_bytewise(self) -> None:
        """The same, a byte at a time."""
        factory = AcceptorFactory(ApplicationEntity("PACS", [Verification()]), reactor=self.clock)
        self.establish(factory, chunk_size=1)
        self.assertEqual(self.echo().result.status, 0)
        self.release_from(factory)

    def test_several(self) -> None:
        """Several associations over one endpoint know nothing of each other."""
        factory = AcceptorFactory(ApplicationEntity("PACS", [Verification()]), reactor=self.clock)
        first = self.establish(factory)
        asked = [associate(self.endpoint, called="PACS", reactor=self.clock) for _ in range(10)]
        self.flush()
        self.assertEqual(factory.association_count, 11)
        peers = [self.successResultOf(each) for each in asked]
        self.assertEqual(len({peer.number for peer in (first, *peers)}), 11)
        first.abort()
        self.flush()
        echoes = [peer.echo() for peer in peers]
        self.flush()
        for echo in echoes:
            self.assertEqual(self.successResultOf(echo).status, 0)

    @requirement("D3")
    def test_nothing_accepted(self) -> None:
        """An association without a context is one all the same: the results tell why."""
        refused = associate_ac(results={1: 3})
        peer = self.establish(Peer(answer=refused), contexts=[VERIFICATION])
        self.assertEqual(dict(peer.contexts), {})
        self.assertEqual(peer.answer.context_results[0].result, 3)
        self.assertRaises(NoPresentationContext, peer.echo)
        self.assert_released()

    @requirement("E9", "E11")
    def test_roles(self) -> None:
        """A role that was not answered, or granted unasked, changes nothing; a refused one does."""
        both = RoleSelection(CT, True, True)
        for asked, answered, scu, scp in (
            ([], [], True, False),
            ([], [RoleSelection(CT, False, True)], True, False),
            ([both], [], True, False),
            ([both], [both], True, True),
            ([both], [RoleSelection(CT, False, True)], False, True),
            ([RoleSelection(CT, True, False)], [both], True, False),
        ):
            deferred = self.ask(Peer(silent=True), role_selections=asked)
            self.flush()
            self.server.say(self.answer(role_selections=tuple(answered)))
            self.flush()
            peer = self.successResultOf(deferred)
            context = peer.contexts[3]
            self.assertEqual((context.requestor_is_scu, context.requestor_is_scp), (scu, scp))
            if not scu:
                self.assertRaises(NoPresentationContext, peer.find_context, CT)

    def answer(self, results: Sequence[ContextResult] | None = None, **information: Any) -> Any:
        """Return an A-ASSOCIATE-AC to what `ask` asks for."""
        ac = associate_ac()
        if results is None:
            results = [ContextResult(n, 0, IMPLICIT_VR_LITTLE_ENDIAN) for n in (1, 3)]
        return attrs.evolve(
            ac,
            context_results=tuple(results),
            user_information=attrs.evolve(ac.user_information, **information),
        )


class RejectTests(RequestorCase):
    """A peer that says no."""

    @requirement("F7")
    def test_rejected(self) -> None:
        """Result, source and reason are told in numbers and words; we close, and send nothing."""
        for numbers, words in (
            ((1, 1, 7), "called AE title"),
            ((1, 1, 3), "calling AE title"),
            ((1, 2, 2), "protocol version"),
            ((2, 3, 2), "local limit"),
            ((2, 3, 1), "congestion"),
            ((9, 8, 7), "9/8/7"),
        ):
            waiter = Waiter(self.ask(Peer(silent=True)))
            self.flush()
            self.server.say(AAssociateRJ(*numbers))
            self.flush()
            error = waiter.error
            self.assertIsInstance(error, AssociationRejected)
            self.assertEqual((error.result, error.source, error.reason), numbers)
            self.assertIn(words, str(error))
            self.assertEqual(error.state, "Sta5")
            self.assertEqual(self.server.pdu_types, [1])
            self.assertTrue(self.server.is_lost)
            self.assert_nothing_left()
            self.assertIn(words, self.lines(LogLevel.warn)[-1])

    @requirement("F7")
    def test_by_our_server(self) -> None:
        """The same from a server of this package."""
        factory = AcceptorFactory(
            ApplicationEntity("PACS", [Verification()]),
            admission=AdmissionPolicy(require_called_ae=True),
            reactor=self.clock,
        )
        waiter = Waiter(self.ask(factory, called="OTHER"))
        self.flush()
        self.assertEqual((waiter.error.result, waiter.error.source, waiter.error.reason), (1, 1, 7))
        self.endpoint.advance(100)
        self.assert_nothing_left()

    @requirement("H7")
    def test_aborted(self) -> None:
        """A peer that aborts instead of answering."""
        waiter = Waiter(self.ask(Peer(silent=True)))
        self.flush()
        self.server.say(abort(source=2, reason=1))
        self.flush()
        self.assertIsInstance(waiter.error, AssociationAborted)
        self.assertEqual(
            (waiter.error.source, waiter.error.reason, waiter.error.state), (2, 1, "Sta5")
        )
        self.assertEqual(self.server.pdu_types, [1])
        self.assert_nothing_left()

    def test_lost(self) -> None:
        """A peer that closes instead of answering."""
        waiter = Waiter(self.ask(Peer(silent=True)))
        self.flush()
        self.server.wire.loseConnection()
        self.flush()
        self.assertIsInstance(waiter.error, AssociationLost)
        self.assertEqual(waiter.error.state, "Sta5")
        self.assert_nothing_left()

    @requirement("C7", "D11")
    def test_wrong_answers(self) -> None:
        """An answer that does not answer what was asked ends in an A-ABORT of the provider."""
        ac = associate_ac()
        for answer, kind in (
            (
                AAssociateAC(
                    (ContextResult(7, 0, IMPLICIT_VR_LITTLE_ENDIAN),), ac.user_information
                ),
                InvalidPDU,
            ),
            (
                AAssociateAC(
                    (ContextResult(3, 0, EXPLICIT_VR_LITTLE_ENDIAN),), ac.user_information
                ),
                InvalidPDU,
            ),
            (attrs.evolve(ac, application_context="1.2.3"), InvalidPDU),
            (associate_ac(maximum_length=7), InvalidPDU),
            (echo_rsp(), UnexpectedPDU),
            (release_rq(), UnexpectedPDU),
            (release_rp(), UnexpectedPDU),
        ):
            waiter = Waiter(self.ask(Peer(silent=True)))
            self.flush()
            self.server.say(answer)
            self.flush()
            self.assertIsInstance(waiter.error, kind)
            self.assertEqual(waiter.error.state, "Sta5")
            self.assertEqual(
                split_pdus(bytes(self.server.data))[1:],
                [abort(source=2, reason=kind.abort_reason).encode()],
            )
            self.endpoint.advance(100)
            self.assert_nothing_left()

    @requirement("D11", "D3", "D5")
    def test_missing_results(self) -> None:
        """A result that is missing is a refusal; what stands in a refused one is not looked at."""
        deferred = self.ask(Peer(silent=True))
        self.flush()
        ac = associate_ac()
        self.server.say(attrs.evolve(ac, context_results=(ContextResult(3, 4, "nonsense"),)))
        self.flush()
        self.assertEqual(dict(self.successResultOf(deferred).contexts), {})


class ConnectTests(RequestorCase):
    """The way to a connection."""

    def test_refused(self) -> None:
        """No connection: an error in words, and a line that tells where to."""
        for error, words in (
            (ConnectionRefusedError("Connection refused"), "refused"),
            (ConnectionRefusedError(111), "Connection refused"),
            (NoRouteError("No route to host"), "No route to host"),
            (DNSLookupError("no results for hostname lookup: nowhere"), "nowhere"),
            (ConnectError(), "error"),
            (OSError(24, "Too many open files"), "Too many open files"),
            (ValueError(), "ValueError"),
        ):
            waiter = Waiter(self.ask(error=error))
            self.flush()
            self.assertIsInstance(waiter.error, ConnectionFailed)
            self.assertIn(words, str(waiter.error))
            self.assertEqual((waiter.error.state, waiter.error.__cause__), ("Sta4", error))
            self.assert_nothing_left()
            self.assertIn(words, self.lines(LogLevel.warn)[-1])

    def test_failing_endpoint(self) -> None:
        """An endpoint that fails at once, in either way, is no different."""

        @implementer(IStreamClientEndpoint)
        class Broken:
            def __init__(self, act: Callable[[], Any]) -> None:
                self.act = act

            def connect(self, protocolFactory: object) -> Any:  # noqa: N803
                return self.act()

        def explode() -> None:
            raise OSError(97, "Address family not supported")

        for act in (explode, lambda: fail(OSError(97, "Address family not supported"))):
            waiter = Waiter(associate(Broken(act), called="PEER", reactor=self.clock))
            self.assertIsInstance(waiter.error, ConnectionFailed)
            self.assertIn("Address family", str(waiter.error))
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_timer(self) -> None:
        """Who does not answer in time is given up, and the attempt cancelled."""
        waiter = Waiter(self.ask(delay=None, timeouts=SECONDS))
        self.endpoint.advance(5.9)
        self.assertEqual(waiter.results, [])
        self.endpoint.advance(0.2)
        self.assertIsInstance(waiter.error, TimedOut)
        self.assertEqual(
            (waiter.error.timer, waiter.error.seconds, waiter.error.state), ("connect", 6, "Sta4")
        )
        self.assert_nothing_left()

    def test_no_timer(self) -> None:
        """A timer of 0 waits for ever."""
        waiter = Waiter(self.ask(delay=1e6, timeouts=Timeouts(connect=0)))
        self.endpoint.advance(1e6)
        self.assertFalse(waiter.result.is_over)

    def test_slow(self) -> None:
        """Who takes his time, but not too much, is waited for; the ACSE timer runs from then on."""
        waiter = Waiter(self.ask(Peer(silent=True), delay=5.9, timeouts=SECONDS))
        self.endpoint.advance(7.8)
        self.assertEqual(waiter.results, [])
        self.endpoint.advance(0.2)
        self.assertEqual((waiter.error.timer, waiter.error.state), ("acse", "Sta5"))
        self.assertEqual(self.server.pdu_types, [1, A_ABORT])
        self.endpoint.advance(100)
        self.assert_nothing_left()

    def test_half_an_answer(self) -> None:
        """Half an answer is none: the ACSE timer runs on."""
        waiter = Waiter(self.ask(Peer(silent=True), timeouts=SECONDS))
        self.flush()
        for byte in associate_ac().encode()[:20]:
            self.server.say(bytes([byte]))
            self.endpoint.advance(0.11)
        self.assertEqual(waiter.error.timer, "acse")

    def test_acse_off(self) -> None:
        """An ACSE timer of 0 waits for ever."""
        waiter = Waiter(self.ask(Peer(silent=True), timeouts=Timeouts(acse=0)))
        self.endpoint.advance(1e6)
        self.assertEqual(waiter.results, [])

    def assert_told(self, make: Callable[[Any], Any], words: str) -> None:
        """Assert that an attempt that fails is told with these words of where it was to lead."""
        reactor: Any = MemoryReactorClock()
        waiter = Waiter(
            associate(make(reactor), called="PEER", timeouts=Timeouts(connect=1), reactor=reactor)
        )
        if not waiter.results:
            reactor.advance(1)
        self.assertIsInstance(waiter.error, TimedOut | ConnectionFailed)
        self.assertIn(words, self.lines(LogLevel.warn)[-1])

    def test_where_to(self) -> None:
        """The line about a failure tells where to, as far as the endpoint does."""
        tcp, tcp6 = TCP4ClientEndpoint, TCP6ClientEndpoint
        self.assert_told(lambda reactor: tcp(reactor, "192.0.2.1", 104), "192.0.2.1:104")
        self.assert_told(lambda reactor: tcp6(reactor, "2001:db8::1", 104), "[2001:db8::1]:104")
        self.assert_told(lambda reactor: UNIXClientEndpoint(reactor, "/run/pacs"), "/run/pacs")
        self.assert_told(
            lambda reactor: HostnameEndpoint(reactor, "pacs.example.org", 104),
            "pacs.example.org:104",
        )

    def test_where_to_with_tls(self) -> None:
        """So does the line about one behind TLS."""

        @implementer(IOpenSSLClientConnectionCreator)
        class Creator:
            """Makes no connection, since there is none to make it on."""

            def clientConnectionForTLS(self, tlsProtocol: object) -> Any:  # noqa: N802, N803
                raise AssertionError

        def make(reactor: Any) -> Any:
            try:
                return wrapClientTLS(Creator(), TCP4ClientEndpoint(reactor, "192.0.2.1", 2762))
            except NotImplementedError as error:
                raise SkipTest("TLS is not installed") from error

        self.assert_told(make, "192.0.2.1:2762")


class CancelTests(RequestorCase):
    """Who does not want to wait any more."""

    def test_connecting(self) -> None:
        """While connecting: the attempt ends, and nobody has heard of us."""
        for delay in (0.0, 5.0, None):
            waiter = Waiter(self.ask(delay=delay))
            waiter.deferred.cancel()
            self.assertIsInstance(waiter.error, CancelledError)
            self.endpoint.advance(100)
            self.assertEqual(self.endpoint.connections, [])
            self.assert_nothing_left()

    @requirement("C11")
    def test_waiting_for_the_answer(self) -> None:
        """While the peer thinks: it gets an A-ABORT, and nothing else was sent."""
        waiter = Waiter(self.ask(Peer(silent=True)))
        self.flush()
        waiter.deferred.cancel()
        self.assertIsInstance(waiter.error, CancelledError)
        self.flush()
        pdus = split_pdus(bytes(self.server.data))
        self.assertEqual((len(pdus), pdus[0][0], pdus[1]), (2, 1, ABORT))
        self.server.say(associate_ac())  # too late
        self.endpoint.advance(100)
        self.assertEqual(len(waiter.results), 1)
        self.assert_nothing_left()

    def test_answer_on_its_way(self) -> None:
        """While the answer is on its way: nobody gets an association."""
        waiter = Waiter(self.ask())
        self.flush()
        self.assertEqual(len(waiter.results), 1)
        waiter = Waiter(self.ask(Peer(silent=True)))
        self.flush()
        self.server.say(associate_ac())
        waiter.deferred.cancel()
        self.flush()
        self.assertIsInstance(waiter.error, CancelledError)
        self.assertEqual(self.server.pdu_types[-1], A_ABORT)

    def test_stubborn_endpoint(self) -> None:
        """An endpoint that connects although it was cancelled finds nobody, and is closed."""

        @implementer(IStreamClientEndpoint)
        class Stubborn:
            factory: Any = None

            def connect(self, protocolFactory: object) -> Any:  # noqa: N803
                self.factory = protocolFactory
                return Deferred()

        endpoint = Stubborn()
        for timeouts in (Timeouts(), Timeouts(connect=1)):
            waiter = Waiter(
                associate(endpoint, called="PEER", timeouts=timeouts, reactor=self.clock)
            )
            if timeouts.connect == 1:
                self.clock.advance(1)
            else:
                waiter.deferred.cancel()
            self.assertEqual(len(waiter.results), 1)
            transport = StringTransport()
            protocol = endpoint.factory.buildProtocol(None)
            protocol.makeConnection(transport)
            self.assertTrue(transport.disconnected)
            self.assertEqual(transport.value(), b"")
            protocol.connectionLost()
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.assertEqual(self.events("internal-error"), [])

    def test_endpoint_that_thinks_better_of_it(self) -> None:
        """An endpoint that connects and fails afterwards has failed: what it made is closed."""

        @implementer(IStreamClientEndpoint)
        class Regretful:
            def connect(self, protocolFactory: Any) -> Any:  # noqa: N803
                self.protocol = protocolFactory.buildProtocol(None)
                self.transport = StringTransport()
                self.protocol.makeConnection(self.transport)
                return fail(ConnectError())

        endpoint = Regretful()
        waiter = Waiter(associate(endpoint, called="PEER", reactor=self.clock))
        self.assertIsInstance(waiter.error, ConnectionFailed)
        self.assertTrue(endpoint.transport.disconnected)
        endpoint.protocol.connectionLost()
        self.assertEqual(len(waiter.results), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_immediate_endpoint(self) -> None:
        """An endpoint that connects at once is no different."""

        @implementer(IStreamClientEndpoint)
        class Immediate:
            def connect(self, protocolFactory: Any) -> Any:  # noqa: N803
                protocol = protocolFactory.buildProtocol(None)
                self.transport = StringTransport()
                protocol.makeConnection(self.transport)
                return succeed(protocol)

        endpoint = Immediate()
        waiter = Waiter(associate(endpoint, called="PEER", reactor=self.clock))
        self.assertEqual(endpoint.transport.value()[:1], b"\x01")
        waiter.deferred.cancel()
        self.assertIsInstance(waiter.error, CancelledError)
        self.assertEqual(endpoint.transport.value()[-10:], ABORT)


class BeforeTheAnswerTests(RequestorCase):
    """Nothing but an abort until the association is confirmed."""

    @requirement("C11", "A2")
    def test_silence(self) -> None:
        """Whatever the time and the peer do, nothing but the request goes out."""
        waiter = Waiter(self.ask(Peer(silent=True), timeouts=Timeouts(acse=50, idle=1, dimse=1)))
        self.endpoint.advance(49)
        self.assertEqual(self.server.pdu_types, [1])
        protocol: Any = self.endpoint.connections[0].client
        association = protocol.association
        self.assertRaises(NoPresentationContext, association.send, 1, CEchoRQ(1))
        self.assertRaises(OutOfSequence, association.release)
        requests = Waiter(protocol.requests.ask(CEchoRQ, 1))
        self.flush()
        self.assertEqual(self.server.pdu_types, [1])
        self.endpoint.advance(2)
        self.assertEqual(self.server.pdu_types, [1, A_ABORT])
        self.assertEqual(waiter.error.timer, "acse")
        self.assertEqual(requests.error.timer, "acse")

    def test_server_that_never_connects(self) -> None:
        """A server's factory that refuses us closes the connection: that is a loss."""

        class Nobody(ServerFactory):
            def buildProtocol(self, addr: object) -> None:
                return None

        waiter = Waiter(self.ask(Nobody()))
        self.flush()
        self.assertIsInstance(waiter.error, AssociationLost)
        self.assert_nothing_left()
