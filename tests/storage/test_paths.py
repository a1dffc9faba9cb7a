"""Paths of received objects: made from a template, safe whatever the peer sent."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.storage.paths import (
    DEFAULT_TEMPLATE,
    LONGEST_COMPONENT,
    PathTemplate,
    is_plausible_uid,
)

UIDS: Final = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3", "SOPInstanceUID": "1.4"}


def path(template: str, **values: str | None) -> tuple[str, ...]:
    """Return the path that a template makes of some values."""
    return PathTemplate.parse(template).path(values)


class ParseTests(SynchronousTestCase):
    def test_default(self) -> None:
        """By default files lie by study and series, named by their instance."""
        template = PathTemplate.parse(DEFAULT_TEMPLATE)
        self.assertEqual(template.path(UIDS), ("1.2", "1.3", "1.4.dcm"))

    def test_what_to_look_for(self) -> None:
        """The template knows which elements of the data set it needs."""
        template = PathTemplate.parse(DEFAULT_TEMPLATE)
        self.assertEqual(
            template.elements, {0x0020000D: "StudyInstanceUID", 0x0020000E: "SeriesInstanceUID"}
        )
        self.assertEqual(template.tags, {0x0020000D, 0x0020000E})

    def test_not_from_the_data_set(self) -> None:
        """The UIDs of the command and the titles are not looked for in the data set."""
        text = "{CallingAETitle}/{CalledAETitle}/{SOPClassUID}/{SOPInstanceUID}"
        self.assertEqual(PathTemplate.parse(text).tags, set())

    def test_any_keyword(self) -> None:
        """Keywords of other elements can be used, retired ones too."""
        self.assertEqual(
            PathTemplate.parse("{PatientID}{StudyIDIssuer}").tags, {0x00100020, 0x00320012}
        )

    def test_literals(self) -> None:
        """What is not in braces stands for itself, doubled braces for braces."""
        self.assertEqual(path("in/{{{Modality}}}-ä", Modality="CT"), ("in", "{CT}-ä"))
        self.assertEqual(path("one"), ("one",))

    def test_equality(self) -> None:
        """Templates are compared, and shown, by their text."""
        template = PathTemplate.parse("{Modality}")
        self.assertEqual(template, PathTemplate.parse("{Modality}"))
        self.assertNotEqual(template, PathTemplate.parse("{PatientID}"))
        self.assertEqual(str(template), "{Modality}")

    def test_refused(self) -> None:
        """What cannot be a template is refused with words."""
        for text, words in (
            ("", "component is empty"),
            ("/{Modality}", "component is empty"),
            ("{Modality}/", "component is empty"),
            ("a//b", "component is empty"),
            ("../{Modality}", "begins with a dot"),
            ("./{Modality}", "begins with a dot"),
            ("a/.hidden", "begins with a dot"),
            (".{Modality}", "begins with a dot"),
            ("-{Modality}", "or a hyphen"),
            ("a\0b", "character"),
            ("a\nb", "character"),
            ("a\\b", "character"),
            ("\udc80", "character"),
            ("{Modality", "expected '}'"),
            ("Modality}", "Single '}'"),
            ("{}", "{} is not the keyword"),
            ("{0}", "{0} is not the keyword"),
            ("{Modalty}", "{Modalty} is not the keyword"),
            ("{Modality.text}", "is not the keyword"),
            ("{Modality[0]}", "is not the keyword"),
            ("{a/b}", "is not the keyword"),
            ("{Modality:>8}", "{Modality} can have no format"),
            ("{Modality!r}", "{Modality} can have no format"),
            ("{Rows}", "value of Rows is not text"),
            ("{PixelData}", "value of PixelData is not text"),
            ("{ReferencedImageSequence}", "is not text"),
            ("{TransferSyntaxUID}", "not an element of a data set"),
            ("x" * 101, "more than 100 bytes"),
            ("/".join(["a"] * 13), "more than 12 components"),
        ):
            error = self.assertRaises(ValueError, PathTemplate.parse, text)
            self.assertIn(words, str(error), text)


class PathTests(SynchronousTestCase):
    def test_missing(self) -> None:
        """What is not there, empty or blank has a fixed name."""
        for values in ({}, {"PatientID": None}, {"PatientID": ""}, {"PatientID": " \0"}):
            self.assertEqual(
                PathTemplate.parse("{PatientID}/x-{PatientID}").path(values),
                ("no-PatientID", "x-no-PatientID"),
            )

    def test_not_a_path(self) -> None:
        """Values that would lead elsewhere become plain names."""
        for value, name in (
            ("../../etc/passwd", "_._.._etc_passwd"),
            ("/etc/passwd", "_etc_passwd"),
            ("..", "_."),
            (".", "_"),
            (".hidden", "_hidden"),
            ("-rf", "_rf"),
            ("a\\b", "a_b"),
            ("a\0b", "a_b"),
            ("a\r\nb", "a__b"),
            ("~root", "_root"),
            ("C:", "C_"),
            ("Grün^A", "Gr_n_A"),
            ("{SOPClassUID}", "_SOPClassUID_"),
            (" A B ", "A B"),
        ):
            self.assertEqual(path("{PatientID}", PatientID=value), (name,))

    def test_long(self) -> None:
        """What is too long for a name is shortened, its end stays, and different ones differ."""
        template = "{PatientID}/{StudyDescription}-ä.dcm"
        one = path(template, PatientID="a" * 300, StudyDescription="b" * 300)
        other = path(template, PatientID="a" * 301, StudyDescription="b" * 299 + "c")
        for name in one + other:
            self.assertEqual(len(name.encode()), LONGEST_COMPONENT)
        self.assertTrue(one[0].startswith("aaa") and one[1].startswith("bbb"))
        self.assertTrue(one[1].endswith("-ä.dcm"))
        self.assertNotEqual(one[0], other[0])
        self.assertNotEqual(one[1], other[1])
        self.assertEqual(path("{PatientID}", PatientID="a" * 255), ("a" * 255,))

    @given(
        st.sampled_from(
            [
                DEFAULT_TEMPLATE,
                "{PatientID}{Modality}",
                "ä{PatientID}ö/a-{Modality}.dcm",
                "é" * 50 + "{Modality}{PatientID}",
            ]
        ),
        st.dictionaries(
            st.sampled_from([*UIDS, "PatientID", "Modality"]),
            st.none()
            | st.text(st.characters(codec="latin-1") | st.sampled_from("./\\\0"), max_size=300),
        ),
    )
    def test_safe(self, text: str, values: dict[str, str | None]) -> None:
        """Whatever the values are, components are plain names inside of a directory."""
        template = PathTemplate.parse(text)
        components = template.path(values)
        self.assertEqual(len(components), text.count("/") + 1)
        for name in components:
            self.assertTrue(name)
            self.assertLessEqual(len(name.encode()), LONGEST_COMPONENT)
            self.assertNotIn(name[0], ".-")
            self.assertTrue(name.isprintable())
            self.assertFalse(set(name) & set('/\\:*?"<>|~'))
        inside = os.path.normpath(os.path.join("/base", *components))
        self.assertEqual(inside, "/".join(["/base", *components]))


class PlausibleUIDTests(SynchronousTestCase):
    def test_plausible(self) -> None:
        """Digits and dots are taken for a UID, though finer rules are broken."""
        for text in ("1.2.840.10008.1.1", "2.25.0", "1", "1.02.3", "1..2", ".1", "1" * 64):
            self.assertTrue(is_plausible_uid(text), text)

    def test_not_plausible(self) -> None:
        """Everything else is not, other alphabets' digits and line ends included."""
        for text in (
            "",
            ".",
            "..",
            "1.2a",
            "1.2/3",
            "1.2 ",
            "1.2\n",
            "1.2\0",
            "1" * 65,
            "٣.٤",
            "-1",
        ):
            self.assertFalse(is_plausible_uid(text), text)
