"""
`pacs-twisted` as a process: exit statuses, signals, pipes, against our own servers.

Ports are ephemeral ones of the loopback interface; nobody sleeps.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

import pacs_twisted
from tests.process.test_twistd import LOOPBACK, TWISTD, CommandCase, Ended
from tests.processes import PATIENCE, Process

PROGRAM = (sys.executable, "-m", "pacs_twisted")


class ClientCase(CommandCase):
    """A test that runs the command line."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = self.directory.resolve()
        self.environment["NO_COLOR"] = "1"

    def ask(self, *arguments: str) -> Ended:
        """Run a command that ends by itself, without a traceback."""
        done = self.run_to_end(*PROGRAM, *arguments)
        self.assertNotIn("Traceback", done.stderr)
        return done

    def echo_server(self, *options: str) -> str:
        """Return the address of a server that answers C-ECHO."""
        return f"127.0.0.1:{self.port(self.serve(*options))}"

    def store_server(self) -> str:
        """Return the address of a server that stores below `received`."""
        server = self.start(
            *TWISTD, "-n", "--pidfile=", "pacs-store", f"--listen={LOOPBACK}",
            f"--directory={self.directory / 'received'}",
        )  # fmt: skip
        return f"127.0.0.1:{listening_port(server)}"

    def silent_peer(self) -> str:
        """Return the address of a peer that takes connections and says nothing."""
        return f"127.0.0.1:{self.occupied()}"

    def closed_port(self) -> str:
        """Return the address of a port on which nobody listens."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return f"127.0.0.1:{listener.getsockname()[1]}"

    def make_object(self, path: Path) -> Path:
        """Write a small object."""
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset = Dataset()
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = f"1.2.3.{len(list(self.directory.rglob('*')))}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.5"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(path, enforce_file_format=True)
        return path


def listening_port(server: Process) -> str:
    """Return the port that a server of storage has opened."""
    return server.wait_for(r"listening on 127\.0\.0\.1:(\d+) as")[1]


class StatusTests(ClientCase):
    """Exit statuses that a script relies on."""

    def test_version(self) -> None:
        """The version."""
        done = self.ask("--version")
        self.assertEqual(done.status, 0)
        self.assertIn(pacs_twisted.__version__, done.stdout)

    def test_echo(self) -> None:
        """An answer: 0."""
        done = self.ask("echo", self.echo_server(), "-c2", "-i0")
        self.assertEqual((done.status, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"2 sent, 2 received, 0 % lost; min/avg/max [\d.]+/")

    def test_unix_socket(self) -> None:
        """An endpoint string leads to a UNIX socket as well."""
        name = "unix:echo.sock"  # below the directory in which both run: paths must be short
        server = self.start(*TWISTD, "-n", "--pidfile=", "pacs-echo", f"--listen={name}")
        server.wait_for("listening on")
        self.assertEqual(self.ask("echo", name).status, 0)

    def test_usage(self) -> None:
        """A mistake: 2."""
        self.assertEqual(self.ask("echo", "archive", "--nosuch").status, 2)
        self.assertEqual(self.ask("echo", "tcp:nosuch").status, 2)

    def test_rejected(self) -> None:
        """A reject: 3, and what to do about it."""
        done = self.ask("echo", self.echo_server("--require-called-ae"), "--called=OTHER")
        self.assertEqual(done.status, 3)
        self.assertIn("called AE title not recognized (1/1/7)", done.stderr)
        self.assertIn("see --called", done.stderr)

    def test_no_connection(self) -> None:
        """Nobody listens: 4, for every command."""
        path = self.make_object(self.directory / "a.dcm")
        for arguments in (("echo",), ("explain",), ("store", "--retries=0")):
            done = self.ask(
                *arguments, self.closed_port(), *[str(path)] * (arguments[0] == "store")
            )
            self.assertEqual(done.status, 4, done)
            self.assertEqual(done.stderr.count("\n"), 1)
            self.assertIn("refused", done.stderr)

    def test_timed_out(self) -> None:
        """A peer that says nothing: 5."""
        done = self.ask("echo", self.silent_peer(), "--acse-timeout=0.2")
        self.assertEqual(done.status, 5)
        self.assertIn("acse timer expired after 0.2 s", done.stderr)

    def test_store(self) -> None:
        """Objects arrive: 0; what is none fails only if it was named: 1."""
        address = self.store_server()
        for name in ("scans/a.dcm", "scans/deep/b.dcm"):
            self.make_object(self.directory / name)
        (self.directory / "scans" / "notes.txt").write_text("no object")
        done = self.ask("store", address, str(self.directory / "scans"))
        self.assertIn("2 stored, 0 failed, 1 skipped;", done.stdout)
        self.assertEqual((done.status, done.stderr), (0, ""))
        self.assertEqual(len(list(self.directory.glob("received/1.2.3.4/1.2.3.4.5/*.dcm"))), 2)
        done = self.ask("store", address, str(self.directory / "scans" / "notes.txt"))
        self.assertEqual(done.status, 1)

    def test_explain(self) -> None:
        """What a server accepts, as its reference says."""
        address = self.echo_server()
        done = self.ask("explain", address)
        self.assertEqual((done.status, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"accepted in Explicit VR .*\n    Verification SOP Class\n")
        self.assertIn("refused: abstract syntax not supported\n", done.stdout)
        done = self.ask("explain", address, "--sop-class=CTImageStorage", "--json")
        self.assertEqual(done.status, 1)
        self.assertEqual(json.loads(done.stdout.splitlines()[-1])["accepted"], 0)


class SignalTests(ClientCase):
    """Ctrl-C and SIGTERM."""

    def test_echo(self) -> None:
        """Ctrl-C ends an echo without end, which sums up: nothing was lost, so 0."""
        echo = self.start(*PROGRAM, "echo", self.echo_server(), "-c0", "-i0.01")
        echo.wait_for("C-ECHO 3")
        echo.send_signal(signal.SIGINT)
        self.assertEqual(echo.wait(), 0, echo)
        self.assertRegex(echo.output, r"received, 0 % lost; min/avg/max")

    def test_waiting(self) -> None:
        """While it waits for a peer: 130, and 143 for SIGTERM."""
        path = str(self.make_object(self.directory / "a.dcm"))
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with socket.create_server(("127.0.0.1", 0)) as peer:
                peer.settimeout(PATIENCE)
                address = f"127.0.0.1:{peer.getsockname()[1]}"
                command = self.start(*PROGRAM, "store", address, path)
                connection, _ = peer.accept()
                with connection:
                    connection.recv(1)
                    command.send_signal(number)
                    self.assertEqual(command.wait(), status, command)
                    self.assertNotIn("Traceback", command.output)

    def test_listen(self) -> None:
        """A server in the foreground ends by Ctrl-C in order, and has told what it stored."""
        listen = self.start(
            *PROGRAM, "listen", "--json", f"--listen={LOOPBACK}",
            f"--directory={self.directory / 'received'}",
        )  # fmt: skip
        address = f"127.0.0.1:{listening_port(listen)}"
        path = self.make_object(self.directory / "a.dcm")
        self.assertEqual(self.ask("store", address, str(path)).status, 0)
        listen.wait_for('"event":"association"')
        listen.send_signal(signal.SIGINT)
        self.assertEqual(listen.wait(), 0, listen)
        (stored,) = re.findall(r'^\{"event":"stored".*', listen.output, re.MULTILINE)
        self.assertTrue(Path(json.loads(stored)["path"]).exists())
        self.assertIn('{"event":"summary","associations":1,"objects":1,', listen.output)


class OutputTests(ClientCase):
    """Who reads may go away, and may know few letters."""

    def test_reader_gone(self) -> None:
        """An echo without end ends when nobody reads any more, without a word."""
        echo = subprocess.Popen(
            [*PROGRAM, "echo", self.echo_server(), "-c0", "-i0.01"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.directory,
            env={**os.environ, **self.environment},
        )
        self.addCleanup(echo.kill)
        assert echo.stdout is not None and echo.stderr is not None
        with echo.stdout as stdout, echo.stderr as stderr:
            stdout.readline()
            stdout.close()
            self.assertEqual(echo.wait(PATIENCE), 0)
            self.assertEqual(stderr.read(), b"")

    def test_help_reader_gone(self) -> None:
        """The reader of the help, too."""
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            done = subprocess.run(
                [*PROGRAM, "--help"],
                stdin=subprocess.DEVNULL,
                stdout=pipe,
                stderr=subprocess.PIPE,
                timeout=PATIENCE,
                cwd=self.directory,
                env={**os.environ, **self.environment},
                check=False,
            )
        self.assertEqual(done.stderr, b"")

    def test_disk_full(self) -> None:
        """What could not be written is a failure, though the peer has answered."""
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [*PROGRAM, "echo", self.echo_server()],
                stdin=subprocess.DEVNULL,
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=PATIENCE,
                cwd=self.directory,
                env={**os.environ, **self.environment},
                check=False,
            )
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, b"pacs-twisted echo: cannot write: No space left on device\n")

    def test_few_letters(self) -> None:
        """Names that the terminal cannot write are escaped; so are bytes that are no letters."""
        self.environment.update(PYTHONIOENCODING="ascii", PYTHONUTF8="0")
        folder = os.fsencode(self.directory)
        for name in ("Grün.txt".encode(), b"\xff.txt", b"a\x1b[2J.txt"):
            Path(os.fsdecode(folder + b"/" + name)).write_bytes(b"no object")
        for arguments in ((), ("--json",)):
            done = self.ask("store", self.closed_port(), str(self.directory), *arguments)
            self.assertEqual(done.status, 1)
            self.assertTrue(done.stdout.isascii())
            self.assertNotIn("\x1b", done.stdout)

    def test_completion(self) -> None:
        """A shell can ask what may follow."""
        self.environment.update(
            _PACS_TWISTED_COMPLETE="bash_complete", COMP_WORDS="pacs-twisted ec", COMP_CWORD="1"
        )
        done = self.run_to_end(sys.executable, "-c", "from pacs_twisted.cli import main; main()")
        self.assertEqual(done.stdout, "plain,echo\n")
