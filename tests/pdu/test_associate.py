"""A-ASSOCIATE-RQ, -AC and -RJ (PS3.8 sections 9.3.2 to 9.3.4)."""

from __future__ import annotations

from typing import TypeVar

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.errors import InvalidPDU
from pacs_twisted.pdu import (
    PDU,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    ContextResult,
    ProposedContext,
    UserInformation,
)
from tests import bytes_of
from tests.bytes_of import (
    APPLICATION_CONTEXT_ITEM,
    IMPLICIT_ITEM,
    USER_INFORMATION_ITEM,
    VERIFICATION_CONTEXT,
    VERIFICATION_ITEM,
    Vector,
    associate_ac,
    associate_body,
    associate_rq,
    context_result,
    item,
    items_of,
    pdu,
    proposed_context,
)
from tests.pdu import strategies
from tests.pdu.reading import read, read_pdu
from tests.requirements import requirement

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

USER_INFORMATION = UserInformation(
    maximum_length_received=16384,
    implementation_class_uid="1.2.3.4",
    implementation_version_name="TEST_1",
)
REQUEST = AAssociateRQ(
    called_ae_title="ANY-SCP",
    calling_ae_title="ECHOSCU",
    presentation_contexts=(ProposedContext(1, VERIFICATION, (IMPLICIT,)),),
    user_information=USER_INFORMATION,
)
ACCEPT = AAssociateAC(
    context_results=(ContextResult(1, 0, IMPLICIT),),
    user_information=USER_INFORMATION,
    title_bytes=bytes_of.TITLES,
)

UNKNOWN = item(0x5F, b"of no meaning")

_P = TypeVar("_P", AAssociateRQ, AAssociateAC)


class AssociateCase(SynchronousTestCase):
    """Reading of the two long PDUs."""

    def request(self, octets: bytes) -> AAssociateRQ:
        """Return the request that these bytes are."""
        return self._read(octets, AAssociateRQ)

    def accept(self, octets: bytes) -> AAssociateAC:
        """Return the accept that these bytes are."""
        return self._read(octets, AAssociateAC)

    def _read(self, octets: bytes, expected: type[_P]) -> _P:
        found = read_pdu(octets)
        assert isinstance(found, expected)
        return found

    def refuse(self, *streams: bytes) -> None:
        """Check that each of the streams begins with an invalid PDU."""
        for octets in streams:
            self.assertIsInstance(read([octets]).error, InvalidPDU, octets)


