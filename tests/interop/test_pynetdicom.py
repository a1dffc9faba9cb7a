"""pynetdicom as our peer: its echoscu, and proposals that echoscu cannot make."""

from __future__ import annotations

import json
import sys
from typing import Any, ClassVar

from tests.interop.server import ROOT, EchoServer, InteropCase, require_module
from tests.processes import Process

VERIFICATION = "1.2.840.10008.1.1"
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
PRIVATE = "1.3.6.1.4.1.99999.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_2000 = "1.2.840.10008.1.2.4.90"

ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


class PynetdicomCase(InteropCase):
    """A test with pynetdicom."""

    def setUp(self) -> None:
        require_module("pynetdicom", "interop")

    def assert_done(self, peer: Process) -> None:
        """Check that the peer ended well."""
        self.assertEqual(peer.status, 0, str(peer))


class EchoscuTests(PynetdicomCase):
    """The application that comes with pynetdicom."""

    def echoscu(self, server: EchoServer, *options: str, host: str = "127.0.0.1") -> Process:
        """Run it to its end."""
        application = [sys.executable, "-m", "pynetdicom", "echoscu", "-v", *options]
        return server.run(*application, host, str(server.port))

    def assert_echoed(self, peer: Process, echoes: int = 1) -> None:
        """Check that so many echoes were answered."""
        self.assert_done(peer)
        answered = peer.output.count("Received Echo Response (Status: 0x0000 - Success)")
        self.assertEqual(answered, echoes, str(peer))

    def test_echo(self) -> None:
        """One association, one echo, one release."""
        peer = self.echoscu(self.serve())
        self.assert_echoed(peer)
        self.assertIn("Releasing Association", peer.output)

    def test_repeat(self) -> None:
        """Every request of an association is answered."""
        self.assert_echoed(self.echoscu(self.serve(), "--repeat", "20"), 20)

    def test_abort(self) -> None:
        """An association that pynetdicom aborts does not disturb the next one."""
        server = self.serve()
        self.assert_done(self.echoscu(server, "--abort"))
        self.assert_echoed(self.echoscu(server))

    def test_unlimited(self) -> None:
        """A maximum length of zero means that any length will do."""
        self.assert_echoed(self.echoscu(self.serve(), "-pdu", "0"))

    def test_each_transfer_syntax(self) -> None:
        """Verification is accepted in each of the uncompressed transfer syntaxes alone."""
        server = self.serve()
        for option in ("-xi", "-xe", "-xb"):
            self.assert_echoed(self.echoscu(server, option))

    def test_ipv6(self) -> None:
        """IPv6 is served like IPv4, a permitted network included."""
        server = self.serve("--allow", "*@::1", listen=r"tcp:0:interface=\:\:1")
        self.assert_echoed(self.echoscu(server, host="::1"))


