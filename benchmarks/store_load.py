"""
A client that only stores: prepared C-STORE requests on one association or many.

It is quick enough to keep the core of any server busy: for each object it patches two UIDs and
hands the system two buffers. Every answer is read, and its status must be 0000H.
"""

from __future__ import annotations

import dataclasses
import select
import socket
import struct
import time
from contextlib import ExitStack, closing
from typing import Final

from benchmarks import ct
from benchmarks.load import TIMEOUT, Target, release
from benchmarks.processes import BenchmarkFailed

_P_DATA: Final = struct.Struct(">BxLLBB")  # PDU-type, its length, the PDV's, context, control
_AFTER_LENGTH: Final = 6  # bytes of a P-DATA-TF before its variable field
_PDV: Final = 6  # bytes of a PDV before its fragment
_COMMAND: Final = 1  # in the control byte
_LAST: Final = 2


def target(port: int, called: str) -> Target:
    """Return where CT images go."""
    return Target(port, called, ct.CT_IMAGE, ct.EXPLICIT_VR_LITTLE_ENDIAN)


def accepted_length(answer: bytes) -> int:
    """
    Return the longest P-DATA-TF that an A-ASSOCIATE-AC allows; 0 for any.

    Raises:
        BenchmarkFailed: the presentation context is not accepted.
    """
    longest = 0
    at = 74
    while at + 4 <= len(answer):
        kind, length = answer[at], int.from_bytes(answer[at + 2 : at + 4], "big")
        at += 4
        if kind == 0x21 and answer[at + 2]:
            raise BenchmarkFailed(f"the presentation context is not accepted: {answer[at + 2]}")
        if kind == 0x51:
            longest = int.from_bytes(answer[at : at + 4], "big")
        if kind != 0x50:  # what is in the user information is looked at
            at += length
    return longest


def _p_data(fragment: bytes, control: int) -> bytes:
    length = len(fragment)
    return _P_DATA.pack(4, length + _PDV, length + 2, 1, control) + fragment


