"""The Storage SCU: what it proposes, sends, tries again and reports."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.dimse import CStoreRSP, Priority, Status
from pacs_twisted.errors import (
    AssociationAborted,
    AssociationLost,
    AssociationRejected,
    ConnectionFailed,
    InvalidPDU,
    TimedOut,
)
from pacs_twisted.net import AcceptorFactory, AdmissionPolicy, ApplicationEntity, PermittedPeer
from pacs_twisted.storage.content import PIECE
from pacs_twisted.storage.conversion import Conversion
from pacs_twisted.storage.disk import InlineDisk
from pacs_twisted.storage.files import Committed
from pacs_twisted.storage.outcomes import Category, Outcome, Progress, Summary
from pacs_twisted.storage.part10 import FileMeta
from pacs_twisted.storage.sender import Retry, Sender, send
from pacs_twisted.storage.service import Storage
from pacs_twisted.testing import MemoryEndpoint
from tests.requirements import requirement
from tests.storage.fakes import ManualDisk, MemoryStore
from tests.storage.sending import (
    BIG,
    CT,
    DATA,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    MR,
    RLE,
    FakePeer,
    data_set,
    implicit_data_set,
    part10,
)

LOST = AssociationLost("connection lost")


def _encrypted(archive: bytes) -> bytes:
    """Return an archive whose directory says that all members are encrypted."""
    changed = bytearray(archive)
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = -1
        while (at := archive.find(mark, at + 1)) >= 0:
            changed[at + offset] |= 1
    return bytes(changed)


class SenderCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.top = Path(self.mktemp())
        self.top.mkdir()
        self.clock = Clock()
        self.peer = FakePeer()
        self.disk: Any = InlineDisk()
        self.outcomes: list[Outcome] = []
        self.options: dict[str, Any] = {}

    def write(self, name: str, content: bytes) -> Path:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def write_many(self, count: int, sop_class: str = CT) -> None:
        """Write files with the instances 1.2.1, 1.2.2 and so on."""
        for number in range(1, count + 1):
            instance = f"1.2.{number}"
            self.write(f"{number:04}.dcm", part10(data_set(instance, sop_class), EXPLICIT))

    def begin(self, objects: Any = None) -> Deferred[Summary]:
        sender = Sender(
            associate=self.peer.associate,
            disk=self.disk,
            clock=self.clock,
            on_outcome=self.outcomes.append,
            **self.options,
        )
        return sender.send(self.top if objects is None else objects)

    def send(self, objects: Any = None) -> Summary:
        return self.successResultOf(self.begin(objects))

    def words(self) -> dict[str, str]:
        """Return what was said of each object, by the name of its file."""
        return {Path(outcome.name).name: outcome.words for outcome in self.outcomes}

    def categories(self) -> dict[str, Category]:
        return {Path(outcome.name).name: outcome.category for outcome in self.outcomes}


class SendTests(SenderCase):
    def test_files(self) -> None:
        """All files of a directory go over one association, which is released."""
        self.write_many(40)
        self.clock.advance(5)
        self.peer.on_associate = lambda: self.clock.advance(2)
        summary = self.send()
        self.assertEqual(self.peer.instances, [f"1.2.{number}" for number in range(1, 41)])
        self.assertEqual(
            summary,
            Summary(
                successes=40,
                bytes=40 * len(data_set("1.2.3")),
                seconds=2,
                associations=1,
                statuses={Status.SUCCESS: 40},
            ),
        )
        (association,) = self.peer.associations
        self.assertTrue(association.released)
        self.assertFalse(association.aborted)
        for outcome in self.outcomes:
            self.assertIs(outcome.category, Category.SUCCESS)
            self.assertIs(outcome.status, Status.SUCCESS)
            self.assertEqual(outcome.words, "success")

    def test_contexts(self) -> None:
        """What is proposed follows from what is to be sent, and each object goes in its context."""
        self.write("1.dcm", part10(data_set("1.2.1"), EXPLICIT))
        self.write("2.dcm", part10(data_set("1.2.2", MR), JPEG, sop_class=MR))
        self.write("3.dcm", part10(data_set("1.2.3"), RLE))
        self.send()
        self.assertEqual(
            self.peer.attempts,
            [
                (
                    (CT, (EXPLICIT,)),
                    (CT, (RLE,)),
                    (CT, (IMPLICIT,)),
                    (MR, (JPEG,)),
                )
            ],
        )
        self.assertEqual(
            [
                (context.abstract_syntax, context.transfer_syntax)
                for _, context, _ in self.peer.received
            ],
            [(CT, EXPLICIT), (MR, JPEG), (CT, RLE)],
        )

    def test_other_files(self) -> None:
        """What is no object is skipped in a directory, and a failure when it is named."""
        self.write("1.dcm", part10(data_set()))
        notes = self.write("notes.txt", b"no object")
        summary = self.send()
        self.assertEqual((summary.successes, summary.skipped, summary.failures), (1, 1, 0))
        self.assertEqual(self.words()["notes.txt"], "not a DICOM file")
        summary = self.send([notes, self.top / "no.dcm"])
        self.assertEqual((summary.successes, summary.skipped, summary.failures), (0, 0, 2))
        self.assertEqual(summary.associations, 0)
        self.assertEqual(self.words()["no.dcm"], "No such file or directory")
        self.assertEqual(len(self.peer.attempts), 1)

    def test_damaged(self) -> None:
        """Of a directory, what is not DICOM is skipped; what was an object is a failure."""
        whole = part10(data_set())
        self.write("cut.dcm", whole[:200])
        self.write("empty.dcm", FileMeta(CT, "1.2.3", EXPLICIT).encode())
        self.write("prefix.dcm", bytes(128) + b"DICM")
        self.write("late.dcm", b"DICM" + b"\xff" * 40)
        self.write("syntax.dcm", FileMeta(CT, "1.2.3", "").encode() + b"\xff" * 40)
        self.write("uids.dcm", FileMeta("", "", EXPLICIT).encode() + data_set()[-16:])
        self.write("group", b"\2\0" + b"\xff" * 600)
        self.write("nothing", b"")
        os.mkfifo(self.top / "pipe")
        self.assertEqual(self.send().failures, 6)
        categories = self.categories()
        skipped = {name for name, one in categories.items() if one is Category.SKIPPED}
        self.assertEqual(skipped, {"group", "nothing", "pipe"})
        self.assertEqual(
            self.words()["cut.dcm"],
            "a damaged DICOM file: the file ends at byte 200, inside its head",
        )
        self.assertEqual(self.words()["syntax.dcm"], "no transfer syntax")

    def test_damaged_archive(self) -> None:
        """A member that cannot be unpacked may have been an object: it is a failure."""
        path = self.top / "some.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("1.dcm", part10(data_set("1.2.1")))
            archive.writestr("2.dcm", part10(data_set("1.2.2")))
            archive.writestr("notes.txt", b"no object")
        content = bytearray(path.read_bytes())
        content[content.index(b"1.2.2")] ^= 1
        path.write_bytes(content)
        summary = self.send(path)
        self.assertEqual((summary.successes, summary.failures, summary.skipped), (1, 1, 1))
        self.assertIn("the archive is damaged", self.words().values())
        path.write_bytes(_encrypted(path.read_bytes()))
        self.assertEqual(self.send(path).failures, 3)

    def test_nothing(self) -> None:
        """Nothing to send needs no association."""
        self.assertEqual(self.send([]), Summary())
        self.assertEqual(self.peer.attempts, [])

    def test_datasets(self) -> None:
        """Data sets are taken from an iterable as they are sent, not before."""
        made = 0

        def datasets() -> Iterator[Dataset]:
            nonlocal made
            for number in range(20):
                made += 1
                dataset = Dataset()
                dataset.SOPClassUID = UID(CT)
                dataset.SOPInstanceUID = UID(f"1.2.{number}")
                dataset.PixelData = bytes(16 << 20)
                dataset["PixelData"].VR = "OW"
                yield dataset

        self.peer.on_associate = lambda: self.assertLess(made, 6)
        self.assertEqual(self.send(datasets()).successes, 20)
        self.assertEqual(self.peer.instances, [f"1.2.{number}" for number in range(20)])

    def test_broken_iterable(self) -> None:
        """When the caller's iterable fails, what came before is sent, and the caller is told."""
        path = self.write("1.dcm", part10(data_set()))

        def objects() -> Iterator[Path]:
            yield path
            raise LookupError("the caller's mistake")

        self.failureResultOf(self.begin(objects()), LookupError)
        self.assertEqual(self.peer.instances, ["1.2.3"])
        self.failureResultOf(self.begin(5), TypeError)

    def test_large(self) -> None:
        """A long file is sent in pieces, and each is reported as progress."""
        data = data_set(pixels=os.urandom(2 * PIECE + 501) + b"x")
        self.write("1.dcm", part10(data))
        steps: list[int] = []
        self.options["on_progress"] = lambda progress: steps.append(progress.sent_bytes)
        summary = self.send()
        self.assertEqual(self.peer.received[0][2], data)
        self.assertEqual(summary.bytes, len(data))
        self.assertEqual(steps, [PIECE, 2 * PIECE, len(data), len(data)])

    def test_progress(self) -> None:
        """How far it is can be seen all the time."""
        self.write_many(3)
        self.write("notes.txt", b"no object")
        seen: list[Progress] = []
        self.options["on_progress"] = seen.append
        self.send()
        length = len(data_set("1.2.3"))
        self.assertEqual(seen[-1], Progress(3, 3 * length, True, 3, 3 * length))

    def test_listener_fails(self) -> None:
        """A listener that fails does not stop the sending."""

        def fail(_: object) -> None:
            raise LookupError("the listener's mistake")

        self.write_many(2)
        self.options["on_progress"] = fail
        self.assertEqual(self.send().successes, 2)
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 4)

    def test_priority(self) -> None:
        """The priority is the caller's."""
        asked: list[Any] = []
        self.write_many(1)
        self.options["priority"] = Priority.HIGH
        store = FakePeer.associate

        def associate(offers: Any) -> Any:
            deferred = store(self.peer, offers)
            association = self.peer.associations[-1]
            plain = association.store

            def noting(*arguments: Any, **named: Any) -> Any:
                asked.append(named["priority"])
                return plain(*arguments, **named)

            association.store = noting  # type: ignore[method-assign]
            return deferred

        self.peer.associate = associate  # type: ignore[method-assign]
        self.send()
        self.assertEqual(asked, [Priority.HIGH])


