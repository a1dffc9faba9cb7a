"""The UIDs and names by which peers know us."""

from __future__ import annotations

from uuid import UUID

from pydicom.uid import UID
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted import __version__
from pacs_twisted.uids import IMPLEMENTATION_CLASS_UID, implementation_version_name
from tests.requirements import requirement


class ImplementationTests(SynchronousTestCase):
    """What PS3.7 section D.3.3.2 asks of an implementation."""

    @requirement("L10")
    def test_class_uid(self) -> None:
        """The class UID is made of a random UUID, so it is ours, and written out, so it stays."""
        self.assertTrue(UID(IMPLEMENTATION_CLASS_UID).is_valid)
        root, _, number = IMPLEMENTATION_CLASS_UID.rpartition(".")
        self.assertEqual(root, "2.25")
        self.assertEqual(UUID(int=int(number)).version, 4)

    @requirement("E5")
    def test_version_name(self) -> None:
        """The version name has 1 to 16 characters whatever the version, and says which it is."""
        for version in (__version__, "1.0", "10.20.30", "10.20.30.dev12+g0123456", "1" * 40):
            name = implementation_version_name(version)
            self.assertLessEqual(len(name), 16)
            self.assertTrue(name.isascii())
            self.assertIn(version[:9], name)