class VectorTests(AssociateCase):
    """Values and bytes stand for each other."""

    vectors: tuple[tuple[Vector, PDU], ...] = (
        (bytes_of.A_ASSOCIATE_RQ, REQUEST),
        (bytes_of.A_ASSOCIATE_AC, ACCEPT),
        (bytes_of.A_ASSOCIATE_RJ, AAssociateRJ(result=1, source=1, reason=7)),
        (bytes_of.A_ASSOCIATE_RJ_TRANSIENT, AAssociateRJ(result=2, source=3, reason=2)),
    )

    def test_vectors(self) -> None:
        """Each stands for its bytes, both ways."""
        for vector, value in self.vectors:
            self.assertEqual(read_pdu(vector.octets), value)
            self.assertEqual(value.encode().hex(" "), vector.octets.hex(" "))

    @requirement("B1")
    def test_reserved_bytes_are_sent_as_zero(self) -> None:
        """All of them, headers of items and sub-items included."""
        for vector, value in self.vectors:
            octets = value.encode()
            self.assertEqual({octets[offset] for offset in vector.reserved}, {0})

    @requirement("B1")
    @given(st.data())
    def test_reserved_bytes_are_ignored(self, data: st.DataObject) -> None:
        """Whatever they hold, the PDU says the same."""
        vector, value = data.draw(st.sampled_from(self.vectors))
        octets = bytearray(vector.octets)
        for offset in vector.reserved:
            octets[offset] = data.draw(strategies.octets)
        # A request made anew is without the reserved bytes that it keeps for the echo.
        self.assertEqual(attrs.evolve(read_pdu(bytes(octets))), value)

    @given(strategies.a_associate_rqs)
    def test_request_round_trip(self, request: AAssociateRQ) -> None:
        """Every request survives, its 64 bytes for the echo included."""
        received = self.request(request.encode())
        self.assertEqual(received, request)
        self.assertEqual(received.title_bytes, request.title_bytes)

    def test_the_same_request_again(self) -> None:
        """Requests in the same bytes are equal; one other byte, and they are not mixed up."""
        octets = bytes_of.A_ASSOCIATE_RQ.octets
        self.assertEqual(self.request(octets), self.request(octets))
        other = bytes_of.A_ASSOCIATE_RQ.replace("calling-AE-title", b"STORESCU        ")
        self.assertEqual(self.request(other).calling_ae_title, "STORESCU")
        reserved = octets[:73] + b"\x01" + octets[74:]
        self.assertEqual(self.request(reserved).title_bytes[63], 1)
        self.assertEqual(self.request(octets).title_bytes[63], 0)

    @given(strategies.a_associate_acs)
    def test_accept_round_trip(self, accept: AAssociateAC) -> None:
        """Every accept survives."""
        self.assertEqual(self.accept(accept.encode()), accept)

    @given(strategies.a_associate_rjs)
    def test_reject_round_trip(self, reject: AAssociateRJ) -> None:
        """Every reject survives, also with numbers that the standard does not know."""
        self.assertEqual(read_pdu(reject.encode()), reject)

    def test_reject_checks_the_body(self) -> None:
        """A body of another length than four is refused without the reader's help as well."""
        for length in (0, 3, 5):
            self.assertRaises(InvalidPDU, AAssociateRJ.decode, memoryview(bytes(length)))

    @requirement("B3")
    @given(strategies.a_associate_rqs | strategies.a_associate_acs)
    def test_order_of_items(self, value: AAssociateRQ | AAssociateAC) -> None:
        """Items are sent in increasing order of type, those in items too."""
        items = items_of(value.encode()[74:])
        nested = {0x20: 4, 0x21: 4, 0x50: 0}
        for level in [items, *(items_of(v[nested[t] :]) for t, v in items if t in nested)]:
            types = [item_type for item_type, _ in level]
            self.assertEqual(types, sorted(types))

    def test_a_very_long_request(self) -> None:
        """A request of 128 contexts with 38 transfer syntaxes each is one PDU of over 100 kB."""
        syntaxes = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(50, 88))
        contexts = tuple(
            ProposedContext(number, VERIFICATION, syntaxes) for number in range(1, 256, 2)
        )
        request = attrs.evolve(REQUEST, presentation_contexts=contexts)
        octets = request.encode()
        self.assertGreater(len(octets), 100_000)
        self.assertEqual(self.request(octets), request)


