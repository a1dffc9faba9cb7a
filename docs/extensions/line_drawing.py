"""
Sequence drawings of recorded runs, as SVG: two lifelines with their states, and what goes between.

Rows are logical time: a step stands below all that it depends on, the step before it on its own
side and the sending of what it received, and as high as that allows. So what happens at the same
time on both sides stands in one row, and arrows cross where PDUs did on the line.

Colours come from the page's style sheet, so that a drawing fits light and dark pages.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

import attrs
from line_runs import ACCEPTOR, REQUESTOR, SIDES, Fragment, Phase, Run, Step

from pacs_twisted.dimse import Response, decode_command
from pacs_twisted.pdu import (
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
)
from pacs_twisted.upper_layer.actions import State

# Actions that put exactly one PDU on the line, and events that stand for one that came.
SENDING: Final = frozenset(
    ("AE-2", "AE-7", "AE-8", "DT-1", "AR-1", "AR-4", "AR-7", "AR-9", "AA-1", "AA-7", "AA-8")
)
RECEIVING: Final = frozenset(
    (
        "a_associate_rq",
        "a_associate_ac",
        "a_associate_rj",
        "p_data_tf",
        "a_release_rq",
        "a_release_rp",
        "a_abort",
    )
)
CLOSING: Final = frozenset(("AE-4", "AR-3", "AA-2", "AA-3"))
"""Actions that close the connection, of which the other side hears by transport_closed."""

_NAMES: Final = {
    AAssociateRQ: "A-ASSOCIATE-RQ",
    AAssociateAC: "A-ASSOCIATE-AC",
    AAssociateRJ: "A-ASSOCIATE-RJ",
    AReleaseRQ: "A-RELEASE-RQ",
    AReleaseRP: "A-RELEASE-RP",
    AAbort: "A-ABORT",
}
_HEADS: Final = {REQUESTOR: "requestor, SCU", ACCEPTOR: "acceptor, SCP"}


@attrs.define(eq=False)
class Beat:
    """
    A step as it is drawn: several P-DATA-TF of one command set or data set are one.

    Args:
        step: the first of them.
        row: where it stands.
        fragments: of all of them.
        count: how many.
    """

    step: Step
    row: int = 0
    fragments: list[Fragment] = attrs.field(factory=list)
    count: int = 1

    @property
    def is_open(self) -> bool:
        """Whether more of the same command set or data set may follow."""
        return bool(self.fragments) and not self.fragments[-1].is_last

    def add(self, step: Step) -> None:
        """Take one more P-DATA-TF."""
        self.fragments += step.fragments
        self.count += 1


@attrs.frozen
class Arrow:
    """
    What goes from one side to the other.

    Args:
        source: where it starts.
        target: where it ends.
        label: what it is.
        is_transport: whether it is the connection's and no PDU.
    """

    source: Beat
    target: Beat
    label: str
    is_transport: bool = False


@attrs.define
class Drawing:
    """
    What is drawn of a run.

    Args:
        run: which.
        beats: in order.
        arrows: in order.
        phases: titles and the rows above which they stand.
        rows: how many.
    """

    run: Run
    beats: list[Beat] = attrs.field(factory=list)
    arrows: list[Arrow] = attrs.field(factory=list)
    phases: list[tuple[int, str]] = attrs.field(factory=list)
    rows: int = 0


def other(side: str) -> str:
    """Return the other side."""
    return ACCEPTOR if side == REQUESTOR else REQUESTOR


def lay_out(run: Run) -> Drawing:
    """
    Find the arrows of a run and the rows of its steps.

    Raises:
        AssertionError: something was received that nobody has sent.
    """
    drawing = Drawing(run)
    last = dict.fromkeys(SIDES, -1)
    sending: dict[str, Beat | None] = dict.fromkeys(SIDES)
    receiving: dict[str, Beat | None] = dict.fromkeys(SIDES)
    under_way: dict[str, deque[Beat]] = {side: deque() for side in SIDES}
    asked: Beat | None = None  # for a connection
    accepted: Beat | None = None
    closed: dict[str, Beat] = {}
    for step in run.steps:
        if isinstance(step, Phase):
            row = max(last.values()) + 1
            drawing.phases.append((row, step.title))
            last = dict.fromkeys(SIDES, row)
            continue
        side = step.side
        sends, receives = step.action in SENDING, step.event in RECEIVING
        for wanted, opened in ((sends, sending), (receives, receiving)):
            before = opened[side]
            if wanted and step.fragments and before is not None and before.is_open:
                before.add(step)
                break
        else:
            beat = Beat(step, last[side] + 1, list(step.fragments))
            source: Beat | None = None
            label = ""
            if receives:
                if not under_way[other(side)]:
                    raise AssertionError(f"{side}: {step.event} of nothing that was sent")
                source = under_way[other(side)].popleft()
            elif step.event == "transport_accepted":
                source, label = asked, "TCP: connect"
                accepted = beat
            elif step.event == "transport_connected":
                source, label = accepted, "TCP: accept"
            elif step.event == "transport_closed":
                source, label = closed.get(other(side)), "TCP: close"
            if source is not None:
                beat.row = max(beat.row, source.row + 1)
                drawing.arrows.append(Arrow(source, beat, label, bool(label)))
            if step.action == "AE-1":
                asked = beat
            if step.action in CLOSING:
                closed[side] = beat
            if sends:
                sending[side] = beat
                under_way[side].append(beat)
            if receives:
                receiving[side] = beat
            last[side] = beat.row
            drawing.beats.append(beat)
    drawing.rows = max(last.values()) + 1
    drawing.arrows = [_named(arrow) for arrow in drawing.arrows]
    return drawing


def _named(arrow: Arrow) -> Arrow:
    """Name an arrow by what the receiver has read."""
    return arrow if arrow.label else attrs.evolve(arrow, label=describe(arrow))


def describe(arrow: Arrow) -> str:
    """Return what a PDU, or all those of a command set or data set, are."""
    beat = arrow.target
    pdu = beat.step.pdu
    if not beat.fragments:
        name = _NAMES[type(pdu)]
        if isinstance(pdu, AAssociateRJ):
            return f"{name} {pdu.result}/{pdu.source}/{pdu.reason}"
        return name
    data = b"".join(fragment.data for fragment in beat.fragments)
    if not beat.fragments[0].is_command:
        part = ", in part" if beat.is_open else ""
        return f"P-DATA-TF \u00d7{len(beat.fragments)}: data set{part}, {len(data):,} bytes"
    command = decode_command(data)
    status = f" {command.status.value:04X}H" if isinstance(command, Response) else ""
    return f"P-DATA-TF: {_dimse_name(type(command).__name__)}{status}"


def _dimse_name(name: str) -> str:
    """Return the standard's name of a message: C-STORE-RQ of CStoreRQ."""
    kind = name.removesuffix("RQ").removesuffix("RSP")
    return f"{kind[0]}-{kind[1:].upper()}-{name.removeprefix(kind)}"


