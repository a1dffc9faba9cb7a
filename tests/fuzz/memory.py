"""
Streams to servers in memory, under a virtual clock.

A round is a few peers at one server at the same time. Every peer must get an end; then the server
must be as if nothing had been, and answer a C-ECHO. Servers live on through many rounds.
"""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from random import Random
from types import TracebackType
from typing import Any, Final, Self

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IConsumer, ITransport
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from pacs_twisted.admission import Admission, AdmissionPolicy, Applicant, Limits, PermittedPeer
from pacs_twisted.dimse import CEchoRQ, Status
from pacs_twisted.logs import TextObserver
from pacs_twisted.net import AcceptorFactory, AcceptorProtocol, ApplicationEntity, Timeouts
from pacs_twisted.pdu import AAssociateRJ
from pacs_twisted.services import RequestContext, Verification
from tests.fuzz.answers import WrongAnswer, count_messages, describe, judge, split
from tests.fuzz.mutations import Ending, Stream, stream
from tests.raw_peer import A_ASSOCIATE_RQ, A_RELEASE_RP, A_RELEASE_RQ, C_ECHO_RQ, C_ECHO_RSP

_PATIENCE: Final = 200.0
"""Virtual seconds after its last byte in which a connection must be over: all timers in a row."""

_BUFFER: Final = 150  # bytes that a transport keeps before it says that it is full
_COLLECT_EVERY: Final = 500  # rounds
_MOST_TOLD: Final = 8000  # characters of a stream in a finding
_PROMPT: Final = 20.0  # seconds: a peer that needs no more is not disturbed by any timer


class Finding(Exception):
    """
    Something that must not be.

    Args:
        problem: what, in words.
        streams: those that took part.
        server: the kind of server.
    """

    def __init__(self, problem: str, streams: tuple[Stream, ...], server: str) -> None:
        told = [f"server {server!r}: {problem}"]
        for one in streams:
            told.append(f"stream {one.index}, {', '.join(one.mutations)}, then {one.ending}:")
            told.append("    " + " ".join(chunk.hex() for chunk in one.chunks)[:_MOST_TOLD])
        super().__init__("\n".join(told))


# The network


@implementer(ITransport, IConsumer)
class Wire:
    """
    The server's end of a connection.

    Args:
        host: the peer's.
        room: how many bytes the peer takes before it reads no more; None for any.
    """

    def __init__(self, host: str, room: int | None) -> None:
        self.written = bytearray()
        self.room = room
        self.reading = True
        self.end: type[Exception] | None = None
        self._waiting = 0
        self._host = host
        self._producer: Any = None
        self._streaming = False
        self._producer_paused = False
        self._closing = False

    def write(self, data: bytes) -> None:
        if self._closing or self.end:
            raise WrongAnswer(f"written after the end: {data.hex()}")
        self.written += data
        if self.room is not None:
            taken = min(self.room, len(data))
            self.room -= taken
            self._waiting += len(data) - taken
        if self._waiting > _BUFFER and self._producer is not None and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:  # noqa: N802
        self.write(b"".join(data))

    def relieve(self) -> None:
        """The peer reads on, to the end."""
        self.room = None
        self._waiting = 0
        if self._producer is not None and self._producer_paused:
            self._producer_paused = False
            self._producer.resumeProducing()
        self._close_if_done()

    def loseConnection(self) -> None:
        self._closing = True
        self.reading = False
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._closing and not self._waiting and self.end is None:
            self.end = ConnectionDone

    def abortConnection(self) -> None:
        self.reading = False
        self.end = self.end or ConnectionAborted

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer, self._streaming = producer, streaming

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = not self._closing and self.end is None

    def getPeer(self) -> IAddress:
        return IPv4Address("TCP", self._host, 40000)

    def getHost(self) -> IAddress:
        return IPv4Address("TCP", "127.0.0.1", 11112)


