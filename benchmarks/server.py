"""The server that is measured: a `twistd pacs-echo` of its own, or one that runs already."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
_TWISTD: Final = Path(sys.executable).with_name("twistd")
_LISTENING: Final = re.compile(rb"listening on \S*:(\d+) as ")
_PATIENCE: Final = 30.0  # seconds


class BenchmarkFailed(Exception):
    """Something went wrong, so there is no number."""


def pin(core: int | None) -> None:
    """Let this process, and those that it starts from now on, run on one core; None for any."""
    if core is not None:
        try:
            os.sched_setaffinity(0, {core})
        except OSError as error:
            raise BenchmarkFailed(f"cannot run on core {core}: {error.strerror}") from error


@contextmanager
def running_server(options: Sequence[str]) -> Iterator[tuple[int, int]]:
    """
    Run a server as its users do, its log in a file.

    Args:
        options: of pacs-echo, further ones.

    Yields:
        Its port and its process ID.
    """
    with tempfile.TemporaryDirectory(prefix="pacs-twisted-benchmark.") as directory:
        log = Path(directory, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    *(os.fspath(_TWISTD), "-n", "--pidfile=", "pacs-echo"),
                    *("--listen", "tcp:0:interface=127.0.0.1", *options),
                ],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": os.fspath(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield _wait_for_port(process, log), process.pid
            if process.poll() is not None:
                raise BenchmarkFailed(f"the server has ended:\n{log.read_text()}")
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        match = _LISTENING.search(log.read_bytes())
        if match is not None:
            return int(match[1])
        time.sleep(0.02)
    raise BenchmarkFailed(f"the server does not listen:\n{log.read_text()}")


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
