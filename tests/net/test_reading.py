"""How much is read at a time, and when one read is followed by the next at once."""

from __future__ import annotations

from pacs_twisted.dimse import CStoreRQ, Status
from pacs_twisted.services import RequestContext, Verification
from pacs_twisted.testing import message_pdus
from tests.bytes_of import item
from tests.net.memory import Peer, ServerCase, associate_rq
from tests.net.test_store import CT, DATA, Sink

MIB = 1 << 20
CT_CONTEXT = item(0x20, b"\x01\0\0\0" + item(0x30, CT.encode()) + item(0x40, b"1.2.840.10008.1.2"))


class Keep:
    """A storage service that keeps the data set of each object."""

    sop_classes = {CT: ["1.2.840.10008.1.2"]}  # noqa: RUF012

    def __init__(self) -> None:
        self.sinks: list[Sink] = []
        self.contexts: list[RequestContext] = []
        self.paused = False

    def c_store(self, request: CStoreRQ, context: RequestContext) -> Sink:
        self.sinks.append(Sink())
        self.contexts.append(context)
        if self.paused:
            self.sinks[-1].on_write = context.pause
        return self.sinks[-1]


class ReadingTests(ServerCase):
    """A peer that sends objects, seen at its socket."""

    def setUp(self) -> None:
        super().setUp()
        self.service = Keep()
        self.make_factory(services=[self.service, Verification()])
        self.sender = Peer(self)
        self.sender.associate(associate_rq(contexts=CT_CONTEXT))
        self.sender.socket.reads.clear()

    def objects(self, count: int, data: bytes = DATA) -> bytes:
        """Return the bytes of so many C-STORE-RQs."""
        return b"".join(
            message_pdus(CStoreRQ(number + 1, CT, f"2.25.{number}"), data, maximum_length=131072)
            for number in range(count)
        )

    def test_much(self) -> None:
        """Who sends much is read in large pieces, and again before the reactor's next turn."""
        stream = self.objects(40)
        self.sender.socket.arrived += stream
        self.reactor.turn()
        reads = self.sender.socket.reads
        self.assertEqual(reads[:2], [32768, MIB])
        self.assertGreater(len(stream) - len(self.sender.socket.arrived), MIB)
        self.reactor.run()
        self.assertEqual([sink.data for sink in self.service.sinks], [DATA] * 40)
        self.assertEqual([status for _, status in self.sender.responses()], [0] * 40)

    def test_others_have_their_turn(self) -> None:
        """One turn of the reactor reads no more than two large pieces."""
        self.sender.socket.arrived += self.objects(1, DATA * 80)
        before = len(self.sender.socket.arrived)
        self.reactor.turn()
        self.assertLessEqual(before - len(self.sender.socket.arrived), 2 * MIB + 32768)
        self.reactor.run()
        self.assertEqual(self.sender.responses(), [(1, 0)])

    def test_little(self) -> None:
        """Who sends little is read once a turn, in small pieces."""
        self.sender.send(self.objects(1, b"1234"))
        self.assertEqual(self.sender.socket.reads, [32768])

    def test_pause(self) -> None:
        """A service that is slow stops the reading, within a turn as well."""
        self.service.paused = True
        self.sender.socket.arrived += self.objects(1, DATA * 80)
        self.reactor.run()
        self.assertLess(len(self.service.sinks[0].data), 2 * MIB)
        self.service.sinks[0].on_write = lambda: None
        self.service.contexts[0].resume()
        self.reactor.run()
        self.assertEqual(self.sender.responses(), [(1, Status.SUCCESS)])

    def test_end(self) -> None:
        """The end of a connection is seen, also when it comes right behind the bytes."""
        self.sender.socket.arrived += self.objects(1)[:-1000]
        self.sender.close()
        self.assert_over(self.sender)
        self.assertEqual(self.service.sinks[0].abandoned, 1)
        self.assertEqual(len([event for event in self.events() if "received" in event]), 1)

    def test_reset(self) -> None:
        """So is a reset."""
        self.sender.send(self.objects(1)[:-1000])
        self.sender.reset()
        self.assert_over(self.sender)
        self.assertEqual(self.service.sinks[0].abandoned, 1)
