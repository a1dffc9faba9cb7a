"""
The requestor's end of one connection: it asks for an association, makes requests and lets go.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from pacs_twisted.association import Bounds, Ending, Outcome
from pacs_twisted.dimse import Request, Status
from pacs_twisted.dimse.messages import Message
from pacs_twisted.errors import (
    AssociationAborted,
    AssociationEnded,
    AssociationLost,
    AssociationRejected,
    AssociationReleased,
    ConnectionFailed,
    PacsError,
    ProtocolError,
    SourceFailed,
    TimedOut,
    UnexpectedPDU,
)
from pacs_twisted.net.acceptor import peer_text
from pacs_twisted.net.association_log import (
    AssociationLog,
    DebugLog,
    describe_tls_failure,
    is_tls_failure,
)
from pacs_twisted.net.connection import Connection
from pacs_twisted.net.requests import Requests
from pacs_twisted.net.timers import ArtimTimers, Timeouts
from pacs_twisted.pdu import AAbort, AAssociateAC, AAssociateRJ, AAssociateRQ
from pacs_twisted.upper_layer.actions import State
from pacs_twisted.upper_layer.negotiation import accepted_window

_numbers = count(1)

_MOST_REFUSALS = 100
"""How many answers to requests of a peer may wait; by our window it has one at a time."""


class RequestorProtocol(Connection):
    """
    One connection of ours, on which we ask for an association.

    Args:
        rq: what is asked for.
        clock: the reactor, or a virtual clock.
        timeouts: the timers, in seconds.
        bounds: what is taken at most of the peer.
        debug: log every event and message at debug.

    Raises:
        ValueError: the request cannot be sent.
    """

    __slots__ = (
        "_artim_timers",
        "_astray",
        "_closed",
        "_log",
        "_number",
        "_refusals_waiting",
        "_waiting_for_close",
        "_waiting_for_end",
        "ended",
        "ending",
        "error",
        "error_told",
        "established",
        "requests",
    )

    def __init__(
        self,
        rq: AAssociateRQ,
        clock: IReactorTime,
        timeouts: Timeouts,
        bounds: Bounds,
        *,
        debug: bool = False,
    ) -> None:
        self._artim_timers = ArtimTimers(clock, timeouts.artim)
        # Nobody but our own user lets an association rest: it may, for as long as it likes.
        watching = attrs.evolve(timeouts, idle=0.0)
        super().__init__(clock, self._artim_timers, watching, bounds, requestor=True)
        self._number = f"r{next(_numbers)}"
        self._log = AssociationLog(self._number, "", requestor=True)
        self._closed = False
        self._refusals_waiting = 0
        self._astray = ""  # what came instead of a response that is waited for
        self._waiting_for_close: list[Deferred[None]] = []
        self._waiting_for_end: list[Deferred[Ending]] = []
        self.ending: Ending | None = None
        self.established: Callable[[], None] | None = None
        """Called once the peer has accepted."""
        self.ended: Callable[[], None] | None = None
        """Called once it is over, established or not."""
        self.error: AssociationEnded | PacsError | None = None
        """How it ended, for who asks; None while it has not, or if we released it."""
        self.error_told = False
        self.requests = Requests(self, clock, 1)
        if debug:
            self.association.add_observer(DebugLog(self._number))
        self._log.note_request(rq)
        self.association.associate(rq)

    @property
    def number(self) -> str:
        """The number of the association in the log."""
        return self._number

    @property
    def peer(self) -> str:
        """The peer's address, as text."""
        return self._log.peer

    # The connection

    def connection_made(self) -> None:
        """The A-ASSOCIATE-RQ goes out at once."""
        transport: Any = self.transport
        if self.association.is_over:  # it was given up, but the endpoint did not heed that
            transport.abortConnection()
            return
        self._log.peer = peer_text(transport.getPeer())
        super().connection_made()
        self.wait_for_acse()

    def connection_failed(self, error: PacsError, peer: str) -> None:
        """There is no connection, and there will be none."""
        if self.transport is not None:  # the endpoint made one and then thought better of it
            self.drop()
            self.association.connection_lost(error)
            return
        self._log.peer = peer
        self.association.connection_lost(error)
        self._connection_over()

    def connection_lost(self, reason: Failure = connectionDone) -> None:
        """All is given back."""
        if self._closed:  # there was no association to lose
            return
        super().connection_lost(reason)
        self._connection_over()

    def loss(self, reason: Failure) -> PacsError:
        """A handshake of TLS that failed leaves no connection to lose."""
        error = reason.value
        if error is not None and not self.bytes_received and is_tls_failure(error):
            return ConnectionFailed(f"TLS handshake failed: {describe_tls_failure(error)}")
        return super().loss(reason)

    def _connection_over(self) -> None:
        self._artim_timers.close()
        waiting, self._waiting_for_close = self._waiting_for_close, []
        self._closed = True
        for deferred in waiting:
            deferred.callback(None)

    def when_closed(self) -> Deferred[None]:
        """Return a `Deferred` that fires when the connection is gone."""
        deferred: Deferred[None] = Deferred()
        if self._closed:
            deferred.callback(None)
        else:
            self._waiting_for_close.append(deferred)
        return deferred

    def when_ended(self) -> Deferred[Ending]:
        """Return a `Deferred` that fires when the association is over."""
        deferred: Deferred[Ending] = Deferred()
        if self.ending is not None:
            deferred.callback(self.ending)
        else:
            self._waiting_for_end.append(deferred)
        return deferred

    # Who is told what happens to the association

    def associate_answered(self, answer: AAssociateAC | AAssociateRJ) -> None:
        """The association is established, or it is not: then its end is told next."""
        rq = self.association.request
        if isinstance(answer, AAssociateRJ) or rq is None:
            return
        self._log.accepted(rq, answer)
        self.requests.window = accepted_window(rq, answer)
        established, self.established = self.established, None
        if established is not None:
            established()

    def message_received(self, message: Message) -> None:
        """A response finds its request; a request finds nobody who serves it."""
        command: Any = message.command
        if command.is_response:
            if not self.requests.receive(message):
                self._astray = (
                    f"a response to message {command.message_id_being_responded_to}"
                    f" in context {message.context.context_id} answered nothing"
                )
                self._log.unwanted_response(message)
        elif isinstance(command, Request):
            self._refuse(message.context.context_id, command)

    def _refuse(self, context_id: int, request: Request[Any]) -> None:
        """Answer a request of the peer's, unless we have asked for release."""
        association = self.association
        if not association.is_established:
            return
        if not self.outgoing.waiting:
            self._refusals_waiting = association.postponed
        if self._refusals_waiting >= _MOST_REFUSALS:
            association.abort(UnexpectedPDU("more requests than we can answer"))
            return
        self._refusals_waiting += 1
        association.send(context_id, request.respond(Status.UNRECOGNIZED_OPERATION))

    def release_requested(self) -> None:
        """The peer wants no more requests: those without an answer fail."""
        self.association.respond_release()
        self.wait_for_acse()

    def association_ended(self, ending: Ending) -> None:
        """Whoever waits for something is told why it will not come."""
        self.ending = ending
        error = _error_of(ending)
        if isinstance(error, AssociationEnded | ProtocolError | SourceFailed):
            error.state = self.association.last_state.name
        self.error = error
        if self.association.last_state is State.Sta4 or isinstance(error, ConnectionFailed):
            self._log.no_connection(error)
        else:
            self._log.ended(ending, self.association, self.bytes_received, self.bytes_sent)
        if self.requests.awaited:
            self.error_told = True
        self.requests.fail(error)
        ended, self.ended, self.established = self.ended, None, None
        if ended is not None:
            ended()
        waiting, self._waiting_for_end = self._waiting_for_end, []
        for deferred in waiting:
            deferred.callback(ending)

    # Flow

    @property
    def bytes_sent(self) -> int:
        """Bytes that went out, or wait to."""
        outgoing = getattr(self, "outgoing", None)
        return 0 if outgoing is None else outgoing.bytes_sent

    @property
    def is_congested(self) -> bool:
        """Whether bytes of ours wait for the peer to take them."""
        return self.outgoing.waiting

    def congested(self) -> None:
        """The peer takes no more for now; what it says is read all the same."""
        self._watch(self.timeouts.send)

    def relieved(self) -> None:
        """The peer has taken all that waited."""
        self._refusals_waiting = self.association.postponed
        self.guard(self.requests.go_on)

    # Timers

    def watch_response(self) -> None:
        """A request is on its way: watch how long its response takes."""
        self._watch(self.timeouts.dimse)

    def look_further(self, now: float) -> float | None:
        """The DIMSE timer: from the end of a request to its response, or to the next of several."""
        seconds = self.timeouts.dimse
        if not seconds or not self.requests.outstanding:
            return None
        since = self.requests.oldest
        due = (now if since is None else since) + seconds
        if due > now:
            return due
        self.guard(self.association.abort, TimedOut("dimse", seconds, self._astray))
        return None


def _error_of(ending: Ending) -> PacsError:
    """Return the error that says how an association ended to who waits for something."""
    match ending:
        case Ending(Outcome.REJECTED, AAssociateRJ(result, source, reason)):
            return AssociationRejected(result, source, reason)
        case Ending(Outcome.ABORTED_BY_PEER, AAbort(source, reason)):
            return AssociationAborted(source, reason)
        case Ending(Outcome.RELEASED):
            return AssociationReleased("the association was released")
        case Ending(_, PacsError() as error):
            return error
        case Ending(Outcome.ABORTED):
            return AssociationAborted(0, 0, by_peer=False)
    return AssociationLost(ending.outcome.value)
