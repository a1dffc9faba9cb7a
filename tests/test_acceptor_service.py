"""The service of a server without twistd: start, reload and stop, by example of the echo server."""

from __future__ import annotations

import io
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from twisted.application import service
from twisted.internet import endpoints
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted import acceptor_service
from pacs_twisted.acceptor_service import (
    AcceptorService,
    SignalHandlers,
    StartError,
    admission_policy,
    raise_file_limit,
    timeouts,
)
from pacs_twisted.admission import PermittedPeer
from pacs_twisted.config import ConfigurationError, EchoSettings, StoreSettings
from pacs_twisted.tap.echo import Options, echo_entity
from pacs_twisted.tap.options import make_acceptor_service
from tests.requirements import requirement


class Reactor(MemoryReactorClock):
    """A reactor in memory that runs what a signal asks for, and may have an occupied port."""

    def __init__(self) -> None:
        super().__init__()
        self.occupied: int | None = None
        self.waiting: list[Callable[[], object]] = []
        self.closed: list[int] = []
        self.signals = 0

    def handle_signal(self, number: int, frame: object) -> None:
        """Stand in for the reactor's own handler of SIGTERM and SIGINT."""
        self.signals += 1

    def listenTCP(self, port: int, *rest: Any, **more: Any) -> Any:  # noqa: N802
        if port == self.occupied:
            error = OSError(98, "Address already in use")
            raise CannotListenError("any", port, error)
        listening = super().listenTCP(port, *rest, **more)
        listening.stopListening = lambda: self.closed.append(port)
        return listening

    def callFromThread(self, f: Any, *arguments: Any, **more: Any) -> None:  # noqa: N802
        self.waiting.append(lambda: f(*arguments, **more))

    def turn(self) -> None:
        """Do what waits."""
        waiting, self.waiting = self.waiting, []
        for function in waiting:
            function()


class Signals:
    """The process's signal handlers."""

    def __init__(self) -> None:
        self.handlers: dict[int, Any] = {}

    def install(self, number: int, handler: Any) -> Any:
        """Stand in for `signal.signal`."""
        previous = self.handlers.get(number, signal.SIG_DFL)
        self.handlers[number] = handler
        return previous

    def reactor_runs(self, reactor: Reactor) -> None:
        """Do what a reactor does at its start: handlers first, then who waits for it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self.handlers[number] = reactor.handle_signal
        for function, arguments, more in reactor.whenRunningHooks:
            function(*arguments, **more)

    def send(self, number: int) -> None:
        """Deliver a signal."""
        self.handlers[number](number, None)


class ServiceCase(SynchronousTestCase):
    """A test with a service whose reactor, signals and limit of open files are all in memory."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.signals = Signals()
        self.stderr = io.StringIO()
        self.patch(sys, "__stderr__", self.stderr)
        self.patch(acceptor_service, "raise_file_limit", lambda files: None)

    def service(self, *arguments: str) -> AcceptorService:
        """Return the service of a command line."""
        parsed = Options()
        parsed.parseOptions(arguments)
        made = make_acceptor_service(parsed, echo_entity, self.reactor)
        made._signals = SignalHandlers(self.reactor, self.signals.install)
        return made

    def ports(self) -> list[int]:
        """Return the ports that were opened."""
        return [server[0] for server in self.reactor.tcpServers]

    def messages(self, events: Sequence[LogEvent]) -> list[str]:
        """Return what was logged."""
        return [event["log_format"].format_map(event) for event in events if "event" in event]


