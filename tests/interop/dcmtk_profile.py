"""Presentation contexts for programs of DCMTK, in the format of their configuration files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.interop.objects import Object

NAME: Final = "Default"
"""The name of the profile in each file."""


def write_requestor(path: Path, objects: Iterable[Object]) -> Path:
    """Write a profile of one presentation context for each SOP class and transfer syntax."""
    needs = sorted({(each.sop_class, each.transfer_syntax) for each in objects})
    syntaxes = sorted({syntax for _, syntax in needs})
    names = {syntax: f"Syntax{number}" for number, syntax in enumerate(syntaxes)}
    contexts = [(sop_class, names[syntax]) for sop_class, syntax in needs]
    return _write(path, {names[each]: [each] for each in syntaxes}, contexts)


def write_acceptor(path: Path, objects: Sequence[Object]) -> Path:
    """Write a profile that accepts each SOP class in each of the transfer syntaxes."""
    syntaxes = sorted({each.transfer_syntax for each in objects})
    sop_classes = sorted({each.sop_class for each in objects})
    return _write(path, {"All": syntaxes}, [(each, "All") for each in sop_classes])


def _write(
    path: Path, syntaxes: Mapping[str, Sequence[str]], contexts: Sequence[tuple[str, str]]
) -> Path:
    lines = ["[[TransferSyntaxes]]"]
    for name, uids in syntaxes.items():
        lines.append(f"[{name}]")
        lines += [f"TransferSyntax{number} = {uid}" for number, uid in enumerate(uids, 1)]
    lines += ["[[PresentationContexts]]", "[Storage]"]
    for number, (sop_class, name) in enumerate(contexts, 1):
        lines.append(rf"PresentationContext{number} = {sop_class}\{name}")
    lines += ["[[Profiles]]", f"[{NAME}]", "PresentationContexts = Storage", ""]
    path.write_text("\n".join(lines))
    return path
