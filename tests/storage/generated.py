"""
Data sets made on the spot, by pydicom and so by another hand than the code under test.

They describe no patient; their UIDs are all under 2.25 (PS3.5 section B.2).
"""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite, write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"

IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
UNCOMPRESSED: Final = (IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN)

_ROOT: Final = 2 << 120  # under it, in turn, kinds of UIDs; a number of 128 bits in all


def uid(kind: int, number: int) -> str:
    """Return the UID with this number among those of one kind (0 study, 1 series, 2 instance)."""
    return f"2.25.{_ROOT + (kind << 64) + number}"


def make_image(
    number: int = 1,
    *,
    sop_class: str = CT_IMAGE,
    series: int = 1,
    study: int = 1,
    pixels: int = 32 * 32 * 2,
) -> Dataset:
    """
    Return an image whose elements, in front of the pixels, are like a modality's.

    Args:
        number: of the instance.
        sop_class: its SOP class UID.
        series: number of the series.
        study: number of the study.
        pixels: even number of bytes, of 16-bit pixels in one row.
    """
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 100"
    image.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    image.SOPClassUID = UID(sop_class)
    image.SOPInstanceUID = UID(uid(2, number))
    image.StudyDate = "20240229"
    image.StudyTime = "120000"
    image.AccessionNumber = ""
    image.Modality = "CT"
    image.Manufacturer = "pacs_twisted"
    image.ReferringPhysicianName = ""
    reference = Dataset()
    reference.ReferencedSOPClassUID = UID(sop_class)
    reference.ReferencedSOPInstanceUID = UID(uid(2, number + 1))
    image.ReferencedImageSequence = Sequence([reference])
    image.PatientName = "Phantom"
    image.PatientID = f"PHANTOM-{study}"
    image.PatientBirthDate = ""
    image.PatientSex = ""
    image.StudyInstanceUID = UID(uid(0, study))
    image.SeriesInstanceUID = UID(uid(1, series))
    image.StudyID = str(study)
    image.SeriesNumber = str(series)
    image.InstanceNumber = str(number)
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows = 1
    image.Columns = min(pixels // 2, 0xFFFF)
    image.BitsAllocated = 16
    image.BitsStored = 16
    image.HighBit = 15
    image.PixelRepresentation = 0
    pattern = (number.to_bytes(4, "big") + bytes(range(252))) * (pixels // 256 + 1)
    image.add_new(0x7FE00010, "OW", pattern[:pixels])
    return image


def encode(data_set: Dataset, transfer_syntax: str) -> bytes:
    """Return the data set's bytes in an uncompressed or deflated transfer syntax, no meta group."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax == IMPLICIT
    buffer.is_little_endian = transfer_syntax != BIG_ENDIAN
    write_dataset(buffer, data_set)
    encoded = buffer.getvalue()
    if transfer_syntax != DEFLATED:
        return encoded
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflate.compress(encoded) + deflate.flush()
    return deflated + bytes(len(deflated) & 1)  # PS3.5 section A.5


def encode_file(data_set: Dataset, transfer_syntax: str) -> bytes:
    """Return the bytes of a file of PS3.10 with the data set."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax)
    with_meta = Dataset(data_set)
    with_meta.file_meta = meta
    buffer = BytesIO()
    dcmwrite(
        buffer,
        with_meta,
        implicit_vr=transfer_syntax == IMPLICIT,
        little_endian=transfer_syntax != BIG_ENDIAN,
        enforce_file_format=True,
    )
    return buffer.getvalue()
