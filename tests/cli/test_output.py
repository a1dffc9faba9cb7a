"""What a command writes, whoever reads."""

from __future__ import annotations

import errno
import io
import json
import os
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.cli.output import Output, SafeStream


class FailingStream(io.StringIO):
    """A stream that raises an error as soon as it is used."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    def write(self, text: str) -> int:
        raise self._error

    def flush(self) -> None:
        raise self._error


class Terminal(io.StringIO):
    """A stream that is said to be a terminal."""

    def isatty(self) -> bool:
        return True


def terminal_of(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


class StreamTests(SynchronousTestCase):
    """A stream whose reader may be gone."""

    def test_reader_gone(self) -> None:
        """What nobody reads goes nowhere, and who writes can know it."""
        stream = SafeStream(FailingStream(BrokenPipeError(errno.EPIPE, "Broken pipe")))
        stream.write("a")
        stream.flush()
        self.assertTrue(stream.is_lost)
        stream.write("b")
        self.assertEqual(stream.problem, "")

    def test_reader_gone_at_flush(self) -> None:
        """Buffers show only when they are flushed that nobody reads."""
        stream = SafeStream(FailingStream(BrokenPipeError(errno.EPIPE, "Broken pipe")))
        stream.flush()
        self.assertTrue(stream.is_lost)

    def test_disk_full(self) -> None:
        """Any other error is remembered; what was to be done besides is done."""
        stream = SafeStream(FailingStream(OSError(errno.ENOSPC, "No space left on device")))
        stream.write("a")
        stream.flush()
        self.assertTrue(stream.is_lost)
        self.assertEqual(stream.problem, "No space left on device")

    def test_no_stream(self) -> None:
        """A process may be started without."""
        stream = SafeStream(None)
        stream.write("a")
        stream.flush()
        self.assertFalse(stream.isatty())

    def test_closed(self) -> None:
        """A stream that somebody has closed is no reason to complain when this is collected."""
        inner = io.StringIO()
        stream = SafeStream(inner)
        inner.close()
        stream.flush()

    def test_few_letters(self) -> None:
        """A terminal that does not know a letter gets it escaped."""
        terminal = terminal_of("ascii")
        SafeStream(terminal).write("Grün\udcff\n")
        terminal.flush()
        self.assertEqual(terminal.buffer.getvalue(), b"Gr\\xfcn\\udcff\n")  # type: ignore[attr-defined]


class OutputTests(SynchronousTestCase):
    """Lines or JSON."""

    def setUp(self) -> None:
        self.stdout, self.stderr = io.StringIO(), io.StringIO()

    def output(self, as_json: bool = False) -> Output:
        return Output("echo", self.stdout, self.stderr, as_json=as_json)

    def test_lines(self) -> None:
        """Lines for people, complaints on stderr; nothing is wrapped or read as markup."""
        output = self.output()
        output.line("[bold]" + "x" * 300, "good")
        output.complain("no")
        output.event("associated", peer="a", called="b", seconds=1.0)
        self.assertEqual(self.stdout.getvalue(), "[bold]" + "x" * 300 + "\n")
        self.assertEqual(self.stderr.getvalue(), "pacs-twisted echo: no\n")

    def test_json(self) -> None:
        """One object a line, and nothing else on either stream."""
        output = self.output(as_json=True)
        output.line("text")
        output.complain("no")
        output.event("associated", peer="Grün\n", called="b", seconds=1.0)
        (line,) = self.stdout.getvalue().splitlines()
        self.assertEqual(
            json.loads(line),
            {"event": "associated", "peer": "Grün\n", "called": "b", "seconds": 1.0},
        )
        self.assertTrue(line.isascii())
        self.assertEqual(self.stderr.getvalue(), "")

    def test_undeclared_fields(self) -> None:
        """No event has a field that the reference does not list, or lacks one."""
        output = self.output(as_json=True)
        with self.assertRaises(ValueError):
            output.event("associated", peer="a", called="b", seconds=1.0, colour="red")
        with self.assertRaises(ValueError):
            output.event("associated", peer="a", called="b")

    def test_control_characters(self) -> None:
        """Nothing moves the cursor, whatever a file is called."""
        self.output().line("a\x1b[2Jb\rc\nd\x9b")
        self.assertEqual(self.stdout.getvalue(), "a\\x1b[2Jb\\rc\\nd\\x9b\n")

    def test_colours(self) -> None:
        """A terminal gets colours, unless NO_COLOR is set."""
        self.patch_environment(TERM="xterm", NO_COLOR=None, FORCE_COLOR=None)
        terminal = Terminal()
        Output("echo", terminal, self.stderr).line("good", "good")
        self.assertIn("\x1b[32m", terminal.getvalue())
        self.patch_environment(NO_COLOR="1")
        terminal = Terminal()
        Output("echo", terminal, self.stderr).line("good", "good")
        self.assertEqual(terminal.getvalue(), "good\n")

    def test_terminal(self) -> None:
        """Only a terminal that can move its cursor gets a progress bar, and never with JSON."""
        self.patch_environment(TERM="xterm", FORCE_COLOR=None)
        self.assertTrue(Output("echo", Terminal(), self.stderr).is_terminal)
        self.assertFalse(Output("echo", Terminal(), self.stderr, as_json=True).is_terminal)
        self.assertFalse(self.output().is_terminal)
        self.patch_environment(TERM="dumb")
        self.assertFalse(Output("echo", Terminal(), self.stderr).is_terminal)

    def patch_environment(self, **variables: str | None) -> None:
        """Set variables, or take them away, until the test ends."""
        environment = {**os.environ, **{k: v for k, v in variables.items() if v is not None}}
        for name, value in variables.items():
            if value is None:
                environment.pop(name, None)
        patcher = mock.patch.dict(os.environ, environment, clear=True)
        patcher.start()
        self.addCleanup(patcher.stop)
