"""
PDUs as they travel, written out field by field; nothing here comes from the code under test.

The first half builds whole and broken PDUs from their parts by `struct`. The second half holds a
vector for every PDU, each field with its name in PS3.8 section 9.3.
"""

from __future__ import annotations

from struct import pack
from typing import Final

import attrs

RESERVED: Final = "reserved"


def pdu(pdu_type: int, body: bytes, length: int | None = None) -> bytes:
    """Return a PDU, whose length may be a lie."""
    return pack(">BBL", pdu_type, 0, len(body) if length is None else length) + body


def item(item_type: int, value: bytes, length: int | None = None) -> bytes:
    """Return an item or sub-item, whose length may be a lie."""
    return pack(">BBH", item_type, 0, len(value) if length is None else length) + value


def counted(value: bytes) -> bytes:
    """Return a value behind its length in two bytes."""
    return pack(">H", len(value)) + value


def pdv(context_id: int, control: int, fragment: bytes, length: int | None = None) -> bytes:
    """Return a presentation data value, whose length may be a lie."""
    stated = len(fragment) + 2 if length is None else length
    return pack(">LBB", stated, context_id, control) + fragment


def p_data_tf(*pdvs: bytes) -> bytes:
    """Return a P-DATA-TF of these presentation data values."""
    return pdu(0x04, b"".join(pdvs))


def proposed_context(context_id: int, *syntaxes: bytes) -> bytes:
    """Return a presentation context item of an A-ASSOCIATE-RQ around its sub-items."""
    return item(0x20, bytes((context_id, 0, 0, 0)) + b"".join(syntaxes))


def context_result(context_id: int, result: int, *syntaxes: bytes) -> bytes:
    """Return a presentation context item of an A-ASSOCIATE-AC around its sub-items."""
    return item(0x21, bytes((context_id, 0, result, 0)) + b"".join(syntaxes))


APPLICATION_CONTEXT_ITEM: Final = item(0x10, b"1.2.840.10008.3.1.1.1")
VERIFICATION_ITEM: Final = item(0x30, b"1.2.840.10008.1.1")
IMPLICIT_ITEM: Final = item(0x40, b"1.2.840.10008.1.2")
VERIFICATION_CONTEXT: Final = proposed_context(1, VERIFICATION_ITEM, IMPLICIT_ITEM)
VERIFICATION_ACCEPTED: Final = context_result(1, 0, IMPLICIT_ITEM)
MAXIMUM_LENGTH_ITEM: Final = item(0x51, pack(">L", 16384))
IMPLEMENTATION_CLASS_ITEM: Final = item(0x52, b"1.2.3.4")
USER_INFORMATION_ITEM: Final = item(0x50, MAXIMUM_LENGTH_ITEM + IMPLEMENTATION_CLASS_ITEM)

TITLES: Final = b"ANY-SCP         " + b"ECHOSCU         " + bytes(32)


def associate_body(*items: bytes, titles: bytes = TITLES, version: int = 1) -> bytes:
    """Return what follows the header of an A-ASSOCIATE-RQ or -AC."""
    return pack(">HH", version, 0) + titles + b"".join(items)


def associate_rq(
    *contexts: bytes,
    user_information: bytes = USER_INFORMATION_ITEM,
    titles: bytes = TITLES,
    version: int = 1,
) -> bytes:
    """Return an A-ASSOCIATE-RQ that is in order but for what is given."""
    items = (APPLICATION_CONTEXT_ITEM, *(contexts or (VERIFICATION_CONTEXT,)), user_information)
    return pdu(0x01, associate_body(*items, titles=titles, version=version))


def associate_ac(
    *results: bytes, user_information: bytes = USER_INFORMATION_ITEM, titles: bytes = TITLES
) -> bytes:
    """Return an A-ASSOCIATE-AC that is in order but for what is given."""
    items = (APPLICATION_CONTEXT_ITEM, *(results or (VERIFICATION_ACCEPTED,)), user_information)
    return pdu(0x02, associate_body(*items, titles=titles))


def items_of(data: bytes) -> list[tuple[int, bytes]]:
    """Return types and values of the items that fill `data`, which must be in order."""
    found = []
    while data:
        length = int.from_bytes(data[2:4], "big")
        found.append((data[0], data[4 : 4 + length]))
        data = data[4 + length :]
    return found


