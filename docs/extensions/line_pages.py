"""
Directives that show a recorded run of both ends of the line.

    ```{line-drawing} whole
    ```

    ```{line-log} whole
    ```

The first is the sequence drawing with the same in words, the second the log of both sides, in two
columns and in the order in which it was written. Runs: see `line_runs`.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape

from docutils import nodes
from line_drawing import draw, joined, lay_out, sentences
from line_runs import ACCEPTOR, REQUESTOR, RUNS, Line, Run, record
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

recorded = cache(record)


class LineDrawing(SphinxDirective):
    """The directive for the drawing of a run."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the drawing, and a text that says the same."""
        drawing = lay_out(_find(self))
        html = (
            f'<figure class="line">{draw(drawing)}'
            f"<details><summary>The same in words</summary>{joined(sentences(drawing))}</details>"
            "</figure>"
        )
        return [nodes.raw("", html, format="html")]


class LineLog(SphinxDirective):
    """The directive for the log of a run."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a table, a line a row."""
        rows = "".join(map(_row, _find(self).lines))
        html = (
            '<div class="line-log"><table><thead><tr><th scope="col">s</th>'
            '<th scope="col">Requestor</th><th scope="col">Acceptor</th></tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )
        return [nodes.raw("", html, format="html")]


def _find(directive: SphinxDirective) -> Run:
    name = directive.arguments[0]
    if name not in RUNS:
        raise directive.error(f"no such run: {name}")
    return recorded(name)


def _row(line: Line) -> str:
    words = _ACTION.sub(r"<span>\g<0></span>", escape(line.text))
    text = f'<span class="level {line.level}">{line.level}</span> {words}'
    cells = "".join(f"<td>{text if line.side == side else ''}</td>" for side in _COLUMNS)
    return f"<tr><td>{line.seconds:.3f}</td>{cells}</tr>\n"


_COLUMNS = (REQUESTOR, ACCEPTOR)
_ACTION = re.compile(r"\b[A-Z]{2}-\d+\b")  # not to be broken at its hyphen


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx: connect."""
    app.add_directive("line-drawing", LineDrawing)
    app.add_directive("line-log", LineLog)
    return {"parallel_read_safe": True}
