"""
The acceptor: a `ServerFactory` that makes one `AcceptorProtocol` per connection.

It runs in any Twisted application, behind any endpoint. The factory keeps what concerns all
associations: limits, the table of who is there, draining.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.logger import Logger

from pacs_twisted import __version__
from pacs_twisted.admission import Address, Admission, AdmissionPolicy, Applicant
from pacs_twisted.association import Bounds
from pacs_twisted.dimse.messages import MAXIMUM_COMMAND_LENGTH
from pacs_twisted.errors import PacsError
from pacs_twisted.net.acceptor import AcceptorProtocol, LiveAssociation, peer_text
from pacs_twisted.net.connection import keep_large_blocks
from pacs_twisted.net.stopping import Stopping
from pacs_twisted.net.timers import ArtimTimers, Timeouts
from pacs_twisted.pdu import AAssociateRQ
from pacs_twisted.pdu.framing import MAXIMUM_ASSOCIATE_LENGTH, MAXIMUM_LENGTH
from pacs_twisted.services import ApplicationEntity
from pacs_twisted.uids import IMPLEMENTATION_CLASS_UID, implementation_version_name
from pacs_twisted.upper_layer.negotiation import Offer

log = Logger(namespace="pacs_twisted.net")

MAXIMUM_UNFINISHED = 64 << 20
"""Half-received A-ASSOCIATE PDUs of all connections together, in bytes, unless told otherwise."""

_REFUSAL_LOG_INTERVAL = 1.0  # seconds between two log lines about refused connections

IdleAction = Literal["abort", "release"]


class TooMuchUnfinished(PacsError):
    """Half-received A-ASSOCIATE PDUs take too much memory in all; the oldest goes first."""


class Refused(Protocol):
    """
    A connection beyond the cap: closed as soon as it is there.

    `buildProtocol` could answer None, but factories that wrap another one, as behind TLS and the
    PROXY protocol, wrap that as well, fail, and leave the connection open.
    """

    def connectionMade(self) -> None:
        """Twisted: the connection is there."""
        transport: Any = self.transport
        transport.loseConnection()


class AcceptorFactory(ServerFactory):
    """
    Accept associations for an application entity.

    Args:
        entity: its title and services.
        admission: who may associate, and how many at a time.
        timeouts: seconds.
        maximum_length: the longest P-DATA-TF that we take and announce, in bytes; 0 for any.
        maximum_associate_length: the longest A-ASSOCIATE-RQ, in bytes.
        maximum_unfinished: half-received PDUs of all connections together, in bytes.
        maximum_command_length: the longest command set, in bytes.
        maximum_operations: how many requests of one association are served at a time, if its
            requestor proposes an asynchronous window; 0 without limit.
        idle_action: how an idle association is ended: by A-ABORT or A-RELEASE-RQ.
        reject_empty: reject an association none of whose presentation contexts can be accepted,
            instead of accepting it with all of them refused.
        debug: log every event and message at debug.
        reactor: the clock; by default the global reactor, when the factory starts.
    """

    noisy = False

    def __init__(
        self,
        entity: ApplicationEntity,
        *,
        admission: Admission | None = None,
        timeouts: Timeouts | None = None,
        maximum_length: int = MAXIMUM_LENGTH,
        maximum_associate_length: int = MAXIMUM_ASSOCIATE_LENGTH,
        maximum_unfinished: int = MAXIMUM_UNFINISHED,
        maximum_command_length: int = MAXIMUM_COMMAND_LENGTH,
        maximum_operations: int = 1,
        idle_action: IdleAction = "abort",
        reject_empty: bool = False,
        debug: bool = False,
        reactor: IReactorTime | None = None,
    ) -> None:
        self.entity = entity
        self.admission: Admission = admission or AdmissionPolicy()
        self.timeouts = timeouts or Timeouts()
        self.bounds = Bounds(maximum_length, maximum_associate_length, maximum_command_length)
        self.maximum_unfinished = maximum_unfinished
        self.maximum_operations = maximum_operations
        self.idle_action: IdleAction = idle_action
        self.reject_empty = reject_empty
        self.debug = debug
        self.draining = False
        self.connections_made = 0
        self._reactor = reactor
        self._artim_timers: ArtimTimers | None = None
        self._connections: dict[AcceptorProtocol, None] = {}
        self._places: dict[AcceptorProtocol, None] = {}
        self._hosts: dict[Address, int] = {}
        self._held: dict[AcceptorProtocol, int] = {}  # the oldest first
        self._held_in_all = 0
        self._refused = 0
        self._refusal_logged: float | None = None
        self._stopping: Stopping | None = None
        self._make_offer()

    def _make_offer(self) -> None:
        self.offer = Offer(
            self.entity.supported,
            IMPLEMENTATION_CLASS_UID,
            implementation_version_name(__version__),
            self.bounds.maximum_length,
            self.maximum_operations,
        )

    # The life of the factory

    @property
    def clock(self) -> IReactorTime:
        """The reactor."""
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        return self._reactor

    @property
    def artim_timers(self) -> ArtimTimers:
        """The ARTIM timers of connections that are made now."""
        if self._artim_timers is None:
            self._artim_timers = ArtimTimers(self.clock, self.timeouts.artim)
        return self._artim_timers

    def startFactory(self) -> None:
        """Twisted: the first port opens. What takes long is done before anybody is served."""
        import pydicom.uid  # noqa: F401

        keep_large_blocks()
        if self._stopping is not None:
            self._stopping.give_up()
            self._stopping = None
        self._replace_artim_timers()
        self.draining = False

    def stopFactory(self) -> None:
        """Twisted: the last port has closed. Associations that run go on; see `shut_down`."""
        if self._artim_timers is not None:
            self._artim_timers.close()

    def _replace_artim_timers(self) -> None:
        """Let new connections have new timers; those that run keep theirs."""
        if self._artim_timers is not None:
            self._artim_timers.close()
            self._artim_timers = None

    def reconfigure(
        self,
        *,
        entity: ApplicationEntity | None = None,
        admission: Admission | None = None,
        timeouts: Timeouts | None = None,
        idle_action: IdleAction | None = None,
        reject_empty: bool | None = None,
    ) -> None:
        """
        Change what new connections meet; None leaves a thing as it is.

        Connections that exist keep their timers and idle action, associations their services. The
        admission, the entity and `reject_empty` count for every A-ASSOCIATE-RQ from now on.

        Args:
            entity: its title and services.
            admission: who may associate, and how many at a time.
            timeouts: seconds.
            idle_action: how an idle association is ended.
            reject_empty: whether to reject an association without an acceptable context.
        """
        if entity is not None:
            self.entity = entity
            self._make_offer()
        if admission is not None:
            self.admission = admission
        if timeouts is not None:
            if timeouts.artim != self.timeouts.artim:
                self._replace_artim_timers()
            self.timeouts = timeouts
        if idle_action is not None:
            self.idle_action = idle_action
        if reject_empty is not None:
            self.reject_empty = reject_empty

    def drain(self) -> None:
        """Reject new associations with 2/3/1 from now on; those that exist go on."""
        self.draining = True

    def undrain(self) -> None:
        """Accept associations again."""
        self.draining = False

    def shut_down(self) -> Deferred[None]:
        """
        End all associations; the ports are closed by who opened them.

        Whoever asks for an association now is rejected with 2/3/1. Associations have the drain
        time to end by themselves, then they are aborted.

        Returns:
            A `Deferred` that fires when no connection is left.
        """
        if self._stopping is None:
            self.draining = True
            self._stopping = Stopping(self.clock, self.timeouts.drain, self)
            self._stopping.begin()
        return self._stopping.wait()

    @property
    def connections(self) -> list[AcceptorProtocol]:
        """All connections, with an association or without."""
        return list(self._connections)

    @property
    def association_count(self) -> int:
        """How many associations there are: from the A-ASSOCIATE-RQ to the end."""
        return len(self._places)

    @property
    def associations(self) -> Mapping[int, LiveAssociation]:
        """How all connections stand at this moment, by number."""
        return {connection.number: connection.snapshot() for connection in self._connections}

    # Connections

    def buildProtocol(self, addr: IAddress | None) -> AcceptorProtocol | Refused:
        """Twisted: someone has connected. Beyond the cap of connections it is closed at once."""
        if len(self._connections) >= self.admission.limits.maximum_connections:
            self._note_refusal(addr)
            return Refused()
        self.connections_made += 1
        connection = AcceptorProtocol(self, self.connections_made, addr)
        connection.factory = self
        return connection

    def _note_refusal(self, addr: IAddress | None) -> None:
        """Log refused connections, of a flood one line a second."""
        self._refused += 1
        now = self.clock.seconds()
        last = self._refusal_logged
        if last is not None and now - last < _REFUSAL_LOG_INTERVAL:
            return
        log.warn(
            "{refused} connections closed at once, the last from {peer}: there are {connections}",
            refused=self._refused,
            peer=peer_text(addr),
            connections=len(self._connections),
            event="connection-limit",
        )
        self._refusal_logged, self._refused = now, 0

    def add_connection(self, connection: AcceptorProtocol) -> None:
        """A connection is there."""
        self._connections[connection] = None

    def remove_connection(self, connection: AcceptorProtocol) -> None:
        """A connection is gone."""
        self._connections.pop(connection, None)
        self._held_in_all -= self._held.pop(connection, 0)
        self.give_place_back(connection)  # if an error has kept it until now

    def note_held(self, connection: AcceptorProtocol, held: int) -> None:
        """A connection keeps so many bytes of an unfinished PDU; too much ends the oldest."""
        self._held_in_all += held - self._held.get(connection, 0)
        if not held:
            self._held.pop(connection, None)
            return
        self._held[connection] = held
        while self._held_in_all > self.maximum_unfinished:
            oldest = next(iter(self._held))
            self._held_in_all -= self._held.pop(oldest)
            oldest.guard(oldest.association.abort, TooMuchUnfinished("too many unfinished PDUs"))
            oldest.drop()

    # Places

    def take_place(self, connection: AcceptorProtocol, rq: AAssociateRQ) -> Applicant:
        """Count a connection as an association, and return how things stood before."""
        address = connection.address
        here, from_host = len(self._places), 0
        if address is not None:
            from_host = self._hosts.get(address, 0)
            self._hosts[address] = from_host + 1
        self._places[connection] = None
        return Applicant(rq, self.entity.title, address, here, from_host)

    def give_place_back(self, connection: AcceptorProtocol) -> None:
        """An association is over; its place counts once."""
        if connection in self._places:
            del self._places[connection]
            address = connection.address
            if address is not None:
                from_host = self._hosts[address] - 1
                if from_host:
                    self._hosts[address] = from_host
                else:
                    del self._hosts[address]
        if self._stopping is not None:
            self._stopping.look()
