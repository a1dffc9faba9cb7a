"""
What a server on a hospital's network must withstand, under a virtual clock.

Each class holds one demand: one peer does its worst, the server keeps within its bounds, and
everybody else is served. What needs real sockets stands in tests/process/test_hardening.py.
"""

from __future__ import annotations

import gc
from struct import pack
from types import FunctionType, ModuleType
from typing import Any

from twisted.logger import LogLevel, eventAsText

from pacs_twisted.admission import AdmissionPolicy, Limits
from pacs_twisted.net import AcceptorFactory, Timeouts
from tests.bytes_of import item, p_data_tf, pdu, pdv
from tests.net.memory import (
    ABORT,
    AC,
    RELEASE_RP,
    RELEASE_RQ,
    MemoryReactor,
    MemorySocket,
    Peer,
    ServerCase,
    abort_by_provider,
    associate_rq,
    echo_command,
    echo_rq,
    read_responses,
    window,
)
from tests.requirements import requirement

WITHOUT_WORD = b""
GIGANTIC = b"\xff\xff\xff\xff"
STEP = 0.5


def size_of(connection: Any) -> int:
    """Return how many bytes of buffers can be reached from a connection that is over."""
    seen: set[int] = set()
    total, rest = 0, [connection]
    while rest:
        each = rest.pop()
        if id(each) in seen or isinstance(each, type | ModuleType | FunctionType | ServerCase):
            continue
        seen.add(id(each))
        if isinstance(each, memoryview):
            each = each.obj
        if isinstance(each, bytes | bytearray):
            total += len(each)
        elif isinstance(each, AcceptorFactory | MemorySocket | MemoryReactor):
            continue
        else:
            rest += gc.get_referents(each)
    return total


class HardeningCase(ServerCase):
    """A server with somebody on it who must not notice anything."""

    bystander: Peer

    def make_factory(self, **options: Any) -> Any:
        """Make another server; the somebody is on that."""
        if hasattr(self, "bystander"):
            self.bystander.close()
        factory = super().make_factory(**options)
        self.bystander = self.associated()
        return factory

    def assert_served(self) -> None:
        """Assert that the bystander is served."""
        self.assertEqual(self.bystander.echo(), [(1, 0)])

    def wait(self, seconds: float) -> None:
        """Let time pass in which the bystander does not fall idle."""
        end = self.reactor.seconds() + seconds
        while self.reactor.seconds() < end:
            self.reactor.wait(min(STEP, end - self.reactor.seconds()), STEP)
            self.assert_served()

    def assert_gone(self, peer: Peer) -> None:
        """Assert that a peer has left nothing, and that the bystander is served."""
        self.assertTrue(peer.is_closed)
        self.assertEqual(len(self.factory.connections), 1)
        self.assertEqual(self.factory.association_count, 1)
        self.assert_served()
        self.bystander.close()
        self.assert_nothing_left()


