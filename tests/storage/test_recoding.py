"""The same data set in another uncompressed transfer syntax."""

from __future__ import annotations

from struct import pack

from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.storage.part10 import read_file_meta
from pacs_twisted.storage.recoding import NotConvertible, recode
from tests.storage.sending import BIG, DATA, EXPLICIT, IMPLICIT, explicit, implicit

SEQUENCE = 0x00081115
END = b"\xfe\xff\xdd\xe0\0\0\0\0"
ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"


def item(content: bytes, length: int | None = None, order: str = "<") -> bytes:
    return pack(f"{order}HHL", 0xFFFE, 0xE000, len(content) if length is None else length) + content


class RecodingTests(SynchronousTestCase):
    def check(self, little: bytes, big: bytes, plain: bytes) -> None:
        """The three are the same data set in explicit little and big endian, and implicit VR."""
        self.assertEqual(recode(little, EXPLICIT, IMPLICIT), plain)
        self.assertEqual(recode(little, EXPLICIT, BIG), big)
        self.assertEqual(recode(big, BIG, EXPLICIT), little)
        self.assertEqual(recode(big, BIG, IMPLICIT), plain)
        self.assertEqual(recode(plain, IMPLICIT, EXPLICIT), little)
        self.assertEqual(recode(plain, IMPLICIT, BIG), big)

    def test_numbers(self) -> None:
        """Numbers of each width change their byte order, text does not."""
        values = (
            (0x00080018, "UI", b"1.23", b"1.23"),
            (0x00189305, "FD", bytes(range(8)), bytes(range(7, -1, -1))),
            (0x00189313, "FD", bytes(range(8)) * 2, bytes(range(7, -1, -1)) * 2),
            (0x00280009, "AT", b"\1\2\3\4", b"\2\1\4\3"),
            (0x00280010, "US", b"\1\2", b"\2\1"),
            (0x00720026, "AT", b"", b""),
            (0x00720067, "OF", b"\1\2\3\4", b"\4\3\2\1"),
            (0x7FE00010, "OW", b"\1\2\3\4", b"\2\1\4\3"),
        )
        self.check(
            b"".join(explicit(tag, vr, value) for tag, vr, value, _ in values),
            b"".join(explicit(tag, vr, value, ">") for tag, vr, _, value in values),
            b"".join(implicit(tag, value) for tag, _, value, _ in values),
        )

    def test_sequences(self) -> None:
        """Items of stated length get a new one; those of undefined length keep that."""
        inner, plain = explicit(0x00081150, "UI", b"1.2\0"), implicit(0x00081150, b"1.2\0")
        turned = explicit(0x00081150, "UI", b"1.2\0", ">")
        self.check(
            explicit(SEQUENCE, "SQ", item(inner) + item(b"")),
            explicit(SEQUENCE, "SQ", item(turned, order=">") + item(b"", order=">"), ">"),
            implicit(SEQUENCE, item(plain) + item(b"")),
        )
        undefined = b"\xff\xff\xff\xff"
        self.check(
            b"\x08\0\x15\x11SQ\0\0" + undefined + item(inner + ITEM_END, 0xFFFFFFFF) + END,
            b"\0\x08\x11\x15SQ\0\0"
            + undefined
            + item(turned, 0xFFFFFFFF, ">")
            + b"\xff\xfe\xe0\x0d\0\0\0\0\xff\xfe\xe0\xdd\0\0\0\0",
            b"\x08\0\x15\x11" + undefined + item(plain + ITEM_END, 0xFFFFFFFF) + END,
        )

    def test_choice(self) -> None:
        """Where the dictionary leaves a choice of VRs, the data set decides."""
        for representation, vr in ((0, "US"), (1, "SS")):
            sign = pack("<H", representation)
            self.assertEqual(
                recode(
                    implicit(0x00280103, sign) + implicit(0x00280106, b"\1\0"), IMPLICIT, EXPLICIT
                ),
                explicit(0x00280103, "US", sign) + explicit(0x00280106, vr, b"\1\0"),
            )
            inside = implicit(0x00280106, b"\1\0")
            result = recode(
                implicit(0x00280103, sign) + implicit(0x00283000, item(inside)),
                IMPLICIT,
                EXPLICIT,
            )
            self.assertIn(explicit(0x00280106, vr, b"\1\0"), result)

    def test_private(self) -> None:
        """Private elements get the VR that pydicom knows for their creator, or UN."""
        creator = implicit(0x00090010, b"GEMS_IDEN_01")
        self.assertEqual(
            recode(creator + implicit(0x00091002, b"NAME"), IMPLICIT, EXPLICIT),
            explicit(0x00090010, "LO", b"GEMS_IDEN_01") + explicit(0x00091002, "SH", b"NAME"),
        )
        self.assertEqual(
            recode(implicit(0x00091002, b"NAME"), IMPLICIT, EXPLICIT),
            explicit(0x00091002, "UN", b"NAME"),
        )

    def test_unknown(self) -> None:
        """A value of VR UN stays as it is, and a sequence in it is in implicit VR."""
        value = explicit(0x00091002, "UN", b"\1\2")
        self.assertEqual(recode(value, EXPLICIT, BIG), explicit(0x00091002, "UN", b"\1\2", ">"))
        inside = implicit(0x00280010, b"\1\0") + ITEM_END
        self.assertEqual(
            recode(
                b"\x09\0\2\x10UN\0\0\xff\xff\xff\xff" + item(inside, 0xFFFFFFFF) + END,
                EXPLICIT,
                IMPLICIT,
            ),
            b"\x09\0\2\x10\xff\xff\xff\xff" + item(inside, 0xFFFFFFFF) + END,
        )

    def test_long_value(self) -> None:
        """A value that is too long for its VR's short form becomes UN."""
        value = bytes(70000)
        self.assertEqual(
            recode(implicit(0x00204000, value), IMPLICIT, EXPLICIT),
            explicit(0x00204000, "LT", b"").replace(b"LT\0\0", b"UN\0\0" + pack("<L", 70000))
            + value,
        )

    def test_group_length(self) -> None:
        """Group lengths would be wrong, and are left out; padding at the end as well."""
        group = explicit(0x00080000, "UL", b"\x0a\0\0\0")
        rest = explicit(0x00080018, "UI", b"1.2\0")
        self.assertEqual(
            recode(group + rest + b"\0\0", EXPLICIT, IMPLICIT), implicit(0x00080018, b"1.2\0")
        )

    def test_broken(self) -> None:
        """Whatever does not parse is not converted, at whatever byte it is cut."""
        whole = explicit(0x00080018, "UI", b"1.2\0") + explicit(
            SEQUENCE, "SQ", item(explicit(0x00081150, "UI", b"1.2\0"))
        )
        good = {0, 12, len(whole)}
        for end in set(range(len(whole))) - good:
            with self.assertRaises(NotConvertible, msg=str(end)):
                recode(whole[:end], EXPLICIT, IMPLICIT)
        for end in good:
            recode(whole[:end], EXPLICIT, IMPLICIT)
        for bad in (
            b"\x08\0\x18\0\0\0\4\0abcd",
            b"\x08\0\x15\x11SQ\0\0\x08\0\0\0" + bytes(8),
            b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" + item(b"") + END,
        ):
            with self.assertRaises(NotConvertible):
                recode(bad, EXPLICIT, IMPLICIT)

    def test_depth(self) -> None:
        """A data set cannot exhaust the stack."""
        nested = b"\x08\0\x15\x11\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 10000
        with self.assertRaises(NotConvertible):
            recode(nested, IMPLICIT, EXPLICIT)

    def test_files(self) -> None:
        """Real files survive the way there and back."""
        for name in ("CT_small.dcm", "reportsi.dcm", "rtdose.dcm", "rtplan.dcm"):
            data = (DATA / name).read_bytes()
            meta, offset = read_file_meta(data)
            syntax = meta.transfer_syntax_uid
            data = data[offset:]
            other = EXPLICIT if syntax == IMPLICIT else BIG
            self.assertEqual(recode(recode(data, syntax, other), other, syntax), data, name)
