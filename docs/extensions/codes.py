"""
The numbers that the server sends, and when: for the reference and the conformance statement.

The words come from the code; what is said of "when" is written here. A test sees to it that no
number is missing.
"""

from __future__ import annotations

from pacs_twisted import errors
from pacs_twisted.dimse import Status
from pacs_twisted.pdu import AAbort
from pacs_twisted.pdu.abort import SERVICE_PROVIDER, SERVICE_USER
from pacs_twisted.uids import APPLICATION_CONTEXT
from pacs_twisted.upper_layer import negotiation

REJECTS = (
    (negotiation.VERSION_NOT_SUPPORTED, "bit 0 of the protocol version is not set"),
    (negotiation.APPLICATION_CONTEXT_NOT_SUPPORTED, f"another one than `{APPLICATION_CONTEXT}`"),
    (
        negotiation.CALLED_AE_TITLE_NOT_RECOGNIZED,
        "the called AE title is blank or not a possible one, or it is not ours and"
        " `require-called-ae` is set",
    ),
    (
        negotiation.CALLING_AE_TITLE_NOT_RECOGNIZED,
        "the calling AE title is blank or not a possible one, or title and address are not those"
        " of a permitted peer (`allow`)",
    ),
    (
        negotiation.LOCAL_LIMIT_EXCEEDED,
        "as many associations as `max-associations` or, from this address, `max-per-host`",
    ),
    (
        negotiation.USER_IDENTITY_REFUSED,
        "an embedding application's admission refuses the user identity; the server itself never"
        " does",
    ),
    (negotiation.TEMPORARY_CONGESTION, "the server is stopping or draining"),
    (
        negotiation.NO_REASON,
        "the peer's maximum length is 1 to 7 bytes, which leaves no room for a fragment; or no"
        " presentation context can be accepted and `reject-empty` is set; or the policy of an"
        " embedding application failed",
    ),
)
"""Every A-ASSOCIATE-RJ that the acceptor sends, in the order in which it judges, and when."""

ABORTS = (
    (
        AAbort(SERVICE_USER),
        "a timer has run out (ACSE, idle, PDU), the drain deadline is over, or the server itself"
        " failed; or, before an"
        " association, bytes came that are no A-ASSOCIATE-RQ (AA-1)",
    ),
    (
        AAbort(SERVICE_PROVIDER, errors.UnrecognizedPDU.abort_reason),
        "the type of a PDU is none of 01H to 07H",
    ),
    (
        AAbort(SERVICE_PROVIDER, errors.UnexpectedPDU.abort_reason),
        "a PDU came that the state does not allow",
    ),
    (
        AAbort(SERVICE_PROVIDER, errors.UnexpectedParameter.abort_reason),
        "fragments of a message came in an order that PS3.8 annex E does not allow",
    ),
    (
        AAbort(SERVICE_PROVIDER, errors.InvalidPDU.abort_reason),
        "a length or a value in a PDU or command set is wrong, a PDU is longer than announced, a"
        " presentation context was not accepted",
    ),
)
"""Every A-ABORT that the acceptor sends, and when."""

STATUSES = (
    (Status.SUCCESS, "C-ECHO was received"),
    (
        Status.PROCESSING_FAILURE,
        "a service failed, or did not answer within `handler-timeout`",
    ),
    (
        Status.SOP_CLASS_NOT_SUPPORTED,
        "the request names another SOP class than its presentation context",
    ),
    (
        Status.DUPLICATE_INVOCATION,
        "the message ID is that of a request which has no answer yet",
    ),
    (
        Status.UNRECOGNIZED_OPERATION,
        "an operation that the presentation context does not provide, or an unknown command field",
    ),
    (
        Status.MISTYPED_ARGUMENT,
        "an element that the request cannot do without is missing, empty, or cannot be read, such"
        " as a UID of more than 64 characters or one that is not ASCII",
    ),
)
"""Every status that the acceptor and its Verification service send, and when."""

STORE_STATUSES = (
    (
        Status.SUCCESS,
        "the object is stored, and would survive a power cut unless `fsync` is off; or it was there"
        " already, by the policy of `existing`",
    ),
    (
        Status.DUPLICATE_SOP_INSTANCE,
        "the instance is there already and `existing` is `refuse`",
    ),
    (
        Status.INVALID_SOP_INSTANCE,
        "the SOP instance UID of the request is none: not of digits and dots; one that is empty,"
        " longer than 64 characters, or not ASCII gets 0212H",
    ),
    (
        Status.OUT_OF_RESOURCES,
        "the disk is full, a quota is reached, or the device or file system failed; sent as soon as"
        " that is known. Or 100 others stand beside the object that has the name already."
        " Of the service for objects in memory: the data set is longer than allowed",
    ),
    (
        Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
        "the data set has another SOP class or instance UID than the request, and `mismatch` is"
        " `refuse`",
    ),
    (Status.CANNOT_UNDERSTAND, "there is no data set, or an empty one"),
)
"""Every status that the Storage service sends beside those above, and when."""

UNDERSTOOD = (
    ("0000", 0x0000),
    ("0001, 0107, 0116, Bxxx", 0xB000),
    ("A7xx", 0xA7FF),
    ("A9xx", 0xA9FF),
    ("Cxxx", 0xCFFF),
    ("any other", 0x0122),
)
"""What a Storage SCU makes of a status: numbers as people write them, and one for all of them."""
