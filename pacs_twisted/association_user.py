"""
What an association tells: to its user, who decides, and to observers, who watch.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from pacs_twisted.dimse import Command
from pacs_twisted.dimse.messages import DataSetSink, Message
from pacs_twisted.pdu import AAbort, AAssociateAC, AAssociateRJ, AAssociateRQ
from pacs_twisted.upper_layer.actions import State
from pacs_twisted.upper_layer.negotiation import PresentationContext

if TYPE_CHECKING:
    from pacs_twisted.association import Association


class Outcome(Enum):
    """How an association, or the attempt at one, ended."""

    RELEASED = "released"
    REJECTED = "rejected"
    ABORTED = "aborted"
    """By our own user's A-ABORT; the cause says why."""
    ABORTED_BY_PEER = "aborted by peer"
    PROTOCOL_ERROR = "protocol error"
    """By our A-ABORT for something that the peer sent."""
    LOST = "connection lost"
    CLOSED = "closed"
    """The connection ended before an association was asked for."""


@attrs.frozen
class Ending:
    """
    The end of an association.

    Args:
        outcome: which kind of end.
        cause: the PDU or the error that says more.
    """

    outcome: Outcome
    cause: AAssociateRJ | AAbort | Exception | None = None


class AssociationUser(Protocol):
    """
    Who uses an association and is told what happens to it (PS3.8 section 7).

    It is called after the state machine has come to rest, and may use the association at once.
    """

    def associate_requested(self, rq: AAssociateRQ) -> None:
        """A peer asks for an association: `accept` or `reject` it, now or later."""

    def associate_answered(self, answer: AAssociateAC | AAssociateRJ) -> None:
        """The peer has accepted or rejected our request."""

    def open_sink(self, context: PresentationContext, command: Command) -> DataSetSink:
        """A message with a data set has begun: answer with where the data set goes."""

    def message_received(self, message: Message) -> None:
        """A whole message has come."""

    def release_requested(self) -> None:
        """The peer wants to end the association: `respond_release`, now or later."""

    def association_ended(self, ending: Ending) -> None:
        """The association is over; said once, as soon as it is known."""


class AssociationObserver(Protocol):
    """Who watches an association: a log, metrics, a recorder. It changes nothing."""

    def transition(
        self,
        association: Association,
        old: State,
        event: str,
        action: str,
        new: State,
        argument: Any,
    ) -> None:
        """The machine took an event: its name and the action's, the PDU or error it came with."""

    def message(self, association: Association, sent: bool, message: Message) -> None:
        """A message was received, or was sent."""
