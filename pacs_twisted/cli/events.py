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
    "object": Event(
        "it is known what has become of an object",
        {
            "path": "the file; for what is in an archive the archive, a colon and the name there",
            "category": "`success`, `warning` (stored, and something is to be known about it) or"
            " `failure` (not stored, or nobody knows)",
            **_STATUS,
            "error": "why it failed, in words; empty if it did not",
            "kind": "the kind of error, as in `failed`, where there was no answer; else null",
            "bytes": "the size of the data set as it was sent; 0 if not all of it was",
            "sop_class_uid": "its SOP class; null where it could not be read",
            "sop_instance_uid": "its SOP instance UID; the same",
            "transfer_syntax": "how the file is encoded, a UID; the same",
        },
    ),
    "skipped": Event(
        "a file in a directory or an archive is no object",
        {"path": "as in `object`", "reason": "why it is not sent"},
    ),
    "failed": Event(
        "the peer could not be reached any more, and what was left was given up", _FAILED.fields
    ),
    "summary": Event(
        "the last object",
        {
            "peer": "host and port, or the endpoint string",
            "called": "the AE title that was called",
            "objects": "of which it is known what has become of them",
            "succeeded": "of these, stored",
            "warnings": "stored with a warning",
            "failed": "not stored, or nobody knows",
            "skipped": "files that are no objects",
            "bytes": "the size of the data sets that are stored",
            "seconds": "from the beginning to the end",
            "statuses": "for each status, as four hexadecimal digits, how many had it",
            **_ENDING,
        },
    ),
}

_LISTEN = {
    "listening": Event(
        "a port is open",
        {"address": "host and port, or the path of a socket", "ae_title": "our AE title"},
    ),
    "stored": Event(
        "an object is stored, and its sender knows",
        {
            "association": "the number of the association, as in the log",
            "calling": "the sender's AE title",
            "called": "what it called us",
            "path": "the file",
            "kept": "whether the same object was there already, and was left alone",
            "beside": "whether another object was there under its name",
            "sop_class_uid": "its SOP class",
            "sop_instance_uid": "its SOP instance UID",
            "transfer_syntax": "the UID of its transfer syntax",
            "bytes": "the size of the data set",
        },
    ),
    "association": Event(
        "an association that was accepted has ended",
        {
            "association": "its number, as in the log",
            "peer": "the peer's host and port",
            "calling": "the peer's AE title",
            "called": "what it called us",
            "outcome": "how it ended: an event of the [log](log-events.md)",
            "requests": "messages that came",
            "bytes": "bytes that came",
        },
    ),
    "summary": Event(
        "the last object",
        {
            "associations": "that were accepted and have ended",
            "objects": "that are stored",
            "bytes": "the size of their data sets",
            "seconds": "from the beginning to the end",
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
    {"echo": _ECHO, "store": _STORE, "listen": _LISTEN, "explain": _EXPLAIN}
)
"""For each command its events, in the order in which they come."""
