"""`pacs-twisted echo`."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from pacs_twisted.cli.options import PeerOptions
from pacs_twisted.dimse import Status
from pacs_twisted.errors import (
    AssociationAborted,
    AssociationLost,
    AssociationRejected,
    ConnectionFailed,
    NoPresentationContext,
    ProtocolError,
    TimedOut,
)
from pacs_twisted.net import Timeouts
from tests.cli.driving import CommandCase, Driver, FakePeer


class EchoTests(CommandCase):
    """Questions and answers."""

    def test_one(self) -> None:
        """One C-ECHO, a line, a summary, an orderly end."""
        done = self.run_command("echo", "archive", associate=self.associate(FakePeer()))
        self.assertEqual(
            done.stdout,
            "C-ECHO 1: 0000H success, 0.50 ms\n"
            "--- ANY-SCP at archive:11112 ---\n"
            "1 sent, 1 received, 0 % lost; min/avg/max 0.50/0.50/0.50 ms\n",
        )
        self.assertEqual((done.status, done.stderr), (0, ""))
        self.assertEqual(self.peers[0].calls, ["echo", "release"])

    def test_several(self) -> None:
        """Several go over one association, the interval from the beginning of one to the next."""
        done = self.run_command(
            "echo", "archive", "-c3", "-i2", associate=self.associate(FakePeer())
        )
        self.assertIn("3 sent, 3 received, 0 % lost", done.stdout)
        self.assertEqual(self.peers[0].calls, ["echo"] * 3 + ["release"])
        self.assertEqual(self.driver.clock.seconds(), 4.0)

    def test_what_is_asked_for(self) -> None:
        """Titles, timers and the maximum length arrive where they belong."""
        self.run_command(
            "echo", "archive:104", "--called=A", "--calling=B", "--connect-timeout=1",
            "--acse-timeout=2", "--dimse-timeout=3", "--send-timeout=4", "--pdu-timeout=5",
            "--artim-timeout=6", "--max-pdu=4096", "--debug",
            associate=self.associate(FakePeer()),
        )  # fmt: skip
        (request,) = self.requests
        self.assertEqual((request["called"], request["calling"]), ("A", "B"))
        self.assertEqual(request["maximum_length"], 4096)
        self.assertTrue(request["debug"])
        expected = Timeouts(connect=1, acse=2, dimse=3, send=4, pdu=5, artim=6, idle=0)
        self.assertEqual(request["timeouts"], expected)

    def test_defaults(self) -> None:
        """The timers' defaults are those of the library."""
        options, library = PeerOptions(), Timeouts()
        for name in ("connect", "acse", "dimse", "send", "pdu", "artim"):
            self.assertEqual(getattr(options, f"{name}_timeout"), getattr(library, name), name)

    def test_failure_status(self) -> None:
        """A failure status is an answer, and a failure."""
        peer = FakePeer([Status.PROCESSING_FAILURE])
        done = self.run_command("echo", "archive", "-c2", "-i0", associate=self.associate(peer))
        self.assertIn("C-ECHO 1: 0110H processing failure", done.stdout)
        self.assertIn("2 sent, 2 received, 0 % lost, 1 failed;", done.stdout)
        self.assertEqual(done.status, 1)

    def test_no_association(self) -> None:
        """Why there is none decides the exit status, and what to do is said where it is known."""
        for error, status, words in (
            (AssociationRejected(1, 1, 7), 3, "(1/1/7) (the peer has another AE title: see"),
            (AssociationRejected(1, 1, 3), 3, "(1/1/3) (the peer must know our AE title"),
            (AssociationRejected(2, 3, 2), 3, "local limit exceeded (2/3/2) (the peer has as"),
            (ConnectionFailed("Connection refused"), 4, "archive:11112: Connection refused"),
            (TimedOut("connect", 10), 4, "connect timer expired after 10 s"),
            (TimedOut("acse", 30), 5, "acse timer expired after 30 s"),
            (AssociationAborted(2, 1), 5, "aborted by the peer: service-provider"),
            (AssociationLost("connection lost"), 5, "connection lost"),
            (ProtocolError("a\x1bb"), 5, "a\\x1bb"),
        ):
            with self.subTest(str(error)):
                done = self.run_command("echo", "archive", associate=self.associate(error))
                self.assertEqual(done.status, status)
                self.assertIn(words, done.stderr)
                self.assertIn("1 sent, 0 received, 100 % lost\n", done.stdout)

    def test_rejected_for_good(self) -> None:
        """A permanent rejection is told once, and ends it; a transient one may pass."""
        for error, sent in ((AssociationRejected(1, 1, 7), 1), (AssociationRejected(2, 3, 2), 3)):
            done = self.run_command("echo", "archive", "-c3", associate=self.associate(error))
            self.assertEqual(done.stderr.count("association rejected"), sent)
            self.assertIn(f"{sent} sent, 0 received", done.stdout)
            self.assertEqual(done.status, 3)

    def test_not_accepted(self) -> None:
        """A peer that does not accept Verification has an association for us, and no answer."""
        peer = FakePeer([NoPresentationContext("no presentation context")])
        done = self.run_command("echo", "archive", associate=self.associate(peer))
        self.assertIn("C-ECHO 1: no presentation context", done.stderr)
        self.assertEqual(done.status, 1)

    def test_new_association(self) -> None:
        """After an association was lost the next C-ECHO begins another one."""
        done = self.run_command(
            "echo", "archive", "-c3",
            associate=self.associate(FakePeer([TimedOut("dimse", 60)]), FakePeer()),
        )  # fmt: skip
        self.assertEqual(len(self.requests), 2)
        self.assertIn("3 sent, 2 received, 33.33 % lost; min/avg/max", done.stdout)
        self.assertEqual(done.status, 1)

    def test_goes_on_trying(self) -> None:
        """A peer that is started meanwhile answers in the end."""
        refused = ConnectionFailed("Connection refused")
        done = self.run_command(
            "echo", "archive", "-c3", associate=self.associate(refused, refused, FakePeer())
        )
        self.assertIn("3 sent, 1 received, 66.67 % lost", done.stdout)
        self.assertEqual(done.status, 1)

    def test_release(self) -> None:
        """How the association ends changes nothing; only --verbose tells."""
        for arguments, expected in (((), ""), (("-v",), "at the release: ")):
            peer = FakePeer(release=AssociationLost("connection lost"))
            done = self.run_command("echo", "archive", *arguments, associate=self.associate(peer))
            self.assertEqual(done.status, 0)
            self.assertIn(expected, done.stderr)
            self.assertEqual(bool(done.stderr), bool(expected))


