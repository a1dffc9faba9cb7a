"""
What the hooks of a Storage SCP are told of an object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from pacs_twisted.dimse import CStoreRQ
from pacs_twisted.services import Requestor


@attrs.frozen
class Received:
    """
    An object that has arrived whole and is not stored yet.

    Args:
        request: the C-STORE-RQ; its SOP class and instance UIDs are the object's.
        requestor: who sent it.
        transfer_syntax: the UID of the transfer syntax of its data set.
        length: of the data set, in bytes.
        elements: by keyword what the head of the data set says, as far as the template of paths
            asks for it; None for what was not found. A peer's words: they may be anything.
        path: the temporary file, a whole file of PS3.10; it must stay where it is, as it is.
    """

    request: CStoreRQ
    requestor: Requestor
    transfer_syntax: str
    length: int
    elements: Mapping[str, str | None]
    path: Path


@attrs.frozen
class Stored:
    """
    An object that is stored.

    Args:
        request: the C-STORE-RQ; its SOP class and instance UIDs are the object's.
        requestor: who sent it.
        transfer_syntax: the UID of the transfer syntax of its data set.
        length: of the data set, in bytes.
        elements: as in `Received`.
        path: the file of PS3.10.
        kept: whether it was there before, with the same data set, and was left alone.
        beside: whether another object was there under its name, so that it has a name beside that.
    """

    request: CStoreRQ
    requestor: Requestor
    transfer_syntax: str
    length: int
    elements: Mapping[str, str | None]
    path: Path
    kept: bool = False
    beside: bool = False


BeforeCommit = Callable[[Received], Any]
"""
Asked before an object is stored, on the reactor's thread.

It returns None or success to store it, a warning `Status` to store it and answer with that, another
`Status` to refuse it; or a `Deferred` or coroutine of one of these. It may also raise
`StatusFailure`. Of an object that is refused, or whose hook fails, nothing is left.
"""

AfterCommit = Callable[[Stored], Any]
"""
Told of an object that is stored, on the reactor's thread, when its answer has been sent.

What it returns is ignored; a failure, also of a `Deferred` or coroutine that it returns, is logged.
"""
