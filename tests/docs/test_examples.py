"""The examples in README and documentation do what the text says."""

from __future__ import annotations

import contextlib
import io
import unittest
from typing import Any
from unittest import mock

import twisted.internet
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.association import Outcome
from pacs_twisted.config import EchoSettings, StoreSettings, options, parse
from pacs_twisted.dimse import Status
from pacs_twisted.net import AcceptorFactory, ApplicationEntity
from pacs_twisted.pdu import AAssociateAC, AAssociateRJ
from pacs_twisted.services import Verification
from pacs_twisted.testing import ScriptedRequestor, associate_rq
from tests.docs import test_storage_examples
from tests.docs.examples import EXAMPLES, OUTPUTS
from tests.docs.pages import DOCS, Block, blocks


class Reactor(MemoryReactorClock):
    """A reactor in memory, which an example believes to be the global one."""

    def run(self) -> None:
        """Return at once: what comes next is the test's business."""


class ExampleTests(SynchronousTestCase):
    """Each example in a test of its own."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        # With create, since a process may not have needed a reactor so far.
        patcher = mock.patch.object(twisted.internet, "reactor", self.reactor, create=True)
        patcher.start()
        self.addCleanup(patcher.stop)

    def execute(self, name: str) -> dict[str, Any]:
        """Run an example, keep what it prints, and return its names."""
        names: dict[str, Any] = {"__name__": name}
        self.printed = io.StringIO()
        with contextlib.redirect_stdout(self.printed):
            exec(compile(EXAMPLES[name].text, f"<{name}>", "exec"), names)
        return names

    def assert_prints(self, name: str) -> None:
        self.assertEqual(self.printed.getvalue(), OUTPUTS[name].text)

    def run_case(self, name: str) -> None:
        """Run the test case that an example defines."""
        names = self.execute(name)
        (case,) = (
            found
            for found in names.values()
            if isinstance(found, type)
            and issubclass(found, SynchronousTestCase)
            and found is not SynchronousTestCase
        )
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
        self.assertEqual((result.testsRun, result.errors, result.failures), (1, [], []))

    def echo_of_listener(self) -> Status:
        """Ask what an example has let listen on port 11112."""
        port, factory, *_ = self.reactor.tcpServers[0]
        self.assertEqual(port, 11112)
        requestor = ScriptedRequestor(factory, self.reactor)
        requestor.associate()
        status = requestor.echo().status
        requestor.release()
        return status

    def test_echo_server(self) -> None:
        """The least server answers C-ECHO."""
        self.execute("echo_server")
        self.assertEqual(self.echo_of_listener(), Status.SUCCESS)

    def test_limits(self) -> None:
        """The factory with limits and permitted peers has them."""
        factory = self.execute("limits")["factory"]
        self.assertEqual(factory.admission.limits.per_host, 20)
        self.assertEqual(factory.timeouts.idle, 300.0)
        request = associate_rq(calling_ae_title="WS1", called_ae_title="MY_SCP")
        requestor = ScriptedRequestor(factory, self.clock_of(factory))
        self.assertIsInstance(requestor.associate(request), AAssociateAC)
        stranger = ScriptedRequestor(factory, self.clock_of(factory))
        self.assertEqual(
            stranger.associate(associate_rq(called_ae_title="MY_SCP")), AAssociateRJ(1, 1, 3)
        )

    def clock_of(self, factory: AcceptorFactory) -> Clock:
        self.assertIs(factory.clock, self.reactor)
        return self.reactor

    def test_admission(self) -> None:
        """The policy of one's own asks its directory, which takes its time."""
        listed: Deferred[bool] = Deferred()
        factory = self.execute("admission")["make_factory"](lambda title: listed)
        requestor = ScriptedRequestor(factory, self.clock_of(factory))
        with contextlib.suppress(AssertionError):  # no answer yet
            requestor.associate()
        self.assertEqual(requestor.user.answers, [])
        listed.callback(False)
        requestor.pump.flush()
        self.assertEqual(requestor.user.answers, [AAssociateRJ(1, 1, 3)])

    def test_service(self) -> None:
        """The service of one's own answers after a second, by who asks."""
        clock = Clock()
        factory = self.execute("service")["make_factory"](clock)
        for title, status in ("CT1", Status.SUCCESS), ("CT2", Status.NOT_AUTHORIZED):
            requestor = ScriptedRequestor(factory, clock)
            requestor.associate(associate_rq(calling_ae_title=title))
            with contextlib.suppress(AssertionError):
                requestor.echo()
            requestor.advance(1.0)
            (response,) = requestor.responses
            self.assertEqual(response.status, status)  # type: ignore[attr-defined]

    def test_live(self) -> None:
        """The table of live associations reads as the page shows."""
        clock = Clock()
        factory = AcceptorFactory(ApplicationEntity("MY_SCP", [Verification()]), reactor=clock)
        requestor = ScriptedRequestor(factory, clock)
        requestor.associate()
        requestor.echo()
        names = self.execute("live")
        with contextlib.redirect_stdout(self.printed):
            names["show"](factory)
        self.assert_prints("live")

    def test_stop(self) -> None:
        """Stopping closes the ports and waits for the associations."""
        clock = Clock()
        factory = AcceptorFactory(ApplicationEntity("MY_SCP", [Verification()]), reactor=clock)
        requestor = ScriptedRequestor(factory, clock)
        requestor.associate()
        closed = []

        class Port:
            def stopListening(self) -> Deferred[None]:  # noqa: N802
                closed.append(self)
                return succeed(None)

        stopped = Deferred.fromCoroutine(self.execute("stop")["stop"]([Port()], factory))
        self.assertEqual(len(closed), 1)
        self.assertNoResult(stopped)
        self.assertEqual(requestor.release().outcome, Outcome.RELEASED)
        requestor.advance(10.0)
        self.successResultOf(stopped)

    def test_test_case(self) -> None:
        """The test of a service passes."""
        self.run_case("test_case")

    def test_test_requestor(self) -> None:
        """The test of a requestor passes."""
        self.run_case("test_requestor")

    def test_test_time(self) -> None:
        """The test of a timer passes."""
        self.run_case("test_time")

    def test_test_policy(self) -> None:
        """The test of a policy passes."""
        self.run_case("test_policy")

    def test_pair(self) -> None:
        """The two associations without Twisted take the steps that the page shows."""
        self.execute("pair")
        self.assert_prints("pair")


