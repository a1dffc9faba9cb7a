"""The elements of a command set: written as PS3.7 section 6.3 says, read with suspicion."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.dimse.command_set import decode_elements, encode_elements
from pacs_twisted.errors import InvalidPDU

GROUP_LENGTH = bytes.fromhex("00000000 04000000 38000000")
SOP_CLASS = bytes.fromhex("00000200 12000000 312e322e3834302e31303030382e312e3100")
COMMAND_FIELD = bytes.fromhex("00000001 02000000 3000")
MESSAGE_ID = bytes.fromhex("00001001 02000000 0100")
DATA_SET_TYPE = bytes.fromhex("00000008 02000000 0101")
ECHO_RQ = GROUP_LENGTH + SOP_CLASS + COMMAND_FIELD + MESSAGE_ID + DATA_SET_TYPE
VALUES = {
    0x0000: b"\x38\0\0\0",
    0x0002: b"1.2.840.10008.1.1\0",
    0x0100: b"\x30\0",
    0x0110: b"\1\0",
    0x0800: b"\1\1",
}

element_numbers = st.integers(1, 0xFFFF)
even_values = st.binary(max_size=40).map(lambda value: value + value)


class DecodeTests(SynchronousTestCase):
    def test_values(self) -> None:
        """A command set is split into the raw values of its elements."""
        self.assertEqual(decode_elements(ECHO_RQ), VALUES)

    def test_from_a_view(self) -> None:
        """The bytes may come as a view, and the values outlive it."""
        buffer = bytearray(ECHO_RQ)
        elements = decode_elements(memoryview(buffer))
        buffer[:] = bytes(len(buffer))
        self.assertEqual(elements, VALUES)

    def test_empty(self) -> None:
        """No bytes are no elements."""
        self.assertEqual(decode_elements(b""), {})

    def test_truncated(self) -> None:
        """A command set cut inside an element is refused, wherever the cut is."""
        boundaries = {0, 12, 38, 48, 58}
        for end in range(len(ECHO_RQ)):
            if end in boundaries:
                decode_elements(ECHO_RQ[:end])
            else:
                self.assertRaises(InvalidPDU, decode_elements, ECHO_RQ[:end])

    def test_group_length_is_not_relied_on(self) -> None:
        """A wrong or missing group length changes nothing, for the fragments delimit."""
        rest = ECHO_RQ[12:]
        expected = {number: VALUES[number] for number in (0x0002, 0x0100, 0x0110, 0x0800)}
        self.assertEqual(decode_elements(rest), expected)
        wrong = decode_elements(bytes.fromhex("00000000 04000000 ffffffff") + rest)
        self.assertEqual(wrong, {0x0000: b"\xff\xff\xff\xff", **expected})

    def test_any_order(self) -> None:
        """Elements in a wrong order are read all the same."""
        self.assertEqual(
            decode_elements(DATA_SET_TYPE + MESSAGE_ID + SOP_CLASS + GROUP_LENGTH + COMMAND_FIELD),
            VALUES,
        )

    def test_odd_length(self) -> None:
        """A value that was not padded is read all the same."""
        self.assertEqual(
            decode_elements(bytes.fromhex("00000200 03000000 312e32") + MESSAGE_ID),
            {0x0002: b"1.2", 0x0110: b"\1\0"},
        )

    def test_twice(self) -> None:
        """An element that comes twice is refused, whether or not the values agree."""
        self.assertRaises(InvalidPDU, decode_elements, ECHO_RQ + MESSAGE_ID)
        self.assertRaises(InvalidPDU, decode_elements, GROUP_LENGTH + ECHO_RQ)

    def test_other_group(self) -> None:
        """An element that is not of group 0000 is refused."""
        patient_id = bytes.fromhex("10002000 02000000 3132")
        self.assertRaises(InvalidPDU, decode_elements, ECHO_RQ + patient_id)

    def test_claimed_length(self) -> None:
        """A length beyond the end is refused, the undefined length as well."""
        for length in ("03000000", "ffffff7f", "ffffffff"):
            error = self.assertRaises(
                InvalidPDU, decode_elements, bytes.fromhex(f"00001001 {length} 0100")
            )
            self.assertIn("(0000,0110)", str(error))

    @given(st.binary(max_size=100) | st.binary(max_size=20).map(ECHO_RQ.__add__))
    def test_any_bytes(self, data: bytes) -> None:
        """Any bytes give elements that account for every byte, or InvalidPDU."""
        try:
            elements = decode_elements(data)
        except InvalidPDU:
            return
        self.assertEqual(sum(8 + len(value) for value in elements.values()), len(data))


class EncodeTests(SynchronousTestCase):
    def test_vector(self) -> None:
        """Elements are written in increasing order after the right group length."""
        elements = dict(reversed(VALUES.items()))
        del elements[0x0000]
        self.assertEqual(encode_elements(elements), ECHO_RQ)

    def test_wrong_group_length(self) -> None:
        """A group length that is given is replaced by the right one."""
        self.assertEqual(encode_elements({**VALUES, 0x0000: b"\0\0\0\0"}), ECHO_RQ)

    def test_nothing(self) -> None:
        """Without elements only the group length is written."""
        self.assertEqual(encode_elements({}), bytes.fromhex("00000000 04000000 00000000"))

    def test_odd_length(self) -> None:
        """A value that its caller has not padded is an error of ours."""
        self.assertRaises(ValueError, encode_elements, {0x0002: b"1.2"})

    @given(st.dictionaries(element_numbers, even_values))
    def test_round_trip(self, elements: dict[int, bytes]) -> None:
        """What was written is read again, and the group length is that of the rest."""
        data = encode_elements(elements)
        group_length = (len(data) - 12).to_bytes(4, "little")
        self.assertEqual(decode_elements(data), {0x0000: group_length, **elements})
        self.assertEqual(list(decode_elements(data)), sorted([0x0000, *elements]))
