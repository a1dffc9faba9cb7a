"""
What was measured, from the files in benchmarks/results: tables, and a plot of the scenarios.

    ```{scenarios}
    ```

    ```{results} store_one store_many
    ```

    ```{measured-on} scenarios
    ```

No figure is typed by hand. The page that shows them is left out while there are no results of the
scenarios; a race without results is left out of the page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

from benchmarks.figures import REFERENCE, spelt

RESULTS: Final = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
PAGE: Final = "performance"
SCENARIOS: Final = "scenarios"

NAMES: Final = {
    "ours": "pacs_twisted",
    "dcmtk": "DCMTK",
    "dcmtk-dcmsend": "DCMTK, dcmsend",
    "dcmtk-bits": "DCMTK, bit preserving",
    "orthanc": "Orthanc",
    "limit": "reference in C",
}

Result = Mapping[str, Any]

_WIDTH: Final = 720
_LEFT: Final = 8
_RIGHT: Final = 96  # room for the figure behind the longest bar
_BAR: Final = 15
_GAP: Final = 30  # above the bars of a scenario, where its words stand
_TOP: Final = 34


def results_file(name: str) -> Path:
    """Return where the results of a benchmark are."""
    return RESULTS / f"{name}.json"


def read(name: str) -> Result | None:
    """Return the results of a benchmark; None if there are none."""
    try:
        text = results_file(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    found: Result = json.loads(text)
    return found


def spelt_name(name: str) -> str:
    """Return what people call a contender."""
    first, _, rest = name.partition("-")
    return NAMES.get(name) or NAMES.get(first, first) + (f", {rest}" if rest else "")


def contenders(result: Result) -> list[str]:
    """Return all who have a value somewhere, ours first."""
    found = dict.fromkeys(name for row in result["rows"] for name in row["medians"])
    return sorted(found, key=lambda name: not name.startswith("ours"))


def cell(row: Result, name: str) -> str:
    """Return a median, with the ratio to the reference behind it."""
    if name in row["failed"]:
        return "failed"
    if name not in row["medians"]:
        return ""
    words = spelt(row["medians"][name])
    ratio = row[f"ratios_to_{REFERENCE}"].get(name)
    if ratio is not None and name != REFERENCE:
        words += f" ({spelt(ratio)})"
    return words


def table(result: Result) -> nodes.table:
    """Return the results as a table: a row for each race, a column for each contender."""
    names = contenders(result)
    units = {row["unit"] for row in result["rows"]}
    unit = units.pop() if len(units) == 1 else ""
    lines = [[unit, *map(spelt_name, names)]]
    lines += [[row["name"], *(cell(row, name) for name in names)] for row in result["rows"]]
    group = nodes.tgroup(cols=len(lines[0]))
    group += [nodes.colspec(colwidth=3 if not number else 1) for number in range(len(lines[0]))]
    head, body = nodes.thead(), nodes.tbody()
    for line in lines:
        row = nodes.row()
        row += [nodes.entry("", nodes.paragraph("", words)) for words in line]
        (body if head.children else head).append(row)
    group += [head, body]
    return nodes.table("", group, classes=["measured"])


def plot(rows: Sequence[Result]) -> str:
    """
    Return a plot of races as SVG to stand in a page: a bar for each median, on a logarithmic scale.

    Colours come from the page's style sheet, so that it fits light and dark pages.
    """
    values = [value for row in rows for value in row["medians"].values() if value > 0]
    if not values:
        return ""
    low = 10.0 ** math.floor(math.log10(min(values)))
    high = max(10.0 ** math.ceil(math.log10(max(values))), low * 10)
    room = _WIDTH - _LEFT - _RIGHT
    scale = room / math.log10(high / low)
    names = list(dict.fromkeys(name for row in rows for name in row["medians"]))
    parts = []
    for number, name in enumerate(names):
        x = _LEFT + number * 150
        parts.append(f'<rect class="bar {escape(name)}" x="{x}" y="8" width="14" height="12"/>')
        parts.append(f'<text x="{x + 20}" y="18">{escape(spelt_name(name))}</text>')
    y = _TOP
    bars = []
    for row in rows:
        bars.append(f'<text class="what" x="{_LEFT}" y="{y + 20}">{escape(row["name"])}</text>')
        y += _GAP
        for name, value in row["medians"].items():
            if value <= 0:
                continue
            length = max(math.log10(value / low) * scale, 1)
            bars.append(
                f'<rect class="bar {escape(name)}" x="{_LEFT}" y="{y}" '
                f'width="{length:.1f}" height="{_BAR - 3}"/>'
                f'<text x="{_LEFT + length + 6:.1f}" y="{y + _BAR - 5}">{spelt(value)}</text>'
            )
            y += _BAR
    decade = low
    while decade <= high:
        at = f"{_LEFT + math.log10(decade / low) * scale:.1f}"
        parts.append(f'<line x1="{at}" x2="{at}" y1="{_TOP}" y2="{y + 6}"/>')
        parts.append(f'<text class="scale" x="{at}" y="{y + 20}">{decade:,g}</text>')
        decade *= 10
    unit = escape(rows[0]["unit"])
    return (
        '<div class="plot"><svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'aria-label="{unit}, the medians of the table" viewBox="0 0 {_WIDTH} {y + 46}">'
        + "".join(parts + bars)
        + f'<text class="what" x="{_LEFT}" y="{y + 40}">{unit}; the scale is logarithmic</text>'
        + "</svg></div>"
    )


def measured_on(result: Result) -> str:
    """Return when and where it was measured, in a sentence."""
    machine, versions = result["machine"], result["versions"]
    names = ", ".join(f"{spelt_name(_key(name))} {version}" for name, version in versions.items())
    return (
        f"Measured on {result['date']}, {machine['processor']}, {machine['cores']} cores, "
        f"{machine['system']}, Python {machine['python']}; {names}; "
        f"rounds: {result['settings']['rounds']}."
    )


def _key(name: str) -> str:
    return {"pacs_twisted": "ours", "twisted": "Twisted"}.get(name, name)


class Scenarios(SphinxDirective):
    """The plot and the table of the scenarios."""

    def run(self) -> list[nodes.Node]:
        """Return both."""
        self.env.note_dependency(str(results_file(SCENARIOS)))
        result = read(SCENARIOS)
        if result is None:
            return []
        return [nodes.raw("", plot(result["rows"]), format="html"), table(result)]


class Results(SphinxDirective):
    """The tables of the benchmarks that are named, each below what it measures."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return those of which there are results."""
        found: list[nodes.Node] = []
        for name in self.arguments[0].split():
            self.env.note_dependency(str(results_file(name)))
            result = read(name)
            if result is not None:
                what = nodes.paragraph("", "", nodes.strong("", result["what"]))
                found += [what, nodes.paragraph("", measured_on(result)), table(result)]
        return found


class MeasuredOn(SphinxDirective):
    """When and where a benchmark was run."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a sentence."""
        result = read(self.arguments[0])
        return [] if result is None else [nodes.paragraph("", measured_on(result))]


def leave_out(app: Sphinx, config: Config) -> None:
    """Leave the page out while there is nothing to show."""
    if not results_file(SCENARIOS).exists():
        config.exclude_patterns.append(f"{PAGE}.md")


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx: connect."""
    app.connect("config-inited", leave_out)
    app.add_directive("scenarios", Scenarios)
    app.add_directive("results", Results)
    app.add_directive("measured-on", MeasuredOn)
    return {"parallel_read_safe": True}
