"""Bytes per second that Storage SCUs send from files over one association."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from benchmarks import ct, scps
from benchmarks.processes import run
from benchmarks.race import KIB, Defaults, Race
from benchmarks.scus import SCUS, Peer, Scu, seconds_for_rest

_TIMEOUT: Final = 600.0  # seconds of one measurement
_SLOW: Final = {"pynetdicom": 10, "pynetdicom-raw": 10}
"""Who gets only a part of the files, so that a round takes seconds."""


def receiver(limit: str | None) -> scps.Scp:
    """Return the SCP that takes all: the reference if one is given, else DCMTK's."""
    if limit:
        return scps.limit("limit", limit)
    return scps.dcmtk("dcmtk", discard=True)


def _race(race: Race) -> None:
    arguments = race.arguments
    size: int = arguments.size * KIB
    scus = [scu for scu in SCUS if scu.name in race.contenders]
    with race.workplace(2 * arguments.count * size) as directory:
        ct.write_files(directory / "1", 1, size)
        counts: dict[str, int] = {
            scu.name: max(arguments.count // _SLOW.get(scu.name, 1), 2) for scu in scus
        }
        for count in set(counts.values()):
            ct.write_files(directory / str(count), count, size)

        def measure(scu: Scu, peer: Peer) -> float:
            """Return GB/s."""
            count = counts[scu.name]
            finished = run(scu.command(peer, directory / str(count)), _TIMEOUT)
            scu.check(finished, count)
            one = run(scu.command(peer, directory / "1"), _TIMEOUT)
            scu.check(one, 1)
            return (count - 1) * size / seconds_for_rest(finished, one) / 1e9

        scp = receiver(arguments.limit)
        for kib in arguments.pdu or [16, 128]:
            with race.serving([scp], directory, kib * KIB) as running:
                peer = Peer(running[scp.name].port, scp.title)
                contenders: dict[str, Callable[[], float]] = {
                    scu.name: partial(measure, scu, peer) for scu in scus
                }
                warm_up = {
                    scu.name: partial(run, scu.command(peer, directory / "1"), _TIMEOUT)
                    for scu in scus
                }
                race.add_row(
                    f"files of {arguments.size} KiB to {scp.name}, PDUs of {kib} KiB",
                    "GB/s",
                    contenders,
                    {"receiver": scp.name, "pdu_kib": kib},
                    warm_up,
                )


def main() -> None:
    """Run the race from the command line."""
    names = [scu.name for scu in SCUS]
    race = Race(Defaults("send_files", str(__doc__), 1000, 5, names))
    option = race.parser.add_argument
    option("--size", type=int, default=512, help="KiB of pixels; default: %(default)s")
    option("--pdu", type=int, action="append", help="KiB; may be repeated; default: 16 and 128")
    race.run(_race)


if __name__ == "__main__":
    main()