class ClaimTests(HardeningCase):
    """Demand 2: nothing by a claimed length."""

    def assert_refused(self, data: bytes, answer: bytes, *, associated: bool = True) -> None:
        """Assert that bytes are refused as soon as the last of them is there."""
        peer = self.associated() if associated else self.connect()
        peer.send(data[:-1])
        self.assertEqual(peer.take(), b"")
        peer.send(data[-1:])
        self.assertEqual((peer.take(), peer.state), (answer, "Sta13"))
        self.assertEqual(peer.connection.association.reader.held, 0)
        peer.send(bytes(100_000))
        self.assertEqual((peer.take(), peer.connection.association.reader.held), (b"", 0))
        peer.close()
        self.assertTrue(peer.is_closed)

    @requirement("B8")
    def test_four_gigabytes(self) -> None:
        """A claim of 4 GiB is refused by the sixth byte, whatever the PDU, before and after."""
        for pdu_type in range(1, 8):
            header = bytes((pdu_type, 0)) + GIGANTIC
            self.assert_refused(header, ABORT, associated=False)
            self.assert_refused(header, abort_by_provider(6))

    @requirement("B9")
    def test_type(self) -> None:
        """What is no PDU is refused by its first byte."""
        for first in b"\x00\x08GH\x16\xff":
            peer = self.connect()
            peer.send(bytes((first,)))
            self.assertEqual((peer.take(), peer.state), (ABORT, "Sta13"))
            peer.close()
            peer = self.associated()
            peer.send(bytes((first,)))
            self.assertEqual(peer.take(), abort_by_provider(1))
            peer.close()

    @requirement("B8", "E4")
    def test_announced_maximum(self) -> None:
        """A P-DATA-TF is held to the maximum that was announced, an A-ASSOCIATE to its cap."""
        self.make_factory(maximum_length=4096, maximum_associate_length=10_000)
        self.assert_refused(b"\x04\x00" + pack(">L", 4097), abort_by_provider(6))
        self.assert_refused(b"\x01\x00" + pack(">L", 10_001), ABORT, associated=False)
        peer = self.associated()
        peer.send(pdu(0x04, pdv(1, 0x03, b"", 4092)[:6], 4096))
        self.assertEqual((peer.take(), peer.state), (b"", "Sta6"))

    def test_pdv(self) -> None:
        """A fragment that claims more than its PDU has is refused by its header."""
        for length in (0, 1, 3, 0x7FFFFFFF, 0xFFFFFFFF):
            self.assert_refused(
                b"\x04\x00" + pack(">L", 6) + pack(">LBB", length, 1, 3), abort_by_provider(6)
            )

    @requirement("G14")
    def test_endless_command(self) -> None:
        """A command without end is aborted at its cap."""
        self.make_factory(maximum_command_length=1000)
        peer = self.associated()
        for _ in range(10):
            peer.send(p_data_tf(pdv(1, 0x01, bytes(100))))
        self.assertEqual((peer.take(), peer.state), (b"", "Sta6"))
        peer.send(p_data_tf(pdv(1, 0x01, bytes(2))))
        self.assertEqual((peer.take(), peer.state), (abort_by_provider(6), "Sta13"))
        peer.close()
        self.assert_gone(peer)

    @requirement("G12")
    def test_endless_data_set(self) -> None:
        """A data set that nobody wants is read and forgotten, whatever its size."""
        peer = self.associated()
        store = bytearray(echo_command(1))
        store[-2:] = b"\x00\x00"  # a data set follows
        peer.send(p_data_tf(pdv(1, 0x03, bytes(store))))
        block = p_data_tf(pdv(1, 0x00, bytes(60_000)))
        for _ in range(200):
            peer.send(block)
            self.assertEqual(peer.connection.association.reader.held, 0)
        peer.send(p_data_tf(pdv(1, 0x02, b"")))
        self.assertEqual(peer.responses(), [(1, 0)])

    def test_claims_add_up_to_nothing(self) -> None:
        """Many who claim a megabyte and send little keep little."""
        for _ in range(200):
            self.connect().send(b"\x01\x00" + pack(">L", 1 << 20) + bytes(100))
        factory: Any = self.factory
        self.assertEqual(factory._held_in_all, 200 * 100)


