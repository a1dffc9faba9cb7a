"""What an acceptor answers to an A-ASSOCIATE-RQ (PS3.8 sections 7.1 and 9.3.3, PS3.7 annex D)."""

from __future__ import annotations

import re
from collections import Counter
from weakref import ref

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted import uids
from pacs_twisted.errors import InvalidPDU
from pacs_twisted.pdu import (
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AsynchronousOperationsWindow,
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserInformation,
)
from pacs_twisted.upper_layer import negotiation
from pacs_twisted.upper_layer.negotiation import (
    Offer,
    PresentationContext,
    accept,
    accepted_contexts,
    accepted_window,
    check_request,
    choose_transfer_syntax,
    judge_answer,
    judge_maximum_length,
    judge_version,
    negotiate_context,
    negotiate_roles,
    negotiate_window,
    peer_maximum_length,
)
from tests import bytes_of
from tests.bytes_of import items_of
from tests.pdu import strategies
from tests.pdu.reading import read_pdu
from tests.requirements import requirement

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"

OFFER = Offer(
    supported={VERIFICATION: (IMPLICIT,), CT: (EXPLICIT, IMPLICIT), MR: (EXPLICIT, IMPLICIT)},
    implementation_class_uid="1.2.3.4",
    implementation_version_name="TEST_1",
    maximum_length=131072,
    reversible=(MR,),
)


def request(*contexts: ProposedContext, **user_information: object) -> AAssociateRQ:
    """Return a request of these contexts, or else of Verification, and this user information."""
    return AAssociateRQ(
        "ANY-SCP",
        "ECHOSCU",
        contexts or (ProposedContext(1, VERIFICATION, (IMPLICIT,)),),
        UserInformation(**user_information),  # type: ignore[arg-type]
    )


class JudgementTests(SynchronousTestCase):
    """What is rejected as a whole."""

    @requirement("C1")
    def test_version(self) -> None:
        """Only bit 0 of the protocol version counts."""
        for version, objection in (
            (0x0001, None),
            (0x0003, None),
            (0xFFFF, None),
            (0x0000, AAssociateRJ(1, 2, 2)),
            (0x0002, AAssociateRJ(1, 2, 2)),
            (0xFFFE, AAssociateRJ(1, 2, 2)),
        ):
            rq = attrs.evolve(request(), protocol_version=version)
            self.assertEqual(judge_version(rq), objection)

    def test_maximum_length(self) -> None:
        """A maximum without room for two bytes in a presentation data value is rejected."""
        for length, objection in (
            (None, None),
            (0, None),
            *((length, AAssociateRJ(1, 1, 1)) for length in range(1, 8)),
            (8, None),
            (64, None),
            (0xFFFFFFFF, None),
        ):
            rq = request(maximum_length_received=length)
            self.assertEqual(judge_maximum_length(rq), objection)

    @requirement("F8")
    def test_rejects(self) -> None:
        """All rejects that we know have a result, source and reason that the standard defines."""
        defined = {
            (1, 1): {1, 2, 3, 7},  # permanent, service-user
            (1, 2): {1, 2},  # permanent, service-provider (ACSE)
            (2, 3): {1, 2},  # transient, service-provider (presentation)
        }
        rejects = [value for value in vars(negotiation).values() if isinstance(value, AAssociateRJ)]
        self.assertEqual(len(rejects), 8)
        for reject in rejects:
            self.assertIn(reject.reason, defined[reject.result, reject.source])

    def test_names_of_rejects(self) -> None:
        """Each reject has the numbers of what it is called (PS3.8 section 9.3.4)."""
        for reject, numbers in (
            (negotiation.NO_REASON, (1, 1, 1)),
            (negotiation.APPLICATION_CONTEXT_NOT_SUPPORTED, (1, 1, 2)),
            (negotiation.CALLING_AE_TITLE_NOT_RECOGNIZED, (1, 1, 3)),
            (negotiation.CALLED_AE_TITLE_NOT_RECOGNIZED, (1, 1, 7)),
            (negotiation.VERSION_NOT_SUPPORTED, (1, 2, 2)),
            (negotiation.TEMPORARY_CONGESTION, (2, 3, 1)),
            (negotiation.LOCAL_LIMIT_EXCEEDED, (2, 3, 2)),
        ):
            self.assertEqual((reject.result, reject.source, reject.reason), numbers)


