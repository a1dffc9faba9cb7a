"""
What `--json` writes: the events of each command and the fields of each event.

Every event has all its fields, null where there is nothing to say; its name is in the field
`event`. Times are seconds, sizes bytes. The reference is made of this, and `output` writes
nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs


@attrs.frozen
class Event:
    """
    One kind of object.

    Args:
        when: when it is written.
        fields: each field and what it says.
    """

    when: str
    fields: Mapping[str, str]


_STATUS = {
    "status": "(0000,0900) of the response as four hexadecimal digits; null if there was none",
    "meaning": "the status in words; empty if there was none",
}
_ERROR = {
    "error": "what went wrong, in words; empty if nothing did",
    "kind": "the kind of error: `rejected`, `no-connection`, `aborted`, `lost`, `released`,"
    " `timed-out`, `protocol-error`, `not-accepted`, `status`, `failed`; null if there was none",
}
_FAILED = Event(
    "there was no association, or it broke",
    {
        "peer": "host and port, or the endpoint string",
        "called": "the AE title that was called",
        "error": "what went wrong, in words",
        "kind": "the kind of error: `rejected`, `no-connection`, `aborted`, `lost`, `released`,"
        " `timed-out`, `protocol-error`, `not-accepted`, `failed`",
        "result": "of an A-ASSOCIATE-RJ, as a number; else null",
        "source": "of an A-ASSOCIATE-RJ or A-ABORT, as a number; else null",
        "reason": "of an A-ASSOCIATE-RJ or A-ABORT, as a number; else null",
        "state": "the last state of PS3.8 table 9-10, such as `Sta5`; empty if not known",
        "hint": "what one might do; empty if there is no telling",
    },
)
_ENDING = {
    "interrupted": "whether Ctrl-C or SIGTERM ended it",
    "exit_status": "the exit status",
}

_ECHO = {
    "associated": Event(
        "the peer has accepted an association",
        {
            "peer": "host and port, or the endpoint string",
            "called": "the AE title that was called",
            "seconds": "from the first attempt to connect to the acceptance",
        },
    ),
    "echo": Event(
        "a C-ECHO was answered, or will not be any more",
        {
            "number": "counted from 1",
            **_STATUS,
            "seconds": "from request to response; null if there was no response",
            **_ERROR,
        },
    ),
    "failed": _FAILED,
    "summary": Event(
        "the last object",
        {
            "peer": "host and port, or the endpoint string",
            "called": "the AE title that was called",
            "sent": "C-ECHO that were sent, or could not be for want of an association",
            "received": "responses",
            "failed": "responses with another status than success",
            "loss_percent": "of those sent, how many have no response",
            "minimum": "the shortest time from request to response; null without any",
            "average": "the same, on average",
            "maximum": "the longest",
            **_ENDING,
        },
    ),
}

_STORE = {
    "found": Event(
        "all paths were looked through",
        {"objects": "files to send", "bytes": "their size", "skipped": "files that are not sent"},
    ),
    "skipped": Event(
        "a file is not sent",
        {
            "path": "the file",
            "reason": "why not",
            "failure": "whether that counts as a failure: the path was given by name",
        },
    ),
    "stored": Event(
        "an object has its outcome",
        {
            "path": "the file; `ARCHIVE!MEMBER` in a ZIP archive",
            **_STATUS,
            "category": "`success`, `warning` or `failure`",
            "bytes": "the size of the data set; null if it was not read",
            "error": "what went wrong, in words; empty if nothing did",
        },
    ),
    "failed": _FAILED,
    "summary": Event(
        "the last object",
        {
            "peer": "host and port, or the endpoint string",
            "called": "the AE title that was called",
            "objects": "files to send",
            "succeeded": "with status success",
            "warnings": "with a warning: stored, and something is to be known about it",
            "failed": "not stored",
            "unanswered": "of those failed, objects without an outcome",
            "skipped": "files that are not sent",
            "bytes": "the size of the data sets of those with an answer",
            "seconds": "from the first attempt to connect to the end",
            "statuses": "an object: for each status, as four hexadecimal digits, how many",
            **_ENDING,
        },
    ),
}

_EXPLAIN = {
    "association": Event(
        "the peer has accepted one of the associations that were needed",
        {
            "number": "counted from 1",
            "proposed": "presentation contexts that were proposed",
            "accepted": "presentation contexts that were accepted",
            "connect_seconds": "until the connection was there",
            "associate_seconds": "from then to the acceptance",
            "maximum_length": "the longest P-DATA-TF that the peer takes; 0 for no limit",
            "implementation_class_uid": "of the peer; null if it has not told",
            "implementation_version_name": "of the peer; null if it has not told",
            "window": "how many requests at the same time the peer takes; 0 for no limit",
            "window_asked": "how many we asked for",
        },
    ),
    "context": Event(
        "for each presentation context that was proposed",
        {
            "abstract_syntax": "the UID",
            "abstract_syntax_name": "its name; the UID again if there is none",
            "transfer_syntaxes": "the UIDs that were proposed",
            "result": "0 accepted; 1 to 4 or whatever the peer answered; null if it did not",
            "meaning": "the result in words",
            "transfer_syntax": "the UID that was accepted; null if none was",
        },
    ),
    "failed": _FAILED,
    "summary": Event(
        "the last object",
        {
            "peer": "host and port, or the endpoint string",
            "called": "the AE title that was called",
            "calling": "our AE title",
            "associations": "that were accepted",
            "contexts": "presentation contexts that were proposed",
            "accepted": "presentation contexts that were accepted",
            **_ENDING,
        },
    ),
}

EVENTS: Mapping[str, Mapping[str, Event]] = MappingProxyType(
    {"echo": _ECHO, "store": _STORE, "explain": _EXPLAIN}
)
"""For each command its events, in the order in which they come."""