class OutcomeTests(SenderCase):
    @requirement("K8")
    def test_statuses(self) -> None:
        """Success, warning and failure are told by the class of the status, whatever it is."""
        statuses = {
            0x0000: Category.SUCCESS,
            0xB000: Category.WARNING,
            0xB006: Category.WARNING,
            0xB007: Category.WARNING,
            0xB123: Category.WARNING,
            0x0001: Category.WARNING,
            0xA700: Category.FAILURE,
            0xA7FF: Category.FAILURE,
            0xA900: Category.FAILURE,
            0xA942: Category.FAILURE,
            0xC000: Category.FAILURE,
            0xCABC: Category.FAILURE,
            0x0122: Category.FAILURE,
            0x0124: Category.FAILURE,
            0xFE00: Category.FAILURE,
            0xFF00: Category.FAILURE,
            0x1234: Category.FAILURE,
        }
        self.write_many(len(statuses))
        for number, status in enumerate(statuses, 1):
            self.peer.answers[f"1.2.{number}"] = status
        summary = self.send()
        self.assertEqual(
            [(outcome.status, outcome.category) for outcome in self.outcomes],
            list(statuses.items()),
        )
        self.assertEqual((summary.successes, summary.warnings, summary.failures), (1, 5, 11))
        self.assertEqual(summary.statuses, dict.fromkeys(statuses, 1))
        self.assertIn("out of resources", self.words()["0008.dcm"])
        self.assertIn("data set does not match", self.words()["0010.dcm"])
        self.assertIn("cannot understand", self.words()["0012.dcm"])
        self.assertEqual(len(self.peer.associations), 1)

    def test_comment(self) -> None:
        """The peer's comment is told, made printable."""
        self.write_many(1)
        self.peer.answers["1.2.1"] = CStoreRSP(
            1, Status.OUT_OF_RESOURCES, error_comment="disk\nfull"
        )
        self.send()
        self.assertEqual(self.words()["0001.dcm"], "A700H out of resources: disk\\nfull")

    def test_not_accepted(self) -> None:
        """What the peer does not accept fails with a reason, and the others are sent."""
        self.write("1.dcm", part10(data_set("1.2.1")))
        self.write("2.dcm", part10(data_set("1.2.2"), RLE))
        self.write("3.dcm", part10(data_set("1.2.3", MR), JPEG))
        self.write("4.dcm", part10(data_set("1.2.4", "1.2.3.4"), EXPLICIT))
        self.peer.accepts = {CT: [EXPLICIT], MR: [EXPLICIT]}
        summary = self.send()
        self.assertEqual((summary.successes, summary.failures), (1, 3))
        self.assertEqual(
            self.words(),
            {
                "1.dcm": "success",
                "2.dcm": "the peer does not accept CT Image Storage (1.2.840.10008.5.1.4.1.1.2) in"
                " RLE Lossless (1.2.840.10008.1.2.5), only in Explicit VR Little Endian"
                " (1.2.840.10008.1.2.1), and decompression was not asked for",
                "3.dcm": "the peer does not accept MR Image Storage (1.2.840.10008.5.1.4.1.1.4) in"
                " JPEG Baseline (Process 1) (1.2.840.10008.1.2.4.50)",
                "4.dcm": "the peer does not accept 1.2.3.4",
            },
        )
        self.assertEqual(len(self.peer.attempts), 1)

    def test_nothing_accepted(self) -> None:
        """A peer that accepts nothing is asked once, not again and again."""
        self.write_many(30)
        self.peer.accepts = {}
        self.assertEqual(self.send().failures, 30)
        self.assertEqual(len(self.peer.attempts), 1)

    def test_bad_file(self) -> None:
        """A file that goes bad after the look at it does not keep the others from being sent."""
        self.write_many(3)
        self.peer.on_associate = lambda: (self.top / "0002.dcm").unlink()
        summary = self.send()
        self.assertEqual((summary.successes, summary.failures), (2, 1))
        self.assertEqual(self.words()["0002.dcm"], "No such file or directory")

    def test_internal_error(self) -> None:
        """An error of ours with one object is logged, and the others are sent."""
        self.write_many(3)
        plain = FakePeer.associate

        def associate(offers: Any) -> Any:
            deferred = plain(self.peer, offers)
            association = self.peer.associations[-1]
            store = association.store

            def failing(sop_class: str, instance: str, *rest: Any, **named: Any) -> Any:
                if instance == "1.2.2":
                    raise LookupError("a mistake")
                return store(sop_class, instance, *rest, **named)

            association.store = failing  # type: ignore[assignment, method-assign]
            return deferred

        self.peer.associate = associate  # type: ignore[method-assign]
        summary = self.send()
        self.assertEqual((summary.successes, summary.failures), (2, 1))
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)


