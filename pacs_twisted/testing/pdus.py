"""
Ready-made PDUs for tests, each in order unless told otherwise.

They are the values of `pacs_twisted.pdu`: `encode()` gives their bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from pacs_twisted.dimse import CEchoRQ, Command, Status
from pacs_twisted.dimse.messages import fragment_message
from pacs_twisted.pdu import (
    AAbort,
    AAssociateAC,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    ContextResult,
    PDataTF,
    ProposedContext,
    UserInformation,
)
from pacs_twisted.uids import IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION

PEER_INFORMATION = UserInformation(16384, "1.2.3.4", "TEST_1")
"""What a peer tells of itself: 16 KiB at most, an implementation class and version."""


def associate_rq(
    abstract_syntaxes: Sequence[str] = (VERIFICATION,),
    *,
    transfer_syntaxes: Sequence[str] = (IMPLICIT_VR_LITTLE_ENDIAN,),
    called_ae_title: str = "ANY-SCP",
    calling_ae_title: str = "ECHOSCU",
    maximum_length: int | None = 16384,
    presentation_contexts: Sequence[ProposedContext] | None = None,
    user_information: UserInformation = PEER_INFORMATION,
) -> AAssociateRQ:
    """
    Return an A-ASSOCIATE-RQ that proposes Verification.

    Args:
        abstract_syntaxes: one presentation context each, with the IDs 1, 3, 5 ...
        transfer_syntaxes: of each of them.
        called_ae_title: whom it calls.
        calling_ae_title: who calls.
        maximum_length: the longest P-DATA-TF that the requestor takes, in bytes; 0 means without
            limit, None says nothing about it.
        presentation_contexts: what is proposed, instead of the syntaxes.
        user_information: what else it says; the maximum length in it is replaced.
    """
    if presentation_contexts is None:
        presentation_contexts = [
            ProposedContext(2 * number + 1, uid, tuple(transfer_syntaxes))
            for number, uid in enumerate(abstract_syntaxes)
        ]
    return AAssociateRQ(
        called_ae_title,
        calling_ae_title,
        tuple(presentation_contexts),
        attrs.evolve(user_information, maximum_length_received=maximum_length),
    )


def associate_ac(
    rq: AAssociateRQ | None = None,
    *,
    results: Mapping[int, int] | None = None,
    maximum_length: int | None = 16384,
    user_information: UserInformation = PEER_INFORMATION,
) -> AAssociateAC:
    """
    Return the A-ASSOCIATE-AC that accepts a request.

    Args:
        rq: the request; that of `associate_rq` unless given.
        results: what is not to be accepted: the result (1 to 4) by context ID.
        maximum_length: the longest P-DATA-TF that the acceptor takes, in bytes; 0 means without
            limit, None says nothing about it.
        user_information: what else it says; the maximum length in it is replaced.
    """
    rq = associate_rq() if rq is None else rq
    refused = results or {}
    return AAssociateAC(
        tuple(
            ContextResult(
                context.context_id,
                refused.get(context.context_id, 0),
                context.transfer_syntaxes[0],
            )
            for context in rq.presentation_contexts
        ),
        attrs.evolve(user_information, maximum_length_received=maximum_length),
        rq.title_bytes,
        rq.application_context,
    )


def message_pdus(
    command: Command,
    data_set: bytes | None = None,
    *,
    context_id: int = 1,
    maximum_length: int = 16384,
) -> bytes:
    """
    Return the bytes of the P-DATA-TFs of a whole message.

    Args:
        command: the command set.
        data_set: the encoded data set, of even length; None if there is none.
        context_id: the presentation context.
        maximum_length: the longest PDU, in bytes of its PDU-length field; 0 means without limit.
    """
    pdus = fragment_message(context_id, command.encode(), data_set, maximum_length)
    return b"".join(pdu.encode() for pdu in pdus)


def echo_rq(message_id: int = 1, *, context_id: int = 1) -> PDataTF:
    """Return a C-ECHO-RQ in one P-DATA-TF."""
    return _in_one(CEchoRQ(message_id, VERIFICATION), context_id)


def echo_rsp(
    message_id: int = 1, *, status: Status = Status.SUCCESS, context_id: int = 1
) -> PDataTF:
    """Return the C-ECHO-RSP to the C-ECHO-RQ of this message ID in one P-DATA-TF."""
    return _in_one(CEchoRQ(message_id, VERIFICATION).respond(status), context_id)


def release_rq() -> AReleaseRQ:
    """Return an A-RELEASE-RQ."""
    return AReleaseRQ()


def release_rp() -> AReleaseRP:
    """Return an A-RELEASE-RP."""
    return AReleaseRP()


def abort(*, source: int = 0, reason: int = 0) -> AAbort:
    """Return an A-ABORT, of the service-user (source 0) or the service-provider (source 2)."""
    return AAbort(source, reason)


def _in_one(command: Command, context_id: int) -> PDataTF:
    (pdata,) = fragment_message(context_id, command.encode(), None, 0)
    return pdata
