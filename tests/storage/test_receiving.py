"""Objects on their way to a disk that fails, or is slow, from peers that go away."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.logger import LogLevel, formatEvent

from pacs_twisted.dimse import Status
from pacs_twisted.storage.files import FileStore
from pacs_twisted.storage.outstanding import MOST_OUTSTANDING
from pacs_twisted.storage.received import Received, Stored
from pacs_twisted.storage.receiving import GATHERED
from pacs_twisted.testing import (
    Pump,
    associate_rq,
    connect,
    message_pdus,
)
from tests.requirements import requirement
from tests.storage.cases import LARGE, StorageCase, Trouble, store_rq
from tests.storage.fakes import (
    CT,
    FULL,
    data_set,
)


class DiskFailureTests(StorageCase):
    """A disk that is full or breaks."""

    def refused(self, error: Exception, number: int, **options: Any) -> None:
        """Assert that an object is refused when this call fails, and the next one is not."""
        self.store.calls.clear()
        self.store.files.clear()
        requestor = self.associated()
        self.store.failing[number] = error
        self.send(requestor, data_set(pixels=LARGE))
        self.run_disk(requestor)
        response: Any = self.answer(requestor)
        self.assertEqual(
            (response.status, response.error_comment), (0xA700, "No space left on device")
        )
        self.assertEqual(self.store.failing, {})
        self.assert_nothing()
        self.assertNotIn("commit", self.store.calls[number + 1 :])
        self.send(requestor)
        self.run_disk(requestor)
        self.assert_file()
        requestor.release()

    def test_full_disk(self) -> None:
        """Wherever the disk is full: A700H, nothing is left, and the association goes on."""
        for inline in False, True:
            self.serve(inline=inline)
            requestor = self.associated()
            self.store.calls.clear()
            self.store.files.clear()
            self.send(requestor, data_set(pixels=LARGE))
            self.run_disk(requestor)
            calls = len(self.store.calls)
            self.assertGreater(calls, 4)
            for number in range(calls):
                self.refused(FULL, number)

    def test_full_disk_with_hook(self) -> None:
        """The hook is asked about what is whole only."""
        asked: list[Received] = []
        self.serve(before_commit=asked.append)
        for number in range(4):
            self.refused(FULL, number)
        self.assertEqual(len(asked), 4, "the four that succeeded afterwards")

    @requirement("K7")
    def test_told_early(self) -> None:
        """The peer is told while it still sends; what it sends from then on is thrown away."""
        self.serve()
        requestor = self.associated()
        self.store.failing[0] = FULL
        pdus = message_pdus(store_rq(), data_set(pixels=LARGE))
        requestor.pump.client_transport.write(pdus[:-100_000])
        requestor.pump.flush()
        self.run_disk(requestor)
        requestor.pump.client_transport.write(pdus[-100_000:-50_000])
        requestor.pump.flush()
        self.assertEqual(self.answer(requestor).status, 0xA700)
        requestor.pump.client_transport.write(pdus[-50_000:])
        requestor.pump.flush()
        self.run_disk(requestor)
        self.assert_nothing()

    def test_log(self) -> None:
        """One line a minute tells the administrator, with the directory and no other path."""
        self.serve(inline=True)
        requestor = self.associated()
        for _ in range(30):
            self.store.failing[len(self.store.calls)] = FULL
            self.send(requestor)
        [event] = self.events("disk-failure")
        self.assertEqual(event["log_level"], LogLevel.critical)
        self.assertEqual(
            formatEvent(event),
            "association 1: cannot store in /archive: No space left on device;"
            " objects failed since the last such line: 1",
        )
        self.assertNotIn("SOMEBODY", repr(event))
        requestor.release()
        self.clock.advance(60)
        self.store.failing[len(self.store.calls)] = FULL
        self.assertEqual(self.stored()[0], 0xA700)
        self.assertEqual([event["failures"] for event in self.events("disk-failure")], [1, 30])

    def test_log_of_each_reason(self) -> None:
        """Another reason is told at once, and each once a minute, however they alternate."""
        self.serve(inline=True)
        requestor = self.associated()
        broken = OSError(errno.EIO, "Input/output error")
        for _ in range(10):
            for error in (FULL, broken):
                self.store.failing[len(self.store.calls)] = error
                self.send(requestor)
        self.clock.advance(60)
        self.store.failing[len(self.store.calls)] = broken
        self.assertEqual(self.stored()[0], 0xA700)
        self.assertEqual(
            [(event["error"], event["failures"]) for event in self.events("disk-failure")],
            [("ENOSPC", 1), ("EIO", 1), ("EIO", 10)],
        )

    def test_log_that_it_works_again(self) -> None:
        """After the minute the first object that is stored tells how many more were not."""
        self.serve(inline=True)
        requestor = self.associated()
        self.send(requestor, instance="1.1")
        for _ in range(30):
            self.store.failing[len(self.store.calls)] = FULL
            self.send(requestor)
        self.send(requestor, instance="1.2")
        self.assertEqual(self.events("disk-recovery"), [])
        self.clock.advance(60)
        self.assertEqual(self.stored(instance="1.3")[0], 0)
        self.assertEqual(self.stored(instance="1.4")[0], 0)
        [event] = self.events("disk-recovery")
        self.assertEqual(event["log_level"], LogLevel.info)
        self.assertEqual(
            formatEvent(event),
            "association 2: objects are stored in /archive again;"
            " objects failed since the last line about that: 29",
        )
        self.store.failing[len(self.store.calls)] = FULL
        self.assertEqual(self.stored()[0], 0xA700)
        self.assertEqual([event["failures"] for event in self.events("disk-failure")], [1, 1])

    def test_log_of_what_is_gone(self) -> None:
        """The line says which of the administrator's directories is gone, and what to do."""
        root = Path(self.mktemp()).absolute()
        store = FileStore(root, fsync=False)
        store.open()
        self.addCleanup(store.close)
        self.serve(store=store, inline=True)
        shutil.rmtree(root / ".incoming")
        self.assertEqual(self.stored(), (0xA700, "No such file or directory"))
        self.clock.advance(60)
        root.rmdir()
        self.assertEqual(self.stored(), (0xA700, "No such file or directory"))
        self.assertEqual(
            [event["reason"] for event in self.events("disk-failure")],
            [
                f"{gone} is gone; when it is there again the server must be restarted"
                for gone in (f"{root}/.incoming", root)
            ],
        )
        self.assertFalse(root.exists())

    def test_log_counts_objects(self) -> None:
        """However many things fail of an object, it counts once."""
        self.serve()
        for _ in range(2):
            self.store.calls.clear()
            self.store.failing[0] = FULL
            self.assertEqual(self.stored(data_set(pixels=LARGE))[0], 0xA700)
            self.clock.advance(60)
        self.assertEqual([event["failures"] for event in self.events("disk-failure")], [1, 1])

    def test_bug(self) -> None:
        """An error of ours there is a processing failure, and nothing is left."""
        self.serve()
        for number in range(3):
            self.store.calls.clear()
            self.store.failing[number] = Trouble()
            self.assertEqual(self.stored()[0], 0x0110)
            self.assert_nothing()
        self.assertEqual(len(self.flushLoggedErrors(Trouble)), 3)