class ConversionTests(SenderCase):
    def test_recoded(self) -> None:
        """What the peer takes in another uncompressed transfer syntax only is recoded."""
        self.write("1.dcm", part10(data_set("1.2.1")))
        self.write("2.dcm", part10(data_set("1.2.2", order=">", pixels=b"ba"), BIG))
        self.peer.accepts = {CT: [IMPLICIT]}
        self.assertEqual(self.send().successes, 2)
        self.assertEqual(
            [(context.transfer_syntax, data) for _, context, data in self.peer.received],
            [(IMPLICIT, implicit_data_set("1.2.1")), (IMPLICIT, implicit_data_set("1.2.2"))],
        )

    def test_explicit_preferred(self) -> None:
        """Where the peer leaves a choice, it is recoded to explicit VR, which loses nothing."""
        self.write("1.dcm", part10(implicit_data_set("1.2.1"), IMPLICIT))
        self.write("2.dcm", part10(data_set("1.2.2"), EXPLICIT))
        self.write("3.dcm", part10(data_set("1.2.3", order=">", pixels=b"ba"), BIG))
        self.peer.accepts = {CT: [IMPLICIT, EXPLICIT]}
        self.send()
        self.assertEqual(self.peer.received[2][1].transfer_syntax, EXPLICIT)
        self.assertEqual(self.peer.received[2][2], data_set("1.2.3"))

    def test_few_ahead(self) -> None:
        """What is converted is in memory as a whole: little of it is made ahead of its turn."""
        for number in range(12):
            self.write(
                f"{number:02}.dcm", part10(data_set(f"1.2.{number}", pixels=b"a" * 4 * PIECE))
            )
        self.peer.accepts = {CT: [IMPLICIT]}
        self.peer.holds = True
        converted: list[str] = []
        convert = Conversion.convert

        def count(self: Conversion, item: Any, target: str) -> Any:
            converted.append(item.sop_instance_uid)
            return convert(self, item, target)

        self.patch(Conversion, "convert", count)
        summary = self.begin()
        (association,) = self.peer.associations
        while association.pending:
            # One is sent, one is ready, and one may be made.
            self.assertLessEqual(len(converted), len(self.peer.received) + 2)
            association.respond()
        self.assertEqual(self.successResultOf(summary).successes, 12)

    def test_switched_off(self) -> None:
        """By option nothing is recoded."""
        self.write("1.dcm", part10(data_set("1.2.1")))
        self.peer.accepts = {CT: [IMPLICIT]}
        self.options["conversion"] = Conversion(recode=False)
        self.assertEqual(self.send().failures, 1)
        self.assertIn("recoding is switched off", self.words()["1.dcm"])

    def test_not_convertible(self) -> None:
        """What cannot be converted fails with a reason, and the others are sent."""
        self.write("1.dcm", part10(data_set("1.2.1")[:-4] + b"\xff\xff\0\0"))
        self.write("2.dcm", part10(data_set("1.2.2")))
        self.peer.accepts = {CT: [IMPLICIT]}
        summary = self.send()
        self.assertEqual((summary.successes, summary.failures), (1, 1))
        self.assertIn("ends inside of an element", self.words()["1.dcm"])

    def test_decompress_offered(self) -> None:
        """When decompression is asked for, uncompressed is offered also for what is lossy."""
        self.write("1.dcm", part10(data_set("1.2.1"), JPEG))
        self.options["conversion"] = Conversion(decompress=True)
        self.send()
        self.assertEqual(self.peer.attempts, [((CT, (JPEG,)), (CT, (EXPLICIT, IMPLICIT)))])


