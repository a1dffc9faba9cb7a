"""
What `pacs-store` has answered with success is there: by its system calls, and after kill -9.
"""

from __future__ import annotations

import random
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
from twisted.trial.unittest import SkipTest

from tests import LONG
from tests.process.test_store import StoreCase
from tests.process.test_twistd import TWISTD
from tests.processes import Process
from tests.raw_storage import path

TRACED = "write,writev,fsync,fdatasync,mkdir,mkdirat,rename,renameat,renameat2,sendto,sendmsg"
FILE_SYSTEM = ("write", "writev", "fsync", "fdatasync")
ROUNDS = 50 if LONG else 3


@attrs.frozen
class Call:
    """A system call: when it began and when it returned, counted in lines of the trace."""

    name: str
    arguments: str
    begun: int
    ended: int

    @property
    def paths(self) -> list[str]:
        """Return the paths among the arguments: of the open file, or between quotation marks."""
        return re.findall(r"^\d+<([^>]+)>", self.arguments) or re.findall(
            r'"([^"]*)"', self.arguments
        )


def read_trace(text: str) -> Iterator[Call]:
    """Yield the calls that returned, of all threads, as strace wrote them down."""
    unfinished: dict[str, tuple[str, str, int]] = {}
    for number, line in enumerate(text.splitlines()):
        if match := re.match(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>$", line):
            thread, name, arguments = match.groups()
            unfinished[thread] = name, arguments, number
        elif match := re.match(r"(\d+) +<\.\.\. \w+ resumed>(.*)\) += \d+$", line):
            thread, rest = match.groups()
            name, arguments, begun = unfinished.pop(thread)
            yield Call(name, arguments + rest, begun, number)
        elif match := re.match(r"\d+ +(\w+)\((.*)\) += \d+$", line):
            yield Call(match[1], match[2], number, number)


class OrderTests(StoreCase):
    """The calls that the server makes, as the system sees them."""

    def trace(self, *options: str) -> list[Call]:
        """Let a server store three objects, two of them in the same place; return its calls."""
        strace = shutil.which("strace")
        if strace is None:
            raise SkipTest("strace is not installed")
        self.images.mkdir()
        trace = self.directory / "trace"
        # -D: the server is our own child, and its end is the end of the trace.
        command = (strace, "-D", "-f", "-y", "-s", "8", "-e", f"trace={TRACED}", "-o", "trace")
        if self.run_to_end(*command, "true").status:
            raise SkipTest("strace is not permitted")
        server = self.serve(*options, command=(*command, *TWISTD, "-n"))
        peer = self.peer(server)
        for number in (1, 2, 10):
            self.assertEqual(peer.store(number, 3_000_000), 0)
        peer.release()
        server.terminate()
        return list(read_trace(trace.read_text(encoding="utf-8", errors="replace")))

    def one(self, calls: Sequence[Call], name: str, place: str | Path, after: int) -> Call:
        """Return the first call of this name and path that began after that line."""
        for call in calls:
            if call.begun > after and call.name.startswith(name) and str(place) in call.paths:
                return call
        self.fail(f"no {name} of {place} after line {after}")

    def test_order(self) -> None:
        """Write, fsync of the file, rename, fsync of the directories, and then the answer."""
        calls = self.trace()
        images = self.images.resolve()
        answers = [
            call
            for call in calls
            if call.name in ("sendto", "sendmsg", "write") and r'"\4\0\0\0\0' in call.arguments
        ]
        self.assertEqual(len(answers), 3)
        for number, answer in zip((1, 2, 10), answers, strict=True):
            final = images / path(number)
            [rename] = [
                call for call in calls if call.name[:6] == "rename" and str(final) in call.paths
            ]
            temporary = rename.paths[0]
            self.assertIn("/.incoming/", temporary)
            work = [c for c in calls if c.name in FILE_SYSTEM and temporary in c.paths]
            *writes, fsync = work
            self.assertGreater(len(writes), 1)
            self.assertTrue(all(call.name[:5] == "write" for call in writes), work)
            self.assertEqual(fsync.name, "fsync")
            self.assertLess(max(call.ended for call in writes), fsync.begun)
            self.assertLess(fsync.ended, rename.begun)
            named = self.one(calls, "fsync", final.parent, rename.ended)
            self.assertLess(named.ended, answer.begun)
            for directory in (final.parent, final.parent.parent):
                made = self.one(calls, "mkdir", directory, -1)
                kept = self.one(calls, "fsync", directory.parent, made.ended)
                self.assertLess(kept.ended, answer.begun)

    def test_without_fsync(self) -> None:
        """--no-fsync: the same without the waiting."""
        calls = self.trace("--no-fsync")
        self.assertEqual([call for call in calls if "sync" in call.name], [])
        self.assertEqual(len([call for call in calls if call.name.startswith("rename")]), 3)


class KillTests(StoreCase):
    """Servers that are killed while they store."""

    def test_kill(self) -> None:
        """Nothing that was answered with success is missing, and nothing is there in part."""
        chance = random.Random(3)
        answered: dict[int, int] = {}
        for round_number in range(ROUNDS):
            server = self.serve(*(("--no-fsync",) if round_number % 2 else ()))
            port = self.port(server)
            self.assertEqual(self.unfinished(), [])  # of those that were killed before
            senders = [
                (self.sender(port, first, length), length)
                for first, length in (
                    (round_number * 100_000 + 10_000, 1_000),
                    (round_number * 100_000 + 20_000, 100_000),
                    (round_number * 100_000 + 30_000, 3_000_000),
                )
            ]
            every, _ = senders[chance.randrange(3)]
            every.wait_for(rf"(\d+\n){{{chance.randrange(1, 12)}}}")
            server.destroy()
            for sender, length in senders:
                sender.wait()
                self.assertNotIn("status", sender.output)
                answered |= {int(line): length for line in sender.output.split()}
        last = self.serve()
        self.port(last)
        self.assertEqual(self.unfinished(), [])
        self.assertEqual(last.terminate(), -15)
        for number, length in answered.items():
            self.assert_stored(number, length)
        lengths = {1: 1_000, 2: 100_000, 3: 3_000_000}
        files = self.files()
        for name in files:  # also those whose answer did not arrive
            number = int(name.rpartition(".dcm")[0].rpartition(".")[2])
            self.assert_stored(number, lengths[number // 10_000 % 10])
        self.assertLessEqual({path(number) for number in answered}, set(files))
        self.assertGreater(len(answered), ROUNDS)

    def sender(self, port: int, first: int, length: int) -> Process:
        """Return a process that sends objects until the server is gone."""
        return self.start(
            sys.executable, "-m", "tests.raw_storage", str(port), str(first), str(length)
        )
