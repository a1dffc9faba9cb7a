"""
Messages from fragments and fragments of messages (PS3.8 annex E).

Bytes go through the reader of PDUs, as in life: what reaches a `MessageReader` are its runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.dimse import DATA_SET, CEchoRQ, Command, CStoreRQ, Status
from pacs_twisted.dimse.messages import (
    MAXIMUM_COMMAND_LENGTH,
    DataSetSink,
    Discard,
    Message,
    MessageReader,
    fragment_message,
)
from pacs_twisted.errors import InvalidPDU, ProtocolError, UnexpectedParameter
from pacs_twisted.pdu import PDV, PDataTF, PDUReader
from pacs_twisted.testing import RecordingSink
from pacs_twisted.upper_layer.negotiation import PresentationContext
from tests.bytes_of import C_ECHO_RQ, p_data_tf, pdv
from tests.requirements import requirement

COMMAND: Final = 0x01
LAST: Final = 0x02

CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION: Final = "1.2.840.10008.1.1"
IMPLICIT: Final = "1.2.840.10008.1.2"
CONTEXTS: Final = {
    1: PresentationContext(1, VERIFICATION, IMPLICIT),
    3: PresentationContext(3, CT_IMAGE, IMPLICIT),
    5: PresentationContext(5, CT_IMAGE, IMPLICIT),
}
STORE: Final = CStoreRQ(7, CT_IMAGE, "1.2.3", command_data_set_type=DATA_SET)
STORE_BYTES: Final = STORE.encode()

even_bytes = st.binary(max_size=300).map(lambda data: data + b"\0" * (len(data) % 2))


class Reading:
    """What came of a stream: its messages, the sinks that were opened, the error that ended it."""

    def __init__(self, maximum_command_length: int = MAXIMUM_COMMAND_LENGTH) -> None:
        self.pdus = PDUReader(maximum_length=0)
        self.reader = MessageReader(CONTEXTS, self.open_sink, maximum_command_length)
        self.messages: list[Message] = []
        self.sinks: list[RecordingSink] = []
        self.opened: list[tuple[PresentationContext, Command]] = []

    def open_sink(self, context: PresentationContext, command: Command) -> DataSetSink:
        self.opened.append((context, command))
        self.sinks.append(RecordingSink())
        return self.sinks[-1]

    def feed(self, *chunks: bytes) -> None:
        """Read the chunks; an error ends it."""
        for chunk in chunks:
            self.pdus.feed(chunk)
            while (pdu := self.pdus.next_pdu()) is not None:
                assert isinstance(pdu, PDataTF)
                message = self.reader.receive(pdu.pdvs)
                if message is not None:
                    self.messages.append(message)

    @property
    def commands(self) -> list[Command]:
        """The commands of the messages."""
        return [message.command for message in self.messages]

    @property
    def data(self) -> list[bytes]:
        """The data sets, in the order in which they began."""
        return [bytes(sink.data) for sink in self.sinks]


def fragments_of(pdus: Iterable[PDataTF]) -> list[PDV]:
    """Return the fragments of some PDUs in order."""
    return [fragment for pdu in pdus for fragment in pdu.pdvs]


def encode(pdus: Iterable[PDataTF]) -> bytes:
    """Return the bytes of some PDUs."""
    return b"".join(pdu.encode() for pdu in pdus)


class SendingTests(SynchronousTestCase):
    """What `fragment_message` makes of a message."""

    @requirement("E3", "G1", "G2", "G3", "G5", "G8", "G9", "G12")
    @given(
        command=even_bytes.filter(bool),
        data_set=st.none() | even_bytes.filter(bool),
        maximum_length=st.integers(8, 64) | st.integers(65, 1000) | st.just(0),
    )
    def test_any_length(self, command: bytes, data_set: bytes | None, maximum_length: int) -> None:
        """Fragments fit the peer, are even and not empty, and end where command and data end."""
        pdus = list(fragment_message(3, command, data_set, maximum_length))
        for pdu in pdus:
            self.assertEqual(len(pdu.pdvs), 1)
            length = int.from_bytes(pdu.encode()[2:6], "big")
            self.assertEqual(length, len(pdu.encode()) - 6)
            if maximum_length:
                self.assertLessEqual(length, maximum_length)
        fragments = fragments_of(pdus)
        for fragment in fragments:
            self.assertEqual(fragment.context_id, 3)
            self.assertEqual(fragment.control & ~(COMMAND | LAST), 0)
            self.assertEqual(len(fragment.fragment) % 2, 0)
            self.assertGreater(len(fragment.fragment), 0)
        controls = [fragment.control for fragment in fragments]
        of_command = [control for control in controls if control & COMMAND]
        of_data = [control for control in controls if not control & COMMAND]
        self.assertEqual(controls, of_command + of_data)
        for part, control, octets in (
            (of_command, COMMAND, command),
            (of_data, 0, data_set),
        ):
            if octets is None:
                self.assertEqual(part, [])
                continue
            self.assertEqual(part, [control] * (len(part) - 1) + [control | LAST])
            sent = [f.fragment for f in fragments if f.control & COMMAND == control]
            self.assertEqual(b"".join(sent), octets)

    @requirement("E3")
    def test_smallest(self) -> None:
        """A peer that takes 8 bytes gets two bytes at a time, 6 being headers."""
        for maximum_length in (8, 9):
            pdus = list(fragment_message(1, b"abcdef", None, maximum_length))
            self.assertEqual(
                fragments_of(pdus),
                [PDV(1, COMMAND, b"ab"), PDV(1, COMMAND, b"cd"), PDV(1, COMMAND | LAST, b"ef")],
            )

    @requirement("G8")
    def test_no_empty_last_fragment(self) -> None:
        """Data that fills its fragments exactly is not followed by an empty one."""
        fragments = fragments_of(fragment_message(1, bytes(10), bytes(20), 16))
        self.assertEqual([len(fragment.fragment) for fragment in fragments], [10, 10, 10])
        self.assertEqual([fragment.control for fragment in fragments], [3, 0, 2])

    @requirement("E2", "G12")
    def test_no_limit(self) -> None:
        """To a peer without a limit PDUs are still of a bounded length."""
        for maximum_length in (0, 0xFFFFFFFF):
            pdus = fragment_message(1, bytes(100), bytes(1_000_000), maximum_length)
            lengths = {len(pdu.encode()) - 6 for pdu in pdus}
            self.assertEqual(max(lengths), 131072)

    def test_vector(self) -> None:
        """A C-ECHO-RQ is the P-DATA-TF that the standard's layouts give."""
        (pdu,) = fragment_message(1, CEchoRQ(1, VERIFICATION).encode(), None, 16384)
        self.assertEqual(pdu.encode(), p_data_tf(pdv(1, 3, C_ECHO_RQ)))