# --- the same in words --------------------------------------------------------------------------


def sentences(drawing: Drawing) -> Iterator[str]:
    """Yield what the drawing shows, one sentence for each step."""
    received = {id(arrow.target): arrow for arrow in drawing.arrows}
    for beat in drawing.beats:
        step = beat.step
        who = f"The {step.side}"
        if step.note:
            yield f"{who}: {step.note}."
            continue
        arrow = received.get(id(beat))
        came = f", from the {arrow.source.step.side}: {arrow.label}" if arrow else ""
        state = f"{step.old} to {step.new}" if step.old != step.new else f"stays in {step.new}"
        yield f"{who}: {step.event}{came}; {step.action}, {state}."


# --- the drawing --------------------------------------------------------------------------------

_WIDTH: Final = 740
_LINE: Final = {REQUESTOR: 206, ACCEPTOR: _WIDTH - 206}
_OUTWARD: Final = {REQUESTOR: -1, ACCEPTOR: 1}
_HEAD: Final = 64  # above the first row
_ROW: Final = 34
_TEXT_LINE: Final = 14
_PILL: Final = (46, 20)
_GAP: Final = {True: _PILL[0] / 2 + 3, False: 7.0}  # from a lifeline to an arrow's end, by a pill
_NOTE_CHARACTERS: Final = 31
_ESTABLISHED: Final = State.Sta6.name


def draw(drawing: Drawing) -> str:
    """Return the drawing as SVG, to stand in a page of HTML."""
    tops = _tops(drawing)
    height = tops[-1] + 14
    name = f"line-{drawing.run.name}"
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="{name}"'
        ' xmlns="http://www.w3.org/2000/svg">',
        f'<title id="{name}">{escape(drawing.run.title)}: a drawing, in words below</title>',
    ]
    parts += _heads()
    parts += _lifelines(drawing, tops)
    parts += (_phase(tops[row] + _ROW / 2, text) for row, text in drawing.phases if text)
    crossed = _crossed(drawing.arrows)
    for arrow in drawing.arrows:
        parts.append(_arrow(arrow, tops, arrow in crossed))
    for beat in drawing.beats:
        parts += _beat(beat, tops)
    return "\n".join([*parts, "</svg>"])


def _wrapped(note: str) -> list[str]:
    lines = [""]
    for word in note.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > _NOTE_CHARACTERS:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _tops(drawing: Drawing) -> list[float]:
    """Return where each row begins, and the last one ends."""
    heights = [_ROW] * drawing.rows
    for beat in drawing.beats:
        lines = len(_wrapped(beat.step.note)) if beat.step.note else 1
        heights[beat.row] = max(heights[beat.row], lines * _TEXT_LINE + 14)
    tops = [float(_HEAD)]
    for height in heights:
        tops.append(tops[-1] + height)
    return tops


def _middle(beat: Beat, tops: Sequence[float]) -> float:
    return (tops[beat.row] + tops[beat.row + 1]) / 2


