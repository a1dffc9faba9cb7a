"""What the log says of an association: which line, at which level, with which fields."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel, formatEvent

from pacs_twisted.admission import AdmissionPolicy, PermittedPeer
from pacs_twisted.net import Timeouts
from tests.bytes_of import IMPLICIT_ITEM, VERIFICATION_CONTEXT, item, pdu, proposed_context
from tests.net.memory import (
    ABORT,
    RELEASE_RQ,
    ServerCase,
    abort_by_provider,
    associate_rq,
    command,
    echo_rq,
    message,
)

CT = item(0x30, b"1.2.840.10008.5.1.4.1.1.2")
JPEG = item(0x40, b"1.2.840.10008.1.2.4.50")


class LineTests(ServerCase):
    """The lines of one association."""

    def only(self, level: LogLevel) -> dict[str, Any]:
        """Return the one event from info on, which has this level."""
        [event] = [event for event in self.events() if event["log_level"] >= LogLevel.info]
        self.assertIs(event["log_level"], level)
        return event

    def test_life(self) -> None:
        """Three lines at info: its beginning, its first C-ECHO, its end with the counts."""
        peer = self.associated()
        for _ in range(3):
            peer.echo(7)
        sent = len(peer.socket.sent)
        peer.send(RELEASE_RQ)
        peer.close()
        received = len(associate_rq()) + 3 * len(echo_rq()) + len(RELEASE_RQ)
        self.assertEqual(
            self.lines(),
            [
                "association 1 from 127.0.0.1:40001: ECHOSCU to ANY-SCP,"
                " 1 of 1 presentation contexts accepted",
                "association 1: C-ECHO from ECHOSCU",
                "association 1 released: 3 messages received, 3 sent;"
                f" {received} bytes in, {sent + 10} out",
            ],
        )
        begun, _, ended = (event for event in self.events() if event["log_level"] >= LogLevel.info)
        self.assertEqual((begun["event"], begun["state"]), ("associate", "Sta6"))
        for event in begun, ended:
            self.assertEqual(event["association"], 1)
            self.assertEqual(event["peer"], "127.0.0.1:40001")
            self.assertEqual((event["calling"], event["called"]), ("ECHOSCU", "ANY-SCP"))
        self.assertEqual((ended["event"], ended["log_level"]), ("released", LogLevel.info))

    def test_rejected(self) -> None:
        """A reject says who asked, and why it was refused, in words and numbers."""
        self.make_factory(admission=AdmissionPolicy(permitted=(PermittedPeer.parse("CT1"),)))
        self.connect().associate()
        event = self.only(LogLevel.warn)
        line = formatEvent(event)
        for word in ("127.0.0.1:40001", "ECHOSCU", "ANY-SCP", "(1/1/3)"):
            self.assertIn(word, line)
        self.assertIn("calling AE title not recognized", line)
        self.assertEqual((event["result"], event["source"], event["reason"]), (1, 1, 3))
        self.assertEqual(event["event"], "rejected")

    def test_rejected_by_provider(self) -> None:
        """So does one for the version, which is judged before anybody looks at the titles."""
        self.connect().associate(associate_rq(version=2))
        event = self.only(LogLevel.warn)
        self.assertEqual((event["result"], event["source"], event["reason"]), (1, 2, 2))

    def test_aborted_by_peer(self) -> None:
        """A peer's abort keeps its numbers as they came."""
        for data, words in (
            (ABORT, "service-user (0/0)"),
            (abort_by_provider(2), "unexpected PDU (2/2)"),
            (pdu(0x07, b"\x00\x00\x63\x09"), "unknown reason (99/9)"),
        ):
            peer = self.associated()
            self.forget_log()
            peer.send(data)
            event = self.only(LogLevel.info)
            self.assertEqual(event["event"], "aborted-by-peer")
            self.assertEqual((event["source"], event["reason"]), (data[8], data[9]))
            self.assertIn(words, formatEvent(event))

    def test_protocol_error(self) -> None:
        """A peer's fault says what it was."""
        for data, words in (
            (b"\x09", "09H is not the type of a PDU"),
            (b"\x04\x00\x00\x00\x00\x00", "P-DATA-TF of 0 bytes"),
            (message(b"", 9), "presentation context 9 was not accepted"),
            (associate_rq(), "of sequence"),
            (pdu(0x06, bytes(4)), "of sequence"),
        ):
            peer = self.associated()
            self.forget_log()
            peer.send(data)
            event = self.only(LogLevel.warn)
            self.assertEqual(event["event"], "protocol-error")
            self.assertIn(words, formatEvent(event))

    def test_timers(self) -> None:
        """A timer's end says which and how long; who never asked gets a line of its own."""
        self.make_factory(timeouts=Timeouts(artim=5, idle=7))
        self.connect()
        self.reactor.wait(5)
        event = self.only(LogLevel.info)
        self.assertEqual(
            formatEvent(event),
            "connection 1 from 127.0.0.1:40001: no A-ASSOCIATE-RQ within 5 s, closed",
        )
        self.assertEqual((event["event"], event["state"]), ("artim", "Sta2"))
        self.associated()
        self.forget_log()
        self.reactor.wait(7)
        event = self.only(LogLevel.warn)
        self.assertEqual((event["event"], event["timer"]), ("aborted", "idle"))
        self.assertIn("idle timer expired after 7 s", formatEvent(event))

    def test_lost(self) -> None:
        """A connection that breaks under its association."""
        peer = self.associated()
        self.forget_log()
        peer.reset()
        event = self.only(LogLevel.warn)
        self.assertEqual(event["event"], "lost")
        self.assertTrue(formatEvent(event).startswith("association 1 connection lost: "))

    def test_closed(self) -> None:
        """One that ends before anything was asked is a line at debug."""
        self.connect().close()
        self.assertEqual(self.lines(), [])
        self.assertEqual([event["event"] for event in self.events()], ["closed"])

    def test_refused_contexts(self) -> None:
        """What was refused is said by name, in one line, and only so much of it."""
        contexts = (
            VERIFICATION_CONTEXT
            + proposed_context(3, CT, IMPLICIT_ITEM)
            + proposed_context(5, CT, IMPLICIT_ITEM)
            + proposed_context(7, item(0x30, b"1.2.840.10008.1.1"), JPEG)
            + proposed_context(9, item(0x30, b"1.2.3.4.5"), IMPLICIT_ITEM)
        )
        self.associated(associate_rq(contexts=contexts))
        [event] = self.events("contexts-refused")
        self.assertEqual(
            formatEvent(event),
            "association 1: CT Image Storage (1.2.840.10008.5.1.4.1.1.2) not served;"
            " Verification SOP Class (1.2.840.10008.1.1) refused with result 4 for"
            " JPEG Baseline (Process 1) (1.2.840.10008.1.2.4.50); 1.2.3.4.5 not served",
        )

    def test_unwanted_response(self) -> None:
        """A response to nothing is ignored, and said once."""
        response = command(
            (0x0100, b"\x30\x80"), (0x0120, b"\1\0"), (0x0800, b"\1\1"), (0x0900, b"\0\0")
        )
        peer = self.associated()
        self.forget_log()
        peer.send(message(response) * 5)
        event = self.only(LogLevel.warn)
        self.assertEqual(event["event"], "unwanted-response")
        self.assertEqual(peer.echo(), [(1, 0)])


