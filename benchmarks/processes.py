"""
Other programs: servers that run during a measurement, and clients that are measured themselves.

Each is ended by whom it was started by; none is waited for without an end.
"""

from __future__ import annotations

import dataclasses
import os
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

LOCAL: Final = "127.0.0.1"
ROOT: Final = Path(__file__).resolve().parents[1]
PATIENCE: Final = 30.0
"""Seconds that a server may take to listen, and to end."""

_LOOK: Final = 0.01  # seconds between two looks at the memory of a process
_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
_TAIL: Final = 2000  # characters of a program's output that are worth reading


class BenchmarkFailed(Exception):
    """Something went wrong, so there is no number."""


Word = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class Command:
    """
    What is to be run.

    Args:
        words: the program and its arguments.
        environment: variables on top of the present ones.
    """

    words: Sequence[Word]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """The program's."""
        return Path(self.words[0]).name

    def start(self, output: int) -> subprocess.Popen[bytes]:
        """Start it in the root of the checkout, both its streams written to a descriptor."""
        return subprocess.Popen(
            [os.fspath(word) for word in self.words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.fspath(ROOT), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


class Server:
    """
    A program that serves until it is ended.

    Args:
        command: what to run.
        log: the file for its output.
    """

    def __init__(self, command: Command, log: Path) -> None:
        self.command = command
        self.log = log
        with log.open("wb") as output:
            self._process = command.start(output.fileno())
        self.pid = self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process.poll() is None

    def said(self) -> str:
        """Return the end of its output."""
        return self.log.read_text(errors="backslashreplace")[-_TAIL:].strip()

    def wait_until_listening(self, port: int) -> None:
        """
        Wait until it takes connections.

        Raises:
            BenchmarkFailed: it does not, or has ended.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.is_running:
            with socket.socket() as probe:
                if probe.connect_ex((LOCAL, port)) == 0:
                    return
            time.sleep(0.05)
        raise BenchmarkFailed(f"{self.command.name} does not listen: {self.said()}")

    def stop(self) -> None:
        """End it."""
        end(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that we have started, gently if it lets us."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclasses.dataclass(frozen=True)
class Finished:
    """
    A program that has done its work.

    Args:
        seconds: from its start to its end.
        output: what it wrote.
        peak: the most resident memory seen, in bytes; 0 if nobody looked.
    """

    seconds: float
    output: str
    peak: int = 0


def run(command: Command, timeout: float, watch_memory: bool = False) -> Finished:
    """
    Run a program to its end.

    Args:
        command: what to run.
        timeout: in seconds.
        watch_memory: look at its memory while it runs, which takes a little time.

    Raises:
        BenchmarkFailed: it has failed, or took too long.
    """
    return run_together([command], timeout, watch_memory)


def run_together(
    commands: Sequence[Command], timeout: float, watch_memory: bool = False
) -> Finished:
    """
    Run programs at the same time; see `run`. The seconds are those until the last one has ended.
    """
    with tempfile.TemporaryFile() as output:
        peak = 0
        begin = time.perf_counter()
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for command in commands:
                processes.append(command.start(output.fileno()))
            deadline = begin + timeout
            for process in processes:
                # Popen.wait() with a timeout sleeps up to 50 ms at a time, and measures that.
                descriptor = os.pidfd_open(process.pid)
                try:
                    with select.epoll() as epoll:
                        epoll.register(descriptor, select.EPOLLIN)
                        while not epoll.poll(
                            _LOOK if watch_memory else max(deadline - time.perf_counter(), 0)
                        ):
                            if time.perf_counter() >= deadline:
                                raise BenchmarkFailed(f"{commands[0].name} takes over {timeout} s")
                            peak = max(peak, peak_bytes(process.pid))
                finally:
                    os.close(descriptor)
            seconds = time.perf_counter() - begin
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                process.wait()
        output.seek(0)
        said = output.read().decode(errors="backslashreplace")
    statuses = {process.returncode for process in processes}
    if statuses != {0}:
        status = next(status for status in statuses if status)
        raise BenchmarkFailed(f"{commands[0].name}: exit status {status}: {said[-_TAIL:].strip()}")
    return Finished(seconds, said, peak)


def peak_bytes(pid: int) -> int:
    """Return the most resident memory that a process has ever had, in bytes; 0 if it is gone."""
    try:
        match = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(match[1]) * 1024 if match else 0  # a zombie has none


def free_port() -> int:
    """Return a port on which nobody listens, and which the system gives to nobody soon."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOCAL, 0))
        return int(probe.getsockname()[1])


def find_program(*names: str) -> str | None:
    """Return the path of a program by the first of its names that is installed."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if found:
            return found
    return None
