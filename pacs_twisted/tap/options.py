"""
The command line of a server, made from the class of its settings, and the service of twistd.

`ServerOptions` is twistd's side of `config`; it and `make_acceptor_service` know no service of
DICOM.
"""

from __future__ import annotations

import os.path
import sys
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn

from twisted.python import usage

from pacs_twisted import __version__
from pacs_twisted.acceptor_service import AcceptorService, Resources, complain, parse_endpoint
from pacs_twisted.config import (
    CONFIG,
    ConfigurationError,
    Option,
    ServerSettings,
    load,
    options,
)
from pacs_twisted.logs import OBSERVERS, install
from pacs_twisted.net import ApplicationEntity
from pacs_twisted.option_kinds import FileName, Flag


class ServerOptions(usage.Options):
    """
    The command line of a server, made from the class of its settings.

    After parsing, `settings` is what command line and file say together. As a part of twistd's
    or twist's command line a mistake is one line on stderr and the end of the process; parsed
    by anybody else, it is a UsageError.
    """

    settings_class: ClassVar[type[ServerSettings]] = ServerSettings
    settings: ServerSettings
    longdesc = (
        "The command line goes before the file (--config), the file before the defaults."
        " SIGHUP reads the file again, SIGTERM lets associations end, a second one does not."
    )

    def __init_subclass__(cls) -> None:
        """Give the class a method of each option: from them Twisted learns of it."""
        for option in (CONFIG, *options(cls.settings_class)):
            _add_option(cls, option)

    def __init__(self) -> None:
        self.arguments: dict[str, list[str]] = {}
        super().__init__()

    def opt_version(self) -> NoReturn:
        """Display the version and exit."""
        print(f"{self.settings_class.command} {__version__} (pacs_twisted)")
        sys.exit(0)

    def parseArgs(self, *arguments: str) -> None:  # noqa: N802
        """Refuse what is no option, by its name."""
        if arguments:
            raise usage.UsageError(f"unexpected argument {arguments[0]}")

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the command line, and the file if there is one."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            if self.parent is None:
                raise
            # twistd would print all its help, and both to stdout.
            complain(self.settings_class.command, str(error))
            raise SystemExit(1) from error

    def postOptions(self) -> None:
        """Put the settings together, and see that the endpoint strings can be parsed."""
        from twisted.internet import reactor

        try:
            self.settings = self.read()
            for text in self.settings.listen:
                parse_endpoint(reactor, text)
        except ConfigurationError as error:
            raise usage.UsageError(str(error)) from error

    @property
    def has_file(self) -> bool:
        """Whether there is a file to read again."""
        return CONFIG.name in self.arguments

    def read(self) -> ServerSettings:
        """
        Put the settings together, the file read anew.

        Raises:
            ConfigurationError: something in them is not allowed.
        """
        arguments = {name: texts for name, texts in self.arguments.items() if name != CONFIG.name}
        if not self.has_file:
            return self.settings_class.build(arguments)
        file = self.arguments[CONFIG.name][-1]
        return self.settings_class.build(arguments, load(file), file)


def _add_option(cls: type[ServerOptions], option: Option) -> None:
    """Add the methods that Twisted calls when the option is on the command line."""

    def value(self: ServerOptions, text: str) -> None:
        if text and isinstance(option.kind, FileName):
            # Absolute, since a daemon changes its directory and reads the file again.
            text = os.path.abspath(text)
        self.arguments.setdefault(option.name, []).append(text)

    def yes(self: ServerOptions) -> None:
        self.arguments[option.name] = ["true"]

    def no(self: ServerOptions) -> None:
        self.arguments[option.name] = ["false"]

    if isinstance(option.kind, Flag):
        yes.__doc__ = option.help
        no.__doc__ = f"Take --{option.name} back, also the file's."
        setattr(cls, f"opt_{option.attribute}", yes)
        setattr(cls, f"opt_no_{option.attribute}", no)
        return
    notes = [option.unit] if option.unit else []
    if option.repeatable:
        notes.append("repeatable")
    if option.described_default:
        notes.append(f"default: {option.described_default}")
    value.__doc__ = option.help + (f" [{', '.join(notes)}]" if notes else "")
    setattr(cls, f"opt_{option.attribute}", value)


def make_acceptor_service(
    options: ServerOptions,
    make_entity: Callable[[ServerSettings], ApplicationEntity],
    reactor: Any = None,
    resources: Resources | None = None,
) -> AcceptorService:
    """
    Return the service of a command, and put our log in the place of twistd's or twist's.

    Args:
        options: parsed.
        make_entity: what is served, made of settings.
        reactor: the global one if not given.
        resources: what is served with, to be started before and stopped after.
    """
    if reactor is None:
        from twisted.internet import reactor
    settings = options.settings
    observer = OBSERVERS[settings.log_format](settings.log_level)
    return AcceptorService(
        settings,
        make_entity,
        reactor=reactor,
        read=options.read if options.has_file else None,
        resources=resources,
        set_log_level=observer.set_level,
        attach=install(observer, options.parent),
    )
