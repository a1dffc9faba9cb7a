"""
Storage SCPs to be measured: ours, those of others that are installed, and a limit if one is given.

DCMTK waits some 40 ms in each exchange without TCP_NODELAY in its environment, and Orthanc is made
with it. Neither can be told to listen on one address only.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.request import ProxyHandler, Request, build_opener

from benchmarks.processes import (
    LOCAL,
    BenchmarkFailed,
    Command,
    Server,
    find_program,
    free_port,
)
from benchmarks.server import TWISTD

NO_DELAY: Final = {"TCP_NODELAY": "1"}
_LIFETIME: Final = 7200  # seconds after which the reference ends by itself, whatever happens


@dataclasses.dataclass(frozen=True)
class Place:
    """
    Where an SCP is at work.

    Args:
        port: where it listens.
        directory: what it may write into; its own.
        longest: the P-DATA-TF that it announces to take, in bytes.
    """

    port: int
    directory: Path
    longest: int


@dataclasses.dataclass(frozen=True)
class Scp:
    """
    An SCP and what it is to do.

    Args:
        name: in tables.
        title: its AE title.
        command: what runs it.
        stores: whether there are files afterwards.
        empty: removes what it has stored.
    """

    name: str
    title: str
    command: Callable[[Place], Command]
    stores: bool = False
    empty: Callable[[Place], None] | None = None


def is_installed(name: str) -> bool:
    """Return whether a contender, by the first part of its name, can be run here."""
    match name.partition("-")[0]:
        case "dcmtk":
            return find_program("storescp") is not None and find_program("storescu") is not None
        case "pynetdicom":
            return importlib.util.find_spec("pynetdicom") is not None
        case "orthanc":
            return find_program("Orthanc", "orthanc") is not None
        case _:
            return True


def ours(name: str, *options: str, discard: bool = False) -> Scp:
    """Return `twistd pacs-store`, which has further options."""

    def command(place: Place) -> Command:
        return Command(
            [
                *(TWISTD, "-n", "--pidfile=", "pacs-store"),
                *("--listen", f"tcp:{place.port}:interface={LOCAL}"),
                *("--max-pdu", str(place.longest), *options),
                *(["--discard"] if discard else ["--directory", os.fspath(place.directory)]),
            ]
        )

    return Scp(name, "PACS_STORE", command, not discard)


def dcmtk(name: str, *options: str, discard: bool = False) -> Scp:
    """Return DCMTK's storescp."""

    def command(place: Place) -> Command:
        what = ["--ignore"] if discard else ["-od", os.fspath(place.directory)]
        words = ["storescp", "-pdu", str(place.longest), *options, *what, str(place.port)]
        return Command(words, NO_DELAY)

    return Scp(name, "ANY-SCP", command, not discard)


def pynetdicom(name: str, how: str) -> Scp:
    """Return an SCP made of pynetdicom; see `pynetdicom_scp` for how it may store."""

    def command(place: Place) -> Command:
        words = [sys.executable, "-m", "benchmarks.pynetdicom_scp"]
        return Command([*words, str(place.port), str(place.longest), how, place.directory])

    return Scp(name, "PYNETDICOM", command, how not in ("discard", "temporary"))


def orthanc(name: str) -> Scp:
    """Return an Orthanc without plugins, which stores and cannot but index what it is sent."""

    def configuration_of(place: Place) -> Path:
        return place.directory / "orthanc.json"

    def command(place: Place) -> Command:
        program = find_program("Orthanc", "orthanc")
        if program is None:
            raise BenchmarkFailed("Orthanc is not installed")
        database = os.fspath(place.directory / "database")
        configuration = configuration_of(place)
        configuration.write_text(
            json.dumps(
                {
                    "Name": "benchmark",
                    "StorageDirectory": database,
                    "IndexDirectory": database,
                    "Plugins": [],
                    "HttpPort": free_port(),
                    "RemoteAccessAllowed": False,
                    "AuthenticationEnabled": False,
                    "DicomAet": "ORTHANC",
                    "DicomPort": place.port,
                    "DicomCheckCalledAet": False,
                    "DicomCheckModalityHost": False,
                    "DicomAlwaysAllowEcho": True,
                    "DicomAlwaysAllowStore": True,
                    "UnknownSopClassAccepted": True,
                    "MaximumPduLength": place.longest,
                    "DicomThreadsCount": 16,
                }
            )
        )
        return Command([program, configuration], NO_DELAY)

    def empty(place: Place) -> None:
        port = json.loads(configuration_of(place).read_text())["HttpPort"]
        opener = build_opener(ProxyHandler({}))
        base = f"http://{LOCAL}:{port}/patients"
        for patient in json.load(opener.open(base, timeout=60)):
            opener.open(Request(f"{base}/{patient}", method="DELETE"), timeout=60).close()

    return Scp(name, "ORTHANC", command, True, empty)


def limit(name: str, path: str, discard: bool = True) -> Scp:
    """Return a reference given by its path, which takes the options of limit_echo."""

    def command(place: Place) -> Command:
        words = [path, "--port", str(place.port), "--pdu", str(place.longest)]
        words += ["--time", str(_LIFETIME)]
        return Command([*words, *([] if discard else ["--write", os.fspath(place.directory)])])

    return Scp(name, "ANY-SCP", command, not discard)


class Running:
    """
    An SCP that runs.

    Args:
        scp: which.
        directory: for what it writes, its log too; made, and removed by `stop`.
        longest: the P-DATA-TF that it announces to take, in bytes.
    """

    def __init__(self, scp: Scp, directory: Path, longest: int) -> None:
        self.scp = scp
        self._directory = directory
        storage = directory / "storage"
        storage.mkdir(parents=True)
        self.place = Place(free_port(), storage, longest)
        self.server = Server(scp.command(self.place), directory / "log")

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.place.port

    def wait(self) -> None:
        """Wait until it listens."""
        self.server.wait_until_listening(self.port)

    def check_stored(self, count: int, size: int) -> None:
        """See that there are so many files of at least so many bytes, unless it discards."""
        if not self.scp.stores:
            return
        sizes = [entry.stat().st_size for entry in self._files()]
        found = sum(1 for each in sizes if each >= size)
        if found != count:
            raise BenchmarkFailed(f"{found} files of {size} bytes or more, not {count}")

    def _files(self) -> Sequence[Path]:
        """All but what is a database."""
        return [
            path
            for path in self.place.directory.rglob("*")
            if path.is_file() and not path.name.startswith("index")
        ]

    def empty(self) -> None:
        """Remove what it has stored."""
        if self.scp.empty is not None:
            self.scp.empty(self.place)
            return
        for path in self.place.directory.iterdir() if self.scp.stores else ():
            if path.name.startswith("."):
                continue  # the place where a server works
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def stop(self) -> None:
        """End it, and remove all that it has written."""
        self.server.stop()
        shutil.rmtree(self._directory, ignore_errors=True)
