"""The server that peers talk to, and what they need of the machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.processes import Process

ROOT: Final = Path(__file__).resolve().parents[2]
TWISTD: Final = Path(sys.executable).with_name("twistd")
LOOPBACK: Final = "tcp:0:interface=127.0.0.1"
LISTENING: Final = r"listening on \S*:(\d+) as "


class Server:
    """
    A running server of ours under twistd.

    Args:
        plugin: its name.
        options: those of the plugin.
        listen: the endpoint, one whose port the system chooses.
        twistd: the script to run; by default the one beside the present interpreter.
        directory: where it runs; the root of the checkout if not given.
    """

    def __init__(
        self,
        plugin: str,
        *options: str,
        listen: str = LOOPBACK,
        twistd: Path = TWISTD,
        directory: Path = ROOT,
    ) -> None:
        self.process = Process(
            [twistd, "-n", "--pidfile=", plugin, "--listen", listen, *options],
            directory=directory,
            # So that it is found where the package is not installed, too.
            environment={"PYTHONPATH": os.fspath(ROOT) if directory == ROOT else ""},
        )
        try:
            self.port = int(self.process.wait_for(LISTENING)[1])
        except BaseException:
            self.process.destroy()
            raise

    def run(self, *command: str | os.PathLike[str]) -> Process:
        """Run a peer to its end and return it."""
        with Process(command) as peer:
            peer.wait(self.process)
            return peer

    def stop(self) -> str:
        """
        Stop it as an administrator would and return its log.

        twistd ends by the signal that it was sent, after it has stopped in order.
        """
        try:
            status = self.process.terminate()
        finally:
            self.process.destroy()
        if status != -signal.SIGTERM:
            raise AssertionError(f"the server ended with status {status}:\n{self.process}")
        return self.process.output


class EchoServer(Server):
    """A running `twistd pacs-echo`; its arguments are those of `Server` without the name."""

    def __init__(self, *options: str, **others: Any) -> None:
        super().__init__("pacs-echo", *options, **others)


class InteropCase(SynchronousTestCase):
    """A test with a server that ends in order and without anything unexpected in its log."""

    def serve(self, *options: str, listen: str = LOOPBACK) -> EchoServer:
        """Start a server for this test."""
        server = EchoServer(*options, listen=listen)
        self.addCleanup(self._stop, server)
        return server

    def _stop(self, server: Server) -> None:
        log = server.stop()
        for word in ("Unhandled", "Traceback", "critical"):
            self.assertNotIn(word, log)


def program(name: str, package: str) -> str:
    """
    Return the path of a peer.

    Args:
        name: of the program.
        package: Debian's package that has it.

    Raises:
        SkipTest: it is not installed and need not be.
    """
    # pynetdicom puts programs of the same names into an environment; Debian has servers where
    # only root looks.
    ours = os.fspath(Path(sys.executable).parent)
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    folders = [folder for folder in folders if folder.rstrip("/") != ours] + ["/usr/sbin"]
    path = shutil.which(name, path=os.pathsep.join(folders))
    if path is None:
        raise _not_installed(name, f"apt install {package}")
    return path


def require_module(name: str, extra: str) -> None:
    """
    See that a Python package is there without importing it.

    Args:
        name: of the package.
        extra: the extra of ours that brings it.

    Raises:
        SkipTest: it is not installed and need not be.
    """
    if importlib.util.find_spec(name) is None:
        raise _not_installed(name, f"pip install -e '.[{extra}]'")


def _not_installed(name: str, remedy: str) -> Exception:
    message = f"{name} is not installed ({remedy})"
    if os.environ.get("PACS_TWISTED_REQUIRE_PEERS") == "1":
        return AssertionError(message)
    return SkipTest(message)
