"""pynetdicom as our peer in storage, in both roles."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from pydicom.uid import ColorPaletteStorage

from tests.interop.objects import batches, received
from tests.interop.receivers import Receiver, pynetdicom
from tests.interop.server import ROOT, Server, require_module
from tests.interop.storing import StoreCase
from tests.processes import Process

NOT_TAKEN: Final = frozenset({ColorPaletteStorage})
"""What is none of the storage SOP classes of pynetdicom 3.0."""


class ReceiveTests(StoreCase):
    """What we send to pynetdicom."""

    def test_store(self) -> None:
        """Every data set arrives byte for byte, in every transfer syntax that pydicom knows."""
        for options in ([], ["--associations", "3"]):
            for batch in batches():
                with pynetdicom(self.directory()) as receiver:
                    told = self.store(receiver, batch, *options)
                for sent, stored in self.assert_taken(batch, told, receiver.objects(), NOT_TAKEN):
                    self.assert_same_bytes(sent, stored)


class SendTests(StoreCase):
    """What pynetdicom sends to us."""

    def setUp(self) -> None:
        super().setUp()
        require_module("pynetdicom", "interop")

    def send(self, receiver: Receiver | Server, how: str, *paths: str) -> dict[str, Any]:
        """Let it send files, and return what it has to say of each."""
        module = [sys.executable, "-m", "tests.interop.pynetdicom_storage"]
        with Process([*module, "send", str(receiver.port), how, *paths], directory=ROOT) as peer:
            peer.wait(receiver.process)
        self.assertEqual(peer.status, 0, str(peer))
        told: dict[str, Any] = json.loads(peer.output.splitlines()[-1])
        return told

    def test_raw(self) -> None:
        """Files that are sent unparsed are stored byte for byte, under the command's UIDs."""
        for batch in batches():
            directory = self.directory()
            server = self.store_server(directory)
            told = self.send(server, "raw", *(str(each.path) for each in batch))
            stored = received(directory)
            for each in batch:
                # pynetdicom takes the command's UIDs from the file meta group, where they are.
                if isinstance(told[str(each.path)], str):
                    self.assertIn("missing: MediaStorageSOP", told[str(each.path)])
                    continue
                self.assertEqual(told[str(each.path)], 0, each.name)
                # A file with a data set of odd length is sent with just that length.
                self.assert_same_bytes(each, stored[each.instance], padded=False)

    def test_parsed(self) -> None:
        """Data sets that pydicom has encoded are stored as what they say."""
        for batch in batches():
            directory = self.directory()
            server = self.store_server(directory)
            told = self.send(server, "parsed", *(str(each.path) for each in batch))
            self.assertEqual(set(told.values()), {0}, str(told))
            stored = received(directory)
            for each in batch:
                self.assert_same_values(each, stored[each.own_instance])
            self.assertEqual(len(stored), len(batch))