class StartTests(ServiceCase):
    """Starting."""

    @requirement("A5")
    def test_listen(self) -> None:
        """All endpoints share one factory, and each is a line of the log."""
        made = self.service("--listen=tcp:104", "--listen=tcp:11112")
        with capturedLogs() as events:
            made.privilegedStartService()
            made.startService()
        self.assertEqual(self.ports(), [104, 11112])
        self.assertTrue(all(server[1] is made.factory for server in self.reactor.tcpServers))
        self.assertEqual(
            self.messages(events),
            [
                "pacs-echo: listening on 0.0.0.0:104 as PACS_ECHO",
                "pacs-echo: listening on 0.0.0.0:11112 as PACS_ECHO",
            ],
        )

    def test_backlog(self) -> None:
        """Many may connect at once, unless the endpoint says how many; others need not know it."""
        self.service(
            "--listen=tcp:104", "--listen=tcp:105:backlog=7", "--listen=tcp:106:127.0.0.1:8"
        ).startService()
        self.assertEqual([server[2] for server in self.reactor.tcpServers], [1024, 7, 8])

    def test_signals_before_ports(self) -> None:
        """Who sees the port open may ask for a reload at once."""
        made = self.service()
        seen: list[bool] = []

        def listen(*arguments: object, **more: object) -> None:
            seen.append(callable(self.signals.handlers.get(signal.SIGHUP)))
            raise KeyboardInterrupt

        self.patch(self.reactor, "listenTCP", listen)
        with self.assertRaises(KeyboardInterrupt):  # and Ctrl-C is no reason not to listen
            made.privilegedStartService()
        self.assertEqual(seen, [True])

    def test_without_privileged_start(self) -> None:
        """twist does not call privilegedStartService; we listen all the same."""
        self.service().startService()
        self.assertEqual(self.ports(), [11112])

    def test_again(self) -> None:
        """A service may be started again after it was stopped."""
        made = self.service()
        for _ in range(3):
            made.privilegedStartService()
            made.startService()
            self.successResultOf(made.stopService())
        self.assertEqual(self.ports(), [11112] * 3)
        self.assertEqual(self.reactor.closed, [11112] * 3)

    def test_occupied(self) -> None:
        """An occupied port: one line, exit status 1, and no other port stays open."""
        made = self.service("--listen=tcp:104", "--listen=tcp:11112")
        self.reactor.occupied = 11112
        with capturedLogs() as events, self.assertRaises(StartError) as caught:
            made.privilegedStartService()
        self.assertEqual(caught.exception.code, 1)
        self.assertEqual(
            self.stderr.getvalue(),
            "pacs-echo: cannot listen on tcp:11112: Address already in use\n",
        )
        self.assertEqual(self.reactor.closed, [104])
        self.assertIn(self.stderr.getvalue().rstrip(), self.messages(events))

    def test_start_error(self) -> None:
        """twistd catches it as an Exception (pid file, parent); Python prints no traceback."""
        self.assertTrue(issubclass(StartError, Exception))
        self.assertTrue(issubclass(StartError, SystemExit))
        self.assertEqual(str(StartError("why")), "why")

    def test_slow_endpoint(self) -> None:
        """A port that opens later is a port; one that fails later ends the deaf server."""
        slow: list[Deferred[Any]] = []

        class Slow:
            def listen(self, factory: object) -> Deferred[Any]:
                slow.append(Deferred())
                return slow[-1]

        made = self.service("--listen=tcp:1", "--listen=tcp:2")
        self.patch(endpoints, "serverFromString", lambda reactor, text: Slow())
        made.startService()
        with capturedLogs() as events:
            slow[0].callback(self.reactor.listenTCP(1, made.factory))
            self.assertFalse(self.reactor.hasStopped)
            slow[1].errback(OSError(13, "Permission denied"))
        self.assertTrue(self.reactor.hasStopped)
        self.assertEqual(
            self.messages(events)[-1], "pacs-echo: cannot listen on tcp:2: Permission denied"
        )

    def test_stopped_before_a_slow_endpoint(self) -> None:
        """A port that opens when all is over is closed at once, a failure then is none."""
        slow: list[Deferred[Any]] = []

        class Slow:
            def listen(self, factory: object) -> Deferred[Any]:
                slow.append(Deferred())
                return slow[-1]

        made = self.service("--listen=tcp:1", "--listen=tcp:2")
        self.patch(endpoints, "serverFromString", lambda reactor, text: Slow())
        made.startService()
        self.successResultOf(made.stopService())
        slow[0].callback(self.reactor.listenTCP(1, made.factory))
        slow[1].errback(OSError(13, "Permission denied"))
        self.assertEqual(self.reactor.closed, [1])
        self.assertFalse(self.reactor.hasStopped)

    def test_unusable_log(self) -> None:
        """A log file that cannot be opened: one line before anything else."""
        made = self.service()

        def attach(application: object) -> None:
            raise FileNotFoundError(2, "No such file or directory", "/var/nowhere/log")

        made._attach = attach
        self.assertRaises(StartError, made.setServiceParent, service.Application("pacs-echo"))
        self.assertEqual(
            self.stderr.getvalue(),
            "pacs-echo: /var/nowhere/log: cannot log there: No such file or directory\n",
        )

    def test_settings_arrive(self) -> None:
        """What the settings say is what policy and timers get."""
        settings = EchoSettings.build(
            {
                "allow": ["CT1"],
                "require-called-ae": ["true"],
                "max-associations": ["7"],
                "max-connections": ["8"],
                "max-per-host": ["2"],
                "artim-timeout": ["1"],
                "acse-timeout": ["2"],
                "idle-timeout": ["3"],
                "handler-timeout": ["5"],
                "send-timeout": ["6"],
                "drain-timeout": ["7"],
            }
        )
        policy = admission_policy(settings)
        self.assertEqual(policy.permitted, (PermittedPeer.parse("CT1"),))
        self.assertTrue(policy.require_called_ae)
        limits = policy.limits
        self.assertEqual((limits.associations, limits.connections, limits.per_host), (7, 8, 2))
        times = timeouts(settings)
        self.assertEqual((times.artim, times.acse, times.idle, times.pdu), (1, 2, 3, 3))
        self.assertEqual((times.handler, times.send, times.drain), (5, 6, 7))
        self.assertEqual(timeouts(EchoSettings(pdu_timeout=0.0)).pdu, 0.0)


