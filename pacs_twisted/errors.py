"""
The errors of this package, one small tree.

Each class says in a sentence who is at fault and what follows. A `ProtocolError` carries
the reason of the A-ABORT that it leads to (PS3.8 section 9.3.8); the errors that tell how
an association ended keep the peer's numbers as they came, whatever they are.
"""

from __future__ import annotations

from typing import ClassVar

from pacs_twisted.wording import describe_abort, describe_reject

__all__ = [
    "AssociationAborted",
    "AssociationEnded",
    "AssociationLost",
    "AssociationRejected",
    "AssociationReleased",
    "ConnectionFailed",
    "InvalidPDU",
    "NoPresentationContext",
    "OutOfSequence",
    "PacsError",
    "ProtocolError",
    "SourceFailed",
    "StatusFailure",
    "TimedOut",
    "UnexpectedPDU",
    "UnexpectedParameter",
    "UnrecognizedPDU",
    "describe_error",
]


class PacsError(Exception):
    """Anything that this package raises on purpose."""


class ProtocolError(PacsError):
    """
    The peer broke PS3.8 or PS3.7: the association is aborted.

    Messages name the thing, the value and the limit, never the content of a data set.
    """

    abort_reason: ClassVar[int] = 0
    """The reason of the A-ABORT by the service-provider (PS3.8 section 9.3.8)."""

    state: str = ""
    """Where it ended an association of our own: the state, as in `AssociationEnded`."""


class UnrecognizedPDU(ProtocolError):
    """
    A byte that must be the type of a PDU is none: the peer does not speak PS3.8 here.

    Args:
        pdu_type: the byte.
    """

    abort_reason: ClassVar[int] = 1

    def __init__(self, pdu_type: int) -> None:
        super().__init__(f"{pdu_type:02X}H is not the type of a PDU")
        self.pdu_type = pdu_type


class UnexpectedPDU(ProtocolError):
    """A known PDU came in a state that does not allow it."""

    abort_reason: ClassVar[int] = 2


class UnexpectedParameter(ProtocolError):
    """A message's fragments came in an order that PS3.8 annex E does not allow."""

    abort_reason: ClassVar[int] = 5


class InvalidPDU(ProtocolError):
    """A length or a value inside a PDU or a command set is wrong."""

    abort_reason: ClassVar[int] = 6


class OutOfSequence(PacsError):
    """
    Our own caller asked for something that the association's state does not allow.

    Nothing was sent and nothing has changed.
    """


class NoPresentationContext(PacsError):
    """Our own caller named a presentation context that was not accepted."""


class AssociationEnded(PacsError):
    """
    There is no association, or none any more: the base of the errors that say why.

    What waited for an answer of the peer fails with one of them, once.
    """

    state: str = ""
    """The state in which it ended, "Sta4" to "Sta12"; empty where there was none to know."""


class ConnectionFailed(AssociationEnded):
    """No transport connection could be made: nobody has heard of us."""


class AssociationRejected(AssociationEnded):
    """
    The peer answered with an A-ASSOCIATE-RJ (PS3.8 section 9.3.4).

    Args:
        result: 1 permanent, 2 transient; any number that the peer sent.
        source: 1 service-user, 2 provider (ACSE), 3 provider (presentation).
        reason: its meaning depends on the source.
    """

    def __init__(self, result: int, source: int, reason: int) -> None:
        super().__init__(f"association rejected: {describe_reject(result, source, reason)}")
        self.result = result
        self.source = source
        self.reason = reason


class AssociationAborted(AssociationEnded):
    """
    The association ended by an A-ABORT, the peer's or our own (PS3.8 section 9.3.8).

    Args:
        source: 0 service-user, 2 service-provider.
        reason: meaningful when the source is 2.
        by_peer: whether the peer aborted, or our own user.
    """

    def __init__(self, source: int, reason: int, by_peer: bool = True) -> None:
        who = " by the peer" if by_peer else ""
        super().__init__(f"association aborted{who}: {describe_abort(source, reason)}")
        self.source = source
        self.reason = reason
        self.by_peer = by_peer


class AssociationReleased(AssociationEnded):
    """The association was released before the peer had answered."""


class AssociationLost(AssociationEnded):
    """The transport connection went away under the association."""


class TimedOut(AssociationEnded):
    """
    A timer ended the association, or the attempt at one.

    Args:
        timer: its name, as in `pacs_twisted.net.Timeouts`.
        seconds: what it was set to.
        remark: what may explain it, for the message.
    """

    def __init__(self, timer: str, seconds: float, remark: str = "") -> None:
        super().__init__(f"{timer} timer expired after {seconds:g} s" + (remark and f"; {remark}"))
        self.timer = timer
        self.seconds = seconds


class SourceFailed(PacsError):
    """
    A data set could not be read to its end.

    What has begun to be sent cannot be taken back, so the association is aborted.
    """

    state: str = ""
    """The state in which that was, as in `AssociationEnded`."""


class StatusFailure(PacsError):
    """
    A DIMSE service answers, or is to answer, with a status that is no success (PS3.7 annex C).

    Args:
        status: the 16-bit value of (0000,0900).
        comment: what is the matter, for the Error Comment (0000,0902), at most 64 characters.
    """

    def __init__(self, status: int, comment: str = "") -> None:
        super().__init__(f"status {status:04X}H" + (f": {comment}" if comment else ""))
        self.status = status
        self.comment = comment


def describe_error(error: BaseException) -> str:
    """Return why an object cannot be read in words, without its path and what is in it."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, PacsError):
        return str(error)
    return type(error).__name__  # its words may quote the data set