class WriteTests(HardeningCase):
    """Demand 3: a peer that sends requests and never reads."""

    requests = 300_000
    at_once = 3000

    def flood(self, peer: Peer, data: bytes) -> int:
        """Offer requests for as long as the server takes them; return how many bytes it took."""
        sent = 0
        while not peer.socket.arrived and sent < self.requests * len(echo_rq()):
            peer.send(data)
            sent += len(data)
        return sent - len(peer.socket.arrived)

    def waiting(self, peer: Peer) -> int:
        """Return how many bytes the server keeps for a peer."""
        transport: Any = peer.transport
        outgoing: Any = peer.connection.outgoing
        pieces = sum(map(len, getattr(outgoing, "_pieces", ())))
        return len(transport.dataBuffer) + int(transport._tempDataLen) + pieces

    def assert_held_and_dropped(self, peer: Peer, most: int) -> None:
        """Assert that the server stops reading, keeps little, and ends it by the send timer."""
        peer.socket.room = 50_000  # what its kernel takes
        taken = self.flood(peer, echo_rq() * self.at_once)
        self.assertLess(taken, 2 << 20)
        self.assertLess(self.waiting(peer), most)
        self.wait(29)
        self.assertFalse(peer.is_closed)
        self.wait(1.5)
        self.assertTrue(peer.socket.was_reset)
        self.assertEqual([event["timer"] for event in self.events("aborted")], ["send"])
        self.assert_gone(peer)

    @requirement("G13")
    def test_never_reads(self) -> None:
        """It is read no further, its answers are bounded, and the send timer drops it."""
        self.assert_held_and_dropped(self.associated(), 1 << 20)

    def test_never_reads_wrapped(self) -> None:
        """The same where the transport is not Twisted's own for TCP."""
        self.assert_held_and_dropped(self.associated(wrapped=True), 1 << 20)

    def test_never_reads_tiny(self) -> None:
        """Also when its maximum length of 8 makes our answers seven times its requests."""
        self.assert_held_and_dropped(self.associated(associate_rq(maximum_length=8)), 2 << 20)

    @requirement("G11")
    def test_reads_on(self) -> None:
        """If it reads on, every one of its requests has its answer, in order."""
        for wrapped in False, True:
            peer = self.associated(wrapped=wrapped)
            count = 20_000
            peer.socket.room = 50_000
            peer.send(*(echo_rq(number) for number in range(count)))
            self.assertTrue(peer.connection.outgoing.waiting)
            self.assertNotIn(peer.transport, self.reactor.readers)
            responses: list[tuple[int, int]] = []
            while len(responses) < count:
                before = len(responses)
                peer.read(90 * 4000)
                responses += read_responses(peer.pdus())
                self.assertGreater(len(responses), before)
                self.reactor.advance(10)
            self.assertEqual(responses, [(number, 0) for number in range(count)])
            peer.read()
            peer.send(RELEASE_RQ)
            self.assertEqual(peer.take(), RELEASE_RP)
            peer.close()

    def test_reads_slowly(self) -> None:
        """The send timer runs from the last time that it took something."""
        peer = self.associated()
        peer.stop_reading()
        peer.send(echo_rq() * 5000)
        for _ in range(6):
            self.wait(25)
            peer.read(70_000)
            self.assertFalse(peer.is_closed)
        self.wait(30)
        self.assertTrue(peer.is_closed)

    def test_abort_meanwhile(self) -> None:
        """What it sent before it stopped reading may be an abort: that is read when it reads on."""
        peer = self.associated()
        peer.stop_reading()
        peer.send(echo_rq() * 5000, ABORT)
        self.assertFalse(peer.is_closed)
        peer.read()
        self.assertTrue(peer.is_closed)
        self.assert_gone(peer)

    def test_reset_meanwhile(self) -> None:
        """A reset while it is not read is noticed at once: there is something to write."""
        peer = self.associated()
        peer.stop_reading()
        peer.send(echo_rq() * 5000)
        peer.reset()
        self.assert_gone(peer)

    def test_release_meanwhile(self) -> None:
        """A release that it sent behind its requests comes last, when it reads on."""
        peer = self.associated()
        peer.stop_reading()
        peer.send(echo_rq() * 5000, RELEASE_RQ)
        peer.read()
        *responses, last = peer.pdus()
        self.assertEqual((len(responses), last), (5000, RELEASE_RP))

    @requirement("E3", "J5")
    def test_tiny_maximum(self) -> None:
        """A maximum length of 8: pipelined requests have their answers, in PDUs of 8 bytes."""
        peer = self.associated(associate_rq(maximum_length=8))
        peer.send(*(echo_rq(number) for number in range(300)))
        pdus = peer.pdus()
        self.assertEqual({len(each) for each in pdus}, {14})
        self.assertEqual(read_responses(pdus), [(number, 0) for number in range(300)])

    def test_tiny_maximum_takes_turns(self) -> None:
        """One turn of the reactor does not answer a quarter of a megabyte in pieces of 2 bytes."""
        peer = self.associated(associate_rq(maximum_length=8))
        peer.send(echo_rq() * 20_000)
        self.assertLessEqual(max(peer.socket.reads), 32768)

    def test_close_with_bytes_waiting(self) -> None:
        """The end of an association whose peer does not read is bounded, too."""
        peer = self.associated()
        peer.stop_reading()
        peer.send(echo_rq() * 5000)
        peer.connection.association.abort()
        self.wait(31)
        self.assertTrue(peer.is_closed)
        self.assert_gone(peer)


