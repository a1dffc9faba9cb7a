"""A test that stores objects: by our command line, and in our server."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
from twisted.trial.unittest import SkipTest

from tests.interop import receivers
from tests.interop.objects import Object, even, received, values
from tests.interop.receivers import Receiver
from tests.interop.server import ROOT, InteropCase, Server, require_module
from tests.processes import Process

R = TypeVar("R", bound=Receiver)

COMMAND = (sys.executable, "-m", "pacs_twisted")


@attrs.frozen
class Told:
    """
    What `pacs-twisted` told of one run.

    Args:
        status: its exit status.
        events: what it wrote, a JSON object a line.
        text: the whole of what it wrote.
    """

    status: int | None
    events: list[dict[str, Any]]
    text: str = attrs.field(repr=False)

    def outcome(self, each: Object) -> dict[str, Any]:
        """Return what has become of an object."""
        (found,) = (event for event in self.events if event.get("path") == os.fspath(each.path))
        return found

    def last(self) -> dict[str, Any]:
        """Return what sums it up."""
        return self.events[-1]


class StoreCase(InteropCase):
    """A test with objects that go from one program to another."""

    def setUp(self) -> None:
        if os.environ.get("PACS_TWISTED_REQUIRE_PEERS") == "0":
            raise SkipTest("PACS_TWISTED_REQUIRE_PEERS is 0: left to a run that is about peers")

    def directory(self) -> Path:
        """Return a new directory."""
        path = Path(self.mktemp()).resolve()
        path.mkdir()
        return path

    def started(self, receiver: R) -> R:
        """Return a receiver that is ended with the test."""
        self.addCleanup(receiver.stop)
        return receiver

    def store_server(self, directory: Path, *options: str) -> Server:
        """Start our server for this test."""
        server = Server("pacs-store", "--directory", os.fspath(directory), *options)
        self.addCleanup(self._stop, server)
        return server

    def command(self, *words: str | os.PathLike[str], beside: Iterable[Process] = ()) -> Told:
        """Run our command line to its end, which tells all as JSON."""
        require_module("click", "cli")
        with Process([*COMMAND, *words, "--json"], directory=ROOT) as process:
            process.wait(*beside)
        events = [json.loads(line) for line in process.output.splitlines() if line[:1] == "{"]
        return Told(process.status, events, str(process))

    def store(self, receiver: Receiver | Server, batch: Sequence[Object], *options: str) -> Told:
        """Send objects by our command line."""
        return self.command(
            *("store", f"127.0.0.1:{receiver.port}", *options),
            *(each.path for each in batch),
            beside=[receiver.process],
        )

    # What has become of the objects

    def assert_taken(
        self,
        batch: Sequence[Object],
        told: Told,
        arrived: Mapping[str, Object],
        refused: Collection[str] = (),
        answer: Callable[[Object], str] = lambda _: "0000",
    ) -> list[tuple[Object, Object]]:
        """
        Check what we told of objects, and which of them have arrived.

        Args:
            batch: what was sent.
            told: what we told.
            arrived: what the peer has by instance UID.
            refused: SOP classes and transfer syntaxes for which it accepts no context.
            answer: the status that it answers to what it has a context for, in hexadecimal digits.

        Returns:
            What was sent and what has arrived of it.
        """
        taken = []
        for each in batch:
            outcome = told.outcome(each)
            accepted = each.sop_class not in refused and each.transfer_syntax not in refused
            status = answer(each) if accepted else None
            category = "success" if status == "0000" else "failure"
            self.assertEqual((outcome["category"], outcome["status"]), (category, status), outcome)
            if status == "0000":
                self.assertIn(each.own_instance, arrived, each.name)
                taken.append((each, arrived[each.own_instance]))
        self.assertEqual(len(arrived), len(taken))
        self.assertEqual(told.status, 0 if len(taken) == len(batch) else 1, told.text)
        return taken

    def assert_same_bytes(self, sent: Object, stored: Object, *, padded: bool = True) -> None:
        """Check that a data set has arrived as it is in its file, made even by who has sent it."""
        self.assertEqual(stored.transfer_syntax, sent.transfer_syntax, sent.name)
        self.assertEqual(stored.sop_class, sent.sop_class, sent.name)
        # Not assertEqual, which would print both.
        data_set = even(sent.data_set) if padded else sent.data_set
        self.assertTrue(stored.data_set == data_set, sent.name)

    def assert_same_values(self, sent: Object, stored: Object) -> None:
        """Check that a data set has arrived that says the same."""
        before, after = values(sent), values(stored)
        self.assertEqual(before.keys(), after.keys(), sent.name)
        differing = [str(tag) for tag, value in before.items() if after[tag] != value]
        self.assertEqual(differing, [], sent.name)

    # A sender and what others make of it

    def beside_reference(
        self, send: Callable[[Receiver | Server, Sequence[Object]], object], batch: Sequence[Object]
    ) -> tuple[dict[str, Object], dict[str, Object]]:
        """
        Let somebody send the same to us and to DCMTK's storescp, which keeps it as it came.

        Args:
            send: lets somebody send objects to what it is called with.
            batch: the objects.

        Returns:
            What we have stored, and what storescp has, by instance UID.
        """
        ours = self.directory()
        server = self.store_server(ours)
        reference = self.started(receivers.storescp(self.directory(), "+B", "+xa", "-pm"))
        for receiver in (server, reference):
            send(receiver, batch)
        return received(ours), reference.objects()

    def assert_as_reference(
        self, stored: Mapping[str, Object], reference: Mapping[str, Object]
    ) -> None:
        """Check that what storescp has stored, byte for byte, we have stored as well."""
        self.assertTrue(reference)
        for instance, theirs in reference.items():
            self.assertIn(instance, stored, theirs.name)
            ours = stored[instance]
            self.assertEqual(ours.transfer_syntax, theirs.transfer_syntax, theirs.name)
            self.assertEqual(ours.sop_class, theirs.sop_class, theirs.name)
            self.assertTrue(ours.data_set == theirs.data_set, theirs.name)
