"""
A process that stores in a directory which others use at the same time.

    python -m tests.storage.storing_process DIRECTORY KIND|hang
"""

from __future__ import annotations

import signal
import sys

from pacs_twisted.storage.files import FileStore
from pacs_twisted.storage.part10 import FileMeta
from pacs_twisted.uids import EXPLICIT_VR_LITTLE_ENDIAN


def head(
    syntax: str = EXPLICIT_VR_LITTLE_ENDIAN, title: str = "HERE", instance: str = "1.2.3.4"
) -> bytes:
    """Return file meta information."""
    return FileMeta("1.2.840.10008.5.1.4.1.1.7", instance, syntax, source_ae_title=title).encode()


def store_version(store: FileStore, number: int, kind: int) -> None:
    """Store a version of an instance, of which others store theirs."""
    where = (f"1.{number // 10}", f"1.2.{number}.dcm")
    store.begin().put([head(), b"version %d" % kind], where)


def main(directory: str, what: str) -> None:
    """Store 200 instances, or hang while one is on its way."""
    store = FileStore(directory, fsync=False)
    store.open()
    if what == "hang":
        incoming = store.begin()
        incoming.write([b"part"])
        print("written", flush=True)
        signal.pause()
    for number in range(200):
        store_version(store, number, int(what))
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
