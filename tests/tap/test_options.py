"""The command line of a server, by example of the echo server's."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted import __version__
from pacs_twisted.admission import PermittedPeer
from pacs_twisted.config import EchoSettings, ServerSettings, options
from pacs_twisted.tap.echo import Options
from pacs_twisted.tap.store import Options as StoreOptions


class OptionsTests(SynchronousTestCase):
    """The command line as twistd hands it to us."""

    def parse(self, *arguments: str) -> ServerSettings:
        parsed = Options()
        parsed.parseOptions(arguments)
        return parsed.settings

    def mistake(self, *arguments: str) -> str:
        with self.assertRaises(UsageError) as caught:
            self.parse(*arguments)
        return str(caught.exception)

    def test_nothing(self) -> None:
        """Without options: the defaults."""
        self.assertEqual(self.parse(), EchoSettings())

    def test_options(self) -> None:
        """Values, repeated values and flags arrive."""
        settings = self.parse(
            "--ae-title=ARCHIVE", "--max-pdu", "16384", "--listen=tcp:104", "--listen=tcp:11112",
            "--allow=CT1", "--allow", "*@10.0.0.0/8", "--require-called-ae", "--reject-empty",
            "--no-reject-empty",
        )  # fmt: skip
        self.assertEqual(
            settings,
            EchoSettings(
                ae_title="ARCHIVE",
                max_pdu=16384,
                listen=("tcp:104", "tcp:11112"),
                allow=(PermittedPeer.parse("CT1"), PermittedPeer.parse("*@10.0.0.0/8")),
                require_called_ae=True,
            ),
        )

    def test_every_option(self) -> None:
        """Each option of the definition is on the command line and in the help."""
        text = str(Options())
        for option in options(EchoSettings):
            self.assertIn(f"--{option.name}", text)
        self.assertIn("--config=", text)
        self.assertIn("--no-require-called-ae", text)

    def test_file(self) -> None:
        """The file counts where the command line says nothing, also against its flags."""
        path = Path(self.mktemp())
        path.write_text('require-called-ae = true\nae-title = "A"\nmax-pdu = 4096\n')
        settings = self.parse(f"--config={path}", "--no-require-called-ae", "--ae-title=B")
        self.assertEqual(settings, EchoSettings(ae_title="B", max_pdu=4096))

    def test_file_is_read_again(self) -> None:
        """The file's name is absolute: a daemon changes its directory before a reload."""
        path = Path(self.mktemp())
        path.write_text("max-associations = 1\n")
        parsed = Options()
        parsed.parseOptions(["--config", str(path), "--ae-title", "B"])
        self.assertEqual(parsed.arguments["config"], [str(path.resolve())])
        path.write_text("max-associations = 2\n")
        self.assertEqual(parsed.read(), EchoSettings(ae_title="B", max_associations=2))

    def test_directory(self) -> None:
        """So is a directory's, of which the command line speaks from where it is written."""
        parsed = StoreOptions()
        parsed.parseOptions(["--directory", "images"])
        self.assertEqual(parsed.arguments["directory"], [str(Path("images").resolve())])
        with self.assertRaisesRegex(UsageError, "--directory '': must be the name of a directory"):
            StoreOptions().parseOptions(["--directory", ""])
        with self.assertRaisesRegex(UsageError, "directory: must be given"):
            StoreOptions().parseOptions([])

    def test_mistakes(self) -> None:
        """Each is told in one line."""
        self.assertEqual(
            self.mistake("--max-pdu=12"),
            "--max-pdu 12: must be a whole number from 4096 to 16777216 (bytes)",
        )
        self.assertEqual(self.mistake("surplus"), "unexpected argument surplus")
        self.assertIn("--colour not recognized", self.mistake("--colour=red"))
        self.assertIn("No such file or directory", self.mistake("--config", self.mktemp()))

    def test_endpoints(self) -> None:
        """An endpoint string that cannot be parsed is told before anything starts."""
        self.assertEqual(
            self.mistake("--listen=tpc:11112"),
            "listen: tpc:11112 is not a usable endpoint string: Unknown endpoint type: 'tpc'",
        )
        self.assertEqual(
            self.mistake("--listen=tcp"),
            "listen: tcp is not a usable endpoint string:"
            " missing 1 required positional argument: 'port'",
        )
        self.mistake("--listen=tcp:dicom-port")

    def test_within_a_command(self) -> None:
        """As a part of twistd's command line a mistake is one line on stderr, and the end."""
        stderr = io.StringIO()
        self.patch(sys, "__stderr__", stderr)
        parsed = Options()
        parsed.parent = UsageOptions()
        with self.assertRaises(SystemExit) as caught:
            parsed.parseOptions(["--ae-title", "A\nB"])
        self.assertEqual(caught.exception.code, 1)
        self.assertRegex(stderr.getvalue(), r"\Apacs-echo: --ae-title 'A\\nB': must be [^\n]+\n\Z")

    def test_version(self) -> None:
        """`--version` is ours, not Twisted's."""
        stdout = io.StringIO()
        self.patch(sys, "stdout", stdout)
        self.assertRaises(SystemExit, self.parse, "--version")
        self.assertEqual(stdout.getvalue(), f"pacs-echo {__version__} (pacs_twisted)\n")
