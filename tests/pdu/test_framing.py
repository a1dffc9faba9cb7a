"""From a stream of bytes to PDUs (PS3.8 section 9.3.1)."""

from __future__ import annotations

import tracemalloc
import weakref
from typing import cast

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.errors import InvalidPDU, ProtocolError, UnrecognizedPDU
from pacs_twisted.pdu import PDU, AAssociateRQ, AReleaseRQ, PDataTF, PDUReader
from tests import bytes_of
from tests.pdu import strategies
from tests.pdu.reading import Fragments, Reading, read, read_pdu
from tests.requirements import requirement

FIXED = (3, 5, 6, 7)
"""The types whose PDUs have four bytes after the header: reject, both releases, abort."""

GOOD_PDATA = bytes_of.P_DATA_TF_C_ECHO_RQ.octets
RELEASE = bytes_of.A_RELEASE_RQ.octets
MIXED = b"".join(
    (
        bytes_of.A_ASSOCIATE_RQ.octets,
        bytes_of.p_data_tf(bytes_of.pdv(1, 1, b"com"), bytes_of.pdv(1, 3, b"mand")),
        bytes_of.p_data_tf(bytes_of.pdv(1, 0, b""), bytes_of.pdv(1, 0, b"data")),
        bytes_of.p_data_tf(bytes_of.pdv(1, 2, b"")),
        RELEASE,
        bytes_of.A_ABORT_BY_PROVIDER.octets,
    )
)


def chunked(stream: bytes, size: int) -> list[bytes]:
    """Cut a stream into pieces of one size."""
    return [stream[start : start + size] for start in range(0, len(stream), size)]


class StreamTests(SynchronousTestCase):
    """PDUs out of bytes, however these arrive."""

    @given(strategies.held_pdus)
    def test_round_trip(self, pdu: PDU) -> None:
        """Every PDU that is held until it is whole comes out as it went in."""
        self.assertEqual(read_pdu(pdu.encode()), pdu)

    @requirement("A10")
    @given(st.data())
    def test_any_chunking(self, data: st.DataObject) -> None:
        """How a stream is cut changes neither PDUs nor their count."""
        stream = data.draw(strategies.streams)
        whole = read([stream])
        self.assertIsNone(whole.error)
        self.assertEqual(read(data.draw(strategies.chunks(stream))), whole)

    @requirement("A10")
    @given(st.data())
    def test_any_chunking_of_wrong_bytes(self, data: st.DataObject) -> None:
        """Nor does it change where an error is found, and which, and what came before it."""
        stream = data.draw(strategies.damaged_streams)
        self.assertEqual(read(data.draw(strategies.chunks(stream))), read([stream]))

    @requirement("A10")
    def test_every_cut(self) -> None:
        """Cut in two anywhere, and into pieces of any size, a stream says the same."""
        whole = read([MIXED])
        self.assertEqual((whole.error, whole.completed, len(whole.found)), (None, 6, 5))
        for cut in range(len(MIXED)):
            self.assertEqual(read([MIXED[:cut], MIXED[cut:]]), whole)
        for size in range(1, 40):
            self.assertEqual(read(chunked(MIXED, size)), whole)

    def test_chunks_fed_ahead(self) -> None:
        """A chunk that is fed before the one before it was gone through is not lost."""
        reader = PDUReader()
        for chunk in chunked(MIXED, 7):
            reader.feed(chunk)
        self.assertEqual(read([b""], reader), read([MIXED]))

    def test_completed_counts_whole_pdus(self) -> None:
        """P-DATA-TF counts when its last byte came, not for each part of it."""
        reader = PDUReader()
        counts = []
        for octet in chunked(GOOD_PDATA + RELEASE, 1):
            read([octet], reader)
            counts.append(reader.completed)
        self.assertEqual(counts, [0] * 79 + [1] * 10 + [2])

    def test_inside_pdu(self) -> None:
        """From its first byte to its last, a PDU is under way."""
        for stream in (GOOD_PDATA, RELEASE, bytes_of.A_ASSOCIATE_RQ.octets):
            reader = PDUReader()
            self.assertFalse(reader.inside_pdu)
            for octet in chunked(stream[:-1], 1):
                read([octet], reader)
                self.assertTrue(reader.inside_pdu)
            read([stream[-1:]], reader)
            self.assertFalse(reader.inside_pdu)

    def test_association_without_items(self) -> None:
        """An A-ASSOCIATE PDU of length zero is judged, not waited for."""
        for pdu_type in (1, 2):
            self.assertIsInstance(read([bytes_of.pdu(pdu_type, b"")]).error, InvalidPDU)


