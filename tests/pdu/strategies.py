"""
Hypothesis strategies: every PDU value, their bytes, and bytes that are almost PDUs.

Values are drawn small, but for what a field can hold at its limits. They are such that a round
trip gives them back: text without the padding that decoding strips, no transfer syntax where a
context is refused.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from hypothesis import strategies as st

from pacs_twisted.pdu import (
    PDU,
    PDV,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    AsynchronousOperationsWindow,
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    PDataTF,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserInformation,
)
from tests import bytes_of

_T = TypeVar("_T")

octets = st.integers(0, 0xFF)
shorts = st.integers(0, 0xFFFF)
longs = st.integers(0, 0xFFFFFFFF)
fields = st.binary(max_size=40)
context_ids = st.integers(0, 127).map(lambda number: 2 * number + 1)

uids = st.lists(st.integers(0, 99_999).map(str), min_size=2, max_size=8).map(".".join)
"""Well-formed UIDs, of at most 47 characters."""

_TITLE_CHARACTERS = string.ascii_letters + string.digits + " _-./:!~"
ae_titles = st.text(_TITLE_CHARACTERS, min_size=1, max_size=16).map(str.strip).filter(bool)

version_names = st.text(_TITLE_CHARACTERS, min_size=1, max_size=16).map(str.rstrip).filter(bool)


def tuples(elements: st.SearchStrategy[_T], **limits: int) -> st.SearchStrategy[tuple[_T, ...]]:
    """Draw tuples of any length within the limits of `st.lists`."""
    return st.lists(elements, **limits).map(tuple)  # type: ignore[arg-type]


windows = st.builds(AsynchronousOperationsWindow, shorts, shorts)
role_selections = st.builds(RoleSelection, uids, st.booleans(), st.booleans())
extended_negotiations = st.builds(ExtendedNegotiation, uids, fields)
common_extended_negotiations = st.builds(
    CommonExtendedNegotiation, uids, uids, tuples(uids, max_size=3)
)
user_identities = st.builds(UserIdentity, octets, fields, fields, st.booleans())

user_informations = st.builds(
    UserInformation,
    maximum_length_received=st.none() | longs,
    implementation_class_uid=st.none() | uids,
    implementation_version_name=st.none() | version_names,
    asynchronous_operations_window=st.none() | windows,
    role_selections=tuples(role_selections, max_size=3),
    extended_negotiations=tuples(extended_negotiations, max_size=3),
    common_extended_negotiations=tuples(common_extended_negotiations, max_size=2),
    user_identity=st.none() | user_identities,
    user_identity_response=st.none() | fields,
)

proposed_contexts = st.builds(
    ProposedContext, context_ids, uids, tuples(uids, min_size=1, max_size=4)
)
accepted_results = st.builds(ContextResult, context_ids, st.just(0), uids)
refused_results = st.builds(ContextResult, context_ids, st.integers(1, 255), st.just(""))


def _unique(contexts: st.SearchStrategy[_T], min_size: int) -> st.SearchStrategy[tuple[_T, ...]]:
    by_id: Callable[[Any], object] = lambda context: context.context_id  # noqa: E731
    return st.lists(contexts, min_size=min_size, max_size=5, unique_by=by_id).map(tuple)


a_associate_rqs = st.builds(
    AAssociateRQ,
    ae_titles,
    ae_titles,
    _unique(proposed_contexts, min_size=1),
    user_informations,
    uids,
    shorts,
)
a_associate_acs = st.builds(
    AAssociateAC,
    _unique(accepted_results | refused_results, min_size=0),
    user_informations,
    st.binary(min_size=64, max_size=64),
    uids,
    shorts,
)
a_associate_rjs = st.builds(AAssociateRJ, octets, octets, octets)
a_aborts = st.builds(AAbort, octets, octets)
releases: st.SearchStrategy[AReleaseRQ | AReleaseRP] = st.sampled_from([AReleaseRQ(), AReleaseRP()])
held_pdus: st.SearchStrategy[PDU] = (
    a_associate_rqs | a_associate_acs | a_associate_rjs | a_aborts | releases
)
"""All PDUs but P-DATA-TF."""

pdvs = st.builds(PDV, context_ids, octets, fields)
p_data_tfs = st.builds(PDataTF, st.lists(pdvs, min_size=1, max_size=4))

pdus: st.SearchStrategy[PDU] = p_data_tfs | held_pdus
streams = st.lists(pdus, max_size=6).map(lambda pdus: b"".join(pdu.encode() for pdu in pdus))


@st.composite
def chunks(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    """Cut a stream anywhere; now and then into single bytes."""
    if draw(st.booleans()) and draw(st.booleans()):
        return [stream[i : i + 1] for i in range(len(stream))]
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


# Items that hold items, and how many bytes of their values come before those.
_NESTED = {0x20: 4, 0x21: 4, 0x50: 0}


def _damage_items(draw: st.DrawFn, data: bytes) -> bytes:
    """Take items and change one of them: twice, away, elsewhere, another type, a lying length."""
    items = bytes_of.items_of(data)
    if not items:
        return data
    index = draw(st.integers(0, len(items) - 1))
    item_type, value = items[index]
    whole = [bytes_of.item(*one) for one in items]
    match draw(st.sampled_from(["inside", "twice", "gone", "shuffled", "type", "length", "value"])):
        case "inside" if item_type in _NESTED:
            head = _NESTED[item_type]
            value = value[:head] + _damage_items(draw, value[head:])
            whole[index] = bytes_of.item(item_type, value)
        case "twice":
            whole.insert(draw(st.integers(0, len(whole))), whole[index])
        case "gone":
            del whole[index]
        case "shuffled":
            whole = draw(st.permutations(whole))
        case "type":
            whole[index] = bytes_of.item(draw(octets), value)
        case "length":
            near = st.integers(max(0, len(value) - 5), min(len(value) + 5, 0xFFFF))
            whole[index] = bytes_of.item(item_type, value, draw(near | shorts))
        case _:
            whole[index] = bytes_of.item(item_type, _damage_octets(draw, value)[:0xFFFF])
    return b"".join(whole)


def _damage_octets(draw: st.DrawFn, data: bytes) -> bytes:
    """Change some bytes, without knowing what they are."""
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, min(len(data), start + 8)))
    return data[:start] + draw(st.binary(max_size=8)) + data[end:]


def _damage_pdvs(draw: st.DrawFn, data: bytes) -> bytes:
    """Take the body of a P-DATA-TF and change the length of its first PDV."""
    true = int.from_bytes(data[:4], "big")
    length = draw(st.integers(max(0, true - 7), true + 7) | longs)
    return length.to_bytes(4, "big") + data[4:]


@st.composite
def damaged_pdus(draw: st.DrawFn) -> bytes:
    """Draw the bytes of a PDU with something wrong in it, or almost."""
    whole = draw(pdus).encode()
    pdu_type, body = whole[0], whole[6:]
    length = None
    match draw(st.sampled_from(["content", "octets", "cut", "length", "type"])):
        case "content" if pdu_type in (1, 2):
            body = body[:68] + _damage_items(draw, body[68:])
        case "content" if pdu_type == 4:
            body = _damage_pdvs(draw, body)
        case "cut":
            body = body[: draw(st.integers(0, len(body)))]
        case "length":
            near = st.integers(max(0, len(body) - 8), len(body) + 8)
            length = draw(near | longs)
        case "type":
            pdu_type = draw(st.integers(0, 9) | octets)
        case _:
            body = _damage_octets(draw, body)
    return bytes_of.pdu(pdu_type, body, length)


def join(parts: Iterable[bytes]) -> bytes:
    """Return one stream of the parts; for `map`."""
    return b"".join(parts)


damaged_streams = st.tuples(streams, damaged_pdus(), streams).map(join)
"""Good PDUs, a damaged one, and good ones again."""
