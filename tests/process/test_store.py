"""
`pacs-store` under the real twistd: what it stores, what keeps it from storing, and how it ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from twisted.trial.unittest import SkipTest

from tests.process.test_twistd import LOOPBACK, TWIST, TWISTD, CommandCase, Ended
from tests.processes import PATIENCE, Process
from tests.raw_peer import A_RELEASE_RP, C_ECHO_RSP, RawPeer
from tests.raw_storage import StoringPeer, associate_rq, data_set, path

LISTENING = r"pacs-store: listening on 127\.0\.0\.1:(\d+) as PACS_STORE"
OUT_OF_RESOURCES = 0xA700

_WITHOUT_PRIVILEGE = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: what lets root write anywhere
    if ctypes.CDLL(None).prctl(24, capability):  # PR_CAPBSET_DROP
        sys.exit("no")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


class StoreCase(CommandCase):
    """A test with a directory for a server to store in."""

    def setUp(self) -> None:
        super().setUp()
        self.images = self.directory / "images"

    def serve(self, *options: str, command: Sequence[str] = (*TWISTD, "-n")) -> Process:
        """Start a server on a port of its own; the directory is named as the tests' own sees it."""
        if command[-1] != "twisted":
            command = [*command, "--pidfile="]
        return self.start(
            *command, "pacs-store", f"--listen={LOOPBACK}", "--directory=images", *options
        )

    def port(self, server: Process) -> int:
        """Return the port that a server listens on, once it serves."""
        server.wait_for("storing in|nothing is stored")  # under twistd that comes after the port
        return int(server.wait_for(LISTENING)[1])

    def peer(self, server: Process) -> StoringPeer:
        """Return a peer that is associated with a server."""
        peer = StoringPeer(self.port(server))
        self.addCleanup(peer.close)
        peer.open()
        return peer

    def files(self) -> list[str]:
        """Return the names of all files that are stored, relative to the directory."""
        return sorted(
            file.relative_to(self.images).as_posix()
            for file in self.images.rglob("*")
            if file.is_file() and not file.relative_to(self.images).parts[0].startswith(".")
        )

    def unfinished(self) -> list[str]:
        """Return the names of the files that are not objects yet, or never will be."""
        return sorted(
            file.name for file in self.images.glob(".incoming/*/*") if file.name != "lock"
        )

    def assert_stored(self, number: int, length: int) -> None:
        """Assert that an object's file is there and is all of it, byte for byte."""
        content = (self.images / path(number)).read_bytes()
        expected = data_set(number, length)
        self.assertEqual(content[:132], bytes(128) + b"DICM")
        self.assertTrue(content.endswith(expected), path(number))
        self.assertLess(len(content) - len(expected), 1024)