class ReceivingTests(SynchronousTestCase):
    """What `MessageReader` makes of fragments."""

    def check_store(self, *chunks: bytes, data: bytes = b"12345678") -> None:
        """Check that the chunks are one C-STORE-RQ in context 3 with this data set."""
        reading = Reading()
        reading.feed(*chunks)
        self.assertEqual(reading.commands, [STORE])
        self.assertEqual(reading.data, [data])
        self.assertEqual(reading.opened, [(CONTEXTS[3], STORE)])
        self.assertIs(reading.messages[0].context, CONTEXTS[3])
        self.assertIs(reading.messages[0].sink, reading.sinks[0])
        self.assertFalse(reading.reader.inside_message)
        self.assertFalse(reading.sinks[0].abandoned)

    @requirement("G1", "G6", "G7")
    def test_ways_to_cut(self) -> None:
        """A message in one PDU, in two, or with each fragment in its own is the same message."""
        command = [pdv(3, 1, STORE_BYTES[:20]), pdv(3, 3, STORE_BYTES[20:])]
        data = [pdv(3, 0, b"1234"), pdv(3, 0, b"56"), pdv(3, 2, b"78")]
        self.check_store(p_data_tf(*command, *data))
        self.check_store(p_data_tf(*command), p_data_tf(*data))
        self.check_store(p_data_tf(*command, data[0]), p_data_tf(*data[1:]))
        self.check_store(*map(p_data_tf, command + data))
        self.check_store(b"".join(map(p_data_tf, command + data)))

    @requirement("G5")
    def test_odd_fragments(self) -> None:
        """Fragments of odd length are read."""
        self.check_store(
            p_data_tf(pdv(3, 1, STORE_BYTES[:21]), pdv(3, 3, STORE_BYTES[21:])),
            p_data_tf(pdv(3, 0, b"1"), pdv(3, 0, b"234"), pdv(3, 2, b"5678")),
        )

    @requirement("G8")
    def test_empty_fragments(self) -> None:
        """Fragments of no bytes are read, the first and the last ones too."""
        self.check_store(
            p_data_tf(pdv(3, 1, b"")),
            p_data_tf(pdv(3, 1, STORE_BYTES), pdv(3, 1, b"")),
            p_data_tf(pdv(3, 3, b"")),
            p_data_tf(pdv(3, 0, b"")),
            p_data_tf(pdv(3, 0, b"1234"), pdv(3, 0, b""), pdv(3, 0, b"5678")),
            p_data_tf(pdv(3, 2, b"")),
        )
        self.check_store(p_data_tf(pdv(3, 3, STORE_BYTES), pdv(3, 2, b"")), data=b"")

    @requirement("G9")
    def test_control_bits(self) -> None:
        """The upper six bits of the control header say nothing."""
        for bits in (0xFC, 0x80, 0x04):
            self.check_store(
                p_data_tf(
                    pdv(3, bits | 1, STORE_BYTES[:20]),
                    pdv(3, bits | 3, STORE_BYTES[20:]),
                    pdv(3, bits, b"1234"),
                    pdv(3, bits | 2, b"5678"),
                )
            )

    @requirement("A10", "G1", "G2")
    @given(
        data_set=even_bytes.filter(bool),
        maximum_length=st.integers(8, 300),
        cuts=st.lists(st.integers(0, 3000), max_size=20),
    )
    def test_round_trip(self, data_set: bytes, maximum_length: int, cuts: Sequence[int]) -> None:
        """Whatever is sent arrives, in whatever chunks, and what follows it as well."""
        octets = encode(fragment_message(3, STORE_BYTES, data_set, maximum_length))
        octets += encode(fragment_message(1, C_ECHO_RQ, None, maximum_length))
        ends = sorted({min(cut, len(octets)) for cut in cuts} | {0, len(octets)})
        reading = Reading()
        reading.feed(*(octets[start:end] for start, end in pairwise(ends)))
        self.assertEqual(reading.commands, [STORE, CEchoRQ(1, VERIFICATION)])
        self.assertEqual(reading.data, [data_set])

    @requirement("G12")
    def test_data_flows(self) -> None:
        """A data set goes to its sink as it comes, before it and even its PDU are whole."""
        reading = Reading()
        octets = p_data_tf(pdv(3, 3, STORE_BYTES), pdv(3, 2, bytes(1000)))
        reading.feed(octets[:-600])
        self.assertEqual((len(reading.data[0]), reading.messages), (400, []))
        self.assertTrue(reading.reader.inside_message)
        reading.feed(octets[-600:-1])
        self.assertEqual((len(reading.data[0]), reading.messages), (999, []))
        reading.feed(octets[-1:])
        self.assertEqual((len(reading.data[0]), reading.commands), (1000, [STORE]))

    def test_bytes_are_not_kept(self) -> None:
        """A command is read from copies: the buffer it came in may be used again."""
        buffer = bytearray(STORE_BYTES[:20])
        reader = Reading().reader
        reader.receive([PDV(3, COMMAND, memoryview(buffer))])
        buffer[:] = bytes(20)
        reader.receive([PDV(3, COMMAND | LAST, STORE_BYTES[20:])])
        message = reader.receive([PDV(3, LAST, b"")])
        self.assertEqual(message and message.command, STORE)

    def test_no_data_set(self) -> None:
        """A message whose command says so has no data set, and no sink."""
        reading = Reading()
        reading.feed(p_data_tf(pdv(1, 3, C_ECHO_RQ)))
        self.assertEqual(reading.messages, [Message(CONTEXTS[1], CEchoRQ(1, VERIFICATION))])
        self.assertEqual(reading.sinks, [])

    def test_responses(self) -> None:
        """A response is read like a request."""
        response = STORE.respond(Status.SUCCESS)
        reading = Reading()
        reading.feed(encode(fragment_message(5, response.encode(), None, 50)))
        self.assertEqual(reading.commands, [response])

    @requirement("G4")
    def test_one_after_the_other(self) -> None:
        """Messages may follow each other in any contexts, also within one PDU."""
        echo = pdv(1, 3, C_ECHO_RQ)
        store = [pdv(5, 3, STORE_BYTES), pdv(5, 2, b"12")]
        reading = Reading()
        reading.feed(p_data_tf(echo, *store, echo), p_data_tf(*store))
        echo_rq = CEchoRQ(1, VERIFICATION)
        self.assertEqual(reading.commands, [echo_rq, STORE, echo_rq, STORE])

    def test_abandon(self) -> None:
        """A sink hears once that the rest of its data set will not come; a whole one does not."""
        reading = Reading()
        reading.reader.abandon()
        reading.feed(p_data_tf(pdv(3, 3, STORE_BYTES), pdv(3, 2, b"12")))
        reading.feed(p_data_tf(pdv(3, 3, STORE_BYTES), pdv(3, 0, b"34")))
        abandoned: list[bool] = []
        self.patch(reading.sinks[1], "abandon", lambda: abandoned.append(True))
        reading.reader.abandon()
        reading.reader.abandon()
        self.assertEqual(abandoned, [True])
        self.assertFalse(reading.sinks[0].abandoned)

    def test_discard(self) -> None:
        """Data sets that nobody wants are read and forgotten."""
        reader = MessageReader(CONTEXTS, lambda context, command: Discard())
        reader.receive([PDV(3, COMMAND | LAST, STORE_BYTES)])
        self.assertIsNone(reader.receive([PDV(3, 0, b"12")]))
        message = reader.receive([PDV(3, LAST, b"34")])
        self.assertEqual(message and message.command, STORE)
        reader.receive([PDV(3, COMMAND | LAST, STORE_BYTES)])
        reader.abandon()


