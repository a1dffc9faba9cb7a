"""Programs that are run and measured."""

from __future__ import annotations

import sys

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.processes import BenchmarkFailed, Command, run, run_together


def python(code: str) -> Command:
    """Return a call of the interpreter."""
    return Command([sys.executable, "-c", code])


class RunTests(SynchronousTestCase):
    """Clients, which end by themselves."""

    def test_output(self) -> None:
        """The output is there, and how long it took."""
        finished = run(python("print('done')"), 60)
        self.assertEqual(finished.output, "done\n")
        self.assertGreater(finished.seconds, 0)

    def test_peak(self) -> None:
        """Memory that was given back before the end counts."""
        code = "import time; b = b'1' * 2**26; b = None; time.sleep(0.2)"
        self.assertGreater(run(python(code), 60, watch_memory=True).peak, 2**26)
        self.assertEqual(run(python(""), 60).peak, 0)

    def test_failure(self) -> None:
        """One that fails says what it wrote, also when another one succeeds."""
        failing = python("raise SystemExit('no association')")
        error = self.assertRaises(BenchmarkFailed, run, failing, 60)
        self.assertIn("no association", str(error))
        self.assertRaises(BenchmarkFailed, run_together, [python(""), failing], 60)

    def test_too_slow(self) -> None:
        """One that does not end is ended."""
        error = self.assertRaises(BenchmarkFailed, run, python("import time; time.sleep(60)"), 0.2)
        self.assertIn("takes over 0.2 s", str(error))
