"""The page about both ends of the line shows what happens there."""

from __future__ import annotations

import importlib
import re
import sys
from typing import Any
from unittest import mock
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.pages import DOCS

WHOLE = [
    "TCP: connect",
    "TCP: accept",
    "A-ASSOCIATE-RQ",
    "A-ASSOCIATE-AC",
    "P-DATA-TF: C-STORE-RQ",
    "P-DATA-TF \u00d73: data set, 40,244 bytes",
    "P-DATA-TF: C-STORE-RSP 0000H",
    "A-RELEASE-RQ",
    "A-RELEASE-RP",
    "TCP: close",
]
"""The seed's diagram, arrow by arrow."""

OTHERS = {
    "reject": ["TCP: connect", "TCP: accept", "A-ASSOCIATE-RQ", "A-ASSOCIATE-RJ 1/1/7"],
    "abort-by-requestor": [
        "P-DATA-TF: C-STORE-RQ",
        "P-DATA-TF \u00d72: data set, in part, 20,122 bytes",
        "A-ABORT",
    ],
    "abort-by-acceptor": ["A-ABORT"],
    "release-by-acceptor": ["A-RELEASE-RQ", "A-RELEASE-RP"],
    "collision": ["A-RELEASE-RQ", "A-RELEASE-RQ", "A-RELEASE-RP", "A-RELEASE-RP"],
}


class LineTests(SynchronousTestCase):
    """The recorded runs, and their drawings."""

    def setUp(self) -> None:
        """Load the modules that the documentation is built with."""
        with mock.patch.object(sys, "path", [str(DOCS / "extensions"), *sys.path]):
            self.runs: Any = importlib.import_module("line_runs")
            self.drawing: Any = importlib.import_module("line_drawing")

    def labels(self, name: str) -> list[str]:
        return [arrow.label for arrow in self.drawing.lay_out(self.runs.record(name)).arrows]

    def test_whole(self) -> None:
        """Every arrow of the diagram is there, in order, and nothing else."""
        self.assertEqual(self.labels("whole"), WHOLE)

    def test_others(self) -> None:
        """So it is where things go another way; each ends with the connection."""
        self.assertEqual({"whole", *OTHERS}, set(self.runs.RUNS))
        for name, labels in OTHERS.items():
            self.assertEqual(self.labels(name), [*labels, "TCP: close"], name)

    def test_durable(self) -> None:
        """The answer is given when the file, its name and its directory are durable."""
        steps = self.runs.record("whole").steps
        (number,) = (n for n, step in enumerate(steps) if "rename" in getattr(step, "note", ""))
        calls = steps[number].note.split(", ")
        self.assertEqual(calls[:3], ["create", "write", "fsync"])
        self.assertEqual(calls[-2:], ["rename", "fsync of the directory"])
        self.assertEqual(steps[number + 1].event, "p_data_request")

    def test_nothing_left(self) -> None:
        """Of an object that is not sent to its end nothing is left."""
        notes = [step.note for step in self.runs.record("abort-by-requestor").steps if step.note]
        self.assertEqual(notes, ["create, write", "unlink"])

    def test_states(self) -> None:
        """Each side goes from state to state without a gap, and ends in Sta1."""
        for name in self.runs.RUNS:
            for side in self.runs.SIDES:
                steps = [
                    step
                    for step in self.runs.record(name).steps
                    if getattr(step, "side", "") == side and step.event
                ]
                states = [steps[0].old, *(step.new for step in steps)]
                self.assertEqual([step.old for step in steps], states[:-1], name)
                self.assertEqual(states[-1], "Sta1", name)

    def test_rows(self) -> None:
        """Time runs down: on each side, and along each arrow."""
        for name in self.runs.RUNS:
            drawing = self.drawing.lay_out(self.runs.record(name))
            for arrow in drawing.arrows:
                self.assertLess(arrow.source.row, arrow.target.row, arrow)
            for side in self.runs.SIDES:
                rows = [beat.row for beat in drawing.beats if beat.step.side == side]
                self.assertEqual(rows, sorted(set(rows)), name)
        collision = self.drawing.lay_out(self.runs.record("collision")).arrows
        self.assertEqual(collision[0].source.row, collision[1].source.row)

    def test_drawing(self) -> None:
        """A drawing is SVG with a title, and shows every state, event and arrow."""
        for name in self.runs.RUNS:
            drawing = self.drawing.lay_out(self.runs.record(name))
            root = ElementTree.fromstring(self.drawing.draw(drawing))
            texts = "\n".join("".join(element.itertext()) for element in root.iter())
            self.assertIn(drawing.run.title, texts)
            for beat in drawing.beats:
                self.assertIn(beat.step.event or beat.step.note.split()[0], texts)
                self.assertIn(beat.step.new, texts)
            for arrow in drawing.arrows:
                self.assertIn(arrow.label, texts)
            self.assertEqual(
                len(list(self.drawing.sentences(drawing))), len(drawing.beats), "words for each"
            )

    def test_log(self) -> None:
        """The log is the same whenever it is recorded, and names nothing of this machine."""
        first, second = (self.runs.record("whole").lines for _ in range(2))
        self.assertEqual(first, second)
        texts = [line.text for line in first]
        self.assertIn("pacs-store: storing in /srv/dicom", texts)
        self.assertIn("association 1: a_associate_rq in Sta2: AE-6, Sta3", texts)
        self.assertIn("association r1: a_associate_ac in Sta5: AE-3, Sta6", texts)

    def test_page(self) -> None:
        """The page shows all runs, each with its log."""
        page = (DOCS / "line.md").read_text(encoding="utf-8")
        for directive in ("line-drawing", "line-log"):
            shown = re.findall(rf"^```{{{directive}}} (\S+)$", page, re.MULTILINE)
            self.assertEqual(shown, list(self.runs.RUNS), directive)