class ErrorTests(SynchronousTestCase):
    """What breaks the rules of annex E, and the reason of the A-ABORT that it gets."""

    def check(self, error: type[ProtocolError], *pdvs: bytes) -> None:
        """Check that the fragments end in this error, together and each in its own PDU."""
        for chunks in ([p_data_tf(*pdvs)], [p_data_tf(one) for one in pdvs]):
            reading = Reading()
            raised = self.assertRaises(ProtocolError, reading.feed, *chunks)
            self.assertIs(type(raised), error)
            self.assertEqual(reading.messages, [])

    @requirement("G1", "G4")
    def test_order(self) -> None:
        """A fragment that does not follow from the one before is an unexpected parameter (5)."""
        store = pdv(3, 3, STORE_BYTES)
        self.assertEqual(UnexpectedParameter.abort_reason, 5)
        for name, fragments in {
            "data set before any command": [pdv(3, 2, b"12")],
            "data set before its command is complete": [pdv(3, 1, STORE_BYTES), pdv(3, 2, b"12")],
            "command inside a data set": [store, pdv(3, 0, b"12"), pdv(3, 1, STORE_BYTES)],
            "command instead of a data set": [store, store],
            "other message inside a command": [pdv(3, 1, STORE_BYTES[:20]), pdv(1, 3, C_ECHO_RQ)],
            "command goes on in another context": [
                pdv(3, 1, STORE_BYTES[:20]),
                pdv(5, 3, STORE_BYTES[20:]),
            ],
            "other message between command and data set": [store, pdv(1, 3, C_ECHO_RQ)],
            "data set in another context": [store, pdv(5, 2, b"12")],
            "data set goes on in another context": [store, pdv(3, 0, b"12"), pdv(5, 2, b"34")],
        }.items():
            with self.subTest(name):
                self.check(UnexpectedParameter, *fragments)

    def test_data_set_that_nobody_announced(self) -> None:
        """After a message without a data set none may come (5)."""
        reading = Reading()
        chunk = p_data_tf(pdv(1, 3, C_ECHO_RQ), pdv(1, 2, b"12"))
        self.assertRaises(UnexpectedParameter, reading.feed, chunk)
        self.assertEqual(reading.commands, [CEchoRQ(1, VERIFICATION)])

    @requirement("G10")
    def test_unknown_context(self) -> None:
        """A context that was not accepted is an invalid value (6), wherever it stands."""
        self.assertEqual(InvalidPDU.abort_reason, 6)
        store = pdv(3, 3, STORE_BYTES)
        self.check(InvalidPDU, pdv(7, 3, C_ECHO_RQ))
        self.check(InvalidPDU, pdv(255, 2, b"12"))
        self.check(InvalidPDU, pdv(1, 1, C_ECHO_RQ), pdv(7, 3, b""))
        self.check(InvalidPDU, store, pdv(3, 0, b"12"), pdv(7, 2, b"34"))

    @requirement("G14")
    def test_command_cap(self) -> None:
        """A command of the cap's length is read; one byte more is refused, also in fragments."""
        length = len(STORE_BYTES)
        for cut in (0, 1, length // 2, length - 1, length):
            chunks = [
                p_data_tf(pdv(3, 1, STORE_BYTES[:cut])),
                p_data_tf(pdv(3, 3, STORE_BYTES[cut:]), pdv(3, 2, b"12")),
            ]
            reading = Reading(length)
            reading.feed(*chunks)
            self.assertEqual(reading.commands, [STORE])
            self.assertRaises(InvalidPDU, Reading(length - 1).feed, *chunks)
        whole = p_data_tf(pdv(3, 3, STORE_BYTES))
        Reading(length).feed(whole)
        self.assertRaises(InvalidPDU, Reading(length - 1).feed, whole)

    @requirement("G14")
    def test_endless_command(self) -> None:
        """A command without end is refused as soon as it is over the cap, not kept."""
        reading = Reading()
        fragment = p_data_tf(pdv(3, 1, bytes(1024)))
        reading.feed(*[fragment] * 64)
        self.assertRaises(InvalidPDU, reading.feed, fragment)

    @requirement("G14")
    def test_cap_is_a_message_long(self) -> None:
        """The cap counts one command, not all of them."""
        reading = Reading(len(STORE_BYTES))
        command = [pdv(3, 1, STORE_BYTES[:30]), pdv(3, 3, STORE_BYTES[30:]), pdv(3, 2, b"12")]
        reading.feed(*[p_data_tf(*command)] * 5)
        self.assertEqual(reading.commands, [STORE] * 5)

    def test_malformed_command(self) -> None:
        """A command that cannot be read is an invalid value (6), an empty one too."""
        self.check(InvalidPDU, pdv(1, 3, b""))
        self.check(InvalidPDU, pdv(1, 3, C_ECHO_RQ[:-1]))
        self.check(InvalidPDU, pdv(1, 1, b"\xff" * 20), pdv(1, 3, b""))
