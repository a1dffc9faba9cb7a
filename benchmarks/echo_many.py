"""C-ECHOs per second over 64 associations, one outstanding on each."""

from __future__ import annotations

from typing import Final

from benchmarks import load
from benchmarks.benchmark import Benchmark, Notes, Run, main

_ASSOCIATIONS: Final = 64


def _measure(run: Run) -> tuple[float, Notes]:
    return load.echo_many(run.target, run.count, _ASSOCIATIONS), {"associations": _ASSOCIATIONS}


ECHO_MANY = Benchmark(
    name="echo_many",
    what="C-ECHOs per second over 64 associations, one outstanding on each.",
    unit="echoes/s",
    count=100_000,
    measure=_measure,
    # This one counts seconds: about as long as our own count takes.
    dicomload=lambda count: ("echo-conc", "--conc", str(_ASSOCIATIONS), "--time", "3"),
)

if __name__ == "__main__":
    main(ECHO_MANY)
