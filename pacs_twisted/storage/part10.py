"""
The head of a DICOM file: preamble, prefix and File Meta Information (PS3.10 section 7.1).

Written as the standard says; read as files are found: without group length, with a wrong one,
without elements that must be there, with ones that nobody knows. Bytes and values only: who
opens files, and what to do with one that has no such head, is decided elsewhere.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final

import attrs

from pacs_twisted import __version__
from pacs_twisted.errors import PacsError
from pacs_twisted.uids import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLEMENTATION_CLASS_UID,
    implementation_version_name,
)

__all__ = ["FileMeta", "NeedMore", "NotPart10", "read_file_meta"]

MAXIMUM_FILE_META: Final = 1 << 20
"""
The most bytes of a head that are looked at.

Only the private information (0002,0102) can be long; a length that leads beyond is a lie, and
nobody should read a file into memory because of it.
"""

_PREAMBLE: Final = 128
_PREFIX: Final = b"DICM"
_START: Final = _PREAMBLE + len(_PREFIX)
_GROUP: Final = b"\2\0"
_SHORT: Final = Struct("<HH2sH")  # group, element, VR, length of the value
_LONG: Final = Struct("<HH2sxxL")  # the same for the VRs with a longer length
_GROUP_LENGTH: Final = Struct("<HH2sHL")  # an element of the short form with its value
_NUMBER: Final = Struct("<L")
_IMPLICIT: Final = Struct("<HHL")  # what the group should not be written in, and sometimes is
_LONGER: Final = frozenset((b"OB", b"OW", b"UN", b"UT", b"UC", b"UR", b"SQ"))
_VERSION: Final = _LONG.pack(2, 0x0001, b"OB", 2) + b"\0\1"
_LONGEST_VALUE: Final = 0xFFFE
_NAME: Final = implementation_version_name(__version__)

_PADDING: Final = "\0 "


class NotPart10(PacsError):
    """These bytes do not begin a file of PS3.10, or its meta information cannot be read."""


class NeedMore(PacsError):
    """
    The head of the file is longer than the bytes at hand.

    Args:
        needed: how many bytes, from the file's first, it takes at least to get any further.
    """

    def __init__(self, needed: int) -> None:
        super().__init__(f"the head of the file takes {needed} bytes or more")
        self.needed = needed


def _encode(element: int, vr: bytes, padding: bytes, text: str) -> bytes:
    value = text.encode("latin-1", "replace")
    if len(value) > _LONGEST_VALUE:
        raise ValueError(f"value of (0002,{element:04X}) has {len(value)} bytes")
    if len(value) & 1:
        value += padding
    return _SHORT.pack(2, element, vr, len(value)) + value


def _encode_uid(element: int, uid: str) -> bytes:
    return _encode(element, b"UI", b"\0", uid)


def _encode_title(element: int, title: str) -> bytes:
    return _encode(element, b"AE", b" ", title)


@lru_cache(maxsize=256)
def _encode_transfer_syntax_and_implementation(
    transfer_syntax: str, implementation: str, version_name: str
) -> bytes:
    # The same for every object of an association, and of most of the others.
    if not implementation:
        implementation, version_name = IMPLEMENTATION_CLASS_UID, _NAME
    encoded = _encode_uid(0x0010, transfer_syntax) + _encode_uid(0x0012, implementation)
    if version_name:
        encoded += _encode(0x0013, b"SH", b" ", version_name)
    return encoded


@attrs.frozen
class FileMeta:
    """
    File Meta Information: what a file says of the data set in it (PS3.10 table 7.1-1).

    What a file lacks reads as empty text; padding is stripped. Elements that have no field here
    are passed over when read and not written.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str

    implementation_class_uid: str = ""
    """Who wrote the file; when a file is written, empty stands for this package."""

    implementation_version_name: str = ""
    """Written as given with an implementation class UID, else as this package's version."""

    source_ae_title: str = ""
    """The application entity that wrote the content of the file."""

    sending_ae_title: str = ""
    """The application entity that sent the content over a network."""

    receiving_ae_title: str = ""
    """The application entity that received the content from a network."""

    def encode(self) -> bytes:
        """
        Return the head of a file, after which the data set follows: preamble, prefix, group 0002.

        Raises:
            ValueError: a value has more than 65,534 bytes.
        """
        body = (
            _VERSION
            + _encode_uid(0x0002, self.sop_class_uid)
            + _encode_uid(0x0003, self.sop_instance_uid)
            + _encode_transfer_syntax_and_implementation(
                self.transfer_syntax_uid,
                self.implementation_class_uid,
                self.implementation_version_name,
            )
        )
        if self.source_ae_title:
            body += _encode_title(0x0016, self.source_ae_title)
        if self.sending_ae_title:
            body += _encode_title(0x0017, self.sending_ae_title)
        if self.receiving_ae_title:
            body += _encode_title(0x0018, self.receiving_ae_title)
        return bytes(_PREAMBLE) + _PREFIX + _GROUP_LENGTH.pack(2, 0, b"UL", 4, len(body)) + body


