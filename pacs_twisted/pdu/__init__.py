"""
The seven PDUs of the DICOM upper layer, bytes to values and back (PS3.8 section 9.3).

A PDU value is the parameter list of its service primitive as well: there is no second set of
classes.
"""

from pacs_twisted.pdu.abort import AAbort
from pacs_twisted.pdu.associate import (
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    ContextResult,
    ProposedContext,
)
from pacs_twisted.pdu.framing import PDU, PDUReader
from pacs_twisted.pdu.pdata import PDV, PDataTF
from pacs_twisted.pdu.release import AReleaseRP, AReleaseRQ
from pacs_twisted.pdu.user_information import (
    AsynchronousOperationsWindow,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    RoleSelection,
    UserIdentity,
    UserInformation,
)

__all__ = [
    "PDU",
    "PDV",
    "AAbort",
    "AAssociateAC",
    "AAssociateRJ",
    "AAssociateRQ",
    "AReleaseRP",
    "AReleaseRQ",
    "AsynchronousOperationsWindow",
    "CommonExtendedNegotiation",
    "ContextResult",
    "ExtendedNegotiation",
    "PDUReader",
    "PDataTF",
    "ProposedContext",
    "RoleSelection",
    "UserIdentity",
    "UserInformation",
]
