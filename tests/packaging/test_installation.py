"""Wheel, sdist and editable install, each of which must give a working server."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

import attrs
from twisted.trial.unittest import SkipTest, SynchronousTestCase

import pacs_twisted
from tests.interop.server import ROOT, EchoServer
from tests.processes import Process
from tests.raw_peer import A_ASSOCIATE_AC_TYPE, A_RELEASE_RP, C_ECHO_RSP, RawPeer

INSTALLING: Final = 600.0
"""Seconds that building or installing may take: a slow package index is no fault of ours."""

NOT_OF_THE_TREE: Final = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "dist", "_build", "_generated", "_trial_temp*"
)


def run(*command: str | os.PathLike[str], directory: Path | None = None) -> str:
    """Run a command that must succeed and return what it said."""
    with Process(command, directory=directory, environment={"PYTHONPATH": ""}) as process:
        status = process.wait(seconds=INSTALLING)
    if status != 0:
        raise AssertionError(f"status {status} of {process}")
    return process.output


@attrs.frozen
class Distributions:
    """A copy of the tree, and what was built from it."""

    tree: Path
    wheel: Path
    sdist: Path


@functools.cache
def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return the directory of this run; it goes away with the process."""
    return tempfile.TemporaryDirectory(prefix="pacs-twisted-packaging.")


@functools.cache
def distributions() -> Distributions:
    """Build the sdist from a copy of the tree, and the wheel from the sdist."""
    place = Path(tempfile.mkdtemp(dir=scratch().name))  # a new one, should the first try fail
    tree = shutil.copytree(ROOT, place / "tree", ignore=NOT_OF_THE_TREE)
    # What Twisted leaves there when it lists the plugins of a checkout.
    (tree / "twisted" / "plugins" / "dropin.cache").write_bytes(b"planted")
    run(sys.executable, "-m", "build", "--outdir", place / "dist", tree)
    (wheel,) = (place / "dist").glob("*.whl")
    (sdist,) = (place / "dist").glob("*.tar.gz")
    return Distributions(tree, wheel, sdist)


def files_of(tree: Path) -> set[str]:
    """Return the names of the Python files below a directory, relative to its parent."""
    return {path.relative_to(tree.parent).as_posix() for path in tree.rglob("*.py")}


class TreeTests(SynchronousTestCase):
    """What must not be in the checkout."""

    def test_no_package_of_twisted(self) -> None:
        """No __init__.py makes our folders hide Twisted's own packages."""
        for folder in ("twisted", "twisted/plugins"):
            self.assertFalse((ROOT / folder / "__init__.py").exists(), folder)


class PackagingCase(SynchronousTestCase):
    """A test that builds, so only when asked for."""

    def setUp(self) -> None:
        if os.environ.get("PACS_TWISTED_PACKAGING") != "1":
            raise SkipTest("builds and installs packages: set PACS_TWISTED_PACKAGING=1")


class ContentTests(PackagingCase):
    """What is in wheel and sdist, and what is not."""

    def test_wheel(self) -> None:
        """The wheel has the package whole, the one drop-in, its licence, and nothing else."""
        with zipfile.ZipFile(distributions().wheel) as wheel:
            names = set(wheel.namelist())
        information = f"pacs_twisted-{pacs_twisted.__version__}.dist-info/"
        shipped = {name for name in names if not name.startswith(information)}
        expected = files_of(ROOT / "pacs_twisted") | {"pacs_twisted/py.typed"}
        self.assertEqual(shipped, expected | files_of(ROOT / "twisted"))
        self.assertIn(f"{information}licenses/LICENSE", names)

    def test_sdist(self) -> None:
        """The sdist has what is needed to test and to read as well, and no leftovers."""
        with tarfile.open(distributions().sdist) as sdist:
            names = {name.partition("/")[2] for name in sdist.getnames()}
        needed = {
            *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "setup.cfg"),
            *("tests/requirements.toml", "tests/data/README.md"),
            *("docs/conf.py", "pacs_twisted/py.typed"),
            *files_of(ROOT / "pacs_twisted"),
            *files_of(ROOT / "twisted"),
            *files_of(ROOT / "tests"),
        }
        self.assertEqual(needed - names, set())
        leftovers = [name for name in names if name.endswith((".pyc", "dropin.cache"))]
        self.assertEqual(leftovers, [])


class InstallationTests(PackagingCase):
    """Each way to install, into an environment of its own, gives a server that answers."""

    def assert_installed(self, name: str, *arguments: str | os.PathLike[str]) -> None:
        """Install with these arguments of pip and have an echo answered, from elsewhere."""
        environment = Path(scratch().name) / name
        elsewhere = environment / "elsewhere"
        programs = environment / "bin"
        run(sys.executable, "-m", "venv", environment)
        elsewhere.mkdir()
        run(programs / "pip", "install", *arguments, directory=elsewhere)
        run(programs / "pip", "check", directory=elsewhere)
        commands = run(programs / "twist", "--help", directory=elsewhere)
        self.assertIn("pacs-echo", commands)
        self.assertIn("pacs-store", commands)
        server = EchoServer(twistd=programs / "twistd", directory=elsewhere)
        try:
            with RawPeer(server.port) as peer:
                self.assertEqual(peer.associate()[0], A_ASSOCIATE_AC_TYPE)
                self.assertEqual(peer.echo(), C_ECHO_RSP)
                self.assertEqual(peer.release(), A_RELEASE_RP)
        finally:
            log = server.stop()
        self.assertNotIn("Traceback", log)
        self.assertEqual(list(elsewhere.iterdir()), [])

    def test_command_line(self) -> None:
        """The command line says what it lacks, and works with its extra."""
        environment = Path(scratch().name) / "command-line"
        program = environment / "bin" / "pacs-twisted"
        pip = environment / "bin" / "pip"
        run(sys.executable, "-m", "venv", environment)
        run(pip, "install", distributions().wheel)
        with Process([program, "echo", "127.0.0.1"]) as bare:
            self.assertEqual(bare.wait(seconds=60), 2)
        self.assertIn("pacs-twisted[cli]", bare.output)
        self.assertNotIn("Traceback", bare.output)
        run(pip, "install", f"pacs-twisted[cli] @ {distributions().wheel.as_uri()}")
        self.assertIn(pacs_twisted.__version__, run(program, "--version"))

    def test_wheel(self) -> None:
        """The wheel."""
        self.assert_installed("wheel", distributions().wheel)

    def test_sdist(self) -> None:
        """The sdist."""
        self.assert_installed("sdist", distributions().sdist)

    def test_editable(self) -> None:
        """A checkout that is worked on."""
        self.assert_installed("editable", "-e", distributions().tree)
