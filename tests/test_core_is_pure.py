"""The protocol's core imports neither Twisted nor pydicom: a fresh interpreter can tell."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

import pacs_twisted

SHELL: Final = ("net", "storage", "tap", "logs", "acceptor_service", "testing", "cli")
"""What may import Twisted: the shell and what belongs to it."""

FOREIGN: Final = ("twisted", "pydicom")

_PROBE: Final = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules)))
"""


def modules_after_importing(*names: str) -> set[str]:
    """Return what a fresh interpreter has loaded after these imports, and nothing else."""
    ran = subprocess.run(
        [sys.executable, "-c", _PROBE, *names],
        cwd=Path(pacs_twisted.__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(json.loads(ran.stdout))


def core_modules() -> list[str]:
    """Return the names of all modules outside the shell."""
    prefix = f"{pacs_twisted.__name__}."
    return [
        found.name
        for found in pkgutil.walk_packages(pacs_twisted.__path__, prefix)
        if found.name.split(".")[1] not in SHELL
    ]


class CoreTests(SynchronousTestCase):
    def test_association(self) -> None:
        """An association can be used where neither Twisted nor pydicom is installed."""
        loaded = modules_after_importing("pacs_twisted.association")
        self.assertIn("pacs_twisted.association", loaded)
        for name in (*FOREIGN, "asyncio", "socket", "pacs_twisted.net"):
            self.assertNotIn(name, loaded)

    def test_every_module(self) -> None:
        """The same holds for every module outside the shell."""
        names = core_modules()
        for name in ("pdu.framing", "dimse.messages", "upper_layer.machine", "services"):
            self.assertIn(f"pacs_twisted.{name}", names)
        loaded = modules_after_importing(*names)
        self.assertTrue(loaded.issuperset(names))
        self.assertEqual([name for name in FOREIGN if name in loaded], [])
        self.assertEqual([name for name in loaded if name.startswith("pacs_twisted.net")], [])

    def test_the_test_can_fail(self) -> None:
        """The shell is what the probe looks for."""
        self.assertIn("twisted", modules_after_importing("pacs_twisted.net"))
