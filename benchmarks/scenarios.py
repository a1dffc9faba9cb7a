"""Data sets per second in the ten scenarios of pynetdicom's own benchmark script."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import ct, scps
from benchmarks.processes import BenchmarkFailed, Command, run, run_together
from benchmarks.race import KIB, Defaults, Race
from benchmarks.scps import NO_DELAY, Running
from benchmarks.scus import Peer, module, reported

_TIMEOUT: Final = 600.0  # seconds of one measurement
_SIZE: Final = 39 * KIB
"""Bytes of pixels: as large as the CT image of that script."""

_AT_ONCE: Final = 10
_CONTENDERS: Final = ("ours", "pynetdicom", "dcmtk")
_LONGEST: Final = {"ours": 128 * KIB, "pynetdicom": 16382, "dcmtk": 16 * KIB}
"""What each announces to take unless told otherwise, in bytes."""

_LONGEST_OF_ALL: Final = {"ours": 128 * KIB, "pynetdicom": 0, "dcmtk": 128 * KIB}

_WRITING: Final = {
    "write": {
        "ours": scps.ours("ours-write"),
        "pynetdicom": scps.pynetdicom("pynetdicom-write", "temporary-parsed"),
        "dcmtk": scps.dcmtk("dcmtk-write"),
    },
    "fast": {
        "ours": scps.ours("ours-fast", "--no-fsync", "--existing", "replace"),
        "pynetdicom": scps.pynetdicom("pynetdicom-fast", "temporary"),
        "dcmtk": scps.dcmtk("dcmtk-fast", "+B"),
    },
    "fastest": {
        "ours": scps.ours(
            "ours-fastest", "--no-fsync", "--existing", "replace", "--disk-mode", "inline"
        ),
        "pynetdicom": scps.pynetdicom("pynetdicom-fastest", "temporary"),
        "dcmtk": scps.dcmtk("dcmtk-fastest", "+B"),
    },
}
_DISCARDING: Final = {
    "ours": scps.ours("ours", discard=True),
    "pynetdicom": scps.pynetdicom("pynetdicom", "discard"),
    "dcmtk": scps.dcmtk("dcmtk", discard=True),
}
_FORKING: Final = scps.dcmtk("dcmtk-fork", "--fork", discard=True)
"""Takes several associations at the same time, as the other two do."""


@dataclasses.dataclass(frozen=True)
class _Work:
    """
    What the scenarios are made of; each method returns seconds.

    Args:
        path: the file that is sent.
        count: how often.
    """

    path: Path
    count: int

    def by_ours(self, how: str, peer: Peer) -> float:
        """Send with our client."""
        command = module("ours_scu", how, peer, self.count, [self.path])
        return reported(run(command, _TIMEOUT))["seconds"]

    def by_pynetdicom(self, how: str, peer: Peer) -> float:
        """Send with pynetdicom."""
        command = module("pynetdicom_scu", how, peer, self.count, [self.path])
        return reported(run(command, _TIMEOUT))["seconds"]

    def _storescu(self, peer: Peer, count: int) -> Command:
        words = ["storescu", "--repeat", str(count), *peer.words, os.fspath(self.path)]
        return Command(words, NO_DELAY)

    def by_dcmtk(self, peer: Peer) -> float:
        """Send with storescu over one association."""
        return run(self._storescu(peer, self.count), _TIMEOUT).seconds

    def by_dcmtk_apart(self, peer: Peer) -> float:
        """Send with one storescu after the other."""
        deadline = time.monotonic() + _TIMEOUT
        seconds = 0.0
        for _ in range(self.count):
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"{self.count} associations take over {_TIMEOUT} s")
            seconds += run(self._storescu(peer, 1), _TIMEOUT).seconds
        return seconds

    def by_dcmtk_at_once(self, peer: Peer) -> float:
        """Send all of it with each of several storescu at the same time."""
        return run_together([self._storescu(peer, self.count)] * _AT_ONCE, _TIMEOUT).seconds


def _race(race: Race) -> None:
    names = [name for name in _CONTENDERS if name in race.contenders]
    if "dcmtk" not in names:
        raise BenchmarkFailed("all scenarios but one need DCMTK")
    with race.workplace() as directory, ExitStack() as stack:
        (path,) = ct.write_files(directory / "files", 1, _SIZE)
        running: dict[str, Running] = {}
        for longest, kinds in (
            (_LONGEST, [_DISCARDING, _WRITING["write"], _WRITING["fast"], {"dcmtk": _FORKING}]),
            (_LONGEST_OF_ALL, [_WRITING["fastest"]]),
        ):
            for name in names:
                which = [kind[name] for kind in kinds if name in kind]
                running |= stack.enter_context(race.serving(which, directory, longest[name]))
        _Scenarios(race, names, running, _Work(path, race.arguments.count)).run()


class _Scenarios:
    """The scenarios, with their numbers in that script."""

    def __init__(
        self, race: Race, names: Sequence[str], running: Mapping[str, Running], work: _Work
    ) -> None:
        self._race = race
        self._names = names
        self._running = running
        self._work = work

    def _peer(self, name: str) -> Peer:
        each = self._running[name]
        return Peer(each.port, each.scp.title)

    def _row(
        self, number: int, words: str, seconds: Mapping[str, Callable[[], float]], times: int = 1
    ) -> None:
        count = self._work.count * times

        def rate(name: str) -> float:
            value = count / seconds[name]()
            for each in self._running.values():
                if not each.server.is_running:
                    raise BenchmarkFailed(f"{each.scp.name} has ended: {each.server.said()}")
                each.empty()
            return value

        self._race.add_row(
            f"{number}. {words}",
            "data sets/s",
            {name: partial(rate, name) for name in self._names if name in seconds},
            {"scenario": number, "words": words},
        )

    def _scu(self, number: int, words: str, how: tuple[str, str], dcmtk: _Send) -> None:
        """Let each send to the same SCP."""
        sink = self._peer("dcmtk")
        self._row(
            number,
            words,
            {
                "ours": partial(self._work.by_ours, how[0], sink),
                "pynetdicom": partial(self._work.by_pynetdicom, how[1], sink),
                "dcmtk": partial(dcmtk, sink),
            },
        )

    def _scp(
        self, number: int, words: str, suffix: str, send: _Send, times: int = 1, dcmtk: str = ""
    ) -> None:
        """Let the same SCU send to each."""
        names = {name: f"{name}{suffix}" for name in self._names}
        if dcmtk:
            names["dcmtk"] = dcmtk
        self._row(
            number,
            words,
            {name: partial(send, self._peer(scp)) for name, scp in names.items()},
            times,
        )

    def run(self) -> None:
        """Run them in order."""
        work = self._work
        apart = f"one data set on each of {work.count} associations"
        on_one = f"{work.count} data sets over one association"
        self._scu(1, f"SCU, {on_one}", ("files", "memory"), work.by_dcmtk)
        self._scu(2, f"SCU, {apart}", ("apart", "apart"), work.by_dcmtk_apart)
        self._scp(3, f"SCP, {on_one}", "", work.by_dcmtk)
        self._scp(4, f"SCP, {on_one}, write", "-write", work.by_dcmtk)
        self._scp(5, f"SCP, {on_one}, write fast", "-fast", work.by_dcmtk)
        self._scp(6, f"SCP, {on_one}, write fastest", "-fastest", work.by_dcmtk)
        self._scp(7, f"SCP, {apart}", "", work.by_dcmtk_apart)
        at_once = f"{work.count} data sets on each of {_AT_ONCE} associations at once"
        self._scp(8, f"SCP, {at_once}", "", work.by_dcmtk_at_once, _AT_ONCE, _FORKING.name)
        both = {
            "ours": partial(work.by_ours, "files"),
            "pynetdicom": partial(work.by_pynetdicom, "memory"),
        }
        self._row(
            9,
            f"SCU and SCP, {on_one}",
            {
                name: partial(send, self._peer(name))
                for name, send in both.items()
                if name in self._names
            },
        )
        dcmtk = {"dcmtk": partial(work.by_dcmtk, self._peer("dcmtk"))}
        self._row(10, f"SCU and SCP of DCMTK, {on_one}", dcmtk)


_Send = Callable[[Peer], float]


def main() -> None:
    """Run from the command line."""
    Race(Defaults("scenarios", str(__doc__), 1000, 3, _CONTENDERS)).run(_race)


if __name__ == "__main__":
    main()
