"""
A client that only makes load: canned requests, plain sockets and epoll.

It shares no code with the package. Every answer is checked, so a number stands for answers that
were right.
"""

from __future__ import annotations

import resource
import select
import socket
import time
from contextlib import ExitStack, closing
from typing import Final

from benchmarks.processes import LOCAL, BenchmarkFailed

TIMEOUT: Final = 30.0
"""Seconds without any answer after which there will be none."""

VERIFICATION: Final = "1.2.840.10008.1.1"
IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"

A_RELEASE_RQ: Final = bytes.fromhex("0500 00000004 00000000")
A_RELEASE_RP: Final = bytes.fromhex("0600 00000004 00000000")

C_ECHO_RQ: Final = bytes.fromhex(
    "0400 0000004a 00000046 01 03"  # P-DATA-TF, one PDV: context 1, command, last
    "0000 0000 04000000 38000000"
    "0000 0200 12000000 312e322e3834302e31303030382e312e3100"  # Verification
    "0000 0001 02000000 3000"  # C-ECHO-RQ
    "0000 1001 02000000 0100"  # message ID 1
    "0000 0008 02000000 0101"  # no data set
)
_C_ECHO_RSP: Final = bytes.fromhex("0000 0001 02000000 3080")
_SUCCESS: Final = bytes.fromhex("0000 0009 02000000 0000")


def _item(item_type: int, value: bytes) -> bytes:
    return bytes((item_type, 0)) + len(value).to_bytes(2, "big") + value


def associate_rq(
    called: str,
    abstract_syntax: str = VERIFICATION,
    transfer_syntax: str = IMPLICIT_VR_LITTLE_ENDIAN,
) -> bytes:
    """Return an A-ASSOCIATE-RQ that proposes one presentation context, 1."""
    syntaxes = _item(0x30, abstract_syntax.encode()) + _item(0x40, transfer_syntax.encode())
    information = _item(0x51, (16384).to_bytes(4, "big")) + _item(0x52, b"1.2.826.0.1.3680043.2")
    body = (
        b"\0\1\0\0"
        + called.encode("ascii").ljust(16)
        + b"BENCHMARK".ljust(16)
        + bytes(32)
        + _item(0x10, b"1.2.840.10008.3.1.1.1")
        + _item(0x20, b"\1\0\0\0" + syntaxes)
        + _item(0x50, information)
    )
    return b"\1\0" + len(body).to_bytes(4, "big") + body