class Recorded:
    """Resources that note what is done with them."""

    def __init__(self, events: list[str], problem: str = "") -> None:
        self.events = events
        self.problem = problem
        self.stopping: Deferred[None] = Deferred()

    def start(self) -> None:
        self.events.append("start")
        if self.problem:
            raise ConfigurationError(self.problem)

    def stop(self) -> Deferred[None]:
        self.events.append("stop")
        return self.stopping


class ResourcesTests(ServiceCase):
    """What the services of a server work with."""

    def setUp(self) -> None:
        super().setUp()
        self.events: list[str] = []
        self.resources = Recorded(self.events)

    def with_resources(self, *arguments: str) -> AcceptorService:
        """Return a service with them."""
        made = self.service(*arguments)
        made._resources = self.resources
        return made

    def test_life(self) -> None:
        """They start before anybody is served, and stop when the last association has ended."""
        made = self.with_resources()
        drained: Deferred[None] = Deferred()
        self.patch(made.factory, "shut_down", lambda: drained)
        made.privilegedStartService()
        self.assertEqual(self.events, [])  # it may still be root that runs
        made.startService()
        self.assertEqual(self.events, ["start"])
        stopped = made.stopService()
        self.assertEqual(self.events, ["start"])
        drained.callback(None)
        self.assertEqual(self.events, ["start", "stop"])
        self.assertNoResult(stopped)
        self.resources.stopping.callback(None)
        self.successResultOf(stopped)

    def test_without_privileged_start(self) -> None:
        """Under twist no port is open before they have started."""
        made = self.with_resources()
        ports: list[list[int]] = []
        self.patch(self.resources, "start", lambda: ports.append(self.ports()))
        made.startService()
        self.assertEqual((ports, self.ports()), ([[]], [11112]))

    def test_problem(self) -> None:
        """What keeps them from starting is one line, exit status 1, and no port stays open."""
        made = self.with_resources()
        self.resources.problem = "directory: /srv/images: Permission denied"
        made.privilegedStartService()
        with self.assertRaises(StartError) as caught:
            made.startService()
        self.assertEqual(caught.exception.code, 1)
        self.assertEqual(
            self.stderr.getvalue(), "pacs-echo: directory: /srv/images: Permission denied\n"
        )
        self.assertEqual(self.reactor.closed, [11112])
        self.assertFalse(made.running)

    def test_occupied(self) -> None:
        """If the server cannot listen, they are given back."""
        made = self.with_resources()
        self.reactor.occupied = 11112
        self.assertRaises(StartError, made.startService)
        self.assertEqual(self.events, ["start", "stop"])

    def test_failure(self) -> None:
        """A failure of theirs is logged and keeps nobody from stopping."""
        made = self.with_resources()
        made.startService()
        stopped = made.stopService()
        self.resources.stopping.errback(ValueError("of the disk"))
        self.successResultOf(stopped)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_second_signal(self) -> None:
        """A second signal waits for no disk either."""
        made = self.with_resources()
        made.startService()
        self.signals.reactor_runs(self.reactor)
        self.signals.send(signal.SIGTERM)
        stopped = made.stopService()
        self.assertEqual(self.events, ["start", "stop"])
        self.assertNoResult(stopped)
        self.signals.send(signal.SIGTERM)
        self.reactor.turn()
        self.successResultOf(stopped)


