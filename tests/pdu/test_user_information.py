"""The user-information item and its sub-items (PS3.8 annex D, PS3.7 annex D.3.3)."""

from __future__ import annotations

from itertools import permutations
from struct import pack
from weakref import ref

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.errors import InvalidPDU
from pacs_twisted.pdu import (
    AAssociateAC,
    AAssociateRQ,
    AsynchronousOperationsWindow,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    RoleSelection,
    UserIdentity,
    UserInformation,
)
from tests.bytes_of import associate_ac, associate_rq, counted, item, items_of
from tests.pdu import strategies
from tests.pdu.reading import read_pdu
from tests.requirements import requirement

CT = "1.2.840.10008.5.1.4.1.1.2"
"""CT Image Storage."""

STORAGE = "1.2.840.10008.4.2"
"""The Storage service class."""

MAXIMUM_LENGTH = item(0x51, b"\0\0\x40\0")
CLASS_UID = item(0x52, b"1.2.3.4")
WINDOW = item(0x53, b"\0\0\0\0")
ROLE = item(0x54, counted(CT.encode()) + b"\x01\x00")
VERSION_NAME = item(0x55, b"TEST_1")
EXTENDED = item(0x56, counted(CT.encode()) + b"\x02\x00\x01")
COMMON = item(0x57, counted(CT.encode()) + counted(STORAGE.encode()) + counted(counted(b"1.2.3")))
IDENTITY = item(0x58, b"\x02\x01" + counted(b"radiologist") + counted(b"swordfish"))
IDENTITY_RESPONSE = item(0x59, counted(b"ticket"))

SUB_ITEMS: tuple[tuple[bytes, UserInformation], ...] = (
    (MAXIMUM_LENGTH, UserInformation(maximum_length_received=16384)),
    (CLASS_UID, UserInformation(implementation_class_uid="1.2.3.4")),
    (
        item(0x53, b"\x00\x05\x00\x01"),
        UserInformation(asynchronous_operations_window=AsynchronousOperationsWindow(5, 1)),
    ),
    (ROLE, UserInformation(role_selections=(RoleSelection(CT, True, False),))),
    (VERSION_NAME, UserInformation(implementation_version_name="TEST_1")),
    (
        EXTENDED,
        UserInformation(extended_negotiations=(ExtendedNegotiation(CT, b"\x02\x00\x01"),)),
    ),
    (
        COMMON,
        UserInformation(
            common_extended_negotiations=(CommonExtendedNegotiation(CT, STORAGE, ("1.2.3",)),)
        ),
    ),
    (
        IDENTITY,
        UserInformation(user_identity=UserIdentity(2, b"radiologist", b"swordfish", True)),
    ),
    (IDENTITY_RESPONSE, UserInformation(user_identity_response=b"ticket")),
)


def decode(*sub_items: bytes) -> UserInformation:
    """Return what the sub-items say, read as part of whole PDUs of both kinds."""
    whole = item(0x50, b"".join(sub_items))
    request = read_pdu(associate_rq(user_information=whole))
    accept = read_pdu(associate_ac(user_information=whole))
    assert isinstance(request, AAssociateRQ) and isinstance(accept, AAssociateAC)
    assert request.user_information == accept.user_information
    return request.user_information


