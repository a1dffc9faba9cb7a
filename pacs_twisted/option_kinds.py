"""
The kinds of values that options have: how each is read from the command line and from TOML.
"""

from __future__ import annotations

import difflib
import math
import os.path
import re
from collections.abc import Sequence
from typing import ClassVar, Protocol

import attrs

from pacs_twisted.admission import PermittedPeer, check_ae_title


class Kind(Protocol):
    """
    A kind of value: how it is read from the command line and from TOML.

    Both readers raise ValueError for what is not allowed. Its text, if it has one, is added
    to `allowed`, which says what could have been written instead.
    """

    @property
    def name(self) -> str:
        """The kind of value, in a word or two, for the reference."""

    @property
    def allowed(self) -> str:
        """What the value must be: "must be" goes before it."""

    def from_text(self, text: str) -> object:
        """Read the value as it stands on the command line."""

    def from_toml(self, value: object) -> object:
        """Read the value as `tomllib` found it."""


class _Text:
    """What kinds that are text share: TOML's string is read as the command line's."""

    def from_text(self, text: str) -> object:
        raise NotImplementedError

    def from_toml(self, value: object) -> object:
        if not isinstance(value, str):
            raise ValueError
        return self.from_text(value)


class Flag:
    """Yes or no: a bare option on the command line, a boolean in TOML."""

    name = "flag"
    allowed = "true or false"

    def from_text(self, text: str) -> bool:
        """Read "true" or "false", which stand for `--name` and `--no-name`."""
        return self.from_toml({"true": True, "false": False}.get(text))

    def from_toml(self, value: object) -> bool:
        """Read a boolean, and nothing else that Python takes for one."""
        if not isinstance(value, bool):
            raise ValueError
        return value


@attrs.frozen
class Whole:
    """A whole number between two bounds, both allowed."""

    minimum: int
    maximum: int
    name: ClassVar[str] = "whole number"

    @property
    def allowed(self) -> str:
        """The range."""
        return f"a whole number from {self.minimum} to {self.maximum}"

    def from_text(self, text: str) -> int:
        """Read decimal digits; no sign, blank, underscore or digits of other scripts."""
        if not re.fullmatch("[0-9]{1,20}", text):
            raise ValueError
        return self.from_toml(int(text))

    def from_toml(self, value: object) -> int:
        """Read an integer."""
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError
        if not self.minimum <= value <= self.maximum:
            raise ValueError
        return value


@attrs.frozen
class Seconds:
    """A time of at most a day; zero, where it is allowed, turns the timer off."""

    may_be_off: bool = True
    maximum: ClassVar[int] = 86_400
    name: ClassVar[str] = "number"

    @property
    def allowed(self) -> str:
        """The range, and what zero means."""
        if self.may_be_off:
            return f"a number of seconds from 0 (off) to {self.maximum}"
        return f"a number of seconds above 0 and up to {self.maximum}"

    def from_text(self, text: str) -> float:
        """Read a decimal number; no sign, exponent, "nan" or "inf"."""
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9}", text):
            raise ValueError
        return self.from_toml(float(text))

    def from_toml(self, value: object) -> float:
        """Read an integer or a float."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError
        if not math.isfinite(value) or not 0 <= value <= self.maximum:
            raise ValueError
        if value == 0 and not self.may_be_off:
            raise ValueError
        return float(value)


@attrs.frozen
class Choice(_Text):
    """One of a few words."""

    words: tuple[str, ...]
    name: ClassVar[str] = "word"

    @property
    def allowed(self) -> str:
        """The words."""
        return "one of " + ", ".join(self.words)

    def from_text(self, text: str) -> str:
        """Read the word as it is written, in lower case."""
        if text not in self.words:
            raise ValueError
        return text


class Title(_Text):
    """An application entity title (PS3.8 table 9-11, PS3.5 section 6.2, VR AE)."""

    name = "AE title"
    allowed = "1 to 16 characters of ASCII without backslash and control characters, not all blank"

    def from_text(self, text: str) -> str:
        """Read the title; blanks around it are not significant and are taken off."""
        try:
            return check_ae_title(text)
        except ValueError:
            raise ValueError from None  # `allowed` says as much


class Endpoint(_Text):
    """An endpoint string of Twisted; whether its parts make sense is for `tap` to find out."""

    name = "endpoint"
    allowed = (
        'an endpoint string such as "tcp:11112" or "tcp:11112:interface=127.0.0.1"'
        ' (in the file also a table { endpoint = "tcp:11112" })'
    )

    def from_text(self, text: str) -> str:
        """Read the string."""
        if not text.strip():
            raise ValueError
        return text

    def from_toml(self, value: object) -> object:
        """Read a string, or a table whose only key is `endpoint`."""
        if isinstance(value, dict):
            for key in value:
                if key != "endpoint":
                    raise ValueError(unknown_key(key, ["endpoint"]))
            value = value.get("endpoint")
        return super().from_toml(value)


class Peer(_Text):
    """A permitted peer: title, network or both."""

    name = "AE[@NETWORK]"
    allowed = (
        'an AE title, a title and a network ("CT1@10.0.0.0/8"),'
        ' or a network for any title ("*@10.1.0.0/16")'
    )

    def from_text(self, text: str) -> PermittedPeer:
        """Read it by the rules of `admission`."""
        return PermittedPeer.parse(text)


class FileName(_Text):
    """A file's name, absolute: a daemon changes its directory and reads its file again."""

    name = "file"
    allowed = "the name of a file"

    def from_text(self, text: str) -> str:
        """Read the name; whether there is such a file is found out when it is opened."""
        return text


