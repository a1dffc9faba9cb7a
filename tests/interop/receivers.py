"""
Other implementations as Storage SCPs: started, listening, and ended by the test that wants them.

DCMTK and Orthanc cannot be told to choose a port and say which, nor to listen on one address, so
they get a port that was free a moment before, and are asked by connecting whether they listen.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self
from urllib.request import ProxyHandler, Request, build_opener

from tests.interop.objects import Object, by_instance, read_object, received
from tests.interop.server import ROOT, program, require_module
from tests.processes import PATIENCE, Process, TooSlow

_LOCAL = "127.0.0.1"
_ASK_AGAIN = 0.05  # seconds

NO_DELAY = {"TCP_NODELAY": "1"}
"""For programs of DCMTK, each of whose answers else waits for the timers of two kernels."""


def free_port() -> int:
    """Return a port on which nobody listens, and which the system gives to nobody soon."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((_LOCAL, 0))
        return int(probe.getsockname()[1])


def wait_until_listening(process: Process, port: int) -> None:
    """
    Wait until a process takes connections on a port.

    Raises:
        TooSlow: it does not, or has ended.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.status is None:
        with socket.socket() as probe:
            if probe.connect_ex((_LOCAL, port)) == 0:
                return
        if select.select([process], [], [], _ASK_AGAIN)[0]:
            process.read()
    raise TooSlow(f"does not listen on port {port}: {process}")


class Receiver:
    """
    A Storage SCP in a process of its own that writes each object to a file.

    Args:
        command: its command line.
        port: where it listens.
        directory: where it writes, an existing one.
    """

    def __init__(
        self, command: Sequence[str | os.PathLike[str]], port: int, directory: Path
    ) -> None:
        self.port = port
        self.directory = directory
        self.process = Process(command, directory=ROOT, environment=NO_DELAY)
        try:
            wait_until_listening(self.process, port)
        except BaseException:
            self.process.destroy()
            raise

    def run(self, *command: str | os.PathLike[str]) -> Process:
        """Run a program that talks to it to its end, and return it."""
        with Process(command, environment=NO_DELAY) as peer:
            peer.wait(self.process)
        return peer

    def objects(self) -> dict[str, Object]:
        """Return what it has received, by instance UID."""
        return received(self.directory)

    def stop(self) -> None:
        """End it."""
        try:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
        finally:
            self.process.destroy()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def storescp(directory: Path, *options: str) -> Receiver:
    """Start DCMTK's storescp."""
    port = free_port()
    name = program("storescp", "dcmtk")
    return Receiver([name, "-v", "-od", directory, *options, str(port)], port, directory)


def dcmrecv(directory: Path, *options: str) -> Receiver:
    """Start DCMTK's dcmrecv."""
    port = free_port()
    name = program("dcmrecv", "dcmtk")
    return Receiver([name, "-v", "-od", directory, *options, str(port)], port, directory)


def pynetdicom(directory: Path) -> Receiver:
    """Start an SCP made of pynetdicom, which takes all that it knows and writes it unparsed."""
    require_module("pynetdicom", "interop")
    port = free_port()
    module = [sys.executable, "-m", "tests.interop.pynetdicom_storage"]
    return Receiver([*module, "receive", str(port), os.fspath(directory)], port, directory)


class Orthanc(Receiver):
    """
    An Orthanc with an empty database, without plugins and authentication.

    Args:
        directory: where its database is to be.
        modalities: to whom it can send: AE title and port by a name.
    """

    title = "ORTHANC"

    def __init__(self, directory: Path, **modalities: tuple[str, int]) -> None:
        port, self._http_port = free_port(), free_port()
        configuration = directory / "orthanc.json"
        configuration.write_text(
            json.dumps(
                {
                    "Name": "pacs_twisted tests",
                    "StorageDirectory": os.fspath(directory / "database"),
                    "IndexDirectory": os.fspath(directory / "database"),
                    "Plugins": [],
                    "HttpPort": self._http_port,
                    "RemoteAccessAllowed": False,
                    "AuthenticationEnabled": False,
                    "DicomAet": self.title,
                    "DicomPort": port,
                    "DicomCheckCalledAet": False,
                    "DicomCheckModalityHost": False,
                    "DicomAlwaysAllowEcho": True,
                    "DicomAlwaysAllowStore": True,
                    "UnknownSopClassAccepted": True,
                    "DicomModalities": {
                        name: [title, _LOCAL, its_port]
                        for name, (title, its_port) in modalities.items()
                    },
                }
            )
        )
        # Neither service nor user settings: this file is all that counts.
        super().__init__([program("Orthanc", "orthanc"), configuration], port, directory)
        wait_until_listening(self.process, self._http_port)
        self._opener = build_opener(ProxyHandler({}))

    def stop(self) -> None:
        """End it at once: it takes seconds to end in order, and nobody wants its database."""
        self.process.destroy()

    def ask(self, path: str, body: bytes | object = None) -> Any:
        """Ask its REST interface; a body makes it a POST, of JSON unless it is bytes."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(f"http://{_LOCAL}:{self._http_port}{path}", data)
        with self._opener.open(request, timeout=PATIENCE) as answer:
            content: bytes = answer.read()
        return content if path.endswith("/file") else json.loads(content)

    def objects(self) -> dict[str, Object]:
        """Return what it has received, as it hands it out."""
        found = []
        for number, identifier in enumerate(self.ask("/instances")):
            path = self.directory / f"{number}.dcm"
            path.write_bytes(self.ask(f"/instances/{identifier}/file"))
            found.append(read_object(path))
        return by_instance(found)
