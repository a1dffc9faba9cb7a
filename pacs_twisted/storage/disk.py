"""
Where the calls that wait for a disk are made: in threads of their own, or, if asked for, at once.

The reactor's thread waits for no disk. Work is handed over in queues, one for each object: what
is in one queue is done in its order, one at a time; queues do not wait for each other as long as
there are threads. All methods but `DiskPool.run_next` are for the reactor's thread, on which the
results come as well.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar, TypeVarTuple

import attrs
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from pacs_twisted.errors import OutOfSequence

__all__ = ["Disk", "DiskPool", "DiskQueue", "InlineDisk"]

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class DiskQueue(Protocol):
    """Work that is done in order."""

    def submit(
        self, call: Callable[[*_Arguments], _Result], /, *args: *_Arguments
    ) -> Deferred[_Result]:
        """
        Call something where it may wait, after all that was submitted before it.

        A failure does not keep the rest of the queue from being done. If the `Deferred` is
        cancelled, a call that has not begun is never made; of one that has begun the result goes
        nowhere.

        Returns:
            A `Deferred` of what it returns or raises; `OutOfSequence` if the disk is not started.
        """

    def cancel(self) -> None:
        """Cancel what has not begun; the queue can be used as before."""


class Disk(Protocol):
    """Who does the work of queues."""

    def start(self) -> None:
        """Begin; if it runs, that is fine."""

    def stop(self) -> Deferred[None]:
        """
        End when all work is done, also what its results lead to at once; if it is at rest, fine.

        A disk that hangs is waited for; to cancel the `Deferred` ends the waiting only.
        """

    def queue(self) -> DiskQueue:
        """Return a new queue; it costs next to nothing and needs no end."""


@attrs.define(eq=False)
class _Job:
    deferred: Deferred[Any]
    call: Callable[..., Any]
    args: tuple[Any, ...]


class DiskPool:
    """
    A few threads of our own: others' work in the reactor's pool does not wait for a slow disk.

    Args:
        reactor: on whose thread results come.
        threads: how many calls are made at a time.
        make_thread: called with what a thread is to run; returns the thread, not yet started.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        threads: int = 4,
        *,
        make_thread: Callable[[Callable[[], None]], threading.Thread] | None = None,
    ) -> None:
        self.threads = threads
        self._reactor = reactor
        self._make_thread = make_thread or _make_thread
        # Queues with something to do, each at most once; None tells a thread to end.
        self._ready: SimpleQueue[_PoolQueue | None] = SimpleQueue()
        self._running = False
        self._unfinished = 0
        self._stops: list[Deferred[None]] = []

    def start(self) -> None:
        """
        Start the threads.

        Raises:
            OutOfSequence: the pool is about to end.
        """
        if self._stops:
            raise OutOfSequence("the disk pool is about to end")
        if self._running:
            return
        self._running = True
        for _ in range(self.threads):
            self._make_thread(self._work).start()

    def stop(self) -> Deferred[None]:
        """End the threads when all work is done."""
        if not self._running:
            return succeed(None)
        stop: Deferred[None] = Deferred()
        self._stops.append(stop)
        self._end_if_done()
        return stop

    def queue(self) -> DiskQueue:
        """Return a new queue."""
        return _PoolQueue(self)

    def run_next(self) -> bool:
        """
        Do one piece of work in the calling thread, and wait for it if there is none.

        Returns:
            Whether there will be more; False tells a thread to end.
        """
        queue = self._ready.get()
        if queue is None:
            return False
        queue.run_next()
        return True

    def _work(self) -> None:
        while self.run_next():
            pass

    # What follows is for the queues.

    def admit(self) -> bool:
        """Count one more job, if the pool runs."""
        if self._running:
            self._unfinished += 1
        return self._running

    def schedule(self, queue: _PoolQueue) -> None:
        """Put a queue that has something to do behind the others, from any thread."""
        self._ready.put(queue)

    def deliver(self, job: _Job, result: object) -> None:
        """Hand a result to the reactor's thread."""
        self._reactor.callFromThread(self._finish, job, result)

    def dismiss(self) -> None:
        """Count one job less: it is finished, or will never be done."""
        self._unfinished -= 1
        self._end_if_done()

    def _finish(self, job: _Job, result: object) -> None:
        if not job.deferred.called:  # it was cancelled meanwhile
            job.deferred.callback(result)
        self.dismiss()  # only now: what the result led to is counted

    def _end_if_done(self) -> None:
        if self._unfinished or not self._stops:
            return
        self._running = False
        for _ in range(self.threads):
            self._ready.put(None)
        stops, self._stops = self._stops, []
        for stop in stops:
            stop.callback(None)


def _make_thread(run: Callable[[], None]) -> threading.Thread:
    # A daemon: an application that forgets to stop the pool can end all the same.
    return threading.Thread(target=run, name="pacs-twisted-disk", daemon=True)


class _PoolQueue:
    __slots__ = ("_busy", "_lock", "_pool", "_waiting")

    def __init__(self, pool: DiskPool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._busy = False
        """Whether a thread works for it, or it waits for one."""

    def submit(
        self, call: Callable[[*_Arguments], _Result], /, *args: *_Arguments
    ) -> Deferred[_Result]:
        if not self._pool.admit():
            return fail(OutOfSequence("the disk pool does not run"))
        deferred: Deferred[_Result] = Deferred(self._drop)
        with self._lock:
            self._waiting.append(_Job(deferred, call, args))
            schedule, self._busy = not self._busy, True
        if schedule:
            self._pool.schedule(self)
        return deferred

    def cancel(self) -> None:
        with self._lock:  # all at once: else a thread may begin one while others are told
            jobs = list(self._waiting)
            self._waiting.clear()
        for job in jobs:
            job.deferred.cancel()
            self._pool.dismiss()  # only now: what its cancellation led to is counted

    def run_next(self) -> None:
        """Do the first job, in a thread of the pool; be scheduled again if there are others."""
        with self._lock:
            if not self._waiting:  # cancelled meanwhile
                self._busy = False
                return
            job = self._waiting.popleft()
        try:
            result: object = job.call(*job.args)
        except BaseException:  # whatever it is, somebody waits for it, and the thread must live
            result = Failure()
        self._pool.deliver(job, result)
        with self._lock:
            self._busy = bool(self._waiting)
            if not self._busy:
                return
        self._pool.schedule(self)

    def _drop(self, deferred: Deferred[Any]) -> None:
        """Forget a job whose `Deferred` is cancelled, if it has not begun."""
        with self._lock:
            for job in self._waiting:
                if job.deferred is deferred:
                    self._waiting.remove(job)
                    break
            else:
                return
        deferred.errback(CancelledError())
        self._pool.dismiss()  # only now: what its cancellation led to is counted


class InlineDisk:
    """
    No threads: each call is made at once and everybody waits for it.

    For tests, and for a memory file system, where handing the work over costs more than doing it.
    """

    def start(self) -> None:
        """Begin: nothing to do."""

    def stop(self) -> Deferred[None]:
        """End: nothing is ever under way."""
        return succeed(None)

    def queue(self) -> DiskQueue:
        """Return a queue that is always empty."""
        return _InlineQueue()


class _InlineQueue:
    __slots__ = ()

    def submit(
        self, call: Callable[[*_Arguments], _Result], /, *args: *_Arguments
    ) -> Deferred[_Result]:
        try:
            return succeed(call(*args))
        except BaseException:
            return fail()

    def cancel(self) -> None:
        pass
