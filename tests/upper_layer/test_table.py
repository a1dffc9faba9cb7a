"""The state table against PS3.8 Table 9-10."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.upper_layer.actions import ACTIONS, Events, State
from pacs_twisted.upper_layer.table import TABLE_9_10, read_table
from tests.upper_layer import ps3_8


class TranscriptionTests(SynchronousTestCase):
    """The transcription that the tests go by is whole itself."""

    def test_checksum(self) -> None:
        """123 cells are defined, and each action stands as often as in the standard."""
        self.assertEqual(len(ps3_8.TABLE), 123)
        counts = Counter(action for action, _ in ps3_8.TABLE.values())
        self.assertEqual(counts, ps3_8.ACTION_COUNTS)
        self.assertEqual(set(ps3_8.ACTIONS), set(ps3_8.ACTION_COUNTS))


class TableTests(SynchronousTestCase):
    """Our table, cell by cell."""

    table = read_table(TABLE_9_10)

    def test_cells(self) -> None:
        """All 247 cells hold what the standard prints, undefined ones nothing."""
        for event, method in ps3_8.EVENTS.items():
            expected = {
                state: ps3_8.TABLE[state, event][0]
                for state in ps3_8.STATES
                if (state, event) in ps3_8.TABLE
            }
            self.assertEqual(self.table[method], expected, event)

    def test_rows_and_columns(self) -> None:
        """Events stand in the standard's order and are the inputs of the machine."""
        methods = list(ps3_8.EVENTS.values())
        self.assertEqual(list(self.table), methods)
        self.assertEqual([name for name in vars(Events) if not name.startswith("_")], methods)
        self.assertEqual([state.name for state in State], list(ps3_8.STATES))

    def test_checksum(self) -> None:
        """Each action stands as often as in the standard."""
        counts = Counter(action for cells in self.table.values() for action in cells.values())
        self.assertEqual(counts, ps3_8.ACTION_COUNTS)

    def test_next_states(self) -> None:
        """Each action leads where the standard says; only AR-8 tells the roles apart."""
        for (state, event), (name, _) in ps3_8.TABLE.items():
            action = ACTIONS[name]
            for requestor, to in ((True, action.requestor_to), (False, action.acceptor_to)):
                expected = ps3_8.next_state(state, event, requestor=requestor)
                self.assertEqual(to.name, expected, (state, event))
        differing = [
            name for name, action in ACTIONS.items() if action.requestor_to != action.acceptor_to
        ]
        self.assertEqual(differing, ["AR-8"])

    def test_no_action_is_left_over(self) -> None:
        """The actions are those of Tables 9-6 to 9-9."""
        self.assertEqual(set(ACTIONS), set(ps3_8.ACTIONS))


class ReadTableTests(SynchronousTestCase):
    """The few lines that read the text."""

    def test_a_missing_cell(self) -> None:
        """A row that is too short or too long does not go unnoticed."""
        for row in ("event AE-1", "event AE-1 . ."):
            self.assertRaises(ValueError, read_table, f"Sta1 Sta2\n{row}\n")

    def test_undefined(self) -> None:
        """Dots are left out."""
        table = read_table("Sta1 Sta2\none AE-1 .\nnone . .\n")
        self.assertEqual(table, {"one": {"Sta1": "AE-1"}, "none": {}})
