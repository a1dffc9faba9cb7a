"""
Exit statuses, and which one an error means.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from pacs_twisted.errors import (
    AssociationAborted,
    AssociationLost,
    AssociationRejected,
    AssociationReleased,
    ConnectionFailed,
    NoPresentationContext,
    PacsError,
    ProtocolError,
    StatusFailure,
    TimedOut,
)


class Exit(IntEnum):
    """What the exit status of a command says."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REJECTED = 3
    NO_CONNECTION = 4
    ABORTED = 5
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS: Mapping[Exit, str] = MappingProxyType(
    {
        Exit.OK: "all well; of warnings, too",
        Exit.FAILED: "some or all of it failed, though an association could be had: a failure"
        " status, a presentation context that was not accepted, a file that could not be read,"
        " or no file to send at all; `listen`: it could not start",
        Exit.USAGE: "a mistake on the command line, in an environment variable or in the"
        " configuration file; or click and rich are not installed",
        Exit.REJECTED: "the peer rejected the association (A-ASSOCIATE-RJ)",
        Exit.NO_CONNECTION: "no connection could be made, or not in time",
        Exit.ABORTED: "the association was aborted by either side or lost, or a timer ran out",
        Exit.INTERRUPTED: "ended by Ctrl-C (SIGINT) before it was done; not `echo`, whose status"
        " tells of the C-ECHO that were sent, nor `listen`, which ends that way",
        Exit.TERMINATED: "the same by SIGTERM",
    }
)
"""Each status in words, for the reference."""

KINDS: Mapping[type[PacsError], tuple[str, Exit]] = MappingProxyType(
    {
        AssociationRejected: ("rejected", Exit.REJECTED),
        ConnectionFailed: ("no-connection", Exit.NO_CONNECTION),
        AssociationAborted: ("aborted", Exit.ABORTED),
        AssociationLost: ("lost", Exit.ABORTED),
        AssociationReleased: ("released", Exit.ABORTED),
        TimedOut: ("timed-out", Exit.ABORTED),
        ProtocolError: ("protocol-error", Exit.ABORTED),
        NoPresentationContext: ("not-accepted", Exit.FAILED),
        StatusFailure: ("status", Exit.FAILED),
    }
)
"""For each class of errors the word that JSON has for it, and the status."""


def kind_of(error: BaseException) -> str:
    """Return the word for an error."""
    return _found(error)[0]


def exit_for(error: BaseException) -> Exit:
    """Return the status for an error that ended a command."""
    return _found(error)[1]


def _found(error: BaseException) -> tuple[str, Exit]:
    if isinstance(error, TimedOut) and error.timer == "connect":
        return "timed-out", Exit.NO_CONNECTION
    for kind, found in KINDS.items():
        if isinstance(error, kind):
            return found
    return "failed", Exit.FAILED


def hint(error: BaseException) -> str:
    """Return what one might do about an error; empty if there is no telling."""
    if not isinstance(error, AssociationRejected):
        return ""
    return _HINTS.get((error.source, error.reason), "")


_HINTS: Mapping[tuple[int, int], str] = {
    (1, 3): "the peer must know our AE title, perhaps our address with it: see --calling",
    (1, 7): "the peer has another AE title: see --called",
    (3, 1): "the peer may accept it later",
    (3, 2): "the peer has as many associations as it allows: it may accept it later",
}
