"""The factory: limits, the table of who is there, reconfiguration, start and stop."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.logger import LogLevel

from pacs_twisted.admission import AdmissionPolicy, PermittedPeer
from pacs_twisted.association import Association
from pacs_twisted.net import AcceptorFactory, ApplicationEntity, Limits, Timeouts
from pacs_twisted.net.acceptor import AcceptorProtocol, peer_text
from pacs_twisted.services import Verification
from tests.net.memory import (
    ABORT,
    AC,
    RELEASE_RP,
    RELEASE_RQ,
    ServerCase,
    associate_rq,
    echo_rq,
    reject,
)
from tests.requirements import requirement

LIMIT_EXCEEDED = reject(2, 3, 2)
CONGESTION = reject(2, 3, 1)


class LimitTests(ServerCase):
    """How many associations and connections at a time."""

    @requirement("F4")
    def test_associations(self) -> None:
        """Above the limit the answer is 2/3/2; who is there goes on."""
        self.make_factory(admission=AdmissionPolicy(limits=Limits(associations=2)))
        first, second = self.associated(), self.associated()
        third = self.connect()
        self.assertEqual(third.associate(), LIMIT_EXCEEDED)
        self.assertEqual(third.state, "Sta13")
        self.assertEqual(self.factory.association_count, 2)
        self.assertEqual(first.echo(), [(1, 0)])
        self.assertEqual(second.echo(), [(1, 0)])

    def test_silent_connections(self) -> None:
        """A connection counts as an association from its A-ASSOCIATE-RQ on, not before."""
        self.make_factory(admission=AdmissionPolicy(limits=Limits(associations=1)))
        for _ in range(20):
            self.connect().send(associate_rq()[:50])
        self.assertEqual(self.factory.association_count, 0)
        self.assertEqual(self.associated().echo(), [(1, 0)])

    def test_per_host(self) -> None:
        """The limit of a host is its own, and IPv6 tells an IPv4 host apart by its address."""
        self.make_factory(admission=AdmissionPolicy(limits=Limits(associations=9, per_host=1)))
        self.assertEqual(self.connect("10.0.0.1").associate()[:1], bytes((AC,)))
        self.assertEqual(self.connect("10.0.0.1").associate(), LIMIT_EXCEEDED)
        self.assertEqual(self.connect("::ffff:10.0.0.1").associate(), LIMIT_EXCEEDED)
        self.assertEqual(self.connect("::ffff:10.0.0.2").associate()[:1], bytes((AC,)))
        self.assertEqual(self.connect("10.0.0.2").associate(), LIMIT_EXCEEDED)
        self.assertEqual(self.connect("2001:db8::1").associate()[:1], bytes((AC,)))

    def test_place_free_at_once(self) -> None:
        """A place is free the moment its association is over, be the connection open or not."""
        self.make_factory(admission=AdmissionPolicy(limits=Limits(associations=1, per_host=1)))
        ends: dict[str, Any] = {
            "release": lambda peer: peer.send(RELEASE_RQ),
            "abort": lambda peer: peer.send(ABORT),
            "close": lambda peer: peer.close(),
            "reset": lambda peer: peer.reset(),
            "protocol error": lambda peer: peer.send(b"GET / HTTP/1.1\r\n\r\n"),
            "unexpected PDU": lambda peer: peer.send(associate_rq()),
            "our abort": lambda peer: peer.connection.association.abort(),
            "idle": lambda peer: self.reactor.wait(30),
        }
        for name, end in ends.items():
            peer = self.associated()
            self.assertEqual(self.connect().associate(), LIMIT_EXCEEDED, name)
            end(peer)
            self.assertEqual(self.factory.association_count, 0, name)
            other = self.associated()
            other.send(RELEASE_RQ)
            self.assertEqual(other.take(), RELEASE_RP)
        self.reactor.wait(40)
        self.assert_nothing_left()

    def test_place_of_rejected(self) -> None:
        """Who is rejected takes no place away."""
        admission = AdmissionPolicy(
            permitted=(PermittedPeer.parse("CT1"),), limits=Limits(associations=1)
        )
        self.make_factory(admission=admission)
        for _ in range(5):
            self.assertEqual(self.connect().associate(), reject(1, 1, 3))
        self.assertEqual(self.factory.association_count, 0)
        self.assertEqual(self.connect().associate(associate_rq(b"CT1"))[:1], bytes((AC,)))

    def test_connections(self) -> None:
        """Above the cap of connections the next is closed at once, until one has gone."""
        self.make_factory(admission=AdmissionPolicy(limits=Limits(connections=3)))
        peers = [self.connect() for _ in range(3)]
        self.assertTrue(self.connect().is_closed)
        self.assertEqual(len(self.factory.connections), 3)
        peers[0].close()
        self.assertFalse(self.connect().is_closed)

    def test_connections_wrapped(self) -> None:
        """So it is behind TLS or the PROXY protocol, which wrap whatever protocol they get."""
        self.make_factory(admission=AdmissionPolicy(limits=Limits(connections=1)))
        self.connect(wrapped=True)
        for _ in range(3):
            self.assertTrue(self.connect(wrapped=True).is_closed)
        self.assertEqual(len(self.factory.connections), 1)
        self.assertEqual(len(self.reactor.readers), 1)

    def test_connections_logged(self) -> None:
        """A flood of connections gives one line a second, which tells how many there were."""
        self.make_factory(admission=AdmissionPolicy(limits=Limits(connections=1)))
        self.connect()
        for _ in range(10):
            for _ in range(50):
                self.assertTrue(self.connect("10.0.0.1").is_closed)
                self.reactor.advance(0.02)
        events = self.events("connection-limit")
        self.assertLess(len(events), 12)
        self.assertGreater(len(events), 8)
        self.assertEqual(events[0]["refused"], 1)
        self.assertTrue(all(event["log_level"] is LogLevel.warn for event in events))
        self.assertEqual(events[1]["refused"], 50)
        self.assertIn("10.0.0.1:", events[1]["peer"])

    def test_silent_do_not_lock_out(self) -> None:
        """Silent connections that take all there are let others in after ARTIM."""
        self.make_factory(admission=AdmissionPolicy(limits=Limits(connections=50)))
        for _ in range(50):
            self.connect()
        self.assertTrue(self.connect().is_closed)
        self.reactor.wait(30)
        self.assertEqual(self.associated().echo(), [(1, 0)])

    def test_everything_back(self) -> None:
        """A thousand bare connects leave nothing, by FIN and by RST."""
        for number in range(1000):
            peer = self.connect()
            if number % 2:
                peer.close()
            else:
                peer.reset()
        self.assertLessEqual(len(self.reactor.getDelayedCalls()), 1)
        self.assert_nothing_left()
        self.assertEqual(self.lines(), [])


class UnfinishedTests(ServerCase):
    """Half-received A-ASSOCIATE PDUs of all connections together are bounded."""

    def test_oldest_goes(self) -> None:
        """Above the bound the oldest goes, and only as many as have to."""
        self.make_factory(maximum_unfinished=100_000)
        half = b"\x01\x00" + (200_000).to_bytes(4, "big")
        peers = [self.connect() for _ in range(4)]
        for peer in peers:
            peer.send(half + bytes(30_000))
        self.assertEqual([peer.is_closed for peer in peers], [True, False, False, False])
        peers[1].send(bytes(30_000))  # the oldest is the one that grows
        self.assertEqual([peer.is_closed for peer in peers], [True, True, False, False])
        self.assertEqual(peers[0].take(), b"")
        self.assertEqual(self.associated().echo(), [(1, 0)])
        [line] = {line.partition(": ")[2] for line in self.lines(LogLevel.warn)}
        self.assertIn("too many unfinished PDUs", line)

    def test_finished_counts_no_more(self) -> None:
        """A PDU that is whole, broken, or gone with its connection counts no more."""
        self.make_factory(maximum_unfinished=100_000, timeouts=Timeouts(artim=10))
        factory: Any = self.factory
        rq = associate_rq()
        whole, broken, lost, late = (self.connect() for _ in range(4))
        whole.send(rq[:100])
        broken.send(b"\x01\x00\x00\x00\x10\x00" + bytes(100))
        lost.send(rq[:100])
        late.send(rq[:100])
        self.assertEqual(factory._held_in_all, 94 + 100 + 94 + 94)
        whole.send(rq[100:])
        self.assertEqual(factory._held_in_all, 100 + 94 + 94)
        broken.send(bytes(4096))
        self.assertEqual(factory._held_in_all, 94 + 94)
        lost.reset()
        self.assertEqual(factory._held_in_all, 94)
        self.reactor.wait(10)
        self.assertEqual((factory._held_in_all, factory._held), (0, {}))

    def test_bigger_than_all(self) -> None:
        """A single one above the bound goes itself, and nothing is left of it."""
        self.make_factory(maximum_unfinished=1000)
        peer = self.connect()
        peer.send(b"\x01\x00\x00\x01\x00\x00" + bytes(2000))
        self.assert_over(peer)


class TableTests(ServerCase):
    """Who is there, to be read at any time."""

    def test_table(self) -> None:
        """The table says who is there, in which state, since when, and how much was said."""
        self.reactor.wait(5)
        peer = self.connect("10.1.2.3")
        [record] = self.factory.associations.values()
        self.assertEqual((record.state, record.calling_ae_title), ("Sta2", ""))
        peer.associate()
        peer.echo()
        peer.echo()
        silent = self.connect()
        table = self.factory.associations
        self.assertEqual(list(table), [1, 2])
        record = table[1]
        self.assertEqual(record.number, 1)
        self.assertRegex(record.peer, r"^10\.1\.2\.3:\d+$")
        self.assertEqual((record.calling_ae_title, record.called_ae_title), ("ECHOSCU", "ANY-SCP"))
        self.assertEqual((record.state, record.since), ("Sta6", 5.0))
        self.assertEqual((record.messages_received, record.messages_sent), (2, 2))
        self.assertEqual(record.bytes_received, len(associate_rq()) + 2 * len(echo_rq()))
        self.assertEqual(record.bytes_sent, len(peer.socket.sent))
        self.assertEqual(table[2].state, "Sta2")
        peer.send(RELEASE_RQ)
        self.assertEqual(self.factory.associations[1].state, "Sta13")
        peer.close()
        silent.close()
        self.assertEqual(self.factory.associations, {})

    def test_escaped(self) -> None:
        """Titles stand in it as in the log, escaped."""
        self.connect().associate(associate_rq(b"A\nB"))
        self.assertEqual(self.factory.associations[1].calling_ae_title, "A\\nB")

    def test_peer_text(self) -> None:
        """A peer's address as text, whatever it is."""
        self.assertEqual(peer_text(IPv4Address("TCP", "10.0.0.1", 7)), "10.0.0.1:7")
        self.assertEqual(peer_text(UNIXAddress("/run/pacs")), "/run/pacs")
        self.assertEqual(peer_text(UNIXAddress(None)), "local")
        self.assertEqual(peer_text(None), "local")

    def test_unix(self) -> None:
        """A peer of a UNIX socket has no address, and no limit of a host."""
        self.make_factory(admission=AdmissionPolicy(limits=Limits(per_host=1)))
        connection = self.factory.buildProtocol(UNIXAddress(None))
        assert isinstance(connection, AcceptorProtocol)
        self.assertIsNone(connection.address)


