"""
Typed messages: what is written and read, and what becomes of commands that are not in order.

Bytes are written out, or come from pydicom, whose names for the elements differ from ours by
the underscores only.
"""

from __future__ import annotations

from io import BytesIO
from struct import pack
from typing import Any

import attrs
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.dimse import commands
from pacs_twisted.dimse._command import DICTIONARY, DISPENSABLE
from pacs_twisted.dimse.commands import (
    DATA_SET,
    MESSAGES,
    NO_DATA_SET,
    REQUESTS,
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CMoveRQ,
    Command,
    CStoreRQ,
    CStoreRSP,
    MistypedCommand,
    NActionRQ,
    NCreateRQ,
    NCreateRSP,
    NGetRQ,
    NGetRSP,
    Request,
    UnrecognizedCommand,
    decode_command,
)
from pacs_twisted.dimse.status import Status
from pacs_twisted.errors import InvalidPDU
from tests.bytes_of import C_ECHO_RQ, C_ECHO_RSP
from tests.dimse.strategies import commands as any_command
from tests.dimse.strategies import one_of_each
from tests.pdu.strategies import shorts, uids
from tests.requirements import requirement

VERIFICATION = "1.2.840.10008.1.1"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"

C_STORE_RQ = (
    b"\x00\x00\x00\x00\x04\x00\x00\x00\x70\x00\x00\x00"  # (0000,0000) group length 112
    b"\x00\x00\x02\x00\x1a\x00\x00\x001.2.840.10008.5.1.4.1.1.2\x00"  # (0000,0002) CT image
    b"\x00\x00\x00\x01\x02\x00\x00\x00\x01\x00"  # (0000,0100) C-STORE-RQ
    b"\x00\x00\x10\x01\x02\x00\x00\x00\x07\x00"  # (0000,0110) message ID 7
    b"\x00\x00\x00\x07\x02\x00\x00\x00\x02\x00"  # (0000,0700) low priority
    b"\x00\x00\x00\x08\x02\x00\x00\x00\x01\x00"  # (0000,0800) a data set follows
    b"\x00\x00\x00\x10\x06\x00\x00\x001.2.3\x00"  # (0000,1000) instance
    b"\x00\x00\x30\x10\x06\x00\x00\x00QUERY "  # (0000,1030) move originator
    b"\x00\x00\x31\x10\x02\x00\x00\x00\x09\x00"  # (0000,1031) its message ID 9
)

C_STORE_RSP = (
    b"\x00\x00\x00\x00\x04\x00\x00\x00\x58\x00\x00\x00"  # (0000,0000) group length 88
    b"\x00\x00\x02\x00\x1a\x00\x00\x001.2.840.10008.5.1.4.1.1.2\x00"  # (0000,0002) CT image
    b"\x00\x00\x00\x01\x02\x00\x00\x00\x01\x80"  # (0000,0100) C-STORE-RSP
    b"\x00\x00\x20\x01\x02\x00\x00\x00\x07\x00"  # (0000,0120) answers message ID 7
    b"\x00\x00\x00\x08\x02\x00\x00\x00\x01\x01"  # (0000,0800) no data set
    b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\xa7"  # (0000,0900) out of resources
    b"\x00\x00\x00\x10\x06\x00\x00\x001.2.3\x00"  # (0000,1000) instance
)

UNKNOWN_ELEMENT = b"\x00\x00\xcd\xab\x02\x00\x00\x00zz"  # (0000,ABCD), in front of what is known

COMMAND_FIELDS = {
    # PS3.7 section E.1
    "CStoreRQ": 0x0001,
    "CStoreRSP": 0x8001,
    "CGetRQ": 0x0010,
    "CGetRSP": 0x8010,
    "CFindRQ": 0x0020,
    "CFindRSP": 0x8020,
    "CMoveRQ": 0x0021,
    "CMoveRSP": 0x8021,
    "CEchoRQ": 0x0030,
    "CEchoRSP": 0x8030,
    "NEventReportRQ": 0x0100,
    "NEventReportRSP": 0x8100,
    "NGetRQ": 0x0110,
    "NGetRSP": 0x8110,
    "NSetRQ": 0x0120,
    "NSetRSP": 0x8120,
    "NActionRQ": 0x0130,
    "NActionRSP": 0x8130,
    "NCreateRQ": 0x0140,
    "NCreateRSP": 0x8140,
    "NDeleteRQ": 0x0150,
    "NDeleteRSP": 0x8150,
    "CCancelRQ": 0x0FFF,
}


