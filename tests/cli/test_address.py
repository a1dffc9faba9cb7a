"""Where a peer is, as people write it."""

from __future__ import annotations

from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.cli.address import DEFAULT_PORT, PeerAddress


class ParsingTests(SynchronousTestCase):
    """What stands for HOST."""

    def test_forms(self) -> None:
        """Names and addresses, with a port and without; all else with a colon is an endpoint."""
        for text, expected in (
            ("archive", PeerAddress("archive")),
            ("archive:104", PeerAddress("archive", 104)),
            ("192.0.2.1", PeerAddress("192.0.2.1")),
            ("192.0.2.1:104", PeerAddress("192.0.2.1", 104)),
            ("[2001:db8::1]", PeerAddress("2001:db8::1")),
            ("[2001:db8::1]:104", PeerAddress("2001:db8::1", 104)),
            ("2001:db8::1", PeerAddress("2001:db8::1")),
            ("fe80::1%eth0", PeerAddress("fe80::1%eth0")),
            ("tcp:archive:104", PeerAddress(endpoint="tcp:archive:104")),
            ("tls:archive:2762", PeerAddress(endpoint="tls:archive:2762")),
            ("unix:/run/archive.sock", PeerAddress(endpoint="unix:/run/archive.sock")),
            ("tcp:host=archive:port=104", PeerAddress(endpoint="tcp:host=archive:port=104")),
            ("tcp:104", PeerAddress("tcp", 104)),
        ):
            with self.subTest(text):
                self.assertEqual(PeerAddress.parse(text), expected)

    def test_mistakes(self) -> None:
        """What is none of these is refused, with words."""
        for text, words in (
            ("", "neither HOST"),
            ("archive:", "a port is"),
            ("archive:0", "a port is"),
            ("archive:65536", "a port is"),
            ("archive:123456", "a port is"),
            ("[archive]:104", "an IPv6 address"),
            ("[2001:db8::1]104", "neither HOST"),
            ("[2001:db8::1]:", "a port is"),
            ("a b", "blanks"),
            (" archive", "blanks"),
            ("archive\n", "blanks"),
            ("arch\x1bive", "blanks"),
            (":104", "neither HOST"),
            ("12:34:56", "neither HOST"),
        ):
            with self.subTest(text), self.assertRaisesRegex(ValueError, words):
                PeerAddress.parse(text)

    def test_text(self) -> None:
        """As it is written again, IPv6 in brackets."""
        self.assertEqual(str(PeerAddress.parse("archive")), f"archive:{DEFAULT_PORT}")
        self.assertEqual(str(PeerAddress.parse("::1")), f"[::1]:{DEFAULT_PORT}")
        self.assertEqual(str(PeerAddress.parse("unix:/a")), "unix:/a")


class EndpointTests(SynchronousTestCase):
    """What connects there."""

    def test_host(self) -> None:
        """A host may have several addresses, of either family."""
        endpoint = PeerAddress("archive").make_endpoint(MemoryReactorClock(), 3.0)
        self.assertIsInstance(endpoint, HostnameEndpoint)

    def test_strings(self) -> None:
        """Endpoint strings are Twisted's."""
        for text, kind in (
            ("tcp:archive:104", TCP4ClientEndpoint),
            ("unix:/run/archive.sock", UNIXClientEndpoint),
        ):
            found = PeerAddress.parse(text).make_endpoint(MemoryReactorClock(), 3.0)
            self.assertIsInstance(found, kind)

    def test_mistakes(self) -> None:
        """One that Twisted cannot use is a ValueError in words."""
        for text in ("nosuch:archive:104", "tcp:archive:x104", "tls:archive"):
            with self.subTest(text), self.assertRaisesRegex(ValueError, "not a usable endpoint"):
                PeerAddress.parse(text).make_endpoint(MemoryReactorClock(), 3.0)
