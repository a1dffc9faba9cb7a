"""P-DATA-TF and its presentation data values (PS3.8 section 9.3.5, annex E)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.errors import InvalidPDU
from pacs_twisted.pdu import PDV, PDataTF, PDUReader
from pacs_twisted.pdu.pdata import PDV_OVERHEAD
from tests import bytes_of
from tests.pdu import strategies
from tests.pdu.reading import Fragments, Reading, read, read_pdu
from tests.requirements import requirement

COMMAND, DATA_SET, LAST = 1, 0, 2


class EncodingTests(SynchronousTestCase):
    """What is sent."""

    def test_vectors(self) -> None:
        """A C-ECHO-RQ and -RSP in one PDU each stand for their bytes, both ways."""
        for vector, fragment in (
            (bytes_of.P_DATA_TF_C_ECHO_RQ, bytes_of.C_ECHO_RQ),
            (bytes_of.P_DATA_TF_C_ECHO_RSP, bytes_of.C_ECHO_RSP),
        ):
            pdu = PDataTF([PDV(1, COMMAND | LAST, fragment)])
            self.assertEqual(pdu.encode(), vector.octets)
            self.assertEqual(read_pdu(vector.octets), pdu)

    def test_several_values(self) -> None:
        """Presentation data values follow each other in one PDU, as bytes or as views."""
        pdu = PDataTF([PDV(1, COMMAND | LAST, b"cc"), PDV(1, DATA_SET, memoryview(b"dddd"))])
        self.assertEqual(
            pdu.encode(),
            b"\x04\x00\x00\x00\x00\x12"  # P-DATA-TF, 18 bytes
            b"\x00\x00\x00\x04\x01\x03cc"  # 4 bytes, context 1, command and last
            b"\x00\x00\x00\x06\x01\x00dddd",  # 6 bytes, context 1, data set
        )

    @given(strategies.p_data_tfs)
    def test_values_survive(self, pdu: PDataTF) -> None:
        """What the fragments say arrives, whatever their number and control headers."""
        reading = read([pdu.encode()])
        self.assertIsNone(reading.error)
        self.assertEqual(reading.completed, 1)
        sent = Reading()
        sent.add(pdu)
        self.assertEqual(reading.found, sent.found)

    def test_overhead(self) -> None:
        """A presentation data value adds six bytes to its fragment, which the maximum covers."""
        self.assertEqual(PDV_OVERHEAD, 6)
        self.assertEqual(len(PDataTF([PDV(1, 0, bytes(100))]).encode()), 6 + PDV_OVERHEAD + 100)

    def test_control_header(self) -> None:
        """Bit 0 tells a command, bit 1 the last fragment."""
        told = [(PDV(1, bits, b"").is_command, PDV(1, bits, b"").is_last) for bits in range(4)]
        self.assertEqual(told, [(False, False), (True, False), (False, True), (True, True)])


class ReceivedTests(SynchronousTestCase):
    """What is taken, and what is not."""

    def refuse(self, body: bytes) -> None:
        """Check that a P-DATA-TF of this body is an invalid PDU."""
        self.assertIsInstance(read([bytes_of.pdu(0x04, body)]).error, InvalidPDU)

    @requirement("G6", "G7")
    def test_whole_message_in_a_pdu(self) -> None:
        """Several fragments of command and data set in one PDU make one message (dcm4che, Odil)."""
        octets = bytes_of.p_data_tf(
            bytes_of.pdv(3, COMMAND, b"co"),
            bytes_of.pdv(3, COMMAND | LAST, b"mmand!"),
            bytes_of.pdv(3, DATA_SET, b"da"),
            bytes_of.pdv(3, DATA_SET | LAST, b"ta"),
        )
        reading = read([octets])
        self.assertEqual(
            reading.found,
            [Fragments(3, COMMAND, b"command!", True), Fragments(3, DATA_SET, b"data", True)],
        )
        self.assertEqual(reading.completed, 1)

    def test_a_run_ends_with_a_last_fragment(self) -> None:
        """Values are handed on up to a last fragment, so that a command is dealt with first."""
        octets = bytes_of.p_data_tf(
            bytes_of.pdv(3, COMMAND | LAST, b"cc"), bytes_of.pdv(3, DATA_SET, b"dd")
        )
        reader = PDUReader()
        reader.feed(octets + octets)
        runs = []
        while (pdu := reader.next_pdu()) is not None:
            assert isinstance(pdu, PDataTF)
            runs.append([bytes(pdv.fragment) for pdv in pdu.pdvs])
        self.assertEqual(runs, [[b"cc"], [b"dd", b"cc"], [b"dd"]])

    def test_part_of_a_fragment_is_not_the_last(self) -> None:
        """A last fragment that came in part ends nothing until it is whole."""
        octets = bytes_of.P_DATA_TF_C_ECHO_RQ.octets
        reader = PDUReader()
        reader.feed(octets[:-1])
        part = reader.next_pdu()
        assert isinstance(part, PDataTF)
        self.assertEqual([pdv.is_last for pdv in part.pdvs], [False])
        self.assertEqual(reader.completed, 0)
        reader.feed(octets[-1:])
        rest = reader.next_pdu()
        assert isinstance(rest, PDataTF)
        self.assertEqual([pdv.is_last for pdv in rest.pdvs], [True])
        self.assertEqual(reader.completed, 1)

    @requirement("G8")
    def test_empty_last_fragment(self) -> None:
        """A last fragment without a byte ends its message (CTN sends such)."""
        octets = bytes_of.p_data_tf(
            bytes_of.pdv(1, DATA_SET, b"data"), bytes_of.pdv(1, DATA_SET | LAST, b"")
        )
        self.assertEqual(read([octets]).found, [Fragments(1, DATA_SET, b"data", True)])
        alone = bytes_of.p_data_tf(bytes_of.pdv(1, DATA_SET | LAST, b""))
        self.assertEqual(read([alone]).found, [Fragments(1, DATA_SET, b"", True)])
        self.assertEqual(read([alone]).completed, 1)

    def test_odd_fragment(self) -> None:
        """A fragment of odd length is read."""
        octets = bytes_of.p_data_tf(bytes_of.pdv(1, DATA_SET | LAST, b"odd"))
        self.assertEqual(read([octets]).found, [Fragments(1, DATA_SET, b"odd", True)])

    @requirement("G9")
    @given(st.integers(0, 63))
    def test_other_bits_of_the_control_header(self, bits: int) -> None:
        """Bits 2 to 7 have no meaning."""
        control = bits << 2 | COMMAND | LAST
        octets = bytes_of.p_data_tf(bytes_of.pdv(1, control, bytes_of.C_ECHO_RQ))
        pdu = read_pdu(octets)
        assert isinstance(pdu, PDataTF)
        self.assertTrue(pdu.pdvs[0].is_command and pdu.pdvs[0].is_last)

    @requirement("B7", "G2")
    def test_wrong_lengths(self) -> None:
        """A presentation data value below two bytes, or running past its PDU, is invalid."""
        fragment = bytes(10)
        for wrong in (0, 1, 13, 0x1000, 0xFFFFFFFF):
            self.refuse(bytes_of.pdv(1, DATA_SET, fragment, length=wrong))
        good = bytes_of.pdv(1, DATA_SET, b"good")
        for wrong in (0, 1, 13, 0xFFFFFFFF):
            self.refuse(good + bytes_of.pdv(1, DATA_SET, fragment, length=wrong))

    @requirement("B7")
    def test_leftover_bytes(self) -> None:
        """Bytes behind the last presentation data value are no rounding: the PDU is invalid."""
        good = bytes_of.pdv(1, DATA_SET, b"good")
        for count in range(1, 6):
            self.refuse(good + bytes(count))

    @requirement("B7")
    def test_no_value(self) -> None:
        """A P-DATA-TF without room for a presentation data value is invalid."""
        for length in range(6):
            self.refuse(bytes(length))

    @given(st.integers(0, 127).map(lambda number: 2 * number))
    def test_even_context(self, context_id: int) -> None:
        """A context ID that nobody can have proposed is invalid at once."""
        self.refuse(bytes_of.pdv(context_id, COMMAND | LAST, b"cc"))

    @requirement("E3", "E4")
    def test_maximum_length(self) -> None:
        """Our maximum covers the values with their lengths, without the PDU's header."""
        octets = bytes_of.p_data_tf(bytes_of.pdv(1, 0, bytes(4)), bytes_of.pdv(1, 2, bytes(4)))
        self.assertIsNone(read([octets], PDUReader(maximum_length=20)).error)
        error = read([octets], PDUReader(maximum_length=19)).error
        self.assertIsInstance(error, InvalidPDU)

    @requirement("E2")
    def test_no_maximum_length(self) -> None:
        """Whoever announces 0 takes whatever comes, and keeps nothing of it."""
        reader = PDUReader(maximum_length=0)
        head = b"\x04\x00\xff\xff\xff\xff" + b"\xff\xff\xff\xfb\x01\x00"
        self.assertEqual(read([head, b"data"], reader).found, [Fragments(1, 0, b"data", False)])
        self.assertEqual(reader.held, 0)
