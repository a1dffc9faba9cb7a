"""
One association, without a socket: bytes in, bytes out, and word of what happened.

`Association` joins the reader of PDUs, the state machine, and the reader of messages. It knows
no network, no clock and no reactor: whoever holds it carries the bytes, keeps the timers and
decides what to answer. Where PS3.8 Table 9-10 leaves a cell undefined that a running program
meets all the same, the rule is here and not in the table:

* What a caller may not ask for in the present state raises `OutOfSequence`; nothing is sent.
* To abort what is over, or to hear that the connection is gone after closing it, is no error.
* Bytes that come when the association is over are dropped, beyond the A-ABORT that ends it.
"""

from __future__ import annotations

from typing import Any

import attrs
from automat import NoTransition

from pacs_twisted.association_user import (
    AssociationObserver,
    AssociationUser,
    Ending,
    Outcome,
)
from pacs_twisted.dimse import Command
from pacs_twisted.dimse.messages import (
    MAXIMUM_COMMAND_LENGTH,
    Message,
    MessageReader,
    fragment_message,
    fragments,
    longest_fragment,
)
from pacs_twisted.errors import (
    NoPresentationContext,
    OutOfSequence,
    PacsError,
    ProtocolError,
    UnexpectedPDU,
)
from pacs_twisted.pdu import (
    PDU,
    PDV,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
    PDUReader,
)
from pacs_twisted.pdu.framing import MAXIMUM_ASSOCIATE_LENGTH, MAXIMUM_LENGTH
from pacs_twisted.pdu.pdata import COMMAND, LAST
from pacs_twisted.upper_layer.actions import Core, State, Timer, Transport
from pacs_twisted.upper_layer.machine import acceptor_machine, requestor_machine
from pacs_twisted.upper_layer.negotiation import (
    PresentationContext,
    accepted_contexts,
    check_request,
    judge_answer,
    judge_version,
    peer_maximum_length,
)

__all__ = [
    "Association",
    "AssociationObserver",
    "AssociationUser",
    "Bounds",
    "Ending",
    "Outcome",
]

_INPUTS: dict[type, str] = {
    AAssociateRQ: "a_associate_rq",
    AAssociateAC: "a_associate_ac",
    AAssociateRJ: "a_associate_rj",
    PDataTF: "p_data_tf",
    AReleaseRQ: "a_release_rq",
    AReleaseRP: "a_release_rp",
    AAbort: "a_abort",
}
_OVER = (State.Sta13, State.Sta1)


@attrs.frozen
class Bounds:
    """
    What an association takes at most, in bytes.

    Args:
        maximum_length: the longest P-DATA-TF, as announced to the peer; 0 means without limit.
        maximum_associate_length: the longest A-ASSOCIATE-RQ or -AC.
        maximum_command_length: the longest command set.
    """

    maximum_length: int = MAXIMUM_LENGTH
    maximum_associate_length: int = MAXIMUM_ASSOCIATE_LENGTH
    maximum_command_length: int = MAXIMUM_COMMAND_LENGTH


def _untold_ending(cause: PDU | ProtocolError | None) -> Ending:
    """Return how it ended in Sta2, where there is no user to be told (AA-1, AA-2, AA-5)."""
    match cause:
        case None:
            return Ending(Outcome.CLOSED)
        case AAbort():
            return Ending(Outcome.ABORTED_BY_PEER, cause)
        case ProtocolError():
            return Ending(Outcome.PROTOCOL_ERROR, cause)
    error = UnexpectedPDU(f"{type(cause).__name__} out of sequence")
    return Ending(Outcome.PROTOCOL_ERROR, error)


class _Outbox:
    """The machine's transport: PDUs are kept until the machine rests, and go out by one write."""

    __slots__ = ("_closing", "_in_parts", "_parts", "_transport")

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._parts: list[bytes | memoryview] = []
        self._in_parts = False
        self._closing = False

    def connect(self) -> None:
        self._transport.connect()

    def send(self, data: bytes) -> None:
        self._parts.append(data)

    def send_parts(self, parts: list[bytes | memoryview]) -> None:
        self._parts += parts
        self._in_parts = True

    def close(self) -> None:
        self._closing = True

    def flush(self) -> None:
        parts = self._parts
        if parts:
            self._parts = []
            if self._in_parts:
                self._in_parts = False
                self._transport.send_parts(parts)
            else:
                self._transport.send(b"".join(parts))  # of one it is that one itself
        if self._closing:
            self._closing = False
            self._transport.close()


