"""
The objects that are sent over one association.

While one is sent the next ones are loaded, some at a time, so that neither a disk nor a change of
threads is waited for. What has no answer when the association ends is given back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from pacs_twisted.dimse import CStoreRSP, DataSetSource, Priority
from pacs_twisted.errors import (
    AssociationEnded,
    AssociationLost,
    NoPresentationContext,
    PacsError,
    ProtocolError,
    describe_error,
)
from pacs_twisted.pdu import AAssociateAC, AAssociateRQ
from pacs_twisted.storage.backlog import Backlog, Errand, Key
from pacs_twisted.storage.content import PIECE, Content, source_of
from pacs_twisted.storage.conversion import Conversion, is_uncompressed
from pacs_twisted.storage.disk import DiskQueue
from pacs_twisted.storage.outcomes import Outcome, Report
from pacs_twisted.storage.proposals import Offer
from pacs_twisted.uids import EXPLICIT_VR_LITTLE_ENDIAN
from pacs_twisted.upper_layer.negotiation import (
    ABSTRACT_SYNTAX_NOT_SUPPORTED,
    PresentationContext,
)
from pacs_twisted.wording import describe_uid

log = Logger(namespace="pacs_twisted.storage")

_AT_A_TIME: Final = 8  # objects that are loaded in one go, as long as
_BYTES_AT_A_TIME: Final = 4 * PIECE  # are not reached
_ENOUGH: Final = 4  # that are ready, or so many bytes: no more are loaded
_MOST_WORKERS: Final = 64  # requests on their way, whatever the peer takes


class StoreAssociation(Protocol):
    """What is needed of a `RequestorAssociation`."""

    @property
    def request(self) -> AAssociateRQ:
        """What was asked for."""

    @property
    def answer(self) -> AAssociateAC:
        """What the peer has answered."""

    @property
    def contexts(self) -> Mapping[int, PresentationContext]:
        """The accepted presentation contexts by context ID."""

    @property
    def window(self) -> int:
        """How many requests may be on their way at a time; 0 without limit."""

    @property
    def is_over(self) -> bool:
        """Whether there can be no more requests."""

    def store(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        data_set: bytes | DataSetSource,
        *,
        context: PresentationContext | None = None,
        priority: int = Priority.MEDIUM,
    ) -> Deferred[CStoreRSP]:
        """Send an object."""

    def release(self) -> Deferred[None]:
        """End the association in order."""

    def abort(self) -> None:
        """End it at once."""


@attrs.frozen
class Route:
    """
    How objects of one kind are sent.

    Args:
        context: the presentation context.
        target: the transfer syntax that they are converted to; None if they are sent as they are.
    """

    context: PresentationContext
    target: str | None = None


def routes(
    offers: Sequence[Offer], accepted: Mapping[int, PresentationContext], conversion: Conversion
) -> dict[Key, Route | None]:
    """
    Return how each kind of object is sent for which a context of its own was proposed.

    Args:
        offers: the proposed contexts.
        accepted: those that the peer has accepted, by context ID.
        conversion: what may be done to a data set.

    Returns:
        A route by SOP class and transfer syntax; None where there is none.
    """
    contexts = {
        (context.abstract_syntax, context.transfer_syntax): context
        for context in reversed(list(accepted.values()))
        if context.requestor_is_scu
    }
    found: dict[Key, Route | None] = {}
    for sop_class, syntaxes in offers:
        for syntax in syntaxes:
            if (sop_class, syntax) in found:
                continue
            own = contexts.get((sop_class, syntax))
            if own is not None:
                found[sop_class, syntax] = Route(own)
                continue
            others = [
                context
                for (uid, target), context in contexts.items()
                if uid == sop_class and is_uncompressed(target)
            ]
            # Explicit VR keeps what the sender knew of private elements.
            others.sort(key=lambda other: other.transfer_syntax != EXPLICIT_VR_LITTLE_ENDIAN)
            if others and conversion.objection(syntax) is None:
                found[sop_class, syntax] = Route(others[0], others[0].transfer_syntax)
            else:
                found[sop_class, syntax] = None
    return found


def why_no_route(key: Key, association: StoreAssociation, conversion: Conversion) -> str:
    """Return in words why objects of a kind cannot be sent."""
    sop_class, syntax = key
    proposed = {
        context.context_id
        for context in association.request.presentation_contexts
        if context.abstract_syntax == sop_class
    }
    results = [
        result for result in association.answer.context_results if result.context_id in proposed
    ]
    if all(result.result == ABSTRACT_SYNTAX_NOT_SUPPORTED for result in results):
        return f"the peer does not accept {describe_uid(sop_class)}"
    theirs = {result.transfer_syntax for result in results if result.accepted}
    words = f"the peer does not accept {describe_uid(sop_class)} in {describe_uid(syntax)}"
    if theirs:
        words += f", only in {', '.join(map(describe_uid, sorted(theirs)))}"
    objection = conversion.objection(syntax)
    if objection and any(map(is_uncompressed, theirs)):
        words += f", and {objection}"
    return words


@attrs.define(eq=False)
class _Loaded:
    """An object whose turn to be sent has come."""

    errand: Errand
    route: Route
    content: Content


class Delivery:
    """
    Sends what waits over one association, until nothing is left that it was proposed for.

    Args:
        association: established.
        offers: the contexts that were proposed for it.
        backlog: what waits.
        queue: where the disk is waited for.
        report: is told of the outcomes.
        conversion: what may be done to a data set.
        priority: of the requests.
        one_by_one: whether only one request is to be on its way at a time.
    """

    def __init__(
        self,
        association: StoreAssociation,
        offers: Sequence[Offer],
        backlog: Backlog,
        queue: DiskQueue,
        report: Report,
        conversion: Conversion,
        priority: int = Priority.MEDIUM,
        *,
        one_by_one: bool = False,
    ) -> None:
        self.association = association
        self.answered = 0
        """How many objects the peer has answered for."""

        self.error: Exception | None = None
        """How the association has ended, if not by us and in order."""

        self.is_spoiled = False
        """Whether it has ended because an object could not be read to its end."""

        self.unanswered: list[Errand] = []
        """What was on its way when it ended, in order."""

        self._backlog = backlog
        self._queue = queue
        self._report = report
        self._conversion = conversion
        self._priority = priority
        self._routes = routes(offers, association.contexts, conversion)
        self._workers = 1 if one_by_one else min(association.window or _MOST_WORKERS, _MOST_WORKERS)
        self._in_flight: dict[int, Errand] = {}
        self._ready: deque[_Loaded] = deque()
        self._loading: list[Errand] = []
        self._loaded: list[Deferred[None]] = []
        self._broken: Failure | None = None
        self._stopped = False
        self._gave_back = False

    async def run(self) -> None:
        """Send; give back what has no answer; release the association."""
        try:
            await run_all((self._work() for _ in range(self._workers)), self.association.abort)
        finally:
            self._give_back()
        if self.error is None and not self.association.is_over:
            try:
                await self.association.release()
            except PacsError as error:  # all that was sent is answered: nothing is lost
                log.debug(
                    "an association could not be released: {reason}",
                    reason=str(error),
                    event="release-failed",
                )

    def stop(self) -> None:
        """Send nothing more; what is on its way is waited for."""
        self._stopped = True

    async def _work(self) -> None:
        """Send one object after the other."""
        while (loaded := await self._next()) is not None:
            await self._send(loaded)

    async def _next(self) -> _Loaded | None:
        """Return what is to be sent next; None if this association is not to send any more."""
        while not self._stopped:
            if self.association.is_over:
                self._ended(AssociationLost("the association has ended"))
                break
            self._load()
            if self._broken is not None:
                self._broken.raiseException()
            if self._ready:
                return self._ready.popleft()
            if self._loading:
                loaded: Deferred[None] = Deferred()
                self._loaded.append(loaded)
                await loaded
            elif self._backlog.is_exhausted or self._backlog.is_full:
                break  # what is left needs other contexts
            else:
                await self._backlog.changed()
        return None

    def _load(self) -> None:
        """Load the next objects in the background, if few are ready."""
        while not self._loading:
            # The last ones are taken one by one, so that no other association is left without.
            scarce = 1 < self._backlog.sharers > len(self._backlog) / _AT_A_TIME
            if len(self._ready) >= (1 if scarce else _ENOUGH) or self._is_much_ready():
                return
            most = 1 if scarce else _AT_A_TIME
            errands = self._backlog.take(self._routes, most, _BYTES_AT_A_TIME, self._size)
            if not errands:
                return
            going = []
            for errand in errands:
                route = self._routes[errand.key]
                if route is None:
                    self._refuse(errand)
                else:
                    going.append((errand, route))
            if going:
                self._loading = [errand for errand, _ in going]
                loaded = self._queue.submit(_load_all, going, self._conversion)
                loaded.addCallback(self._have_loaded)
                loaded.addErrback(self._fail_to_load)

    def _size(self, errand: Errand) -> int:
        """Return how many bytes of memory an object takes up when it is loaded."""
        route = self._routes[errand.key]
        if route is None:
            return 0
        whole = errand.item.held or route.target is not None
        return errand.item.length if whole else min(errand.item.length, PIECE)

    def _is_much_ready(self) -> bool:
        """Whether what is ready takes up so much memory that no more is loaded."""
        return sum(self._size(loaded.errand) for loaded in self._ready) >= _BYTES_AT_A_TIME

    def _refuse(self, errand: Errand) -> None:
        words = why_no_route(errand.key, self.association, self._conversion)
        error = NoPresentationContext(words)
        self._report.fail(errand.item.name, words, errand.item, error)

    def _have_loaded(self, results: list[tuple[Errand, Route, Content | Exception]]) -> None:
        for errand, route, content in results:
            if self._gave_back:  # somebody else sends it
                if not isinstance(content, Exception):
                    self._close(content)
            elif isinstance(content, Exception):
                words = describe_error(content)
                self._report.fail(errand.item.name, words, errand.item, content)
            else:
                self._ready.append(_Loaded(errand, route, content))
        self._loading = []
        self._wake()

    def _fail_to_load(self, failure: Failure) -> None:
        """The disk does not do any work."""
        self._broken = failure
        self._wake()

    def _wake(self) -> None:
        waiting, self._loaded = self._loaded, []
        for deferred in waiting:
            deferred.callback(None)

    async def _send(self, loaded: _Loaded) -> None:
        errand, item = loaded.errand, loaded.errand.item
        if item.corrected:
            log.debug(
                "an object's meta information and its data set differ: the data set counts",
                event="meta-mismatch",
            )

        def sent(number: int) -> None:
            errand.begun = True
            self._report.sent(number)

        source = source_of(loaded.content, self._queue, sent)
        length = source.length
        self._in_flight[errand.number] = errand
        try:
            response = await self.association.store(
                item.sop_class_uid,
                item.sop_instance_uid,
                source,
                context=loaded.route.context,
                priority=self._priority,
            )
        except Exception as error:
            del self._in_flight[errand.number]
            if source.failure is not None:
                self.is_spoiled = True
                self._ended(error)
                words = describe_error(source.failure)
                self._report.fail(item.name, words, item, error)
            elif self.association.is_over or isinstance(error, AssociationEnded | ProtocolError):
                self.unanswered.append(errand)
                self._ended(error)
            else:
                if not isinstance(error, PacsError | ValueError):
                    log.failure("an object could not be sent", event="internal-error")
                self._report.fail(item.name, str(error), item, error)
            return
        del self._in_flight[errand.number]
        self.answered += 1
        self._report.add(Outcome.of_response(item, length, response))

    def _ended(self, error: Exception) -> None:
        self._stopped = True
        if self.error is None:
            self.error = error

    def _give_back(self) -> None:
        """Let wait again what was not sent, and what has no answer."""
        self._stopped = self._gave_back = True
        self.unanswered.sort(key=lambda errand: errand.number)
        errands = [*self.unanswered, *self._in_flight.values(), *self._loading]
        for loaded in self._ready:
            errands.append(loaded.errand)
            self._close(loaded.content)
        self._ready.clear()
        self._backlog.put_back(errands)

    def _close(self, content: Content) -> None:
        self._queue.submit(content.close).addErrback(lambda _: None)  # it was only read


async def run_all(
    coroutines: Iterable[Coroutine[Any, Any, None]], on_failure: Callable[[], None]
) -> None:
    """
    Run some coroutines at the same time until all have ended.

    Args:
        coroutines: what is to be run.
        on_failure: called when one has failed, to let the others end.

    Raises:
        Exception: what the first that failed has raised.
    """
    failures: list[Failure] = []

    def failed(failure: Failure) -> None:
        failures.append(failure)
        on_failure()

    await DeferredList([Deferred.fromCoroutine(one).addErrback(failed) for one in coroutines])
    if failures:
        failures[0].raiseException()


def _load_all(
    errands: Sequence[tuple[Errand, Route]], conversion: Conversion
) -> list[tuple[Errand, Route, Content | Exception]]:
    """Load some objects, and convert those that need it; this waits for the disk."""
    results: list[tuple[Errand, Route, Content | Exception]] = []
    for errand, route in errands:
        try:
            if route.target is None:
                content = errand.item.load()
            else:
                content = conversion.convert(errand.item, route.target)
        except Exception as error:  # one bad object does not keep the others from being sent
            results.append((errand, route, error))
        else:
            results.append((errand, route, content))
    return results
