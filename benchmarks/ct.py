"""
Objects to send: CT images of noise in Explicit VR Little Endian, as large as one likes.

Written by hand, since neither pydicom nor the package shall take part in making the load.
"""

from __future__ import annotations

import dataclasses
import random
import struct
import time
from pathlib import Path
from typing import Final

CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
MULTI_FRAME: Final = "1.2.840.10008.5.1.4.1.1.7.3"
"""Multi-frame Grayscale Word Secondary Capture, for what is too large for one image."""

EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
IMPLEMENTATION: Final = "1.2.826.0.1.3680043.2"

_LONG: Final = {"OB", "OW", "UN"}
_COLUMNS: Final = 512
_LARGEST_IMAGE: Final = 64 * 2**20
_FRAME: Final = _COLUMNS * _COLUMNS * 2
_LARGEST_VALUE: Final = 2**32 - _FRAME


class UIDs:
    """Instance UIDs of one length that nobody has used before."""

    def __init__(self) -> None:
        self._prefix = f"2.25.{time.time_ns()}"
        self._number = 0

    def next(self) -> str:
        """Return one."""
        self._number += 1
        return f"{self._prefix}{self._number:010d}"


def element(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """
    Return an element.

    Args:
        tag: group and number.
        vr: of its value.
        value: padded here.
        length: of the value, if it is to follow elsewhere.
    """
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB") else b" "
    size = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return head + (struct.pack("<2xL" if vr in _LONG else "<H", size)) + value


@dataclasses.dataclass(frozen=True)
class Head:
    """
    All of a data set that stands before its pixels.

    Args:
        data: the bytes.
        sop_class: its SOP class UID.
        uid_offset: where the instance UID stands in them.
        pixels: how many bytes of pixels belong behind it.
    """

    data: bytes
    sop_class: str
    uid_offset: int
    pixels: int


def head(instance: str, size: int) -> Head:
    """
    Return the beginning of a data set.

    Args:
        instance: its SOP instance UID.
        size: about how many bytes of pixels; made a multiple of a row or a frame.
    """
    is_large = size > _LARGEST_IMAGE
    frames = min(size, _LARGEST_VALUE) // _FRAME if is_large else 1
    columns = _COLUMNS if size >= _FRAME else 128
    rows = _COLUMNS if is_large else max(size // (2 * columns), 1)
    sop_class = MULTI_FRAME if is_large else CT_IMAGE
    series = instance[:-10]
    before = element(0x00080016, "UI", sop_class.encode())
    elements = [
        element(0x00080018, "UI", instance.encode()),
        element(0x00080020, "DA", b"20260101"),
        element(0x00080030, "TM", b"120000"),
        element(0x00080060, "CS", b"OT" if is_large else b"CT"),
        element(0x00080070, "LO", b"BENCHMARK"),
        element(0x00100010, "PN", b"Benchmark^Load"),
        element(0x00100020, "LO", b"BENCHMARK"),
        element(0x0020000D, "UI", f"{series}1".encode()),
        element(0x0020000E, "UI", f"{series}2".encode()),
        element(0x00200013, "IS", b"1"),
        element(0x00280002, "US", struct.pack("<H", 1)),
        element(0x00280004, "CS", b"MONOCHROME2"),
        *([element(0x00280008, "IS", str(frames).encode())] if is_large else []),
        *(
            element(tag, "US", struct.pack("<H", value))
            for tag, value in (
                (0x00280010, rows),
                (0x00280011, columns),
                (0x00280100, 16),
                (0x00280101, 16),
                (0x00280102, 15),
                (0x00280103, 0),
            )
        ),
    ]
    pixels = frames * rows * columns * 2
    data = before + b"".join(elements) + element(0x7FE00010, "OW", b"", pixels)
    return Head(data, sop_class, len(before) + 8, pixels)


def noise(size: int) -> bytes:
    """Return so many bytes of noise, the same ones each time."""
    return random.Random(1).randbytes(size)


def meta(sop_class: str, instance: str) -> bytes:
    """Return what stands before the data set in a file (PS3.10 section 7.1)."""
    group = b"".join(
        (
            element(0x00020001, "OB", b"\0\1"),
            element(0x00020002, "UI", sop_class.encode()),
            element(0x00020003, "UI", instance.encode()),
            element(0x00020010, "UI", EXPLICIT_VR_LITTLE_ENDIAN.encode()),
            element(0x00020012, "UI", IMPLEMENTATION.encode()),
        )
    )
    length = element(0x00020000, "UL", struct.pack("<L", len(group)))
    return bytes(128) + b"DICM" + length + group


def write_files(directory: Path, count: int, size: int) -> list[Path]:
    """Write files of about so many bytes each into a new directory, and return their paths."""
    directory.mkdir()
    uids, pixels = UIDs(), noise(size)
    paths = []
    for number in range(count):
        uid = uids.next()
        begin = head(uid, size)
        path = directory / f"{number:06d}.dcm"
        path.write_bytes(meta(begin.sop_class, uid) + begin.data + pixels[: begin.pixels])
        paths.append(path)
    return paths


def write_large(path: Path, size: int) -> int:
    """
    Write a sparse file with a data set of at least so many bytes, and return how many it has.

    A single value is shorter than 4 GiB: what is lacking is padding behind the pixels
    (PS3.10 section 7.2).
    """
    uid = UIDs().next()
    begin = head(uid, size)
    front = meta(begin.sop_class, uid) + begin.data
    end = len(front) + begin.pixels
    with path.open("wb") as file:
        file.write(front)
        lacking = size - begin.pixels
        if lacking > 0:
            file.seek(end)
            file.write(element(0xFFFCFFFC, "OB", b"", lacking))
            end = file.tell() + lacking
        file.truncate(end)
    return end - len(front) + len(begin.data)
