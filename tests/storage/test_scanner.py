"""A look at a data set while it passes by: finds what pydicom finds, holds little, never raises."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Final

import pydicom
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import UID
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.storage.part10 import read_file_meta
from pacs_twisted.storage.scanner import LONGEST_VALUE, Scanner, guess_transfer_syntax
from tests.samples import all_files
from tests.storage.generated import (
    BIG_ENDIAN,
    CT_IMAGE,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    UNCOMPRESSED,
    encode,
    make_image,
    uid,
)

SOP_CLASS: Final = 0x00080016
SOP_INSTANCE: Final = 0x00080018
MODALITY: Final = 0x00080060
STUDY: Final = 0x0020000D
SERIES: Final = 0x0020000E
WANTED: Final = (SOP_CLASS, SOP_INSTANCE, MODALITY, STUDY, SERIES)

# Elements in explicit VR little endian, spelled out.
CLASS_ELEMENT: Final = bytes.fromhex("08001600 5549 0800") + b"1.2.840\0"
STUDY_ELEMENT: Final = bytes.fromhex("20000d00 5549 0400") + b"1.2\0"
SEQUENCE: Final = bytes.fromhex("08004011 5351 0000 ffffffff")
ITEM: Final = bytes.fromhex("feff00e0 ffffffff")
ITEM_END: Final = bytes.fromhex("feff0de0 00000000")
SEQUENCE_END: Final = bytes.fromhex("feffdde0 00000000")


def scan(
    data: bytes,
    transfer_syntax: str = EXPLICIT,
    wanted: Collection[int] = WANTED,
    limit: int = 262144,
) -> Scanner:
    """Return a scanner that was fed all at once."""
    scanner = Scanner(wanted, transfer_syntax, limit)
    scanner.feed(data)
    return scanner


def scan_pieces(
    data: bytes,
    cuts: Sequence[int],
    transfer_syntax: str = EXPLICIT,
    wanted: Collection[int] = WANTED,
    limit: int = 262144,
) -> Scanner:
    """Return a scanner that was fed the pieces between the cuts, in a buffer that is used again."""
    scanner = Scanner(wanted, transfer_syntax, limit)
    for start, end in pairwise([0, *sorted(cuts), len(data)]):
        buffer = bytearray(data[start:end])
        scanner.feed(memoryview(buffer))
        buffer[:] = b"\xaa" * len(buffer)
    return scanner


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 3) -> Dataset:
    """Data sets with everything that a scanner must step over in front of what it wants."""
    data_set = Dataset()
    data_set.SOPClassUID = UID(CT_IMAGE)
    data_set.SOPInstanceUID = UID(uid(2, draw(st.integers(1, 9))))
    values = st.binary(max_size=40).map(lambda value: value * 2)
    if draw(st.booleans()):
        data_set.Modality = draw(st.sampled_from(["CT", "MR", "", "OTHER"]))
    if draw(st.booleans()):
        data_set.StudyDescription = draw(st.text("abc ", max_size=64))
    if depth and draw(st.booleans()):
        items = draw(st.lists(data_sets(depth - 1), max_size=2))
        for item in items:
            item.is_undefined_length_sequence_item = draw(st.booleans())
        data_set.ReferencedImageSequence = pydicom.Sequence(items)
        data_set["ReferencedImageSequence"].is_undefined_length = draw(st.booleans())
    if draw(st.booleans()):
        data_set.add_new(0x00090010, "LO", "SOMEBODY")
        data_set.add_new(0x00091001, draw(st.sampled_from(["OB", "UN"])), draw(values))
        data_set.add_new(0x00091002, "UT", "x" * draw(st.integers(0, 3000)))
    if draw(st.booleans()):
        data_set.StudyInstanceUID = UID(uid(0, draw(st.integers(1, 9))))
    if draw(st.booleans()):
        data_set.SeriesInstanceUID = UID(uid(1, draw(st.integers(1, 9))))
    if draw(st.booleans()):
        data_set.add_new(0x7FE00010, "OW", draw(values))
    return data_set


def expected(data_set: Dataset, wanted: Collection[int] = WANTED) -> dict[int, str]:
    """Return what pydicom sees."""
    return {tag: str(data_set[tag].value or "").strip() for tag in wanted if tag in data_set}


def texts(scanner: Scanner) -> dict[int, str | None]:
    """Return what the scanner saw."""
    return {tag: scanner.text(tag) for tag in scanner.values}


class OracleTests(SynchronousTestCase):
    def test_real_files(self) -> None:
        """In real files the scanner finds what pydicom finds, in one piece or byte by byte."""
        for path in all_files():
            with path.open("rb") as file:
                content = file.read(65536)
                file.seek(0)
                reference = pydicom.dcmread(file, stop_before_pixels=True)
            meta, offset = read_file_meta(content)
            data = content[offset:]
            found = scan(data, meta.transfer_syntax_uid)
            self.assertEqual(texts(found), expected(reference), path.name)
            self.assertTrue(found.done, path.name)
            bytewise = scan_pieces(data, range(1, 5000), meta.transfer_syntax_uid)
            self.assertEqual(bytewise.values, found.values, path.name)

    @given(
        data_sets(),
        st.sampled_from(UNCOMPRESSED),
        st.lists(st.integers(0, 3000), max_size=8),
    )
    def test_made_data_sets(self, data_set: Dataset, syntax: str, cuts: list[int]) -> None:
        """The same for data sets full of sequences and private elements, cut anywhere."""
        data = encode(data_set, syntax)
        cuts = [cut for cut in cuts if cut <= len(data)]
        self.assertEqual(texts(scan_pieces(data, cuts, syntax)), expected(data_set))

    @given(
        st.binary(max_size=80) | data_sets().map(lambda made: encode(made, EXPLICIT)),
        st.sampled_from(UNCOMPRESSED),
        st.lists(st.integers(0, 3000), max_size=4),
        st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=3),
        st.integers(0, 500),
    )
    def test_any_pieces(
        self,
        data: bytes,
        syntax: str,
        cuts: list[int],
        damages: list[tuple[int, int]],
        limit: int,
    ) -> None:
        """Whatever the bytes and the limit are, nothing is raised and the pieces do not matter."""
        if syntax == DEFLATED:
            deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            data = deflate.compress(data) + deflate.flush()
        damaged = bytearray(data)
        for place, value in damages:
            if place < len(damaged):
                damaged[place] = value
        data = bytes(damaged)
        whole = scan(data, syntax, limit=limit)
        cuts = [cut for cut in cuts if cut <= len(data)]
        for positions in (cuts, range(1, len(data))):
            pieces = scan_pieces(data, positions, syntax, limit=limit)
            self.assertEqual((pieces.values, pieces.done), (whole.values, whole.done))


class ScannerTests(SynchronousTestCase):
    def test_values(self) -> None:
        """Raw values keep their padding, as text they lose it."""
        scanner = scan(CLASS_ELEMENT)
        self.assertEqual(scanner.values, {SOP_CLASS: b"1.2.840\0"})
        self.assertEqual(scanner.text(SOP_CLASS), "1.2.840")
        self.assertIsNone(scanner.text(STUDY))

    def test_empty_value(self) -> None:
        """An element without a value is found, as empty text."""
        self.assertEqual(scan(bytes.fromhex("08001600 5549 0000")).text(SOP_CLASS), "")

    def test_nothing_wanted(self) -> None:
        """Who wants nothing is done before it begins."""
        self.assertTrue(Scanner((), EXPLICIT).done)

    def test_done_when_all_is_found(self) -> None:
        """The last wanted value ends the look."""
        scanner = Scanner((SOP_CLASS,), EXPLICIT)
        scanner.feed(CLASS_ELEMENT[:-1])
        self.assertFalse(scanner.done)
        scanner.feed(CLASS_ELEMENT[-1:])
        self.assertTrue(scanner.done)

    def test_done_behind_the_last(self) -> None:
        """An element beyond all that are wanted ends the look: data sets are in order."""
        self.assertFalse(scan(CLASS_ELEMENT, wanted=(SOP_CLASS, MODALITY)).done)
        self.assertTrue(scan(CLASS_ELEMENT + STUDY_ELEMENT, wanted=(SOP_CLASS, MODALITY)).done)

    def test_done_stays(self) -> None:
        """What is fed afterwards changes nothing."""
        scanner = scan(STUDY_ELEMENT, wanted=(SOP_CLASS,))
        scanner.feed(CLASS_ELEMENT)
        self.assertEqual(scanner.values, {})

    def test_long_values(self) -> None:
        """A wanted value that is too long is stepped over, the next one is found."""
        for length in (LONGEST_VALUE, LONGEST_VALUE + 2):
            long = bytes.fromhex("08001600 5554 0000") + length.to_bytes(4, "little")
            data = long + bytes(length) + STUDY_ELEMENT
            for scanner in (scan(data), scan_pieces(data, range(1, len(data)))):
                self.assertEqual(SOP_CLASS in scanner.values, length == LONGEST_VALUE)
                self.assertEqual(scanner.text(STUDY), "1.2")

    def test_a_gigabyte_is_stepped_over(self) -> None:
        """A huge private value in front costs nothing, neither memory nor the limit."""
        scanner = Scanner(WANTED, EXPLICIT, limit=1024)
        scanner.feed(bytes.fromhex("09000110 4f42 0000 00000040"))
        piece = bytes(1 << 20)
        for _ in range(1 << 10):
            scanner.feed(piece)
        self.assertFalse(scanner.done)
        scanner.feed(STUDY_ELEMENT)
        self.assertEqual(scanner.text(STUDY), "1.2")

    def test_limit(self) -> None:
        """No further than the limit: headers count, and the inside of open sequences."""
        empty = bytes.fromhex("08003010 4c4f 0000")
        for before in (empty * 100, SEQUENCE + ITEM + empty * 96 + ITEM_END + SEQUENCE_END):
            data = before + STUDY_ELEMENT
            self.assertEqual(scan(data, limit=900).text(STUDY), "1.2")
            scanner = scan(data, limit=600)
            self.assertIsNone(scanner.text(STUDY))
            self.assertTrue(scanner.done)

    def test_only_the_top_level(self) -> None:
        """The same element inside of a sequence is another one's."""
        inside = bytes.fromhex("20000d00 5549 0200") + b"9\0"
        data = SEQUENCE + ITEM + inside + ITEM_END + SEQUENCE_END + STUDY_ELEMENT
        self.assertEqual(scan(data).text(STUDY), "1.2")

    def test_undefined_length_of_un(self) -> None:
        """What is unknown and of undefined length is in implicit VR inside (PS3.5 6.2.2)."""
        unknown = bytes.fromhex("09000110 554e 0000 ffffffff")
        inside = bytes.fromhex("09000210 02000000") + b"ab"
        data = unknown + ITEM + inside + ITEM_END + SEQUENCE_END + STUDY_ELEMENT
        self.assertEqual(scan(data).text(STUDY), "1.2")

    def test_encapsulated_pixels(self) -> None:
        """Fragments are stepped over like items."""
        icon = bytes.fromhex("09000110 4f42 0000 ffffffff")
        fragments = bytes.fromhex("feff00e0 00000000 feff00e0 04000000 ffd8ffd9")
        data = icon + fragments + SEQUENCE_END + STUDY_ELEMENT
        self.assertEqual(scan(data).text(STUDY), "1.2")

    def test_future_vr(self) -> None:
        """A VR that nobody knows yet has the long form (PS3.5 section 7.1.2)."""
        future = bytes.fromhex("08003010 5a5a 0000 04000000") + b"what"
        self.assertEqual(scan(future + STUDY_ELEMENT).text(STUDY), "1.2")

    def test_depth(self) -> None:
        """Sequences in each other are followed only so far."""
        for depth, found in ((30, "1.2"), (40, None)):
            closing = (ITEM_END + SEQUENCE_END) * depth
            scanner = scan((SEQUENCE + ITEM) * depth + closing + STUDY_ELEMENT)
            self.assertEqual(scanner.text(STUDY), found)
            self.assertTrue(scanner.done or found)

    def test_not_a_data_set(self) -> None:
        """Bytes that do not parse end the look at once."""
        for data in (
            b"GET / HTTP/1.1\r\n",
            SEQUENCE + STUDY_ELEMENT,
            SEQUENCE + ITEM + SEQUENCE_END,
        ):
            self.assertTrue(scan(data).done)

    def test_broken_in_the_middle(self) -> None:
        """What came before the damage is kept."""
        scanner = scan(CLASS_ELEMENT + b"\x08\0\x60\0\1\2\3\4" + STUDY_ELEMENT)
        self.assertEqual(texts(scanner), {SOP_CLASS: "1.2.840"})


