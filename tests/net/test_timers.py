"""ARTIM and the watchdog, by themselves."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.errors import TimedOut
from pacs_twisted.net import Timeouts
from pacs_twisted.net.timers import Artim, ArtimTimers, Watchdog
from tests.requirements import requirement


class ArtimTests(SynchronousTestCase):
    """The ARTIM timers of all connections share one delayed call."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.timers = ArtimTimers(self.clock, 30.0)
        self.expired: list[str] = []

    def timer(self, name: str) -> Artim:
        """Make a timer that notes its end."""
        return self.timers.timer(lambda: self.expired.append(name))

    def test_expires_once(self) -> None:
        """It runs for its time, then it has run out, once."""
        timer = self.timer("a")
        timer.start()
        self.assertTrue(timer.running)
        self.clock.advance(29.9)
        self.assertEqual(self.expired, [])
        self.clock.advance(0.2)
        self.assertEqual(self.expired, ["a"])
        self.assertFalse(timer.running)
        self.clock.advance(100)
        self.assertEqual(self.expired, ["a"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @requirement("A4")
    def test_configured(self) -> None:
        """Its duration is what was configured."""
        timers = ArtimTimers(self.clock, 2.5)
        timers.timer(lambda: self.expired.append("short")).start()
        self.clock.advance(2.4)
        self.assertEqual(self.expired, [])
        self.clock.advance(0.1)
        self.assertEqual(self.expired, ["short"])

    def test_off(self) -> None:
        """0 is for ever, and costs nothing."""
        timer = ArtimTimers(self.clock, 0.0).timer(lambda: self.expired.append("never"))
        timer.start()
        self.assertFalse(timer.running)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        timer.stop()

    def test_stop(self) -> None:
        """A stopped one does not run out; to stop it again is no error."""
        timer = self.timer("a")
        timer.start()
        timer.stop()
        timer.stop()
        self.clock.advance(100)
        self.assertEqual(self.expired, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_restart(self) -> None:
        """Started anew it runs for its whole time again."""
        timer, other = self.timer("a"), self.timer("b")
        timer.start()
        other.start()
        self.clock.advance(20)
        timer.start()
        self.clock.advance(20)
        self.assertEqual(self.expired, ["b"])
        self.clock.advance(9.9)
        self.assertEqual(self.expired, ["b"])
        self.clock.advance(0.2)
        self.assertEqual(self.expired, ["b", "a"])

    def test_many(self) -> None:
        """However many run, one delayed call serves them, each at its time."""
        timers = [self.timer(str(number)) for number in range(50)]
        for timer in timers:
            timer.start()
            self.clock.advance(0.5)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for number in range(0, 50, 2):
            timers[number].stop()
        self.clock.advance(4.75)  # 29.75 s after the first
        self.assertEqual(self.expired, [])
        for number in range(1, 50, 2):
            self.clock.advance(0.75 if number == 1 else 1.0)
            self.assertEqual(self.expired[-1], str(number))
        self.assertEqual(len(self.expired), 25)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_stops_the_other(self) -> None:
        """What one does at its end may stop or restart another that is due."""
        other = self.timer("other")
        third = self.timer("third")

        def end() -> None:
            other.stop()
            third.start()

        first = self.timers.timer(end)
        for timer in first, other, third:
            timer.start()
        self.clock.advance(30)
        self.assertEqual(self.expired, [])
        self.clock.advance(30)
        self.assertEqual(self.expired, ["third"])

    def test_restart_at_its_end(self) -> None:
        """One that is started again as it runs out runs on."""

        def again() -> None:
            self.expired.append("again")
            timer.start()

        timer = self.timers.timer(again)
        timer.start()
        for count in range(1, 4):
            self.clock.advance(30)
            self.assertEqual(self.expired, ["again"] * count)
            self.assertTrue(timer.running)

    def test_error(self) -> None:
        """An error at the end of one is logged, and leaves the others their end."""

        def fail() -> None:
            raise RuntimeError("a bug")

        self.timers.timer(fail).start()
        self.timer("same time").start()
        self.clock.advance(10)
        self.timer("later").start()
        self.clock.advance(20)
        self.assertEqual(self.expired, ["same time"])
        self.clock.advance(10)
        self.assertEqual(self.expired, ["same time", "later"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_close(self) -> None:
        """Closed while none runs, it leaves no delayed call."""
        timer = self.timer("a")
        timer.start()
        timer.stop()
        self.timers.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_close_while_one_runs(self) -> None:
        """Closed while one runs, it leaves none when that has stopped."""
        timer, other = self.timer("a"), self.timer("b")
        timer.start()
        other.start()
        self.timers.close()
        timer.stop()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        other.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_close_then_expire(self) -> None:
        """Closed while one runs, that one still runs out."""
        self.timer("a").start()
        self.timers.close()
        self.clock.advance(30)
        self.assertEqual(self.expired, ["a"])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WatchdogTests(SynchronousTestCase):
    """One delayed call of a connection."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.looks: list[float] = []
        self.next: float | None = None
        self.watchdog = Watchdog(self.clock, self.look)

    def look(self, now: float) -> float | None:
        """Note the time; say when to look again."""
        self.looks.append(now)
        due, self.next = self.next, None
        return due

    def test_looks(self) -> None:
        """It looks when it was told to, and not again."""
        self.watchdog.look_by(5)
        self.clock.advance(4.5)
        self.assertEqual(self.looks, [])
        self.clock.advance(0.5)
        self.assertEqual(self.looks, [5])
        self.clock.advance(100)
        self.assertEqual(self.looks, [5])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_looks_again(self) -> None:
        """It looks again when the look says so."""
        self.watchdog.look_by(5)
        self.next = 7
        self.clock.pump([1] * 10)
        self.assertEqual(self.looks, [5, 7])

    def test_earliest_counts(self) -> None:
        """Of several times the earliest counts, in whatever order they were said."""
        for due in (9, 5, 7):
            self.watchdog.look_by(due)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pump([1] * 10)
        self.assertEqual(self.looks, [5])

    def test_past(self) -> None:
        """A time that is over means now."""
        self.clock.advance(10)
        self.watchdog.look_by(3)
        self.clock.advance(0)
        self.assertEqual(self.looks, [10])

    def test_told_while_looking(self) -> None:
        """A look that asks for another look, and returns a later time, gets the earlier."""

        def look(now: float) -> float | None:
            self.looks.append(now)
            if len(self.looks) == 1:
                watchdog.look_by(6)
                return 9
            return None

        watchdog = Watchdog(self.clock, look)
        watchdog.look_by(5)
        self.clock.pump([1] * 10)
        self.assertEqual(self.looks, [5, 6])

    def test_stop(self) -> None:
        """A stopped one looks no more; to stop it again is no error."""
        self.watchdog.look_by(5)
        self.watchdog.stop()
        self.watchdog.stop()
        self.clock.advance(10)
        self.assertEqual(self.looks, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_while_looking(self) -> None:
        """Stopped by what it did, it does not go on, whatever the look returns."""

        def look(now: float) -> float | None:
            self.looks.append(now)
            watchdog.stop()
            return now + 1

        watchdog = Watchdog(self.clock, look)
        watchdog.look_by(5)
        self.clock.pump([1] * 10)
        self.assertEqual(self.looks, [5])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TimeoutsTests(SynchronousTestCase):
    """The values."""

    def test_defaults(self) -> None:
        """Every timer runs unless told otherwise, but the one of services."""
        self.assertEqual(Timeouts(), Timeouts(30, 30, 30, 30, 0, 30, 60, 10, 60))

    def test_timed_out(self) -> None:
        """The error names the timer and its setting."""
        error = TimedOut("idle", 30.0)
        self.assertEqual((error.timer, error.seconds), ("idle", 30.0))
        self.assertEqual(str(error), "idle timer expired after 30 s")
