"""The reference of the API, and the links between the pages."""

from __future__ import annotations

import importlib
import pkgutil
import re

from twisted.trial.unittest import SynchronousTestCase

import pacs_twisted
import pacs_twisted.storage
from tests.docs.pages import DOCS, pages

NOT_LISTED = {"pacs_twisted.dimse.commands"}
"""Modules with an `__all__` whose package hands their names on."""


class ReferenceTests(SynchronousTestCase):
    """What the pages must have."""

    def test_modules(self) -> None:
        """Every module that declares public names has a page; those of storage share one."""
        found = {
            module.name
            for module in pkgutil.walk_packages(pacs_twisted.__path__, "pacs_twisted.")
            if not module.name.startswith("pacs_twisted.storage.")
            and hasattr(importlib.import_module(module.name), "__all__")
        }
        listed = {
            match
            for page in (DOCS / "reference" / "api").glob("*.md")
            for match in re.findall(r"automodule:: (\S+)", page.read_text(encoding="utf-8"))
        }
        self.assertEqual(listed, found - NOT_LISTED)

    def test_storage(self) -> None:
        """The page that puts the names of storage under headings has all of them, each once."""
        page = (DOCS / "reference" / "api" / "storage.md").read_text(encoding="utf-8")
        listed = re.findall(r"^\.\. auto(?!module)\w+:: (?:\w+\.)*(\w+)$", page, re.MULTILINE)
        self.assertEqual(sorted(listed), sorted(pacs_twisted.storage.__all__))

    def test_links(self) -> None:
        """Every link to a file leads to one."""
        broken = []
        for page in pages():
            for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
                if "://" not in target and not (page.parent / target).exists():
                    broken.append(f"{page.relative_to(DOCS.parent)}: {target}")
        self.assertEqual(broken, [])