class SlowDiskTests(StorageCase):
    """A disk that does not keep up."""

    def test_bounded(self) -> None:
        """The peer is stopped while a few megabytes wait, and goes on when they are written."""
        self.serve()
        requestor = self.associated()
        data = data_set(pixels=LARGE * 8)
        self.assertGreater(len(data), 4 * MOST_OUTSTANDING)
        pump = requestor.pump
        self.send(requestor, data)
        self.assertFalse(pump.server_transport.reading)
        most = MOST_OUTSTANDING + 2 * GATHERED
        self.assertLess(self.disk.waiting, most)
        while self.disk.jobs:
            self.run_disk(requestor, 1)
            self.assertLess(self.disk.waiting, most)
        self.assertTrue(pump.server_transport.reading)
        self.assertEqual(self.answer(requestor).status, 0)
        self.assert_file(data=data)

    def test_many_small(self) -> None:
        """Objects that were stored do not count."""
        self.serve()
        requestor = self.associated()
        for number in range(10):
            instance = f"1.2.{number}"
            self.send(
                requestor, data_set(instance=instance, pixels=LARGE[:900_000]), instance=instance
            )
            self.assertTrue(requestor.pump.server_transport.reading)
            self.run_disk(requestor)
        self.assertEqual(len(self.store.files), 10)

    def test_small_pieces(self) -> None:
        """Small pieces are put together, so that they take no more room than their bytes."""
        self.serve()
        pump = connect(self.factory, Protocol(), self.clock, chunk_size=100)
        pump.client_transport.write(
            associate_rq([CT]).encode() + message_pdus(store_rq(), data_set(pixels=LARGE[:50_000]))
        )
        pump.flush()
        [job] = self.disk.jobs
        pieces = job.arguments[0]
        self.assertGreater(sum(map(len, pieces)), 50_000)
        self.assertLess(len(pieces), 5)
        pump.lose()

    def test_goes_on_below_half(self) -> None:
        """It goes on when less than half of them wait."""
        self.serve()
        requestor = self.associated()
        self.send(requestor, data_set(pixels=LARGE * 8))
        paused = 0
        while not requestor.pump.server_transport.reading:
            self.assertGreaterEqual(self.disk.waiting, MOST_OUTSTANDING // 2)
            self.disk.run(1)
            paused += 1
        self.assertLess(self.disk.waiting, MOST_OUTSTANDING // 2)
        self.assertGreater(paused, 1)

    def test_window(self) -> None:
        """All objects of an association together wait so much."""
        self.serve(maximum_operations=0)
        requestor = self.associated(window=0)
        for number in range(20):
            instance = f"1.2.{number}"
            requestor.send(
                store_rq(number, instance=instance), data_set(instance=instance, pixels=LARGE[::4])
            )
        requestor.pump.flush()
        self.assertFalse(requestor.pump.server_transport.reading)
        self.assertLess(self.disk.waiting, MOST_OUTSTANDING + 2 * GATHERED)
        self.run_disk(requestor)
        self.assertEqual(len(requestor.responses), 20)
        self.assertEqual(len(self.store.files), 20)

    def test_lost_while_paused(self) -> None:
        """A peer that goes away while it is stopped leaves nothing."""
        self.serve()
        requestor = self.associated()
        self.send(requestor, data_set(pixels=LARGE * 8))
        requestor.pump.lose()
        self.assertEqual(self.disk.waiting, 0)
        self.run_disk(requestor)
        self.assert_nothing()
        self.assertEqual(self.store.calls, ["discard"])

    def test_lost_when_whole(self) -> None:
        """A peer that goes away while its object waits for the disk takes no memory any more."""
        self.serve()
        requestor = self.associated()
        self.send(requestor, data_set(pixels=LARGE))
        requestor.pump.lose()
        self.assertEqual(self.disk.waiting, 0)
        self.run_disk(requestor)
        self.assert_nothing()

    def test_fails_while_paused(self) -> None:
        """When the disk fails while a peer is stopped, the peer goes on and is told."""
        self.serve()
        requestor = self.associated()
        self.store.failing[0] = FULL
        self.send(requestor, data_set(pixels=LARGE * 8))
        self.assertFalse(requestor.pump.server_transport.reading)
        self.run_disk(requestor)
        self.assertEqual(self.answer(requestor).status, 0xA700)
        self.assert_nothing()

    def test_refused_while_paused(self) -> None:
        """An aborted association that was stopped sees the peer's close."""
        self.serve()
        requestor = self.associated()
        self.send(requestor, data_set(pixels=LARGE * 8))
        protocol: Any = requestor.pump.server
        protocol.association.abort()
        requestor.pump.flush()
        self.assertTrue(requestor.pump.server_transport.disconnected)
        self.run_disk(requestor)
        self.assert_nothing()


class LossTests(StorageCase):
    """The association ends meanwhile."""

    def lose_at(self, cut: int, data: bytes, *, inline: bool, disk_first: bool) -> bool:
        """
        Lose the connection after so many bytes of a C-STORE; return whether it was answered.

        Args:
            cut: how many bytes arrive.
            data: the message.
            inline: whether the disk works at once.
            disk_first: whether it works off what it has to do before the loss, or after it.
        """
        self.store.files.clear()
        pump = connect(self.factory, Protocol(), self.clock)
        pump.client_transport.write(associate_rq([CT]).encode())
        pump.flush()
        client: Any = pump.client
        answers: list[bytes] = []
        client.dataReceived = answers.append
        pump.client_transport.write(data[:cut])
        pump.flush()
        if disk_first:
            self.disk.run()
            pump.flush()
        pump.lose()
        self.disk.run()
        return bool(answers)

    @requirement("K11")
    def test_every_byte(self) -> None:
        """After each byte of it: it is whole, stored and answered, or there is nothing."""
        message = message_pdus(store_rq(), data_set(pixels=b"\1" * 40), maximum_length=64)
        for inline in False, True:
            self.serve(inline=inline)
            for disk_first in False, True:
                for cut in range(len(message) + 1):
                    answered = self.lose_at(cut, message, inline=inline, disk_first=disk_first)
                    whole = cut == len(message) and (inline or disk_first)
                    self.assertEqual(answered, whole, cut)
                    self.assertEqual(len(self.store.files), whole, cut)
                    self.assertEqual(self.store.temporary, set(), cut)
        self.assert_file(data=data_set(pixels=b"\1" * 40))

    def test_every_job(self) -> None:
        """Before each thing that the disk does: what is stored is whole, nothing else is left."""
        data = data_set(pixels=LARGE)
        for hook in None, lambda _: None:
            for most in range(6):
                self.store.files.clear()
                self.serve(before_commit=hook)
                requestor = self.associated()
                self.send(requestor, data)
                self.run_disk(requestor, most)
                answered = bool(requestor.responses)
                requestor.pump.lose()
                self.disk.run()
                self.assertEqual(self.store.temporary, set())
                if answered:
                    self.assert_file(data=data)
                else:
                    self.assert_nothing()

    def test_during_each_call(self) -> None:
        """While the disk does something: it ends what it does, and no more."""
        told: list[Stored] = []
        asked: list[Received] = []
        ends: dict[str, Callable[[Pump], None]] = {"lost": Pump.lose, "aborted": _abort}
        for end in ends.values():
            for call in "write", "finish", "commit":
                told.clear()
                self.store.files.clear()
                asked.clear()
                self.serve(after_commit=told.append, before_commit=asked.append)
                requestor = self.associated()
                pump = requestor.pump
                self.store.before = {call: lambda end=end, pump=pump: end(pump)}  # type: ignore[misc]
                self.send(requestor)
                self.run_disk(requestor)
                self.store.before = {}
                self.assertEqual(requestor.responses, [])
                self.assertEqual(self.store.temporary, set())
                # A name that is being given is given: whoever keeps an index is told.
                self.assertEqual(len(self.store.files), call == "commit")
                self.assertEqual(len(told), call == "commit")
                self.assertEqual(len(asked), call == "commit")

    def test_during_hook(self) -> None:
        """While the hook makes up its mind: it is cancelled, and nothing is left."""
        for late in False, True:
            cancelled: list[Deferred[Any]] = []

            def canceller(deferred: Deferred[Any], cancelled: Any = cancelled) -> None:
                cancelled.append(deferred)

            def hook(_: Received, canceller: Any = canceller, late: bool = late) -> Any:
                async def swallow() -> Status:
                    with contextlib.suppress(CancelledError):
                        await Deferred(canceller)
                    return Status.SUCCESS

                return swallow() if late else Deferred(canceller)

            self.serve(before_commit=hook)
            requestor = self.associated()
            self.send(requestor)
            self.run_disk(requestor)
            self.assertEqual(len(self.store.temporary), 1)
            requestor.abort()
            self.assertEqual(len(cancelled), 1)
            self.disk.run()
            self.assert_nothing()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_nothing_begun(self) -> None:
        """What never came to the disk costs it no work."""
        self.serve()
        requestor = self.associated()
        pdus = message_pdus(store_rq(), data_set(pixels=LARGE[:5000]))
        requestor.pump.client_transport.write(pdus[:-1])
        requestor.pump.flush()
        requestor.pump.lose()
        self.assertEqual(self.disk.jobs, [])

    def test_release_waits(self) -> None:
        """A release after the last byte waits for the disk."""
        self.serve()
        requestor = self.associated()
        requestor.send(store_rq(), data_set())
        requestor.association.release()
        requestor.pump.flush()
        self.assertIsNone(requestor.ending)
        self.run_disk(requestor)
        self.assertIsNotNone(requestor.ending)
        self.assertEqual(self.answer(requestor).status, 0)


def _abort(pump: Pump) -> None:
    server: Any = pump.server
    server.association.abort()
    pump.flush()
