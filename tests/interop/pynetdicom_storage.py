"""
Storage by pynetdicom, run as a program, since its threads have no place beside trial.

    python -m tests.interop.pynetdicom_storage receive PORT DIRECTORY
    python -m tests.interop.pynetdicom_storage send PORT raw|parsed FILE...

The receiver writes data sets as they came, the sender reads and encodes each file anew or, raw,
sends what is in it. It prints the status of each file by its path, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, _config, evt

from tests.interop.objects import read_object
from tests.processes import PATIENCE


def receive(port: int, directory: Path) -> None:
    """Serve until the process is ended."""

    def write(event: evt.Event) -> int:
        request: Any = event.request
        path = directory / str(request.AffectedSOPInstanceUID)
        path.write_bytes(event.encoded_dataset())
        return 0

    entity = AE("PYNETDICOM")
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(str(context.abstract_syntax), AllTransferSyntaxes)
    entity.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, write)])


def send(port: int, raw: bool, paths: list[Path]) -> dict[str, int | str]:
    """Send files over one association, and return the status of each."""
    _config.STORE_SEND_CHUNKED_DATASET = raw
    entity = AE("PYNETDICOM")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = PATIENCE
    wanted = {(each.sop_class, each.transfer_syntax) for each in map(read_object, paths)}
    for sop_class, transfer_syntax in sorted(wanted):
        entity.add_requested_context(sop_class, transfer_syntax)
    association = entity.associate("127.0.0.1", port, ae_title="PACS_STORE")
    if not association.is_established:
        raise SystemExit("no association")
    statuses: dict[str, int | str] = {}
    try:
        for path in paths:
            try:
                answer = association.send_c_store(path if raw else dcmread(path))
                statuses[str(path)] = answer.get("Status", "no answer")
            except (ValueError, AttributeError) as error:
                statuses[str(path)] = str(error)
        association.release()
    finally:
        association.abort()  # nothing if it has ended
    return statuses


def main() -> None:
    """Do what the command line says."""
    match sys.argv[1:]:
        case "receive", port, directory:
            receive(int(port), Path(directory))
        case "send", port, how, *paths:
            print(json.dumps(send(int(port), how == "raw", [*map(Path, paths)])))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
