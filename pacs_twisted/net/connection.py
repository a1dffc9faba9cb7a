"""
One TCP connection with its association: the thin shell around `pacs_twisted.association`.

It carries bytes, keeps the time, and sees to it that the end of an association is the end of the
connection within bounded time. Which role it plays and who decides is its subclasses' business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection as TCPTransport
from twisted.logger import Logger
from twisted.python.failure import Failure

from pacs_twisted.association import Association, Bounds, Ending
from pacs_twisted.dimse import Command
from pacs_twisted.dimse.messages import DataSetSink, Discard, Message
from pacs_twisted.errors import AssociationLost, PacsError, TimedOut
from pacs_twisted.net.outgoing import Outgoing, outgoing_for
from pacs_twisted.net.timers import ArtimTimers, Timeouts, Watchdog
from pacs_twisted.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ
from pacs_twisted.upper_layer.actions import State
from pacs_twisted.upper_layer.negotiation import PresentationContext

log = Logger(namespace="pacs_twisted.net")

_WAITING_FOR_ACSE = frozenset(
    {State.Sta3, State.Sta5, State.Sta7, State.Sta9, State.Sta10, State.Sta11, State.Sta12}
)

_FIRST_READ = 32768
_LARGE_READ = 1 << 20
_LARGEST_BLOCK = 4 << 20  # bytes: more than a read, or what storage gathers of an object
_SMALL_MAXIMUM = 1024  # below that our answer to a request of a hundred bytes takes several PDUs

LEAST_RATE = 1024
"""Bytes per second at which a PDU must arrive, when it takes longer than the PDU timer."""

_GRACE = 5.0  # seconds that a transport has to close after it was asked to
_MOST_DISCARDED = 16 << 20  # bytes read after the end, so that our last word is not lost by a reset


def keep_large_blocks() -> None:
    """
    See that the memory of a large read is used again for the next, and not given back in between.

    glibc asks the kernel for each block above a threshold, and gives it back when it is freed: at
    every read all its pages would be new. The threshold rises to the size of the largest block
    that was freed, so one is made and freed. Elsewhere this does nothing.
    """
    bytes(_LARGEST_BLOCK)


class Connection(Protocol):
    """
    A connection that carries one association.

    Subclasses answer what `pacs_twisted.association.AssociationUser` is asked.

    Args:
        clock: the reactor, or a virtual clock.
        artim_timers: the ARTIM timers of all connections.
        timeouts: the other timers, in seconds.
        bounds: what the association takes at most.
        requestor: whether we ask for the association.
    """

    __slots__ = (
        "_acse_since",
        "_artim",
        "_discarded",
        "_drop_call",
        "_held",
        "_large_reads",
        "_last_pdu",
        "_pdu_bytes",
        "_pdu_since",
        "_pdus",
        "_reading_paused",
        "_receive",
        "_seconds",
        "_watchdog",
        "association",
        "bytes_received",
        "clock",
        "outgoing",
        "since",
        "timeouts",
    )

    outgoing: Outgoing

    def __init__(
        self,
        clock: IReactorTime,
        artim_timers: ArtimTimers,
        timeouts: Timeouts,
        bounds: Bounds,
        *,
        requestor: bool = False,
    ) -> None:
        self.clock = clock
        self.timeouts = timeouts
        artim = artim_timers.timer(self._artim_expired)
        self.association = Association(self, artim, self, requestor=requestor, bounds=bounds)
        self.since = 0.0
        self.bytes_received = 0
        self._seconds = clock.seconds
        self._artim = artim
        self._watchdog = Watchdog(clock, self._look)
        self._acse_since = 0.0  # when it began that someone must answer an ACSE request
        self._last_pdu = 0.0  # when the last whole PDU came, or our last answer went out
        self._pdus = 0
        self._pdu_since: float | None = None  # when the unfinished PDU began, or was last judged
        self._pdu_bytes = 0  # bytes received by then
        self._held = 0  # bytes of an unfinished PDU that are kept
        self._reading_paused = 0
        self._discarded = 0
        self._drop_call: Any = None
        self._large_reads = True
        self._receive: Callable[[int], bytes] | None = None

    # Twisted calls these

    def connectionMade(self) -> None:
        """Twisted: the connection is there."""
        self.connection_made()

    def dataReceived(self, data: bytes) -> None:
        """Twisted: bytes came."""
        self.data_received(data)
        if self._receive is not None and len(data) >= _FIRST_READ:
            self._read_on(self._receive)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: the connection is gone."""
        self.connection_lost(reason)

    # What happens to the connection

    def connection_made(self) -> None:
        """Begin: the machine starts, and its timers."""
        transport: Any = self.transport
        self.since = self._last_pdu = self._seconds()
        self.outgoing = outgoing_for(transport, self._seconds, self)
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)  # so that a dead peer is noticed even while we owe it
        if isinstance(transport, TCPTransport):
            transport.bufferSize = _FIRST_READ
            self._large_reads = False
        self.guard(self.association.connection_made)

    def data_received(self, data: bytes) -> None:
        """Take bytes; an error in the code that handles them ends this association and no other."""
        length = len(data)
        self.bytes_received += length
        association = self.association
        if association.is_over and not self._may_still_talk(length):
            return
        if length >= _FIRST_READ and not self._large_reads:
            self._read_more()
        try:
            association.receive_bytes(data)
            reader = association.reader
            pdus = reader.completed
            if reader.inside_pdu:
                self._note_unfinished(pdus)
            elif pdus != self._pdus:
                self._pdus = pdus
                self._last_pdu = self._seconds()
                self._pdu_since = None
                if self._held:
                    self._note_held(0)
        except Exception:
            self.fail()

    def _read_more(self) -> None:
        """A transport whose reads come back full has much to give: let it read more at a time."""
        association = self.association
        if not association.is_established:
            return  # who has shown nothing yet gets no more of our memory
        if 0 < association.peer_maximum_length < _SMALL_MAXIMUM:
            return  # answers in many small PDUs: more at a time would let others wait
        self._large_reads = True
        transport: Any = self.transport
        transport.bufferSize = _LARGE_READ
        if isinstance(transport, TCPTransport) and not transport.TLS:
            self._receive = transport.getHandle().recv

    def _read_on(self, receive: Callable[[int], bytes]) -> None:
        """
        Take what has come while the last bytes were handled, without a turn of the reactor.

        Much comes at once or not at all; what is found here need not be waited for. The end of the
        connection is left to the transport, which finds it as well.
        """
        taken = 0
        while taken < _LARGE_READ and not (self._reading_paused or self.association.is_over):
            try:
                data = receive(_LARGE_READ)
            except OSError:
                return
            if data:
                self.data_received(data)
            if len(data) < _FIRST_READ:
                return
            taken += len(data)

    def connection_lost(self, reason: Failure) -> None:
        """The connection is gone: give everything back."""
        self.outgoing.lost()
        self._receive = None
        self.guard(self.association.connection_lost, self.loss(reason))
        self.guard(self.give_back)
        self._artim.stop()
        self._watchdog.stop()
        if self._drop_call is not None:
            self._drop_call.cancel()
            self._drop_call = None

    def loss(self, reason: Failure) -> PacsError:
        """Return the error that says how the connection was lost."""
        return AssociationLost(_describe_loss(reason))

    def give_back(self) -> None:
        """Give back what was taken, even if `association_ended` was never reached."""

    def guard(self, call: Any, *arguments: Any) -> None:
        """Call something and contain its failure, which is an error of ours."""
        try:
            call(*arguments)
        except Exception:
            self.fail()

    def fail(self) -> None:
        """
        Contain an error of ours, in an `except` block: say it loudly and end this association.

        The machine may have been left between two states, so the connection is closed whatever
        the abort comes to.
        """
        log.failure(
            "association {association}: internal error, the association is aborted",
            association=self.number,
            event="internal-error",
        )
        try:
            self.association.abort()
        except Exception:
            log.failure(
                "association {association}: abort failed",
                association=self.number,
                event="internal-error",
            )
        if not self.association.is_over:
            self.drop()
        else:
            self._drop_later()

    @property
    def number(self) -> int | str:
        """The number of the association in the log."""
        return 0

    # The association's transport

    def connect(self) -> None:
        """AE-1: nothing to do, since whoever requests an association has connected before."""

    def send(self, data: bytes) -> None:
        """Send whole PDUs."""
        self.outgoing.write(data)

    def send_parts(self, parts: list[bytes | memoryview]) -> None:
        """Send whole PDUs that are long."""
        self.outgoing.write_parts(parts)

    def close(self) -> None:
        """Close when everything is sent; a peer that does not let us is dropped."""
        self.outgoing.close()
        self._drop_later()

    def drop(self) -> None:
        """Close at once, whatever is still unsent."""
        transport: Any = self.transport
        transport.abortConnection()

    def _drop_later(self) -> None:
        if self._drop_call is None:
            self._drop_call = self.clock.callLater(_GRACE, self._drop_now)

    def _drop_now(self) -> None:
        self._drop_call = None
        self.drop()

    # Who is told what happens to the association; see AssociationUser

    def associate_requested(self, rq: AAssociateRQ) -> None:
        """A peer asks for an association."""

    def associate_answered(self, answer: AAssociateAC | AAssociateRJ) -> None:
        """The peer has answered our request."""

    def open_sink(self, context: PresentationContext, command: Command) -> DataSetSink:
        """A message with a data set has begun."""
        return Discard()

    def message_received(self, message: Message) -> None:
        """A whole message has come."""

    def release_requested(self) -> None:
        """The peer wants to end the association."""

    def association_ended(self, ending: Ending) -> None:
        """The association is over."""

    def held_changed(self, held: int) -> None:
        """So many bytes of an unfinished PDU are kept now."""

    # Back-pressure

    def pause(self) -> None:
        """Read nothing more until `resume` has been called as often."""
        self._reading_paused += 1
        if self._reading_paused == 1:
            self.association.pause()
            transport: Any = self.transport
            transport.pauseProducing()

    def resume(self) -> None:
        """Undo one `pause`."""
        self._reading_paused -= 1
        if self._reading_paused == 0:
            self.touch()
            if self._pdu_since is not None:  # the peer could not go on with it either
                self._pdu_since, self._pdu_bytes = self._last_pdu, self.bytes_received
            transport: Any = self.transport
            transport.resumeProducing()
            self.guard(self.association.resume)

    def congested(self) -> None:
        """The peer takes no more of our bytes, so we take no more of its."""
        self.pause()
        self._watch(self.timeouts.send)

    def relieved(self) -> None:
        """The peer has taken all our bytes."""
        self.resume()

    # Timers

    def touch(self) -> None:
        """Count the idle time from now on."""
        self._last_pdu = self._seconds()

    def wait_for_acse(self) -> None:
        """Someone must answer an association or release request: let the timer run."""
        self._acse_since = self._seconds()
        self._watch(self.timeouts.acse)

    def watch_idle(self) -> None:
        """The association is established: watch the traffic."""
        self.touch()
        self._watch(self.timeouts.idle)

    def owes_answer_since(self) -> float | None:
        """Since when a request is being served; None if there is none."""
        return None

    def owes_answer(self) -> bool:
        """Whether a request has no answer yet."""
        return False

    def handler_expired(self, since: float) -> None:
        """A service has taken too long for requests of this time and before."""

    def idle_expired(self) -> None:
        """Nothing has come for too long."""
        self.time_out("idle", self.timeouts.idle)

    def time_out(self, timer: str, seconds: float) -> None:
        """End the association because a timer has run out."""
        self.guard(self.association.abort, TimedOut(timer, seconds))

    def _artim_expired(self) -> None:
        self.guard(self.association.artim_expired)

    def _watch(self, seconds: float) -> None:
        if seconds:
            self._watchdog.look_by(self._seconds() + seconds)

    def _note_unfinished(self, pdus: int) -> None:
        """A PDU is on its way: note when it began, now if one ended with this read."""
        if self._pdu_since is None or pdus != self._pdus:
            self._pdu_since = self._last_pdu = self._seconds()
            self._pdu_bytes = self.bytes_received
            self._pdus = pdus
            self._watch(self.timeouts.pdu)
        held = self.association.reader.held
        if held != self._held:
            self._note_held(held)

    def _note_held(self, held: int) -> None:
        self._held = held
        self.held_changed(held)

    def _may_still_talk(self, length: int) -> bool:
        """After the end a peer may send so much, while it has not seen our last word."""
        self._discarded += length
        if self._discarded > _MOST_DISCARDED:
            self.drop()
            return False
        return True

    def _look(self, now: float) -> float | None:
        """Do what is due; return the time of the next look."""
        due = [
            deadline
            for deadline in (
                self._look_at_send(now),
                self._look_at_acse(now),
                self._look_at_handler(now),
                self._look_at_traffic(now),
                self.look_further(now),
            )
            if deadline is not None
        ]
        return min(due, default=None)

    def look_further(self, now: float) -> float | None:
        """Do what is due by timers of a subclass's own; return the time of the next look."""
        return None

    def _look_at_send(self, now: float) -> float | None:
        seconds = self.timeouts.send
        if not (seconds and self.outgoing.waiting):
            return None
        due = self.outgoing.progress + seconds
        if due > now:
            return due
        # An A-ABORT would only wait behind what the peer does not take.
        if not self.association.is_over:
            self.time_out("send", seconds)
        self.drop()
        return None

    def _look_at_acse(self, now: float) -> float | None:
        seconds = self.timeouts.acse
        if not seconds or self.association.state not in _WAITING_FOR_ACSE:
            return None
        due = self._acse_since + seconds
        if due > now:
            return due
        self.time_out("acse", seconds)
        return None

    def _look_at_handler(self, now: float) -> float | None:
        seconds = self.timeouts.handler
        since = self.owes_answer_since()
        if not seconds or since is None:
            return None
        if since + seconds <= now:
            self.handler_expired(now - seconds)
            since = self.owes_answer_since()
        return None if since is None else since + seconds

    def _look_at_traffic(self, now: float) -> float | None:
        if self.association.state is not State.Sta6:
            return None
        if self._reading_paused or self.owes_answer():
            # Neither timer runs: look again when one of them could be due.
            patience = [seconds for seconds in (self.timeouts.idle, self.timeouts.pdu) if seconds]
            return now + min(patience) if patience else None
        if self.association.reader.inside_pdu:
            return self._look_at_pdu(now)
        seconds = self.timeouts.idle
        if not seconds:
            return None
        due = self._last_pdu + seconds
        if due > now:
            return due
        self.idle_expired()
        return None

    def _look_at_pdu(self, now: float) -> float | None:
        # Once the PDU is whole the idle timer runs from then on.
        idle = now + self.timeouts.idle if self.timeouts.idle else None
        seconds = self.timeouts.pdu
        if not seconds or self._pdu_since is None:
            return idle
        due = self._pdu_since + seconds
        if due <= now:
            if self.bytes_received - self._pdu_bytes < seconds * LEAST_RATE:
                self.time_out("pdu", seconds)
                return None
            self._pdu_since, self._pdu_bytes = now, self.bytes_received
            due = now + seconds
        return due if idle is None else min(due, idle)


def _describe_loss(reason: Failure) -> str:
    if reason.check(ConnectionDone):
        return "closed by the peer"
    return "dropped" if reason.check(ConnectionAborted) else "broken off"