class MaximumLengthTests(SynchronousTestCase):
    """How long PDUs may be, in each direction (PS3.8 section D.1)."""

    @requirement("E1")
    def test_directions(self) -> None:
        """We announce ours and keep to the peer's."""
        rq = request(maximum_length_received=16378)
        self.assertEqual(accept(rq, OFFER).user_information.maximum_length_received, 131072)
        self.assertEqual(peer_maximum_length(rq.user_information), 16378)

    @requirement("E2")
    def test_no_limit(self) -> None:
        """0 is no limit, in either direction."""
        self.assertEqual(peer_maximum_length(UserInformation(maximum_length_received=0)), 0)
        unlimited = accept(request(), attrs.evolve(OFFER, maximum_length=0))
        self.assertIn(b"\x51\0\0\x04\0\0\0\0", unlimited.encode())

    @requirement("C12")
    def test_missing(self) -> None:
        """A peer that says nothing is sent 16 KiB at most."""
        self.assertEqual(peer_maximum_length(UserInformation()), 16384)


class ContextTests(SynchronousTestCase):
    """The answer to a presentation context."""

    def answer(self, *transfer_syntaxes: str, abstract_syntax: str = CT) -> ContextResult:
        """Return the answer to a context, without roles."""
        context = ProposedContext(7, abstract_syntax, transfer_syntaxes)
        return negotiate_context(context, OFFER.supported, {})

    @requirement("D12")
    def test_our_preference_decides(self) -> None:
        """Of several transfer syntaxes the first in our order is taken, not in the peer's."""
        self.assertEqual(self.answer(JPEG, IMPLICIT, EXPLICIT), ContextResult(7, 0, EXPLICIT))
        self.assertEqual(self.answer(JPEG, IMPLICIT), ContextResult(7, 0, IMPLICIT))
        self.assertEqual(choose_transfer_syntax((IMPLICIT, EXPLICIT), (JPEG, EXPLICIT)), EXPLICIT)
        self.assertIsNone(choose_transfer_syntax((IMPLICIT,), (EXPLICIT,)))
        self.assertIsNone(choose_transfer_syntax((IMPLICIT,), ()))

    @requirement("D5")
    def test_abstract_syntax(self) -> None:
        """An unknown abstract syntax is refused with 3, and a transfer syntax item all the same."""
        answer = self.answer(IMPLICIT, abstract_syntax="1.2.3")
        self.assertEqual(answer, ContextResult(7, 3, IMPLICIT))

    @requirement("D5")
    def test_transfer_syntaxes(self) -> None:
        """Transfer syntaxes of which we know none are refused with 4, and an item all the same."""
        self.assertEqual(self.answer(JPEG, BIG_ENDIAN), ContextResult(7, 4, IMPLICIT))

    @requirement("D6")
    def test_each_by_itself(self) -> None:
        """One abstract syntax in several contexts: each has the answer it would have alone."""
        ac = accept(
            request(
                ProposedContext(3, CT, (JPEG,)),
                ProposedContext(5, CT, (IMPLICIT,)),
                ProposedContext(1, CT, (IMPLICIT, EXPLICIT)),
                ProposedContext(7, "1.2.3", (IMPLICIT,)),
            ),
            OFFER,
        )
        self.assertEqual(
            ac.context_results,
            (
                ContextResult(3, 4, IMPLICIT),
                ContextResult(5, 0, IMPLICIT),
                ContextResult(1, 0, EXPLICIT),
                ContextResult(7, 3, IMPLICIT),
            ),
        )

    @requirement("D8")
    @given(st.lists(strategies.uids, max_size=5), st.sampled_from(sorted(OFFER.supported)))
    def test_default_transfer_syntax(self, others: list[str], abstract_syntax: str) -> None:
        """Whatever comes with the default transfer syntax, the context is accepted."""
        for proposed in ([IMPLICIT, *others], [*others, IMPLICIT]):
            self.assertTrue(self.answer(*proposed, abstract_syntax=abstract_syntax).accepted)

    @requirement("D10")
    def test_none_accepted(self) -> None:
        """When no context is accepted, the answer is an accept that tells why."""
        ac = accept(request(ProposedContext(1, "1.2.3", (IMPLICIT,))), OFFER)
        self.assertEqual(ac.context_results, (ContextResult(1, 3, IMPLICIT),))
        self.assertIsInstance(read_pdu(ac.encode()), AAssociateAC)


