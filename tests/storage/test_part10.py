"""The head of a file: written so that others read it, read in all the shapes that are found."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import pydicom
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted import __version__
from pacs_twisted.storage.part10 import (
    MAXIMUM_FILE_META,
    FileMeta,
    NeedMore,
    NotPart10,
    read_file_meta,
)
from pacs_twisted.uids import IMPLEMENTATION_CLASS_UID, implementation_version_name
from tests.pdu.strategies import uids
from tests.samples import all_files

CT: Final = "1.2.840.10008.5.1.4.1.1.2"
INSTANCE: Final = "2.25.12345"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"

START: Final = bytes(128) + b"DICM"
GROUP_LENGTH: Final = bytes.fromhex("02000000 554c 0400")  # (0002,0000) UL, 4 bytes
SYNTAX: Final = bytes.fromhex("02001000 5549 1400") + b"1.2.840.10008.1.2.1\0"
SYNTAX_DEFLATED: Final = bytes.fromhex("02001000 5549 1600") + b"1.2.840.10008.1.2.1.99"
TITLE: Final = bytes.fromhex("02001600 4145 0400") + b"ECHO"
DATA_SET: Final = bytes.fromhex("08000500 4353 0a00") + b"ISO_IR 100"

titles = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789", max_size=16)
metas = st.builds(FileMeta, uids, uids, uids, uids, titles, titles, titles, titles)


class EncodeTests(SynchronousTestCase):
    def test_bytes(self) -> None:
        """The head of a file, byte for byte."""
        encoded = FileMeta(CT, "1.2", EXPLICIT, "1.3.4", "NAME", "SCU").encode()
        body = (
            bytes.fromhex("02000100 4f42 0000 02000000 0001")  # version 1, in the long form
            + bytes.fromhex("02000200 5549 1a00") + b"1.2.840.10008.5.1.4.1.1.2\0"
            + bytes.fromhex("02000300 5549 0400") + b"1.2\0"
            + SYNTAX
            + bytes.fromhex("02001200 5549 0600") + b"1.3.4\0"
            + bytes.fromhex("02001300 5348 0400") + b"NAME"
            + bytes.fromhex("02001600 4145 0400") + b"SCU "
        )  # fmt: skip
        self.assertEqual(encoded, START + GROUP_LENGTH + bytes([len(body), 0, 0, 0]) + body)

    def test_who_wrote_it(self) -> None:
        """Without an implementation named, a file says that this package wrote it."""
        meta, _ = read_file_meta(FileMeta(CT, INSTANCE, EXPLICIT).encode(), whole=True)
        self.assertEqual(meta.implementation_class_uid, IMPLEMENTATION_CLASS_UID)
        self.assertEqual(meta.implementation_version_name, implementation_version_name(__version__))

    def test_somebody_elses_version(self) -> None:
        """Our version name does not stand beside another implementation's class UID."""
        meta, _ = read_file_meta(FileMeta(CT, INSTANCE, EXPLICIT, "1.2.3").encode(), whole=True)
        self.assertEqual(meta.implementation_version_name, "")

    def test_too_long(self) -> None:
        """A value that its length field cannot tell is refused."""
        self.assertRaises(ValueError, FileMeta(CT, "1" * 65535, EXPLICIT).encode)

    @given(metas)
    def test_pydicom_reads_it(self, meta: FileMeta) -> None:
        """An independent reader finds the same values, and the data set after them."""
        encoded = meta.encode()
        read = pydicom.dcmread(BytesIO(encoded + DATA_SET)).file_meta
        self.assertEqual(read.FileMetaInformationGroupLength, len(encoded) - len(START) - 12)
        self.assertEqual(read.FileMetaInformationVersion, b"\0\1")
        self.assertEqual(read.MediaStorageSOPClassUID, meta.sop_class_uid)
        self.assertEqual(read.MediaStorageSOPInstanceUID, meta.sop_instance_uid)
        self.assertEqual(read.TransferSyntaxUID, meta.transfer_syntax_uid)
        self.assertEqual(read.ImplementationClassUID, meta.implementation_class_uid)
        for keyword, value in (
            ("ImplementationVersionName", meta.implementation_version_name),
            ("SourceApplicationEntityTitle", meta.source_ae_title),
            ("SendingApplicationEntityTitle", meta.sending_ae_title),
            ("ReceivingApplicationEntityTitle", meta.receiving_ae_title),
        ):
            self.assertEqual(read.get(keyword, ""), value)


