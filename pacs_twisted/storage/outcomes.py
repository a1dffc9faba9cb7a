"""
What has become of the objects that were to be sent: of each, and of all together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, TypeVar

import attrs
from twisted.logger import Logger

from pacs_twisted.dimse import CStoreRSP, Status, StatusCategory
from pacs_twisted.storage.objects import StorableObject
from pacs_twisted.wording import printable

__all__ = ["Category", "Outcome", "Progress", "Report", "Summary"]

log = Logger(namespace="pacs_twisted.storage")

_Value = TypeVar("_Value")


class Category(Enum):
    """How it went with an object."""

    SUCCESS = "success"
    WARNING = "warning"
    """The peer has stored it, but not as it was, or not without doubts (PS3.4 section B.2.3)."""

    FAILURE = "failure"
    SKIPPED = "skipped"
    """A file in a directory or an archive that is not DICOM: nobody has asked for just that."""


_CATEGORIES: Final = {
    StatusCategory.SUCCESS: Category.SUCCESS,
    StatusCategory.WARNING: Category.WARNING,
}
"""Any other status does not say that the object is stored."""


@attrs.frozen
class Outcome:
    """
    What has become of one object.

    Args:
        name: of the object: the path of its file, for one.
        category: how it went.
        words: status and comment of the peer, or what was wrong; printable ASCII but for names.
        status: what the peer has answered; None if it has not.
        length: bytes of the data set that were sent; 0 if not all of it was.
        item: the object; None if there was none.
        error: why the peer has not answered, if it was asked.
        begun: whether the peer has got any of it; it may have stored what it has not answered.
    """

    name: str
    category: Category
    words: str
    status: Status | None = None
    length: int = 0
    item: StorableObject | None = None
    error: Exception | None = None
    begun: bool = False

    @classmethod
    def of_response(cls, item: StorableObject, length: int, response: CStoreRSP) -> Outcome:
        """Return what a response says (PS3.4 section B.2.3): its class decides."""
        status = response.status
        category = _CATEGORIES.get(status.category, Category.FAILURE)
        words = "success" if status == Status.SUCCESS else str(status)
        if response.error_comment:
            words += f": {printable(response.error_comment)}"
        return cls(item.name, category, words, status, length, item, begun=True)


@attrs.frozen
class Summary:
    """
    What has become of all objects.

    Args:
        successes: how many the peer has stored.
        warnings: how many it has stored and has warned of.
        failures: how many it has refused, or were not sent to it.
        skipped: how many files were not DICOM.
        bytes: of the data sets that are stored.
        seconds: from the beginning to the end.
        associations: how many were established.
        statuses: how often each status was answered.
        error: why the rest was given up; None if it was not.
    """

    successes: int = 0
    warnings: int = 0
    failures: int = 0
    skipped: int = 0
    bytes: int = 0
    seconds: float = 0.0
    associations: int = 0
    statuses: Mapping[Status, int] = attrs.field(factory=dict)
    error: Exception | None = None


@attrs.define
class Progress:
    """
    How far it is; changes as things go on.

    Args:
        found: how many objects were found.
        found_bytes: their length.
        all_found: whether there are no more of them.
        finished: of how many the outcome is known.
        sent_bytes: what was sent of data sets, what was sent again counted again.
    """

    found: int = 0
    found_bytes: int = 0
    all_found: bool = False
    finished: int = 0
    sent_bytes: int = 0


class Report:
    """
    Collects the outcomes and tells them.

    Args:
        on_outcome: called with each outcome.
        on_progress: called after each outcome and each piece that was sent.
    """

    def __init__(
        self,
        on_outcome: Callable[[Outcome], object] | None = None,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> None:
        self.progress = Progress()
        self.associations = 0
        self.error: Exception | None = None
        self._counts = dict.fromkeys(Category, 0)
        self._statuses: dict[Status, int] = {}
        self._bytes = 0
        self._on_outcome = on_outcome
        self._on_progress = on_progress

    def found(self, item: StorableObject) -> None:
        """An object was found."""
        self.progress.found += 1
        self.progress.found_bytes += item.length

    def sent(self, length: int) -> None:
        """So many bytes were sent."""
        self.progress.sent_bytes += length
        self._call(self._on_progress, self.progress)

    def add(self, outcome: Outcome) -> None:
        """It is known what has become of an object."""
        category = outcome.category
        self._counts[category] += 1
        if outcome.status is not None:
            self._statuses[outcome.status] = self._statuses.get(outcome.status, 0) + 1
        if category is Category.SUCCESS or category is Category.WARNING:
            self._bytes += outcome.length
        if outcome.item is not None:
            self.progress.finished += 1
        self._call(self._on_outcome, outcome)
        self._call(self._on_progress, self.progress)

    def fail(
        self, name: str, words: str, item: StorableObject | None, error: Exception | None = None
    ) -> None:
        """An object was not sent, or nobody knows what has become of it."""
        self.add(Outcome(name, Category.FAILURE, words, item=item, error=error))

    def unanswered(self, item: StorableObject, error: Exception, *, begun: bool) -> None:
        """An object is given up for which there was no association, or none any more."""
        words = f"{'no answer' if begun else 'not sent'}: {error}"
        self.add(Outcome(item.name, Category.FAILURE, words, item=item, error=error, begun=begun))

    def summary(self, seconds: float) -> Summary:
        """Return how it stands, after so many seconds."""
        return Summary(
            self._counts[Category.SUCCESS],
            self._counts[Category.WARNING],
            self._counts[Category.FAILURE],
            self._counts[Category.SKIPPED],
            self._bytes,
            seconds,
            self.associations,
            dict(self._statuses),
            self.error,
        )

    def _call(self, listener: Callable[[_Value], object] | None, value: _Value) -> None:
        if listener is None:
            return
        try:
            listener(value)
        except Exception:
            # Objects are sent all the same.
            log.failure("who listens to the sending of objects failed", event="internal-error")