class RoleTests(SynchronousTestCase):
    """SCP/SCU role selection (PS3.7 section D.3.3.4)."""

    contexts = (ProposedContext(1, CT, (IMPLICIT,)), ProposedContext(3, MR, (IMPLICIT,)))

    def negotiate(
        self, *roles: RoleSelection
    ) -> tuple[tuple[RoleSelection, ...], dict[int, PresentationContext]]:
        """Return the roles that are answered and the contexts that come of it."""
        rq = request(*self.contexts, role_selections=roles)
        ac = accept(rq, OFFER)
        return ac.user_information.role_selections, accepted_contexts(rq, ac)

    @requirement("E9", "E10")
    def test_none(self) -> None:
        """Without an item there is no answer; the requestor is SCU and we are SCP."""
        answered, agreed = self.negotiate()
        self.assertEqual(answered, ())
        for context in agreed.values():
            self.assertEqual((context.requestor_is_scu, context.requestor_is_scp), (True, False))

    @requirement("E10")
    def test_reversal(self) -> None:
        """The requestor may be SCP of what we can be SCU of, and of nothing else."""
        answered, agreed = self.negotiate(
            RoleSelection(CT, True, True), RoleSelection(MR, True, True)
        )
        self.assertEqual(answered, (RoleSelection(CT, True, False), RoleSelection(MR, True, True)))
        roles = {n: (one.requestor_is_scu, one.requestor_is_scp) for n, one in agreed.items()}
        self.assertEqual(roles, {1: (True, False), 3: (True, True)})

    @requirement("E10")
    def test_nothing_more_than_proposed(self) -> None:
        """A role that was not proposed is not granted."""
        for proposed in (
            RoleSelection(MR, False, True),
            RoleSelection(MR, True, False),
            RoleSelection(MR, False, False),
        ):
            answered, _ = self.negotiate(proposed)
            self.assertEqual(answered, (proposed,))

    def test_no_role_left(self) -> None:
        """A context in which the requestor would have no role is refused with 1."""
        for role in (RoleSelection(CT, False, True), RoleSelection(CT, False, False)):
            rq = request(*self.contexts, role_selections=(role,))
            ac = accept(rq, OFFER)
            self.assertEqual(
                ac.context_results, (ContextResult(1, 1, IMPLICIT), ContextResult(3, 0, IMPLICIT))
            )
            self.assertEqual(set(accepted_contexts(rq, ac)), {3})

    def test_only_scp(self) -> None:
        """The requestor may give up the role of SCU."""
        _, agreed = self.negotiate(RoleSelection(MR, False, True))
        self.assertEqual(
            agreed[3],
            PresentationContext(3, MR, IMPLICIT, requestor_is_scu=False, requestor_is_scp=True),
        )

    @requirement("E12")
    def test_twice(self) -> None:
        """A SOP class that is named twice is answered once."""
        answered, _ = self.negotiate(RoleSelection(MR, True, True), RoleSelection(MR, True, False))
        self.assertEqual(answered, (RoleSelection(MR, True, False),))

    def test_without_a_context(self) -> None:
        """Roles of SOP classes that are not proposed, or that we do not know, are not answered."""
        answered, _ = self.negotiate(
            RoleSelection(VERIFICATION, True, False), RoleSelection("1.2.3", True, False)
        )
        self.assertEqual(answered, ())
        rq = request(
            ProposedContext(1, "1.2.3", (IMPLICIT,)),
            role_selections=(RoleSelection("1.2.3", True, True),),
        )
        self.assertEqual(accept(rq, OFFER).user_information.role_selections, ())

    @requirement("E11")
    def test_not_answered(self) -> None:
        """Roles that were offered and not answered leave the defaults."""
        rq = request(*self.contexts, role_selections=(RoleSelection(MR, True, True),))
        ac = accept(rq, OFFER)
        silent = attrs.evolve(
            ac, user_information=attrs.evolve(ac.user_information, role_selections=())
        )
        self.assertEqual(
            accepted_contexts(rq, silent)[3],
            PresentationContext(3, MR, IMPLICIT, requestor_is_scu=True, requestor_is_scp=False),
        )

    def test_plain(self) -> None:
        """The answers by themselves, by SOP class."""
        proposed = (RoleSelection(CT, True, True), RoleSelection(MR, False, True))
        self.assertEqual(
            negotiate_roles(proposed, {MR}),
            {CT: RoleSelection(CT, True, False), MR: RoleSelection(MR, False, True)},
        )
        self.assertEqual(negotiate_roles((), {MR}), {})


