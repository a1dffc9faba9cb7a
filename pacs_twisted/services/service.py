"""
What a service is: one object with one method per request of PS3.7, named after it.

    class Verification:
        sop_classes = {VERIFICATION: TransferSyntaxes.UNCOMPRESSED}

        def c_echo(self, request: CEchoRQ, context: RequestContext) -> Status: ...

A method returns the status of its response, or an awaitable of it; `c_store` returns a `StoreSink`,
which takes the data set as it comes and has the last word. A service never sees PDUs or transports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs

from pacs_twisted.admission import Address, check_ae_title
from pacs_twisted.dimse import (
    CEchoRQ,
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    Command,
    CStoreRQ,
    MistypedCommand,
    NActionRQ,
    NCreateRQ,
    NDeleteRQ,
    NEventReportRQ,
    NGetRQ,
    NSetRQ,
    Status,
)
from pacs_twisted.uids import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from pacs_twisted.upper_layer.negotiation import PresentationContext

METHODS: Mapping[type[Command], str] = {
    CEchoRQ: "c_echo",
    CStoreRQ: "c_store",
    CFindRQ: "c_find",
    CGetRQ: "c_get",
    CMoveRQ: "c_move",
    NEventReportRQ: "n_event_report",
    NGetRQ: "n_get",
    NSetRQ: "n_set",
    NActionRQ: "n_action",
    NCreateRQ: "n_create",
    NDeleteRQ: "n_delete",
}
"""The method of a service that serves each kind of request."""


class TransferSyntaxes:
    """Sets of transfer syntaxes, each in order of preference."""

    UNCOMPRESSED = (
        EXPLICIT_VR_LITTLE_ENDIAN,
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
    )


class Service(Protocol):
    """A service: what it serves. Its methods are found by the names in `METHODS`."""

    @property
    def sop_classes(self) -> Mapping[str, Sequence[str]]:
        """For each abstract syntax its transfer syntaxes, in order of preference."""


@attrs.frozen
class Requestor:
    """
    The other end of an association, as a service sees it.

    Args:
        association: the number of the association, as in the log.
        address: where it connects from; None for a UNIX socket.
        calling_ae_title: its title.
        called_ae_title: what it called us.
    """

    association: int
    address: Address | None
    calling_ae_title: str
    called_ae_title: str


class Flow(Protocol):
    """What comes from the peer, and can be stopped."""

    def pause(self) -> None:
        """Read nothing more until `resume` has been called as often."""

    def resume(self) -> None:
        """Undo one `pause`."""


class _NoFlow:
    """Nothing comes: for a context that a test makes."""

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass


_NO_FLOW = _NoFlow()


@attrs.define
class RequestContext:
    """
    What a service may know of a request beside the request itself.

    Args:
        requestor: who sent it.
        presentation: its presentation context: abstract and transfer syntax.
        cancelled: whether the peer has sent a C-CANCEL, the association has ended, or it took too
            long.
        flow: what `pause` and `resume` act on.
    """

    requestor: Requestor
    presentation: PresentationContext
    cancelled: bool = False
    _flow: Flow = attrs.field(factory=lambda: _NO_FLOW, repr=False)
    _paused: bool = attrs.field(default=False, init=False, repr=False)
    _watchers: list[Callable[[], None]] = attrs.field(factory=list, init=False, repr=False)

    def pause(self) -> None:
        """Read nothing more from the peer until `resume`: what it sends stays in the network."""
        if not self._paused:
            self._paused = True
            self._flow.pause()

    def resume(self) -> None:
        """Go on reading."""
        if self._paused:
            self._paused = False
            self._flow.resume()

    def on_cancel(self, call: Callable[[], None]) -> None:
        """Call this when nobody waits for the answer any more: see `cancelled`."""
        if self.cancelled:
            call()
        else:
            self._watchers.append(call)

    def cancel(self) -> None:
        """Tell who watches, each once; if one fails, the next call goes on with the others."""
        self.cancelled = True
        while self._watchers:
            self._watchers.pop(0)()


class StoreSink(Protocol):
    """
    Where the data set of a C-STORE goes while it arrives; a service's `c_store` returns one.

    Any of its methods may raise `StatusFailure`, which becomes the status of the response; what
    follows of the data set is then read and thrown away.
    """

    def write(self, fragments: Sequence[bytes | memoryview]) -> None:
        """
        Take the next bytes of the data set.

        Args:
            fragments: in order; a view is valid during the call only. How many bytes come in one
                call depends on the network; `RequestContext.pause` stops the peer.
        """

    def complete(self) -> Any:
        """
        The whole data set has come.

        Returns:
            The status of the response, or an awaitable of it: success or a warning only when the
            object is kept (PS3.4 section B.1.2). If nobody waits for the answer any more, the
            awaitable is cancelled.
        """

    def abandon(self) -> None:
        """There will be no more: the association is over, or the request has failed."""


Handler = Callable[[Any, RequestContext], Any]


@attrs.frozen
class ApplicationEntity:
    """
    A DICOM application entity: its title and what it serves.

    Args:
        title: the AE title, 1 to 16 characters.
        services: of two that serve the same abstract syntax the later one counts.
    """

    title: str = attrs.field(converter=check_ae_title)
    services: tuple[Service, ...] = attrs.field(converter=tuple[Service, ...], default=())

    supported: Mapping[str, Sequence[str]] = attrs.field(init=False, repr=False, eq=False)
    """For each abstract syntax its transfer syntaxes, in order of preference."""
    _handlers: Mapping[tuple[int, str], Handler] = attrs.field(init=False, repr=False, eq=False)

    @supported.default
    def _collect_supported(self) -> Mapping[str, Sequence[str]]:
        return {
            uid: syntaxes
            for service in self.services
            for uid, syntaxes in service.sop_classes.items()
        }

    @_handlers.default
    def _collect_handlers(self) -> Mapping[tuple[int, str], Handler]:
        serves = {uid: service for service in self.services for uid in service.sop_classes}
        return {
            (kind.command_field, uid): getattr(service, method)
            for uid, service in serves.items()
            for kind, method in METHODS.items()
            if hasattr(service, method)
        }

    def find_handler(self, command: Command, presentation: PresentationContext) -> Handler | Status:
        """
        Return the method that serves a request, or the status that refuses it.

        0211H for an operation that the context does not provide to this peer, 0212H for an argument
        that is not understood, 0122H for a SOP class other than the context's (PS3.7 annex C).
        """
        handler = self._handlers.get((command.command_field, presentation.abstract_syntax))
        if handler is None or not presentation.requestor_is_scu:
            return Status.UNRECOGNIZED_OPERATION
        if isinstance(command, MistypedCommand):
            return Status.MISTYPED_ARGUMENT
        sop_class = getattr(command, "affected_sop_class_uid", None)
        if sop_class is None:
            sop_class = getattr(command, "requested_sop_class_uid", None)
        if sop_class is not None and sop_class != presentation.abstract_syntax:
            return Status.SOP_CLASS_NOT_SUPPORTED
        return handler
