"""
Write the reference of the options, a table in Markdown, from their definition.

    python docs/generate_reference.py [FILE]

Without a file it goes to stdout; the documentation includes what is written to
docs/_generated/options.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pacs_twisted.config import EchoSettings, reference_table


def main(arguments: list[str]) -> None:
    """Write the table to a file, whose folder is made if it is missing, or to stdout."""
    table = reference_table(EchoSettings)
    if not arguments:
        sys.stdout.write(table)
        return
    path = Path(arguments[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
