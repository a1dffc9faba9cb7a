"""
`pacs-echo` under the real twistd and twist, as an administrator meets it.

Ports are ephemeral ones of the loopback interface. Nobody sleeps: a test waits for a line of
the log, for the end of a process, or for the end of a file, each for a bounded time.
"""

from __future__ import annotations

import json
import os
import re
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

import pacs_twisted
from tests.processes import PATIENCE, Process
from tests.raw_peer import A_ASSOCIATE_AC_TYPE, C_ECHO_RSP, RawPeer

CHECKOUT = Path(pacs_twisted.__file__).resolve().parents[1]

TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
TWIST = (sys.executable, "-m", "twisted")

LOOPBACK = "tcp:0:interface=127.0.0.1"
LISTENING = r"pacs-echo: listening on 127\.0\.0\.1:(\d+) as PACS_ECHO"


@attrs.frozen
class Ended:
    """How a command ended, and what it wrote."""

    status: int
    stdout: str
    stderr: str


class CommandCase(SynchronousTestCase):
    """A test in a directory of its own that runs commands."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        before = os.environ.get("PYTHONPATH")
        self.environment = {
            "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{before}" if before else str(CHECKOUT)
        }

    def run_to_end(self, *command: str, inherited: Sequence[int] = ()) -> Ended:
        """Run a command that ends by itself, and that inherits these descriptors."""
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            cwd=self.directory,
            env={**os.environ, **self.environment},
            check=False,
            pass_fds=inherited,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, *command: str) -> Process:
        """Run a command that goes on until the test ends it."""
        process = Process(command, environment=self.environment, directory=self.directory)
        self.addCleanup(process.destroy)
        return process

    def serve(self, *options: str, command: Sequence[str] = (*TWISTD, "-n")) -> Process:
        """Start a server on a port of its own."""
        if command[: len(TWISTD)] == TWISTD:
            command = [*command, "--pidfile="]
        return self.start(*command, "pacs-echo", f"--listen={LOOPBACK}", *options)

    def port(self, server: Process) -> int:
        """Return the port that a server listens on."""
        return int(server.wait_for(LISTENING)[1])

    def file(self, text: str) -> Path:
        """Write the configuration file."""
        path = self.directory / "pacs.toml"
        path.write_text(text, encoding="utf-8")
        return path

    def occupied(self) -> int:
        """Return a port of the loopback interface on which somebody listens."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        number: int = listener.getsockname()[1]
        return number

    def assert_one_line(self, ended: Ended, line: str) -> None:
        """Assert that a command failed with one line on stderr and nothing beside it."""
        self.assertEqual(ended.stderr, f"{line}\n")
        self.assertEqual(ended.status, 1)
        self.assertNotIn("Traceback", ended.stdout)


class MistakeTests(CommandCase):
    """One clear line on stderr, exit status 1, no traceback: under every command."""

    commands = ((*TWISTD, "-n"), TWISTD, TWIST)

    def test_bad_value(self) -> None:
        """A bad value of an option."""
        for command in self.commands:
            self.assert_one_line(
                self.run_to_end(*command, "pacs-echo", "--max-pdu=12"),
                "pacs-echo: --max-pdu 12: must be a whole number from 4096 to 16777216 (bytes)",
            )

    def test_unknown_key(self) -> None:
        """An unknown key of the file."""
        path = self.file("max-association = 3\n")
        for command in self.commands:
            self.assert_one_line(
                self.run_to_end(*command, "pacs-echo", "--config=pacs.toml"),
                f"pacs-echo: {path.resolve()}: unknown key max-association;"
                " did you mean max-associations?",
            )

    def test_bad_endpoint(self) -> None:
        """An endpoint string that is none."""
        self.assert_one_line(
            self.run_to_end(*TWIST, "pacs-echo", "--listen=tpc:11112"),
            "pacs-echo: listen: tpc:11112 is not a usable endpoint string:"
            " Unknown endpoint type: 'tpc'",
        )

    def test_occupied_port(self) -> None:
        """An occupied port, in the foreground."""
        endpoint = f"tcp:{self.occupied()}:interface=127.0.0.1"
        for command in ((*TWISTD, "-n"), TWIST):
            self.assert_one_line(
                self.run_to_end(*command, "pacs-echo", f"--listen={endpoint}"),
                f"pacs-echo: cannot listen on {endpoint}: Address already in use",
            )
            self.assertFalse((self.directory / "twistd.pid").exists())

    def test_occupied_port_of_a_daemon(self) -> None:
        """An occupied port, when the daemon has left the terminal: the terminal is told."""
        endpoint = f"tcp:{self.occupied()}:interface=127.0.0.1"
        # The waiting parent is told before the pid file goes: the pipe is closed at the very end.
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        try:
            ended = self.run_to_end(
                *TWISTD, "pacs-echo", f"--listen={endpoint}", inherited=(writing,)
            )
        finally:
            os.close(writing)
        ready, _, _ = select.select([reading], [], [], PATIENCE)
        self.assertTrue(ready, "the daemon still runs")
        line = f"pacs-echo: cannot listen on {endpoint}: Address already in use"
        self.assertEqual(ended.status, 1)
        self.assertEqual(ended.stderr.splitlines()[0], line)
        # The others are twistd's own, which it writes whenever a daemon does not start.
        self.assertTrue(ended.stderr.splitlines()[1].startswith("An error has occurred: "))
        log = (self.directory / "twistd.log").read_text(encoding="utf-8")
        self.assertIn(line, log)
        self.assertNotIn("Traceback", ended.stderr + log)
        self.assertFalse((self.directory / "twistd.pid").exists())

    def test_unusable_log(self) -> None:
        """A log file in a directory that is not there."""
        self.assert_one_line(
            self.run_to_end(*TWISTD, "-n", "--logfile=/nowhere/at/all", "pacs-echo"),
            "pacs-echo: /nowhere/at/all: cannot log there: No such file or directory",
        )


