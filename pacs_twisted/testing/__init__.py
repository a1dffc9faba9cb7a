'''
For tests: DICOM without a network, for us and for whoever builds on this package.

A service of your own, asked by a modality, in a test that opens no port and waits for nothing:

    from twisted.internet.task import Clock
    from twisted.trial.unittest import SynchronousTestCase

    from pacs_twisted.dimse import Status
    from pacs_twisted.net import AcceptorFactory, ApplicationEntity
    from pacs_twisted.services import Verification
    from pacs_twisted.testing import ScriptedRequestor

    class OutOfOrder(Verification):
        """A service of your own."""

        def c_echo(self, request, context):
            return Status.PROCESSING_FAILURE

    class ServiceTests(SynchronousTestCase):
        def test_echo(self):
            """A modality that asks for an echo is told that something is wrong."""
            clock = Clock()
            factory = AcceptorFactory(
                ApplicationEntity("MY_SCP", [OutOfOrder()]), reactor=clock
            )
            requestor = ScriptedRequestor(factory, clock)
            requestor.associate()
            self.assertEqual(requestor.echo().status, Status.PROCESSING_FAILURE)
            requestor.release()
            self.assertEqual(factory.associations, {})

The other way round, code of your own that asks for associations, with a server of this package or
a service of your own to answer it. Nothing happens by itself, so a test says when bytes move:

    from twisted.internet.defer import Deferred
    from twisted.internet.error import ConnectionRefusedError
    from twisted.internet.task import Clock
    from twisted.trial.unittest import SynchronousTestCase

    from pacs_twisted.errors import ConnectionFailed
    from pacs_twisted.net import AcceptorFactory, ApplicationEntity, associate
    from pacs_twisted.services import Verification
    from pacs_twisted.testing import MemoryEndpoint

    async def is_there(endpoint, clock):
        """Code of your own."""
        try:
            async with await associate(endpoint, called="MY_SCP", reactor=clock) as peer:
                return (await peer.echo()).status == 0
        except ConnectionFailed:
            return False

    class RequestorTests(SynchronousTestCase):
        def test_is_there(self):
            """A peer that answers is there; one that refuses the connection is not."""
            clock = Clock()
            factory = AcceptorFactory(
                ApplicationEntity("MY_SCP", [Verification()]), reactor=clock
            )
            endpoint = MemoryEndpoint(factory, clock)
            for error, answer in ((None, True), (ConnectionRefusedError(), False)):
                endpoint.error = error
                asked = Deferred.fromCoroutine(is_there(endpoint, clock))
                endpoint.flush()
                self.assertIs(self.successResultOf(asked), answer)

What there is, from the outside in:

* `MemoryEndpoint` is a client endpoint for `pacs_twisted.net.associate`: it connects to a server in
  memory, as often as it is asked to, or refuses, or takes its time.
* `ScriptedRequestor` asks a server for an association, sends requests and returns the answers.
* `connect` and `Pump` join any two Twisted protocols by a pair of `MemoryTransport`, with a virtual
  clock: bytes come whole or in chunks, readers pause, writers are paused, connections close, reset
  and break.
* `AssociationPair` joins two `Association`, the pure core without Twisted; `AssociationEnd` is one.
* `RecordingTransport`, `RecordingTimer`, `RecordingUser`, `ScriptedUser`, `RecordingSink` and
  `RecordingObserver` stand in for what an `Association` works with.
* `associate_rq`, `associate_ac`, `echo_rq`, `echo_rsp`, `release_rq`, `release_rp`, `abort` and
  `message_pdus` make PDUs.
'''

from pacs_twisted.testing.endpoint import MemoryEndpoint
from pacs_twisted.testing.fakes import (
    RecordingObserver,
    RecordingSink,
    RecordingTimer,
    RecordingTransport,
    RecordingUser,
    ScriptedUser,
    Transition,
)
from pacs_twisted.testing.network import MemoryTransport, Pump, connect
from pacs_twisted.testing.pair import AssociationEnd, AssociationPair
from pacs_twisted.testing.pdus import (
    abort,
    associate_ac,
    associate_rq,
    echo_rq,
    echo_rsp,
    message_pdus,
    release_rp,
    release_rq,
)
from pacs_twisted.testing.requestor import NoAnswer, ScriptedRequestor

__all__ = [
    "AssociationEnd",
    "AssociationPair",
    "MemoryEndpoint",
    "MemoryTransport",
    "NoAnswer",
    "Pump",
    "RecordingObserver",
    "RecordingSink",
    "RecordingTimer",
    "RecordingTransport",
    "RecordingUser",
    "ScriptedRequestor",
    "ScriptedUser",
    "Transition",
    "abort",
    "associate_ac",
    "associate_rq",
    "connect",
    "echo_rq",
    "echo_rsp",
    "message_pdus",
    "release_rp",
    "release_rq",
]
