"""What an application says of an object before it is stored, and is told afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import LogLevel

from pacs_twisted.dimse import Status
from pacs_twisted.errors import StatusFailure
from pacs_twisted.net import Timeouts
from pacs_twisted.storage.files import Committed
from pacs_twisted.storage.received import Received, Stored
from pacs_twisted.uids import IMPLICIT_VR_LITTLE_ENDIAN
from tests.storage.cases import NAME, StorageCase, Trouble, store_rq
from tests.storage.fakes import (
    FULL,
    SERIES,
    STUDY,
    data_set,
)


class HookTests(StorageCase):
    """What an application says before an object is stored."""

    def hooked(self, hook: Callable[[Received], Any], **options: Any) -> int:
        """Return the status of an object that this hook is asked about."""
        self.serve(before_commit=hook, **options)
        return self.stored()[0]

    def test_told(self) -> None:
        """It gets the whole object, in a temporary file, and what was seen of it."""
        received: list[Received] = []

        def hook(object_: Received) -> None:
            received.append(object_)
            self.assertEqual(self.store.files, {})
            [temporary] = self.store.temporary
            self.assertTrue(temporary.data.endswith(data_set()))
            self.assertEqual(self.store.calls, ["write", "finish"])
            self.assertFalse(self.disk.working)

        self.assertEqual(self.hooked(hook), 0)
        [object_] = received
        self.assertEqual(object_.request, store_rq())
        self.assertEqual(object_.requestor.calling_ae_title, "CT_1")
        self.assertEqual(object_.transfer_syntax, IMPLICIT_VR_LITTLE_ENDIAN)
        self.assertEqual(object_.length, len(data_set()))
        self.assertEqual(object_.path, Path("/archive/incoming/1"))
        self.assertEqual(object_.elements["StudyInstanceUID"], STUDY)
        self.assert_file()
        self.assertEqual(self.disk.done, 2)

    def test_lets_it_in(self) -> None:
        """None and success let an object in, by any kind of answer."""

        async def coroutine(_: Received) -> Status:
            return Status.SUCCESS

        hooks: Sequence[Callable[[Received], Any]] = (
            lambda _: None,
            lambda _: Status.SUCCESS,
            lambda _: succeed(None),
            lambda _: succeed(Status.SUCCESS),
            coroutine,
        )
        for hook in hooks:
            self.store.files.clear()
            self.assertEqual(self.hooked(hook), 0)
            self.assert_file()

    def test_warning(self) -> None:
        """An object can be stored and answered with a warning."""
        self.assertEqual(self.hooked(lambda _: Status.ELEMENTS_DISCARDED), 0xB006)
        self.assert_file()

    def test_refuses(self) -> None:
        """A failure refuses it, by any kind of answer; nothing is left."""

        def raises(_: Received) -> None:
            raise StatusFailure(0xA7FF, "not today")

        async def coroutine(received: Received) -> None:
            raises(received)

        hooks: Sequence[Callable[[Received], Any]] = (
            lambda _: Status(0xA7FF),
            raises,
            lambda _: succeed(Status(0xA7FF)),
            lambda _: fail(StatusFailure(0xA7FF)),
            coroutine,
        )
        for hook in hooks:
            self.assertEqual(self.hooked(hook), 0xA7FF)
            self.assert_nothing()
        self.assertEqual(self.stored(), (0xA7FF, "not today"))

    def test_fails(self) -> None:
        """A hook that fails, or answers with nonsense, is a processing failure; nothing is left."""

        def raises(_: Received) -> None:
            raise Trouble

        async def coroutine(_: Received) -> None:
            raise Trouble

        hooks: Sequence[Callable[[Received], Any]] = (
            raises,
            coroutine,
            lambda _: fail(Trouble()),
            lambda _: "yes",
            lambda _: 0,
        )
        for hook in hooks:
            self.assertEqual(self.hooked(hook), 0x0110)
            self.assert_nothing()
        self.assertEqual(len(self.flushLoggedErrors(Trouble)), 3)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 2)

    def test_fails_like_a_disk(self) -> None:
        """What a hook cannot reach is not the disk: nobody is told that it is full."""

        def raises(_: Received) -> None:
            raise ConnectionRefusedError(111, "Connection refused")

        self.assertEqual(self.hooked(raises), 0x0110)
        self.assert_nothing()
        self.assertEqual(self.events("disk-failure"), [])
        self.assertEqual(len(self.flushLoggedErrors(ConnectionRefusedError)), 1)

    def test_later(self) -> None:
        """It takes its time; the answer waits for it, and the association's other timers rest."""
        answer: Deferred[Status] = Deferred()
        self.serve(before_commit=lambda _: answer)
        requestor = self.associated()
        self.send(requestor)
        self.run_disk(requestor)
        requestor.advance(1000)
        self.assertEqual(requestor.responses, [])
        answer.callback(Status.SUCCESS)
        self.run_disk(requestor)
        self.assertEqual(self.answer(requestor).status, 0)
        self.assert_file()

    def test_later_refuses(self) -> None:
        """And may refuse then."""
        answer: Deferred[Status] = Deferred()
        self.serve(before_commit=lambda _: answer)
        requestor = self.associated()
        self.send(requestor)
        self.run_disk(requestor)
        answer.callback(Status.NOT_AUTHORIZED)
        self.run_disk(requestor)
        requestor.pump.flush()
        self.assertEqual(self.answer(requestor).status, 0x0124)
        self.assert_nothing()

    def test_timeout(self) -> None:
        """One that takes too long is cancelled, and nothing is left."""
        cancelled: list[object] = []
        self.serve(
            before_commit=lambda _: Deferred(cancelled.append), timeouts=Timeouts(handler=5.0)
        )
        requestor = self.associated()
        self.send(requestor)
        self.run_disk(requestor)
        requestor.advance(6)
        self.assertEqual(self.answer(requestor).status, 0x0110)
        self.assertEqual(len(cancelled), 1)
        self.run_disk(requestor)
        self.assert_nothing()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_inline(self) -> None:
        """In the inline mode too."""
        self.assertEqual(self.hooked(lambda _: succeed(None), inline=True), 0)
        self.assertEqual(self.hooked(lambda _: Status.NOT_AUTHORIZED, inline=True), 0x0124)
        self.assert_file()
        self.assertEqual(self.store.temporary, set())


