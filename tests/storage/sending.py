"""What is sent in tests: data sets, files of them, and a peer that does as it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from struct import pack
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from pacs_twisted.dimse import CStoreRSP, Priority, Status
from pacs_twisted.pdu import (
    AAssociateAC,
    AAssociateRQ,
    ContextResult,
    ProposedContext,
    UserInformation,
)
from pacs_twisted.storage.content import Content
from pacs_twisted.storage.part10 import FileMeta
from pacs_twisted.storage.proposals import Offer
from pacs_twisted.upper_layer.negotiation import accepted_contexts

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
RLE = "1.2.840.10008.1.2.5"
JPEG = "1.2.840.10008.1.2.4.50"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"

DATA = Path(__file__).parent.parent / "data"

_LONG = ("OB", "OF", "OW", "SQ", "UN", "UT")


def explicit(tag: int, vr: str, value: bytes, order: str = "<") -> bytes:
    """Return an element in explicit VR."""
    head = pack(f"{order}HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if vr in _LONG:
        return head + pack(f"{order}xxL", len(value)) + value
    return head + pack(f"{order}H", len(value)) + value


def implicit(tag: int, value: bytes) -> bytes:
    """Return an element in implicit VR little endian."""
    return pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


def uid(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) & 1)


def data_set(
    instance: str = "1.2.3", sop_class: str = CT, *, order: str = "<", pixels: bytes = b"ab"
) -> bytes:
    """Return a small data set in explicit VR."""
    return (
        explicit(0x00080016, "UI", uid(sop_class), order)
        + explicit(0x00080018, "UI", uid(instance), order)
        + explicit(0x00280010, "US", pack(f"{order}H", 1), order)
        + explicit(0x7FE00010, "OW", pixels, order)
    )


def implicit_data_set(instance: str = "1.2.3", sop_class: str = CT) -> bytes:
    """Return the same in implicit VR."""
    return (
        implicit(0x00080016, uid(sop_class))
        + implicit(0x00080018, uid(instance))
        + implicit(0x00280010, b"\1\0")
        + implicit(0x7FE00010, b"ab")
    )


def part10(
    data: bytes, syntax: str = EXPLICIT, instance: str = "1.2.3", sop_class: str = CT
) -> bytes:
    """Return a file of PS3.10."""
    return FileMeta(sop_class, instance, syntax).encode() + data


def read_all(content: Content) -> bytes:
    """Return all of a content, and close it."""
    data = b""
    while len(data) < content.length:
        data += content.read()
    content.close()
    return data


Answer = int | CStoreRSP | Exception


class FakeAssociation:
    """
    An association that takes what is sent, and answers at once or when told.

    Args:
        peer: whose it is.
        offers: what was proposed.
    """

    def __init__(self, peer: FakePeer, offers: Sequence[Offer]) -> None:
        self.peer = peer
        self.window = peer.window
        self.is_over = False
        self.released = self.aborted = False
        self.pending: list[tuple[Deferred[Any], Any, str]] = []
        self.most_pending = 0
        self.request = AAssociateRQ(
            "PACS",
            "SCU",
            tuple(ProposedContext(2 * number + 1, *offer) for number, offer in enumerate(offers)),
            UserInformation(16384, "1.2.3"),
        )
        self.answer = AAssociateAC(
            tuple(map(self._judge, self.request.presentation_contexts)),
            UserInformation(16384, "1.2.3"),
        )
        self.contexts = accepted_contexts(self.request, self.answer)

    def _judge(self, context: ProposedContext) -> ContextResult:
        accepted = self.peer.accepts
        syntaxes = context.transfer_syntaxes
        if accepted is not None:
            if context.abstract_syntax not in accepted:
                return ContextResult(context.context_id, 3, IMPLICIT)
            taken = accepted[context.abstract_syntax]
            syntaxes = tuple(syntax for syntax in syntaxes if syntax in taken)
        if not syntaxes:
            return ContextResult(context.context_id, 4, IMPLICIT)
        return ContextResult(context.context_id, 0, syntaxes[0])

    def store(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        data_set: Any,
        *,
        context: Any = None,
        priority: int = Priority.MEDIUM,
    ) -> Deferred[CStoreRSP]:
        """Read the data set to its end, and answer."""
        data, pieces = b"", 0
        try:
            while len(data) < data_set.length:
                piece = data_set.read()
                if isinstance(piece, Deferred):
                    results: list[Any] = []
                    piece.addBoth(results.append)
                    piece = results[0]
                    if isinstance(piece, Failure):
                        piece.raiseException()
                data += piece
                pieces += 1
        except BaseException as error:
            self.end()
            data_set.close()
            return fail(RuntimeError(f"cannot be read: {error}"))
        data_set.close()
        self.peer.received.append((sop_instance_uid, context, data))
        deferred: Deferred[CStoreRSP] = Deferred()
        self.pending.append((deferred, sop_class_uid, sop_instance_uid))
        self.most_pending = max(self.most_pending, len(self.pending))
        if not self.peer.holds:
            self.respond()
        return deferred

    def respond(self) -> None:
        """Answer the oldest request as the peer wants it."""
        deferred, sop_class, instance = self.pending.pop(0)
        answer = self.peer.answers.get(instance, 0)
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else 0
        if isinstance(answer, Exception):
            self.pending.insert(0, (deferred, sop_class, instance))
            self.lose(answer)
        elif isinstance(answer, CStoreRSP):
            deferred.callback(answer)
        else:
            deferred.callback(CStoreRSP(1, Status(answer)))

    def end(self) -> None:
        self.is_over = True

    def lose(self, error: Exception) -> None:
        """End it: whoever waits fails."""
        self.end()
        pending, self.pending = self.pending, []
        for deferred, _, _ in pending:
            deferred.errback(error)

    def release(self) -> Deferred[None]:
        self.end()
        self.released = True
        return succeed(None)

    def abort(self) -> None:
        from pacs_twisted.errors import AssociationAborted

        self.aborted = True
        self.lose(AssociationAborted(0, 0, by_peer=False))


class FakePeer:
    """
    A peer that does as it is told.

    Args:
        accepts: transfer syntaxes by SOP class; everything if None.
        window: how many requests it takes at a time.
    """

    def __init__(
        self, accepts: Mapping[str, Sequence[str]] | None = None, *, window: int = 1
    ) -> None:
        self.accepts = accepts
        self.window = window
        self.holds = False
        """Whether it answers when told only."""
        self.answers: dict[str, Answer | list[Answer]] = {}
        """The status of each instance, or how the association ends; lists are used up."""
        self.refusals: list[Exception | Deferred[Any]] = []
        """How the next attempts end."""
        self.attempts: list[tuple[Offer, ...]] = []
        self.associations: list[FakeAssociation] = []
        self.received: list[tuple[str, Any, bytes]] = []
        """Instance, context and bytes of what came."""
        self.on_associate: Callable[[], None] = lambda: None

    def associate(self, offers: Sequence[Offer]) -> Deferred[FakeAssociation]:
        self.attempts.append(tuple(offers))
        self.on_associate()
        if self.refusals:
            refusal = self.refusals.pop(0)
            return refusal if isinstance(refusal, Deferred) else fail(refusal)
        association = FakeAssociation(self, offers)
        self.associations.append(association)
        return succeed(association)

    @property
    def instances(self) -> list[str]:
        """What has come, in order."""
        return [instance for instance, _, _ in self.received]
