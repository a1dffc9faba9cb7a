"""
The options of the servers, each defined once.

A field of the settings is an option of `twistd pacs-echo` or `pacs-store`, a key of the TOML file
and a row of the reference: `tap` makes the first from it, `build` reads the second,
`reference_table` writes the third. The command line goes before the file, the file before
the defaults. Every value that is not allowed is a `ConfigurationError` of one line, which
names the option or key, the value and what is allowed.

Nothing here knows Twisted, and the only file that is read is the one `load` is asked for.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import attrs

from pacs_twisted.admission import PermittedPeer
from pacs_twisted.errors import PacsError
from pacs_twisted.option_kinds import (
    Choice,
    Directory,
    Endpoint,
    FileName,
    Flag,
    Kind,
    Peer,
    Seconds,
    Template,
    Title,
    TransferSyntax,
    UIDText,
    Whole,
    cut,
    printable,
    unknown_key,
)

MEBIBYTE = 1 << 20


class ConfigurationError(PacsError):
    """What the administrator wrote cannot be used; nothing has changed."""


@attrs.frozen
class Option:
    """One option: what it is called, what it takes, what it does."""

    name: str
    """As on the command line, without the hyphens before it, and as the TOML key."""

    kind: Kind
    help: str
    default: Any
    unit: str = ""
    repeatable: bool = False
    reload: bool = False
    """Whether a reload changes it in a running server."""

    in_file: bool = True
    """Whether it may stand in the TOML file."""

    default_text: str = ""
    """What the reference says of the default if the value does not say it."""

    @property
    def attribute(self) -> str:
        """The name of its field in the settings."""
        return self.name.replace("-", "_")

    @property
    def described_default(self) -> str:
        """The default as one would write it; empty if there is none to write."""
        if self.default_text:
            return self.default_text
        if isinstance(self.default, tuple):
            return " ".join(str(value) for value in self.default)
        if isinstance(self.default, bool):
            return "true" if self.default else "false"
        if isinstance(self.default, float):
            return f"{self.default:g}"
        return "" if self.default is None else str(self.default)


def _option(kind: Kind, default: Any, help: str, **more: Any) -> Any:
    """Declare the field of an option; its name is added when `options` collects them."""
    more.update(kind=kind, help=help, default=default)
    return attrs.field(default=default, metadata={"option": more})


@attrs.frozen(kw_only=True)
class ServerSettings:
    """
    What every server of ours can be told.

    A command of its own name is a subclass, with defaults and options of its own.
    """

    command: ClassVar[str] = "pacs"

    files_per_association: ClassVar[int] = 0
    """Open files of an association beside its connection."""

    listen: tuple[str, ...] = _option(
        Endpoint(),
        ("tcp:11112",),
        "Where to listen: an endpoint string. Given on the command line, it replaces the file's.",
        repeatable=True,
    )
    ae_title: str = _option(Title(), "PACS_TWISTED", "The AE title of this server.", reload=True)
    require_called_ae: bool = _option(
        Flag(),
        False,
        "Reject associations (1/1/7) that call another AE title than ours.",
        reload=True,
    )
    allow: tuple[PermittedPeer, ...] = _option(
        Peer(),
        (),
        "A permitted peer: its AE title, its network or both (*@10.1.0.0/16: any title)."
        " Others are rejected. Given on the command line, it replaces the file's.",
        repeatable=True,
        reload=True,
        default_text="everybody",
    )
    max_associations: int = _option(
        Whole(0, 1_000_000),
        100,
        "Associations at the same time; more are rejected (2/3/2). 0: no limit.",
        reload=True,
    )
    max_connections: int = _option(
        Whole(0, 1_000_000),
        0,
        "TCP connections at the same time; more are closed at once."
        " 0: the larger of 1024 and four times the associations.",
        reload=True,
    )
    max_per_host: int = _option(
        Whole(0, 1_000_000),
        0,
        "Associations at the same time from one address; more are rejected (2/3/2). 0: no limit.",
        reload=True,
    )
    max_pdu: int = _option(
        Whole(4096, 16 * MEBIBYTE),
        131_072,
        "The longest P-DATA-TF that we announce to receive.",
        unit="bytes",
    )
    max_associate_pdu: int = _option(
        Whole(4096, 16 * MEBIBYTE),
        MEBIBYTE,
        "The longest A-ASSOCIATE-RQ that is read.",
        unit="bytes",
    )
    max_unfinished: int = _option(
        Whole(4096, 65_536 * MEBIBYTE),
        64 * MEBIBYTE,
        "What all half-received A-ASSOCIATE-RQ together may take of memory;"
        " beyond it the oldest is closed.",
        unit="bytes",
    )
    max_command: int = _option(
        Whole(1024, 16 * MEBIBYTE),
        65_536,
        "The longest command set of a DIMSE message.",
        unit="bytes",
    )
    max_operations: int = _option(
        Whole(1, 65_535),
        1,
        "Requests of one association that are worked on at the same time:"
        " our side of the asynchronous operations window.",
    )
    artim_timeout: float = _option(
        Seconds(may_be_off=False),
        30.0,
        "How long a peer may take from connecting to a whole A-ASSOCIATE-RQ, and to close"
        " after we have rejected or aborted (ARTIM, PS3.8 section 9.1.5). It cannot be off.",
        unit="s",
        reload=True,
    )
    acse_timeout: float = _option(
        Seconds(),
        30.0,
        "How long an association may take to be answered or released. 0: off.",
        unit="s",
        reload=True,
    )
    idle_timeout: float = _option(
        Seconds(),
        30.0,
        "How long an association may be silent while we owe it nothing. 0: off.",
        unit="s",
        reload=True,
    )
    idle_action: Literal["abort", "release"] = _option(
        Choice(("abort", "release")),
        "abort",
        "What ends an association that was silent for too long.",
        reload=True,
    )
    pdu_timeout: float | None = _option(
        Seconds(),
        None,
        "How long a PDU may take from its first byte to its last or to the next progress"
        " worth the name. 0: off.",
        unit="s",
        reload=True,
        default_text="as idle-timeout",
    )
    handler_timeout: float = _option(
        Seconds(),
        0.0,
        "How long a service may work on a request. 0: off.",
        unit="s",
        reload=True,
    )
    send_timeout: float = _option(
        Seconds(),
        30.0,
        "How long our bytes may wait for a peer that takes none. 0: off.",
        unit="s",
        reload=True,
    )
    drain_timeout: float = _option(
        Seconds(),
        60.0,
        "How long running associations have to end after SIGTERM before they are aborted;"
        " a second signal ends at once. 0: off, they have all the time they want.",
        unit="s",
        reload=True,
    )
    reject_empty: bool = _option(
        Flag(),
        False,
        "Reject an association (1/1/1) of which no presentation context can be accepted,"
        " instead of accepting it without any.",
        reload=True,
    )
    log_level: str = _option(
        Choice(("debug", "info", "warn", "error", "critical")),
        "info",
        "The least level that is logged. debug: every event, request and response,"
        " from the next association on.",
        reload=True,
    )
    log_format: str = _option(
        Choice(("text", "json")),
        "text",
        "The log as lines to read, or as one JSON object a line.",
    )

    def __attrs_post_init__(self) -> None:
        if self.max_unfinished < self.max_associate_pdu:
            raise ConfigurationError(
                f"max-unfinished: {self.max_unfinished} is less than"
                f" max-associate-pdu, {self.max_associate_pdu}"
            )

    @classmethod
    def build(
        cls,
        arguments: Mapping[str, Sequence[str]] | None = None,
        document: Mapping[str, object] | None = None,
        source: str = "configuration",
    ) -> Self:
        """
        Put the settings together: command line before file before default.

        Args:
            arguments: what the command line said, by option name; of an option that is not
                repeatable the last value counts.
            document: the file, as `load` or `parse` returned it.
            source: the file's name, for messages.

        Raises:
            ConfigurationError: an unknown key, or a value that is not allowed.
        """
        known = {option.name: option for option in options(cls)}
        values: dict[str, Any] = {}
        for key, value in (document or {}).items():
            if key not in known:
                raise ConfigurationError(f"{source}: {unknown_key(key, list(known))}")
            values[known[key].attribute] = _from_toml(known[key], value, source)
        for name, texts in (arguments or {}).items():
            values[known[name].attribute] = _from_texts(known[name], texts)
        return cls(**values)


@attrs.frozen(kw_only=True)
class EchoSettings(ServerSettings):
    """The options of `twistd pacs-echo`."""

    command: ClassVar[str] = "pacs-echo"

    ae_title: str = _option(Title(), "PACS_ECHO", "The AE title of this server.", reload=True)


@attrs.frozen(kw_only=True)
class StoreSettings(ServerSettings):
    """The options of `twistd pacs-store`."""

    command: ClassVar[str] = "pacs-store"

    files_per_association: ClassVar[int] = 1  # the object that it sends

    ae_title: str = _option(Title(), "PACS_STORE", "The AE title of this server.", reload=True)
    directory: str = _option(
        Directory(),
        "",
        "Where to store: a directory, made at the start if it is not there.",
        default_text="none: it must be given, unless --discard is",
    )
    template: str = _option(
        Template(),
        "{StudyInstanceUID}/{SeriesInstanceUID}/{SOPInstanceUID}.dcm",
        "How files are named below the directory: keywords of elements in braces, also"
        " {CallingAETitle} and {CalledAETitle}.",
        reload=True,
    )
    existing: Literal["compare", "keep", "replace", "refuse"] = _option(
        Choice(("compare", "keep", "replace", "refuse")),
        "compare",
        "What to do with an object whose file is there already. compare: if the data sets are"
        " equal keep the old one, if not store the new one beside it; keep: forget the new one;"
        " replace: forget the old one; refuse: answer 0111H. Another instance that has the name is"
        " stored beside it, always.",
    )
    fsync: bool = _option(
        Flag(),
        True,
        "Answer only when the object would survive a power cut. Without it, one that was"
        " answered with success may be lost then, or be there in part.",
    )
    mismatch: Literal["log", "refuse"] = _option(
        Choice(("log", "refuse")),
        "log",
        "What to do with a data set whose SOP class or instance UID is not its command's."
        " log: store it under the command's, and say so; refuse: answer A900H.",
        reload=True,
    )
    private_sop_class: tuple[str, ...] = _option(
        UIDText(),
        (),
        "A SOP class to store beside the standard's storage classes, by its UID."
        " Given on the command line, it replaces the file's.",
        repeatable=True,
        reload=True,
        default_text="none",
    )
    prefer_transfer_syntax: tuple[str, ...] = _option(
        TransferSyntax(),
        (),
        "A transfer syntax, by its UID or pydicom's keyword, to choose before all others where a"
        " peer leaves us the choice; the first one named goes first. The others are accepted all"
        " the same. Given on the command line, it replaces the file's.",
        repeatable=True,
        reload=True,
        default_text="uncompressed ones, then lossless ones",
    )
    disk_mode: Literal["threads", "inline"] = _option(
        Choice(("threads", "inline")),
        "threads",
        "Who works on the disk. threads: some of its own, so that nobody waits for the disk but"
        " whose object it is; inline: the one thread of the network, which saves time where the"
        " directory is in memory, and elsewhere lets everybody wait.",
    )
    disk_threads: int = _option(
        Whole(1, 256),
        4,
        "How many threads work on the disk.",
    )
    discard: bool = _option(
        Flag(),
        False,
        "For load tests: receive objects, store nothing and answer with success all the same.",
    )

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if not self.directory and not self.discard:
            raise ConfigurationError("directory: must be given: --directory DIR, or in the file")


CONFIG = Option(
    name="config",
    kind=FileName(),
    help="A TOML file with the same names; SIGHUP reads it again.",
    default=None,
    in_file=False,
)
"""The option that only the command line has."""


def options(settings: type[ServerSettings]) -> tuple[Option, ...]:
    """Return the options that a class of settings has, those of all servers first."""
    order = [field.name for field in attrs.fields(ServerSettings)]
    order += [field.name for field in attrs.fields(settings) if field.name not in order]
    fields = attrs.fields_dict(settings)
    return tuple(
        Option(name=name.replace("_", "-"), **fields[name].metadata["option"]) for name in order
    )


def differences(old: ServerSettings, new: ServerSettings) -> Iterator[Option]:
    """Yield the options whose values differ."""
    for option in options(type(old)):
        if getattr(old, option.attribute) != getattr(new, option.attribute):
            yield option


def load(path: str) -> dict[str, object]:
    """
    Read a TOML file; its keys are not looked at yet.

    Raises:
        ConfigurationError: it cannot be read, or it is not TOML.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{printable(path)}: {reason}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{printable(path)}: not UTF-8 at byte {error.start}") from error
    return parse(text, printable(path))