class TimerTests(HardeningCase):
    """Demand 5: timers that single bytes do not wind up."""

    @requirement("A3")
    def test_silent(self) -> None:
        """A silent peer is closed by ARTIM, without a word."""
        for data in (b"", b"\x01", b"\x01\x00\x00", associate_rq()[:-1]):
            peer = self.connect()
            peer.send(data)
            self.wait(29.5)
            self.assertFalse(peer.is_closed)
            self.wait(0.5)
            self.assertEqual((peer.is_closed, peer.take()), (True, b""))
        self.assert_gone(peer)

    @requirement("A11")
    def test_byte_by_byte(self) -> None:
        """An A-ASSOCIATE-RQ that comes byte by byte does not extend ARTIM."""
        peer = self.connect()
        for byte in associate_rq():
            if peer.is_closed:
                break
            peer.send(bytes((byte,)))
            self.wait(1)
        self.assertEqual(self.reactor.seconds(), 30)
        self.assertEqual(peer.take(), b"")
        self.assert_gone(peer)

    def test_stalled_pdu(self) -> None:
        """A P-DATA-TF that stalls is ended by the PDU timer, wherever it stalls."""
        for stalled in (1, 5, 6, 8, 12, 13, 40, 79):
            peer = self.associated()
            peer.send(echo_rq()[:stalled])
            self.wait(29.5)
            self.assertEqual((peer.take(), peer.state), (b"", "Sta6"))
            self.wait(0.5)
            self.assertEqual((peer.take(), peer.state), (ABORT, "Sta13"))
            peer.close()
        self.assertEqual({event["timer"] for event in self.events("aborted")}, {"pdu"})

    def test_dripped_pdu(self) -> None:
        """One that comes byte by byte is ended by it as well."""
        peer = self.associated()
        start = self.reactor.seconds()
        for byte in echo_rq():
            if peer.state != "Sta6":
                break
            peer.send(bytes((byte,)))
            self.wait(1)
        self.assertEqual(self.reactor.seconds() - start, 30)
        self.assertEqual(peer.take(), ABORT)

    def test_dripped_long_pdu(self) -> None:
        """A long one may take longer, as long as it comes at the least rate; then it may not."""
        peer = self.associated()
        command = bytearray(echo_command(1))
        command[-2:] = b"\x00\x00"
        peer.send(p_data_tf(pdv(1, 0x03, bytes(command))))
        peer.send(pdu(0x04, pdv(1, 0x02, b"", 130_002)[:6], 130_006))
        for _ in range(120):
            peer.send(bytes(1040))
            self.wait(1)
            self.assertEqual(peer.state, "Sta6")
        for _ in range(60):
            if peer.state != "Sta6":
                break
            peer.send(bytes(20))
            self.wait(1)
        self.assertEqual(peer.take(), ABORT)

    def test_dripped_pdus(self) -> None:
        """The timer of a PDU is its own: many that take long, one after the other, are no fault."""
        peer = self.associated()
        for _ in range(5):
            peer.drip(echo_rq()[:40], 0.5)
            peer.send(echo_rq()[40:])
            self.assertEqual(peer.responses(), [(1, 0)])

    def test_idle(self) -> None:
        """The idle timer runs from the last complete PDU."""
        peer = self.associated()
        self.wait(20)
        self.assertEqual(peer.echo(), [(1, 0)])
        self.wait(29.5)
        self.assertEqual(peer.state, "Sta6")
        self.wait(0.5)
        self.assertEqual((peer.take(), peer.state), (ABORT, "Sta13"))
        self.assertEqual([event["timer"] for event in self.events("aborted")], ["idle"])

    def test_empty_fragments(self) -> None:
        """Whole PDUs without anything in them are traffic, but cost nothing."""
        peer = self.associated()
        for _ in range(100):
            peer.send(p_data_tf(pdv(1, 0x01, b"")) * 100)
        self.assertEqual(peer.state, "Sta6")
        self.wait(30)
        self.assertEqual(peer.take(), ABORT)

    def test_chatty_end(self) -> None:
        """After the end ARTIM runs on, however much the peer still says."""
        for end in (RELEASE_RQ, b"?"):
            peer = self.associated()
            peer.send(end)
            for _ in range(29):
                peer.send(echo_rq() * 10)
                self.wait(1)
                self.assertFalse(peer.is_closed)
            self.wait(1)
            self.assertTrue(peer.is_closed)
        self.assert_gone(peer)

    def test_flood_after_the_end(self) -> None:
        """After the end only so many bytes are read."""
        for end in (RELEASE_RQ, b"?"):
            peer = self.associated()
            peer.send(end)
            sent = 0
            while not peer.is_closed:
                peer.send(echo_rq() * 10_000)
                sent += 10_000 * len(echo_rq())
                self.assertLess(sent, 20 << 20)
        self.assert_gone(peer)

    def test_pdu_timer_off(self) -> None:
        """Without the PDU timer a PDU has all the time; when it is whole the idle timer runs."""
        self.make_factory(timeouts=Timeouts(pdu=0))
        peer = self.associated()
        self.wait(29)
        peer.send(echo_rq()[:20])
        self.wait(300)
        peer.send(echo_rq()[20:])
        self.assertEqual(peer.responses(), [(1, 0)])
        self.wait(29.5)
        self.assertEqual(peer.state, "Sta6")
        self.wait(30)
        self.assertEqual(peer.take(), ABORT)

    def test_long_pdu_timer(self) -> None:
        """A PDU timer longer than the idle timer does not make that late."""
        self.make_factory(timeouts=Timeouts(idle=10, pdu=300))
        peer = self.associated()
        self.wait(9)
        peer.send(echo_rq()[:20])
        self.wait(3)
        peer.send(echo_rq()[20:])
        self.wait(21)
        self.assertEqual(peer.state, "Sta13")

    def test_idle_timer_off(self) -> None:
        """Without the idle timer an association may be silent, but a PDU may not stall."""
        self.make_factory(timeouts=Timeouts(idle=0, pdu=5))
        peer = self.associated()
        self.wait(120)
        self.assertEqual(peer.echo(), [(1, 0)])
        peer.send(echo_rq()[:20])
        self.wait(5)
        self.assertEqual(peer.state, "Sta13")

    def test_all_off(self) -> None:
        """0 is off, for each timer."""
        self.make_factory(timeouts=Timeouts(0, 0, 0, 0, 0, 0, 0))
        silent, stalled, unread = self.connect(), self.associated(), self.associated()
        stalled.send(echo_rq()[:20])
        unread.stop_reading()
        unread.send(echo_rq() * 5000)
        self.reactor.wait(100_000, 1000)
        self.assertEqual(
            [peer.is_closed for peer in (silent, stalled, unread)], [False, False, False]
        )
        for peer in (silent, stalled, unread):
            peer.reset()
        self.assert_gone(peer)