class AfterCommitTests(StorageCase):
    """What an application is told of a stored object."""

    def test_told(self) -> None:
        """It is told once, when the answer is on its way."""
        told: list[Stored] = []
        self.serve(after_commit=told.append)
        self.assertEqual(self.stored()[0], 0)
        [stored] = told
        self.assertEqual(stored.path, Path(NAME))
        self.assertEqual(stored.length, len(data_set()))
        self.assertEqual(stored.request, store_rq())
        self.assertEqual((stored.kept, stored.beside), (False, False))

    def test_not_told(self) -> None:
        """Of an object that is not stored it is not told."""
        told: list[Stored] = []
        self.serve(after_commit=told.append, before_commit=lambda _: Status.NOT_AUTHORIZED)
        self.stored()
        self.serve(after_commit=told.append)
        self.store.failing = {len(self.store.calls) + 2: FULL}
        self.assertEqual(self.stored()[0], 0xA700)
        self.assertEqual(told, [])

    def test_not_waited_for(self) -> None:
        """The answer does not wait for it."""
        self.serve(after_commit=lambda _: Deferred())
        self.assertEqual(self.stored()[0], 0)

    def test_fails(self) -> None:
        """Its failure is logged, once an association, and changes nothing."""

        def raises(_: Stored) -> None:
            raise Trouble

        async def coroutine(_: Stored) -> None:
            raise Trouble

        hooks: Sequence[Callable[[Stored], Any]] = (raises, coroutine, lambda _: fail(Trouble()))
        for hook in hooks:
            self.log.clear()
            self.store.files.clear()
            self.serve(after_commit=hook)
            requestor = self.associated()
            for number in range(3):
                self.send(requestor, instance=f"1.2.{number}")
                self.run_disk(requestor)
            self.assertEqual(
                [getattr(response, "status", None) for response in requestor.responses], [0, 0, 0]
            )
            [event] = self.events("after-commit-failure")
            self.assertEqual(event["log_level"], LogLevel.critical)
            self.assertEqual(len(self.flushLoggedErrors(Trouble)), 1)

    def test_beside(self) -> None:
        """It is told how the object was stored, and the log if it has another name."""
        told: list[Stored] = []
        self.serve(after_commit=told.append)
        self.store.place = lambda path: Committed(path.with_suffix(".1.dcm"), beside=True)
        requestor = self.associated()
        for number in range(3):
            self.send(requestor, instance=f"1.2.{number}")
            self.run_disk(requestor)
        self.assertEqual(told[0].path, Path(f"/archive/{STUDY}/{SERIES}/1.2.0.1.dcm"))
        self.assertTrue(all(stored.beside for stored in told))
        [event] = self.events("object-beside")
        self.assertEqual(event["log_level"], LogLevel.warn)
