"""The service that receives objects and forgets them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.dimse import CStoreRQ, Status
from pacs_twisted.services import ApplicationEntity, RequestContext, Requestor
from pacs_twisted.storage.discard import Discard
from pacs_twisted.upper_layer.negotiation import PresentationContext

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


class DiscardTests(SynchronousTestCase):
    def test_success(self) -> None:
        """Every object is taken, and answered with success."""
        context = RequestContext(
            Requestor(1, None, "STORESCU", "PACS_STORE"),
            PresentationContext(1, CT_IMAGE_STORAGE, EXPLICIT_VR_LITTLE_ENDIAN),
        )
        sink = Discard().c_store(CStoreRQ(1, CT_IMAGE_STORAGE, "1.2.3"), context)
        sink.write([b"ab", memoryview(b"cd")])
        self.assertEqual(sink.complete(), Status.SUCCESS)
        sink.abandon()

    def test_what_is_served(self) -> None:
        """The standard's storage classes and private ones, in the order of preference asked for."""
        discard = Discard(private_sop_classes=["1.2.3"], transfer_syntaxes=["1.2.4", "1.2.5"])
        supported = ApplicationEntity("LOAD", [discard]).supported
        for sop_class in (CT_IMAGE_STORAGE, "1.2.3"):
            self.assertEqual(supported[sop_class], ("1.2.4", "1.2.5"))