class LookAheadTests(SenderCase):
    def test_bounded(self) -> None:
        """Of many files only some are looked at before the first is sent."""
        self.write_many(20)
        self.options["look_ahead"] = 4
        for number in range(11, 21):
            (self.top / f"{number:04}.dcm").write_bytes(b"later")

        def correct() -> None:
            for number in range(11, 21):
                content = part10(data_set(f"1.2.{number}"))
                (self.top / f"{number:04}.dcm").write_bytes(content)

        disk = ManualDisk()
        self.disk = disk
        self.peer.on_associate = correct
        summary = self.begin()
        disk.run(1)
        self.assertEqual(len(self.peer.attempts), 1)
        disk.run()
        self.assertEqual(self.successResultOf(summary).successes, 20)

    def test_set_aside(self) -> None:
        """What needs other contexts is set aside, and sent together over another association."""
        for number in range(40):
            sop_class, syntax = (CT, EXPLICIT) if number < 10 or number % 2 else (MR, EXPLICIT)
            content = part10(data_set(f"1.2.{number}", sop_class), syntax)
            self.write(f"{number:03}.dcm", content)
        self.options["look_ahead"] = 10
        disk = ManualDisk()
        self.disk = disk
        # Only so much as is looked at in one go is known when the association is proposed.
        import pacs_twisted.storage.backlog as backlog

        self.patch(backlog, "_AT_A_TIME", 5)
        summary = self.begin()
        disk.run()
        result = self.successResultOf(summary)
        self.assertEqual((result.successes, result.associations), (40, 2))
        self.assertEqual(self.peer.attempts[0], ((CT, (EXPLICIT,)), (CT, (IMPLICIT,))))
        self.assertEqual(
            set(self.peer.attempts[1]),
            {(CT, (EXPLICIT,)), (CT, (IMPLICIT,)), (MR, (EXPLICIT,)), (MR, (IMPLICIT,))},
        )
        self.assertEqual(set(self.peer.instances), {f"1.2.{number}" for number in range(40)})
        self.assertTrue(all(association.released for association in self.peer.associations))

    def test_too_many_contexts(self) -> None:
        """More contexts than an association can have are spread over several."""
        for number in range(100):
            content = part10(data_set(f"1.2.{number}", f"1.3.{number}"))
            self.write(f"{number:03}.dcm", content)
        summary = self.send()
        self.assertEqual((summary.successes, summary.associations), (100, 2))
        self.assertEqual([len(offers) for offers in self.peer.attempts], [128, 128])

    def test_ahead_of_sending(self) -> None:
        """While one object is sent, the next are loaded already."""
        self.write_many(30)
        disk = ManualDisk()
        self.disk = disk
        self.peer.holds = True
        self.begin()
        disk.run()
        (association,) = self.peer.associations
        before = disk.done
        for _ in range(4):
            association.respond()
        self.assertEqual(disk.done, before)
        self.assertEqual(len(self.peer.received), 5)