class WindowTests(SynchronousTestCase):
    """The asynchronous operations window (PS3.7 section D.3.3.3)."""

    @requirement("E6", "E7")
    def test_not_offered(self) -> None:
        """Without an item there is no answer, and operations are synchronous."""
        self.assertIsNone(negotiate_window(None, 5))
        self.assertEqual(AsynchronousOperationsWindow(), AsynchronousOperationsWindow(1, 1))

    @requirement("E6", "E7")
    def test_zero_is_unlimited(self) -> None:
        """0 is larger than any number, on either side."""
        for offered, ours, answered in (
            ((0, 0), 1, (1, 1)),  # dcm4che against a plain server
            ((0, 0), 8, (8, 1)),
            ((0, 0), 0, (0, 1)),
            ((5, 5), 0, (5, 1)),
            ((5, 5), 8, (5, 1)),
            ((5, 5), 3, (3, 1)),
            ((1, 1), 8, (1, 1)),
            ((65535, 0), 0, (65535, 1)),
        ):
            self.assertEqual(
                negotiate_window(AsynchronousOperationsWindow(*offered), ours),
                AsynchronousOperationsWindow(*answered),
            )

    @requirement("E7")
    @given(strategies.windows, st.integers(0, 100))
    def test_nothing_more_than_offered(
        self, offered: AsynchronousOperationsWindow, ours: int
    ) -> None:
        """Neither number is larger than the offered one, nor the first than ours."""
        answered = negotiate_window(offered, ours)
        assert answered is not None
        infinite = 1 << 16
        invoked = answered.maximum_number_operations_invoked or infinite
        performed = answered.maximum_number_operations_performed or infinite
        self.assertLessEqual(invoked, offered.maximum_number_operations_invoked or infinite)
        self.assertLessEqual(performed, offered.maximum_number_operations_performed or infinite)
        self.assertLessEqual(invoked, ours or infinite)

    @requirement("E8")
    @given(strategies.windows)
    def test_synchronous(self, offered: AsynchronousOperationsWindow) -> None:
        """A server that does one thing at a time answers so, whatever is offered."""
        rq = request(asynchronous_operations_window=offered)
        window = accept(rq, OFFER).user_information.asynchronous_operations_window
        self.assertEqual(window, AsynchronousOperationsWindow(1, 1))


