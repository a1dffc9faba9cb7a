"""C-ECHOs per second that SCUs send on one association, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from benchmarks.processes import Command, run
from benchmarks.race import KIB, Defaults, Race
from benchmarks.scps import NO_DELAY
from benchmarks.scus import Peer, module, seconds_for_rest
from benchmarks.send_files import receiver

_TIMEOUT: Final = 300.0  # seconds of one measurement
_SLOW: Final = {"pynetdicom": 50}
"""Who echoes less, so that a round takes seconds."""


def _command(name: str, peer: Peer, count: int) -> Command:
    if name == "dcmtk":
        return Command(["echoscu", "--repeat", str(count), *peer.words], NO_DELAY)
    return module(f"{name}_scu", "echoes", peer, count)


def _race(race: Race) -> None:
    scp = receiver(race.arguments.limit)
    with race.workplace() as directory, race.serving([scp], directory, 16 * KIB) as running:
        peer = Peer(running[scp.name].port, scp.title)

        def measure(name: str, count: int) -> float:
            """Return echoes per second."""
            whole = run(_command(name, peer, count), _TIMEOUT)
            return (count - 1) / seconds_for_rest(whole, run(_command(name, peer, 1), _TIMEOUT))

        contenders: dict[str, Callable[[], float]] = {}
        warm_up: dict[str, Callable[[], object]] = {}
        for name in race.contenders:
            count = max(race.arguments.count // _SLOW.get(name, 1), 2)
            contenders[name] = partial(measure, name, count)
            warm_up[name] = partial(run, _command(name, peer, 1), _TIMEOUT)
        race.add_row(
            f"echoes to {scp.name}", "echoes/s", contenders, {"receiver": scp.name}, warm_up
        )


def main() -> None:
    """Run the race from the command line."""
    contenders = ("ours", "dcmtk", "pynetdicom")
    Race(Defaults("send_echoes", str(__doc__), 20_000, 5, contenders)).run(_race)


if __name__ == "__main__":
    main()
