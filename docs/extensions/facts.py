"""
What pages say of the code's own values, taken from the code when the pages are built.

Tables go to docs/_generated, single values are substitutions: `{{ maximum_pdu }}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydicom.uid import UID
from sphinx.application import Sphinx
from sphinx.config import Config

from pacs_twisted import __version__, errors
from pacs_twisted.config import EchoSettings, options, reference_table
from pacs_twisted.dimse import Status
from pacs_twisted.pdu import AAbort
from pacs_twisted.pdu.abort import SERVICE_PROVIDER, SERVICE_USER
from pacs_twisted.services import Verification
from pacs_twisted.uids import (
    APPLICATION_CONTEXT,
    IMPLEMENTATION_CLASS_UID,
    implementation_version_name,
)
from pacs_twisted.upper_layer import negotiation
from pacs_twisted.wording import describe_abort, describe_reject

REJECTS = (
    (negotiation.VERSION_NOT_SUPPORTED, "bit 0 of the protocol version is not set"),
    (negotiation.APPLICATION_CONTEXT_NOT_SUPPORTED, f"another one than `{APPLICATION_CONTEXT}`"),
    (
        negotiation.CALLED_AE_TITLE_NOT_RECOGNIZED,
        "the called AE title is blank or not a possible one, or it is not ours and"
        " `require-called-ae` is set",
    ),
    (
        negotiation.CALLING_AE_TITLE_NOT_RECOGNIZED,
        "the calling AE title is blank or not a possible one, or title and address are not those"
        " of a permitted peer (`allow`)",
    ),
    (
        negotiation.LOCAL_LIMIT_EXCEEDED,
        "as many associations as `max-associations` or, from this address, `max-per-host`",
    ),
    (negotiation.TEMPORARY_CONGESTION, "the server is stopping or draining"),
    (
        negotiation.NO_REASON,
        "the peer's maximum length is 1 to 7 bytes, which leaves no room for a fragment; or no"
        " presentation context can be accepted and `reject-empty` is set; or the policy of an"
        " embedding application failed",
    ),
)
"""Every A-ASSOCIATE-RJ that the acceptor sends, in the order in which it judges, and when."""

ABORTS = (
    (
        AAbort(SERVICE_USER),
        "a timer has run out (ACSE, idle, PDU), the drain deadline is over, or the server itself"
        " failed; or, before an"
        " association, bytes came that are no A-ASSOCIATE-RQ (AA-1)",
    ),
    (
        AAbort(SERVICE_PROVIDER, errors.UnrecognizedPDU.abort_reason),
        "the type of a PDU is none of 01H to 07H",
    ),
    (
        AAbort(SERVICE_PROVIDER, errors.UnexpectedPDU.abort_reason),
        "a PDU came that the state does not allow",
    ),
    (
        AAbort(SERVICE_PROVIDER, errors.UnexpectedParameter.abort_reason),
        "fragments of a message came in an order that PS3.8 annex E does not allow",
    ),
    (
        AAbort(SERVICE_PROVIDER, errors.InvalidPDU.abort_reason),
        "a length or a value in a PDU or command set is wrong, a PDU is longer than announced, a"
        " presentation context was not accepted",
    ),
)
"""Every A-ABORT that the acceptor sends, and when."""

STATUSES = (
    (Status.SUCCESS, "C-ECHO was received"),
    (
        Status.PROCESSING_FAILURE,
        "a service failed, or did not answer within `handler-timeout`",
    ),
    (
        Status.SOP_CLASS_NOT_SUPPORTED,
        "the request names another SOP class than its presentation context",
    ),
    (
        Status.DUPLICATE_INVOCATION,
        "the message ID is that of a request which has no answer yet",
    ),
    (
        Status.UNRECOGNIZED_OPERATION,
        "an operation that the presentation context does not provide, or an unknown command field",
    ),
    (
        Status.MISTYPED_ARGUMENT,
        "an element that the request cannot do without is missing or cannot be read",
    ),
)
"""Every status that the acceptor and its Verification service send, and when."""


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def rejects() -> str:
    """Return the table of A-ASSOCIATE-RJ."""
    return markdown_table(
        ("Result", "Source", "Reason", "In words", "When"),
        (
            (f"{rj.result}", f"{rj.source}", f"{rj.reason}", _words(describe_reject(rj)), when)
            for rj, when in REJECTS
        ),
    )


def aborts() -> str:
    """Return the table of A-ABORT."""
    return markdown_table(
        ("Source", "Reason", "In words", "When"),
        (
            (f"{abort.source}", f"{abort.reason}", _words(describe_abort(abort)), when)
            for abort, when in ABORTS
        ),
    )


def _words(described: str) -> str:
    """Leave out the numbers, which stand in columns of their own."""
    return described.rpartition(" (")[0]


def statuses() -> str:
    """Return the table of statuses."""
    return markdown_table(
        ("Status", "Category", "In words", "When"),
        (
            (f"`{status.value:04X}H`", status.category.value, status.meaning, when)
            for status, when in STATUSES
        ),
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
    }
    for option in options(EchoSettings):
        name = f"default_{option.attribute}"
        unit = "" if option.default_text else option.unit
        found[name] = f"{option.described_default} {unit}".strip()
    return found


TABLES = {
    "options.md": lambda: reference_table(EchoSettings),
    "rejects.md": rejects,
    "aborts.md": aborts,
    "statuses.md": statuses,
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