class AcceptTests(SynchronousTestCase):
    """The whole A-ASSOCIATE-AC."""

    def test_vector(self) -> None:
        """The answer to the request of the vectors, byte for byte."""
        rq = read_pdu(bytes_of.A_ASSOCIATE_RQ.octets)
        assert isinstance(rq, AAssociateRQ)
        ac = accept(rq, attrs.evolve(OFFER, maximum_length=16384))
        self.assertEqual(ac.encode().hex(" "), bytes_of.A_ASSOCIATE_AC.octets.hex(" "))

    @requirement("C5")
    @given(st.binary(min_size=64, max_size=64))
    def test_echo(self, titles: bytes) -> None:
        """Titles and reserved bytes of the request are repeated as they came."""
        rq = read_pdu(bytes_of.associate_rq(titles=titles))
        assert isinstance(rq, AAssociateRQ)
        self.assertEqual(accept(rq, OFFER).encode()[10:74], titles)

    @requirement("C7")
    def test_application_context(self) -> None:
        """The answer names the application context of the request."""
        self.assertEqual(accept(request(), OFFER).application_context, "1.2.840.10008.3.1.1.1")

    @requirement("E5", "C8")
    def test_implementation(self) -> None:
        """Maximum length, implementation class and version name go out once each."""
        offer = attrs.evolve(
            OFFER,
            implementation_class_uid=uids.IMPLEMENTATION_CLASS_UID,
            implementation_version_name=uids.implementation_version_name("26.12.1.dev37"),
        )
        items = items_of(accept(request(), offer).encode()[74:])
        (user_information,) = (value for item_type, value in items if item_type == 0x50)
        sub_items = items_of(user_information)
        self.assertEqual([item_type for item_type, _ in sub_items], [0x51, 0x52, 0x55])
        self.assertEqual(sub_items[1][1].decode(), uids.IMPLEMENTATION_CLASS_UID)
        self.assertTrue(1 <= len(sub_items[2][1]) <= 16)

    @requirement("E13", "J4")
    def test_extended_negotiation(self) -> None:
        """No service here has an extended negotiation: it is passed over, in both forms."""
        rq = request(
            extended_negotiations=(ExtendedNegotiation(VERIFICATION, b"\1"),),
            common_extended_negotiations=(CommonExtendedNegotiation(CT, "1.2.840.10008.4.2"),),
        )
        ac = accept(rq, OFFER)
        self.assertEqual(ac.user_information.extended_negotiations, ())
        self.assertEqual(ac.user_information.common_extended_negotiations, ())
        self.assertEqual(ac.context_results, accept(request(), OFFER).context_results)

    @requirement("E16")
    def test_user_identity(self) -> None:
        """An identity is passed over and not answered, also when an answer is asked for."""
        for identity_type in range(1, 6):
            identity = UserIdentity(identity_type, b"who", positive_response_requested=True)
            ac = accept(request(user_identity=identity), OFFER)
            self.assertEqual(ac, accept(request(), OFFER))
            self.assertIsNone(ac.user_information.user_identity_response)

    @requirement("D3", "D4", "E7", "E10", "E12", "E13", "E16")
    @given(st.data())
    def test_any_request(self, data: st.DataObject) -> None:
        """The answer to any request keeps the rules between the two, and can be read."""
        rq = data.draw(strategies.a_associate_rqs)
        known = [one.abstract_syntax for one in rq.presentation_contexts]
        syntaxes = [uid for one in rq.presentation_contexts for uid in one.transfer_syntaxes]
        offer = attrs.evolve(
            OFFER,
            supported=data.draw(
                st.dictionaries(
                    st.sampled_from(known), st.lists(st.sampled_from([*syntaxes, IMPLICIT]))
                )
            ),
            reversible=data.draw(st.sets(st.sampled_from(known))),
            maximum_operations=data.draw(strategies.shorts),
        )
        ac = accept(rq, offer)
        received = read_pdu(ac.encode())
        assert isinstance(received, AAssociateAC)
        self.assertEqual(accepted_contexts(rq, received), accepted_contexts(rq, ac))

        results = {result.context_id: result for result in ac.context_results}
        self.assertEqual(len(results), len(ac.context_results))
        self.assertEqual(set(results), {one.context_id for one in rq.presentation_contexts})
        for context in rq.presentation_contexts:
            result = results[context.context_id]
            if result.accepted:
                self.assertIn(result.transfer_syntax, context.transfer_syntaxes)
                self.assertIn(result.transfer_syntax, offer.supported[context.abstract_syntax])

        asked, answered = rq.user_information, ac.user_information
        if asked.asynchronous_operations_window is None:
            self.assertIsNone(answered.asynchronous_operations_window)
        offered_roles = {role.sop_class_uid: role for role in asked.role_selections}
        counts = Counter(role.sop_class_uid for role in answered.role_selections)
        self.assertTrue(all(count == 1 for count in counts.values()))
        for role in answered.role_selections:
            offered = offered_roles[role.sop_class_uid]
            self.assertLessEqual(role.scu_role, offered.scu_role)
            self.assertLessEqual(role.scp_role, offered.scp_role)
        self.assertEqual(answered.extended_negotiations, ())
        self.assertEqual(answered.common_extended_negotiations, ())
        self.assertIsNone(answered.user_identity)
        self.assertIsNone(answered.user_identity_response)

    @requirement("C9")
    def test_uids(self) -> None:
        """UIDs of ours are well formed, at most 64 characters long and go out without padding."""
        component = r"(0|[1-9][0-9]*)"
        ours = [
            value
            for name, value in vars(uids).items()
            if name.isupper() and not name.startswith("_") and isinstance(value, str)
        ]
        self.assertIn(uids.IMPLEMENTATION_CLASS_UID, ours)
        for uid in ours:
            self.assertRegex(uid, re.compile(rf"^{component}(\.{component})+$"))
            self.assertLessEqual(len(uid), 64)


