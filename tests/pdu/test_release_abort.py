"""A-RELEASE-RQ, A-RELEASE-RP and A-ABORT (PS3.8 sections 9.3.6 to 9.3.8)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.errors import InvalidPDU
from pacs_twisted.pdu import PDU, AAbort, AReleaseRP, AReleaseRQ
from tests import bytes_of
from tests.pdu import strategies
from tests.pdu.reading import read_pdu
from tests.requirements import requirement

VECTORS: tuple[tuple[bytes_of.Vector, PDU], ...] = (
    (bytes_of.A_RELEASE_RQ, AReleaseRQ()),
    (bytes_of.A_RELEASE_RP, AReleaseRP()),
    (bytes_of.A_ABORT_BY_USER, AAbort()),
    (bytes_of.A_ABORT_BY_PROVIDER, AAbort(source=2, reason=2)),
)


class ReleaseAbortTests(SynchronousTestCase):
    """The three PDUs whose bodies are four bytes, and never more."""

    def test_vectors(self) -> None:
        """Each stands for its bytes, both ways."""
        for vector, pdu in VECTORS:
            self.assertEqual(pdu.encode(), vector.octets)
            self.assertEqual(read_pdu(vector.octets), pdu)

    @given(strategies.a_aborts | strategies.releases)
    def test_round_trip(self, pdu: AAbort | AReleaseRQ | AReleaseRP) -> None:
        """Every value survives, also a source or reason that the standard does not know."""
        self.assertEqual(read_pdu(pdu.encode()), pdu)

    def test_the_two_releases_differ(self) -> None:
        """A request is no answer, though neither carries anything."""
        self.assertNotEqual(AReleaseRQ(), AReleaseRP())

    @requirement("B11")
    @given(st.integers(0, 255))
    def test_reason_of_a_user(self, reason: int) -> None:
        """An A-ABORT by the service-user is taken with any reason; none is sent."""
        octets = bytes_of.A_ABORT_BY_USER.replace("reason: none, for this source", bytes((reason,)))
        pdu = read_pdu(octets)
        assert isinstance(pdu, AAbort)
        self.assertEqual(pdu.source, 0)
        self.assertEqual(AAbort().encode()[-2:], b"\0\0")

    def test_decode_checks_the_body(self) -> None:
        """A body of another length than four is refused without the reader's help as well."""
        for decode in (AReleaseRQ.decode, AReleaseRP.decode, AAbort.decode):
            for length in (0, 3, 5):
                self.assertRaises(InvalidPDU, decode, memoryview(bytes(length)))
