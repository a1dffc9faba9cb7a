"""
The options of the commands that call a peer, each defined once.

A field is an option of the command, an environment variable and a row of the reference. The
kinds of values, and the words for what is not allowed, are those of the servers' options. Those
of `listen` are the server's own, in `pacs_twisted.config`.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import attrs

from pacs_twisted.config import MEBIBYTE, Option
from pacs_twisted.option_kinds import Choice, Flag, Kind, Seconds, Title, Whole

ENVIRONMENT_PREFIX = "PACS_TWISTED"


@attrs.frozen
class Pause(Seconds):
    """A time of at most a day between two things; zero for none."""

    @property
    def allowed(self) -> str:
        """The range."""
        return f"a number of seconds from 0 to {self.maximum}"


class UIDOrKeyword:
    """A UID, or the keyword that pydicom has for one, such as CTImageStorage."""

    name = "UID or keyword"
    allowed = "a UID, or its keyword such as CTImageStorage or ImplicitVRLittleEndian"

    def from_text(self, text: str) -> str:
        """Return the UID."""
        if re.fullmatch(r"[0-9]+(\.[0-9]+)*", text) and len(text) <= 64:
            return text
        from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]

        found = [uid for uid, entry in UID_dictionary.items() if entry[-1] == text != ""]
        if len(found) != 1:
            raise ValueError
        return str(found[0])

    def from_toml(self, value: object) -> str:
        """Read it as from the command line."""
        if not isinstance(value, str):
            raise ValueError
        return self.from_text(value)


def _option(kind: Kind, default: Any, help: str, **more: Any) -> Any:
    """Declare the field of an option; its name is added when `options` collects them."""
    more.update(kind=kind, help=help, default=default)
    return attrs.field(default=default, metadata={"option": more})


JSON = Option(
    name="json",
    kind=Flag(),
    help="One JSON object a line for each event, and a last one that sums up.",
    default=False,
    in_file=False,
)
"""The option that all commands have."""


@attrs.frozen(kw_only=True)
class PeerOptions:
    """What every command that calls a peer can be told."""

    command: ClassVar[str] = ""

    called: str = _option(Title(), "ANY-SCP", "The AE title of the peer.")
    calling: str = _option(Title(), "PACS_TWISTED", "Our own AE title.")
    connect_timeout: float = _option(
        Seconds(), 10.0, "How long connecting may take, TLS included. 0: off.", unit="s"
    )
    acse_timeout: float = _option(
        Seconds(),
        30.0,
        "How long the peer may take to answer an association or release request. 0: off.",
        unit="s",
    )
    dimse_timeout: float = _option(
        Seconds(), 60.0, "How long the peer may take to answer a request. 0: off.", unit="s"
    )
    send_timeout: float = _option(
        Seconds(), 30.0, "How long our bytes may wait for a peer that takes none. 0: off.", unit="s"
    )
    pdu_timeout: float = _option(
        Seconds(),
        30.0,
        "How long a PDU of the peer may take from its first byte to its last or to the next"
        " progress worth the name. 0: off.",
        unit="s",
    )
    artim_timeout: float = _option(
        Seconds(),
        30.0,
        "How long the peer may take to close after we have aborted (ARTIM). 0: off.",
        unit="s",
    )
    max_pdu: int = _option(
        Whole(4096, 16 * MEBIBYTE),
        131_072,
        "The longest P-DATA-TF that we announce to receive.",
        unit="bytes",
    )
    json: bool = _option(JSON.kind, JSON.default, JSON.help)
    verbose: bool = _option(Flag(), False, "Say more, and write the log to stderr.")
    debug: bool = _option(
        Flag(), False, "Write the log to stderr, with every event, request and response."
    )


@attrs.frozen(kw_only=True)
class EchoOptions(PeerOptions):
    """The options of `pacs-twisted echo`."""

    command: ClassVar[str] = "echo"

    count: int = _option(Whole(0, 1_000_000_000), 1, "How many C-ECHO to send. 0: until Ctrl-C.")
    interval: float = _option(
        Pause(), 1.0, "The time from one C-ECHO to the next, at least.", unit="s"
    )


@attrs.frozen(kw_only=True)
class StoreOptions(PeerOptions):
    """The options of `pacs-twisted store`."""

    command: ClassVar[str] = "store"

    associations: int = _option(
        Whole(1, 64), 1, "Associations at the same time, among which the objects are divided."
    )
    max_operations: int = _option(
        Whole(1, 65_535),
        1,
        "Requests at the same time in one association: the asynchronous operations window that"
        " we ask for.",
    )
    retries: int = _option(
        Whole(0, 1000),
        2,
        "How often in a row to ask in vain for an association, after the first time; and how often"
        " to send an object again at which the association ended. Objects that have an answer are"
        " not sent again.",
    )
    retry_delay: float = _option(Pause(), 5.0, "How long to wait before trying again.", unit="s")
    decompress: bool = _option(
        Flag(),
        False,
        "Decompress what the peer does not take compressed, where pydicom can.",
    )
    priority: str = _option(
        Choice(("low", "medium", "high")), "medium", "The priority that the requests carry."
    )


@attrs.frozen(kw_only=True)
class ExplainOptions(PeerOptions):
    """The options of `pacs-twisted explain`."""

    command: ClassVar[str] = "explain"

    sop_class: tuple[str, ...] = _option(
        UIDOrKeyword(),
        (),
        "A SOP class to propose.",
        repeatable=True,
        default_text="Verification and all storage classes that are not retired",
    )
    transfer_syntax: tuple[str, ...] = _option(
        UIDOrKeyword(),
        (),
        "A transfer syntax to propose for each class.",
        repeatable=True,
        default_text="the common ones",
    )
    retired: bool = _option(Flag(), False, "Propose the retired storage classes as well.")
    together: bool = _option(
        Flag(),
        False,
        "Propose all transfer syntaxes of a class in one presentation context: fewer"
        " associations, but of each class only the syntax is told that the peer prefers.",
    )
    max_operations: int = _option(
        Whole(1, 65_535), 16, "The asynchronous operations window to ask for."
    )


def client_options(of: type[PeerOptions]) -> tuple[Option, ...]:
    """Return the options of a command, its own before those of all."""
    common = [field.name for field in attrs.fields(PeerOptions)]
    own = [field.name for field in attrs.fields(of) if field.name not in common]
    fields = attrs.fields_dict(of)
    return tuple(
        Option(name=name.replace("_", "-"), **fields[name].metadata["option"])
        for name in own + common
    )


def environment_variables(command: str, option: Option) -> tuple[str, ...]:
    """
    Return the environment variables that stand for an option, the one that goes before first.

    A command that calls a peer has one of its own and one that it shares with the others; a
    server is not to be told by accident what was meant for clients, so `listen` has the first
    only.
    """
    name = option.attribute.upper()
    own = f"{ENVIRONMENT_PREFIX}_{command.upper()}_{name}"
    return (own,) if command == "listen" else (own, f"{ENVIRONMENT_PREFIX}_{name}")


COMMANDS: tuple[type[PeerOptions], ...] = (EchoOptions, StoreOptions, ExplainOptions)
"""The options of each command that calls a peer."""
