"""
DICOM associations on Twisted, both ends of the line.

Three lines make an echo server:

    entity = ApplicationEntity("PACS_ECHO", [Verification()])
    factory = AcceptorFactory(entity)
    endpoints.serverFromString(reactor, "tcp:11112").listen(factory)

and three an echo:

    async with await associate("tcp:localhost:11112", called="PACS_ECHO") as peer:
        response = await peer.echo()
        print(response.status)

What can go wrong is in `pacs_twisted.errors`.
"""

from pacs_twisted.admission import (
    Admission,
    AdmissionPolicy,
    Applicant,
    Limits,
    PermittedPeer,
)
from pacs_twisted.net.acceptor import AcceptorProtocol, LiveAssociation
from pacs_twisted.net.client import associate
from pacs_twisted.net.pool import AssociationPool, PoolClosed
from pacs_twisted.net.requestor_association import BytesSource, RequestorAssociation
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
    "AssociationPool",
    "BytesSource",
    "Limits",
    "LiveAssociation",
    "PermittedPeer",
    "PoolClosed",
    "RequestorAssociation",
    "Timeouts",
    "associate",
]
