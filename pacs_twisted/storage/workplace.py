"""
Where objects are until they have their names: `.incoming` in the directory of storage.

    .incoming/opening.lock            held while a server comes or goes
    .incoming/commit.lock             held while somebody gives a file its name
    .incoming/1234-5e6f…/lock         held as long as a server lives
    .incoming/1234-5e6f…/7            an object on its way

Several servers may share a directory, also from several machines if the file system has locks
among them. What a server that has died has left behind is found by its lock, which nobody holds;
process IDs say nothing after a restart of the machine, or on another one.
"""

from __future__ import annotations

import errno
import itertools
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import attrs

from pacs_twisted.storage.filesystem import FileSystem

NAME: Final = ".incoming"
"""No object's path has a component that begins with a dot."""

_LOCK: Final = "lock"
_NOT_OPEN: Final = -1


class Gone(FileNotFoundError):
    """
    The directory of storage, or `.incoming` in it, is not there any more: `filename` is its path.

    Both were there at the start. Neither is made anew: perhaps the file system is gone, and what
    has come to light under it is another one.
    """


@attrs.frozen
class Leftovers:
    """
    What servers that have died had left behind.

    Args:
        removed: how many files were taken away.
        errors: why others could not be; they do no harm but take room.
    """

    removed: int = 0
    errors: tuple[OSError, ...] = ()


class Workplace:
    """
    The temporary files of one server, and the lock under which files get their names.

    It may be used by several threads at once, once it is open.

    Args:
        root: path of the directory of storage.
        files: the file system.
        fsync: whether anything has to survive a power cut.
    """

    def __init__(self, root: str, files: FileSystem, *, fsync: bool) -> None:
        self._root = root
        self._path = f"{root}/{NAME}"
        self._files = files
        self._fsync = fsync
        self._mutex = threading.Lock()
        """A lock of a file system is one for all threads that use the same open file."""
        self._numbers = itertools.count(1)
        self._own = ""
        self._own_lock = _NOT_OPEN
        self._commit_lock = _NOT_OPEN

    def open(self) -> Leftovers:
        """Take away what the dead have left and make a place of our own."""
        with suppress(FileExistsError):
            self._files.make_directory(self._path)
        with self._gate():
            leftovers = self._clean()
            self._claim()
        self._commit_lock = self._files.open_lock(f"{self._path}/commit.lock")
        return leftovers

    def close(self) -> None:
        """Leave, with all temporary files that there still are; whether it is open or not."""
        with self._mutex:
            if self._own_lock == _NOT_OPEN:
                return
            with suppress(OSError), self._gate():  # the next server to start can do it as well
                self._empty(self._own)
            self._release(self._own_lock)
            self._release(self._commit_lock)
            self._own_lock = self._commit_lock = _NOT_OPEN

    def create(self) -> tuple[str, int]:
        """
        Make a temporary file.

        Returns:
            Its path, and the file, open for writing.

        Raises:
            Gone: there is no place for it any more.
        """
        own = self._own
        try:
            return self._create(own)
        except FileNotFoundError:
            # Somebody tidies empty directories.
            self.check()
            with self._mutex:
                if own == self._own:
                    lock = self._own_lock
                    with self._gate():
                        self._claim()
                    self._release(lock)
            return self._create(self._own)

    def check(self) -> None:
        """
        See that the directories are there in which somebody has missed something.

        Raises:
            Gone: one of them is not.
        """
        for path in (self._root, self._path):
            if not self._files.exists(path):
                raise Gone(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def rename_if_free(
        self, source: str, target: str, may_replace: Callable[[], bool] = lambda: False
    ) -> bool:
        """
        Rename a file unless the new name is taken; nobody else who does this comes between.

        Args:
            source: the file.
            target: its new name.
            may_replace: asked if the name is taken: whether by what may be replaced.

        Returns:
            Whether the file has the new name.
        """
        files = self._files
        with self._mutex:
            files.lock(self._commit_lock)
            try:
                if files.exists(target) and not may_replace():
                    return False
                files.rename(source, target)
                return True
            finally:
                files.unlock(self._commit_lock)

    def _create(self, own: str) -> tuple[str, int]:
        path = f"{own}/{next(self._numbers)}"
        return path, self._files.create(path)

    @contextmanager
    def _gate(self) -> Iterator[None]:
        """Only one server at a time comes, or goes, or looks for the dead."""
        gate = self._files.open_lock(f"{self._path}/opening.lock")
        try:
            self._files.lock(gate)
            yield
        finally:
            self._release(gate)

    def _claim(self) -> None:
        own = f"{self._path}/{os.getpid()}-{secrets.token_hex(8)}"
        self._files.make_directory(own)
        lock = self._files.open_lock(f"{own}/{_LOCK}")
        try:
            self._files.lock(lock)
            if self._fsync:
                self._files.fsync_directory(own)  # without it nobody could tell that we died
        except OSError:
            self._release(lock)
            raise
        self._own, self._own_lock = own, lock

    def _release(self, lock: int) -> None:
        if lock != _NOT_OPEN:
            with suppress(OSError):  # nothing was written: it is released all the same
                self._files.close(lock)

    def _clean(self) -> Leftovers:
        removed = 0
        errors = []
        for name in self._files.list_directory(self._path):
            path = f"{self._path}/{name}"
            try:
                if self._files.is_directory(path) and self._is_dead(path):
                    removed += self._empty(path)
            except OSError as error:
                errors.append(error)
        return Leftovers(removed, tuple(errors))

    def _is_dead(self, path: str) -> bool:
        """Whether nobody holds the lock of a server's directory, of which it then may be rid."""
        if not self._files.exists(f"{path}/{_LOCK}"):
            # It died when it had just come; or lives, and somebody has removed the lock.
            with suppress(OSError):  # it is not empty
                self._files.remove_directory(path)
            return False
        lock = self._files.open_lock(f"{path}/{_LOCK}")
        try:
            return self._files.try_lock(lock)
        finally:
            self._release(lock)

    def _empty(self, path: str) -> int:
        """Remove a server's directory; return how many files of objects it held."""
        names = [name for name in self._files.list_directory(path) if name != _LOCK]
        for name in names:
            self._files.unlink(f"{path}/{name}")
        if self._fsync:
            # The lock goes last, on the disk too: what has none is not known to be dead.
            self._files.fsync_directory(path)
        self._files.unlink(f"{path}/{_LOCK}")
        self._files.remove_directory(path)
        return len(names)
