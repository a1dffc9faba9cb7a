"""
What a command writes: lines to read, or one JSON object a line.

Nothing ends with a traceback because of who reads: a pipe that is closed early swallows the rest,
a terminal that does not know a letter gets it escaped.
"""

from __future__ import annotations

import io
import json
import os
from typing import TYPE_CHECKING, Any, TextIO

from pacs_twisted.cli.events import EVENTS
from pacs_twisted.logs import escaped

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {"good": "green", "bad": "bold red", "doubtful": "yellow", "aside": "dim", "head": "bold"}
"""Which colours stand for what, on terminals that have them."""


class SafeStream(io.TextIOBase):
    """
    A stream whose reader may go away, and may know few letters.

    Args:
        stream: the true one; None where the process was started without.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.is_lost = False
        """Whether nothing can be written any more."""

        self.problem = ""
        """Why not, unless it is that the reader has gone."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the true stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and not self.is_lost and self._stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor of the true stream."""
        if self._stream is None:
            raise OSError("no stream")
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write what can be written."""
        if self._stream is None or self.is_lost:
            return len(text)
        try:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                escapes = text.encode(self.encoding, "backslashreplace")
                self._stream.write(escapes.decode(self.encoding))
        except OSError as error:
            self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Let it be seen; also called when this is collected, the true stream perhaps closed."""
        if self._stream is None or self.is_lost or self._stream.closed:
            return
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        """Let what the stream still holds go nowhere, else Python complains when it exits."""
        self.is_lost = True
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
        except (OSError, ValueError):  # a stream without a descriptor
            pass
        if not isinstance(error, BrokenPipeError):  # a disk that is full
            self.problem = error.strerror or str(error)


class Output:
    """
    The output of one command.

    Args:
        command: its name.
        stdout: where lines and JSON go.
        stderr: where complaints go.
        as_json: JSON and no lines.
    """

    def __init__(
        self, command: str, stdout: TextIO | None, stderr: TextIO | None, *, as_json: bool = False
    ) -> None:
        self.command = command
        self.stream = SafeStream(stdout)
        self.error_stream = SafeStream(stderr)
        self.as_json = as_json
        self.console = self._make_console(self.stream)
        self._error_console = self._make_console(self.error_stream)

    @staticmethod
    def _make_console(stream: SafeStream) -> Console:
        from rich.console import Console

        return Console(
            file=stream,  # type: ignore[arg-type]
            soft_wrap=True,
            markup=False,
            highlight=False,
            emoji=False,
        )

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be written any more."""
        return self.stream.is_lost

    @property
    def is_terminal(self) -> bool:
        """Whether somebody looks on, at a terminal that can move its cursor."""
        return (
            not self.as_json
            and self.stream.isatty()
            and self.console.is_terminal
            and not self.console.is_dumb_terminal
        )

    def line(self, text: str = "", style: str = "") -> None:
        """Write a line, unless JSON was asked for; see `STYLES`."""
        if not self.as_json:
            self._print(self.console, text, style)

    def complain(self, text: str) -> None:
        """Write to stderr what is wrong, unless JSON was asked for."""
        if not self.as_json:
            self._print(self._error_console, f"pacs-twisted {self.command}: {text}", "bad")

    def event(self, event: str, /, **fields: Any) -> None:
        """Write an object, if JSON was asked for, with the fields that `EVENTS` gives it."""
        if self.as_json:
            declared = EVENTS[self.command][event].fields
            if fields.keys() != declared.keys():
                raise ValueError(f"{event} has {sorted(declared)}, not {sorted(fields)}")
            members = {"event": event, **fields}
            self.stream.write(json.dumps(members, separators=(",", ":")) + "\n")
            self.stream.flush()

    def _print(self, console: Console, text: str, style: str) -> None:
        from rich.text import Text

        console.print(Text(escaped(text), STYLES.get(style, "")))
        console.file.flush()
