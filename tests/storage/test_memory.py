"""The Storage service that hands objects to a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.dimse import Status
from pacs_twisted.errors import StatusFailure
from pacs_twisted.net import AcceptorFactory, ApplicationEntity
from pacs_twisted.storage.memory import ReceivedInstance, StorageInMemory
from pacs_twisted.storage.part10 import read_file_meta
from pacs_twisted.testing import ScriptedRequestor, associate_rq, message_pdus
from pacs_twisted.uids import IMPLICIT_VR_LITTLE_ENDIAN
from tests.storage.cases import LARGE, Trouble, store_rq
from tests.storage.fakes import CT, INSTANCE, STUDY, data_set


class StorageInMemoryTests(SynchronousTestCase):
    """An application that wants objects and no files."""

    def setUp(self) -> None:
        self.received: list[ReceivedInstance] = []

    def associated(
        self, received: Callable[[ReceivedInstance], Any] | None = None, **options: Any
    ) -> ScriptedRequestor:
        """Let a peer associate with an application."""
        clock = Clock()
        service = StorageInMemory(received or self.received.append, **options)
        factory = AcceptorFactory(ApplicationEntity("MY_SCP", [service]), reactor=clock)
        requestor = ScriptedRequestor(factory, clock)
        requestor.associate(associate_rq([CT], calling_ae_title="CT_1"))
        return requestor

    def test_received(self) -> None:
        """The function gets the request, who sent it, and the bytes."""
        requestor = self.associated()
        data = data_set(pixels=LARGE)
        self.assertEqual(requestor.request(store_rq(), data).status, 0)
        [instance] = self.received
        self.assertEqual(instance.request, store_rq())
        self.assertEqual(instance.requestor.calling_ae_title, "CT_1")
        self.assertEqual(instance.transfer_syntax, IMPLICIT_VR_LITTLE_ENDIAN)
        self.assertEqual(instance.data_set, data)
        self.assertNotIn(repr(data[:8])[2:-1], repr(instance))

    def test_dataset(self) -> None:
        """It can have it as pydicom reads it, or as a file."""
        self.associated().request(store_rq(), data_set())
        [instance] = self.received
        dataset = instance.dataset()
        self.assertEqual(dataset.StudyInstanceUID, STUDY)
        self.assertEqual(dataset.file_meta.MediaStorageSOPInstanceUID, INSTANCE)
        self.assertEqual(dataset.file_meta.SourceApplicationEntityTitle, "CT_1")
        content = instance.encode_file()
        self.assertEqual(content[read_file_meta(content)[1] :], data_set())

    def test_answers(self) -> None:
        """None is success; any status can be answered, by any kind of answer."""

        async def nothing(_: object) -> None:
            pass

        async def refusing(_: object) -> Status:
            raise StatusFailure(0xA701)

        def raises(_: object) -> None:
            raise StatusFailure(0xA702)

        answers: list[tuple[Callable[[Any], Any], int]] = [
            (lambda _: None, 0),
            (lambda _: Status.SUCCESS, 0),
            (lambda _: Status.COERCION_OF_DATA_ELEMENTS, 0xB000),
            (lambda _: Status.NOT_AUTHORIZED, 0x0124),
            (lambda _: succeed(None), 0),
            (lambda _: succeed(Status.NOT_AUTHORIZED), 0x0124),
            (lambda _: fail(StatusFailure(0xA703)), 0xA703),
            (nothing, 0),
            (refusing, 0xA701),
            (raises, 0xA702),
        ]
        for answer, status in answers:
            self.assertEqual(self.associated(answer).request(store_rq(), data_set()).status, status)

    def test_fails(self) -> None:
        """What goes wrong in it is a processing failure."""

        def raises(_: object) -> None:
            raise Trouble

        for answer in raises, lambda _: fail(Trouble()), lambda _: "yes":
            response = self.associated(answer).request(store_rq(), data_set())
            self.assertEqual(response.status, 0x0110)
        self.assertEqual(len(self.flushLoggedErrors(Trouble)), 2)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_too_long(self) -> None:
        """What is longer than the maximum is refused at once, and nothing of it is kept."""
        requestor = self.associated(maximum_length=1000)
        pdus = message_pdus(store_rq(), data_set(pixels=bytes(100_000)), maximum_length=512)
        requestor.pump.client_transport.write(pdus[:2500])
        requestor.pump.flush()
        [response] = requestor.responses
        self.assertEqual(getattr(response, "status", None), 0xA700)
        self.assertEqual(getattr(response, "error_comment", None), "more than 1000 bytes")
        requestor.pump.client_transport.write(pdus[2500:])
        requestor.pump.flush()
        self.assertEqual(self.received, [])
        exactly = data_set(pixels=bytes(1000 - len(data_set()) - 8))
        self.assertEqual(requestor.request(store_rq(), exactly).status, 0)
        self.assertEqual(len(self.received[0].data_set), 1000)

    def test_implausible_uid(self) -> None:
        """What the command calls a UID and is none is refused; the function never sees it."""
        requestor = self.associated()
        for instance in ("../../etc/passwd", "1.2/3", "?", "..", "1.2.x"):
            response = requestor.request(store_rq(instance=instance), data_set())
            self.assertEqual(response.status, 0x0117, instance)
        self.assertEqual(self.received, [])
        self.assertEqual(requestor.request(store_rq(), data_set()).status, 0)

    def test_empty(self) -> None:
        """An empty data set is no object."""
        requestor = self.associated()
        empty = bytes.fromhex("0400 00000006 00000002 0102")
        requestor.pump.client_transport.write(message_pdus(store_rq(), None) + empty)
        requestor.pump.flush()
        [response] = requestor.responses
        self.assertEqual(getattr(response, "status", None), 0xC000)
        self.assertEqual(self.received, [])

    def test_lost(self) -> None:
        """Of an object that does not come whole the function is not told."""
        requestor = self.associated()
        requestor.pump.client_transport.write(message_pdus(store_rq(), data_set())[:-1])
        requestor.pump.flush()
        requestor.pump.lose()
        self.assertEqual(self.received, [])

    def test_cancelled(self) -> None:
        """When nobody waits for the answer any more, what the function waits for is cancelled."""
        cancelled: list[object] = []
        requestor = self.associated(lambda _: Deferred(cancelled.append))
        requestor.send(store_rq(), data_set())
        requestor.pump.flush()
        requestor.abort()
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.flushLoggedErrors(), [])
