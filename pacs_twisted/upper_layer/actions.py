"""
The actions of the upper layer state machine (PS3.8 Tables 9-6 to 9-9).

Each has the standard's name and sentence, and the state that it leads to. An action can fail
for no reason of a peer or a handler: it sends, starts, stops, closes and tells, and whoever it
tells only takes note. The state is already the new one when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

import attrs

from pacs_twisted.errors import ProtocolError, UnexpectedPDU
from pacs_twisted.pdu import (
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
)
from pacs_twisted.pdu.abort import SERVICE_PROVIDER, SERVICE_USER

_LONG = 4096  # bytes of a fragment


class State(Enum):
    """The states of PS3.8 Tables 9-1 to 9-5."""

    Sta1 = "Sta1"
    Sta2 = "Sta2"
    Sta3 = "Sta3"
    Sta4 = "Sta4"
    Sta5 = "Sta5"
    Sta6 = "Sta6"
    Sta7 = "Sta7"
    Sta8 = "Sta8"
    Sta9 = "Sta9"
    Sta10 = "Sta10"
    Sta11 = "Sta11"
    Sta12 = "Sta12"
    Sta13 = "Sta13"


class Events(Protocol):
    """
    The events of PS3.8 Table 9-10, Evt1 to Evt19 in order: the inputs of the machine.

    Each takes one argument and returns nothing, as Automat wants it for inputs that may be given
    while an action runs.
    """

    def a_associate_request(self, rq: AAssociateRQ) -> None:
        """Evt1: our user asks for an association."""

    def transport_connected(self, nothing: None) -> None:
        """Evt2: the connection that AE-1 asked for is there."""

    def a_associate_ac(self, ac: AAssociateAC) -> None:
        """Evt3: A-ASSOCIATE-AC received."""

    def a_associate_rj(self, rj: AAssociateRJ) -> None:
        """Evt4: A-ASSOCIATE-RJ received."""

    def transport_accepted(self, nothing: None) -> None:
        """Evt5: a peer has connected."""

    def a_associate_rq(self, rq: AAssociateRQ) -> None:
        """Evt6: A-ASSOCIATE-RQ received."""

    def a_associate_accept(self, ac: AAssociateAC) -> None:
        """Evt7: our user accepts."""

    def a_associate_reject(self, rj: AAssociateRJ) -> None:
        """Evt8: our user rejects."""

    def p_data_request(self, pdata: PDataTF) -> None:
        """Evt9: our user has data to send."""

    def p_data_tf(self, pdata: PDataTF) -> None:
        """Evt10: P-DATA-TF received."""

    def a_release_request(self, rq: AReleaseRQ) -> None:
        """Evt11: our user wants to end the association."""

    def a_release_rq(self, rq: AReleaseRQ) -> None:
        """Evt12: A-RELEASE-RQ received."""

    def a_release_rp(self, rp: AReleaseRP) -> None:
        """Evt13: A-RELEASE-RP received."""

    def a_release_response(self, rp: AReleaseRP) -> None:
        """Evt14: our user answers the peer's wish to end the association."""

    def a_abort_request(self, abort: AAbort) -> None:
        """Evt15: our user aborts."""

    def a_abort(self, abort: AAbort) -> None:
        """Evt16: A-ABORT received."""

    def transport_closed(self, nothing: None) -> None:
        """Evt17: the connection is gone, or could not be made."""

    def artim_expired(self, nothing: None) -> None:
        """Evt18: the ARTIM timer has run out."""

    def invalid_pdu(self, error: ProtocolError) -> None:
        """Evt19: bytes received that are no PDU or a wrong one; the error carries the reason."""


class Transport(Protocol):
    """What the machine wants of a transport connection."""

    def connect(self) -> None:
        """Open the connection (AE-1)."""

    def send(self, data: bytes) -> None:
        """Send a whole PDU."""

    def send_parts(self, parts: list[bytes | memoryview]) -> None:
        """Send a whole PDU that is long, in parts, which do not change until they are sent."""

    def close(self) -> None:
        """Close the connection once everything is sent."""


class Timer(Protocol):
    """The ARTIM timer (PS3.8 section 9.1.5)."""

    def start(self) -> None:
        """Start it, anew if it runs."""

    def stop(self) -> None:
        """Stop it if it runs."""


class ServiceUser(Protocol):
    """Who is told by the machine: the indications and confirmations of PS3.8 section 7."""

    def a_associate_indication(self, rq: AAssociateRQ) -> None:
        """A peer asks for an association (AE-6)."""

    def a_associate_confirmation(self, answer: AAssociateAC | AAssociateRJ) -> None:
        """The peer has accepted or rejected (AE-3, AE-4)."""

    def p_data_indication(self, pdata: PDataTF) -> None:
        """Data came (DT-2, AR-6)."""

    def a_release_indication(self, rq: AReleaseRQ) -> None:
        """The peer wants to end the association (AR-2, AR-8)."""

    def a_release_confirmation(self, rp: AReleaseRP) -> None:
        """The peer has answered our wish to end it (AR-3, AR-10)."""

    def a_abort_indication(self, abort: AAbort) -> None:
        """The peer has aborted (AA-3)."""

    def a_p_abort_indication(self, error: ProtocolError | None) -> None:
        """The provider aborts: for an error of the peer's (AA-8), or a lost connection (AA-4)."""


