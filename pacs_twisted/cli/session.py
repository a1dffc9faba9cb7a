"""
What a command that calls a peer has at hand: the peer, the output, the time, and `associate`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from pacs_twisted.cli.address import PeerAddress
from pacs_twisted.cli.exits import hint, kind_of
from pacs_twisted.cli.options import PeerOptions
from pacs_twisted.cli.output import Output
from pacs_twisted.cli.running import Interruption
from pacs_twisted.logs import escaped
from pacs_twisted.net import Timeouts


def timeouts(options: PeerOptions) -> Timeouts:
    """Return the timers' times. A requestor is silent as long as it likes: no idle timer."""
    return Timeouts(
        artim=options.artim_timeout,
        acse=options.acse_timeout,
        idle=0.0,
        pdu=options.pdu_timeout,
        send=options.send_timeout,
        connect=options.connect_timeout,
        dimse=options.dimse_timeout,
    )


@attrs.define
class Session:
    """
    A command at work.

    Args:
        address: where the peer is.
        endpoint: the same, to connect to.
        options: what the command was told.
        output: what it says.
        reactor: where it runs.
        interruption: whether it was interrupted.
        associate: `pacs_twisted.net.associate`.
        seconds: returns the time, for measuring.
    """

    address: PeerAddress
    endpoint: Any
    options: PeerOptions
    output: Output
    reactor: Any
    interruption: Interruption
    associate: Callable[..., Any]
    seconds: Callable[[], float]

    @property
    def names(self) -> dict[str, str]:
        """The fields that say which peer it is about."""
        return {"peer": str(self.address), "called": self.options.called}

    async def open(self, endpoint: Any = None, **more: Any) -> Any:
        """Return an association as the options want it; what more is said goes to `associate`."""
        return await self.associate(
            self.endpoint if endpoint is None else endpoint,
            called=self.options.called,
            calling=self.options.calling,
            timeouts=timeouts(self.options),
            maximum_length=self.options.max_pdu,
            reactor=self.reactor,
            debug=self.options.debug,
            **more,
        )

    def tell_failure(self, error: BaseException) -> None:
        """Say why there is no association, or none any more."""
        advice = hint(error)
        self.output.complain(f"{self.address}: {describe(error)}" + (f" ({advice})" * bool(advice)))
        self.output.event(
            "failed",
            **self.names,
            error=describe(error),
            kind=kind_of(error),
            result=getattr(error, "result", None),
            source=getattr(error, "source", None),
            reason=getattr(error, "reason", None),
            state=getattr(error, "state", ""),
            hint=advice,
        )


def describe(error: BaseException) -> str:
    """Return an error in words, on one line."""
    return escaped(str(error) or type(error).__name__)


def milliseconds(seconds: float | None) -> str:
    """Return a time to read, with three digits that mean something."""
    if seconds is None:
        return "-"
    value = seconds * 1000
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def rounded(seconds: float | None) -> float | None:
    """Return a time for JSON, to the microsecond."""
    return None if seconds is None else round(seconds, 6)
