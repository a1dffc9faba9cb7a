"""
The progress bar of `store`: how much is sent, how fast, and how long it will still take.

What there is to send is measured beside the sending, in a thread: until that is known, there is a
rate but no time left.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

from twisted.internet.threads import deferToThreadPool

from pacs_twisted.cli.output import Output
from pacs_twisted.storage.found import find
from pacs_twisted.storage.outcomes import Progress

_LEAST_PAUSE = 0.1  # seconds between two drawings


class NoBar:
    """No progress bar: nobody looks on."""

    def update(self, progress: Progress) -> None:
        """Draw nothing."""

    def close(self) -> None:
        """There is nothing to take away."""


class Bar:
    """
    A progress bar at the end of a terminal's lines.

    Args:
        output: the terminal.
        seconds: returns the time.
    """

    def __init__(self, output: Output, seconds: Callable[[], float]) -> None:
        from rich import progress

        self._seconds = seconds
        self._drawn_at = -_LEAST_PAUSE
        self._total: int | None = None
        self._rich = progress.Progress(
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[finished]} objects"),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(compact=True),
            console=output.console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            get_time=seconds,
        )
        self._task = self._rich.add_task("", total=None, finished=0)
        self._rich.start()

    def measured(self, total: int | None) -> None:
        """So many bytes are to be sent, as far as the sizes of files tell."""
        self._total = total

    def update(self, progress: Progress) -> None:
        """Draw how far it is, unless that was done just now."""
        now = self._seconds()
        if now - self._drawn_at < _LEAST_PAUSE:
            return
        self._drawn_at = now
        total = progress.found_bytes if progress.all_found else self._total
        self._rich.update(
            self._task,
            total=total,
            completed=progress.sent_bytes if total is None else min(progress.sent_bytes, total),
            finished=progress.finished,
        )
        self._rich.refresh()

    def close(self) -> None:
        """Take it away."""
        self._rich.stop()


class MeasuredBar(Bar):
    """
    A bar that finds out by itself how much there is to send.

    Args:
        output: the terminal.
        seconds: returns the time.
        paths: what is sent.
        reactor: whose threads measure.
    """

    def __init__(
        self, output: Output, seconds: Callable[[], float], paths: Sequence[str], reactor: Any
    ) -> None:
        super().__init__(output, seconds)
        self._stop = Event()
        measuring = deferToThreadPool(
            reactor, reactor.getThreadPool(), measure, paths, self._stop.is_set
        )
        measuring.addCallbacks(self.measured, lambda _: None)

    def close(self) -> None:
        """Take it away, and measure no longer."""
        self._stop.set()
        super().close()


def measure(paths: Sequence[str], is_stopped: Callable[[], bool]) -> int | None:
    """
    Return the size of the files behind some paths, in bytes; None if that is not to be known.

    Args:
        paths: as for `pacs_twisted.storage.sender.send`.
        is_stopped: whether nobody wants to know any more.
    """
    total = 0
    for found in find(paths):
        if is_stopped():
            return None
        try:
            total += os.stat(found.name).st_size
        except (OSError, ValueError):  # in an archive
            return None
    return total
