"""The progress bar of `store`."""

from __future__ import annotations

import io
import os
from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.cli.output import Output
from pacs_twisted.cli.progress import Bar
from pacs_twisted.storage.outcomes import Progress


class Terminal(io.StringIO):
    """A stream that is said to be a terminal."""

    def isatty(self) -> bool:
        return True


class BarTests(SynchronousTestCase):
    """What is drawn."""

    def setUp(self) -> None:
        patcher = mock.patch.dict(
            os.environ, {"TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"}, clear=True
        )
        patcher.start()
        self.addCleanup(patcher.stop)
        self.clock = Clock()
        self.terminal = Terminal()
        self.output = Output("store", self.terminal, io.StringIO())
        self.bar = Bar(self.output, self.clock.seconds)
        self.addCleanup(self.bar.close)

    def drawn(self, progress: Progress) -> str:
        """Return what is drawn a second later."""
        self.clock.advance(1.0)
        before = len(self.terminal.getvalue())
        self.bar.update(progress)
        return self.terminal.getvalue()[before:]

    def test_unknown_total(self) -> None:
        """Until it is known how much there is, a rate and no time left."""
        self.drawn(Progress(sent_bytes=1_000_000, found=2, finished=1))
        text = self.drawn(Progress(sent_bytes=3_000_000, found=3, finished=2))
        self.assertIn("2 objects", text)
        self.assertIn("2.0 MB/s", text)
        self.assertNotIn("%", text)

    def test_time_left(self) -> None:
        """Once it is, the part that is done and the time left."""
        self.bar.measured(10_000_000)
        self.drawn(Progress(sent_bytes=2_000_000, finished=1))
        text = self.drawn(Progress(sent_bytes=4_000_000, finished=2))
        self.assertIn("40%", text)
        self.assertIn("00:03", text)

    def test_all_found(self) -> None:
        """What the sender has found counts more than what was measured."""
        self.bar.measured(10_000_000)
        progress = Progress(found_bytes=4_000_000, all_found=True, sent_bytes=2_000_000)
        self.assertIn("50%", self.drawn(progress))

    def test_sent_again(self) -> None:
        """What was sent twice does not fill more than the bar."""
        progress = Progress(found_bytes=4_000_000, all_found=True, sent_bytes=6_000_000)
        self.assertIn("100%", self.drawn(progress))

    def test_seldom(self) -> None:
        """It is not drawn for each piece of a file."""
        self.drawn(Progress(finished=1))
        before = self.terminal.getvalue()
        for number in range(100):
            self.bar.update(Progress(finished=number))
        self.assertEqual(self.terminal.getvalue(), before)

    def test_ascii(self) -> None:
        """A terminal of few letters gets a bar of few letters."""
        stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        with mock.patch.object(stream, "isatty", lambda: True):
            bar = Bar(Output("store", stream, io.StringIO()), self.clock.seconds)
            self.clock.advance(1.0)
            bar.update(Progress(found_bytes=4, all_found=True, sent_bytes=2))
            bar.close()
        stream.flush()
        text = stream.buffer.getvalue().decode("ascii")
        self.assertIn("----", text)
        self.assertNotIn("\\u", text)
