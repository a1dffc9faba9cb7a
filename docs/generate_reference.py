"""
Write the reference of a server's options, a table in Markdown, from their definition.

    python docs/generate_reference.py [COMMAND [FILE]]

Without a command they are those of pacs-echo. Without a file they go to stdout; the documentation
includes what is written to docs/_generated.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pacs_twisted.config import EchoSettings, StoreSettings, reference_table

COMMANDS = {settings.command: settings for settings in (EchoSettings, StoreSettings)}


def main(arguments: list[str]) -> None:
    """Write the table to a file, whose folder is made if it is missing, or to stdout."""
    command, *files = arguments or [EchoSettings.command]
    if command not in COMMANDS or len(files) > 1:
        raise SystemExit(__doc__)
    table = reference_table(COMMANDS[command])
    if not files:
        sys.stdout.write(table)
        return
    path = Path(files[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
