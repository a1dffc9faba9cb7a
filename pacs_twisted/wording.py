"""
The standard's numbers in words, and a peer's words made safe, for logs and messages.

Nothing that a peer sends reaches a log as it is: it could end the line and forge another.
"""

from __future__ import annotations

_RESULTS = {1: "permanent", 2: "transient"}

_REJECT_REASONS = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}

_ABORT_SOURCES = {0: "service-user", 2: "service-provider"}

_ABORT_REASONS = {
    0: "reason not specified",
    1: "unrecognized PDU",
    2: "unexpected PDU",
    4: "unrecognized PDU parameter",
    5: "unexpected PDU parameter",
    6: "invalid PDU parameter value",
}

_LONGEST = 64  # characters of a peer's text in a line


def describe_reject(result: int, source: int, reason: int) -> str:
    """Return what an A-ASSOCIATE-RJ says in words (PS3.8 section 9.3.4), its numbers with them."""
    how = _RESULTS.get(result, "unknown result")
    why = _REJECT_REASONS.get((source, reason), "unknown reason")
    return f"{how}, {why} ({result}/{source}/{reason})"


def describe_abort(source: int, reason: int) -> str:
    """Return what an A-ABORT says in words (PS3.8 section 9.3.8), its numbers with them."""
    who = _ABORT_SOURCES.get(source, "unknown source")
    if source == 0:  # a reason means nothing then
        return f"{who} ({source}/{reason})"
    return f"{who}, {_ABORT_REASONS.get(reason, 'unknown reason')} ({source}/{reason})"


def printable(text: str) -> str:
    """Return a peer's text, cut, and with everything but printable ASCII escaped."""
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "..."
    if text.isascii() and text.isprintable():
        return text
    return text.encode("unicode_escape").decode("ascii")


def describe_uid(uid: str) -> str:
    """
    Return a UID with its name, where pydicom knows one.

    The first call imports pydicom, which takes some 0.2 s: a server does that before it serves.
    """
    from pydicom.config import IGNORE
    from pydicom.uid import UID

    name = UID(uid, IGNORE).name
    return printable(uid) if name == uid else f"{name} ({uid})"
