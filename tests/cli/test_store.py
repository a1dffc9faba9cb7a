"""`pacs-twisted store`, with a sender that says what it is told to say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from pacs_twisted.cli.options import StoreOptions
from pacs_twisted.cli.progress import measure
from pacs_twisted.cli.session import Session
from pacs_twisted.dimse import Status
from pacs_twisted.errors import AssociationAborted, AssociationRejected, ConnectionFailed
from pacs_twisted.storage.objects import StorableObject
from pacs_twisted.storage.outcomes import Category, Outcome, Progress, Summary
from tests.cli.driving import CommandCase, Done, Driver

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def item(name: str) -> StorableObject:
    """Return an object that is not looked into."""
    return StorableObject(name, CT, "1.2.3", EXPLICIT, 1000, body=None)  # type: ignore[arg-type]


def stored(name: str, status: Status = Status.SUCCESS) -> Outcome:
    """Return the outcome of an object that was answered."""
    category = {"0": Category.SUCCESS, "B": Category.WARNING}.get(
        f"{status.value:04X}"[0], Category.FAILURE
    )
    words = "success" if status == Status.SUCCESS else str(status)
    return Outcome(name, category, words, status, 1000, item(name))


def unsent(name: str, error: Exception) -> Outcome:
    """Return the outcome of an object for which there was no association."""
    return Outcome(name, Category.FAILURE, f"not sent: {error}", item=item(name), error=error)


BROKEN = Outcome("b.dcm", Category.FAILURE, "not a DICOM file")
SKIPPED = Outcome("read\x1bme", Category.SKIPPED, "not a DICOM file")


class StoreCase(CommandCase):
    """A test of the command."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.mktemp()
        Path(self.path).write_bytes(b"")
        self.progress = Progress()
        self.sent: list[tuple[Session, StoreOptions, Sequence[str]]] = []

    def send(self, *outcomes: Outcome, end: Any = None) -> Callable[..., Any]:
        """Return what sends: it tells these outcomes and ends so."""

        def send(
            session: Session,
            options: StoreOptions,
            paths: Sequence[str],
            *,
            on_outcome: Callable[[Outcome], object],
            on_progress: Callable[[Progress], object],
        ) -> Deferred[Summary]:
            self.sent.append((session, options, paths))
            for outcome in outcomes:
                on_outcome(outcome)
            on_progress(self.progress)
            if isinstance(end, Deferred):
                return end
            if isinstance(end, BaseException):
                return fail(end)
            return succeed(end or Summary())

        return send

    def store(self, *outcomes: Outcome, arguments: Sequence[str] = (), **more: Any) -> Done:
        end = more.pop("end", None)
        return self.run_command(
            "store", "archive", self.path, *arguments, send=self.send(*outcomes, end=end), **more
        )


