"""
The Twisted service of a server: listens, reloads on SIGHUP, drains on stop.

It knows no service of DICOM and no command line: `tap` gives it settings and what makes an
application entity of them. What keeps it from starting is one line on stderr and exit
status 1.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn, Protocol, TextIO, cast

import attrs
from twisted.application import service
from twisted.internet import endpoints
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure

from pacs_twisted.admission import AdmissionPolicy, Limits
from pacs_twisted.config import ConfigurationError, ServerSettings, differences
from pacs_twisted.logs import escaped
from pacs_twisted.net import AcceptorFactory, ApplicationEntity, Timeouts

RESERVED_FILES = 128
"""Open files beyond connections and objects: log, listening sockets, the reactor's own."""

BACKLOG = 1024
"""Connections that wait in the kernel until we take them, unless an endpoint says otherwise."""

_BACKLOG = "backlog="

log = Logger(namespace="pacs_twisted.server")


class StartError(SystemExit, Exception):
    """
    The server cannot start; the line that says why has been written.

    It is an Exception, so that twistd removes its pid file and tells the waiting parent of a
    daemon; and a SystemExit, so that no traceback follows.
    """

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.code = 1


def complain(command: str, line: str, terminal: TextIO | None = None) -> None:
    """
    Write a line to the administrator.

    Args:
        command: which server it is about.
        line: what is wrong.
        terminal: where to, if not the true stderr, in whose place twistd puts its log.
    """
    stream: TextIO | None = terminal or sys.__stderr__
    if stream is not None:
        stream.write(f"{command}: {escaped(line)}\n")
        stream.flush()


def keep_terminal() -> TextIO | None:
    """Return a stderr that stays when a daemon gives its own away, if there is one."""
    try:
        return open(os.dup(cast(TextIO, sys.__stderr__).fileno()), "w", errors="backslashreplace")
    except (AttributeError, OSError):
        return None


def parse_endpoint(reactor: Any, text: str) -> Any:
    """
    Return the endpoint that a string describes.

    Where it says nothing of a backlog and can have one, that is `BACKLOG`: of more connections at
    once than Twisted's 50 some would wait for a second, until their peer asks again.

    Raises:
        ConfigurationError: it describes none; the parsers are plugins and raise what they like.
    """
    if _BACKLOG not in text:
        try:
            return endpoints.serverFromString(reactor, f"{text}:{_BACKLOG}{BACKLOG}")
        except Exception:  # the text as it stands will tell
            pass
    try:
        return endpoints.serverFromString(reactor, text)
    except Exception as error:
        reason = re.sub(r"^\w+\(\) ", "", str(error)) or type(error).__name__
        if isinstance(error, ImportError):
            reason += "; TLS needs the extra pacs-twisted[tls]"
        raise ConfigurationError(
            f"listen: {text} is not a usable endpoint string: {reason}"
        ) from error


def admission_policy(settings: ServerSettings) -> AdmissionPolicy:
    """Return who may come, and how many."""
    return AdmissionPolicy(
        permitted=settings.allow,
        require_called_ae=settings.require_called_ae,
        limits=Limits(
            associations=settings.max_associations,
            connections=settings.max_connections,
            per_host=settings.max_per_host,
        ),
    )


def timeouts(settings: ServerSettings) -> Timeouts:
    """Return the timers' times; a PDU's is the idle timer's if it has none of its own."""
    pdu = settings.idle_timeout if settings.pdu_timeout is None else settings.pdu_timeout
    return Timeouts(
        artim=settings.artim_timeout,
        acse=settings.acse_timeout,
        idle=settings.idle_timeout,
        pdu=pdu,
        handler=settings.handler_timeout,
        send=settings.send_timeout,
        drain=settings.drain_timeout,
    )


