"""
DICOM services (PS3.4): objects with one method per request.
"""

from pacs_twisted.services.service import (
    METHODS,
    ApplicationEntity,
    Handler,
    RequestContext,
    Requestor,
    Service,
    StoreSink,
    TransferSyntaxes,
)
from pacs_twisted.services.verification import Verification

__all__ = [
    "METHODS",
    "ApplicationEntity",
    "Handler",
    "RequestContext",
    "Requestor",
    "Service",
    "StoreSink",
    "TransferSyntaxes",
    "Verification",
]