class FileLimitTests(SynchronousTestCase):
    """The process's limit of open files."""

    def setUp(self) -> None:
        self.limits = (1024, 4096)
        self.privileged = False
        self.patch(resource, "getrlimit", lambda which: self.limits)
        self.patch(resource, "setrlimit", self.set)

    def set(self, which: int, limits: tuple[int, int]) -> None:
        """Stand in for `resource.setrlimit`."""
        if limits[1] > self.limits[1] and not self.privileged:
            raise ValueError("not allowed to raise maximum limit")
        self.limits = limits

    def test_enough(self) -> None:
        """What is enough is left alone."""
        self.assertIsNone(raise_file_limit(1024))
        self.assertEqual(self.limits, (1024, 4096))

    def test_raised(self) -> None:
        """The soft limit is raised as far as needed."""
        self.assertIsNone(raise_file_limit(2000))
        self.assertEqual(self.limits, (2000, 4096))

    def test_hard_limit(self) -> None:
        """Up to the hard limit, and the rest is told."""
        self.assertEqual(raise_file_limit(5000), "the system allows 4096")
        self.assertEqual(self.limits, (4096, 4096))

    def test_privileged(self) -> None:
        """With the privilege the hard limit is raised, too."""
        self.privileged = True
        self.assertIsNone(raise_file_limit(5000))
        self.assertEqual(self.limits, (5000, 5000))

    def test_no_limit(self) -> None:
        """No limit is enough."""
        self.limits = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        self.assertIsNone(raise_file_limit(1 << 20))

    def test_told_at_start(self) -> None:
        """What cannot be had is one line of the log."""
        parsed = Options()
        parsed.parseOptions(["--max-connections=9000"])
        made = make_acceptor_service(parsed, echo_entity, Reactor())
        made._signals = SignalHandlers(Reactor(), Signals().install)
        with capturedLogs() as events:
            made.startService()
        self.assertEqual(
            events[0]["log_format"].format_map(events[0]),
            "open files: 9128 are needed for 9000 connections, but the system allows 4096;"
            " raise it (ulimit -n, systemd's LimitNOFILE) or lower max-connections",
        )

    def test_objects(self) -> None:
        """A server that stores has a file open for each association beside its connection."""
        needed: list[int] = []
        self.patch(acceptor_service, "raise_file_limit", needed.append)
        for settings in (
            EchoSettings(max_associations=50, max_connections=70),
            StoreSettings(max_associations=50, max_connections=70, discard=True),
            StoreSettings(max_associations=0, max_connections=70, discard=True),
        ):
            reactor = Reactor()
            made = AcceptorService(
                settings, echo_entity, reactor=reactor, install_signal=Signals().install
            )
            made.startService()
        self.assertEqual(needed, [70 + 128, 70 + 50 + 128, 70 + 70 + 128])


