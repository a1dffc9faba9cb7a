"""Which presentation contexts are proposed for what is to be sent."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.net.client import propose as number_contexts
from pacs_twisted.storage.proposals import Need, Offer, propose
from tests.requirements import requirement
from tests.storage.sending import (
    BIG,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    JPEG_LOSSLESS,
    MR,
    RLE,
)


def offers_for(*syntaxes: str, decompress: bool = False) -> list[Offer]:
    """Return what is proposed for CT images in these transfer syntaxes."""
    (offers,) = propose([Need(CT, syntax) for syntax in syntaxes], decompress=decompress)
    return list(offers)


class ProposalTests(SynchronousTestCase):
    def test_own_context(self) -> None:
        """Each transfer syntax has a context of its own, so that the peer can take them all."""
        self.assertEqual(
            offers_for(EXPLICIT, RLE),
            [(CT, (EXPLICIT,)), (CT, (RLE,)), (CT, (IMPLICIT,))],
        )

    @requirement("D7")
    def test_default(self) -> None:
        """Implicit VR little endian is offered for every class, once."""
        self.assertEqual(offers_for(IMPLICIT), [(CT, (IMPLICIT,))])
        self.assertEqual(offers_for(IMPLICIT, EXPLICIT), [(CT, (IMPLICIT,)), (CT, (EXPLICIT,))])
        for syntax in (EXPLICIT, BIG, DEFLATED, RLE, JPEG_LOSSLESS, "1.2.3.4"):
            offered = [proposed for _, syntaxes in offers_for(syntax) for proposed in syntaxes]
            self.assertEqual(offered.count(IMPLICIT), 1, syntax)

    def test_explicit_first(self) -> None:
        """What cannot be sent as it is goes better in explicit VR, so that stands in front."""
        self.assertEqual(offers_for(RLE), [(CT, (RLE,)), (CT, (EXPLICIT, IMPLICIT))])

    @requirement("D9")
    def test_lossy(self) -> None:
        """What has lost something is not offered uncompressed, unless it shall be decompressed."""
        video = "1.2.840.10008.1.2.4.103.1"
        for syntax in (JPEG, "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91", video):
            self.assertEqual(offers_for(syntax), [(CT, (syntax,))])
            self.assertIn((CT, (EXPLICIT, IMPLICIT)), offers_for(syntax, decompress=True))

    @requirement("D7", "D9")
    def test_lossy_and_other(self) -> None:
        """One object that can be sent uncompressed is enough to offer that."""
        self.assertIn((CT, (EXPLICIT, IMPLICIT)), offers_for(JPEG, RLE))
        (both,) = propose([Need(CT, JPEG), Need(MR, RLE)])
        self.assertEqual(both, ((CT, (JPEG,)), (MR, (RLE,)), (MR, (EXPLICIT, IMPLICIT))))

    @requirement("D9")
    def test_too_large(self) -> None:
        """What is too long even compressed cannot be encoded uncompressed."""
        self.assertEqual(propose([Need.of(CT, RLE, 1 << 32)]), [((CT, (RLE,)),)])
        self.assertEqual(len(propose([Need.of(CT, RLE, (1 << 32) - 2)])[0]), 2)
        self.assertEqual(len(propose([Need.of(CT, EXPLICIT, 1 << 32)])[0]), 2)

    def test_many(self) -> None:
        """More than 128 contexts are spread over associations, a class in one of them."""
        classes = [f"1.2.{number}" for number in range(100)]
        proposals = propose([Need(uid, syntax) for uid in classes for syntax in (EXPLICIT, RLE)])
        self.assertEqual([len(offers) for offers in proposals], [126, 126, 48])
        self.assertEqual([uid for offers in proposals for uid, _ in offers[::3]], classes)
        for offers in proposals:
            number_contexts(offers)

    def test_too_many_of_a_class(self) -> None:
        """A class with more than 128 transfer syntaxes needs several associations itself."""
        proposals = propose([Need(CT, f"1.2.{number}") for number in range(200)])
        self.assertEqual([len(offers) for offers in proposals], [128, 73])
        self.assertEqual(proposals[0][-1], (CT, (EXPLICIT, IMPLICIT)))

    def test_nothing(self) -> None:
        """Nothing needs no association."""
        self.assertEqual(propose([]), [])
