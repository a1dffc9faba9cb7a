"""What can be sent: the objects in files, in archives and in memory, and their bytes."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.errors import describe_error
from pacs_twisted.storage.content import (
    PIECE,
    ContentChanged,
    FileContent,
    MemoryContent,
    Source,
    source_of,
)
from pacs_twisted.storage.disk import InlineDisk
from pacs_twisted.storage.objects import (
    MEDIA_STORAGE_DIRECTORY,
    NotStorable,
    StorableObject,
    look_at_dataset,
    look_at_file,
    look_at_member,
)
from pacs_twisted.storage.part10 import read_file_meta
from tests.requirements import requirement
from tests.storage.fakes import ManualDisk
from tests.storage.sending import (
    BIG,
    CT,
    DATA,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    MR,
    data_set,
    explicit,
    implicit,
    implicit_data_set,
    part10,
    read_all,
)


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


class FileCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()

    def write(self, content: bytes, name: str = "1.dcm") -> str:
        path = self.directory / name
        path.write_bytes(content)
        return str(path)

    def look(self, content: bytes) -> StorableObject:
        return look_at_file(self.write(content))

    def refused(self, content: bytes) -> str:
        return str(self.assertRaises(NotStorable, self.look, content))


class FileTests(FileCase):
    def test_file(self) -> None:
        """A file gives the UIDs, the transfer syntax and, when asked, what is behind its head."""
        item = self.look(part10(data_set("1.2.9", MR), JPEG, "1.2.9", MR))
        self.assertEqual(
            (item.sop_class_uid, item.sop_instance_uid, item.transfer_syntax, item.corrected),
            (MR, "1.2.9", JPEG, False),
        )
        self.assertEqual(item.length, len(data_set("1.2.9", MR)))
        self.assertEqual(read_all(item.load()), data_set("1.2.9", MR))
        self.assertEqual(item.name, str(self.directory / "1.dcm"))

    def test_data_set_wins(self) -> None:
        """What the data set says of itself counts, not what its meta information says of it."""
        item = self.look(part10(data_set("1.2.9", MR), EXPLICIT, "1.2.8", CT))
        self.assertEqual((item.sop_class_uid, item.sop_instance_uid), (MR, "1.2.9"))
        self.assertTrue(item.corrected)

    def test_meta_helps(self) -> None:
        """Where the data set is silent, or says what is no UID, the meta information counts."""
        bad = explicit(0x00080018, "UI", b"none") + explicit(0x7FE00010, "OW", b"ab")
        for data in bad, b"no data set at all":
            item = self.look(part10(data, EXPLICIT, "1.2.8", CT))
            self.assertEqual((item.sop_class_uid, item.sop_instance_uid), (CT, "1.2.8"))
            self.assertEqual(read_all(item.load()), data)

    def test_no_uids(self) -> None:
        """Without a UID there is nothing that could be asked for."""
        rest = explicit(0x7FE00010, "OW", b"ab")
        self.assertEqual(self.refused(part10(rest, EXPLICIT, "", CT)), "no SOP instance UID")
        self.assertEqual(self.refused(part10(rest, EXPLICIT, "1.2", "")), "no SOP class UID")

    def test_far_uids(self) -> None:
        """UIDs are found behind a long element, and not looked for beyond 256 KiB."""
        for length, instance in (100_000, "1.2.9"), (300_000, "1.2.8"):
            data = (
                explicit(0x00080005, "UT", bytes(length))
                + explicit(0x00080016, "UI", CT.encode() + b"\0")
                + explicit(0x00080018, "UI", b"1.2.9\0")
            )
            item = self.look(part10(data, EXPLICIT, "1.2.8", CT))
            self.assertEqual(item.sop_instance_uid, instance)

    def test_long_head(self) -> None:
        """Meta information may be long: private information may stand there."""
        meta = part10(b"", EXPLICIT)
        private = explicit(0x00020102, "OB", bytes(50_000))
        item = self.look(meta + private + data_set())
        self.assertEqual(read_all(item.load()), data_set())

    def test_bare(self) -> None:
        """A file that is a data set and nothing else is sent as what it evidently is."""
        for data, syntax in (
            (data_set("1.2.9"), EXPLICIT),
            (implicit_data_set("1.2.9"), IMPLICIT),
            (data_set("1.2.9", order=">"), BIG),
        ):
            item = self.look(data)
            self.assertEqual((item.sop_instance_uid, item.transfer_syntax), ("1.2.9", syntax))
            self.assertEqual(read_all(item.load()), data)

    def test_without_preamble(self) -> None:
        """Preamble and prefix may be missing."""
        whole = part10(data_set())
        for content in whole[128:], whole[132:]:
            item = self.look(content)
            self.assertEqual((item.sop_instance_uid, item.transfer_syntax), ("1.2.3", EXPLICIT))
            self.assertEqual(read_all(item.load()), data_set())

    def test_label(self) -> None:
        """A transfer syntax that is missing, or evidently wrong, is seen from the data set."""
        for label in ("", IMPLICIT, BIG, DEFLATED):
            item = self.look(part10(data_set(), label))
            self.assertEqual((item.transfer_syntax, item.corrected), (EXPLICIT, label != ""))
        self.assertEqual(self.look(part10(data_set(), "1.2.3.4")).transfer_syntax, "1.2.3.4")
        self.assertEqual(self.refused(part10(bytes(100), "")), "no transfer syntax")

    def test_foreign(self) -> None:
        """Other files are no objects, however short or long they are."""
        for content in b"", b"x", b"{}" * 5000, b"\x08\0\x05\0CS\0\0", b"\2\0\0\0UL\4\0":
            self.assertIn("not a DICOM file", self.refused(content))

    def test_dicomdir(self) -> None:
        """A DICOMDIR is no instance."""
        content = part10(data_set(sop_class=""), sop_class=MEDIA_STORAGE_DIRECTORY)
        self.assertIn("DICOMDIR", self.refused(content))

    def test_empty(self) -> None:
        """Meta information alone is nothing to send."""
        for content in part10(b""), part10(b"", ""), b"DICM":
            self.assertIn("no data set", self.refused(content))

    @requirement("K10")
    def test_deflated(self) -> None:
        """A deflated data set is looked into, and sent as it is, padded by one NUL if odd."""
        lengths = set()
        for pixels in b"ab", b"a bit more", bytes(100), b"odd or even":
            stream = deflated(data_set("1.2.9", pixels=pixels))
            item = self.look(part10(stream, DEFLATED, "1.2.8"))
            self.assertEqual(
                (item.sop_instance_uid, item.transfer_syntax, item.length),
                ("1.2.9", DEFLATED, len(stream) + len(stream) % 2),
            )
            self.assertEqual(read_all(item.load()), stream + b"\0" * (len(stream) % 2))
            lengths.add(len(stream) % 2)
        self.assertEqual(lengths, {0, 1})

    def test_real_files(self) -> None:
        """Real files are what pydicom takes them for, and are sent byte for byte."""
        for path in DATA.glob("*.dcm"):
            known = dcmread(path)
            item = look_at_file(str(path))
            self.assertEqual(item.sop_class_uid, known.SOPClassUID, path.name)
            self.assertEqual(item.sop_instance_uid, known.SOPInstanceUID, path.name)
            self.assertEqual(item.transfer_syntax, known.file_meta.TransferSyntaxUID, path.name)
            data = read_all(item.load())
            whole = path.read_bytes()
            expected = whole[read_file_meta(whole)[1] :]
            self.assertEqual(data, expected + b"\0" * (len(expected) % 2), path.name)

    def test_unreadable(self) -> None:
        """A file that is not there says so without its path, which stands elsewhere."""
        error = self.assertRaises(OSError, look_at_file, str(self.directory / "no"))
        self.assertEqual(describe_error(error), "No such file or directory")
        self.assertEqual(describe_error(ValueError("value of a patient")), "ValueError")

    def test_changed(self) -> None:
        """A file that became another one between the look and its turn is not sent."""
        item = self.look(part10(data_set()))
        self.write(part10(data_set("1.2.4444")))
        self.assertRaises(ContentChanged, item.load)


class MemberTests(FileCase):
    def archive(self, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> Any:
        path = self.write(b"", "1.zip")
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("a/1.dcm", content)
        archive = zipfile.ZipFile(path)
        self.addCleanup(archive.close)
        return archive

    def test_short(self) -> None:
        """A short member is unpacked into memory."""
        archive = self.archive(part10(data_set("1.2.9")))
        item = look_at_member("1.zip:a/1.dcm", archive, archive.infolist()[0])
        self.assertEqual((item.name, item.sop_instance_uid), ("1.zip:a/1.dcm", "1.2.9"))
        content = item.load()
        self.assertIsInstance(content, MemoryContent)
        self.assertEqual(read_all(content), data_set("1.2.9"))

    def test_long(self) -> None:
        """A long member is unpacked into a file."""
        data = data_set(pixels=os.urandom(1000) * 3000)
        archive = self.archive(part10(data))
        item = look_at_member("1", archive, archive.infolist()[0])
        content = item.load()
        self.assertIsInstance(content, FileContent)
        self.assertEqual(read_all(content), data)

    def test_damaged(self) -> None:
        """A member that is not what its checksum says is not sent."""
        for pixels in b"ab" * 20000, bytes(2 * PIECE):
            archive = self.archive(part10(data_set(pixels=pixels)), zipfile.ZIP_STORED)
            path = Path(str(archive.filename))
            item = look_at_member("1", archive, archive.infolist()[0])
            content = bytearray(path.read_bytes())
            content[20000] ^= 1
            with path.open("r+b") as file:
                file.write(content)
            error = self.assertRaises(NotStorable, item.load)
            self.assertIn("damaged", str(error))


class DatasetTests(SynchronousTestCase):
    def made(self, syntax: str | None = None) -> Dataset:
        dataset = Dataset()
        dataset.SOPClassUID = UID(CT)
        dataset.SOPInstanceUID = UID("1.2.3")
        dataset.Rows = 1
        if syntax is not None:
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = UID(syntax)
        return dataset

    def test_made(self) -> None:
        """A data set made in memory is sent as its meta information says, else explicitly."""
        uids = explicit(0x00080016, "UI", CT.encode() + b"\0") + explicit(
            0x00080018, "UI", b"1.2.3\0"
        )
        for syntax, expected, rows in (
            (None, EXPLICIT, uids + explicit(0x00280010, "US", b"\1\0")),
            (EXPLICIT, EXPLICIT, uids + explicit(0x00280010, "US", b"\1\0")),
            (DEFLATED, EXPLICIT, uids + explicit(0x00280010, "US", b"\1\0")),
            (
                IMPLICIT,
                IMPLICIT,
                implicit(0x00080016, CT.encode() + b"\0")
                + implicit(0x00080018, b"1.2.3\0")
                + implicit(0x00280010, b"\1\0"),
            ),
        ):
            item = look_at_dataset(self.made(syntax))
            self.assertEqual(item.transfer_syntax, expected)
            self.assertEqual(read_all(item.load()), rows)
            self.assertEqual((item.sop_class_uid, item.sop_instance_uid), (CT, "1.2.3"))
            self.assertEqual(item.name, "data set 1.2.3")

    def test_read(self) -> None:
        """A data set that pydicom has read is sent as it was read, byte for byte."""
        for name in ("CT_small.dcm", "rtdose.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm"):
            item = look_at_dataset(dcmread(DATA / name))
            data = read_all(item.load())
            whole = (DATA / name).read_bytes()
            self.assertEqual(data, whole[len(whole) - len(data) :], name)
            self.assertGreater(item.held, len(data) // 2)

    def test_byte_order(self) -> None:
        """Words change their order with the transfer syntax that somebody has written there."""
        big = dcmread(DATA / "MR_small_bigendian.dcm")
        pixels = big.PixelData
        big.file_meta.TransferSyntaxUID = UID(EXPLICIT)
        item = look_at_dataset(big)
        self.assertEqual(item.transfer_syntax, EXPLICIT)
        data = read_all(item.load())
        self.assertNotIn(pixels, data)
        swapped = bytearray(pixels)
        swapped[::2], swapped[1::2] = pixels[1::2], pixels[::2]
        self.assertIn(bytes(swapped), data)

    def test_refused(self) -> None:
        """A data set without its UIDs, or with a meta element inside, is not sent."""
        dataset = self.made()
        del dataset.SOPInstanceUID
        self.assertRaises(NotStorable, look_at_dataset, dataset)
        self.assertRaises(NotStorable, look_at_dataset, Dataset())
        dataset = self.made()
        dataset.add_new(0x00020010, "UI", EXPLICIT)
        self.assertRaises(NotStorable, look_at_dataset(dataset).load)


class ContentTests(FileCase):
    def open(self, data: bytes, offset: int = 0) -> FileContent:
        path = self.write(data)
        return FileContent(os.open(path, os.O_RDONLY), offset, len(data))

    def test_pieces(self) -> None:
        """Pieces are even, a mebibyte at most, and as long together as stated."""
        data = os.urandom(2 * PIECE + 1001)
        for content, start in (
            (self.open(data, 6), 6),
            (self.open(data, 7), 7),
            (MemoryContent(data), 0),
            (MemoryContent(data[1:]), 1),
        ):
            pieces: list[Any] = []
            while sum(map(len, pieces)) < content.length:
                pieces.append(content.read())
            self.assertEqual(len(pieces), 3)
            self.assertTrue(all(len(piece) % 2 == 0 for piece in pieces))
            expected = data[start:] + b"\0" * (len(data[start:]) % 2)
            self.assertEqual(b"".join(pieces), expected)
            self.assertEqual(content.length, len(expected))
            content.close()

    def test_shorter(self) -> None:
        """A file that has become shorter cannot be read to its end."""
        content = self.open(bytes(3 * PIECE))
        content.read()
        os.truncate(self.directory / "1.dcm", PIECE + 10)
        self.assertRaises(ContentChanged, content.read)
        content.close()


class SourceTests(FileCase):
    def setUp(self) -> None:
        super().setUp()
        self.disk: Any = ManualDisk()
        self.sent: list[int] = []

    def source(self, data: bytes) -> Source:
        content = FileContent(os.open(self.write(data), os.O_RDONLY), 0, len(data))
        return source_of(content, self.disk.queue(), self.sent.append)

    def test_ahead(self) -> None:
        """While a piece is sent the next is read, and no more than that."""
        data = os.urandom(3 * PIECE)
        source = self.source(data)
        self.disk.run()
        first = source.read()
        self.assertEqual(first, data[:PIECE])
        self.assertEqual(self.sent, [PIECE])
        self.assertEqual(self.disk.run(), 1)
        self.assertEqual(self.disk.run(), 0)
        self.assertEqual(source.read(), data[PIECE : 2 * PIECE])
        self.disk.run()
        self.assertEqual(source.read(), data[2 * PIECE :])
        self.assertEqual(self.disk.run(), 0)
        source.close()
        self.disk.run()

    def test_slow_disk(self) -> None:
        """What is not there yet is waited for."""
        data = os.urandom(2 * PIECE)
        source = self.source(data)
        piece: Any = source.read()
        self.assertNoResult(piece)
        self.disk.run()
        self.assertEqual(self.successResultOf(piece), data[:PIECE])
        source.close()
        self.disk.run()

    def test_closed_while_reading(self) -> None:
        """The file is closed after the read that is under way, even when nobody waits for it."""
        source = self.source(bytes(2 * PIECE))
        piece: Any = source.read()
        piece.cancel()
        self.failureResultOf(piece)
        source.close()
        source.close()
        self.assertEqual(self.disk.run(), 2)

    def test_failure(self) -> None:
        """A read that fails tells why, whether somebody waits already or asks later."""
        for waits in (True, False):
            source = self.source(bytes(3 * PIECE))
            os.truncate(self.directory / "1.dcm", 0)
            piece: Any = source.read() if waits else None
            self.disk.run()
            self.failureResultOf(piece or source.read(), ContentChanged)
            self.assertIsInstance(source.failure, ContentChanged)
            source.close()
            self.disk.run()

    def test_open(self) -> None:
        """An object can be sent by whoever has an association."""
        item = self.look(part10(data_set()))
        source = self.successResultOf(item.open(InlineDisk().queue(), self.sent.append))
        self.assertEqual(source.read(), data_set())
        self.assertEqual((source.length, self.sent), (len(data_set()), [len(data_set())]))
        self.assertIs(source.failure, None)
        source.close()

    def test_open_later(self) -> None:
        """It is opened where the disk is waited for."""
        item = self.look(part10(data_set(), instance="1.2.3"))
        opened: Deferred[Source] = item.open(self.disk.queue())
        self.assertNoResult(opened)
        self.disk.run()
        self.successResultOf(opened).close()
