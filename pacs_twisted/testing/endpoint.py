"""A client endpoint in memory, for tests of whoever asks for associations."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError, ConnectionRefusedError
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from pacs_twisted.testing.network import Pump, advance, connect

_SERVER = IPv4Address("TCP", "127.0.0.1", 11112)
_FIRST_PORT = 50000
_MOST_ROUNDS = 1_000_000


@implementer(IStreamClientEndpoint)
class MemoryEndpoint:
    """
    An endpoint whose connections are made in memory; give it to `pacs_twisted.net.associate`.

    Nothing happens by itself: `flush` connects what wants to connect and carries bytes until
    everybody is silent, and `advance` lets time pass. What is made of `error` and `delay` is
    decided when somebody connects, so a test may change them from one attempt to the next.

    Args:
        server: what is connected to: a server's factory, such as an `AcceptorFactory`, or one
            protocol, which takes one connection and no more.
        clock: the time; give the same one to the factory, and to `associate` as its reactor.
        error: what an attempt fails with, such as a `ConnectionRefusedError`; None lets it in.
        delay: after how many seconds an attempt succeeds or fails; None for never.
        address: where the client seems to come from, IPv4 or IPv6.
        pump: further arguments of `Pump`, for each connection.
    """

    def __init__(
        self,
        server: IProtocolFactory | IProtocol,
        clock: Clock | None = None,
        *,
        error: Exception | None = None,
        delay: float | None = 0.0,
        address: str = "127.0.0.1",
        **pump: Any,
    ) -> None:
        self.clock = Clock() if clock is None else clock
        self.error = error
        self.delay = delay
        self.connections: list[Pump] = []
        """The connections that were made, the closed ones too: their transports can be seen."""
        self.attempts = 0
        """How often somebody wanted to connect."""
        self._factory: Any = server
        if not IProtocolFactory.providedBy(server):
            self._factory = _Once(server)
        self._address = address
        self._pump = pump

    # IStreamClientEndpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """
        Connect, at the next `flush` or `advance` that comes after the delay.

        Returns:
            A `Deferred` of the client's protocol; if it is cancelled, there will be no connection.
        """
        self.attempts += 1
        attempt: IDelayedCall | None = None

        def give_up(deferred: Deferred[IProtocol]) -> None:
            if attempt is not None:
                attempt.cancel()
            deferred.errback(Failure(ConnectingCancelledError(_SERVER)))

        deferred: Deferred[IProtocol] = Deferred(give_up)
        if self.delay is not None:
            attempt = self.clock.callLater(
                self.delay, self._attempt, protocolFactory, deferred, self.error
            )
        return deferred

    def _attempt(
        self,
        factory: IProtocolFactory,
        deferred: Deferred[IProtocol],
        error: Exception | None,
    ) -> None:
        client = None if error is not None else factory.buildProtocol(_SERVER)
        if client is None:
            deferred.errback(Failure(error or ConnectionRefusedError("no protocol")))
            return
        self.connections.append(
            connect(
                self._factory,
                client,
                self.clock,
                address=self._address,
                port=_FIRST_PORT + len(self.connections),
                **self._pump,
            )
        )
        deferred.callback(client)

    # What a test does

    def flush(self) -> None:
        """
        Connect what is due, and carry bytes until all connections are silent; no time passes.

        Raises:
            AssertionError: they never are.
        """
        for _ in range(_MOST_ROUNDS):
            self.clock.advance(0)
            if not any([connection.step() for connection in self.connections]):
                return
        raise AssertionError("the connections never fall silent")

    def advance(self, seconds: float) -> None:
        """Let time pass: what becomes due is called in order, and bytes are carried each time."""
        advance(self.clock, seconds, self.flush)

    def lose(self) -> None:
        """Break all connections: what is under way is lost, and both sides are told."""
        for connection in self.connections:
            connection.lose()


class _Once(Factory):
    """The factory of a protocol that is there already; others are refused."""

    noisy = False

    def __init__(self, protocol: Any) -> None:
        self._protocols: list[Protocol] = [protocol]

    def buildProtocol(self, addr: object) -> Protocol | None:
        return self._protocols.pop() if self._protocols else None
