"""The command line of `tests.fuzz`."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.fuzz import loopback, memory


def _progress(done: int) -> None:
    if sys.stderr.isatty() and done % 100 == 0:
        print(f"\r{done}", end="", file=sys.stderr, flush=True)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--streams", type=int, default=100_000, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other streams")
    parser.add_argument("--first", type=int, default=0, help="the index of the first stream")
    parser.add_argument("--loopback", action="store_true", help="to a twistd of its own")
    arguments = parser.parse_args()
    begin = time.monotonic()
    outcomes: Counter[str]
    try:
        if arguments.loopback:
            outcomes = loopback.run(arguments.seed, arguments.streams, arguments.first)
        else:
            outcomes = memory.run(arguments.seed, arguments.streams, arguments.first, _progress)
    except memory.Finding as finding:
        sys.exit(f"seed {arguments.seed}: {finding}")
    seconds = time.monotonic() - begin
    print(f"{arguments.streams} streams, {arguments.streams / seconds:.0f} streams/s")
    for outcome, number in outcomes.most_common():
        print(f"{number:8} {outcome}")


if __name__ == "__main__":
    _main()
