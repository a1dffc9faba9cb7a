"""
Docstrings as this project writes them, made ready for Sphinx.

Three things differ from what autodoc and napoleon expect: an indented listing follows a plain
colon, a colon in the docstring of an attribute is a colon, and a `typing.Protocol` has no
constructor that anybody calls.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def mark_listings(lines: list[str]) -> None:
    """Turn "…:", a blank line and an indented block into a literal block of reStructuredText."""
    for number, line in enumerate(lines[:-2]):
        following = lines[number + 2]
        if (
            line.endswith(":")
            and not line.endswith("::")
            and not lines[number + 1].strip()
            and _indent(following) >= _indent(line) + 4
        ):
            lines[number] = line + ":"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _process_docstring(
    app: Sphinx, what: str, name: str, subject: object, options: object, lines: list[str]
) -> None:
    mark_listings(lines)
    if what in ("attribute", "data", "property"):
        lines.insert(0, "")  # else napoleon takes what stands before a colon for a type


def _process_signature(
    app: Sphinx,
    what: str,
    name: str,
    subject: Any,
    options: object,
    signature: str | None,
    annotation: str | None,
) -> tuple[str, None] | None:
    if what == "class" and getattr(subject, "_is_protocol", False):
        return "", None
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx: connect."""
    app.connect("autodoc-process-docstring", _process_docstring, priority=400)
    app.connect("autodoc-process-signature", _process_signature)
    return {"parallel_read_safe": True}
