"""
The timers of a connection: ARTIM, which belongs to the state machine, and the ones that watch it.

All time is `IReactorTime`'s, in seconds. A timer that watches traffic is not wound up for every
PDU: whoever sees the traffic notes the time, and the timer looks when it fires.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

log = Logger(namespace="pacs_twisted.net")


@attrs.frozen
class Timeouts:
    """
    How long is waited for what, in seconds; 0 means without end.

    Args:
        artim: for the A-ASSOCIATE-RQ after connecting, and for the peer to close after the end.
        acse: for the answer to an association or release that was asked for.
        idle: for the next PDU while an association is established and we owe no answer.
        pdu: for the rest of a PDU that has begun, unless it comes at the least rate.
        handler: for a service to answer a request.
        send: for the peer to take bytes of ours.
        drain: for associations to end when the server stops.
        connect: for a connection that we make.
        dimse: for the response to a request of ours, or the next of several.
    """

    artim: float = 30.0
    acse: float = 30.0
    idle: float = 30.0
    pdu: float = 30.0
    handler: float = 0.0
    send: float = 30.0
    drain: float = 60.0
    connect: float = 10.0
    dimse: float = 60.0


class ArtimTimers:
    """
    The ARTIM timers of all connections, which are equally long, on one delayed call.

    Args:
        clock: the reactor, or a virtual clock.
        seconds: how long each runs; 0 for ever.
    """

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._deadlines: dict[Artim, float] = {}  # in the order in which they run out
        self._call: IDelayedCall | None = None
        self._closed = False

    def timer(self, expired: Callable[[], None]) -> Artim:
        """Return a timer for one connection, which calls `expired` when it has run out."""
        return Artim(self, expired)

    def start(self, timer: Artim) -> None:
        """Start a timer, anew if it runs."""
        if not self._seconds:
            return
        self._deadlines.pop(timer, None)
        self._deadlines[timer] = self._clock.seconds() + self._seconds
        if self._call is None:
            self._call = self._clock.callLater(self._seconds, self._look)

    def stop(self, timer: Artim) -> None:
        """Stop a timer if it runs; the delayed call stays and finds nothing, until `close`."""
        self._deadlines.pop(timer, None)
        if self._closed:
            self.close()

    def is_running(self, timer: Artim) -> bool:
        """Whether a timer runs."""
        return timer in self._deadlines

    def close(self) -> None:
        """Give the delayed call back, as soon as no timer runs any more."""
        self._closed = True
        if self._call is not None and not self._deadlines:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = None
        now = self._clock.seconds()
        for timer, deadline in list(self._deadlines.items()):
            if deadline > now:
                break
            # One may have stopped or restarted another by now.
            if self._deadlines.get(timer) == deadline:
                del self._deadlines[timer]
                try:
                    timer.expired()
                except Exception:
                    log.failure("error at the end of an ARTIM timer", event="internal-error")
        first = next(iter(self._deadlines.values()), None)
        if first is not None and self._call is None:
            self._call = self._clock.callLater(max(0.0, first - now), self._look)


class Artim:
    """The ARTIM timer of one connection (PS3.8 section 9.1.5)."""

    __slots__ = ("_timers", "expired")

    def __init__(self, timers: ArtimTimers, expired: Callable[[], None]) -> None:
        self._timers = timers
        self.expired = expired

    def start(self) -> None:
        """Start it, anew if it runs."""
        self._timers.start(self)

    def stop(self) -> None:
        """Stop it if it runs."""
        self._timers.stop(self)

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._timers.is_running(self)


class Watchdog:
    """
    One delayed call of a connection that looks whether it waits for too long, and looks again.

    Args:
        clock: the reactor, or a virtual clock.
        look: does what is due and returns the time of the next look, or None for no next one.
    """

    __slots__ = ("_call", "_clock", "_due", "_look", "_stopped")

    def __init__(self, clock: IReactorTime, look: Callable[[float], float | None]) -> None:
        self._clock = clock
        self._look = look
        self._call: IDelayedCall | None = None
        self._due = 0.0
        self._stopped = False

    def look_by(self, due: float) -> None:
        """Look at this time at the latest."""
        call: Any = self._call
        if self._stopped:
            return
        if call is None:
            self._schedule(due)
        elif due < self._due:
            self._due = due
            call.reset(max(0.0, due - self._clock.seconds()))

    def stop(self) -> None:
        """Look no more, ever."""
        self._stopped = True
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _schedule(self, due: float) -> None:
        self._due = due
        self._call = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._fire)

    def _fire(self) -> None:
        self._call = None
        due = self._look(self._clock.seconds())
        if due is not None:
            self.look_by(due)