class LengthTests(AssociateCase):
    """Items fill what they are in exactly (PS3.8 sections 9.3.2 and 9.3.3)."""

    @requirement("B6")
    def test_too_short(self) -> None:
        """A body that has not even its fixed fields is invalid."""
        for length in (0, 1, 67):
            self.refuse(pdu(0x01, bytes(length)), pdu(0x02, bytes(length)))

    @requirement("B6")
    def test_every_truncation(self) -> None:
        """A request or accept that lacks its end is invalid, wherever it was cut."""
        for vector in (bytes_of.A_ASSOCIATE_RQ, bytes_of.A_ASSOCIATE_AC):
            ends_of_items = {68}
            for _, value in items_of(bytes(vector.body[68:])):
                ends_of_items.add(max(ends_of_items) + 4 + len(value))
            for end in set(range(len(vector.body))) - ends_of_items:
                self.refuse(pdu(vector.octets[0], bytes(vector.body[:end])))

    @requirement("B6")
    def test_leftover(self) -> None:
        """One to three bytes behind the last item are invalid, in every item that holds items."""
        for count in (1, 2, 3):
            rest = bytes(count)
            self.refuse(
                pdu(0x01, bytes(bytes_of.A_ASSOCIATE_RQ.body) + rest),
                pdu(0x02, bytes(bytes_of.A_ASSOCIATE_AC.body) + rest),
                associate_rq(proposed_context(1, VERIFICATION_ITEM, IMPLICIT_ITEM, rest)),
                associate_ac(context_result(1, 0, IMPLICIT_ITEM, rest)),
                associate_rq(user_information=item(0x50, rest)),
                associate_ac(user_information=item(0x50, rest)),
            )

    @requirement("B6")
    def test_overrun(self) -> None:
        """An item that runs past what it is in is invalid, on every level."""
        for length in (14, 0x100, 0xFFFF):
            beyond = item(0x5F, bytes(13), length)
            self.refuse(
                pdu(0x01, bytes(bytes_of.A_ASSOCIATE_RQ.body) + beyond),
                pdu(0x02, bytes(bytes_of.A_ASSOCIATE_AC.body) + beyond),
                associate_rq(proposed_context(1, VERIFICATION_ITEM, IMPLICIT_ITEM, beyond)),
                associate_ac(context_result(1, 0, IMPLICIT_ITEM, beyond)),
                associate_rq(user_information=item(0x50, beyond)),
            )

    @requirement("B6")
    def test_an_item_does_not_borrow(self) -> None:
        """An inner item that fits into the PDU but not into its own item is invalid."""
        lying = proposed_context(1, VERIFICATION_ITEM, item(0x40, b"1.2.840.10008.1.2", 40))
        self.refuse(associate_rq(lying, VERIFICATION_CONTEXT))

    def test_short_context_items(self) -> None:
        """A context item without room for its identifier is invalid."""
        for length in range(4):
            self.refuse(
                associate_rq(item(0x20, bytes(length))), associate_ac(item(0x21, bytes(length)))
            )


class UnknownItemTests(AssociateCase):
    """Items of unknown type are passed over by their length (PS3.8 section 9.3.1)."""

    @requirement("B2")
    @given(
        st.integers(0, 255).filter(lambda item_type: item_type not in (0x10, 0x20, 0x50)),
        st.binary(max_size=30),
    )
    def test_in_a_request(self, item_type: int, value: bytes) -> None:
        """Before, between and behind the items of a request, and twice."""
        unknown = item(item_type, value)
        body = associate_body(
            unknown,
            APPLICATION_CONTEXT_ITEM,
            unknown,
            VERIFICATION_CONTEXT,
            unknown,
            USER_INFORMATION_ITEM,
            unknown,
        )
        self.assertEqual(self.request(pdu(0x01, body)), self.request(associate_rq()))

    @requirement("B2")
    def test_in_an_accept(self) -> None:
        """Likewise in an accept."""
        octets = associate_ac(UNKNOWN, bytes_of.VERIFICATION_ACCEPTED, UNKNOWN)
        self.assertEqual(self.accept(octets), self.accept(associate_ac()))

    @requirement("B2")
    def test_in_a_context(self) -> None:
        """Within a presentation context of either PDU."""
        proposed = proposed_context(1, UNKNOWN, VERIFICATION_ITEM, UNKNOWN, IMPLICIT_ITEM, UNKNOWN)
        self.assertEqual(self.request(associate_rq(proposed)), self.request(associate_rq()))
        accepted = context_result(1, 0, UNKNOWN, IMPLICIT_ITEM, UNKNOWN)
        self.assertEqual(self.accept(associate_ac(accepted)), self.accept(associate_ac()))


