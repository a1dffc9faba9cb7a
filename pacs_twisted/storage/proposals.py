"""
Which presentation contexts are proposed for what is to be sent (PS3.5 section 10.1).

For each SOP class there is a context of its own for each transfer syntax that its objects are in,
so that the peer cannot choose one and turn down the others. If implicit VR little endian is not
among them, it is offered in one context more, behind explicit VR: a peer must take it if it takes
the class at all. That is left out where the objects could not be sent so: where lossy compression
or their size forbid it, and nobody has asked for them to be decompressed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from pacs_twisted.storage.conversion import is_lossy
from pacs_twisted.uids import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

MAXIMUM_CONTEXTS: Final = 128
"""As many contexts as an association can have: their IDs are odd, 1 to 255."""

_FALLBACK: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
_LONGEST_VALUE: Final = 0xFFFFFFFE  # bytes; what is uncompressed has a length of 32 bits

Offer = tuple[str, tuple[str, ...]]
"""A presentation context: abstract syntax and transfer syntaxes, as `associate` takes it."""


@attrs.frozen
class Need:
    """
    What an object needs so that it can be sent as it is.

    Args:
        sop_class_uid: its SOP class.
        transfer_syntax: how it is encoded.
        too_large: whether it is compressed and even so longer than uncompressed pixels can be.
    """

    sop_class_uid: str
    transfer_syntax: str
    too_large: bool = False

    @classmethod
    def of(cls, sop_class_uid: str, transfer_syntax: str, length: int) -> Need:
        """Return what an object of this class, transfer syntax and length in bytes needs."""
        return cls(sop_class_uid, transfer_syntax, length > _LONGEST_VALUE)

    @property
    def as_it_is(self) -> bool:
        """Whether PS3.5 section 10.1 asks for no other transfer syntax than this."""
        if self.transfer_syntax in _FALLBACK:
            return False
        return self.too_large or is_lossy(self.transfer_syntax)


def propose(needs: Iterable[Need], *, decompress: bool = False) -> list[tuple[Offer, ...]]:
    """
    Return the presentation contexts to propose, 128 at most for each association.

    A SOP class is in one association with all its transfer syntaxes, unless they are too many.

    Args:
        needs: of what is to be sent, the most urgent first.
        decompress: whether also what is compressed with losses can be sent uncompressed.
    """
    by_class: dict[str, list[Need]] = {}
    for need in needs:
        by_class.setdefault(need.sop_class_uid, []).append(need)
    associations: list[tuple[Offer, ...]] = []
    room = 0
    for sop_class, wanted in by_class.items():
        offers = _offer(sop_class, wanted, decompress)
        if len(offers) > room:
            associations.append(())
            room = MAXIMUM_CONTEXTS
        for start in range(0, len(offers), MAXIMUM_CONTEXTS):
            if start:
                associations.append(())
            associations[-1] += offers[start : start + MAXIMUM_CONTEXTS]
        room = MAXIMUM_CONTEXTS - len(associations[-1])
    return associations


def _offer(sop_class: str, needs: list[Need], decompress: bool) -> tuple[Offer, ...]:
    """Return the contexts of one SOP class."""
    syntaxes = tuple(dict.fromkeys(need.transfer_syntax for need in needs))
    offers: list[Offer] = [(sop_class, (syntax,)) for syntax in syntaxes]
    only_as_it_is = all(need.as_it_is for need in needs) and not decompress
    if IMPLICIT_VR_LITTLE_ENDIAN not in syntaxes and not only_as_it_is:
        fallback = tuple(syntax for syntax in _FALLBACK if syntax not in syntaxes)
        offers.insert(MAXIMUM_CONTEXTS - 1, (sop_class, fallback))
    return tuple(offers)