class Peer:
    """One peer with its connection."""

    def __init__(self, factory: AcceptorFactory, script: Stream, wire: Wire) -> None:
        self.script = script
        self.wire = wire
        self.is_over = False
        self.waited = False
        self.number = 0
        self.began = self.ended = factory.clock.seconds()
        self._clock = factory.clock
        self._rest = list(reversed(script.chunks))
        protocol = factory.buildProtocol(wire.getPeer())
        self.protocol: AcceptorProtocol | None = None
        if not isinstance(protocol, AcceptorProtocol):  # beyond the cap of connections
            self.is_over = True
            return
        self.protocol = protocol
        self.number = protocol.number
        protocol.makeConnection(wire)
        self.look()

    @property
    def has_more(self) -> bool:
        return not self.is_over and bool(self._rest or self.script.ending != Ending.SILENT)

    @property
    def may_go_on(self) -> bool:
        """Whether the peer can do something now: a reset always, else if the server reads."""
        return self.has_more and (self.wire.reading or self.script.ending == Ending.RESET)

    @property
    def is_prompt(self) -> bool:
        """Whether all was said before any timer could run out."""
        return self.ended - self.began < _PROMPT

    def go_on(self) -> None:
        """Send the next chunk, or end as the script says."""
        self.ended = self._clock.seconds()
        if self._rest and self.wire.reading:
            assert self.protocol is not None
            self.protocol.dataReceived(self._rest.pop())
        elif self.script.ending == Ending.RESET:
            self.wire.end = ConnectionLost
        elif not self._rest:
            self.wire.end = ConnectionDone
        self.look()

    def look(self) -> None:
        """Let the server know, if its connection has come to an end."""
        if self.wire.end is not None and not self.is_over:
            self.is_over = True
            assert self.protocol is not None
            self.protocol.connectionLost(Failure(self.wire.end()))
            self.protocol = None


# Servers


