"""The examples of the documentation, and how a test runs one."""

from __future__ import annotations

import contextlib
import io
from typing import Any, Final

from tests.docs.pages import blocks

EXAMPLES: Final = {block.name: block for block in blocks() if block.kind == "example"}
OUTPUTS: Final = {block.name: block for block in blocks() if block.kind == "output"}


class Example:
    """
    One example; what it prints is kept.

    Args:
        name: as the page names it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.printed = io.StringIO()
        self.names: dict[str, Any] = {"__name__": name, "print": self._print}

    def _print(self, *words: object, sep: str = " ") -> None:
        self.printed.write(sep.join(map(str, words)) + "\n")

    def run(self) -> dict[str, Any]:
        """Run it, and return its names; the functions among them print to the same place."""
        with contextlib.redirect_stdout(self.printed):
            exec(compile(EXAMPLES[self.name].text, f"<{self.name}>", "exec"), self.names)
        return self.names

    @property
    def output(self) -> str:
        """What it has printed."""
        return self.printed.getvalue()

    @property
    def expected(self) -> str:
        """What the page says that it prints."""
        return OUTPUTS[self.name].text
