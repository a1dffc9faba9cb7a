"""A run of streams, short in the ordinary tests and long where the long tests run."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests import LONG
from tests.fuzz import loopback, memory
from tests.fuzz.mutations import stream


class Streams(SynchronousTestCase):
    def test_in_memory(self) -> None:
        """Whatever comes, the server answers in PDUs, ends the connection and serves the next."""
        number = 100_000 if LONG else 4_000
        outcomes = memory.run(seed=1, number=number)
        self.assertEqual(outcomes.total(), number)
        for outcome in (
            "released",
            "aborted: by the user",
            "aborted: unrecognized PDU",
            "aborted: unexpected PDU",
            "aborted: unexpected parameter",
            "aborted: invalid parameter value",
            "rejected: calling AE title",
            "aborted: by the user, idle timer",
            "aborted: by the user, pdu timer",
        ):
            self.assertGreater(outcomes[outcome], 0, f"no stream was {outcome}")

    def test_over_loopback(self) -> None:
        """A real server survives them, too, answers a C-ECHO then and has nothing to complain."""
        number = 5_000 if LONG else 300
        outcomes = loopback.run(seed=2, number=number)
        self.assertEqual(outcomes.total(), number)

    def test_repeatable(self) -> None:
        """A stream follows from the seed and its index, whatever was sent before."""
        self.assertEqual(stream(7, 70), stream(7, 70))
        self.assertNotEqual(stream(7, 70), stream(8, 70))
