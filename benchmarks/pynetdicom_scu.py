"""
A client made of pynetdicom, as a program to be measured; see `ours_scu` for its arguments.

    python -m benchmarks.pynetdicom_scu files|raw|memory|apart|echoes PORT CALLED COUNT [PATH...]

`files` reads each file and encodes its data set; `raw` lets pynetdicom send what is in the file;
`memory` and `apart` encode a data set that was read before, each time.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, _config
from pynetdicom.association import Association

from benchmarks.ct import CT_IMAGE, MULTI_FRAME
from benchmarks.load import VERIFICATION
from benchmarks.processes import LOCAL, peak_bytes


def _work(how: str, count: int, paths: list[Path]) -> tuple[int, Callable[[Association], None]]:
    """Return how many associations are to be made, and what is to be done on each."""
    if how == "echoes":

        def echo(association: Association) -> None:
            for _ in range(count):
                _check(association.send_c_echo().get("Status"))

        return 1, echo
    if how in ("memory", "apart"):
        data_sets = [dcmread(path) for path in paths]

        def send(association: Association) -> None:
            for data_set in data_sets * (count if how == "memory" else 1):
                _check(association.send_c_store(data_set).get("Status"))

        return (count if how == "apart" else 1), send

    def send_files(association: Association) -> None:
        for path in paths * count:
            _check(association.send_c_store(path if how == "raw" else dcmread(path)).get("Status"))

    return 1, send_files


def _check(status: int | None) -> None:
    if status != 0:
        raise SystemExit(f"status {status}")


def main(how: str, port: int, called: str, count: int, paths: list[Path]) -> None:
    """Do what the command line says."""
    _config.STORE_SEND_CHUNKED_DATASET = how == "raw"
    entity = AE("BENCHMARK")
    entity.maximum_pdu_size = 131072
    for syntax in [VERIFICATION] if how == "echoes" else [CT_IMAGE, MULTI_FRAME]:
        entity.add_requested_context(syntax, ExplicitVRLittleEndian)
    associations, work = _work(how, count, paths)
    begin = time.perf_counter()
    for _ in range(associations):
        association = entity.associate(LOCAL, port, ae_title=called)
        if not association.is_established:
            raise SystemExit("no association")
        work(association)
        association.release()
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "peak": peak_bytes(os.getpid())}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), [*map(Path, sys.argv[5:])])
