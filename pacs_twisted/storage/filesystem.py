"""
The few calls of a file system that storage is made of, and the operating system's own.

They are an interface so that a test can run storage on a disk that fills, fails, or loses at any
moment what was not synchronized. The calls block; nothing here knows the reactor. Failures are
`OSError`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Sequence
from typing import Final, Protocol

Buffer = bytes | bytearray | memoryview
"""What is written: bytes, or a memoryview of single bytes."""

MAXIMUM_BUFFERS: Final = os.sysconf("SC_IOV_MAX")
"""How many buffers one `writev` takes."""

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
# What is no file is refused, not waited for: to open a FIFO would block.
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_DIRECTORY: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY
_LOCK: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
_MODE: Final = 0o666  # the administrator's umask decides, as for any other file


class FileSystem(Protocol):
    """A file system; files that are open are known by small numbers."""

    def create(self, path: str, /) -> int:
        """Make a file that must not be there yet, and open it for writing."""

    def writev(self, file: int, buffers: Sequence[Buffer], /) -> int:
        """Write at most `MAXIMUM_BUFFERS` buffers; return how many bytes were taken."""

    def fsync(self, file: int, /) -> None:
        """Return when the content of a file would survive a power cut."""

    def close(self, file: int, /) -> None:
        """Give an open file back; whatever this raises, it is not open any more."""

    def open(self, path: str, /) -> int:
        """Open a file for reading; `IsADirectoryError` for a directory."""

    def size(self, file: int, /) -> int:
        """Return the length of an open file in bytes."""

    def read(self, file: int, length: int, offset: int, /) -> bytes:
        """Return at most so many bytes from an offset on; none at the end."""

    def exists(self, path: str, /) -> bool:
        """Whether a name is taken, were it by a link that leads nowhere."""

    def is_directory(self, path: str, /) -> bool:
        """Whether a directory, or a link to one, has this name."""

    def rename(self, source: str, target: str, /) -> None:
        """Give a file another name, at once, in place of a file that had it."""

    def unlink(self, path: str, /) -> None:
        """Remove a file's name."""

    def make_directory(self, path: str, /) -> None:
        """Make a directory; `FileExistsError` if the name is taken."""

    def remove_directory(self, path: str, /) -> None:
        """Remove an empty directory."""

    def list_directory(self, path: str, /) -> list[str]:
        """Return the names in a directory, in any order."""

    def fsync_directory(self, path: str, /) -> None:
        """Return when the names in a directory would survive a power cut."""

    def open_lock(self, path: str, /) -> int:
        """
        Open a file to lock it, and make it if it is not there.

        Each opening is a holder of its own, in one process too. Closing it, and the end of the
        process in whatever way, unlocks.
        """

    def lock(self, file: int, /) -> None:
        """Wait until nobody else holds the lock, and take it."""

    def try_lock(self, file: int, /) -> bool:
        """Take the lock unless somebody else holds it; tell whether it was taken."""

    def unlock(self, file: int, /) -> None:
        """Let the next one have the lock."""


class OSFileSystem:
    """The operating system's."""

    # The functions themselves where they fit: what wraps them costs as much as some of them do.
    writev = staticmethod(os.writev)
    close = staticmethod(os.close)
    read = staticmethod(os.pread)
    rename = staticmethod(os.rename)
    unlink = staticmethod(os.unlink)
    make_directory = staticmethod(os.mkdir)
    remove_directory = staticmethod(os.rmdir)
    list_directory = staticmethod(os.listdir)
    is_directory = staticmethod(os.path.isdir)

    def create(self, path: str, /) -> int:
        """Make a file that must not be there yet, and open it for writing."""
        return os.open(path, _CREATE, _MODE)

    def fsync(self, file: int, /) -> None:
        """Return when the content of a file would survive a power cut."""
        if sys.platform == "darwin":
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)  # fsync leaves it in the drive's cache there
        else:
            os.fsync(file)

    def open(self, path: str, /) -> int:
        """Open a file for reading; `IsADirectoryError` for a directory."""
        file = os.open(path, _READ)
        mode = os.fstat(file).st_mode
        if stat.S_ISREG(mode):
            return file
        os.close(file)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        raise OSError(errno.EINVAL, "neither a file nor a directory", path)

    def size(self, file: int, /) -> int:
        """Return the length of an open file in bytes."""
        return os.fstat(file).st_size

    def exists(self, path: str, /) -> bool:
        """Whether a name is taken, were it by a link that leads nowhere."""
        # Not os.path.lexists: it takes a disk that fails for a name that is free.
        try:
            os.lstat(path)
        except FileNotFoundError:
            return False
        return True

    def fsync_directory(self, path: str, /) -> None:
        """Return when the names in a directory would survive a power cut."""
        directory = os.open(path, _DIRECTORY)
        try:
            self.fsync(directory)
        except OSError as error:
            # Some network file systems have no such call for directories: they keep names
            # themselves. A disk that fails says something else.
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(directory)

    def open_lock(self, path: str, /) -> int:
        """Open a file to lock it, and make it if it is not there."""
        return os.open(path, _LOCK, _MODE)

    # flock and not POSIX's record locks, which belong to the process: two threads would both
    # hold one, and closing any descriptor of the file would lose it.
    def lock(self, file: int, /) -> None:
        """Wait until nobody else holds the lock, and take it."""
        fcntl.flock(file, fcntl.LOCK_EX)

    def try_lock(self, file: int, /) -> bool:
        """Take the lock unless somebody else holds it; tell whether it was taken."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self, file: int, /) -> None:
        """Let the next one have the lock."""
        fcntl.flock(file, fcntl.LOCK_UN)