class Target:
    """
    Where the load goes.

    Args:
        port: on 127.0.0.1.
        called: the called AE title.
        syntaxes: abstract and transfer syntax of the context; Verification unless given.
    """

    def __init__(self, port: int, called: str, *syntaxes: str) -> None:
        self.address = (LOCAL, port)
        self.associate_rq = associate_rq(called, *syntaxes)

    def connect(self) -> socket.socket:
        """Return a connection that waits for its answers, but not for ever."""
        connection = socket.create_connection(self.address, TIMEOUT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def associate(self) -> socket.socket:
        """Return a connection with an association."""
        return self.negotiate()[0]

    def negotiate(self) -> tuple[socket.socket, bytes]:
        """Return a connection with an association, and the A-ASSOCIATE-AC."""
        connection = self.connect()
        connection.sendall(self.associate_rq)
        answer = _receive(connection)
        _check(1, answer)
        return connection, answer


def _receive(connection: socket.socket) -> bytes:
    """Return one whole PDU."""
    data = connection.recv(16384)
    while data and (len(data) < 6 or len(data) < 6 + int.from_bytes(data[2:6], "big")):
        more = connection.recv(16384)
        if not more:
            break
        data += more
    return data


def _check(step: int, answer: bytes) -> None:
    """See that an answer is the right one: to association, echo and release, 1 to 3."""
    if step == 1:
        right = answer[:1] == b"\2"
    elif step == 2:
        right = answer[:1] == b"\4" and _C_ECHO_RSP in answer and answer.endswith(_SUCCESS)
    else:
        right = answer == A_RELEASE_RP
    if not right:
        raise BenchmarkFailed(f"wrong answer {answer[:100].hex() or '(connection closed)'}")


def release(connection: socket.socket) -> None:
    """Release the association of a connection."""
    connection.settimeout(TIMEOUT)
    connection.sendall(A_RELEASE_RQ)
    _check(3, _receive(connection))


def echo_one(target: Target, count: int) -> float:
    """Return round trips per second on one association."""
    with closing(target.associate()) as connection:
        connection.sendall(C_ECHO_RQ)
        expected = _receive(connection)  # the first one is slower
        _check(2, expected)
        send, receive = connection.send, connection.recv
        begin = time.perf_counter()
        for _ in range(count):
            send(C_ECHO_RQ)
            if receive(4096) != expected:
                raise BenchmarkFailed("an answer that is not the first one's")
        seconds = time.perf_counter() - begin
        release(connection)
    return count / seconds


def echo_many(target: Target, count: int, associations: int) -> float:
    """Return echoes per second on many associations, one outstanding on each."""
    with ExitStack() as stack:
        connections = {}
        epoll = stack.enter_context(select.epoll())
        expected = b""
        for _ in range(associations):
            connection = stack.enter_context(closing(target.associate()))
            connection.sendall(C_ECHO_RQ)
            expected = _receive(connection)
            _check(2, expected)
            epoll.register(connection, select.EPOLLIN)
            connections[connection.fileno()] = connection
        left = count - associations  # to be sent
        waiting = associations
        begin = time.perf_counter()
        for connection in connections.values():
            connection.send(C_ECHO_RQ)
        while waiting:
            ready = epoll.poll(TIMEOUT)
            if not ready:
                raise BenchmarkFailed("no answers any more")
            for number, _ in ready:
                connection = connections[number]
                if connection.recv(4096) != expected:
                    raise BenchmarkFailed("an answer that is not the first one's")
                if left > 0:
                    left -= 1
                    connection.send(C_ECHO_RQ)
                else:
                    waiting -= 1
        seconds = time.perf_counter() - begin
        for connection in connections.values():
            release(connection)
    return max(count, associations) / seconds


class _Cycle:
    """One connection on its way through connect, associate, echo, release."""

    def __init__(self, target: Target) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(target.address)
        self._target = target
        self._step = 0
        self._answer = b""

    def go_on(self) -> bool:
        """Take the answer, send the next request; return whether all is done."""
        if self._step == 0:
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise BenchmarkFailed(f"cannot connect: error {error}")
        else:
            self._answer += self.socket.recv(4096)
            answer = self._answer
            if answer and (len(answer) < 6 or len(answer) < 6 + int.from_bytes(answer[2:6], "big")):
                return False
            _check(self._step, answer)
            self._answer = b""
        self._step += 1
        if self._step > 3:
            self.socket.close()
            return True
        self.socket.send((self._target.associate_rq, C_ECHO_RQ, A_RELEASE_RQ)[self._step - 1])
        return False

    @property
    def has_just_connected(self) -> bool:
        """Whether from now on answers are waited for."""
        return self._step == 1


def cycles(target: Target, count: int, at_a_time: int) -> float:
    """Return association cycles per second: connect, associate, echo, release."""
    with select.epoll() as epoll:
        running: dict[int, _Cycle] = {}
        begun = done = 0
        begin = time.perf_counter()
        while done < count:
            while begun < count and len(running) < at_a_time:
                cycle = _Cycle(target)
                begun += 1
                running[cycle.socket.fileno()] = cycle
                epoll.register(cycle.socket, select.EPOLLOUT)
            ready = epoll.poll(TIMEOUT)
            if not ready:
                raise BenchmarkFailed("no answers any more")
            for number, _ in ready:
                cycle = running[number]
                if cycle.go_on():
                    del running[number]
                    done += 1
                elif cycle.has_just_connected:
                    epoll.modify(number, select.EPOLLIN)
        return count / (time.perf_counter() - begin)


def allow_files(number: int) -> None:
    """Raise the limit of open files to so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (number, max(hard, number)))
        except (OSError, ValueError) as error:
            raise BenchmarkFailed(f"the system allows {hard} open files, not {number}") from error


def echo_seconds(target: Target, count: int) -> float:
    """Return the median time of an echo on an association of its own, in seconds."""
    times = []
    with closing(target.associate()) as connection:
        for _ in range(count):
            begin = time.perf_counter()
            connection.sendall(C_ECHO_RQ)
            _check(2, _receive(connection))
            times.append(time.perf_counter() - begin)
        release(connection)
    return sorted(times)[count // 2]