class WrongBytesTests(SynchronousTestCase):
    """Whatever a peer sends leads to PDUs or to a ProtocolError."""

    def take(self, stream: bytes) -> Reading:
        """Read a stream; what it gives can be printed, sent, and read again."""
        reading = read([stream])
        for pdu in reading.found:
            repr(pdu)
            if not isinstance(pdu, Fragments):
                self.assertEqual(read_pdu(pdu.encode()), pdu)
        return reading

    @requirement("B10")
    @given(st.binary(max_size=300))
    def test_any_bytes(self, stream: bytes) -> None:
        """Bytes of no meaning."""
        self.take(stream)

    @requirement("B10")
    @given(st.integers(1, 7), st.binary(max_size=300))
    def test_any_body(self, pdu_type: int, body: bytes) -> None:
        """A true header over bytes of no meaning."""
        self.take(bytes_of.pdu(pdu_type, body))

    @requirement("B10")
    @given(st.sampled_from([0x01, 0x02]), st.binary(max_size=200))
    def test_any_items(self, pdu_type: int, items: bytes) -> None:
        """True fixed fields before items of no meaning."""
        self.take(bytes_of.pdu(pdu_type, bytes_of.associate_body(items)))

    @requirement("B10")
    @given(strategies.damaged_pdus())
    @example(bytes_of.pdu(0x04, b"\0\0\0\x02\x01\x03", length=0xFFFFFFFF))
    @example(bytes_of.associate_rq(bytes_of.item(0x20, b"", length=4)))
    def test_damaged_pdus(self, octets: bytes) -> None:
        """PDUs that are nearly right."""
        self.take(octets)

    @requirement("B10")
    def test_every_error_has_a_reason(self) -> None:
        """Reasons are those of PS3.8 section 9.3.8: 1 for a type, 6 for lengths and contents."""
        for stream, reason in (
            (bytes_of.HTTP_REQUEST, 1),
            (bytes_of.TLS_CLIENT_HELLO, 1),
            (b"\x01\x00\xff\xff\xff\xff", 6),
            (bytes.fromhex("0500000000050000000000"), 6),
            (bytes.fromhex("040000000006000000020003"), 6),
            (bytes_of.associate_rq(bytes_of.item(0x20, b"\x02\0\0\0")), 6),
        ):
            error = read([stream]).error
            assert error is not None
            self.assertEqual(error.abort_reason, reason)

    def test_good_fragments_come_first(self) -> None:
        """What came before something wrong is handed on, and then the error is raised."""
        good = bytes_of.pdv(1, 1, b"good")
        expected = [Fragments(1, 1, b"good", False)]
        for name, stream in (
            ("length of the next value", bytes_of.p_data_tf(good, bytes_of.pdv(1, 1, b"", 99))),
            ("context of the next value", bytes_of.p_data_tf(good, bytes_of.pdv(2, 1, b""))),
            ("length of the next PDU", bytes_of.p_data_tf(good) + b"\x04\0\xff\xff\xff\xff"),
            ("type of the next PDU", bytes_of.p_data_tf(good) + b"\x08"),
            ("length of a release", bytes_of.p_data_tf(good) + b"\x05\0\0\0\0\x05"),
        ):
            reading = read([stream])
            self.assertEqual(reading.found, expected, name)
            self.assertIsInstance(reading.error, ProtocolError, name)

    def test_leftover_bytes_are_seen_at_the_value_before_them(self) -> None:
        """Bytes that are too few for a further value are wrong as soon as that can be known."""
        reading = read([bytes_of.p_data_tf(bytes_of.pdv(1, 3, b"good"), b"\0\0")])
        self.assertEqual(reading.found, [])
        self.assertIsInstance(reading.error, ProtocolError)

    def test_an_idle_reader_keeps_no_chunk(self) -> None:
        """What was taken is let go, so that an idle connection does not hold its last read."""

        class Chunk(bytearray):
            """Bytes that can be referred to weakly."""

        chunk = Chunk(bytes_of.p_data_tf(bytes_of.pdv(1, 3, b"good")))
        alive = weakref.ref(chunk)
        reader = PDUReader()
        reader.feed(cast(bytes, chunk))
        while reader.next_pdu() is not None:
            pass
        del chunk
        self.assertIsNone(alive())

    def test_an_error_is_raised_again(self) -> None:
        """A stream that is lost stays lost: the next call finds the same error."""
        for stream in (
            b"\x08",
            b"\x01\0\xff\xff\xff\xff",
            bytes_of.p_data_tf(bytes_of.pdv(1, 1, b"", 99)),
        ):
            reader = PDUReader()
            reader.feed(stream)
            first = self.assertRaises(ProtocolError, reader.next_pdu)
            second = self.assertRaises(ProtocolError, reader.next_pdu)
            self.assertEqual(repr(first), repr(second))


