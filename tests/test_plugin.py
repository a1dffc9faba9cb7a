"""The drop-in: Twisted finds the command, and the checkout does not shadow Twisted."""

from __future__ import annotations

from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

import pacs_twisted
from pacs_twisted.tap import echo

CHECKOUT = Path(pacs_twisted.__file__).resolve().parents[1]


class PluginTests(SynchronousTestCase):
    """What twistd and twist see of us."""

    def test_found(self) -> None:
        """`pacs-echo` is there, once, with its options and its service."""
        [maker] = [
            maker for maker in getPlugins(IServiceMaker) if maker.tapname.startswith("pacs-")
        ]
        self.assertEqual(maker.tapname, "pacs-echo")
        self.assertIs(maker.options, echo.Options)
        self.assertIs(maker.makeService, echo.makeService)

    def test_no_package(self) -> None:
        """An `__init__.py` beside the drop-in would hide Twisted or its plugins."""
        for folder in ("twisted", "twisted/plugins"):
            self.assertFalse((CHECKOUT / folder / "__init__.py").exists(), folder)