def parse(text: str, source: str = "configuration") -> dict[str, object]:
    """
    Read TOML; its keys are not looked at yet.

    Raises:
        ConfigurationError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of 5,000 digits
        raise ConfigurationError(f"{source}: not TOML: {error}") from error


def reference_table(
    settings: type[ServerSettings], beside: type[ServerSettings] | None = None
) -> str:
    """
    Return the reference of the options, a table in Markdown.

    Args:
        settings: whose.
        beside: a class of settings with a table of its own, whose options are left out unless they
            are others here, in their defaults for instance.
    """
    known = (CONFIG, *options(beside)) if beside is not None else ()
    rows = [
        ("Option", "TOML key", "Type", "Unit", "Default", "Reload", "Meaning"),
        ("---",) * 7,
    ]
    for option in (CONFIG, *options(settings)):
        if option in known:
            continue
        kind = option.kind.name
        if isinstance(option.kind, Whole):
            kind += f", {option.kind.minimum} to {option.kind.maximum}"
        elif isinstance(option.kind, Choice):
            kind = ", ".join(f"`{word}`" for word in option.kind.words)
        name = f"`--{option.name}`"
        if isinstance(option.kind, Flag):
            name += f", `--no-{option.name}`"
        default = option.described_default
        if default and not option.default_text:
            default = f"`{default}`"
        rows.append(
            (
                name,
                f"`{option.name}`" if option.in_file else "none",
                kind + (", repeatable (TOML: a list)" if option.repeatable else ""),
                option.unit,
                default,
                "yes" if option.reload else "no",
                option.help,
            )
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _from_texts(option: Option, texts: Sequence[str]) -> object:
    """Read what the command line gave for an option."""
    if not option.repeatable:
        return _from_text(option, texts[-1])
    return tuple(_from_text(option, text) for text in texts)


def _from_text(option: Option, text: str) -> object:
    try:
        return option.kind.from_text(text)
    except ValueError as error:
        shown = printable(text) if text.strip() == text != "" else ascii(text)
        raise _not_allowed(option, f"--{option.name} {cut(shown)}", error) from error


def _from_toml(option: Option, value: object, source: str) -> object:
    """Read what the file gave for an option; one value stands for a list of one."""
    if option.repeatable:
        values = value if isinstance(value, list) else [value]
        if not values and option.default:
            raise ConfigurationError(f"{source}: {option.name} = []: must not be empty")
        return tuple(_from_toml_value(option, value, source) for value in values)
    return _from_toml_value(option, value, source)


def _from_toml_value(option: Option, value: object, source: str) -> object:
    try:
        return option.kind.from_toml(value)
    except ValueError as error:
        shown = json.dumps(value, default=str)
        raise _not_allowed(option, f"{source}: {option.name} = {cut(shown)}", error) from error


def _not_allowed(option: Option, where: str, error: ValueError) -> ConfigurationError:
    unit = f" ({option.unit})" if option.unit and not isinstance(option.kind, Seconds) else ""
    detail = f" ({error})" if error.args else ""
    return ConfigurationError(f"{where}: must be {option.kind.allowed}{unit}{detail}")
