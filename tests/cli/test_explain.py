"""`pacs-twisted explain`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from pacs_twisted.cli.explain import MAXIMUM_CONTEXTS, proposals
from pacs_twisted.cli.options import ExplainOptions
from pacs_twisted.errors import AssociationAborted, AssociationLost, AssociationRejected
from pacs_twisted.pdu import ContextResult, ProposedContext, UserInformation
from tests.cli.driving import CommandCase, Driver, FakePeer

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
JPEG = "1.2.840.10008.1.2.4.50"


def judge(context: ProposedContext) -> ContextResult | None:
    """Accept CT uncompressed, know nothing of MR, and forget JPEG."""
    (syntax,) = context.transfer_syntaxes
    if context.abstract_syntax == MR:
        return ContextResult(context.context_id, 3, IMPLICIT)
    if syntax == JPEG:
        return None if context.abstract_syntax == VERIFICATION else refuse(context)
    return ContextResult(context.context_id, 0, syntax)


def refuse(context: ProposedContext) -> ContextResult:
    return ContextResult(context.context_id, 4, "")


class ProposalTests(CommandCase):
    """Which contexts are proposed."""

    def test_one_each(self) -> None:
        """Each pair of class and transfer syntax has a context of its own, odd and unique."""
        (contexts,) = proposals(ExplainOptions(transfer_syntax=(IMPLICIT, JPEG)), [CT, MR])
        self.assertEqual(
            contexts,
            [
                ProposedContext(1, CT, (IMPLICIT,)),
                ProposedContext(3, CT, (JPEG,)),
                ProposedContext(5, MR, (IMPLICIT,)),
                ProposedContext(7, MR, (JPEG,)),
            ],
        )

    def test_together(self) -> None:
        """Or each class has one."""
        options = ExplainOptions(transfer_syntax=(IMPLICIT, JPEG), together=True)
        (contexts,) = proposals(options, [CT])
        self.assertEqual(contexts, [ProposedContext(1, CT, (IMPLICIT, JPEG))])

    def test_spread(self) -> None:
        """No association has more than 128, and no class is torn apart that need not be."""
        classes = [f"1.2.{number}" for number in range(50)]
        syntaxes = tuple(f"1.3.{number}" for number in range(10))
        batches = list(proposals(ExplainOptions(transfer_syntax=syntaxes), classes))
        self.assertEqual([len(batch) for batch in batches], [120, 120, 120, 120, 20])
        found = [(one.abstract_syntax, *one.transfer_syntaxes) for two in batches for one in two]
        self.assertEqual(found, [(uid, syntax) for uid in classes for syntax in syntaxes])

    def test_too_many_of_one_class(self) -> None:
        """A class with more than 128 is."""
        syntaxes = tuple(f"1.3.{number}" for number in range(300))
        batches = list(proposals(ExplainOptions(transfer_syntax=syntaxes), [CT, MR]))
        self.assertEqual(sum(map(len, batches)), 600)
        self.assertLessEqual(max(map(len, batches)), MAXIMUM_CONTEXTS)


class ExplainTests(CommandCase):
    """What is told."""

    def peer(self, **arguments: Any) -> FakePeer:
        return FakePeer(proposed=arguments["contexts"], results=judge)

    def peer_of_all(self, **arguments: Any) -> FakePeer:
        return FakePeer(proposed=arguments["contexts"])

    def explain(self, *arguments: str, outcome: Any = None, **more: Any) -> Any:
        return self.run_command(
            "explain", "archive", "--transfer-syntax", IMPLICIT,
            "--transfer-syntax", "JPEGBaseline8Bit", *arguments,
            associate=self.associate(outcome or self.peer), **more,
        )  # fmt: skip

    def test_words(self) -> None:
        """What is accepted, what not and why, and what the peer says of itself."""
        done = self.explain(
            "--sop-class=CTImageStorage", f"--sop-class={MR}", "--sop-class=Verification"
        )
        self.assertEqual(done.stdout, EXPECTED)
        self.assertEqual((done.status, done.stderr), (0, ""))
        self.assertEqual(self.peers[0].calls, ["release"])
        self.assertEqual(self.requests[0]["maximum_operations"], 16)

    def test_all_storage_classes(self) -> None:
        """Without a SOP class: Verification and all that are not retired, or those as well."""
        counts = []
        for arguments in ((), ("--retired",)):
            self.requests.clear()
            self.explain(*arguments)
            contexts = [one for request in self.requests for one in request["contexts"]]
            self.assertEqual(contexts[0].abstract_syntax, VERIFICATION)
            self.assertIn(CT, {context.abstract_syntax for context in contexts})
            counts.append(len(contexts))
        self.assertGreater(counts[1], counts[0])
        self.assertGreater(counts[0], 200)

    def test_nothing_accepted(self) -> None:
        """An association that is good for nothing is a failure."""
        done = self.explain(f"--sop-class={MR}")
        self.assertIn("refused: abstract syntax not supported\n    MR Image Storage\n", done.stdout)
        self.assertIn("0 of 2 presentation contexts accepted", done.stdout)
        self.assertEqual(done.status, 1)

    def test_no_association(self) -> None:
        """Why not, in words, and the exit status for it."""
        for error, status in (
            (AssociationRejected(1, 1, 3), 3),
            (AssociationAborted(0, 0), 5),
        ):
            done = self.explain(outcome=error)
            self.assertIn(str(error), done.stderr)
            self.assertEqual((done.status, done.stdout), (status, ""))

    def test_breaks_off(self) -> None:
        """What was told before an association failed is told, and the failure."""
        associate = self.associate(self.peer_of_all, AssociationRejected(2, 3, 2))
        done = self.run_command("explain", "archive", associate=associate)
        self.assertIn("accepted in Implicit VR Little Endian", done.stdout)
        self.assertIn("local limit exceeded", done.stderr)
        self.assertEqual(done.status, 3)

    def test_release(self) -> None:
        """A failure at the release is told; what the peer would accept is known all the same."""

        def peer(**arguments: Any) -> FakePeer:
            return FakePeer(
                proposed=arguments["contexts"], release=AssociationLost("connection lost")
            )

        done = self.explain(f"--sop-class={CT}", outcome=peer)
        self.assertIn("2 of 2 presentation contexts accepted", done.stdout)
        self.assertIn("connection lost", done.stderr)
        self.assertEqual(done.status, 0)

    def test_interrupted(self) -> None:
        """Ctrl-C: the summary of what is known."""
        done = self.run_command(
            "explain", "archive", associate=lambda *_, **__: Deferred(), driver=Driver(1.0)
        )
        self.assertEqual((done.status, done.stderr), (130, ""))

    def test_peer_words(self) -> None:
        """Nothing that the peer says of itself moves the cursor; what it leaves out is said."""

        def peer(**arguments: Any) -> FakePeer:
            information = UserInformation(0, "1.2", "\x1b[2J")
            return FakePeer(proposed=arguments["contexts"], information=information)

        done = self.explain(f"--sop-class={CT}", outcome=peer)
        self.assertIn("\\x1b[2J (1.2)", done.stdout)
        self.assertIn("longest P-DATA-TF  without limit", done.stdout)
        self.assertIn("one request: it does not negotiate that (16 asked)", done.stdout)

    def test_json(self) -> None:
        """Each association, each context, a summary."""
        done = self.explain(f"--sop-class={CT}", f"--sop-class={VERIFICATION}", "--json")
        self.assert_declared("explain", done, "association", "context", "summary")
        (association,) = done.of("association")
        self.assertEqual(association["implementation_version_name"], "FAKE_1")
        self.assertEqual(association["window"], 4)
        results = [(found["result"], found["transfer_syntax"]) for found in done.of("context")]
        self.assertEqual(results, [(0, IMPLICIT), (4, None), (0, IMPLICIT), (None, None)])
        self.assertEqual(done.of("context")[0]["abstract_syntax_name"], "CT Image Storage")
        self.assertEqual(done.of("summary")[0]["accepted"], 2)

    def test_json_failed(self) -> None:
        """A failure has the same fields as everywhere."""
        done = self.explain("--json", outcome=AssociationRejected(1, 1, 7))
        self.assert_declared("explain", done, "failed", "summary")


EXPECTED = """\
ANY-SCP at archive:11112 accepts an association of PACS_TWISTED
  time               connected in 0.50 ms, accepted 0.50 ms later
  implementation     FAKE_1 (1.2.3)
  longest P-DATA-TF  16384 bytes
  at the same time   4 requests (16 asked)

accepted in Implicit VR Little Endian
  not in JPEG Baseline (Process 1): transfer syntaxes not supported
    CT Image Storage

accepted in Implicit VR Little Endian
  not in JPEG Baseline (Process 1): no answer for it
    Verification SOP Class

refused: abstract syntax not supported
    MR Image Storage

2 of 6 presentation contexts accepted, in 1 association
"""
