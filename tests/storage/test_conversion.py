"""What is sent when a peer does not take a data set as it is."""

from __future__ import annotations

import importlib.util
import zlib
from io import BytesIO

from pydicom.filereader import read_dataset
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.storage.content import MemoryContent
from pacs_twisted.storage.conversion import (
    Conversion,
    NotConvertible,
    is_lossy,
    is_uncompressed,
)
from pacs_twisted.storage.objects import StorableObject, look_at_file
from tests.requirements import requirement
from tests.storage.sending import (
    BIG,
    CT,
    DATA,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    RLE,
    data_set,
    implicit_data_set,
    read_all,
)

NUMPY = importlib.util.find_spec("numpy") is not None


class Loaded:
    """The body of an object in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def load(self) -> MemoryContent:
        return MemoryContent(self.data)


def an_object(data: bytes, syntax: str) -> StorableObject:
    return StorableObject("1.dcm", CT, "1.2.3", syntax, len(data), Loaded(data))


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


class ConversionCase(SynchronousTestCase):
    def convert(
        self, data: bytes, source: str, target: str, conversion: Conversion | None = None
    ) -> bytes:
        conversion = conversion or Conversion()
        return read_all(conversion.convert(an_object(data, source), target))

    def refused(
        self, data: bytes, source: str, conversion: Conversion, target: str = IMPLICIT
    ) -> str:
        return str(
            self.assertRaises(NotConvertible, self.convert, data, source, target, conversion)
        )


class RecodingTests(ConversionCase):
    def test_uncompressed(self) -> None:
        """Between uncompressed transfer syntaxes everything is converted."""
        forms = {
            EXPLICIT: data_set(),
            IMPLICIT: implicit_data_set(),
            BIG: data_set(order=">", pixels=b"ba"),
        }
        for source, data in forms.items():
            for target, expected in forms.items():
                self.assertEqual(self.convert(data, source, target), expected)

    @requirement("K10")
    def test_deflated(self) -> None:
        """A deflated data set is inflated as a whole before anything is done with it."""
        stream = deflated(data_set(pixels=bytes(1001) + b"x"))
        for padding in b"", b"\0":
            self.assertEqual(
                self.convert(stream + padding, DEFLATED, EXPLICIT),
                data_set(pixels=bytes(1001) + b"x"),
            )
        self.assertEqual(
            self.convert(deflated(data_set()), DEFLATED, IMPLICIT), implicit_data_set()
        )
        self.assertIn("inflate", self.refused(b"no such stream", DEFLATED, Conversion()))

    def test_limit(self) -> None:
        """What is longer than the limit, before or when inflated, is not converted."""
        data = data_set(pixels=bytes(10000))
        limit = Conversion(limit=9999)
        self.assertIn("9999", self.refused(data, EXPLICIT, limit))
        self.assertIn("9999", self.refused(deflated(data), DEFLATED, limit))
        self.assertLess(len(deflated(data)), 1000)
        self.convert(data, EXPLICIT, IMPLICIT, Conversion(limit=len(data)))

    def test_switched_off(self) -> None:
        """Recoding can be switched off."""
        never = Conversion(recode=False)
        for syntax in EXPLICIT, DEFLATED:
            self.assertIn("switched off", self.refused(data_set(), syntax, never))
            self.assertIsNot(never.objection(syntax), None)
            self.assertIs(Conversion().objection(syntax), None)

    def test_broken(self) -> None:
        """What does not parse is not converted."""
        self.refused(data_set()[:-2], EXPLICIT, Conversion())


class DecompressionTests(ConversionCase):
    def setUp(self) -> None:
        self.data = read_all(look_at_file(str(DATA / "MR_small_RLE.dcm")).load())

    def test_not_asked_for(self) -> None:
        """Nothing is decompressed unless somebody asks for it."""
        self.assertIn("not asked", self.refused(self.data, RLE, Conversion()))
        self.assertIs(Conversion(decompress=True).objection(RLE), None)

    def test_decompressed(self) -> None:
        """Pixels are decompressed; everything else stays as it is, byte for byte."""
        conversion = Conversion(decompress=True)
        explicit = self.convert(self.data, RLE, EXPLICIT, conversion)
        dataset = read_dataset(BytesIO(explicit), False, True)
        original = read_dataset(BytesIO(self.data), False, True)
        self.assertEqual(len(dataset.PixelData), dataset.Rows * dataset.Columns * 2)
        self.assertEqual(dataset.SOPInstanceUID, original.SOPInstanceUID)
        del dataset.PixelData, original.PixelData
        self.assertEqual(dataset, original)
        head = self.data.index(b"\xe0\x7f\x10\0O")
        self.assertEqual(explicit[:head], self.data[:head])
        implicit = self.convert(self.data, RLE, IMPLICIT, conversion)
        self.assertLess(len(implicit), len(explicit))

    def test_too_long(self) -> None:
        """What would be too long when decompressed is not even begun."""
        limit = Conversion(decompress=True, limit=8000)
        self.assertLess(len(self.data), 8000)
        self.assertIn("8000", self.refused(self.data, RLE, limit))

    def test_cut(self) -> None:
        """A data set that ends too early is not taken for a whole one."""
        words = self.refused(self.data[:-100], RLE, Conversion(decompress=True))
        self.assertIn("ends inside", words)

    if not NUMPY:
        for test in (test_decompressed, test_too_long, test_cut):
            test.skip = "pydicom decompresses with numpy only"  # type: ignore[attr-defined]

    def test_no_decoder(self) -> None:
        """Where pydicom has no decoder, or lacks what it needs, the reason says so."""
        conversion = Conversion(decompress=True)
        video = "1.2.840.10008.1.2.4.103"
        self.assertIn("no decoder", self.refused(self.data, video, conversion))
        if importlib.util.find_spec("pylibjpeg") is None:
            words = self.refused(self.data, JPEG, conversion)
            self.assertIn("decoders are missing", words)


class KindTests(SynchronousTestCase):
    def test_lossy(self) -> None:
        """Which transfer syntaxes lose something, or may have, is PS3.5's to say."""
        from pacs_twisted.storage.transfer_syntaxes import TRANSFER_SYNTAXES

        lossy = {name for uid, name in TRANSFER_SYNTAXES.items() if is_lossy(uid)}
        for name in TRANSFER_SYNTAXES.values():
            if "Lossy" in name or any(word in name for word in ("MPEG", "HEVC", "Baseline")):
                self.assertIn(name, lossy)
            elif "Lossless" in name or "Endian" in name:
                self.assertNotIn(name, lossy)
        self.assertIn("JPEG 2000", lossy)
        self.assertIn("High-Throughput JPEG 2000", lossy)

    def test_uncompressed(self) -> None:
        """The three plain ones can be recoded into each other."""
        self.assertTrue(all(map(is_uncompressed, (IMPLICIT, EXPLICIT, BIG))))
        self.assertFalse(any(map(is_uncompressed, (DEFLATED, RLE, JPEG, "1.2.3"))))
