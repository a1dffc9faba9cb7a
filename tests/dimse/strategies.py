"""
Hypothesis strategies: every message, drawn from the declarations of its fields.

Values are such that a round trip gives them back: no blank texts and no padding at their ends,
which decoding strips, and no backslash, which pydicom takes for the end of a value.
"""

from __future__ import annotations

import string
from typing import Any

import attrs
from hypothesis import strategies as st

from pacs_twisted.dimse._command import DICTIONARY, DISPENSABLE
from pacs_twisted.dimse.commands import MESSAGES, Command
from pacs_twisted.dimse.status import Status
from tests.pdu.strategies import shorts, uids

_PRINTABLE = string.ascii_letters + string.digits + " _-.,:;!?()"


def _texts(alphabet: str, longest: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=1, max_size=longest).map(str.strip).filter(bool)


_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "US": shorts,
    "UI": uids,
    "AE": _texts(_PRINTABLE, 16),
    "LO": _texts(_PRINTABLE + "\xe4\xf6\xfc\xdf", 64),
    "AT": st.lists(st.integers(0, 0xFFFFFFFF), max_size=4).map(tuple),
}


def _values(field: attrs.Attribute[Any]) -> st.SearchStrategy[Any]:
    if field.name == "status":
        return shorts.map(Status)
    values = _VALUES[DICTIONARY[field.name].representation.name]
    if field.default is None or field.metadata == DISPENSABLE:
        return st.none() | values
    return values


def instances(message: type[Command]) -> st.SearchStrategy[Command]:
    """Draw values of one message."""
    return st.builds(message, **{field.name: _values(field) for field in attrs.fields(message)})


commands = st.sampled_from(list(MESSAGES.values())).flatmap(instances)
"""Values of all messages."""

one_of_each = st.tuples(*map(instances, MESSAGES.values()))
"""A value of every message, so that none is left out of a hundred examples."""