class SubItemTests(SynchronousTestCase):
    """Each sub-item by itself."""

    def refuse(self, *values: bytes) -> None:
        """Check that each of these values of the item makes its PDU invalid."""
        for value in values:
            self.assertRaises(InvalidPDU, decode, value)

    def test_vectors(self) -> None:
        """Each stands for its bytes, both ways."""
        for octets, value in SUB_ITEMS:
            self.assertEqual(decode(octets), value)
            self.assertEqual(value.encode().hex(" "), octets.hex(" "))

    @given(strategies.user_informations)
    def test_round_trip(self, value: UserInformation) -> None:
        """Every value survives."""
        self.assertEqual(UserInformation.decode(memoryview(value.encode())), value)

    def test_nothing(self) -> None:
        """An empty item says nothing."""
        self.assertEqual(decode(), UserInformation())
        self.assertEqual(UserInformation().encode(), b"")

    @requirement("B6")
    def test_every_truncation(self) -> None:
        """A sub-item that is cut inside is invalid, whether its length owns up to it or not."""
        for octets, _ in SUB_ITEMS:
            for end in range(1, len(octets)):
                self.refuse(octets[:end])
        for octets in (MAXIMUM_LENGTH, WINDOW, ROLE, COMMON, IDENTITY, IDENTITY_RESPONSE):
            for end in range(len(octets) - 4):
                self.refuse(item(octets[0], octets[4 : 4 + end]))

    @requirement("B6")
    def test_leftover(self) -> None:
        """A byte too many is invalid where a sub-item says how long its fields are."""
        for octets in (MAXIMUM_LENGTH, WINDOW, ROLE, IDENTITY, IDENTITY_RESPONSE):
            self.refuse(item(octets[0], octets[4:] + b"\0"))

    def test_lengths_within(self) -> None:
        """A length within a sub-item that runs past it is invalid."""
        uid = counted(CT.encode())
        for wrong in (pack(">H", length) for length in (len(CT) + 1, 0x100, 0xFFFF)):
            self.refuse(
                item(0x54, wrong + CT.encode()),
                item(0x56, wrong + CT.encode()),
                item(0x57, wrong + CT.encode()),
                item(0x57, uid + wrong + STORAGE.encode()),
                item(0x57, uid + uid + wrong + counted(b"1.2.3")),
                item(0x57, uid + uid + counted(wrong + b"1.2.3")),
                item(0x58, b"\x01\x00" + wrong + b"name" + counted(b"")),
                item(0x58, b"\x01\x00" + counted(b"name") + wrong),
                item(0x59, wrong + b"ticket"),
            )

    def test_roles(self) -> None:
        """A role byte is taken as no when it is 0, else as yes."""
        for octets, roles in (
            (b"\0\0", (False, False)),
            (b"\1\1", (True, True)),
            (b"\0\1", (False, True)),
            (b"\xff\0", (True, False)),
        ):
            (role,) = decode(item(0x54, counted(CT.encode()) + octets)).role_selections
            self.assertEqual((role.scu_role, role.scp_role), roles)

    def test_extended_negotiation_without_information(self) -> None:
        """The service class may have nothing to say."""
        found = decode(item(0x56, counted(CT.encode())))
        self.assertEqual(found.extended_negotiations, (ExtendedNegotiation(CT, b""),))

    @requirement("B1")
    def test_reserved_in_common_extended_negotiation(self) -> None:
        """Its version is not looked at, nor what later versions may put at its end."""
        changed = COMMON[:1] + b"\x07" + pack(">H", len(COMMON)) + COMMON[4:] + b"more"
        self.assertEqual(decode(changed), decode(COMMON))

    @requirement("E14")
    def test_identities(self) -> None:
        """All five types of user identity are carried; only type 2 has a second field."""
        for identity_type, secondary in ((1, b""), (2, b"\x01\x02"), (3, b""), (4, b""), (5, b"")):
            octets = item(0x58, bytes((identity_type, 0)) + counted(b"who") + counted(secondary))
            value = UserInformation(user_identity=UserIdentity(identity_type, b"who", secondary))
            self.assertEqual(decode(octets), value)
            self.assertEqual(value.encode(), octets)

    @requirement("E2")
    def test_maximum_lengths(self) -> None:
        """Any number is a maximum length, and 0 is told from none at all."""
        for number in (0, 1, 7, 8, 64, 16378, 16382, 4 << 20, 0xFFFFFFFF):
            found = decode(item(0x51, pack(">L", number)))
            self.assertEqual(found.maximum_length_received, number)
        self.assertIsNone(decode(CLASS_UID).maximum_length_received)


