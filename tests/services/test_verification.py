"""The Verification service (PS3.4 annex A)."""

from __future__ import annotations

from struct import pack

from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.dimse import CEchoRQ, Status
from pacs_twisted.services import RequestContext, Requestor, Verification
from pacs_twisted.uids import IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION
from pacs_twisted.upper_layer.negotiation import PresentationContext
from tests.bytes_of import item, pdu, proposed_context
from tests.net.memory import ServerCase, associate_rq, command, echo_command, echo_rq, message
from tests.raw_peer import C_ECHO_RQ, C_ECHO_RSP
from tests.requirements import requirement


class ServiceTests(SynchronousTestCase):
    """The service by itself."""

    @requirement("J1")
    def test_sop_class(self) -> None:
        """It serves 1.2.840.10008.1.1, in every uncompressed transfer syntax."""
        self.assertEqual(list(Verification.sop_classes), ["1.2.840.10008.1.1"])
        self.assertEqual(
            set(Verification.sop_classes[VERIFICATION]),
            {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"},
        )

    def test_success(self) -> None:
        """Whatever is asked, it is here."""
        context = RequestContext(
            Requestor(1, None, "ECHOSCU", "PACS"),
            PresentationContext(1, VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN),
        )
        answer = Verification().c_echo(CEchoRQ(65535, VERIFICATION), context)
        self.assertIs(answer, Status.SUCCESS)


class EchoTests(ServerCase):
    """The service on an association."""

    @requirement("I5", "J1", "J2", "J3")
    def test_bytes(self) -> None:
        """The request of the standard gets the response of the standard, byte for byte."""
        peer = self.associated()
        peer.send(C_ECHO_RQ)
        self.assertEqual(peer.take(), C_ECHO_RSP)

    @requirement("J5")
    def test_many(self) -> None:
        """Many, one after the other and pipelined, each with its message ID, 0 to 65535."""
        peer = self.associated()
        for message_id in (0, 1, 255, 256, 32768, 65535, 65535):
            self.assertEqual(peer.echo(message_id), [(message_id, 0)])
        numbers = list(range(0, 65536, 256))
        peer.send(*map(echo_rq, numbers))
        self.assertEqual(peer.responses(), [(number, 0) for number in numbers])

    @requirement("I5")
    def test_context(self) -> None:
        """The answer goes back in the request's context."""
        syntaxes = (item(0x30, b"1.2.840.10008.1.1"), item(0x40, b"1.2.840.10008.1.2"))
        contexts = b"".join(proposed_context(number, *syntaxes) for number in (1, 127, 255))
        peer = self.associated(associate_rq(contexts=contexts))
        for context_id in (255, 1, 127):
            peer.send(message(echo_command(5), context_id))
            self.assertEqual(peer.take()[10], context_id)

    @requirement("I3", "J2")
    def test_spare_request(self) -> None:
        """Without group length and without SOP class it is answered all the same."""
        peer = self.associated()
        elements = (
            (0x0100, pack("<H", 0x0030)),
            (0x0110, pack("<H", 7)),
            (0x0800, pack("<H", 0x0101)),
        )
        peer.send(message(command(*elements)))
        self.assertEqual(peer.responses(), [(7, 0)])

    @requirement("I4")
    def test_data_set(self) -> None:
        """A C-ECHO-RQ with a data set is answered when that has come, and has not disturbed."""
        peer = self.associated()
        elements = (
            (0x0100, pack("<H", 0x0030)),
            (0x0110, pack("<H", 7)),
            (0x0800, pack("<H", 0x0000)),
        )
        peer.send(message(command(*elements)))
        self.assertEqual(peer.take(), b"")
        peer.send(pdu(0x04, pack(">LBB", 6, 1, 0x00) + b"data"))
        peer.send(pdu(0x04, pack(">LBB", 2, 1, 0x02)))
        self.assertEqual(peer.responses(), [(7, 0)])
        self.assertEqual(peer.echo(8), [(8, 0)])

    @requirement("I8")
    def test_refused(self) -> None:
        """What is not negotiated is refused, and the association goes on."""
        peer = self.associated()
        other_class = echo_command(3, sop_class=b"1.2.840.10008.5.1.4.1.1.2\0")
        store = command(
            (0x0002, b"1.2.840.10008.1.1\0"),
            (0x0100, pack("<H", 0x0001)),
            (0x0110, pack("<H", 4)),
            (0x0700, pack("<H", 0)),
            (0x0800, pack("<H", 0x0101)),
            (0x1000, b"1.2.3\0"),
        )
        unknown = command(
            (0x0100, pack("<H", 0x0777)), (0x0110, pack("<H", 5)), (0x0800, pack("<H", 0x0101))
        )
        bad_uid = echo_command(6, sop_class=b"\xff\xfe")
        peer.send(*map(message, (other_class, store, unknown, bad_uid)))
        self.assertEqual(peer.responses(), [(3, 0x0122), (4, 0x0211), (5, 0x0211), (6, 0x0212)])
        self.assertEqual(peer.echo(7), [(7, 0)])
