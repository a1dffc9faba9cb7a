"""
What the servers write down: log observers of `twisted.logger` for people and for programs.

Twisted's own observers cost about 200 µs an association, which is a third of its whole
time; the ones here format one line, cache the time stamp of the second and look at the
level first. Text is one line an event, whatever a peer sent (only a traceback goes on,
indented); JSON is one object a line. How they are put in the place of twistd's and twist's
is `install`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol, cast

from twisted.application import app
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import (
    ILogObserver,
    LegacyLogObserverWrapper,
    LogEvent,
    LogLevel,
    formatEvent,
)
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from twisted.python.usage import Options
from zope.interface import implementer

_LEVELS: tuple[LogLevel, ...] = tuple(LogLevel.iterconstants())


class LogOutput(Protocol):
    """Where lines go: an open text file, or Twisted's rotating `LogFile`."""

    def write(self, data: str, /) -> object:
        """Take a whole line."""

    def flush(self) -> object:
        """Let it be seen."""


@implementer(ILogObserver)
class LineObserver:
    """
    Writes every event of a level and above as a line.

    Events come before there is a file too (Twisted keeps them until logging begins), so the
    file is given later, by `writing_to`. The level may be changed at any time.
    """

    def __init__(self, level: str = "info") -> None:
        self.set_level(level)
        self._second = -1
        self._second_text = ""

    def set_level(self, level: str) -> None:
        """Write events of this level ("debug", "info", …) and above from now on."""
        self.level = level
        first = _LEVELS.index(LogLevel.levelWithName(level))
        self._silent = frozenset(_LEVELS[:first])

    def is_silent(self, event: LogEvent) -> bool:
        """Tell whether an event is below the level."""
        return event.get("log_level") in self._silent

    def writing_to(self, output: LogOutput) -> LineObserver:
        """Write to this file from now on, and return the observer itself."""
        self._write = output.write
        self._flush = output.flush
        return self

    def __call__(self, event: LogEvent) -> None:
        """Write the event down; one that says nothing is left out."""
        if event.get("log_level") in self._silent:
            return
        line = self.format(event)
        if not line:
            return
        try:
            self._write(line)
        except UnicodeEncodeError:  # a terminal that does not know the letter
            self._write(line.encode("ascii", "backslashreplace").decode("ascii"))
        self._flush()

    def format(self, event: LogEvent) -> str:
        """Return the line with its end, or nothing for an event that says nothing."""
        raise NotImplementedError


class TextObserver(LineObserver):
    """
    Lines to read: local time with its offset, level, message.

    Whatever cannot be printed is escaped, so that no peer writes lines of its own.
    """

    def format(self, event: LogEvent) -> str:
        """Return the line, and below it the traceback of a failure, indented."""
        moment = event.get("log_time") or time.time()
        second = int(moment)
        if second != self._second:
            self._second = second
            local = time.localtime(second)
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", local)
            self._offset = time.strftime("%z", local)
        level = event.get("log_level")
        text = message(event)
        if not text.isprintable():
            text = escaped(text)
        failure = _failure(event)
        if failure is None:
            if not text:
                return ""
            trace = ""
        else:
            trace = "".join(f"    {escaped(line)}\n" for line in _traceback(failure).splitlines())
        return (
            f"{self._second_text}.{int(moment % 1 * 1000):03d}{self._offset}"
            f" {level.name if level is not None else 'info':8} {text}\n{trace}"
        )


class JSONObserver(LineObserver):
    """
    One JSON object (RFC 8259) a line, in ASCII.

    Members: `time` (ISO 8601, UTC), `level`, `namespace`, `message` (rendered), `failure`
    (a traceback, if there is one), and every field of the event that is a string, a number, a
    boolean, null, or a list of such.
    """

    def format(self, event: LogEvent) -> str:
        """Return the object and the end of the line."""
        moment = event.get("log_time") or time.time()
        second = int(moment)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        level = event.get("log_level")
        failure = _failure(event)
        text = message(event)
        if not text and failure is None:
            return ""
        members: dict[str, object] = {
            "time": f"{self._second_text}.{int(moment % 1 * 1_000_000):06d}Z",
            "level": level.name if level is not None else "info",
            "namespace": str(event.get("log_namespace", "")),
            "message": text,
        }
        for name, value in event.items():
            if name not in _NOT_FIELDS and not name.startswith("log_") and _is_json(value):
                members[name] = value
        if failure is not None:
            members["failure"] = _traceback(failure)
        return _ENCODE(members) + "\n"


