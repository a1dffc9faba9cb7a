"""
What the log says of storage: of each kind of trouble so many lines, whatever a peer sends.

Paths are made of what the peer sent, perhaps of a patient's name, and are never part of a line.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from weakref import WeakKeyDictionary

from twisted.logger import Logger
from twisted.python.failure import Failure

from pacs_twisted.services import Requestor

log = Logger(namespace="pacs_twisted.storage")

_PAUSE = 60.0  # seconds between two lines about the disk


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
        self._disk_line_due = 0.0
        self._disk_failures = 0  # since the last line about them
        self._said: WeakKeyDictionary[Requestor, set[str]] = WeakKeyDictionary()

    def disk_failed(self, requestor: Requestor, error: OSError) -> None:
        """The disk is full or does not work: one line a minute says so."""
        self._disk_failures += 1
        now = self._seconds()
        if now < self._disk_line_due:
            return
        log.critical(
            "association {association}: cannot store in {directory}: {reason};"
            " {failures} objects failed since the last such line",
            association=requestor.association,
            calling=requestor.calling_ae_title,
            directory=self._directory,
            reason=describe_os_error(error),
            error=errno.errorcode.get(error.errno or 0, ""),
            failures=self._disk_failures,
            event="disk-failure",
        )
        self._disk_line_due = now + _PAUSE
        self._disk_failures = 0

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