class SuspensionTests(ServerCase):
    """The idle and PDU timers do not run while the server itself is what is waited for."""

    def setUp(self) -> None:
        super().setUp()
        from tests.net.test_operations import Service

        self.service = Service()
        self.make_factory(services=[self.service])

    def finish(self, message_id: int) -> None:
        """Let the service answer."""
        from pacs_twisted.dimse import Status

        self.service.finish(message_id, Status.SUCCESS)
        self.reactor.run()

    def test_idle(self) -> None:
        """While an answer is owed a peer is not idle; it may be from the answer on."""
        peer = self.associated()
        peer.send(echo_rq())
        self.reactor.wait(200)
        self.finish(1)
        self.assertEqual(peer.responses(), [(1, 0)])
        self.reactor.wait(29)
        self.assertEqual(peer.state, "Sta6")
        self.reactor.wait(1)
        self.assertEqual(peer.take(), ABORT)

    def test_reading_paused(self) -> None:
        """A PDU whose rest we did not read has its time when we read again."""
        peer = self.associated()
        stream = b"".join(map(echo_rq, range(70)))
        peer.send(stream + echo_rq(99)[:20])
        self.reactor.wait(100)
        from pacs_twisted.dimse import Status

        self.service.answer = lambda *_: Status.SUCCESS
        self.finish(0)
        self.assertEqual(len(peer.responses()), 70)
        self.reactor.wait(20)
        self.assertEqual((peer.take(), peer.state), (b"", "Sta6"))
        peer.send(echo_rq(99)[20:])
        self.assertEqual(peer.responses(), [(99, 0)])

    def test_reading_paused_then_stalled(self) -> None:
        """But no more than its time."""
        self.make_factory(services=[self.service], timeouts=Timeouts(idle=0, pdu=30))
        peer = self.associated()
        peer.send(b"".join(map(echo_rq, range(70))) + echo_rq(99)[:20])
        self.reactor.wait(100)
        from pacs_twisted.dimse import Status

        self.service.answer = lambda *_: Status.SUCCESS
        self.finish(0)
        peer.take()
        self.reactor.wait(31)
        self.assertEqual((peer.take(), peer.state), (ABORT, "Sta13"))

    def test_answer_owed_then_stalled(self) -> None:
        """A PDU that began while an answer was owed, and does not go on, is ended after that."""
        self.make_factory(services=[self.service], timeouts=Timeouts(idle=0, pdu=30))
        peer = self.associated()
        peer.send(echo_rq(1), echo_rq(2)[:20])
        self.reactor.wait(100)
        self.assertEqual(peer.state, "Sta6")
        self.finish(1)
        peer.take()
        self.reactor.wait(31)
        self.assertEqual((peer.take(), peer.state), (ABORT, "Sta13"))


