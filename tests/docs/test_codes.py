"""The numbers in the reference and the conformance statement are those that the code sends."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

import pacs_twisted
from pacs_twisted.dimse import Status, StatusCategory
from pacs_twisted.errors import ProtocolError
from pacs_twisted.pdu import AAssociateRJ
from pacs_twisted.pdu.abort import SERVICE_PROVIDER
from pacs_twisted.upper_layer import negotiation
from tests.docs.pages import DOCS
from tests.requirements import requirement

PACKAGE = Path(pacs_twisted.__file__).parent

STATED = (
    "AE title",
    "SOP class",
    "SCP",
    "presentation-contexts.md",
    "{{ default_max_pdu }}",
    "{{ default_max_associations }}",
    "asynchronous operations window",
    "{{ implementation_class_uid }}",
    "{{ implementation_version_name }}",
    "{{ default_artim_timeout }}",
    "rejects.md",
    "aborts.md",
    "statuses.md",
    "store-statuses.md",
    "understood-statuses.md",
    "storage-sop-classes.md",
    "transfer-syntaxes.md",
    "{{ requestor_connect_timeout }}",
    "{{ requestor_dimse_timeout }}",
    "Level 2",
    "removed",
    "profile",
)
"""What PS3.2 wants of a conformance statement, as it stands in the page's source."""


def load_codes() -> ModuleType:
    """Load the module that the documentation is built with."""
    spec = importlib.util.spec_from_file_location("codes", DOCS / "extensions" / "codes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class CodesTests(SynchronousTestCase):
    """The tables are complete."""

    def setUp(self) -> None:
        self.codes = load_codes()

    def test_rejects(self) -> None:
        """Every A-ASSOCIATE-RJ that the code has a name for is listed, and no other."""
        named = {value for value in vars(negotiation).values() if isinstance(value, AAssociateRJ)}
        self.assertEqual({rj for rj, when in self.codes.REJECTS}, named)

    def test_aborts(self) -> None:
        """Every reason that an error of the peer's leads to is listed."""
        reasons = {
            abort.reason for abort, when in self.codes.ABORTS if abort.source == SERVICE_PROVIDER
        }
        self.assertEqual(reasons, {error.abort_reason for error in ProtocolError.__subclasses__()})

    def test_statuses(self) -> None:
        """Every status that services and the server name is listed, and no other."""
        for table, folders in (
            (self.codes.STATUSES, ("services", "net")),
            (self.codes.STORE_STATUSES, ("storage",)),
        ):
            named = set()
            for path in (path for folder in folders for path in PACKAGE.glob(f"{folder}/*.py")):
                text = path.read_text(encoding="utf-8")
                named.update(re.findall(r"\bStatus\.([A-Z_]+)\b", text))
            self.assertEqual({status for status, when in table}, {Status[n] for n in named})

    def test_understood(self) -> None:
        """What is said of statuses that come holds for every number of them."""
        listed = dict(self.codes.UNDERSTOOD)
        for numbers, example in listed.items():
            for number in numbers.split(", "):
                if number == "any other":
                    continue
                for digit in "0123456789ABCDEF":
                    status = Status(int(number.replace("x", digit), 16))
                    self.assertEqual(status.category, Status(example).category, numbers)
        kept = {
            status
            for status in map(Status, range(0x10000))
            if status.category in (StatusCategory.SUCCESS, StatusCategory.WARNING)
        }
        self.assertEqual(kept, {0, 1, 0x107, 0x116, *range(0xB000, 0xC000)})


class ConformanceTests(SynchronousTestCase):
    """The conformance statement."""

    @requirement("L8", "L9")
    def test_contents(self) -> None:
        """It has the parts of PS3.2 annex N, and states what that asks for."""
        page = (DOCS / "conformance.md").read_text(encoding="utf-8")
        self.assertEqual(
            [int(number) for number in re.findall(r"^## N\.(\d) ", page, re.MULTILINE)],
            list(range(1, 10)),
        )
        self.assertEqual([word for word in STATED if word not in page], [])
