"""
Messages and their fragments (PS3.8 annex E, PS3.7 section 6.3).

A message is a command set and, if that says so, a data set. Command sets are put together
here; a data set flows through, piece by piece, to a sink that whoever serves the message opens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import attrs

from pacs_twisted.dimse._command import Command
from pacs_twisted.dimse.commands import decode_command
from pacs_twisted.errors import InvalidPDU, UnexpectedParameter
from pacs_twisted.pdu.pdata import COMMAND, LAST, PDV, PDV_OVERHEAD, PDataTF
from pacs_twisted.upper_layer.negotiation import PresentationContext

MAXIMUM_COMMAND_LENGTH = 65536
"""The longest command set that we put together unless told otherwise, in bytes."""

_LONGEST_SENT = 131072  # longer P-DATA-TFs gain nothing, whatever the peer would take


class DataSetSource(Protocol):
    """Where the data set of a message comes from while it is sent."""

    @property
    def length(self) -> int:
        """Bytes in all: even, and more than none."""

    def read(self) -> Any:
        """
        Return the next bytes: an even number and more than none, in all as many as `length`.

        How many at a time is the source's choice; a mebibyte is a good one.

        Returns:
            Bytes or a view of them, which stays valid; or an awaitable of that, which is
            cancelled if nobody wants it any more.
        """

    def close(self) -> None:
        """Give everything back; called once, however it ends."""


class DataSetSink(Protocol):
    """Where the data set of a message goes while it arrives."""

    def write(self, fragments: Sequence[bytes | memoryview]) -> None:
        """
        Take the next bytes of the data set.

        Args:
            fragments: in order; a view is valid during the call only.
        """

    def abandon(self) -> None:
        """The association is over before the data set was complete."""


class Discard:
    """A sink for data sets that nobody wants: they are read to their end and forgotten."""

    def write(self, fragments: Sequence[bytes | memoryview]) -> None:
        """Forget the bytes."""

    def abandon(self) -> None:
        """Nothing was kept."""


@attrs.define
class Message:
    """
    A whole message.

    Args:
        context: the presentation context in which it came.
        command: the command set.
        sink: where the data set went; None if there was none.
    """

    context: PresentationContext
    command: Command
    sink: DataSetSink | None = None


class MessageReader:
    """
    Put the fragments of one association together.

    Args:
        contexts: the accepted presentation contexts, by context ID.
        open_sink: called when a command set says that a data set follows; it answers with the
            sink.
        maximum_command_length: the longest command set, in bytes.
    """

    __slots__ = (
        "_command",
        "_context",
        "_contexts",
        "_maximum_command_length",
        "_message",
        "_open_sink",
    )

    def __init__(
        self,
        contexts: Mapping[int, PresentationContext],
        open_sink: Callable[[PresentationContext, Command], DataSetSink],
        maximum_command_length: int = MAXIMUM_COMMAND_LENGTH,
    ) -> None:
        self._contexts = contexts
        self._open_sink = open_sink
        self._maximum_command_length = maximum_command_length
        self._context: PresentationContext | None = None  # of the message that has begun
        self._command = bytearray()
        self._message: Message | None = None  # whose data set is on its way

    @property
    def inside_message(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._context is not None

    def receive(self, pdvs: Sequence[PDV]) -> Message | None:
        """
        Take the fragments of one run, which ends at the latest with a last fragment.

        Returns:
            The message that the run completes, if it does.

        Raises:
            InvalidPDU: a context ID was not accepted, or the command set is malformed or too long.
            UnexpectedParameter: a fragment does not follow from the one before.
        """
        data: list[bytes | memoryview] = []
        current = self._context
        for pdv in pdvs:
            if current is not None and pdv.context_id == current.context_id:
                context = current  # as for all fragments of a message but the first
            else:
                context = self._judge_context(pdv.context_id)
            if pdv.control & COMMAND:
                if self._message is not None:
                    raise UnexpectedParameter("fragment of a command set inside a data set")
                if pdv.control & LAST:
                    return self._complete_command(context, pdv.fragment)
                self._context = context
                self._collect_command(pdv.fragment)
            elif self._message is None:
                raise UnexpectedParameter(
                    "fragment of a data set before its command set is complete"
                )
            else:
                data.append(pdv.fragment)
        message = self._message
        if message is None or message.sink is None:
            return None
        message.sink.write(data)
        if not pdvs[-1].control & LAST:
            return None
        self._context = self._message = None
        return message

    def abandon(self) -> None:
        """Tell the sink of a data set that is on its way that there will be no more."""
        message, self._message = self._message, None
        self._command = bytearray()
        if message is not None and message.sink is not None:
            message.sink.abandon()

    def _judge_context(self, context_id: int) -> PresentationContext:
        context = self._contexts.get(context_id)
        if context is None:
            raise InvalidPDU(f"presentation context {context_id} was not accepted")
        if self._context is not None and context is not self._context:
            raise UnexpectedParameter(
                f"presentation context {context_id} inside a message in {self._context.context_id}"
            )
        return context

    def _collect_command(self, fragment: bytes | memoryview) -> None:
        length = len(self._command) + len(fragment)
        if length > self._maximum_command_length:
            raise InvalidPDU(
                f"command set of {length} bytes or more,"
                f" at most {self._maximum_command_length} are taken"
            )
        self._command += fragment

    def _complete_command(
        self, context: PresentationContext, fragment: bytes | memoryview
    ) -> Message | None:
        if self._command or len(fragment) > self._maximum_command_length:
            self._collect_command(fragment)
            fragment, self._command = bytes(self._command), bytearray()
        command = decode_command(fragment)
        if not command.has_data_set:
            self._context = None
            return Message(context, command)
        self._context = context
        self._message = Message(context, command, self._open_sink(context, command))
        return None


def longest_fragment(maximum_length: int) -> int:
    """
    Return how many bytes of a message go into one P-DATA-TF.

    Args:
        maximum_length: what the peer takes, in bytes of the PDU-length field, at least 8; 0 means
            without limit.
    """
    length = min(maximum_length or _LONGEST_SENT, _LONGEST_SENT)
    return (length - PDV_OVERHEAD) & ~1  # fragments are even (PS3.8 annex E.1)


def fragment_message(
    context_id: int, command: bytes, data_set: bytes | None, maximum_length: int
) -> Iterator[PDataTF]:
    """
    Cut a message into P-DATA-TFs, each with one fragment of at most the peer's maximum length.

    Args:
        context_id: the presentation context.
        command: the encoded command set.
        data_set: the encoded data set, of even length and not empty; None if there is none.
        maximum_length: what the peer takes, in bytes of the PDU-length field, at least 8; 0 means
            without limit.

    Raises:
        ValueError: the maximum length leaves no room for a fragment.
    """
    room = longest_fragment(maximum_length)
    if room <= 0:
        raise ValueError(f"a maximum length of {maximum_length} leaves no room for a fragment")
    yield from fragments(context_id, COMMAND, memoryview(command), room, True)
    if data_set is not None:
        yield from fragments(context_id, 0, memoryview(data_set), room, True)


def fragments(
    context_id: int, control: int, data: memoryview, room: int, is_end: bool
) -> Iterator[PDataTF]:
    """
    Cut a piece of a command set or data set into P-DATA-TFs, each with one fragment.

    Args:
        context_id: the presentation context.
        control: the message control header, without the bit that says which fragment is the last.
        data: of even length.
        room: the longest fragment, in bytes.
        is_end: whether the command set or data set ends with this piece.
    """
    length = len(data)
    for offset in range(0, length, room):
        last = LAST if is_end and offset + room >= length else 0
        yield PDataTF([PDV(context_id, control | last, data[offset : offset + room])])
