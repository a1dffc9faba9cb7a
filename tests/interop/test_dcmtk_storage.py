"""DCMTK as our peer in storage: storescp and dcmrecv take, storescu and dcmsend send."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from pydicom.uid import (
    ColorPaletteStorage,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    UncompressedTransferSyntaxes,
)
from twisted.trial.unittest import SkipTest

from tests.interop.dcmtk_profile import NAME, write_acceptor, write_requestor
from tests.interop.objects import Object, batches, paths, received
from tests.interop.receivers import NO_DELAY, Receiver, dcmrecv, storescp
from tests.interop.server import Server, program
from tests.interop.storing import StoreCase, Told
from tests.processes import Process

NOT_TAKEN: Final = frozenset({HTJ2KLossless, ColorPaletteStorage})
"""What storescp 3.6.7 does not accept, whatever its options."""

NOT_READ: Final = frozenset({HTJ2KLossless})
"""What DCMTK 3.6.7 does not read."""


def _readable(batch: Iterable[Object]) -> list[Object]:
    return [each for each in batch if each.transfer_syntax not in NOT_READ]


def _storescp(options: Sequence[str], directory: Path) -> Receiver:
    return storescp(directory, *options)


class ReceiveTests(StoreCase):
    """What we send arrives."""

    def check(
        self,
        start: Callable[[Path], Receiver],
        compare: Callable[[Object, Object], None],
        *options: str,
        refused: frozenset[str] = NOT_TAKEN,
    ) -> None:
        """Send all files to a new receiver."""
        for batch in batches():
            with start(self.directory()) as receiver:
                told = self.store(receiver, batch, *options)
            taken = self.assert_taken(batch, told, receiver.objects(), refused)
            for sent, stored in taken:
                compare(sent, stored)

    def test_storescp(self) -> None:
        """A storescp that keeps what it gets has every data set byte for byte."""
        self.check(lambda path: storescp(path, "+B", "+xa", "-pm"), self.assert_same_bytes)

    def test_storescp_parsing(self) -> None:
        """One that takes data sets apart finds in them what is in the files."""
        self.check(lambda path: storescp(path, "+xa", "-pm"), self.assert_same_values)

    def test_lengths(self) -> None:
        """The shortest and the longest P-DATA-TFs that storescp takes, and many at a time."""
        for length in ("4096", "131072"):
            options = ("+B", "+xa", "-pm", "-pdu", length)
            self.check(
                partial(_storescp, options),
                self.assert_same_bytes,
                *("--max-operations", "8"),
            )

    def test_associations(self) -> None:
        """Objects that are divided among associations all arrive."""
        self.check(
            lambda path: storescp(path, "+B", "+xa", "-pm", "--fork"),
            self.assert_same_bytes,
            *("--associations", "4"),
        )

    def test_uncompressed_only(self) -> None:
        """What storescp does not accept fails for itself; what is deflated is sent inflated."""
        sendable = {*UncompressedTransferSyntaxes, DeflatedExplicitVRLittleEndian}
        syntaxes = {each.transfer_syntax for batch in batches() for each in batch}
        self.check(
            lambda path: storescp(path, "+B"),
            self.assert_same_values,
            refused=frozenset({*(syntaxes - sendable), ColorPaletteStorage}),
        )

    def test_dcmrecv(self) -> None:
        """So does dcmrecv, told to accept exactly what is sent."""
        for options, compare in (
            (["+B"], self.assert_same_bytes),
            ([], self.assert_same_values),
        ):
            for batch in batches():
                directory = self.directory()
                profile = write_acceptor(directory.with_suffix(".cfg"), _readable(batch))
                with dcmrecv(directory, "-xf", os.fspath(profile), NAME, *options) as receiver:
                    told = self.store(receiver, batch)
                taken = self.assert_taken(batch, told, receiver.objects(), NOT_READ)
                for sent, stored in taken:
                    compare(sent, stored)

    def test_stumbling(self) -> None:
        """An object at which dcmrecv aborts each time fails for itself, and the others arrive."""
        directory = self.directory()
        batch = batches()[0]
        bad = [each for each in batch if each.transfer_syntax in NOT_READ]
        if not bad:
            raise SkipTest("no file is at hand that dcmrecv does not read")
        profile = write_acceptor(directory.with_suffix(".cfg"), batch)
        with dcmrecv(directory, "+B", "-xf", os.fspath(profile), NAME) as receiver:
            told = self.store(receiver, batch, "--retry-delay", "0.1")
        self.assertEqual([told.outcome(each)["kind"] for each in bad], ["aborted"] * len(bad))
        arrived = receiver.objects()
        for each in _readable(batch):
            self.assertEqual(told.outcome(each)["status"], "0000", each.name)
            self.assert_same_bytes(each, arrived[each.own_instance])
        self.assertEqual(len(arrived), len(batch) - len(bad))


class ReceiverEndTests(StoreCase):
    """A storescp that does not do what we would like."""

    def send(self, *options: str) -> tuple[Told, list[Path]]:
        """Send a few files to a storescp; return what we told and what it has kept."""
        directory = self.directory()
        with storescp(directory, "+B", "+xa", *options) as receiver:
            told = self.store(receiver, batches()[0][-3:], "--retries", "0")
        return told, [*directory.iterdir()]

    def test_refuse(self) -> None:
        """A rejection has an exit status of its own, and the peer's numbers."""
        told, kept = self.send("--refuse")
        self.assertEqual((told.status, kept), (3, []), told.text)
        (failed,) = (event for event in told.events if event["event"] == "failed")
        self.assertEqual((failed["result"], failed["source"], failed["reason"]), (1, 1, 1))

    def test_abort_during(self) -> None:
        """An abort in the middle of an object is told; nothing is taken for sent."""
        told, kept = self.send("--abort-during")
        self.assertEqual((told.status, kept), (5, []), told.text)
        self.assertEqual(told.last()["succeeded"], 0)

    def test_abort_after(self) -> None:
        """So is one instead of an answer."""
        told, _ = self.send("--abort-after")
        self.assertEqual(told.status, 5, told.text)
        self.assertEqual(told.last()["succeeded"], 0)

    def test_nobody(self) -> None:
        """Nobody listens."""
        with storescp(self.directory()) as receiver:
            pass
        self.assertEqual(self.store(receiver, batches()[0][:1], "--retries", "0").status, 4)