class AnswerTests(SynchronousTestCase):
    """An offer answers the same request by the same accept, without negotiating again."""

    def test_the_same_answer(self) -> None:
        """It is what the negotiation says, once for all equal requests."""
        rq = request(ProposedContext(1, CT, (IMPLICIT,)))
        answer = OFFER.answer(rq)
        self.assertEqual(answer, accept(rq, OFFER))
        self.assertIs(OFFER.answer(attrs.evolve(rq)), answer)

    @requirement("C5")
    def test_another_echo(self) -> None:
        """A request that differs in a reserved byte only has its own echo."""
        for last in (b"\0", b"\1"):
            rq = read_pdu(bytes_of.associate_rq(titles=bytes_of.TITLES[:63] + last))
            assert isinstance(rq, AAssociateRQ)
            self.assertEqual(OFFER.answer(rq).title_bytes[63:], last)

    def test_another_offer(self) -> None:
        """Two offers do not share their answers."""
        rq = request()
        other = attrs.evolve(OFFER, maximum_length=4096)
        self.assertEqual(OFFER.answer(rq).user_information.maximum_length_received, 131072)
        self.assertEqual(other.answer(rq).user_information.maximum_length_received, 4096)

    @requirement("E18")
    def test_nothing_is_kept(self) -> None:
        """An answer does not keep the request alive, nor what is in it."""
        rq = request(user_identity=UserIdentity(2, b"who", b"passcode"))
        OFFER.answer(rq)
        alive = ref(rq)
        del rq
        self.assertIsNone(alive())