class StoreTests(StoreCase):
    """What is told, and the exit status."""

    def test_lines(self) -> None:
        """A line for each object, a summary by status."""
        done = self.store(stored("a.dcm"), stored("c.dcm", Status.OUT_OF_RESOURCES), SKIPPED)
        self.assertEqual(
            done.stdout,
            "a.dcm: success\n"
            "c.dcm: A700H out of resources\n"
            "read\\x1bme: skipped: not a DICOM file\n"
            "--- ANY-SCP at archive:11112 ---\n"
            "       1 0000H success\n"
            "       1 A700H out of resources\n"
            "1 stored, 1 failed, 1 skipped; 1.0 kB in 0.00 s (2.0 MB/s)\n",
        )
        self.assertEqual((done.status, done.stderr), (1, ""))

    def test_status(self) -> None:
        """Warnings are stored, failures are failures, and so is nothing at all."""
        for outcomes, status in (
            ([stored("a")], 0),
            ([stored("a"), SKIPPED], 0),
            ([stored("a", Status.COERCION_OF_DATA_ELEMENTS)], 0),
            ([stored("a"), stored("c", Status.CANNOT_UNDERSTAND)], 1),
            ([stored("a"), BROKEN], 1),
            ([SKIPPED], 1),
            ([], 1),
        ):
            with self.subTest(outcomes):
                self.assertEqual(self.store(*outcomes).status, status)
        self.assertIn("nothing to send", self.store(SKIPPED).stderr)

    def test_no_association(self) -> None:
        """Why there is none is told once, not for each object; it decides the exit status."""
        for error, status in (
            (AssociationRejected(1, 1, 7), 3),
            (ConnectionFailed("Connection refused"), 4),
            (AssociationAborted(0, 0), 5),
        ):
            done = self.store(unsent("a", error), unsent("b", error), end=Summary(error=error))
            self.assertEqual(done.status, status)
            self.assertEqual(done.stderr.count(str(error)), 1)
            self.assertIn(f"       2 not sent: {error}\n", done.stdout)
            self.assertNotIn("a: not sent", done.stdout)

    def test_given_up(self) -> None:
        """An object at which associations have ended is told of by its name."""
        error = AssociationAborted(0, 0)
        words = f"no answer: {error}"
        lost = Outcome("a", Category.FAILURE, words, item=item("a"), error=error, begun=True)
        done = self.store(lost, stored("b"))
        self.assertIn(f"a: {words}\n", done.stdout)
        self.assertEqual(done.status, 1)

    def test_some_sent(self) -> None:
        """An association that was lost for good is the status even if something was stored."""
        error = AssociationAborted(0, 0)
        done = self.store(stored("a"), unsent("b", error), end=Summary(error=error))
        self.assertIn("1 stored, 1 failed", done.stdout)
        self.assertEqual(done.status, 5)

    def test_what_is_asked_for(self) -> None:
        """Options and paths arrive."""
        self.store(
            stored("a"),
            arguments=["--associations=3", "--max-operations=8", "--retries=1", "--decompress",
                       "--retry-delay=0", "--priority=high"],
        )  # fmt: skip
        ((_, options, paths),) = self.sent
        self.assertEqual(
            options,
            StoreOptions(
                associations=3,
                max_operations=8,
                retries=1,
                retry_delay=0.0,
                decompress=True,
                priority="high",
            ),
        )
        self.assertEqual(tuple(paths), (self.path,))

    def test_no_such_path(self) -> None:
        """A path that leads nowhere is a mistake of the command line."""
        done = self.run_command("store", "archive", "nosuch", send=self.send())
        self.assertEqual((done.status, self.sent), (2, []))
        self.assertIn("'nosuch' does not exist", done.stderr)

    def test_interrupted(self) -> None:
        """Ctrl-C: what is known is told, and how many were left."""
        self.progress = Progress(found=5, finished=1)
        done = self.store(stored("a"), end=Deferred(), driver=Driver(1.0))
        self.assertIn("1 stored, 0 failed", done.stdout)
        self.assertEqual((done.status, done.stderr), (130, ""))
        self.assertTrue(done.stdout.endswith("\ninterrupted, 4 or more left\n"), done.stdout)
        self.progress.all_found = True
        done = self.store(stored("a"), end=Deferred(), driver=Driver(1.0))
        self.assertIn("\ninterrupted, 4 left\n", done.stdout)
        self.assertNotIn("interrupted", self.store(stored("a")).stdout)
        self.progress = Progress()
        self.assertIn("\ninterrupted\n", self.store(end=Deferred(), driver=Driver(1.0)).stdout)

    def test_many_reasons(self) -> None:
        """The summary stays short."""
        done = self.store(*(Outcome(f"{n}", Category.FAILURE, f"odd {n}") for n in range(30)))
        self.assertIn("      10 for other reasons\n", done.stdout)

    def test_json(self) -> None:
        """Each object, each file that is none, a summary."""
        done = self.store(
            stored("a.dcm", Status.COERCION_OF_DATA_ELEMENTS), BROKEN, SKIPPED, arguments=["--json"]
        )
        self.assert_declared("store", done, "object", "skipped", "summary")
        warned, broken = done.of("object")
        self.assertEqual(
            (warned["category"], warned["status"], warned["error"], warned["sop_class_uid"]),
            ("warning", "B000", "", CT),
        )
        self.assertEqual(
            (broken["category"], broken["status"], broken["error"], broken["sop_class_uid"]),
            ("failure", None, "not a DICOM file", None),
        )
        summary = done.of("summary")[0]
        self.assertEqual((summary["objects"], summary["statuses"]), (2, {"B000": 1}))

    def test_json_failed(self) -> None:
        """Without an association: why, in the words of all commands."""
        error = ConnectionFailed("Connection refused")
        done = self.store(unsent("a", error), end=Summary(error=error), arguments=["--json"])
        self.assert_declared("store", done, "object", "failed", "summary")
        self.assertEqual(done.of("object")[0]["kind"], "no-connection")
        self.assertEqual(done.of("failed")[0]["kind"], "no-connection")


class MeasureTests(StoreCase):
    """How much there is to send."""

    def test_sizes(self) -> None:
        """The sizes of the files, also of those in directories."""
        folder = Path(self.mktemp())
        (folder / "deep").mkdir(parents=True)
        (folder / "a").write_bytes(bytes(10))
        (folder / "deep" / "b").write_bytes(bytes(20))
        self.assertEqual(measure([str(folder), str(folder / "a")], lambda: False), 40)

    def test_unknown(self) -> None:
        """What cannot be looked at leaves the sum unknown."""
        self.assertIsNone(measure(["nosuch"], lambda: False))

    def test_stopped(self) -> None:
        """Nobody measures for nobody."""
        self.assertIsNone(measure([self.path], lambda: True))