class ReadTests(SynchronousTestCase):
    @given(metas)
    def test_round_trip(self, meta: FileMeta) -> None:
        """What was written is read again, and the data set begins where it was put."""
        encoded = meta.encode()
        self.assertEqual(read_file_meta(encoded + DATA_SET), (meta, len(encoded)))

    def test_real_files(self) -> None:
        """Heads of real files are read as pydicom reads them."""
        for path in all_files():
            with path.open("rb") as file:
                expected = pydicom.dcmread(file, stop_before_pixels=True).file_meta
                file.seek(0)
                meta, offset = read_file_meta(file.read(4096))
            self.assertEqual(meta.sop_class_uid, expected.get("MediaStorageSOPClassUID", ""))
            self.assertEqual(meta.sop_instance_uid, expected.get("MediaStorageSOPInstanceUID", ""))
            self.assertEqual(meta.transfer_syntax_uid, expected.get("TransferSyntaxUID", ""))
            self.assertEqual(
                offset, len(START) + 12 + expected.FileMetaInformationGroupLength, path.name
            )

    def test_from_a_view(self) -> None:
        """The bytes may come as a view, and what was read outlives it."""
        buffer = bytearray(START + SYNTAX + DATA_SET)
        meta, _ = read_file_meta(memoryview(buffer))
        buffer[:] = bytes(len(buffer))
        self.assertEqual(meta.transfer_syntax_uid, EXPLICIT)

    def test_group_length(self) -> None:
        """Without a group length, with one too short or too long, the group is read to its end."""
        for length in (b"", *(GROUP_LENGTH + bytes([n, 0, 0, 0]) for n in (0, 7, 28, 200))):
            head = START + length + SYNTAX + TITLE
            meta, offset = read_file_meta(head + DATA_SET)
            self.assertEqual(meta, FileMeta("", "", EXPLICIT, source_ae_title="ECHO"))
            self.assertEqual(offset, len(head))

    def test_deflated(self) -> None:
        """A deflated data set may begin with the very bytes of another element of the group."""
        head = START + GROUP_LENGTH + bytes([len(SYNTAX_DEFLATED), 0, 0, 0]) + SYNTAX_DEFLATED
        meta, offset = read_file_meta(head + TITLE)
        self.assertEqual((meta, offset), (FileMeta("", "", DEFLATED), len(head)))

    def test_missing_elements(self) -> None:
        """What is not there is empty, even when nothing is."""
        self.assertEqual(read_file_meta(START + DATA_SET), (FileMeta("", "", ""), len(START)))

    def test_unknown_elements(self) -> None:
        """Elements nobody knows are passed over by their length, the long form included."""
        unknown = bytes.fromhex("0200ff00 4c4f 0300") + b"odd"
        private = bytes.fromhex("02000201 4f42 0000 08000000") + bytes(8)
        head = START + unknown + private + SYNTAX
        meta, offset = read_file_meta(head + DATA_SET)
        self.assertEqual((meta, offset), (FileMeta("", "", EXPLICIT), len(head)))

    def test_implicit(self) -> None:
        """A group written in implicit VR against the standard is read all the same."""
        head = START + bytes.fromhex("02001000 14000000") + b"1.2.840.10008.1.2.1\0"
        self.assertEqual(read_file_meta(head + DATA_SET), (FileMeta("", "", EXPLICIT), len(head)))

    def test_padding(self) -> None:
        """Values are stripped of blanks and NULs."""
        head = START + bytes.fromhex("02001600 4145 0800") + b" ECHO \0 "
        self.assertEqual(read_file_meta(head + DATA_SET)[0].source_ae_title, "ECHO")

    def test_need_more(self) -> None:
        """Every cut of a head asks for more, and with enough bytes it is read."""
        head = FileMeta(CT, INSTANCE, EXPLICIT, "1.2.3", "N", "A", "B", "C").encode()
        for end in range(len(head)):
            needed = self.assertRaises(NeedMore, read_file_meta, head[:end]).needed
            self.assertTrue(end < needed <= len(head) + 8)
        self.assertEqual(read_file_meta(head)[1], len(head))

    def test_the_file_ends(self) -> None:
        """A file that ends inside its head is no file of PS3.10; one without a data set is."""
        head = START + SYNTAX + TITLE
        self.assertEqual(read_file_meta(head, whole=True)[1], len(head))
        for end in range(len(head)):
            if end not in (len(START), len(START + SYNTAX)):
                self.assertRaises(NotPart10, read_file_meta, head[:end], whole=True)

    def test_not_part_10(self) -> None:
        """Files of other kinds are told apart."""
        for data in (DATA_SET * 10, b"\x89PNG" * 40, bytes(128) + b"DICX", bytes(132)):
            self.assertRaises(NotPart10, read_file_meta, data)

    def test_a_length_that_lies(self) -> None:
        """An element that claims gigabytes makes nobody read gigabytes."""
        lie = bytes.fromhex("02000201 4f42 0000 ffffffff")
        self.assertRaises(NotPart10, read_file_meta, START + lie + DATA_SET)

    def test_at_most_a_mebibyte(self) -> None:
        """No matter how many small elements come, there is an end to it."""
        self.assertRaises(NotPart10, read_file_meta, START + TITLE * (MAXIMUM_FILE_META // 12 + 1))

    @given(st.binary(max_size=200), st.booleans())
    def test_any_bytes(self, data: bytes, whole: bool) -> None:
        """Any bytes give meta information or one of the two errors."""
        for given_bytes in (data, START + data, START + b"\2\0" + data):
            try:
                _, offset = read_file_meta(given_bytes, whole=whole)
            except NotPart10:
                continue
            except NeedMore as short:
                self.assertFalse(whole)
                self.assertGreater(short.needed, len(given_bytes))
                continue
            self.assertTrue(len(START) <= offset <= len(given_bytes))