class DebugTests(ServerCase):
    """Every event and message, at debug."""

    def setUp(self) -> None:
        super().setUp()
        self.make_factory(debug=True)

    def test_lines(self) -> None:
        """The events of the machine with their actions, and the messages, in order."""
        peer = self.associated()
        peer.echo(7)
        peer.send(RELEASE_RQ)
        peer.close()
        debug = [
            formatEvent(event) for event in self.events() if event["log_level"] is LogLevel.debug
        ]
        self.assertEqual(
            debug,
            [
                "association 1: transport_accepted in Sta1: AE-5, Sta2",
                "association 1: a_associate_rq in Sta2: AE-6, Sta3",
                "association 1: a_associate_accept in Sta3: AE-7, Sta6",
                "association 1: p_data_tf in Sta6: DT-2, Sta6",
                "association 1: CEchoRQ 7 received in context 1",
                "association 1: p_data_request in Sta6: DT-1, Sta6",
                "association 1: CEchoRSP 7 sent in context 1, status 0000H success",
                "association 1: a_release_rq in Sta6: AR-2, Sta8",
                "association 1: a_release_response in Sta8: AR-4, Sta13",
                "association 1: transport_closed in Sta13: AR-5, Sta1",
            ],
        )

    def test_error(self) -> None:
        """What was wrong stands behind the event."""
        self.associated().send(b"\x09")
        [event] = self.events("invalid_pdu")
        self.assertIn("09H is not the type of a PDU", formatEvent(event))

    def test_off(self) -> None:
        """Without debug nothing of it is made."""
        self.make_factory()
        self.forget_log()
        self.associated().echo()
        self.assertEqual([event["event"] for event in self.events()], ["associate", "c-echo"])
