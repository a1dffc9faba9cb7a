"""
Our own requests of one association, on their way to the peer and back.

They are sent in the order in which they were made, as many at a time as the negotiated window
allows (PS3.7 section D.3.3.3), and each finds its response by the message ID. A data set flows from
its source as fast as the peer takes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from inspect import isawaitable
from typing import Any, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pacs_twisted.association import Association
from pacs_twisted.dimse import (
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    DataSetSource,
    Request,
    Response,
    Status,
    StatusCategory,
)
from pacs_twisted.dimse.messages import Message
from pacs_twisted.errors import SourceFailed, describe_error
from pacs_twisted.net.awaiting import to_deferred

_MOST_AT_A_TIME = 4 << 20  # bytes sent before others have their turn
_COST = 4096  # bytes of data that could be sent in the time of a request without any
_MESSAGE_IDS = 65535
_HAVE_PENDING = (CFindRQ, CGetRQ, CMoveRQ)
"""What has several responses (PS3.7 section 9.1); a pending one is the end of anything else."""

log = Logger(namespace="pacs_twisted.net")

Make = Callable[[int], Request[Any]]
"""Makes a request with a message ID."""

R = TypeVar("R", bound=Response)


class Asking(Protocol):
    """What `Requests` needs of the connection."""

    @property
    def association(self) -> Association:
        """Sends the messages."""

    @property
    def is_congested(self) -> bool:
        """Whether the peer takes no more for now; `Requests.go_on` is called when it does."""

    def guard(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call something whose failure is an error of ours."""


@attrs.define(eq=False)
class _Pending:
    """One request that was made and not answered."""

    make: Make
    context_id: int
    source: DataSetSource | None
    deferred: Deferred[Any] | None
    """Who waits for the response; None if nobody does any more."""
    request: Request[Any] | None = None
    since: float | None = None
    """Since when the peer has the whole of it, or last said that it works on it."""
    response: Response | None = None
    """What came before all was sent."""
    reading: Deferred[Any] | None = None

    def close(self) -> None:
        """Give the source back, once."""
        source, self.source = self.source, None
        reading, self.reading = self.reading, None
        if reading is not None:
            reading.cancel()
        if source is not None:
            try:
                source.close()
            except Exception:
                log.failure("a data set's source failed to close", event="internal-error")

    def succeed(self, response: Response) -> None:
        """Hand the response to who waits for it."""
        deferred, self.deferred = self.deferred, None
        if deferred is not None:
            deferred.callback(response)

    def fail(self, failure: Failure) -> None:
        """Tell who waits that there will be no response."""
        self.close()
        deferred, self.deferred = self.deferred, None
        if deferred is not None:
            deferred.errback(failure)


