"""
The Storage SCU (PS3.4 section B.2): send objects to a peer, and say what has become of each.

    summary = await send("tcp:pacs:11112", ["scans/"], called="PACS", calling="CT1")

Some objects are looked at ahead, and an association is proposed for what they need. What comes
later and needs other presentation contexts is set aside until as many are, or until all else is
sent; then a new association is made for them. So a million files of two kinds take one or two
associations, and only a few hundred of them are ever looked at ahead.

When an association is lost, what has no answer is sent again over a new one. An object that was
on its way each time is given up, as it may be what the peer stumbles over, and the others go on.
Everything is given up when there is no association to be had any more, or when some objects were
given up in a row without the answer to a single one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger

from pacs_twisted.dimse import Priority
from pacs_twisted.errors import AssociationEnded, AssociationRejected, ProtocolError
from pacs_twisted.net import Timeouts, associate
from pacs_twisted.net.connection import keep_large_blocks
from pacs_twisted.pdu import UserIdentity
from pacs_twisted.pdu.framing import MAXIMUM_LENGTH
from pacs_twisted.storage.backlog import LOOK_AHEAD, Backlog, Errand
from pacs_twisted.storage.conversion import Conversion
from pacs_twisted.storage.delivery import Delivery, StoreAssociation, run_all
from pacs_twisted.storage.disk import Disk, DiskPool
from pacs_twisted.storage.outcomes import Outcome, Progress, Report, Summary
from pacs_twisted.storage.proposals import Need, Offer, propose

__all__ = ["Retry", "Sender", "send"]

log = Logger(namespace="pacs_twisted.storage")

_MOST_STUMBLES = 3  # objects given up in a row: it is not the objects
_TRANSIENT = 2  # result of an A-ASSOCIATE-RJ (PS3.8 section 9.3.4)


@attrs.frozen
class Retry:
    """
    What happens when there is no association, or none any more.

    Args:
        retries: how often in a row an association is asked for again in vain, and how often an
            object is sent again that has no answer; 0 sends nothing twice.
        delay: how long is waited before, in seconds.
    """

    retries: int = 2
    delay: float = 5.0


_DEFAULT_RETRY = Retry()
_DEFAULT_CONVERSION = Conversion()


@attrs.define(eq=False, kw_only=True)
class Sender:
    """
    Sends objects to one peer.

    Args:
        associate: asks for an association with these presentation contexts.
        disk: where files are read; it runs.
        clock: the reactor, or a virtual clock.
        retry: what happens when there is no association, or none any more.
        conversion: what may be done to data sets that the peer does not take as they are.
        associations: how many are used at a time, at most.
        priority: of the requests.
        look_ahead: how many objects are looked at ahead, at most.
        on_outcome: called with what has become of each object, as soon as that is known.
        on_progress: called often, with how far it is.
    """

    associate: Callable[[Sequence[Offer]], Deferred[Any]]
    disk: Disk
    clock: IReactorTime
    retry: Retry = _DEFAULT_RETRY
    conversion: Conversion = _DEFAULT_CONVERSION
    associations: int = 1
    priority: int = Priority.MEDIUM
    look_ahead: int = LOOK_AHEAD
    on_outcome: Callable[[Outcome], object] | None = None
    on_progress: Callable[[Progress], object] | None = None

    def send(self, objects: Any) -> Deferred[Summary]:
        """
        Send objects.

        Args:
            objects: a path of a file, directory, DICOMDIR or zip archive, a pydicom `Dataset`, a
                `StorableObject`, or an iterable of these, which is advanced in another thread.

        Returns:
            A `Deferred` of what has become of all; it does not fail when objects or associations
            do, only with what the iterable raises, and with what `associate` does not allow. To
            cancel it aborts the associations.
        """
        return _Sending(self, objects).begin()


class _Sending:
    """One call of `Sender.send`."""

    def __init__(self, sender: Sender, objects: Any) -> None:
        self._sender = sender
        self._clock = sender.clock
        self._report = Report(sender.on_outcome, sender.on_progress)
        self._backlog = Backlog(objects, sender.disk.queue(), self._report, sender.look_ahead)
        self._deliveries: set[Delivery] = set()
        self._known: dict[Need, None] = {}
        self._losses = 0  # in a row, without an answer, and not because of an object
        self._stumbles = 0  # objects given up in a row, without an answer
        self._answered = 0  # over associations that have ended
        self._answered_before = 0  # the last loss
        self._one_by_one = False
        self._cancelled = False
        self._pending: set[Deferred[Any]] = set()  # to be cancelled: attempts and pauses

    def begin(self) -> Deferred[Summary]:
        """Begin."""
        keep_large_blocks()
        result: Deferred[Summary] = Deferred(lambda _: self._cancel())
        running = Deferred.fromCoroutine(self._run())

        def finish(outcome: Any) -> None:
            if not result.called:
                result.callback(outcome)

        running.addBoth(finish)
        return result

    async def _run(self) -> Summary:
        began = self._clock.seconds()
        backlog = self._backlog
        await backlog.settle()
        lanes = backlog.sharers = min(self._sender.associations, len(backlog))
        await run_all((self._send_all() for _ in range(lanes)), self._cancel)
        if self._cancelled:
            raise CancelledError
        error = self._report.error
        if error is not None:
            await backlog.fail_all(error)
        if backlog.failure is not None:
            backlog.failure.raiseException()
        return self._report.summary(self._clock.seconds() - began)

    @property
    def _is_over(self) -> bool:
        return self._cancelled or self._report.error is not None

    async def _send_all(self) -> None:
        """Send over one association after the other, until nothing waits."""
        while not self._is_over and await self._something_waits():
            if self._is_over:
                return
            offers = self._propose()
            try:
                association = await self._wait_for(self._sender.associate(offers))
            except (AssociationEnded, ProtocolError) as error:
                if not await self._after_loss(error, _is_permanent(error)):
                    return
                continue
            except CancelledError:
                return
            if not await self._deliver(association, offers):
                return

    async def _something_waits(self) -> bool:
        backlog = self._backlog
        backlog.look()
        while not backlog and not backlog.is_exhausted:
            await backlog.changed()
        return bool(backlog)

    def _propose(self) -> tuple[Offer, ...]:
        """Return the contexts for what waits, and for what came before if there is room."""
        needs = dict.fromkeys(self._backlog.needs())
        self._known = needs | self._known
        return propose(self._known, decompress=self._sender.conversion.decompress)[0]

    async def _deliver(self, association: StoreAssociation, offers: Sequence[Offer]) -> bool:
        """Send over an association; return whether to ask for another if something waits."""
        sender = self._sender
        self._report.associations += 1
        delivery = Delivery(
            association,
            offers,
            self._backlog,
            sender.disk.queue(),
            self._report,
            sender.conversion,
            sender.priority,
            one_by_one=self._one_by_one,
        )
        self._deliveries.add(delivery)
        try:
            await delivery.run()
        finally:
            self._deliveries.discard(delivery)
            self._answered += delivery.answered
        if delivery.error is None:
            self._one_by_one = self._one_by_one and not delivery.answered
        elif not delivery.is_spoiled and not self._is_over:
            return await self._after_loss(delivery.error, False, delivery)
        return True

    async def _after_loss(
        self, error: Exception, permanent: bool, delivery: Delivery | None = None
    ) -> bool:
        """Wait a while before the next attempt; return False if there is to be none."""
        retry = self._sender.retry
        answered = self._answered + sum(other.answered for other in self._deliveries)
        if answered > self._answered_before:
            self._answered_before = answered
            self._losses = self._stumbles = 0
        self._one_by_one = True
        if delivery is not None and delivery.unanswered:
            self._blame(delivery.unanswered, error)
        else:
            self._losses += 1
        if permanent or self._losses > retry.retries or self._stumbles >= _MOST_STUMBLES:
            if not self._deliveries:  # else others do what this one cannot
                self._report.error = error
            return False
        if not await self._something_waits() or self._is_over:
            return False
        log.info(
            "no association: {reason}; another attempt in {seconds} s",
            reason=str(error),
            seconds=retry.delay,
            event="send-retry",
        )
        pause: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(retry.delay, pause.callback, None)
        try:
            await self._wait_for(pause)
        except CancelledError:
            return False
        return True

    def _blame(self, unanswered: Sequence[Errand], error: Exception) -> None:
        """Give up the object on which the peer stumbles, if it was often enough."""
        retries = self._sender.retry.retries
        suspect = unanswered[0]
        suspect.losses += 1
        if suspect.losses <= retries:
            return
        self._stumbles += 1
        # Which one of several it was shows when they are sent again, if that is wanted.
        for errand in unanswered if not retries else (suspect,):
            if self._backlog.remove(errand):
                self._report.unanswered(errand.item, error, begun=errand.begun)

    async def _wait_for(self, deferred: Deferred[Any]) -> Any:
        self._pending.add(deferred)
        try:
            return await deferred
        finally:
            self._pending.discard(deferred)

    def _cancel(self) -> None:
        self._cancelled = True
        for deferred in list(self._pending):
            deferred.cancel()
        for delivery in list(self._deliveries):
            delivery.stop()
            delivery.association.abort()


def _is_permanent(error: Exception) -> bool:
    """Return whether another attempt is of no use: the peer refuses, or does not speak DICOM."""
    if isinstance(error, AssociationRejected):
        return error.result != _TRANSIENT
    return isinstance(error, ProtocolError)


def send(
    endpoint: IStreamClientEndpoint | str,
    objects: Any,
    *,
    called: str,
    calling: str = "PACS_TWISTED",
    timeouts: Timeouts | None = None,
    maximum_length: int = MAXIMUM_LENGTH,
    maximum_operations: int = 1,
    user_identity: UserIdentity | None = None,
    retry: Retry = _DEFAULT_RETRY,
    conversion: Conversion = _DEFAULT_CONVERSION,
    associations: int = 1,
    priority: int = Priority.MEDIUM,
    on_outcome: Callable[[Outcome], object] | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    disk: Disk | None = None,
    reactor: Any = None,
) -> Deferred[Summary]:
    """
    Send objects to a peer; see `Sender` for what all this means.

    Args:
        endpoint: where the peer is, as for `associate`.
        objects: see `Sender.send`.
        called: the peer's AE title.
        calling: ours.
        timeouts: as for `associate`.
        maximum_length: as for `associate`.
        maximum_operations: how many objects may be on their way at a time, as for `associate`.
        user_identity: who we are.
        retry: what happens when there is no association, or none any more.
        conversion: what may be done to data sets that the peer does not take as they are.
        associations: how many are used at a time, at most.
        priority: of the requests.
        on_outcome: called with what has become of each object.
        on_progress: called often, with how far it is.
        disk: where files are read, already started; a pool of threads of its own unless given.
        reactor: the global one unless given.
    """
    if reactor is None:
        from twisted.internet import reactor

    def ask(contexts: Iterable[Offer]) -> Deferred[Any]:
        return associate(
            endpoint,
            called=called,
            calling=calling,
            contexts=contexts,
            timeouts=timeouts,
            maximum_length=maximum_length,
            maximum_operations=maximum_operations,
            user_identity=user_identity,
            reactor=reactor,
        )

    pool = disk or DiskPool(reactor)
    if disk is None:
        pool.start()
    sender = Sender(
        associate=ask,
        disk=pool,
        clock=reactor,
        retry=retry,
        conversion=conversion,
        associations=associations,
        priority=priority,
        on_outcome=on_outcome,
        on_progress=on_progress,
    )
    summary = sender.send(objects)
    if disk is None:
        summary.addBoth(lambda result: pool.stop().addCallback(lambda _: result))
    return summary
