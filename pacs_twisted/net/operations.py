"""
Requests of one association on their way through a service.

As many as the negotiated window allows are served at a time, the others wait in the order in
which they came, and nothing more is read while many wait. A C-STORE is begun as soon as its
command has come: the service opens a sink, and the data set flows into it; while the sink cannot
be opened yet, nothing more is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from inspect import isawaitable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from pacs_twisted.dimse import CCancelRQ, Command, CStoreRQ, Request, Status
from pacs_twisted.dimse.messages import DataSetSink, Discard, Message
from pacs_twisted.errors import StatusFailure
from pacs_twisted.net.awaiting import to_deferred
from pacs_twisted.services import ApplicationEntity, RequestContext, Requestor, StoreSink
from pacs_twisted.upper_layer.negotiation import PresentationContext

_MOST_WAITING = 64
_LONGEST_COMMENT = 64  # characters of an Error Comment, VR LO (PS3.7 section C)

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
    since: float | None
    """Since when its service is what is waited for; None while its data set arrives."""
    deferred: Deferred[Any] | None = None
    opening: _Receiving | None = None
    """Its data set, while there is no sink yet."""

    def stop_opening(self) -> None:
        """Nobody waits for a sink any more: what comes of the data set is thrown away."""
        opening, self.opening = self.opening, None
        if opening is not None:
            opening.discard()
            opening.go_on()


class _Receiving:
    """The data set of one C-STORE, on its way to the sink that the service opens."""

    __slots__ = (
        "_flow",
        "_held",
        "_operations",
        "_waits",
        "complete",
        "discarded",
        "operation",
        "sink",
    )

    def __init__(self, operations: Operations, operation: _Operation, flow: Answering) -> None:
        self._operations = operations
        self._flow = flow
        self._waits = False
        self.operation = operation
        self.sink: StoreSink | None = None
        self._held: list[bytes] = []  # what came before there was a sink: one read at most
        self.complete = False
        self.discarded = False
        """Whether nobody wants the rest."""

    def write(self, fragments: Sequence[bytes | memoryview]) -> None:
        """Hand the bytes on."""
        if self.discarded:
            return
        if self.sink is None:
            self._held.extend(map(bytes, fragments))
            return
        try:
            self.sink.write(fragments)
        except Exception:
            self._operations.sink_failed(self, Failure())

    def wait(self) -> None:
        """There is no sink yet: read nothing more until there is, or the service has refused."""
        if not self._waits:
            self._waits = True
            self._flow.pause()

    def go_on(self) -> None:
        """Read on."""
        if self._waits:
            self._waits = False
            self._flow.resume()

    def open(self, sink: StoreSink) -> None:
        """There is a sink now: it gets what was held."""
        self.sink = sink
        held, self._held = self._held, []
        if held:
            self.write(held)

    def discard(self) -> None:
        """Nobody wants the rest: the service's sink, if there is one, is told so."""
        self.discarded = True
        self._held = []
        sink, self.sink = self.sink, None
        if sink is not None:
            sink.abandon()

    def abandon(self) -> None:
        """The association is over before the data set was complete."""
        self.discard()


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
        self._waiting: list[Message | _Receiving] = []  # few at most, and mostly none
        self._full = False
        self._going_on = False
        self._failed = False

    @property
    def outstanding(self) -> int:
        """How many requests wait for us, and not for the rest of their data set."""
        waiting = sum(isinstance(item, Message) or item.complete for item in self._waiting)
        return waiting + sum(operation.since is not None for operation in self._running.values())

    @property
    def oldest(self) -> float | None:
        """Since when the oldest that is being served is served; None if nothing is."""
        return min(
            (
                operation.since
                for operation in self._running.values()
                if operation.since is not None
            ),
            default=None,
        )

    def open_sink(self, presentation: PresentationContext, command: Command) -> DataSetSink:
        """A request with a data set has begun: return where the data set goes."""
        if not isinstance(command, CStoreRQ):
            return Discard()
        context = self._make_context(presentation)
        receiving = _Receiving(self, _Operation(command, context, None), self._connection)
        if self._is_duplicate(command):
            receiving.discard()
            self._respond(presentation, command, Status.DUPLICATE_INVOCATION)
        elif self._waiting or self._is_window_full():
            receiving.wait()
            self._waiting.append(receiving)
        else:
            self._open(receiving)
        return receiving

    def receive(self, message: Message) -> None:
        """Take a request; serve it now if nothing is before it."""
        command = message.command
        if isinstance(message.sink, _Receiving):
            self._complete(message.sink)
        elif isinstance(command, CCancelRQ):
            self._cancel(command.message_id_being_responded_to)
        elif self._running and self._is_duplicate(command):
            self._respond(message.context, command, Status.DUPLICATE_INVOCATION)
        elif self._waiting or self._is_window_full():
            self._waiting.append(message)
            if len(self._waiting) >= _MOST_WAITING and not self._full:
                self._full = True
                self._connection.pause()
        else:
            self._serve(message)

    def sink_failed(self, receiving: _Receiving, failure: Failure) -> None:
        """A sink takes no more: the request is answered now, the rest of it thrown away."""
        self._refuse(receiving, self._to_answer(failure))

    def fail_older_than(self, since: float) -> None:
        """Answer with a failure what has been served since then or longer."""
        for message_id, operation in list(self._running.items()):
            # What one service does when it is cancelled may have ended the others.
            began = operation.since
            if began is not None and began <= since and self._running.get(message_id) is operation:
                self._answer(operation, Status.PROCESSING_FAILURE)
                self._tell_cancelled(operation)
                self._cancel_deferred(operation)
                operation.stop_opening()
        self._go_on()

    def abandon(self) -> None:
        """The association is over: nobody waits for answers any more."""
        waiting, self._waiting = self._waiting, []
        running, self._running = self._running, {}
        for operation in running.values():
            self._tell_cancelled(operation)
            self._cancel_deferred(operation)
            operation.stop_opening()  # else the peer's close would not be seen
            operation.context.resume()
        for item in waiting:
            if isinstance(item, _Receiving):
                item.go_on()
        if self._full:
            self._full = False
            self._connection.resume()

    def _is_window_full(self) -> bool:
        return bool(self._at_a_time) and len(self._running) >= self._at_a_time

    def _is_duplicate(self, command: Command) -> bool:
        message_id = getattr(command, "message_id", None)
        return message_id in self._running or any(
            getattr(_command_of(item), "message_id", None) == message_id for item in self._waiting
        )

    def _respond(
        self, presentation: PresentationContext, command: Any, status: Status, comment: str = ""
    ) -> None:
        fields = {"error_comment": comment[:_LONGEST_COMMENT]} if comment else {}
        self._connection.respond(presentation.context_id, command.respond(status, **fields))

    def _make_context(self, presentation: PresentationContext) -> RequestContext:
        return RequestContext(self._requestor, presentation, flow=self._connection)

    # Requests without a data set

    def _serve(self, message: Message) -> None:
        presentation = message.context
        command: Any = message.command
        if isinstance(command, CStoreRQ):  # the sink shall say what it makes of no data set
            operation = _Operation(command, self._make_context(presentation), None)
            receiving = _Receiving(self, operation, self._connection)
            self._open(receiving)
            self._complete(receiving)
            return
        handler = self._entity.find_handler(command, presentation)
        if isinstance(handler, Status):
            self._respond(presentation, command, handler)
            return
        context = self._make_context(presentation)
        result = self._call(handler, command, context)
        if isinstance(result, Deferred):
            self._wait_for(result, _Operation(command, context, self._clock()))
        else:
            context.resume()
            self._respond(presentation, command, *self._to_answer(result))

    def _call(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call a service; return what it returns, a Deferred of it, or its failure."""
        try:
            result = call(*arguments)
            if not isinstance(result, (Status, Deferred)) and isawaitable(result):
                return to_deferred(result)
        except Exception:
            return Failure()
        return result

    # Requests with one

    def _open(self, receiving: _Receiving) -> None:
        """Let the service open a sink for a C-STORE."""
        operation = receiving.operation
        request, context = operation.request, operation.context
        self._running[request.message_id] = operation
        handler = self._entity.find_handler(request, context.presentation)
        result = handler if isinstance(handler, Status) else self._call(handler, request, context)
        if not isinstance(result, Deferred):
            self._opened(result, receiving)
            return
        receiving.wait()
        operation.deferred, operation.opening = result, receiving
        operation.since = self._clock()

        def opened(result: Any) -> None:
            operation.deferred = None
            if self._running.get(request.message_id) is operation:
                operation.opening = operation.since = None
                self._connection.guard(self._opened, result, receiving)
            elif hasattr(result, "abandon"):
                result.abandon()  # nobody waits for it any more

        result.addBoth(opened)

    def _opened(self, result: Any, receiving: _Receiving) -> None:
        if isinstance(result, Failure | Status) or not hasattr(result, "write"):
            self._refuse(receiving, self._to_answer(result, "a StoreSink or a Status"))
        else:
            receiving.open(result)
        receiving.go_on()
        if receiving.complete:
            self._complete(receiving)

    def _complete(self, receiving: _Receiving) -> None:
        """The data set is whole: the sink says what becomes of it."""
        receiving.complete = True
        sink, receiving.sink = receiving.sink, None
        if sink is None:  # refused already, or not open yet
            return
        operation = receiving.operation
        operation.since = self._clock()
        result = self._call(sink.complete)
        if isinstance(result, Deferred):
            self._wait_for(result, operation)
        else:
            self._finish(operation, result)

    def _refuse(self, receiving: _Receiving, answer: tuple[Status, str]) -> None:
        try:
            receiving.discard()
        except Exception:
            self._note_failure(Failure())
        self._answer(receiving.operation, *answer)
        self._go_on()

    # Answers

    def _wait_for(self, result: Deferred[Any], operation: _Operation) -> None:
        request = operation.request
        operation.deferred = result
        self._running[request.message_id] = operation

        def done(result: Any) -> None:
            operation.deferred = None
            # If it does not run any more nobody waits: we have cancelled it ourselves.
            if self._running.get(request.message_id) is operation:
                self._connection.guard(self._finish, operation, result)

        result.addBoth(done)

    def _finish(self, operation: _Operation, result: Any) -> None:
        self._answer(operation, *self._to_answer(result))
        self._go_on()

    def _answer(self, operation: _Operation, status: Status, comment: str = "") -> None:
        del self._running[operation.request.message_id]
        operation.context.resume()
        self._respond(operation.context.presentation, operation.request, status, comment)

    def _go_on(self) -> None:
        if self._going_on:
            return  # what ends at once is followed by the loop below, not by one inside another
        self._going_on = True
        try:
            while self._waiting and not self._is_window_full():
                item = self._waiting.pop(0)
                if isinstance(item, Message):
                    self._serve(item)
                else:
                    self._open(item)
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

    def _to_answer(self, result: Any, expected: str = "a Status") -> tuple[Status, str]:
        """Return the status, and the words if there are any, that a service's result stands for."""
        if isinstance(result, Status):
            return result, ""
        if not isinstance(result, Failure):
            wrong = f"a service must answer with {expected}, not {type(result).__name__}"
            result = Failure(TypeError(wrong))
        if result.check(StatusFailure):
            with suppress(ValueError):  # a number that no status has
                return Status(result.value.status), result.value.comment
        return self._note_failure(result), ""

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


def _command_of(item: Message | _Receiving) -> Command:
    return item.command if isinstance(item, Message) else item.operation.request
