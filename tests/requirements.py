"""
Which tests cover which demand of the standard.

A test names the demands that it proves:

    @requirement("A3", "B5")
    def test_silent_peer(self) -> None: ...

Put the decorator above all others. The demands are listed in requirements.toml;
test_requirements.py fails when one is left without a test. To see who covers what:

    python -m tests.requirements
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import tomllib
import unittest
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

import attrs

import tests

TABLE: Final = Path(__file__).with_name("requirements.toml")
LEVELS: Final = ("M", "S", "P")
BINDS: Final = ("acceptor", "requestor", "both", "documentation")
LATER: Final = ("requestor", "storage", "security", "documentation")

ON_DEMAND: Final = ("tests.interop", "tests.packaging")
"""Packages that a plain `trial tests` skips: what their tests name covers nothing."""

_ATTRIBUTE: Final = "requirement_identifiers"
_Test = TypeVar("_Test", bound=Callable[..., object])


def requirement(*identifiers: str) -> Callable[[_Test], _Test]:
    """
    Mark a test method as a proof of these lines of requirements.toml.

    Args:
        identifiers: such as "A3"; several decorators on one method add up.
    """

    def mark(test: _Test) -> _Test:
        named: tuple[str, ...] = getattr(test, _ATTRIBUTE, ())
        setattr(test, _ATTRIBUTE, named + identifiers)
        return test

    return mark


@attrs.frozen
class Requirement:
    """One line of requirements.toml, whose head explains the fields."""

    identifier: str
    level: str
    binds: str
    section: str
    text: str
    later: str | None = None
    why: str | None = None

    @property
    def binds_this_server(self) -> bool:
        """Whether it binds the acceptor of an association that serves C-ECHO: sections A to J."""
        return self.binds in ("acceptor", "both") and self.identifier[0] in "ABCDEFGHIJ"


def load(path: Path = TABLE) -> dict[str, Requirement]:
    """Return the lines of the table by identifier, in its order."""
    with path.open("rb") as file:
        lines = tomllib.load(file)
    return {identifier: Requirement(identifier, **fields) for identifier, fields in lines.items()}


def collect(package: str = tests.__name__) -> dict[str, list[str]]:
    """Return for each identifier that a decorator names the tests that name it, dotted names."""
    covering: dict[str, list[str]] = {}
    for name, test in _test_methods(package):
        for identifier in getattr(test, _ATTRIBUTE, ()):
            covering.setdefault(identifier, []).append(name)
    return covering


def _test_methods(package: str) -> Iterator[tuple[str, object]]:
    for module_name in _module_names(package):
        module = importlib.import_module(module_name)
        for case in vars(module).values():
            if not (isinstance(case, type) and issubclass(case, unittest.TestCase)):
                continue
            if case.__module__ != module_name:
                continue  # imported from where it is found anyway
            for attribute in dir(case):
                if attribute.startswith("test"):
                    yield f"{module_name}.{case.__name__}.{attribute}", getattr(case, attribute)


def _module_names(package: str) -> Iterator[str]:
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        if found.name.rpartition(".")[2].startswith("test_"):
            yield found.name


def in_default_run(test: str) -> bool:
    """Return whether a test of this dotted name runs in a plain `trial tests`."""
    return not test.startswith(tuple(f"{package}." for package in ON_DEMAND))


def complaints(
    lines: Mapping[str, Requirement], covering: Mapping[str, Collection[str]]
) -> list[str]:
    """Return what is wrong between table and tests, a sentence each; nothing if all is well."""
    found = [
        f"{identifier} is not in {TABLE.name}, but named by {', '.join(covering[identifier])}"
        for identifier in sorted(covering)
        if identifier not in lines
    ]
    for line in lines.values():
        covered = any(in_default_run(test) for test in covering.get(line.identifier, ()))
        found.extend(
            f"{line.identifier} {objection}"
            for objection in (*_objections(line), *_misfits(line, covered=covered))
        )
    return found


def _objections(line: Requirement) -> Iterator[str]:
    """What is wrong with the line itself."""
    if line.level not in LEVELS:
        yield f"has level {line.level!r}"
    if line.binds not in BINDS:
        yield f"binds {line.binds!r}"
    if line.later is not None and line.later not in LATER:
        yield f"is for later, {line.later!r}"
    if (line.later is None) != (not line.why):
        yield "needs both `later` and `why`, or neither"
    if line.later is not None and line.binds_this_server:
        yield "binds an acceptor: it cannot be for later"


def _misfits(line: Requirement, *, covered: bool) -> Iterator[str]:
    """What is wrong between the line and the tests."""
    if covered and line.later is not None:
        yield "is covered: delete its `later` and `why`"
    if not covered and line.later is None and line.level == "M":
        yield f"has no test ({line.section}: {line.text})"


def main() -> int:
    """Print a line per demand with its tests, then the sums; return the exit status."""
    lines, covering = load(), collect()
    for line in lines.values():
        covered_by = [test for test in covering.get(line.identifier, ()) if in_default_run(test)]
        if covered_by:
            state = f"{len(covered_by)} tests" if len(covered_by) > 1 else "1 test"
        elif line.later is not None:
            state = f"later: {line.later}"
        else:
            state = "MISSING" if line.level == "M" else "none"
        print(f"{line.identifier:4}{line.level}  {line.binds:14}{state:21}{line.text}")
        for test in covered_by:
            print(f"{'':21}{test}")
    found = complaints(lines, covering)
    covered = sum(identifier in covering for identifier in lines)
    print(f"{len(lines)} demands, {covered} covered, {len(found)} complaints")
    for complaint in found:
        print(f"  {complaint}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
