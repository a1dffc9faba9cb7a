"""The examples about sending and storing do what the text says, in memory."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from unittest import mock

import twisted.internet
from twisted.internet import task
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import getConnectError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted import storage
from pacs_twisted.dimse import CStoreRQ, Status
from pacs_twisted.net import AcceptorFactory, AdmissionPolicy, ApplicationEntity, client, pool
from pacs_twisted.services import Verification
from pacs_twisted.storage import InlineDisk, StorageInMemory, read_file_meta, sender
from pacs_twisted.testing import MemoryEndpoint, ScriptedRequestor, associate_rq
from pacs_twisted.uids import EXPLICIT_VR_LITTLE_ENDIAN
from tests.docs.examples import Example

DATA: Final = Path(__file__).resolve().parents[1] / "data"
CT: Final = "1.2.840.10008.5.1.4.1.1.2"
CT_INSTANCE: Final = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"


class Reactor(MemoryReactorClock):
    """A reactor in memory, which an example believes to be the global one."""

    def run(self) -> None:
        """Return at once: what comes next is the test's business."""


def ct_data_set() -> bytes:
    """Return the data set of an image, in Explicit VR Little Endian."""
    content = (DATA / "CT_small.dcm").read_bytes()
    return content[read_file_meta(content)[1] :]


