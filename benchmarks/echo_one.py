"""C-ECHO round trips per second on one association."""

from __future__ import annotations

from benchmarks import load
from benchmarks.benchmark import Benchmark, Notes, Run, main


def _measure(run: Run) -> tuple[float, Notes]:
    return load.echo_one(run.target, run.count), {}


ECHO_ONE = Benchmark(
    name="echo_one",
    what="C-ECHO round trips per second on one association.",
    unit="round trips/s",
    count=50_000,
    measure=_measure,
    dicomload=lambda count: ("echo-rt", "--n", str(count), "--time", "60"),
)

if __name__ == "__main__":
    main(ECHO_ONE)
