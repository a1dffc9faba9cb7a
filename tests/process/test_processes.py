"""
The children of `tests.processes`: what they inherit.
"""

from __future__ import annotations

import signal
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import Process


class InheritanceTests(SynchronousTestCase):
    """A child meets signals as a program that a user starts does."""

    def test_interrupt_is_not_ignored(self) -> None:
        """Whoever runs the tests in the background ignores SIGINT; their children do not."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        told = "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
        with Process([sys.executable, "-c", told]) as child:
            child.wait()
            self.assertEqual(child.output, "False\n")
        self.assertEqual(signal.getsignal(signal.SIGINT), signal.SIG_IGN)