class StorageExampleTests(SynchronousTestCase):
    """Each example in a test of its own."""

    def setUp(self) -> None:
        """Make everything that an example reaches for one in memory."""
        self.reactor = Reactor()
        self.received: list[str] = []
        self.answer: Any = Status.SUCCESS
        self.peer = AcceptorFactory(
            ApplicationEntity("PACS", [StorageInMemory(self.receive), Verification()]),
            maximum_operations=8,
            reactor=self.reactor,
        )
        self.endpoint = MemoryEndpoint(self.peer, self.reactor)
        self.replace(twisted.internet, "reactor", self.reactor)
        self.replace(task, "react", self.react)
        for module in (client, pool):
            self.replace(module, "client_endpoint", lambda text, reactor: self.endpoint)
        self.replace(sender, "DiskPool", lambda reactor: InlineDisk())
        self.replace(storage, "DiskPool", lambda reactor: InlineDisk())
        self.addCleanup(os.chdir, os.getcwd())
        folder = self.mktemp()
        os.makedirs(folder)
        os.chdir(folder)

    def replace(self, where: Any, name: str, stand_in: Any) -> None:
        """Let an example find something else, also where there is nothing yet."""
        patcher: Any = mock.patch.object(where, name, stand_in, create=True)
        patcher.start()
        self.addCleanup(patcher.stop)

    def receive(self, instance: Any) -> Any:
        """Be the peer to which objects are sent."""
        self.received.append(instance.request.affected_sop_instance_uid)
        return self.answer

    def react(self, main: Callable[[Any], Any]) -> None:
        """Be `twisted.internet.task.react`."""
        running = Deferred.fromCoroutine(main(self.reactor))
        self.endpoint.flush()
        self.successResultOf(running)

    def copy(self, *names: str, to: str = ".") -> None:
        """Put files of the tests' data somewhere."""
        os.makedirs(to, exist_ok=True)
        for name in names:
            Path(to, name).write_bytes((DATA / name).read_bytes())

    def store(self, factory: Any, *, calling: str = "CT1") -> Status:
        """Store an image at a server, and return the status."""
        requestor = ScriptedRequestor(factory, self.reactor)
        rq = associate_rq(
            [CT], transfer_syntaxes=[EXPLICIT_VR_LITTLE_ENDIAN], calling_ae_title=calling
        )
        requestor.associate(rq)
        request = CStoreRQ(requestor.next_message_id(), CT, CT_INSTANCE)
        response = requestor.request(request, ct_data_set())
        requestor.release()
        return response.status

    def listening(self) -> Any:
        """Return the factory that an example lets listen on port 11112."""
        port, factory, *_ = self.reactor.tcpServers[-1]
        self.assertEqual(port, 11112)
        return factory

    def test_readme_echo(self) -> None:
        """The README's echo prints the status."""
        example = Example("readme_echo")
        example.run()
        self.assertEqual(example.output, example.expected)

    def test_echo_client(self) -> None:
        """So does that of the page about embedding."""
        is_there = Example("echo_client").run()["is_there"]
        asking = Deferred.fromCoroutine(is_there(self.reactor))
        self.endpoint.flush()
        self.assertTrue(self.successResultOf(asking))

    def test_readme_server(self) -> None:
        """The README's server takes an image and answers C-ECHO."""
        example = Example("readme_server")
        example.run()
        self.assertEqual(self.store(self.listening()), Status.SUCCESS)
        self.assertEqual(example.output, "CT from CT1\n")
        requestor = ScriptedRequestor(self.listening(), self.reactor)
        requestor.associate()
        self.assertEqual(requestor.echo().status, Status.SUCCESS)

    # Send

    def test_send_folder(self) -> None:
        """A folder is sent, and each object's outcome printed."""
        self.copy(
            "CT_small.dcm", "MR_small_RLE.dcm", "SC_rgb_jpeg_dcmtk.dcm", "rtdose.dcm", to="scans"
        )
        Path("scans", "notes.txt").write_text("notes of the day")
        example = Example("send_folder")
        example.run()
        self.assertEqual(example.output, example.expected)
        self.assertEqual(len(self.received), 4)

    def test_send_errors(self) -> None:
        """What is wrong with a file, and with the peer, is said in words."""
        Path("cut.dcm").write_bytes((DATA / "CT_small.dcm").read_bytes()[:200])
        Path("whole.dcm").write_bytes((DATA / "CT_small.dcm").read_bytes())
        self.peer.reconfigure(
            entity=ApplicationEntity("ARCHIVE", self.peer.entity.services),
            admission=AdmissionPolicy(require_called_ae=True),
        )
        example = Example("send_errors")
        send_carefully = example.run()["send_carefully"]
        sending = Deferred.fromCoroutine(
            send_carefully(self.endpoint, ["cut.dcm", "whole.dcm"], self.reactor)
        )
        self.endpoint.flush()
        self.assertEqual(self.successResultOf(sending), ["cut.dcm", "whole.dcm"])
        self.assertEqual(example.output, example.expected)

    def test_send_fast(self) -> None:
        """Several objects are on their way at a time, over several associations."""
        self.copy("CT_small.dcm", "MR_small_RLE.dcm", "rtdose.dcm", to="scans")
        send_fast = Example("send_fast").run()["send_fast"]
        sending = Deferred.fromCoroutine(send_fast(self.endpoint, ["scans"], self.reactor))
        self.endpoint.flush()
        self.assertEqual(self.successResultOf(sending).successes, 3)
        self.assertGreater(len(self.endpoint.connections), 1)

    def test_send_changed(self) -> None:
        """Data sets are sent as they are made."""
        self.copy("CT_small.dcm", "MR_small_RLE.dcm")
        names = Example("send_changed").run()
        sending = names["send_changed"](
            self.endpoint, ["CT_small.dcm", "MR_small_RLE.dcm"], self.reactor
        )
        self.endpoint.flush()
        self.assertEqual(self.successResultOf(sending).successes, 2)
        self.assertNotIn(CT_INSTANCE, self.received)

    def test_pool(self) -> None:
        """The pool's association is used again and again."""
        example = Example("pool")
        running = Deferred.fromCoroutine(example.run()["main"](self.reactor))
        self.endpoint.flush()
        self.successResultOf(running)
        self.assertEqual(example.output, example.expected)
        self.assertEqual(len(self.endpoint.connections), 1)

    def test_by_hand(self) -> None:
        """An association of one's own sends several objects at a time."""
        example = Example("by_hand")
        store_all = example.run()["store_all"]
        instances = [(f"2.25.{number}", ct_data_set()) for number in range(1, 4)]
        running = Deferred.fromCoroutine(store_all(self.endpoint, instances, self.reactor))
        self.endpoint.flush()
        self.successResultOf(running)
        self.assertEqual(self.received, [uid for uid, _ in instances])
        self.assertEqual(example.output, example.expected)

    def test_errors(self) -> None:
        """What can go wrong with an association is told apart."""
        example = Example("errors")
        ask = example.run()["ask"]
        for change in (
            lambda: setattr(self.endpoint, "error", getConnectError((111, "refused"))),
            lambda: self.peer.drain(),
        ):
            change()
            asking = Deferred.fromCoroutine(ask(self.endpoint, self.reactor))
            self.endpoint.flush()
            self.successResultOf(asking)
            self.endpoint.error = None
        self.assertEqual(example.output, example.expected)

    # Receive

    def test_receive(self) -> None:
        """The ten lines print what they have received."""
        example = Example("receive")
        example.run()
        self.assertEqual(self.store(self.listening()), Status.SUCCESS)
        self.assertEqual(example.output, example.expected)

    def test_receive_refuse(self) -> None:
        """The hook refuses by who sends, and by what the database says."""
        kept = []

        class Database:
            room = True

            async def has_room(self) -> bool:
                return self.room

            async def keep(self, uid: str, content: bytes) -> None:
                kept.append((uid, content[128:132]))

        database = Database()
        service = Example("receive_refuse").run()["make_service"](database)
        factory = AcceptorFactory(ApplicationEntity("MY_SCP", [service]), reactor=self.reactor)
        self.assertEqual(self.store(factory), Status.SUCCESS)
        self.assertEqual(kept, [(CT_INSTANCE, b"DICM")])
        self.assertEqual(self.store(factory, calling="CT2"), Status.NOT_AUTHORIZED)
        database.room = False
        self.assertEqual(self.store(factory), Status.OUT_OF_RESOURCES)
        self.assertEqual(len(kept), 1)

    def test_receive_files(self) -> None:
        """Files are written, the function is told of each, and all of it can be stopped."""
        example = Example("receive_files")
        names = example.run()
        names["start"]()
        factory = self.listening()
        self.assertEqual(self.store(factory), Status.SUCCESS)
        self.assertEqual(example.output, f"CT1 {len(ct_data_set())} {CT_INSTANCE}.dcm\n")
        (path,) = Path("received").rglob("*.dcm")
        self.assertEqual(path.name, f"{CT_INSTANCE}.dcm")
        port = mock.Mock(stopListening=lambda: succeed(None))
        self.successResultOf(Deferred.fromCoroutine(names["stop"]([port], factory)))
        self.assertEqual(os.listdir(Path("received", ".incoming")).count("1"), 0)

    def test_receive_sink(self) -> None:
        """The sink of one's own sums up what comes."""
        example = Example("receive_sink")
        service = example.run()["Sums"]()
        factory = AcceptorFactory(ApplicationEntity("MY_SCP", [service]), reactor=self.reactor)
        self.assertEqual(self.store(factory), Status.SUCCESS)
        expected = hashlib.sha256(ct_data_set()).hexdigest()
        self.assertEqual(example.output, f"{CT_INSTANCE} {expected[:16]}\n")

    # Forward

    def serve_forwarder(self) -> tuple[Example, Any, Any]:
        """Start the server that forwards; return its example, its forwarder, and its factory."""
        example = Example("forward")
        forwarder_class = example.run()["Forwarder"]
        forwarder = Example("forward_server").run()["serve"](forwarder_class)
        self.addCleanup(lambda: forwarder.rounds.running and forwarder.rounds.stop())
        return example, forwarder, self.listening()

    def round(self) -> None:
        """Let the next round come, and what it takes with it."""
        self.endpoint.advance(30.0)

    def outbox(self) -> list[str]:
        return os.listdir("archive/outbox")

    def test_forward(self) -> None:
        """What is stored is sent on, and leaves the outbox."""
        _, _, factory = self.serve_forwarder()
        self.assertEqual(self.store(factory), Status.SUCCESS)
        self.assertEqual(len(self.outbox()), 1)
        self.round()
        self.assertEqual((self.received, self.outbox()), ([CT_INSTANCE], []))
        (stored,) = Path("archive", "objects").rglob("*.dcm")
        self.assertEqual(stored.stat().st_nlink, 1)

    def test_forward_server(self) -> None:
        """A second PACS that is away, or refuses, loses nothing, and nor does a new start."""
        example, forwarder, factory = self.serve_forwarder()
        self.endpoint.error = getConnectError((errno.ECONNREFUSED, "refused"))
        self.store(factory)
        self.round()
        self.round()
        self.assertEqual((self.received, len(self.outbox())), ([], 1))
        forwarder.rounds.stop()
        self.endpoint.error = None
        self.answer = Status.OUT_OF_RESOURCES
        example, _, _ = self.serve_forwarder()
        self.round()
        self.assertEqual((self.outbox(), len(os.listdir("archive/refused"))), ([], 1))
        self.assertEqual(example.output, "refused: A700H out of resources\n")

    def test_forward_disk_full(self) -> None:
        """What cannot be queued is not stored, and its sender is told so."""
        _, _, factory = self.serve_forwarder()
        failure = OSError(errno.ENOSPC, "no space")
        with mock.patch.object(os, "link", mock.Mock(side_effect=failure)):
            status = self.store(factory)
        self.assertEqual(status, Status.PROCESSING_FAILURE)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(list(Path("archive", "objects").rglob("*.dcm")), [])
