"""
`pacs-twisted explain`: what would the peer accept, and why not?

Each pair of SOP class and transfer syntax is proposed in a presentation context of its own, since
of one context a peer tells the syntax that it prefers and nothing of the others. That takes
several associations, one after the other: each has room for 128 contexts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from pacs_twisted.cli.exits import Exit, exit_for
from pacs_twisted.cli.options import ExplainOptions
from pacs_twisted.cli.session import Session, milliseconds, rounded
from pacs_twisted.errors import PacsError
from pacs_twisted.pdu import ContextResult, ProposedContext, UserInformation
from pacs_twisted.services.service import TransferSyntaxes
from pacs_twisted.storage.sop_classes import RETIRED, STORAGE_SOP_CLASSES
from pacs_twisted.uids import VERIFICATION
from pacs_twisted.upper_layer.negotiation import peer_maximum_length
from pacs_twisted.wording import printable

MAXIMUM_CONTEXTS = 128

COMMON_TRANSFER_SYNTAXES = (
    "1.2.840.10008.1.2",  # Implicit VR Little Endian, for everybody (PS3.5 section 10.1)
    "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
    "1.2.840.10008.1.2.2",  # Explicit VR Big Endian
    "1.2.840.10008.1.2.1.99",  # Deflated Explicit VR Little Endian
    "1.2.840.10008.1.2.5",  # RLE Lossless
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, first-order prediction
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
)
"""What storage classes are proposed with."""

_RESULTS = {
    0: "accepted",
    1: "user rejection",
    2: "no reason given (provider rejection)",
    3: "abstract syntax not supported",
    4: "transfer syntaxes not supported",
}
_NO_ANSWER = "no answer for it"


def describe_result(result: int | None) -> str:
    """Return the result of a presentation context in words (PS3.8 section 9.3.3.2)."""
    if result is None:
        return _NO_ANSWER
    return _RESULTS.get(result, f"unknown result {result}")


@attrs.frozen
class Answer:
    """
    What the peer says to one presentation context.

    Args:
        proposed: the context.
        result: None if the peer left it out.
        transfer_syntax: the accepted one, else None.
    """

    proposed: ProposedContext
    result: int | None
    transfer_syntax: str | None


@implementer(IStreamClientEndpoint)
class TimedEndpoint:
    """
    An endpoint that notes how long connecting takes.

    Args:
        endpoint: connects.
        seconds: returns the time.
    """

    def __init__(self, endpoint: Any, seconds: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._seconds = seconds
        self.connected_at = 0.0

    def connect(self, factory: Any) -> Any:
        """Connect."""
        return self._endpoint.connect(factory).addCallback(self.connected)

    def connected(self, protocol: Any) -> Any:
        """Note the time."""
        self.connected_at = self._seconds()
        return protocol


def proposals(options: ExplainOptions, classes: Sequence[str]) -> Iterator[list[ProposedContext]]:
    """
    Yield the presentation contexts of each association.

    The contexts of a class stay together where they can: whoever asks for a compressed transfer
    syntax should offer an uncompressed one as well.

    Args:
        options: which transfer syntaxes, and how they are spread.
        classes: the SOP classes.
    """
    batch: list[tuple[str, tuple[str, ...]]] = []
    for uid in classes:
        syntaxes = options.transfer_syntax or (
            TransferSyntaxes.UNCOMPRESSED if uid == VERIFICATION else COMMON_TRANSFER_SYNTAXES
        )
        more = [(uid, syntaxes)] if options.together else [(uid, (one,)) for one in syntaxes]
        if len(batch) + len(more) > MAXIMUM_CONTEXTS and batch:
            yield _numbered(batch)
            batch = []
        batch += more
        while len(batch) > MAXIMUM_CONTEXTS:
            yield _numbered(batch[:MAXIMUM_CONTEXTS])
            batch = batch[MAXIMUM_CONTEXTS:]
    if batch:
        yield _numbered(batch)


def _numbered(batch: Iterable[tuple[str, tuple[str, ...]]]) -> list[ProposedContext]:
    return [
        ProposedContext(2 * position + 1, uid, tuple(syntaxes))
        for position, (uid, syntaxes) in enumerate(batch)
    ]


def answers(
    proposed: Iterable[ProposedContext], results: Iterable[ContextResult]
) -> Iterator[Answer]:
    """Yield what the peer says to each context that was proposed."""
    found = {result.context_id: result for result in results}
    for context in proposed:
        result = found.get(context.context_id)
        if result is None:
            yield Answer(context, None, None)
        else:
            yield Answer(
                context, result.result, result.transfer_syntax if result.accepted else None
            )


def uid_name(uid: str) -> str:
    """Return the name of a UID, or the UID made safe where there is none."""
    from pydicom.config import IGNORE
    from pydicom.uid import UID

    if uid in STORAGE_SOP_CLASSES:
        return STORAGE_SOP_CLASSES[uid]
    name = UID(uid, IGNORE).name
    return printable(uid) if name == uid else str(name)


class Explanation:
    """
    The answers of one peer, told and counted.

    Args:
        session: what is at hand.
        options: what the command was told.
        classes: the SOP classes to propose.
    """

    def __init__(self, session: Session, options: ExplainOptions, classes: Sequence[str]) -> None:
        self._session = session
        self._options = options
        self._classes = classes
        self._associations = 0
        self.answers: list[Answer] = []

    async def run(self) -> Exit:
        """Propose everything, tell what was accepted, and return the exit status."""
        status = None
        try:
            for contexts in proposals(self._options, self._classes):
                await self._propose(contexts)
        except (CancelledError, PacsError) as error:
            if self._session.interruption:
                status = self._session.interruption.exit
            elif isinstance(error, PacsError):
                self._session.tell_failure(error)
                status = exit_for(error)
            else:
                raise
        self._tell_answers()
        if status is None:
            status = Exit.OK if self._accepted else Exit.FAILED
        self._sum_up(status)
        return status

    @property
    def _accepted(self) -> int:
        return sum(answer.result == 0 for answer in self.answers)

    async def _propose(self, contexts: list[ProposedContext]) -> None:
        session = self._session
        endpoint = TimedEndpoint(session.endpoint, session.seconds)
        began = session.seconds()
        peer = await session.open(
            endpoint, contexts=contexts, maximum_operations=self._options.max_operations
        )
        accepted_at = session.seconds()
        found = list(answers(contexts, peer.answer.context_results))
        self.answers += found
        self._associations += 1
        self._tell_association(
            peer.answer.user_information,
            found,
            endpoint.connected_at - began,
            accepted_at - endpoint.connected_at,
        )
        for answer in found:
            self._tell_context(answer)
        try:
            await peer.release()
        except PacsError as error:
            if session.interruption:
                raise
            session.tell_failure(error)  # what it would accept has been said

    def _tell_association(
        self, peer: UserInformation, found: list[Answer], connect: float, associate: float
    ) -> None:
        session = self._session
        maximum_length = peer_maximum_length(peer)
        window = peer.asynchronous_operations_window
        operations = 1 if window is None else window.maximum_number_operations_invoked
        if self._associations == 1:
            session.output.line(
                f"{session.options.called} at {session.address} accepts an association of"
                f" {session.options.calling}",
                "head",
            )
            version = peer.implementation_version_name
            for name, value in (
                (
                    "time",
                    f"connected in {milliseconds(connect)} ms,"
                    f" accepted {milliseconds(associate)} ms later",
                ),
                (
                    "implementation",
                    (printable(version) if version else "without a version name")
                    + f" ({printable(peer.implementation_class_uid or 'without a class UID')})",
                ),
                (
                    "longest P-DATA-TF",
                    f"{maximum_length} bytes" if maximum_length else "without limit",
                ),
                (
                    "at the same time",
                    _describe_window(operations, window is not None, self._options.max_operations),
                ),
            ):
                session.output.line(f"  {name:18} {value}")
        session.output.event(
            "association",
            number=self._associations,
            proposed=len(found),
            accepted=sum(answer.result == 0 for answer in found),
            connect_seconds=rounded(connect),
            associate_seconds=rounded(associate),
            maximum_length=maximum_length,
            implementation_class_uid=_printable(peer.implementation_class_uid),
            implementation_version_name=_printable(peer.implementation_version_name),
            window=operations,
            window_asked=self._options.max_operations,
        )

    def _tell_context(self, answer: Answer) -> None:
        self._session.output.event(
            "context",
            abstract_syntax=answer.proposed.abstract_syntax,
            abstract_syntax_name=uid_name(answer.proposed.abstract_syntax),
            transfer_syntaxes=list(answer.proposed.transfer_syntaxes),
            result=answer.result,
            meaning=describe_result(answer.result),
            transfer_syntax=_printable(answer.transfer_syntax),
        )

    def _tell_answers(self) -> None:
        """Write classes with the same answers together."""
        if self._session.output.as_json:
            return
        by_class: dict[str, list[Answer]] = {}
        for answer in self.answers:
            by_class.setdefault(answer.proposed.abstract_syntax, []).append(answer)
        alike: dict[tuple[tuple[str, str], ...], list[str]] = {}
        for uid, found in by_class.items():
            alike.setdefault(tuple(_verdicts(found)), []).append(uid)
        for verdicts, uids in sorted(alike.items(), key=lambda item: item[0][0][1] != "good"):
            self._session.output.line()
            for text, style in verdicts:
                self._session.output.line(text, style)
            for uid in uids:
                self._session.output.line(f"    {uid_name(uid)}")

    def _sum_up(self, status: Exit) -> None:
        session = self._session
        if self.answers:
            session.output.line()
            session.output.line(
                f"{self._accepted} of {len(self.answers)} presentation contexts accepted,"
                f" in {self._associations} association{'s' * (self._associations != 1)}",
                "head",
            )
        session.output.event(
            "summary",
            **session.names,
            calling=session.options.calling,
            associations=self._associations,
            contexts=len(self.answers),
            accepted=self._accepted,
            interrupted=bool(session.interruption),
            exit_status=int(status),
        )


def _printable(text: str | None) -> str | None:
    return None if text is None else printable(text)


def _describe_window(operations: int, answered: bool, asked: int) -> str:
    """Say how many requests the peer takes at the same time (PS3.7 section D.3.3.3)."""
    if not answered:
        return f"one request: it does not negotiate that ({asked} asked)"
    if operations == 0:
        return f"any number of requests ({asked} asked)"
    return f"{operations} request{'s' * (operations != 1)} ({asked} asked)"


def _verdicts(found: Sequence[Answer]) -> Iterator[tuple[str, str]]:
    """Yield what the answers for one class say, and in which style to write it."""
    accepted = [answer.transfer_syntax for answer in found if answer.transfer_syntax]
    if accepted:
        yield f"accepted in {'; '.join(map(uid_name, accepted))}", "good"
    refused: dict[str, list[str]] = {}
    for answer in found:
        if answer.result != 0:
            refused.setdefault(describe_result(answer.result), []).extend(
                answer.proposed.transfer_syntaxes
            )
    for meaning, syntaxes in refused.items():
        if len(refused) == 1 and not accepted:
            yield f"refused: {meaning}", "bad"
        else:
            yield f"  not in {'; '.join(map(uid_name, syntaxes))}: {meaning}", "doubtful"


async def explain(session: Session, options: ExplainOptions) -> Exit:
    """Propose what the options say, tell what is accepted, and return the exit status."""
    return await Explanation(session, options, _sop_classes(options)).run()


def _sop_classes(options: ExplainOptions) -> Sequence[str]:
    if options.sop_class:
        return list(dict.fromkeys(options.sop_class))
    storage = [uid for uid in STORAGE_SOP_CLASSES if options.retired or uid not in RETIRED]
    return [VERIFICATION, *storage]