class WindowTests(SenderCase):
    def test_window(self) -> None:
        """As many requests are on their way as the peer takes."""
        self.write_many(10)
        for window, expected in ((1, 1), (3, 3), (0, 10)):
            self.peer = FakePeer(window=window)
            self.peer.holds = True
            summary = self.begin()
            (association,) = self.peer.associations
            self.assertEqual(len(association.pending), expected)
            while association.pending:
                association.respond()
            self.assertEqual(association.most_pending, expected)
            self.assertEqual(self.successResultOf(summary).successes, 10)

    def test_resume(self) -> None:
        """Of several on their way, those without an answer are sent again, in their order."""
        self.write_many(6)
        self.peer = FakePeer(window=3)
        self.peer.holds = True
        self.options["retry"] = Retry(retries=1, delay=1.0)
        summary = self.begin()
        first = self.peer.associations[0]
        first.respond()
        first.lose(LOST)
        self.peer.received.clear()
        self.peer.holds = False
        self.clock.advance(1.0)
        self.assertEqual(self.successResultOf(summary).successes, 6)
        self.assertEqual(self.peer.instances, ["1.2.2", "1.2.3", "1.2.4", "1.2.5", "1.2.6"])

    def test_parallel(self) -> None:
        """Several associations share the work."""
        self.write_many(20)
        self.options["associations"] = 3
        self.peer.holds = True
        summary = self.begin()
        self.assertEqual(len(self.peer.associations), 3)
        self.assertEqual([len(one.pending) for one in self.peer.associations], [1, 1, 1])
        while any(association.pending for association in self.peer.associations):
            for association in self.peer.associations:
                if association.pending:
                    association.respond()
        result = self.successResultOf(summary)
        self.assertEqual((result.successes, result.associations), (20, 3))
        self.assertEqual(len(set(self.peer.instances)), 20)

    def test_no_more_than_objects(self) -> None:
        """There are no more associations than objects."""
        self.write_many(2)
        self.options["associations"] = 5
        self.peer.holds = True
        self.begin()
        self.assertEqual(len(self.peer.associations), 2)

    def test_refused_second(self) -> None:
        """When a peer takes one association only, that one sends everything."""
        self.write_many(12)
        self.options["associations"] = 2
        self.peer.holds = True
        attempts: list[Any] = []

        def refuse_more() -> None:
            attempts.append(1)
            if len(attempts) > 1:
                self.peer.refusals.append(AssociationRejected(1, 1, 1))

        self.peer.on_associate = refuse_more
        summary = self.begin()
        (association,) = self.peer.associations
        while association.pending:
            association.respond()
        result = self.successResultOf(summary)
        self.assertEqual((result.successes, result.failures, result.error), (12, 0, None))