def element(element_number: int, value: bytes) -> bytes:
    """Return an element of group 0000, of whatever length."""
    return pack("<HHL", 0, element_number, len(value)) + value


def number(element_number: int, value: int) -> bytes:
    """Return an element of group 0000 with a number of 16 bits."""
    return element(element_number, pack("<H", value))


def outcome(data: bytes) -> Command | type[InvalidPDU]:
    """Return what a command set is read as; anything but InvalidPDU is let through."""
    try:
        return decode_command(data)
    except InvalidPDU:
        return InvalidPDU


def pydicom_name(name: str) -> str:
    """Return pydicom's keyword for the element of a field."""
    words = ("SOP" if word == "sop" else word for word in name.split("_"))
    return "".join(
        word.upper() if word in ("id", "uid") else word[:1].upper() + word[1:] for word in words
    )


def sent_values(command: Command) -> dict[str, Any]:
    """Return what pydicom shall find for a command: keyword to value."""
    values = {**attrs.asdict(command, recurse=False), "command_field": command.command_field}
    return {
        pydicom_name(name): list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value not in (None, ())
    }


def plain(value: Any) -> Any:
    """Return a value of pydicom's as numbers, texts and lists."""
    if isinstance(value, str | int):
        return value
    return [int(tag) for tag in value]


class VectorTests(SynchronousTestCase):
    @requirement("J2")
    def test_c_echo_rq(self) -> None:
        """A C-ECHO-RQ is written and read byte for byte as PS3.7 section 9.3.5.1 says."""
        self.assertEqual(CEchoRQ(1).encode(), C_ECHO_RQ)
        self.assertEqual(decode_command(C_ECHO_RQ), CEchoRQ(1, VERIFICATION, NO_DATA_SET))

    @requirement("J3")
    def test_c_echo_rsp(self) -> None:
        """A C-ECHO-RSP is written and read byte for byte as PS3.7 section 9.3.5.2 says."""
        response = CEchoRSP(1, Status.SUCCESS, VERIFICATION)
        self.assertEqual(response.encode(), C_ECHO_RSP)
        self.assertEqual(decode_command(C_ECHO_RSP), response)

    @requirement("I11")
    def test_c_store_rq(self) -> None:
        """A C-STORE-RQ of a C-MOVE sub-operation names the move's originator."""
        request = CStoreRQ(
            message_id=7,
            affected_sop_class_uid=CT_IMAGE,
            affected_sop_instance_uid="1.2.3",
            priority=2,
            move_originator_application_entity_title="QUERY",
            move_originator_message_id=9,
        )
        self.assertEqual(request.encode(), C_STORE_RQ)
        self.assertEqual(decode_command(C_STORE_RQ), request)

    def test_c_store_rsp(self) -> None:
        """A C-STORE-RSP tells the status and names what it is about."""
        response = CStoreRSP(7, Status.OUT_OF_RESOURCES, CT_IMAGE, "1.2.3")
        self.assertEqual(response.encode(), C_STORE_RSP)
        read = decode_command(C_STORE_RSP)
        self.assertEqual(read, response)
        assert isinstance(read, CStoreRSP)
        self.assertIsInstance(read.status, Status)

    def test_from_a_view(self) -> None:
        """The bytes may come as a view, which is not needed afterwards."""
        for data in (C_ECHO_RQ, C_STORE_RQ):
            buffer = bytearray(data)
            command = decode_command(memoryview(buffer))
            buffer[:] = bytes(len(buffer))
            self.assertEqual(command.encode(), data)


