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

_OF_FSYNC: Final = frozenset((errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS))
"""Errors by which fsync itself tells that something is lost; others are about the opening."""

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
        self._broken: set[str] = set()

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
                self.fsync(above)
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known.add(path)
            above = path
        return path

    def fsync(self, path: str) -> None:
        """
        See that the names in a directory survive a power cut, if that is wanted.

        Where it has failed once it fails until the store is made anew: a second try would
        succeed, since kernels report an error once, and prove nothing.
        """
        if not self._fsync:
            return
        if path in self._broken:
            raise OSError(errno.EIO, "fsync of this directory has failed before", path)
        try:
            self._files.fsync_directory(path)
        except OSError as error:
            if error.errno in _OF_FSYNC:
                self._broken.add(path)
            raise

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
    if path == "/":
        return
    above = path.rpartition("/")[0] or "/"
    make_root(above, files, fsync=fsync)
    if not files.is_directory(path):
        _make_directory(path, files)
        if fsync:
            files.fsync_directory(above)
    elif fsync:
        # Perhaps another server made it only now, or one that did without fsync. Who may not read
        # what is above it did not make it either.
        with suppress(PermissionError):
            files.fsync_directory(above)


def _make_directory(path: str, files: FileSystem) -> None:
    try:
        files.make_directory(path)
    except FileExistsError:
        if not files.is_directory(path):
            raise NotADirectoryError(
                errno.ENOTDIR, "there is a file where a directory is needed", path
            ) from None