_FIELDS: Final = {
    0x0002: "sop_class_uid",
    0x0003: "sop_instance_uid",
    0x0010: "transfer_syntax_uid",
    0x0012: "implementation_class_uid",
    0x0013: "implementation_version_name",
    0x0016: "source_ae_title",
    0x0017: "sending_ae_title",
    0x0018: "receiving_ae_title",
}
_NOTHING: Final = dict.fromkeys(_FIELDS.values(), "")


def read_file_meta(data: bytes | memoryview, *, whole: bool = False) -> tuple[FileMeta, int]:
    """
    Read the head of a file.

    Group 0002 ends where another group begins. Its stated length is believed only where that
    cannot be seen: before a deflated data set, whose first bytes may look like anything.

    Args:
        data: the first bytes of the file; 4 KiB do for nearly all. Not kept.
        whole: these are all the bytes of the file, more will never come.

    Returns:
        The meta information, and the offset at which the data set begins.

    Raises:
        NeedMore: the head does not end in `data`, and `whole` is not set.
        NotPart10: there is no prefix, or the group cannot be read.
    """
    data = bytes(data[:MAXIMUM_FILE_META])
    prefix = data[_PREAMBLE:_START]
    if prefix != _PREFIX[: len(prefix)]:
        raise NotPart10("no DICM at byte 128")
    if len(prefix) < len(_PREFIX):
        raise _short(_START, data, whole)
    fields: dict[str, str] = {}
    position, declared = _START, None
    while True:
        if position == declared and _deflated(fields):
            break
        group = data[position : position + 2]
        if group != _GROUP:
            if len(group) == 2 or position in (declared, len(data) if whole else None):
                break
            raise _short(position + _SHORT.size, data, whole)
        element, start, end = _read_header(data, position, whole)
        if end > len(data):
            raise _short(end, data, whole)
        if element == 0 and end - start == _NUMBER.size:
            declared = end + _NUMBER.unpack_from(data, start)[0]
        elif name := _FIELDS.get(element):
            fields[name] = data[start:end].decode("latin-1").strip(_PADDING)
        position = end
    return FileMeta(**_NOTHING | fields), position


def _read_header(data: bytes, position: int, whole: bool) -> tuple[int, int, int]:
    """Return an element's number, and where its value begins and ends."""
    start = position + _SHORT.size
    if start > len(data):
        raise _short(start, data, whole)
    _, element, vr, length = _SHORT.unpack_from(data, position)
    if vr in _LONGER:
        start = position + _LONG.size
        if start > len(data):
            raise _short(start, data, whole)
        _, element, vr, length = _LONG.unpack_from(data, position)
    elif not vr.isalpha():
        _, element, length = _IMPLICIT.unpack_from(data, position)
    return element, start, start + length


def _deflated(fields: dict[str, str]) -> bool:
    return fields.get("transfer_syntax_uid") == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN


def _short(needed: int, data: bytes, whole: bool) -> PacsError:
    """Return the error for a head that does not end in these bytes."""
    if needed > MAXIMUM_FILE_META:
        return NotPart10(f"meta information of more than {MAXIMUM_FILE_META} bytes")
    if whole:
        return NotPart10(f"the file ends at byte {len(data)}, inside its head")
    return NeedMore(needed)