class _Notes:
    """The machine's service user: it takes note; `Association` tells when the machine rests."""

    __slots__ = ("ending", "loss", "pdata", "told")

    def __init__(self) -> None:
        self.told: list[AAssociateRQ | AAssociateAC | AAssociateRJ | AReleaseRQ | AReleaseRP] = []
        self.pdata: PDataTF | None = None
        self.ending: Ending | None = None
        self.loss: PacsError | None = None

    def a_associate_indication(self, rq: AAssociateRQ) -> None:
        self.told.append(rq)

    def a_associate_confirmation(self, answer: AAssociateAC | AAssociateRJ) -> None:
        self.told.append(answer)
        if isinstance(answer, AAssociateRJ):
            self.ending = Ending(Outcome.REJECTED, answer)

    def p_data_indication(self, pdata: PDataTF) -> None:
        self.pdata = pdata

    def a_release_indication(self, rq: AReleaseRQ) -> None:
        self.told.append(rq)

    def a_release_confirmation(self, rp: AReleaseRP) -> None:
        self.told.append(rp)
        self.ending = Ending(Outcome.RELEASED)

    def a_abort_indication(self, abort: AAbort) -> None:
        self.ending = Ending(Outcome.ABORTED_BY_PEER, abort)

    def a_p_abort_indication(self, error: ProtocolError | None) -> None:
        if error is None:
            self.ending = Ending(Outcome.LOST, self.loss)
        else:
            self.ending = Ending(Outcome.PROTOCOL_ERROR, error)