class Directory(FileName):
    """The absolute name of a directory; what is wrong with it is found out at the start."""

    name = "directory"
    allowed = "the name of a directory, in the file an absolute one"

    def from_text(self, text: str) -> str:
        """Read the name; the command line's has been made absolute when it was parsed."""
        if not os.path.isabs(text) or "\0" in text:
            raise ValueError
        return os.path.normpath(text)


class Template(_Text):
    """A template of paths; it stays the text that it is, so that settings can be compared."""

    name = "template"
    allowed = 'a template of paths such as "{StudyInstanceUID}/{SOPInstanceUID}.dcm"'

    def from_text(self, text: str) -> str:
        """Read it by the rules of `pacs_twisted.storage.paths`, which imports pydicom."""
        from pacs_twisted.storage.paths import PathTemplate

        PathTemplate.parse(text)
        return text


_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_MAXIMUM_UID_LENGTH = 64


def _is_uid(text: str) -> bool:
    """Return whether a text can be a UID (PS3.5 section 9.1)."""
    return len(text) <= _MAXIMUM_UID_LENGTH and _UID.fullmatch(text) is not None


class UIDText(_Text):
    """A UID."""

    name = "UID"
    allowed = "a UID: numbers with dots between them, at most 64 characters"

    def from_text(self, text: str) -> str:
        """Read the UID."""
        if not _is_uid(text):
            raise ValueError
        return text


class TransferSyntax(_Text):
    """The UID of a transfer syntax, or its keyword as pydicom has it."""

    name = "UID or keyword"
    allowed = 'the UID of a transfer syntax or its keyword such as "JPEG2000Lossless"'

    def from_text(self, text: str) -> str:
        """Return the UID; one that nobody knows may be a private transfer syntax's."""
        from pydicom.uid import UID  # here, since it takes its time

        from pacs_twisted.storage.transfer_syntaxes import TRANSFER_SYNTAXES

        if _is_uid(text):
            uid = UID(text)
            if uid.type not in ("", "Transfer Syntax"):
                raise ValueError(f"that is {uid.name}")
            return text
        keywords = {UID(uid).keyword: uid for uid in TRANSFER_SYNTAXES}
        if text not in keywords:
            raise ValueError(unknown_key(text, list(keywords), "keyword"))
        return keywords[text]


def unknown_key(key: str, known: Sequence[str], what: str = "key") -> str:
    """Say that a key is unknown, and which one was perhaps meant."""
    small = {word.lower(): word for word in known}
    near = difflib.get_close_matches(key.lower(), small, n=1, cutoff=0.3)
    shown = cut(printable(key))
    return f"unknown {what} {shown}" + (f"; did you mean {small[near[0]]}?" if near else "")


def printable(text: str) -> str:
    """Keep a message on one line whatever was written."""
    return text if text.isprintable() else ascii(text)


def cut(text: str) -> str:
    """Keep a message readable whatever was written."""
    return text if len(text) <= 60 else text[:57] + "..."
