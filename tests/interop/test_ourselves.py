"""Our command line and our server, over the loopback."""

from __future__ import annotations

from tests.interop.objects import batches, received
from tests.interop.storing import StoreCase


class StoreTests(StoreCase):
    """What we send ourselves."""

    def check(self, *options: str, served: tuple[str, ...] = ()) -> None:
        """Send all files to a server of ours."""
        for batch in batches():
            directory = self.directory()
            server = self.store_server(directory, *served)
            told = self.store(server, batch, *options)
            for sent, stored in self.assert_taken(batch, told, received(directory)):
                self.assert_same_bytes(sent, stored)

    def test_store(self) -> None:
        """Every data set arrives byte for byte."""
        self.check()

    def test_associations(self) -> None:
        """So it does over several associations at a time, with several requests each."""
        self.check("--associations", "4", "--max-operations", "8")

    def test_lengths(self) -> None:
        """And in the shortest P-DATA-TFs."""
        self.check(served=("--max-pdu", "4096"))

    def test_echo(self) -> None:
        """The server that stores answers our echo."""
        server = self.store_server(self.directory())
        told = self.command("echo", f"127.0.0.1:{server.port}", "--count", "2", "--interval", "0")
        self.assertEqual(told.status, 0, told.text)
