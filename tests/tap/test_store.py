"""`twistd pacs-store` without twistd: what is made of its options, start, reload and stop."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted import acceptor_service
from pacs_twisted.acceptor_service import AcceptorService, StartError
from pacs_twisted.storage.discard import Discard
from pacs_twisted.storage.disk import DiskPool, InlineDisk
from pacs_twisted.storage.files import Existing
from pacs_twisted.storage.service import Storage
from pacs_twisted.tap.store import DirectoryResources, Options, make_store_service
from pacs_twisted.uids import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"


class Reactor(MemoryReactorClock):
    """A reactor in memory that may be asked to do something by a thread."""

    def callFromThread(self, f: Any, *arguments: Any, **more: Any) -> None:  # noqa: N802
        f(*arguments, **more)


class StoreCase(SynchronousTestCase):
    """A test with a directory."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).resolve()
        self.stderr = io.StringIO()
        self.patch(sys, "__stderr__", self.stderr)
        self.patch(acceptor_service, "raise_file_limit", lambda files: None)

    def service(self, *arguments: str) -> AcceptorService:
        """Return the service of a command line, which works on its directory at once."""
        parsed = Options()
        parsed.parseOptions([f"--directory={self.directory}", "--disk-mode=inline", *arguments])
        return make_store_service(parsed, Reactor())

    def resources(self, made: AcceptorService) -> DirectoryResources:
        resources = made._resources
        assert isinstance(resources, DirectoryResources)
        return resources

    def storage(self, made: AcceptorService) -> Storage:
        [storage] = [one for one in made.factory.entity.services if isinstance(one, Storage)]
        return storage


class OptionsTests(StoreCase):
    """What becomes of the options."""

    def test_entity(self) -> None:
        """Storage and Verification, under the title of this server."""
        entity = self.service().factory.entity
        self.assertEqual(entity.title, "PACS_STORE")
        self.assertIn(VERIFICATION, entity.supported)
        self.assertEqual(
            entity.supported[CT_IMAGE_STORAGE][:2],
            (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN),
        )
        self.assertNotIn("1.2.3.4", entity.supported)

    def test_syntaxes_and_classes(self) -> None:
        """Preferred transfer syntaxes go first, the others are there; private classes are added."""
        for discard in ((), ("--discard",)):
            entity = self.service(
                "--prefer-transfer-syntax=JPEG2000Lossless",
                "--prefer-transfer-syntax=1.2.840.10008.1.2",
                "--private-sop-class=1.2.3.4",
                *discard,
            ).factory.entity
            for sop_class in (CT_IMAGE_STORAGE, "1.2.3.4"):
                self.assertEqual(
                    entity.supported[sop_class][:3],
                    (JPEG_2000_LOSSLESS, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN),
                )

    def test_store(self) -> None:
        """The directory's policy, fsync and threads."""
        resources = self.resources(self.service())
        self.assertEqual(resources.store.directory, str(self.directory))
        self.assertTrue(resources.store.fsync)
        self.assertIs(resources.store.existing, Existing.COMPARE)
        self.assertIsInstance(resources.disk, InlineDisk)
        resources = self.resources(
            self.service(
                "--no-fsync", "--existing=refuse", "--disk-mode=threads", "--disk-threads=7"
            )
        )
        self.assertFalse(resources.store.fsync)
        self.assertIs(resources.store.existing, Existing.REFUSE)
        assert isinstance(resources.disk, DiskPool)
        self.assertEqual(resources.disk.threads, 7)

    def test_discard(self) -> None:
        """--discard needs no directory, makes none if there is one, and says what it does."""
        made = self.service("--discard")
        services = made.factory.entity.services
        self.assertEqual([type(one) for one in services][:1], [Discard])
        with capturedLogs() as events:
            made.startService()
        self.assertIn("discarding", [event.get("event") for event in events])
        self.assertFalse(self.directory.exists())
        self.successResultOf(made.stopService())


class LifeTests(StoreCase):
    """Start, reload, stop."""

    def test_start_and_stop(self) -> None:
        """The directory is made, held while the server runs, and left clean; again and again."""
        made = self.service()
        for _ in range(2):
            with capturedLogs() as events:
                made.startService()
            self.assertIn("storing", [event.get("event") for event in events])
            self.assertEqual(len(list(self.directory.glob(".incoming/*/"))), 1)
            self.successResultOf(made.stopService())
            self.assertEqual(list(self.directory.glob(".incoming/*/")), [])

    def test_threads(self) -> None:
        """The threads work as long as the server runs."""
        made = self.service("--disk-mode=threads", "--disk-threads=1")
        disk = self.resources(made).disk
        assert isinstance(disk, DiskPool)
        self.assertFalse(disk.admit())
        made.startService()
        self.assertTrue(disk.admit())  # a piece of work, which the stop waits for
        stopped = made.stopService()
        self.assertNoResult(stopped)
        disk.dismiss()
        self.successResultOf(stopped)
        self.assertFalse(disk.admit())

    def test_leftovers(self) -> None:
        """What a server that died has left behind is removed, and said."""
        dead = self.directory / ".incoming" / "1-2"
        dead.mkdir(parents=True)
        (dead / "lock").touch()
        (dead / "1").write_bytes(b"part of an object")
        made = self.service()
        with capturedLogs() as events:
            made.startService()
        [event] = [event for event in events if event.get("event") == "leftovers"]
        self.assertEqual(event["count"], 1)
        self.assertFalse(dead.exists())
        self.successResultOf(made.stopService())

    def test_unusable(self) -> None:
        """A directory that cannot be used is one line, and the end."""
        self.directory.write_text("")
        made = self.service()
        self.assertRaises(StartError, made.startService)
        self.assertEqual(
            self.stderr.getvalue(),
            f"pacs-store: cannot store in {self.directory}:"
            " there is a file where a directory is needed\n",
        )

    def test_not_writable(self) -> None:
        """A directory in which another user's `.incoming` can be used, but no study be made."""
        self.patch(os, "access", lambda path, mode: False)
        made = self.service()
        self.assertRaises(StartError, made.startService)
        self.assertIn("Permission denied\n", self.stderr.getvalue())
        self.assertEqual(list(self.directory.glob(".incoming/*/")), [])

    def test_reload(self) -> None:
        """A reload changes how objects are stored, and leaves directory and threads alone."""
        file = Path(self.mktemp())
        file.write_text("")
        made = self.service(f"--config={file}")
        made.startService()
        before = self.storage(made)
        store, disk = self.resources(made).store, self.resources(made).disk
        file.write_text('mismatch = "refuse"\nprivate-sop-class = "1.2.3.4"\nexisting = "keep"\n')
        with capturedLogs() as events:
            made.reload()
        self.assertEqual(
            [event["log_format"].format_map(event) for event in events],
            ["reloaded: mismatch, private-sop-class", "only a restart changes existing"],
        )
        after = self.storage(made)
        self.assertIsNot(after, before)
        self.assertIn("1.2.3.4", after.sop_classes)
        self.assertIs(after._reception.store, store)
        self.assertIs(after._reception.disk, disk)
        self.assertTrue(after._reception.refuse_mismatch)
        self.successResultOf(made.stopService())
