"""The options: what command line and file may say, who goes first, how mistakes are told."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.admission import PermittedPeer
from pacs_twisted.config import (
    ConfigurationError,
    EchoSettings,
    ServerSettings,
    StoreSettings,
    differences,
    load,
    options,
    parse,
    reference_table,
)
from pacs_twisted.storage.paths import DEFAULT_TEMPLATE


class ConfigurationCase(SynchronousTestCase):
    """A test of what is read, and of the one line that tells a mistake."""

    def file(self, text: str) -> EchoSettings:
        """Return the settings that a file gives."""
        return EchoSettings.build(document=parse(text, "pacs.toml"), source="pacs.toml")

    def line(self, *arguments: str) -> EchoSettings:
        """Return the settings that pairs of option and value on the command line give."""
        collected: dict[str, list[str]] = {}
        for name, value in zip(arguments[::2], arguments[1::2], strict=True):
            collected.setdefault(name, []).append(value)
        return EchoSettings.build(collected)

    def mistake(
        self, arguments: Mapping[str, Sequence[str]] | None = None, file: str | None = None
    ) -> str:
        """Return how a mistake is told: one line, always."""
        with self.assertRaises(ConfigurationError) as caught:
            if file is None:
                EchoSettings.build(arguments)
            else:
                self.file(file)
        message = str(caught.exception)
        self.assertTrue(message.isprintable(), message)
        self.assertLess(len(message), 400)
        return message


class OrderTests(ConfigurationCase):
    """Command line before file before default."""

    def test_defaults(self) -> None:
        """Without a word the server is the one that the documentation promises."""
        settings = EchoSettings.build()
        self.assertEqual(settings, EchoSettings())
        self.assertEqual(settings.listen, ("tcp:11112",))
        self.assertEqual(settings.ae_title, "PACS_ECHO")
        self.assertEqual(settings.max_associations, 100)
        self.assertEqual(settings.max_pdu, 131_072)
        self.assertEqual(settings.artim_timeout, 30.0)
        self.assertEqual(settings.allow, ())
        self.assertFalse(settings.require_called_ae)

    def test_file_before_default(self) -> None:
        """What the file says counts; the rest keeps its default."""
        settings = self.file('max-associations = 7\nae-title = "CT_ARCHIVE"')
        self.assertEqual(settings, EchoSettings(max_associations=7, ae_title="CT_ARCHIVE"))

    def test_command_line_before_file(self) -> None:
        """What the command line says counts before the file."""
        settings = EchoSettings.build(
            {"max-associations": ["9"], "require-called-ae": ["false"]},
            {"max-associations": 7, "require-called-ae": True, "max-pdu": 16384},
        )
        self.assertEqual(settings, EchoSettings(max_associations=9, max_pdu=16384))

    def test_command_line_replaces_lists(self) -> None:
        """Listeners and peers of the command line replace the file's, not add to them."""
        settings = EchoSettings.build({"listen": ["tcp:1", "tcp:2"]}, {"listen": ["tcp:3"]})
        self.assertEqual(settings.listen, ("tcp:1", "tcp:2"))

    def test_last_value_counts(self) -> None:
        """Of an option that is not repeatable the last value counts, as everywhere."""
        self.assertEqual(self.line("max-pdu", "4096", "max-pdu", "8192").max_pdu, 8192)


