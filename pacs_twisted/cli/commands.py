"""
The command line itself: click's commands, made of the definitions in `options` and `config`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import attrs
import click

from pacs_twisted import __version__
from pacs_twisted.cli import PROGRAM
from pacs_twisted.cli.address import DEFAULT_PORT, PeerAddress
from pacs_twisted.cli.exits import Exit
from pacs_twisted.cli.options import (
    JSON,
    EchoOptions,
    ExplainOptions,
    PeerOptions,
    StoreOptions,
    client_options,
    environment_variables,
)
from pacs_twisted.cli.output import Output
from pacs_twisted.cli.running import Interruption, Runner, run_in_reactor
from pacs_twisted.config import CONFIG, Option, StoreSettings, options
from pacs_twisted.option_kinds import Choice, Flag, Kind


def begin_log(observers: Sequence[Any]) -> None:
    """Begin the log of this process."""
    from twisted.logger import globalLogBeginner

    globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False)


@attrs.frozen
class Tools:
    """
    What the commands work with; a test gives them its own.

    Args:
        run: runs the work of a command.
        associate: `pacs_twisted.net.associate` if not given.
        send: `pacs_twisted.cli.store.send_files` if not given.
        seconds: returns the time, for measuring.
        begin_log: begins the log, with its observers.
    """

    run: Runner = run_in_reactor
    associate: Callable[..., Any] | None = None
    send: Callable[..., Any] | None = None
    seconds: Callable[[], float] = time.perf_counter
    begin_log: Callable[[Sequence[Any]], None] = begin_log


class KindType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5 only
    """
    What reads a value for click, for one of our kinds of values.

    Args:
        option: whose value it is.
    """

    def __init__(self, option: Option) -> None:
        self._kind: Kind = option.kind
        self._unit = option.unit if option.unit != "s" else ""  # their kind says seconds
        self.name = option.kind.name

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Read a text; the default that stands in the definition is a value already."""
        if not isinstance(value, str):
            return value
        try:
            return self._kind.from_text(value)
        except ValueError as error:
            unit = f" ({self._unit})" if self._unit else ""
            detail = f" ({error})" if error.args else ""
            self.fail(f"{value!r}: must be {self._kind.allowed}{unit}{detail}", param, ctx)


class AddressType(click.ParamType):  # type: ignore[type-arg]
    """What reads HOST for click."""

    name = "host"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Read it."""
        if not isinstance(value, str):
            return value
        try:
            return PeerAddress.parse(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


_SHORT = {"verbose": "-v", "count": "-c", "interval": "-i"}


def make_server_parameter(option: Option) -> click.Option:
    """Return click's option for one of a server's; its text is read by the server's own reader."""
    names = [f"--{option.name}", option.attribute]
    flag = isinstance(option.kind, Flag)
    if flag:
        names[0] += f"/--no-{option.name}"
    choice = click.Choice(option.kind.words) if isinstance(option.kind, Choice) else click.STRING
    return click.Option(
        names,
        type=None if flag else choice,
        default=None,
        multiple=option.repeatable,
        metavar=None if flag else option.kind.name.upper().replace(" ", "-"),
        show_default=option.described_default or False,
        help=option.help + (f" [{option.unit}]" if option.unit else ""),
        envvar=list(environment_variables("listen", option)),
    )


def make_parameter(command: str, option: Option) -> click.Option:
    """Return click's option for one of ours."""
    names = [f"--{option.name}"]
    arguments: dict[str, Any] = {}
    if isinstance(option.kind, Flag):
        names = [f"--{option.name}/--no-{option.name}"]
    elif isinstance(option.kind, Choice):
        arguments["type"] = click.Choice(option.kind.words)
    else:
        arguments["type"] = KindType(option)
        arguments["metavar"] = option.kind.name.upper().replace(" ", "-")
    if option.name in _SHORT:
        names.insert(0, _SHORT[option.name])
    return click.Option(
        [*names, option.attribute],
        default=None if option.repeatable else option.default,
        multiple=option.repeatable,
        show_default=option.default_text or not isinstance(option.kind, Flag),
        help=option.help + (f" [{option.unit}]" if option.unit else ""),
        envvar=list(environment_variables(command, option)),
        **arguments,
    )


def finish(context: click.Context, output: Output, status: Exit) -> NoReturn:
    """End a command, and say so if not all of its output could be written."""
    if output.stream.problem:
        output.complain(f"cannot write: {output.stream.problem}")
        status = status or Exit.FAILED
    context.exit(int(status))


