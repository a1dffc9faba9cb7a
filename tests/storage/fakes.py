"""
A disk that works when a test wants it to, and a store of files in memory that fails when told to.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from struct import pack
from typing import Any, NoReturn

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pacs_twisted.storage.files import Committed, Refused

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
STUDY, SERIES, INSTANCE = "1.2.3", "1.2.3.4", "1.2.3.4.5"

FULL = OSError(errno.ENOSPC, "No space left on device", "/archive/SOMEBODY.dcm")
"""What a full disk answers."""


def element(tag: int, value: bytes | str) -> bytes:
    """Return an element in implicit VR little endian."""
    value = value.encode("ascii") if isinstance(value, str) else value
    value += b"\0" * (len(value) & 1)
    return pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


def data_set(
    *,
    sop_class: str | None = CT,
    instance: str | None = INSTANCE,
    study: str = STUDY,
    series: str = SERIES,
    pixels: bytes = b"",
) -> bytes:
    """Return a data set in implicit VR little endian; None leaves an element out."""
    elements = {
        0x00080016: sop_class,
        0x00080018: instance,
        0x0020000D: study,
        0x0020000E: series,
        0x7FE00010: pixels or None,
    }
    return b"".join(element(tag, value) for tag, value in elements.items() if value is not None)


@attrs.define(eq=False)
class _Job:
    queue: _ManualQueue
    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    deferred: Deferred[Any]


class ManualDisk:
    """A disk that does nothing before `run`: then one job after another, in any queue's order."""

    def __init__(self) -> None:
        self.jobs: list[_Job] = []
        self.done = 0
        """How many jobs were done."""
        self.working = False
        """Whether one is being done."""

    def start(self) -> None: ...

    def stop(self) -> Deferred[None]:
        raise NotImplementedError

    def queue(self) -> _ManualQueue:
        return _ManualQueue(self)

    def run(self, most: int | None = None) -> int:
        """Do so many jobs, all unless given; return how many were done."""
        done = 0
        while self.jobs and done != most:
            job = self.jobs.pop(0)
            self.working = True
            try:
                result: Any = job.call(*job.arguments)
            except Exception:
                result = Failure()
            finally:
                self.working = False
            done += 1
            if not job.deferred.called:
                job.deferred.callback(result)
        self.done += done
        return done

    @property
    def waiting(self) -> int:
        """How many bytes wait to be written."""
        return sum(
            len(piece)
            for job in self.jobs
            for argument in job.arguments
            if isinstance(argument, list)
            for piece in argument
        )


class _ManualQueue:
    def __init__(self, disk: ManualDisk) -> None:
        self._disk = disk

    def submit(self, call: Callable[..., Any], /, *arguments: Any) -> Deferred[Any]:
        disk = self._disk

        def drop(_: Deferred[Any]) -> None:
            if job in disk.jobs:
                disk.jobs.remove(job)

        job = _Job(self, call, arguments, Deferred(drop))
        disk.jobs.append(job)
        return job.deferred

    def cancel(self) -> None:
        for job in [job for job in self._disk.jobs if job.queue is self]:
            job.deferred.cancel()


class MemoryStore:
    """
    A store of files in memory.

    Args:
        allowed: whether the disk may be touched now.
    """

    directory = "/archive"

    def __init__(self, allowed: Callable[[], bool] = lambda: True) -> None:
        self.allowed = allowed
        self.files: dict[str, bytes] = {}
        """What is stored, by path."""
        self.temporary: set[MemoryIncoming] = set()
        """What is not, or not yet."""
        self.calls: list[str] = []
        """What was done, in its order."""
        self.failing: dict[int, Exception] = {}
        """What goes wrong, by the number of the call."""
        self.before: dict[str, Callable[[], None]] = {}
        """What happens when a call of this name begins."""
        self.place: Callable[[Path], Committed] = Committed

    def begin(self) -> MemoryIncoming:
        return MemoryIncoming(self)

    def called(self, name: str) -> None:
        """Note a call; fail if that is its lot."""
        if not self.allowed():
            raise AssertionError(f"{name} on the reactor's thread")
        self.before.get(name, lambda: None)()
        self.calls.append(name)
        error = self.failing.pop(len(self.calls) - 1, None)
        if error is not None:
            raise error


class MemoryIncoming:
    """A temporary file in memory; it keeps what `pacs_twisted.storage.deposit.Temporary` says."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._data = bytearray()
        self._finished = False
        self._error: Exception | None = None

    @property
    def path(self) -> Path:
        return Path("/archive/incoming/1")

    @property
    def data(self) -> bytes:
        """What was written."""
        return bytes(self._data)

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        self._store.temporary.add(self)
        self._called("write")
        for buffer in buffers:
            self._data += buffer

    def finish(self) -> None:
        self._called("finish")
        self._finished = True

    def commit(self, components: Sequence[str]) -> Committed:
        self._called("commit")
        committed = self._store.place(Path(self._store.directory, *components))
        if not self._finished:
            raise AssertionError("committed, and not finished")
        if str(committed.path) in self._store.files:
            self._fail(Refused("there already"))
        self._store.temporary.remove(self)
        self._store.files[str(committed.path)] = self.data
        return committed

    def discard(self) -> None:
        self._store.called("discard")
        self._store.temporary.discard(self)

    def _called(self, name: str) -> None:
        if self._error is not None:
            raise self._error
        try:
            self._store.called(name)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> NoReturn:
        self._error = error
        self._store.temporary.discard(self)
        raise error
