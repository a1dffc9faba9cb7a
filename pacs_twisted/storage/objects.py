"""
What can be stored at a peer: the instances in files, in archives and in memory (PS3.4 annex B).

To look at an object takes the head of its file: the meta information and the first elements of the
data set, which are not parsed any further. The data set is then loaded, when its turn has come,
from where the head ends. All of that may wait for a disk: it is done in a queue of a `Disk`.

A file without meta information, or without the preamble, is taken for what its first bytes show.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

import attrs
from twisted.internet.defer import Deferred

from pacs_twisted.errors import PacsError
from pacs_twisted.storage.content import (
    PIECE,
    Content,
    ContentChanged,
    FileContent,
    MemoryContent,
    Source,
    read_exactly,
    source_of,
)
from pacs_twisted.storage.disk import DiskQueue
from pacs_twisted.storage.part10 import FileMeta, NeedMore, NotPart10, read_file_meta
from pacs_twisted.storage.paths import is_plausible_uid
from pacs_twisted.storage.scanner import Scanner, guess_transfer_syntax
from pacs_twisted.uids import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = [
    "MEDIA_STORAGE_DIRECTORY",
    "NotDicom",
    "NotStorable",
    "StorableObject",
    "look_at_dataset",
    "look_at_file",
    "look_at_member",
]

MEDIA_STORAGE_DIRECTORY: Final = "1.2.840.10008.1.3.10"
"""The SOP class of a DICOMDIR, which is an index of files and never sent (PS3.10 section 8.6)."""

_SOP_CLASS: Final = 0x00080016
_SOP_INSTANCE: Final = 0x00080018
_HEAD: Final = 8192  # bytes that show all there is to see in nearly every file
_LOOK: Final = 262144  # bytes after which the UIDs are not looked for any more
_STEP: Final = 65536
_PREAMBLE: Final = bytes(128)
_PREFIX: Final = b"DICM"
_GROUP_0002: Final = b"\2\0"
_UNCOMPRESSED: Final = (
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
)
_Read = Callable[[int], bytes]


class NotStorable(PacsError):
    """There is no object to store in what was looked at; the message says why."""


class NotDicom(NotStorable):
    """It is none of DICOM's objects, nor the remains of one: nobody misses it at the peer."""


class Body(Protocol):
    """Where the data set of an object is."""

    def load(self) -> Content:
        """
        Read it, or its beginning if it is long.

        Raises:
            OSError: the disk fails.
            PacsError: it is not what it was when it was looked at, or cannot be read.
        """


@attrs.define(eq=False)
class StorableObject:
    """
    An instance that can be stored at a peer.

    Args:
        name: what messages call it: the path of its file, for one.
        sop_class_uid: as its data set says; as the meta information does where that is silent.
        sop_instance_uid: likewise.
        transfer_syntax: how the data set is encoded where it lies.
        length: bytes of the data set, padded; of one that is not encoded yet, about as many.
        body: where the data set is.
        held: bytes of memory that it takes up before it is loaded.
        corrected: whether its meta information says something else than its data set.
    """

    name: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    length: int
    body: Body = attrs.field(repr=False)
    held: int = 0
    corrected: bool = False

    def load(self) -> Content:
        """
        Read the data set, or its beginning if it is longer than `PIECE`; this waits for the disk.

        Raises:
            OSError: the disk fails.
            PacsError: it is not what it was when it was looked at, or cannot be read.
        """
        return self.body.load()

    def open(
        self, queue: DiskQueue, sent: Callable[[int], None] = lambda _: None
    ) -> Deferred[Source]:
        """
        Return what an association can send the data set from.

        Args:
            queue: where the disk is waited for.
            sent: called with the number of bytes of each piece that is sent.
        """
        return queue.submit(self.load).addCallback(source_of, queue, sent)


# --- files --------------------------------------------------------------------------------------


