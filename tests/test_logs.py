"""The log: one line an event, whatever happens and whatever a peer sent."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.application import app, service
from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python import log as legacy
from twisted.python.failure import Failure
from twisted.python.usage import Options
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.logs import JSONObserver, LineObserver, TextObserver, escaped, install

MOMENT = 1_795_374_301.25  # 2026-11-22T19:05:01.25Z


class Unspeakable:
    """A field whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class ObserverCase(SynchronousTestCase):
    """A test with an observer, the logger before it and the lines behind it."""

    observer_class: Callable[..., LineObserver] = TextObserver

    def setUp(self) -> None:
        zone = os.environ.get("TZ")
        os.environ["TZ"] = "UTC-02:00"
        time.tzset()
        self.addCleanup(self.restore_zone, zone)
        self.file = io.StringIO()
        self.observer = self.observer_class().writing_to(self.file)
        self.log = Logger(namespace="pacs_twisted.net", observer=LogPublisher(self.observer))

    def restore_zone(self, zone: str | None) -> None:
        if zone is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = zone
        time.tzset()

    def emit(self, **event: Any) -> str:
        """Give the observer an event and return what it wrote."""
        self.file.seek(0)
        self.file.truncate()
        self.observer({"log_time": MOMENT, "log_level": LogLevel.info, **event})
        return self.file.getvalue()

    def failure(self) -> Failure:
        try:
            raise ValueError("first\nsecond \x1b[31m")
        except ValueError:
            return Failure()

    def broken(self) -> Failure:
        failure = self.failure()
        self.patch(failure, "getTraceback", Unspeakable().__str__)
        return failure


class LevelTests(ObserverCase):
    """The least level that is written."""

    def test_below(self) -> None:
        """Events below the level are not written, others are."""
        self.observer.set_level("warn")
        for level in LogLevel.iterconstants():
            self.log.emit(level, "at {log_level.name}")
        words = [line.split()[-1] for line in self.file.getvalue().splitlines()]
        self.assertEqual(words, ["warn", "error", "critical"])

    def test_default(self) -> None:
        """At first it is info."""
        self.log.debug("a request")
        self.log.info("an association")
        self.assertEqual(self.file.getvalue().count("\n"), 1)

    def test_without_level(self) -> None:
        """An event of somebody who knows no levels is written."""
        self.assertIn("hello", self.emit(log_level=None, log_format="hello"))


