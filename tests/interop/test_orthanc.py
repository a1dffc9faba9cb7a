"""Orthanc as our peer, in both roles."""

from __future__ import annotations

from typing import Final

import pydicom
from pydicom.uid import ColorPaletteStorage, HTJ2KLossless

from tests.interop.objects import Object, batches, received
from tests.interop.receivers import Orthanc, storescp
from tests.interop.storing import StoreCase

NOT_ACCEPTED: Final = frozenset({HTJ2KLossless, ColorPaletteStorage})
"""What Orthanc 1.10 accepts no presentation context for."""


def is_kept(each: Object) -> bool:
    """Return whether Orthanc keeps an object: it files them by study and series."""
    data_set = pydicom.dcmread(each.path, specific_tags=["StudyInstanceUID", "SeriesInstanceUID"])
    return bool(data_set.get("StudyInstanceUID") and data_set.get("SeriesInstanceUID"))


class OrthancTests(StoreCase):
    """An Orthanc of the test's own."""

    def test_echo(self) -> None:
        """It answers our echo."""
        with Orthanc(self.directory()) as orthanc:
            told = self.command(
                *("echo", f"127.0.0.1:{orthanc.port}", "--called", orthanc.title),
                beside=[orthanc.process],
            )
        self.assertEqual(told.status, 0, told.text)

    def test_receive(self) -> None:
        """What we send to it is what it hands out, encoded anew."""
        for batch in batches():
            with Orthanc(self.directory()) as orthanc:
                told = self.store(orthanc, batch, "--called", orthanc.title)
                arrived = orthanc.objects()
            taken = self.assert_taken(
                batch, told, arrived, NOT_ACCEPTED, lambda each: "0000" if is_kept(each) else "A700"
            )
            for sent, stored in taken:
                self.assert_same_values(sent, stored)

    def test_send(self) -> None:
        """What it sends is stored as it comes; a storescp is sent the same for comparison."""
        for batch in batches():
            directory = self.directory()
            server = self.store_server(directory)
            reference = self.started(storescp(self.directory(), "+B", "+xa", "-pm"))
            orthanc = self.started(
                Orthanc(
                    self.directory(),
                    ours=("PACS_STORE", server.port),
                    reference=("STORESCP", reference.port),
                )
            )
            kept = [each for each in batch if is_kept(each)]
            identifiers = [orthanc.ask("/instances", each.path.read_bytes())["ID"] for each in kept]
            for name in ("ours", "reference"):
                # Over one association, and then over one for each: so it sends what comes in.
                told = orthanc.ask(f"/modalities/{name}/store", identifiers)
                self.assertEqual(told["FailedInstancesCount"], 0)
                for identifier in identifiers:
                    orthanc.ask(f"/modalities/{name}/store", identifier)
            stored = received(directory)
            self.assert_as_reference(stored, reference.objects())
            for each in kept:
                self.assert_same_values(each, stored[each.own_instance])
            self.assertEqual(len(stored), len(kept))