class ValueTests(ConfigurationCase):
    """What values may be."""

    def test_listeners_in_the_file(self) -> None:
        """A listener is a string or a table; one alone needs no list."""
        several = self.file('listen = ["tcp:104", { endpoint = "tcp:11112" }]')
        self.assertEqual(several.listen, ("tcp:104", "tcp:11112"))
        self.assertEqual(self.file('listen = "tcp:104"').listen, ("tcp:104",))
        tables = self.file('[[listen]]\nendpoint = "tcp:1"\n[[listen]]\nendpoint = "tcp:2"')
        self.assertEqual(tables.listen, ("tcp:1", "tcp:2"))

    def test_permitted_peers(self) -> None:
        """Peers are read by admission's rules, from file and command line alike."""
        peers = (PermittedPeer.parse("CT1@10.0.0.0/8"), PermittedPeer.parse("*@192.168.0.0/16"))
        self.assertEqual(
            self.line("allow", "CT1@10.0.0.0/8", "allow", "*@192.168.0.0/16").allow, peers
        )
        self.assertEqual(self.file('allow = ["CT1@10.0.0.0/8", "*@192.168.0.0/16"]').allow, peers)

    def test_seconds(self) -> None:
        """Times are decimal numbers; whole ones will do, and zero turns a timer off."""
        self.assertEqual(self.line("idle-timeout", "2.5").idle_timeout, 2.5)
        self.assertEqual(self.line("idle-timeout", ".5").idle_timeout, 0.5)
        self.assertEqual(self.file("idle-timeout = 2").idle_timeout, 2.0)
        self.assertEqual(self.file("drain-timeout = 0").drain_timeout, 0.0)

    def test_artim_cannot_be_off(self) -> None:
        """Without ARTIM a silent connection would stay for ever: zero is refused."""
        self.assertEqual(
            self.mistake({"artim-timeout": ["0"]}),
            "--artim-timeout 0: must be a number of seconds above 0 and up to 86400",
        )

    def test_title(self) -> None:
        """Blanks around a title are not significant; inside they are."""
        self.assertEqual(self.line("ae-title", " MY PACS ").ae_title, "MY PACS")
        self.assertEqual(self.line("ae-title", "A" * 16).ae_title, "A" * 16)

    def test_bounds_are_allowed(self) -> None:
        """The least and the largest value of every whole number are allowed."""
        for option in options(EchoSettings):
            for bound in ("minimum", "maximum"):
                value = getattr(option.kind, bound, None)
                if isinstance(value, int) and option.kind.name == "whole number":
                    arguments = {option.name: [str(value)]}
                    if option.name == "max-unfinished":
                        arguments["max-associate-pdu"] = ["4096"]
                    settings = EchoSettings.build(arguments)
                    self.assertEqual(getattr(settings, option.attribute), value)


