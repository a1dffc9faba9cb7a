"""
One object on its way from the network to the disk, as the reactor's thread sees it.

Bytes are looked at as they pass, and gathered; the peer is stopped while the disk is slow; hooks
are asked, and the object's fate is answered. What touches the disk is `Deposit`, whose methods run
in a pool, one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import isawaitable
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pacs_twisted.dimse import CStoreRQ, Status
from pacs_twisted.dimse.status import StatusCategory
from pacs_twisted.errors import StatusFailure
from pacs_twisted.net.awaiting import to_deferred
from pacs_twisted.services import RequestContext
from pacs_twisted.storage.deposit import Deposit, Store, Unwanted
from pacs_twisted.storage.disk import Disk, InlineDisk
from pacs_twisted.storage.files import Committed, Crowded, Refused
from pacs_twisted.storage.filesystem import Buffer
from pacs_twisted.storage.outstanding import Outstanding
from pacs_twisted.storage.part10 import FileMeta
from pacs_twisted.storage.paths import PathTemplate
from pacs_twisted.storage.received import AfterCommit, BeforeCommit, Received, Stored
from pacs_twisted.storage.scanner import Scanner
from pacs_twisted.storage.storage_log import StorageLog, describe_os_error

GATHERED = 1 << 20
"""Bytes of an object that are gathered before they go to the disk."""

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018

_SMALL = 4096  # shorter pieces are put together: each costs more than its bytes

_KEPT = (StatusCategory.SUCCESS, StatusCategory.WARNING)

_T = TypeVar("_T")


@attrs.frozen(eq=False)
class Reception:
    """
    How objects are received: what all those of one service have in common.

    Args:
        store: where they are put.
        disk: who does the work there.
        template: makes their names.
        elements: what is looked for at the head of a data set, keyword by tag.
        refuse_mismatch: whether a data set with other UIDs than its command is refused.
        before_commit: the hook of this name.
        after_commit: the hook of this name.
        log: the service's lines.
    """

    store: Store
    disk: Disk
    template: PathTemplate
    elements: Mapping[int, str]
    refuse_mismatch: bool
    before_commit: BeforeCommit | None
    after_commit: AfterCommit | None
    log: StorageLog


class Receiving:
    """
    The sink of one C-STORE; see `pacs_twisted.services.StoreSink`.

    Args:
        reception: how it is received.
        request: the request.
        context: of the request.
        outstanding: of its association.
    """

    __slots__ = (
        "_asking",
        "_compared",
        "_context",
        "_deposit",
        "_failure",
        "_gathered",
        "_inline",
        "_length",
        "_outstanding",
        "_pieces",
        "_queue",
        "_reception",
        "_request",
        "_scanner",
        "_submitted",
    )

    def __init__(
        self,
        reception: Reception,
        request: CStoreRQ,
        context: RequestContext,
        outstanding: Outstanding,
    ) -> None:
        syntax = context.presentation.transfer_syntax
        meta = FileMeta(
            request.affected_sop_class_uid,
            request.affected_sop_instance_uid,
            syntax,
            source_ae_title=context.requestor.calling_ae_title,
        )
        self._reception = reception
        self._request = request
        self._context = context
        self._outstanding = outstanding
        self._deposit = Deposit(reception.store.begin())
        self._queue = reception.disk.queue()
        self._inline = isinstance(reception.disk, InlineDisk)
        self._scanner = Scanner(reception.elements, syntax)
        self._compared = False
        self._pieces: list[Buffer] = [meta.encode()]
        self._gathered = 0  # bytes of the data set in them
        self._length = 0  # of the data set so far
        self._submitted = False  # whether the disk knows of it
        self._failure: BaseException | None = None  # of the disk
        self._asking: Deferred[Any] | None = None  # while a hook makes up its mind

    # StoreSink

    def write(self, fragments: Sequence[bytes | memoryview]) -> None:
        """Take the next bytes of the data set."""
        if self._failure is not None:
            raise self._failure
        scanner = self._scanner
        length = 0
        for fragment in fragments:
            length += len(fragment)
            if not scanner.done:
                scanner.feed(fragment)
        self._length += length
        if scanner.done and not self._compared:
            self._compare()
        if self._inline:
            self._pieces.extend(fragments)
            self._write_inline()
            return
        self._gather(fragments, length)
        if self._gathered >= GATHERED:
            self._write_out()

    def complete(self) -> Status | Deferred[Status]:
        """
        Store the object.

        Returns:
            The status, when the object is stored. Cancelled, nothing of it is left, unless it is
            being given its name already.
        """
        reception = self._reception
        if self._inline and reception.before_commit is None and reception.after_commit is None:
            return self._keep_inline()

        def cancel(_: Deferred[Status]) -> None:
            self._deposit.unwanted = True
            self._queue.cancel()
            if self._asking is not None:
                self._asking.cancel()

        def kept(result: tuple[Status, Stored | None]) -> None:
            status, stored = result
            if not answer.called:
                answer.callback(status)
            if stored is not None:
                self._tell(stored)

        def failed(failure: Failure) -> None:
            if not answer.called:
                answer.errback(failure)

        answer: Deferred[Status] = Deferred(cancel)
        Deferred.fromCoroutine(self._keep()).addCallback(kept).addErrback(failed)
        return answer

    def abandon(self) -> None:
        """There will be no more: leave nothing behind."""
        self._pieces.clear()
        self._discard()

    # On the way to the disk

    def _gather(self, fragments: Sequence[bytes | memoryview], length: int) -> None:
        """Keep copies: the views are valid during the call only."""
        pieces = self._pieces
        self._gathered += length
        if length >= _SMALL:
            pieces.append(b"".join(fragments))
            return
        last = pieces[-1] if pieces else None
        if not isinstance(last, bytearray):
            last = bytearray()
            pieces.append(last)
        for fragment in fragments:
            last += fragment

    def _take(self) -> tuple[list[Buffer], int]:
        """Return what was gathered, and how many bytes of the data set that is."""
        taken = self._pieces, self._gathered
        self._pieces, self._gathered = [], 0
        return taken

    def _write_out(self) -> None:
        """Let the disk have what was gathered."""
        pieces, length = self._take()
        self._submitted = True
        self._outstanding.add(length, self._context)

        def done(result: Failure | None) -> None:
            error = result.value if isinstance(result, Failure) else None
            if error is not None and self._failure is None:
                self._failure = self._explain(error)
            self._outstanding.remove(length)  # last, for it may let more come at once

        self._queue.submit(self._deposit.write, pieces).addBoth(done)
        if self._failure is not None:
            raise self._failure

    def _write_inline(self) -> None:
        """Write what has come, while it is there: nothing is copied."""
        pieces, _ = self._take()
        self._submitted = True
        try:
            self._deposit.write(pieces)
        except Exception as error:
            self._failure = self._explain(error)
            raise self._failure from error

    async def _on_disk(self, length: int, call: Callable[..., _T], *arguments: Any) -> _T:
        """Let the disk do something that takes so many bytes with it."""
        self._submitted = True
        self._outstanding.add(length, self._context)
        try:
            return await self._queue.submit(call, *arguments)
        except Exception as error:
            explained = self._failure or self._explain(error)
            if explained is error:
                raise
            raise explained from error
        finally:
            self._outstanding.remove(length)

    def _discard(self) -> None:
        """Leave nothing behind; what has waited for the disk gives back its memory at once."""
        self._deposit.unwanted = True
        if self._submitted:
            self._queue.cancel()
            self._queue.submit(self._deposit.discard).addErrback(lambda _: None)

    # The object is whole

    def _check_whole(self) -> None:
        if not self._length:
            raise StatusFailure(Status.CANNOT_UNDERSTAND, "empty data set")
        if not self._compared:
            self._compare()

    def _elements(self) -> dict[str, str | None]:
        """Return what the head of the data set says, by keyword."""
        text = self._scanner.text
        return {keyword: text(tag) for tag, keyword in self._reception.elements.items()}

    def _keep_inline(self) -> Status:
        """Do at once what nobody but the disk has a say in."""
        try:
            self._check_whole()
            pieces, _ = self._take()
            self._submitted = True
            components = self._name(self._elements())
            try:
                committed = self._deposit.finish_and_commit(pieces, components)
            except Exception as error:
                raise (self._failure or self._explain(error)) from error
        except BaseException:
            self._discard()
            raise
        self._note_stored(committed)
        return Status.SUCCESS

    def _note_stored(self, committed: Committed) -> None:
        self._reception.log.disk_worked(self._context.requestor)
        if committed.beside:
            self._reception.log.stored_beside(self._context.requestor)

    async def _keep(self) -> tuple[Status, Stored | None]:
        try:
            self._check_whole()
            return await self._store()
        except BaseException:
            self._discard()
            raise

    async def _store(self) -> tuple[Status, Stored | None]:
        reception, deposit = self._reception, self._deposit
        hook = reception.before_commit
        elements = self._elements()
        facts = (
            self._request,
            self._context.requestor,
            self._context.presentation.transfer_syntax,
            self._length,
            elements,
        )
        components = self._name(elements)
        status = Status.SUCCESS
        pieces, length = self._take()
        if hook is None:
            committed = await self._on_disk(length, deposit.finish_and_commit, pieces, components)
        else:
            await self._on_disk(length, deposit.finish, pieces)
            if deposit.unwanted:
                raise Unwanted
            status = await self._ask(hook, Received(*facts, deposit.path))
            committed = await self._on_disk(0, deposit.commit, components)
        self._note_stored(committed)
        if reception.after_commit is None:
            return status, None
        return status, Stored(*facts, committed.path, committed.kept, committed.beside)

    def _name(self, elements: Mapping[str, str | None]) -> Sequence[str]:
        request, requestor = self._request, self._context.requestor
        return self._reception.template.path(
            {
                **elements,
                "SOPClassUID": request.affected_sop_class_uid,
                "SOPInstanceUID": request.affected_sop_instance_uid,
                "CallingAETitle": requestor.calling_ae_title,
                "CalledAETitle": requestor.called_ae_title,
            }
        )

    def _compare(self) -> None:
        """Compare the UIDs of the command with those in the data set, as far as they were seen."""
        self._compared = True
        request = self._request
        for tag, uid, what in (
            (SOP_CLASS_UID, request.affected_sop_class_uid, "SOP class UID"),
            (SOP_INSTANCE_UID, request.affected_sop_instance_uid, "SOP instance UID"),
        ):
            seen = self._scanner.text(tag)
            if seen and seen != uid:
                if self._reception.refuse_mismatch:
                    raise StatusFailure(
                        Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, f"other {what} in the data set"
                    )
                self._reception.log.mismatch(self._context.requestor, what)

    async def _ask(self, hook: BeforeCommit, received: Received) -> Status:
        result = hook(received)
        if isawaitable(result):
            self._asking = to_deferred(result)
            try:
                result = await self._asking
            finally:
                self._asking = None
        if result is None:
            return Status.SUCCESS
        if not isinstance(result, Status):
            raise TypeError(
                f"before_commit must answer with a Status or None, not {type(result).__name__}"
            )
        if result.category not in _KEPT:
            raise StatusFailure(result)
        return result

    def _tell(self, stored: Stored) -> None:
        """Tell the hook of a stored object; whatever it does changes nothing any more."""
        hook, requestor = self._reception.after_commit, self._context.requestor
        if hook is None:
            return

        def failed(failure: Failure) -> None:
            self._reception.log.after_commit_failed(requestor, failure)

        try:
            result = hook(stored)
            if isawaitable(result):
                to_deferred(result).addErrback(failed)
        except Exception:
            failed(Failure())

    def _explain(self, error: BaseException) -> BaseException:
        """Return what to answer for an error of the disk."""
        if isinstance(error, OSError):
            self._reception.log.disk_failed(self._context.requestor, error)
            return StatusFailure(Status.OUT_OF_RESOURCES, describe_os_error(error))
        if isinstance(error, Refused):
            return StatusFailure(Status.DUPLICATE_SOP_INSTANCE, "the instance is stored already")
        if isinstance(error, Crowded):
            # Not 0111H: who believes that the instance is stored may remove it.
            return StatusFailure(Status.OUT_OF_RESOURCES, "too many objects have this name")
        return error