class PageTests(SynchronousTestCase):
    """No example escapes the tests above."""

    def test_all_run(self) -> None:
        """Every block of Python is an example with a name of its own, and every example is run."""
        unnamed = [
            block.page for block in blocks() if block.language == "python" and not block.kind
        ]
        self.assertEqual(unnamed, [])
        named = [block.name for block in blocks() if block.kind == "example"]
        self.assertEqual(sorted(named), sorted(EXAMPLES))
        tests = {
            name.removeprefix("test_")
            for case in (ExampleTests, test_storage_examples.StorageExampleTests)
            for name in dir(case)
            if name.startswith("test_")
        }
        self.assertEqual(set(EXAMPLES) - tests, set())


class ConfigurationTests(SynchronousTestCase):
    """The configuration that the documentation shows."""

    def test_complete_files(self) -> None:
        """The complete example of each command has every key, and it loads."""
        for settings_class in (EchoSettings, StoreSettings):
            path = DOCS / "reference" / f"{settings_class.command}.toml"
            document = parse(path.read_text(encoding="utf-8"))
            settings = settings_class.build(document=document, source=path.name)
            self.assertEqual(settings.max_per_host, 20)
            keys = {option.name for option in options(settings_class) if option.in_file}
            self.assertEqual(set(document), keys)

    def test_snippets(self) -> None:
        """So do the snippets on the pages, in a file of the server that has all keys."""
        found: list[Block] = [block for block in blocks() if block.language == "toml"]
        self.assertGreater(len(found), 2)
        for block in found:
            document = {"directory": "/srv/dicom", **parse(block.text)}
            StoreSettings.build(document=document, source=block.page.name)