class ReconfigureTests(ServerCase):
    """What changes while the server runs."""

    @requirement("A4")
    def test_timeouts(self) -> None:
        """New timers are for new connections; those that run keep theirs."""
        old = self.connect()
        self.factory.reconfigure(timeouts=Timeouts(artim=5))
        new = self.connect()
        self.reactor.wait(5)
        self.assertEqual((old.is_closed, new.is_closed), (False, True))
        self.reactor.wait(25)
        self.assertTrue(old.is_closed)
        self.assert_nothing_left()

    def test_timeouts_leave_nothing(self) -> None:
        """Timers that were replaced leave no delayed call once nobody uses them."""
        old = self.connect()
        self.factory.reconfigure(timeouts=Timeouts(artim=5))
        old.close()
        self.assert_nothing_left()

    def test_admission(self) -> None:
        """New rules hold for newcomers, and who is there goes on."""
        there = self.associated()
        waiting = self.connect()
        self.factory.reconfigure(admission=AdmissionPolicy(limits=Limits(associations=1)))
        self.assertEqual(waiting.associate(), LIMIT_EXCEEDED)
        self.assertEqual(there.echo(), [(1, 0)])

    def test_entity(self) -> None:
        """A new entity, likewise."""
        there = self.associated()
        admission = AdmissionPolicy(require_called_ae=True)
        self.factory.reconfigure(entity=ApplicationEntity("NEW"), admission=admission)
        self.assertEqual(self.connect().associate(), reject(1, 1, 7))
        newcomer = self.connect()
        self.assertEqual(newcomer.associate(associate_rq(called=b"NEW"))[:1], bytes((AC,)))
        self.assertEqual(there.echo(), [(1, 0)])
        newcomer.send(echo_rq())
        self.assertEqual(newcomer.take()[:1], b"\x07")  # nothing was accepted

    def test_nothing(self) -> None:
        """None keeps what there is."""
        before = self.factory.entity, self.factory.admission, self.factory.timeouts
        self.factory.reconfigure()
        after = self.factory.entity, self.factory.admission, self.factory.timeouts
        self.assertEqual(before, after)