class RetryTests(SenderCase):
    def setUp(self) -> None:
        super().setUp()
        self.options["retry"] = Retry(retries=2, delay=5.0)

    def test_resume(self) -> None:
        """A lost association is made anew after a while, and what has no answer is sent."""
        for error in (LOST, AssociationAborted(2, 0), TimedOut("dimse", 60.0), InvalidPDU("bad")):
            self.peer = FakePeer()
            self.write_many(4)
            self.peer.answers["1.2.3"] = [error]
            summary = self.begin()
            self.assertEqual(self.peer.instances, ["1.2.1", "1.2.2", "1.2.3"])
            self.clock.advance(4.9)
            self.assertNoResult(summary)
            self.assertEqual(len(self.peer.attempts), 1)
            self.clock.advance(0.1)
            result = self.successResultOf(summary)
            self.assertEqual((result.successes, result.associations), (4, 2))
            self.assertEqual(self.peer.instances[3:], ["1.2.3", "1.2.4"])
            self.assertEqual(len(self.outcomes), 4)
            self.outcomes.clear()

    def test_stumbling_block(self) -> None:
        """An object at which the peer falls each time is given up, and the others are sent."""
        self.write_many(4)
        self.peer.answers["1.2.2"] = [LOST, LOST, LOST, LOST]
        summary = self.begin()
        self.clock.pump([5.0] * 5)
        result = self.successResultOf(summary)
        self.assertEqual((result.successes, result.failures, result.error), (3, 1, None))
        self.assertEqual(self.words()["0002.dcm"], "no answer: connection lost")
        self.assertIs(self.outcomes[1].error, LOST)
        self.assertEqual(self.peer.instances.count("1.2.2"), 3)

    def test_two_in_a_row(self) -> None:
        """Two objects at which the peer falls, one after the other, do not end the rest."""
        self.write_many(5)
        for instance in ("1.2.1", "1.2.2"):
            self.peer.answers[instance] = [AssociationAborted(0, 0)] * 9
        summary = self.begin()
        self.clock.pump([5.0] * 6)
        result = self.successResultOf(summary)
        self.assertEqual((result.successes, result.failures, result.error), (3, 2, None))
        self.assertEqual(self.peer.instances.count("1.2.2"), 3)
        self.assertIn("no answer: association aborted", self.words()["0002.dcm"])
        self.assertTrue(all(outcome.begun for outcome in self.outcomes))

    def test_many_apart(self) -> None:
        """Any number of objects may be stumbling blocks, if others are answered in between."""
        self.write_many(12)
        for number in range(1, 13, 2):
            self.peer.answers[f"1.2.{number}"] = [LOST] * 9
        summary = self.begin()
        self.clock.pump([5.0] * 30)
        result = self.successResultOf(summary)
        self.assertEqual((result.successes, result.failures, result.error), (6, 6, None))

    def test_last_one(self) -> None:
        """After the last object was given up nothing is waited for."""
        self.write_many(2)
        self.peer.answers["1.2.2"] = [LOST] * 9
        summary = self.begin()
        self.clock.pump([5.0, 5.0])
        result = self.successResultOf(summary)
        self.assertEqual((result.successes, result.failures, result.error), (1, 1, None))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_other_association(self) -> None:
        """An association that stumbles does not end the work of another."""
        self.write_many(30)
        self.options["associations"] = 2
        self.peer.holds = True
        summary = self.begin()
        first, second = self.peer.associations
        for _ in range(9):
            first.lose(LOST)
            self.clock.advance(5.0)
            first = self.peer.associations[-1]
        self.assertTrue(second.pending)
        self.peer.holds = False
        while second.pending:
            second.respond()
        self.assertEqual(self.successResultOf(summary).error, None)

    def test_no_more_associations(self) -> None:
        """When there is no association any more after one was lost, all is given up."""
        self.write_many(3)
        self.peer.answers["1.2.1"] = [LOST]
        failed = ConnectionFailed("Connection refused")
        self.peer.on_associate = lambda: self.peer.refusals.extend(
            [failed] if len(self.peer.attempts) > 1 else []
        )
        summary = self.begin()
        self.clock.pump([5.0] * 3)
        result = self.successResultOf(summary)
        self.assertEqual((result.failures, result.error), (3, failed))
        self.assertEqual(
            self.words(),
            {
                "0001.dcm": "no answer: Connection refused",
                "0002.dcm": "not sent: Connection refused",
                "0003.dcm": "not sent: Connection refused",
            },
        )

    def test_stumbling_block_among_others(self) -> None:
        """Which one it is shows when they are sent one by one."""
        self.write_many(6)
        self.peer = FakePeer(window=4)
        self.peer.answers["1.2.3"] = [LOST] * 4
        self.peer.holds = True
        summary = self.begin()
        association = self.peer.associations[0]
        association.pending.pop(0)[0].callback(CStoreRSP(1, Status.SUCCESS))
        association.lose(LOST)
        self.peer.holds = False
        self.clock.pump([5.0] * 6)
        result = self.successResultOf(summary)
        self.assertEqual((result.successes, result.failures), (5, 1))
        self.assertEqual(self.words()["0003.dcm"], "no answer: connection lost")

    def test_given_up(self) -> None:
        """A peer that takes nothing any more is given up, and all the rest is reported."""
        self.write_many(50)
        self.options["look_ahead"] = 8
        self.peer.answers = {f"1.2.{number}": [LOST] * 9 for number in range(3, 51)}
        summary = self.begin()
        self.clock.pump([5.0] * 9)
        result = self.successResultOf(summary)
        self.assertEqual((result.successes, result.failures), (2, 48))
        self.assertIs(result.error, LOST)
        self.assertEqual(len(self.peer.attempts), 9)
        self.assertEqual(len(self.outcomes), 50)
        self.assertEqual(self.words()["0003.dcm"], "no answer: connection lost")
        self.assertEqual(self.words()["0050.dcm"], "not sent: connection lost")

    def test_no_retries(self) -> None:
        """Without retries nothing is sent twice, and what was not sent yet goes on."""
        self.write_many(6)
        self.options["retry"] = Retry(retries=0, delay=5.0)
        self.peer = FakePeer(window=2)
        self.peer.holds = True
        summary = self.begin()
        self.peer.associations[0].lose(LOST)
        self.peer.holds = False
        self.clock.advance(5.0)
        result = self.successResultOf(summary)
        self.assertEqual((result.successes, result.failures, result.error), (4, 2, None))
        self.assertEqual(self.words()["0002.dcm"], "no answer: connection lost")
        self.assertEqual(len(self.peer.instances), 6)

    def test_no_connection(self) -> None:
        """A peer that is not there is tried again, so often and no more."""
        self.write_many(2)
        failed = ConnectionFailed("Connection refused")
        self.peer.refusals = [failed, failed]
        summary = self.begin()
        self.clock.pump([5.0, 5.0])
        self.assertEqual(self.successResultOf(summary).successes, 2)
        self.peer.refusals = [failed, failed, failed]
        summary = self.begin()
        self.clock.pump([5.0, 5.0])
        result = self.successResultOf(summary)
        self.assertEqual((result.failures, result.error), (2, failed))
        self.assertIs(self.outcomes[-1].error, failed)

    def test_transient_rejection(self) -> None:
        """A peer that has no room now is asked again."""
        self.write_many(1)
        self.peer.refusals = [AssociationRejected(2, 3, 2)]
        summary = self.begin()
        self.assertNoResult(summary)
        self.clock.advance(5.0)
        self.assertEqual(self.successResultOf(summary).successes, 1)

    def test_permanent_rejection(self) -> None:
        """A peer that says no is not asked again, and everything fails with its reason."""
        self.write_many(3)
        self.write("notes.txt", b"no object")
        rejected = AssociationRejected(1, 1, 7)
        self.peer.refusals = [rejected]
        result = self.send()
        self.assertEqual((result.failures, result.skipped, result.error), (3, 1, rejected))
        self.assertIn("called AE title not recognized", self.words()["0002.dcm"])
        self.assertEqual(len(self.peer.attempts), 1)

    def test_no_dicom(self) -> None:
        """What does not speak DICOM is not asked again."""
        self.write_many(1)
        self.peer.refusals = [InvalidPDU("no DICOM")]
        self.assertIsInstance(self.send().error, InvalidPDU)

    def test_own_mistake(self) -> None:
        """An association that cannot be asked for is the caller's mistake."""
        self.write_many(1)
        self.peer.refusals = [ValueError("AE title too long")]
        self.failureResultOf(self.begin(), ValueError)

    def test_progress_counts(self) -> None:
        """As long as an answer comes in between, it goes on for ever."""
        self.write_many(12)
        for number in range(1, 13):
            self.peer.answers[f"1.2.{number}"] = [LOST]
        summary = self.begin()
        self.clock.pump([5.0] * 30)
        self.assertEqual(self.successResultOf(summary).successes, 12)

    def test_ended_in_between(self) -> None:
        """An association that has ended when nothing was on its way is replaced, too."""
        self.write_many(3)
        self.peer.holds = True
        summary = self.begin()
        association = self.peer.associations[0]
        association.is_over = True
        association.respond()
        self.peer.holds = False
        self.clock.advance(5.0)
        self.assertEqual(self.successResultOf(summary).successes, 3)
        self.assertFalse(association.released)

    def test_unreadable(self) -> None:
        """A file that fails in the middle ends the association; only that one is not sent."""
        self.write("1.dcm", part10(data_set("1.2.1")))
        self.write("2.dcm", part10(data_set("1.2.2", pixels=bytes(3 * PIECE))))
        self.write("3.dcm", part10(data_set("1.2.3")))
        fstat = os.fstat

        def cut(descriptor: int) -> os.stat_result:
            status = fstat(descriptor)
            if self.peer.attempts and status.st_size > PIECE:
                os.truncate(self.top / "2.dcm", PIECE)
            return status

        self.patch(os, "fstat", cut)
        result = self.send()
        self.assertEqual((result.successes, result.failures, result.associations), (2, 1, 2))
        self.assertEqual(self.words()["2.dcm"], "the file has become shorter")
        self.assertEqual(self.clock.getDelayedCalls(), [])


