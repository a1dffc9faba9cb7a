"""
`pacs-twisted echo`: does the peer answer, and how fast?

All C-ECHO go over one association; when that ends, the next one begins a new association, unless
the peer has said that it will never have us.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from pacs_twisted.cli.exits import Exit, exit_for, kind_of
from pacs_twisted.cli.options import EchoOptions
from pacs_twisted.cli.session import Session, describe, milliseconds, rounded
from pacs_twisted.dimse import Status
from pacs_twisted.errors import AssociationRejected, PacsError
from pacs_twisted.uids import VERIFICATION

_PERMANENT = 1  # result of an A-ASSOCIATE-RJ (PS3.8 section 9.3.4)


@attrs.define
class Counts:
    """What has come of the C-ECHO so far; times are seconds from request to response."""

    sent: int = 0
    received: int = 0
    failed: int = 0
    total: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    last_error: BaseException | None = None

    def answered(self, seconds: float, status: Status) -> None:
        """A response has come."""
        self.sent += 1
        self.received += 1
        self.failed += status != Status.SUCCESS
        self.total += seconds
        self.minimum = seconds if self.minimum is None else min(self.minimum, seconds)
        self.maximum = seconds if self.maximum is None else max(self.maximum, seconds)

    def lost(self, error: BaseException) -> None:
        """No response will come."""
        self.sent += 1
        self.last_error = error

    @property
    def average(self) -> float | None:
        """The average time."""
        return self.total / self.received if self.received else None

    @property
    def loss(self) -> float:
        """Of a hundred, how many have no response."""
        return 100.0 * (self.sent - self.received) / self.sent if self.sent else 0.0

    def exit_status(self) -> Exit | None:
        """Return the status, None if nothing was sent."""
        if not self.sent:
            return None
        if self.received == self.sent and not self.failed:
            return Exit.OK
        if not self.received and self.last_error is not None:
            return exit_for(self.last_error)
        return Exit.FAILED


class Echoes:
    """
    The C-ECHO of one command.

    Args:
        session: what is at hand.
        options: what the command was told.
    """

    def __init__(self, session: Session, options: EchoOptions) -> None:
        self._session = session
        self._options = options
        self._peer: Any = None
        self.counts = Counts()

    async def run(self) -> Exit:
        """Send them all, sum up, and return the exit status."""
        try:
            await self._send_all()
            await self._release()
        except (CancelledError, PacsError):
            if not self._session.interruption:
                raise
            if self._peer is not None:
                self._peer.abort()
        return self._sum_up()

    async def _send_all(self) -> None:
        session = self._session
        number = 0
        while not session.output.is_lost:
            began = session.reactor.seconds()
            number += 1
            await self._send(number)
            if number == self._options.count or self._is_in_vain():
                return
            wait = began + self._options.interval - session.reactor.seconds()
            try:
                # Also without a pause: Ctrl-C and the reactor must have their turn.
                await deferLater(session.reactor, max(wait, 0.0), lambda: None)
            except CancelledError:
                return

    async def _send(self, number: int) -> None:
        """Send one; what goes wrong is noted, and only an interruption is raised."""
        try:
            if self._peer is None or self._peer.is_over:
                await self._associate()
            sent = self._session.seconds()
            response = await self._peer.echo()
        except PacsError as error:
            if self._session.interruption:
                raise
            self._tell_loss(number, error)
        else:
            self._tell_response(number, response, self._session.seconds() - sent)

    def _is_in_vain(self) -> bool:
        """Whether the peer has rejected us for good: it would say so again and again."""
        error = self.counts.last_error
        return (
            self._peer is None
            and isinstance(error, AssociationRejected)
            and error.result == _PERMANENT
        )

    async def _associate(self) -> None:
        session = self._session
        self._peer = None
        began = session.seconds()
        try:
            self._peer = await session.open(contexts=(VERIFICATION,))
        except PacsError as error:
            if not session.interruption:
                session.tell_failure(error)
            raise
        seconds = session.seconds() - began
        if session.options.verbose:
            session.output.line(
                f"associated with {session.address} in {milliseconds(seconds)} ms", "aside"
            )
        session.output.event("associated", **session.names, seconds=rounded(seconds))

    def _tell_response(self, number: int, response: Any, seconds: float) -> None:
        status = response.status
        self.counts.answered(seconds, status)
        good = status == Status.SUCCESS
        self._session.output.line(
            f"C-ECHO {number}: {status}, {milliseconds(seconds)} ms", "good" if good else "bad"
        )
        self._session.output.event(
            "echo",
            number=number,
            status=f"{status.value:04X}",
            meaning=status.meaning or status.category.value,
            seconds=rounded(seconds),
            error="",
            kind=None,
        )

    def _tell_loss(self, number: int, error: BaseException) -> None:
        self.counts.lost(error)
        had_association = self._peer is not None
        if had_association:  # else it was told why there was none
            self._session.output.complain(f"C-ECHO {number}: {describe(error)}")
        self._session.output.event(
            "echo",
            number=number,
            status=None,
            meaning="",
            seconds=None,
            error=describe(error),
            kind=kind_of(error),
        )

    async def _release(self) -> None:
        """End the association; that it ends otherwise says nothing of the C-ECHO."""
        if self._peer is None or self._peer.is_over:
            return
        try:
            await self._peer.release()
        except PacsError as error:
            if self._session.interruption:
                raise
            if self._session.options.verbose:
                self._session.output.complain(f"at the release: {describe(error)}")

    def _sum_up(self) -> Exit:
        counts, session = self.counts, self._session
        status = counts.exit_status()
        if status is None:
            status = session.interruption.exit or Exit.OK
        session.output.line(f"--- {session.options.called} at {session.address} ---", "head")
        line = f"{counts.sent} sent, {counts.received} received, {counts.loss:.4g} % lost" + (
            f", {counts.failed} failed" if counts.failed else ""
        )
        if counts.received:
            times = (counts.minimum, counts.average, counts.maximum)
            line += f"; min/avg/max {'/'.join(map(milliseconds, times))} ms"
        session.output.line(line)
        session.output.event(
            "summary",
            **session.names,
            sent=counts.sent,
            received=counts.received,
            failed=counts.failed,
            loss_percent=round(counts.loss, 4),
            minimum=rounded(counts.minimum),
            average=rounded(counts.average),
            maximum=rounded(counts.maximum),
            interrupted=bool(session.interruption),
            exit_status=int(status),
        )
        return status


async def echo(session: Session, options: EchoOptions) -> Exit:
    """Send C-ECHO as the options say and return the exit status."""
    return await Echoes(session, options).run()
