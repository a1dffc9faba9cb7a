"""The reference of the command line includes every table that is made of its definitions."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.cli.commands import cli
from pacs_twisted.cli.events import EVENTS
from pacs_twisted.cli.options import COMMANDS
from tests.docs.pages import DOCS


class CommandLineTests(SynchronousTestCase):
    """docs/reference/cli.md; that the tables are true is seen to where they are made and used."""

    def setUp(self) -> None:
        self.text = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")

    def test_tables(self) -> None:
        """Options, JSON members and exit statuses, of every command."""
        included = re.findall(r"_generated/(cli-[\w-]+)\.md", self.text)
        expected = ["cli-options", "cli-exit-statuses"]
        expected += [f"cli-options-{command.command}" for command in COMMANDS]
        expected += [f"cli-events-{command}" for command in EVENTS]
        self.assertEqual(sorted(included), sorted(expected))

    def test_commands(self) -> None:
        """Every command has a section, and stands in the list at the top."""
        for command in cli.commands:
            self.assertIn(f"\n## {command}\n", self.text)
            self.assertRegex(self.text, rf"\| \[`{command}\b[^`]*`\]\(#{command}\) \|")
