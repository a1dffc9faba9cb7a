"""
What the log says of storage: of each kind of trouble so many lines, whatever a peer sends.

Paths are made of what the peer sent, perhaps of a patient's name, and are never part of a line.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable
from weakref import WeakKeyDictionary

import attrs
from twisted.logger import Logger
from twisted.python.failure import Failure

from pacs_twisted.services import Requestor
from pacs_twisted.storage.workplace import Gone

log = Logger(namespace="pacs_twisted.storage")

_PAUSE = 60.0  # seconds between two lines about the same trouble with the disk


@attrs.define
class _Trouble:
    """What is known of one reason for which the disk fails."""

    due: float = -math.inf
    """When there may be a line about it."""
    failures: int = 0
    """How many there were since the last one."""


class StorageLog:
    """
    The lines of one Storage service.

    Args:
        directory: where it stores, as the administrator knows it.
        seconds: returns the time in seconds.
    """

    def __init__(self, directory: str, seconds: Callable[[], float]) -> None:
        self._directory = directory
        self._seconds = seconds
        self._troubles: dict[str, _Trouble] = {}
        """By reason, since the disk has worked for a while."""
        self._said: WeakKeyDictionary[Requestor, set[str]] = WeakKeyDictionary()

    def disk_failed(self, requestor: Requestor, error: OSError) -> None:
        """The disk is full or does not work: one line a minute for each reason says so."""
        reason = describe_os_error(error)
        if isinstance(error, Gone):  # no path of a peer's making
            reason = (
                f"{error.filename} is gone; when it is there again the server must be restarted"
            )
        trouble = self._troubles.setdefault(reason, _Trouble())
        trouble.failures += 1
        now = self._seconds()
        if now < trouble.due:
            return
        log.critical(
            "association {association}: cannot store in {directory}: {reason};"
            " objects failed since the last such line: {failures}",
            association=requestor.association,
            calling=requestor.calling_ae_title,
            directory=self._directory,
            reason=reason,
            error=errno.errorcode.get(error.errno or 0, ""),
            failures=trouble.failures,
            event="disk-failure",
        )
        trouble.due = now + _PAUSE
        trouble.failures = 0

    def disk_worked(self, requestor: Requestor) -> None:
        """An object is stored: if others were not, a line says so, but none within the minute."""
        troubles = self._troubles.values()
        if not troubles or self._seconds() < max(trouble.due for trouble in troubles):
            return
        log.info(
            "association {association}: objects are stored in {directory} again;"
            " objects failed since the last line about that: {failures}",
            association=requestor.association,
            calling=requestor.calling_ae_title,
            directory=self._directory,
            failures=sum(trouble.failures for trouble in troubles),
            event="disk-recovery",
        )
        self._troubles.clear()

    def mismatch(self, requestor: Requestor, what: str) -> None:
        """The data set has other UIDs than its command."""
        if self._is_first(requestor, "object-mismatch"):
            log.warn(
                "association {association}: a data set has another {what} than its command;"
                " stored under the command's UIDs, and further ones are not logged",
                association=requestor.association,
                calling=requestor.calling_ae_title,
                what=what,
                event="object-mismatch",
            )

    def stored_beside(self, requestor: Requestor) -> None:
        """Another object has its name: another instance, or the same with another data set."""
        if self._is_first(requestor, "object-beside"):
            log.warn(
                "association {association}: another object has the name of a new one already;"
                " the new one is stored beside it, and further ones are not logged",
                association=requestor.association,
                calling=requestor.calling_ae_title,
                event="object-beside",
            )

    def after_commit_failed(self, requestor: Requestor, failure: Failure) -> None:
        """A hook failed that was told of a stored object."""
        if self._is_first(requestor, "after-commit-failure"):
            log.failure(
                "association {association}: the hook after_commit failed; further failures are"
                " not logged",
                failure,
                association=requestor.association,
                event="after-commit-failure",
            )

    def _is_first(self, requestor: Requestor, event: str) -> bool:
        """Return whether nothing of the kind was said of this association."""
        said = self._said.setdefault(requestor, set())
        if event in said:
            return False
        said.add(event)
        return True


def describe_os_error(error: OSError) -> str:
    """Return what the system says of an error, without the path that it concerns."""
    return os.strerror(error.errno) if error.errno else type(error).__name__
