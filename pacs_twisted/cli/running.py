"""
A command's work in the reactor: started, interrupted, and its result brought out.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import attrs

from pacs_twisted.cli.exits import Exit

SIGNALS = {signal.SIGINT: Exit.INTERRUPTED, signal.SIGTERM: Exit.TERMINATED}
"""The signals that end a command, and the status if nothing else is to be said."""


@attrs.define
class Interruption:
    """Whether, and by what, a command was interrupted."""

    exit: Exit | None = None

    def __bool__(self) -> bool:
        return self.exit is not None


Work = Callable[[Any, Interruption], Coroutine[Any, Any, Exit]]
"""A command's work: called with a reactor, returns the exit status."""


class Runner(Protocol):
    """What runs the work of a command."""

    def __call__(self, work: Work) -> Exit:
        """
        Run it to its end.

        An interruption is noted and cancels what the work waits for.
        """


def run_in_reactor(work: Work) -> Exit:
    """
    Run the work in the global reactor, which cannot be run again after that.

    The first SIGINT or SIGTERM lets the work come to an end; a second one ends it.
    """
    from twisted.internet import reactor as global_reactor
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from pacs_twisted.acceptor_service import SignalHandlers

    reactor: Any = global_reactor
    interruption = Interruption()
    handlers = SignalHandlers(reactor)
    results: list[Any] = []
    running: list[Deferred[Exit]] = []

    def start() -> None:
        for number in SIGNALS:
            handlers.handle(number, lambda number=number: interrupt(number))  # type: ignore[misc]
        deferred = Deferred.fromCoroutine(work(reactor, interruption))
        running.append(deferred)
        deferred.addBoth(finish)

    def interrupt(number: signal.Signals) -> None:
        if results:
            return
        if interruption:
            finish(SIGNALS[number])
            return
        interruption.exit = SIGNALS[number]
        running[0].cancel()

    def finish(result: Any) -> None:
        if not results:
            results.append(result)
            reactor.stop()

    reactor.callWhenRunning(start)
    reactor.run()
    for number in SIGNALS:
        handlers.restore(number)
    if not results:  # somebody else has stopped the reactor, and said why
        return Exit.FAILED
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return Exit(result)
