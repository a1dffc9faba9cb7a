"""Commands run without a reactor, against peers that do as they are told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from click.testing import CliRunner
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.cli.commands import Tools, cli
from pacs_twisted.cli.events import EVENTS
from pacs_twisted.cli.exits import Exit
from pacs_twisted.cli.running import Interruption, Work
from pacs_twisted.dimse import CEchoRSP, Status
from pacs_twisted.pdu import (
    AAssociateAC,
    AsynchronousOperationsWindow,
    ContextResult,
    ProposedContext,
    UserInformation,
)

Answer = BaseException | Status | Deferred[Any]
"""What comes of a request: an error, a status, or nothing until the Deferred is fired."""

_STEPS = 100_000


class Driver:
    """
    Runs the work of a command under a virtual clock, which goes on whenever nothing else does.

    Args:
        interrupt_at: the second at which Ctrl-C is pressed, if it is.
    """

    def __init__(self, interrupt_at: float | None = None) -> None:
        self.clock = MemoryReactorClock()
        self.interruption = Interruption()
        self._interrupt_at = interrupt_at

    def __call__(self, work: Work) -> Exit:
        """Run it to its end."""
        results: list[Any] = []
        deferred = Deferred.fromCoroutine(work(self.clock, self.interruption))
        deferred.addBoth(results.append)

        def interrupt() -> None:
            self.interruption.exit = Exit.INTERRUPTED
            deferred.cancel()

        if self._interrupt_at is not None:
            self.clock.callLater(self._interrupt_at, interrupt)
        for _ in range(_STEPS):
            if results:
                break
            waiting = self.clock.getDelayedCalls()
            if not waiting:
                raise AssertionError("the command waits for something that never comes")
            first = min(call.getTime() for call in waiting)
            self.clock.advance(max(first - self.clock.seconds(), 0.0))
        else:
            raise AssertionError("the command does not end")
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return Exit(results[0])


class FakePeer:
    """
    An association, as `pacs_twisted.net.associate` gives it.

    Args:
        answers: what comes of each C-ECHO, and success for further ones.
        proposed: the presentation contexts.
        results: what the peer says to them; acceptance of the first transfer syntax if not given.
        information: what else it says.
        release: how the release ends.
    """

    def __init__(
        self,
        answers: Sequence[Answer] = (),
        *,
        proposed: Sequence[ProposedContext] = (),
        results: Callable[[ProposedContext], ContextResult | None] | None = None,
        information: UserInformation | None = None,
        release: BaseException | None = None,
    ) -> None:
        self._answers = list(answers)
        self._release_error = release
        self.is_over = False
        self.calls: list[str] = []
        judged = [(results or accept)(context) for context in proposed]
        self.answer = AAssociateAC(
            tuple(result for result in judged if result is not None),
            information
            or UserInformation(16384, "1.2.3", "FAKE_1", AsynchronousOperationsWindow(4, 1)),
        )

    def echo(self) -> Deferred[Any]:
        """Answer as was said."""
        self.calls.append("echo")
        answer = self._answers.pop(0) if self._answers else Status.SUCCESS
        if isinstance(answer, Deferred):
            return answer
        if isinstance(answer, BaseException):
            self.is_over = True
            return fail(answer)
        return succeed(CEchoRSP(1, answer))

    def release(self) -> Deferred[None]:
        """End in order, or as was said."""
        self.calls.append("release")
        self.is_over = True
        return succeed(None) if self._release_error is None else fail(self._release_error)

    def abort(self) -> None:
        """End at once."""
        self.calls.append("abort")
        self.is_over = True


def accept(context: ProposedContext) -> ContextResult | None:
    """Accept a context with its first transfer syntax."""
    return ContextResult(context.context_id, 0, context.transfer_syntaxes[0])


@attrs.define
class Done:
    """What a command did."""

    status: int
    stdout: str
    stderr: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The objects that it wrote."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    def of(self, event: str) -> list[dict[str, Any]]:
        """Return the objects of one kind."""
        return [found for found in self.events if found["event"] == event]


class CommandCase(SynchronousTestCase):
    """A test that runs commands."""

    def setUp(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.peers: list[FakePeer] = []
        self.logs: list[str] = []
        self._observers: list[Any] = []

    def associate(
        self, *outcomes: FakePeer | BaseException | Callable[..., Any]
    ) -> Callable[..., Any]:
        """Return an `associate` whose calls end so, one after the other; the last for ever."""
        left = list(outcomes)

        def associate(endpoint: Any, **arguments: Any) -> Deferred[Any]:
            self.requests.append({"endpoint": endpoint, **arguments})
            if hasattr(endpoint, "connected"):
                endpoint.connected(None)
            outcome = left.pop(0) if len(left) > 1 else left[0]
            if callable(outcome):
                outcome = outcome(**arguments)
            if isinstance(outcome, Deferred):
                return outcome
            if isinstance(outcome, BaseException):
                return fail(outcome)
            self.peers.append(outcome)
            return succeed(outcome)

        return associate

    def run_command(
        self,
        *arguments: str,
        associate: Callable[..., Any] | None = None,
        environment: Mapping[str, str] | None = None,
        driver: Driver | None = None,
        **tools: Any,
    ) -> Done:
        """Run a command to its end."""
        self.driver = driver or Driver()
        made = Tools(
            run=self.driver,
            associate=associate,
            seconds=ticking(),
            begin_log=self._begin_log,
            **tools,
        )
        result = CliRunner().invoke(cli, arguments, obj=made, env=dict(environment or {}))
        for observer in self._observers:
            globalLogPublisher.removeObserver(observer)
        self._observers.clear()
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    def _begin_log(self, observers: Sequence[Any]) -> None:
        self.logs.append(observers[0].level)
        self._observers += observers
        for observer in observers:
            globalLogPublisher.addObserver(observer)

    def assert_declared(self, command: str, done: Done, *events: str) -> None:
        """Assert that these events were written, each with the fields that the reference lists."""
        self.assertEqual({found["event"] for found in done.events}, set(events))
        for found in done.events:
            declared = {"event", *EVENTS[command][found["event"]].fields}
            self.assertEqual(set(found), declared)


def ticking(step: float = 0.0005) -> Callable[[], float]:
    """Return a clock that goes on by half a millisecond whenever it is looked at."""
    clock = Clock()

    def seconds() -> float:
        clock.advance(step)
        return float(clock.seconds())

    return seconds
