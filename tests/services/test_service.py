"""How the method that serves a request is found, and what a service is told."""

from __future__ import annotations

import inspect
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.dimse import (
    CCancelRQ,
    CEchoRQ,
    MistypedCommand,
    Status,
    UnrecognizedCommand,
)
from pacs_twisted.dimse.commands import REQUESTS
from pacs_twisted.net import AcceptorFactory
from pacs_twisted.services import (
    METHODS,
    ApplicationEntity,
    RequestContext,
    Requestor,
    Verification,
)
from pacs_twisted.testing import ScriptedRequestor
from pacs_twisted.uids import IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION
from pacs_twisted.upper_layer.negotiation import PresentationContext
from tests.requirements import requirement

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
ECHO = PresentationContext(1, VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN)


class Both:
    """A service of two SOP classes."""

    sop_classes = {  # noqa: RUF012
        VERIFICATION: [IMPLICIT_VR_LITTLE_ENDIAN],
        CT_IMAGE_STORAGE: [IMPLICIT_VR_LITTLE_ENDIAN],
    }

    def c_echo(self, request: CEchoRQ, context: RequestContext) -> Status:
        return Status.SUCCESS


class EntityTests(SynchronousTestCase):
    """An application entity knows its services."""

    @requirement("C3")
    def test_title(self) -> None:
        """Its title is an AE title."""
        self.assertEqual(ApplicationEntity(" PACS ").title, "PACS")
        for title in ("", " ", "A" * 17, "A\\B", "Ä"):
            self.assertRaises(ValueError, ApplicationEntity, title)

    def test_supported(self) -> None:
        """It supports what its services serve; of two for the same the later one counts."""
        verification, both = Verification(), Both()
        entity = ApplicationEntity("PACS", [verification, both])
        self.assertEqual(set(entity.supported), {VERIFICATION, CT_IMAGE_STORAGE})
        self.assertEqual(entity.supported[VERIFICATION], [IMPLICIT_VR_LITTLE_ENDIAN])
        self.assertEqual(entity.find_handler(CEchoRQ(1, VERIFICATION), ECHO), both.c_echo)

    def test_nothing(self) -> None:
        """An entity without services supports nothing."""
        self.assertEqual(dict(ApplicationEntity("PACS").supported), {})


class FindHandlerTests(SynchronousTestCase):
    """Only what was negotiated."""

    def find(self, command: Any, presentation: PresentationContext = ECHO) -> Any:
        """Return what an entity with a Verification service finds."""
        return ApplicationEntity("PACS", [Verification()]).find_handler(command, presentation)

    def test_found(self) -> None:
        """The method that is named after the request."""
        self.assertEqual(self.find(CEchoRQ(1, VERIFICATION)).__name__, "c_echo")

    def test_no_sop_class(self) -> None:
        """A C-ECHO-RQ that names no SOP class means the context's (go-netdicom sends this)."""
        self.assertEqual(self.find(CEchoRQ(1)).__name__, "c_echo")

    @requirement("I8")
    def test_other_operation(self) -> None:
        """An operation that the context does not provide: 0211H, each of them."""
        for command in METHODS:
            if command is not CEchoRQ:
                request: Any = object.__new__(command)
                self.assertIs(self.find(request), Status.UNRECOGNIZED_OPERATION, command)
        self.assertIs(self.find(UnrecognizedCommand(0x7777, 1, 0)), Status.UNRECOGNIZED_OPERATION)

    @requirement("I8")
    def test_other_sop_class(self) -> None:
        """A SOP class other than the context's: 0122H."""
        command = CEchoRQ(1, CT_IMAGE_STORAGE)
        self.assertIs(self.find(command), Status.SOP_CLASS_NOT_SUPPORTED)

    @requirement("E9")
    def test_role(self) -> None:
        """A requestor that is not the SCU of a context may ask nothing there: 0211H."""
        scp = PresentationContext(
            1,
            VERIFICATION,
            IMPLICIT_VR_LITTLE_ENDIAN,
            requestor_is_scu=False,
            requestor_is_scp=True,
        )
        self.assertIs(self.find(CEchoRQ(1, VERIFICATION), scp), Status.UNRECOGNIZED_OPERATION)

    def test_mistyped(self) -> None:
        """An argument that is not understood: 0212H; of an operation that is not served: 0211H."""
        get = MistypedCommand(0x0110, 1, 0x0101, 0x0003, "no UID")
        self.assertIs(self.find(get), Status.UNRECOGNIZED_OPERATION)
        command = MistypedCommand(0x0030, 1, 0x0101, 0x0002, "no UID")
        self.assertIs(self.find(command), Status.MISTYPED_ARGUMENT)

    def test_entity_changed(self) -> None:
        """A context of a service that is no more: 0211H, never an error."""
        entity = ApplicationEntity("PACS")
        found = entity.find_handler(CEchoRQ(1, VERIFICATION), ECHO)
        self.assertIs(found, Status.UNRECOGNIZED_OPERATION)

    def test_every_request_has_a_method(self) -> None:
        """Each request of PS3.7 has the name of a method, a C-CANCEL-RQ is none."""
        self.assertEqual(set(METHODS), set(REQUESTS.values()))
        self.assertNotIn(CCancelRQ, METHODS)