class OrderTests(SynchronousTestCase):
    """Sub-items come in any order, with others among them (PS3.8 section 9.3.1)."""

    @requirement("B3")
    def test_peers(self) -> None:
        """The orders that dcm4che, Odil and CTN send mean what the standard's order means."""
        self.assertEqual(
            decode(MAXIMUM_LENGTH, CLASS_UID, WINDOW, VERSION_NAME),  # dcm4che
            UserInformation(16384, "1.2.3.4", "TEST_1", AsynchronousOperationsWindow(0, 0)),
        )
        plain = UserInformation(
            16384, "1.2.3.4", "TEST_1", role_selections=(RoleSelection(CT, True, False),)
        )
        self.assertEqual(decode(MAXIMUM_LENGTH, CLASS_UID, ROLE, VERSION_NAME), plain)  # Odil
        self.assertEqual(decode(MAXIMUM_LENGTH, CLASS_UID, VERSION_NAME, ROLE), plain)  # CTN

    @requirement("B3")
    def test_any_order(self) -> None:
        """All orders mean the same."""
        sub_items = (MAXIMUM_LENGTH, CLASS_UID, WINDOW, ROLE, VERSION_NAME)
        for order in permutations(sub_items):
            self.assertEqual(decode(*order), decode(*sub_items))

    @requirement("B2")
    @given(
        st.integers(0, 255).filter(lambda item_type: not 0x51 <= item_type <= 0x59),
        st.binary(max_size=30),
    )
    def test_unknown(self, item_type: int, value: bytes) -> None:
        """Sub-items of unknown type are passed over, whatever they hold and wherever they are."""
        unknown = item(item_type, value)
        self.assertEqual(
            decode(unknown, MAXIMUM_LENGTH, unknown, CLASS_UID, unknown),
            decode(MAXIMUM_LENGTH, CLASS_UID),
        )

    def test_repeated(self) -> None:
        """Of a sub-item that may stand once the last one counts; the others add up."""
        self.assertEqual(
            decode(CLASS_UID, item(0x52, b"1.2")), UserInformation(implementation_class_uid="1.2")
        )
        other = item(0x54, counted(b"1.2.3") + b"\1\1")
        self.assertEqual(
            decode(ROLE, other).role_selections,
            (RoleSelection(CT, True, False), RoleSelection("1.2.3", True, True)),
        )

    @requirement("B3")
    @given(strategies.user_informations)
    def test_sent_in_order(self, value: UserInformation) -> None:
        """Sub-items are sent in increasing order of type."""
        types = [item_type for item_type, _ in items_of(value.encode())]
        self.assertEqual(types, sorted(types))


class VersionNameTests(SynchronousTestCase):
    """The implementation version name (PS3.7 section D.3.3.2.4), which peers take lightly."""

    def test_missing(self) -> None:
        """A peer without a version name is no worse for it (pynetdicom2)."""
        self.assertIsNone(decode(MAXIMUM_LENGTH, CLASS_UID).implementation_version_name)

    def test_empty(self) -> None:
        """Nor is one with an empty name."""
        self.assertEqual(decode(item(0x55, b"")).implementation_version_name, "")

    def test_long(self) -> None:
        """Nor one with a name of more than 16 characters, which is kept as it is."""
        found = decode(item(0x55, b"A" * 300))
        self.assertEqual(found.implementation_version_name, "A" * 300)

    def test_padded(self) -> None:
        """Padding behind the name is no part of it."""
        self.assertEqual(decode(item(0x55, b"TEST_1 \0")), decode(VERSION_NAME))

    @given(st.binary(max_size=40))
    def test_any_bytes(self, name: bytes) -> None:
        """No name makes the decoder fail."""
        repr(decode(item(0x55, name)))


class SecretTests(SynchronousTestCase):
    """What must not be written anywhere (PS3.7 section D.3.3.7)."""

    @requirement("E18")
    def test_identity_is_not_in_representations(self) -> None:
        """Neither user name nor passcode nor ticket is in the representation of any value."""
        user_information = item(0x50, IDENTITY + IDENTITY_RESPONSE)
        for octets in (
            associate_rq(user_information=user_information),
            associate_ac(user_information=user_information),
        ):
            pdu = read_pdu(octets)
            assert isinstance(pdu, AAssociateRQ | AAssociateAC)
            information = pdu.user_information
            for value in (pdu, information, information.user_identity):
                for text in (repr(value), str(value), f"{value}"):
                    for secret in ("radiologist", "swordfish", "ticket"):
                        self.assertNotIn(secret, text)

    @requirement("E18")
    def test_identity_is_not_kept(self) -> None:
        """Nothing remembers an identity longer than its request lives."""
        request = read_pdu(associate_rq(user_information=item(0x50, IDENTITY)))
        assert isinstance(request, AAssociateRQ)
        alive = ref(request)
        del request
        self.assertIsNone(alive())

    @requirement("E18")
    def test_identity_is_not_in_errors(self) -> None:
        """Nor is it in the error that a broken sub-item causes."""
        for value in (
            b"\x02\x01" + counted(b"radiologist") + counted(b"swordfish") + b"swordfish",
            b"\x02\x01" + counted(b"radiologist") + b"\xff\xffswordfish",
            b"\x02\x01" + b"\xff\xffradiologist",
        ):
            error = self.assertRaises(InvalidPDU, decode, item(0x58, value))
            for secret in ("radiologist", "swordfish"):
                self.assertNotIn(secret, repr(error))
