"""
Names for received objects, made from a template and from what the objects say of themselves.

What a peer sends is never trusted as a path: whatever the values are, the components made of
them are plain names, and so stay inside of the directory they are put in. Values, not files:
whether a name is taken, and what then, is decided elsewhere.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from string import Formatter
from typing import Final

import attrs

__all__ = ["DEFAULT_TEMPLATE", "LONGEST_COMPONENT", "PathTemplate", "is_plausible_uid"]

DEFAULT_TEMPLATE: Final = "{StudyInstanceUID}/{SeriesInstanceUID}/{SOPInstanceUID}.dcm"

LONGEST_COMPONENT: Final = 255
"""Bytes: what nearly all file systems allow."""

_MOST_COMPONENTS: Final = 12  # with the directory they must fit into the 4,096 bytes of a path
_LONGEST_LITERAL: Final = 100  # bytes of a component that stand in the template
_DIGEST: Final = 16  # hexadecimal digits that tell shortened names from each other
_ENDING: Final = 16  # a literal end of a component, such as ".dcm", up to which it is never cut

_FROM_ASSOCIATION: Final = ("SOPClassUID", "SOPInstanceUID", "CallingAETitle", "CalledAETitle")
"""What the C-STORE-RQ and the association say, not the data set."""

_TEXT_VRS: Final = (
    "AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT",
    "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT",
)  # fmt: skip

_NOT_FIRST: Final = ".-"  # hidden files, and what programs take for options
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._ -]")
_PADDING: Final = "\0 "
_UID: Final = re.compile(r"(?=\.*[0-9])[0-9.]{1,64}")


def is_plausible_uid(text: str) -> bool:
    """
    Return whether a text could be a UID: 1 to 64 digits and dots, a digit among them.

    The finer rules of PS3.5 section 9.1 (no leading zeros, no empty component) are broken by peers
    in the field, and nothing depends on them.
    """
    return _UID.fullmatch(text) is not None


@attrs.frozen
class _Field:
    """A place in a component where a value goes."""

    name: str


@attrs.frozen
class PathTemplate:
    """
    How the path of an object is made: see `parse`.

    Two templates are equal if their texts are.
    """

    text: str
    elements: Mapping[int, str] = attrs.field(eq=False)
    """The keyword of each element of the data set whose value is needed, by tag."""

    _components: tuple[tuple[str | _Field, ...], ...] = attrs.field(eq=False, repr=False)

    @property
    def tags(self) -> frozenset[int]:
        """The tags of the elements of the data set whose values are needed."""
        return frozenset(self.elements)

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str) -> PathTemplate:
        """
        Read a template such as "{PatientID}/{Modality}-{SOPInstanceUID}.dcm".

        A slash separates components, the last of which names the file. In braces stand keywords
        of PS3.6 for top-level elements with text in them; SOPClassUID and SOPInstanceUID are
        those of the C-STORE-RQ, and CallingAETitle and CalledAETitle those of the association.
        Doubled braces stand for themselves.

        Raises:
            ValueError: with words that say what is wrong.
        """
        components: list[list[str | _Field]] = [[]]
        elements: dict[int, str] = {}
        for literal, name, format_spec, conversion in Formatter().parse(text):
            first, *others = literal.split("/")
            components[-1].append(first)
            components += ([other] for other in others)
            if name is None:
                continue
            if format_spec or conversion:
                raise ValueError(f"{{{name}}} can have no format")
            if name not in _FROM_ASSOCIATION:
                elements[_tag_of(name)] = name
            components[-1].append(_Field(name))
        if len(components) > _MOST_COMPONENTS:
            raise ValueError(f"more than {_MOST_COMPONENTS} components")
        return cls(text, elements, tuple(map(_check_component, components)))

    def path(self, values: Mapping[str, str | None]) -> tuple[str, ...]:
        """
        Return the components of a path, the directories first and the file last.

        In values, what is not a letter, a digit, a blank, dot, hyphen or underscore becomes an
        underscore, as does a dot or hyphen that would begin a component. A component that would
        be too long ends in a digest of its values instead.

        Args:
            values: by the names in the template; a value that is blank, None or not there is
                replaced by "no-" and its name.
        """
        return tuple([_component(parts, values) for parts in self._components])


def _tag_of(keyword: str) -> int:
    """Return the tag of an element that can stand in a template."""
    # Not at the top, for it takes 0.2 s; who starts a server has done so before he listens.
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tag = tag_for_keyword(keyword) if keyword else None
    if tag is None:
        raise ValueError(f"{{{keyword}}} is not the keyword of a DICOM element")
    if tag >> 16 < 8:
        raise ValueError(f"{keyword} is not an element of a data set")
    if dictionary_VR(tag) not in _TEXT_VRS:
        raise ValueError(f"the value of {keyword} is not text")
    return tag


def _check_component(parts: list[str | _Field]) -> tuple[str | _Field, ...]:
    """Return the parts of a component without empty ones, if it can be a name."""
    checked = tuple(part for part in parts if part)
    if not checked:
        raise ValueError("a component is empty: nothing before, after or between slashes")
    literal = "".join([part for part in checked if isinstance(part, str)])
    if not literal.isprintable() or "\\" in literal:
        raise ValueError("a character that cannot be in a path")
    if len(literal.encode()) > _LONGEST_LITERAL:
        raise ValueError(f"a component has more than {_LONGEST_LITERAL} bytes of its own")
    if isinstance(checked[0], str) and checked[0][0] in _NOT_FIRST:
        raise ValueError("a component begins with a dot or a hyphen")
    return checked


def _component(parts: tuple[str | _Field, ...], values: Mapping[str, str | None]) -> str:
    pieces: list[str] = []
    for part in parts:
        if isinstance(part, str):
            pieces.append(part)
        else:
            value = (values.get(part.name) or "").strip(_PADDING)
            pieces.append(_UNSAFE.sub("_", value) or f"no-{part.name}")
    name = "".join(pieces)
    if name[0] in _NOT_FIRST:
        name = "_" + name[1:]
    # Only the template's own characters can be of more than one byte.
    if len(name) <= LONGEST_COMPONENT - _LONGEST_LITERAL or _length(name) <= LONGEST_COMPONENT:
        return name
    return _shorten(name, parts, values)


def _length(name: str) -> int:
    return len(name.encode())


def _shorten(name: str, parts: tuple[str | _Field, ...], values: Mapping[str, str | None]) -> str:
    """Return a name that fits, with its beginning, a digest of the values as sent, and its end."""
    sent = "\0".join([values.get(part.name) or "" for part in parts if isinstance(part, _Field)])
    digest = hashlib.sha256(sent.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    last = parts[-1]
    ending = last if isinstance(last, str) and _length(last) <= _ENDING else ""
    room = LONGEST_COMPONENT - len(f"-{digest}") - _length(ending)
    return f"{name.encode()[:room].decode(errors='ignore')}-{digest}{ending}"
