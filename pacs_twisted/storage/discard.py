"""
A Storage SCP for load tests: objects are received, and that is all.

It shows what the network and the protocol cost without a disk. It answers success to what it has
not kept, which PS3.4 section B.2.3 allows nobody who is asked to store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pacs_twisted.dimse import CStoreRQ, Status
from pacs_twisted.services import RequestContext, StoreSink
from pacs_twisted.storage.sop_classes import STORAGE_SOP_CLASSES
from pacs_twisted.storage.transfer_syntaxes import TRANSFER_SYNTAXES


class Discard:
    """
    Receive every object, forget it, and answer with success all the same.

    Args:
        sop_classes: the UIDs of those that are received.
        private_sop_classes: the UIDs of others.
        transfer_syntaxes: their UIDs, the preferred ones first.
    """

    def __init__(
        self,
        *,
        sop_classes: Iterable[str] = tuple(STORAGE_SOP_CLASSES),
        private_sop_classes: Iterable[str] = (),
        transfer_syntaxes: Sequence[str] = tuple(TRANSFER_SYNTAXES),
    ) -> None:
        self.sop_classes: Mapping[str, Sequence[str]] = dict.fromkeys(
            (*sop_classes, *private_sop_classes), tuple(transfer_syntaxes)
        )
        """For each SOP class its transfer syntaxes, in order of preference."""

    def c_store(self, request: CStoreRQ, context: RequestContext) -> StoreSink:
        """Begin to receive an object."""
        return _NOWHERE


class _Nowhere:
    """The sink of all objects: it keeps nothing, so one is enough."""

    def write(self, fragments: Sequence[bytes | memoryview]) -> None:
        pass

    def complete(self) -> Status:
        return Status.SUCCESS

    def abandon(self) -> None:
        pass


_NOWHERE = _Nowhere()