class TitleTests(AssociateCase):
    """AE titles (PS3.8 section 9.3.2, PS3.5 section 6.2)."""

    def titles(self, called: bytes, calling: bytes) -> tuple[str, str]:
        """Return the titles as they are read from their sixteen bytes each."""
        request = self.request(associate_rq(titles=called + calling + bytes(32)))
        return request.called_ae_title, request.calling_ae_title

    @requirement("C2")
    def test_padding(self) -> None:
        """Titles are sent with blanks behind them; blanks around a received one do not count."""
        self.assertEqual(REQUEST.encode()[10:42], b"ANY-SCP         ECHOSCU         ")
        self.assertEqual(
            self.titles(b"  ANY SCP       ", b"         ECHOSCU"), ("ANY SCP", "ECHOSCU")
        )

    @requirement("C2")
    def test_case_is_kept(self) -> None:
        """Upper and lower case differ."""
        self.assertEqual(
            self.titles(b"Any-Scp         ", b"any-scp         "), ("Any-Scp", "any-scp")
        )

    @requirement("C4")
    def test_padding_by_nul(self) -> None:
        """Titles padded by NUL are the same titles (pynetdicom2)."""
        self.assertEqual(
            self.titles(b"ANY-SCP".ljust(16, b"\0"), b"ECHOSCU \0\0 \0    "),
            ("ANY-SCP", "ECHOSCU"),
        )

    @requirement("C4")
    def test_unusable_titles(self) -> None:
        """Titles that nobody can have are read, so that they can be rejected."""
        self.assertEqual(self.titles(b" " * 16, bytes(16)), ("", ""))
        self.assertEqual(
            self.titles(b"\xff\xfe\x80" + b" " * 13, b"A\\B\n" + b" " * 12)[1], "A\\B\n"
        )

    @requirement("C4")
    @given(st.binary(min_size=64, max_size=64))
    def test_any_titles(self, titles: bytes) -> None:
        """No title makes the decoder fail, and the bytes are kept for the echo."""
        request = self.request(associate_rq(titles=titles))
        self.assertEqual(request.title_bytes, titles)
        self.assertEqual(self.request(request.encode()).title_bytes, titles)
        repr(request)

    def test_too_long_for_the_field(self) -> None:
        """A title of ours with more than 16 characters is our own mistake."""
        for name in ("called_ae_title", "calling_ae_title"):
            error = self.assertRaises(ValueError, attrs.evolve, REQUEST, **{name: "x" * 17})
            self.assertIn(name, str(error))

    @requirement("C5")
    @given(st.binary(min_size=64, max_size=64))
    def test_echo(self, titles: bytes) -> None:
        """An accept sends the 64 bytes that it is given; one that is received may hold anything."""
        accept = attrs.evolve(ACCEPT, title_bytes=titles)
        self.assertEqual(accept.encode()[10:74], titles)
        received = self.accept(associate_ac(titles=titles))
        self.assertEqual(received.context_results, ACCEPT.context_results)


class FixedFieldTests(AssociateCase):
    """What stands once in a request or accept."""

    @requirement("C1")
    def test_version(self) -> None:
        """Version 1 is sent, and any is read: the acceptor judges it."""
        self.assertEqual(REQUEST.encode()[6:8], b"\0\x01")
        self.assertEqual(ACCEPT.encode()[6:8], b"\0\x01")
        for version in (0, 1, 2, 3, 0xFFFF):
            request = self.request(associate_rq(version=version))
            self.assertEqual(request.protocol_version, version)

    @requirement("C6")
    def test_application_context(self) -> None:
        """There is exactly one application context item, which names DICOM's."""
        for octets in (REQUEST.encode(), ACCEPT.encode()):
            names = [value for item_type, value in items_of(octets[74:]) if item_type == 0x10]
            self.assertEqual(names, [b"1.2.840.10008.3.1.1.1"])
        twice = (APPLICATION_CONTEXT_ITEM, APPLICATION_CONTEXT_ITEM)
        self.refuse(
            associate_rq(*twice, VERIFICATION_CONTEXT),
            associate_ac(*twice, bytes_of.VERIFICATION_ACCEPTED),
        )

    def test_no_application_context(self) -> None:
        """Without the item there is no name, which is refused as any foreign one."""
        body = associate_body(VERIFICATION_CONTEXT, USER_INFORMATION_ITEM)
        self.assertEqual(self.request(pdu(0x01, body)).application_context, "")

    @requirement("C8")
    def test_user_information(self) -> None:
        """There is exactly one user-information item."""
        for octets in (REQUEST.encode(), ACCEPT.encode()):
            types = [item_type for item_type, _ in items_of(octets[74:])]
            self.assertEqual(types.count(0x50), 1)
        twice = USER_INFORMATION_ITEM * 2
        self.refuse(associate_rq(user_information=twice), associate_ac(user_information=twice))

    def test_no_user_information(self) -> None:
        """Without the item nothing is known, which is no error of the PDU."""
        request = self.request(associate_rq(user_information=b""))
        self.assertEqual(request.user_information, UserInformation())

    def test_items_in_another_order(self) -> None:
        """A peer that orders its items otherwise is understood."""
        body = associate_body(USER_INFORMATION_ITEM, VERIFICATION_CONTEXT, APPLICATION_CONTEXT_ITEM)
        self.assertEqual(self.request(pdu(0x01, body)), self.request(associate_rq()))


