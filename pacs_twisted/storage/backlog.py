"""
What is found and looked at, and not sent yet: a bounded part of what there is.

Presentation contexts have to be proposed before anything is sent, so some objects are looked at
ahead. While the first are sent, the next are looked at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pacs_twisted.errors import describe_error
from pacs_twisted.storage.disk import DiskQueue
from pacs_twisted.storage.found import Found, find
from pacs_twisted.storage.objects import NotDicom, StorableObject
from pacs_twisted.storage.outcomes import Category, Outcome, Report
from pacs_twisted.storage.proposals import Need

LOOK_AHEAD: Final = 256
"""How many objects are looked at before the first is sent, and ahead of the one that is sent."""

_MOST_HELD: Final = 64 << 20  # bytes of data sets in memory that are waited with
_AT_A_TIME: Final = 32  # that are looked at in one go

Key = tuple[str, str]
"""SOP class and transfer syntax of an object."""


@attrs.define(eq=False)
class Errand:
    """
    An object that waits to be sent.

    Args:
        number: its place in the order in which objects were found.
        item: the object.
        begun: whether the peer has got any of it.
        losses: how often an association has ended with it as the first without an answer.
    """

    number: int
    item: StorableObject
    begun: bool = False
    losses: int = 0
    key: Key = attrs.field(init=False)

    @key.default
    def _make_key(self) -> Key:
        return self.item.sop_class_uid, self.item.transfer_syntax

    @property
    def need(self) -> Need:
        """What it needs to be sent as it is."""
        return Need.of(*self.key, self.item.length)


_Looked = tuple[Found, StorableObject | Exception]


class Backlog:
    """
    The objects that wait, in the order in which they were found.

    Args:
        objects: what `find` takes.
        queue: where they are found and looked at.
        report: is told of what is no object.
        look_ahead: how many wait at most.
    """

    def __init__(
        self, objects: Any, queue: DiskQueue, report: Report, look_ahead: int = LOOK_AHEAD
    ) -> None:
        self._finder = find(objects)
        self._queue = queue
        self._report = report
        self._look_ahead = look_ahead
        self._at_a_time = min(_AT_A_TIME, look_ahead)
        self._waiting: deque[Errand] = deque()
        self._held = 0
        self._found = 0
        self._looking = False
        self._inside_look = False
        self._changed: list[Deferred[None]] = []
        self.sharers = 1
        """How many associations take from it."""

        self.is_exhausted = False
        """Whether all there is was found."""

        self.failure: Failure | None = None
        """Why no more can be found: whoever gave the objects failed to."""

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether enough wait: there is no room for as many as are looked at in one go."""
        room = self._look_ahead - len(self._waiting)
        return room < self._at_a_time or self._held >= _MOST_HELD

    def needs(self) -> Iterator[Need]:
        """Return what those that wait need, each once for each SOP class and transfer syntax."""
        first = {errand.key: errand for errand in reversed(self._waiting)}
        errands = sorted(first.values(), key=lambda errand: errand.number)
        return (errand.need for errand in errands)

    def take(
        self, keys: Collection[Key], most: int, most_bytes: int, size: Callable[[Errand], int]
    ) -> list[Errand]:
        """
        Take the first that are of certain kinds, and go on looking.

        Args:
            keys: the kinds.
            most: how many.
            most_bytes: how many bytes of memory together; the last one may exceed that.
            size: returns how many bytes of memory one takes up when it is loaded.
        """
        self.look()
        taken: list[Errand] = []
        passed: list[Errand] = []
        while self._waiting and len(taken) < most and most_bytes > 0:
            errand = self._waiting.popleft()
            if errand.key in keys:
                taken.append(errand)
                most_bytes -= size(errand)
                self._held -= errand.item.held
            else:
                passed.append(errand)
        self._waiting.extendleft(reversed(passed))
        self.look()
        return taken

    def put_back(self, errands: Iterable[Errand]) -> None:
        """Let errands wait again that were taken, in their old places."""
        returned = sorted((*errands, *self._waiting), key=lambda errand: errand.number)
        self._waiting = deque(returned)
        self._held = sum(errand.item.held for errand in returned)
        self._tell()

    def remove(self, errand: Errand) -> bool:
        """Let one wait no more; return whether it did."""
        if errand not in self._waiting:
            return False
        self._waiting.remove(errand)
        self._held -= errand.item.held
        return True

    def look(self) -> None:
        """Look at more in the background, if not enough wait."""
        if self._inside_look:
            return
        self._inside_look = True
        # Once, or as often as needed if the disk is one that does not let us wait.
        while not (self._looking or self.is_exhausted or self.is_full):
            self._looking = True
            looked = self._queue.submit(_look_at_some, self._finder, self._at_a_time)
            looked.addCallbacks(self._have_looked, self._have_failed)
        self._inside_look = False

    def changed(self) -> Deferred[None]:
        """Return a `Deferred` that fires when more wait, or all there is was found."""
        changed: Deferred[None] = Deferred()
        self._changed.append(changed)
        return changed

    async def settle(self) -> None:
        """Wait until enough wait, or all there is was found."""
        self.look()
        while not (self.is_exhausted or self.is_full):
            await self.changed()

    async def fail_all(self, error: Exception) -> None:
        """Report all that wait, and all that is still to be found, as given up."""
        while self._looking:
            await self.changed()
        while True:
            while self._waiting:
                errand = self._waiting.popleft()
                self._report.unanswered(errand.item, error, begun=errand.begun)
            if self.is_exhausted:
                return
            found, is_end, failure = await self._queue.submit(_find_some, self._finder, _AT_A_TIME)
            for one in found:
                self._report.fail(one.name, f"not sent: {error}", None, error)
            self._have_found(is_end, failure)

    def _have_looked(self, result: tuple[list[_Looked], bool, Failure | None]) -> None:
        looked, is_end, failure = result
        self._looking = False
        for found, item in looked:
            if isinstance(item, StorableObject):
                self._found += 1
                self._waiting.append(Errand(self._found, item))
                self._held += item.held
                self._report.found(item)
            elif isinstance(item, NotDicom) and not found.named:
                words = describe_error(item)
                self._report.add(Outcome(found.name, Category.SKIPPED, words))
            else:  # an object, or what was one, that will be missing at the peer
                self._report.fail(found.name, describe_error(item), None, item)
        self._have_found(is_end, failure)
        self.look()
        self._tell()

    def _have_failed(self, failure: Failure) -> None:
        self._looking = False
        self._have_found(True, failure)
        self._tell()

    def _have_found(self, is_end: bool, failure: Failure | None) -> None:
        if is_end:
            self.is_exhausted = self._report.progress.all_found = True
            self.failure = failure

    def _tell(self) -> None:
        waiting, self._changed = self._changed, []
        for deferred in waiting:
            deferred.callback(None)


def _find_some(finder: Iterator[Found], most: int) -> tuple[list[Found], bool, Failure | None]:
    """Return what is found next, whether that is the end, and what went wrong."""
    found = []
    try:
        for _ in range(most):
            found.append(next(finder))
    except StopIteration:
        return found, True, None
    except Exception:  # of an iterable that the caller gave
        return found, True, Failure()
    return found, False, None


def _look_at_some(finder: Iterator[Found], most: int) -> tuple[list[_Looked], bool, Failure | None]:
    """Find and look at the next, one after the other: each may take much memory."""
    looked: list[_Looked] = []
    held = 0
    while len(looked) < most and held < _MOST_HELD:
        found, is_end, failure = _find_some(finder, 1)
        for one in found:
            try:
                item = one.look()
            except Exception as error:  # whatever pydicom or a disk comes up with
                looked.append((one, error))
            else:
                looked.append((one, item))
                held += item.held
        if is_end:
            return looked, True, failure
    return looked, False, None
