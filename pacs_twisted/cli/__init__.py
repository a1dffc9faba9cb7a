"""
`pacs-twisted`, the command line for people and scripts.

It needs click and rich, which the extra `pacs-twisted[cli]` brings; nothing else in the package
does, and neither is imported before `main` is called. What each command does stands in a module
of its own, which knows neither of them; `commands` makes the command line of those, from the
definitions in `options`.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import NoReturn

PROGRAM = "pacs-twisted"
MISSING_STATUS = 2


def main() -> NoReturn:
    """Run the command that the process was started with, and exit with its status."""
    missing = [name for name in ("click", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"{PROGRAM}: the command line needs {' and '.join(missing)}:"
            " pip install 'pacs-twisted[cli]'\n"
        )
        sys.exit(MISSING_STATUS)
    from pacs_twisted.cli.commands import run

    sys.exit(run())