class DeclarationTests(SynchronousTestCase):
    def test_command_fields(self) -> None:
        """All messages of PS3.7 are there with their command fields."""
        self.assertEqual(
            {message.__name__: field for field, message in MESSAGES.items()}, COMMAND_FIELDS
        )
        self.assertEqual(
            {name: getattr(commands, name).command_field for name in COMMAND_FIELDS},
            COMMAND_FIELDS,
        )

    def test_responses(self) -> None:
        """Each request but C-CANCEL-RQ has a response, whose command field is its own | 8000H."""
        for field, message in MESSAGES.items():
            self.assertEqual(message.is_response, bool(field & 0x8000))
            if field & 0x8000:
                self.assertIn(field & 0x7FFF, REQUESTS)
            elif message is not CCancelRQ:
                self.assertEqual(REQUESTS[field].response.command_field, field | 0x8000)
        self.assertNotIn(CCancelRQ.command_field, REQUESTS)

    @requirement("I4")
    def test_data_set(self) -> None:
        """0101H says that no data set follows, and any other value that one does."""
        self.assertFalse(CEchoRQ(1).has_data_set)
        for data_set_type in (DATA_SET, 0x0000, 0x0102, 0xFFFF):
            command = decode_command(
                number(0x0100, 0x0030) + number(0x0110, 1) + number(0x0800, data_set_type)
            )
            self.assertTrue(command.has_data_set)

    def test_default_data_set_types(self) -> None:
        """Requests whose data set is mandatory announce one, all others do not."""
        with_data_set = {
            message.__name__
            for message in MESSAGES.values()
            if attrs.fields_dict(message)["command_data_set_type"].default != NO_DATA_SET
        }
        self.assertEqual(with_data_set, {"CStoreRQ", "CFindRQ", "CGetRQ", "CMoveRQ", "NSetRQ"})


