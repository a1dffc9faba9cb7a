"""
The reference of `pacs-twisted`: its tables, made of the definitions that the program itself uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from facts import markdown_table
from sphinx.application import Sphinx

from pacs_twisted.cli.events import EVENTS
from pacs_twisted.cli.exits import MEANINGS
from pacs_twisted.cli.options import (
    COMMANDS,
    PeerOptions,
    client_options,
    environment_variables,
)
from pacs_twisted.config import Option
from pacs_twisted.option_kinds import Choice, Flag, Whole


def describe_kind(option: Option) -> str:
    """Return what an option takes."""
    kind = option.kind.name
    if isinstance(option.kind, Whole):
        kind += f", {option.kind.minimum} to {option.kind.maximum}"
    elif isinstance(option.kind, Choice):
        kind = ", ".join(f"`{word}`" for word in option.kind.words)
    return kind + (", repeatable" if option.repeatable else "")


def option_table(command: str, options: Iterable[Option]) -> str:
    """Return a table of options; the variable that all commands share stands for itself."""
    return markdown_table(
        ("Option", "Variable", "Type", "Unit", "Default", "Meaning"),
        (
            (
                f"`--{one.name}`" + (f", `--no-{one.name}`" * isinstance(one.kind, Flag)),
                f"`{environment_variables(command, one)[-1]}`",
                describe_kind(one),
                one.unit,
                one.default_text or f"`{one.described_default}`",
                one.help,
            )
            for one in options
        ),
    )


def options_of_all() -> str:
    """Return the options of every command that calls a peer."""
    return option_table("echo", client_options(PeerOptions))


def own_options(command: type[PeerOptions]) -> str:
    """Return the options that one command has for itself."""
    common = {option.name for option in client_options(PeerOptions)}
    own = [option for option in client_options(command) if option.name not in common]
    return option_table(command.command, own)


def exit_statuses() -> str:
    """Return the exit statuses."""
    return markdown_table(
        ("Status", "Meaning"), ((f"{exit.value}", words) for exit, words in MEANINGS.items())
    )


def events(command: str) -> str:
    """Return the events of a command and their fields."""

    def rows() -> Iterator[tuple[str, str, str]]:
        for name, event in EVENTS[command].items():
            yield f"**`{name}`**", "", event.when
            for field, meaning in event.fields.items():
                yield "", f"`{field}`", meaning

    return markdown_table(("Event", "Field", "When, or meaning"), rows())


def tables() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each table."""
    yield "cli-options.md", options_of_all()
    yield "cli-exit-statuses.md", exit_statuses()
    for command in COMMANDS:
        yield f"cli-options-{command.command}.md", own_options(command)
    for name in EVENTS:
        yield f"cli-events-{name}.md", events(name)


def _write_tables(app: Sphinx) -> None:
    folder = Path(app.srcdir, "_generated")
    folder.mkdir(exist_ok=True)
    for name, text in tables():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx: connect."""
    app.connect("builder-inited", _write_tables)
    return {"parallel_read_safe": True}