def _heads() -> Iterator[str]:
    for side in SIDES:
        x = _LINE[side]
        yield f'<rect class="head" x="{x - 75}" y="4" width="150" height="26" rx="3"/>'
        yield f'<text class="name" x="{x}" y="22" text-anchor="middle">{_HEADS[side]}</text>'


def _lifelines(drawing: Drawing, tops: Sequence[float]) -> Iterator[str]:
    for side in SIDES:
        x = _LINE[side]
        steps = [beat for beat in drawing.beats if beat.step.side == side and beat.step.new]
        state = steps[0].step.old if steps else State.Sta1.name
        yield _pill(x, 44, state)
        y = 54.0
        for beat in steps:
            middle = _middle(beat, tops)
            yield _segment(x, y, middle, state)
            y, state = middle, beat.step.new
        yield _segment(x, y, tops[-1], state)


def _segment(x: float, top: float, bottom: float, state: str) -> str:
    established = " established" if state == _ESTABLISHED else ""
    return f'<line class="life{established}" x1="{x}" y1="{top:g}" x2="{x}" y2="{bottom:g}"/>'


def _pill(x: float, y: float, state: str) -> str:
    width, height = _PILL
    established = " established" if state == _ESTABLISHED else ""
    return (
        f'<g class="state{established}"><rect x="{x - width / 2:g}" y="{y - height / 2:g}"'
        f' width="{width}" height="{height}" rx="{height / 2:g}"/>'
        f'<text x="{x}" y="{y + 4:g}" text-anchor="middle">{state}</text></g>'
    )


def _phase(y: float, text: str) -> str:
    middle = _WIDTH / 2
    return (
        f'<line class="phase" x1="0" y1="{y:g}" x2="{_WIDTH}" y2="{y:g}"/>'
        f'<text class="phase" x="{middle:g}" y="{y + 4:g}" text-anchor="middle">'
        f"{escape(text)}</text>"
    )


def _beat(beat: Beat, tops: Sequence[float]) -> Iterator[str]:
    step = beat.step
    x, y = _LINE[step.side], _middle(beat, tops)
    outward = _OUTWARD[step.side]
    anchor = "end" if outward < 0 else "start"
    if step.note:
        lines = _wrapped(step.note)
        top = y - (len(lines) - 1) * _TEXT_LINE / 2 + 4
        yield f'<rect class="mark" x="{x - 4}" y="{y - 4:g}" width="8" height="8"/>'
        for number, line in enumerate(lines):
            yield (
                f'<text class="note" x="{x + outward * 14}" y="{top + number * _TEXT_LINE:g}"'
                f' text-anchor="{anchor}">{escape(line)}</text>'
            )
        return
    changes = step.old != step.new
    yield (
        _pill(x, y, step.new) if changes else f'<circle class="mark" cx="{x}" cy="{y:g}" r="4"/>'
    )
    times = f" \u00d7{beat.count}" if beat.count > 1 else ""
    event = f'<tspan class="event">{step.event}{times}</tspan>'
    action = f'<tspan class="action">{step.action}</tspan>'
    words = f"{event} {action}" if outward < 0 else f"{action} {event}"
    distance = _PILL[0] / 2 + 7 if changes else 14
    yield (
        f'<text x="{x + outward * distance:g}" y="{y + 4:g}" text-anchor="{anchor}">{words}</text>'
    )


def _crossed(arrows: Sequence[Arrow]) -> list[Arrow]:
    """Return the arrows that cross another one."""
    return [
        arrow
        for arrow in arrows
        if any(
            each.source.step.side != arrow.source.step.side
            and each.source.row < arrow.target.row
            and arrow.source.row < each.target.row
            for each in arrows
        )
    ]


def _arrow(arrow: Arrow, tops: Sequence[float], crossed: bool) -> str:
    side = arrow.source.step.side
    inward = -_OUTWARD[side]
    x1 = _LINE[side] + inward * _gap(arrow.source)
    x2 = _LINE[other(side)] - inward * _gap(arrow.target)
    y1, y2 = _middle(arrow.source, tops), _middle(arrow.target, tops)
    angle = math.degrees(math.atan2(y2 - y1, abs(x2 - x1))) * inward
    place = 0.27 if crossed else 0.5
    x, y = x1 + (x2 - x1) * place, y1 + (y2 - y1) * place
    kind = "arrow transport" if arrow.is_transport else "arrow"
    head = f"{x2:g},{y2:g}"
    for turn in (math.radians(157), math.radians(-157)):
        direction = math.atan2(y2 - y1, x2 - x1) + turn
        head += f" {x2 + 10 * math.cos(direction):.1f},{y2 + 10 * math.sin(direction):.1f}"
    return (
        f'<g class="{kind}"><line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'
        f'<polygon points="{head}"/>'
        f'<text text-anchor="middle" transform="translate({x:g} {y:g}) rotate({angle:.1f})"'
        f' dy="-5">{escape(arrow.label)}</text></g>'
    )


def _gap(beat: Beat) -> float:
    return _GAP[beat.step.old != beat.step.new]


def joined(lines: Iterable[str]) -> str:
    """Return an ordered list in HTML."""
    return "<ol>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ol>"
