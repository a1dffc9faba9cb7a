"""The pages of the documentation, as tests read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"

_MARK: Final = r"<!-- (?P<kind>example|output): (?P<name>\w+) -->\n"
_BLOCK: Final = re.compile(
    rf"(?:{_MARK})?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@attrs.frozen
class Block:
    """
    A fenced block of a page.

    Args:
        page: the page's path.
        language: what it is written in.
        text: what stands in it.
        kind: "example" for code that a test runs, "output" for what that prints; else empty.
        name: which example.
    """

    page: Path
    language: str
    text: str
    kind: str = ""
    name: str = ""


def pages() -> list[Path]:
    """Return the README and all pages."""
    generated = {DOCS / "_build", DOCS / "_generated"}
    found = [page for page in DOCS.rglob("*.md") if not generated.intersection(page.parents)]
    return [ROOT / "README.md", *sorted(found)]


def blocks() -> Iterator[Block]:
    """Yield the fenced blocks of all pages."""
    for page in pages():
        for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
            yield Block(
                page, match["language"], match["text"], match["kind"] or "", match["name"] or ""
            )


def rows(page: str) -> Iterator[list[str]]:
    """Yield the rows of the tables of a page, heads included, each cell stripped."""
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("|") and not line.startswith("| ---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def code_words(cell: str) -> list[str]:
    """Return what stands between backticks."""
    return re.findall("`([^`]+)`", cell)