class RequestContextTests(SynchronousTestCase):
    """A service may watch whether its answer is still wanted."""

    def setUp(self) -> None:
        requestor = Requestor(1, None, "ECHOSCU", "PACS")
        self.context = RequestContext(requestor, ECHO)
        self.called: list[str] = []

    def test_cancel(self) -> None:
        """Who watches is told once, in order."""
        self.context.on_cancel(lambda: self.called.append("first"))
        self.context.on_cancel(lambda: self.called.append("second"))
        self.assertFalse(self.context.cancelled)
        self.context.cancel()
        self.context.cancel()
        self.assertTrue(self.context.cancelled)
        self.assertEqual(self.called, ["first", "second"])

    def test_failing(self) -> None:
        """One that fails hinders none: who goes on telling reaches the others."""

        def fail() -> None:
            raise RuntimeError

        self.context.on_cancel(fail)
        self.context.on_cancel(lambda: self.called.append("second"))
        self.assertRaises(RuntimeError, self.context.cancel)
        self.context.cancel()
        self.assertEqual(self.called, ["second"])

    def test_late(self) -> None:
        """Who asks after the fact is told at once."""
        self.context.cancel()
        self.context.on_cancel(lambda: self.called.append("late"))
        self.assertEqual(self.called, ["late"])


class Coroutines(Verification):
    """A service of coroutines, the first of which waits; it notes how deep its calls are."""

    def __init__(self) -> None:
        self.gate: Deferred[None] = Deferred()
        self.depths: list[int] = []

    async def c_echo(self, request: CEchoRQ, context: RequestContext) -> Status:  # type: ignore[override]
        if request.message_id == 1:
            await self.gate
        self.depths.append(len(inspect.stack(0)))
        return Status.SUCCESS


class WaitingTests(SynchronousTestCase):
    """Requests that come while another is being served wait for it."""

    def test_depth(self) -> None:
        """They follow one another; none is served inside the call that answers the one before."""
        clock, service = Clock(), Coroutines()
        factory = AcceptorFactory(ApplicationEntity("PACS", [service]), reactor=clock)
        requestor = ScriptedRequestor(factory, clock)
        requestor.associate()
        for _ in range(60):
            requestor.send(CEchoRQ(requestor.next_message_id(), VERIFICATION))
        requestor.pump.flush()
        service.gate.callback(None)
        requestor.pump.flush()
        self.assertEqual(len(requestor.responses), 60)
        self.assertEqual(len(set(service.depths[1:])), 1)