class SlowVerification:
    """A service that answers later, never, or at once, by turns."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turn = 0
        self.sop_classes = dict.fromkeys(
            (*Verification.sop_classes, "1.2.840.10008.5.1.4.1.1.2"), ("1.2.840.10008.1.2",)
        )

    def c_echo(self, request: CEchoRQ, context: RequestContext) -> Any:
        self._turn += 1
        match self._turn % 5:
            case 0:
                return Deferred()
            case 1:
                return self._soon()
            case 2:
                return self._later(3.0)
            case 3:
                return self._later(0.0)
        return Status.SUCCESS

    def _later(self, seconds: float) -> Deferred[Status]:
        deferred: Deferred[Status] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(seconds, deferred.callback, Status.SUCCESS)
        return deferred

    async def _soon(self) -> Status:
        return await self._later(0.5)

    c_store = c_echo


class SlowAdmission:
    """An admission that asks somebody else first."""

    limits = Limits()

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._policy = AdmissionPolicy()

    def judge(self, applicant: Applicant) -> Deferred[AAssociateRJ | None]:
        deferred: Deferred[AAssociateRJ | None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(2.0, deferred.callback, self._policy.judge(applicant))
        return deferred


def _plain(clock: Clock) -> AcceptorFactory:
    """As `twistd pacs-echo` is."""
    return AcceptorFactory(ApplicationEntity("PACS_ECHO", [Verification()]), reactor=clock)


def _strict(clock: Clock) -> AcceptorFactory:
    """Small in everything."""
    permitted = tuple(map(PermittedPeer.parse, ("CT1", "*@127.0.0.0/31", "ECHOSCU@127.0.0.2")))
    return AcceptorFactory(
        ApplicationEntity("PACS_ECHO", [Verification()]),
        admission=AdmissionPolicy(permitted, True, Limits(2, 5, 1)),
        timeouts=Timeouts(artim=5, acse=6, idle=7, pdu=8, send=9),
        maximum_length=1024,
        maximum_associate_length=2000,
        maximum_unfinished=1500,
        maximum_command_length=200,
        reject_empty=True,
        reactor=clock,
    )


def _slow(clock: Clock) -> AcceptorFactory:
    """One whose services and admission take their time, talkative."""
    admission: Admission = SlowAdmission(clock)
    return AcceptorFactory(
        ApplicationEntity("PACS_ECHO", [SlowVerification(clock)]),
        admission=admission,
        timeouts=Timeouts(handler=10),
        maximum_operations=3,
        idle_action="release",
        debug=True,
        reactor=clock,
    )


_SERVERS: Final[dict[str, Callable[[Clock], AcceptorFactory]]] = {
    "plain": _plain,
    "strict": _strict,
    "slow": _slow,
}
_WEIGHTS: Final = (5, 3, 2)


@implementer(ILogObserver)
class LogWatch:
    """What the log says: nothing may be critical, every line must be one line of ours."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.timers: dict[int, str] = {}
        self._text = TextObserver("debug")

    def __call__(self, event: LogEvent) -> None:
        line = self._text.format(event)
        if (
            event.get("log_level", LogLevel.info) >= LogLevel.error
            or "log_failure" in event
            or event.get("isError")
            or "Unhandled" in line
            or "Unable to format" in line
            or not line.rstrip("\n").isprintable()
            or not isinstance(event.get("time", 0.0), float)  # Twisted's own name, see findings
        ):
            self.problems.append(line)
        timer = event.get("timer")
        if timer is not None:
            self.timers[event["association"]] = timer

    def __enter__(self) -> Self:
        globalLogPublisher.addObserver(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        globalLogPublisher.removeObserver(self)


class Server:
    """A server of one kind and its clock."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.clock = Clock()
        self.factory = _SERVERS[kind](self.clock)
        self.protocols: weakref.WeakSet[AcceptorProtocol] = weakref.WeakSet()
        self.is_stopping = False
        self.factory.doStart()

    def shut_down(self) -> None:
        """Stop it; whoever is there has to go, then it starts again."""
        self.is_stopping = True
        self.factory.doStop()
        self.factory.shut_down().addCallback(self._start_again)

    def _start_again(self, _: None) -> None:
        self.is_stopping = False
        self.factory.doStart()

    def leaks(self) -> str:
        """Return what is left of peers that have gone; nothing if all is well."""
        factory = self.factory
        if factory.association_count or factory.connections:
            return f"{factory.association_count} associations, {factory.connections} left"
        if factory._held or factory._held_in_all or factory._hosts:
            return f"held: {factory._held}, {factory._held_in_all}, hosts {factory._hosts}"
        pending: list[Any] = [*self.clock.getDelayedCalls()]
        calls = [
            call
            for call in pending
            if getattr(call.func, "__self__", None) is not factory.artim_timers
        ]
        return f"delayed calls: {calls}" if calls else ""

    def unfreed(self) -> str:
        """Return which protocols are still in memory."""
        gc.collect()
        return f"still in memory: {list(self.protocols)}" if self.protocols else ""


# The run


def run(
    seed: int, number: int, first: int = 0, progress: Callable[[int], None] | None = None
) -> Counter[str]:
    """
    Send streams to servers.

    Args:
        seed: of the run.
        number: how many streams.
        first: the index of the first one.
        progress: called with how many have been sent.

    Returns:
        How often the connections ended in which way.

    Raises:
        Finding: something that must not be.
    """
    outcomes: Counter[str] = Counter()
    servers = {kind: Server(kind) for kind in _SERVERS}
    with LogWatch() as watch:
        for round_number, scripts in enumerate(_rounds(seed, number, first)):
            rng = Random(f"{seed}/round/{scripts[0].index}")
            server = servers[rng.choices(tuple(servers), _WEIGHTS)[0]]
            outcomes.update(play(server, scripts, rng, watch))
            if round_number % _COLLECT_EVERY == 0:
                for one in servers.values():
                    _check(one.unfreed(), scripts, one)
            if progress is not None:
                progress(scripts[-1].index - first + 1)
        for one in servers.values():
            _check(one.unfreed(), (), one)
    return outcomes


def _rounds(seed: int, number: int, first: int) -> Iterator[tuple[Stream, ...]]:
    """Yield who meets at a server; it follows from the seed and the index of the first."""
    index = first
    while index < first + number:
        together = Random(f"{seed}/together/{index}").choice((1, 1, 1, 2, 4, 9))
        yield tuple(
            stream(seed, one) for one in range(index, min(index + together, first + number))
        )
        index += together


def _check(problem: str, scripts: tuple[Stream, ...], server: Server) -> None:
    if problem:
        raise Finding(problem, scripts, server.kind)


def play(server: Server, scripts: tuple[Stream, ...], rng: Random, watch: LogWatch) -> Counter[str]:
    """
    Let peers meet at a server and see all of them out.

    Raises:
        Finding: something that must not be.
    """
    try:
        peers = _meet(server, scripts, rng)
        outcomes = Counter(_outcome(server, peer, watch.timers) for peer in peers)
        del peers
        _echo(server)
    except WrongAnswer as error:
        raise Finding(str(error), scripts, server.kind) from error
    except Exception as error:
        raise Finding(f"{type(error).__name__}: {error}", scripts, server.kind) from error
    _check("\n".join(watch.problems), scripts, server)
    _check(server.leaks(), scripts, server)
    watch.timers.clear()
    return outcomes


def _meet(server: Server, scripts: tuple[Stream, ...], rng: Random) -> list[Peer]:
    clock = server.clock
    peers: list[Peer] = []
    waiting = list(scripts)
    stops = len(scripts) > 1 and rng.random() < 0.05  # all have their say before
    factory = server.factory
    while waiting or any(peer.may_go_on for peer in peers):
        ready = [peer for peer in peers if peer.may_go_on]
        if waiting and (not ready or rng.random() < 0.3):
            room = rng.randrange(400) if rng.random() < 0.05 else None
            wire = Wire(f"127.0.0.{rng.randrange(1, 4)}", room)
            peer = Peer(server.factory, waiting.pop(), wire)
            peers.append(peer)
            if peer.protocol is not None:
                server.protocols.add(peer.protocol)
        else:
            rng.choice(ready).go_on()
        if rng.random() < 0.05:
            _pass(clock, peers, rng.choice((0.1, 1.0, 4.0)))
        if rng.random() < 0.01 and len(scripts) > 1 and server.kind != "plain":
            # An administrator at work.
            factory.draining = not factory.draining
            factory.reconfigure(entity=factory.entity, timeouts=factory.timeouts)
        if rng.random() < 0.02:
            for peer in peers:
                if not peer.is_over:
                    peer.wire.relieve()
                    peer.look()
    factory.undrain()
    _end(server, peers, stops)
    return peers


def _end(server: Server, peers: list[Peer], stops: bool) -> None:
    """Let the timers do what is left; who was stopped by a full buffer can still talk."""
    clock = server.clock
    if stops:
        server.shut_down()
    end = clock.seconds() + _PATIENCE
    while any(not peer.is_over for peer in peers):
        due = [call.getTime() for call in clock.getDelayedCalls()]
        if not due or min(due) > end:
            left = [peer for peer in peers if not peer.is_over]
            raise WrongAnswer(f"{len(left)} connections that no timer ends")
        for peer in peers:
            peer.waited = peer.waited or not peer.is_over
        _pass(clock, peers, min(due) - clock.seconds())
        for peer in peers:
            while peer.may_go_on:
                peer.go_on()
    if server.is_stopping:
        raise WrongAnswer("the server has not stopped")


def _pass(clock: Clock, peers: list[Peer], seconds: float) -> None:
    """Let time pass, from one delayed call to the next."""
    end = clock.seconds() + seconds
    while True:
        due = min((call.getTime() for call in clock.getDelayedCalls()), default=end)
        clock.advance(max(0.0, min(due, end) - clock.seconds()))
        for peer in peers:
            peer.look()
        if due >= end:
            return


def _outcome(server: Server, peer: Peer, timers: Mapping[int, str]) -> str:
    script = peer.script
    pdus = split(bytes(peer.wire.written))
    judge(pdus)
    how = describe(pdus)
    is_known = server.kind == "plain" and peer.is_prompt and peer.wire.room is None
    if is_known and script.echoes is not None:
        answered = count_messages(pdus)
        if how != "released" or answered != script.echoes:
            raise WrongAnswer(f"{answered} of {script.echoes} echoes answered, then {how!r}")
    timer = timers.get(peer.number)
    if timer is not None:
        return f"{how}, {timer} timer" if how else f"closed, {timer} timer"
    if how:
        return how
    if peer.protocol is None and not peer.wire.written and peer.wire.end is None:
        return "not let in"
    return "closed, ARTIM timer" if peer.waited else "closed by the peer"


def _echo(server: Server) -> None:
    """Ask for a C-ECHO as an honest peer."""
    wire = Wire("127.0.0.2", None)
    protocol = server.factory.buildProtocol(wire.getPeer())
    if not isinstance(protocol, AcceptorProtocol):
        raise WrongAnswer("no connection for an honest peer")
    request = A_ASSOCIATE_RQ.replace(b"ANY-SCP  ", b"PACS_ECHO")
    protocol.makeConnection(wire)
    for octets in request, C_ECHO_RQ, A_RELEASE_RQ:
        protocol.dataReceived(octets)
        if server.kind == "slow":
            server.clock.pump((1.0,) * 11)
    protocol.connectionLost(Failure(ConnectionDone()))
    expected = A_RELEASE_RP if server.kind == "slow" else C_ECHO_RSP + A_RELEASE_RP
    if not wire.written.endswith(expected) or wire.written[0] != 2:
        raise WrongAnswer(f"an honest peer was answered with {wire.written.hex()}")
