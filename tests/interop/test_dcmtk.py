"""DCMTK's echoscu as our peer."""

from __future__ import annotations

from contextlib import ExitStack

from tests.interop.server import EchoServer, InteropCase, program
from tests.processes import Process
from tests.raw_peer import A_ASSOCIATE_AC_TYPE, A_RELEASE_RP, LOCAL_LIMIT_EXCEEDED, RawPeer


class EchoscuCase(InteropCase):
    """A test with echoscu."""

    def setUp(self) -> None:
        self.program = program("echoscu", "dcmtk")

    def command(self, server: EchoServer, *options: str) -> list[str]:
        """Return the command line of an echoscu that is told to say what it does."""
        return [self.program, "-v", *options, "127.0.0.1", str(server.port)]

    def echoscu(self, server: EchoServer, *options: str) -> Process:
        """Run echoscu to its end."""
        return server.run(*self.command(server, *options))

    def assert_echoed(self, peer: Process, echoes: int = 1) -> None:
        """Check that so many echoes were answered, and that echoscu is content."""
        self.assertEqual(peer.status, 0, str(peer))
        self.assertEqual(peer.output.count("Received Echo Response (Success)"), echoes, str(peer))

    def assert_rejected(self, peer: Process, *words: str) -> None:
        """Check that echoscu understood why its association was rejected."""
        self.assertNotEqual(peer.status, 0, str(peer))
        for line in ("Association Rejected", *words):
            self.assertIn(line, peer.output)


class EchoTests(EchoscuCase):
    """What echoscu may ask for and must get."""

    def test_echo(self) -> None:
        """One association, one echo, one release."""
        peer = self.echoscu(self.serve())
        self.assert_echoed(peer)
        self.assertIn("Releasing Association", peer.output)

    def test_repeat(self) -> None:
        """Every request of an association is answered."""
        self.assert_echoed(self.echoscu(self.serve(), "--repeat", "20"), 20)

    def test_abort(self) -> None:
        """An association that echoscu aborts does not disturb the next one."""
        server = self.serve()
        peer = self.echoscu(server, "--abort")
        self.assert_echoed(peer)
        self.assertIn("Aborting Association", peer.output)
        self.assert_echoed(self.echoscu(server))

    def test_smallest_maximum_length(self) -> None:
        """echoscu takes 4096 bytes a PDU."""
        self.assert_echoed(self.echoscu(self.serve(), "-pdu", "4096"))

    def test_largest_maximum_length(self) -> None:
        """echoscu takes 131072 bytes a PDU, and understands that we do."""
        peer = self.echoscu(self.serve("--max-pdu", "131072"), "-pdu", "131072")
        self.assert_echoed(peer)
        # DCMTK subtracts the headers of PDU and PDV.
        self.assertIn("Max Send PDV: 131060", peer.output)

    def test_small_maximum_length_of_ours(self) -> None:
        """We announce what --max-pdu says."""
        peer = self.echoscu(self.serve("--max-pdu", "4096"))
        self.assert_echoed(peer)
        self.assertIn("Max Send PDV: 4084", peer.output)

    def test_largest_proposal(self) -> None:
        """128 presentation contexts of 38 transfer syntaxes: a request of over 100,000 bytes."""
        peer = self.echoscu(self.serve(), "-d", "-ppc", "128", "-pts", "38", "--repeat", "2")
        self.assert_echoed(peer, 2)
        _, _, answer = peer.output.partition("A-ASSOCIATE-AC")
        self.assertEqual(answer.count("(Accepted)"), 128)

    def test_several_at_once(self) -> None:
        """Ten peers are served side by side."""
        server = self.serve()
        with ExitStack() as stack:
            peers = [
                stack.enter_context(Process(self.command(server, "--repeat", "20")))
                for _ in range(10)
            ]
            for peer in peers:
                peer.wait(server.process, *(other for other in peers if other is not peer))
                self.assert_echoed(peer, 20)

    def test_one_after_another(self) -> None:
        """Twenty associations in a row find the server as the first one did."""
        server = self.serve("--max-associations", "1")
        for _ in range(20):
            self.assert_echoed(self.echoscu(server))


