"""
What is made of measurements: medians, ratios in each round, tables, and the JSON of results.

Nothing here measures or writes anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

REFERENCE: Final = "dcmtk"
"""Whom the others are compared with."""


@dataclasses.dataclass(frozen=True)
class Row:
    """
    One race: the same work given to several, in turn, in several rounds.

    Args:
        name: what was done.
        unit: of the values.
        values: one of each round, by contender.
        failed: why a contender has no values.
        notes: what else is worth knowing.
    """

    name: str
    unit: str
    values: Mapping[str, Sequence[float]]
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def ratios(self, name: str, reference: str = REFERENCE) -> list[float]:
        """Return a contender's value as a multiple of the reference's, in each round."""
        if reference not in self.values:
            return []
        return [
            value / other
            for value, other in zip(self.values[name], self.values[reference], strict=True)
        ]

    def as_json(self) -> dict[str, Any]:
        """Return all values, and what is made of them."""
        return {
            "name": self.name,
            "unit": self.unit,
            "values": {
                name: [rounded(value) for value in row] for name, row in self.values.items()
            },
            "medians": {name: rounded(median(row)) for name, row in self.values.items()},
            f"ratios_to_{REFERENCE}": {
                name: rounded(median(ratios))
                for name in self.values
                if (ratios := self.ratios(name))
            },
            "failed": dict(self.failed),
            **self.notes,
        }


def rounded(value: float) -> float:
    """Return a number with four digits that count."""
    return float(f"{value:.4g}")


def spelt(value: float) -> str:
    """Return a number for people: three digits that count, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def as_text(row: Row) -> str:
    """Return a race as lines: median, least and most, and the median of the ratios."""
    lines = [f"{row.name} [{row.unit}]"]
    width = max((len(name) for name in [*row.values, *row.failed]), default=0)
    for name, values in row.values.items():
        line = f"  {name:{width}}  {spelt(median(values)):>9}"
        if len(values) > 1:
            line += f"  ({spelt(min(values))} to {spelt(max(values))})"
        ratios = row.ratios(name)
        if ratios and name != REFERENCE:
            line += f"  {median(ratios):.2f} of {REFERENCE}"
            if len(ratios) > 1:
                line += f" ({min(ratios):.2f} to {max(ratios):.2f})"
        lines.append(line)
    lines += [f"  {name:{width}}  failed: {reason}" for name, reason in row.failed.items()]
    return "\n".join(lines)


def in_turn(names: Sequence[str], number: int) -> list[str]:
    """Return the order of a round: each begins with another, so that no place is an advantage."""
    first = number % len(names) if names else 0
    return [*names[first:], *names[:first]]
