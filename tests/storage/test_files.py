"""Objects become files: names, policies, failures, company."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

import tests
from pacs_twisted.errors import OutOfSequence
from pacs_twisted.storage.files import Committed, Crowded, Existing, FileStore, Refused
from pacs_twisted.storage.filesystem import MAXIMUM_BUFFERS, OSFileSystem
from pacs_twisted.storage.workplace import NAME, Gone
from pacs_twisted.uids import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from tests.processes import Process
from tests.requirements import requirement
from tests.storage.storing_process import head, store_version

ROOT: Final = Path(tests.__file__).resolve().parent.parent

WHERE: Final = ("1.2", "1.2.3", "1.2.3.4.dcm")


def everything_below(directory: Path) -> dict[str, bytes]:
    """Return the content of all files, locks aside, by path."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not path.name.endswith("lock")
    }


class StoreTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()

    def open(
        self, existing: Existing | str = Existing.COMPARE, *, fsync: bool = False
    ) -> FileStore:
        """Return a store in our directory; it is closed when the test ends."""
        store = FileStore(self.directory, fsync=fsync, existing=existing)
        store.open()
        self.addCleanup(store.close)
        return store

    def assert_stored(self, expected: dict[str, bytes]) -> None:
        """There are these files and no others, temporary ones neither."""
        self.assertEqual(everything_below(self.directory), expected)


class WritingTests(StoreTestCase):
    """From the first byte to the name."""

    def test_put(self) -> None:
        """What is written in pieces is one file under its name; directories are made."""
        store = self.open()
        incoming = store.begin()
        incoming.write([b"ab", memoryview(b"cd")])
        self.assertEqual(incoming.path.read_bytes(), b"abcd")
        incoming.write([])
        incoming.write([b"", b"ef", bytearray(b"gh")])
        self.assertEqual(incoming.size, 8)
        incoming.finish()
        self.assertEqual(incoming.path.read_bytes(), b"abcdefgh")
        committed = incoming.commit(WHERE)
        self.assertEqual(committed, Committed(self.directory.joinpath(*WHERE)))
        self.assert_stored({"/".join(WHERE): b"abcdefgh"})

    def test_put_at_once(self) -> None:
        """A short object takes one call."""
        for fsync in (True, False):
            name = f"{fsync}.dcm"
            committed = self.open(fsync=fsync).begin().put([b"x"], (name,))
            self.assertEqual(committed.path, self.directory / name)
            self.assertEqual(committed.path.read_bytes(), b"x")

    def test_begin_is_free(self) -> None:
        """An object that never gets a byte leaves no trace."""
        store = self.open()
        incoming = store.begin()
        self.assert_stored({})
        incoming.discard()
        self.assert_stored({})

    def test_empty(self) -> None:
        """An object without a byte is a file without a byte."""
        incoming = self.open().begin()
        incoming.finish()
        incoming.commit(WHERE)
        self.assert_stored({"/".join(WHERE): b""})

    def test_many_buffers(self) -> None:
        """More buffers than one system call takes."""
        pieces = [bytes([number % 251]) * 3 for number in range(2 * MAXIMUM_BUFFERS + 7)]
        self.open().begin().put(pieces, WHERE)
        self.assert_stored({"/".join(WHERE): b"".join(pieces)})

    def test_short_writes(self) -> None:
        """What the system did not take at once is written afterwards, wherever it stopped."""

        class Slow(OSFileSystem):
            most = 1

            def write_little(self, file: int, buffers: Sequence[bytes], /) -> int:
                return os.write(file, b"".join(buffers)[: self.most])

        files = Slow()
        files.writev = files.write_little  # type: ignore[assignment]
        store = FileStore(self.directory, files, fsync=False)
        store.open()
        self.addCleanup(store.close)
        for files.most in range(1, 12):
            name = f"{files.most}.dcm"
            store.begin().put([b"abc", b"", memoryview(b"defg"), b"h", b"ij"], (name,))
            self.assertEqual((self.directory / name).read_bytes(), b"abcdefghij")

    def test_mode(self) -> None:
        """Who may read the files is for the umask to say."""
        for mask, mode in ((0o022, 0o644), (0o007, 0o660)):
            before = os.umask(mask)
            try:
                committed = self.open().begin().put([b"x"], ("a", f"{mask}.dcm"))
            finally:
                os.umask(before)
            self.assertEqual(stat.S_IMODE(committed.path.stat().st_mode), mode)

    def test_discard(self) -> None:
        """Of a discarded object nothing is left, and nothing can be made of it."""
        store = self.open()
        for finished in (False, True):
            incoming = store.begin()
            incoming.write([b"x"])
            if finished:
                incoming.finish()
            incoming.discard()
            self.assert_stored({})
            incoming.discard()
            self.assertRaises(OutOfSequence, incoming.write, [b"y"])
            self.assertRaises(OutOfSequence, incoming.finish)
            self.assertRaises(OutOfSequence, incoming.commit, WHERE)
            self.assert_stored({})

    def test_discard_after_commit(self) -> None:
        """What is stored stays."""
        incoming = self.open().begin()
        incoming.put([b"x"], WHERE)
        incoming.discard()
        self.assert_stored({"/".join(WHERE): b"x"})

    def test_order_of_calls(self) -> None:
        """What is not finished gets no name; what is finished gets no more bytes."""
        store = self.open()
        incoming = store.begin()
        self.assertRaises(OutOfSequence, incoming.commit, WHERE)
        incoming.write([b"x"])
        self.assertRaises(OutOfSequence, incoming.commit, WHERE)
        incoming.finish()
        self.assertRaises(OutOfSequence, incoming.write, [b"y"])
        incoming.commit(WHERE)
        self.assertRaises(OutOfSequence, incoming.commit, WHERE)
        self.assert_stored({"/".join(WHERE): b"x"})

    @requirement("K11")
    def test_unsafe_components(self) -> None:
        """What is not one visible name below the directory is refused, whoever made it."""
        store = self.open()
        for component in ("", ".", "..", ".hidden", "a/b", "/", "a\0b", NAME):
            for components in ((component,), (component, "a.dcm"), ("a", component)):
                with self.assertRaises(ValueError):
                    store.begin().put([b"x"], components)
        with self.assertRaises(ValueError):
            store.begin().put([b"x"], ())
        self.assert_stored({})
        self.assertEqual([path.name for path in self.directory.iterdir()], [NAME])


