"""
Requests of one association on their way through a service.

As many as the negotiated window allows are served at a time, the others wait in the order in
which they came, and nothing more is read while many wait.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable, iscoroutine
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from pacs_twisted.dimse import CCancelRQ, Command, Request, Status
from pacs_twisted.dimse.messages import Message
from pacs_twisted.services import ApplicationEntity, RequestContext, Requestor
from pacs_twisted.upper_layer.negotiation import PresentationContext

_MOST_WAITING = 64

log = Logger(namespace="pacs_twisted.net")


class Answering(Protocol):
    """What `Operations` needs of the connection."""

    def respond(self, context_id: int, response: Command) -> None:
        """Send a response."""

    def pause(self) -> None:
        """Read nothing more for now."""

    def resume(self) -> None:
        """Read on."""

    def operations_ended(self) -> None:
        """Nothing is being served and nothing waits."""

    def guard(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call something whose failure is an error of ours."""


@attrs.define(eq=False)
class _Operation:
    """One request that is being served by something that takes its time."""

    request: Request[Any]
    context: RequestContext
    since: float
    deferred: Deferred[Any] | None = None


class Operations:
    """
    The requests of one association.

    Args:
        entity: finds the service of a request.
        requestor: who asks.
        connection: where the responses go.
        clock: returns the time in seconds.
        at_a_time: how many are served at a time, the negotiated window; 0 means without limit.
    """

    __slots__ = (
        "_at_a_time",
        "_clock",
        "_connection",
        "_entity",
        "_failed",
        "_full",
        "_going_on",
        "_requestor",
        "_running",
        "_waiting",
    )

    def __init__(
        self,
        entity: ApplicationEntity,
        requestor: Requestor,
        connection: Answering,
        clock: Callable[[], float],
        at_a_time: int,
    ) -> None:
        self._entity = entity
        self._requestor = requestor
        self._connection = connection
        self._clock = clock
        self._at_a_time = at_a_time
        self._running: dict[int, _Operation] = {}
        self._waiting: list[Message] = []  # few at most, and mostly none
        self._full = False
        self._going_on = False
        self._failed = False

    @property
    def outstanding(self) -> int:
        """How many requests have no answer yet."""
        return len(self._running) + len(self._waiting)

    @property
    def oldest(self) -> float | None:
        """Since when the oldest that is being served is served; None if nothing is."""
        return min((operation.since for operation in self._running.values()), default=None)

    def receive(self, message: Message) -> None:
        """Take a request; serve it now if nothing is before it."""
        command = message.command
        if isinstance(command, CCancelRQ):
            self._cancel(command.message_id_being_responded_to)
        elif self._running and self._is_duplicate(command):
            self._respond(message.context, command, Status.DUPLICATE_INVOCATION)
        elif self._waiting or (self._at_a_time and len(self._running) >= self._at_a_time):
            self._waiting.append(message)
            if len(self._waiting) >= _MOST_WAITING and not self._full:
                self._full = True
                self._connection.pause()
        else:
            self._serve(message)

    def fail_older_than(self, since: float) -> None:
        """Answer with a failure what has been served since then or longer."""
        for message_id, operation in list(self._running.items()):
            # What one service does when it is cancelled may have ended the others.
            if operation.since <= since and self._running.get(message_id) is operation:
                self._answer(operation, Status.PROCESSING_FAILURE)
                self._tell_cancelled(operation)
                self._cancel_deferred(operation)
        self._go_on()

    def abandon(self) -> None:
        """The association is over: nobody waits for answers any more."""
        self._waiting.clear()
        running, self._running = self._running, {}
        for operation in running.values():
            self._tell_cancelled(operation)
            self._cancel_deferred(operation)
        if self._full:  # else the peer's close would not be seen
            self._full = False
            self._connection.resume()

    def _is_duplicate(self, command: Command) -> bool:
        message_id = getattr(command, "message_id", None)
        return message_id in self._running or any(
            getattr(message.command, "message_id", None) == message_id for message in self._waiting
        )

    def _respond(self, presentation: PresentationContext, command: Any, status: Status) -> None:
        self._connection.respond(presentation.context_id, command.respond(status))

    def _serve(self, message: Message) -> None:
        presentation, command = message.context, message.command
        handler = self._entity.find_handler(command, presentation)
        if isinstance(handler, Status):
            self._respond(presentation, command, handler)
            return
        context = RequestContext(self._requestor, presentation)
        try:
            result = handler(command, context)
            if not isinstance(result, (Status, Deferred)) and isawaitable(result):
                result = Deferred.fromCoroutine(result if iscoroutine(result) else _await(result))
        except Exception:
            result = self._note_failure(Failure())
        if isinstance(result, Deferred):
            self._wait_for(result, command, context)
        else:
            self._respond(presentation, command, self._to_status(result))

    def _wait_for(self, result: Deferred[Any], request: Any, context: RequestContext) -> None:
        operation = _Operation(request, context, self._clock(), result)
        self._running[request.message_id] = operation

        def done(status: Any) -> None:
            operation.deferred = None
            if self._running.get(request.message_id) is operation:
                self._connection.guard(self._finish, operation, status)

        def fail(failure: Failure) -> Status:
            if self._running.get(request.message_id) is operation:
                return self._note_failure(failure)
            return Status.PROCESSING_FAILURE  # nobody waits: we have cancelled it ourselves

        result.addErrback(fail)
        result.addCallback(done)

    def _finish(self, operation: _Operation, result: Any) -> None:
        self._answer(operation, self._to_status(result))
        self._go_on()

    def _answer(self, operation: _Operation, status: Status) -> None:
        del self._running[operation.request.message_id]
        self._respond(operation.context.presentation, operation.request, status)

    def _go_on(self) -> None:
        if self._going_on:
            return  # what ends at once is followed by the loop below, not by one inside another
        self._going_on = True
        try:
            while self._waiting and not (self._at_a_time and len(self._running) >= self._at_a_time):
                self._serve(self._waiting.pop(0))
        finally:
            self._going_on = False
        if self._full and len(self._waiting) < _MOST_WAITING // 2:
            self._full = False
            self._connection.resume()
        if not self.outstanding:
            self._connection.operations_ended()

    def _cancel(self, message_id: int) -> None:
        operation = self._running.get(message_id)
        if operation is not None:
            self._tell_cancelled(operation)

    def _tell_cancelled(self, operation: _Operation) -> None:
        """Tell all who watch, also when one of them fails."""
        told = False
        while not told:
            try:
                operation.context.cancel()
                told = True
            except Exception:
                self._note_failure(Failure())

    def _cancel_deferred(self, operation: _Operation) -> None:
        deferred, operation.deferred = operation.deferred, None
        if deferred is not None:
            try:
                deferred.cancel()
            except Exception:
                self._note_failure(Failure())

    def _to_status(self, result: Any) -> Status:
        if isinstance(result, Status):
            return result
        return self._note_failure(
            Failure(TypeError(f"a service must answer with a Status, not {type(result).__name__}"))
        )

    def _note_failure(self, failure: Failure) -> Status:
        """Log the first failure of an association whole, so that a peer cannot fill the log."""
        if not self._failed:
            self._failed = True
            log.failure(
                "association {association}: a service failed; further ones are not logged",
                failure,
                association=self._requestor.association,
                event="handler-failure",
            )
        return Status.PROCESSING_FAILURE


async def _await(result: Any) -> Any:
    return await result
