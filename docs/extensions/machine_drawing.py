"""
Drawings of the state machine, made by Graphviz from the table that the machine is built from.

All 123 cells in one drawing are more than anybody can read, so there are three: the regular
course of an association for either role, and how it breaks off, with states that break off alike
drawn as one.

    ```{machine-drawing} acceptor
    ```

Colours come from the page's style sheet, so that a drawing fits light and dark pages. Where
Graphviz' program `dot` is not installed the edges are listed instead, and the page says so.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from pacs_twisted.upper_layer.actions import ACTIONS, Action, Events, State
from pacs_twisted.upper_layer.table import TABLE_9_10, read_table

log = logging.getLogger(__name__)

TABLE = read_table(TABLE_9_10)
BEGINNING_OF = {"requestor": "a_associate_request", "acceptor": "transport_accepted"}

Edges = dict[tuple[str, str], list[str]]
"""From one node to another: the lines of the label."""


def cells() -> Iterator[tuple[str, State, Action]]:
    """Yield event, state and action of each defined cell of Table 9-10."""
    for event, row in TABLE.items():
        for state, action in row.items():
            yield event, State[state], ACTIONS[action]


def next_state(action: Action, role: str) -> State:
    """Return where an action leads in a role."""
    return action.requestor_to if role == "requestor" else action.acceptor_to


def is_abort(action: Action) -> bool:
    """Whether an action is one of Table 9-9, association abort."""
    return action.name.startswith("AA-")


def reachable(role: str) -> set[State]:
    """Return the states that an association of a role can be in."""
    (other,) = (event for name, event in BEGINNING_OF.items() if name != role)
    found = {State.Sta1}
    while True:
        more = {
            next_state(action, role)
            for event, state, action in cells()
            if state in found and event != other
        } | found
        if more == found:
            return found
        found = more


def regular_course(role: str) -> Edges:
    """Return the edges of an association that nobody breaks off."""
    states = reachable(role)
    (other,) = (event for name, event in BEGINNING_OF.items() if name != role)
    edges: Edges = {}
    for event, state, action in cells():
        if state in states and event != other and not is_abort(action):
            to = next_state(action, role)
            if to in states:
                edges.setdefault((state.name, to.name), []).append(f"{event}  {action.name}")
    return edges


def breaking_off() -> Edges:
    """Return the edges of Table 9-9; states from which the same actions lead on are one node."""
    actions: dict[State, dict[Action, list[str]]] = {state: {} for state in State}
    for event, state, action in cells():
        if is_abort(action):
            actions[state].setdefault(action, []).append(event)
    alike: dict[frozenset[str], list[State]] = {}
    for state, found in actions.items():
        if found:
            alike.setdefault(frozenset(action.name for action in found), []).append(state)
    edges: Edges = {}
    for group in alike.values():
        events: dict[Action, dict[str, None]] = {}
        for state in group:
            for action, names in actions[state].items():
                events.setdefault(action, {}).update(dict.fromkeys(names))
        for action in sorted(events, key=lambda action: action.name):
            edge = edges.setdefault((name_of(group), action.acceptor_to.name), [])
            names = list(events[action])
            edge.append(f"{action.name}  {names[0]}")
            edge.extend(f"            {name}" for name in names[1:])
    return edges


def name_of(states: Iterable[State]) -> str:
    """Name several states: "Sta3, Sta5 to Sta12"."""
    runs: list[list[int]] = []
    for number in sorted(int(state.name.removeprefix("Sta")) for state in states):
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(
        f"Sta{run[0]}" if len(run) == 1 else f"Sta{run[0]} to Sta{run[-1]}" for run in runs
    )


EDGES: Mapping[str, tuple[str, Edges]] = {
    "acceptor": ("The regular course of an association, acceptor", regular_course("acceptor")),
    "requestor": ("The regular course of an association, requestor", regular_course("requestor")),
    "abort": ("How an association breaks off, either role", breaking_off()),
}


def dot_source(edges: Edges) -> str:
    """Return the drawing in Graphviz' language."""
    lines = [
        "digraph {",
        "  graph [bgcolor=transparent rankdir=TB nodesep=0.45 ranksep=0.5 margin=0]",
        '  node [shape=box style="rounded,filled" fontname="Helvetica,Arial,sans-serif"'
        ' fontsize=14 height=0.42 margin="0.16,0.06"]',
        '  edge [fontname="Helvetica,Arial,sans-serif" fontsize=12 arrowsize=0.8]',
    ]
    for name in dict.fromkeys(name for pair in edges for name in pair):
        style = ' class="rest"' if name in ("Sta1", "Sta6") else ""
        lines.append(f'  "{name}" [label="{name}"{style}]')
    for (old, new), words in edges.items():
        label = "".join(f"\u00a0\u00a0{line}\\l" for line in words)
        lines.append(f'  "{old}" -> "{new}" [label="{label}"]')
    return "\n".join([*lines, "}"])


def draw(source: str, title: str) -> str:
    """
    Return the drawing as SVG to stand in a page of HTML.

    Raises:
        FileNotFoundError: `dot` is not installed.
    """
    done = subprocess.run(
        ["dot", "-Tsvg"], input=source, capture_output=True, text=True, check=True
    )
    svg = done.stdout[done.stdout.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[^"]*"', "", svg)
    svg = re.sub(r"<title>.*?</title>\n?", "", svg)  # else a tooltip on every edge
    return f'<div class="machine"><div role="img" aria-label="{title}">{svg}</div></div>'


class MachineDrawing(SphinxDirective):
    """The directive: `acceptor`, `requestor` or `abort`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the drawing, or what stands for it."""
        title, edges = EDGES[self.arguments[0]]
        try:
            svg = draw(dot_source(edges), title)
        except FileNotFoundError:
            log.info("dot is not installed: the machine is listed, not drawn")
            text = "".join(
                f"{old} to {new}\n" + "".join(f"    {line}\n" for line in words)
                for (old, new), words in edges.items()
            )
            missing = "Graphviz was not installed when this page was built: a list, not a drawing."
            return [nodes.paragraph("", missing), nodes.literal_block(text, text)]
        return [nodes.raw("", svg, format="html")]


class StateTable(SphinxDirective):
    """The directive for Table 9-10 as the code has it, numbers of the events beside their names."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        states = [state.name for state in State]
        head = "".join(f"<th>{name}</th>" for name in ["Event", "", *states])
        rows = "".join(
            f"<tr><td>{event_number(event)}</td><td><code>{event}</code></td>"
            + "".join(f"<td>{row.get(state, '·')}</td>" for state in states)
            + "</tr>\n"
            for event, row in TABLE.items()
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        html = f'<div class="table-wrapper docutils container state-table">{table}</div>'
        return [nodes.raw("", html, format="html")]


def event_number(event: str) -> str:
    """Return the standard's number of an event, with which its docstring begins."""
    return str(getattr(Events, event).__doc__).partition(":")[0]


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx: connect."""
    app.add_directive("machine-drawing", MachineDrawing)
    app.add_directive("state-table", StateTable)
    return {"parallel_read_safe": True}
