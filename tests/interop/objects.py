"""
The objects that are sent, and how what has arrived is compared with them.

Files are taken apart here by a few lines of their own, so that a mistake of the code under test
cannot hide itself.
"""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from struct import unpack_from
from typing import Any

import attrs
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from tests.samples import all_files

_TRAILING_PADDING = 0xFFFCFFFC
_LONG = (b"OB", b"UN", b"OW", b"SQ", b"UT")


@attrs.frozen
class Object:
    """
    An object as it lies in a file.

    Args:
        path: of the file.
        sop_class: the UID of its SOP class, as its file meta group has it.
        instance: its own UID, as its file meta group has it.
        own_instance: its UID as its data set has it; in some files the two differ.
        transfer_syntax: the UID of how its data set is encoded.
        data_set: what follows the file meta group.
    """

    path: Path
    sop_class: str
    instance: str
    own_instance: str
    transfer_syntax: str
    data_set: bytes = attrs.field(repr=False)

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.path.name


def read_object(path: Path) -> Object:
    """Return the object of a file; what the file meta group lacks is taken from its data set."""
    data = path.read_bytes()
    if data[128:132] != b"DICM":
        raise ValueError(f"{path} is no DICOM file")
    meta = {}
    offset = 132
    while data[offset : offset + 2] == b"\x02\0":
        element = unpack_from("<H", data, offset + 2)[0]
        if data[offset + 4 : offset + 6] in _LONG:
            begin, length = offset + 12, unpack_from("<L", data, offset + 8)[0]
        else:
            begin, length = offset + 8, unpack_from("<H", data, offset + 6)[0]
        offset = begin + length
        meta[element] = data[begin:offset].rstrip(b"\0 ").decode("ascii", "replace")
    told = pydicom.dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"])
    own_instance = str(told.get("SOPInstanceUID", ""))
    return Object(
        path,
        meta.get(0x02) or str(told.SOPClassUID),
        meta.get(0x03) or own_instance,
        own_instance,
        meta[0x10],
        data[offset:],
    )


@cache
def batches() -> tuple[tuple[Object, ...], ...]:
    """Return the objects of all files, so that no two of a batch are one instance."""
    result: list[list[Object]] = []
    for each in map(read_object, all_files()):
        uids = {each.instance, each.own_instance}
        for batch in result:
            if not any(uids & {other.instance, other.own_instance} for other in batch):
                batch.append(each)
                break
        else:
            result.append([each])
    return tuple(map(tuple, result))


def paths(batch: Iterable[Object]) -> list[str]:
    """Return where objects are, for a command line."""
    return [str(each.path) for each in batch]


def even(data_set: bytes) -> bytes:
    """Return the data set as it is sent, since fragments have an even length (PS3.8 annex E)."""
    return data_set + b"\0" if len(data_set) % 2 else data_set


def received(directory: Path) -> dict[str, Object]:
    """Return the objects of all files below a directory by their instance UIDs."""
    return by_instance(
        read_object(path)
        for path in directory.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.parts)
    )


def by_instance(found: Iterable[Object]) -> dict[str, Object]:
    """Return objects by their instance UIDs, each of which must be there once."""
    result: dict[str, Object] = {}
    for each in found:
        if each.instance in result:
            raise AssertionError(f"{each.path} and {result[each.instance].path} are one instance")
        result[each.instance] = each
    return result


def values(each: Object) -> dict[Any, Any]:
    """
    Return what an object says, whatever its encoding: the values of its elements by tag.

    Whoever encodes a data set anew may leave out group lengths and padding at its end, and choose
    between the VRs OB and OW; words in big endian are turned round.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that break rules, which is not our matter
        return _values(pydicom.dcmread(each.path), each.transfer_syntax == ExplicitVRBigEndian)


def _values(data_set: Dataset, big_endian: bool) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for element in data_set:
        if element.tag.element == 0 or element.tag == _TRAILING_PADDING:
            continue
        if element.VR == "SQ":
            result[element.tag] = [_values(item, big_endian) for item in element.value]
        elif element.VR == "OW" and big_endian:
            words = array("H", element.value)
            words.byteswap()
            result[element.tag] = words.tobytes()
        else:
            result[element.tag] = element.value
    return result
