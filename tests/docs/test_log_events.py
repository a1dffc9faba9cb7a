"""docs/reference/log-events.md lists the events that the code logs, and their fields."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

import pacs_twisted
from pacs_twisted.association import Outcome
from pacs_twisted.logs import JSONObserver
from pacs_twisted.net import (
    AcceptorFactory,
    AdmissionPolicy,
    ApplicationEntity,
    PermittedPeer,
    Timeouts,
)
from pacs_twisted.services import Verification
from pacs_twisted.testing import ScriptedRequestor
from pacs_twisted.upper_layer.table import TABLE_9_10, read_table
from tests.docs.pages import code_words, rows

PAGE = "reference/log-events.md"
LEVELS = ("debug", "info", "warn", "error", "critical")


def documented() -> dict[str, set[str]]:
    """Return the listed events with their fields; those at an association's end have none there."""
    return {
        code_words(row[0])[0]: set(code_words(row[3])) if len(row) == 4 else set()
        for row in rows(PAGE)
        if len(row) in (3, 4) and row[1].split(",")[0] in LEVELS
    }


def ending_fields() -> set[str]:
    """Return the fields that the page lists for the end of an association."""
    found = set()
    inside = False
    for row in rows(PAGE):
        if row[0] in ("Event", "Field"):
            inside = row[1] == "In"
        elif inside:
            found.update(code_words(row[0]))
    return found


def calls() -> Iterator[tuple[str, dict[str | None, ast.expr]]]:
    """Yield place and keyword arguments of every call of a logger in the code."""
    package = Path(pacs_twisted.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "log"):
                continue
            yield (
                f"{path.name}:{node.lineno}",
                {keyword.arg: keyword.value for keyword in node.keywords},
            )


def logged() -> Iterator[tuple[str, set[str]]]:
    """Yield name and fields of every call of a logger in the code that names its event."""
    for _, arguments in calls():
        event = arguments.pop("event", None)
        if isinstance(event, ast.Constant):
            yield str(event.value), {name for name in arguments if name}


class LogEventTests(SynchronousTestCase):
    """The page is complete, and lists nothing that does not exist."""

    def test_every_line(self) -> None:
        """Every line has an event: a constant, a variable, or one among its **fields."""
        for place, arguments in calls():
            self.assertTrue("event" in arguments or None in arguments, place)

    def test_events(self) -> None:
        """Every event that the code names is listed with all its fields, and no other."""
        code: dict[str, set[str]] = {}
        for event, fields in logged():
            code.setdefault(event, set()).update(fields)
        endings = {ending(outcome) for outcome in Outcome} - {"closed"}
        listed = documented()
        self.assertEqual({event for event in listed if event not in endings}, set(code))
        for event, fields in code.items():
            self.assertEqual(listed[event], fields, event)
        self.assertLessEqual(endings, set(listed))

    def test_machine(self) -> None:
        """No event of the page is mistaken for one of the machine, which have their own names."""
        self.assertEqual(set(documented()) & set(read_table(TABLE_9_10)), set())

    def test_endings(self) -> None:
        """What is logged at the end of an association has the listed fields, all of them."""
        clock = Clock()
        permitted = AcceptorFactory(
            ApplicationEntity("MY_SCP", [Verification()]),
            timeouts=Timeouts(idle=30.0),
            reactor=clock,
        )
        strict = AcceptorFactory(
            ApplicationEntity("MY_SCP", [Verification()]),
            admission=AdmissionPolicy((PermittedPeer.parse("CT1"),)),
            reactor=clock,
        )
        with capturedLogs() as captured:
            released = ScriptedRequestor(permitted, clock)
            released.associate()
            released.release()
            aborted = ScriptedRequestor(permitted, clock)
            aborted.associate()
            aborted.abort()
            ScriptedRequestor(strict, clock).associate()
            idle = ScriptedRequestor(permitted, clock)
            idle.associate()
            idle.advance(30.0)
        endings = {ending(outcome) for outcome in Outcome}
        events = [event for event in captured if event.get("event") in endings]
        self.assertEqual(
            {event["event"] for event in events},
            {"released", "aborted-by-peer", "rejected", "aborted"},
        )
        observer = JSONObserver()
        fields = {name for event in events for name in json.loads(observer.format(event))}
        fields -= {"time", "level", "namespace", "message", "event"}
        self.assertEqual(fields, ending_fields())


def ending(outcome: Outcome) -> str:
    """Return the event of an outcome."""
    return "connection-lost" if outcome is Outcome.LOST else outcome.name.lower().replace("_", "-")
