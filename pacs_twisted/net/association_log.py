"""
What the log says of an association.

At info one line when it is accepted, one at its first C-ECHO, one at its end with the counts; at
debug every event of the machine and every message. Whatever a peer does, the number of its lines
above debug is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.logger import Logger, LogLevel

from pacs_twisted.association import Association, Ending, Outcome
from pacs_twisted.dimse import Response
from pacs_twisted.dimse.messages import Message
from pacs_twisted.errors import TimedOut, UnrecognizedPDU
from pacs_twisted.pdu import AAbort, AAssociateAC, AAssociateRJ, AAssociateRQ
from pacs_twisted.upper_layer.actions import State
from pacs_twisted.upper_layer.negotiation import ABSTRACT_SYNTAX_NOT_SUPPORTED
from pacs_twisted.wording import describe_abort, describe_reject, describe_uid, printable

log = Logger(namespace="pacs_twisted.net")

_BLANK = "(blank)"
_MOST_REFUSALS = 3
_TLS_HANDSHAKE = 0x16

_PEACEFUL = (Outcome.RELEASED, Outcome.ABORTED_BY_PEER)


class AssociationLog:
    """
    The lines of one association.

    Args:
        number: the number of the association.
        peer: the peer's address, as text.
        requestor: whether we ask for the association.
    """

    __slots__ = ("_no_answer_wanted", "_way", "called", "calling", "number", "peer")

    def __init__(self, number: int | str, peer: str, *, requestor: bool = False) -> None:
        self.number = number
        self.peer = peer
        self._way = "to" if requestor else "from"
        self.calling = self.called = ""
        self._no_answer_wanted = False

    def note_request(self, rq: AAssociateRQ) -> None:
        """Take over who speaks to whom."""
        self.calling = printable(rq.calling_ae_title) or _BLANK
        self.called = printable(rq.called_ae_title) or _BLANK

    def accepted(self, rq: AAssociateRQ, ac: AAssociateAC) -> None:
        """The association is established."""
        refused = [result for result in ac.context_results if not result.accepted]
        log.info(
            "association {association} {way} {peer}: {calling} to {called},"
            " {accepted} of {proposed} presentation contexts accepted",
            association=self.number,
            way=self._way,
            peer=self.peer,
            calling=self.calling,
            called=self.called,
            accepted=len(ac.context_results) - len(refused),
            proposed=len(ac.context_results),
            event="associate",
            state=State.Sta6.name,
        )
        if refused:
            self._refused(rq, {result.context_id: result.result for result in refused})

    def _refused(self, rq: AAssociateRQ, results: dict[int, int]) -> None:
        words = []
        for context in rq.presentation_contexts:
            result = results.get(context.context_id)
            if result is None:
                continue
            if result == ABSTRACT_SYNTAX_NOT_SUPPORTED:
                words.append(f"{describe_uid(context.abstract_syntax)} not served")
            else:
                syntaxes = _list(map(describe_uid, context.transfer_syntaxes))
                words.append(
                    f"{describe_uid(context.abstract_syntax)} refused with result {result}"
                    f" for {syntaxes}"
                )
        log.info(
            "association {association}: {refused}",
            association=self.number,
            peer=self.peer,
            refused=_list(dict.fromkeys(words)),
            event="contexts-refused",
        )

    def first_echo(self, message_id: int) -> None:
        """The first C-ECHO-RQ has come."""
        log.info(
            "association {association}: C-ECHO from {calling}",
            association=self.number,
            peer=self.peer,
            calling=self.calling,
            message_id=message_id,
            event="c-echo",
        )

    def first_store(self, message_id: int) -> None:
        """The first C-STORE-RQ has come."""
        log.info(
            "association {association}: C-STORE from {calling}",
            association=self.number,
            peer=self.peer,
            calling=self.calling,
            message_id=message_id,
            event="c-store",
        )

    def first_failure(self, response: Response) -> None:
        """A request is answered with a failure: said once, since a peer can have many."""
        log.warn(
            "association {association}: {command} with status {status};"
            " further failures are not logged",
            association=self.number,
            peer=self.peer,
            calling=self.calling,
            command=type(response).__name__,
            status=str(response.status),
            event="request-failed",
        )

    def unwanted_response(self, message: Message) -> None:
        """A response came to nothing that we asked: said once, then ignored."""
        if not self._no_answer_wanted:
            self._no_answer_wanted = True
            log.warn(
                "association {association}: {command} answers nothing; ignored, like any further",
                association=self.number,
                peer=self.peer,
                command=type(message.command).__name__,
                event="unwanted-response",
            )

    def no_request(self, seconds: float) -> None:
        """The peer connected and asked for nothing."""
        log.info(
            "connection {association} from {peer}: no A-ASSOCIATE-RQ within {seconds:g} s, closed",
            association=self.number,
            peer=self.peer,
            seconds=seconds,
            event="artim",
            state=State.Sta2.name,
        )

    def no_connection(self, error: BaseException) -> None:
        """A peer that we want to ask cannot be connected to."""
        log.warn(
            "association {association}: no connection to {peer}: {reason}",
            association=self.number,
            peer=self.peer,
            reason=str(error),
            event="no-connection",
        )

    def tls_failed(self, error: BaseException) -> None:
        """The TLS handshake failed, so that nothing could be asked for."""
        log.warn(
            "connection {association} from {peer}: TLS handshake failed: {reason}",
            association=self.number,
            peer=self.peer,
            reason=describe_tls_failure(error),
            event="tls-failed",
        )

    def ended(self, ending: Ending, association: Association, received: int, sent: int) -> None:
        """The association, or the attempt at one, is over."""
        if ending.outcome is Outcome.CLOSED:
            log.debug(
                "connection {association} from {peer}: closed without an association",
                association=self.number,
                peer=self.peer,
                event="closed",
            )
            return
        fields: dict[str, Any] = {
            "association": self.number,
            "peer": self.peer,
            "calling": self.calling,
            "called": self.called,
            "event": ending.outcome.name.lower().replace("_", "-"),
            "outcome": ending.outcome.value,
            "detail": self._detail(ending),
            "received": received,
            "sent": sent,
            **_numbers(ending),
        }
        level = LogLevel.info if ending.outcome in _PEACEFUL else LogLevel.warn
        if association.accepted is None:
            log.emit(
                level,
                "association {association} {way} {peer}: {outcome}{detail}",
                way=self._way,
                **fields,
            )
            return
        log.emit(
            level,
            "association {association} {outcome}{detail}: {requests} messages received,"
            " {responses} sent; {received} bytes in, {sent} out",
            requests=association.messages_received,
            responses=association.messages_sent,
            **fields,
        )

    def _detail(self, ending: Ending) -> str:
        cause = ending.cause
        match cause:
            case AAssociateRJ(result, source, reason):
                rejected = describe_reject(result, source, reason)
                return f", {self.calling} to {self.called}: {rejected}"
            case AAbort(source, reason):
                return f": {describe_abort(source, reason)}"
            case UnrecognizedPDU():
                return f": {cause}{_guess(cause.pdu_type)}"
            case None:
                return ""
        return f": {cause}"


def is_tls_failure(error: BaseException) -> bool:
    """Whether TLS has ended a connection; told by the name, for TLS is an extra."""
    return type(error).__module__.partition(".")[0] in ("OpenSSL", "service_identity")


def describe_tls_failure(error: BaseException) -> str:
    """Return the words of OpenSSL, such as "no shared cipher"."""
    if type(error).__module__.startswith("service_identity"):
        return "the certificate is for another name"
    [*entries] = error.args[0] if error.args and isinstance(error.args[0], list) else []
    words = [str(entry[-1]) for entry in entries if isinstance(entry, tuple) and entry]
    return printable("; ".join(words) or str(error) or type(error).__name__)


def _guess(byte: int) -> str:
    """Return what a stray client may be, by its first byte."""
    if byte == _TLS_HANDSHAKE:
        return ", perhaps a TLS client on a port without TLS"
    if chr(byte).isascii() and chr(byte).isalpha():
        return ", perhaps a client of HTTP or another text protocol"
    return ""


def _numbers(ending: Ending) -> dict[str, int | str]:
    """Return what a machine wants to read of the end."""
    match ending.cause:
        case AAssociateRJ(result, source, reason):
            return {"result": result, "source": source, "reason": reason}
        case AAbort(source, reason):
            return {"source": source, "reason": reason}
        case TimedOut() as timeout:
            return {"timer": timeout.timer}
    return {}


def _list(words: Iterable[str]) -> str:
    words = list(words)
    more = len(words) - _MOST_REFUSALS
    return "; ".join(words[:_MOST_REFUSALS]) + (f"; and {more} more" if more > 0 else "")


class DebugLog:
    """Every event of the machine and every message of an association, at debug."""

    def __init__(self, number: int | str) -> None:
        self._number = number

    def transition(
        self,
        association: Association,
        old: State,
        event: str,
        action: str,
        new: State,
        argument: Any,
    ) -> None:
        """Log an event: what came in which state, what is done, which state follows."""
        log.debug(
            "association {association}: {event} in {old}: {action}, {state}{detail}",
            association=self._number,
            event=event,
            old=old.name,
            action=action,
            state=new.name,
            detail=f": {argument}" if isinstance(argument, Exception) else "",
        )

    def message(self, association: Association, sent: bool, message: Message) -> None:
        """Log a message by its kind, ID and status; never what it says of a patient."""
        command: Any = message.command
        status = getattr(command, "status", None)
        message_id = getattr(command, "message_id", None)
        if message_id is None:
            message_id = getattr(command, "message_id_being_responded_to", None)
        log.debug(
            "association {association}: {command} {message_id} {direction} in context"
            " {context_id}{detail}",
            association=self._number,
            event="message",
            command=type(command).__name__,
            message_id=message_id,
            direction="sent" if sent else "received",
            context_id=message.context.context_id,
            detail="" if status is None else f", status {status}",
        )