class EndTests(HardeningCase):
    """Demand 6: every end gives everything back at once."""

    def test_ends(self) -> None:
        """Whatever the end, in whatever state, nothing is left the moment the connection is."""
        begins = {
            "connected": lambda peer: None,
            "half a header": lambda peer: peer.send(b"\x01\x00\x00"),
            "half a request": lambda peer: peer.send(associate_rq()[:90]),
            "rejected": lambda peer: peer.send(associate_rq(version=2)),
            "associated": lambda peer: peer.send(associate_rq()),
            "half a message": lambda peer: peer.send(associate_rq(), echo_rq()[:30]),
            "not reading": lambda peer: (
                peer.send(associate_rq()),
                peer.stop_reading(),
                peer.send(echo_rq() * 4000),
            ),
            "released": lambda peer: peer.send(associate_rq(), RELEASE_RQ),
            "aborted": lambda peer: peer.send(associate_rq(), b"?"),
        }
        ends = {
            "FIN": lambda peer: peer.close(),
            "RST": lambda peer: peer.reset(),
            "FIN behind bytes": lambda peer: peer.send(echo_rq()[:7]) or peer.close(),
        }
        self.bystander.close()
        for begin, prepare in begins.items():
            for end, finish in ends.items():
                for wrapped in False, True:
                    if begin == "not reading" and end != "RST":
                        continue  # a FIN waits behind what is not read, until it reads or send
                    peer = self.connect(wrapped=wrapped)
                    prepare(peer)
                    finish(peer)
                    self.assertTrue(peer.is_closed, (begin, end))
                    self.assert_nothing_left()

    def test_buffers(self) -> None:
        """What was half-received, or waits to be sent, is dropped with the connection."""
        half, unread = self.connect(), self.associated()
        half.send(b"\x01\x00" + pack(">L", 1 << 20) + bytes(1 << 19))
        self.assertEqual(half.connection.association.reader.held, 1 << 19)
        command = self.associated()
        command.send(p_data_tf(pdv(1, 0x01, bytes(60_000))), echo_rq()[:5])
        unread.stop_reading()
        unread.send(echo_rq() * 2000)
        peers = half, command, unread
        for peer in peers:
            peer.reset()
        for peer in peers:
            self.assertLess(size_of(peer.connection), 100_000)  # Twisted keeps a piece

    def test_half_open(self) -> None:
        """A peer that closes its half has no more to say: the connection is closed."""
        peer = self.associated()
        peer.send(echo_rq())
        peer.close()
        self.assertEqual(peer.responses(), [(1, 0)])
        self.assert_gone(peer)

    def test_vanished(self) -> None:
        """One that is just gone, without FIN or RST, is ended by a timer in any state."""
        peers = [self.connect(), self.associated(), self.associated(), self.associated()]
        peers[1].send(RELEASE_RQ)
        peers[2].send(echo_rq()[:9])
        for peer in peers:
            peer.stop_reading()
        self.wait(30 + 30 + 5)
        for peer in peers:
            self.assertTrue(peer.is_closed)
        self.assert_gone(peer)


class FaultTests(HardeningCase):
    """Demand 8: a fault ends one association."""

    def test_anywhere(self) -> None:
        """An exception in any callback of a connection ends that, loudly, and no other."""

        class BugError(Exception):
            pass

        def broken(*_: object) -> None:
            raise BugError

        names = (
            "associate_requested",
            "open_sink",
            "message_received",
            "release_requested",
            "association_ended",
            "held_changed",
            "respond",
            "owes_answer",
        )
        for name in names:
            for wrapped in False, True:
                peer = self.connect(wrapped=wrapped)
                connection: Any = peer.connection
                setattr(connection, name, broken)
                store = bytearray(echo_command(1))
                store[-2:] = b"\x00\x00"
                peer.send(associate_rq()[:100])
                peer.send(associate_rq()[100:], echo_rq())
                peer.send(p_data_tf(pdv(1, 0x03, bytes(store))) + p_data_tf(pdv(1, 2, b"")))
                peer.send(RELEASE_RQ)
                self.assertGreaterEqual(len(self.flushLoggedErrors(BugError)), 1, name)
                if not peer.is_closed:
                    self.reactor.wait(5)
                self.assertTrue(peer.is_closed, name)
                self.flushLoggedErrors(BugError)
                self.assert_served()
                self.assertEqual(self.factory.association_count, 1, name)
                self.assertEqual(len(self.factory.connections), 1, name)
        self.bystander.close()
        self.assert_nothing_left()