class ProposalTests(PynetdicomCase):
    """What the server answers to the proposals of an association."""

    usual: ClassVar[list[Any]] = [[VERIFICATION, [IMPLICIT, EXPLICIT]]]

    def propose(
        self, *, server: EchoServer | None = None, contexts: list[Any] = usual, **others: Any
    ) -> dict[str, Any]:
        """Return what pynetdicom has to tell of an association that it asked for."""
        server = server or self.serve()
        proposal = json.dumps({"contexts": contexts, **others})
        with Process(
            [
                *(sys.executable, "-m", "tests.interop.pynetdicom_peer"),
                *("127.0.0.1", str(server.port), proposal),
            ],
            directory=ROOT,
        ) as peer:
            peer.wait(server.process)
        self.assert_done(peer)
        told: dict[str, Any] = json.loads(peer.output.splitlines()[-1])
        return told

    def assert_served(self, told: dict[str, Any], echoes: int = 1) -> None:
        """Check that the association was accepted, its echoes answered and that it was released."""
        self.assertEqual(told.get("statuses"), [0] * echoes, str(told))
        self.assertTrue(told["released"], str(told))

    def test_says_who_it_is(self) -> None:
        """Maximum length and implementation are in every answer, nothing else unasked."""
        told = self.propose()
        self.assert_served(told)
        self.assertEqual(told["maximum_length"], 131072)
        self.assertTrue(told["implementation_class_uid"].startswith("2.25."))
        self.assertEqual(
            told["items"],
            [
                "ImplementationClassUIDNotification",
                "ImplementationVersionNameNotification",
                "MaximumLengthNotification",
            ],
        )

    def test_several_contexts(self) -> None:
        """Each context has its own result, and one accepted one is enough."""
        told = self.propose(
            contexts=[
                [CT_IMAGE_STORAGE, [IMPLICIT]],
                [VERIFICATION, [JPEG_BASELINE]],
                [VERIFICATION, [JPEG_2000, EXPLICIT]],
                [PATIENT_ROOT_FIND, [EXPLICIT]],
                [VERIFICATION, [IMPLICIT]],
            ],
            echoes=3,
        )
        self.assert_served(told, 3)
        self.assertEqual(
            told["accepted"], {"5": [VERIFICATION, EXPLICIT], "9": [VERIFICATION, IMPLICIT]}
        )
        self.assertEqual(
            told["refused"],
            {
                "1": ABSTRACT_SYNTAX_NOT_SUPPORTED,
                "3": TRANSFER_SYNTAXES_NOT_SUPPORTED,
                "7": ABSTRACT_SYNTAX_NOT_SUPPORTED,
            },
        )

    def test_nothing_of_use(self) -> None:
        """Unknown SOP classes are refused by result; the peer ends the association itself."""
        told = self.propose(contexts=[[PRIVATE, [IMPLICIT]], [CT_IMAGE_STORAGE, [EXPLICIT]]])
        self.assertFalse(told["rejected"])
        self.assertEqual(
            told["refused"],
            {"1": ABSTRACT_SYNTAX_NOT_SUPPORTED, "3": ABSTRACT_SYNTAX_NOT_SUPPORTED},
        )

    def test_nothing_of_use_rejected(self) -> None:
        """By choice, an association without any accepted context is rejected."""
        told = self.propose(server=self.serve("--reject-empty"), contexts=[[PRIVATE, [IMPLICIT]]])
        self.assertEqual(told.get("reject"), [1, 1, 1])

    def test_128_contexts(self) -> None:
        """As many contexts as an association can have, each answered."""
        told = self.propose(
            contexts=[[f"{PRIVATE}.{n}", [IMPLICIT]] for n in range(127)]
            + [[VERIFICATION, [IMPLICIT]]]
        )
        self.assert_served(told)
        self.assertEqual(told["accepted"], {"255": [VERIFICATION, IMPLICIT]})
        self.assertEqual(len(told["refused"]), 127)

    def test_window(self) -> None:
        """An asynchronous window is answered with no more than was offered."""
        for offered in ([0, 0], [5, 7], [1, 1]):
            told = self.propose(window=offered)
            self.assert_served(told)
            self.assertEqual(told["window"], [1, 1])
            self.assertIn("AsynchronousOperationsWindowNegotiation", told["items"])

    def test_roles(self) -> None:
        """Roles may be offered: we stay the SCP, and never grant more than was proposed."""
        for offered in ([True, True], [True, False]):
            self.assert_served(self.propose(roles={VERIFICATION: offered}))

    def test_extended_negotiation(self) -> None:
        """Verification has none: neither form is answered, nor does it matter."""
        told = self.propose(
            extended={VERIFICATION: "01020304", CT_IMAGE_STORAGE: "02"},
            common_extended={CT_IMAGE_STORAGE: "1.2.840.10008.4.2"},
        )
        self.assert_served(told)
        self.assertNotIn("SOPClassExtendedNegotiation", told["items"])
        self.assertNotIn("SOPClassCommonExtendedNegotiation", told["items"])

    def test_identity(self) -> None:
        """An identity is passed over where none is asked for; its secret is written nowhere."""
        for identity in (
            {"type": 1, "answer": True, "primary": "somebody"},
            {"type": 2, "answer": True, "primary": "somebody", "secondary": "open sesame"},
            {"type": 3, "answer": False, "primary": "open sesame"},
            {"type": 4, "answer": True, "primary": "open sesame"},
            {"type": 5, "answer": True, "primary": "open sesame"},
        ):
            server = self.serve("--log-level", "debug")
            told = self.propose(server=server, identity=identity)
            self.assert_served(told)
            self.assertNotIn("UserIdentityNegotiation", told["items"])
            server.process.read()
            self.assertNotIn("open sesame", server.process.output)

    def test_tiny_maximum_length(self) -> None:
        """A peer that takes 64 or 8 bytes a PDU gets its answer in that many pieces."""
        for maximum in (64, 14, 8):
            self.assert_served(self.propose(maximum_length=maximum, echoes=2), 2)

    def test_no_room_for_a_fragment(self) -> None:
        """A maximum length that leaves no room for a fragment is refused at the door."""
        self.assertEqual(self.propose(maximum_length=7).get("reject"), [1, 1, 1])

    def test_all_at_once(self) -> None:
        """All that can be negotiated, in one association."""
        told = self.propose(
            contexts=[[PRIVATE, [EXPLICIT]], *self.usual],
            window=[0, 0],
            roles={VERIFICATION: [True, True], PRIVATE: [True, True]},
            extended={PRIVATE: "00"},
            common_extended={PRIVATE: "1.2.840.10008.4.2"},
            identity={"type": 2, "answer": True, "primary": "a", "secondary": "b"},
            maximum_length=0,
            echoes=5,
        )
        self.assert_served(told, 5)

    def test_titles(self) -> None:
        """A rejected pynetdicom understands why."""
        server = self.serve("--require-called-ae", "--allow", "CT1")
        self.assertEqual(
            self.propose(server=server, called="OTHER", calling="CT1").get("reject"), [1, 1, 7]
        )
        self.assertEqual(self.propose(server=server, calling="MR1").get("reject"), [1, 1, 3])
        self.assert_served(self.propose(server=server, calling="CT1"))