class AcceptedContextTests(SynchronousTestCase):
    """What both sides have agreed on."""

    rq = request(ProposedContext(1, CT, (EXPLICIT, IMPLICIT)), ProposedContext(3, MR, (IMPLICIT,)))

    def agreed(self, *results: ContextResult) -> dict[int, PresentationContext]:
        """Return what comes of these results."""
        return accepted_contexts(self.rq, AAssociateAC(results, UserInformation()))

    def test_accepted(self) -> None:
        """Abstract syntax of the request, transfer syntax of the answer, in any order."""
        self.assertEqual(
            self.agreed(ContextResult(3, 0, IMPLICIT), ContextResult(1, 0, EXPLICIT)),
            {
                1: PresentationContext(1, CT, EXPLICIT),
                3: PresentationContext(3, MR, IMPLICIT),
            },
        )

    def test_refused_or_missing(self) -> None:
        """A refused context is not agreed on, nor is one without an answer."""
        for result in range(1, 6):
            self.assertEqual(self.agreed(ContextResult(1, result, "")), {})
        self.assertEqual(self.agreed(), {})

    def test_never_proposed(self) -> None:
        """A result for a context that was not proposed is left out."""
        self.assertEqual(self.agreed(ContextResult(5, 0, IMPLICIT)), {})

    @requirement("E9", "E11")
    def test_roles(self) -> None:
        """Of the roles that are answered only those count that were proposed."""
        for asked, answered, scu, scp in (
            (None, None, True, False),
            (None, (False, True), True, False),
            (None, (False, False), True, False),
            ((True, True), None, True, False),
            ((True, True), (True, True), True, True),
            ((True, True), (False, True), False, True),
            ((True, False), (True, True), True, False),
            ((False, True), (True, True), False, True),
            ((False, True), (True, False), False, False),
        ):
            rq = request(
                *self.rq.presentation_contexts,
                role_selections=() if asked is None else (RoleSelection(MR, *asked),),
            )
            ac = AAssociateAC(
                (ContextResult(1, 0, EXPLICIT), ContextResult(3, 0, IMPLICIT)),
                UserInformation(
                    role_selections=() if answered is None else (RoleSelection(MR, *answered),)
                ),
            )
            contexts = accepted_contexts(rq, ac)
            where = (asked, answered)
            self.assertEqual(contexts[3], PresentationContext(3, MR, IMPLICIT, scu, scp), where)
            self.assertEqual(contexts[1], PresentationContext(1, CT, EXPLICIT), where)


class AcceptedWindowTests(SynchronousTestCase):
    """How many requests of ours may be outstanding."""

    @requirement("E6", "E8", "I7")
    def test_both_decide(self) -> None:
        """1 unless both sides have said something else; the smaller one, of which 0 is infinite."""
        for asked, answered, window in (
            (None, None, 1),
            (None, 5, 1),
            (5, None, 1),
            (1, 1, 1),
            (5, 3, 3),
            (3, 5, 3),
            (0, 4, 4),
            (4, 0, 4),
            (0, 0, 0),
            (65535, 0, 65535),
        ):
            rq = request(asynchronous_operations_window=self.item(asked))
            ac = AAssociateAC(
                (), UserInformation(asynchronous_operations_window=self.item(answered))
            )
            self.assertEqual(accepted_window(rq, ac), window, (asked, answered))

    def item(self, invoked: int | None) -> AsynchronousOperationsWindow | None:
        """Return a window with another number in the place that is not ours."""
        return None if invoked is None else AsynchronousOperationsWindow(invoked, 7)


