"""The core alone: from the bytes of a C-ECHO-RQ to the bytes of its C-ECHO-RSP."""

from __future__ import annotations

import argparse
import time
from typing import Any, Final

from benchmarks.benchmark import report
from benchmarks.load import C_ECHO_RQ, associate_rq
from benchmarks.server import pin
from pacs_twisted.association import Association, Ending
from pacs_twisted.dimse import Command, Status
from pacs_twisted.dimse.messages import DataSetSink, Discard, Message
from pacs_twisted.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ
from pacs_twisted.services import ApplicationEntity, Verification
from pacs_twisted.uids import IMPLEMENTATION_CLASS_UID
from pacs_twisted.upper_layer.negotiation import Offer, PresentationContext, accept

_REPEATS: Final = 7


class _Transport:
    """Counts what is sent, and forgets it."""

    def __init__(self) -> None:
        self.sent = 0

    def connect(self) -> None: ...

    def send_parts(self, parts: list[bytes | memoryview]) -> None:
        self.send(b"".join(parts))

    def send(self, data: bytes) -> None:
        self.sent += len(data)

    def close(self) -> None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


class _User:
    """Accepts, and answers each C-ECHO with success."""

    association: Association

    def __init__(self) -> None:
        entity = ApplicationEntity("PACS_ECHO", [Verification()])
        self._offer = Offer(entity.supported, IMPLEMENTATION_CLASS_UID, "BENCHMARK", 131072)

    def associate_requested(self, rq: AAssociateRQ) -> None:
        self.association.accept(accept(rq, self._offer))

    def associate_answered(self, answer: AAssociateAC | AAssociateRJ) -> None: ...

    def open_sink(self, context: PresentationContext, command: Command) -> DataSetSink:
        return Discard()

    def message_received(self, message: Message) -> None:
        command: Any = message.command
        self.association.send(message.context.context_id, command.respond(Status.SUCCESS))

    def release_requested(self) -> None:
        self.association.respond_release()

    def association_ended(self, ending: Ending) -> None: ...


def established() -> tuple[Association, _Transport]:
    """Return an association that is ready for C-ECHOs, and its transport."""
    transport, user = _Transport(), _User()
    association = Association(transport, transport, user)
    user.association = association
    association.connection_made()
    association.receive_bytes(associate_rq("PACS_ECHO"))
    return association, transport


def measure(count: int) -> float:
    """Return the median of some repeats, in µs per C-ECHO."""
    association, transport = established()
    receive = association.receive_bytes
    times = []
    for _ in range(_REPEATS):
        before, begin = transport.sent, time.perf_counter()
        for _ in range(count):
            receive(C_ECHO_RQ)
        times.append((time.perf_counter() - begin) / count * 1e6)
        if transport.sent - before != 90 * count:
            raise AssertionError("not every C-ECHO was answered")
    return sorted(times)[_REPEATS // 2]


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.core_echo", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.add_argument("--core", type=int, help="the core to run on")
    arguments = parser.parse_args()
    pin(arguments.core)
    report("core_echo", "µs per C-ECHO", measure(arguments.count), {}, arguments.json)


if __name__ == "__main__":
    _main()
