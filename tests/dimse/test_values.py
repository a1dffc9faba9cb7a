"""Values of command elements: padding, limits, and what happens to blank ones."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.dimse.values import AE, AT, LO, SOP_CLASS, STATUS, UI, US


class ValueTests(SynchronousTestCase):
    def test_padding(self) -> None:
        """UIDs are padded by NUL, titles and texts by space, to an even length (PS3.5 6.2)."""
        self.assertEqual(UI.encode("1.2"), b"1.2\0")
        self.assertEqual(UI.encode("1.22"), b"1.22")
        self.assertEqual(SOP_CLASS.encode("1.2"), b"1.2\0")
        self.assertEqual(AE.encode("ODD"), b"ODD ")
        self.assertEqual(AE.encode("EVEN"), b"EVEN")
        self.assertEqual(LO.encode("odd"), b"odd ")
        self.assertEqual(LO.encode("even"), b"even")

    def test_numbers(self) -> None:
        """Numbers and tags are little endian."""
        self.assertEqual(US.encode(0x1234), b"\x34\x12")
        self.assertEqual(US.decode(b"\x34\x12"), 0x1234)
        self.assertEqual(AT.encode((0x00100020, 0xFFFEE000)), bytes.fromhex("10002000feff00e0"))
        self.assertEqual(AT.decode(bytes.fromhex("10002000feff00e0")), (0x00100020, 0xFFFEE000))

    def test_any_padding_is_stripped(self) -> None:
        """NUL or space before or after a text are not part of it, whoever put them there."""
        for representation, text in [(UI, "1.2"), (SOP_CLASS, "1.2"), (AE, "A B"), (LO, "a b")]:
            for raw in (f"{text}\0", f"{text} ", f" {text}", f"{text}\0\0 "):
                self.assertEqual(representation.decode(raw.encode()), text)

    def test_blank(self) -> None:
        """A value of padding alone is no value."""
        for representation in (UI, SOP_CLASS, AE, LO):
            self.assertIsNone(representation.decode(b"\0 "))

    def test_wrong_lengths(self) -> None:
        """A number is of two bytes, tags of four each, a UID of at most 64, a title of 16."""
        for representation, raw in [
            (US, b"\0"),
            (US, b"\0\0\0\0"),
            (STATUS, b"\0\0\0"),
            (AT, b"\0\0"),
            (AT, b"\0\0\0\0\0"),
            (UI, b"1" * 65),
            (SOP_CLASS, b"1" * 65),
            (AE, b"A" * 17),
        ]:
            self.assertRaises(ValueError, representation.decode, raw)
        self.assertEqual(UI.decode(b"1" * 64), "1" * 64)
        self.assertEqual(AE.decode(b"A" * 16), "A" * 16)

    def test_not_ascii(self) -> None:
        """A UID or a title that is not ASCII is refused, both ways."""
        for representation in (UI, SOP_CLASS, AE):
            self.assertRaises(ValueError, representation.decode, b"1.\xe4")
            self.assertRaises(ValueError, representation.encode, "1.\xe4")

    def test_malformed_uid(self) -> None:
        """A UID that breaks the rules of PS3.5 section 9.1 is still a name: it is kept."""
        self.assertEqual(UI.decode(b"1..02.x\0"), "1..02.x")

    def test_comment_never_fails(self) -> None:
        """A comment that LO cannot hold is cut and loses letters, but is sent."""
        self.assertEqual(LO.encode("disk " + "full" * 20), b"disk " + b"full" * 14 + b"ful")
        self.assertEqual(LO.encode("caf\xe9 \u2603"), b"caf\xe9 ?")

    @given(st.binary())
    def test_any_comment(self, raw: bytes) -> None:
        """Any bytes are a comment."""
        self.assertEqual(LO.decode(raw) or "", raw.decode("latin-1").strip(" \0"))

    def test_out_of_range(self) -> None:
        """A number that its element cannot hold is an error of the caller's."""
        wrong: list[tuple[Any, Any]] = [
            (US, -1),
            (US, 0x10000),
            (US, "1"),
            (AT, (0x100000000,)),
            (AT, (-1,)),
            (AE, "A" * 17),
        ]
        for representation, value in wrong:
            self.assertRaises(ValueError, representation.encode, value)

    def test_bounded_memory(self) -> None:
        """However many SOP classes a peer makes up, few are remembered, and no long ones."""
        decode: Any = SOP_CLASS.decode
        decode.cache_clear()
        self.addCleanup(decode.cache_clear)
        for number in range(1000):
            decode(f"1.2.{number}".encode())
        self.assertEqual(decode.cache_info().currsize, 256)
        decode.cache_clear()
        self.assertRaises(ValueError, decode, b"1" * 60000)
        self.assertEqual(decode.cache_info().currsize, 0)