class MistakeTests(ConfigurationCase):
    """One line names the option or key, the value, and what is allowed."""

    def test_on_the_command_line(self) -> None:
        """The option stands there as it was written."""
        self.assertEqual(
            self.mistake({"max-pdu": ["12"]}),
            "--max-pdu 12: must be a whole number from 4096 to 16777216 (bytes)",
        )

    def test_in_the_file(self) -> None:
        """The file and its key are named."""
        self.assertEqual(
            self.mistake(file='idle-action = "kill"'),
            'pacs.toml: idle-action = "kill": must be one of abort, release',
        )

    def test_unknown_key(self) -> None:
        """An unknown key is an error that names the closest one."""
        self.assertEqual(
            self.mistake(file="max_associations = 3"),
            "pacs.toml: unknown key max_associations; did you mean max-associations?",
        )
        self.assertIn("did you mean ae-title?", self.mistake(file='AE-Title = "X"'))
        self.assertIn("unknown key config", self.mistake(file='config = "other.toml"'))
        self.assertIn("did you mean endpoint?", self.mistake(file='[listen]\nendpiont = "tcp:1"'))

    def test_bad_values(self) -> None:
        """Whatever is not allowed is refused, wherever it is written."""
        for name, value in [
            ("max-pdu", "4095"),
            ("max-pdu", "16777217"),
            ("max-pdu", "-4096"),
            ("max-pdu", "4_096"),
            ("max-pdu", "4096 "),
            ("max-pdu", "4096.0"),
            ("max-pdu", "٤٠٩٦"),
            ("max-pdu", "9" * 5000),
            ("max-pdu", ""),
            ("max-associations", "-1"),
            ("max-operations", "0"),
            ("idle-timeout", "nan"),
            ("idle-timeout", "inf"),
            ("idle-timeout", "-1"),
            ("idle-timeout", "1e3"),
            ("idle-timeout", "."),
            ("idle-timeout", "86401"),
            ("ae-title", ""),
            ("ae-title", "   "),
            ("ae-title", "A" * 17),
            ("ae-title", "BACK\\SLASH"),
            ("ae-title", "NEW\nLINE"),
            ("ae-title", "MÜLLER"),
            ("log-level", "INFO"),
            ("allow", "CT1@10.0.0.0/33"),
            ("allow", ""),
            ("listen", " "),
        ]:
            message = self.mistake({name: [value]})
            self.assertTrue(message.startswith(f"--{name} "), message)

    def test_bad_values_of_the_file(self) -> None:
        """TOML's types are not bent into others."""
        for key, value in [
            ("max-pdu", "true"),
            ("max-pdu", '"4096"'),
            ("max-pdu", "4096.0"),
            ("max-pdu", "1e400"),
            ("max-pdu", "[4096]"),
            ("max-pdu", "2026-11-22"),
            ("idle-timeout", "nan"),
            ("idle-timeout", "inf"),
            ("idle-timeout", "-0.1"),
            ("idle-timeout", "true"),
            ("idle-timeout", '"30"'),
            ("require-called-ae", "1"),
            ("require-called-ae", '"yes"'),
            ("ae-title", "5"),
            ("allow", "[1]"),
            ("listen", "[]"),
            ("listen", "[{}]"),
            ("listen", "[{endpoint = 5}]"),
            ("listen", "[['tcp:1']]"),
        ]:
            message = self.mistake(file=f"{key} = {value}")
            self.assertTrue(message.startswith(f"pacs.toml: {key} = "), message)

    def test_limits_that_exclude_each_other(self) -> None:
        """An A-ASSOCIATE-RQ that may never be finished is told at the start."""
        self.assertEqual(
            self.mistake({"max-unfinished": ["8192"]}),
            "max-unfinished: 8192 is less than max-associate-pdu, 1048576",
        )

    def test_not_toml(self) -> None:
        """The place of the mistake is named."""
        message = self.mistake(file="listen = \n")
        self.assertRegex(message, r"pacs\.toml: not TOML: .*line 1")
        self.mistake(file="max-pdu = " + "9" * 5000)
        self.mistake(file="allow = " + "[" * 10_000)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Any text for any option is a value or one line."""
        for option in options(EchoSettings):
            try:
                EchoSettings.build({option.name: [text]})
            except ConfigurationError as error:
                self.assertTrue(str(error).isprintable())


class StoreTests(SynchronousTestCase):
    """The options of the storage server."""

    def build(self, file: str = "", **arguments: str | list[str]) -> StoreSettings:
        """Return the settings of a server that stores in /srv/dicom unless told otherwise."""
        given = {"directory": "/srv/dicom", **arguments}
        return StoreSettings.build(
            {
                name.replace("_", "-"): [value] if isinstance(value, str) else value
                for name, value in given.items()
            },
            parse(file, "pacs.toml"),
            "pacs.toml",
        )

    def mistake(self, **arguments: str) -> str:
        with self.assertRaises(ConfigurationError) as caught:
            self.build(**arguments)
        return str(caught.exception)

    def test_defaults(self) -> None:
        """What is stored is safe, complete, and found by study, series and instance."""
        settings = self.build()
        self.assertEqual(settings.ae_title, "PACS_STORE")
        self.assertEqual(settings.template, DEFAULT_TEMPLATE)  # config knows no storage
        self.assertEqual((settings.existing, settings.mismatch), ("compare", "log"))
        self.assertTrue(settings.fsync)
        self.assertFalse(settings.discard)
        self.assertEqual((settings.disk_mode, settings.disk_threads), ("threads", 4))
        self.assertEqual((settings.private_sop_class, settings.prefer_transfer_syntax), ((), ()))

    def test_defaults_are_allowed(self) -> None:
        """Every default could have been written as the reference shows it."""
        for option in options(StoreSettings):
            if not option.default_text:
                settings = self.build(**{option.attribute: option.described_default})
                self.assertEqual(settings, self.build())

    def test_directory_is_required(self) -> None:
        """Without a directory nothing can be stored, and only --discard wants nothing stored."""
        with self.assertRaises(ConfigurationError) as caught:
            StoreSettings.build()
        self.assertEqual(
            str(caught.exception), "directory: must be given: --directory DIR, or in the file"
        )
        self.assertTrue(StoreSettings.build({"discard": ["true"]}).discard)

    def test_directory(self) -> None:
        """A directory is an absolute name: a daemon's own directory is the root."""
        file = StoreSettings.build(document=parse('directory = "/srv//images/"'))
        self.assertEqual(file.directory, "/srv/images")
        for name in ("images", "", " /srv", "/srv\0"):
            self.assertIn("must be the name of a directory", self.mistake(directory=name))

    def test_template(self) -> None:
        """A template is looked at when it is written, and says what is wrong with it."""
        self.assertEqual(self.build(template="{PatientID}/{SOPInstanceUID}").template[:3], "{Pa")
        self.assertEqual(self.build('template = "{Modality}"').template, "{Modality}")
        for template in ("", "{Patient", "{NoSuchKeyword}"):
            message = self.mistake(template=template)
            self.assertIn("must be a template of paths such as", message)
            self.assertTrue(message.isprintable())

    def test_transfer_syntaxes(self) -> None:
        """They are named by UID or by pydicom's keyword, the most preferred first."""
        settings = self.build(
            prefer_transfer_syntax=["JPEG2000Lossless", "1.2.840.10008.1.2", "1.2.3.4"]
        )
        self.assertEqual(
            settings.prefer_transfer_syntax,
            ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2", "1.2.3.4"),
        )
        self.assertIn(
            "did you mean JPEG2000Lossless?", self.mistake(prefer_transfer_syntax="jpeg2000losless")
        )
        self.assertIn(
            "that is CT Image Storage",
            self.mistake(prefer_transfer_syntax="1.2.840.10008.5.1.4.1.1.2"),
        )

    def test_private_sop_classes(self) -> None:
        """They are named by UID."""
        settings = self.build('private-sop-class = "1.2.3.4"')
        self.assertEqual(settings.private_sop_class, ("1.2.3.4",))
        for uid in ("", "any", "1", "1.2.", "1..2", "1.2 ", "1." + "2" * 63):
            self.assertIn("must be a UID", self.mistake(private_sop_class=uid))

    def test_reload(self) -> None:
        """A reload changes how objects are stored from then on, not where and by whom."""
        common = {option.name for option in options(ServerSettings)}
        own = [option for option in options(StoreSettings) if option.name not in common]
        self.assertEqual(
            {option.name for option in own if not option.reload},
            {"directory", "existing", "fsync", "disk-mode", "disk-threads", "discard"},
        )

    def test_reference(self) -> None:
        """Beside the echo server's table, the storage server's has what is different."""
        whole = reference_table(StoreSettings).splitlines()
        rest = reference_table(StoreSettings, beside=EchoSettings).splitlines()
        self.assertEqual(whole[:2], rest[:2])
        names = [row.split("`")[1] for row in rest[2:]]
        self.assertEqual(names[:3], ["--ae-title", "--directory", "--template"])
        self.assertNotIn("--config", names)
        self.assertEqual(len(whole), len(rest) + len(options(EchoSettings)))


