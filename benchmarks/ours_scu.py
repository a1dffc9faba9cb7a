"""
Our client, as a program to be measured.

    python -m benchmarks.ours_scu files PORT CALLED REPEAT PATH...
    python -m benchmarks.ours_scu apart PORT CALLED REPEAT PATH...
    python -m benchmarks.ours_scu echoes PORT CALLED COUNT

`files` sends what is in the paths over one association, as often as it is told; `apart` makes an
association for each time. The seconds that it took once all was imported, and the most resident
memory there was, are printed as JSON; anything but success ends it with an error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from benchmarks.processes import LOCAL, peak_bytes
from pacs_twisted.net import associate
from pacs_twisted.storage.disk import DiskPool
from pacs_twisted.storage.sender import send

CALLING = "BENCHMARK"


async def _send(port: int, called: str, paths: Sequence[str], times: int, reactor: Any) -> None:
    """Send over one association for each time."""
    disk = DiskPool(reactor)
    disk.start()
    try:
        for _ in range(times):
            summary = await send(
                f"tcp:{LOCAL}:{port}",
                paths,
                called=called,
                calling=CALLING,
                disk=disk,
                reactor=reactor,
            )
            wrong = summary.failures + summary.warnings + summary.skipped
            if wrong or not summary.successes or summary.associations != 1:
                raise SystemExit(f"not all well: {summary}")
    finally:
        await disk.stop()


async def _echo(port: int, called: str, count: int, reactor: Any) -> None:
    """Echo on one association, one request after the other."""
    association = await associate(
        f"tcp:{LOCAL}:{port}", called=called, calling=CALLING, reactor=reactor
    )
    for _ in range(count):
        response = await association.echo()
        if response.status != 0:
            raise SystemExit(f"status {response.status}")
    await association.release()


async def _main(reactor: Any, how: str, port: str, called: str, count: str, *paths: str) -> None:
    begin = reactor.seconds()
    match how:
        case "files":
            await _send(int(port), called, [*paths] * int(count), 1, reactor)
        case "apart":
            await _send(int(port), called, paths, int(count), reactor)
        case "echoes":
            await _echo(int(port), called, int(count), reactor)
        case _:
            raise SystemExit(__doc__)
    print(json.dumps({"seconds": reactor.seconds() - begin, "peak": peak_bytes(os.getpid())}))


if __name__ == "__main__":
    react(lambda reactor, *words: Deferred.fromCoroutine(_main(reactor, *words)), sys.argv[1:])