class ContextTests(AssociateCase):
    """Presentation contexts (PS3.8 sections 9.3.2.2 and 9.3.3.2)."""

    @requirement("D1")
    def test_even_identifiers(self) -> None:
        """Identifiers are odd; an even one, or 0, makes the PDU invalid."""
        for number in range(256):
            proposal = associate_rq(proposed_context(number, VERIFICATION_ITEM, IMPLICIT_ITEM))
            result = associate_ac(context_result(number, 0, IMPLICIT_ITEM))
            refusal = associate_ac(context_result(number, 3, IMPLICIT_ITEM))
            if number % 2:
                self.assertEqual(self.request(proposal).presentation_contexts[0].context_id, number)
                self.assertEqual(self.accept(result).context_results[0].context_id, number)
                self.assertEqual(self.accept(refusal).context_results[0].context_id, number)
            else:
                self.refuse(proposal, result, refusal)

    @requirement("D1")
    def test_identifiers_twice(self) -> None:
        """An identifier stands once in a PDU, whatever it stands for."""
        other = proposed_context(1, item(0x30, b"1.2.3"), IMPLICIT_ITEM)
        self.refuse(
            associate_rq(VERIFICATION_CONTEXT, other),
            associate_ac(bytes_of.VERIFICATION_ACCEPTED, bytes_of.VERIFICATION_ACCEPTED),
            associate_ac(bytes_of.VERIFICATION_ACCEPTED, context_result(1, 3, IMPLICIT_ITEM)),
        )

    @requirement("D1")
    def test_too_many(self) -> None:
        """More contexts than there are identifiers are refused before any of them is read."""
        read_contexts: list[memoryview] = []
        self.patch(ProposedContext, "decode", read_contexts.append)
        self.patch(ContextResult, "decode", read_contexts.append)
        self.refuse(
            associate_rq(*[VERIFICATION_CONTEXT] * 129),
            associate_ac(*[bytes_of.VERIFICATION_ACCEPTED] * 129),
        )
        self.assertEqual(read_contexts, [])

    @requirement("D2")
    def test_syntaxes_of_a_proposal(self) -> None:
        """A proposal has one abstract syntax and one or more transfer syntaxes."""
        explicit = item(0x40, EXPLICIT.encode())
        request = self.request(
            associate_rq(proposed_context(1, VERIFICATION_ITEM, explicit, IMPLICIT_ITEM))
        )
        self.assertEqual(
            request.presentation_contexts, (ProposedContext(1, VERIFICATION, (EXPLICIT, IMPLICIT)),)
        )
        self.refuse(
            associate_rq(proposed_context(1)),
            associate_rq(proposed_context(1, VERIFICATION_ITEM)),
            associate_rq(proposed_context(1, IMPLICIT_ITEM)),
            associate_rq(proposed_context(1, VERIFICATION_ITEM, VERIFICATION_ITEM, IMPLICIT_ITEM)),
        )

    def test_no_proposal(self) -> None:
        """A request without a presentation context is invalid; an accept may be without."""
        body = associate_body(APPLICATION_CONTEXT_ITEM, USER_INFORMATION_ITEM)
        self.refuse(pdu(0x01, body))
        self.assertEqual(self.accept(pdu(0x02, body)).context_results, ())

    def test_proposal_without_order(self) -> None:
        """The abstract syntax may come behind the transfer syntaxes."""
        octets = associate_rq(proposed_context(1, IMPLICIT_ITEM, VERIFICATION_ITEM))
        self.assertEqual(self.request(octets), self.request(associate_rq()))

    @requirement("D4")
    def test_syntax_of_a_result(self) -> None:
        """An accepted context names exactly one transfer syntax."""
        self.refuse(
            associate_ac(context_result(1, 0)),
            associate_ac(context_result(1, 0, UNKNOWN)),
            associate_ac(context_result(1, 0, IMPLICIT_ITEM, IMPLICIT_ITEM)),
        )

    @requirement("D5")
    @given(
        st.integers(1, 255),
        st.binary(max_size=20) | st.sampled_from([b"", IMPLICIT_ITEM, IMPLICIT_ITEM * 2]),
    )
    def test_refused_context(self, result: int, rest: bytes) -> None:
        """What a refused context says of transfer syntaxes is not looked at."""
        accept = self.accept(associate_ac(context_result(1, result, rest)))
        self.assertEqual(accept.context_results, (ContextResult(1, result, ""),))
        self.assertFalse(accept.context_results[0].accepted)

    @requirement("D5")
    def test_refusing_a_context(self) -> None:
        """A refused context is sent with a transfer syntax item."""
        value = ContextResult(1, 3, IMPLICIT).encode()
        self.assertEqual(value, b"\x01\0\x03\0" + IMPLICIT_ITEM)

    @requirement("D6")
    def test_one_abstract_syntax_many_times(self) -> None:
        """The same abstract syntax comes in several contexts, whose identifiers begin anywhere."""
        octets = associate_rq(
            proposed_context(3, VERIFICATION_ITEM, IMPLICIT_ITEM),
            proposed_context(255, VERIFICATION_ITEM, IMPLICIT_ITEM),
            proposed_context(5, VERIFICATION_ITEM, item(0x40, EXPLICIT.encode())),
        )
        self.assertEqual(
            self.request(octets).presentation_contexts,
            (
                ProposedContext(3, VERIFICATION, (IMPLICIT,)),
                ProposedContext(255, VERIFICATION, (IMPLICIT,)),
                ProposedContext(5, VERIFICATION, (EXPLICIT,)),
            ),
        )


