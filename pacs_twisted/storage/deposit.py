"""
The disk's side of one object on its way into storage.

What is asked of a store is said here; `files.FileStore` is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pacs_twisted.storage.files import Committed
from pacs_twisted.storage.filesystem import Buffer


class Temporary(Protocol):
    """
    An object that is not stored yet.

    Its calls may wait for a disk, and come from one thread at a time. When one has failed all
    further ones but `discard` fail too, and nothing is left of the object.
    """

    @property
    def path(self) -> Path:
        """Where it can be read once it is finished."""

    def write(self, buffers: Sequence[Buffer], /) -> None:
        """Take the next bytes of the file of PS3.10, which are valid during the call only."""

    def finish(self) -> None:
        """There are no more bytes: make sure of them."""

    def commit(self, components: Sequence[str], /) -> Committed:
        """Store the object under a name; when this has returned it is stored."""

    def discard(self) -> None:
        """Forget the object, unless it is stored."""


class Store(Protocol):
    """Where objects are stored."""

    @property
    def directory(self) -> str:
        """What an administrator knows it by."""

    def begin(self) -> Temporary:
        """Return an object to be written; this waits for no disk."""


class Unwanted(Exception):
    """Nobody waits for the object any more, and nothing is left of it."""


class Deposit:
    """
    An object that may become unwanted while the disk works for it.

    Everything but `unwanted` belongs to the thread that works.

    Args:
        temporary: the object.
    """

    __slots__ = ("_temporary", "unwanted")

    def __init__(self, temporary: Temporary) -> None:
        self._temporary = temporary
        self.unwanted = False
        """Set on the reactor's thread; what the disk has begun by then it ends."""

    def write(self, pieces: Sequence[Buffer]) -> None:
        """Write the next bytes."""
        self._look()
        self._temporary.write(pieces)

    @property
    def path(self) -> Path:
        """Where the object can be read once it is finished."""
        return self._temporary.path

    def finish(self, pieces: Sequence[Buffer]) -> None:
        """Write the last bytes, if there are any, and make sure of all."""
        if pieces:
            self.write(pieces)
        self._look()
        self._temporary.finish()

    def commit(self, components: Sequence[str]) -> Committed:
        """Store the object."""
        self._look()
        return self._temporary.commit(components)

    def finish_and_commit(self, pieces: Sequence[Buffer], components: Sequence[str]) -> Committed:
        """Do both."""
        self.finish(pieces)
        return self.commit(components)

    def discard(self) -> None:
        """Forget the object, unless it is stored."""
        self._temporary.discard()

    def _look(self) -> None:
        if self.unwanted:
            self._temporary.discard()
            raise Unwanted