class FileTests(SynchronousTestCase):
    """Reading the file itself."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def mistake(self) -> str:
        with self.assertRaises(ConfigurationError) as caught:
            load(os.fspath(self.path))
        return str(caught.exception)

    def test_read(self) -> None:
        """A file is TOML in UTF-8, with a byte order mark or without."""
        self.path.write_bytes(b"\xef\xbb\xbfmax-pdu = 4096\n")
        self.assertEqual(load(os.fspath(self.path)), {"max-pdu": 4096})

    def test_missing(self) -> None:
        """A missing file is named, with the system's reason."""
        self.assertEqual(self.mistake(), f"{self.path}: No such file or directory")

    def test_directory(self) -> None:
        """A directory is no file."""
        self.path.mkdir()
        self.assertEqual(self.mistake(), f"{self.path}: Is a directory")

    def test_not_utf_8(self) -> None:
        """A file of another encoding is refused with the place."""
        self.path.write_bytes(b'ae-title = "M\xfcLLER"')
        self.assertEqual(self.mistake(), f"{self.path}: not UTF-8 at byte 13")


class DefinitionTests(SynchronousTestCase):
    """The definition itself and what is made of it."""

    def test_reload(self) -> None:
        """What a reload changes is what an administrator is promised."""
        fixed = {option.name for option in options(EchoSettings) if not option.reload}
        self.assertEqual(
            fixed,
            {
                "listen",
                "max-pdu",
                "max-associate-pdu",
                "max-unfinished",
                "max-command",
                "max-operations",
                "log-format",
            },
        )

    def test_differences(self) -> None:
        """Differences are told by option."""
        new = EchoSettings(ae_title="X", listen=("tcp:1",))
        names = [option.name for option in differences(EchoSettings(), new)]
        self.assertEqual(names, ["listen", "ae-title"])

    def test_reference(self) -> None:
        """The reference has a row of every option, with all that one wants to know."""
        table = reference_table(EchoSettings)
        rows = {row.split("`")[1]: row for row in table.splitlines()[2:]}
        self.assertEqual(
            list(rows), ["--config", *(f"--{option.name}" for option in options(EchoSettings))]
        )
        for row in rows.values():
            self.assertEqual(row.count(" | "), 6, row)
        self.assertEqual(
            rows["--max-pdu"],
            "| `--max-pdu` | `max-pdu` | whole number, 4096 to 16777216 | bytes | `131072` | no"
            " | The longest P-DATA-TF that we announce to receive. |",
        )
        self.assertIn("`--no-require-called-ae`", rows["--require-called-ae"])
        self.assertIn("| as idle-timeout |", rows["--pdu-timeout"])

    def test_defaults_are_allowed(self) -> None:
        """Every default could have been written as the reference shows it."""
        for option in options(EchoSettings):
            if option.default_text:
                continue
            settings = EchoSettings.build({option.name: [option.described_default]})
            self.assertEqual(settings, EchoSettings())
