"""What is stored stays, and what is not whole has no name: whatever happens, whenever it does."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.storage.files import Committed, Existing, FileStore
from pacs_twisted.storage.workplace import NAME
from tests.requirements import requirement
from tests.storage.memory_filesystem import (
    Change,
    Entry,
    Killed,
    MemoryFileSystem,
    WouldWait,
    Write,
)
from tests.storage.storing_process import head

DIRECTORY: Final = "/srv/objects"
FIRST: Final = ("1.1", "1.1.1", "1.1.1.1.dcm")
SECOND: Final = ("1.1", "1.1.1", "1.1.1.2.dcm")
OTHER_SERIES: Final = ("1.1", "1.1.2", "1.1.2.1.dcm")
OTHER_STUDY: Final = ("1.2", "1.2.1", "1.2.1.1.dcm")


class Lost(AssertionError):
    """A stored object is not there, or something is there that is no whole object."""


class Witness:
    """
    Knows what was stored and what may be found, and looks whether it is so.

    Args:
        files: the file system, of which outcomes of a power cut are looked at.
    """

    def __init__(self, files: MemoryFileSystem) -> None:
        self.files = files
        self.stored: dict[str, set[bytes]] = {}
        """For each path that a commit has returned what may be there now."""
        self.whole: set[bytes] = set()
        """Every object that was to be stored."""
        self.outcomes = 0

    def put(self, store: FileStore, components: Sequence[str], data: bytes) -> Committed:
        """Store an object in three pieces, and take note of it."""
        content = head() + data
        self.whole.add(content)
        path = "/".join(components)
        if store.existing is Existing.REPLACE and path in self.stored:
            self.stored[path] = self.stored[path] | {content}
        incoming = store.begin()
        incoming.write([content[:100], content[100:300]])
        incoming.write([content[300:]])
        incoming.finish()
        committed = incoming.commit(components)
        found = str(committed.path).removeprefix(DIRECTORY + "/")
        if committed.kept and store.existing is Existing.KEEP:
            self.stored.setdefault(found, set(self.whole))
        else:
            self.stored[found] = {content}
        return committed

    def look(self, disk: MemoryFileSystem, directory: str = DIRECTORY) -> None:
        """See what is on a disk."""
        try:
            found = disk.files_below(directory)
        except FileNotFoundError:
            found = {}
        self.outcomes += 1
        for path, expected in self.stored.items():
            if path not in found:
                raise Lost(f"{path} is not there")
            if found[path] not in expected:
                raise Lost(f"{path} has another content")
        for path, content in found.items():
            if not path.startswith(NAME) and content not in self.whole:
                raise Lost(f"{path} is no whole object")

    def look_after_power_cut(self) -> None:
        """See what is found after a power cut at this moment, in several outcomes."""
        for survives in ways_to_survive(len(self.files.calls)):
            disk = self.files.after_power_cut(survives)
            self.look(disk)
            # The next start must cope with whatever is there, and cleans it.
            again = FileStore(DIRECTORY, disk)
            again.open()
            self.look(disk)
            again.close()
            left = {path for path in disk.files_below(DIRECTORY) if path.startswith(NAME)}
            if not left <= {f"{NAME}/opening.lock", f"{NAME}/commit.lock"}:
                raise Lost(f"{left} was left over")

    def watch(self) -> None:
        """Look after a power cut before each call of the file system from now on."""
        self.files.before_call = lambda call, path: self.look_after_power_cut()


def ways_to_survive(seed: int) -> Iterator[Callable[[Change], bool]]:
    """Yield what of all that was not synchronized may have reached the disk."""
    yield lambda change: False
    yield lambda change: True
    yield lambda change: isinstance(change, Entry)  # names before contents, as journals do
    yield lambda change: isinstance(change, Write)
    for share in (0.1, 0.5, 0.5, 0.9):
        chance = random.Random(f"{seed} {share}")
        yield lambda change, chance=chance, share=share: (  # type: ignore[misc]
            chance.random() < share
        )


def store_many(witness: Witness, store: FileStore) -> None:
    """Store objects in all the ways that there are."""
    store.open()
    witness.put(store, FIRST, b"first")
    witness.put(store, SECOND, b"second, which is a little longer")
    witness.put(store, OTHER_SERIES, b"of another series")
    witness.put(store, FIRST, b"first")
    witness.put(store, FIRST, b"not the first")
    witness.put(store, FIRST, b"not the first")
    abandoned = store.begin()
    abandoned.write([head(), b"abandoned"])
    witness.put(store, OTHER_STUDY, b"of another study")
    abandoned.discard()
    witness.put(store, ("flat.dcm",), b"without directories")
    store.close()


class ForgetfulFileSystem(MemoryFileSystem):
    """
    One that does not do all that it is asked for.

    Args:
        call: what it does not do.
        path: for this path only; for all if empty.
    """

    def __init__(self, call: str, path: str = "") -> None:
        super().__init__()
        self._forgotten = call, path

    def _synchronize(self, call: str, node: int, path: str) -> None:
        if call != self._forgotten[0] or (self._forgotten[1] or path) != path:
            super()._synchronize(call, node, path)


class PowerCutTests(SynchronousTestCase):
    """The power goes, at any moment."""

    @requirement("K4", "K11")
    def test_every_point(self) -> None:
        """Every object whose commit has returned is there, and nothing that is not whole."""
        for existing in ("compare", "replace", "keep"):
            files = MemoryFileSystem(most=250)
            witness = Witness(files)
            witness.watch()
            store_many(witness, FileStore(DIRECTORY, files, existing=existing))
            witness.look_after_power_cut()
            self.assertGreater(witness.outcomes, 1500)
            self.assertEqual(len(witness.stored), 6 if existing == "compare" else 5)

    def test_the_test(self) -> None:
        """Each synchronization is needed: without it this test finds what is lost."""
        for call, path in (
            ("fsync", ""),
            ("fsync_directory", ""),
            ("fsync_directory", "/"),
            ("fsync_directory", "/srv"),
            ("fsync_directory", DIRECTORY),
            ("fsync_directory", f"{DIRECTORY}/1.1"),
            ("fsync_directory", f"{DIRECTORY}/1.1/1.1.1"),
        ):
            forgetful = ForgetfulFileSystem(call, path)
            witness = Witness(forgetful)
            witness.watch()
            with self.assertRaises(Lost, msg=f"{call} {path}"):
                store_many(witness, FileStore(DIRECTORY, forgetful))
        files = MemoryFileSystem()
        witness = Witness(files)
        witness.watch()
        with self.assertRaises(Lost):
            store_many(witness, FileStore(DIRECTORY, files, fsync=False))

    def test_another_server(self) -> None:
        """
        Another server stores at any moment while one does, and then the power goes.

        It may find a directory, or the very object, that the first has not synchronized yet.
        """
        for where, data in ((SECOND, b"second"), (FIRST, b"first"), (FIRST, b"not the first")):
            self.assertGreater(self.store_at_every_point(where, data, lambda store: None), 10)

    def test_another_thread(self) -> None:
        """So does another thread of the same server."""
        for where, data in ((SECOND, b"second"), (FIRST, b"first"), (FIRST, b"not the first")):
            self.assertGreater(self.store_at_every_point(where, data, lambda store: store), 9)

    def store_at_every_point(
        self,
        where: Sequence[str],
        data: bytes,
        choose: Callable[[FileStore], FileStore | None],
    ) -> int:
        """
        While an object is stored store another one, once for each call at which that can be.

        Args:
            where: the other object's name.
            data: its content.
            choose: returns the store for it, if it is not one of its own.

        Returns:
            At how many calls it could be stored.
        """
        meetings = 0
        for meet_at in range(1000):
            files = MemoryFileSystem()
            witness = Witness(files)
            store = FileStore(DIRECTORY, files)
            store.open()
            other = choose(store)
            if other is None:
                other = FileStore(DIRECTORY, files)
                other.open()
            meet_at += len(files.calls)
            met = False

            def meet(call: str, path: str) -> None:
                nonlocal meetings, met
                if len(files.calls) < meet_at or met:  # noqa: B023
                    return
                met = True
                # There a thread of the same store waits for the other one.
                if other is store and call in ("lock", "exists", "rename", "unlock"):  # noqa: B023
                    return
                try:
                    witness.put(other, where, data)  # noqa: B023
                    meetings += 1
                except WouldWait:
                    return
                witness.look_after_power_cut()  # noqa: B023

            files.before_call = meet
            witness.put(store, FIRST, b"first")
            witness.look_after_power_cut()
            if not met:
                return meetings
        raise AssertionError("one commit takes a thousand calls?")

    def test_another_server_starts(self) -> None:
        """Another server starts and stores while one starts, and then the power goes."""
        meetings = 0
        for meet_at in range(1000):
            files = MemoryFileSystem()
            witness = Witness(files)
            met = False

            def meet(call: str, path: str) -> None:
                nonlocal meetings, met
                if len(files.calls) < meet_at or met:  # noqa: B023
                    return
                met = True
                other = FileStore(DIRECTORY, files)  # noqa: B023
                try:
                    other.open()
                    witness.put(other, FIRST, b"first")  # noqa: B023
                    meetings += 1
                except WouldWait:
                    return
                witness.look_after_power_cut()  # noqa: B023

            files.before_call = meet
            FileStore(DIRECTORY, files).open()
            if not met:
                break
        self.assertGreater(meetings, 8)

    def test_stored_without_fsync(self) -> None:
        """What another server stored without fsync is kept only when it has been made durable."""
        files = MemoryFileSystem()
        witness = Witness(files)
        careless = FileStore(DIRECTORY, files, fsync=False)
        careless.open()
        careless.begin().put([head(), b"first"], FIRST)
        store = FileStore(DIRECTORY, files)
        store.open()
        self.assertTrue(witness.put(store, FIRST, b"first").kept)
        witness.look_after_power_cut()

    def test_order_of_calls(self) -> None:
        """Written, made durable, named, the name made durable: in this order, and nothing else."""
        files = MemoryFileSystem()
        store = FileStore(DIRECTORY, files)
        store.open()
        files.calls.clear()
        Witness(files).put(store, FIRST, b"first")
        temporary = files.calls[0][1]
        self.assertTrue(temporary.startswith(f"{DIRECTORY}/{NAME}/"))
        lock = f"{DIRECTORY}/{NAME}/commit.lock"
        target = "/".join((DIRECTORY, *FIRST))
        writing = [
            ("create", temporary),
            ("writev", temporary),
            ("writev", temporary),
            ("fsync", temporary),
            ("close", temporary),
        ]
        naming = [
            ("lock", lock),
            ("exists", target),
            ("rename", target),
            ("unlock", lock),
            ("fsync_directory", f"{DIRECTORY}/1.1/1.1.1"),
        ]
        self.assertEqual(
            files.calls,
            [
                *writing,
                ("make_directory", f"{DIRECTORY}/1.1"),
                ("fsync_directory", DIRECTORY),
                ("make_directory", f"{DIRECTORY}/1.1/1.1.1"),
                ("fsync_directory", f"{DIRECTORY}/1.1"),
                *naming,
            ],
        )
        files.calls.clear()
        Witness(files).put(store, SECOND, b"second")
        self.assertEqual(
            [call for call, _ in files.calls], [call for call, _ in (*writing, *naming)]
        )

    def test_without_fsync(self) -> None:
        """Who does not want to wait for the disk does not: nothing is synchronized."""
        files = MemoryFileSystem()
        store_many(Witness(files), FileStore(DIRECTORY, files, fsync=False))
        self.assertEqual({call for call, _ in files.calls if "fsync" in call}, set())


class KillTests(SynchronousTestCase):
    """The process ends, at any moment; what it has written stays in the kernel's memory."""

    def test_every_point(self) -> None:
        """What was stored is there, nothing else, and what was on its way goes at the start."""
        for fsync in (True, False):
            calls = self.store_until(MemoryFileSystem(), fsync, -1)
            for kill_at in range(calls):
                self.store_until(MemoryFileSystem(), fsync, kill_at)

    def store_until(self, files: MemoryFileSystem, fsync: bool, kill_at: int) -> int:
        """Store until the process is killed; return how many calls were made."""
        witness = Witness(files)
        files.kill_at = kill_at
        store = FileStore(DIRECTORY, files, fsync=fsync)
        try:
            store_many(witness, store)
        except Killed:
            files.after_kill()
        calls = len(files.calls)
        witness.look(files)
        again = FileStore(DIRECTORY, files, fsync=fsync)
        again.open()
        again.close()
        witness.look(files)
        left = {path for path in files.files_below(DIRECTORY) if path.startswith(NAME)}
        self.assertEqual(left, {f"{NAME}/opening.lock", f"{NAME}/commit.lock"})
        return calls


