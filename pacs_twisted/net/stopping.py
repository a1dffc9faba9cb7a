"""The end of a server: associations may end by themselves, then they are aborted, then dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pacs_twisted.errors import PacsError

if TYPE_CHECKING:
    from pacs_twisted.net.server import AcceptorFactory

log = Logger(namespace="pacs_twisted.net")

_LINGER = 2.0  # seconds that peers have to close, once the server has no association any more


class ServerStopped(PacsError):
    """The server has stopped, and the association had not ended by itself in time."""


class Stopping:
    """
    One shut-down of a factory.

    Args:
        clock: the reactor, or a virtual clock.
        drain: how long associations have to end by themselves, in seconds; 0 without end.
        factory: whose associations.
    """

    def __init__(self, clock: IReactorTime, drain: float, factory: AcceptorFactory) -> None:
        self._clock = clock
        self._drain = drain
        self._factory = factory
        self._waiting: list[Deferred[None]] = []
        self._deadline: IDelayedCall | None = None
        self._linger: IDelayedCall | None = None
        self._done = False

    def begin(self) -> None:
        """Answer who waits for an answer, and let the time run."""
        for connection in self._factory.connections:
            connection.stop()
        if self._factory.association_count:
            log.info(
                "stopping: {associations} associations have {patience} to end",
                associations=self._factory.association_count,
                patience=f"{self._drain:g} s" if self._drain else "all the time they need",
                event="drain",
            )
            if self._drain:
                self._deadline = self._clock.callLater(self._drain, self._abort)
        self.look()

    def wait(self) -> Deferred[None]:
        """Return a `Deferred` that fires when no connection is left."""
        deferred: Deferred[None] = Deferred()
        if self._done:
            deferred.callback(None)
        else:
            self._waiting.append(deferred)
        return deferred

    def look(self) -> None:
        """Something has ended: is that all?"""
        if self._done:
            return
        if not self._factory.connections:
            self._finish()
        elif not self._factory.association_count and self._linger is None:
            self._linger = self._clock.callLater(_LINGER, self._drop)

    def _abort(self) -> None:
        self._deadline = None
        for connection in self._factory.connections:
            connection.guard(connection.association.abort, ServerStopped("the server stops"))
        self.look()

    def _drop(self) -> None:
        self._linger = None
        for connection in self._factory.connections:
            connection.drop()

    def give_up(self) -> None:
        """The server starts again: nothing is aborted any more, and nobody waits."""
        if not self._done:
            self._finish()

    def _finish(self) -> None:
        self._done = True
        for call in self._deadline, self._linger:
            if call is not None and call.active():
                call.cancel()
        self._factory.stopFactory()
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(None)