Tracer = Callable[[State, str, str, State, Any], None]
"""Called with old state, name of the event, name of the action, new state, the event's argument."""


@attrs.define
class Core:
    """
    What the actions work with.

    Args:
        transport: the connection.
        artim: the ARTIM timer.
        user: who is told.
        objection: the provider's own judgement of an A-ASSOCIATE-RQ (AE-6): the A-ASSOCIATE-RJ to
            send, or None.
        tracer: told of each transition before its action runs; None costs nothing.
    """

    transport: Transport
    artim: Timer
    user: ServiceUser
    objection: Callable[[AAssociateRQ], AAssociateRJ | None]
    tracer: Tracer | None = None
    state: State = State.Sta1
    previous: State = State.Sta1
    """The state in which the last event came."""
    request: AAssociateRQ | None = None
    """What AE-1 keeps for AE-2."""


Do = Callable[[Events, Core, Any], None]


@attrs.frozen
class Action:
    """
    One action of Tables 9-6 to 9-9.

    Args:
        name: as in the standard.
        requestor_to: the next state when we asked for the association.
        acceptor_to: the next state when the peer did; only AR-8 tells the two apart.
        do: what is done.
    """

    name: str
    requestor_to: State
    acceptor_to: State
    do: Do


ACTIONS: dict[str, Action] = {}


def _action(name: str, to: State, acceptor_to: State | None = None) -> Callable[[Do], Do]:
    def register(do: Do) -> Do:
        ACTIONS[name] = Action(name, to, acceptor_to or to, do)
        return do

    return register


# Table 9-6: association establishment


@_action("AE-1", to=State.Sta4)
def connect(events: Events, core: Core, rq: AAssociateRQ) -> None:
    """Issue TRANSPORT CONNECT request primitive to local transport service."""
    core.request = rq
    core.transport.connect()


@_action("AE-2", to=State.Sta5)
def send_associate_rq(events: Events, core: Core, nothing: None) -> None:
    """Send A-ASSOCIATE-RQ PDU."""
    if core.request is not None:
        core.transport.send(core.request.encode())


@_action("AE-3", to=State.Sta6)
def confirm_accept(events: Events, core: Core, ac: AAssociateAC) -> None:
    """Issue A-ASSOCIATE confirmation (accept) primitive."""
    core.user.a_associate_confirmation(ac)


@_action("AE-4", to=State.Sta1)
def confirm_reject(events: Events, core: Core, rj: AAssociateRJ) -> None:
    """Issue A-ASSOCIATE confirmation (reject) primitive and close transport connection."""
    core.user.a_associate_confirmation(rj)
    core.transport.close()


@_action("AE-5", to=State.Sta2)
def accept_transport(events: Events, core: Core, nothing: None) -> None:
    """Issue transport connection response primitive; start ARTIM timer."""
    core.artim.start()


@_action("AE-6", to=State.Sta3)
def indicate_associate(events: Events, core: Core, rq: AAssociateRQ) -> None:
    """
    Stop ARTIM timer; issue A-ASSOCIATE indication, or if not acceptable send A-ASSOCIATE-RJ.

    An objection is given back to the machine as Evt8, which waits for the end of this action: so
    AE-8 sends the reject, starts ARTIM and leads to Sta13.
    """
    core.artim.stop()
    objection = core.objection(rq)
    if objection is None:
        core.user.a_associate_indication(rq)
    else:
        events.a_associate_reject(objection)


@_action("AE-7", to=State.Sta6)
def send_associate_ac(events: Events, core: Core, ac: AAssociateAC) -> None:
    """Send A-ASSOCIATE-AC PDU."""
    core.transport.send(ac.encode())


@_action("AE-8", to=State.Sta13)
def send_associate_rj(events: Events, core: Core, rj: AAssociateRJ) -> None:
    """Send A-ASSOCIATE-RJ PDU and start ARTIM timer."""
    core.transport.send(rj.encode())
    core.artim.start()


# Table 9-7: data transfer


@_action("DT-1", to=State.Sta6)
def send_p_data(events: Events, core: Core, pdata: PDataTF) -> None:
    """Send P-DATA-TF PDU."""
    if len(pdata.pdvs[0].fragment) < _LONG:
        core.transport.send(pdata.encode())
    else:  # not worth a copy
        core.transport.send_parts(pdata.encode_parts())


