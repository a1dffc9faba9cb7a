"""
Directories that are there, and stay there when the power goes.

A file is found after a power cut only if every directory above it is. Who makes a directory
synchronizes the one above it; but a directory that another thread or process has just made may
not be synchronized yet. So it is done for each directory once before the first file goes there,
whoever made it, and remembered.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from pacs_twisted.storage.filesystem import FileSystem

_MOST: Final = 10_000  # directories remembered: some 2 MB


class Directories:
    """
    The directories below one that is there.

    It may be used by several threads at once: what two of them do twice does no harm.

    Args:
        root: the path of the directory that is there.
        files: the file system.
        fsync: whether directories are made to survive a power cut.
    """

    def __init__(self, root: str, files: FileSystem, *, fsync: bool) -> None:
        self._root = root
        self._files = files
        self._fsync = fsync
        self._known: set[str] = set()

    def make(self, names: Sequence[str]) -> str:
        """
        See that there is a directory, each of the names below the one before it.

        Returns:
            Its path.

        Raises:
            NotADirectoryError: one of the names is a file's.
        """
        path = "/".join((self._root, *names))
        if path in self._known or not names:
            return path
        above = self._root
        for name in names:
            path = f"{above}/{name}"
            if path not in self._known:
                _make_directory(path, self._files)
                if self._fsync:
                    self._files.fsync_directory(above)
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known.add(path)
            above = path
        return path

    def forget(self, names: Sequence[str]) -> None:
        """Look again next time: somebody has removed this directory, or one above it."""
        path = self._root
        for name in names:
            path = f"{path}/{name}"
            self._known.discard(path)


def make_root(path: str, files: FileSystem, *, fsync: bool) -> None:
    """
    See that there is a directory, and those above it.

    Args:
        path: absolute.
        files: the file system.
        fsync: whether it is made to survive a power cut.

    Raises:
        NotADirectoryError: there is a file in the way.
    """
    above = path.rpartition("/")[0] or "/"
    if files.is_directory(path):
        # Perhaps another server made it only now. If it was not us we need not be allowed to.
        if fsync:
            with suppress(PermissionError):
                files.fsync_directory(above)
        return
    make_root(above, files, fsync=fsync)
    _make_directory(path, files)
    if fsync:
        files.fsync_directory(above)


def _make_directory(path: str, files: FileSystem) -> None:
    try:
        files.make_directory(path)
    except FileExistsError:
        if not files.is_directory(path):
            raise NotADirectoryError(
                errno.ENOTDIR, "there is a file where a directory is needed", path
            ) from None