class ReloadTests(ServiceCase):
    """SIGHUP."""

    def setUp(self) -> None:
        super().setUp()
        self.path = Path(self.mktemp())
        self.path.write_text("")
        self.applied: list[dict[str, Any]] = []

    def start(self, *arguments: str) -> AcceptorService:
        made = self.service("--config", str(self.path), *arguments)
        self.patch(made.factory, "reconfigure", lambda **what: self.applied.append(what))
        made.startService()
        return made

    def hang_up(self) -> list[str]:
        """Send SIGHUP, let the reactor turn and return what was logged."""
        with capturedLogs() as events:
            self.signals.send(signal.SIGHUP)
            self.assertEqual(events, [])  # nothing in the handler itself
            self.reactor.turn()
        return self.messages(events)

    def test_changes(self) -> None:
        """Limits, peers, titles and times are applied."""
        self.start()
        self.path.write_text('max-associations = 3\nallow = ["CT1"]\nae-title = "X"\n')
        self.assertEqual(self.hang_up(), ["reloaded: ae-title, allow, max-associations"])
        [applied] = self.applied
        self.assertEqual(applied["entity"].title, "X")
        self.assertEqual(applied["admission"].permitted, (PermittedPeer.parse("CT1"),))
        self.assertEqual(applied["admission"].limits.associations, 3)
        self.assertEqual(applied["timeouts"], timeouts(EchoSettings()))

    def test_log_level(self) -> None:
        """The level of the log changes at once, the factory's with the next association."""
        made = self.start()
        levels: list[str] = []
        made._set_log_level = levels.append
        self.path.write_text('log-level = "debug"\n')
        self.hang_up()
        self.assertTrue(made.factory.debug)
        self.path.write_text("")
        self.hang_up()
        self.assertFalse(made.factory.debug)
        self.assertEqual(levels, ["debug", "info"])

    def test_command_line_stays(self) -> None:
        """What the command line said still goes before the file."""
        made = self.start("--max-associations=5")
        self.path.write_text("max-associations = 3\nidle-timeout = 1\n")
        self.assertEqual(self.hang_up(), ["reloaded: idle-timeout"])
        self.assertEqual(made.settings, EchoSettings(max_associations=5, idle_timeout=1.0))

    def test_broken(self) -> None:
        """A broken file changes nothing and is one line."""
        made = self.start()
        for text in ("max-associations = ", "max-association = 3", "max-associations = -1"):
            self.path.write_text(text)
            [line] = self.hang_up()
            self.assertTrue(
                line.startswith(f"not reloaded, nothing has changed: {self.path.resolve()}: ")
            )
        self.path.unlink()
        self.assertEqual(len(self.hang_up()), 1)
        self.assertEqual(self.applied, [])
        self.assertEqual(made.settings, EchoSettings())

    def test_only_a_restart(self) -> None:
        """What a reload cannot change is named, again each time, and the rest is applied."""
        made = self.start()
        self.path.write_text('listen = "tcp:1"\nlog-format = "json"\nmax-associations = 3\n')
        self.assertEqual(
            self.hang_up(),
            ["reloaded: max-associations", "only a restart changes listen, log-format"],
        )
        self.assertEqual(made.settings, EchoSettings(max_associations=3))
        self.assertEqual(
            self.hang_up(),
            ["reloaded: nothing has changed", "only a restart changes listen, log-format"],
        )
        self.assertEqual(self.ports(), [11112])

    def test_no_file(self) -> None:
        """Without --config there is nothing to read; the server goes on."""
        self.service().startService()
        self.assertEqual(
            self.hang_up(), ["nothing to reload: the server was started without --config"]
        )

    def test_entity_that_fails(self) -> None:
        """Where nothing can be made of new settings, none of them is in force."""
        made = self.start()
        before = made.settings

        def fail(settings: object) -> NoReturn:
            raise OSError("no such directory")

        made._make_entity = fail
        self.path.write_text('ae-title = "OTHER"\nmax-associations = 7')
        self.assertEqual(self.hang_up(), ["not reloaded, nothing has changed"])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertIs(made.settings, before)
        self.assertEqual(self.applied, [])

    def test_handler_goes(self) -> None:
        """The handler is there while the service runs, and no longer."""
        made = self.start()
        self.assertTrue(callable(self.signals.handlers[signal.SIGHUP]))
        self.successResultOf(made.stopService())
        self.assertEqual(self.signals.handlers[signal.SIGHUP], signal.SIG_DFL)


