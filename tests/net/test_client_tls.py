"""Associations of ours over TLS, in memory."""

from __future__ import annotations

import datetime
import unittest
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import ServerFactory
from twisted.logger import LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from pacs_twisted.dimse import Status
from pacs_twisted.errors import AssociationLost, ConnectionFailed
from pacs_twisted.net import Timeouts, associate
from pacs_twisted.testing import MemoryEndpoint, associate_ac
from tests.net.requesting import CONTEXTS, DATA, SECONDS, Peer, RequestorCase, Source, Waiter

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from twisted.internet import ssl
    from twisted.protocols.tls import TLSMemoryBIOFactory
except ImportError:  # TLS is an extra
    needs_tls = unittest.skip("TLS is not installed")
else:

    def needs_tls(case: Any) -> Any:
        """Let the tests run."""
        return case


class LossTests(RequestorCase):
    """A handshake that fails, as it looks to a protocol inside TLS."""

    def lose(self, module: str, *arguments: Any, answered: bool = False) -> Any:
        """Connect, let TLS fail, and return the error."""
        waiter = Waiter(self.ask(Peer(silent=True)))
        self.flush()
        if answered:
            self.server.say(associate_ac().encode()[:20])
            self.flush()
        error = type("Error", (Exception,), {"__module__": module})(*arguments)
        self.endpoint.connections[0].client_transport._lose(error)
        self.flush()
        self.assert_nothing_left()
        return waiter.error

    def test_words(self) -> None:
        """There was no connection, and the words are OpenSSL's."""
        for module, arguments, words in (
            ("OpenSSL.SSL", ([("SSL routines", "", "wrong version number")],), "wrong version"),
            ("OpenSSL.SSL", ([],), "[]"),
            ("service_identity.exceptions", (["mismatch"],), "another name"),
        ):
            error = self.lose(module, *arguments)
            self.assertIsInstance(error, ConnectionFailed)
            self.assertIn("TLS handshake failed: ", str(error))
            self.assertIn(words, str(error))
            self.assertEqual(error.state, "Sta5")
            self.assertEqual(self.events("no-connection")[-1]["log_level"], LogLevel.warn)

    def test_afterwards(self) -> None:
        """Once the peer has said something, the association is lost."""
        self.assertIsInstance(self.lose("OpenSSL.SSL", answered=True), AssociationLost)

    def test_other_losses(self) -> None:
        """Other losses are what they were."""
        waiter = Waiter(self.ask(Peer(silent=True)))
        self.flush()
        self.endpoint.connections[0].client.connectionLost(Failure(ConnectionLost()))
        self.assertIsInstance(waiter.error, AssociationLost)


@needs_tls
class TLSTests(RequestorCase):
    """What a peer behind TLS sees."""

    def setUp(self) -> None:
        super().setUp()
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "peer")])
        day = datetime.timedelta(days=1)
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("peer")]), False)
            .add_extension(x509.BasicConstraints(True, None), True)
            .sign(key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self.options = ssl.PrivateCertificate.loadPEM(pem + private).options()
        self.trust = ssl.Certificate.loadPEM(pem)

    def begin(
        self, server: Peer, name: str = "peer", *, tls: bool = True, **options: Any
    ) -> Deferred[Any]:
        """Ask a server, which is behind TLS or should be, for an association."""
        clock = self.clock
        client_options = ssl.optionsForClientTLS(name, trustRoot=self.trust)

        @implementer(IStreamClientEndpoint)
        class Wrapped:
            def __init__(self, endpoint: MemoryEndpoint) -> None:
                self.endpoint = endpoint

            def connect(self, protocolFactory: IProtocolFactory) -> Any:  # noqa: N803
                return self.endpoint.connect(
                    TLSMemoryBIOFactory(client_options, True, protocolFactory, clock)
                )

        self.server = server
        factory: Any = ServerFactory.forProtocol(lambda: server)
        if tls:
            factory = TLSMemoryBIOFactory(self.options, False, factory, clock)
        self.endpoint = MemoryEndpoint(factory, clock)
        asked = associate(
            Wrapped(self.endpoint), called="PEER", contexts=CONTEXTS, reactor=clock, **options
        )
        self.flush()
        return asked

    def test_story(self) -> None:
        """Establish, store, release."""
        self.peer = self.successResultOf(self.begin(Peer(status=Status.SUCCESS)))
        self.assertEqual(self.store(Source([DATA] * 20)).result.status, 0)
        self.assertEqual(self.server.data_sets, [DATA * 20])
        self.assert_released()

    def test_wrong_name(self) -> None:
        """A peer that is not who it should be: no connection."""
        waiter = Waiter(self.begin(Peer(), "somebody-else"))
        self.assertIsInstance(waiter.error, ConnectionFailed)
        self.assertIn("another name", str(waiter.error))
        self.assert_nothing_left()

    def test_silent_handshake(self) -> None:
        """A peer that does not even shake hands is given up by the ACSE timer."""
        waiter = Waiter(self.begin(Peer(silent=True), tls=False, timeouts=SECONDS))
        self.endpoint.advance(1.9)
        self.assertEqual(waiter.results, [])
        self.endpoint.advance(0.2)
        self.assertEqual((waiter.error.timer, waiter.error.state), ("acse", "Sta5"))
        self.endpoint.advance(100)
        self.assert_nothing_left()

    def test_slow_peer(self) -> None:
        """A peer that takes bytes slowly all the time is not dropped by the send timer."""
        self.peer = self.successResultOf(
            self.begin(Peer(status=Status.SUCCESS), timeouts=Timeouts(send=5, dimse=0))
        )
        connection = self.endpoint.connections[0]
        server = connection.server_transport
        server.pauseProducing()
        waiter = self.store(Source([DATA * 8] * 3))
        steps = 0
        while not self.server.requests and steps < 200:
            steps += 1
            self.endpoint.advance(4)
            server.resumeProducing()
            connection.step(131072)
            server.pauseProducing()
        self.assertGreater(steps * 4, 10)
        server.resumeProducing()
        self.flush()
        self.assertEqual(waiter.result.status, 0)
        self.assert_released()

    def test_dead_peer(self) -> None:
        """One that takes nothing is."""
        self.peer = self.successResultOf(self.begin(Peer(), timeouts=Timeouts(send=5, dimse=0)))
        self.endpoint.connections[0].server_transport.pauseProducing()
        waiter = self.store(Source([DATA * 8] * 3))
        self.endpoint.advance(5.1)
        self.assertEqual(waiter.error.timer, "send")
        self.endpoint.advance(10)
        self.assertTrue(self.endpoint.connections[0].client_transport.disconnected)
        self.assertEqual(self.clock.getDelayedCalls(), [])
