"""
The acceptor's end of one connection: it lets a peer in, serves its requests and lets it go.
"""

from __future__ import annotations

import os
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure

from pacs_twisted.admission import parse_address
from pacs_twisted.association import Ending
from pacs_twisted.dimse import CEchoRQ, Command, CStoreRQ, Response, Status, StatusCategory
from pacs_twisted.dimse.messages import DataSetSink, Discard, Message
from pacs_twisted.net.association_log import AssociationLog, DebugLog, is_tls_failure
from pacs_twisted.net.awaiting import to_deferred
from pacs_twisted.net.connection import Connection
from pacs_twisted.net.operations import Operations
from pacs_twisted.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ
from pacs_twisted.services import Requestor
from pacs_twisted.upper_layer.actions import State
from pacs_twisted.upper_layer.negotiation import (
    NO_REASON,
    TEMPORARY_CONGESTION,
    PresentationContext,
    judge_maximum_length,
)
from pacs_twisted.wording import printable

if TYPE_CHECKING:
    from pacs_twisted.net.server import AcceptorFactory

log = Logger(namespace="pacs_twisted.net")

_SENDING = (State.Sta6, State.Sta8)  # Evt9 is defined


@attrs.frozen
class LiveAssociation:
    """
    A connection as it stands at this moment.

    Args:
        number: its number in the log.
        peer: address and port, or the path of a UNIX socket.
        calling_ae_title: empty until an A-ASSOCIATE-RQ has come.
        called_ae_title: likewise.
        state: Sta2 to Sta13.
        since: when it was connected, in seconds of the reactor's clock.
        messages_received: whole DIMSE messages.
        messages_sent: likewise.
        bytes_received: of the connection.
        bytes_sent: likewise.
    """

    number: int
    peer: str
    calling_ae_title: str
    called_ae_title: str
    state: str
    since: float
    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int


