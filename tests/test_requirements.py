"""Every demand of the standard has its test, or a stated reason to come later."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import Requirement, collect, complaints, load, requirement


class CoverageTests(SynchronousTestCase):
    """The table and the tests of this tree."""

    def test_demands_and_tests_agree(self) -> None:
        """No demand is without test or reason, no test names a demand that is not there."""
        found = complaints(load(), collect())
        if found:
            self.fail("\n".join(["", *found]))


class ComplaintTests(SynchronousTestCase):
    """The check itself finds what it is for."""

    line = Requirement("A1", "M", "both", "PS3.8 9.1.1", "one association a connection")
    elsewhere = attrs.evolve(line, binds="requestor", later="requestor", why="A reason.")

    def complaints(self, line: Requirement, *tests: str) -> list[str]:
        """Return the complaints about one line that these tests cover."""
        return complaints({line.identifier: line}, {line.identifier: tests} if tests else {})

    def test_covered(self) -> None:
        """A demand with a test is in order."""
        self.assertEqual(self.complaints(self.line, "tests.test_a.T.test_it"), [])

    def test_not_covered(self) -> None:
        """A demand without one is not."""
        self.assertEqual(
            self.complaints(self.line),
            ["A1 has no test (PS3.8 9.1.1: one association a connection)"],
        )

    def test_policy_needs_no_test(self) -> None:
        """What the standard leaves open may stay without a test."""
        self.assertEqual(self.complaints(attrs.evolve(self.line, level="P")), [])

    def test_on_demand_covers_nothing(self) -> None:
        """A test that a plain run skips is no proof."""
        self.assertEqual(len(self.complaints(self.line, "tests.interop.test_a.T.test_it")), 1)

    def test_later(self) -> None:
        """A demand on the other side of the association waits, with a reason."""
        self.assertEqual(self.complaints(self.elsewhere), [])

    def test_later_without_reason(self) -> None:
        """Waiting without a reason is an error."""
        self.assertEqual(
            self.complaints(attrs.evolve(self.elsewhere, why="")),
            ["A1 needs both `later` and `why`, or neither"],
        )

    def test_later_but_covered(self) -> None:
        """A demand that has its test waits no more."""
        self.assertEqual(
            self.complaints(self.elsewhere, "tests.test_a.T.test_it"),
            ["A1 is covered: delete its `later` and `why`"],
        )

    def test_acceptor_cannot_wait(self) -> None:
        """What binds this server cannot be put off."""
        self.assertEqual(
            self.complaints(attrs.evolve(self.elsewhere, binds="acceptor")),
            ["A1 binds an acceptor: it cannot be for later"],
        )

    def test_unknown_words(self) -> None:
        """Misspelt fields of a line are found."""
        odd = attrs.evolve(self.elsewhere, level="X", binds="nobody", later="never")
        self.assertEqual(
            self.complaints(odd),
            ["A1 has level 'X'", "A1 binds 'nobody'", "A1 is for later, 'never'"],
        )

    def test_unknown_identifier(self) -> None:
        """A test that names a demand that is not in the table is found."""
        self.assertEqual(
            complaints({}, {"Z9": ["tests.test_a.T.test_it"]}),
            ["Z9 is not in requirements.toml, but named by tests.test_a.T.test_it"],
        )


class DecoratorTests(SynchronousTestCase):
    """The decorator leaves its identifiers on the function."""

    def test_adds_up(self) -> None:
        """Several decorators on one test add up, and the test stays what it was."""

        def test() -> None: ...

        marked = requirement("A1")(requirement("B2", "B3")(test))
        self.assertIs(marked, test)
        self.assertEqual(vars(test)["requirement_identifiers"], ("B2", "B3", "A1"))