class RejectTests(EchoscuCase):
    """What echoscu is told when it may not associate."""

    def test_called_title(self) -> None:
        """A called title that is not ours is rejected if titles are to be right."""
        server = self.serve("--ae-title", "OURS", "--require-called-ae")
        self.assert_rejected(
            self.echoscu(server, "-aec", "THEIRS"),
            "Result: Rejected Permanent, Source: Service User",
            "Reason: Called AE Title Not Recognized",
        )
        self.assert_echoed(self.echoscu(server, "-aec", "OURS"))

    def test_any_called_title(self) -> None:
        """By default a peer may call us as it likes."""
        self.assert_echoed(self.echoscu(self.serve("--ae-title", "OURS"), "-aec", "THEIRS"))

    def test_calling_title(self) -> None:
        """A calling title that is not permitted is rejected; its case counts."""
        server = self.serve("--allow", "CT1@127.0.0.0/8", "--allow", "CT2@192.0.2.0/24")
        for title in ("MR1", "ct1", "CT2"):
            self.assert_rejected(
                self.echoscu(server, "-aet", title),
                "Result: Rejected Permanent, Source: Service User",
                "Reason: Calling AE Title Not Recognized",
            )
        self.assert_echoed(self.echoscu(server, "-aet", "CT1"))

    def test_network_alone(self) -> None:
        """A network may be permitted whatever the titles, another one stays out."""
        self.assert_echoed(self.echoscu(self.serve("--allow", "*@127.0.0.1")))
        self.assert_rejected(
            self.echoscu(self.serve("--allow", "*@192.0.2.0/24")),
            "Reason: Calling AE Title Not Recognized",
        )

    def test_limit(self) -> None:
        """One association over the limit is told so; one that ends makes room at once."""
        server = self.serve("--max-associations", "3")
        with ExitStack() as stack:
            held = [stack.enter_context(RawPeer(server.port)) for _ in range(3)]
            for peer in held:
                self.assertEqual(peer.associate()[0], A_ASSOCIATE_AC_TYPE)
            self.assert_rejected(
                self.echoscu(server),
                "Result: Rejected Transient, Source: Service Provider (Presentation Related)",
                "Reason: Local Limit Exceeded",
            )
            with RawPeer(server.port) as another:
                self.assertEqual(another.associate(), LOCAL_LIMIT_EXCEEDED)
            self.assertEqual(held[0].release(), A_RELEASE_RP)
            self.assert_echoed(self.echoscu(server))

    def test_limit_of_a_peer(self) -> None:
        """One address may hold so many associations and no more."""
        server = self.serve("--max-per-host", "1")
        with RawPeer(server.port) as held:
            self.assertEqual(held.associate()[0], A_ASSOCIATE_AC_TYPE)
            self.assert_rejected(self.echoscu(server), "Reason: Local Limit Exceeded")
            self.assertEqual(held.release(), A_RELEASE_RP)
            self.assert_echoed(self.echoscu(server))


class StrangerTests(EchoscuCase):
    """Programs that want what we do not offer go away in time, and the next echo is answered."""

    def test_other_services(self) -> None:
        """A query finds its SOP class refused, not its association; so does DCMTK's shutdown."""
        server = self.serve()
        for name, *options in (("findscu", "-P", "-k", "QueryRetrieveLevel=PATIENT"), ("termscu",)):
            peer = server.run(program(name, "dcmtk"), "-v", *options, "127.0.0.1", str(server.port))
            self.assertNotEqual(peer.status, 0, str(peer))
            self.assertIn("No Acceptable Presentation Contexts", peer.output)
        self.assert_echoed(self.echoscu(server))

    def test_tls(self) -> None:
        """A TLS client on a plain port is told off at once and leaves one line in the log."""
        server = self.serve()
        peer = self.echoscu(server, "+tla")
        self.assertNotEqual(peer.status, 0, str(peer))
        self.assertIn("Association Request Failed", peer.output)
        self.assert_echoed(self.echoscu(server))