class HeaderTests(SynchronousTestCase):
    """The type is judged on the first byte and the length on the sixth."""

    @requirement("B9")
    def test_type_on_the_first_byte(self) -> None:
        """Every byte that is no type is refused alone, and nothing is kept."""
        for pdu_type in range(256):
            reader = PDUReader()
            reading = read([bytes((pdu_type,))], reader)
            if 1 <= pdu_type <= 7:
                self.assertIsNone(reading.error)
            else:
                self.assertIsInstance(reading.error, UnrecognizedPDU)
            self.assertEqual(reader.held, 0)

    @requirement("B9")
    def test_strangers(self) -> None:
        """A browser and a TLS client are known by their first byte."""
        for stream in (bytes_of.HTTP_REQUEST, bytes_of.TLS_CLIENT_HELLO):
            self.assertIsInstance(read([stream[:1]]).error, UnrecognizedPDU)
            self.assertIsInstance(read([stream]).error, UnrecognizedPDU)

    @requirement("B5")
    def test_fixed_lengths(self) -> None:
        """Reject, release and abort PDUs of any length but four are refused by their header."""
        for pdu_type in FIXED:
            for length in (0, 1, 2, 3, 5, 6, 8, 68, 0x04000000, 0xFFFFFFFF):
                header = bytes_of.pdu(pdu_type, b"", length)
                self.assertIsNone(read([header[:5]]).error)
                self.assertIsInstance(read([header]).error, InvalidPDU)
            self.assertIsNone(read([bytes_of.pdu(pdu_type, bytes(4))]).error)

    @requirement("B8")
    def test_association_cap(self) -> None:
        """An A-ASSOCIATE PDU above the cap is refused by its header, a shorter one awaited."""
        for pdu_type in (1, 2):
            for cap, reader in (
                (1 << 20, PDUReader()),
                (1000, PDUReader(maximum_associate_length=1000)),
            ):
                header = bytes_of.pdu(pdu_type, b"", cap + 1)
                self.assertIsNone(read([header[:5]], reader).error)
                self.assertIsInstance(read([header[5:]], reader).error, InvalidPDU)
                self.assertEqual(reader.held, 0)
            self.assertIsNone(read([bytes_of.pdu(pdu_type, b"", 1 << 20)]).error)

    @requirement("B8", "E4")
    def test_pdata_maximum(self) -> None:
        """A P-DATA-TF above what we announced is refused by its header."""
        for maximum, reader in ((131072, PDUReader()), (1000, PDUReader(maximum_length=1000))):
            header = bytes_of.pdu(0x04, b"", maximum + 1)
            self.assertIsNone(read([header[:5]], reader).error)
            self.assertIsInstance(read([header[5:]], reader).error, InvalidPDU)
            self.assertIsNone(
                read([bytes_of.pdu(0x04, b"", maximum)], PDUReader(maximum_length=maximum)).error
            )

    def test_association_longer_than_the_pdata_maximum(self) -> None:
        """The announced maximum is for P-DATA-TF only."""
        octets = bytes_of.A_ASSOCIATE_RQ.octets
        self.assertIsNone(read([octets], PDUReader(maximum_length=50)).error)

    @requirement("B1")
    @given(st.sampled_from(range(1, 8)), st.integers(0, 255))
    def test_reserved_byte(self, pdu_type: int, value: int) -> None:
        """The second byte is nobody's."""
        vectors = (
            bytes_of.A_ASSOCIATE_RQ,
            bytes_of.A_ASSOCIATE_AC,
            bytes_of.A_ASSOCIATE_RJ,
            bytes_of.P_DATA_TF_C_ECHO_RQ,
            bytes_of.A_RELEASE_RQ,
            bytes_of.A_RELEASE_RP,
            bytes_of.A_ABORT_BY_USER,
        )
        octets = vectors[pdu_type - 1].octets
        changed = octets[:1] + bytes((value,)) + octets[2:]
        self.assertEqual(read([changed]), read([octets]))