class TextTests(ObserverCase):
    """Lines to read."""

    def test_line(self) -> None:
        """Local time with its offset, level, message."""
        line = self.emit(log_format="association {number} from {peer}", number=1, peer="::1")
        self.assertEqual(line, "2026-11-22T21:05:01.250+0200 info     association 1 from ::1\n")

    def test_time_goes_on(self) -> None:
        """The cached second is not taken for another one."""
        for moment, text in [(0.0, "01.250"), (0.5, "01.750"), (1.0, "02.250"), (60.0, "01.250")]:
            self.assertIn(f":{text}+", self.emit(log_format="x", log_time=MOMENT + moment))

    def test_control_characters(self) -> None:
        """No peer writes a line of its own, colours the terminal or turns the text round."""
        evil = "A\nB\rC\x1b[2J\x00\x85\u2028\u202e\x9b1mD\ud800"
        line = self.emit(log_format="title {title}", title=evil)
        self.assertEqual(line.count("\n"), 1)
        self.assertTrue(line[:-1].isprintable())
        self.assertIn("A\\nB\\rC\\x1b[2J\\x00\\x85\\u2028\\u202e\\x9b1mD\\ud800", line)

    def test_letters_stay(self) -> None:
        """What can be printed is."""
        self.assertIn("Müller 山田", self.emit(log_format="Müller {name}", name="山田"))

    def test_failure(self) -> None:
        """A traceback follows the line, indented, and is escaped as well."""
        lines = self.emit(
            log_format="service failed", log_level=LogLevel.critical, log_failure=self.failure()
        ).splitlines()
        self.assertTrue(lines[0].endswith("critical service failed"))
        self.assertEqual(lines[1], "    Traceback (most recent call last):")
        self.assertTrue(all(line.startswith("    ") for line in lines[1:]))
        self.assertNotIn("\x1b", "".join(lines))
        self.assertIn("\\x1b[31m", lines[-1])

    def test_log_failure(self) -> None:
        """Logger.failure is written with its own words."""
        self.log.failure("while stopping", self.failure())
        self.assertIn("critical while stopping\n    Traceback", self.file.getvalue())

    def test_legacy_error(self) -> None:
        """An old-style error has its traceback once."""
        publisher = LogPublisher(self.observer)
        old = legacy.LogPublisher(observerPublisher=publisher, publishPublisher=publisher)
        old.msg(failure=self.failure(), why="Unhandled Error", isError=1)
        self.assertEqual(self.file.getvalue().count("Traceback"), 1)
        self.assertIn("Unhandled Error\n", self.file.getvalue())

    def test_legacy_message(self) -> None:
        """An old-style message of several lines becomes one."""
        publisher = LogPublisher(self.observer)
        legacy.LogPublisher(observerPublisher=publisher, publishPublisher=publisher).msg("a\nb")
        self.assertTrue(self.file.getvalue().endswith("a\\nb\n"))

    def test_calls_in_formats(self) -> None:
        """Twisted's extension of formats works."""
        self.assertIn("is 7", self.emit(log_format="is {f()}", f=lambda: 7))

    def test_odd_events(self) -> None:
        """Nothing makes an event disappear or stops the log."""
        events: list[dict[str, Any]] = [
            {"log_format": "{field}", "field": Unspeakable()},
            {"log_format": "{missing}"},
            {"log_format": b"bytes {x}", "x": 1},
            {"log_format": "{"},
            {"log_format": "x", "log_failure": object()},
            {"log_format": "x", "log_failure": self.broken()},
        ]
        for event in events:
            self.assertTrue(self.emit(**event).endswith("\n"), event)

    def test_nothing_to_say(self) -> None:
        """An event without a message is left out."""
        self.assertEqual(self.emit(field=1), "")

    def test_poor_terminal(self) -> None:
        """A terminal that does not know a letter gets it escaped."""
        raw = io.BytesIO()
        self.observer.writing_to(io.TextIOWrapper(raw, encoding="ascii"))
        self.emit(log_format="Müller")
        self.assertIn(b"M\\xfcller\n", raw.getvalue())

    def test_flush(self) -> None:
        """Each line is seen at once, also through a pipe."""
        raw = io.BytesIO()
        self.observer.writing_to(io.TextIOWrapper(raw, encoding="utf-8"))
        self.emit(log_format="x")
        self.assertTrue(raw.getvalue().endswith(b"x\n"))

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Any text of a peer's is one printable line."""
        line = self.emit(log_format="title {title}", title=text)
        self.assertTrue(line.endswith("\n"))
        self.assertTrue(line[:-1].isprintable())
        self.assertTrue(escaped(text).isprintable())


class JSONTests(ObserverCase):
    """Lines for programs."""

    observer_class = JSONObserver

    def members(self, **event: Any) -> dict[str, Any]:
        line = self.emit(**event)
        self.assertEqual(line.count("\n"), 1)
        members: dict[str, Any] = json.loads(line)
        return members

    def test_members(self) -> None:
        """Time, level, namespace, the rendered message and the event's fields."""
        self.assertEqual(
            self.members(
                log_namespace="pacs_twisted.net",
                log_format="association {association}: {event}",
                association=3,
                event="associate",
                called="PACS_ECHO",
                accepted=True,
                seconds=0.5,
                reason=None,
                contexts=[1, 3],
            ),
            {
                "time": "2026-11-22T19:05:01.250000Z",
                "level": "info",
                "namespace": "pacs_twisted.net",
                "message": "association 3: associate",
                "association": 3,
                "event": "associate",
                "called": "PACS_ECHO",
                "accepted": True,
                "seconds": 0.5,
                "reason": None,
                "contexts": [1, 3],
            },
        )

    def test_what_json_does_not_know(self) -> None:
        """Fields that are no JSON are left out, and so is what would cover our members."""
        members = self.members(
            log_format="x", a=object(), b=float("nan"), c=float("inf"), d=[object()], e=b"x",
            time=1, message=("legacy",), level="mine",
        )  # fmt: skip
        self.assertEqual(set(members), {"time", "level", "namespace", "message"})
        self.assertEqual((members["message"], members["level"]), ("x", "info"))

    def test_failure(self) -> None:
        """A failure is its traceback."""
        members = self.members(log_format="x", log_failure=self.failure())
        self.assertTrue(members["failure"].startswith("Traceback"))
        self.assertIn("ValueError", members["failure"])

    @given(st.text(), st.text())
    def test_any_text(self, text: str, title: str) -> None:
        """Any text of a peer's is one line of ASCII, and comes back as it was."""
        line = self.emit(log_format="{title}", title=title, other=text)
        self.assertTrue(line[:-1].isascii() and line[:-1].isprintable())
        if title:
            members = json.loads(line)
            self.assertEqual((members["message"], members["other"]), (title, text))


