"""
Stand-ins for what an `Association` works with: each takes note, and none knows a network or a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import attrs

from pacs_twisted.association import Association, Ending
from pacs_twisted.dimse import Command, Request, Status
from pacs_twisted.dimse.messages import DataSetSink, Message
from pacs_twisted.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ
from pacs_twisted.testing.pdus import associate_ac
from pacs_twisted.upper_layer.actions import State
from pacs_twisted.upper_layer.negotiation import PresentationContext


class RecordingTransport:
    """A transport for an `Association` that keeps what is sent until it is taken."""

    def __init__(self) -> None:
        self.connecting = False
        """Whether a connection was asked for."""
        self.closing = False
        """Whether the connection was asked to close."""
        self.writes: list[bytes] = []
        """What was sent and not taken yet: one entry a call."""

    def connect(self) -> None:
        """Note that a connection is wanted."""
        self.connecting = True

    def send(self, data: bytes) -> None:
        """Keep the bytes."""
        self.writes.append(data)

    def send_parts(self, parts: list[bytes | memoryview]) -> None:
        """Keep the bytes."""
        self.send(b"".join(parts))

    def close(self) -> None:
        """Note that the connection is to be closed."""
        self.closing = True

    def take(self) -> bytes:
        """Return what was sent since the last time."""
        data = b"".join(self.writes)
        self.writes.clear()
        return data


class RecordingTimer:
    """An ARTIM timer that never runs out: call `artim_expired` of the association instead."""

    def __init__(self) -> None:
        self.running = False
        """Whether it runs."""
        self.starts = 0
        """How often it was started, anew or not."""

    def start(self) -> None:
        """Note the start."""
        self.running = True
        self.starts += 1

    def stop(self) -> None:
        """Note the stop."""
        self.running = False


class RecordingSink:
    """A sink that keeps a data set."""

    def __init__(self) -> None:
        self.data = bytearray()
        """What has come of the data set."""
        self.abandoned = False
        """Whether the association ended before the data set was complete."""

    def write(self, fragments: Sequence[bytes | memoryview]) -> None:
        """Keep a copy of the bytes."""
        for fragment in fragments:
            self.data += fragment

    def abandon(self) -> None:
        """Note that nothing more comes."""
        self.abandoned = True


class RecordingUser:
    """
    A user of an association that takes note of what it is told, and decides nothing.

    A test that plays the user calls `accept`, `send` and the rest on the association itself.
    """

    def __init__(self) -> None:
        self.association: Association | None = None
        """Its association; whoever makes the association sets it."""
        self.told: list[str] = []
        """What it was told, by the names of the methods of `AssociationUser`."""
        self.requests: list[AAssociateRQ] = []
        self.answers: list[AAssociateAC | AAssociateRJ] = []
        self.messages: list[Message] = []
        self.sinks: list[RecordingSink] = []
        self.endings: list[Ending] = []

    @property
    def ending(self) -> Ending | None:
        """How the association ended; None while it has not."""
        return self.endings[0] if self.endings else None

    @property
    def commands(self) -> list[Command]:
        """The commands of the messages that came."""
        return [message.command for message in self.messages]

    def associate_requested(self, rq: AAssociateRQ) -> None:
        """Note the request."""
        self.told.append("associate_requested")
        self.requests.append(rq)

    def associate_answered(self, answer: AAssociateAC | AAssociateRJ) -> None:
        """Note the answer."""
        self.told.append("associate_answered")
        self.answers.append(answer)

    def open_sink(self, context: PresentationContext, command: Command) -> DataSetSink:
        """Keep the data set."""
        self.told.append("open_sink")
        sink = RecordingSink()
        self.sinks.append(sink)
        return sink

    def message_received(self, message: Message) -> None:
        """Note the message."""
        self.told.append("message_received")
        self.messages.append(message)

    def release_requested(self) -> None:
        """Note it."""
        self.told.append("release_requested")

    def association_ended(self, ending: Ending) -> None:
        """Note how."""
        self.told.append("association_ended")
        self.endings.append(ending)


class ScriptedUser(RecordingUser):
    """
    A user that also answers: it lets a peer in, serves its requests and lets it go.

    Args:
        answer: what an A-ASSOCIATE-RQ gets; None accepts whatever was proposed.
        status: what every request gets; None leaves them unanswered.
        releases: whether it answers an A-RELEASE-RQ.
    """

    def __init__(
        self,
        *,
        answer: AAssociateAC | AAssociateRJ | None = None,
        status: Status | None = Status.SUCCESS,
        releases: bool = True,
    ) -> None:
        super().__init__()
        self.answer = answer
        self.status = status
        self.releases = releases

    def associate_requested(self, rq: AAssociateRQ) -> None:
        """Accept or reject."""
        super().associate_requested(rq)
        answer = associate_ac(rq) if self.answer is None else self.answer
        if self.association is None:
            return
        if isinstance(answer, AAssociateRJ):
            self.association.reject(answer)
        else:
            self.association.accept(answer)

    def message_received(self, message: Message) -> None:
        """Answer a request."""
        super().message_received(message)
        request = message.command
        if self.association and self.status is not None and isinstance(request, Request):
            self.association.send(message.context.context_id, request.respond(self.status))

    def release_requested(self) -> None:
        """Let the peer go."""
        super().release_requested()
        if self.association and self.releases:
            self.association.respond_release()


@attrs.frozen
class Transition:
    """
    One event as the state machine took it.

    Args:
        old: the state before.
        event: the name of the event, one of `pacs_twisted.upper_layer.actions.Events`.
        action: such as "AE-6".
        new: the state after.
        argument: the PDU or error that came with it. The bytes in a received P-DATA-TF are gone.
    """

    old: State
    event: str
    action: str
    new: State
    argument: Any = attrs.field(default=None, eq=False)


class RecordingObserver:
    """An observer that notes every transition and message."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []
        self.sent: list[Command] = []
        self.received: list[Command] = []

    @property
    def path(self) -> str:
        """The states that the association went through, such as "Sta1 Sta2 Sta3 Sta6"."""
        if not self.transitions:
            return ""
        states = [self.transitions[0].old, *(transition.new for transition in self.transitions)]
        return " ".join(state.name for state, _ in groupby(states))

    @property
    def actions(self) -> list[str]:
        """The actions done, such as "AE-6"."""
        return [transition.action for transition in self.transitions]

    def transition(
        self,
        association: Association,
        old: State,
        event: str,
        action: str,
        new: State,
        argument: Any,
    ) -> None:
        """Note a transition."""
        self.transitions.append(Transition(old, event, action, new, argument))

    def message(self, association: Association, sent: bool, message: Message) -> None:
        """Note a message."""
        (self.sent if sent else self.received).append(message.command)
