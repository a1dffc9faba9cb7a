"""What the log says of the C-STOREs of an association, and how often."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel, capturedLogs

from pacs_twisted.dimse import Status
from tests.net.test_store import StoreCase, having


class LogTests(StoreCase):
    """What an administrator reads of it."""

    def events(self, name: str, stores: int) -> list[Any]:
        """Store so often, and return the events of this name."""
        with capturedLogs() as captured:
            for _ in range(stores):
                self.store()
        return [event for event in captured if event.get("event") == name]

    def test_first(self) -> None:
        """The first C-STORE of an association is one line, as the first C-ECHO is."""
        self.assertEqual(len(self.events("c-store", 3)), 1)
        self.assertEqual(self.events("request-failed", 3), [])

    def test_failures(self) -> None:
        """Of failures the first is one, with its status in words."""
        self.service.prepare = lambda sink: Status.NOT_AUTHORIZED
        [event] = self.events("request-failed", 3)
        self.assertEqual(event["log_level"], LogLevel.warn)
        self.assertEqual(event["status"], "0124H not authorized")

    def test_warning(self) -> None:
        """A warning is no failure."""
        self.service.prepare = having(
            lambda sink: setattr(sink, "result", Status.ELEMENTS_DISCARDED)
        )
        self.assertEqual(self.events("request-failed", 1), [])
