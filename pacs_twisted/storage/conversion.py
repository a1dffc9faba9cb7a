"""
What is sent when a peer does not take the transfer syntax that a data set is in.

Between uncompressed transfer syntaxes a data set is recoded as a matter of course: an encoding of
the same data was offered. Pixels are decompressed only if that is asked for, by pydicom and by
whatever decoders it finds installed. All of this happens in memory, which a limit bounds.
"""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import attrs

from pacs_twisted.storage.content import Content, MemoryContent
from pacs_twisted.storage.objects import NotStorable, StorableObject
from pacs_twisted.storage.recoding import NotConvertible, recode
from pacs_twisted.uids import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Conversion", "NotConvertible", "encode_dataset", "is_lossy", "is_uncompressed"]

_UNCOMPRESSED: Final = frozenset(
    (IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)
)
_UNDEFINED: Final = 0xFFFFFFFF
_JPEG: Final = "1.2.840.10008.1.2.4."
_LOSSY: Final = frozenset(
    f"{_JPEG}{number}"
    for number in (
        *("50", "51", "52", "53", "54", "55", "56", "59", "60", "61", "62", "63", "64"),
        *("81", "91", "93", "112", "203"),
    )
)
_VIDEO: Final = tuple(f"{_JPEG}{number}" for number in range(100, 109))


def is_uncompressed(transfer_syntax: str) -> bool:
    """Return whether a transfer syntax is one of those that are recoded into each other."""
    return transfer_syntax in _UNCOMPRESSED


def is_lossy(transfer_syntax: str) -> bool:
    """Return whether what is in a transfer syntax has, or may have, lost something by it."""
    return transfer_syntax in _LOSSY or any(
        transfer_syntax == video or transfer_syntax.startswith(f"{video}.") for video in _VIDEO
    )


@attrs.frozen
class Conversion:
    """
    What may be done to a data set so that a peer takes it.

    Args:
        recode: whether it may be sent in another uncompressed transfer syntax.
        decompress: whether its pixels may be decompressed.
        limit: the most bytes that a data set may have, before, inflated and decompressed; one
            conversion takes up to three times as much memory.
    """

    recode: bool = True
    decompress: bool = False
    limit: int = 512 << 20

    def objection(self, transfer_syntax: str) -> str | None:
        """Return why what is in a transfer syntax is not converted; None if it is."""
        if is_uncompressed(transfer_syntax) or _is_deflated(transfer_syntax):
            return None if self.recode else "recoding is switched off"
        return None if self.decompress else "decompression was not asked for"

    def convert(self, item: StorableObject, target: str) -> Content:
        """
        Return the data set of an object in another transfer syntax; this takes its time.

        Args:
            item: what is to be converted.
            target: the UID of an uncompressed transfer syntax.

        Raises:
            OSError: it cannot be read.
            PacsError: it cannot be converted, and the message says why.
        """
        source = item.transfer_syntax
        if objection := self.objection(source):
            raise NotConvertible(objection)
        data = self._read(item)
        if _is_deflated(source):
            data = _inflate(data, self.limit)
            source = EXPLICIT_VR_LITTLE_ENDIAN
        elif not is_uncompressed(source):
            data = _decompress(data, source, self.limit)
            source = EXPLICIT_VR_LITTLE_ENDIAN
        return MemoryContent(data if source == target else recode(data, source, target))

    def _read(self, item: StorableObject) -> bytes:
        content = item.load()
        try:
            length = content.length
            _check(length, self.limit)
            pieces: list[bytes | memoryview] = []
            while length:
                pieces.append(content.read())
                length -= len(pieces[-1])
            return b"".join(pieces)
        finally:
            content.close()


def _is_deflated(transfer_syntax: str) -> bool:
    return transfer_syntax == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN


def _check(length: int, limit: int) -> None:
    if length > limit:
        raise NotConvertible(f"{length} bytes are more than the {limit} that are converted")