class StoringTests(StoreCase):
    """A server that runs."""

    def test_store(self) -> None:
        """What is sent is stored under study, series and instance, as pydicom can read it."""
        for command in ((*TWISTD, "-n"), TWIST):
            server = self.serve(command=command)
            with self.peer(server) as peer:
                for number, length in ((1, 0), (2, 100_000), (3, 3_000_000)):
                    self.assertEqual(peer.store(number, length), 0)
                    self.assert_stored(number, length)
                self.assertEqual(peer.release(), A_RELEASE_RP)
            self.assertEqual(server.terminate(), -signal.SIGTERM)
            for word in ("Traceback", "Unhandled", "critical"):
                self.assertNotIn(word, server.output)
            self.assertEqual(self.files(), sorted(path(number) for number in (1, 2, 3)))
            self.assertEqual(self.unfinished(), [])
        read = pydicom.dcmread(self.images / path(2))
        self.assertEqual(read.SOPInstanceUID, read.file_meta.MediaStorageSOPInstanceUID)
        self.assertEqual(len(read.PixelData), 100_000)

    def test_echo(self) -> None:
        """The server answers C-ECHO as well."""
        server = self.serve()
        with RawPeer(self.port(server)) as peer:
            peer.associate()
            self.assertEqual(peer.echo(), C_ECHO_RSP)

    def test_options(self) -> None:
        """Template, policy for what is there, and the inline mode without fsync, from a file."""
        self.file(
            'template = "{CallingAETitle}/{SOPInstanceUID}"\nexisting = "refuse"\n'
            'fsync = false\ndisk-mode = "inline"\nprivate-sop-class = "1.2.3.4.5"\n'
        )
        server = self.serve("--config=pacs.toml")
        peer = self.peer(server)
        self.assertEqual(peer.store(1, 100_000), 0)
        self.assertEqual(peer.store(1, 100_000), 0x0111)
        self.assertEqual(self.files(), ["STORESCU/1.2.3.0.1.1"])
        private = StoringPeer(self.port(server))
        self.addCleanup(private.close)
        private.send(associate_rq("1.2.3.4.5"))
        self.assertIn(bytes.fromhex("2100 0019 01 00 00 00"), private.receive_pdu())

    def test_discard(self) -> None:
        """--discard: success, and nothing is stored; the log warns."""
        server = self.start(*TWISTD, "-n", "--pidfile=", "pacs-store", f"--listen={LOOPBACK}",
                            "--discard")  # fmt: skip
        peer = self.peer(server)
        self.assertEqual(peer.store(1, 1_000_000), 0)
        self.assertIn("nothing is stored", server.output)
        self.assertEqual(list(self.directory.rglob("*.dcm")), [])

    def test_storescu(self) -> None:
        """DCMTK's storescu stores a file; what is stored has the same data set."""
        storescu = shutil.which("storescu")
        if storescu is None:
            raise SkipTest("DCMTK is not installed")
        sent = self.directory / "sent.dcm"
        _write_image(sent)
        server = self.serve()
        sending = self.run_to_end(storescu, "127.0.0.1", str(self.port(server)), "sent.dcm")
        self.assertEqual(sending, Ended(0, "", ""))
        [name] = self.files()
        self.assertEqual(name, "1.2.3/1.2.3.4/1.2.3.4.5.dcm")
        self.assertEqual(pydicom.dcmread(self.images / name), pydicom.dcmread(sent))


