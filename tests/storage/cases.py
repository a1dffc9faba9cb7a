"""A server with a Storage service in memory, and peers that send to it."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.dimse import CStoreRQ, Response
from pacs_twisted.net import AcceptorFactory, ApplicationEntity, Timeouts
from pacs_twisted.pdu import AAssociateAC, AsynchronousOperationsWindow, UserInformation
from pacs_twisted.services import Verification
from pacs_twisted.storage.disk import InlineDisk
from pacs_twisted.storage.part10 import read_file_meta
from pacs_twisted.storage.receiving import GATHERED
from pacs_twisted.storage.service import Storage
from pacs_twisted.testing import (
    ScriptedRequestor,
    associate_rq,
)
from pacs_twisted.uids import VERIFICATION
from tests.storage.fakes import (
    CT,
    INSTANCE,
    MR,
    SERIES,
    STUDY,
    ManualDisk,
    MemoryStore,
    data_set,
)

NAME = f"/archive/{STUDY}/{SERIES}/{INSTANCE}.dcm"
LARGE = bytes(range(256)) * (5 * GATHERED // 512)  # two and a half times what is gathered


class Trouble(Exception):
    """What a hook raises in these tests."""


def store_rq(message_id: int = 1, *, sop_class: str = CT, instance: str = INSTANCE) -> CStoreRQ:
    return CStoreRQ(message_id, sop_class, instance)


class StorageCase(SynchronousTestCase):
    """A server with a Storage service on a store in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.disk = ManualDisk()
        self.store = MemoryStore(lambda: self.disk.working)
        self.log: list[LogEvent] = []
        observer: Any = self.log.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def serve(
        self,
        *,
        inline: bool = False,
        timeouts: Timeouts | None = None,
        maximum_operations: int = 1,
        store: Any = None,
        kind: type[Storage] = Storage,
        **options: Any,
    ) -> AcceptorFactory:
        """Make a server."""
        disk: Any = self.disk
        if inline:
            disk = InlineDisk()
            self.store.allowed = lambda: True
        options.setdefault("seconds", self.clock.seconds)
        self.storage = kind(store or self.store, disk=disk, **options)
        self.factory = AcceptorFactory(
            ApplicationEntity("STORE_SCP", [Verification(), self.storage]),
            reactor=self.clock,
            timeouts=timeouts or Timeouts(),
            maximum_operations=maximum_operations,
        )
        self.factory.doStart()
        self.addCleanup(self.factory.doStop)
        return self.factory

    def associated(self, window: int = 1, **options: Any) -> ScriptedRequestor:
        """Let a peer associate, for CT and MR images in implicit VR little endian."""
        options.setdefault("abstract_syntaxes", [CT, MR, VERIFICATION])
        if window != 1:
            options["user_information"] = UserInformation(
                16384, "1.2.3.4", "TEST_1", AsynchronousOperationsWindow(window, 1)
            )
        requestor = ScriptedRequestor(self.factory, self.clock)
        answer = requestor.associate(associate_rq(calling_ae_title="CT_1", **options))
        self.assertIsInstance(answer, AAssociateAC)
        return requestor

    def send(self, requestor: ScriptedRequestor, data: bytes = b"", **request: Any) -> None:
        """Send a C-STORE-RQ, and let everything happen that can without the disk."""
        request.setdefault("message_id", requestor.next_message_id())
        requestor.send(store_rq(**request), data or data_set())
        requestor.pump.flush()

    def run_disk(self, requestor: ScriptedRequestor, most: int | None = None) -> None:
        """Let the disk do so many jobs, or all, and carry what comes of it."""
        done = 0
        while self.disk.jobs and done != most:
            done += self.disk.run(1)
            requestor.pump.flush()

    def answer(self, requestor: ScriptedRequestor) -> Response:
        """Return the only answer."""
        [response] = requestor.responses
        self.assertIsInstance(response, Response)
        assert isinstance(response, Response)
        return response

    def stored(self, data: bytes = b"", **request: Any) -> tuple[int, str | None]:
        """Let a new peer send an object; return status and error comment of the answer."""
        requestor = self.associated()
        self.send(requestor, data, **request)
        self.run_disk(requestor)
        response: Any = self.answer(requestor)
        requestor.release()
        return response.status, response.error_comment

    def assert_file(self, name: str = NAME, data: bytes = b"") -> None:
        """Assert that there is one file, with this data set behind a meta group of its own."""
        self.assertEqual(list(self.store.files), [name])
        content = self.store.files[name]
        _, offset = read_file_meta(content)
        self.assertEqual(content[offset:], data or data_set())

    def assert_nothing(self) -> None:
        """Assert that nothing is stored, and nothing left over."""
        self.assertEqual(self.store.files, {})
        self.assertEqual(self.store.temporary, set())

    def events(self, name: str) -> list[LogEvent]:
        return [event for event in self.log if event.get("event") == name]