class AcceptorProtocol(Connection):
    """One connection of a peer that asks for an association."""

    __slots__ = (
        "_echoed",
        "_failed",
        "_idle_action",
        "_judgement",
        "_log",
        "_number",
        "_release_wanted",
        "_stored",
        "acceptor",
        "address",
        "operations",
    )

    def __init__(self, factory: AcceptorFactory, number: int, address: IAddress | None) -> None:
        super().__init__(factory.clock, factory.artim_timers, factory.timeouts, factory.bounds)
        self.acceptor = factory
        self.address = parse_address(getattr(address, "host", None))
        self.operations: Operations | None = None
        self._number = number
        self._log = AssociationLog(number, peer_text(address))
        self._idle_action = factory.idle_action
        self._echoed = self._stored = self._failed = False  # what the log says once
        self._release_wanted = False
        self._judgement: Deferred[Any] | None = None  # while the admission makes up its mind
        if factory.debug:
            self.association.add_observer(DebugLog(number))

    @property
    def number(self) -> int:
        """The number of the association in the log."""
        return self._number

    def snapshot(self) -> LiveAssociation:
        """Return how it stands."""
        association = self.association
        return LiveAssociation(
            self._number,
            self._log.peer,
            self._log.calling,
            self._log.called,
            association.state.name,
            self.since,
            association.messages_received,
            association.messages_sent,
            self.bytes_received,
            self.outgoing.bytes_sent,
        )

    # The connection

    def connection_made(self) -> None:
        """A place among the connections is taken."""
        self.acceptor.add_connection(self)
        super().connection_made()

    def connection_lost(self, reason: Failure) -> None:
        """The place among the connections is free."""
        error = reason.value
        if self.association.state is State.Sta2 and error is not None and is_tls_failure(error):
            self._learn_peer()
            self._log.tls_failed(error)
        super().connection_lost(reason)
        self.acceptor.remove_connection(self)

    def give_back(self) -> None:
        """Nobody waits for answers any more."""
        if self.operations is not None:
            self.operations.abandon()

    def _learn_peer(self) -> None:
        """
        Note who the peer really is.

        Behind a balancer that speaks the PROXY protocol its address is known only when bytes have
        come; Twisted wraps the transport then.
        """
        transport: Any = self.transport
        if isinstance(transport, ProtocolWrapper):
            address = transport.getPeer()
            self.address = parse_address(getattr(address, "host", None))
            self._log.peer = peer_text(address)

    def held_changed(self, held: int) -> None:
        """The factory watches the sum."""
        self.acceptor.note_held(self, held)

    def stop(self) -> None:
        """The server stops: who waits for our answer gets one."""
        if self.association.state is State.Sta3:
            self.guard(self.association.reject, TEMPORARY_CONGESTION)

    def _artim_expired(self) -> None:
        if self.association.state is State.Sta2:
            self._learn_peer()
            self._log.no_request(self.timeouts.artim)
        super()._artim_expired()

    # Establishment

    def associate_requested(self, rq: AAssociateRQ) -> None:
        """A place is taken from here on; it is given back when the association is over."""
        self._learn_peer()
        self._log.note_request(rq)
        self.wait_for_acse()
        factory = self.acceptor
        if factory.draining:
            self.association.reject(TEMPORARY_CONGESTION)
            return
        applicant = factory.take_place(self, rq)
        try:
            judgement: Any = factory.admission.judge(applicant)
        except Exception:
            self._judgement_failed(Failure())
            return
        if not isawaitable(judgement):
            self._judged(judgement)
            return
        self._judgement = to_deferred(judgement)
        self._judgement.addCallbacks(
            lambda answer: self.guard(self._judged, answer),
            lambda failure: self.guard(self._judgement_failed, failure),
        )

    def _judged(self, judgement: AAssociateRJ | None) -> None:
        self._judgement = None
        if self.association.state is not State.Sta3:
            return  # aborted, lost or timed out while the judgement was made
        if not isinstance(judgement, AAssociateRJ | None):
            wrong = (
                f"admission answers by an A-ASSOCIATE-RJ or None, not {type(judgement).__name__}"
            )
            self._judgement_failed(Failure(TypeError(wrong)))
            return
        rq = self.association.request
        if rq is None:
            return
        objection = judgement or judge_maximum_length(rq)
        if objection is not None:
            self.association.reject(objection)
            return
        ac = self.acceptor.offer.answer(rq)
        if self.acceptor.reject_empty and not any(result.accepted for result in ac.context_results):
            self.association.reject(NO_REASON)
            return
        self._begin(rq, ac)

    def _judgement_failed(self, failure: Failure) -> None:
        self._judgement = None
        if self.association.is_over:
            return  # nobody waits for it any more: it was cancelled
        log.failure(
            "association {association}: the admission failed",
            failure,
            association=self._number,
            event="admission-failure",
        )
        if self.association.state is State.Sta3:
            self.association.reject(NO_REASON)

    def _begin(self, rq: AAssociateRQ, ac: AAssociateAC) -> None:
        window = ac.user_information.asynchronous_operations_window
        requestor = Requestor(self._number, self.address, rq.calling_ae_title, rq.called_ae_title)
        self.operations = Operations(
            self.acceptor.entity,
            requestor,
            self,
            self._seconds,
            window.maximum_number_operations_invoked if window else 1,
        )
        self._log.accepted(rq, ac)
        self.association.accept(ac)
        self.watch_idle()

    # Messages

    def open_sink(self, context: PresentationContext, command: Command) -> DataSetSink:
        """The data set of a request flows to the service."""
        if self.operations is None:
            return Discard()
        if not self._stored and isinstance(command, CStoreRQ):
            self._stored = True
            self._log.first_store(command.message_id)
        sink = self.operations.open_sink(context, command)
        if self.timeouts.handler:
            self._watch_service(self.operations)
        return sink

    def message_received(self, message: Message) -> None:
        """Serve a request; a response answers nothing, because an acceptor asks nothing."""
        command = message.command
        if command.is_response or self.operations is None:
            self._log.unwanted_response(message)
            return
        if not self._echoed and isinstance(command, CEchoRQ):
            self._echoed = True
            self._log.first_echo(command.message_id)
        self.operations.receive(message)
        if self.timeouts.handler:
            self._watch_service(self.operations)

    def _watch_service(self, operations: Operations) -> None:
        """Let the handler timer run if a service has to do something."""
        if operations.outstanding:
            self._watch(self.timeouts.handler)

    def respond(self, context_id: int, response: Command) -> None:
        """Send a response, if there is still somebody to send it to."""
        if self.association.state not in _SENDING:
            return
        self.association.send(context_id, response)
        if (
            not self._failed
            and isinstance(response, Response)
            and response.status is not Status.SUCCESS  # what mostly goes out
            and response.status.category is StatusCategory.FAILURE
        ):
            self._failed = True
            self._log.first_failure(response)

    def owes_answer(self) -> bool:
        """Whether a request has no answer yet."""
        return self.operations is not None and self.operations.outstanding > 0

    def owes_answer_since(self) -> float | None:
        """Since when the oldest request is being served."""
        return self.operations.oldest if self.operations is not None else None

    def handler_expired(self, since: float) -> None:
        """What a service has not answered in time is answered with a failure."""
        if self.operations is not None:
            log.warn(
                "association {association}: no answer of the service within {seconds:g} s",
                association=self._number,
                seconds=self.timeouts.handler,
                event="handler-timeout",
            )
            self.guard(self.operations.fail_older_than, since)

    # The end

    def release_requested(self) -> None:
        """Requests that came before are answered before."""
        if self.owes_answer():
            self._release_wanted = True
            return
        self.association.respond_release()
        self.wait_for_acse()

    def operations_ended(self) -> None:
        """Every request has its answer: the peer's time runs again."""
        self.touch()
        if self._release_wanted:
            self._release_wanted = False
            self.guard(self.association.respond_release)

    def idle_expired(self) -> None:
        """End an association on which nothing happens, as the administrator wants it."""
        if self._idle_action == "release":
            self.guard(self.association.release)
            self.wait_for_acse()
        else:
            super().idle_expired()

    def association_ended(self, ending: Ending) -> None:
        """Give the place back and say how it ended."""
        self.acceptor.give_place_back(self)
        rq = self.association.request
        if not self._log.calling:  # nobody was told of a request
            self._learn_peer()
            if rq is not None:
                self._log.note_request(rq)
        if self.operations is not None:
            self.operations.abandon()
        self._log.ended(ending, self.association, self.bytes_received, self.outgoing.bytes_sent)
        if self._judgement is not None:
            self._judgement.cancel()  # last, since it is the application's and may fail


def peer_text(address: IAddress | None) -> str:
    """Return a peer's address and port, or the path of a UNIX socket, for logs."""
    host = getattr(address, "host", None)
    if host is None:
        return printable(os.fsdecode(getattr(address, "name", None) or "local"))
    host = printable(host)  # by the PROXY protocol, version 1, it is any text that was sent
    port = getattr(address, "port", 0)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
