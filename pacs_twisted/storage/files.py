"""
Objects become files: written under a temporary name, made durable, and only then named.

In this order, so that neither a crash nor a power cut leaves part of an object under its name,
and so that an object whose `commit` has returned is still there afterwards:

    create, write, …    a temporary file, see `workplace`
    fsync, close        the file's content
    mkdir, fsync        each directory that is new, in the one above it
    rename              to its name
    fsync               the directory in which it has its name now

Everything here blocks: it is called in the threads of a disk (see `disk`), for one object by one
thread at a time. A call that fails raises `OSError`, or what is said; its object is gone then, its
temporary file too, and nothing is tried again: of an fsync that failed nobody knows what it lost.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from typing import Final

import attrs

from pacs_twisted.errors import OutOfSequence, PacsError
from pacs_twisted.storage.comparison import hold_equal_data_sets, hold_one_instance
from pacs_twisted.storage.directories import Directories, make_root
from pacs_twisted.storage.filesystem import MAXIMUM_BUFFERS, Buffer, FileSystem, OSFileSystem
from pacs_twisted.storage.workplace import Leftovers, Workplace

__all__ = ["Committed", "Crowded", "Existing", "FileStore", "Incoming", "Leftovers", "Refused"]

_TRIES: Final = 5
"""How often somebody may remove a directory at the moment when a file is to go there."""

_LONGEST_NAME: Final = 255  # bytes, on nearly all file systems
_LONGEST_SUFFIX: Final = 8
_NOT_OPEN: Final = -1

_MOST_BESIDE: Final = 100
"""Objects beside one that has their name: each further one is compared with all of them."""


class Existing(Enum):
    """
    What is done when the name of an object is taken by an object of the same SOP Instance UID.

    Where it is taken by anything else the new object is stored beside that, always.
    """

    COMPARE = "compare"
    """Keep what is there if its data set is equal, else store the new object beside it."""

    KEEP = "keep"
    """Keep what is there, whatever its data set is."""

    REPLACE = "replace"
    """The new object takes the place of what is there."""

    REFUSE = "refuse"
    """The new object is not stored: `Refused`."""


class Refused(PacsError):
    """The instance is there under this name, and the store is not to take it again."""


class Crowded(PacsError):
    """Too many other objects stand under this name and beside it already."""


def _to_text(path: str | os.PathLike[str]) -> str:
    return os.fspath(path)


@attrs.frozen
class Committed:
    """
    A file that is stored.

    Args:
        name: its whole path, as text or as a path.
        kept: it was there before, with an equal data set or by the policy, and was left alone.
        beside: another object was there under the name, so it has a name beside that.
    """

    name: str = attrs.field(converter=_to_text)
    kept: bool = False
    beside: bool = False

    @property
    def path(self) -> Path:
        """Where it is; made when it is asked for, since most never are."""
        return Path(self.name)


class FileStore:
    """
    A directory of objects.

    Several servers may share it. All of it must be on one file system.

    Args:
        directory: its path; made if it is not there.
        files: the file system.
        fsync: whether objects survive a power cut; without, they survive the end of the process.
        existing: what is done when a name is taken; `Existing` or its value.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        files: FileSystem | None = None,
        *,
        fsync: bool = True,
        existing: Existing | str = Existing.COMPARE,
    ) -> None:
        self.directory = os.path.abspath(directory)
        self.files: FileSystem = files or OSFileSystem()
        self.fsync = fsync
        self.existing = Existing(existing)
        self._same = (
            hold_equal_data_sets if self.existing is Existing.COMPARE else hold_one_instance
        )
        self._workplace = Workplace(self.directory, self.files, fsync=fsync)
        self._directories = Directories(self.directory, self.files, fsync=fsync)

    def open(self) -> Leftovers:
        """
        Begin: make the directory, take away what processes that died have left in it.

        Returns:
            What was taken away.
        """
        make_root(self.directory, self.files, fsync=self.fsync)
        return self._workplace.open()

    def close(self) -> None:
        """End, when no object is under way any more; if it is not open, that is fine."""
        self._workplace.close()

    def begin(self) -> Incoming:
        """Return an object to be written; this makes no call of the file system."""
        return Incoming(self, self._workplace)

    def place(self, source: str, components: Sequence[str]) -> Committed:
        """
        Give a finished temporary file its name, or find that it needs none.

        `Incoming.commit` calls this. The file is not removed if it gets no name.
        """
        for component in components:
            # Whoever made them should have seen to that; of the file system nobody is asked twice.
            if not component or component[0] == "." or "/" in component or "\0" in component:
                raise ValueError("a component of a path is empty, hidden, or more than one")
        *above, name = components
        tries = _TRIES
        while True:
            tries -= 1
            try:
                directory = self._directories.make(above)
                return self._place(source, directory, name)
            except (FileNotFoundError, NotADirectoryError):
                self._workplace.check()
                if not tries:
                    raise
                self._directories.forget(above)

    def _place(self, source: str, directory: str, name: str) -> Committed:
        target = f"{directory}/{name}"
        beside = 0
        while not self._rename(source, target):
            # Outside the lock: what is there under a name stays, but for another version of it.
            if self.existing is not Existing.REPLACE and self._is_there(source, target):
                if self.existing is Existing.REFUSE:
                    raise Refused("there is an object under this name already")
                return self._done(directory, Committed(target, True, beside > 0))
            if self.files.exists(target):  # else it was removed: the name is free now
                beside += 1
                if beside > _MOST_BESIDE:
                    raise Crowded("there are too many other objects under this name already")
                target = f"{directory}/{_name_beside(name, beside)}"
        return self._done(directory, Committed(target, beside=beside > 0))

    def _rename(self, source: str, target: str) -> bool:
        """Rename a file unless the name is taken by what is to stay."""
        if self.existing is not Existing.REPLACE:
            return self._workplace.rename_if_free(source, target)
        return self._workplace.rename_if_free(
            source, target, lambda: self._is_there(source, target)
        )

    def _done(self, directory: str, committed: Committed) -> Committed:
        # A file that is kept needs this, too: the thread that put it there may not be so far.
        self._directories.fsync(directory)
        return committed

    def _is_there(self, source: str, target: str) -> bool:
        """Whether what has come is there already, as the policy sees it; what stays is durable."""
        files = self.files
        try:
            there = files.open(target)
        except FileNotFoundError:
            return False
        except PermissionError:
            # Nobody can say that it is the same, or that it is an object at all.
            return False
        except IsADirectoryError:
            raise IsADirectoryError(
                errno.EISDIR, "there is a directory where a file is needed", target
            ) from None
        try:
            new = files.open(source)
            try:
                if not self._same(files, new, there):
                    return False
            finally:
                files.close(new)
            if self.fsync and self.existing is not Existing.REPLACE:
                files.fsync(there)  # it may have been put there without
        finally:
            files.close(there)
        return True


