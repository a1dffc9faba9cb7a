"""
Child processes for tests that need real ones: started, read while they run, and ended in time.

Nothing here sleeps or starts a thread. Whoever waits reads the output of all processes that
matter meanwhile, so that none of them blocks on a full pipe.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

_READ = 65536

PATIENCE = 60.0
"""Seconds after which a test gives a process up: ample, since other work may share the machine."""


class TooSlow(Exception):
    """A process did not do in time what a test waited for."""


class Process:
    """
    A child process whose output, both streams in one, is kept as text.

    Args:
        command: the program and its arguments.
        environment: variables on top of the present ones.
        directory: where it runs; here if not given.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.command = [os.fspath(word) for word in command]
        self.output = ""
        self.silent = False
        self._child = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=directory,
            preexec_fn=_heed_interrupts,
        )
        assert self._child.stdout is not None
        self._pipe = self._child.stdout
        os.set_blocking(self._pipe.fileno(), False)

    def __str__(self) -> str:
        return f"{' '.join(self.command)}\n{self.output}"

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._child.poll()

    def fileno(self) -> int:
        """Return the descriptor that its output comes from, for a selector."""
        return self._pipe.fileno()

    def read(self) -> None:
        """Take what it has written; nothing more can come once `silent` is set."""
        try:
            data = os.read(self.fileno(), _READ)
        except BlockingIOError:
            return
        self.output += data.decode(errors="backslashreplace")
        self.silent = not data

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        self._child.send_signal(number)

    def wait_for(self, pattern: str, seconds: float = PATIENCE) -> re.Match[str]:
        """
        Wait for a line of its output.

        Args:
            pattern: a regular expression, searched for in all the output so far.
            seconds: how long to wait.

        Raises:
            TooSlow: it did not come, or the process has ended without it.
        """
        _read_until(
            lambda: re.search(pattern, self.output) is not None,
            [self],
            f"{pattern!r} from {self.command[0]}",
            seconds,
        )
        match = re.search(pattern, self.output)
        assert match is not None
        return match

    def wait(self, *others: Process, seconds: float = PATIENCE) -> int:
        """
        Wait for its end and return its exit status.

        Args:
            others: processes whose output is to be read meanwhile.
            seconds: how long to wait.

        Raises:
            TooSlow: it still runs.
        """
        end = time.monotonic() + seconds
        _read_until(lambda: self.silent, [self, *others], f"the end of {self.command[0]}", seconds)
        try:
            return self._child.wait(max(end - time.monotonic(), 1.0))
        except subprocess.TimeoutExpired as error:
            raise TooSlow(f"{self.command[0]} has closed its output but runs on") from error

    def terminate(self, seconds: float = PATIENCE) -> int:
        """Send SIGTERM, wait for the end and return the exit status."""
        self.send_signal(signal.SIGTERM)
        return self.wait(seconds=seconds)

    def destroy(self) -> None:
        """End it at once, whatever it does, and give its resources back."""
        if self.status is None:
            self._child.kill()
            self._child.wait()
        self._pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()


def _heed_interrupts() -> None:
    """In the child: a shell that runs the tests in the background has SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _read_until(
    arrived: Callable[[], bool], processes: Sequence[Process], what: str, seconds: float
) -> None:
    """Read the processes' output until `arrived` says so, in bounded time."""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for process in processes:
            if not process.silent:
                selector.register(process, selectors.EVENT_READ, process)
        while not arrived():
            left = max(deadline - time.monotonic(), 0.0)
            ready = selector.select(left) if selector.get_map() else []
            if not ready:
                told = "\n".join(map(str, processes))
                raise TooSlow(f"in vain for {what}, {seconds:g} s at most:\n{told}")
            for key, _ in ready:
                key.data.read()
                if key.data.silent:
                    selector.unregister(key.data)