def _inflate(data: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise NotConvertible("its data set does not inflate") from error
    _check(len(inflated), limit)
    return inflated


def _decompress(data: bytes, transfer_syntax: str, limit: int) -> bytes:
    """Return a data set in explicit VR little endian; nothing but the pixels is touched."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    uid = UID(transfer_syntax)
    try:
        decoder = get_decoder(uid)
    except NotImplementedError as error:
        raise NotConvertible("pydicom has no decoder for it") from error
    if not decoder.is_available:
        missing = "; ".join(decoder.missing_dependencies)
        raise NotConvertible(f"decoders are missing: {missing}")
    try:
        dataset = _read_dataset(data)
        if "PixelData" in dataset:
            _check(_decompressed_length(dataset), limit)
            dataset.file_meta.TransferSyntaxUID = uid
            dataset.decompress(generate_instance_uid=False)
        return _write(dataset, EXPLICIT_VR_LITTLE_ENDIAN)
    except NotConvertible:
        raise
    except ImportError as error:
        raise NotConvertible(f"decoders are missing: {error}") from error
    except Exception as error:  # decoders raise what they like, and may quote the data set
        raise NotConvertible(f"its pixels cannot be decoded ({type(error).__name__})") from error


def _read_dataset(data: bytes) -> Any:
    """Return a data set in explicit VR little endian, of which nothing is decoded yet."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.filereader import data_element_generator

    # Not read_dataset(), which takes what is cut off in the middle for the whole.
    elements: dict[Any, Any] = {}
    for element in data_element_generator(BytesIO(data), False, True):
        elements[element.tag] = element
        length = getattr(element, "length", _UNDEFINED)  # a sequence that is read has none
        if length != _UNDEFINED and length != len(element.value or b""):
            raise NotConvertible("the data set ends inside of an element")
    dataset = Dataset(elements)
    dataset.set_original_encoding(False, True, dataset.original_character_set)
    dataset.file_meta = FileMetaDataset()
    return dataset


def _decompressed_length(dataset: Any) -> int:
    bits = dataset.Rows * dataset.Columns * dataset.BitsAllocated
    return int(bits * dataset.SamplesPerPixel * int(dataset.get("NumberOfFrames") or 1) // 8)


def encode_dataset(dataset: Dataset, transfer_syntax: str) -> bytes:
    """
    Return the bytes of a pydicom `Dataset`.

    Args:
        dataset: its pixels are compressed as the transfer syntax says, or not at all.
        transfer_syntax: the UID of any transfer syntax but a deflated one.

    Raises:
        NotStorable: a value cannot be encoded.
    """
    try:
        return _write(dataset, transfer_syntax)
    except Exception as error:  # pydicom's may quote a value
        raise NotStorable(f"it cannot be encoded ({type(error).__name__})") from error


def _write(dataset: Dataset, transfer_syntax: str) -> bytes:
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    if any(tag.group in (0x0000, 0x0002) for tag in dataset.keys()):  # noqa: SIM118
        raise NotStorable("it has elements of group 0000 or 0002")
    is_little = transfer_syntax != EXPLICIT_VR_BIG_ENDIAN
    was_little = dataset.original_encoding[1]
    # pydicom does not turn words round, so it writes in the byte order that it has read.
    written = transfer_syntax
    if was_little not in (None, is_little):
        written = EXPLICIT_VR_LITTLE_ENDIAN if was_little else EXPLICIT_VR_BIG_ENDIAN
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = written == IMPLICIT_VR_LITTLE_ENDIAN
    buffer.is_little_endian = written != EXPLICIT_VR_BIG_ENDIAN
    write_dataset(buffer, dataset)
    data = buffer.getvalue()
    if written == transfer_syntax:
        return data
    target = transfer_syntax if is_uncompressed(transfer_syntax) else EXPLICIT_VR_LITTLE_ENDIAN
    return recode(data, written, target)