class DrainTests(ServerCase):
    """An administrator's draining: the port stays open, nobody else is let in."""

    @requirement("F4", "H11")
    def test_drain(self) -> None:
        """Everybody who asks hears 2/3/1, who is there goes on; undone, all is as before."""
        there = self.associated()
        half = self.connect()
        half.send(associate_rq()[:80])
        self.factory.drain()
        half.send(associate_rq()[80:])
        self.assertEqual(half.take(), CONGESTION)
        self.assertEqual(self.connect().associate(), CONGESTION)
        self.assertEqual(there.echo(), [(1, 0)])
        self.assertEqual(self.factory.association_count, 1)
        self.factory.undrain()
        self.assertEqual(self.associated().echo(), [(1, 0)])


class LifeTests(ServerCase):
    """Start and stop."""

    def test_repeated(self) -> None:
        """Start and stop can be repeated; each time the server serves."""
        self.factory.doStop()
        for _ in range(3):
            self.factory.doStart()
            peer = self.associated()
            self.assertEqual(peer.echo(), [(1, 0)])
            peer.close()
            self.factory.doStop()
            self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.factory.doStart()

    def test_stopped_before_its_peers(self) -> None:
        """A port that closes before its peers have gone leaves no delayed call after them."""
        silent, released = self.connect(), self.associated()
        released.send(RELEASE_RQ)
        self.factory.doStop()
        silent.close()
        released.close()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.factory.doStart()

    def test_restart_while_a_peer_stays(self) -> None:
        """Started again while an old peer is still there, both are watched."""
        old = self.connect()
        self.factory.doStop()
        self.factory.doStart()
        new = self.connect()
        self.reactor.wait(30)
        self.assert_over(old, new)

    def test_several_ports(self) -> None:
        """Several ports share the factory, its limits and its table."""
        self.factory.doStart()
        peer = self.associated()
        self.factory.doStop()  # the one port; the other goes on
        self.assertEqual(self.associated().echo(), [(1, 0)])
        self.assertEqual(peer.echo(), [(1, 0)])

    def test_default_reactor(self) -> None:
        """Without a clock it is the global reactor's, looked up when it is needed."""
        from twisted.internet import reactor

        factory = AcceptorFactory(ApplicationEntity("PACS", [Verification()]))
        self.assertIs(factory.clock, reactor)


