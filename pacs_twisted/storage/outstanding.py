"""
How much of what a peer sends waits for the disk, and when the peer is to wait, too.
"""

from __future__ import annotations

from pacs_twisted.services import RequestContext

MOST_OUTSTANDING = 4 << 20
"""Bytes of one association that wait for the disk before its peer is stopped."""


class Outstanding:
    """Bytes of one association that wait for the disk."""

    def __init__(self) -> None:
        self._length = 0
        self._paused: list[RequestContext] = []

    def add(self, length: int, context: RequestContext) -> None:
        """More wait; the peer is stopped when they are too many."""
        self._length += length
        if self._length > MOST_OUTSTANDING:
            self._paused.append(context)
            context.pause()

    def remove(self, length: int) -> None:
        """So many have been written, or will not be; the peer goes on when few are left."""
        self._length -= length
        if self._paused and self._length < MOST_OUTSTANDING // 2:
            paused, self._paused = self._paused, []
            for context in paused:
                context.resume()