class StopTests(ServiceCase):
    """SIGTERM, once and twice."""

    def setUp(self) -> None:
        super().setUp()
        self.made = self.service()
        self.drained: Deferred[None] = Deferred()
        self.order: list[str] = []

        def shut_down() -> Deferred[None]:
            self.order.append(f"shut down, ports closed: {self.reactor.closed}")
            return self.drained

        self.patch(self.made.factory, "shut_down", shut_down)
        self.made.startService()
        self.signals.reactor_runs(self.reactor)

    def test_drain(self) -> None:
        """The ports are closed first; the service stops when the factory is through."""
        stopped = self.made.stopService()
        self.assertEqual(self.order, ["shut down, ports closed: [11112]"])
        self.assertNoResult(stopped)
        self.drained.callback(None)
        self.assertIsNone(self.successResultOf(stopped))
        for number in (signal.SIGTERM, signal.SIGINT):
            self.assertEqual(self.signals.handlers[number], self.reactor.handle_signal)

    def test_second_signal(self) -> None:
        """The first signal is the reactor's; the second ends the waiting, a third does no harm."""
        self.signals.send(signal.SIGTERM)
        self.assertEqual(self.reactor.signals, 1)
        stopped = self.made.stopService()
        handler = self.signals.handlers[signal.SIGINT]
        handler(signal.SIGINT, None)
        self.assertNoResult(stopped)  # not in the handler itself
        handler(signal.SIGINT, None)
        self.reactor.turn()
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.reactor.signals, 1)
        self.drained.callback(None)

    def test_two_signals_in_a_row(self) -> None:
        """A second signal counts also if it comes before the reactor has told us of the first."""
        self.signals.send(signal.SIGTERM)
        self.signals.send(signal.SIGTERM)
        self.assertEqual(self.reactor.signals, 1)
        self.reactor.turn()
        self.successResultOf(self.made.stopService())

    def test_signal_while_stopping(self) -> None:
        """If the stop was not asked for by a signal, the first one already ends the waiting."""
        stopped = self.made.stopService()
        self.signals.send(signal.SIGTERM)
        self.reactor.turn()
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.signals, 0)

    def test_stopped_before_the_reactor_runs(self) -> None:
        """No handler is installed for a service that has stopped."""
        other = Signals()
        reactor = Reactor()
        made = self.service()
        made._reactor, made._signals = reactor, SignalHandlers(reactor, other.install)
        made.startService()
        made.stopService()
        other.reactor_runs(reactor)
        self.assertEqual(other.handlers[signal.SIGTERM], reactor.handle_signal)

    def test_asked_twice(self) -> None:
        """Whoever asks gets an answer of his own."""
        first, second = self.made.stopService(), self.made.stopService()
        self.drained.callback(None)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(len(self.order), 1)

    def test_failure(self) -> None:
        """A failure while stopping is logged and stops nobody from stopping."""
        stopped = self.made.stopService()
        self.drained.errback(ValueError("of the factory"))
        self.successResultOf(stopped)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class SignalTests(SynchronousTestCase):
    """Signal handlers of a time."""

    def test_other_thread(self) -> None:
        """Outside of the main thread nobody may install handlers: we do without."""

        def refuse(number: int, handler: object) -> None:
            raise ValueError("signal only works in main thread of the main interpreter")

        handlers = SignalHandlers(Reactor(), refuse)
        handlers.handle(signal.SIGHUP, lambda: None)
        handlers.restore(signal.SIGHUP)

    def test_early(self) -> None:
        """A signal that comes while its handler is being installed is not lost."""
        number = signal.SIGUSR2
        before: list[int] = []
        self.addCleanup(signal.signal, number, signal.getsignal(number))

        def install(number: int, handler: Any) -> Any:
            previous = signal.signal(number, handler)
            if handler is not remember:
                signal.raise_signal(number)
            return previous

        def remember(number: int, frame: object) -> None:
            before.append(number)

        signal.signal(number, remember)
        handlers = SignalHandlers(Reactor(), install)
        handlers.handle(number, lambda: None, lambda: True)
        self.assertEqual(before, [number])
        handlers.restore(number)
        self.assertIs(signal.getsignal(number), remember)

    def test_nobody_to_pass_on_to(self) -> None:
        """Where the application has no handler of its own, a signal does what it always did."""
        signals = Signals()
        handlers = SignalHandlers(Reactor(), signals.install)
        handlers.handle(signal.SIGTERM, lambda: None, lambda: True)
        self.assertEqual(signals.handlers[signal.SIGTERM], signal.SIG_DFL)