class JudgeAnswerTests(SynchronousTestCase):
    """Whether an A-ASSOCIATE-AC answers what we have asked for."""

    rq = request(ProposedContext(1, CT, (EXPLICIT, IMPLICIT)), ProposedContext(3, MR, (IMPLICIT,)))

    def judge(self, *results: ContextResult, **fields: object) -> None:
        """Judge an answer with these results, and what else it says."""
        ac = AAssociateAC(results, UserInformation(16384))
        judge_answer(self.rq, attrs.evolve(ac, **fields))  # type: ignore[arg-type]

    @requirement("D11", "D3", "D4", "D5")
    def test_answers(self) -> None:
        """Any results for what was proposed, in any order, missing or refused for any reason."""
        self.judge()
        self.judge(ContextResult(3, 0, IMPLICIT))
        self.judge(ContextResult(3, 0, IMPLICIT), ContextResult(1, 0, EXPLICIT))
        for result in range(1, 256):
            for content in ("", JPEG, "nonsense"):
                self.judge(ContextResult(1, result, content), ContextResult(3, 0, IMPLICIT))

    @requirement("D11")
    def test_never_proposed(self) -> None:
        """A result for a context that was not proposed, accepted or not."""
        for result in (0, 1, 4):
            for context_id in (0, 2, 5, 255):
                with self.assertRaises(InvalidPDU) as caught:
                    self.judge(
                        ContextResult(1, 0, EXPLICIT), ContextResult(context_id, result, IMPLICIT)
                    )
                self.assertIn(f"context {context_id} ", str(caught.exception))

    @requirement("D11", "D4")
    def test_not_offered(self) -> None:
        """An accepted transfer syntax that was offered for another context, or for none."""
        for context_id, syntax in ((1, JPEG), (3, EXPLICIT), (3, ""), (1, EXPLICIT + " ")):
            self.assertRaises(InvalidPDU, self.judge, ContextResult(context_id, 0, syntax))

    @requirement("C7")
    def test_application_context(self) -> None:
        """Another application context cannot be used; one that is missing is not another one."""
        self.judge(application_context=self.rq.application_context)
        self.judge(application_context="")
        self.assertRaises(InvalidPDU, self.judge, application_context="1.2.840.10008.3.1.1.2")

    def test_maximum_length(self) -> None:
        """A peer to which no fragment can be sent is of no use."""
        for length in range(1, 8):
            with self.assertRaises(InvalidPDU):
                self.judge(user_information=UserInformation(length))
        for allowed in (0, 8, 0xFFFFFFFF, None):
            self.judge(user_information=UserInformation(allowed))

    @given(st.data())
    def test_our_own_answers(self, data: st.DataObject) -> None:
        """Whatever we would accept ourselves is an answer."""
        rq = data.draw(strategies.a_associate_rqs)
        judge_answer(rq, accept(rq, OFFER))


class CheckRequestTests(SynchronousTestCase):
    """Whether a request of our own may be sent."""

    @requirement("D1", "D2")
    def test_contexts(self) -> None:
        """1 to 128 contexts with odd IDs of their own, each with a transfer syntax."""

        def check(*identifiers: int, syntaxes: tuple[str, ...] = (IMPLICIT,)) -> None:
            contexts = tuple(ProposedContext(number, CT, syntaxes) for number in identifiers)
            check_request(attrs.evolve(request(), presentation_contexts=contexts))

        check(1)
        check(255, 1, 77)
        check(*range(1, 256, 2))
        for identifiers in ((), (0,), (2,), (257,), (-1,), (1, 3, 1), (*range(1, 256, 2), 257)):
            with self.assertRaises(ValueError, msg=str(identifiers)):
                check(*identifiers)
        with self.assertRaises(ValueError):
            check(1, syntaxes=())

    @requirement("E12")
    def test_roles(self) -> None:
        """A SOP class has one role selection at most."""
        ct, mr = RoleSelection(CT, True, True), RoleSelection(MR, False, True)
        check_request(request(role_selections=(ct, mr)))
        for twice in (ct, RoleSelection(CT, False, True)):
            with self.assertRaises(ValueError):
                check_request(request(role_selections=(ct, mr, twice)))

    @requirement("C9")
    def test_fields(self) -> None:
        """What does not fit into its field, or cannot be written, is no request."""
        check_request(request())
        for field, value in (
            ("presentation_contexts", (ProposedContext(1, "", (IMPLICIT,)),)),
            ("presentation_contexts", (ProposedContext(1, "1." * 33, (IMPLICIT,)),)),
            ("presentation_contexts", (ProposedContext(1, CT, (IMPLICIT, "implicit")),)),
            ("presentation_contexts", (ProposedContext(1, CT + "\0", (IMPLICIT,)),)),
            ("presentation_contexts", (ProposedContext(1, "1.2.\u0663", (IMPLICIT,)),)),
            ("user_information", UserInformation(1 << 32)),
            ("user_information", UserInformation(-1)),
            (
                "user_information",
                UserInformation(
                    asynchronous_operations_window=AsynchronousOperationsWindow(65536, 1)
                ),
            ),
            ("application_context", "1." * 40000),
        ):
            rq = attrs.evolve(request(), **{field: value})  # type: ignore[arg-type]
            with self.assertRaises(ValueError, msg=field):
                check_request(rq)
