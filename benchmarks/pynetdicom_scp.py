"""
A Storage SCP made of pynetdicom.

    python -m benchmarks.pynetdicom_scp PORT MAXIMUM-LENGTH HOW DIRECTORY

HOW: `discard`; `raw` writes the data sets as they came; `parsed` decodes them and encodes them
again; `chunked` lets pynetdicom write them to a file while they come. `temporary` is `raw` and
`temporary-parsed` is `parsed`, into temporary files that are removed at once.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, evt

from benchmarks.ct import CT_IMAGE, MULTI_FRAME
from benchmarks.load import VERIFICATION
from benchmarks.processes import LOCAL


def main(port: int, longest: int, how: str, directory: Path) -> None:
    """Serve until the process is ended."""

    def write(event: Any, file: IO[bytes]) -> None:
        if how in ("parsed", "temporary-parsed"):
            data_set = event.dataset
            data_set.file_meta = event.file_meta
            data_set.save_as(file, enforce_file_format=True)
        else:
            file.write(event.encoded_dataset())

    def store(event: Any) -> int:
        path = directory / str(event.request.AffectedSOPInstanceUID)
        if how == "chunked":
            shutil.move(event.dataset_path, path)
        elif how.startswith("temporary"):
            with tempfile.TemporaryFile(dir=directory) as file:
                write(event, file)
        elif how != "discard":
            with path.open("wb") as file:
                write(event, file)
        return 0

    _config.STORE_RECV_CHUNKED_DATASET = how == "chunked"
    tempfile.tempdir = str(directory)
    entity = AE("PYNETDICOM")
    entity.maximum_associations = 20
    entity.maximum_pdu_size = longest
    for syntax in (CT_IMAGE, MULTI_FRAME, VERIFICATION):
        entity.add_supported_context(syntax, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    entity.start_server((LOCAL, port), evt_handlers=[(evt.EVT_C_STORE, store)])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
