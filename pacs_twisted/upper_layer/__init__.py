"""
The DICOM upper layer service (PS3.8 sections 7 and 9.2): the state machine and the negotiation.
"""

from pacs_twisted.upper_layer.actions import State, Timer, Transport
from pacs_twisted.upper_layer.negotiation import (
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
    NO_REASON,
    TEMPORARY_CONGESTION,
    USER_IDENTITY_REFUSED,
    VERSION_NOT_SUPPORTED,
    Offer,
    PresentationContext,
    accept,
    accepted_contexts,
)

__all__ = [
    "APPLICATION_CONTEXT_NOT_SUPPORTED",
    "CALLED_AE_TITLE_NOT_RECOGNIZED",
    "CALLING_AE_TITLE_NOT_RECOGNIZED",
    "LOCAL_LIMIT_EXCEEDED",
    "NO_REASON",
    "TEMPORARY_CONGESTION",
    "USER_IDENTITY_REFUSED",
    "VERSION_NOT_SUPPORTED",
    "Offer",
    "PresentationContext",
    "State",
    "Timer",
    "Transport",
    "accept",
    "accepted_contexts",
]
