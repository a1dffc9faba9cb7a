"""
A pool of associations with one peer, for those who send much and often.

    pool = AssociationPool("tcp:pacs:11112", called="PACS", calling="CT1", contexts=contexts)
    async with pool.association() as peer:
        await peer.echo()
    await pool.close()

What it leaves out: it neither repeats what has failed nor spreads requests over associations. Who
has an association has it alone until it is given back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from math import inf
from types import TracebackType
from typing import Any, Self

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.python.failure import Failure

from pacs_twisted.errors import PacsError
from pacs_twisted.net.client import Attempt, Proposal, client_endpoint, make_request
from pacs_twisted.net.requestor_association import RequestorAssociation
from pacs_twisted.net.timers import Timeouts
from pacs_twisted.pdu import RoleSelection, UserIdentity
from pacs_twisted.pdu.framing import MAXIMUM_LENGTH
from pacs_twisted.uids import VERIFICATION
from pacs_twisted.upper_layer.negotiation import check_request


class PoolClosed(PacsError):
    """Our own caller asked a pool for an association that is closed, or was before its turn."""


@attrs.define(eq=False)
class _Member:
    """One connection of the pool, from the attempt until it is gone."""

    attempt: Attempt
    waiter: Deferred[RequestorAssociation] | None
    """Who caused the attempt, until it is decided."""
    attempting: Deferred[None] | None = None
    peer: RequestorAssociation | None = None
    since: float = 0.0
    """When the association was established."""
    uses: int = 0
    timer: IDelayedCall | None = None
    """Ends it while it is idle."""


class AssociationPool:
    """
    Associations with one peer that are used again and again.

    Who asks gets an idle association, the one that was used last; or a new one, while there are
    fewer than the maximum; or waits for its turn, in order. One that has ended while it was idle,
    because the peer released or aborted it or the connection broke, is never handed out.

    An attempt that fails fails who caused it, with the errors of `associate`, and nobody else: the
    next in the queue causes an attempt of its own. A connection counts until it is closed, also
    while it is being released.

    As an asynchronous context manager it is closed when the block ends.

    Args:
        endpoint: where the peer is, as for `associate`.
        called: the peer's AE title.
        calling: ours.
        contexts: what is proposed on every association, as for `associate`.
        maximum: how many connections there are at a time, at most.
        linger: seconds that an idle association is kept; 0 releases it unless somebody waits,
            `math.inf` keeps it until the peer ends it.
        maximum_uses: how often an association is handed out before it is released; 0 without limit.
        maximum_age: seconds after which an association is not handed out again; 0 without limit.
            One that is in use is not disturbed.
        timeouts: as for `associate`.
        maximum_length: as for `associate`.
        maximum_operations: as for `associate`.
        role_selections: as for `associate`.
        user_identity: as for `associate`.
        debug: log every event and message at debug.
        reactor: the clock, and what an endpoint string connects with; the global one unless given.

    Raises:
        ValueError: a title, a context, a number or something else is not allowed.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint | str,
        *,
        called: str,
        calling: str = "PACS_TWISTED",
        contexts: Iterable[Proposal] = (VERIFICATION,),
        maximum: int = 4,
        linger: float = 10.0,
        maximum_uses: int = 0,
        maximum_age: float = 0.0,
        timeouts: Timeouts | None = None,
        maximum_length: int = MAXIMUM_LENGTH,
        maximum_operations: int = 1,
        role_selections: Sequence[RoleSelection] = (),
        user_identity: UserIdentity | None = None,
        debug: bool = False,
        reactor: Any = None,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        if maximum < 1:
            raise ValueError(f"at most {maximum} associations, at least 1 is needed")
        if linger < 0 or maximum_uses < 0 or maximum_age < 0:
            raise ValueError("linger, maximum_uses and maximum_age are not negative")
        self._request = make_request(
            called,
            calling,
            contexts,
            maximum_length,
            maximum_operations,
            role_selections,
            user_identity,
        )
        check_request(self._request)  # now, and not at the first attempt
        self._endpoint = client_endpoint(endpoint, reactor)
        self._timeouts = timeouts or Timeouts()
        self._debug = debug
        self._reactor = reactor
        self._maximum = maximum
        self._linger = linger
        self._maximum_uses = maximum_uses
        self._maximum_age = maximum_age
        self._members: set[_Member] = set()
        self._idle: list[_Member] = []
        self._in_use: dict[RequestorAssociation, _Member] = {}
        self._waiting: deque[Deferred[RequestorAssociation]] = deque()
        self._closed = False
        self._closing: list[Deferred[None]] = []

    @property
    def connections(self) -> int:
        """How many connections there are, those that open or close among them."""
        return len(self._members)

    @property
    def idle(self) -> int:
        """How many associations wait for a use."""
        return len(self._idle)

    @property
    def in_use(self) -> int:
        """How many associations are handed out and not given back."""
        return len(self._in_use)

    @property
    def waiting(self) -> int:
        """How many wait for an association of somebody else."""
        return len(self._waiting)

    # Take and give back

    def acquire(self) -> Deferred[RequestorAssociation]:
        """
        Get an association, which is to be given back.

        Returns:
            A `Deferred` of it, which fails as that of `associate` does if a new one was needed and
            could not be had, and with `PoolClosed` when the pool is closed. To cancel it takes back
            the wish; an attempt that it has caused is left to the next who waits, or given up.
        """
        waiter: Deferred[RequestorAssociation] = Deferred(self._cancelled)
        if self._closed:
            waiter.errback(PoolClosed("the pool is closed"))
        else:
            self._waiting.append(waiter)
            self._serve()
        return waiter

    def give_back(self, peer: RequestorAssociation) -> None:
        """
        Give an association back that was acquired, once.

        One that has ended is dropped. One with requests that are not answered is aborted, since
        its next user would have to wait for what nobody wants any more.

        Raises:
            ValueError: it is not of this pool, or was given back before.
        """
        member = self._in_use.pop(peer, None)
        if member is None:
            raise ValueError(f"association {peer.number} is not in use by this pool")
        if peer.outstanding:
            peer.abort()
        if not peer.is_over:
            self._put(member)

    @asynccontextmanager
    async def association(self) -> AsyncIterator[RequestorAssociation]:
        """
        Acquire an association for a block.

        When the block ends it is given back, when it ends by an exception it is aborted. The
        block begins, or fails, as `acquire` does.
        """
        peer = await self.acquire()
        try:
            yield peer
        except BaseException:
            peer.abort()
            raise
        finally:
            self.give_back(peer)

    # The end

    def close(self) -> Deferred[None]:
        """
        Hand out nothing more, release what is idle, and let what is in use come to its end.

        Who waits for an association is told `PoolClosed`. May be called again.

        Returns:
            A `Deferred` that fires when the last connection is gone; to cancel it changes nothing
            but that.
        """
        if not self._closed:
            self._closed = True
            waiters = [*self._waiting]
            self._waiting.clear()
            for member in [*self._members]:
                waiter, member.waiter = member.waiter, None
                if member.attempting is not None:
                    member.attempting.cancel()
                if waiter is not None:
                    waiters.append(waiter)
            for member in [*self._idle]:
                self._retire(member)
            for waiter in waiters:
                waiter.errback(PoolClosed("the pool was closed"))
        closing: Deferred[None] = Deferred(self._closing.remove)
        self._closing.append(closing)
        self._look_at_end()
        return closing

    async def __aenter__(self) -> Self:
        """Begin a block at whose end the pool is closed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()

    # What happens inside

    def _serve(self) -> None:
        """Give those who wait what there is, in order."""
        while self._waiting:
            # One that is over, and has not been taken out yet, is on its way out.
            member = next((each for each in reversed(self._idle) if not _is_over(each)), None)
            if member is not None and member.peer is not None:
                self._take_out(member)
                self._hand_out(member, member.peer, self._waiting.popleft())
            elif len(self._members) < self._maximum:
                self._open(self._waiting.popleft())
            else:
                return

    def _open(self, waiter: Deferred[RequestorAssociation]) -> None:
        """Ask for another association."""
        attempt = Attempt(
            self._request, self._endpoint, self._timeouts, self._reactor, debug=self._debug
        )
        member = _Member(attempt, waiter)
        self._members.add(member)
        member.attempting = attempt.begin().addCallbacks(
            self._established, self._failed, callbackArgs=(member,), errbackArgs=(member,)
        )
        attempt.when_closed().addCallback(self._gone, member)

    def _established(self, peer: RequestorAssociation, member: _Member) -> None:
        member.attempting = None
        member.peer = peer
        member.since = self._reactor.seconds()
        peer.when_ended().addCallback(self._ended, member)
        waiter, member.waiter = member.waiter, None
        if waiter is not None:
            self._hand_out(member, peer, waiter)

    def _failed(self, failure: Failure, member: _Member) -> None:
        member.attempting = None
        waiter, member.waiter = member.waiter, None
        if waiter is not None:
            waiter.errback(failure)

    def _hand_out(
        self,
        member: _Member,
        peer: RequestorAssociation,
        waiter: Deferred[RequestorAssociation],
    ) -> None:
        member.uses += 1
        self._in_use[peer] = member
        waiter.callback(peer)

    def _put(self, member: _Member) -> None:
        """An association is free: for who waits, for later, or for nobody any more."""
        left = inf
        if self._maximum_age:
            left = member.since + self._maximum_age - self._reactor.seconds()
        if self._closed or left <= 0 or member.uses == self._maximum_uses:
            self._retire(member)
            return
        self._idle.append(member)
        self._serve()
        if member not in self._idle or member.timer is not None:
            return
        seconds = min(self._linger, left)
        if not seconds:
            self._retire(member)
        elif seconds != inf:
            member.timer = self._reactor.callLater(seconds, self._expired, member)

    def _expired(self, member: _Member) -> None:
        member.timer = None
        self._retire(member)

    def _take_out(self, member: _Member) -> None:
        """It is idle no more."""
        if member in self._idle:
            self._idle.remove(member)
        timer, member.timer = member.timer, None
        if timer is not None:
            timer.cancel()

    def _retire(self, member: _Member) -> None:
        """Release an association; however that goes, its connection goes away."""
        self._take_out(member)
        if member.peer is not None:
            member.peer.release().addErrback(lambda _: None)  # the log has told how it ended

    def _ended(self, _: object, member: _Member) -> None:
        self._take_out(member)

    def _gone(self, _: None, member: _Member) -> None:
        """The connection is closed, so that there may be another one."""
        self._members.discard(member)
        self._serve()
        self._look_at_end()

    def _look_at_end(self) -> None:
        if self._closed and not self._members:
            closing, self._closing = self._closing, []
            for deferred in closing:
                deferred.callback(None)

    def _cancelled(self, waiter: Deferred[RequestorAssociation]) -> None:
        """Somebody does not want an association any more."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
            return
        for member in self._members:
            if member.waiter is waiter:
                member.waiter = self._waiting.popleft() if self._waiting else None
                if member.waiter is None and member.attempting is not None:
                    member.attempting.cancel()
                return


def _is_over(member: _Member) -> bool:
    return member.peer is None or member.peer.is_over
