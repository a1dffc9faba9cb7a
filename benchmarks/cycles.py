"""Association cycles per second, 16 at a time: connect, associate, echo, release."""

from __future__ import annotations

from typing import Final

from benchmarks import load
from benchmarks.benchmark import Benchmark, Notes, Run, main

_AT_A_TIME: Final = 16


def _measure(run: Run) -> tuple[float, Notes]:
    return load.cycles(run.target, run.count, _AT_A_TIME), {"at_a_time": _AT_A_TIME}


CYCLES = Benchmark(
    name="cycles",
    what="Association cycles per second, 16 at a time: connect, associate, echo, release.",
    unit="cycles/s",
    count=10_000,
    measure=_measure,
    dicomload=lambda count: ("assoc", "--n", str(count), "--conc", str(_AT_A_TIME)),
)

if __name__ == "__main__":
    main(CYCLES)
