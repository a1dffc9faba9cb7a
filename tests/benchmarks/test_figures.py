"""Ratios, tables and the order of rounds."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.figures import Row, as_text, in_turn, rounded, spelt

ROW = Row(
    "objects",
    "GB/s",
    {"ours": [1.0, 2.0, 9.0], "dcmtk": [2.0, 2.0, 3.0]},
    {"limit": "it has ended"},
    {"associations": 10},
)


class RowTests(SynchronousTestCase):
    """One race."""

    def test_ratios(self) -> None:
        """A ratio is taken in each round, never of medians or best runs."""
        self.assertEqual(ROW.ratios("ours"), [0.5, 1.0, 3.0])

    def test_no_reference(self) -> None:
        """Without the reference there are no ratios."""
        row = Row("objects", "GB/s", {"ours": [1.0]})
        self.assertEqual(row.ratios("ours"), [])
        self.assertEqual(row.as_json()["ratios_to_dcmtk"], {})

    def test_json(self) -> None:
        """The JSON has each value, the medians and those of the ratios."""
        result = ROW.as_json()
        self.assertEqual(result["values"]["ours"], [1.0, 2.0, 9.0])
        self.assertEqual(result["medians"], {"ours": 2.0, "dcmtk": 2.0})
        self.assertEqual(result["ratios_to_dcmtk"], {"ours": 1.0, "dcmtk": 1.0})
        self.assertEqual(result["failed"], {"limit": "it has ended"})
        self.assertEqual(result["associations"], 10)

    def test_text(self) -> None:
        """People read medians, the range, and ratios; also who has failed."""
        self.assertEqual(
            as_text(ROW),
            "objects [GB/s]\n"
            "  ours        2.00  (1.00 to 9.00)  1.00 of dcmtk (0.50 to 3.00)\n"
            "  dcmtk       2.00  (2.00 to 3.00)\n"
            "  limit  failed: it has ended",
        )


class NumberTests(SynchronousTestCase):
    """Numbers as they are shown."""

    def test_spelt(self) -> None:
        """Three digits that count, thousands apart."""
        self.assertEqual(
            [spelt(each) for each in (0.1234, 12.345, 1234.5)], ["0.12", "12.3", "1,234"]
        )

    def test_rounded(self) -> None:
        """Four digits that count, also of small numbers."""
        self.assertEqual([rounded(each) for each in (0.0123456, 123456.0)], [0.01235, 123500.0])


class OrderTests(SynchronousTestCase):
    """The order of a round."""

    def test_in_turn(self) -> None:
        """Each round begins with another contender and has all of them."""
        self.assertEqual(in_turn("abc", 1), ["b", "c", "a"])
        self.assertEqual({in_turn("abc", number)[0] for number in range(3)}, set("abc"))
        self.assertEqual(in_turn([], 1), [])