class InterruptionTests(CommandCase):
    """Ctrl-C."""

    def test_between(self) -> None:
        """Between two C-ECHO: an orderly end and a summary; nothing is amiss."""
        done = self.run_command(
            "echo", "archive", "-c0", associate=self.associate(FakePeer()), driver=Driver(2.5)
        )
        self.assertIn("3 sent, 3 received, 0 % lost", done.stdout)
        self.assertEqual(done.status, 0)
        self.assertEqual(self.peers[0].calls[-1], "release")

    def test_waiting_for_response(self) -> None:
        """The C-ECHO that waits is given up and not counted."""
        peer = FakePeer([Status.SUCCESS, Deferred()])
        done = self.run_command(
            "echo", "archive", "-c0", associate=self.associate(peer), driver=Driver(5.0)
        )
        self.assertIn("1 sent, 1 received, 0 % lost", done.stdout)
        self.assertEqual(done.status, 0)
        self.assertEqual(peer.calls[-1], "abort")

    def test_connecting(self) -> None:
        """Before anything was sent there is nothing to tell but that."""
        done = self.run_command(
            "echo", "archive", associate=lambda *_, **__: Deferred(), driver=Driver(5.0)
        )
        self.assertIn("0 sent, 0 received, 0 % lost\n", done.stdout)
        self.assertEqual((done.status, done.stderr), (130, ""))


class JSONTests(CommandCase):
    """One object a line."""

    def test_echo(self) -> None:
        """Associated, answered, summed up."""
        done = self.run_command("echo", "archive", "--json", associate=self.associate(FakePeer()))
        self.assert_declared("echo", done, "associated", "echo", "summary")
        (echo,) = done.of("echo")
        self.assertEqual((echo["number"], echo["status"], echo["seconds"]), (1, "0000", 0.0005))
        summary = done.events[-1]
        self.assertEqual(summary["event"], "summary")
        self.assertEqual((summary["received"], summary["exit_status"]), (1, 0))
        self.assertEqual(done.stderr, "")

    def test_failed(self) -> None:
        """Why it failed, in numbers and words."""
        error = AssociationRejected(1, 1, 7)
        error.state = "Sta5"
        done = self.run_command("echo", "archive", "--json", associate=self.associate(error))
        self.assert_declared("echo", done, "failed", "echo", "summary")
        (failed,) = done.of("failed")
        self.assertEqual(
            (failed["kind"], failed["result"], failed["source"], failed["reason"]),
            ("rejected", 1, 1, 7),
        )
        self.assertEqual(failed["state"], "Sta5")
        (echo,) = done.of("echo")
        self.assertEqual((echo["status"], echo["kind"]), (None, "rejected"))
        self.assertEqual(done.of("summary")[0]["exit_status"], 3)
        self.assertEqual((done.status, done.stderr), (3, ""))

    def test_interrupted(self) -> None:
        """The summary tells of Ctrl-C."""
        done = self.run_command(
            "echo", "archive", "-c0", "--json",
            associate=self.associate(FakePeer()), driver=Driver(0.5),
        )  # fmt: skip
        self.assertTrue(done.of("summary")[0]["interrupted"])