class EchoTests(StoreCase):
    """storescp answers our echo."""

    def test_echo(self) -> None:
        """Each C-ECHO has its answer."""
        with storescp(self.directory()) as receiver:
            told = self.command(
                *("echo", f"127.0.0.1:{receiver.port}", "--count", "3", "--interval", "0"),
                beside=[receiver.process],
            )
        self.assertEqual(told.status, 0, told.text)
        self.assertEqual(told.last()["received"], 3, told.text)


class SendTests(StoreCase):
    """What DCMTK sends to us is stored as it comes."""

    def storescu(
        self, receiver: Receiver | Server, batch: Sequence[Object], *options: str
    ) -> Process:
        """Let storescu send objects, each in the transfer syntax of its file, without failure."""
        profile = write_requestor(self.directory() / "profile.cfg", batch)
        peer = receiver.run(
            *(program("storescu", "dcmtk"), "-v", "-nh", "-xf", os.fspath(profile), NAME),
            *(*options, "127.0.0.1", str(receiver.port)),
            *paths(batch),
        )
        self.assertEqual(peer.status, 0, str(peer))
        return peer

    def dcmsend(self, receiver: Receiver | Server, batch: Sequence[Object]) -> Process:
        """Let dcmsend send objects, without failure."""
        peer = receiver.run(
            *(program("dcmsend", "dcmtk"), "-v", "-nh", "-nuc", "-dn", "+f"),
            *("127.0.0.1", str(receiver.port), *paths(batch)),
        )
        self.assertEqual(peer.status, 0, str(peer))
        return peer

    def check(self, send: Callable[[Receiver | Server, Sequence[Object]], Process]) -> None:
        """Let a program send all files to us, and to a storescp for comparison."""
        for batch in batches():
            sent = _readable(batch)
            stored, reference = self.beside_reference(send, sent)
            self.assert_as_reference(stored, reference)
            for each in sent:
                # The command's UID is one program's from the data set, another's from the file
                # meta group.
                found = stored.get(each.own_instance) or stored.get(each.instance)
                if found is None:
                    self.fail(f"{each.name} is not stored")
                self.assert_same_values(each, found)
            self.assertEqual(len(stored), len(sent))

    def test_storescu(self) -> None:
        """All that storescu sends is there, each object in the transfer syntax of its file."""
        self.check(self.storescu)

    def test_dcmsend(self) -> None:
        """All that dcmsend sends is there, in the contexts that it finds out for itself."""
        self.check(self.dcmsend)

    def test_lengths(self) -> None:
        """The shortest and the longest P-DATA-TFs, and several associations at once."""
        directory = self.directory()
        server = self.store_server(directory)
        peers = []
        for number, each in enumerate(_readable(batches()[0])[:8]):
            profile = write_requestor(self.directory() / "profile.cfg", [each])
            peer = Process(
                [
                    *(program("storescu", "dcmtk"), "-v", "-xf", os.fspath(profile), NAME),
                    *("--max-send-pdu", ("4096", "131072")[number % 2]),
                    *("127.0.0.1", str(server.port), *paths([each])),
                ],
                environment=NO_DELAY,
            )
            self.addCleanup(peer.destroy)
            peers.append(peer)
        for peer in peers:
            peer.wait(server.process, *(other for other in peers if other is not peer))
            self.assertIn("Received Store Response (Success)", peer.output)
        self.assertEqual(len(received(directory)), len(peers))

    def test_again(self) -> None:
        """What is sent again is answered with success, and there is one file of it."""
        directory = self.directory()
        server = self.store_server(directory)
        for _ in range(2):
            peer = self.storescu(server, batches()[0][:1], "--repeat", "3")
            self.assertEqual(peer.output.count("Received Store Response (Success)"), 3)
        self.assertEqual(len(received(directory)), 1)

    def test_abort(self) -> None:
        """An association that storescu aborts leaves what was answered."""
        directory = self.directory()
        self.storescu(self.store_server(directory), batches()[0][:1], "--abort")
        self.assertEqual(len(received(directory)), 1)

    def test_files(self) -> None:
        """Files that we have written are DICOM files for DCMTK."""
        directory = self.directory()
        server = self.store_server(directory)
        self.storescu(server, _readable(batches()[0])[:20])
        stored = [each.path for each in received(directory).values()]
        peer = server.run(program("dcmftest", "dcmtk"), *stored)
        self.assertEqual(peer.output.count("yes: "), len(stored), str(peer))
