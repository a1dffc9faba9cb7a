"""
A file system in memory that loses what was not synchronized, as a disk does when the power goes.

What is written to a file is lost without an fsync of the file; a name that is made, changed or
removed, without one of its directory. What was not synchronized may have reached the disk all the
same: any of it, in any order, a write in part, one half of a rename. So one history has many
outcomes, and `after_power_cut` returns any of them that a test wants to see.

It can also fail: any call with any error, by `fail_at`; by being full; by taking few bytes at a
time. After an fsync that failed a later one does nothing for what the first had to save, and says
nothing: that is what kernels do.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from pacs_twisted.storage.filesystem import MAXIMUM_BUFFERS, Buffer

ROOT: Final = 0


class WouldWait(BaseException):
    """A lock is held by somebody else who, in a test of one thread, never gives it back."""


class Killed(BaseException):
    """The process has ended here. No handler of errors gets to see it, nor does it call on."""


@attrs.frozen
class Write:
    """A few bytes of a file: what a disk writes as a whole."""

    node: int
    offset: int
    data: bytes


@attrs.frozen
class Entry:
    """A name in a directory: what file it is from now on, or none."""

    node: int
    name: str
    target: int | None


Change = Write | Entry


@attrs.define
class _Pending:
    change: Change
    durable: bool = False
    doomed: bool = False
    """An fsync that was to save it has failed."""


@attrs.define
class _Contents:
    files: dict[int, bytearray] = attrs.field(factory=dict)
    directories: dict[int, dict[str, int]] = attrs.field(factory=lambda: {ROOT: {}})

    def copy(self) -> _Contents:
        return _Contents(
            {node: bytearray(data) for node, data in self.files.items()},
            {node: dict(names) for node, names in self.directories.items()},
        )

    def apply(self, change: Change) -> None:
        if isinstance(change, Entry):
            names = self.directories[change.node]
            if change.target is None:
                names.pop(change.name, None)
            else:
                names[change.name] = change.target
            return
        data = self.files[change.node]
        if len(data) < change.offset:
            data.extend(bytes(change.offset - len(data)))
        data[change.offset : change.offset + len(change.data)] = change.data


class MemoryFileSystem:
    """
    See the module; the interface is that of `pacs_twisted.storage.filesystem.FileSystem`.

    Args:
        block: how many bytes a disk writes as a whole.
        most: how many bytes one `writev` takes.
        room: how many bytes of all files there is room for.
    """

    def __init__(self, *, block: int = 4, most: int | None = None, room: int | None = None) -> None:
        self.block = block
        self.most = most
        self.room = room
        self.calls: list[tuple[str, str]] = []
        """All calls: their names, and the path that they are about, a rename's target."""
        self.before_call: Callable[[str, str], object] = lambda call, path: None
        """Called before each call with what will be added to `calls`."""
        self.fail_at = -1
        """Number of the call, from 0, that fails with `error` and has no effect."""
        self.error = errno.EIO
        self.kill_at = -1
        """Number of the call before which the process ends: it raises `Killed`."""
        self._saved = _Contents()
        self._now = _Contents()
        self._pending: list[_Pending] = []
        self._nodes = itertools.count(1)
        self._numbers = itertools.count(3)
        self._open: dict[int, tuple[int, str]] = {}
        self._locks: dict[int, int] = {}

    # What tests ask.

    @property
    def unsynchronized(self) -> int:
        """How many changes may be lost."""
        return sum(not pending.durable for pending in self._pending)

    def after_power_cut(self, survives: Callable[[Change], bool]) -> MemoryFileSystem:
        """
        Return what is found after a power cut at this moment; this one goes on.

        Args:
            survives: asked of each change that was not synchronized, in their order.
        """
        disk = MemoryFileSystem(block=self.block, most=self.most, room=self.room)
        disk._saved = self._saved.copy()
        for node in self._now.files:
            disk._saved.files.setdefault(node, bytearray())
        for node in self._now.directories:
            disk._saved.directories.setdefault(node, {})
        for pending in self._pending:
            if pending.durable or survives(pending.change):
                disk._saved.apply(pending.change)
        disk._now = disk._saved.copy()
        disk._nodes = self._nodes
        return disk

    def after_kill(self) -> None:
        """Go on after the end of all processes: files are closed, locks are free."""
        self._open.clear()
        self._locks.clear()
        self.kill_at = -1

    def files_below(self, path: str) -> dict[str, bytes]:
        """Return the content of all files below a directory, by path from there."""
        found: dict[str, bytes] = {}

        def walk(node: int, path: str) -> None:
            for name, target in self._now.directories[node].items():
                if target in self._now.files:
                    found[path + name] = bytes(self._now.files[target])
                else:
                    walk(target, f"{path}{name}/")

        walk(self._find(path), "")
        return found

    # The interface.

    def create(self, path: str, /) -> int:
        self._call("create", path)
        directory, name = self._find_place(path)
        if name in self._now.directories[directory]:
            raise _error(errno.EEXIST, path)
        return self._open_node(self._make_file(directory, name), path)

    def writev(self, file: int, buffers: Sequence[Buffer], /) -> int:
        node, path = self._open[file]
        self._call("writev", path)
        if len(buffers) > MAXIMUM_BUFFERS:
            raise _error(errno.EINVAL, path)
        data = b"".join(buffers)
        taken = data[: self.most]
        if self.room is not None:
            taken = taken[: max(self.room - self._used(), 0)]
        if data and not taken:
            raise _error(errno.ENOSPC, path)
        start = len(self._now.files[node])
        for offset in range(0, len(taken), self.block):
            self._change(Write(node, start + offset, taken[offset : offset + self.block]))
        return len(taken)

    def fsync(self, file: int, /) -> None:
        node, path = self._open[file]
        self._synchronize("fsync", node, path)

    def close(self, file: int, /) -> None:
        node, path = self._open.pop(file)
        if self._locks.get(node) == file:
            del self._locks[node]
        self._call("close", path)

    def open(self, path: str, /) -> int:
        self._call("open", path)
        node = self._find(path)
        if node in self._now.directories:
            raise _error(errno.EISDIR, path)
        return self._open_node(node, path)

    def size(self, file: int, /) -> int:
        node, path = self._open[file]
        self._call("size", path)
        return len(self._now.files[node])

    def read(self, file: int, length: int, offset: int, /) -> bytes:
        node, path = self._open[file]
        self._call("read", path)
        return bytes(self._now.files[node][offset : offset + length])

    def exists(self, path: str, /) -> bool:
        self._call("exists", path)
        try:
            self._find(path)
        except FileNotFoundError:
            return False
        return True

    def is_directory(self, path: str, /) -> bool:
        try:
            self._call("is_directory", path)
            return self._find(path) in self._now.directories
        except OSError:
            return False

    def rename(self, source: str, target: str, /) -> None:
        self._call("rename", target)
        node = self._find(source)
        old_directory, old_name = self._find_place(source)
        directory, name = self._find_place(target)
        if self._now.directories[directory].get(name) in self._now.directories:
            raise _error(errno.EISDIR, target)
        self._change(Entry(directory, name, node))
        self._change(Entry(old_directory, old_name, None))

    def unlink(self, path: str, /) -> None:
        self._call("unlink", path)
        if self._find(path) in self._now.directories:
            raise _error(errno.EISDIR, path)
        directory, name = self._find_place(path)
        self._change(Entry(directory, name, None))

    def make_directory(self, path: str, /) -> None:
        self._call("make_directory", path)
        directory, name = self._find_place(path)
        if name in self._now.directories[directory]:
            raise _error(errno.EEXIST, path)
        node = next(self._nodes)
        self._now.directories[node] = {}
        self._change(Entry(directory, name, node))

    def remove_directory(self, path: str, /) -> None:
        self._call("remove_directory", path)
        if self._now.directories[self._find(path)]:
            raise _error(errno.ENOTEMPTY, path)
        directory, name = self._find_place(path)
        self._change(Entry(directory, name, None))

    def list_directory(self, path: str, /) -> list[str]:
        self._call("list_directory", path)
        return list(self._now.directories[self._find(path)])

    def fsync_directory(self, path: str, /) -> None:
        self._synchronize("fsync_directory", self._find(path), path)

    def open_lock(self, path: str, /) -> int:
        self._call("open_lock", path)
        directory, name = self._find_place(path)
        node = self._now.directories[directory].get(name)
        return self._open_node(self._make_file(directory, name) if node is None else node, path)

    def lock(self, file: int, /) -> None:
        node, path = self._open[file]
        self._call("lock", path)
        if self._locks.setdefault(node, file) != file:
            raise WouldWait(path)

    def try_lock(self, file: int, /) -> bool:
        node, path = self._open[file]
        self._call("try_lock", path)
        return self._locks.setdefault(node, file) == file

    def unlock(self, file: int, /) -> None:
        node, path = self._open[file]
        self._call("unlock", path)
        if self._locks.get(node) == file:
            del self._locks[node]

    def _call(self, name: str, path: str) -> None:
        if 0 <= self.kill_at <= len(self.calls):
            raise Killed
        self.before_call(name, path)
        self.calls.append((name, path))
        if self.fail_at == len(self.calls) - 1:
            raise _error(self.error, path)

    def _synchronize(self, call: str, node: int, path: str) -> None:
        pending = [one for one in self._pending if one.change.node == node and not one.durable]
        try:
            self._call(call, path)
        except OSError as error:
            for one in pending:
                one.doomed = error.errno != errno.EACCES  # it was not even opened
            raise
        for one in pending:
            one.durable = not one.doomed

    def _change(self, change: Change) -> None:
        self._now.apply(change)
        self._pending.append(_Pending(change))

    def _used(self) -> int:
        nodes = {node for names in self._now.directories.values() for node in names.values()}
        nodes.update(node for node, _ in self._open.values())
        return sum(len(self._now.files.get(node, b"")) for node in nodes)

    def _make_file(self, directory: int, name: str) -> int:
        node = next(self._nodes)
        self._now.files[node] = bytearray()
        self._change(Entry(directory, name, node))
        return node

    def _open_node(self, node: int, path: str) -> int:
        number = next(self._numbers)
        self._open[number] = node, path
        return number

    def _find(self, path: str) -> int:
        node = ROOT
        for name in path.split("/"):
            if name:
                if node not in self._now.directories:
                    raise _error(errno.ENOTDIR, path)
                if name not in self._now.directories[node]:
                    raise _error(errno.ENOENT, path)
                node = self._now.directories[node][name]
        return node

    def _find_place(self, path: str) -> tuple[int, str]:
        """Return the directory in which a path has its last name, and that name."""
        above, _, name = path.rpartition("/")
        directory = self._find(above)
        if directory not in self._now.directories:
            raise _error(errno.ENOTDIR, path)
        return directory, name


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