@_action("DT-2", to=State.Sta6)
def indicate_p_data(events: Events, core: Core, pdata: PDataTF) -> None:
    """Issue P-DATA indication primitive."""
    core.user.p_data_indication(pdata)


# Table 9-8: association release


@_action("AR-1", to=State.Sta7)
def send_release_rq(events: Events, core: Core, rq: AReleaseRQ) -> None:
    """Send A-RELEASE-RQ PDU."""
    core.transport.send(rq.encode())


@_action("AR-2", to=State.Sta8)
def indicate_release(events: Events, core: Core, rq: AReleaseRQ) -> None:
    """Issue A-RELEASE indication primitive."""
    core.user.a_release_indication(rq)


@_action("AR-3", to=State.Sta1)
def confirm_release_and_close(events: Events, core: Core, rp: AReleaseRP) -> None:
    """Issue A-RELEASE confirmation primitive, and close transport connection."""
    core.user.a_release_confirmation(rp)
    core.transport.close()


@_action("AR-4", to=State.Sta13)
def send_release_rp_and_wait(events: Events, core: Core, rp: AReleaseRP) -> None:
    """Issue A-RELEASE-RP PDU and start ARTIM timer."""
    core.transport.send(rp.encode())
    core.artim.start()


@_action("AR-5", to=State.Sta1)
def stop_after_close(events: Events, core: Core, nothing: None) -> None:
    """Stop ARTIM timer."""
    core.artim.stop()


@_action("AR-6", to=State.Sta7)
def indicate_p_data_in_release(events: Events, core: Core, pdata: PDataTF) -> None:
    """Issue P-DATA indication."""
    core.user.p_data_indication(pdata)


@_action("AR-7", to=State.Sta8)
def send_p_data_in_release(events: Events, core: Core, pdata: PDataTF) -> None:
    """Issue P-DATA-TF PDU."""
    send_p_data(events, core, pdata)


@_action("AR-8", to=State.Sta9, acceptor_to=State.Sta10)
def indicate_release_collision(events: Events, core: Core, rq: AReleaseRQ) -> None:
    """Issue A-RELEASE indication (release collision); the next state depends on the role."""
    core.user.a_release_indication(rq)


@_action("AR-9", to=State.Sta11)
def send_release_rp(events: Events, core: Core, rp: AReleaseRP) -> None:
    """Send A-RELEASE-RP PDU."""
    core.transport.send(rp.encode())


@_action("AR-10", to=State.Sta12)
def confirm_release(events: Events, core: Core, rp: AReleaseRP) -> None:
    """Issue A-RELEASE confirmation primitive."""
    core.user.a_release_confirmation(rp)


# Table 9-9: association abort


def _as_error(cause: object) -> ProtocolError:
    """Return the error of Evt19, or what a PDU is that the state does not allow."""
    if isinstance(cause, ProtocolError):
        return cause
    return UnexpectedPDU(f"{type(cause).__name__} out of sequence")


@_action("AA-1", to=State.Sta13)
def abort_as_user(events: Events, core: Core, cause: object) -> None:
    """Send A-ABORT PDU (service-user source) and start (or restart) ARTIM timer."""
    core.transport.send(AAbort(SERVICE_USER).encode())
    core.artim.start()


@_action("AA-2", to=State.Sta1)
def close(events: Events, core: Core, cause: object) -> None:
    """Stop ARTIM timer if running; close transport connection."""
    core.artim.stop()
    core.transport.close()


@_action("AA-3", to=State.Sta1)
def indicate_abort(events: Events, core: Core, abort: AAbort) -> None:
    """Issue A-ABORT or A-P-ABORT indication, by the source, and close transport connection."""
    core.user.a_abort_indication(abort)
    core.transport.close()


@_action("AA-4", to=State.Sta1)
def indicate_loss(events: Events, core: Core, nothing: None) -> None:
    """Issue A-P-ABORT indication primitive."""
    core.user.a_p_abort_indication(None)


@_action("AA-5", to=State.Sta1)
def stop_artim(events: Events, core: Core, nothing: None) -> None:
    """Stop ARTIM timer."""
    core.artim.stop()


@_action("AA-6", to=State.Sta13)
def ignore(events: Events, core: Core, pdu: object) -> None:
    """Ignore PDU."""


@_action("AA-7", to=State.Sta13)
def abort_again(events: Events, core: Core, cause: object) -> None:
    """Send A-ABORT PDU."""
    core.transport.send(AAbort(SERVICE_PROVIDER, _as_error(cause).abort_reason).encode())


@_action("AA-8", to=State.Sta13)
def abort_as_provider(events: Events, core: Core, cause: object) -> None:
    """Send A-ABORT PDU (service-provider source), issue A-P-ABORT indication, start ARTIM timer."""
    error = _as_error(cause)
    core.transport.send(AAbort(SERVICE_PROVIDER, error.abort_reason).encode())
    core.user.a_p_abort_indication(error)
    core.artim.start()