def make_session_command(
    options_class: type[PeerOptions],
    work: Callable[..., Any],
    help: str,
    arguments: Sequence[click.Argument] = (),
) -> click.Command:
    """
    Return a command that calls a peer.

    Args:
        options_class: its options.
        work: a coroutine function, called with the session, the options, the tools, and by name
            with the further arguments; returns the exit status.
        help: what it does; the first sentence stands in the list of commands.
        arguments: those that follow HOST.
    """

    @click.pass_context
    def callback(context: click.Context, /, host: PeerAddress, **values: Any) -> None:
        from pacs_twisted.logs import TextObserver

        tools = context.ensure_object(Tools)
        rest = {argument.name: values.pop(str(argument.name)) for argument in arguments}
        told = options_class(**values)
        output = Output(options_class.command, sys.stdout, sys.stderr, as_json=told.json)
        level = "debug" if told.debug else "info" if told.verbose else "critical"
        tools.begin_log([TextObserver(level).writing_to(output.error_stream)])

        async def in_reactor(reactor: Any, interruption: Interruption) -> Exit:
            from pacs_twisted.cli.session import Session

            try:
                endpoint = host.make_endpoint(reactor, told.connect_timeout)
            except ValueError as error:
                raise click.BadParameter(str(error), context, param_hint="HOST") from error
            session = Session(
                address=host,
                endpoint=endpoint,
                options=told,
                output=output,
                reactor=reactor,
                interruption=interruption,
                associate=tools.associate or _associate(),
                seconds=tools.seconds,
            )
            return Exit(await work(session, told, tools, **rest))

        finish(context, output, tools.run(in_reactor))

    host = click.Argument(["host"], type=AddressType(), metavar="HOST[:PORT]")
    return click.Command(
        options_class.command,
        callback=callback,
        params=[
            host,
            *arguments,
            *(make_parameter(options_class.command, one) for one in client_options(options_class)),
        ],
        help=help,
        epilog=f"HOST is a name, an IPv4 address or an IPv6 address in brackets, the port"
        f" {DEFAULT_PORT} if none is given; or an endpoint string of Twisted such as"
        " tls:archive:2762 or unix:/run/archive.sock.",
        context_settings=_CONTEXT,
    )


def make_listen_command() -> click.Command:
    """Return the command that serves, with the options of `twistd pacs-store`."""
    known = {option.attribute: option for option in (CONFIG, *options(StoreSettings))}

    @click.pass_context
    def callback(context: click.Context, /, json: bool, **values: Any) -> None:
        from twisted.python import usage

        from pacs_twisted.cli.listen import Tally, listen
        from pacs_twisted.tap.store import Options, make_store_service

        tools = context.ensure_object(Tools)
        output = Output("listen", sys.stdout, sys.stderr, as_json=json)
        tally = Tally(output, tools.seconds)
        parsed = Options()
        try:
            parsed.parseOptions(list(_as_words(known, values)))
        except usage.UsageError as error:
            raise click.UsageError(str(error), context) from error
        # As under twist, whose log observer is made of what it finds here.
        parsed.parent = log = usage.Options()
        log["fileLogObserverFactory"] = None

        async def in_reactor(reactor: Any, interruption: Interruption) -> Exit:
            service = make_store_service(parsed, reactor, after_commit=tally.stored)
            tools.begin_log([log["fileLogObserverFactory"](output.error_stream), tally.observe])
            return await listen(service, tally, interruption)

        finish(context, output, tools.run(in_reactor))

    return click.Command(
        "listen",
        callback=callback,
        params=[
            *map(make_server_parameter, known.values()),
            make_parameter("listen", JSON),
        ],
        help="Store what peers send, and answer C-ECHO: `twistd pacs-store` in the foreground, with"
        " the same options. The log goes to stderr; Ctrl-C ends it in order.",
        context_settings=_CONTEXT,
    )


def _as_words(known: Mapping[str, Option], values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was given, as it would stand on the command line of twistd."""
    for attribute, value in values.items():
        name = known[attribute].name
        if isinstance(value, bool):
            yield f"--{name}" if value else f"--no-{name}"
        elif isinstance(value, tuple):
            yield from (f"--{name}={text}" for text in value)
        elif value is not None:
            yield f"--{name}={value}"


_CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _associate() -> Callable[..., Any]:
    from pacs_twisted.net import associate

    return associate


async def _echo(session: Any, options: Any, tools: Tools) -> Exit:
    from pacs_twisted.cli.echo import echo

    return await echo(session, options)


async def _store(session: Any, options: Any, tools: Tools, **arguments: Any) -> Exit:
    from pacs_twisted.cli.store import send_files, store

    return await store(session, options, send=tools.send or send_files, **arguments)


async def _explain(session: Any, options: Any, tools: Tools) -> Exit:
    from pacs_twisted.cli.explain import explain

    return await explain(session, options)


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """
    DICOM for people and scripts.

    Exit statuses: 0 all well, 1 some failed, 2 usage, 3 rejected, 4 no connection, 5 aborted or
    timed out. Every option has an environment variable: PACS_TWISTED_CALLED for --called, or for
    one command only PACS_TWISTED_ECHO_CALLED.
    """


cli.add_command(
    make_session_command(
        EchoOptions,
        _echo,
        "Ask a peer whether it is there (C-ECHO). Ctrl-C ends it and sums up.",
    )
)
cli.add_command(
    make_session_command(
        StoreOptions,
        _store,
        "Send files to a peer (C-STORE). PATH is a file, a directory, a DICOMDIR or a ZIP archive."
        " In directories and archives, files that are no DICOM objects are skipped.",
        [
            click.Argument(
                ["paths"],
                type=click.Path(exists=True),
                nargs=-1,
                required=True,
                metavar="PATH...",
            )
        ],
    )
)
cli.add_command(make_listen_command())
cli.add_command(
    make_session_command(
        ExplainOptions,
        _explain,
        "Tell what a peer would accept, and why not. Nothing is stored: associations are"
        " requested and released.",
    )
)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; mistakes are lines on stderr."""
    try:
        status = cli.main(arguments, prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.Abort:  # Ctrl-C before the reactor runs
        return Exit.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"{PROGRAM}: {error.strerror or error}\n")
        return Exit.FAILED
    return int(status or 0)