class ServerTests(CommandCase):
    """A server that runs."""

    def test_twistd(self) -> None:
        """twistd -n: says where it listens, answers, and stops in order on SIGTERM."""
        server = self.serve()
        with RawPeer(self.port(server)) as peer:
            self.assertEqual(peer.associate()[0], A_ASSOCIATE_AC_TYPE)
            self.assertEqual(peer.echo(), C_ECHO_RSP)
            peer.release()
        self.assertEqual(server.terminate(), -signal.SIGTERM)  # twistd ends by the signal it got
        self.assertIn("pacs-echo: stopped", server.output)
        for word in ("Traceback", "Unhandled", "critical"):
            self.assertNotIn(word, server.output)

    def test_twist(self) -> None:
        """twist: the same, with the same log."""
        server = self.serve(command=TWIST)
        with RawPeer(self.port(server)) as peer:
            peer.associate()
            self.assertEqual(peer.echo(), C_ECHO_RSP)
        self.assertEqual(server.terminate(), -signal.SIGTERM)
        self.assertRegex(
            server.output, r"(?m)^\d{4}-\d\d-\d\dT[\d:.]+[+-]\d{4} info     pacs-echo: "
        )

    def test_json(self) -> None:
        """--log-format json: every line an object with the rendered message."""
        for command in ((*TWISTD, "-n"), TWIST):
            server = self.serve("--log-format=json", command=command)
            self.port(server)
            server.terminate()
            events = [json.loads(line) for line in server.output.splitlines()]
            [listening] = [event for event in events if event.get("event") == "listening"]
            self.assertRegex(listening["message"], LISTENING)
            self.assertEqual(listening["level"], "info")
            self.assertEqual(listening["title"], "PACS_ECHO")

    def test_daemon(self) -> None:
        """Daemonised: logs to a file that SIGUSR1 rotates, and stops by its pid file."""
        daemon = Daemon(self, "--logfile=echo.log", "pacs-echo", f"--listen={LOOPBACK}")
        match = re.search(LISTENING, daemon.log())
        assert match is not None, daemon.log()
        with RawPeer(int(match[1])) as peer:
            peer.associate()
            self.assertEqual(peer.echo(), C_ECHO_RSP)
        os.kill(daemon.number, signal.SIGUSR1)
        daemon.terminate()
        self.assertTrue((self.directory / "echo.log.1").exists())
        self.assertIn("pacs-echo: stopped", daemon.log())

    def test_level(self) -> None:
        """--log-level warn: a server without trouble is silent."""
        self.file('log-level = "warn"\n')
        daemon = Daemon(
            self, "--logfile=echo.log", "pacs-echo", f"--listen={LOOPBACK}", "--config=pacs.toml"
        )
        daemon.terminate()
        self.assertEqual(daemon.log(), "")