_ENCODE = json.JSONEncoder(separators=(",", ":")).encode
_NOT_FIELDS = frozenset(
    # Our own members, and what Twisted's older observers leave in an event.
    ("time", "level", "namespace", "message", "failure", "format", "system", "isError", "why")
)
_JSON_TYPES = (str, int, bool, type(None))


def _is_json(value: object) -> bool:
    """Tell whether a field can be written as it is: JSON has no NaN and no infinity."""
    if isinstance(value, float):
        return value - value == 0
    if isinstance(value, list | tuple):
        return all(isinstance(item, _JSON_TYPES) for item in value)
    return isinstance(value, _JSON_TYPES)


def message(event: LogEvent) -> str:
    """
    Render an event's message, without its traceback.

    Never raises: what `str.format` cannot do is left to Twisted, which can.
    """
    if "why" in event and _failure(event) is not None:  # the text has the traceback as well
        return str(event["why"] or "Unhandled Error")
    try:
        return event["log_format"].format_map(event)  # type: ignore[no-any-return]
    except Exception:
        # No format, bytes, "{call()}", or a field whose own str() raises.
        return formatEvent(event)


def escaped(text: str) -> str:
    """Write what cannot be printed as Python's `repr` would."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def _failure(event: LogEvent) -> Failure | None:
    """Return the failure that an event tells of; `twisted.python.log` has another name for it."""
    failure = event.get("log_failure", event.get("failure"))
    return failure if isinstance(failure, Failure) else None


def _traceback(failure: Failure) -> str:
    """Render a failure; one that cannot even be rendered is no reason to lose the event."""
    try:
        return failure.getTraceback().rstrip("\n")
    except Exception as error:
        return f"(traceback lost: {type(error).__name__})"


OBSERVERS: dict[str, type[LineObserver]] = {"text": TextObserver, "json": JSONObserver}


def install(observer: LineObserver, parent: Options | None) -> Callable[[Componentized], None]:
    """
    Put an observer in the place of the one that the command would use.

    Neither twistd nor twist lets a plugin choose, but both leave a door open. twist makes its
    observer after the plugin's service was started, from the factory that its options hold;
    this function replaces that. twistd takes the application's `ILogObserver` component if
    there is one when it starts to log, which is after `makeService` and `setServiceParent`;
    the function that is returned, called by the latter, sets that. `--logger` goes before
    both, and so does an application's own component.

    Args:
        observer: it gets its file here.
        parent: the options of twistd or twist; those of anybody else are left alone.

    Returns:
        What is to be called with the application.

    Raises:
        OSError: the log file cannot be opened (by the returned function).
    """
    if parent is not None and "fileLogObserverFactory" in parent:
        parent["fileLogObserverFactory"] = observer.writing_to
        parent["logLevel"] = LogLevel.debug  # ours looks at the level first
    elif isinstance(parent, app.ServerOptions) and not parent["logger"]:
        return lambda application: _set_component(observer, parent, application)
    return lambda application: None


def _set_component(observer: LineObserver, parent: Options, application: Componentized) -> None:
    if application.getComponent(ILogObserver) is not None:
        return
    component: Any = observer
    if parent.get("syslog"):
        component = _filtered_syslog(observer, parent)
    else:
        observer.writing_to(_twistd_output(parent))
    application.setComponent(ILogObserver, component)


def _filtered_syslog(observer: LineObserver, parent: Options) -> ILogObserver:
    """Return twistd's own observer for --syslog, which gets what is not below our level."""
    from twisted.python.syslog import SyslogObserver

    syslog: Any = LegacyLogObserverWrapper(SyslogObserver(parent["prefix"]).emit)  # type: ignore[arg-type]

    @implementer(ILogObserver)
    def filtered(event: LogEvent) -> None:
        if not observer.is_silent(event):
            syslog(event)

    return cast(ILogObserver, filtered)


def _twistd_output(parent: Options) -> LogOutput:
    """Open the file that twistd would: stdout with -n, else twistd.log, rotated on SIGUSR1."""
    name = parent["logfile"]
    if name == "-" and not parent["nodaemon"]:
        sys.exit("Daemons cannot log to stdout, exiting!")  # twistd's words
    if name == "-" or (parent["nodaemon"] and not name):
        return sys.stdout
    file = LogFile.fromFullPath(os.path.abspath(name or "twistd.log"))

    def rotate(number: int, frame: FrameType | None) -> None:
        from twisted.internet import reactor

        cast(IReactorFromThreads, reactor).callFromThread(file.rotate)

    if not signal.getsignal(signal.SIGUSR1):  # somebody else's handler stays
        signal.signal(signal.SIGUSR1, rotate)
    return file  # type: ignore[no-any-return]