@attrs.frozen
class _Look:
    """What the head of a file shows."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    offset: int
    corrected: bool


def _look(read: _Read, size: int) -> _Look:
    """
    Look at the head of a file.

    Args:
        read: returns the next bytes of it, as many as asked for or, at the end, fewer.
        size: of the file, in bytes.
    """
    head = read(_HEAD)
    before = _missing_before(head)
    if before is None:
        meta, offset = FileMeta("", "", ""), 0
    else:
        meta, offset, head = _read_meta(before, head, read)
        # Two bytes that look like a group may begin any file; the prefix begins no other.
        if not (_has_prefix(before) or meta.sop_class_uid or meta.transfer_syntax_uid):
            raise NotDicom("not a DICOM file")
    label = meta.transfer_syntax_uid
    transfer_syntax = _true_syntax(label, head[offset : offset + 8])
    if before is not None and offset >= size:
        raise NotStorable("no data set behind the meta information")
    if transfer_syntax is None:
        if before is None:
            raise NotDicom("not a DICOM file")
        raise NotStorable("no transfer syntax")
    scanner = Scanner((_SOP_CLASS, _SOP_INSTANCE), transfer_syntax, _LOOK)
    scanner.feed(memoryview(head)[offset:])
    seen = len(head)
    while not scanner.done and seen < _LOOK and (more := read(_STEP)):
        scanner.feed(more)
        seen += len(more)
    sop_class = _choose_uid(scanner.text(_SOP_CLASS), meta.sop_class_uid)
    sop_instance = _choose_uid(scanner.text(_SOP_INSTANCE), meta.sop_instance_uid)
    if MEDIA_STORAGE_DIRECTORY in (meta.sop_class_uid, sop_class):
        raise NotDicom("a DICOMDIR, which is not sent itself")
    if before is None and not (sop_class and sop_instance):
        raise NotDicom("not a DICOM file")
    if not sop_class:
        raise NotStorable("no SOP class UID")
    if not sop_instance:
        raise NotStorable("no SOP instance UID")
    corrected = (
        meta.sop_class_uid not in ("", sop_class)
        or meta.sop_instance_uid not in ("", sop_instance)
        or label not in ("", transfer_syntax)
    )
    return _Look(sop_class, sop_instance, transfer_syntax, offset, corrected)


def _missing_before(head: bytes) -> bytes | None:
    """Return what a file lacks in front of its group 0002, None if it has no such group."""
    if head[len(_PREAMBLE) :].startswith(_PREFIX):
        return b""
    if head.startswith(_PREFIX):
        return _PREAMBLE
    if head.startswith(_GROUP_0002):
        return _PREAMBLE + _PREFIX
    return None


def _has_prefix(before: bytes) -> bool:
    """Return whether a file has the prefix, by what it lacks in front of its group 0002."""
    return not before.endswith(_PREFIX)


def _read_meta(before: bytes, head: bytes, read: _Read) -> tuple[FileMeta, int, bytes]:
    """Return the meta information, where the data set begins, and the head as far as was read."""
    whole = len(head) < _HEAD
    while True:
        try:
            meta, offset = read_file_meta(before + head if before else head, whole=whole)
        except NeedMore as error:
            wanted = max(error.needed - len(before) - len(head), _HEAD)
            more = read(wanted)
            whole = len(more) < wanted
            head += more
        except NotPart10 as error:
            if not _has_prefix(before):
                raise NotDicom("not a DICOM file") from error
            raise NotStorable(f"a damaged DICOM file: {error}") from error
        else:
            return meta, offset - len(before), head


def _true_syntax(label: str, head: bytes) -> str | None:
    """Return how a data set is encoded: as its label says, unless it is plain that it is not."""
    if label and label not in _UNCOMPRESSED:
        return label
    guess = guess_transfer_syntax(head)
    if label == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN and b"\x08" not in head[:2]:
        return label  # a deflated stream may look like anything else
    return guess or label or None


def _choose_uid(in_data_set: str | None, in_meta: str) -> str:
    if in_data_set and is_plausible_uid(in_data_set):
        return in_data_set
    return in_meta if is_plausible_uid(in_meta) else ""


@attrs.frozen
class _FileBody:
    path: str
    offset: int
    stamp: tuple[int, int, int]

    def load(self) -> Content:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            stamp = _stamp(descriptor)
            if stamp != self.stamp:
                raise ContentChanged("the file has changed since it was looked at")
            size = stamp[0]
            if size - self.offset > PIECE:
                content = FileContent(descriptor, self.offset, size)
                descriptor = -1
                return content
            return MemoryContent(read_exactly(descriptor, self.offset, size, PIECE))
        finally:
            if descriptor >= 0:
                os.close(descriptor)


def _stamp(descriptor: int) -> tuple[int, int, int]:
    """Return the size of a file, and what changes when its content does."""
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns, status.st_ino


def look_at_file(path: str) -> StorableObject:
    """
    Return the object in a file.

    Raises:
        OSError: it cannot be opened or read.
        NotDicom: there is none.
        NotStorable: there was one, but it is damaged.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        stamp = _stamp(descriptor)
        found = _look(lambda number: os.read(descriptor, number), stamp[0])
    finally:
        os.close(descriptor)
    return _make_object(path, found, stamp[0], _FileBody(path, found.offset, stamp))


