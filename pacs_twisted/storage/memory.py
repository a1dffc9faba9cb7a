"""
A Storage service that hands small objects to a function instead of storing them.

    from twisted.internet import reactor
    from twisted.internet.endpoints import serverFromString

    from pacs_twisted.net import AcceptorFactory, ApplicationEntity
    from pacs_twisted.storage.memory import StorageInMemory

    def received(instance):
        print(instance.request.affected_sop_instance_uid, instance.dataset().Modality)

    entity = ApplicationEntity("MY_SCP", [StorageInMemory(received)])
    serverFromString(reactor, "tcp:11112").listen(AcceptorFactory(entity))
    reactor.run()

A service of your own that wants the bytes as they come is not longer: see `_Gathering`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import isawaitable
from io import BytesIO
from typing import TYPE_CHECKING, Any

import attrs

from pacs_twisted.dimse import CStoreRQ, Status
from pacs_twisted.errors import StatusFailure
from pacs_twisted.services import RequestContext, Requestor, StoreSink
from pacs_twisted.storage.part10 import FileMeta
from pacs_twisted.storage.service import check_instance_uid
from pacs_twisted.storage.sop_classes import STORAGE_SOP_CLASSES
from pacs_twisted.storage.transfer_syntaxes import TRANSFER_SYNTAXES

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

MAXIMUM_LENGTH = 64 << 20
"""The longest data set that is taken unless told otherwise, in bytes."""


@attrs.frozen
class ReceivedInstance:
    """
    An object in memory.

    Args:
        request: the C-STORE-RQ.
        requestor: who sent it.
        transfer_syntax: the UID of the transfer syntax of its data set.
        data_set: the bytes of its data set, as they came.
    """

    request: CStoreRQ
    requestor: Requestor
    transfer_syntax: str
    data_set: bytes = attrs.field(repr=False)

    def encode_file(self) -> bytes:
        """Return the object as a file of PS3.10."""
        meta = FileMeta(
            self.request.affected_sop_class_uid,
            self.request.affected_sop_instance_uid,
            self.transfer_syntax,
            source_ae_title=self.requestor.calling_ae_title,
        )
        return meta.encode() + self.data_set

    def dataset(self) -> FileDataset:
        """
        Return the object as pydicom reads it, with its file meta group.

        This takes a while for a large or deep data set, and everybody else waits: call it in a
        thread then. pydicom raises many kinds of exceptions for data sets that do not parse.
        """
        from pydicom import dcmread

        return dcmread(BytesIO(self.encode_file()))


class StorageInMemory:
    """
    A Storage SCP that hands each object to a function when it is whole.

    Args:
        received: called on the reactor's thread with a `ReceivedInstance`. It returns None or
            success when the object is kept for good, or the `Status` to answer; or a `Deferred` or
            coroutine of one of these. It may raise `StatusFailure`.
        maximum_length: the longest data set that is taken, in bytes; others get A700H as soon as
            they have grown longer. So much memory an association can take, times its window.
        sop_classes: the UIDs of those that are taken.
        transfer_syntaxes: their UIDs, the preferred ones first.
    """

    def __init__(
        self,
        received: Callable[[ReceivedInstance], Any],
        *,
        maximum_length: int = MAXIMUM_LENGTH,
        sop_classes: Iterable[str] = tuple(STORAGE_SOP_CLASSES),
        transfer_syntaxes: Sequence[str] = tuple(TRANSFER_SYNTAXES),
    ) -> None:
        self.sop_classes: Mapping[str, Sequence[str]] = dict.fromkeys(
            sop_classes, tuple(transfer_syntaxes)
        )
        """For each SOP class its transfer syntaxes, in order of preference."""
        self._received = received
        self._maximum_length = maximum_length

    def c_store(self, request: CStoreRQ, context: RequestContext) -> StoreSink:
        """
        Begin to receive an object.

        Raises:
            StatusFailure: its SOP instance UID is none (0117H).
        """
        check_instance_uid(request)

        def complete(data_set: bytes) -> Any:
            return self._received(
                ReceivedInstance(
                    request, context.requestor, context.presentation.transfer_syntax, data_set
                )
            )

        return _Gathering(complete, self._maximum_length)


class _Gathering:
    """A sink that gathers a data set, and hands it on when it is whole."""

    def __init__(self, complete: Callable[[bytes], Any], maximum_length: int) -> None:
        self._complete = complete
        self._maximum_length = maximum_length
        self._data_set = bytearray()

    def write(self, fragments: Sequence[bytes | memoryview]) -> None:
        for fragment in fragments:
            if len(self._data_set) + len(fragment) > self._maximum_length:
                raise StatusFailure(
                    Status.OUT_OF_RESOURCES, f"more than {self._maximum_length} bytes"
                )
            self._data_set += fragment

    def complete(self) -> Any:
        if not self._data_set:
            raise StatusFailure(Status.CANNOT_UNDERSTAND, "empty data set")
        data_set, self._data_set = bytes(self._data_set), bytearray()
        result = self._complete(data_set)
        if isawaitable(result):
            return _or_success(result)
        return Status.SUCCESS if result is None else result

    def abandon(self) -> None:
        self._data_set = bytearray()


async def _or_success(result: Any) -> Any:
    status = await result
    return Status.SUCCESS if status is None else status