class Requests:
    """
    The requests that we make on one association.

    Args:
        connection: carries them.
        clock: the reactor, or a virtual clock.
        window: how many may be outstanding at a time; 0 without limit.
    """

    __slots__ = (
        "_clock",
        "_connection",
        "_going_on",
        "_in_flight",
        "_last_id",
        "_over",
        "_sending",
        "_waiting",
        "_yielded",
        "window",
    )

    def __init__(self, connection: Asking, clock: IReactorTime, window: int) -> None:
        self._connection = connection
        self._clock = clock
        self.window = window
        self._waiting: deque[_Pending] = deque()
        self._in_flight: dict[int, _Pending] = {}
        self._sending: _Pending | None = None  # whose data set is on its way
        self._last_id = 0
        self._going_on = False
        self._over: Failure | None = None
        self._yielded: Any = None

    @property
    def outstanding(self) -> int:
        """How many requests have no response yet, those not sent yet among them."""
        return len(self._waiting) + len(self._in_flight)

    @property
    def awaited(self) -> bool:
        """Whether anybody waits for a response: some may have been cancelled."""
        return any(
            pending.deferred is not None for pending in (*self._in_flight.values(), *self._waiting)
        )

    @property
    def oldest(self) -> float | None:
        """Since when the peer owes the oldest response; None if it owes none."""
        return min(
            (pending.since for pending in self._in_flight.values() if pending.since is not None),
            default=None,
        )

    def ask(
        self, make: Make, context_id: int, source: DataSetSource | None = None
    ) -> Deferred[Any]:
        """
        Make a request.

        Args:
            make: makes the request with the message ID that it gets.
            context_id: the presentation context.
            source: the data set, if one follows; it is closed whatever happens.

        Returns:
            A `Deferred` of the response. To cancel it takes back what is not sent yet; what is on
            its way goes on, for nothing in the standard stops it, and its response is dropped.
        """
        pending = _Pending(make, context_id, source, None)
        deferred: Deferred[Any] = Deferred(lambda _: self._cancelled(pending))
        pending.deferred = deferred
        if self._over is not None:
            pending.fail(self._over)
        else:
            self._waiting.append(pending)
            self.go_on()
        return deferred

    def receive(self, message: Message) -> bool:
        """
        Take a response.

        Returns:
            Whether it answers a request.
        """
        response: Any = message.command
        message_id = response.message_id_being_responded_to
        pending = self._in_flight.get(message_id)
        if (
            pending is None
            or pending.request is None
            or pending.context_id != message.context.context_id
            or type(response) is not pending.request.response
        ):
            return False
        # A success needs no further look, and is what mostly comes.
        status = response.status
        if (
            status is not Status.SUCCESS
            and status.category is StatusCategory.PENDING
            and isinstance(pending.request, _HAVE_PENDING)
        ):
            if pending.since is not None:
                pending.since = self._clock.seconds()
            return True
        if pending is self._sending:
            pending.response = response
            return True
        del self._in_flight[message_id]
        pending.succeed(response)
        self.go_on()
        return True

    def fail(self, error: Exception) -> None:
        """The association is over: whoever waits is told why, and so is who asks from now on."""
        self._over = failure = Failure(error)
        if self._yielded is not None:
            self._yielded.cancel()
            self._yielded = None
        self._sending = None
        pendings = [*self._in_flight.values(), *self._waiting]
        self._in_flight.clear()
        self._waiting.clear()
        for pending in pendings:
            pending.fail(failure)

    def go_on(self) -> None:
        """Send what may be sent now."""
        connection = self._connection
        # Whoever calls while the next turn of the reactor is awaited has no turn of its own.
        if self._going_on or self._yielded is not None:
            return
        self._going_on = True
        budget = _MOST_AT_A_TIME
        try:
            # A release that we have asked for leaves what is not sent yet to its end.
            while (
                self._over is None
                and connection.association.is_established
                and not connection.is_congested
            ):
                if budget <= 0:
                    self._yield()
                    break
                if self._sending is not None:
                    sent = self._send_piece(self._sending)
                    if not sent:
                        break
                    budget -= sent
                elif self._waiting and len(self._in_flight) < (self.window or _MESSAGE_IDS):
                    self._send(self._waiting.popleft())
                    budget -= _COST
                else:
                    break
        finally:
            self._going_on = False

    def _yield(self) -> None:
        """Go on in the next turn of the reactor."""
        if self._yielded is None:

            def resume() -> None:
                self._yielded = None
                self._connection.guard(self.go_on)

            self._yielded = self._clock.callLater(0, resume)

    def _send(self, pending: _Pending) -> None:
        """Send a request: all of it, or its command set."""
        if pending.deferred is None:  # cancelled while it waited
            pending.close()
            return
        message_id = self._next_id()
        association = self._connection.association
        self._in_flight[message_id] = pending  # before: a transport may be as fast as to answer
        try:
            pending.request = request = pending.make(message_id)
            if pending.source is None:
                pending.since = self._clock.seconds()
                association.send(pending.context_id, request)
            else:
                association.begin(pending.context_id, request, pending.source.length)
                self._sending = pending
        except Exception:  # whatever a source says of its length, or a caller puts into a request
            self._in_flight.pop(message_id, None)
            pending.fail(Failure())

    def _next_id(self) -> int:
        """Return a message ID that no outstanding request has: 1 to 65535, and round again."""
        message_id = self._last_id
        while True:
            message_id = message_id % _MESSAGE_IDS + 1
            if message_id not in self._in_flight:
                self._last_id = message_id
                return message_id

    def _send_piece(self, pending: _Pending) -> int:
        """Send the next piece of a data set; return its length, or 0 if it is still to come."""
        if pending.reading is not None or pending.source is None:
            return 0
        try:
            piece = pending.source.read()
            if isawaitable(piece):
                piece = self._await_piece(pending, piece)
                if piece is None:
                    return 0
            return self._send_data(pending, piece)
        except Exception as cause:
            self._source_failed(cause)
            return 0

    def _await_piece(self, pending: _Pending, piece: Any) -> Any:
        """Return a piece that is there already; None if it comes later, and is then sent."""
        piece = to_deferred(piece)
        results: list[Any] = []
        piece.addBoth(results.append)
        if results:
            result = results[0]
            if isinstance(result, Failure):
                result.raiseException()
            return result
        pending.reading = piece

        def arrived(_: None) -> None:
            pending.reading = None
            if self._sending is pending:
                self._connection.guard(self._piece_arrived, pending, results[0])

        piece.addCallback(arrived)
        return None

    def _piece_arrived(self, pending: _Pending, piece: Any) -> None:
        try:
            if isinstance(piece, Failure):
                piece.raiseException()
            self._send_data(pending, piece)
        except Exception as cause:
            self._source_failed(cause)
        self.go_on()

    def _send_data(self, pending: _Pending, piece: Any) -> int:
        association = self._connection.association
        response = pending.response
        # What the peer has refused already need not be sent to its end (PS3.7 section 9.3.1.3).
        last = response is not None and response.status.category is StatusCategory.FAILURE
        association.send_data(piece, last=last)
        if not association.sending_data:
            self._sent(pending)
        return len(piece)

    def _sent(self, pending: _Pending) -> None:
        """The peer has been sent all of it."""
        self._sending = None
        pending.close()
        pending.since = self._clock.seconds()
        response = pending.response
        if response is not None and pending.request is not None:
            del self._in_flight[pending.request.message_id]
            pending.succeed(response)

    def _source_failed(self, cause: Exception) -> None:
        """A message that has begun cannot be ended, so all ends."""
        error = SourceFailed(f"a data set could not be read: {describe_error(cause)}")
        error.__cause__ = cause
        self._connection.association.abort(error)

    def _cancelled(self, pending: _Pending) -> None:
        """Nobody waits for the response any more."""
        pending.deferred = None
        if pending in self._waiting:
            self._waiting.remove(pending)
            pending.close()
