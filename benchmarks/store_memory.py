"""
Peak resident memory of Storage SCPs and SCUs while one large object passes.

The object is a sparse file, sent by our client to each SCP, and by each SCU to ours, which
discards it. An SCP is started for each measurement. The memory of files in a file system in
memory is not the process's, and not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import ct, scps
from benchmarks.processes import BenchmarkFailed, Finished, peak_bytes, run
from benchmarks.race import KIB, Defaults, Race
from benchmarks.scus import Peer, module, storescu

_GIB: Final = 2**30
_MIB: Final = 2**20
_SECONDS_PER_GIB: Final = 120.0
_CONTENDERS: Final = (
    *("ours", "ours-inline", "ours-discard", "dcmtk", "dcmtk-bits"),
    *("pynetdicom", "pynetdicom-chunked", "orthanc"),
)
_SCUS: Final = ("ours", "dcmtk", "pynetdicom", "pynetdicom-raw")
_LONGEST: Final = 128 * KIB
_KEPT: Final = 0.99
"""Of the data set must be in the file: not all keep the padding behind the pixels."""


def _scp(name: str) -> scps.Scp:
    match name:
        case "ours":
            return scps.ours(name)
        case "ours-inline":
            return scps.ours(name, "--disk-mode", "inline")
        case "ours-discard":
            return scps.ours(name, discard=True)
        case "dcmtk":
            return scps.dcmtk(name)
        case "dcmtk-bits":
            return scps.dcmtk(name, "+B")
        case "pynetdicom":
            return scps.pynetdicom(name, "raw")
        case "pynetdicom-chunked":
            return scps.pynetdicom(name, "chunked")
        case _:
            return scps.orthanc(name)


def _send(name: str, peer: Peer, path: Path, timeout: float) -> Finished:
    """Send the file with an SCU, its memory watched."""
    match name:
        case "ours":
            command = module("ours_scu", "files", peer, 1, [path])
        case "dcmtk":
            command = storescu(peer, [path])
        case "pynetdicom":
            command = module("pynetdicom_scu", "files", peer, 1, [path])
        case _:
            command = module("pynetdicom_scu", "raw", peer, 1, [path])
    return run(command, timeout, watch_memory=True)


def _race(race: Race) -> None:
    size = round(race.arguments.gib * _GIB)
    timeout = max(race.arguments.gib, 1) * _SECONDS_PER_GIB
    with race.workplace(size) as directory:
        path = directory / "large.dcm"
        length = ct.write_large(path, size)

        before: dict[str, float] = {}

        def measure(scp: scps.Scp, scu: str, of_scp: bool) -> float:
            """Return MiB."""
            with race.serving([scp], directory, _LONGEST) as running:
                (each,) = running.values()
                before[scp.name] = round(peak_bytes(each.server.pid) / _MIB, 1)
                finished = _send(scu, Peer(each.port, scp.title), path, timeout)
                peak = peak_bytes(each.server.pid) if of_scp else finished.peak
                each.check_stored(1, round(length * _KEPT))
                if not peak or not each.server.is_running:
                    raise BenchmarkFailed(f"the server has ended: {each.server.said()}")
                return peak / _MIB

        names = race.contenders
        notes = {"gib": race.arguments.gib, "data_set_bytes": length}
        servers: dict[str, Callable[[], float]] = {
            name: partial(measure, _scp(name), "ours", True) for name in names
        }
        name = f"SCP, an object of {race.arguments.gib:g} GiB"
        race.add_row(name, "MiB at most", servers, {**notes, "mib_before": before})
        clients: dict[str, Callable[[], float]] = {
            name: partial(measure, _scp("ours-discard"), name, False)
            for name in _SCUS
            if name in names or (name.endswith("-raw") and "pynetdicom" in names)
        }
        race.add_row(f"SCU, an object of {race.arguments.gib:g} GiB", "MiB at most", clients, notes)


def main() -> None:
    """Run from the command line."""
    what = str(__doc__).strip().partition("\n")[0]
    race = Race(
        Defaults("store_memory", what, 1, 1, _CONTENDERS),
        lambda arguments: "" if arguments.gib == 1 else f"_{arguments.gib:g}",
    )
    race.parser.add_argument(
        "--gib",
        type=float,
        default=1.0,
        help="how large; others may need several times that of memory, so name --peers with "
        "more than 1; default: %(default)s",
    )
    race.run(_race)


if __name__ == "__main__":
    main()
