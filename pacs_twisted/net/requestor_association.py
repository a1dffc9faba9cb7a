"""
What one holds of an association that one has asked for: requests, release and abort.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import attrs
from twisted.internet.defer import Deferred

from pacs_twisted.association import Ending, Outcome
from pacs_twisted.dimse import (
    CEchoRQ,
    CEchoRSP,
    CStoreRQ,
    CStoreRSP,
    DataSetSource,
    Priority,
    Request,
    Response,
)
from pacs_twisted.errors import NoPresentationContext
from pacs_twisted.net.requestor import RequestorProtocol
from pacs_twisted.pdu import AAssociateAC, AAssociateRQ
from pacs_twisted.uids import VERIFICATION
from pacs_twisted.upper_layer.negotiation import PresentationContext

R = TypeVar("R", bound=Response)

_PIECE = 1 << 20  # bytes


class RequestorAssociation:
    """
    An association that we have asked for and got.

    As an asynchronous context manager it is released when the block ends, and aborted when it ends
    by an exception.

    Its requests return `Deferred`s, which fail, each once, with how the association ended when it
    ends before the response: `AssociationReleased`, `AssociationAborted`, `AssociationLost`,
    `TimedOut` or a `ProtocolError`. A response of any status is a result and no failure.
    """

    def __init__(self, protocol: RequestorProtocol) -> None:
        self._protocol = protocol
        self._association = protocol.association

    # What was agreed on

    @property
    def request(self) -> AAssociateRQ:
        """What was asked for."""
        return self._association.request  # type: ignore[return-value]

    @property
    def answer(self) -> AAssociateAC:
        """What the peer answered."""
        return self._association.accepted  # type: ignore[return-value]

    @property
    def contexts(self) -> Mapping[int, PresentationContext]:
        """The accepted presentation contexts by context ID."""
        return self._association.contexts

    @property
    def peer(self) -> str:
        """The peer's address and port, or the path of a UNIX socket."""
        return self._protocol.peer

    @property
    def number(self) -> str:
        """The number of the association in the log."""
        return self._protocol.number

    @property
    def peer_maximum_length(self) -> int:
        """The longest P-DATA-TF that the peer takes, in bytes; 0 means without limit."""
        return self._association.peer_maximum_length

    @property
    def window(self) -> int:
        """How many requests may be on their way at a time; 0 without limit."""
        return self._protocol.requests.window

    @property
    def outstanding(self) -> int:
        """How many requests have no response yet."""
        return self._protocol.requests.outstanding

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or is about to: then there can be no more requests."""
        return self._association.is_over or not self._association.is_established

    @property
    def bytes_sent(self) -> int:
        """Bytes that went out on the connection, or wait to."""
        return self._protocol.bytes_sent

    @property
    def bytes_received(self) -> int:
        """Bytes that came in on the connection."""
        return self._protocol.bytes_received

    def find_context(
        self, abstract_syntax: str, transfer_syntax: str | None = None
    ) -> PresentationContext:
        """
        Return the first accepted context in which we are the SCU of an abstract syntax.

        Args:
            abstract_syntax: a UID.
            transfer_syntax: a UID; any will do unless given.

        Raises:
            NoPresentationContext: there is none.
        """
        for context in self._association.contexts.values():
            if (
                context.abstract_syntax == abstract_syntax
                and transfer_syntax in (None, context.transfer_syntax)
                and context.requestor_is_scu
            ):
                return context
        wanted = f" with {transfer_syntax}" if transfer_syntax else ""
        raise NoPresentationContext(
            f"the peer has accepted no presentation context for {abstract_syntax}{wanted}"
        )

    # Requests

    def echo(self) -> Deferred[CEchoRSP]:
        """
        Ask whether the peer is there (C-ECHO, PS3.7 section 9.1.5).

        Raises:
            NoPresentationContext: Verification was not accepted.
        """
        context = self.find_context(VERIFICATION)
        return self._ask(CEchoRQ, context)

    def store(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        data_set: bytes | DataSetSource,
        *,
        context: PresentationContext | None = None,
        priority: int = Priority.MEDIUM,
        move_originator_application_entity_title: str | None = None,
        move_originator_message_id: int | None = None,
    ) -> Deferred[CStoreRSP]:
        """
        Send an instance (C-STORE, PS3.7 section 9.1.1).

        Args:
            sop_class_uid: its SOP class.
            sop_instance_uid: its UID.
            data_set: encoded in the context's transfer syntax: bytes, or where they come from. A
                source is closed whatever happens.
            context: an accepted one; the first for the SOP class unless given.
            priority: see `Priority`.
            move_originator_application_entity_title: who has asked for it by a C-MOVE.
            move_originator_message_id: of that C-MOVE.

        Returns:
            A `Deferred` of the response; it fails with ValueError for an empty data set.

        Raises:
            NoPresentationContext: there is no context for it.
            TypeError: the data set is neither bytes nor a source.
        """
        source = _source(data_set)

        def make(message_id: int) -> CStoreRQ:
            return CStoreRQ(
                message_id,
                sop_class_uid,
                sop_instance_uid,
                priority,
                move_originator_application_entity_title,
                move_originator_message_id,
            )

        try:
            if context is None:
                context = self.find_context(sop_class_uid)
            return self._ask(make, context, source)
        except BaseException:
            source.close()
            raise

    def send(
        self,
        request: Request[R],
        data_set: bytes | DataSetSource | None = None,
        *,
        context: PresentationContext | None = None,
    ) -> Deferred[R]:
        """
        Send any request.

        Args:
            request: its message ID is replaced by one that is free.
            data_set: as for `store`, if the request says that one follows.
            context: an accepted one; the first for the request's SOP class unless given.

        Raises:
            NoPresentationContext: there is no context for it.
            ValueError: the request says that a data set follows, and none does, or the reverse.
        """
        source = None if data_set is None else _source(data_set)
        try:
            if request.has_data_set != (source is not None):
                raise ValueError(f"{type(request).__name__} and its data set do not agree")
            if context is None:
                context = self.find_context(_sop_class(request))
            return self._ask(
                lambda message_id: attrs.evolve(request, message_id=message_id), context, source
            )
        except BaseException:
            if source is not None:
                source.close()
            raise

    def _ask(
        self, make: Any, context: PresentationContext, source: DataSetSource | None = None
    ) -> Deferred[Any]:
        protocol = self._protocol
        deferred = protocol.requests.ask(make, context.context_id, source)
        protocol.watch_response()
        return deferred

    # The end

    def release(self) -> Deferred[None]:
        """
        End the association in order (A-RELEASE, PS3.8 section 7.2).

        Requests that are not answered yet fail with `AssociationReleased`: wait for them first. If
        it was over already nothing happens, unless nobody has been told why yet.

        Returns:
            A `Deferred` that fires when the connection is closed; it fails if the association ends
            in another way, or the peer does not answer in time.
        """
        protocol = self._protocol
        was_over = self._association.is_over
        if self._association.is_established:
            if self._association.sending_data:
                self.abort()  # there is no orderly way out of the middle of a data set
            else:
                protocol.guard(self._association.release)
                protocol.wait_for_acse()

        def judge(ending: Ending) -> Deferred[None] | None:
            if ending.outcome is Outcome.RELEASED:
                return protocol.when_closed()
            if protocol.error is not None and not (was_over and protocol.error_told):
                protocol.error_told = True
                raise protocol.error
            return None

        return protocol.when_ended().addCallback(judge)

    def abort(self) -> None:
        """
        End the association at once (A-ABORT, PS3.8 section 7.3); what waits fails.

        If it is over nothing happens.
        """
        protocol = self._protocol
        protocol.error_told = True
        protocol.guard(self._association.abort)

    def when_ended(self) -> Deferred[Ending]:
        """Return a `Deferred` that fires when the association is over, however that came."""
        return self._protocol.when_ended()

    def when_closed(self) -> Deferred[None]:
        """Return a `Deferred` that fires when the connection is gone."""
        return self._protocol.when_closed()

    async def __aenter__(self) -> Self:
        """Begin a block at whose end the association ends."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release it, or abort it if the block failed."""
        if kind is None:
            await self.release()
        else:
            self.abort()


class BytesSource:
    """
    A data set that is there as bytes.

    Args:
        data: the encoded data set; an odd one gets a NUL behind it, since fragments are even
            (PS3.8 annex E.1).
    """

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data + b"\0" if len(data) % 2 else data)
        self.length = len(self._data)

    def read(self) -> memoryview:
        """Return the next bytes, not too many at a time."""
        piece, self._data = self._data[:_PIECE], self._data[_PIECE:]
        return piece

    def close(self) -> None:
        """Forget it."""
        self._data = memoryview(b"")


def _source(data_set: bytes | DataSetSource) -> DataSetSource:
    """Return the source of a data set, which is one or bytes."""
    if isinstance(data_set, bytes):
        return BytesSource(data_set)
    if isinstance(data_set, bytearray | memoryview):
        return BytesSource(bytes(data_set))  # a copy, for the owner may change it
    if not hasattr(data_set, "read") or not hasattr(data_set, "close"):
        raise TypeError(f"a data set is bytes or a DataSetSource, not {type(data_set).__name__}")
    return data_set


def _sop_class(request: Any) -> str:
    uid = getattr(request, "affected_sop_class_uid", None) or getattr(
        request, "requested_sop_class_uid", None
    )
    return uid or ""