class FailureTests(SynchronousTestCase):
    """The disk is full, broken, or not ours to write on."""

    def test_every_call_fails_once(self) -> None:
        """
        Each call in turn fails: the object is stored whole or not at all, and the next one is.

        It is never stored when its content or its name was not made durable.
        """
        for error in (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EACCES):
            for earlier in (None, b"first", b"not the first"):
                failures = 0
                for fail_at in range(1000):
                    if not self.store_with_failure(earlier, fail_at, error):
                        break
                    failures += 1
                self.assertGreater(failures, 8)

    def store_with_failure(self, earlier: bytes | None, fail_at: int, error: int) -> bool:
        """Store an object, a call of which fails; return whether there were so many calls."""
        files = MemoryFileSystem()
        witness = Witness(files)
        store = FileStore(DIRECTORY, files)
        store.open()
        if earlier is not None:
            witness.put(store, FIRST, earlier)
        files.calls.clear()
        files.fail_at, files.error = fail_at, error
        try:
            witness.put(store, FIRST, b"first")
            failed = False
        except OSError as problem:
            self.assertEqual(problem.errno, error)
            failed = True
        reached = len(files.calls) > fail_at
        files.fail_at = -1
        if reached:
            call, path = files.calls[fail_at]
            if call not in ("unlink", "unlock", "close", "open"):
                self.assertTrue(failed, f"{call} failed unnoticed")
            if "fsync" in call:
                self.assertEqual(files.calls.count((call, path)), 1, "an fsync was tried again")
            # A temporary file can be left only if it could not be removed.
            left = [name for name in files.files_below(DIRECTORY) if name[-1].isdigit()]
            self.assertEqual(len(left), int(call == "unlink"), call)
        witness.look_after_power_cut()
        if reached and files.calls[fail_at][0] == "fsync_directory" and error != errno.EACCES:
            # What the directory has lost nobody knows: it takes no more objects.
            with self.assertRaises(OSError):
                witness.put(store, SECOND, b"second")
        else:
            witness.put(store, SECOND, b"second")
        witness.look_after_power_cut()
        store.close()
        witness.look(files)
        return reached

    def test_full_disk(self) -> None:
        """Of an object for which there is no room nothing is left, and the room is free again."""
        files = MemoryFileSystem(room=2000)
        witness = Witness(files)
        store = FileStore(DIRECTORY, files)
        store.open()
        witness.put(store, FIRST, bytes(400))
        with self.assertRaises(OSError) as caught:
            witness.put(store, SECOND, bytes(2000))
        self.assertEqual(caught.exception.errno, errno.ENOSPC)
        self.assertEqual(
            [path for path in files.files_below(DIRECTORY) if path[0] != "."], ["/".join(FIRST)]
        )
        witness.put(store, SECOND, bytes(400))
        witness.look_after_power_cut()

    def test_nothing_more_after_failure(self) -> None:
        """What is still to be done for an object that has failed fails with the same error."""
        files = MemoryFileSystem()
        store = FileStore(DIRECTORY, files)
        store.open()
        incoming = store.begin()
        incoming.write([b"x"])
        files.fail_at, files.error = len(files.calls), errno.ENOSPC
        with self.assertRaises(OSError) as caught:
            incoming.write([b"y"])
        calls = len(files.calls)
        for call in (lambda: incoming.write([b"z"]), incoming.finish):
            with self.assertRaises(OSError) as again:
                call()
            self.assertIs(again.exception, caught.exception)
        incoming.discard()
        self.assertEqual(len(files.calls), calls)
        self.assertEqual([name for name in files.files_below(DIRECTORY) if name[0] != "."], [])

    def test_writes_nothing(self) -> None:
        """A file system that takes no bytes and names no reason is not asked for ever."""
        files = MemoryFileSystem(most=0)
        files.writev = lambda file, buffers, /: 0  # type: ignore[method-assign]
        store = FileStore(DIRECTORY, files)
        store.open()
        with self.assertRaises(OSError) as caught:
            store.begin().write([b"x"])
        self.assertEqual(caught.exception.errno, errno.EIO)

    def test_cannot_start(self) -> None:
        """A store that cannot be opened says why, whichever call fails, and works the next time."""
        for fail_at in range(1000):
            files = MemoryFileSystem()
            files.fail_at, files.error = fail_at, errno.EROFS
            store = FileStore(DIRECTORY, files)
            try:
                store.open()
                failed = False
            except OSError as problem:
                self.assertEqual(problem.errno, errno.EROFS)
                failed = True
            if len(files.calls) <= fail_at:
                self.assertGreater(fail_at, 10)
                return
            if not failed:
                self.assertIn(files.calls[fail_at][0], ("close", "is_directory"))
            store.close()
            files.fail_at = -1
            again = FileStore(DIRECTORY, files)
            again.open()
            again.begin().put([b"x"], FIRST)
            again.close()
