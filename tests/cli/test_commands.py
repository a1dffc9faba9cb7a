"""The command line as a whole."""

from __future__ import annotations

import importlib.util
import io
from contextlib import redirect_stderr
from importlib.machinery import ModuleSpec
from unittest import mock

import click
from twisted.trial.unittest import SynchronousTestCase

import pacs_twisted.cli
from pacs_twisted.cli.commands import cli, run
from pacs_twisted.cli.events import EVENTS
from pacs_twisted.cli.exits import MEANINGS, Exit, exit_for, kind_of
from pacs_twisted.cli.options import (
    COMMANDS,
    EchoOptions,
    UIDOrKeyword,
    client_options,
    environment_variables,
)
from pacs_twisted.config import StoreSettings, options
from pacs_twisted.errors import PacsError, TimedOut
from tests.cli.driving import CommandCase, FakePeer


class OptionTests(CommandCase):
    """Options, and the environment variables that stand for them."""

    def test_every_option(self) -> None:
        """Each option of the definitions is on the command line, with its help and default."""
        for command in COMMANDS:
            text = " ".join(self.run_command(command.command, "--help").stdout.split())
            for option in client_options(command):
                self.assertIn(f"--{option.name}", text)
        text = self.run_command("listen", "--help").stdout
        for option in options(StoreSettings):
            self.assertIn(f"--{option.name}", text)
        self.assertIn("--config", text)
        self.assertIn("--json", text)

    def test_environment(self) -> None:
        """A variable stands for an option, one of the command goes before one of all."""
        associate = self.associate(FakePeer())
        for environment, arguments, called in (
            ({"PACS_TWISTED_CALLED": "A"}, (), "A"),
            ({"PACS_TWISTED_CALLED": "A", "PACS_TWISTED_ECHO_CALLED": "B"}, (), "B"),
            ({"PACS_TWISTED_CALLED": "A", "PACS_TWISTED_STORE_CALLED": "B"}, (), "A"),
            ({"PACS_TWISTED_ECHO_CALLED": "B"}, ("--called=C",), "C"),
            ({"PACS_TWISTED_CALLED": ""}, (), "ANY-SCP"),
        ):
            with self.subTest(environment):
                self.run_command(
                    "echo", "archive", *arguments, associate=associate, environment=environment
                )
                self.assertEqual(self.requests[-1]["called"], called)

    def test_environment_flags(self) -> None:
        """Flags, too."""
        done = self.run_command(
            "echo",
            "archive",
            associate=self.associate(FakePeer()),
            environment={"PACS_TWISTED_JSON": "1"},
        )
        self.assertEqual(len(done.of("summary")), 1)

    def test_environment_of_servers(self) -> None:
        """What is meant for clients does not tell a server what to do."""
        (acse,) = (option for option in options(StoreSettings) if option.name == "acse-timeout")
        self.assertEqual(
            environment_variables("listen", acse), ("PACS_TWISTED_LISTEN_ACSE_TIMEOUT",)
        )
        self.assertEqual(
            environment_variables("echo", acse),
            ("PACS_TWISTED_ECHO_ACSE_TIMEOUT", "PACS_TWISTED_ACSE_TIMEOUT"),
        )

    def test_mistakes(self) -> None:
        """Each is told with what would be allowed, as for the servers; exit status 2."""
        for arguments, words in (
            (("echo",), "Missing argument 'HOST[:PORT]'"),
            (("echo", "archive", "more"), "unexpected extra argument"),
            (("echo", "archive:0"), "a port is a number from 1 to 65535"),
            (("echo", "nosuch:a:b"), "not a usable endpoint string"),
            (("echo", "archive", "--count=-1"), "must be a whole number from 0 to"),
            (("echo", "archive", "--interval=x"), "must be a number of seconds from 0 to 86400"),
            (("echo", "archive", "--called=SEVENTEEN-LETTERS"), "must be 1 to 16 characters"),
            (("echo", "archive", "--max-pdu=12"), "from 4096 to 16777216 (bytes)"),
            (("explain", "archive", "--sop-class=CT"), "must be a UID, or its keyword"),
            (("store", "archive"), "Missing argument 'PATH"),
            (("listen", "--discard", "--max-pdu=12"), "--max-pdu 12: must be"),
            (("listen",), "directory: must be given"),
            (("listen", "--discard", "--listen=nosuch:1"), "not a usable endpoint string"),
            (("nosuch",), "No such command"),
        ):
            with self.subTest(arguments):
                done = self.run_command(*arguments, associate=self.associate(FakePeer()))
                self.assertIn(words, " ".join(done.stderr.split()))
                self.assertEqual(done.status, 2)
                self.assertNotIn("Traceback", done.stderr)

    def test_log(self) -> None:
        """The log says nothing unless it is asked to."""
        for arguments, level in (((), "critical"), (("-v",), "info"), (("--debug",), "debug")):
            self.run_command("echo", "archive", *arguments, associate=self.associate(FakePeer()))
            self.assertEqual(self.logs.pop(), level)

    def test_keywords(self) -> None:
        """UIDs may be given by pydicom's keywords, also those of classes that are not stored."""
        kind = UIDOrKeyword()
        self.assertEqual(kind.from_text("Verification"), "1.2.840.10008.1.1")
        self.assertEqual(kind.from_text("RLELossless"), "1.2.840.10008.1.2.5")
        self.assertEqual(kind.from_text("1.2.3"), "1.2.3")
        for text in ("", "1.2." + "3" * 64, "nosuch"):
            self.assertRaises(ValueError, kind.from_text, text)


