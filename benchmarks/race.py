"""
What all races have in common: their command line, rounds in turn, and the report.

All contenders of a race run from its beginning to its end and are measured one after the other in
each round, since a machine may change its speed within seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from benchmarks import scps
from benchmarks.figures import Row, as_text, in_turn, spelt
from benchmarks.processes import BenchmarkFailed, Command, find_program, run
from benchmarks.server import pin, usable_core

KIB: Final = 1024
_RESULTS: Final = Path(__file__).with_name("results")
_FREE: Final = 2  # times what is needed must be free in memory


@dataclasses.dataclass(frozen=True)
class Defaults:
    """
    What a race does unless told otherwise.

    Args:
        name: the module's.
        what: one sentence.
        count: how much work in each measurement.
        rounds: how many.
        contenders: who may take part.
    """

    name: str
    what: str
    count: int
    rounds: int
    contenders: Sequence[str]


class Race:
    """
    One run of a benchmark with several contenders.

    Args:
        defaults: what it does unless told otherwise.
        variant: what the name of the results ends with, by the arguments.
    """

    def __init__(
        self, defaults: Defaults, variant: Callable[[argparse.Namespace], str] = lambda _: ""
    ) -> None:
        self.defaults = defaults
        self._variant = variant
        self.rows: list[Row] = []
        self.parser = argparse.ArgumentParser(
            prog=f"python -m benchmarks.{defaults.name}", description=defaults.what
        )
        option = self.parser.add_argument
        option("--count", "--n", type=_positive, default=defaults.count, help=_DEFAULT)
        option("--rounds", type=_positive, default=defaults.rounds, help=_DEFAULT)
        option("--peers", default=",".join(defaults.contenders), help=f"who takes part; {_DEFAULT}")
        option("--json", action="store_true", help="print a JSON object")
        option("--output", type=Path, metavar="FILE", help="write the JSON object there too")
        option("--save", action="store_true", help="write it to benchmarks/results")
        option(
            "--limit",
            default=os.environ.get("PACS_BENCHMARK_LIMIT"),
            metavar="PATH",
            help="a reference without a protocol machine; default: $PACS_BENCHMARK_LIMIT",
        )
        option(
            "--directory",
            type=Path,
            default=Path("/dev/shm"),
            help=f"where files are, a file system in memory; {_DEFAULT}",
        )
        option("--server-core", type=int, default=usable_core(1), help=_DEFAULT)
        option("--client-core", type=int, default=usable_core(0), help=_DEFAULT)
        self.arguments = argparse.Namespace()

    @property
    def results_file(self) -> Path:
        """Where results are kept."""
        return _RESULTS / f"{self.defaults.name}{self._variant(self.arguments)}.json"

    @property
    def contenders(self) -> list[str]:
        """Who is wanted and can be run here."""
        wanted = [name for name in self.arguments.peers.split(",") if name]
        unknown = set(wanted) - set(self.defaults.contenders)
        if unknown:
            self.parser.error(f"not one of the contenders: {', '.join(sorted(unknown))}")
        return [
            name
            for name in wanted
            if scps.is_installed(name) and (name != "limit" or self.arguments.limit)
        ]

    @contextmanager
    def workplace(self, needed: int = 0) -> Iterator[Path]:
        """
        Yield a directory that is removed afterwards.

        Args:
            needed: bytes that it shall have room for.
        """
        parent: Path = self.arguments.directory
        if not parent.is_dir():
            raise BenchmarkFailed(f"no directory {parent}")
        if shutil.disk_usage(parent).free < _FREE * needed:
            raise BenchmarkFailed(f"{parent} has no room for {_FREE} x {needed:,} bytes")
        with tempfile.TemporaryDirectory(
            prefix="pacs-twisted-benchmark.", dir=parent, ignore_cleanup_errors=True
        ) as directory:
            yield Path(directory)

    @contextmanager
    def serving(
        self, scps_to_run: Sequence[scps.Scp], directory: Path, longest: int
    ) -> Iterator[dict[str, scps.Running]]:
        """Run SCPs on the core of the servers, all at the same time."""
        running: dict[str, scps.Running] = {}
        try:
            pin(self.arguments.server_core)
            try:
                for scp in scps_to_run:
                    place = directory / f"{scp.name}-{longest}"
                    running[scp.name] = scps.Running(scp, place, longest)
            finally:
                pin(self.arguments.client_core)
            for each in running.values():
                each.wait()
            yield running
        finally:
            for each in running.values():
                each.stop()

    def add_row(
        self,
        name: str,
        unit: str,
        contenders: Mapping[str, Callable[[], float]],
        notes: Mapping[str, Any] | None = None,
        warm_up: Mapping[str, Callable[[], object]] | None = None,
    ) -> None:
        """
        Measure contenders in turn, in rounds.

        Args:
            name: what they do.
            unit: of the values.
            contenders: each returns its value.
            notes: what else is worth knowing.
            warm_up: done before the first round, and not counted.
        """
        values: dict[str, list[float]] = {contender: [] for contender in contenders}
        failed: dict[str, str] = {}

        def attempt(contender: str, measure: Callable[[], object]) -> object:
            try:
                return measure()
            except (BenchmarkFailed, OSError) as error:
                values.pop(contender, None)  # the ratios need all rounds
                failed[contender] = str(error) or type(error).__name__
                self._tell(f"{name}: {contender} has failed: {failed[contender]}")
                return None

        for contender, measure in (warm_up or {}).items():
            attempt(contender, measure)
        for number in range(self.arguments.rounds):
            for contender in in_turn(list(contenders), number):
                if contender not in failed:
                    value = attempt(contender, contenders[contender])
                    if isinstance(value, float):
                        values[contender].append(value)
                        self._tell(f"{name}, round {number + 1}: {contender} {spelt(value)} {unit}")
        row = Row(name, unit, values, failed, notes or {})
        self.rows.append(row)
        if not self.arguments.json:
            print(as_text(row), flush=True)

    def _tell(self, words: str) -> None:
        if sys.stderr.isatty() or "has failed" in words:
            print(words, file=sys.stderr, flush=True)

    def run(self, measure: Callable[[Race], None]) -> None:
        """Run from the command line: measure, report, and end with 1 if somebody has failed."""
        self.arguments = self.parser.parse_args()
        self.check_arguments()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # end servers too
        try:
            pin(self.arguments.client_core)
            versions = versions_of(self.contenders)
            measure(self)
        except (BenchmarkFailed, OSError) as error:
            sys.exit(f"{self.defaults.name}: {error}")
        result = {
            "benchmark": self.defaults.name,
            "what": self.defaults.what,
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
            "machine": machine(),
            "versions": versions,
            "settings": {
                name: value
                for name, value in vars(self.arguments).items()
                if isinstance(value, int | str) and name not in _NOT_SETTINGS
            },
            "rows": [row.as_json() for row in self.rows],
        }
        text = json.dumps(result, indent=2, ensure_ascii=False)
        output = self.results_file if self.arguments.save else self.arguments.output
        if output is not None:
            output.parent.mkdir(exist_ok=True)
            output.write_text(text + "\n", encoding="utf-8")
        if self.arguments.json:
            print(text)
        if any(row.failed for row in self.rows):
            sys.exit(1)

    def check_arguments(self) -> None:
        """See that the contenders are known ones before anything is started."""
        if not self.contenders:
            self.parser.error("nobody takes part")


_DEFAULT: Final = "default: %(default)s"
_NOT_SETTINGS: Final = {"json", "save", "limit", "dicomload", "peers", "output", "directory"}


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def machine() -> dict[str, str]:
    """Return what was measured on, without anybody's names."""
    model = ""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def versions_of(contenders: Sequence[str]) -> dict[str, str]:
    """Return the versions of those who take part."""
    found = {"pacs_twisted": _version("pacs-twisted"), "twisted": _version("twisted")}
    for name in dict.fromkeys(each.partition("-")[0] for each in contenders):
        if name == "dcmtk":
            words = run(Command(["storescp", "--version"]), 30).output.split()
            found[name] = next((word[1:] for word in words if word.startswith("v3")), "unknown")
        elif name == "orthanc":
            program = find_program("Orthanc", "orthanc")
            words = run(Command([program or "Orthanc", "--version"]), 30).output.split()
            found[name] = words[1] if len(words) > 1 else "unknown"
        elif name == "pynetdicom":
            found[name] = _version(name)
    return found


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        from pacs_twisted import __version__

        return __version__ if distribution == "pacs-twisted" else "unknown"
