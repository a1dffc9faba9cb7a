"""
`pacs-twisted store`: send files, and say what has become of each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from pacs_twisted.cli.exits import Exit, exit_for, kind_of
from pacs_twisted.cli.options import StoreOptions
from pacs_twisted.cli.progress import MeasuredBar, NoBar
from pacs_twisted.cli.session import Session, rounded
from pacs_twisted.dimse import Priority
from pacs_twisted.errors import AssociationEnded, ProtocolError
from pacs_twisted.storage.conversion import Conversion
from pacs_twisted.storage.disk import DiskPool
from pacs_twisted.storage.outcomes import Category, Outcome, Progress, Summary
from pacs_twisted.storage.sender import Retry, Sender

_MOST_REASONS = 20  # that are listed one by one
_STYLES = {
    Category.SUCCESS: "good",
    Category.WARNING: "doubtful",
    Category.FAILURE: "bad",
    Category.SKIPPED: "aside",
}

Send = Callable[..., Deferred[Summary]]
"""What sends: see `send_files`."""


def send_files(
    session: Session,
    options: StoreOptions,
    paths: Sequence[str],
    on_outcome: Callable[[Outcome], object],
    on_progress: Callable[[Progress], object],
) -> Deferred[Summary]:
    """
    Send what is behind some paths.

    Args:
        session: what is at hand.
        options: how.
        paths: of files, directories, DICOMDIRs and ZIP archives.
        on_outcome: called with what has become of each object.
        on_progress: called often, with how far it is.
    """
    disk = DiskPool(session.reactor)
    disk.start()
    sender = Sender(
        associate=lambda contexts: Deferred.fromCoroutine(
            session.open(contexts=contexts, maximum_operations=options.max_operations)
        ),
        disk=disk,
        clock=session.reactor,
        retry=Retry(options.retries, options.retry_delay),
        conversion=Conversion(decompress=options.decompress),
        associations=options.associations,
        priority=Priority[options.priority.upper()],
        on_outcome=on_outcome,
        on_progress=on_progress,
    )

    def stop(result: Any) -> Deferred[Any]:
        return disk.stop().addCallback(lambda _: result)

    return sender.send(list(paths)).addBoth(stop)


class Sending:
    """
    The objects of one command.

    Args:
        session: what is at hand.
        options: what the command was told.
        paths: what to send.
        send: sends it.
    """

    def __init__(
        self, session: Session, options: StoreOptions, paths: Sequence[str], send: Send
    ) -> None:
        self._session = session
        self._options = options
        self._paths = paths
        self._send = send
        self._bar: NoBar | MeasuredBar = NoBar()
        self._categories: Counter[Category] = Counter()
        self._statuses: Counter[int] = Counter()
        self._reasons: Counter[str] = Counter()
        self._bytes = 0
        self._progress = Progress()

    async def run(self) -> Exit:
        """Send it, sum up, and return the exit status."""
        session = self._session
        if session.output.is_terminal:
            self._bar = MeasuredBar(session.output, session.seconds, self._paths, session.reactor)
        began = session.seconds()
        error: Exception | None = None
        try:
            summary = await self._send(
                session,
                self._options,
                self._paths,
                on_outcome=self._tell_outcome,
                on_progress=self._go_on,
            )
            error = summary.error
        except CancelledError:
            if not session.interruption:
                raise
        finally:
            self._bar.close()
        if error is not None:
            session.tell_failure(error)
        return self._sum_up(session.seconds() - began, error)

    def _go_on(self, progress: Progress) -> None:
        self._progress = progress
        self._bar.update(progress)

    def _tell_outcome(self, outcome: Outcome) -> None:
        category, status, item = outcome.category, outcome.status, outcome.item
        self._categories[category] += 1
        if category is Category.SKIPPED:
            self._line(outcome)
            self._session.output.event("skipped", path=outcome.name, reason=outcome.words)
            return
        self._reasons[str(status) if status is not None else outcome.words] += 1
        if status is not None:
            self._statuses[status.value] += 1
        if category is not Category.FAILURE:
            self._bytes += outcome.length
        self._line(outcome)
        self._session.output.event(
            "object",
            path=outcome.name,
            category=category.value,
            status=None if status is None else f"{status.value:04X}",
            meaning="" if status is None else status.meaning or status.category.value,
            error=outcome.words if category is Category.FAILURE else "",
            kind=None if outcome.error is None else kind_of(outcome.error),
            bytes=outcome.length,
            sop_class_uid=None if item is None else item.sop_class_uid,
            sop_instance_uid=None if item is None else item.sop_instance_uid,
            transfer_syntax=None if item is None else item.transfer_syntax,
        )

    def _line(self, outcome: Outcome) -> None:
        """Write a line, unless a bar says as much, or the same would be said of everything."""
        output = self._session.output
        if not self._options.verbose:
            if isinstance(outcome.error, AssociationEnded | ProtocolError) and not outcome.begun:
                return
            if output.is_terminal and outcome.category in (Category.SUCCESS, Category.SKIPPED):
                return
        words = outcome.words
        if outcome.category is Category.SKIPPED:
            words = f"skipped: {words}"
        output.line(f"{outcome.name}: {words}", _STYLES[outcome.category])

    def _sum_up(self, seconds: float, error: Exception | None) -> Exit:
        session, output = self._session, self._session.output
        stored = self._categories[Category.SUCCESS]
        warned = self._categories[Category.WARNING]
        failed = self._categories[Category.FAILURE]
        skipped = self._categories[Category.SKIPPED]
        status = self._exit_status(error)
        if not stored + warned + failed and not session.interruption:
            output.complain("nothing to send")
        output.line(f"--- {session.options.called} at {session.address} ---", "head")
        for reason, count in self._reasons.most_common(_MOST_REASONS):
            output.line(f"{count:8} {reason}")
        rest = sum(self._reasons.values()) - sum(
            count for _, count in self._reasons.most_common(_MOST_REASONS)
        )
        if rest:
            output.line(f"{rest:8} for other reasons")
        output.line(
            f"{stored + warned} stored"
            + (f" ({warned} with a warning)" if warned else "")
            + f", {failed} failed, {skipped} skipped"
            + f"; {_size(self._bytes)} in {seconds:.2f} s ({_size(self._bytes / seconds)}/s)"
        )
        if session.interruption:
            progress = self._progress
            left = progress.found - progress.finished
            words = "interrupted"
            if left or progress.all_found:  # else nobody has counted yet
                words += f", {left}{'' if progress.all_found else ' or more'} left"
            output.line(words, "doubtful")
        output.event(
            "summary",
            **session.names,
            objects=stored + warned + failed,
            succeeded=stored,
            warnings=warned,
            failed=failed,
            skipped=skipped,
            bytes=self._bytes,
            seconds=rounded(seconds),
            statuses={f"{number:04X}": count for number, count in sorted(self._statuses.items())},
            interrupted=bool(session.interruption),
            exit_status=int(status),
        )
        return status

    def _exit_status(self, error: Exception | None) -> Exit:
        if self._session.interruption.exit is not None:
            return self._session.interruption.exit
        if error is not None:
            return exit_for(error)
        stored = self._categories[Category.SUCCESS] + self._categories[Category.WARNING]
        return Exit.OK if stored and not self._categories[Category.FAILURE] else Exit.FAILED


def _size(size: float) -> str:
    """Return a number of bytes to read."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


async def store(
    session: Session, options: StoreOptions, *, paths: Sequence[str], send: Send = send_files
) -> Exit:
    """Send what the paths lead to and return the exit status."""
    return await Sending(session, options, paths, send).run()