class ExitTests(SynchronousTestCase):
    """Exit statuses."""

    def test_every_error(self) -> None:
        """Every error of ours that can end a command has a word and a status."""
        self.assertEqual(set(MEANINGS), set(Exit))
        for error in PacsError.__subclasses__():
            self.assertIn(error.__module__.partition(".")[0], "pacs_twisted")
        self.assertEqual(exit_for(TimedOut("connect", 1)), Exit.NO_CONNECTION)
        self.assertEqual(exit_for(TimedOut("acse", 1)), Exit.ABORTED)
        self.assertEqual(kind_of(ValueError()), "failed")

    def test_usage(self) -> None:
        """A mistake is a line on stderr, not an exception."""
        with redirect_stderr(io.StringIO()) as stderr:
            self.assertEqual(run(["echo", "--nosuch"]), 2)
        self.assertIn("No such option", stderr.getvalue())

    def test_interrupted_early(self) -> None:
        """Ctrl-C before the reactor runs."""
        command = mock.Mock(side_effect=KeyboardInterrupt)
        with mock.patch.object(cli, "invoke", command), redirect_stderr(io.StringIO()):
            self.assertEqual(run(["echo", "archive"]), 130)


class MissingTests(SynchronousTestCase):
    """Without the extra."""

    def test_line(self) -> None:
        """One line says what is missing and how to get it."""
        find = importlib.util.find_spec

        def find_spec(name: str) -> ModuleSpec | None:
            return None if name in ("click", "rich") else find(name)

        with (
            mock.patch.object(importlib.util, "find_spec", find_spec),
            redirect_stderr(io.StringIO()) as stderr,
            self.assertRaises(SystemExit) as caught,
        ):
            pacs_twisted.cli.main()
        self.assertEqual(caught.exception.code, 2)
        self.assertEqual(
            stderr.getvalue(),
            "pacs-twisted: the command line needs click and rich:"
            " pip install 'pacs-twisted[cli]'\n",
        )


class DocumentationTests(SynchronousTestCase):
    """What is declared for the reference."""

    def test_commands(self) -> None:
        """Every command has its events declared, every one with a summary."""
        self.assertEqual(set(EVENTS), set(cli.commands))
        for events in EVENTS.values():
            self.assertEqual(list(events)[-1], "summary")

    def test_short_options(self) -> None:
        """The parameters of a command have different names."""
        for command in cli.commands.values():
            own = [one for one in command.params if isinstance(one, click.Option)]
            names = [name for option in own for name in option.opts]
            self.assertEqual(len(names), len(set(names)))
        self.assertEqual(EchoOptions.command, "echo")