def _command_element(number: int, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", 0, number, len(value)) + value


@dataclasses.dataclass
class Request:
    """
    A C-STORE-RQ with its data set, ready to be sent.

    Args:
        front: what is different in each, up to the first fragment of the data set.
        rest: the other fragments.
        message_id: of the last one that was made.
    """

    front: bytearray
    rest: bytes
    uid_offsets: tuple[int, int]
    id_offset: int
    message_id: int = 0

    def next(self, uid: str) -> None:
        """Make it another object's."""
        for offset in self.uid_offsets:
            self.front[offset : offset + len(uid)] = uid.encode()
        self.message_id = self.message_id % 65535 + 1
        struct.pack_into("<H", self.front, self.id_offset, self.message_id)


def prepare(size: int, longest: int, uid: str) -> tuple[Request, int]:
    """
    Return a request, and how many bytes its data set has.

    Args:
        size: bytes of pixels, about.
        longest: the P-DATA-TFs' length.
        uid: of the instance.
    """
    begin = ct.head(uid, size)
    command = b"".join(
        (
            _command_element(0x0002, begin.sop_class.encode()),
            _command_element(0x0100, b"\x01\x00"),
            _command_element(0x0110, b"\x00\x00"),
            _command_element(0x0700, b"\x00\x00"),
            _command_element(0x0800, b"\x01\x00"),
            _command_element(0x1000, uid.encode()),
        )
    )
    command = _command_element(0, struct.pack("<L", len(command))) + command
    first = _p_data(command, _COMMAND | _LAST)
    data_set = begin.data + ct.noise(begin.pixels)
    step = longest - _PDV
    pieces = [data_set[at : at + step] for at in range(0, len(data_set), step)]
    pdus = [_p_data(piece, 0) for piece in pieces[:-1]] + [_p_data(pieces[-1], _LAST)]
    front = bytearray(first + pdus[0])
    id_offset = first.index(struct.pack("<HHL", 0, 0x0110, 2)) + 8
    uid_offsets = (first.index(uid.encode()), len(first) + _P_DATA.size + begin.uid_offset)
    return Request(front, b"".join(pdus[1:]), uid_offsets, id_offset), len(data_set)


def take_answer(received: bytearray) -> dict[int, int] | None:
    """
    Take a whole response from what was received.

    Returns:
        Its elements that are numbers of 16 bits; None if it is not complete.

    Raises:
        BenchmarkFailed: it is something else.
    """
    at = 0
    command = b""
    while len(received) - at >= _AFTER_LENGTH:
        length = int.from_bytes(received[at + 2 : at + 6], "big")
        if received[at] != 4:
            raise BenchmarkFailed(f"a PDU of type {received[at]} instead of an answer")
        end = at + _AFTER_LENGTH + length
        if len(received) < end:
            return None
        at += _AFTER_LENGTH
        while at < end:
            size = int.from_bytes(received[at : at + 4], "big")
            command += received[at + _PDV : at + 4 + size]
            if received[at + 5] == _COMMAND | _LAST:
                del received[: at + 4 + size]
                return _numbers(command)
            at += 4 + size
    return None


def _numbers(command: bytes) -> dict[int, int]:
    found = {}
    at = 0
    while at + 8 <= len(command):
        _, number, length = struct.unpack_from("<HHL", command, at)
        at += 8
        if length == 2:
            found[number] = int.from_bytes(command[at : at + 2], "little")
        at += length
    return found


def check(answer: dict[int, int], message_id: int) -> None:
    """See that an answer is a C-STORE-RSP to this request, with success."""
    if (answer.get(0x0100), answer.get(0x0120)) != (0x8001, message_id):
        raise BenchmarkFailed(f"wrong answer: {answer}")
    if answer.get(0x0900) != 0:
        raise BenchmarkFailed(f"status {answer.get(0x0900, -1):04X}H")


class Sender:
    """One association, on which one object after the other is sent."""

    def __init__(self, where: Target, size: int, longest: int, uids: ct.UIDs) -> None:
        self.socket, answer = where.negotiate()
        allowed = accepted_length(answer) or longest
        self._uids = uids
        self.request, self.length = prepare(size, min(longest, allowed), uids.next())
        self._views: list[memoryview] = []
        self._received = bytearray()

    def begin(self) -> None:
        """Begin the next object."""
        self.request.next(self._uids.next())
        self._views = [memoryview(bytes(self.request.front)), memoryview(self.request.rest)]

    def store(self) -> None:
        """Send an object, and wait for its answer."""
        self.request.next(self._uids.next())
        self.socket.sendall(self.request.front, socket.MSG_MORE if self.request.rest else 0)
        self.socket.sendall(self.request.rest)
        while not self.take():
            pass

    def send(self) -> bool:
        """Send as much as the system takes, and return whether that was all."""
        sent = self.socket.sendmsg(self._views)
        while self._views and sent >= len(self._views[0]):
            sent -= len(self._views.pop(0))
        if self._views:
            self._views[0] = self._views[0][sent:]
        return not self._views

    def take(self) -> bool:
        """Take what has come, and return whether it is the answer."""
        data = self.socket.recv(4096)
        if not data:
            raise BenchmarkFailed("the connection was closed")
        self._received += data
        answer = take_answer(self._received)
        if answer is None:
            return False
        check(answer, self.request.message_id)
        return True


def store(where: Target, count: int, size: int, longest: int, associations: int) -> float:
    """
    Store objects.

    Args:
        where: to whom.
        count: how many.
        size: bytes of pixels of each, about.
        longest: the P-DATA-TFs' length, if the peer allows it.
        associations: how many are used at the same time.

    Returns:
        Bytes of data sets per second.
    """
    uids = ct.UIDs()
    with ExitStack() as stack:
        senders = []
        for _ in range(associations):
            sender = Sender(where, size, longest, uids)
            stack.enter_context(closing(sender.socket))
            senders.append(sender)
        if associations == 1:
            seconds = _one_by_one(senders[0], count)
        else:
            seconds = _at_a_time(senders, count)
        for sender in senders:
            release(sender.socket)
    return count * senders[0].length / seconds


def _one_by_one(sender: Sender, count: int) -> float:
    begin = time.perf_counter()
    for _ in range(count):
        sender.store()
    return time.perf_counter() - begin


def _at_a_time(senders: list[Sender], count: int) -> float:
    with select.epoll() as epoll:
        by_number = {sender.socket.fileno(): sender for sender in senders}
        left = count
        waiting = 0
        begin = time.perf_counter()
        for number, sender in by_number.items():
            sender.socket.setblocking(False)
            if left:
                left -= 1
                waiting += 1
                sender.begin()
                epoll.register(number, select.EPOLLOUT)
        while waiting:
            ready = epoll.poll(TIMEOUT)
            if not ready:
                raise BenchmarkFailed("no answers any more")
            for number, event in ready:
                sender = by_number[number]
                if event & select.EPOLLOUT:
                    if sender.send():
                        epoll.modify(number, select.EPOLLIN)
                elif sender.take():
                    if left:
                        left -= 1
                        sender.begin()
                        epoll.modify(number, select.EPOLLOUT)
                    else:
                        waiting -= 1
                        epoll.unregister(number)
        return time.perf_counter() - begin
