"""
Storage SCUs to be measured, each a program that does its work and ends.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.processes import LOCAL, BenchmarkFailed, Command, Finished, Word
from benchmarks.scps import NO_DELAY

LONGEST: Final = 131072
"""The longest P-DATA-TF that DCMTK can be told to send, in bytes; the peer may allow less."""

_SUCCESSES: Final = re.compile(r"\* with status SUCCESS +: (\d+)")


@dataclasses.dataclass(frozen=True)
class Peer:
    """
    To whom an SCU sends.

    Args:
        port: on 127.0.0.1.
        title: the AE title to call.
    """

    port: int
    title: str

    @property
    def words(self) -> Sequence[str]:
        """What DCMTK's clients end with, before the files."""
        return ["-aec", self.title, LOCAL, str(self.port)]


def no_check(finished: Finished, count: int) -> None:
    """Trust the exit status, which says it all."""


def check_report(finished: Finished, count: int) -> None:
    """See that dcmsend, which ends with 0 in any case, tells of so many successes."""
    match = _SUCCESSES.search(finished.output)
    found = int(match[1]) if match else 0
    if found != count:
        raise BenchmarkFailed(f"{found} of {count} objects stored")


@dataclasses.dataclass(frozen=True)
class Scu:
    """
    An SCU that sends a directory of files over one association.

    Args:
        name: in tables.
        command: what sends the files of a directory.
        check: sees that all went well.
    """

    name: str
    command: Callable[[Peer, Path], Command]
    check: Callable[[Finished, int], None] = no_check


def module(name: str, how: str, peer: Peer, count: int, paths: Sequence[Path] = ()) -> Command:
    """Return the call of one of our two programs, `ours_scu` and `pynetdicom_scu`."""
    words: list[Word] = [sys.executable, "-m", f"benchmarks.{name}", how]
    return Command([*words, str(peer.port), peer.title, str(count), *paths])


def storescu(peer: Peer, paths: Sequence[Path], *options: str) -> Command:
    """Return a call of DCMTK's storescu, which proposes no more than it needs."""
    words = ["storescu", "-R", "-pdu", str(LONGEST), "--max-send-pdu", str(LONGEST), *options]
    return Command([*words, *peer.words, *map(os.fspath, paths)], NO_DELAY)


def _dcmsend(peer: Peer, directory: Path) -> Command:
    words = ["dcmsend", "-v", "-pdu", str(LONGEST), "--max-send-pdu", str(LONGEST), "+sd"]
    return Command([*words, *peer.words, directory], NO_DELAY)


def _files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


SCUS: Final = (
    Scu("ours", lambda peer, directory: module("ours_scu", "files", peer, 1, [directory])),
    Scu("dcmtk", lambda peer, directory: storescu(peer, [directory], "+sd")),
    Scu("dcmtk-dcmsend", _dcmsend, check_report),
    Scu(
        "pynetdicom",
        lambda peer, directory: module("pynetdicom_scu", "files", peer, 1, _files(directory)),
    ),
    Scu(
        "pynetdicom-raw",
        lambda peer, directory: module("pynetdicom_scu", "raw", peer, 1, _files(directory)),
    ),
)


def reported(finished: Finished) -> dict[str, float]:
    """
    Return the numbers that one of our two programs has printed.

    Raises:
        BenchmarkFailed: it has not.
    """
    try:
        numbers = json.loads(finished.output.strip().splitlines()[-1])
        return {"seconds": float(numbers["seconds"]), "peak": float(numbers["peak"])}
    except (ValueError, LookupError, TypeError) as error:
        raise BenchmarkFailed(f"no numbers in {finished.output!r}") from error


def seconds_of_work(finished: Finished) -> float:
    """Return the seconds that a program has reported itself, else those of its whole life."""
    if finished.output.rstrip().endswith("}"):
        return reported(finished)["seconds"]
    return finished.seconds


def seconds_for_rest(whole: Finished, one: Finished) -> float:
    """
    Return the time for all objects but one: that for all, less that for a single one.

    So neither the start of a program nor the making of an association counts, in whatever
    language it is written.

    Raises:
        BenchmarkFailed: they cannot be told apart.
    """
    seconds = seconds_of_work(whole) - seconds_of_work(one)
    if seconds <= 0:
        raise BenchmarkFailed("too little work to be told from none: give a greater --count")
    return seconds