def raise_file_limit(files: int) -> str | None:
    """
    See that the process may open so many files.

    Returns:
        None, or why it may not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= files:
        return None
    try:
        if hard != resource.RLIM_INFINITY and hard < files:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))  # a privilege
            except (OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
                return f"the system allows {hard}"
        else:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    except (OSError, ValueError) as error:
        return f"the system allows {soft} ({error})"
    return None


class SignalHandlers:
    """
    Handlers that run in the reactor, installed for a time.

    Args:
        reactor: runs them.
        install: `signal.signal`; outside of the main thread it refuses, and then somebody
            else is the master of signals.
    """

    def __init__(self, reactor: Any, install: Callable[[int, Any], Any] = signal.signal) -> None:
        self._reactor = reactor
        self._install = install
        self._previous: dict[int, Any] = {}

    def handle(
        self,
        number: int,
        function: Callable[[], None],
        pass_on: Callable[[], bool] | None = None,
    ) -> None:
        """
        Call a function in the reactor's turn when a signal comes.

        Args:
            number: the signal.
            function: what to call.
            pass_on: says whether a signal is for the handler that was there before; where
                there was none, none of ours is installed.
        """
        installed = early = False

        def handler(number: int, frame: object) -> None:
            nonlocal early
            if not installed:  # `signal.signal` has not told yet what was there before
                early = True
            elif pass_on is not None and pass_on():
                previous(number, frame)
            else:
                self._reactor.callFromThread(function)

        try:
            previous: Any = self._install(number, handler)
        except ValueError:
            return
        self._previous.setdefault(number, previous)
        if pass_on is not None and not callable(previous):
            self.restore(number)
        else:
            installed = True
        if early:
            signal.raise_signal(number)  # once more, for whoever it is now

    def restore(self, number: int) -> None:
        """Put back what was there before."""
        previous = self._previous.pop(number, None)
        if previous is not None:  # None: nothing of ours, or a handler that Python cannot set
            self._install(number, previous)


class Resources(Protocol):
    """What the services of a server work with, such as a directory and threads."""

    def start(self) -> None:
        """
        Get ready, before anybody is served and as the user that the server runs as.

        Raises:
            ConfigurationError: it cannot be; the server does not start.
        """

    def stop(self) -> Deferred[None]:
        """
        Finish what is under way and give all back, when the last association has ended.

        If it was never started, that is fine.
        """


class AcceptorService(service.Service):
    """
    One `AcceptorFactory` on all endpoints of the settings.

    It may be started and stopped repeatedly.

    Args:
        settings: what to do.
        make_entity: makes the application entity of settings, now and at each reload.
        read: returns the settings read anew, or raises ConfigurationError; without it there
            is nothing to reload.
        reactor: listens, and runs what a signal asks for.
        resources: what the services need; they live as long as this service runs.
        set_log_level: changes the least level that is logged.
        attach: called with the application that the service becomes a part of.
        install_signal: `signal.signal`.
    """

    def __init__(
        self,
        settings: ServerSettings,
        make_entity: Callable[[ServerSettings], ApplicationEntity],
        *,
        reactor: Any,
        read: Callable[[], ServerSettings] | None = None,
        resources: Resources | None = None,
        set_log_level: Callable[[str], None] | None = None,
        attach: Callable[[Componentized], None] | None = None,
        install_signal: Callable[[int, Any], Any] = signal.signal,
    ) -> None:
        self.settings = settings
        self.factory = AcceptorFactory(
            make_entity(settings),
            admission=admission_policy(settings),
            timeouts=timeouts(settings),
            maximum_length=settings.max_pdu,
            maximum_associate_length=settings.max_associate_pdu,
            maximum_unfinished=settings.max_unfinished,
            maximum_command_length=settings.max_command,
            maximum_operations=settings.max_operations,
            idle_action=settings.idle_action,
            reject_empty=settings.reject_empty,
            debug=settings.log_level == "debug",
            reactor=reactor,
        )
        self._make_entity = make_entity
        self._read = read
        self._reactor = reactor
        self._resources = resources
        self._set_log_level = set_log_level
        self._attach = attach
        self._signals = SignalHandlers(reactor, install_signal)
        self._ports: list[IListeningPort] = []
        self._listens = False
        self._stopping: Deferred[None] | None = None
        self._stop_signals = 0
        self._terminal: TextIO | None = None

    # Start

    def setServiceParent(self, parent: Any) -> None:
        """Become part of an application, whose log is set up next."""
        if self._attach is not None and isinstance(parent, Componentized):
            self._terminal = keep_terminal()
            try:
                self._attach(parent)
            except OSError as error:
                self._fail(f"{error.filename}: cannot log there: {error.strerror}")
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Listen while the process may still open ports below 1024."""
        super().privilegedStartService()
        self._listen()

    def startService(self) -> None:
        """Listen, if the command has no privileged start (twist has none), and serve."""
        self._start_resources()
        super().startService()
        self._listen()
        self._stop_signals = 0
        self._reactor.callWhenRunning(self._watch_stop_signals)
        self._release_terminal()

    def _start_resources(self) -> None:
        """Get ready what services need; only now, since files must not belong to root."""
        if self._resources is None:
            return
        try:
            self._resources.start()
        except ConfigurationError as error:
            self._close_ports()
            self._fail(str(error))

    def _listen(self) -> None:
        """Open the ports; none stays open if one cannot be opened."""
        if self._listens:
            return
        self._listens = True
        # Before the first port opens: who sees it open may ask for a reload, which would end us.
        self._signals.handle(signal.SIGHUP, self.reload)
        self._raise_file_limit()
        for text in self.settings.listen:
            problem = self._open_port(text)
            if problem is not None:
                self._close_ports()
                self._fail(problem)

    def _open_port(self, text: str) -> str | None:
        """Listen on an endpoint; return why that cannot be, if it is known at once."""
        try:
            listening = parse_endpoint(self._reactor, text).listen(self.factory)
        except ConfigurationError as error:
            return str(error)
        listening.addCallback(self._port_open)
        problems: list[Failure] = []
        if listening.called:
            listening.addErrback(problems.append)
        else:
            listening.addErrback(self._failed_late, text)
        if problems and problems[0].check(KeyboardInterrupt, SystemExit):
            problems[0].raiseException()
        return f"cannot listen on {text}: {_reason(problems[0])}" if problems else None

    def _port_open(self, port: IListeningPort) -> None:
        if not self._listens:  # stopped while an endpoint took its time
            port.stopListening()
            return
        self._ports.append(port)
        log.info(
            "{command}: listening on {address} as {title}",
            command=self.settings.command,
            address=_address(port.getHost()),
            title=self.settings.ae_title,
            event="listening",
        )

    def _failed_late(self, failure: Failure, text: str) -> None:
        """End a server that would go on deaf, when nobody waits for its start any more."""
        if not self._listens:
            return
        log.critical(
            "{command}: cannot listen on {endpoint}: {reason}",
            command=self.settings.command,
            endpoint=text,
            reason=_reason(failure),
            event="stopping",
        )
        self._reactor.stop()

    def _raise_file_limit(self) -> None:
        """Allow ourselves the open files that the connections need, or say that we may not."""
        limits = admission_policy(self.settings).limits
        connections = limits.maximum_connections
        files = connections + RESERVED_FILES
        files += self.settings.files_per_association * (limits.associations or connections)
        problem = raise_file_limit(files)
        if problem is not None:
            log.warn(
                "open files: {files} are needed for {connections} connections, but {problem};"
                " raise it (ulimit -n, systemd's LimitNOFILE) or lower max-connections",
                files=files,
                connections=connections,
                problem=problem,
                event="open-files",
            )

    def _fail(self, line: str) -> NoReturn:
        """End the start with a line to the administrator."""
        self._listens = False
        self._signals.restore(signal.SIGHUP)
        if self._resources is not None:
            self._resources.stop()
        complain(self.settings.command, line, self._terminal)
        self._release_terminal()
        log.error("{command}: {line}", command=self.settings.command, line=line, event="failed")
        raise StartError(line)

    def _release_terminal(self) -> None:
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None

    # Reload

    def reload(self) -> None:
        """
        Read the settings anew and apply those that a reload changes.

        Associations that run keep what they began with. If anything is wrong, nothing changes.
        """
        if self._read is None:
            log.warn("nothing to reload: the server was started without --config", event="reload")
            return
        try:
            new = self._read()
        except ConfigurationError as error:
            log.error(
                "not reloaded, nothing has changed: {reason}", reason=str(error), event="reload"
            )
            return
        changed = list(differences(self.settings, new))
        now = [option for option in changed if option.reload]
        later = [option.name for option in changed if not option.reload]
        try:
            self._apply(
                attrs.evolve(
                    self.settings,
                    **{option.attribute: getattr(new, option.attribute) for option in now},
                )
            )
        except Exception:
            log.failure("not reloaded, nothing has changed", event="reload")
            return
        log.info(
            "reloaded: {changed}",
            changed=", ".join(option.name for option in now) or "nothing has changed",
            event="reload",
        )
        if later:
            log.warn("only a restart changes {names}", names=", ".join(later), event="reload")

    def _apply(self, settings: ServerSettings) -> None:
        """Let new settings be in force; first comes what can fail."""
        self.factory.reconfigure(
            entity=self._make_entity(settings),
            admission=admission_policy(settings),
            timeouts=timeouts(settings),
            idle_action=settings.idle_action,
            reject_empty=settings.reject_empty,
        )
        self.settings = settings
        self.factory.debug = self.settings.log_level == "debug"
        if self._set_log_level is not None:
            self._set_log_level(self.settings.log_level)
        self._raise_file_limit()

    # Stop

    def stopService(self) -> Deferred[None]:
        """
        Close the ports, let associations end, and abort what runs at the drain deadline.

        A second SIGTERM or SIGINT ends the waiting at once.
        """
        if self._stopping is not None:
            return _follow(self._stopping)
        super().stopService()
        stopping: Deferred[None] = Deferred()
        self._stopping = stopping
        self._signals.restore(signal.SIGHUP)
        log.info(
            "{command}: stopping; a second signal ends it at once",
            command=self.settings.command,
            event="stopping",
        )
        closed = self._close_ports()
        closed.addCallback(lambda _: self.factory.shut_down())
        closed.addErrback(self._log_stop_failure)
        if self._resources is not None:
            resources = self._resources
            closed.addCallback(lambda _: resources.stop())
            closed.addErrback(self._log_stop_failure)
        closed.addCallback(lambda _: self._stopped(stopping))
        follower = _follow(stopping)
        if self._stop_signals > 1:
            self.stop_now()
        return follower

    def _log_stop_failure(self, failure: Failure) -> None:
        log.failure(
            "{command}: error while stopping",
            failure,
            command=self.settings.command,
            event="stopping",
        )

    def _watch_stop_signals(self) -> None:
        """Leave the first signal to the reactor, which cannot do with a second one."""
        if self.running:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._signals.handle(number, self.stop_now, self._is_first_stop_signal)

    def _is_first_stop_signal(self) -> bool:
        self._stop_signals += 1
        return self._stop_signals == 1 and self._stopping is None

    def stop_now(self) -> None:
        """Wait no longer: what still runs is cut off. Before the stop has begun: no effect."""
        if self._stopping is not None:
            log.warn(
                "{command}: a second signal, {associations} associations are cut off",
                command=self.settings.command,
                associations=self.factory.association_count,
                event="stopping",
            )
            self._stopped(self._stopping)

    def _stopped(self, stopping: Deferred[None]) -> None:
        if self._stopping is not stopping:
            return
        self._stopping = None
        for number in (signal.SIGTERM, signal.SIGINT):
            self._signals.restore(number)
        log.info("{command}: stopped", command=self.settings.command, event="stopped")
        stopping.callback(None)

    def _close_ports(self) -> Deferred[Any]:
        """Close what listens; the Deferred fires when all are closed."""
        self._listens = False
        ports, self._ports = self._ports, []
        return DeferredList([maybeDeferred(port.stopListening) for port in ports])


def _follow(deferred: Deferred[None]) -> Deferred[None]:
    """Return a Deferred that fires when another does; each caller has its own."""
    follower: Deferred[None] = Deferred()

    def fire(result: None) -> None:
        follower.callback(None)

    deferred.addCallback(fire)
    return follower


def _reason(failure: Failure) -> str:
    """Return why a port cannot be opened, in the system's words."""
    error: Any = failure.value
    if isinstance(error, CannotListenError):
        error = error.socketError
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _address(address: Any) -> str:
    """Return an address to read: host and port, or the name of a socket."""
    if isinstance(address, IPv6Address):
        return f"[{address.host}]:{address.port}"
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    name = getattr(address, "name", None)
    return str(name.decode(errors="backslashreplace") if isinstance(name, bytes) else address)
