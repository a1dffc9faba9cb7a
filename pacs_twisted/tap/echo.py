"""
`twistd pacs-echo`: a server that answers C-ECHO and nothing else.
"""

from __future__ import annotations

from pacs_twisted.acceptor_service import AcceptorService
from pacs_twisted.config import EchoSettings, ServerSettings
from pacs_twisted.net import ApplicationEntity
from pacs_twisted.services import Verification
from pacs_twisted.tap.options import ServerOptions, make_acceptor_service


class Options(ServerOptions):
    """The command line of `twistd pacs-echo`."""

    settings_class = EchoSettings


def echo_entity(settings: ServerSettings) -> ApplicationEntity:
    """Return an application entity that answers C-ECHO and nothing else."""
    return ApplicationEntity(title=settings.ae_title, services=[Verification()])


def makeService(options: Options) -> AcceptorService:
    """Return the service of `twistd pacs-echo`."""
    return make_acceptor_service(options, echo_entity)
