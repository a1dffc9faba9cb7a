"""The drop-in: Twisted finds the command, and the checkout does not shadow Twisted."""

from __future__ import annotations

from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

import pacs_twisted
from pacs_twisted.tap import echo, store

CHECKOUT = Path(pacs_twisted.__file__).resolve().parents[1]


class PluginTests(SynchronousTestCase):
    """What twistd and twist see of us."""

    def test_found(self) -> None:
        """Each command is there, once, with its options and its service."""
        found = [maker for maker in getPlugins(IServiceMaker) if maker.tapname.startswith("pacs-")]
        commands = {"pacs-echo": echo, "pacs-store": store}
        self.assertEqual(sorted(maker.tapname for maker in found), sorted(commands))
        for maker in found:
            module = commands[maker.tapname]
            self.assertIs(maker.options, module.Options)
            self.assertIs(maker.makeService, module.makeService)
            self.assertEqual(maker.options.settings_class.command, maker.tapname)

    def test_no_package(self) -> None:
        """An `__init__.py` beside the drop-in would hide Twisted or its plugins."""
        for folder in ("twisted", "twisted/plugins"):
            self.assertFalse((CHECKOUT / folder / "__init__.py").exists(), folder)
