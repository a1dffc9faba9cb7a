"""
Whether two files hold the same instance, and the same data set.

Their heads may differ otherwise: file meta information says who wrote the file and from where the
object came, and an object that is sent twice may come by two ways.
"""

from __future__ import annotations

from typing import Final

from pacs_twisted.storage.filesystem import FileSystem
from pacs_twisted.storage.part10 import NeedMore, NotPart10, read_file_meta

_HEAD: Final = 65536  # hardly any head is longer; one that is makes a file like no other
_PIECE: Final = 1 << 20


def hold_one_instance(files: FileSystem, one: int, other: int) -> bool:
    """
    Whether two open files say in their heads that they hold the same SOP instance.

    A file that says nothing of the kind, such as one that is none of PS3.10, is like no other.
    """
    instance = _read_head(files, one)[0]
    return instance != "" and instance == _read_head(files, other)[0]


def hold_equal_data_sets(files: FileSystem, one: int, other: int) -> bool:
    """
    Whether two open files hold the same instance with equal data sets.

    Equal is byte for byte, in the same transfer syntax. A file that is not one of PS3.10 counts
    from its first byte.
    """
    *head, start = _read_head(files, one)
    *other_head, other_start = _read_head(files, other)
    length = files.size(one) - start
    if head != other_head or length != files.size(other) - other_start:
        return False
    position = 0
    while position < length:
        piece = files.read(one, min(_PIECE, length - position), start + position)
        # A file that ends before its size ends is being written to: nothing to rely on.
        if not piece or piece != files.read(other, len(piece), other_start + position):
            return False
        position += len(piece)
    return True


def _read_head(files: FileSystem, file: int) -> tuple[str, str, int]:
    """Return its SOP instance and transfer syntax UIDs, and where its data set begins."""
    try:
        meta, start = read_file_meta(files.read(file, _HEAD, 0))
    except (NotPart10, NeedMore):
        return "", "", 0
    return meta.sop_instance_uid, meta.transfer_syntax_uid, start
