"""The public test kit: what users' tests lean on has tests of its own."""

from __future__ import annotations

import re
import textwrap
import unittest
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
)
from twisted.internet.interfaces import (
    IConsumer,
    IPushProducer,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, ServerFactory, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import pacs_twisted.testing
from pacs_twisted.association import Outcome
from pacs_twisted.dimse import DATA_SET, CEchoRQ, CStoreRQ, Status
from pacs_twisted.errors import (
    AssociationAborted,
    AssociationLost,
    InvalidPDU,
    NoPresentationContext,
    OutOfSequence,
)
from pacs_twisted.net import AcceptorFactory, AdmissionPolicy, ApplicationEntity, Limits, Timeouts
from pacs_twisted.pdu import AAssociateRJ, ProposedContext, UserInformation
from pacs_twisted.services import RequestContext, Verification
from pacs_twisted.testing import (
    AssociationEnd,
    AssociationPair,
    MemoryEndpoint,
    MemoryTransport,
    NoAnswer,
    Pump,
    RecordingUser,
    ScriptedRequestor,
    ScriptedUser,
    abort,
    associate_ac,
    associate_rq,
    connect,
    echo_rq,
    echo_rsp,
    message_pdus,
    release_rp,
    release_rq,
)
from tests import bytes_of

LOCAL_LIMIT_EXCEEDED: Final = AAssociateRJ(2, 3, 2)


class Recorder(Protocol):
    """A protocol that notes what it reads and how its connection ends."""

    def __init__(self) -> None:
        self.reads: list[bytes] = []
        self.ends: list[Failure] = []
        self.on_read: Callable[[bytes], None] = lambda data: None

    @property
    def data(self) -> bytes:
        """All that was read."""
        return b"".join(self.reads)

    @property
    def end(self) -> type[Any] | None:
        """How the connection ended."""
        if not self.ends:
            return None
        (failure,) = self.ends
        return type(failure.value)

    def dataReceived(self, data: bytes) -> None:
        self.reads.append(data)
        self.on_read(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ends.append(reason)


class Producer:
    """A producer that writes pieces, by itself or when pulled, and notes how it is treated."""

    def __init__(self, transport: MemoryTransport, pieces: int = 0) -> None:
        self.transport = transport
        self.pieces = pieces
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")
        if self.pieces:
            self.pieces -= 1
            self.transport.write(b"piece")
        else:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.calls.append("stop")


class ExampleTests(SynchronousTestCase):
    def test_docstring(self) -> None:
        """The examples in the documentation of the module work as they stand."""
        text = pacs_twisted.testing.__doc__ or ""
        examples = re.findall(r"^    from twisted.*?(?=^\S)", text, re.DOTALL | re.MULTILINE)
        names: dict[str, Any] = {}
        for example in examples:
            exec(textwrap.dedent(example), names)
        for name in ("ServiceTests", "RequestorTests"):
            result = unittest.TestResult()
            unittest.defaultTestLoader.loadTestsFromTestCase(names[name]).run(result)
            self.assertEqual((result.testsRun, result.errors, result.failures), (1, [], []))

    def test_names(self) -> None:
        """What is public exists and is documented."""
        for name in pacs_twisted.testing.__all__:
            self.assertTrue(getattr(pacs_twisted.testing, name).__doc__, name)


class PDUTests(SynchronousTestCase):
    """Ready-made PDUs are the ones that the standard's bytes say."""

    def test_bytes(self) -> None:
        for made, vector in (
            (associate_rq(), bytes_of.A_ASSOCIATE_RQ),
            (associate_ac(), bytes_of.A_ASSOCIATE_AC),
            (echo_rq(), bytes_of.P_DATA_TF_C_ECHO_RQ),
            (echo_rsp(), bytes_of.P_DATA_TF_C_ECHO_RSP),
            (release_rq(), bytes_of.A_RELEASE_RQ),
            (release_rp(), bytes_of.A_RELEASE_RP),
            (abort(), bytes_of.A_ABORT_BY_USER),
            (abort(source=2, reason=2), bytes_of.A_ABORT_BY_PROVIDER),
        ):
            self.assertEqual(made.encode(), vector.octets)

    def test_arguments(self) -> None:
        """Titles, syntaxes, contexts and the maximum length can be chosen."""
        rq = associate_rq(
            ["1.2.3", "1.2.4"],
            transfer_syntaxes=["1.5", "1.6"],
            called_ae_title="B",
            calling_ae_title="A",
            maximum_length=None,
            user_information=UserInformation(1, "1.9"),
        )
        self.assertEqual(
            rq.presentation_contexts,
            (
                ProposedContext(1, "1.2.3", ("1.5", "1.6")),
                ProposedContext(3, "1.2.4", ("1.5", "1.6")),
            ),
        )
        self.assertEqual((rq.called_ae_title, rq.calling_ae_title), ("B", "A"))
        self.assertEqual(rq.user_information, UserInformation(None, "1.9"))
        contexts = (ProposedContext(7, "1.2", ("1.5",)),)
        self.assertEqual(
            associate_rq(presentation_contexts=contexts).presentation_contexts, contexts
        )
        ac = associate_ac(rq, results={3: 4}, maximum_length=0)
        self.assertEqual([result.result for result in ac.context_results], [0, 4])
        self.assertEqual(ac.user_information.maximum_length_received, 0)

    def test_message(self) -> None:
        """A message with a data set is cut to the length that is asked for."""
        command = CStoreRQ(1, "1.2.3", "1.2.3.4", command_data_set_type=DATA_SET)
        octets = message_pdus(command, bytes(100), context_id=3, maximum_length=46)
        data = 6 + 6 + 40
        self.assertEqual(octets[-(6 + 6 + 20) :][:12], bytes.fromhex("04000000001a000000160302"))
        self.assertEqual(
            octets[-(6 + 6 + 20 + data) :][:12], bytes.fromhex("04000000002e0000002a0300")
        )


class PairTests(SynchronousTestCase):
    def test_story(self) -> None:
        """Two associations associate, exchange an echo and part."""
        for chunk_size in (None, 1, 7):
            pair = AssociationPair(chunk_size=chunk_size)
            pair.associate()
            pair.requestor.association.send(1, CEchoRQ(5))
            pair.carry()
            pair.requestor.association.release()
            pair.carry()
            self.assertEqual(pair.requestor.user.commands, [CEchoRQ(5).respond(Status.SUCCESS)])
            self.assertEqual(pair.requestor.observer.path, "Sta1 Sta4 Sta5 Sta6 Sta7 Sta1")
            self.assertFalse(pair.requestor.connected or pair.acceptor.connected)
            for end in pair.requestor, pair.acceptor:
                self.assertEqual(
                    [ending.outcome for ending in end.user.endings], [Outcome.RELEASED]
                )
                self.assertFalse(end.artim.running)

    def test_scripts(self) -> None:
        """A scripted user rejects, stays silent or keeps the peer, as it is told."""
        pair = AssociationPair(acceptor=ScriptedUser(answer=LOCAL_LIMIT_EXCEEDED))
        pair.associate()
        self.assertEqual(pair.requestor.user.answers, [LOCAL_LIMIT_EXCEEDED])
        pair = AssociationPair(acceptor=ScriptedUser(status=None, releases=False))
        pair.associate()
        pair.requestor.association.send(1, CEchoRQ(5))
        pair.requestor.association.release()
        pair.carry()
        self.assertEqual(pair.requestor.user.told, ["associate_answered"])
        self.assertEqual(
            pair.acceptor.user.told,
            ["associate_requested", "message_received", "release_requested"],
        )

    def test_lose(self) -> None:
        """Bytes under way are lost with the connection, and both ends hear of it."""
        pair = AssociationPair()
        pair.associate()
        pair.requestor.association.send(1, CEchoRQ(5))
        pair.lose()
        pair.carry()
        self.assertEqual(pair.acceptor.user.commands, [])
        for end in pair.requestor, pair.acceptor:
            self.assertEqual(end.user.ending and end.user.ending.outcome, Outcome.LOST)

    def test_end_alone(self) -> None:
        """One end can be fed by hand, and says what it sent."""
        end = AssociationEnd(ScriptedUser())
        end.connect()
        self.assertTrue(end.artim.running)
        end.association.receive_bytes(bytes_of.A_ASSOCIATE_RQ.octets)
        self.assertEqual(end.transport.take(), bytes_of.A_ASSOCIATE_AC.octets)
        self.assertEqual(end.transport.take(), b"")

    def test_endless(self) -> None:
        """Two ends that talk for ever fail the test instead of hanging it."""
        pair = AssociationPair(acceptor=RecordingUser())
        self.patch(pacs_twisted.testing.pair, "_MOST_ROUNDS", 5)
        self.patch(pair, "_carry", lambda sender, receiver: True)
        self.assertRaises(AssertionError, pair.carry)


class PumpTests(SynchronousTestCase):
    """Bytes between two protocols that know nothing of DICOM."""

    def make(self, **arguments: Any) -> Pump:
        self.client, self.server = Recorder(), Recorder()
        return Pump(self.client, self.server, **arguments)

    def test_interfaces(self) -> None:
        """A transport in memory is what Twisted calls a TCP transport."""
        transport = self.make().client_transport
        for interface in ITCPTransport, IConsumer, IPushProducer:
            verifyObject(interface, transport)
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        self.assertTrue(transport.getTcpNoDelay() and transport.getTcpKeepAlive())

    def test_both_ways(self) -> None:
        """What one side writes the other reads, in order, and answers are carried as well."""
        pump = self.make()
        self.server.on_read = lambda data: pump.server_transport.write(data.upper())
        pump.client_transport.write(b"a")
        pump.client_transport.writeSequence([b"b", b"c"])
        self.assertEqual(self.server.data, b"")
        pump.flush()
        self.assertEqual((self.server.reads, self.client.reads), ([b"abc"], [b"ABC"]))

    def test_chunks(self) -> None:
        """Bytes can come one by one."""
        pump = self.make(chunk_size=1)
        pump.client_transport.write(b"abc")
        pump.flush()
        self.assertEqual(self.server.reads, [b"a", b"b", b"c"])

    def test_half(self) -> None:
        """Half of what was written can be delivered before the connection breaks."""
        pump = self.make()
        pump.client_transport.write(b"abcdef")
        pump.step(3)
        pump.lose()
        pump.flush()
        self.assertEqual(self.server.reads, [b"abc"])
        self.assertEqual((self.client.end, self.server.end), (ConnectionLost, ConnectionLost))

    def test_close(self) -> None:
        """Closing delivers what was written before, then both sides hear of it, once."""
        pump = self.make(chunk_size=2)
        pump.client_transport.write(b"last words")
        pump.client_transport.loseConnection()
        self.assertTrue(pump.client_transport.disconnecting)
        self.assertIsNone(self.client.end)
        pump.flush()
        self.assertEqual(self.server.data, b"last words")
        self.assertEqual((self.client.end, self.server.end), (ConnectionDone, ConnectionDone))
        self.assertTrue(pump.client_transport.disconnected and pump.server_transport.disconnected)
        for transport in pump.client_transport, pump.server_transport:
            transport.write(b"too late")
            transport.loseConnection()
            transport.abortConnection()
        pump.lose()
        pump.flush()
        self.assertEqual(self.server.data, b"last words")

    def test_close_against_data(self) -> None:
        """Bytes to a side that has closed are answered by a reset, which destroys the unread."""
        pump = self.make()
        pump.server_transport.pauseProducing()
        pump.client_transport.write(b"last words")
        pump.client_transport.loseConnection()
        pump.flush()
        self.assertEqual((self.client.end, self.server.end), (ConnectionDone, None))
        pump.server_transport.write(b"are you there?")
        pump.flush()
        pump.server_transport.resumeProducing()
        pump.flush()
        self.assertEqual((self.server.data, self.server.end), (b"", ConnectionLost))

    def test_abort(self) -> None:
        """An abort drops what is under way, and is not heard before the next turn."""
        pump = self.make()
        pump.client_transport.write(b"lost")
        pump.client_transport.abortConnection()
        pump.client_transport.write(b"never sent")
        self.assertIsNone(self.client.end)
        pump.flush()
        self.assertEqual((self.client.end, self.server.end), (ConnectionAborted, ConnectionLost))
        self.assertEqual(self.server.data, b"")

    def test_abort_from_within(self) -> None:
        """Whoever aborts while it reads reads no more."""
        pump = self.make(chunk_size=1)
        self.server.on_read = lambda data: pump.server_transport.abortConnection()
        pump.client_transport.write(b"abc")
        pump.flush()
        self.assertEqual((self.server.reads, self.server.end), ([b"a"], ConnectionAborted))
        self.assertEqual(self.client.end, ConnectionLost)

    def test_paused_reader(self) -> None:
        """A side that pauses reads nothing, not even the end, until it resumes."""
        pump = self.make()
        pump.server_transport.pauseProducing()
        pump.client_transport.write(b"abc")
        pump.client_transport.loseConnection()
        pump.flush()
        self.assertEqual((self.server.reads, self.server.end), ([], None))
        self.assertEqual(pump.client_transport.under_way, 3)
        pump.server_transport.resumeProducing()
        pump.flush()
        self.assertEqual((self.server.reads, self.server.end), ([b"abc"], ConnectionDone))

    def test_pause_between_chunks(self) -> None:
        """Who pauses while it reads gets the next chunk after resuming."""
        pump = self.make(chunk_size=1)
        self.server.on_read = lambda data: pump.server_transport.pauseProducing()
        pump.client_transport.write(b"ab")
        pump.flush()
        self.assertEqual(self.server.reads, [b"a"])
        pump.server_transport.resumeProducing()
        pump.flush()
        self.assertEqual(self.server.reads, [b"a", b"b"])

    def test_push_producer(self) -> None:
        """A producer is paused while the other side does not read, and resumed afterwards."""
        pump = self.make(buffer_size=10, capacity=20)
        producer = Producer(pump.client_transport, pieces=1)
        pump.client_transport.registerProducer(producer, True)
        pump.server_transport.pauseProducing()
        pump.client_transport.write(bytes(10))
        self.assertEqual(producer.calls, [])
        pump.client_transport.write(bytes(20))
        self.assertEqual(producer.calls, ["pause"])
        pump.flush()
        self.assertEqual(
            (pump.client_transport.under_way, pump.client_transport.buffered), (20, 10)
        )
        self.assertEqual(producer.calls, ["pause"])
        pump.server_transport.resumeProducing()
        pump.flush()
        self.assertEqual(producer.calls, ["pause", "resume"])
        self.assertEqual(self.server.data, bytes(30) + b"piece")

    def test_pull_producer(self) -> None:
        """A pull producer is asked whenever the buffer is empty; only then the close can be."""
        pump = self.make(capacity=7)
        producer = Producer(pump.client_transport, pieces=3)
        pump.client_transport.registerProducer(producer, False)
        pump.client_transport.loseConnection()
        pump.flush()
        self.assertEqual(self.server.data, b"piecepiecepiece")
        self.assertEqual(producer.calls, ["resume"] * 4)
        self.assertEqual(self.server.end, ConnectionDone)

    def test_producer_at_the_end(self) -> None:
        """A producer is stopped when the connection is gone, at once if it comes after."""
        pump = self.make()
        transport = pump.client_transport
        producer = Producer(transport)
        transport.registerProducer(producer, True)
        self.assertRaises(RuntimeError, transport.registerProducer, producer, True)
        pump.server_transport.stopProducing()
        pump.flush()
        self.assertEqual(producer.calls, ["stop"])
        late = Producer(transport)
        transport.registerProducer(late, True)
        self.assertEqual(late.calls, ["stop"])

    def test_time(self) -> None:
        """Time passes when told to, and bytes written at some time are carried at that time."""
        clock = Clock()
        pump = self.make(clock=clock)
        times: list[float] = []
        self.server.on_read = lambda data: times.append(clock.seconds())
        for due in (0.0, 0.1, 0.7, 2.0):
            clock.callLater(due, pump.client_transport.write, b"x")
        pump.flush()
        self.assertEqual(times, [0.0])
        pump.advance(1.0)
        self.assertEqual(clock.seconds(), 1.0)
        pump.advance(1.0)
        self.assertEqual(times, [0.0, 0.1, 0.7, 2.0])

    def test_endless(self) -> None:
        """Protocols that talk for ever fail the test instead of hanging it."""
        self.patch(pacs_twisted.testing.network, "_MOST_ROUNDS", 50)
        pump = self.make()
        self.server.on_read = pump.server_transport.write
        self.client.on_read = pump.client_transport.write
        pump.client_transport.write(b"x")
        self.assertRaises(AssertionError, pump.flush)

    def test_errors(self) -> None:
        """What a protocol raises fails the test."""
        pump = self.make()

        def fail(data: bytes) -> None:
            raise ValueError(data)

        self.server.on_read = fail
        pump.client_transport.write(b"x")
        self.assertRaises(ValueError, pump.flush)

    def test_connect(self) -> None:
        """A factory sees the address that the test wants it to see."""
        seen: list[object] = []

        class Factory(ServerFactory):
            def buildProtocol(self, addr: object) -> Protocol:
                seen.append(addr)
                return Recorder()

        connect(Factory(), Recorder(), address="10.1.2.3", port=4711)
        pump = connect(Factory(), Recorder(), address="::1")
        self.assertEqual(
            seen, [IPv4Address("TCP", "10.1.2.3", 4711), IPv6Address("TCP", "::1", 50000)]
        )
        self.assertEqual(pump.server_transport.getPeer(), pump.client_transport.getHost())

    def test_refused_connection(self) -> None:
        """A factory that makes no protocol closes the connection."""

        class Factory(ServerFactory):
            def buildProtocol(self, addr: object) -> None:
                return None

        client = Recorder()
        connect(Factory(), client).flush()
        self.assertEqual(client.end, ConnectionDone)


class Slow(Verification):
    """A Verification service that answers when the test wants it to."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[Status]] = []

    def c_echo(self, request: CEchoRQ, context: RequestContext) -> Any:
        self.waiting.append(Deferred())
        return self.waiting[-1]


class RequestorTests(SynchronousTestCase):
    """The requestor in memory, against our own server."""

    def make(self, service: Any = None, **arguments: Any) -> AcceptorFactory:
        self.clock = Clock()
        entity = ApplicationEntity("TEST_SCP", [service or Verification()])
        return AcceptorFactory(entity, reactor=self.clock, **arguments)

    def test_story(self) -> None:
        """It is accepted, gets its echoes and goes, whatever the chunks; nothing is left."""
        for chunk_size in (None, 1):
            factory = self.make()
            requestor = ScriptedRequestor(factory, self.clock, chunk_size=chunk_size)
            ac = requestor.associate(associate_rq(calling_ae_title="CT1"))
            self.assertNotIsInstance(ac, AAssociateRJ)
            (live,) = factory.associations.values()
            self.assertEqual((live.calling_ae_title, live.state), ("CT1", "Sta6"))
            self.assertEqual(requestor.echo().message_id_being_responded_to, 1)
            self.assertEqual(requestor.echo().message_id_being_responded_to, 2)
            self.assertEqual(requestor.release().outcome, Outcome.RELEASED)
            self.assertTrue(requestor.pump.client_transport.disconnected)
            self.assertEqual(factory.associations, {})

    def test_reject(self) -> None:
        """A refusal is an answer."""
        factory = self.make(admission=AdmissionPolicy(limits=Limits(associations=1)))
        first = ScriptedRequestor(factory, self.clock)
        first.associate()
        second = ScriptedRequestor(factory, self.clock)
        self.assertEqual(second.associate(), LOCAL_LIMIT_EXCEEDED)
        self.assertEqual(second.ending and second.ending.outcome, Outcome.REJECTED)
        self.assertRaises(OutOfSequence, second.release)
        self.assertEqual(first.abort().outcome, Outcome.ABORTED)
        self.assertEqual(factory.associations, {})

    def test_refused_connection(self) -> None:
        """A server that takes no more connections is a lost one."""
        limits = Limits(connections=1)
        factory = self.make(admission=AdmissionPolicy(limits=limits))
        first = ScriptedRequestor(factory, self.clock)
        self.assertRaises(AssociationLost, ScriptedRequestor(factory, self.clock).associate)
        first.associate()
        self.flushLoggedErrors()

    def test_no_context(self) -> None:
        """What was not accepted cannot be asked for."""
        requestor = ScriptedRequestor(self.make(), self.clock)
        requestor.associate(associate_rq(["1.2.3"]))
        self.assertRaises(NoPresentationContext, requestor.echo)

    def test_slow_service(self) -> None:
        """A service that takes its time answers later; a release waits for it."""
        service = Slow()
        requestor = ScriptedRequestor(self.make(service), self.clock)
        requestor.associate()
        self.assertRaises(NoAnswer, requestor.echo)
        self.assertRaises(NoAnswer, requestor.release)
        requestor.advance(1000)
        service.waiting[0].callback(Status.SUCCESS)
        requestor.pump.flush()
        (response,) = requestor.responses
        self.assertEqual(response, CEchoRQ(1).respond(Status.SUCCESS))
        self.assertEqual(requestor.ending and requestor.ending.outcome, Outcome.RELEASED)

    def test_several_under_way(self) -> None:
        """Requests can be sent without waiting for answers."""
        requestor = ScriptedRequestor(self.make(), self.clock)
        requestor.associate()
        for message_id in (7, 8, 9):
            requestor.send(CEchoRQ(message_id), context_id=1)
        self.assertEqual(requestor.responses, [])
        requestor.pump.flush()
        self.assertEqual(
            requestor.responses, [CEchoRQ(n).respond(Status.SUCCESS) for n in (7, 8, 9)]
        )

    def test_timeout(self) -> None:
        """The server's timers run on the test's clock, and its abort is an error."""
        requestor = ScriptedRequestor(self.make(timeouts=Timeouts(idle=5)), self.clock)
        requestor.associate()
        requestor.advance(4.9)
        self.assertIsNone(requestor.ending)
        requestor.advance(0.2)
        self.assertEqual(requestor.ending and requestor.ending.outcome, Outcome.ABORTED_BY_PEER)
        self.assertRaises(OutOfSequence, requestor.echo)

    def test_slow_reader(self) -> None:
        """A client that reads nothing is not read either, and is dropped in time."""
        factory = self.make(timeouts=Timeouts(send=5))
        requestor = ScriptedRequestor(factory, self.clock)
        requestor.associate()
        pump = requestor.pump
        pump.client_transport.pauseProducing()
        for _ in range(40):
            for message_id in range(500):
                requestor.send(CEchoRQ(message_id), context_id=1)
            pump.flush()
        self.assertGreater(pump.client_transport.buffered, 65536)
        self.assertLess(pump.server_transport.buffered, 1 << 20)
        requestor.advance(4.9)
        self.assertFalse(pump.server_transport.disconnected)
        requestor.advance(0.2)
        self.assertTrue(pump.server_transport.disconnected)
        self.assertEqual(factory.associations, {})

    def test_abort_instead_of_an_answer(self) -> None:
        """A server that aborts instead of answering raises."""
        service = Slow()
        factory = self.make(service, timeouts=Timeouts(idle=0))
        requestor = ScriptedRequestor(factory, self.clock)
        requestor.associate()
        (connection,) = factory.connections
        self.clock.callLater(0, connection.association.abort)
        self.assertRaises(AssociationAborted, requestor.echo)

    def test_answers_that_break_the_protocol(self) -> None:
        """A server that speaks something else raises the error that says what is wrong."""

        class Nonsense(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(bytes.fromhex("0200 ffffffff"))

        factory = ServerFactory.forProtocol(Nonsense)
        self.assertRaises(InvalidPDU, ScriptedRequestor(factory).associate)


class EndpointTests(SynchronousTestCase):
    """A client endpoint in memory."""

    def setUp(self) -> None:
        """A server that notes what it reads."""
        self.clock = Clock()
        self.served: list[Recorder] = []

        def serve() -> Recorder:
            self.served.append(Recorder())
            return self.served[-1]

        self.endpoint = MemoryEndpoint(ServerFactory.forProtocol(serve), self.clock)

    def attempt(self) -> Deferred[Any]:
        """Let a client connect; it is carried at the next flush."""
        return self.endpoint.connect(Factory.forProtocol(Recorder))

    def test_connects(self) -> None:
        """Connections are made when flushed, each of its own, and carry both ways."""
        self.assertTrue(verifyObject(IStreamClientEndpoint, self.endpoint))
        attempts = [self.attempt(), self.attempt()]
        self.assertNoResult(attempts[0])
        self.endpoint.flush()
        clients = [self.successResultOf(attempt) for attempt in attempts]
        for number, client in enumerate(clients):
            client.transport.write(b"%d" % number)
            self.served[number].transport.write(b"answer to %d" % number)  # type: ignore[union-attr]
        self.endpoint.flush()
        self.assertEqual([server.data for server in self.served], [b"0", b"1"])
        self.assertEqual([client.data for client in clients], [b"answer to 0", b"answer to 1"])
        self.assertNotEqual(*[client.transport.getHost().port for client in clients])
        self.assertEqual((self.endpoint.attempts, len(self.endpoint.connections)), (2, 2))
        self.endpoint.lose()
        self.assertEqual([each.end for each in self.served + clients], [ConnectionLost] * 4)

    def test_refused(self) -> None:
        """An attempt fails with the error that a test wants, and the next may succeed."""
        self.endpoint.error = ConnectionRefusedError()
        refused = self.attempt()
        self.endpoint.error = None
        accepted = self.attempt()
        self.endpoint.flush()
        self.failureResultOf(refused, ConnectionRefusedError)
        self.successResultOf(accepted)

    def test_later(self) -> None:
        """What takes its time comes in its time, success or failure."""
        self.endpoint.delay = 5.0
        slow = self.attempt()
        self.endpoint.error = ConnectionRefusedError()
        failing = self.attempt()
        self.endpoint.advance(4.9)
        self.assertNoResult(slow)
        self.assertNoResult(failing)
        self.endpoint.advance(0.1)
        self.successResultOf(slow)
        self.failureResultOf(failing, ConnectionRefusedError)

    def test_never(self) -> None:
        """An endpoint without delay never answers."""
        self.endpoint.delay = None
        never = self.attempt()
        self.endpoint.advance(1e6)
        self.assertNoResult(never)
        never.cancel()
        self.failureResultOf(never, ConnectingCancelledError)

    def test_cancelled(self) -> None:
        """A cancelled attempt comes to nothing, and leaves nothing on the clock."""
        attempt = self.attempt()
        attempt.cancel()
        self.failureResultOf(attempt, ConnectingCancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.endpoint.flush()
        self.assertEqual(self.served, [])

    def test_one_protocol(self) -> None:
        """A protocol instead of a factory takes one connection; the next is closed."""
        server = Recorder()
        self.endpoint = MemoryEndpoint(server, self.clock)
        first, second = self.attempt(), self.attempt()
        self.endpoint.flush()
        self.successResultOf(first).transport.write(b"hello")
        self.endpoint.flush()
        self.assertEqual(server.data, b"hello")
        self.assertIs(self.successResultOf(second).end, ConnectionDone)

    def test_no_client(self) -> None:
        """A client's factory that makes no protocol gets no connection."""

        class Nothing(Factory):
            def buildProtocol(self, addr: object) -> None:
                return None

        attempt = self.endpoint.connect(Nothing())
        self.endpoint.flush()
        self.failureResultOf(attempt, ConnectionRefusedError)
