"""Where objects are looked for."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.storage.found import Found, find
from pacs_twisted.storage.objects import MEDIA_STORAGE_DIRECTORY, NotStorable, look_at_file
from tests.storage.sending import CT, DEFLATED, EXPLICIT, data_set, part10


class FindCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.top = Path(self.mktemp())
        self.top.mkdir()

    def write(self, name: str, content: bytes | None = None) -> Path:
        """Write a file; its instance is its name."""
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        number = "".join(character for character in name if character.isdigit())
        path.write_bytes(part10(data_set(f"1.2.{number}")) if content is None else content)
        return path

    def found(self, objects: Any) -> list[tuple[str, str]]:
        """Return name and instance, or what is wrong, of all that is found."""
        return [(self.short(found.name), look(found)) for found in find(objects)]

    def short(self, name: str) -> str:
        return name.removeprefix(f"{self.top}/")


def look(found: Found) -> str:
    try:
        return found.look().sop_instance_uid
    except NotStorable as error:
        return f"{'!' if found.named else '?'} {error}"
    except OSError as error:
        return f"{'!' if found.named else '?'} {error.strerror}"


class PathTests(FindCase):
    def test_file(self) -> None:
        """A path of a file, as text or not, is that file."""
        path = self.write("1.dcm")
        for given in path, str(path), [path], iter([str(path)]), ([path],):
            self.assertEqual(self.found(given), [("1.dcm", "1.2.1")])

    def test_missing(self) -> None:
        """A path that is not there is a failure, and does not keep the others from being found."""
        path = self.write("1.dcm")
        self.assertEqual(
            self.found([self.top / "no", path]),
            [("no", "! No such file or directory"), ("1.dcm", "1.2.1")],
        )

    def test_directory(self) -> None:
        """A directory is walked down, sorted; what is no object in it was not asked for."""
        for name in ("b/2.dcm", "b/1.dcm", "a.dcm", "c/d/3", "b/.hidden4"):
            self.write(name)
        self.write("b/notes.txt", b"no object")
        self.assertEqual(
            self.found(self.top),
            [
                ("a.dcm", "1.2."),
                ("b/.hidden4", "1.2.4"),
                ("b/1.dcm", "1.2.1"),
                ("b/2.dcm", "1.2.2"),
                ("b/notes.txt", "? not a DICOM file"),
                ("c/d/3", "1.2.3"),
            ],
        )
        self.assertEqual(
            self.found(self.top / "b/notes.txt"), [("b/notes.txt", "! not a DICOM file")]
        )

    def test_links(self) -> None:
        """Links to directories are followed, but nothing is visited twice and no circle walked."""
        self.write("a/1.dcm")
        outside = Path(self.mktemp())
        outside.mkdir()
        (outside / "2.dcm").write_bytes(part10(data_set("1.2.2")))
        (outside / "back").symlink_to(self.top.absolute())
        (self.top / "a/self").symlink_to(".")
        (self.top / "a/up").symlink_to("..")
        (self.top / "b").symlink_to("a")
        (self.top / "c").symlink_to(outside.absolute())
        (self.top / "d").symlink_to("nowhere")
        self.assertEqual(
            self.found(self.top),
            [
                ("a/1.dcm", "1.2.1"),
                ("c/2.dcm", "1.2.2"),
                ("d", "? No such file or directory"),
            ],
        )

    def test_link_to_itself(self) -> None:
        """A link that leads nowhere but to itself does not hide what is beside it."""
        self.write("1.dcm")
        (self.top / "2.dcm").symlink_to("2.dcm")
        self.assertEqual(
            self.found(self.top),
            [("1.dcm", "1.2.1"), ("2.dcm", "? Too many levels of symbolic links")],
        )

    def test_pipe(self) -> None:
        """A pipe is not opened: that would wait for ever."""
        os.mkfifo(self.top / "pipe")
        self.assertEqual(self.found(self.top), [("pipe", "? no file")])
        self.assertEqual(
            self.found(self.top / "pipe"), [("pipe", "! neither a file nor a directory")]
        )

    def test_late(self) -> None:
        """Nothing is opened before its turn has come."""
        first, second = self.write("1.dcm"), self.write("2.dcm")
        finder = find(self.top)
        self.assertEqual(look(next(finder)), "1.2.1")
        second.unlink()
        self.assertIn("No such file", look(next(finder)))
        finder = find(iter([first, second]))
        next(finder)
        self.assertIn("No such file", look(next(finder)))

    def test_memory(self) -> None:
        """Data sets and objects in memory are found beside paths."""
        dataset = Dataset()
        dataset.SOPClassUID = UID(CT)
        dataset.SOPInstanceUID = UID("1.2.7")
        path = self.write("1.dcm")
        self.assertEqual(self.found(dataset), [("data set 1.2.7", "1.2.7")])
        self.assertEqual(
            self.found([dataset, path, look_at_file(str(path))]),
            [("data set 1.2.7", "1.2.7"), ("1.dcm", "1.2.1"), ("1.dcm", "1.2.1")],
        )
        self.assertEqual(self.found([Dataset()]), [("data set", "! no SOP class UID")])

    def test_nonsense(self) -> None:
        """What can be no object is the caller's mistake."""
        for nonsense in 5, b"bytes", [None]:
            self.assertRaises(TypeError, list, find(nonsense))
        self.assertEqual(list(find([])), [])


