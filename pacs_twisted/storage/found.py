"""
Where objects are looked for: files, directories, DICOMDIRs, zip archives and what is in memory.

Everything is found as late as possible: of a million files none is opened before its turn has
come. What is found need not be an object; only a look at it tells. Finding and looking wait for a
disk: they are done in a queue of a `Disk`.
"""

from __future__ import annotations

import os
import stat
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs

from pacs_twisted.errors import PacsError, describe_error
from pacs_twisted.storage.objects import (
    MEDIA_STORAGE_DIRECTORY,
    NotDicom,
    NotStorable,
    StorableObject,
    look_at_dataset,
    look_at_file,
    look_at_member,
)
from pacs_twisted.storage.part10 import read_file_meta

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    Storable = str | os.PathLike[str] | Dataset | StorableObject
    """A path, a data set of pydicom, or an object that somebody has looked at already."""

    Objects = Storable | Iterable[Storable]
    """One of these or many; an iterable is advanced as objects are sent, in another thread."""

__all__ = ["Found", "find"]

_HEAD: Final = 4096  # bytes in which a DICOMDIR or an archive shows itself
_DICM: Final = slice(128, 132)
_REFERENCED_FILE_ID: Final = 0x00041500


@attrs.frozen
class Found:
    """
    What may be an object.

    Args:
        name: what messages call it.
        look: returns the object; raises OSError, or PacsError if there is none.
        named: whether somebody has asked for just this, and not for what is in a directory.
    """

    name: str
    look: Callable[[], StorableObject]
    named: bool = True


def find(objects: Any) -> Iterator[Found]:
    """
    Find what is to be sent, in the order in which it is given; names in a directory are sorted.

    Files in a directory or an archive that are no objects are found too. A symbolic link to a
    directory is followed unless that was visited already. An archive in a directory is not opened.

    Args:
        objects: a path, a pydicom `Dataset`, a `StorableObject`, or an iterable of these.

    Raises:
        TypeError: it is none of these, and neither is what the iterable yields.
    """
    if isinstance(objects, str | os.PathLike):
        yield from _find_path(os.fsdecode(objects))
    elif isinstance(objects, StorableObject):
        yield Found(objects.name, lambda: objects)
    elif _is_dataset(objects):
        name = f"data set {objects.get('SOPInstanceUID', '')}".strip()
        yield Found(name, partial(look_at_dataset, objects))
    elif isinstance(objects, Iterable) and not isinstance(objects, bytes | bytearray | memoryview):
        for one in objects:
            yield from find(one)
    else:
        raise TypeError(f"{type(objects).__name__} is neither a path nor a data set")


def _is_dataset(value: object) -> bool:
    """Return whether it is pydicom's, without importing pydicom: who has one has done that."""
    module = sys.modules.get("pydicom.dataset")
    return module is not None and isinstance(value, module.Dataset)


def _problem(name: str, reason: str, *, named: bool = True) -> Found:
    """Return what cannot be looked at."""

    def fail() -> NoReturn:
        raise NotStorable(reason)

    return Found(name, fail, named)


def _find_path(path: str) -> Iterator[Found]:
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            yield from _walk(path)
            return
        if not stat.S_ISREG(mode):
            yield _problem(path, "neither a file nor a directory")
            return
        with open(path, "rb", buffering=0) as file:
            head = file.read(_HEAD)
    except OSError as error:
        yield _problem(path, describe_error(error))
        return
    if _is_dicomdir(head):
        yield from _dicomdir(path)
    elif head[_DICM] != b"DICM" and zipfile.is_zipfile(path):
        yield from _archive(path)
    else:
        yield Found(path, partial(look_at_file, path))


# --- directories --------------------------------------------------------------------------------


