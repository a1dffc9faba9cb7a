"""Streams over 127.0.0.1 to a `twistd pacs-echo`, some at a time."""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator
from struct import pack
from typing import Final

from tests.fuzz.answers import WrongAnswer, describe, judge, split
from tests.fuzz.memory import Finding
from tests.fuzz.mutations import Ending, Stream, stream
from tests.interop.server import EchoServer
from tests.raw_peer import A_RELEASE_RP, C_ECHO_RSP, RawPeer

_AT_A_TIME: Final = 90
_PATIENCE: Final = 30.0  # seconds without any event
_TIMER: Final = "1"
_IDLE: Final = "2"  # so that the honest peer is not late on a machine with much to do

_OPTIONS: Final = (
    "--artim-timeout",
    _TIMER,
    "--acse-timeout",
    _TIMER,
    "--idle-timeout",
    _IDLE,
    "--send-timeout",
    _TIMER,
)


class _Connection:
    """One peer on a socket that never blocks."""

    def __init__(self, port: int, script: Stream) -> None:
        self.script = script
        self.received = bytearray()
        self.was_reset = False
        self._rest = list(reversed(script.chunks))
        self.socket = socket.socket()
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    @property
    def wants_to_send(self) -> bool:
        return bool(self._rest)

    def send(self) -> None:
        """Send the next chunk, or what the kernel takes of it; then end as the script says."""
        chunk = self._rest.pop()
        try:
            sent = self.socket.send(chunk)
            if sent < len(chunk):
                self._rest.append(chunk[sent:])
            if not self._rest:
                self._end()
        except BlockingIOError:
            self._rest.append(chunk)
        except OSError:
            self.was_reset = True  # the server has closed, and need not listen any more
            self._rest.clear()

    def _end(self) -> None:
        if self.script.ending == Ending.RESET:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
            self.was_reset = True
            self.socket.shutdown(socket.SHUT_RD)
        elif self.script.ending == Ending.CLOSE:
            self.socket.shutdown(socket.SHUT_WR)

    def receive(self) -> bool:
        """Take what has come; return whether that was the end."""
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return False
        except OSError:
            self.was_reset = True
            return True
        self.received += data
        return not data

    def outcome(self) -> str:
        """Judge what has come; of a connection that was reset some may be missing."""
        if self.was_reset:
            return "reset"
        pdus = split(bytes(self.received))
        judge(pdus)
        return describe(pdus) or "closed"


def run(seed: int, number: int, first: int = 0) -> Counter[str]:
    """
    Send streams to a server, then ask it for a C-ECHO and look at its log.

    Raises:
        Finding: something that must not be.
    """
    server = EchoServer(*_OPTIONS)
    try:
        scripts = (stream(seed, index) for index in range(first, first + number))
        outcomes = _send(server, scripts)
        with RawPeer(server.port) as peer:
            accepted = peer.associate()[:1] == b"\2"
            if not accepted or peer.echo() != C_ECHO_RSP or peer.release() != A_RELEASE_RP:
                raise Finding("an honest peer has got no answer", (), "loopback")
    finally:
        log = server.stop()
    for line in log.splitlines():
        if any(word in line for word in ("Unhandled", "Traceback", "critical", "error ")):
            raise Finding(line, (), "loopback")
    return outcomes


def _send(server: EchoServer, scripts: Iterator[Stream]) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    with selectors.DefaultSelector() as selector:
        selector.register(server.process, selectors.EVENT_READ)
        running: set[_Connection] = set()
        while True:
            while len(running) < _AT_A_TIME and (script := next(scripts, None)) is not None:
                connection = _Connection(server.port, script)
                running.add(connection)
                selector.register(connection.socket, _interest(connection), connection)
            if not running:
                return outcomes
            deadline = time.monotonic() + _PATIENCE
            for key, events in selector.select(deadline - time.monotonic()):
                if key.data is None:
                    server.process.read()
                    continue
                deadline = 0
                if _advance(key.data, events):
                    running.discard(key.data)
                    selector.unregister(key.data.socket)
                    key.data.socket.close()
                    outcomes[_judge(key.data)] += 1
                else:
                    selector.modify(key.data.socket, _interest(key.data), key.data)
            if deadline and deadline <= time.monotonic():
                left = tuple(connection.script for connection in running)
                raise Finding("connections without an end", left[:3], "loopback")


def _interest(connection: _Connection) -> int:
    return selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.wants_to_send else 0)


def _advance(connection: _Connection, events: int) -> bool:
    """Send and receive; return whether the connection has come to its end."""
    if events & selectors.EVENT_WRITE and connection.wants_to_send:
        connection.send()
    over = bool(events & selectors.EVENT_READ) and connection.receive()
    return over or (connection.was_reset and not connection.wants_to_send)


def _judge(connection: _Connection) -> str:
    try:
        return connection.outcome()
    except WrongAnswer as error:
        raise Finding(str(error), (connection.script,), "loopback") from error