class FaultTests(ServerCase):
    """An error of ours, or of an application's, ends one association and no other."""

    def test_observer_that_always_fails(self) -> None:
        """An observer that raises at everything costs its association, and no place."""

        class Observer:
            def transition(self, association: Association, *_: Any) -> None:
                raise RuntimeError("a bug")

            def message(self, *_: Any) -> None:
                raise RuntimeError("a bug")

        for wrapped in False, True:
            other = self.associated()
            peer = self.associated(wrapped=wrapped)
            peer.connection.association.add_observer(Observer())
            peer.send(echo_rq())
            self.assertTrue(peer.is_closed)
            self.assertEqual(self.factory.association_count, 1)
            self.assertEqual(other.echo(), [(1, 0)])
            other.close()
            self.assertTrue(self.flushLoggedErrors(RuntimeError))
            self.assert_over(peer, other)

    def test_observer_that_fails_at_the_end(self) -> None:
        """One that raises when the connection has gone costs nothing either."""

        class Observer:
            def transition(self, association: Association, old: Any, event: str, *_: Any) -> None:
                if event == "transport_closed":
                    raise RuntimeError("a bug")

            def message(self, *_: Any) -> None: ...

        for end in "close", "reset":
            peer = self.associated()
            peer.connection.association.add_observer(Observer())
            getattr(peer, end)()
            self.assertTrue(self.flushLoggedErrors(RuntimeError))
            self.assert_over(peer)