class CancelTests(SenderCase):
    def test_while_sending(self) -> None:
        """Cancelling aborts the association, and nothing more is sent."""
        self.write_many(5)
        self.peer.holds = True
        summary = self.begin()
        summary.cancel()
        self.failureResultOf(summary, CancelledError)
        (association,) = self.peer.associations
        self.assertTrue(association.aborted)
        self.assertEqual(self.peer.instances, ["1.2.1"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_while_connecting(self) -> None:
        """Cancelling takes the attempt back."""
        self.write_many(1)
        cancelled: list[Any] = []
        self.peer.refusals = [Deferred(cancelled.append)]
        summary = self.begin()
        summary.cancel()
        self.failureResultOf(summary, CancelledError)
        self.assertEqual(len(cancelled), 1)

    def test_while_waiting(self) -> None:
        """Cancelling ends the pause before another attempt."""
        self.write_many(1)
        self.peer.refusals = [ConnectionFailed("refused")]
        summary = self.begin()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        summary.cancel()
        self.failureResultOf(summary, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.peer.attempts), 1)

    def test_while_looking(self) -> None:
        """Cancelling before anything was found sends nothing."""
        self.write_many(1)
        disk = ManualDisk()
        self.disk = disk
        summary = self.begin()
        summary.cancel()
        self.failureResultOf(summary, CancelledError)
        disk.run()
        self.assertEqual(self.peer.attempts, [])

    def test_files_closed(self) -> None:
        """Files that were opened ahead are closed."""
        for number in range(3):
            self.write(f"{number}", part10(data_set(f"1.2.{number}", pixels=bytes(2 * PIECE))))
        closed: list[int] = []
        opened: list[int] = []
        plain_open, plain_close = os.open, os.close

        def note_open(*arguments: Any) -> int:
            opened.append(plain_open(*arguments))
            return opened[-1]

        def note_close(descriptor: int) -> None:
            closed.append(descriptor)
            plain_close(descriptor)

        self.patch(os, "open", note_open)
        self.patch(os, "close", note_close)
        self.peer.holds = True
        summary = self.begin()
        self.assertLess(len(closed), len(opened))
        summary.cancel()
        self.failureResultOf(summary, CancelledError)
        self.assertEqual(sorted(closed), sorted(opened))


class RealPeerTests(SenderCase):
    """With a real requestor, over connections in memory, to our own Storage SCP."""

    def setUp(self) -> None:
        super().setUp()
        self.store = MemoryStore()
        self.service = Storage(self.store, disk=InlineDisk(), template="{SOPInstanceUID}")
        self.factory = AcceptorFactory(
            ApplicationEntity("PACS", [self.service]), reactor=self.clock
        )
        self.endpoint = MemoryEndpoint(self.factory, self.clock)

    def begin(self, objects: Any = None) -> Deferred[Summary]:
        return send(
            self.endpoint,
            self.top if objects is None else objects,
            called="PACS",
            calling="SCU",
            disk=self.disk,
            reactor=self.clock,
            on_outcome=self.outcomes.append,
            **self.options,
        )

    def send(self, objects: Any = None) -> Summary:
        summary = self.begin(objects)
        self.endpoint.flush()
        return self.successResultOf(summary)

    @requirement("K10")
    def test_real_files(self) -> None:
        """Real files of all kinds arrive byte for byte, deflated and compressed ones too."""
        # Some of them are the same instance.
        self.store.place = lambda path: Committed(path / str(len(self.store.files)))
        result = self.send(sorted(DATA.glob("*.dcm")))
        self.assertEqual(result.failures, 0, self.words())
        self.assertEqual(result.associations, 1)
        stored = b"".join(self.store.files.values())
        for outcome in self.outcomes:
            assert outcome.item is not None
            whole = Path(outcome.name).read_bytes()
            self.assertIn(whole[-min(outcome.length, len(whole)) + 1 :], stored, outcome.name)

    def test_large(self) -> None:
        """A long object arrives whole."""
        data = data_set("1.2.1", pixels=os.urandom(3 * PIECE))
        self.write("1.dcm", part10(data))
        self.assertEqual(self.send().successes, 1)
        (stored,) = self.store.files.values()
        self.assertTrue(stored.endswith(data))

    def test_window(self) -> None:
        """Several requests on their way do not get mixed up."""
        self.factory = AcceptorFactory(
            ApplicationEntity("PACS", [self.service]), maximum_operations=4, reactor=self.clock
        )
        self.endpoint = MemoryEndpoint(self.factory, self.clock)
        self.write_many(30)
        self.options["maximum_operations"] = 4
        self.assertEqual(self.send().successes, 30)
        self.assertEqual(len(self.store.files), 30)

    def test_lost_connection(self) -> None:
        """A connection that breaks is made anew, and everything arrives."""
        for number in range(1, 7):
            self.write(f"{number}", part10(data_set(f"1.2.{number}", pixels=bytes(100_000))))
        self.options["retry"] = Retry(retries=2, delay=1.0)
        summary = self.begin()
        for _ in range(5):
            for connection in self.endpoint.connections:
                connection.step(40_000)
            self.clock.advance(0)
        self.endpoint.lose()
        self.assertLess(len(self.store.files), 6)
        self.endpoint.advance(1.0)
        result = self.successResultOf(summary)
        self.assertEqual((result.successes, result.associations), (6, 2))
        self.assertEqual(len(self.store.files), 6)

    def test_refused(self) -> None:
        """No connection, or a wrong title, is said in words."""
        self.write_many(1)
        self.endpoint.error = OSError(111, "Connection refused")
        self.options["retry"] = Retry(retries=0)
        self.assertIsInstance(self.send().error, ConnectionFailed)
        self.endpoint.error = None
        self.factory.admission = AdmissionPolicy((PermittedPeer.parse("CT1"),))
        self.assertIsInstance(self.send().error, AssociationRejected)

    def test_spoiled(self) -> None:
        """A file that cannot be read to its end is not sent, the others are."""
        self.write("1.dcm", part10(data_set("1.2.1", pixels=bytes(3 * PIECE))))
        self.write_many(2)
        fstat = os.fstat

        def cut(descriptor: int) -> os.stat_result:
            status = fstat(descriptor)
            if self.endpoint.attempts and status.st_size > PIECE:
                os.truncate(self.top / "1.dcm", PIECE)
            return status

        self.patch(os, "fstat", cut)
        result = self.send()
        self.assertEqual((result.successes, result.failures), (2, 1), self.words())
        self.assertEqual(self.words()["1.dcm"], "the file has become shorter")

    def test_failure_of_pool(self) -> None:
        """A disk that does not run is the caller's mistake."""
        from pacs_twisted.errors import OutOfSequence

        class Stopped:
            def submit(self, *_: Any) -> Deferred[Any]:
                stopped: Deferred[Any] = Deferred()
                stopped.errback(Failure(OutOfSequence("the disk pool does not run")))
                return stopped

        class NoDisk(InlineDisk):
            def queue(self) -> Any:
                return Stopped()

        self.disk = NoDisk()
        self.failureResultOf(self.begin(), OutOfSequence)