def _walk(top: str) -> Iterator[Found]:
    """Find the files below a directory, depth first."""
    visited: set[tuple[int, int]] = set()
    levels = [iter([(top, True)])]
    while levels:
        path, is_directory = next(levels[-1], ("", False))
        if not path:
            levels.pop()
        elif is_directory:
            try:
                status = os.stat(path)
                if (status.st_dev, status.st_ino) not in visited:
                    visited.add((status.st_dev, status.st_ino))
                    levels.append(_entries(path))
            except OSError as error:
                yield _problem(path, describe_error(error))
        else:
            yield Found(path, partial(_look_in_directory, path), named=False)


def _entries(directory: str) -> Iterator[tuple[str, bool]]:
    """Return the paths in a directory, sorted, and whether each is a directory itself."""
    with os.scandir(directory) as entries:
        names = sorted((entry.name, _leads_to_directory(entry)) for entry in entries)
    return ((os.path.join(directory, name), is_directory) for name, is_directory in names)


def _leads_to_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for one: whoever looks at it says so, of this entry alone
        return False


def _look_in_directory(path: str) -> StorableObject:
    # To open a pipe would wait for somebody to write into it.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise NotDicom("no file")
    return look_at_file(path)


# --- archives -----------------------------------------------------------------------------------


def _archive(path: str) -> Iterator[Found]:
    """Find the members of a zip archive, which is closed when nobody needs it any more."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        yield _problem(
            path, describe_error(error) if isinstance(error, OSError) else "a damaged archive"
        )
        return
    for member in sorted(archive.infolist(), key=lambda member: member.filename):
        if not member.is_dir():
            name = f"{path}:{member.filename}"
            yield Found(name, partial(look_at_member, name, archive, member), named=False)


# --- DICOMDIR -----------------------------------------------------------------------------------


def _is_dicomdir(head: bytes) -> bool:
    if MEDIA_STORAGE_DIRECTORY.encode() not in head:
        return False
    try:
        return read_file_meta(head, whole=True)[0].sop_class_uid == MEDIA_STORAGE_DIRECTORY
    except PacsError:
        return False


def _dicomdir(path: str) -> Iterator[Found]:
    """Find the files that a DICOMDIR lists (PS3.3 annex F), in its order, each once."""
    from pydicom import dcmread

    try:
        records = dcmread(path).get("DirectoryRecordSequence") or ()
        listed = dict.fromkeys(filter(None, map(_file_id, records)))
    except Exception as error:  # of pydicom, for whatever is wrong with the file
        yield _problem(path, f"cannot be read as a DICOMDIR ({type(error).__name__})")
        return
    if not listed:
        yield _problem(path, "a DICOMDIR that lists no files")
    names: dict[str, dict[str, str]] = {}
    top = os.path.dirname(path)
    for file_id in listed:
        found = _resolve(top, file_id, names)
        if found is None:
            yield _problem(f"{path}:{'/'.join(file_id)}", "listed in the DICOMDIR, but not there")
        else:
            yield Found(found, partial(_look_in_directory, found))


def _file_id(record: Any) -> tuple[str, ...]:
    """Return the components of the path that a directory record refers to, none if it does not."""
    if _REFERENCED_FILE_ID not in record:
        return ()
    value = record.get_item(_REFERENCED_FILE_ID).value or b""  # as it was read
    return tuple(part.strip(" \0") for part in value.decode("latin-1").split("\\"))


def _resolve(top: str, components: tuple[str, ...], names: dict[str, dict[str, str]]) -> str | None:
    """
    Return the path of a listed file, which may be written in small letters; None if there is none.

    Args:
        top: the directory of the DICOMDIR.
        components: of the path from there.
        names: what is in the directories seen so far, by its name in capital letters.
    """
    path = top
    for component in components:
        if component in ("", ".", "..") or "/" in component or os.sep in component:
            return None  # it leads out of the medium
        exact = os.path.join(path, component)
        if not os.path.lexists(exact):
            try:
                if path not in names:
                    names[path] = {name.upper(): name for name in os.listdir(path or ".")}
            except OSError:
                return None
            actual = names[path].get(component.upper())
            if actual is None:
                return None
            exact = os.path.join(path, actual)
        path = exact
    return path