@attrs.frozen
class Vector:
    """A PDU with a name for each of its fields."""

    fields: tuple[tuple[bytes, str], ...]

    @property
    def octets(self) -> bytes:
        """The PDU."""
        return b"".join(octets for octets, _ in self.fields)

    @property
    def body(self) -> memoryview:
        """What follows the header."""
        return memoryview(self.octets)[6:]

    @property
    def reserved(self) -> list[int]:
        """The offsets of all reserved bytes."""
        offsets: list[int] = []
        offset = 0
        for octets, name in self.fields:
            if name == RESERVED:
                offsets += range(offset, offset + len(octets))
            offset += len(octets)
        return offsets

    def replace(self, name: str, octets: bytes) -> bytes:
        """Return the PDU with the first field of this name changed."""
        index = [field_name for _, field_name in self.fields].index(name)
        fields = [field for field, _ in self.fields]
        fields[index] = octets
        return b"".join(fields)


A_ASSOCIATE_RQ: Final = Vector(
    (
        (b"\x01", "PDU-type"),
        (b"\x00", RESERVED),
        (b"\x00\x00\x00\xb0", "PDU-length"),
        (b"\x00\x01", "protocol-version"),
        (b"\x00\x00", RESERVED),
        (b"ANY-SCP         ", "called-AE-title"),
        (b"ECHOSCU         ", "calling-AE-title"),
        (bytes(32), RESERVED),
        (b"\x10", "item-type: application context"),
        (b"\x00", RESERVED),
        (b"\x00\x15", "item-length"),
        (b"1.2.840.10008.3.1.1.1", "application-context-name"),
        (b"\x20", "item-type: presentation context"),
        (b"\x00", RESERVED),
        (b"\x00\x2e", "item-length"),
        (b"\x01", "presentation-context-ID"),
        (b"\x00\x00\x00", RESERVED),
        (b"\x30", "item-type: abstract syntax"),
        (b"\x00", RESERVED),
        (b"\x00\x11", "item-length"),
        (b"1.2.840.10008.1.1", "abstract-syntax-name"),
        (b"\x40", "item-type: transfer syntax"),
        (b"\x00", RESERVED),
        (b"\x00\x11", "item-length"),
        (b"1.2.840.10008.1.2", "transfer-syntax-name"),
        (b"\x50", "item-type: user information"),
        (b"\x00", RESERVED),
        (b"\x00\x1d", "item-length"),
        (b"\x51", "item-type: maximum length"),
        (b"\x00", RESERVED),
        (b"\x00\x04", "item-length"),
        (b"\x00\x00\x40\x00", "maximum-length-received"),
        (b"\x52", "item-type: implementation class UID"),
        (b"\x00", RESERVED),
        (b"\x00\x07", "item-length"),
        (b"1.2.3.4", "implementation-class-uid"),
        (b"\x55", "item-type: implementation version name"),
        (b"\x00", RESERVED),
        (b"\x00\x06", "item-length"),
        (b"TEST_1", "implementation-version-name"),
    )
)

A_ASSOCIATE_AC: Final = Vector(
    (
        (b"\x02", "PDU-type"),
        (b"\x00", RESERVED),
        (b"\x00\x00\x00\x9b", "PDU-length"),
        (b"\x00\x01", "protocol-version"),
        (b"\x00\x00", RESERVED),
        (b"ANY-SCP         ", "echo of the called-AE-title"),
        (b"ECHOSCU         ", "echo of the calling-AE-title"),
        (bytes(32), "echo of what is reserved in the request"),
        (b"\x10", "item-type: application context"),
        (b"\x00", RESERVED),
        (b"\x00\x15", "item-length"),
        (b"1.2.840.10008.3.1.1.1", "application-context-name"),
        (b"\x21", "item-type: presentation context"),
        (b"\x00", RESERVED),
        (b"\x00\x19", "item-length"),
        (b"\x01", "presentation-context-ID"),
        (b"\x00", RESERVED),
        (b"\x00", "result/reason: acceptance"),
        (b"\x00", RESERVED),
        (b"\x40", "item-type: transfer syntax"),
        (b"\x00", RESERVED),
        (b"\x00\x11", "item-length"),
        (b"1.2.840.10008.1.2", "transfer-syntax-name"),
        (b"\x50", "item-type: user information"),
        (b"\x00", RESERVED),
        (b"\x00\x1d", "item-length"),
        (b"\x51", "item-type: maximum length"),
        (b"\x00", RESERVED),
        (b"\x00\x04", "item-length"),
        (b"\x00\x00\x40\x00", "maximum-length-received"),
        (b"\x52", "item-type: implementation class UID"),
        (b"\x00", RESERVED),
        (b"\x00\x07", "item-length"),
        (b"1.2.3.4", "implementation-class-uid"),
        (b"\x55", "item-type: implementation version name"),
        (b"\x00", RESERVED),
        (b"\x00\x06", "item-length"),
        (b"TEST_1", "implementation-version-name"),
    )
)

