"""
`pacs-twisted listen`: the server of `twistd pacs-store` in the foreground.

The log goes to stderr; what is stored and who was there is told as JSON on stdout if asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogEvent

from pacs_twisted.acceptor_service import AcceptorService, StartError
from pacs_twisted.association import Outcome
from pacs_twisted.cli.exits import Exit
from pacs_twisted.cli.output import Output
from pacs_twisted.cli.running import Interruption
from pacs_twisted.cli.session import rounded
from pacs_twisted.storage.received import Stored

_ENDS = frozenset(outcome.name.lower().replace("_", "-") for outcome in Outcome)


class Tally:
    """
    What a server has done, told and counted.

    Args:
        output: where it is told.
        seconds: returns the time.
    """

    def __init__(self, output: Output, seconds: Callable[[], float]) -> None:
        self._output = output
        self._seconds = seconds
        self._began = seconds()
        self._associations = 0
        self._objects = 0
        self._bytes = 0

    def stored(self, stored: Stored) -> None:
        """An object was stored, and its sender knows."""
        self._objects += 1
        self._bytes += stored.length
        self._output.event(
            "stored",
            association=stored.requestor.association,
            calling=stored.requestor.calling_ae_title,
            called=stored.requestor.called_ae_title,
            path=str(stored.path),
            kept=stored.kept,
            beside=stored.beside,
            sop_class_uid=stored.request.affected_sop_class_uid,
            sop_instance_uid=stored.request.affected_sop_instance_uid,
            transfer_syntax=stored.transfer_syntax,
            bytes=stored.length,
        )

    def observe(self, event: LogEvent) -> None:
        """Take from the log when ports open and associations end."""
        name = event.get("event")
        if name == "listening":
            self._output.event("listening", address=event["address"], ae_title=event["title"])
        elif name in _ENDS and "requests" in event:
            self._associations += 1
            self._output.event(
                "association",
                association=event["association"],
                peer=event["peer"],
                calling=event["calling"],
                called=event["called"],
                outcome=event["event"],
                requests=event["requests"],
                bytes=event["received"],
            )

    def sum_up(self, interruption: Interruption, status: Exit) -> None:
        """Write the summary."""
        self._output.event(
            "summary",
            associations=self._associations,
            objects=self._objects,
            bytes=self._bytes,
            seconds=rounded(self._seconds() - self._began),
            interrupted=bool(interruption),
            exit_status=int(status),
        )


async def listen(service: AcceptorService, tally: Tally, interruption: Interruption) -> Exit:
    """Serve until a signal comes, stop in order, and return the exit status."""
    forever: Deferred[Any] = Deferred()
    status = Exit.OK
    try:
        service.privilegedStartService()
        service.startService()
    except StartError:  # why is written already
        status = Exit.FAILED
    else:
        try:
            await forever
        except CancelledError:
            if not interruption:
                raise
        await service.stopService()
    tally.sum_up(interruption, status)
    return status
