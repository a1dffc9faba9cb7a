"""
The encoded data set of an object on its way out: loaded from a disk piece by piece, sent as it is.

A `Content` is made, read and closed where calls may wait for a disk. `source_of` makes of it what
an association sends from, which belongs to the reactor's thread: while one piece is sent, the next
is read. What is short is in memory as a whole from the beginning.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ClassVar, Final, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from pacs_twisted.errors import PacsError
from pacs_twisted.storage.disk import DiskQueue

PIECE: Final = 1 << 20
"""Bytes that are read and sent at a time; a data set that is not longer is read as a whole."""

_PADDING: Final = b"\0"
_Piece = bytes | memoryview


class ContentChanged(PacsError):
    """A file is not what it was when it was looked at: it has become shorter, or another one."""


class Content(Protocol):
    """The bytes of an encoded data set."""

    @property
    def length(self) -> int:
        """Bytes in all: even, and more than none."""

    def read(self) -> _Piece:
        """
        Return the next bytes, `PIECE` at most.

        Raises:
            OSError: the disk fails.
            ContentChanged: there are fewer bytes than there were.
        """

    def close(self) -> None:
        """Give everything back."""


class MemoryContent:
    """
    A data set in memory.

    Args:
        data: its bytes; if their number is odd, a NUL is added (PS3.5 sections 7.1, A.5).
    """

    __slots__ = ("_position", "_view", "length")

    def __init__(self, data: _Piece) -> None:
        self._view = memoryview(bytes(data) + _PADDING if len(data) & 1 else data)
        self._position = 0
        self.length = len(self._view)

    def read(self) -> memoryview:
        """Return the next bytes."""
        piece = self._view[self._position : self._position + PIECE]
        self._position += len(piece)
        return piece

    def close(self) -> None:
        """Forget the bytes."""
        self._view = memoryview(b"")


class FileContent:
    """
    The data set in an open file, from an offset to the end.

    Args:
        descriptor: the file, which is closed by `close`.
        offset: where the data set begins.
        size: the size of the file in bytes; a NUL is added if the length of the data set is odd.
    """

    __slots__ = ("_descriptor", "_end", "_position", "length")

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor = descriptor
        self._position = offset
        self._end = size
        self.length = size - offset + (size - offset & 1)

    def read(self) -> bytes:
        """Read the next bytes from the file."""
        piece = read_exactly(self._descriptor, self._position, self._end, PIECE)
        self._position += len(piece)
        # All pieces are even, so that fragments are (PS3.8 annex E.1).
        return piece + _PADDING if len(piece) & 1 else piece

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def read_exactly(descriptor: int, start: int, end: int, most: int) -> bytes:
    """
    Return the bytes of a file from `start` to `end`, `most` at most.

    Raises:
        OSError: the disk fails.
        ContentChanged: the file has become shorter.
    """
    wanted = min(end - start, most)
    data = os.pread(descriptor, wanted, start)
    while len(data) < wanted:  # a network file system may give less than asked for
        more = os.pread(descriptor, wanted - len(data), start + len(data))
        if not more:
            raise ContentChanged("the file has become shorter")
        data += more
    return data


class MemorySource:
    """
    What an association sends from when all is in memory.

    Args:
        content: the bytes.
        sent: called with the number of bytes of each piece that is handed on.
    """

    __slots__ = ("_content", "_sent", "length")

    failure: ClassVar[BaseException | None] = None
    """Why reading has failed: it cannot."""

    def __init__(self, content: MemoryContent, sent: Callable[[int], None]) -> None:
        self.length = content.length
        self._content = content
        self._sent = sent

    def read(self) -> _Piece:
        """Return the next bytes."""
        piece = self._content.read()
        self._sent(len(piece))
        return piece

    def close(self) -> None:
        """Forget what was not sent."""
        self._content.close()


class ReadAheadSource:
    """
    What an association sends from when a disk must be waited for: one piece ahead of what is sent.

    Args:
        content: the bytes; closed in the queue, after all that was read.
        queue: where it is read.
        sent: called with the number of bytes of each piece that is handed on.
    """

    __slots__ = ("_closed", "_content", "_left", "_queue", "_ready", "_sent", "_waiting")

    def __init__(self, content: Content, queue: DiskQueue, sent: Callable[[int], None]) -> None:
        self._content = content
        self._queue = queue
        self._sent = sent
        self._left = content.length  # that nobody has read yet
        self._ready: _Piece | Failure | None = None
        self._waiting: Deferred[_Piece] | None = None
        self._closed = False
        self._read_ahead()

    @property
    def length(self) -> int:
        """Bytes in all."""
        return self._content.length

    @property
    def failure(self) -> BaseException | None:
        """Why reading has failed, if it has."""
        return self._ready.value if isinstance(self._ready, Failure) else None

    def read(self) -> _Piece | Deferred[_Piece]:
        """Return the next bytes, or a `Deferred` of them if the disk is slower than the peer."""
        ready = self._ready
        if ready is None:
            self._waiting = Deferred(self._forget)
            return self._waiting
        if isinstance(ready, Failure):
            return fail(ready)
        return self._hand_on(ready)

    def close(self) -> None:
        """Close the content once nothing is read from it any more."""
        if not self._closed:
            self._closed = True
            closed = self._queue.submit(self._content.close)
            closed.addErrback(lambda _: None)  # all that was wanted from it was read

    def _read_ahead(self) -> None:
        self._ready = None
        if self._left:
            self._queue.submit(self._content.read).addCallbacks(self._have_read, self._have_failed)

    def _have_read(self, piece: _Piece) -> None:
        self._left -= len(piece)
        waiting, self._waiting = self._waiting, None
        if self._closed:
            return
        if waiting is None:
            self._ready = piece
        else:
            waiting.callback(self._hand_on(piece))

    def _have_failed(self, failure: Failure) -> None:
        self._ready = failure
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not self._closed:
            waiting.errback(failure)

    def _hand_on(self, piece: _Piece) -> _Piece:
        self._read_ahead()
        self._sent(len(piece))
        return piece

    def _forget(self, _: Deferred[_Piece]) -> None:
        self._waiting = None


Source = MemorySource | ReadAheadSource
"""What an association sends from; `failure` tells why it could not be read to its end."""


def source_of(content: Content, queue: DiskQueue, sent: Callable[[int], None]) -> Source:
    """
    Return what an association sends a content from; it closes the content.

    Args:
        content: the encoded data set.
        queue: where it may be read and closed.
        sent: called with the number of bytes of each piece that is handed on.
    """
    if isinstance(content, MemoryContent):
        return MemorySource(content, sent)
    return ReadAheadSource(content, queue, sent)
