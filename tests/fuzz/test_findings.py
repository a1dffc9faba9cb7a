"""What streams have found, each with its bytes: it must not come again."""

from __future__ import annotations

from random import Random

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.memory import LogWatch, Peer, Server, Wire, play
from tests.fuzz.mutations import Ending, Stream
from tests.raw_peer import A_ABORT, A_ASSOCIATE_RQ, A_RELEASE_RP, C_ECHO_RQ


class Findings(SynchronousTestCase):
    def test_stop_is_logged_by_older_observers(self) -> None:
        """
        Twisted's older observers, twistd's `--logfile` among them, can log a server's stop.

        They take a field `time` for their own and fail when it is no number.
        """
        server = Server("plain")
        peer = Peer(server.factory, Stream(0, (A_ASSOCIATE_RQ,), Ending.SILENT, (), 0), Wire("", 0))
        peer.go_on()
        with capturedLogs() as events:
            server.shut_down()
        (event,) = [event for event in events if event.get("event") == "drain"]
        self.assertIsInstance(event.get("time", 0.0), float)

    def _survives(self, *chunks: bytes, server: str = "plain") -> None:
        """The server sees this peer out, and answers an honest one."""
        script = Stream(0, chunks, Ending.SILENT, (), None)
        with LogWatch() as watch:
            try:
                play(Server(server), (script,), Random(0), watch)
            finally:
                self.flushLoggedErrors()  # the watch tells of them better

    def test_pdu_behind_abort_after_the_end(self) -> None:
        """
        What follows an A-ABORT in the same bytes is not heard, also where our A-ABORT came before.
        """
        for last_word in A_ABORT, A_RELEASE_RP:
            self._survives(C_ECHO_RQ + last_word + C_ECHO_RQ)
            self._survives(A_ASSOCIATE_RQ, b"\0" + last_word + C_ECHO_RQ)
