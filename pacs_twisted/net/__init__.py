"""
DICOM associations on Twisted: the server side.

Three lines make an echo server:

    entity = ApplicationEntity("PACS_ECHO", [Verification()])
    factory = AcceptorFactory(entity)
    endpoints.serverFromString(reactor, "tcp:11112").listen(factory)
"""

from pacs_twisted.admission import (
    Admission,
    AdmissionPolicy,
    Applicant,
    Limits,
    PermittedPeer,
)
from pacs_twisted.errors import TimedOut
from pacs_twisted.net.acceptor import AcceptorProtocol, LiveAssociation
from pacs_twisted.net.server import AcceptorFactory
from pacs_twisted.net.timers import Timeouts
from pacs_twisted.services import ApplicationEntity

__all__ = [
    "AcceptorFactory",
    "AcceptorProtocol",
    "Admission",
    "AdmissionPolicy",
    "Applicant",
    "ApplicationEntity",
    "Limits",
    "LiveAssociation",
    "PermittedPeer",
    "TimedOut",
    "Timeouts",
]
