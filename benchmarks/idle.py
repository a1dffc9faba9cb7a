"""Memory of the server per idle association, and an echo on one more."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from typing import Final

from benchmarks import load
from benchmarks.benchmark import Benchmark, Notes, Run, main
from benchmarks.processes import BenchmarkFailed
from benchmarks.server import resident_bytes

_SPARE: Final = 100
_ECHOES: Final = 1000


def _measure(run: Run) -> tuple[float, Notes]:
    if run.pid is None:
        raise BenchmarkFailed("whose memory? give the server's --pid")
    load.allow_files(run.count + _SPARE)
    load.echo_seconds(run.target, _SPARE)  # what is made once is there
    before = resident_bytes(run.pid)
    with ExitStack() as stack:
        for _ in range(run.count):
            stack.enter_context(closing(run.target.associate()))
        held = resident_bytes(run.pid) - before
        begin = time.perf_counter()
        median = load.echo_seconds(run.target, _ECHOES)
        seconds = time.perf_counter() - begin
    return held / run.count / 1024, {
        "associations": run.count,
        "median_echo_ms": round(median * 1000, 3),
        "seconds_for_1000_echoes": round(seconds, 2),
    }


def _options(count: int) -> tuple[str, ...]:
    return ("--max-associations", str(count + _SPARE), "--idle-timeout", "0")


IDLE = Benchmark(
    name="idle",
    what="Memory of the server per idle association, and the time of an echo on one more.",
    unit="KiB per idle association",
    count=10_000,
    measure=_measure,
    server_options=_options,
    dicomload=lambda count: ("hold", "--conc", str(count), "--src-count", "4"),
)

if __name__ == "__main__":
    main(IDLE)