class UIDTests(AssociateCase):
    """UIDs in items (PS3.8 annex F, PS3.5 section 9.1)."""

    def abstract_syntax(self, value: bytes) -> str:
        """Return an abstract syntax as it is read from the value of its item."""
        octets = associate_rq(proposed_context(1, item(0x30, value), IMPLICIT_ITEM))
        return self.request(octets).presentation_contexts[0].abstract_syntax

    @requirement("C9")
    @given(strategies.uids)
    def test_not_padded(self, uid: str) -> None:
        """UIDs of odd and even length go out as they are."""
        octets = ProposedContext(1, uid, (uid,)).encode()
        self.assertEqual(
            octets, b"\x01\0\0\0" + item(0x30, uid.encode()) + item(0x40, uid.encode())
        )

    @requirement("C10")
    def test_padded(self) -> None:
        """Padding of a received one is no part of it, wherever it stands."""
        for padding in (b"\0", b" ", b"\0\0", b" \0"):
            self.assertEqual(self.abstract_syntax(b"1.2.840.10008.1.1" + padding), VERIFICATION)
            transfer = item(0x40, b"1.2.840.10008.1.2" + padding)
            self.assertEqual(
                self.accept(associate_ac(context_result(1, 0, transfer))).context_results,
                (ContextResult(1, 0, IMPLICIT),),
            )

    @requirement("C10")
    def test_malformed(self) -> None:
        """A malformed one is read: it will not equal any that we serve."""
        for value in (b"", b"1.02.3", b"1..2", b"one.two", b"1." + b"2" * 100, b" 1.2"):
            self.assertEqual(self.abstract_syntax(value), value.decode())

    def test_not_ascii(self) -> None:
        """One with a byte above 7FH makes the PDU invalid, in every item that holds one."""
        for value in (b"1.2.\xb2", b"\xff" * 100):
            abstract, transfer = item(0x30, value), item(0x40, value)
            body = associate_body(item(0x10, value), VERIFICATION_CONTEXT, USER_INFORMATION_ITEM)
            self.refuse(
                associate_rq(proposed_context(1, abstract, IMPLICIT_ITEM)),
                associate_rq(proposed_context(1, VERIFICATION_ITEM, transfer)),
                associate_ac(context_result(1, 0, transfer)),
                associate_rq(user_information=item(0x50, item(0x52, value))),
                pdu(0x01, body),
            )
