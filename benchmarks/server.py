"""The server that is measured: a `twistd pacs-echo` of its own, or one that runs already."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.processes import PATIENCE, BenchmarkFailed, Command, Server, Word

TWISTD: Final = Path(sys.executable).with_name("twistd")
_LISTENING: Final = re.compile(rb"listening on \S*:(\d+) as ")


def pin(core: int | None) -> None:
    """Let this process, and those that it starts from now on, run on one core; None for any."""
    if core is not None:
        try:
            os.sched_setaffinity(0, {core})
        except OSError as error:
            raise BenchmarkFailed(f"cannot run on core {core}: {error.strerror}") from error


def usable_core(index: int) -> int | None:
    """Return one of the cores that we may use, if there are two."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[index] if len(cores) > 1 else None


@contextmanager
def running_server(options: Sequence[str]) -> Iterator[tuple[int, int]]:
    """
    Run a server as its users do, its log in a file.

    Args:
        options: of pacs-echo, further ones.

    Yields:
        Its port and its process ID.
    """
    words: list[Word] = [
        *(TWISTD, "-n", "--pidfile=", "pacs-echo"),
        *("--listen", "tcp:0:interface=127.0.0.1", *options),
    ]
    with (
        tempfile.TemporaryDirectory(prefix="pacs-twisted-benchmark.") as directory,
        Server(Command(words), Path(directory, "log")) as server,
    ):
        yield _wait_for_port(server), server.pid
        if not server.is_running:
            raise BenchmarkFailed(f"the server has ended:\n{server.said()}")


def _wait_for_port(server: Server) -> int:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.is_running:
        match = _LISTENING.search(server.log.read_bytes())
        if match is not None:
            return int(match[1])
        time.sleep(0.02)
    raise BenchmarkFailed(f"the server does not listen:\n{server.said()}")


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and all its children, in bytes."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
        tasks = Path(f"/proc/{pid}/task").iterdir()
        children = [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError as error:
        raise BenchmarkFailed(f"no process {pid} to look at: {error.strerror}") from error
    own = int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
    return own + sum(resident_bytes(int(child)) for child in children)
