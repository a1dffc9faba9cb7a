"""The pool of associations, with a server in memory under a virtual clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.dimse import Status
from pacs_twisted.errors import AssociationAborted, AssociationRejected, ConnectionFailed
from pacs_twisted.net import (
    AcceptorFactory,
    AdmissionPolicy,
    ApplicationEntity,
    AssociationPool,
    Limits,
    PoolClosed,
    RequestorAssociation,
    Timeouts,
)
from pacs_twisted.pdu import RoleSelection
from pacs_twisted.services import Verification
from pacs_twisted.testing import MemoryEndpoint, Pump


class Trouble(Exception):
    """What a block raises in these tests."""


class Slow(Verification):
    """Answers when a test says so."""

    def __init__(self) -> None:
        self.answer: Deferred[Status] = Deferred()

    def c_echo(self, request: Any, context: Any) -> Any:
        return self.answer


class PoolCase(SynchronousTestCase):
    """A test with a pool; at its end nothing of the pool may be left."""

    service: Any = Verification

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = AcceptorFactory(
            ApplicationEntity("PACS", [self.service()]),
            reactor=self.clock,
            timeouts=Timeouts(idle=0, artim=0),  # what time is left to run is the pool's
        )
        self.endpoint = MemoryEndpoint(self.server, self.clock)

    def pool(self, **options: Any) -> AssociationPool:
        """Return a pool that is closed when the test ends."""
        pool = AssociationPool(self.endpoint, called="PACS", reactor=self.clock, **options)
        self.addCleanup(self.close, pool)
        return pool

    def close(self, pool: AssociationPool) -> None:
        """Close the pool after its associations are given back, and see that nothing is left."""
        for peer in [*pool._in_use]:
            pool.give_back(peer)
        closing = pool.close()
        self.endpoint.advance(40)
        self.successResultOf(closing)
        self.assertEqual(self.open_connections(), [])
        self.assertEqual(self.server.associations, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((pool.connections, pool.idle, pool.in_use, pool.waiting), (0, 0, 0, 0))

    def open_connections(self) -> list[Pump]:
        """Return the connections that are open."""
        return [
            pump for pump in self.endpoint.connections if not pump.client_transport.disconnected
        ]

    def fail_to_acquire(self, pool: AssociationPool, error: type[Exception]) -> None:
        """Find no association."""
        acquired = pool.acquire()
        self.endpoint.flush()
        self.failureResultOf(acquired, error)

    def acquire(self, pool: AssociationPool) -> RequestorAssociation:
        """Get an association."""
        acquired = pool.acquire()
        self.endpoint.flush()
        return self.successResultOf(acquired)

    def give_back(self, pool: AssociationPool, *peers: RequestorAssociation) -> None:
        """Give associations back."""
        for peer in peers:
            pool.give_back(peer)
        self.endpoint.flush()

    def run_block(
        self, pool: AssociationPool, block: Callable[[RequestorAssociation], Awaitable[Any]]
    ) -> Deferred[Any]:
        """Do something with an association as users do."""

        async def use() -> Any:
            async with pool.association() as peer:
                return await block(peer)

        running = Deferred.fromCoroutine(use())
        self.endpoint.flush()
        return running


class ReuseTests(PoolCase):
    """An association that is given back is used again."""

    def test_same_again(self) -> None:
        """Two uses, one connection."""
        pool = self.pool()
        first = self.acquire(pool)
        self.give_back(pool, first)
        self.assertIs(self.acquire(pool), first)
        self.assertEqual(len(self.endpoint.connections), 1)

    def test_one_each(self) -> None:
        """While one is in use, who asks gets another one."""
        pool = self.pool()
        self.assertIsNot(self.acquire(pool), self.acquire(pool))
        self.assertEqual((pool.connections, pool.in_use), (2, 2))

    def test_last_first(self) -> None:
        """The one that was used last is used next, so that what is not needed grows old."""
        pool = self.pool()
        first, second = self.acquire(pool), self.acquire(pool)
        self.give_back(pool, second, first)
        self.assertIs(self.acquire(pool), first)

    def test_request(self) -> None:
        """What is proposed is what `associate` would propose."""
        pool = self.pool(
            calling="CT1",
            contexts=["1.2.840.10008.1.1", ("1.2.840.10008.5.1.4.1.1.2", ["1.2.840.10008.1.2"])],
            maximum_length=16384,
            maximum_operations=5,
        )
        request = self.acquire(pool).request
        self.assertEqual((request.called_ae_title, request.calling_ae_title), ("PACS", "CT1"))
        self.assertEqual([each.context_id for each in request.presentation_contexts], [1, 3])
        self.assertEqual(request.user_information.maximum_length_received, 16384)
        window = request.user_information.asynchronous_operations_window
        self.assertEqual(window.maximum_number_operations_invoked if window else None, 5)

    def test_not_ours(self) -> None:
        """An association is given back once, to the pool that it is of."""
        pool = self.pool()
        peer = self.acquire(pool)
        with self.assertRaises(ValueError):
            self.pool().give_back(peer)
        pool.give_back(peer)
        with self.assertRaises(ValueError):
            pool.give_back(peer)

    def test_arguments(self) -> None:
        """What cannot be right is told when the pool is made, not when it is used."""
        wrong: dict[str, Any] = {
            "maximum": 0,
            "linger": -1,
            "maximum_uses": -1,
            "maximum_age": -0.1,
            "called": "A\\B",
            "contexts": [],
            "maximum_length": 7,
            "role_selections": [RoleSelection("1.2", True, True), RoleSelection("1.2", True, True)],
        }
        for name, value in wrong.items():
            options: dict[str, Any] = {"called": "PACS", "reactor": self.clock, name: value}
            with self.assertRaises(ValueError, msg=name):
                AssociationPool(self.endpoint, **options)

    def test_unanswered(self) -> None:
        """One that is given back with a request on its way is aborted, and not used again."""
        pool = self.pool()
        peer = self.acquire(pool)
        echo = peer.echo()
        self.give_back(pool, peer)
        self.failureResultOf(echo, AssociationAborted)
        self.assertIsNot(self.acquire(pool), peer)


class LifeTests(PoolCase):
    """How long an association is kept."""

    def test_linger(self) -> None:
        """An idle association is released in time, and not before."""
        pool = self.pool(linger=10)
        peer = self.acquire(pool)
        self.give_back(pool, peer)
        self.endpoint.advance(9)
        self.assertFalse(peer.is_over)
        self.endpoint.advance(1)
        self.assertTrue(peer.is_over)
        self.assertEqual(self.successResultOf(peer.when_ended()).outcome.value, "released")
        self.assertEqual(pool.connections, 0)

    def test_linger_anew(self) -> None:
        """A use winds the time up; in use it does not run."""
        pool = self.pool(linger=10)
        peer = self.acquire(pool)
        self.give_back(pool, peer)
        self.endpoint.advance(9)
        self.assertIs(self.acquire(pool), peer)
        self.endpoint.advance(100)
        self.give_back(pool, peer)
        self.endpoint.advance(9)
        self.assertIs(self.acquire(pool), peer)

    def test_no_linger(self) -> None:
        """Without linger it is released at once, unless somebody waits for it."""
        pool = self.pool(linger=0, maximum=1)
        peer = self.acquire(pool)
        next_one = pool.acquire()
        self.give_back(pool, peer)
        self.assertIs(self.successResultOf(next_one), peer)
        self.give_back(pool, peer)
        self.assertTrue(peer.is_over)
        self.assertEqual(pool.connections, 0)

    def test_for_ever(self) -> None:
        """An infinite linger needs no timer."""
        pool = self.pool(linger=inf)
        peer = self.acquire(pool)
        self.give_back(pool, peer)
        self.endpoint.advance(1e6)
        self.assertIs(self.acquire(pool), peer)

    def test_uses(self) -> None:
        """After so many uses it is released, and who waits gets a new one."""
        pool = self.pool(maximum_uses=2, maximum=1)
        peer = self.acquire(pool)
        self.give_back(pool, peer)
        self.assertIs(self.acquire(pool), peer)
        next_one = pool.acquire()
        self.give_back(pool, peer)
        self.assertEqual(self.successResultOf(peer.when_ended()).outcome.value, "released")
        self.assertIsNot(self.successResultOf(next_one), peer)

    def test_age_while_idle(self) -> None:
        """An idle association that grows too old is released before its linger is over."""
        pool = self.pool(maximum_age=15, linger=10)
        peer = self.acquire(pool)
        self.endpoint.advance(8)
        self.give_back(pool, peer)
        self.endpoint.advance(6.5)
        self.assertFalse(peer.is_over)
        self.endpoint.advance(0.5)
        self.assertTrue(peer.is_over)

    def test_age_in_use(self) -> None:
        """One that grows too old in use is not disturbed, and released when it is given back."""
        pool = self.pool(maximum_age=15, maximum=1)
        peer = self.acquire(pool)
        self.endpoint.advance(20)
        self.assertFalse(peer.is_over)
        next_one = pool.acquire()
        self.give_back(pool, peer)
        self.assertIsNot(self.successResultOf(next_one), peer)

    def test_release_unanswered(self) -> None:
        """A peer that does not answer a release holds its place until the ACSE timer, no longer."""
        pool = self.pool(linger=10, maximum=1, timeouts=Timeouts(acse=5, artim=3))
        self.give_back(pool, self.acquire(pool))
        server = self.endpoint.connections[0].server_transport
        server.pauseProducing()
        self.endpoint.advance(10)
        next_one = pool.acquire()
        self.endpoint.advance(7)
        self.assertNoResult(next_one)
        self.endpoint.advance(1)
        self.successResultOf(next_one)
        server.resumeProducing()


class MaximumTests(PoolCase):
    """No more associations at a time than there may be."""

    def test_in_order(self) -> None:
        """Who asked first is served first."""
        pool = self.pool(maximum=2)
        peers = [self.acquire(pool), self.acquire(pool)]
        waiters = [pool.acquire() for _ in range(3)]
        self.endpoint.flush()
        self.assertEqual((len(self.endpoint.connections), pool.waiting), (2, 3))
        for waiter, peer in zip(waiters, [peers[1], peers[0], peers[1]], strict=True):
            self.assertNoResult(waiter)
            self.give_back(pool, peer)
            self.assertIs(self.successResultOf(waiter), peer)
        self.assertEqual(len(self.endpoint.connections), 2)

    def test_while_it_opens(self) -> None:
        """An attempt counts: a second one is not begun beside it."""
        self.endpoint.delay = None
        pool = self.pool(maximum=1)
        first, second = pool.acquire(), pool.acquire()
        self.assertEqual(self.endpoint.attempts, 1)
        for waiter in (first, second):
            self.assertNoResult(waiter)
            waiter.addErrback(lambda _: None)

    def test_ended_in_use(self) -> None:
        """One that ended in use makes room for another, given back or not."""
        pool = self.pool(maximum=1)
        peer = self.acquire(pool)
        next_one = pool.acquire()
        self.endpoint.connections[0].lose()
        self.endpoint.flush()
        self.assertIsNot(self.successResultOf(next_one), peer)
        self.give_back(pool, peer)
        self.assertEqual((pool.connections, pool.idle, pool.in_use), (1, 0, 1))


class DeadTests(PoolCase):
    """An association that ended while it was idle is never handed out."""

    def check(self, end: Callable[[Pump], None]) -> None:
        """End an idle association, and see that the next one is another that works."""
        pool = self.pool(maximum=1)
        peer = self.acquire(pool)
        self.give_back(pool, peer)
        end(self.endpoint.connections[-1])
        self.endpoint.flush()
        self.assertEqual((pool.connections, pool.idle), (0, 0))
        another = self.acquire(pool)
        self.assertIsNot(another, peer)
        echo = another.echo()
        self.endpoint.flush()
        self.assertEqual(self.successResultOf(echo).status, Status.SUCCESS)

    def test_aborted(self) -> None:
        """The peer aborted."""
        self.check(lambda pump: pump.server.association.abort())  # type: ignore[attr-defined]

    def test_released(self) -> None:
        """The peer released."""
        self.check(lambda pump: pump.server.association.release())  # type: ignore[attr-defined]

    def test_lost(self) -> None:
        """The connection broke."""
        self.check(lambda pump: pump.lose())

    def test_not_noticed(self) -> None:
        """An end that is not noticed yet fails the use, and only that."""
        pool = self.pool(maximum=1)
        self.give_back(pool, self.acquire(pool))
        self.endpoint.connections[0].server.association.abort()  # type: ignore[attr-defined]
        peer = self.successResultOf(pool.acquire())
        echo = peer.echo()
        self.endpoint.flush()
        self.failureResultOf(echo, AssociationAborted)
        self.give_back(pool, peer)
        self.assertIsNot(self.acquire(pool), peer)


class FailedTests(PoolCase):
    """An attempt that fails."""

    def test_refused(self) -> None:
        """Who caused it is told, and the pool goes on."""
        self.endpoint.error = ConnectionRefusedError()
        pool = self.pool(maximum=1)
        for _ in range(3):
            self.fail_to_acquire(pool, ConnectionFailed)
        self.endpoint.error = None
        self.assertFalse(self.acquire(pool).is_over)

    def test_rejected(self) -> None:
        """So it is with a rejection; the next in the queue tries for itself."""
        self.server.reconfigure(admission=AdmissionPolicy(limits=Limits(associations=1)))
        other = self.pool()
        held = self.acquire(other)
        pool = self.pool(maximum=1)
        first, second = pool.acquire(), pool.acquire()
        self.endpoint.flush()
        self.failureResultOf(first, AssociationRejected)
        self.failureResultOf(second, AssociationRejected)
        third = pool.acquire()
        other.give_back(held)
        self.endpoint.advance(10)
        self.failureResultOf(third, AssociationRejected)
        self.assertFalse(self.acquire(pool).is_over)

    def test_others_go_on(self) -> None:
        """Associations that are there are not touched by an attempt that fails."""
        pool = self.pool()
        peer = self.acquire(pool)
        self.endpoint.error = ConnectionRefusedError()
        self.fail_to_acquire(pool, ConnectionFailed)
        self.give_back(pool, peer)
        self.assertIs(self.acquire(pool), peer)

    def test_timed_out(self) -> None:
        """A connection that is not made in time is an attempt that failed."""
        self.endpoint.delay = None
        pool = self.pool(maximum=1, timeouts=Timeouts(connect=5))
        acquired = pool.acquire()
        self.endpoint.advance(5)
        self.assertEqual(self.failureResultOf(acquired).value.timer, "connect")


class CancelTests(PoolCase):
    """An association that is not wanted any more."""

    def test_in_the_queue(self) -> None:
        """The others move up."""
        pool = self.pool(maximum=1)
        peer = self.acquire(pool)
        first, second = pool.acquire(), pool.acquire()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.give_back(pool, peer)
        self.assertIs(self.successResultOf(second), peer)

    def test_while_connecting(self) -> None:
        """The attempt is given up."""
        self.endpoint.delay = None
        pool = self.pool()
        acquired = pool.acquire()
        acquired.cancel()
        self.failureResultOf(acquired, CancelledError)
        self.assertEqual(self.endpoint.attempts, 1)
        self.assertEqual(pool.connections, 0)

    def test_while_associating(self) -> None:
        """The association that was asked for is aborted."""
        pool = self.pool()
        acquired = pool.acquire()
        self.clock.advance(0)  # it connects
        self.assertEqual(len(self.open_connections()), 1)
        acquired.cancel()
        self.failureResultOf(acquired, CancelledError)
        self.endpoint.flush()
        self.assertEqual((pool.connections, self.open_connections()), (0, []))

    def test_for_the_next(self) -> None:
        """If somebody else waits, the attempt is for them."""
        pool = self.pool(maximum=1)
        first, second = pool.acquire(), pool.acquire()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.endpoint.flush()
        self.assertFalse(self.successResultOf(second).is_over)
        self.assertEqual(len(self.endpoint.connections), 1)


class CloseTests(PoolCase):
    """The end of a pool."""

    def test_idle(self) -> None:
        """What is idle is released, and its connections are gone when the pool is closed."""
        pool = self.pool()
        peers = [self.acquire(pool) for _ in range(3)]
        self.give_back(pool, *peers)
        closing = pool.close()
        self.assertNoResult(closing)
        self.endpoint.flush()
        self.successResultOf(closing)
        for peer in peers:
            self.assertEqual(self.successResultOf(peer.when_ended()).outcome.value, "released")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_use(self) -> None:
        """What is in use may be used to its end."""
        pool = self.pool()
        peer = self.acquire(pool)
        closing = pool.close()
        echo = peer.echo()
        self.endpoint.flush()
        self.assertEqual(self.successResultOf(echo).status, Status.SUCCESS)
        self.assertNoResult(closing)
        self.give_back(pool, peer)
        self.successResultOf(closing)
        self.assertEqual(self.successResultOf(peer.when_ended()).outcome.value, "released")

    def test_waiting(self) -> None:
        """Who waits, and who asks later, is told."""
        pool = self.pool(maximum=1)
        peer = self.acquire(pool)
        waiting = pool.acquire()
        pool.close()
        self.failureResultOf(waiting, PoolClosed)
        self.failureResultOf(pool.acquire(), PoolClosed)
        self.give_back(pool, peer)

    def test_attempt(self) -> None:
        """An attempt on its way is given up, whatever it waits for."""
        pool = self.pool(maximum=2)
        associating = pool.acquire()
        self.clock.advance(0)  # it connects
        self.endpoint.delay = None
        connecting = pool.acquire()
        closing = pool.close()
        self.failureResultOf(associating, PoolClosed)
        self.failureResultOf(connecting, PoolClosed)
        self.assertNoResult(closing)
        self.endpoint.flush()
        self.successResultOf(closing)

    def test_twice(self) -> None:
        """Whoever closes is told when it is closed; not to wait for it changes nothing."""
        pool = self.pool()
        peer = self.acquire(pool)
        first, second, third = pool.close(), pool.close(), pool.close()
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.give_back(pool, peer)
        self.successResultOf(first)
        self.successResultOf(third)
        self.successResultOf(pool.close())

    def test_never_used(self) -> None:
        """There may be nothing to close."""
        self.successResultOf(self.pool().close())

    def test_block(self) -> None:
        """A pool of a block is closed when the block ends."""

        async def use() -> AssociationPool:
            async with self.pool() as pool, pool.association():
                pass
            return pool

        running = Deferred.fromCoroutine(use())
        self.endpoint.flush()
        self.failureResultOf(self.successResultOf(running).acquire(), PoolClosed)


class BlockTests(PoolCase):
    """An association for a block of a coroutine."""

    def test_clean(self) -> None:
        """It is given back when the block ends."""
        pool = self.pool()
        seen: list[RequestorAssociation] = []

        async def block(peer: RequestorAssociation) -> Status:
            seen.append(peer)
            return (await peer.echo()).status

        for _ in range(2):
            running = self.run_block(pool, block)
            self.assertEqual(self.successResultOf(running), Status.SUCCESS)
        self.assertIs(seen[0], seen[1])
        self.assertEqual((pool.idle, pool.in_use), (1, 0))

    def test_failed(self) -> None:
        """It is aborted when the block fails, and the failure goes on."""
        pool = self.pool()

        async def block(peer: RequestorAssociation) -> None:
            raise Trouble

        self.failureResultOf(self.run_block(pool, block), Trouble)
        self.assertEqual((pool.idle, pool.in_use, pool.connections), (0, 0, 0))

    def test_released_in_the_block(self) -> None:
        """A block may end the association itself."""
        pool = self.pool()

        async def block(peer: RequestorAssociation) -> None:
            await peer.release()

        self.successResultOf(self.run_block(pool, block))
        self.assertEqual((pool.idle, pool.in_use, pool.connections), (0, 0, 0))

    def test_not_to_be_had(self) -> None:
        """The block does not begin."""
        self.endpoint.error = ConnectionRefusedError()
        pool = self.pool()
        self.failureResultOf(self.run_block(pool, lambda _: self.fail()), ConnectionFailed)


class SlowBlockTests(PoolCase):
    """A block that is cancelled."""

    service = Slow

    def test_cancelled(self) -> None:
        """What it waits for is given up, and so is its association."""
        pool = self.pool()

        async def block(peer: RequestorAssociation) -> None:
            await peer.echo()

        running = self.run_block(pool, block)
        self.assertEqual(pool.in_use, 1)
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.endpoint.flush()
        self.assertEqual((pool.idle, pool.in_use, pool.connections), (0, 0, 0))