class Daemon:
    """
    A server that has left its terminal, which it has done when this is made.

    It holds the one end of a pipe, so that its own end is seen at the other.
    """

    def __init__(self, case: CommandCase, *arguments: str) -> None:
        self._case = case
        self._pid_file = case.directory / "twistd.pid"
        os.mkfifo(case.directory / "alive")
        self._pipe = os.open(case.directory / "alive", os.O_RDONLY | os.O_NONBLOCK)
        case.addCleanup(os.close, self._pipe)
        code = (
            "import os; alive = os.open('alive', os.O_WRONLY);"
            " from twisted.scripts.twistd import run; run()"
        )
        case.addCleanup(self.destroy)
        case.assertEqual(case.run_to_end(sys.executable, "-c", code, *arguments), Ended(0, "", ""))
        self.number = int(self._pid_file.read_text())

    def log(self) -> str:
        """Return what it has written so far."""
        return (self._case.directory / "echo.log").read_text(encoding="utf-8")

    def terminate(self) -> None:
        """Send SIGTERM and wait for the end."""
        os.kill(self.number, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe, selectors.EVENT_READ)
            while selector.select(max(deadline - time.monotonic(), 0.0)):
                if not os.read(self._pipe, 1):
                    self._case.assertFalse(self._pid_file.exists())
                    return
        self._case.fail("the daemon runs on")

    def destroy(self) -> None:
        """End it at once if a test has failed and left it."""
        if self._pid_file.exists():
            os.kill(int(self._pid_file.read_text()), signal.SIGKILL)


class StopTests(CommandCase):
    """SIGTERM while an association runs."""

    def test_drain(self) -> None:
        """The running association goes on, nobody else comes in, and its end is the server's."""
        server = self.serve()
        port = self.port(server)
        with RawPeer(port) as peer:
            peer.associate()
            server.send_signal(signal.SIGTERM)
            server.wait_for("stopping: 1 associations")  # of the factory: the port is closed
            self.assertEqual(peer.echo(), C_ECHO_RSP)
            self.assertRaises(ConnectionRefusedError, RawPeer, port)
            peer.release()
        self.assertEqual(server.wait(), -signal.SIGTERM)

    def test_second_signal(self) -> None:
        """A second signal ends the server at once, whatever runs."""
        server = self.serve("--idle-timeout=0", "--drain-timeout=600")
        with RawPeer(self.port(server)) as peer:
            peer.associate()
            server.send_signal(signal.SIGTERM)
            server.wait_for("stopping: 1 associations")  # of the factory: the port is closed
            self.assertEqual(server.terminate(), -signal.SIGTERM)
        self.assertIn("a second signal, 1 associations are cut off", server.output)
        self.assertNotIn("Traceback", server.output)

    def test_two_signals_in_a_row(self) -> None:
        """Two signals at once end the server at once, too, and are no error."""
        server = self.serve("--idle-timeout=0", "--drain-timeout=600")
        with RawPeer(self.port(server)) as peer:
            peer.associate()
            server.send_signal(signal.SIGINT)
            server.send_signal(signal.SIGTERM)
            self.assertIn(server.wait(), (-signal.SIGTERM, -signal.SIGINT))
        self.assertNotIn("Traceback", server.output)


class ReloadTests(CommandCase):
    """SIGHUP while an association runs."""

    def test_reload(self) -> None:
        """New limits hold for newcomers, the running association does not notice."""
        path = self.file("max-associations = 5\n")
        server = self.serve("--config=pacs.toml")
        port = self.port(server)
        with RawPeer(port) as peer:
            peer.associate()
            path.write_text('max-associations = 1\nlog-format = "json"\n')
            server.send_signal(signal.SIGHUP)
            server.wait_for("reloaded: max-associations\n")
            server.wait_for("only a restart changes log-format\n")
            self.assertEqual(peer.echo(), C_ECHO_RSP)
            with RawPeer(port) as other:
                self.assertEqual(other.associate()[:1], b"\x03")
            path.write_text("max-associations = \n")
            server.send_signal(signal.SIGHUP)
            server.wait_for("not reloaded, nothing has changed: .*not TOML")
            with RawPeer(port) as other:
                self.assertEqual(other.associate()[:1], b"\x03")
            self.assertEqual(peer.echo(), C_ECHO_RSP)
        server.terminate()
        self.assertNotIn("Traceback", server.output)
