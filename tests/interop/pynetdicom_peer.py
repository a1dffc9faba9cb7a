"""
One association asked for by pynetdicom, told as JSON: run as a program, in a process of its own.

pynetdicom serves its associations by threads, which have no place beside trial.

    python -m tests.interop.pynetdicom_peer HOST PORT '{"contexts": [...], ...}'
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import build_role

PATIENCE = 60


def negotiation_items(proposal: dict[str, Any]) -> list[Any]:
    """Return the user information items that a proposal asks for."""
    items: list[Any] = []
    if "window" in proposal:
        window = AsynchronousOperationsWindowNegotiation()
        (
            window.maximum_number_operations_invoked,
            window.maximum_number_operations_performed,
        ) = proposal["window"]
        items.append(window)
    for uid, (scu, scp) in proposal.get("roles", {}).items():
        items.append(build_role(uid, scu_role=scu, scp_role=scp))
    for uid, information in proposal.get("extended", {}).items():
        extended = SOPClassExtendedNegotiation()
        extended.sop_class_uid = uid
        extended.service_class_application_information = bytes.fromhex(information)
        items.append(extended)
    for uid, service_class in proposal.get("common_extended", {}).items():
        common = SOPClassCommonExtendedNegotiation()
        common.sop_class_uid = uid
        common.service_class_uid = service_class
        items.append(common)
    if "identity" in proposal:
        identity = UserIdentityNegotiation()
        identity.user_identity_type = proposal["identity"]["type"]
        identity.positive_response_requested = proposal["identity"]["answer"]
        identity.primary_field = proposal["identity"]["primary"].encode()
        identity.secondary_field = proposal["identity"].get("secondary", "").encode()
        items.append(identity)
    return items


def associate(host: str, port: int, proposal: dict[str, Any]) -> Association:
    """Ask for an association; the answer is for the caller to look at."""
    entity = AE(proposal.get("calling", "PYNETDICOM"))
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = PATIENCE
    for abstract_syntax, transfer_syntaxes in proposal["contexts"]:
        entity.add_requested_context(abstract_syntax, transfer_syntaxes)
    return entity.associate(
        host,
        port,
        ae_title=proposal.get("called", "PACS_ECHO"),
        max_pdu=proposal.get("maximum_length", 16382),
        ext_neg=negotiation_items(proposal),
    )


def report(association: Association, echoes: int) -> dict[str, Any]:
    """Send that many C-ECHOs, end the association and tell all that the server said."""
    acceptor = association.acceptor
    told: dict[str, Any] = {
        "established": association.is_established,
        "rejected": association.is_rejected,
        "accepted": {
            str(context.context_id): [str(context.abstract_syntax), *context.transfer_syntax]
            for context in association.accepted_contexts
        },
        "refused": {
            str(context.context_id): context.result for context in association.rejected_contexts
        },
    }
    if association.is_rejected:
        answer = acceptor.primitive
        assert answer is not None
        told["reject"] = [answer.result, answer.result_source, answer.diagnostic]
        return told
    told |= {
        "maximum_length": acceptor.maximum_length,
        "implementation_class_uid": acceptor.implementation_class_uid,
        "window": acceptor.asynchronous_operations,
        "items": sorted(type(item).__name__ for item in acceptor.user_information),
    }
    if association.is_established:
        told["statuses"] = [
            association.send_c_echo(number + 1).get("Status") for number in range(echoes)
        ]
        association.release()
    told["released"] = association.is_released
    return told


def main() -> None:
    """Do what the command line says and print the report in one line."""
    host, port, text = sys.argv[1:]
    proposal = json.loads(text)
    association = associate(host, int(port), proposal)
    try:
        print(json.dumps(report(association, proposal.get("echoes", 1)), default=str))
    finally:
        association.abort()  # nothing if it has ended, else its thread would keep us from ending


if __name__ == "__main__":
    main()
