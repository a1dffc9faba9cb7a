"""Who may have an association: values and rules, without a network."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address, ip_network
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.admission import (
    AdmissionPolicy,
    Applicant,
    Limits,
    PermittedPeer,
    check_ae_title,
    is_ae_title,
    parse_address,
)
from pacs_twisted.pdu import AAssociateRJ, AAssociateRQ, PDUReader
from tests.bytes_of import item
from tests.net.memory import associate_rq
from tests.requirements import requirement

BLANK = b"                "


def decode(data: bytes) -> AAssociateRQ:
    """Return the A-ASSOCIATE-RQ that a peer has sent."""
    reader = PDUReader()
    reader.feed(data)
    rq = reader.next_pdu()
    assert isinstance(rq, AAssociateRQ)
    return rq


def applicant(
    rq: bytes = b"", *, host: str | None = "10.1.2.3", here: int = 0, from_host: int = 0
) -> Applicant:
    """Return somebody who asks PACS_ECHO for an association."""
    return Applicant(
        decode(rq or associate_rq()), "PACS_ECHO", parse_address(host), here, from_host
    )


class TitleTests(SynchronousTestCase):
    """What is an AE title."""

    @requirement("C3")
    def test_good(self) -> None:
        """1 to 16 characters of the default repertoire; blanks around them do not count."""
        for title in (
            "A",
            "PACS_ECHO",
            "a b",
            "@HOME",
            "1234567890123456",
            "x!\"#$%&'()*+,-./:"[:16],
        ):
            self.assertEqual(check_ae_title(title), title)
        self.assertEqual(check_ae_title("  CT1 "), "CT1")
        self.assertEqual(check_ae_title(" " * 9 + "1234567890123456 "), "1234567890123456")

    @requirement("C3")
    def test_bad(self) -> None:
        """Nothing, blanks alone, too much, backslash, control characters, other alphabets."""
        for title in ("", "   ", "12345678901234567", "A\\B", "A\nB", "A\x7f", "\x00", "Ä", "A\tB"):
            self.assertFalse(is_ae_title(title), title)
            self.assertRaises(ValueError, check_ae_title, title)


class AddressTests(SynchronousTestCase):
    """Where a peer connects from."""

    def test_mapped(self) -> None:
        """An IPv4 address that IPv6 carries is the IPv4 address."""
        self.assertEqual(parse_address("::ffff:10.1.2.3"), ip_address("10.1.2.3"))
        self.assertEqual(parse_address("::FFFF:0a01:0203"), ip_address("10.1.2.3"))

    def test_plain(self) -> None:
        """IPv4, IPv6, and IPv6 with the interface that it came in by."""
        self.assertEqual(parse_address("10.1.2.3"), ip_address("10.1.2.3"))
        self.assertEqual(parse_address("2001:db8::1"), ip_address("2001:db8::1"))
        self.assertEqual(parse_address("fe80::1%eth0"), ip_address("fe80::1"))

    def test_none(self) -> None:
        """A UNIX socket has no address, and what is none is none."""
        self.assertIsNone(parse_address(None))
        self.assertIsNone(parse_address("/run/pacs"))


class PermittedPeerTests(SynchronousTestCase):
    """Titles, networks, or both."""

    def test_parse(self) -> None:
        """What the option takes."""
        for text, title, network in (
            ("CT1", "CT1", None),
            (" CT1 ", "CT1", None),
            ("CT1@10.0.0.0/8", "CT1", "10.0.0.0/8"),
            ("*@10.1.0.0/16", None, "10.1.0.0/16"),
            ("*", None, None),
            ("CT1@10.1.2.3", "CT1", "10.1.2.3/32"),
            ("CT1@2001:db8::/32", "CT1", "2001:db8::/32"),
            ("A@B@10.0.0.1", "A@B", "10.0.0.1/32"),
        ):
            peer = PermittedPeer.parse(text)
            self.assertEqual(peer.ae_title, title, text)
            self.assertEqual(peer.network, None if network is None else ip_network(network), text)
            self.assertEqual(PermittedPeer.parse(str(peer)), peer)

    def test_nonsense(self) -> None:
        """What it does not take, and says so."""
        for text in ("", "@", "CT1@", "@10.0.0.0/8", "CT1@nowhere", "CT1@10.0.0.1/8", "A\\B", "Ä"):
            self.assertRaises(ValueError, PermittedPeer.parse, text)

    def test_permits(self) -> None:
        """Both must fit where both are named; titles are compared in case."""
        both = PermittedPeer.parse("CT1@10.0.0.0/8")
        self.assertTrue(both.permits("CT1", ip_address("10.9.9.9")))
        self.assertFalse(both.permits("ct1", ip_address("10.9.9.9")))
        self.assertFalse(both.permits("CT1", ip_address("11.9.9.9")))
        self.assertFalse(both.permits("CT1", ip_address("2001:db8::1")))
        self.assertFalse(both.permits("CT1", None))
        self.assertTrue(PermittedPeer.parse("CT1").permits("CT1", None))
        self.assertTrue(PermittedPeer.parse("*").permits("anybody", None))

    def test_mapped(self) -> None:
        """A peer that reaches us by IPv6 with its IPv4 address is in its IPv4 network."""
        peer = PermittedPeer.parse("*@10.0.0.0/8")
        self.assertTrue(peer.permits("CT1", parse_address("::ffff:10.9.9.9")))

    def test_mapped_network(self) -> None:
        """So is one whose network was written in the IPv6 form."""
        for text in ("*@::ffff:10.9.9.9", "*@::ffff:10.0.0.0/104"):
            peer = PermittedPeer.parse(text)
            self.assertTrue(peer.permits("CT1", parse_address("::ffff:10.9.9.9")), text)
            self.assertTrue(peer.permits("CT1", parse_address("10.9.9.9")), text)
            self.assertFalse(peer.permits("CT1", parse_address("11.9.9.9")), text)

    @given(st.binary(max_size=20))
    def test_anything(self, data: bytes) -> None:
        """Any text is a peer or a ValueError."""
        with contextlib.suppress(ValueError):
            PermittedPeer.parse(data.decode("latin-1"))


class LimitsTests(SynchronousTestCase):
    """How many at a time."""

    def test_connections(self) -> None:
        """By default four times the associations, but never less than 1,024."""
        self.assertEqual(Limits().maximum_connections, 1024)
        self.assertEqual(Limits(associations=1000).maximum_connections, 4000)
        self.assertEqual(Limits(associations=1000, connections=7).maximum_connections, 7)


class PolicyTests(SynchronousTestCase):
    """Which rule decides, and what the peer hears."""

    def assert_rejected(
        self, code: tuple[int, int, int] | None, asking: Applicant, **rules: Any
    ) -> None:
        """Assert what the policy of these rules answers."""
        expected = None if code is None else AAssociateRJ(*code)
        self.assertEqual(AdmissionPolicy(**rules).judge(asking), expected)

    def test_everybody(self) -> None:
        """Without rules everybody may come, whatever it calls us."""
        self.assert_rejected(None, applicant())
        self.assert_rejected(None, applicant(host=None))

    @requirement("F3")
    def test_application_context(self) -> None:
        """A foreign application context: 1/1/2."""
        rq = associate_rq(application_context=item(0x10, b"1.2.3"))
        self.assert_rejected((1, 1, 2), applicant(rq))

    @requirement("F2")
    def test_called(self) -> None:
        """A called title that is not ours: 1/1/7, when it must be ours."""
        self.assert_rejected(None, applicant(), require_called_ae=False)
        self.assert_rejected((1, 1, 7), applicant(), require_called_ae=True)
        ours = associate_rq(called=b"PACS_ECHO")
        self.assert_rejected(None, applicant(ours), require_called_ae=True)

    @requirement("C2", "C4")
    def test_called_exact(self) -> None:
        """Blanks and NULs around it do not count, the case does."""
        for called, code in (
            (b"  PACS_ECHO", None),
            (b"PACS_ECHO\0\0\0\0\0\0\0", None),
            (b"PACS_ECHO \0\0\0\0\0\0", None),
            (b"pacs_echo", (1, 1, 7)),
            (b"PACS_ECHO2", (1, 1, 7)),
            (b"PACS_ECH", (1, 1, 7)),
            (b"PACS ECHO", (1, 1, 7)),
        ):
            asking = applicant(associate_rq(called=called))
            self.assert_rejected(code, asking, require_called_ae=True)

    @requirement("C2", "F2")
    def test_calling_exact(self) -> None:
        """The same for the calling title: 1/1/3."""
        permitted = (PermittedPeer.parse("CT1"), PermittedPeer.parse("MR1"))
        for calling, code in (
            (b"CT1", None),
            (b" CT1", None),
            (b"MR1\0\0\0\0\0\0\0\0\0\0\0\0\0", None),
            (b"ct1", (1, 1, 3)),
            (b"CT", (1, 1, 3)),
            (b"CT1X", (1, 1, 3)),
        ):
            asking = applicant(associate_rq(calling))
            self.assert_rejected(code, asking, permitted=permitted)

    @requirement("F2")
    def test_network(self) -> None:
        """A permitted title from elsewhere: 1/1/3."""
        permitted = (PermittedPeer.parse("ECHOSCU@10.0.0.0/8"),)
        self.assert_rejected(None, applicant(), permitted=permitted)
        self.assert_rejected(None, applicant(host="::ffff:10.1.2.3"), permitted=permitted)
        self.assert_rejected((1, 1, 3), applicant(host="11.1.2.3"), permitted=permitted)
        self.assert_rejected((1, 1, 3), applicant(host="2001:db8::1"), permitted=permitted)
        self.assert_rejected((1, 1, 3), applicant(host=None), permitted=permitted)

    @requirement("C3", "C4")
    def test_no_title(self) -> None:
        """A title that is none: 1/1/7 or 1/1/3, also when everybody may come."""
        for bad in (BLANK, bytes(16), b"A\\B", b"\xff\xfe", b"A\nB", b"A\x1bB"):
            self.assert_rejected((1, 1, 7), applicant(associate_rq(called=bad)))
            self.assert_rejected((1, 1, 3), applicant(associate_rq(bad)))

    @requirement("F4")
    def test_full(self) -> None:
        """Above the limit in total, or of the host: 2/3/2."""
        limits = Limits(associations=3, per_host=2)
        self.assert_rejected(None, applicant(here=2, from_host=1), limits=limits)
        self.assert_rejected((2, 3, 2), applicant(here=3), limits=limits)
        self.assert_rejected((2, 3, 2), applicant(here=4), limits=limits)
        self.assert_rejected((2, 3, 2), applicant(here=2, from_host=2), limits=limits)

    def test_no_limit(self) -> None:
        """0 is no limit; a UNIX socket's peers have no host that could have one."""
        self.assert_rejected(
            None, applicant(here=9999, from_host=9999), limits=Limits(associations=0)
        )
        asking = applicant(host=None, from_host=9)
        self.assert_rejected(None, asking, limits=Limits(per_host=1))

    @requirement("F5")
    def test_order(self) -> None:
        """The first rule that is not met decides: all are broken, and put right one by one."""
        rq = {
            "application_context": item(0x10, b"1.2.3"),
            "called": b"OTHER",
            "calling": b"STRANGER",
        }
        rules = {
            "permitted": (PermittedPeer.parse("ECHOSCU"),),
            "require_called_ae": True,
            "limits": Limits(associations=1),
        }
        asking: Any = applicant(associate_rq(**rq), here=1)  # type: ignore[arg-type]
        for code, right in (
            ((1, 1, 2), "application_context"),
            ((1, 1, 7), "called"),
            ((1, 1, 3), "calling"),
        ):
            self.assert_rejected(code, asking, **rules)
            if right == "called":
                rq["called"] = b"PACS_ECHO"
            else:
                del rq[right]
            asking = applicant(associate_rq(**rq), here=1)  # type: ignore[arg-type]
        self.assert_rejected((2, 3, 2), asking, **rules)
        asking = attrs.evolve(asking, associations=0)
        self.assert_rejected(None, asking, **rules)