class ExistingTests(StoreTestCase):
    """The name is taken."""

    def test_keep_equal(self) -> None:
        """The same data set again is stored already, wherever it came from this time."""
        store = self.open()
        store.begin().put([head(title="ONE"), b"data"], WHERE)
        committed = store.begin().put([head(title="ANOTHER_ONE"), b"data"], WHERE)
        self.assertEqual(committed, Committed(self.directory.joinpath(*WHERE), kept=True))
        self.assert_stored({"/".join(WHERE): head(title="ONE") + b"data"})

    def test_long_equal(self) -> None:
        """Long data sets are compared to their ends."""
        store = self.open()
        data = bytes(range(256)) * 10_000
        other = data[:-1] + b"!"
        for content in (data, data, other, other, data):
            store.begin().put([head(), content], WHERE)
        self.assert_stored(
            {"1.2/1.2.3/1.2.3.4.dcm": head() + data, "1.2/1.2.3/1.2.3.4~1.dcm": head() + other}
        )

    def test_different(self) -> None:
        """Another data set of that name is stored beside, once."""
        store = self.open()
        for number in range(4):
            for again in (False, True):
                committed = store.begin().put([head(), b"%d" % number], WHERE)
                self.assertEqual(committed.beside, number > 0)
                self.assertEqual(committed.kept, again)
                self.assertEqual(committed.path.read_bytes(), head() + b"%d" % number)
        self.assert_stored(
            {
                "1.2/1.2.3/1.2.3.4.dcm": head() + b"0",
                "1.2/1.2.3/1.2.3.4~1.dcm": head() + b"1",
                "1.2/1.2.3/1.2.3.4~2.dcm": head() + b"2",
                "1.2/1.2.3/1.2.3.4~3.dcm": head() + b"3",
            }
        )

    def test_too_many(self) -> None:
        """Of very many objects that want one name the last are refused, and nothing is left."""
        store = self.open()
        for number in range(101):
            store.begin().put([head(), b"%03d" % number], WHERE)
        incoming = store.begin()
        self.assertRaises(Crowded, incoming.put, [head(), b"one more"], WHERE)
        self.assertEqual(len(list(self.directory.rglob("*.dcm"))), 101)
        self.assertTrue(store.begin().put([head(), b"100"], WHERE).kept)

    def test_other_transfer_syntax(self) -> None:
        """The same bytes in another transfer syntax are another data set."""
        store = self.open()
        store.begin().put([head(EXPLICIT_VR_LITTLE_ENDIAN), b"data"], WHERE)
        committed = store.begin().put([head(IMPLICIT_VR_LITTLE_ENDIAN), b"data"], WHERE)
        self.assertTrue(committed.beside)

    def test_no_part_10(self) -> None:
        """A file of another kind that has the name is like no object."""
        store = self.open()
        there = self.directory.joinpath(*WHERE)
        there.parent.mkdir(parents=True)
        for content in (b"", b"text", bytes(128) + b"DICM\2\0", bytes(200)):
            there.write_bytes(content)
            committed = store.begin().put([head(), content], WHERE)
            self.assertTrue(committed.beside)
            self.assertEqual(there.read_bytes(), content)
            committed.path.unlink()

    def test_names_beside(self) -> None:
        """The name beside is no other object's, and not too long."""
        store = self.open()
        for name, beside in (
            ("1.2.3", "1.2.3~1"),
            ("a", "a~1"),
            ("image.dcm", "image~1.dcm"),
            ("image.", "image.~1"),
            ("1.long_suffix", "1.long_suffix~1"),
            ("n" * 251 + ".dcm", "n" * 249 + "~1.dcm"),
            ("é" * 125 + ".dcm", "é" * 124 + "~1.dcm"),
        ):
            store.begin().put([head(), b"1"], (name,))
            committed = store.begin().put([head(), b"2"], (name,))
            self.assertEqual(committed.path.name, beside)
            self.assertTrue(committed.beside)

    def test_keep(self) -> None:
        """The policy keep keeps what is there, and says so."""
        store = self.open("keep")
        store.begin().put([head(), b"1"], WHERE)
        committed = store.begin().put([head(), b"2"], WHERE)
        self.assertEqual(committed, Committed(self.directory.joinpath(*WHERE), kept=True))
        self.assert_stored({"/".join(WHERE): head() + b"1"})

    def test_replace(self) -> None:
        """The policy replace puts the new object in its place."""
        store = self.open("replace")
        store.begin().put([head(), b"1"], WHERE)
        committed = store.begin().put([head(), b"2"], WHERE)
        self.assertEqual(committed, Committed(self.directory.joinpath(*WHERE)))
        self.assert_stored({"/".join(WHERE): head() + b"2"})

    def test_refuse(self) -> None:
        """The policy refuse stores no other object, nor the same again."""
        store = self.open("refuse")
        store.begin().put([head(), b"1"], WHERE)
        for content in (b"1", b"2"):
            with self.assertRaises(Refused):
                store.begin().put([head(), content], WHERE)
        self.assert_stored({"/".join(WHERE): head() + b"1"})

    def test_other_instances(self) -> None:
        """Whatever the policy is, it is about one instance: others of the name stay."""
        for existing in Existing:
            store = self.open(existing)
            names = [f"{existing.value}{end}.dcm" for end in ("", "~1", "~2")]
            for again in (False, True):
                for number, name in enumerate(names):
                    instance = head(instance=f"1.2.3.{number}")
                    incoming = store.begin()
                    if again and existing is Existing.REFUSE:
                        self.assertRaises(Refused, incoming.put, [instance, b"same"], names[:1])
                        continue
                    committed = incoming.put([instance, b"same"], names[:1])
                    kept = again and existing is not Existing.REPLACE
                    expected = Committed(self.directory / name, kept, number > 0)
                    self.assertEqual(committed, expected, existing)
                    self.assertEqual(committed.path.read_bytes(), instance + b"same")
            self.assertEqual(len(list(self.directory.glob(f"{existing.value}*"))), 3)

    def test_unknown_instances(self) -> None:
        """What does not say of which instance it is counts as another one, and stays."""
        unknown = (b"", b"text", bytes(128) + b"DICM\2\0", head(instance=""))
        for existing in ("keep", "replace", "refuse"):
            store = self.open(existing)
            for number, there in enumerate(unknown):
                for new in (head(), there):
                    name = f"{existing}{number}{new == there}.dcm"
                    (self.directory / name).write_bytes(there)
                    committed = store.begin().put([new, b"new"], (name,))
                    self.assertTrue(committed.beside)
                    self.assertFalse(committed.kept)
                    self.assertEqual((self.directory / name).read_bytes(), there)
                    self.assertEqual(committed.path.read_bytes(), new + b"new")

    def test_replaced_while_it_is_looked_at(self) -> None:
        """Between the look at what is there and its replacement nobody gives a file the name."""

        class Interrupted(OSFileSystem):
            after_read: Callable[[], object] = staticmethod(lambda: None)

            def read_and_wait(self, file: int, length: int, offset: int, /) -> bytes:
                data = os.pread(file, length, offset)
                self.after_read()
                return data

        files = Interrupted()
        files.read = files.read_and_wait
        store = FileStore(self.directory, files, fsync=False, existing="replace")
        store.open()
        self.addCleanup(store.close)
        store.begin().put([head(), b"old"], WHERE)
        lock = OSFileSystem().open_lock(f"{self.directory}/{NAME}/commit.lock")
        self.addCleanup(os.close, lock)
        free: list[bool] = []
        files.after_read = lambda: free.append(OSFileSystem().try_lock(lock))
        store.begin().put([head(), b"new"], WHERE)
        self.assertEqual(set(free), {False})
        self.assert_stored({"/".join(WHERE): head() + b"new"})

    def test_no_such_policy(self) -> None:
        """A policy that does not exist is told of before anything is stored."""
        self.assertRaises(ValueError, FileStore, self.directory, existing="overwrite")

    def test_directory_in_the_way(self) -> None:
        """Where a directory has the name, that is said, and nothing is harmed or taken as kept."""
        for existing in Existing:
            store = self.open(existing)
            (self.directory / "a.dcm" / "below").mkdir(parents=True, exist_ok=True)
            with self.assertRaises(IsADirectoryError):
                store.begin().put([b"x"], ("a.dcm",))
            self.assert_stored({})
            self.assertTrue((self.directory / "a.dcm" / "below").is_dir())

    def test_file_in_the_way(self) -> None:
        """Where a file has the name of a directory, that is said, and the file stays."""
        store = self.open()
        store.begin().put([b"file"], ("a",))
        for components in (("a", "b.dcm"), ("a", "b", "c.dcm")):
            with self.assertRaises(NotADirectoryError):
                store.begin().put([b"x"], components)
        self.assert_stored({"a": b"file"})

    def test_fifo_in_the_way(self) -> None:
        """What is no file is not waited for."""
        store = self.open("keep")
        os.mkfifo(self.directory / "a.dcm")
        with self.assertRaises(OSError):
            store.begin().put([b"x"], ("a.dcm",))
        self.assert_stored({})

    def test_link_to_nowhere(self) -> None:
        """A link whose file has gone has the name all the same."""
        for existing in Existing:
            store = self.open(existing)
            name = f"{existing.value}.dcm"
            (self.directory / name).symlink_to("gone")
            committed = store.begin().put([head(), b"x"], (name,))
            self.assertEqual(committed.path.name, f"{existing.value}~1.dcm")
            self.assertTrue(committed.beside)

    def test_unreadable(self) -> None:
        """What may not be read cannot be compared: the new object is stored beside."""

        class Private(OSFileSystem):
            def open(self, path: str, /) -> int:
                raise PermissionError(path)

        self.open().begin().put([b"x"], ("a.dcm",))
        store = FileStore(self.directory, Private(), fsync=False)
        store.open()
        self.addCleanup(store.close)
        self.assertTrue(store.begin().put([b"x"], ("a.dcm",)).beside)
        self.assert_stored({"a.dcm": b"x", "a~1.dcm": b"x"})

    def test_gone(self) -> None:
        """When the workplace is gone while an object is on its way nothing is made in its place."""
        for gone in (NAME, "."):
            store = self.open()
            incoming = store.begin()
            incoming.write([b"x"])
            incoming.finish()
            shutil.rmtree(self.directory / gone)
            error = self.assertRaises(Gone, incoming.commit, ("a", "b.dcm"))
            self.assertEqual(Path(error.filename), self.directory / gone)
            self.assertRaises(Gone, store.begin().write, [b"x"])
            self.assert_stored({})

    def test_removed_directories(self) -> None:
        """Who removes directories that we had made finds them made again."""
        store = self.open()
        for number in range(3):
            path = store.begin().put([b"x"], WHERE).path
            path.unlink()
            path.parent.rmdir()
            if number == 1:
                path.parent.parent.rmdir()
        store.begin().put([b"x"], WHERE)
        self.assert_stored({"/".join(WHERE): b"x"})

    def test_directory_becomes_file(self) -> None:
        """A directory that we had made may have become a file."""
        store = self.open()
        path = store.begin().put([b"x"], WHERE).path
        path.unlink()
        path.parent.rmdir()
        path.parent.write_bytes(b"file")
        with self.assertRaises(NotADirectoryError):
            store.begin().put([b"x"], WHERE)
        self.assert_stored({"1.2/1.2.3": b"file"})

    def test_removed_while_compared(self) -> None:
        """A file that goes away when it is to be looked at leaves its name to the new one."""

        class Hasty(OSFileSystem):
            def open(self, path: str, /) -> int:
                os.unlink(path)
                return super().open(path)

        self.open().begin().put([b"old"], WHERE)
        store = FileStore(self.directory, Hasty(), fsync=False)
        store.open()
        self.addCleanup(store.close)
        committed = store.begin().put([b"new"], WHERE)
        self.assertEqual(committed, Committed(self.directory.joinpath(*WHERE)))
        self.assert_stored({"/".join(WHERE): b"new"})


