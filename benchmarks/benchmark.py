"""What all benchmarks have in common: their command line, and the line that they print."""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from benchmarks.load import Target
from benchmarks.processes import BenchmarkFailed
from benchmarks.server import pin, running_server, usable_core

Notes = Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Run:
    """
    One measurement.

    Args:
        target: where the load goes.
        pid: the server's process, if it is known.
        count: how much load.
    """

    target: Target
    pid: int | None
    count: int


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """
    One benchmark.

    Args:
        name: the module's.
        what: one sentence.
        unit: of the number.
        count: how much load unless told otherwise.
        measure: returns the number, and what else is worth knowing.
        server_options: of pacs-echo, for a count.
        dicomload: words for an external load generator, for a count; empty if it cannot do this.
    """

    name: str
    what: str
    unit: str
    count: int
    measure: Callable[[Run], tuple[float, Notes]]
    server_options: Callable[[int], Sequence[str]] = lambda count: ()
    dicomload: Callable[[int], Sequence[str]] = lambda count: ()


def report(name: str, unit: str, value: float, notes: Notes, as_json: bool) -> None:
    """Print the line."""
    if as_json:
        print(json.dumps({"benchmark": name, "value": round(value, 3), "unit": unit, **notes}))
        return
    told = "".join(f", {note.replace('_', ' ')} {number:g}" for note, number in notes.items())
    print(f"{name}: {value:.{2 if value < 100 else 0}f} {unit}{told}")


def fail(name: str, error: Exception) -> None:
    """Say in one line why there is no number, and end."""
    sys.exit(f"{name}: {error}")


def main(benchmark: Benchmark) -> None:
    """Run a benchmark from the command line."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{benchmark.name}", description=benchmark.what
    )
    parser.add_argument("--count", type=int, default=benchmark.count, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.add_argument("--port", type=int, help="of a server that runs; else one is started")
    parser.add_argument("--pid", type=int, help="of that server")
    parser.add_argument("--called", default="PACS_ECHO", help="its AE title; default: %(default)s")
    parser.add_argument(
        "--server-core", type=int, default=usable_core(1), help="default: %(default)s"
    )
    parser.add_argument(
        "--client-core", type=int, default=usable_core(0), help="default: %(default)s"
    )
    if benchmark.dicomload(0):
        parser.add_argument("--dicomload", metavar="PATH", help="an external load generator")
    arguments = parser.parse_args()
    try:
        with ExitStack() as stack:
            port, pid = arguments.port, arguments.pid
            if port is None:
                pin(arguments.server_core)
                options = benchmark.server_options(arguments.count)
                port, pid = stack.enter_context(running_server(options))
            pin(arguments.client_core)
            if getattr(arguments, "dicomload", None):
                words = [*benchmark.dicomload(arguments.count), "--port", str(port)]
                words += ["--called", arguments.called, *(["--json"] if arguments.json else [])]
                if subprocess.run([arguments.dicomload, *words], check=False).returncode:
                    raise BenchmarkFailed("the load generator has failed")
                return
            run = Run(Target(port, arguments.called), pid, arguments.count)
            value, notes = benchmark.measure(run)
    except (BenchmarkFailed, OSError) as error:
        fail(benchmark.name, error)
    report(benchmark.name, benchmark.unit, value, notes, arguments.json)