class NegotiatedTests(HardeningCase):
    """Demands 10 and 11: tolerant where the standard is, and only what was negotiated."""

    @requirement("B1", "B2", "G9")
    def test_tolerant(self) -> None:
        """Unknown items, reserved bytes, control bits, fragments of any size: all is well."""
        rq = bytearray(associate_rq(user_items=item(0x5F, b"\xff" * 9) + item(0x60, b"")))
        rq[1] = rq[8] = rq[9] = 0xFF
        peer = self.associated(bytes(rq))
        command_set = echo_command(9)
        pieces = [command_set[n : n + 1] for n in range(len(command_set))]
        pdvs = [pdv(1, 0xFD & ~0x02, piece) for piece in pieces[:-1]]
        peer.send(p_data_tf(*pdvs), p_data_tf(pdv(1, 0xFF, pieces[-1])))
        self.assertEqual(peer.responses(), [(9, 0)])

    @requirement("G10")
    def test_contexts(self) -> None:
        """A context that is even, unknown or refused is an error."""
        refused = item(
            0x20, b"\x03\0\0\0" + item(0x30, b"1.2.3") + item(0x40, b"1.2.840.10008.1.2")
        )
        from tests.bytes_of import VERIFICATION_CONTEXT

        for context_id in (0, 2, 3, 5, 255):
            peer = self.associated(associate_rq(contexts=VERIFICATION_CONTEXT + refused))
            peer.send(p_data_tf(pdv(context_id, 0x03, echo_command(1))))
            self.assertEqual(peer.take(), abort_by_provider(6), context_id)

    @requirement("G1", "G4")
    def test_fragments(self) -> None:
        """A data set before its command, a command inside a data set, two messages in one."""
        from tests.bytes_of import IMPLICIT_ITEM, VERIFICATION_ITEM, proposed_context

        contexts = b"".join(
            proposed_context(number, VERIFICATION_ITEM, IMPLICIT_ITEM) for number in (1, 3)
        )
        half = p_data_tf(pdv(1, 0x01, echo_command(1)[:10]))
        with_data = bytearray(echo_command(1))
        with_data[-2:] = b"\x00\x00"
        whole = p_data_tf(pdv(1, 0x03, bytes(with_data)))
        for data in (
            p_data_tf(pdv(1, 0x02, b"data")),
            half + p_data_tf(pdv(1, 0x00, b"data")),
            whole + p_data_tf(pdv(1, 0x01, b"command")),
            half + p_data_tf(pdv(3, 0x03, echo_command(2))),
            whole + p_data_tf(pdv(3, 0x02, b"data")),
        ):
            peer = self.associated(associate_rq(contexts=contexts))
            peer.send(data)
            self.assertEqual(peer.take(), abort_by_provider(5))