class CompanyTests(StoreTestCase):
    """Several servers, or several threads, in one directory."""

    def test_leftovers(self) -> None:
        """At the start what a dead server has left is removed; what is a living one's stays."""
        living = self.open()
        theirs = living.begin()
        theirs.write([b"on its way"])
        dead = self.directory / NAME / "1-dead"
        dead.mkdir()
        for name in ("lock", "1", "2"):
            (dead / name).write_bytes(b"part")
        (self.directory / NAME / "2-just-come").mkdir()
        store = FileStore(self.directory, fsync=False)
        self.addCleanup(store.close)
        leftovers = store.open()
        self.assertEqual((leftovers.removed, leftovers.errors), (2, ()))
        self.assertFalse(dead.exists())
        self.assertFalse((self.directory / NAME / "2-just-come").exists())
        theirs.finish()
        theirs.commit(WHERE)
        self.assert_stored({"/".join(WHERE): b"on its way"})

    def test_lock_removed(self) -> None:
        """A server whose lock somebody has removed is not taken for dead."""
        living = self.open()
        theirs = living.begin()
        theirs.write([b"on its way"])
        (theirs.path.parent / "lock").unlink()
        self.assertEqual(self.open().open().removed, 0)
        theirs.finish()
        theirs.commit(WHERE)
        self.assert_stored({"/".join(WHERE): b"on its way"})

    def test_leftovers_that_stay(self) -> None:
        """What cannot be removed keeps no server from starting; it is told of."""
        dead = self.directory / NAME / "1-dead"
        (dead / "directory").mkdir(parents=True)
        (dead / "lock").touch()
        store = FileStore(self.directory, fsync=False)
        self.addCleanup(store.close)
        leftovers = store.open()
        self.assertEqual(leftovers.removed, 0)
        self.assertEqual(len(leftovers.errors), 1)
        store.begin().put([b"x"], WHERE)

    def test_close(self) -> None:
        """Who leaves leaves nothing, and may leave twice."""
        store = self.open()
        store.begin().write([b"x"])
        store.close()
        store.close()
        self.assertEqual(
            sorted(path.name for path in (self.directory / NAME).iterdir()),
            ["commit.lock", "opening.lock"],
        )
        FileStore(self.directory).close()

    def test_open_files(self) -> None:
        """Neither stored nor failed nor discarded objects leave a file open."""
        store = self.open()
        store.begin().put([b"x"], ("there.dcm",))
        before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
        for number in range(3):
            store.begin().put([b"x"], (f"{number}.dcm",))
            store.begin().put([b"y"], (f"{number}.dcm",))
            store.begin().put([b"y"], (f"{number}.dcm",))
            discarded = store.begin()
            discarded.write([b"z"])
            discarded.discard()
            with self.assertRaises(NotADirectoryError):
                store.begin().put([b"x"], ("there.dcm", "below.dcm"))
        after = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
        self.assertEqual(len(before), len(after))

    def test_tidied(self) -> None:
        """Somebody removes our place among the temporary files: the next object makes another."""
        store = self.open()
        for _ in range(2):
            own = next(path for path in (self.directory / NAME).iterdir() if path.is_dir())
            (own / "lock").unlink()
            own.rmdir()
            incoming = store.begin()
            incoming.write([b"x"])
            self.assertEqual(self.open().open().removed, 0)  # it is known to live
            incoming.finish()
            incoming.commit((f"{own.name}.dcm",))

    def test_vanished(self) -> None:
        """Where the file system has gone nothing is stored in what lay under it."""
        store = self.open()
        for path in sorted((self.directory / NAME).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (self.directory / NAME).rmdir()
        with self.assertRaises(FileNotFoundError):
            store.begin().put([b"x"], WHERE)
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_file_instead_of_directory(self) -> None:
        """A store whose directory is a file does not start."""
        self.directory.write_bytes(b"")
        self.assertRaises(NotADirectoryError, FileStore(self.directory).open)
        self.assertRaises(NotADirectoryError, FileStore(self.directory / "a" / "b").open)

    def test_nothing_between_check_and_rename(self) -> None:
        """While one looks whether a name is free and takes it, no other server does."""

        class Impatient(OSFileSystem):
            def lock(self, file: int, /) -> None:
                if not self.try_lock(file):
                    raise BlockingIOError

        other = FileStore(self.directory, Impatient(), fsync=False)
        held_off: list[BlockingIOError] = []

        class Meddling(OSFileSystem):
            def exists(self, path: str, /) -> bool:
                found = super().exists(path)
                try:
                    other.begin().put([head(), b"2"], WHERE)
                except BlockingIOError as error:
                    held_off.append(error)
                return found

        store = FileStore(self.directory, Meddling(), fsync=False)
        for one in (store, other):
            one.open()
            self.addCleanup(one.close)
        self.assertFalse(store.begin().put([head(), b"1"], WHERE).beside)
        self.assertEqual(len(held_off), 1)
        self.assertTrue(other.begin().put([head(), b"2"], WHERE).beside)
        self.assert_stored(
            {"1.2/1.2.3/1.2.3.4.dcm": head() + b"1", "1.2/1.2.3/1.2.3.4~1.dcm": head() + b"2"}
        )

    def test_no_thread_between_check_and_rename(self) -> None:
        """Nor does another thread of the same server."""

        class Lingering(OSFileSystem):
            """Between the check and the rename there is ample time for another thread to come."""

            def __init__(self) -> None:
                self.inside = 0
                self.most = 0
                self.company = threading.Event()

            def exists(self, path: str, /) -> bool:
                self.inside += 1
                self.most = max(self.most, self.inside)
                if self.inside > 1:
                    self.company.set()
                self.company.wait(0.1)  # in vain
                self.inside -= 1
                return super().exists(path)

        files = Lingering()
        store = FileStore(self.directory, files, fsync=False)
        store.open()
        self.addCleanup(store.close)
        threads = [threading.Thread(target=store_version, args=(store, 1, n)) for n in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(files.most, 1)
        self.assert_versions(numbers=1, kinds=2)

    def test_threads(self) -> None:
        """Threads that store the same instances lose none and store none twice."""
        store = self.open()
        failures: list[BaseException] = []

        def work(kind: int) -> None:
            try:
                for number in range(100):
                    store_version(store, number, kind)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(kind,)) for kind in (0, 1, 1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assert_versions(numbers=100, kinds=3)

    def test_processes(self) -> None:
        """So do processes."""
        with self.another("0") as a, self.another("1") as b:
            self.assertEqual(a.wait(b), 0, a.output)
            self.assertEqual(b.wait(), 0, b.output)
        self.assert_versions(numbers=200, kinds=2)

    def test_killed(self) -> None:
        """What a killed process leaves is removed by who starts after its death, not before."""
        with self.another("hang") as process:
            process.wait_for("written")
            store = self.open()
            self.assertEqual(len(everything_below(self.directory)), 1)
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.assertEqual(len(everything_below(self.directory)), 1)
        store.close()
        again = FileStore(self.directory)
        self.addCleanup(again.close)
        self.assertEqual(again.open().removed, 1)
        self.assert_stored({})

    def another(self, what: str) -> Process:
        """Start a process that stores in our directory."""
        program = "tests.storage.storing_process"
        return Process([sys.executable, "-m", program, self.directory, what], directory=ROOT)

    def assert_versions(self, numbers: int, kinds: int) -> None:
        """Of each instance there is each version, once."""
        found: dict[str, list[bytes]] = {}
        for path, content in everything_below(self.directory).items():
            found.setdefault(path.removesuffix(".dcm").partition("~")[0], []).append(content)
        expected = [head() + b"version %d" % kind for kind in range(kinds)]
        self.assertEqual(len(found), numbers)
        for contents in found.values():
            self.assertEqual(sorted(contents), expected)
