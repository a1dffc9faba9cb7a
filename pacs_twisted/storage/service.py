"""
The Storage service as SCP (PS3.4 annex B): what peers send becomes files of PS3.10.

A file holds the data set byte for byte as it came, in the transfer syntax that was negotiated,
behind a file meta group with the UIDs of the command. Data sets are not parsed, but for a look at
the head that finds the elements of which a file's name is made; those that cannot be read are
stored all the same. Success is answered when the file has its name and would survive a power cut,
as far as the store is asked to make sure of that.

An application that wants no files writes a service of its own: `c_store` may return any
`pacs_twisted.services.StoreSink`. `pacs_twisted.storage.memory` has one for small objects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal
from weakref import WeakKeyDictionary

from pacs_twisted.dimse import CStoreRQ, Status
from pacs_twisted.errors import StatusFailure
from pacs_twisted.services import RequestContext, Requestor, StoreSink
from pacs_twisted.storage.deposit import Store
from pacs_twisted.storage.disk import Disk
from pacs_twisted.storage.outstanding import Outstanding
from pacs_twisted.storage.paths import DEFAULT_TEMPLATE, PathTemplate, is_plausible_uid
from pacs_twisted.storage.received import AfterCommit, BeforeCommit
from pacs_twisted.storage.receiving import (
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    Receiving,
    Reception,
)
from pacs_twisted.storage.sop_classes import STORAGE_SOP_CLASSES
from pacs_twisted.storage.storage_log import StorageLog
from pacs_twisted.storage.transfer_syntaxes import TRANSFER_SYNTAXES


def check_instance_uid(request: CStoreRQ) -> None:
    """
    See that an object has an identity; of the UIDs of a request only their length is sure.

    Raises:
        StatusFailure: its SOP instance UID is none (0117H).
    """
    if not is_plausible_uid(request.affected_sop_instance_uid):
        raise StatusFailure(Status.INVALID_SOP_INSTANCE, "not a UID")


class Storage:
    """
    A Storage SCP that keeps objects as files.

    Who may store is the business of the admission; to decide it for each object, derive from this
    class and return a `Status`, such as `NOT_AUTHORIZED`, from `c_store` before you call this one.

    Args:
        store: where the files go, such as a `FileStore`. It is not opened here, nor is the disk
            started.
        disk: does the store's work; with an `InlineDisk` the bytes are written as they come, not
            copied, and everybody waits for the disk.
        template: makes the path of an object below the directory of the store.
        sop_classes: the UIDs of those that can be stored.
        private_sop_classes: the UIDs of others.
        transfer_syntaxes: their UIDs, the preferred ones first;
            see `pacs_twisted.storage.transfer_syntaxes.prefer`.
        mismatch: whether a data set whose SOP class or instance UID is another one than the
            command's is stored under the command's, and logged, or refused with A900H.
        before_commit: asked before an object is stored; see `BeforeCommit`.
        after_commit: told of each stored object; see `AfterCommit`.
        seconds: returns the time in seconds; for the log, which says some things once a minute.
    """

    def __init__(
        self,
        store: Store,
        *,
        disk: Disk,
        template: PathTemplate | str = DEFAULT_TEMPLATE,
        sop_classes: Iterable[str] = tuple(STORAGE_SOP_CLASSES),
        private_sop_classes: Iterable[str] = (),
        transfer_syntaxes: Sequence[str] = tuple(TRANSFER_SYNTAXES),
        mismatch: Literal["log", "refuse"] = "log",
        before_commit: BeforeCommit | None = None,
        after_commit: AfterCommit | None = None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(template, str):
            template = PathTemplate.parse(template)
        self.sop_classes: Mapping[str, Sequence[str]] = dict.fromkeys(
            (*sop_classes, *private_sop_classes), tuple(transfer_syntaxes)
        )
        """For each SOP class its transfer syntaxes, in order of preference."""
        self._reception = Reception(
            store,
            disk,
            template,
            {SOP_CLASS_UID: "SOPClassUID", SOP_INSTANCE_UID: "SOPInstanceUID", **template.elements},
            refuse_mismatch=mismatch == "refuse",
            before_commit=before_commit,
            after_commit=after_commit,
            log=StorageLog(store.directory, seconds),
        )
        self._outstanding: WeakKeyDictionary[Requestor, Outstanding] = WeakKeyDictionary()

    def c_store(self, request: CStoreRQ, context: RequestContext) -> StoreSink:
        """
        Begin to receive an object.

        Raises:
            StatusFailure: its SOP instance UID is none, so that it cannot have a name (0117H).
        """
        check_instance_uid(request)
        outstanding = self._outstanding.setdefault(context.requestor, Outstanding())
        return Receiving(self._reception, request, context, outstanding)
