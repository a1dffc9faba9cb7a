"""
The negotiation of an association (PS3.8 sections 7.1 and 9.3.3, PS3.7 annex D).

Pure functions: from what was proposed and what is supported to what an acceptor answers, and from
both to what holds.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from weakref import WeakKeyDictionary

import attrs

from pacs_twisted.errors import InvalidPDU
from pacs_twisted.pdu import (
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AsynchronousOperationsWindow,
    ContextResult,
    ProposedContext,
    RoleSelection,
    UserInformation,
)
from pacs_twisted.pdu.associate import ACCEPTANCE
from pacs_twisted.uids import IMPLICIT_VR_LITTLE_ENDIAN

USER_REJECTION = 1
ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
TRANSFER_SYNTAXES_NOT_SUPPORTED = 4

DEFAULT_PEER_MAXIMUM_LENGTH = 16384
"""What we send at most to a peer that announced no maximum length."""

# A PDV with two bytes of fragment: fragments are even (PS3.8 annex E.1).
_SMALLEST_MAXIMUM_LENGTH = 8

_UID = re.compile("[0-9.]{1,64}")  # deployed ones break the finer rules

_CONTEXT_IDS = range(1, 256, 2)
_MOST_CONTEXTS = len(_CONTEXT_IDS)

VERSION_NOT_SUPPORTED = AAssociateRJ(result=1, source=2, reason=2)
"""Bit 0 of the protocol version is clear."""

NO_REASON = AAssociateRJ(result=1, source=1, reason=1)
"""A refusal that no other reason fits."""

APPLICATION_CONTEXT_NOT_SUPPORTED = AAssociateRJ(result=1, source=1, reason=2)
"""The application context is not the DICOM one."""

CALLING_AE_TITLE_NOT_RECOGNIZED = AAssociateRJ(result=1, source=1, reason=3)
"""The calling AE title, or where it calls from, is not permitted."""

CALLED_AE_TITLE_NOT_RECOGNIZED = AAssociateRJ(result=1, source=1, reason=7)
"""The called AE title is not ours."""

USER_IDENTITY_REFUSED = AAssociateRJ(result=1, source=2, reason=1)
"""The user is unknown or the proof of identity is wrong (PS3.7 section D.3.3.7.3)."""

TEMPORARY_CONGESTION = AAssociateRJ(result=2, source=3, reason=1)
"""The server is draining or stops."""

LOCAL_LIMIT_EXCEEDED = AAssociateRJ(result=2, source=3, reason=2)
"""There are as many associations as may be."""


@attrs.frozen
class PresentationContext:
    """
    A presentation context that both sides have agreed on.

    Args:
        context_id: odd, 1 to 255.
        abstract_syntax: the UID of a SOP class or meta SOP class.
        transfer_syntax: the UID of the one transfer syntax of its data sets.
        requestor_is_scu: whether the association requestor may invoke its operations as SCU.
        requestor_is_scp: whether it may perform them as SCP.
    """

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    requestor_is_scu: bool = True
    requestor_is_scp: bool = False


def judge_version(rq: AAssociateRQ) -> AAssociateRJ | None:
    """Return the reject for a protocol version that we do not know; only bit 0 is looked at."""
    return None if rq.protocol_version & 1 else VERSION_NOT_SUPPORTED


def judge_maximum_length(rq: AAssociateRQ) -> AAssociateRJ | None:
    """Return the reject for a peer whose maximum length leaves no room for a fragment."""
    maximum = rq.user_information.maximum_length_received
    if maximum and maximum < _SMALLEST_MAXIMUM_LENGTH:
        return NO_REASON
    return None


def peer_maximum_length(information: UserInformation) -> int:
    """Return the longest P-DATA-TF that the peer takes, in bytes; 0 means without limit."""
    maximum = information.maximum_length_received
    return DEFAULT_PEER_MAXIMUM_LENGTH if maximum is None else maximum


def negotiate_roles(
    proposed: Iterable[RoleSelection], reversible: Collection[str]
) -> dict[str, RoleSelection]:
    """
    Return the answer to each proposed role selection (PS3.7 section D.3.3.4).

    The requestor may always be the SCU, and the SCP of the SOP classes that are `reversible`;
    nothing is granted that was not proposed.
    """
    return {
        role.sop_class_uid: attrs.evolve(
            role, scp_role=role.scp_role and role.sop_class_uid in reversible
        )
        for role in proposed
    }


def choose_transfer_syntax(proposed: Sequence[str], supported: Sequence[str]) -> str | None:
    """Return the first of ours, in our order of preference, that was proposed."""
    return next((uid for uid in supported if uid in proposed), None)


def negotiate_context(
    context: ProposedContext,
    supported: Mapping[str, Sequence[str]],
    roles: Mapping[str, RoleSelection],
) -> ContextResult:
    """
    Return the answer to one proposed presentation context, which is judged by itself.

    Args:
        context: what was proposed.
        supported: for each abstract syntax its transfer syntaxes in order of preference.
        roles: the answers to the role selections, by SOP class.
    """

    def refuse(result: int) -> ContextResult:
        # The item must be there; what it says is not significant (PS3.8 section 9.3.3.2).
        return ContextResult(context.context_id, result, IMPLICIT_VR_LITTLE_ENDIAN)

    transfer_syntaxes = supported.get(context.abstract_syntax)
    if transfer_syntaxes is None:
        return refuse(ABSTRACT_SYNTAX_NOT_SUPPORTED)
    transfer_syntax = choose_transfer_syntax(context.transfer_syntaxes, transfer_syntaxes)
    if transfer_syntax is None:
        return refuse(TRANSFER_SYNTAXES_NOT_SUPPORTED)
    role = roles.get(context.abstract_syntax)
    if role is not None and not (role.scu_role or role.scp_role):
        return refuse(USER_REJECTION)  # a context in which the requestor has no role is of no use
    return ContextResult(context.context_id, ACCEPTANCE, transfer_syntax)


def _lesser(offered: int, ours: int) -> int:
    """Return the smaller of two numbers of operations, of which 0 is infinite."""
    return min(offered or ours, ours or offered)


def negotiate_window(
    offered: AsynchronousOperationsWindow | None, maximum_operations: int
) -> AsynchronousOperationsWindow | None:
    """
    Return the answer to an asynchronous operations window, none where none was offered.

    PS3.7 section D.3.3.3.

    Args:
        offered: what the requestor proposed.
        maximum_operations: how many of its operations we perform at a time; 0 without limit.
    """
    if offered is None:
        return None
    return AsynchronousOperationsWindow(
        _lesser(offered.maximum_number_operations_invoked, maximum_operations),
        1,  # what we invoke ourselves, we invoke one at a time
    )


@attrs.frozen(eq=False)
class Offer:
    """
    What an acceptor brings to the negotiation.

    Args:
        supported: for each abstract syntax its transfer syntaxes in order of preference.
        implementation_class_uid: ours.
        implementation_version_name: ours, at most 16 characters.
        maximum_length: the longest P-DATA-TF that we take, in bytes; 0 means without limit.
        maximum_operations: how many operations we perform at a time; 0 without limit.
        reversible: the SOP classes of which we can be the SCU, the requestor the SCP.
    """

    supported: Mapping[str, Sequence[str]]
    implementation_class_uid: str
    implementation_version_name: str
    maximum_length: int
    maximum_operations: int = 1
    reversible: Collection[str] = ()

    _answers: WeakKeyDictionary[AAssociateRQ, AAssociateAC] = attrs.field(
        factory=WeakKeyDictionary, init=False, repr=False
    )

    def answer(self, rq: AAssociateRQ) -> AAssociateAC:
        """Return the A-ASSOCIATE-AC for a request, the same one as long as the request is kept."""
        ac = self._answers.get(rq)
        if ac is None:
            ac = self._answers[rq] = accept(rq, self)
        return ac


def accept(rq: AAssociateRQ, offer: Offer) -> AAssociateAC:
    """Return the A-ASSOCIATE-AC that answers a request; contexts may all be refused in it."""
    asked = rq.user_information
    roles = negotiate_roles(asked.role_selections, offer.reversible)
    proposed = {context.abstract_syntax for context in rq.presentation_contexts}
    answered = tuple(
        role for uid, role in roles.items() if uid in proposed and uid in offer.supported
    )
    return AAssociateAC(
        tuple(
            negotiate_context(context, offer.supported, roles)
            for context in rq.presentation_contexts
        ),
        UserInformation(
            offer.maximum_length,
            offer.implementation_class_uid,
            offer.implementation_version_name,
            negotiate_window(asked.asynchronous_operations_window, offer.maximum_operations),
            answered,
        ),
        rq.title_bytes,
        rq.application_context,
    )


def check_request(rq: AAssociateRQ) -> None:
    """
    See that a request of our own can be sent.

    Raises:
        ValueError: it breaks a rule that is the requestor's duty: presentation contexts are 1 to
            128, each with an odd ID of its own and at least one transfer syntax; UIDs are 1 to 64
            digits and dots; a SOP class has one role selection; titles and names fit into their
            fields.
    """
    contexts = rq.presentation_contexts
    identifiers = [context.context_id for context in contexts]
    if not 1 <= len(contexts) <= _MOST_CONTEXTS:
        raise ValueError(f"{len(contexts)} presentation contexts, 1 to {_MOST_CONTEXTS} can be")
    if len(set(identifiers)) != len(contexts):
        raise ValueError("a presentation context ID stands twice")
    for context in contexts:
        if context.context_id not in _CONTEXT_IDS:
            raise ValueError(f"presentation context ID {context.context_id} is not odd, 1 to 255")
        if not context.transfer_syntaxes:
            raise ValueError(f"presentation context {context.context_id} has no transfer syntax")
        for uid in (context.abstract_syntax, *context.transfer_syntaxes):
            if not _UID.fullmatch(uid):
                raise ValueError(f"{uid!r} is no UID: 1 to 64 digits and dots")
    roles = [role.sop_class_uid for role in rq.user_information.role_selections]
    if len(set(roles)) != len(roles):
        raise ValueError("a SOP class has more than one role selection")
    try:
        rq.encode()
    except UnicodeError as error:
        raise ValueError(f"the request cannot be encoded: {error}") from error
    except struct.error as error:
        raise ValueError(f"a value of the request does not fit its field: {error}") from error


def judge_answer(rq: AAssociateRQ, ac: AAssociateAC) -> None:
    """
    See that an answer answers the request.

    A result that is missing is a refusal; what was granted and not proposed of roles is not used.

    Raises:
        InvalidPDU: a result is for a context that was not proposed, an accepted transfer syntax
            was not offered, the application context is not the proposed one (PS3.8 section
            7.1.1.2), or the maximum length leaves no room for a fragment.
    """
    proposed = {context.context_id: context for context in rq.presentation_contexts}
    for result in ac.context_results:
        context = proposed.get(result.context_id)
        if context is None:
            raise InvalidPDU(f"presentation context {result.context_id} was never proposed")
        if result.accepted and result.transfer_syntax not in context.transfer_syntaxes:
            raise InvalidPDU(
                f"presentation context {result.context_id} is accepted with a transfer syntax"
                " that was never proposed"
            )
    if ac.application_context not in ("", rq.application_context):
        raise InvalidPDU("the application context is not the one that was proposed")
    maximum = ac.user_information.maximum_length_received
    if maximum and maximum < _SMALLEST_MAXIMUM_LENGTH:
        raise InvalidPDU(f"a maximum length of {maximum} leaves no room for a fragment")


def accepted_window(rq: AAssociateRQ, ac: AAssociateAC) -> int:
    """
    Return how many of our requests may be outstanding at a time; 0 without limit.

    1 unless both sides have said something else (PS3.7 section D.3.3.3).
    """
    asked = rq.user_information.asynchronous_operations_window
    answered = ac.user_information.asynchronous_operations_window
    if asked is None or answered is None:
        return 1
    return _lesser(
        asked.maximum_number_operations_invoked, answered.maximum_number_operations_invoked
    )


def accepted_contexts(rq: AAssociateRQ, ac: AAssociateAC) -> dict[int, PresentationContext]:
    """
    Return the contexts that both sides have agreed on, by context ID.

    Results for contexts that were not proposed are left out, and so are roles.
    """
    proposed = {context.context_id: context for context in rq.presentation_contexts}
    asked = {role.sop_class_uid: role for role in rq.user_information.role_selections}
    roles = {
        role.sop_class_uid: RoleSelection(
            role.sop_class_uid,
            role.scu_role and asked[role.sop_class_uid].scu_role,
            role.scp_role and asked[role.sop_class_uid].scp_role,
        )
        for role in ac.user_information.role_selections
        if role.sop_class_uid in asked
    }
    agreed = {}
    for result in ac.context_results:
        context = proposed.get(result.context_id)
        if context is None or not result.accepted:
            continue
        role = roles.get(context.abstract_syntax)
        agreed[result.context_id] = PresentationContext(
            result.context_id,
            context.abstract_syntax,
            result.transfer_syntax,
            requestor_is_scu=role.scu_role if role else True,
            requestor_is_scp=role.scp_role if role else False,
        )
    return agreed
