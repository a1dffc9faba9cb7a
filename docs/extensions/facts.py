"""
What pages say of the code's own values, taken from the code when the pages are built.

Tables go to docs/_generated, single values are substitutions: `{{ maximum_pdu }}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from codes import ABORTS, REJECTS, STATUSES, STORE_STATUSES, UNDERSTOOD
from pydicom.uid import UID
from sphinx.application import Sphinx
from sphinx.config import Config

from pacs_twisted import __version__
from pacs_twisted.config import EchoSettings, Option, StoreSettings, options, reference_table
from pacs_twisted.dimse import Status, StatusCategory
from pacs_twisted.net import Timeouts
from pacs_twisted.services import Verification
from pacs_twisted.storage import RETIRED, STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES, Retry
from pacs_twisted.storage.outstanding import MOST_OUTSTANDING
from pacs_twisted.uids import (
    APPLICATION_CONTEXT,
    IMPLEMENTATION_CLASS_UID,
    implementation_version_name,
)
from pacs_twisted.wording import describe_abort, describe_reject


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def rejects() -> str:
    """Return the table of A-ASSOCIATE-RJ."""
    return markdown_table(
        ("Result", "Source", "Reason", "In words", "When"),
        (
            (
                f"{rj.result}",
                f"{rj.source}",
                f"{rj.reason}",
                _words(describe_reject(rj.result, rj.source, rj.reason)),
                when,
            )
            for rj, when in REJECTS
        ),
    )


def aborts() -> str:
    """Return the table of A-ABORT."""
    return markdown_table(
        ("Source", "Reason", "In words", "When"),
        (
            (
                f"{abort.source}",
                f"{abort.reason}",
                _words(describe_abort(abort.source, abort.reason)),
                when,
            )
            for abort, when in ABORTS
        ),
    )


def _words(described: str) -> str:
    """Leave out the numbers, which stand in columns of their own."""
    return described.rpartition(" (")[0]


def statuses() -> str:
    """Return the table of statuses that any service sends."""
    return _statuses(STATUSES)


def store_statuses() -> str:
    """Return the table of statuses of C-STORE."""
    return _statuses(STORE_STATUSES)


def _statuses(rows: Iterable[tuple[Status, str]]) -> str:
    return markdown_table(
        ("Status", "Category", "In words", "When"),
        (
            (f"`{status.value:04X}H`", status.category.value, status.meaning, when)
            for status, when in rows
        ),
    )


def understood_statuses() -> str:
    """Return the table of what a Storage SCU makes of the statuses that it gets."""
    return markdown_table(
        ("Status", "Category", "In words", "The object"),
        (
            (
                f"`{numbers}`",
                (category := Status(number).category).value,
                _meaning(number),
                _AFTER[category],
            )
            for numbers, number in UNDERSTOOD
        ),
    )


_AFTER = {
    StatusCategory.SUCCESS: "is stored",
    StatusCategory.WARNING: "is stored; the status and its comment are reported",
    StatusCategory.FAILURE: "has failed; it is not sent again by itself",
}


def _meaning(number: int) -> str:
    words = Status(number).meaning
    return words if number in (0x0000, 0xA7FF, 0xA9FF, 0xCFFF) else ""


def sop_classes() -> str:
    """Return the table of the storage SOP classes."""
    return markdown_table(
        ("SOP class", "UID", "SCU", "SCP"),
        ((name, f"`{uid}`", "yes", "yes") for uid, name in STORAGE_SOP_CLASSES.items()),
    )


def transfer_syntaxes() -> str:
    """Return the table of the transfer syntaxes that the storage server accepts."""
    return markdown_table(
        ("Transfer syntax", "UID"),
        ((name, f"`{uid}`") for uid, name in TRANSFER_SYNTAXES.items()),
    )


def presentation_contexts() -> str:
    """Return the table of presentation contexts that the echo server accepts."""
    return markdown_table(
        ("Abstract syntax", "UID", "Transfer syntax", "UID", "Role", "Ext. neg."),
        (
            (UID(abstract).name, f"`{abstract}`", UID(transfer).name, f"`{transfer}`", "SCP", "no")
            for abstract, syntaxes in Verification.sop_classes.items()
            for transfer in syntaxes
        ),
    )


def substitutions() -> Mapping[str, str]:
    """Return the values that pages name, the options' defaults among them."""
    found = {
        "version": __version__,
        "implementation_class_uid": f"`{IMPLEMENTATION_CLASS_UID}`",
        "implementation_version_name": f"`{implementation_version_name(__version__)}`",
        "application_context": f"`{APPLICATION_CONTEXT}`",
        "number_of_storage_classes": f"{len(STORAGE_SOP_CLASSES)}",
        "number_of_retired_classes": f"{len(RETIRED)}",
        "most_outstanding": f"{MOST_OUTSTANDING >> 20} MiB",
        "requestor_connect_timeout": f"{Timeouts().connect:g} s",
        "requestor_dimse_timeout": f"{Timeouts().dimse:g} s",
        "requestor_retries": f"{Retry().retries}",
        "requestor_retry_delay": f"{Retry().delay:g} s",
    }
    for option in options(EchoSettings):
        found[f"default_{option.attribute}"] = _default(option)
    for option in options(StoreSettings):
        found.setdefault(f"default_{option.attribute}", _default(option))
        found[f"store_{option.attribute}"] = _default(option)
    return found


def _default(option: Option) -> str:
    unit = "" if option.default_text else option.unit
    return f"{option.described_default} {unit}".strip()


TABLES = {
    "options.md": lambda: reference_table(EchoSettings),
    "store-options.md": lambda: reference_table(StoreSettings, beside=EchoSettings),
    "rejects.md": rejects,
    "aborts.md": aborts,
    "statuses.md": statuses,
    "store-statuses.md": store_statuses,
    "understood-statuses.md": understood_statuses,
    "storage-sop-classes.md": sop_classes,
    "transfer-syntaxes.md": transfer_syntaxes,
    "presentation-contexts.md": presentation_contexts,
}


def _set_substitutions(app: Sphinx, config: Config) -> None:
    config.myst_substitutions = {**config.myst_substitutions, **substitutions()}


def _write_tables(app: Sphinx) -> None:
    folder = Path(app.srcdir, "_generated")
    folder.mkdir(exist_ok=True)
    for name, table in TABLES.items():
        path = folder / name
        text = table()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx: connect."""
    app.connect("config-inited", _set_substitutions, priority=100)
    app.connect("builder-inited", _write_tables)
    return {"parallel_read_safe": True}