class LogTests(HardeningCase):
    """Demand 12: one event, one line; nothing forged, nothing secret, not without bound."""

    def assert_clean(self, level: LogLevel = LogLevel.debug) -> list[str]:
        """Return the lines, each of which is one, and printable."""
        lines = self.lines(level)
        for line in lines:
            self.assertTrue(line.isascii() and line.isprintable(), line)
            self.assertLess(len(line), 1000)
        return lines

    def test_escaped(self) -> None:
        """Whatever a peer puts into its titles, UIDs and names, a line is a line."""
        evil = b"A\n2026 info: all is well \x1b[2J\x00\x07\xff%s{0}{peer}"
        self.make_factory(debug=True)
        for rq in (
            associate_rq(evil[:16]),
            associate_rq(called=evil[:16]),
            associate_rq(b"{calling}", b"{called!r}"),
            associate_rq(b"%(x)s", b"%s%n"),
            associate_rq(application_context=item(0x10, evil)),
            associate_rq(contexts=item(0x20, b"\x01\0\0\0" + item(0x30, evil) + item(0x40, evil))),
            associate_rq(user_items=item(0x55, evil)),
            associate_rq(user_items=item(0x54, pack(">H", 9) + evil[:9] + b"\1\1")),
        ):
            peer = self.connect()
            peer.send(rq, echo_rq(), p_data_tf(pdv(1, 3, echo_command(1, sop_class=evil + b"\0"))))
            peer.close()
        self.assert_clean()

    def test_no_secret(self) -> None:
        """No passcode, user name or token, whatever the level."""
        self.make_factory(debug=True)
        for kind in range(1, 6):
            identity = b"\x01" + pack(">H", 6) + b"jdoe77" + pack(">H", 8) + b"geheim99"
            peer = self.associated(associate_rq(user_items=item(0x58, bytes((kind,)) + identity)))
            peer.send(RELEASE_RQ)
            peer.close()
        everything = "".join(map(eventAsText, self.log)) + repr(self.log)
        for secret in ("geheim99", "jdoe77"):
            self.assertNotIn(secret, everything)

    def test_bounded(self) -> None:
        """Whatever a peer does on a connection, its lines above debug can be counted."""
        response = bytearray(echo_command(1))
        response[response.index(b"\x30\x00", 30) : response.index(b"\x30\x00", 30) + 2] = (
            b"\x30\x80"
        )
        streams = (
            echo_rq() * 3000,
            p_data_tf(pdv(1, 0x03, echo_command(1, sop_class=b"1.2.3\0"))) * 1000,
            p_data_tf(pdv(1, 0x03, echo_command(1, sop_class=b"\xff\xff"))) * 1000,
            p_data_tf(pdv(1, 0x03, bytes(response))) * 1000,
            RELEASE_RQ * 1000,
            associate_rq() * 1000,
            RELEASE_RQ + associate_rq() * 1000,
            b"GET / HTTP/1.1\r\n" * 1000,
            ABORT * 1000,
            (RELEASE_RQ + ABORT) * 1000,
        )
        for stream in streams:
            self.forget_log()
            peer = self.associated()
            peer.send(stream)
            peer.close()
            self.assertLess(len(self.assert_clean(LogLevel.info)), 6)

    def test_bounded_contexts(self) -> None:
        """128 refused contexts are one line."""
        syntaxes = item(0x40, b"1.2.840.10008.1.2.4.50")
        contexts = b"".join(
            item(0x20, bytes((n, 0, 0, 0)) + item(0x30, b"1.2.3.%d" % n) + syntaxes)
            for n in range(1, 256, 2)
        )
        self.forget_log()
        peer = self.associated(associate_rq(contexts=contexts))
        self.assertEqual(len(self.assert_clean(LogLevel.info)), 2)
        self.assertIn("and 125 more", self.lines()[1])
        peer.close()

    def test_silent(self) -> None:
        """A health check, a connection without a word, is no line at info."""
        self.forget_log()
        for _ in range(100):
            self.connect().close()
        self.assertEqual(self.lines(), [])

    def test_stray(self) -> None:
        """A client of HTTP or TLS is one line that says so."""
        for data, word in ((b"GET / HTTP/1.1\r\n\r\n", "HTTP"), (b"\x16\x03\x01\x02\x00", "TLS")):
            self.forget_log()
            peer = self.connect()
            peer.send(data)
            peer.close()
            [line] = self.assert_clean(LogLevel.info)
            self.assertIn(word, line)


class AccessTests(HardeningCase):
    """Demands 7 and 13 at the door; their rules are tested in tests/test_admission.py."""

    def test_flood(self) -> None:
        """Thousands who ask for more than there is: each hears 2/3/2, who is there goes on."""
        self.make_factory(admission=AdmissionPolicy(limits=Limits(associations=3)))
        peers = [self.connect() for _ in range(2)]
        for peer in peers:
            self.assertEqual(peer.associate()[0], AC)
        for _ in range(500):
            refused = self.connect()
            self.assertEqual(refused.associate()[6:], b"\x00\x02\x03\x02")
            refused.close()
        self.assert_served()
        self.assertEqual(peers[0].echo(), [(1, 0)])
        peers[0].close()
        self.assertEqual(self.associated(associate_rq(user_items=window(3))).echo(), [(1, 0)])
