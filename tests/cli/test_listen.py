"""`pacs-twisted listen`: what it tells of the server's doings."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from pacs_twisted.cli.events import EVENTS
from pacs_twisted.cli.exits import Exit
from pacs_twisted.cli.listen import Tally
from pacs_twisted.cli.output import Output
from pacs_twisted.cli.running import Interruption
from pacs_twisted.dimse import CStoreRQ
from pacs_twisted.services import Requestor
from pacs_twisted.storage.received import Stored
from pacs_twisted.testing import ScriptedRequestor
from tests.cli.driving import CommandCase, Done, Driver, ticking


class ListenTests(CommandCase):
    """A server in memory."""

    def listen(self, *arguments: str, driver: Driver | None = None) -> Done:
        return self.run_command(
            "listen", "--listen=tcp:11112", *arguments, driver=driver or Driver(5.0)
        )

    def test_interrupted(self) -> None:
        """Ctrl-C is how it ends: in order, with exit status 0."""
        driver = Driver(5.0)
        done = self.listen("--discard", driver=driver)
        self.assertEqual((done.status, done.stdout), (0, ""))
        self.assertEqual(driver.clock.tcpServers[0][0], 11112)
        self.assertEqual(self.logs, ["info"])

    def test_options(self) -> None:
        """The options are the server's, also from a file and from the environment."""
        path = Path(self.mktemp())
        path.write_text('log-level = "warn"\nmax-pdu = 12\n')
        done = self.listen("--discard", f"--config={path}")
        self.assertEqual(done.status, 2)
        self.assertIn("max-pdu = 12: must be", done.stderr)
        path.write_text('log-level = "warn"\n')
        self.assertEqual(self.listen("--discard", f"--config={path}").status, 0)
        self.assertEqual(self.logs.pop(), "warn")
        self.run_command(
            "listen",
            "--listen=tcp:11112",
            "--discard",
            "--no-require-called-ae",
            environment={"PACS_TWISTED_LISTEN_LOG_LEVEL": "error"},
            driver=Driver(1.0),
        )
        self.assertEqual(self.logs.pop(), "error")

    def test_cannot_start(self) -> None:
        """What keeps it from starting is a line, and exit status 1."""
        path = Path(self.mktemp())
        path.write_bytes(b"")
        stderr = io.StringIO()
        self.patch(sys, "__stderr__", stderr)
        done = self.listen(f"--directory={path / 'deep'}", "--json")
        self.assertEqual(done.status, 1)
        self.assertIn("cannot store in", stderr.getvalue())
        self.assertEqual(done.events[-1]["exit_status"], 1)

    def test_events(self) -> None:
        """Associations and a summary, each with the fields of the reference."""
        driver = Driver(5.0)

        def visit() -> None:
            requestor = ScriptedRequestor(driver.clock.tcpServers[0][1], driver.clock)
            requestor.associate()
            requestor.echo()
            requestor.release()

        driver.clock.callLater(1.0, visit)
        done = self.listen("--discard", "--json", driver=driver)
        self.assert_declared("listen", done, "listening", "association", "summary")
        (listening,) = done.of("listening")
        self.assertEqual(listening["ae_title"], "PACS_STORE")
        (association,) = done.of("association")
        self.assertEqual((association["outcome"], association["requests"]), ("released", 1))
        self.assertEqual(done.of("summary")[0]["associations"], 1)


class TallyTests(CommandCase):
    """What is told of one object."""

    def test_stored(self) -> None:
        """Where it is, and whose it was."""
        stdout = io.StringIO()
        tally = Tally(Output("listen", stdout, None, as_json=True), ticking())
        tally.stored(
            Stored(
                request=CStoreRQ(1, "1.2", "1.2.3"),
                requestor=Requestor(7, None, "CT1", "ARCHIVE"),
                transfer_syntax="1.2.840.10008.1.2",
                length=10,
                elements={},
                path=Path("a/b.dcm"),
            )
        )
        tally.sum_up(Interruption(), Exit.OK)
        stored, summary = Done(0, stdout.getvalue(), "").events
        self.assertEqual(set(stored), {"event", *EVENTS["listen"]["stored"].fields})
        self.assertEqual(
            (stored["path"], stored["bytes"], stored["calling"], stored["sop_instance_uid"]),
            ("a/b.dcm", 10, "CT1", "1.2.3"),
        )
        self.assertEqual((summary["objects"], summary["bytes"]), (1, 10))
