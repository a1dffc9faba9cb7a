"""The tables and the plot that the page about performance makes of results."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from benchmarks.figures import Row
from tests.docs.pages import DOCS

SVG = "{http://www.w3.org/2000/svg}"
ROWS = (
    Row("1. <SCU>", "data sets/s", {"dcmtk": [500.0, 700.0], "ours": [1200.0, 1200.0]}),
    Row("2. SCP", "data sets/s", {"dcmtk": [20.0]}, {"ours": "it has ended"}),
)


def performance() -> ModuleType:
    """Return the extension that is tested."""
    path = DOCS / "extensions" / "performance.py"
    spec = importlib.util.spec_from_file_location("performance", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise SkipTest(f"the documentation's tools are not installed: {error.name}") from error
    return module


def result() -> dict[str, Any]:
    """Return results as a benchmark writes them."""
    return {"rows": [row.as_json() for row in ROWS]}


class PerformanceTests(SynchronousTestCase):
    """What is made of results."""

    def setUp(self) -> None:
        """Load the extension."""
        self.made = performance()

    def test_plot(self) -> None:
        """Each median has a bar with its figure; the longer one is that of the greater value."""
        svg = ElementTree.fromstring(self.made.plot(result()["rows"]))
        bars = [
            (rectangle.get("class"), float(rectangle.get("width", "")))
            for rectangle in svg.iter(f"{SVG}rect")
            if rectangle.get("height") != "12"
            or rectangle.get("width") != "14"  # those of the legend
        ]
        self.assertEqual([name for name, _ in bars], ["bar dcmtk", "bar ours", "bar dcmtk"])
        self.assertTrue(bars[2][1] < bars[0][1] < bars[1][1])
        words = [text.text for text in svg.iter(f"{SVG}text")]
        for expected in ("600", "1,200", "20.0", "1. <SCU>", "pacs_twisted", "DCMTK", "10"):
            self.assertIn(expected, words)

    def test_no_plot(self) -> None:
        """Without values there is none."""
        self.assertEqual(self.made.plot([Row("1", "x", {}, {"ours": "failed"}).as_json()]), "")

    def test_table(self) -> None:
        """The table has ours first, medians, ratios in parentheses, and tells of failures."""
        rows = [
            [entry.astext() for entry in row.findall(self.made.nodes.entry)]
            for row in self.made.table(result()).findall(self.made.nodes.row)
        ]
        self.assertEqual(
            rows,
            [
                ["data sets/s", "pacs_twisted", "DCMTK"],
                ["1. <SCU>", "1,200 (2.06)", "600"],
                ["2. SCP", "failed", "20.0"],
            ],
        )