def _write_image(file: Path) -> None:
    """Write a small image to a file."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = "1.2.3.4.5"
    image.StudyInstanceUID = "1.2.3"
    image.SeriesInstanceUID = "1.2.3.4"
    image.Rows = image.Columns = 100
    image.BitsAllocated = image.BitsStored = 8
    image.PixelData = bytes(range(100)) * 100
    image["PixelData"].VR = "OB"
    image.save_as(file, enforce_file_format=True)


class UnusableTests(StoreCase):
    """What keeps the server from storing is one line on stderr, exit status 1, no traceback."""

    def test_no_directory(self) -> None:
        """A directory must be given, under every command."""
        for command in ((*TWISTD, "-n"), TWISTD, TWIST):
            self.assert_one_line(
                self.run_to_end(*command, "pacs-store"),
                "pacs-store: directory: must be given: --directory DIR, or in the file",
            )

    def test_file_in_the_way(self) -> None:
        """A file is no directory; under twistd the port was open already, and is closed."""
        self.images.write_text("")
        line = (
            f"pacs-store: cannot store in {self.images.resolve()}:"
            " there is a file where a directory is needed"
        )
        for command in ((*TWISTD, "-n"), TWIST):
            self.assert_one_line(
                self.run_to_end(
                    *command, "pacs-store", "--directory=images", f"--listen={LOOPBACK}"
                ),
                line,
            )
        daemon = self.run_to_end(
            *TWISTD, "pacs-store", "--directory=images", f"--listen={LOOPBACK}"
        )
        self.assertEqual((daemon.status, daemon.stderr.splitlines()[0]), (1, line))

    def test_read_only(self) -> None:
        """A directory that may not be written to."""
        self.images.mkdir(mode=0o555)
        command: Sequence[str] = TWISTD
        if os.geteuid() == 0:
            command = [sys.executable, "-c", _WITHOUT_PRIVILEGE, *TWISTD[1:]]
        ended = self.run_to_end(
            *command, "-n", "--pidfile=", "pacs-store", "--directory=images",
            f"--listen={LOOPBACK}",
        )  # fmt: skip
        if ended.stderr == "no\n":
            raise SkipTest("root's privilege to write anywhere cannot be dropped")
        self.assert_one_line(
            ended, f"pacs-store: cannot store in {self.images.resolve()}: Permission denied"
        )

    def test_full(self) -> None:
        """A full disk is A700H for what does not fit, leaves nothing, and ends nothing."""
        self.images.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(self.images)],
            capture_output=True,
            check=False,
        )
        if mounted.returncode:
            raise SkipTest("a small file system cannot be mounted")
        self.addCleanup(subprocess.run, ["umount", str(self.images)], check=True)
        for options in ((), ("--disk-mode=inline",)):
            server = self.serve(*options)
            self.addCleanup(server.destroy)
            peer = self.peer(server)
            self.assertEqual(peer.store(1, 100_000), 0)
            self.assertEqual(peer.store(2, 4_000_000), OUT_OF_RESOURCES)
            self.assertEqual(self.files(), [path(1)])
            self.assertEqual(peer.store(1, 100_000), 0)
            self.assertEqual(peer.store(20, 2_000_000), OUT_OF_RESOURCES)
            self.assertEqual(self.unfinished(), [])
            peer.release()
            server.terminate()
            self.assertIn("No space left on device", server.output)
            self.assertNotIn("Traceback", server.output)
            self.assert_stored(1, 100_000)


class EndTests(StoreCase):
    """The end of a server while an object is on its way."""

    def test_drain(self) -> None:
        """After SIGTERM an association may go on to its end, and what it sends is stored."""
        server = self.serve()
        peer = self.peer(server)
        last = peer.begin(1, 2_000_000)
        server.send_signal(signal.SIGTERM)
        server.wait_for("stopping: 1 associations")
        peer.send(last)
        self.assertEqual(peer.receive_status(), 0)
        self.assertEqual(peer.store(2, 2_000_000), 0)
        peer.release()
        self.assertEqual(server.wait(), -signal.SIGTERM)
        self.assertEqual(self.files(), [path(1), path(2)])
        self.assert_stored(1, 2_000_000)
        self.assertEqual(list(self.images.glob(".incoming/*/")), [])

    def test_deadline(self) -> None:
        """At the drain deadline a half-sent object is gone without a trace."""
        server = self.serve("--drain-timeout=0.5", "--artim-timeout=1")
        peer = self.peer(server)
        peer.begin(1, 3_000_000)
        self.assertEqual(server.terminate(), -signal.SIGTERM)
        self.assertEqual((self.files(), self.unfinished()), ([], []))
        self.assertNotIn("Traceback", server.output)

    def test_second_signal(self) -> None:
        """A second signal ends the server at once, and the next one cleans up."""
        server = self.serve("--drain-timeout=600")
        peer = self.peer(server)
        peer.begin(1, 3_000_000)
        server.send_signal(signal.SIGTERM)
        server.wait_for("stopping: 1 associations")
        self.assertEqual(server.terminate(), -signal.SIGTERM)
        self.assertNotIn("Traceback", server.output)
        self.assertEqual(self.files(), [])
        self.port(self.serve())
        self.assertEqual(self.unfinished(), [])

    def test_kill(self) -> None:
        """A server that was killed leaves a part of an object, which the next one removes."""
        server = self.serve()
        self.assertEqual(self.peer(server).store(1, 1000), 0)
        peer = self.peer(server)
        peer.begin(2, 6_000_000)  # more than the server lets wait: it has written some of it
        self.eventually_unfinished(server)
        server.destroy()
        self.assertEqual(len(self.unfinished()), 1)
        self.assertEqual(self.files(), [path(1)])
        again = self.serve()
        again.wait_for("removed 1 unfinished")
        self.assertEqual(self.unfinished(), [])
        self.assertEqual(self.files(), [path(1)])
        self.assertEqual(self.peer(again).store(2, 6_000_000), 0)
        self.assert_stored(2, 6_000_000)

    def test_two_servers(self) -> None:
        """A server that starts leaves alone what another one that lives has on its way."""
        first = self.serve()
        peer = self.peer(first)
        last = peer.begin(1, 6_000_000)
        self.eventually_unfinished(first)
        second = self.serve()
        self.port(second)
        self.assertEqual(len(self.unfinished()), 1)
        self.assertEqual(self.peer(second).store(2, 1000), 0)
        peer.send(last)
        self.assertEqual(peer.receive_status(), 0)
        self.assert_stored(1, 6_000_000)

    def eventually_unfinished(self, server: Process) -> None:
        """Ask the server for echoes until it has begun a file, which it does in a thread."""
        with RawPeer(self.port(server)) as other:
            other.associate()
            for _ in range(int(PATIENCE) * 100):
                if self.unfinished():
                    return
                other.echo()
        self.fail("no file was begun")