class LabelTests(SynchronousTestCase):
    """Data sets that are written otherwise than they are labelled."""

    def test_wrong_label(self) -> None:
        """The first element tells how a data set is written."""
        image = make_image()
        for label in (*UNCOMPRESSED, "1.2.840.10008.1.2.4.70", "1.2.3.4", ""):
            for syntax in (IMPLICIT, EXPLICIT, BIG_ENDIAN):
                data = encode(image, syntax)
                self.assertEqual(texts(scan(data, label)), expected(image), (label, syntax))
                self.assertEqual(guess_transfer_syntax(data), syntax)

    def test_not_to_be_guessed(self) -> None:
        """Other bytes, or too few of them, are no beginning of a data set."""
        for head in (b"", CLASS_ELEMENT[:7], bytes(8), b"\xff" * 8, encode(make_image(), DEFLATED)):
            self.assertIsNone(guess_transfer_syntax(head))

    def test_first_element_elsewhere(self) -> None:
        """Where the first element tells nothing, the label is believed."""
        self.assertEqual(scan(STUDY_ELEMENT).text(STUDY), "1.2")
        implicit = bytes.fromhex("20000d00 04000000") + b"1.2\0"
        self.assertEqual(scan(implicit, IMPLICIT).text(STUDY), "1.2")


