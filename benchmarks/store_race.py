"""
C-STORE into SCPs, on one association or several: what store_one and store_many share.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from typing import Final

from benchmarks import scps, store_load
from benchmarks.processes import BenchmarkFailed, Command, run
from benchmarks.race import KIB, Defaults, Race

_CONTENDERS: Final = ("ours", "ours-inline", "dcmtk", "pynetdicom", "orthanc", "limit")
_TIMEOUT: Final = 600.0  # seconds of one measurement
_SLOW: Final = {"pynetdicom": 10, "orthanc": 10}
"""Who gets only a part of the objects, so that a round takes seconds."""


def rate_of_dicomload(output: str, count: int) -> float:
    """
    Return bytes per second from the line of an external load generator.

    Raises:
        BenchmarkFailed: not all objects were stored.
    """
    try:
        line = json.loads(output.strip().splitlines()[-1])
        done, errors, rate = line["ops"], line["errors"], line["mb_s"] * 1e6
    except (ValueError, LookupError, TypeError) as error:
        raise BenchmarkFailed(f"the load generator says {output!r}") from error
    if errors or done != count:
        raise BenchmarkFailed(f"{done} of {count} objects stored, {errors} errors")
    return float(rate)


def contender(name: str, mode: str, many: bool, limit: str) -> scps.Scp | None:
    """Return a contender of a mode, if it takes part in that."""
    discard = mode == "discard"
    fork = ["--fork"] if many else []  # else one association waits for the end of the other
    match name:
        case "ours" if discard:
            return scps.ours(name, discard=True)
        case "ours":
            return scps.ours(name, "--no-fsync")
        case "ours-inline" if not discard:
            return scps.ours(name, "--no-fsync", "--disk-mode", "inline")
        case "dcmtk" if discard:
            return scps.dcmtk(name, *fork, discard=True)
        case "dcmtk":
            return scps.dcmtk(name, *fork, "+B")
        case "pynetdicom":
            return scps.pynetdicom(name, "discard" if discard else "raw")
        case "orthanc":
            return scps.orthanc(name)
        case "limit":
            return scps.limit(name, limit, discard)
        case _:
            return None


def _measure(race: Race, running: scps.Running, count: int, associations: int) -> float:
    """Return GB/s."""
    arguments = race.arguments
    size = arguments.size * KIB
    if arguments.dicomload:
        words = [arguments.dicomload, "store", "--json", "--time", str(int(_TIMEOUT))]
        words += ["--port", str(running.port), "--called", running.scp.title, "--ts", "ele"]
        words += ["--n", str(count), "--size", str(size), "--pdu", str(running.place.longest)]
        words += ["--conc", str(associations)]
        rate = rate_of_dicomload(run(Command(words), _TIMEOUT).output, count)
    else:
        target = store_load.target(running.port, running.scp.title)
        rate = store_load.store(target, count, size, running.place.longest, associations)
    running.check_stored(count, size)
    running.empty()
    if not running.server.is_running:
        raise BenchmarkFailed(f"the server has ended: {running.server.said()}")
    return rate / 1e9


def main(name: str, what: str, associations: int) -> None:
    """Run the race from the command line."""
    race = Race(
        Defaults(name, what, 1000, 5, _CONTENDERS),
        lambda arguments: "_write" if arguments.mode == "write" else "",
    )
    option = race.parser.add_argument
    option("--size", type=int, default=512, help="KiB of pixels; default: %(default)s")
    option("--pdu", type=int, action="append", help="KiB; may be repeated; default: 16 and 128")
    option(
        "--mode",
        choices=("discard", "write"),
        default="discard",
        help="write: as received, without fsync; default: %(default)s",
    )
    option(
        "--dicomload",
        default=os.environ.get("PACS_BENCHMARK_DICOMLOAD"),
        metavar="PATH",
        help="an external load generator; default: $PACS_BENCHMARK_DICOMLOAD, else our own",
    )
    race.run(partial(_race, associations=associations))


def _race(race: Race, associations: int) -> None:
    arguments = race.arguments
    count, size = arguments.count, arguments.size * KIB
    many = associations > 1
    found = (contender(name, arguments.mode, many, arguments.limit) for name in race.contenders)
    contenders = [scp for scp in found if scp is not None]
    done = "discarded" if arguments.mode == "discard" else "written"
    on = f"{associations} associations" if many else "one association"
    with race.workplace(count * size) as directory:
        for kib in arguments.pdu or [16, 128]:
            with race.serving(contenders, directory, kib * KIB) as running:
                measures: dict[str, Callable[[], float]] = {}
                warm_up: dict[str, Callable[[], object]] = {}
                for scp in contenders:
                    its = max(count // _SLOW.get(scp.name, 1), associations)
                    measures[scp.name] = partial(
                        _measure, race, running[scp.name], its, associations
                    )
                    warm_up[scp.name] = partial(
                        _measure, race, running[scp.name], max(its // 20, 2), associations
                    )
                race.add_row(
                    f"objects of {arguments.size} KiB {done}, {on}, PDUs of {kib} KiB",
                    "GB/s",
                    measures,
                    {"associations": associations, "pdu_kib": kib, "mode": arguments.mode},
                    warm_up,
                )