# Each example holds all messages, so fewer of them find as much.
fewer = settings(max_examples=settings().max_examples // 4)


class RoundTripTests(SynchronousTestCase):
    @fewer
    @given(one_of_each)
    def test_round_trip(self, sample: tuple[Command, ...]) -> None:
        """What was written is read again."""
        for command in sample:
            self.assertEqual(decode_command(command.encode()), command)

    @requirement("I1", "I2")
    @fewer
    @given(one_of_each)
    def test_pydicom_reads(self, sample: tuple[Command, ...]) -> None:
        """pydicom finds the values written, in ascending order after a true group length."""
        for command in sample:
            data = command.encode()
            found = read_dataset(BytesIO(data), is_implicit_VR=True, is_little_endian=True)
            order = [int(item.tag) for item in found.values()]
            self.assertEqual(order, sorted(order))
            values = {item.keyword: plain(item.value) for item in found}
            multiple = {"OffendingElement", "AttributeIdentifierList"} & values.keys()
            for keyword in multiple:
                if isinstance(values[keyword], int):
                    values[keyword] = [values[keyword]]
            self.assertEqual(values.pop("CommandGroupLength"), len(data) - 12)
            self.assertEqual(values, sent_values(command))

    @fewer
    @given(one_of_each)
    def test_pydicom_writes(self, sample: tuple[Command, ...]) -> None:
        """What pydicom writes is read, and as it writes so do we, byte for byte."""
        for command in sample:
            data_set = Dataset()
            for keyword, value in sent_values(command).items():
                setattr(data_set, keyword, int(value) if isinstance(value, Status) else value)
            data_set.add(DataElement(0x00000000, "UL", len(command.encode()) - 12))
            output = DicomBytesIO()
            output.is_implicit_VR = True
            output.is_little_endian = True
            write_dataset(output, data_set)
            self.assertEqual(decode_command(output.getvalue()), command)
            self.assertEqual(command.encode(), output.getvalue())

    def test_nothing_in_a_field(self) -> None:
        """A field without a value is not sent, zero is one."""
        plain = CStoreRSP(1, Status.SUCCESS).encode()
        self.assertEqual(CStoreRSP(1, Status.SUCCESS, "", "", (), "", NO_DATA_SET).encode(), plain)
        self.assertEqual(
            plain,
            element(0x0000, b"\x28\0\0\0")
            + number(0x0100, 0x8001)
            + number(0x0120, 1)
            + number(0x0800, 0x0101)
            + number(0x0900, 0),
        )

    def test_out_of_range(self) -> None:
        """A value that its element cannot hold is an error that names class and field."""
        for command, name in [
            (CEchoRQ(0x10000), "CEchoRQ.message_id"),
            (CEchoRSP(-1, Status.SUCCESS), "CEchoRSP.message_id_being_responded_to"),
            (CEchoRSP(-1, Status.SUCCESS, VERIFICATION), "CEchoRSP.message_id_being_responded_to"),
            (CMoveRQ(1, None, "SEVENTEEN LETTERS"), "CMoveRQ.move_destination"),
            (CStoreRQ(1, CT_IMAGE, "\xe4"), "CStoreRQ.affected_sop_instance_uid"),
        ]:
            self.assertIn(name, str(self.assertRaises(ValueError, command.encode)))


class FastWayTests(SynchronousTestCase):
    """The usual C-ECHO takes a short cut that must lead to the same place."""

    def test_request_takes_the_short_cut(self) -> None:
        """The usual C-ECHO-RQ is read without being split into elements."""
        self.patch(commands, "decode_elements", None)
        self.assertEqual(decode_command(C_ECHO_RQ), CEchoRQ(1))

    def test_response_takes_the_short_cut(self) -> None:
        """The usual C-ECHO-RSP is written without being put together from elements."""
        self.patch(CEchoRSP, "_writing", None)
        self.assertEqual(CEchoRSP(1, Status.SUCCESS, VERIFICATION).encode(), C_ECHO_RSP)

    @given(shorts)
    def test_request(self, message_id: int) -> None:
        """Every message ID is read as the general way reads it."""
        data = C_ECHO_RQ[:56] + pack("<H", message_id) + C_ECHO_RQ[58:]
        self.assertEqual(decode_command(data), CEchoRQ(message_id, VERIFICATION))
        self.assertEqual(decode_command(UNKNOWN_ELEMENT + data), decode_command(data))

    @given(st.dictionaries(st.integers(0, 67), st.integers(0, 255), min_size=1, max_size=3))
    def test_almost_the_usual_request(self, changes: dict[int, int]) -> None:
        """A C-ECHO-RQ with some bytes changed is read as the general way reads it."""
        data = bytearray(C_ECHO_RQ)
        for position, value in changes.items():
            data[position] = value
        self.assertEqual(outcome(bytes(data)), outcome(UNKNOWN_ELEMENT + data))

    @given(
        st.builds(
            CEchoRSP,
            st.integers(-1, 0x10000),
            shorts.map(Status),
            st.none() | st.just(VERIFICATION) | uids,
            st.none() | st.just("") | st.just("comment"),
            st.just(NO_DATA_SET) | st.integers(-1, 0x10000),
        )
    )
    @example(CEchoRSP(-1, Status.SUCCESS, VERIFICATION))
    @example(CEchoRSP(0x10000, Status.SUCCESS, VERIFICATION))
    @example(CEchoRSP(1, Status.SUCCESS, VERIFICATION, None, DATA_SET))
    @example(CEchoRSP(1, Status.SUCCESS, VERIFICATION, "comment"))
    @example(CEchoRSP(1, Status.SUCCESS, VERIFICATION, ""))
    @example(CEchoRSP(1, Status.SOP_CLASS_NOT_SUPPORTED, CT_IMAGE))
    def test_response(self, response: CEchoRSP) -> None:
        """Every C-ECHO-RSP is written as the general way writes it, or refused as it does."""
        try:
            expected = Command.encode(response)
        except ValueError:
            self.assertRaises(ValueError, response.encode)
        else:
            self.assertEqual(response.encode(), expected)


class RespondTests(SynchronousTestCase):
    @requirement("I5", "I9")
    def test_c_echo(self) -> None:
        """The answer has the request's message ID and SOP class."""
        self.assertEqual(CEchoRQ(1).respond(Status.SUCCESS).encode(), C_ECHO_RSP)

    def test_c_echo_without_sop_class(self) -> None:
        """Who does not name the SOP class is not told one."""
        self.assertEqual(CEchoRQ(9, None).respond(Status.SUCCESS), CEchoRSP(9, Status.SUCCESS))

    @requirement("I5", "I9")
    def test_c_store(self) -> None:
        """The answer to a C-STORE-RQ names its instance as well."""
        request = decode_command(C_STORE_RQ)
        assert isinstance(request, CStoreRQ)
        self.assertEqual(request.respond(Status.OUT_OF_RESOURCES).encode(), C_STORE_RSP)

    def test_further_fields(self) -> None:
        """A service adds fields, such as that a match follows."""
        self.assertEqual(
            CFindRQ(3, CT_IMAGE).respond(Status.PENDING, command_data_set_type=DATA_SET),
            CFindRSP(3, Status.PENDING, CT_IMAGE, command_data_set_type=DATA_SET),
        )

    def test_requested_becomes_affected(self) -> None:
        """The UIDs that an N-GET-RQ requests are the ones its answer calls affected."""
        self.assertEqual(
            NGetRQ(4, "1.2", "1.2.3").respond(Status.SUCCESS),
            NGetRSP(4, Status.SUCCESS, "1.2", "1.2.3"),
        )

    def test_n_create_names_the_instance(self) -> None:
        """Where an N-CREATE-RQ names no instance, the service does."""
        self.assertEqual(
            NCreateRQ(5, "1.2").respond(Status.SUCCESS, affected_sop_instance_uid="1.2.9"),
            NCreateRSP(5, Status.SUCCESS, "1.2", "1.2.9"),
        )

    @requirement("I5", "I9")
    @given(any_command)
    def test_any_request(self, request: Command) -> None:
        """Every request is answered by its response, under its message ID and UIDs."""
        if not isinstance(request, Request):
            return
        response = request.respond(Status.PROCESSING_FAILURE)
        self.assertIs(type(response), request.response)
        self.assertEqual(response.message_id_being_responded_to, request.message_id)
        self.assertEqual(response.status, 0x0110)
        self.assertFalse(response.has_data_set)
        asked, answered = attrs.asdict(request), attrs.asdict(response)
        for kind in ("class", "instance"):
            name = f"affected_sop_{kind}_uid"
            if name in answered:
                self.assertEqual(
                    answered[name], asked.get(name, asked.get(f"requested_sop_{kind}_uid"))
                )


class TolerantTests(SynchronousTestCase):
    """Commands that break a rule without being unclear are served."""

    def test_c_echo_without_sop_class(self) -> None:
        """go-netdicom sends a C-ECHO-RQ without SOP class: the context says what is meant."""
        data = number(0x0100, 0x0030) + number(0x0110, 1) + number(0x0800, 0x0101)
        self.assertEqual(decode_command(data), CEchoRQ(1, None))

    def test_missing_priority(self) -> None:
        """A C-STORE-RQ without priority has the medium one."""
        request = decode_command(C_STORE_RQ.replace(number(0x0700, 2), b""))
        assert isinstance(request, CStoreRQ)
        self.assertEqual(request.priority, 0)

    @requirement("I3")
    def test_wrong_or_no_group_length(self) -> None:
        """The group length is not relied on."""
        for start in (b"", element(0x0000, b"\xff\xff\xff\xff"), element(0x0000, b"")):
            self.assertEqual(decode_command(start + C_ECHO_RQ[12:]), CEchoRQ(1))

    @requirement("I3")
    def test_retired_and_unknown_elements(self) -> None:
        """Retired elements, and those of other messages or of no message, are passed over."""
        for extra in (
            element(0x0001, b"\x44\0\0\0"),  # length to end, retired
            element(0x0010, b"ACR-NEMA 2.0"),  # recognition code, retired
            element(0x0900, b"longer than a status"),  # of no request
            UNKNOWN_ELEMENT,
        ):
            self.assertEqual(decode_command(extra + C_ECHO_RQ), CEchoRQ(1))
            self.assertEqual(decode_command(C_ECHO_RQ + extra), CEchoRQ(1))

    def test_padding(self) -> None:
        """UIDs padded by blanks, unpadded or padded too much are still the UIDs."""
        rest = number(0x0100, 0x0030) + number(0x0110, 1) + number(0x0800, 0x0101)
        for value in (b"1.2.840.10008.1.1", b"1.2.840.10008.1.1 ", b"1.2.840.10008.1.1\0\0\0"):
            self.assertEqual(decode_command(element(0x0002, value) + rest), CEchoRQ(1))

    def test_empty_elements(self) -> None:
        """An optional element without a value is as good as none."""
        emptied = C_STORE_RQ.replace(number(0x1031, 9), element(0x1031, b""))
        emptied = emptied.replace(element(0x1030, b"QUERY "), element(0x1030, b"  "))
        request = decode_command(emptied)
        assert isinstance(request, CStoreRQ)
        self.assertIsNone(request.move_originator_application_entity_title)
        self.assertIsNone(request.move_originator_message_id)


class FaultTests(SynchronousTestCase):
    """Commands that cannot be served are answered if that is possible at all."""

    def test_unrecognized(self) -> None:
        """A request with an unknown command field is a value that is answered 0211H."""
        data = number(0x0100, 0x0077) + number(0x0110, 5) + number(0x0800, 0x0001)
        command = decode_command(data)
        self.assertEqual(command, UnrecognizedCommand(0x0077, 5, 0x0001))
        assert isinstance(command, UnrecognizedCommand)
        self.assertTrue(command.has_data_set)
        self.assertEqual(
            command.respond().encode(),
            element(0x0000, b"\x28\0\0\0")
            + number(0x0100, 0x8077)
            + number(0x0120, 5)
            + number(0x0800, 0x0101)
            + number(0x0900, 0x0211),
        )

    def test_missing_argument(self) -> None:
        """A C-STORE-RQ without its instance is a value that is answered 0212H."""
        command = decode_command(C_STORE_RQ.replace(element(0x1000, b"1.2.3\0"), b""))
        self.assertEqual(command, MistypedCommand(0x0001, 7, 0x0001, 0x1000, "missing or empty"))
        assert isinstance(command, MistypedCommand)
        self.assertTrue(command.has_data_set)
        self.assertEqual(
            command.respond().encode(),
            element(0x0000, b"\x28\0\0\0")
            + number(0x0100, 0x8001)
            + number(0x0120, 7)
            + number(0x0800, 0x0101)
            + number(0x0900, 0x0212),
        )

    def test_indispensable(self) -> None:
        """Every argument that a message must have is missed when it is empty or not there."""
        for message in MESSAGES.values():
            values = {
                field.name: "1.2" if "uid" in field.name or "dest" in field.name else 1
                for field in attrs.fields(message)
                if field.default is attrs.NOTHING and field.metadata != DISPENSABLE
            }
            values |= {
                field.name: None
                for field in attrs.fields(message)
                if field.default is attrs.NOTHING and field.metadata == DISPENSABLE
            }
            self.assertEqual(outcome(message(**values).encode()), message(**values))
            for name in values.keys() - {"message_id"}:
                read = outcome(message(**{**values, name: None}).encode())
                if values[name] is None:
                    self.assertEqual(read, message(**values))
                elif message in REQUESTS.values():
                    self.assertIsInstance(read, MistypedCommand, f"{message} {name}")
                else:
                    self.assertIs(read, InvalidPDU, f"{message} {name}")

    def test_mistyped_argument(self) -> None:
        """An argument of a wrong length or kind is named in the value."""
        action = NActionRQ(1, "1.2", "1.2.3", 4).encode()
        move = CMoveRQ(1, "1.2", "STORE").encode()
        for data, wrong in [
            (action.replace(number(0x1008, 4), element(0x1008, b"\4\0\0\0")), 0x1008),
            (action.replace(element(0x0003, b"1.2\0"), element(0x0003, b"1.\xe4\0")), 0x0003),
            (move.replace(element(0x0600, b"STORE "), element(0x0600, b"A" * 18)), 0x0600),
            (move.replace(number(0x0700, 0), element(0x0700, b"\0")), 0x0700),
            (C_STORE_RQ.replace(element(0x1000, b"1.2.3\0"), element(0x1000, b"1" * 66)), 0x1000),
        ]:
            command = decode_command(data)
            assert isinstance(command, MistypedCommand), command
            self.assertEqual(command.element, wrong)
            response = command.respond()
            self.assertIs(type(response), REQUESTS[command.command_field].response)
            self.assertEqual(response.status, Status.MISTYPED_ARGUMENT)

    def test_unanswerable(self) -> None:
        """Without command field, message ID or data set type nothing can be said: InvalidPDU."""
        field, message_id, data_set_type = (0x0100, 1), (0x0110, 2), (0x0800, 0x0101)
        parts = [field, message_id, data_set_type]
        for command_field in (0x0030, 0x0001, 0x0077):
            parts[0] = (0x0100, command_field)
            whole = [number(*part) for part in parts]
            self.assertIsInstance(decode_command(b"".join(whole)), Request)
            for index, (missing, _) in enumerate(parts):
                for instead in (b"", element(missing, b""), element(missing, b"\1\0\0\0")):
                    data = b"".join([*whole[:index], instead, *whole[index + 1 :]])
                    error = self.assertRaises(InvalidPDU, decode_command, data)
                    self.assertIn(f"(0000,{missing:04X})", str(error))

    def test_c_cancel_of_nothing(self) -> None:
        """A C-CANCEL-RQ that does not say what to cancel cannot be answered either."""
        data = number(0x0100, 0x0FFF) + number(0x0110, 1) + number(0x0800, 0x0101)
        error = self.assertRaises(InvalidPDU, decode_command, data)
        self.assertIn("(0000,0120)", str(error))

    def test_unreadable_response(self) -> None:
        """A response without a status, or with one of four bytes, is not answered but refused."""
        for instead in (b"", element(0x0900, b"\0\0\0\0")):
            data = C_ECHO_RSP.replace(number(0x0900, 0), instead)
            error = self.assertRaises(InvalidPDU, decode_command, data)
            self.assertIn("(0000,0900)", str(error))

    def test_unknown_response(self) -> None:
        """Nobody answers a response, so one of an unknown command is refused."""
        data = number(0x0100, 0x8077) + number(0x0110, 5) + number(0x0800, 0x0101)
        self.assertRaises(InvalidPDU, decode_command, data)

    def test_twice(self) -> None:
        """Two message IDs are one too many."""
        self.assertRaises(InvalidPDU, decode_command, C_ECHO_RQ + number(0x0110, 2))

    def test_truncated(self) -> None:
        """A command set cut anywhere is never taken for the whole."""
        for data in (C_ECHO_RQ, C_ECHO_RSP, C_STORE_RSP):
            whole = decode_command(data)
            for end in range(len(data)):
                self.assertNotEqual(outcome(data[:end]), whole)
        for end in range(len(C_ECHO_RQ)):
            self.assertIs(outcome(C_ECHO_RQ[:end]), InvalidPDU)


known_numbers = st.sampled_from([element.number for element in DICTIONARY.values()])
command_fields = st.sampled_from(list(COMMAND_FIELDS.values())) | shorts
odd_elements = st.builds(element, known_numbers, st.binary(max_size=6))
command_sets = st.builds(
    lambda field, message_id, data_set_type, rest: (
        number(0x0100, field) + message_id + number(0x0800, data_set_type) + b"".join(rest)
    ),
    command_fields,
    st.sampled_from([b"", number(0x0110, 1), number(0x0120, 1)]),
    st.sampled_from([0x0101, 0x0001]),
    st.lists(odd_elements, max_size=6),
)


class AnyBytesTests(SynchronousTestCase):
    @given(st.binary(max_size=120) | command_sets)
    def test_any_bytes(self, data: bytes) -> None:
        """Any bytes give a command or InvalidPDU; a request can be answered."""
        command = outcome(data)
        if command is InvalidPDU:
            return
        assert isinstance(command, Command)
        if isinstance(command, Request):
            response = command.respond(Status.PROCESSING_FAILURE)
            self.assertEqual(response.command_field, command.command_field | 0x8000)
            self.assertEqual(response.message_id_being_responded_to, command.message_id)
            self.assertIn(number(0x0900, 0x0110), response.encode())
        elif not isinstance(command, CCancelRQ):
            self.assertTrue(command.is_response)

    @given(command_sets)
    def test_what_is_read_can_be_written(self, data: bytes) -> None:
        """A message that was read, tolerance and all, is the same after it was written."""
        command = outcome(data)
        if type(command) in MESSAGES.values():
            assert isinstance(command, Command)
            self.assertEqual(decode_command(command.encode()), command)