class DeflatedTests(SynchronousTestCase):
    def test_zlib_header(self) -> None:
        """A stream that begins with zlib's header against the standard is read, too."""
        data = zlib.compress(encode(make_image(), EXPLICIT))
        self.assertEqual(texts(scan(data, DEFLATED)), expected(make_image()))

    def test_limit(self) -> None:
        """A bomb of a data set is inflated up to the limit only."""
        bomb = bytes.fromhex("09000110 4f42 0000 00000010") + bytes(1 << 24)
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = deflate.compress(bomb) + deflate.flush()
        scanner = Scanner(WANTED, DEFLATED, limit=65536)
        fed = 0
        while not scanner.done:
            scanner.feed(data[fed : fed + 16])
            fed += 16
        self.assertLess(fed, 200)

    def test_nothing_comes_of_it(self) -> None:
        """Nor are more bytes than the limit taken in, though nothing comes of them."""
        scanner = Scanner(WANTED, DEFLATED, limit=1000)
        empty_block = bytes.fromhex("000000ffff")
        for _ in range(199):
            scanner.feed(empty_block)
        self.assertFalse(scanner.done)
        scanner.feed(empty_block)
        self.assertTrue(scanner.done)

    def test_damaged(self) -> None:
        """What was inflated before the damage is used."""
        incompressible = make_image(pixels=60000)
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        good = deflate.compress(encode(incompressible, EXPLICIT)) + deflate.flush(zlib.Z_SYNC_FLUSH)
        data = good + b"\xff" * 1000
        for pieces in ([], range(1, len(data)), [len(good) - 3]):
            scanner = scan_pieces(data, pieces, DEFLATED, wanted=(SOP_CLASS, 0x7FE00020))
            self.assertEqual(scanner.text(SOP_CLASS), CT_IMAGE)
            self.assertTrue(scanner.done)

    def test_end(self) -> None:
        """When the stream ends, the look ends."""
        self.assertTrue(scan(encode(make_image(), DEFLATED), DEFLATED, wanted=(0x7FE10000,)).done)