def _make_object(name: str, found: _Look, size: int, body: Body) -> StorableObject:
    length = size - found.offset
    return StorableObject(
        name,
        found.sop_class_uid,
        found.sop_instance_uid,
        found.transfer_syntax,
        length + (length & 1),
        body,
        corrected=found.corrected,
    )


# --- archives -----------------------------------------------------------------------------------


@contextmanager
def _reading(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[zipfile.ZipExtFile]:
    """Open a member of an archive, and call what is wrong with it by one name."""
    try:
        with archive.open(member) as file:
            yield file  # type: ignore[misc]  # open() is declared to return IO[bytes]
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise NotStorable("the archive is damaged") from error
    except (RuntimeError, NotImplementedError) as error:
        raise NotStorable("encrypted, or compressed in a way that is not supported") from error


@attrs.frozen
class _MemberBody:
    archive: zipfile.ZipFile  # closed when nothing refers to it any more
    member: zipfile.ZipInfo
    offset: int

    def load(self) -> Content:
        # Unpacked as a whole before the first byte is sent: only then its checksum is known.
        length = self.member.file_size - self.offset
        with _reading(self.archive, self.member) as file:
            file.read(self.offset)
            if length <= PIECE:
                return MemoryContent(file.read())
            with tempfile.TemporaryFile() as spool:
                shutil.copyfileobj(file, spool, PIECE)
                spool.flush()
                size = spool.tell()
                return FileContent(os.dup(spool.fileno()), 0, size)


def look_at_member(name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> StorableObject:
    """
    Return the object in a member of a zip archive.

    Args:
        name: what messages call it.
        archive: open for reading.
        member: a file, no directory.

    Raises:
        OSError: the archive cannot be read.
        NotDicom: there is none.
        NotStorable: there was one, or the archive is damaged or encrypted.
    """
    with _reading(archive, member) as file:
        found = _look(file.read, member.file_size)
    body = _MemberBody(archive, member, found.offset)
    return _make_object(name, found, member.file_size, body)


# --- data sets of pydicom -----------------------------------------------------------------------


@attrs.frozen
class _DatasetBody:
    dataset: Dataset
    transfer_syntax: str

    def load(self) -> Content:
        from pacs_twisted.storage.conversion import encode_dataset

        return MemoryContent(encode_dataset(self.dataset, self.transfer_syntax))


def look_at_dataset(dataset: Dataset) -> StorableObject:
    """
    Return the object that a pydicom `Dataset` is; it must not be changed until it is sent.

    It is encoded, when its turn has come, as its `file_meta` says, or as it was read; in explicit
    VR little endian if neither says anything.

    Raises:
        NotStorable: a UID is missing.
    """
    sop_class = str(dataset.get("SOPClassUID", "")).strip()
    sop_instance = str(dataset.get("SOPInstanceUID", "")).strip()
    if not is_plausible_uid(sop_class):
        raise NotStorable("no SOP class UID")
    if not is_plausible_uid(sop_instance):
        raise NotStorable("no SOP instance UID")
    size = _size_in_memory(dataset)
    syntax = _dataset_syntax(dataset)
    return StorableObject(
        f"data set {sop_instance}",
        sop_class,
        sop_instance,
        syntax,
        size,
        _DatasetBody(dataset, syntax),
        held=size,
    )


def _dataset_syntax(dataset: Dataset) -> str:
    meta = getattr(dataset, "file_meta", None)
    syntax = str(meta.get("TransferSyntaxUID", "")) if meta is not None else ""
    if syntax and syntax != DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        return syntax
    if not syntax:
        is_implicit, is_little = dataset.original_encoding
        if is_little is False:
            return EXPLICIT_VR_BIG_ENDIAN
        if is_implicit:
            return IMPLICIT_VR_LITTLE_ENDIAN
    return EXPLICIT_VR_LITTLE_ENDIAN  # a deflated one is inflated already


def _size_in_memory(dataset: Dataset) -> int:
    """Return about how many bytes a data set takes, without decoding anything."""
    size = 0
    # Not the data set itself: to iterate that decodes its elements.
    for tag in dataset.keys():  # noqa: SIM118
        value = dataset.get_item(tag).value
        size += 64 + (len(value) if isinstance(value, bytes) else 0)
    return size