A_ASSOCIATE_RJ: Final = Vector(
    (
        (b"\x03", "PDU-type"),
        (b"\x00", RESERVED),
        (b"\x00\x00\x00\x04", "PDU-length"),
        (b"\x00", RESERVED),
        (b"\x01", "result: permanent"),
        (b"\x01", "source: service-user"),
        (b"\x07", "reason: called AE title not recognized"),
    )
)

A_ASSOCIATE_RJ_TRANSIENT: Final = Vector(
    (
        (b"\x03", "PDU-type"),
        (b"\x00", RESERVED),
        (b"\x00\x00\x00\x04", "PDU-length"),
        (b"\x00", RESERVED),
        (b"\x02", "result: transient"),
        (b"\x03", "source: service-provider, presentation"),
        (b"\x02", "reason: local limit exceeded"),
    )
)

C_ECHO_RQ: Final = (
    b"\x00\x00\x00\x00\x04\x00\x00\x00\x38\x00\x00\x00"  # (0000,0000) group length 56
    b"\x00\x00\x02\x00\x12\x00\x00\x001.2.840.10008.1.1\x00"  # (0000,0002) Verification
    b"\x00\x00\x00\x01\x02\x00\x00\x00\x30\x00"  # (0000,0100) C-ECHO-RQ
    b"\x00\x00\x10\x01\x02\x00\x00\x00\x01\x00"  # (0000,0110) message ID 1
    b"\x00\x00\x00\x08\x02\x00\x00\x00\x01\x01"  # (0000,0800) no data set
)

C_ECHO_RSP: Final = (
    b"\x00\x00\x00\x00\x04\x00\x00\x00\x42\x00\x00\x00"  # (0000,0000) group length 66
    b"\x00\x00\x02\x00\x12\x00\x00\x001.2.840.10008.1.1\x00"  # (0000,0002) Verification
    b"\x00\x00\x00\x01\x02\x00\x00\x00\x30\x80"  # (0000,0100) C-ECHO-RSP
    b"\x00\x00\x20\x01\x02\x00\x00\x00\x01\x00"  # (0000,0120) answers message ID 1
    b"\x00\x00\x00\x08\x02\x00\x00\x00\x01\x01"  # (0000,0800) no data set
    b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00"  # (0000,0900) success
)

P_DATA_TF_C_ECHO_RQ: Final = Vector(
    (
        (b"\x04", "PDU-type"),
        (b"\x00", RESERVED),
        (b"\x00\x00\x00\x4a", "PDU-length"),
        (b"\x00\x00\x00\x46", "item-length"),
        (b"\x01", "presentation-context-ID"),
        (b"\x03", "message control header: command, last"),
        (C_ECHO_RQ, "fragment"),
    )
)

P_DATA_TF_C_ECHO_RSP: Final = Vector(
    (
        (b"\x04", "PDU-type"),
        (b"\x00", RESERVED),
        (b"\x00\x00\x00\x54", "PDU-length"),
        (b"\x00\x00\x00\x50", "item-length"),
        (b"\x01", "presentation-context-ID"),
        (b"\x03", "message control header: command, last"),
        (C_ECHO_RSP, "fragment"),
    )
)

A_RELEASE_RQ: Final = Vector(
    (
        (b"\x05", "PDU-type"),
        (b"\x00", RESERVED),
        (b"\x00\x00\x00\x04", "PDU-length"),
        (bytes(4), RESERVED),
    )
)

A_RELEASE_RP: Final = Vector(
    (
        (b"\x06", "PDU-type"),
        (b"\x00", RESERVED),
        (b"\x00\x00\x00\x04", "PDU-length"),
        (bytes(4), RESERVED),
    )
)

A_ABORT_BY_USER: Final = Vector(
    (
        (b"\x07", "PDU-type"),
        (b"\x00", RESERVED),
        (b"\x00\x00\x00\x04", "PDU-length"),
        (b"\x00\x00", RESERVED),
        (b"\x00", "source: service-user"),
        (b"\x00", "reason: none, for this source"),
    )
)

A_ABORT_BY_PROVIDER: Final = Vector(
    (
        (b"\x07", "PDU-type"),
        (b"\x00", RESERVED),
        (b"\x00\x00\x00\x04", "PDU-length"),
        (b"\x00\x00", RESERVED),
        (b"\x02", "source: service-provider"),
        (b"\x02", "reason: unexpected PDU"),
    )
)

HTTP_REQUEST: Final = b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n"
TLS_CLIENT_HELLO: Final = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