class Association:
    """
    One association seen from one of its ends.

    Feed it by `connection_made`, `receive_bytes`, `connection_lost` and `artim_expired`. It writes
    to the transport once per call, however much there is to say.

    Its `reader` tells how far the peer has come: PDUs received, whether one has begun, bytes held.

    Args:
        transport: carries bytes; its `send` is called with one or more whole PDUs, and so is its
            `send_parts` when much is to be sent.
        artim: the ARTIM timer.
        user: who decides and is told.
        requestor: whether we ask for the association, or the peer does.
        bounds: what we take at most.
    """

    __slots__ = (
        "_bounds",
        "_busy",
        "_core",
        "_data_context",
        "_data_left",
        "_deaf",
        "_longest_fragment",
        "_machine",
        "_messages",
        "_notes",
        "_observers",
        "_outbox",
        "_over",
        "_paused",
        "_postponed",
        "_requestor",
        "_respond_when_confirmed",
        "_user",
        "accepted",
        "contexts",
        "messages_received",
        "messages_sent",
        "peer_maximum_length",
        "reader",
        "request",
    )

    def __init__(
        self,
        transport: Transport,
        artim: Timer,
        user: AssociationUser,
        *,
        requestor: bool = False,
        bounds: Bounds = Bounds(),
    ) -> None:
        self._user = user
        self._requestor = requestor
        self._bounds = bounds
        self.reader = PDUReader(bounds.maximum_length, bounds.maximum_associate_length)
        self._outbox = _Outbox(transport)
        self._notes = _Notes()
        self._core = Core(self._outbox, artim, self._notes, self._judge_as_provider)
        self._machine = (requestor_machine if requestor else acceptor_machine)(self._core)
        self._messages: MessageReader | None = None
        self._observers: tuple[AssociationObserver, ...] = ()
        self._busy = False  # reading: what is sent meanwhile goes out at the end
        self._paused = False
        self._deaf = False  # whatever still comes is of no interest
        self._over = False
        self._respond_when_confirmed = False
        self.request: AAssociateRQ | None = None
        self.accepted: AAssociateAC | None = None
        self.contexts: dict[int, PresentationContext] = {}
        self.peer_maximum_length = 0
        self._longest_fragment = 0
        self._data_context = 0
        self._data_left = 0  # bytes of the data set that is being sent
        self._postponed: list[tuple[int, Command, bytes | None]] = []
        self.messages_received = 0
        self.messages_sent = 0

    # What can be asked of it

    @property
    def state(self) -> State:
        """The state of the machine, Sta1 to Sta13."""
        return self._core.state

    @property
    def last_state(self) -> State:
        """The state in which the last event came: at the end, the one that it ended."""
        return self._core.previous

    @property
    def is_established(self) -> bool:
        """Whether both sides may make requests: Sta6."""
        return self._core.state is State.Sta6

    @property
    def sending_data(self) -> bool:
        """Whether the data set of a message that has begun is not sent to its end."""
        return self._data_left > 0

    @property
    def postponed(self) -> int:
        """How many messages wait for the end of that data set; see `send`."""
        return len(self._postponed)

    @property
    def is_over(self) -> bool:
        """Whether the association has ended, be the connection still open or not."""
        return self._over

    # What happens to the connection

    def connection_made(self) -> None:
        """The connection is there: a peer's (Evt5), or the one that we asked for (Evt2)."""
        if self._core.state is State.Sta4:
            self._machine.transport_connected(None)
        else:
            self._machine.transport_accepted(None)
        self._rest()

    def receive_bytes(self, data: bytes) -> None:
        """Take bytes of the peer, cut in any way."""
        if self._deaf:
            return
        self.reader.feed(data)
        if not self._busy:
            self._read()

    def connection_lost(self, cause: PacsError | None = None) -> None:
        """
        The connection is gone (Evt17), or could not be made.

        Args:
            cause: how, for the user's `association_ended`, if that was the end.
        """
        self._deaf = True
        self._notes.loss = cause
        self.reader.forget()  # now, and not when the garbage collector finds this
        if self._core.state is not State.Sta1:
            self._machine.transport_closed(None)
            self._rest()

    def artim_expired(self) -> None:
        """The ARTIM timer has run out (Evt18); a late word of it is ignored."""
        if self._core.state in (State.Sta2, State.Sta13):
            self._machine.artim_expired(None)
            self._rest()

    def pause(self) -> None:
        """Leave what has arrived unread until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Go on reading, first what had arrived before."""
        self._paused = False
        if not self._busy:
            self._read()

    # What our user wants

    def associate(self, rq: AAssociateRQ) -> None:
        """
        Ask for the association (Evt1): the transport is told to connect.

        Raises:
            OutOfSequence: not in Sta1, or in Sta1 after the end: no connection is used again.
            ValueError: the request cannot be sent: the standard does not allow what it says.
        """
        check_request(rq)
        if self._over:
            raise OutOfSequence(
                "the association is over; another one needs a connection of its own"
            )
        self._do("a_associate_request", rq)
        self.request = rq

    def accept(self, ac: AAssociateAC) -> None:
        """
        Accept the association that was asked for (Evt7).

        Raises:
            OutOfSequence: not in Sta3.
        """
        self._do("a_associate_accept", ac)

    def reject(self, rj: AAssociateRJ) -> None:
        """
        Reject the association that was asked for (Evt8).

        Raises:
            OutOfSequence: not in Sta3.
        """
        self._do("a_associate_reject", rj)

    def send(self, context_id: int, command: Command, data_set: bytes | None = None) -> None:
        """
        Send a message (Evt9), in fragments of the peer's maximum length.

        While the data set of another message is on its way (see `begin`), it waits for its end:
        fragments of two messages are never mixed (PS3.8 annex E.1).

        Args:
            context_id: an accepted presentation context.
            command: the command set; it says whether a data set follows.
            data_set: the encoded data set, of even length and not empty; None if there is none.

        Raises:
            NoPresentationContext: the context was not accepted.
            OutOfSequence: neither in Sta6 nor in Sta8.
            ValueError: the command set says that a data set follows, and none does, or the reverse;
                a field has a value that its element cannot hold; or the peer's maximum length
                leaves no room for a fragment.
        """
        context = self._context(context_id)
        if command.has_data_set != bool(data_set):
            raise ValueError(f"{type(command).__name__} and its data set do not agree")
        encoded = command.encode()  # also of what waits: its caller hears of a wrong field
        if self._data_left:
            self._postponed.append((context_id, command, data_set))
            return
        p_data_request = self._machine.p_data_request
        try:
            if data_set is None and len(encoded) <= self._longest_fragment:
                p_data_request(PDataTF([PDV(context_id, COMMAND | LAST, encoded)]))
            else:
                for pdata in fragment_message(
                    context_id, encoded, data_set, self.peer_maximum_length
                ):
                    p_data_request(pdata)
        except NoTransition as error:
            raise self._out_of_sequence("p_data_request") from error
        self._note_sent(context, command)

    def begin(self, context_id: int, command: Command, length: int) -> None:
        """
        Send the command set of a message whose data set follows piece by piece (Evt9).

        Args:
            context_id: an accepted presentation context.
            command: the command set, which says that a data set follows.
            length: of the data set in bytes: even, and more than none.

        Raises:
            NoPresentationContext: the context was not accepted.
            OutOfSequence: neither in Sta6 nor in Sta8, or another data set is on its way.
            ValueError: the command set says that no data set follows, the length is not allowed,
                or a field has a value that its element cannot hold.
        """
        context = self._context(context_id)
        if not command.has_data_set:
            raise ValueError(f"{type(command).__name__} and its data set do not agree")
        if length < 2 or length % 2:
            raise ValueError(f"a data set of {length} bytes cannot be sent")
        if self._data_left:
            raise OutOfSequence("the data set of another message is on its way")
        try:
            for pdata in fragment_message(
                context_id, command.encode(), None, self.peer_maximum_length
            ):
                self._machine.p_data_request(pdata)
        except NoTransition as error:
            raise self._out_of_sequence("p_data_request") from error
        self._data_context = context_id
        self._data_left = length
        self._note_sent(context, command)

    def send_data(self, data: bytes | memoryview, *, last: bool = False) -> None:
        """
        Send the next piece of the data set that `begin` has announced (Evt9).

        Args:
            data: of even length and not empty, at most what is left of the announced length; views
                must not change before they are sent.
            last: end the data set here, although it was to be longer: allowed only after the peer
                has answered with a failure (PS3.7 section 9.3.1.3).

        Raises:
            OutOfSequence: neither in Sta6 nor in Sta8, or no data set is on its way.
            ValueError: the piece is empty, odd, or longer than what is left.
        """
        length = len(data)
        if not self._data_left:
            raise OutOfSequence("no data set is on its way")
        if not 0 < length <= self._data_left or length % 2:
            raise ValueError(f"a piece of {length} bytes, {self._data_left} are left")
        left = 0 if last else self._data_left - length
        try:
            for pdata in fragments(
                self._data_context, 0, memoryview(data), self._longest_fragment, not left
            ):
                self._machine.p_data_request(pdata)
        except NoTransition as error:
            raise self._out_of_sequence("p_data_request") from error
        self._data_left = left
        postponed = self._postponed
        if not left and postponed:
            self._postponed = []
            for message in postponed:
                self.send(*message)
        self._outbox.flush()  # also while reading: a data set is too much to be kept

    def _context(self, context_id: int) -> PresentationContext:
        context = self.contexts.get(context_id)
        if context is None:
            raise NoPresentationContext(f"presentation context {context_id} was not accepted")
        return context

    def _note_sent(self, context: PresentationContext, command: Command) -> None:
        self.messages_sent += 1
        for observer in self._observers:
            observer.message(self, True, Message(context, command))
        if not self._busy:
            self._outbox.flush()

    def release(self) -> None:
        """
        Ask the peer to end the association (Evt11).

        Raises:
            OutOfSequence: not in Sta6, or a data set is on its way.
        """
        if self._data_left:
            raise OutOfSequence("a data set is on its way")
        self._do("a_release_request", AReleaseRQ())

    def respond_release(self) -> None:
        """
        Answer the peer's wish to end the association (Evt14), always affirmatively.

        In a release collision an acceptor may answer only after the requestor has (Sta10): then
        the answer goes out as soon as it may.

        Raises:
            OutOfSequence: the peer has not asked.
        """
        if self._core.state is State.Sta10:
            self._respond_when_confirmed = True
        else:
            self._do("a_release_response", AReleaseRP())

    def abort(self, cause: PacsError | None = None) -> None:
        """
        End the association at once (Evt15).

        Before there is one the connection is just closed; when it is over nothing happens.

        Args:
            cause: why, for the user's `association_ended`; the peer is not told.
        """
        state = self._core.state
        if state in _OVER:
            return
        self._notes.ending = Ending(Outcome.ABORTED, cause)
        if state is State.Sta2:  # an undefined cell: there is nobody to tell, so AA-2 as by Evt18
            self._machine.artim_expired(None)
            self._rest()
        else:
            self._do("a_abort_request", AAbort())

    def add_observer(self, observer: AssociationObserver) -> None:
        """Let someone watch."""
        self._observers += (observer,)
        self._core.tracer = self._trace

    # How it goes on

    def _read(self) -> None:
        """Take what has arrived, one PDU or run after the other."""
        self._busy = True
        try:
            while not (self._paused or self._deaf):
                try:
                    pdu = self.reader.next_pdu()
                    if pdu is None:
                        break
                    self._take(pdu)
                except ProtocolError as error:
                    # Where the next PDU begins cannot be known, or AA-7 answers, once.
                    self._deaf = self.reader.broken or self._over
                    self._machine.invalid_pdu(error)
                    self._tell(error)
        finally:
            self._busy = False
        self._outbox.flush()

    def _take(self, pdu: PDU) -> None:
        if self._requestor and self.accepted is None:
            self._judge(pdu)
        getattr(self._machine, _INPUTS[type(pdu)])(pdu)
        notes = self._notes
        pdata = notes.pdata
        if pdata is not None and self._messages is not None:
            notes.pdata = None
            message = self._messages.receive(pdata.pdvs)
            if message is not None:
                self.messages_received += 1
                for observer in self._observers:
                    observer.message(self, False, message)
                self._user.message_received(message)
            return
        if self._over and isinstance(pdu, AAssociateRQ):
            self._deaf = True  # AA-7 has answered: once is enough
        self._tell(pdu)

    def _judge(self, pdu: PDU) -> None:
        """See that the answer to our request answers it."""
        if isinstance(pdu, AAssociateAC) and self._core.state is State.Sta5 and self.request:
            judge_answer(self.request, pdu)

    def _do(self, event: str, argument: object) -> None:
        """Give the machine an event of our own user's."""
        try:
            getattr(self._machine, event)(argument)
        except NoTransition as error:
            raise self._out_of_sequence(event) from error
        match argument:
            case AAssociateAC():
                self._establish(argument)
            case AAssociateRJ():
                self._notes.ending = Ending(Outcome.REJECTED, argument)
            case AReleaseRP() if self._core.state is State.Sta13:
                self._notes.ending = Ending(Outcome.RELEASED)
        self._rest()

    def _out_of_sequence(self, event: str) -> OutOfSequence:
        return OutOfSequence(f"{event} is not allowed in {self._core.state.name}")

    def _rest(self) -> None:
        """After an event that is not the peer's: tell, and let go out what was said."""
        self._tell(None)
        if not self._busy:
            self._outbox.flush()

    def _tell(self, cause: PDU | ProtocolError | None) -> None:
        """
        Tell the user what the machine has indicated.

        Args:
            cause: what the peer sent, if the machine had its event from the peer.
        """
        notes = self._notes
        while notes.told:
            told = notes.told.pop(0)
            match told:
                case AAssociateRQ():
                    self.request = told
                    self._user.associate_requested(told)
                case AAssociateAC():
                    self._establish(told)
                    self._user.associate_answered(told)
                case AAssociateRJ():
                    self._user.associate_answered(told)
                case AReleaseRQ():
                    self._user.release_requested()
                case AReleaseRP():
                    if self._respond_when_confirmed and self._core.state is State.Sta12:
                        self._do("a_release_response", AReleaseRP())
        if self._core.state is State.Sta1:
            self._deaf = True  # also when Sta13, where it was over already, has led to it
        if self._core.state in _OVER and not self._over:
            self._over = True
            self._data_left = 0
            self._postponed.clear()
            try:
                if self._messages is not None:
                    self._messages.abandon()
            finally:  # also when a sink fails: who is not told of the end waits for ever
                self._outbox.flush()  # our last word goes out before the place is given back
                self._user.association_ended(notes.ending or _untold_ending(cause))

    def _establish(self, ac: AAssociateAC) -> None:
        """Take over what both sides have agreed on."""
        if self.request is None:
            return
        self.accepted = ac
        self.contexts = accepted_contexts(self.request, ac)
        peer = ac if self._requestor else self.request
        self.peer_maximum_length = peer_maximum_length(peer.user_information)
        self._longest_fragment = longest_fragment(self.peer_maximum_length)
        self._messages = MessageReader(
            self.contexts, self._user.open_sink, self._bounds.maximum_command_length
        )

    def _judge_as_provider(self, rq: AAssociateRQ) -> AAssociateRJ | None:
        objection = judge_version(rq)
        if objection is not None:
            self.request = rq
            self._notes.ending = Ending(Outcome.REJECTED, objection)
        return objection

    def _trace(self, old: State, event: str, action: str, new: State, argument: Any) -> None:
        for observer in self._observers:
            observer.transition(self, old, event, action, new, argument)
