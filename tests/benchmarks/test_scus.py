"""What clients say of their work, and what is made of it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.processes import BenchmarkFailed, Finished
from benchmarks.scus import check_report, reported, seconds_for_rest, seconds_of_work

REPORT = """\
I: Number of SOP instances  : 3
I: - sent to the peer       : 3
I:   * with status SUCCESS  : 2
I:   * with status REFUSED  : 1
"""


class ScuTests(SynchronousTestCase):
    """Outputs and times."""

    def test_report(self) -> None:
        """All objects must have been stored with success, whatever the exit status is."""
        check_report(Finished(1.0, REPORT), 2)
        self.assertRaises(BenchmarkFailed, check_report, Finished(1.0, REPORT), 3)
        self.assertRaises(BenchmarkFailed, check_report, Finished(1.0, ""), 3)

    def test_reported(self) -> None:
        """The last line of our programs has the numbers; without it there is none."""
        said = 'a warning\n{"seconds": 1.5, "peak": 4096}\n'
        self.assertEqual(reported(Finished(9.0, said)), {"seconds": 1.5, "peak": 4096.0})
        for nothing in ("", "{}", "[]", "hello"):
            self.assertRaises(BenchmarkFailed, reported, Finished(9.0, nothing))

    def test_seconds(self) -> None:
        """What a program says itself goes before its whole life, with the start of Python."""
        self.assertEqual(seconds_of_work(Finished(9.0, '{"seconds": 1.5, "peak": 1}\n')), 1.5)
        self.assertEqual(seconds_of_work(Finished(9.0, REPORT)), 9.0)

    def test_rest(self) -> None:
        """The start of a program does not count; what is lost in it is an error."""
        self.assertEqual(seconds_for_rest(Finished(3.0, ""), Finished(1.0, "")), 2.0)
        self.assertRaises(BenchmarkFailed, seconds_for_rest, Finished(1.0, ""), Finished(1.0, ""))