class _Step(Enum):
    WRITING = auto()
    FINISHED = auto()
    OVER = auto()


class Incoming:
    """
    An object on its way to the disk.

    After a failure every further call but `discard` raises the same error again.
    """

    __slots__ = ("_error", "_file", "_path", "_step", "_store", "_workplace", "size")

    def __init__(self, store: FileStore, workplace: Workplace) -> None:
        self._store = store
        self._workplace = workplace
        self._file = _NOT_OPEN
        self._path = ""
        self._step = _Step.WRITING
        self._error: Exception | None = None
        self.size = 0
        """How many bytes were written."""

    @property
    def path(self) -> Path:
        """Path of the temporary file, which is there once something was written."""
        return Path(self._path)

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Write bytes behind those that were written before; memoryviews are of single bytes."""
        self._check(_Step.WRITING)
        try:
            if self._file == _NOT_OPEN:
                self._create()
            if len(buffers) <= MAXIMUM_BUFFERS:
                self._write(buffers)
            else:
                for first in range(0, len(buffers), MAXIMUM_BUFFERS):
                    self._write(buffers[first : first + MAXIMUM_BUFFERS])
        except Exception as error:
            self._fail(error)
            raise

    def finish(self) -> None:
        """See that all that was written is on the disk, and will stay there."""
        self._check(_Step.WRITING)
        try:
            if self._file == _NOT_OPEN:
                self._create()
            if self._store.fsync:
                self._store.files.fsync(self._file)
            file, self._file = self._file, _NOT_OPEN
            self._store.files.close(file)  # where disks are far away this too may fail
        except Exception as error:
            self._fail(error)
            raise
        self._step = _Step.FINISHED

    def commit(self, components: Sequence[str]) -> Committed:
        """
        Give the finished file its name, or find by the policy that it needs none.

        When this has returned the object is stored. A failure leaves nothing, with one exception:
        if the last step fails, the fsync of the directory, the file keeps its name. It is whole,
        and who has found it there meanwhile may have relied on it.

        Args:
            components: the names of the directories, from the store's down, and the file's.

        Raises:
            Refused: the instance is there and the policy refuses.
            Crowded: too many others stand beside what has its name.
            NotADirectoryError: there is a file where a directory is needed.
            IsADirectoryError: there is a directory where the file is to be.
            ValueError: a component is no name.
        """
        self._check(_Step.FINISHED)
        try:
            committed = self._store.place(self._path, components)
        except Exception as error:
            self._fail(error)
            raise
        self._step = _Step.OVER
        if committed.kept:
            self._remove()
        return committed

    def put(self, buffers: Sequence[Buffer], components: Sequence[str]) -> Committed:
        """Write, finish and commit: for an object that is not too long to be held in memory."""
        self.write(buffers)
        self.finish()
        return self.commit(components)

    def discard(self) -> None:
        """Forget the object, unless it is committed; may be called at any time, and again."""
        if self._step is not _Step.OVER:
            self._fail(OutOfSequence("the object was discarded"))

    def _check(self, step: _Step) -> None:
        if self._step is not step:
            raise self._error or OutOfSequence("not the order in which an object is stored")

    def _create(self) -> None:
        self._path, self._file = self._workplace.create()

    def _write(self, buffers: Sequence[Buffer]) -> None:
        writev, file = self._store.files.writev, self._file
        left = sum(map(len, buffers))
        self.size += left
        while left:
            written = writev(file, buffers)
            if written == left:
                return
            if not written:
                raise OSError(errno.EIO, "the file system takes no more bytes and does not say why")
            left -= written
            buffers = _behind(buffers, written)

    def _fail(self, error: Exception) -> None:
        if self._step is _Step.OVER:
            return
        self._step, self._error = _Step.OVER, error
        if self._file != _NOT_OPEN:
            file, self._file = self._file, _NOT_OPEN
            with suppress(OSError):
                self._store.files.close(file)
        self._remove()

    def _remove(self) -> None:
        if self._path:
            with suppress(OSError):  # it has its name, or is removed at the next start
                self._store.files.unlink(self._path)


def _behind(buffers: Sequence[Buffer], written: int) -> list[Buffer]:
    """Return what is left to write when so many bytes were taken."""
    for number, buffer in enumerate(buffers):
        if written < len(buffer):
            return [memoryview(buffer)[written:], *buffers[number + 1 :]]
        written -= len(buffer)
    return []


def _name_beside(name: str, number: int) -> str:
    """
    Return another name for an object: 1.2.3.dcm becomes 1.2.3~1.dcm.

    Not 1.2.3.1.dcm, which is another object's name; and 1.2.3 has no suffix.
    """
    stem, dot, suffix = name.rpartition(".")
    if not stem or not 0 < len(suffix) <= _LONGEST_SUFFIX or suffix.isdigit():
        stem, dot, suffix = name, "", ""
    end = f"~{number}{dot}{suffix}"
    room = _LONGEST_NAME - len(os.fsencode(end))
    return os.fsencode(stem)[:room].decode(errors="ignore") + end