class ArchiveTests(FindCase):
    def test_archive(self) -> None:
        """What a zip archive holds is found when the archive is named, sorted."""
        with zipfile.ZipFile(self.top / "1.zip", "w") as archive:
            archive.mkdir("a")
            archive.writestr("a/2", part10(data_set("1.2.2")))
            archive.writestr("a/1", part10(data_set("1.2.1")))
            archive.writestr("README", b"no object")
        self.assertEqual(
            self.found(self.top / "1.zip"),
            [
                ("1.zip:README", "? not a DICOM file"),
                ("1.zip:a/1", "1.2.1"),
                ("1.zip:a/2", "1.2.2"),
            ],
        )
        self.assertEqual(self.found(self.top), [("1.zip", "? not a DICOM file")])

    def test_damaged(self) -> None:
        """A damaged archive is a failure."""
        with zipfile.ZipFile(self.top / "1.zip", "w") as archive:
            archive.writestr("1", b"x")
        path = self.top / "1.zip"
        content = bytearray(path.read_bytes())
        position = content.index(b"PK\1\2")
        content[position : position + 4] = b"XX\1\2"
        path.write_bytes(content)
        self.assertEqual(self.found(path), [("1.zip", "! a damaged archive")])

    def test_object_with_archive(self) -> None:
        """An object that ends like an archive is an object."""
        end = b"PK\5\6" + bytes(18)
        path = self.write("1.dcm", part10(data_set("1.2.1", pixels=end)))
        self.assertTrue(zipfile.is_zipfile(path))
        self.assertEqual(self.found(path), [("1.dcm", "1.2.1")])


class DicomdirTests(FindCase):
    def dicomdir(self, *files: list[str] | str | None) -> Path:
        """Write a DICOMDIR that lists these."""
        dataset = Dataset()
        records = []
        for file in files:
            record = Dataset()
            record.DirectoryRecordType = "IMAGE" if file else "SERIES"
            if file is not None:
                with disable_value_validation():
                    record.ReferencedFileID = file
            records.append(record)
        dataset.DirectoryRecordSequence = Sequence(records)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = UID(MEDIA_STORAGE_DIRECTORY)
        dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2")
        dataset.file_meta.TransferSyntaxUID = UID(EXPLICIT)
        path = self.top / "DICOMDIR"
        with disable_value_validation():
            dataset.save_as(path, enforce_file_format=True)
        return path

    def test_listed(self) -> None:
        """The files that it lists are found in its order, once, and no others."""
        for name in ("A/2", "A/1", "A/3", "4"):
            self.write(name)
        path = self.dicomdir(None, ["A", "2"], ["A", "1"], ["A", "2"], "4")
        self.assertEqual(self.found(path), [("A/2", "1.2.2"), ("A/1", "1.2.1"), ("4", "1.2.4")])

    def test_directory(self) -> None:
        """In a directory it is passed over, and the files are found by themselves."""
        self.write("A/1")
        self.dicomdir(["A", "1"])
        self.assertEqual(
            self.found(self.top),
            [("A/1", "1.2.1"), ("DICOMDIR", "? a DICOMDIR, which is not sent itself")],
        )

    def test_letters(self) -> None:
        """Names may have been written in small letters when the medium was copied."""
        self.write("images/im1")
        path = self.dicomdir(["IMAGES", "IM1"], ["IMAGES", "IM2"], ["OTHER", "IM1"])
        self.assertEqual(
            self.found(path),
            [
                ("images/im1", "1.2.1"),
                ("DICOMDIR:IMAGES/IM2", "! listed in the DICOMDIR, but not there"),
                ("DICOMDIR:OTHER/IM1", "! listed in the DICOMDIR, but not there"),
            ],
        )

    def test_outside(self) -> None:
        """It cannot lead out of its medium."""
        self.write("1")
        path = self.dicomdir(["..", self.top.name, "1"], ["/etc/passwd"], ["A/../1"])
        self.assertEqual(
            {words for _, words in self.found(path)}, {"! listed in the DICOMDIR, but not there"}
        )

    def test_broken(self) -> None:
        """One that cannot be read is a failure."""
        path = self.dicomdir(["A"])
        path.write_bytes(path.read_bytes()[:-9])
        self.assertEqual(self.found(path), [("DICOMDIR", "! a DICOMDIR that lists no files")])
        self.flushWarnings()  # pydicom's
        path.write_bytes(part10(b"no stream", DEFLATED, "1.2", MEDIA_STORAGE_DIRECTORY))
        ((_, words),) = self.found(path)
        self.assertIn("! cannot be read as a DICOMDIR", words)