def allocated(reader: PDUReader, chunks: list[bytes]) -> tuple[int, list[PDU]]:
    """Return how many bytes a reader allocates in all while it takes the chunks, and the PDUs."""
    total, pdus = 0, []
    tracemalloc.start()
    try:
        for chunk in chunks:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            reader.feed(chunk)
            while (pdu := reader.next_pdu()) is not None:
                pdus.append(pdu)
            _, peak = tracemalloc.get_traced_memory()
            total += peak - before
    finally:
        tracemalloc.stop()
    return total, pdus


class MemoryTests(SynchronousTestCase):
    """What is kept, and how often it is copied."""

    def association_of(self, length: int) -> bytes:
        """Return an A-ASSOCIATE-RQ of about this length, most of it items that nobody knows."""
        filling = bytes_of.item(0x5F, bytes(4000))
        body = bytes_of.associate_rq()[6:] + filling * (length // len(filling))
        return bytes_of.pdu(0x01, body)

    def test_claims_cost_nothing(self) -> None:
        """Nothing is kept for a length, only what has come."""
        reader = PDUReader()
        claim = bytes_of.pdu(0x01, b"", 1 << 20)
        total, _ = allocated(reader, [claim])
        self.assertEqual(reader.held, 0)
        self.assertLess(total, 2000)
        read([bytes(100)], reader)
        self.assertEqual(reader.held, 100)

    def test_held(self) -> None:
        """What is held of an unfinished PDU grows with what came, and is gone when it is whole."""
        octets = bytes_of.A_ASSOCIATE_RQ.octets
        reader, held = PDUReader(), []
        for octet in chunked(octets, 1):
            read([octet], reader)
            held.append(reader.held)
        self.assertEqual(held, [0] * 6 + list(range(1, len(octets) - 6)) + [0])

    @requirement("G12")
    def test_fragments_are_not_held(self) -> None:
        """Of a P-DATA-TF nothing is kept but what stands before it in a header."""
        octets = bytes_of.p_data_tf(bytes_of.pdv(1, 0, bytes(100_000)))
        reader = PDUReader()
        for chunk in chunked(octets, 1460):
            read([chunk], reader)
            self.assertEqual(reader.held, 0)
        total, pdus = allocated(PDUReader(), chunked(octets, 1460))
        self.assertLess(total, 100_000)
        self.assertEqual(sum(isinstance(pdu, PDataTF) for pdu in pdus), len(pdus))

    def test_a_long_association_in_small_pieces(self) -> None:
        """Copying grows with the length of an A-ASSOCIATE-RQ and not with its square."""
        for length, size in ((40_000, 1), ((1 << 20) - 8000, 100)):
            octets = self.association_of(length)
            total, pdus = allocated(PDUReader(), chunked(octets, size))
            self.assertEqual([type(pdu) for pdu in pdus], [AAssociateRQ])
            pieces = len(octets) // size
            self.assertLess(total, 10 * len(octets) + 1000 * pieces)

    def test_a_chunk_of_many_pdus(self) -> None:
        """A chunk is not copied anew for each PDU in it."""
        octets = RELEASE * 10_000
        total, pdus = allocated(PDUReader(), [octets])
        self.assertEqual(pdus, [AReleaseRQ()] * 10_000)
        self.assertLess(total, 10 * len(octets))