class InstallTests(SynchronousTestCase):
    """Our observer in the place of twistd's and twist's."""

    def twistd(self, *arguments: str) -> tuple[app.ServerOptions, Any]:
        from twisted.scripts._twistd_unix import ServerOptions

        parent = ServerOptions()
        parent.parseOptions([*arguments])
        return parent, service.Application("pacs-echo")

    def test_alone(self) -> None:
        """Where nobody is above, nothing is touched."""
        application = service.Application("pacs-echo")
        install(TextObserver(), None)(application)
        install(TextObserver(), Options())(application)
        self.assertIsNone(application.getComponent(ILogObserver))

    def test_foreground(self) -> None:
        """twistd -n: to stdout."""
        parent, application = self.twistd("-n")
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        observer = TextObserver()
        install(observer, parent)(application)
        self.assertIs(application.getComponent(ILogObserver), observer)
        observer({"log_format": "hello"})
        self.assertTrue(output.getvalue().endswith("hello\n"))

    def test_daemon(self) -> None:
        """twistd --logfile: to that file, which SIGUSR1 rotates."""
        import signal

        self.addCleanup(signal.signal, signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        path = self.mktemp()
        parent, application = self.twistd("--logfile", path)
        observer = TextObserver()
        install(observer, parent)(application)
        observer({"log_format": "Müller"})
        with open(path, encoding="utf-8") as file:
            self.assertTrue(file.read().endswith("Müller\n"))
        self.assertTrue(callable(signal.getsignal(signal.SIGUSR1)))

    def test_daemon_to_stdout(self) -> None:
        """A daemon has no stdout: twistd's own words."""
        parent, application = self.twistd("--logfile", "-")
        with self.assertRaises(SystemExit) as caught:
            install(TextObserver(), parent)(application)
        self.assertEqual(caught.exception.code, "Daemons cannot log to stdout, exiting!")

    def test_logger_of_the_user(self) -> None:
        """twistd --logger goes before ours."""
        parent, application = self.twistd("-n", "--logger", "pacs_twisted.logs.TextObserver")
        install(TextObserver(), parent)(application)
        self.assertIsNone(application.getComponent(ILogObserver))

    def test_component_of_the_application(self) -> None:
        """So does an application's own."""
        parent, application = self.twistd("-n")
        mine = TextObserver()
        application.setComponent(ILogObserver, mine)
        install(TextObserver(), parent)(application)
        self.assertIs(application.getComponent(ILogObserver), mine)

    def test_syslog(self) -> None:
        """twistd --syslog stays twistd's, only the level is ours."""
        from twisted.python import syslog

        sent: list[str] = []

        class FakeSyslog:
            def __init__(self, prefix: str) -> None:
                self.prefix = prefix

            def emit(self, event: dict[str, Any]) -> None:
                sent.append(f"{self.prefix}: {legacy.textFromEventDict(event)}")

        self.patch(syslog, "SyslogObserver", FakeSyslog)
        parent, application = self.twistd("--syslog", "--prefix", "pacs")
        install(TextObserver(), parent)(application)
        logger = Logger(observer=application.getComponent(ILogObserver))
        logger.debug("no")
        logger.info("yes")
        self.assertEqual(sent, ["pacs: yes"])

    def test_twist(self) -> None:
        """twist makes its observer of the factory that its options hold: ours."""
        parent = Options()
        parent["fileLogObserverFactory"] = None
        parent["logLevel"] = LogLevel.info
        observer = TextObserver("debug")
        install(observer, parent)(service.Application("pacs-echo"))
        self.assertIs(parent["fileLogObserverFactory"](io.StringIO()), observer)
        self.assertIs(parent["logLevel"], LogLevel.debug)
