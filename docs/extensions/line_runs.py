"""
Runs of both ends of the line in memory, recorded: what the page about it draws and quotes.

A server as `twistd pacs-store` starts it, and an association of `pacs_twisted.net.associate`,
joined by `pacs_twisted.testing` with a clock of their own. What is recorded is the log of both at
level debug, in order, and the PDUs that their state machines took. Nothing is written by hand.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from pacs_twisted.acceptor_service import AcceptorService
from pacs_twisted.config import ServerSettings, StoreSettings
from pacs_twisted.net import ApplicationEntity, RequestorAssociation, associate
from pacs_twisted.pdu import PDataTF
from pacs_twisted.storage.disk import InlineDisk
from pacs_twisted.storage.files import FileStore
from pacs_twisted.storage.filesystem import OSFileSystem
from pacs_twisted.tap.store import DirectoryResources, store_entity
from pacs_twisted.testing import MemoryEndpoint

REQUESTOR: Final = "requestor"
ACCEPTOR: Final = "acceptor"
SIDES: Final = (REQUESTOR, ACCEPTOR)

DIRECTORY: Final = "/srv/dicom"
"""What the log is made to say for the directory of the run, which is a temporary one."""

_ROUND: Final = 0.001  # seconds of the virtual clock that bytes take from one end to the other
_MOST_ROUNDS: Final = 1000
_CT: Final = "1.2.840.10008.5.1.4.1.1.2"
_INSTANCE: Final = "2.25.329800735698586629295641978511506172918"
_STUDY: Final = "2.25.201263071"
_CALLS: Final = {
    "create": "create",
    "writev": "write",
    "fsync": "fsync",
    "make_directory": "mkdir",
    "fsync_directory": "fsync of the directory",
    "rename": "rename",
    "unlink": "unlink",
}
"""Calls of the file system that are noted while an object is stored, in words."""

T = TypeVar("T")


@attrs.frozen
class Fragment:
    """One PDV: whether it is of a command set, whether it is the last one, and its bytes."""

    is_command: bool
    is_last: bool
    data: bytes


@attrs.define
class Step:
    """
    Something that one side did, or that happened to it.

    Args:
        side: whose.
        note: in words, if it is no event of the state machine.
        event: of the state machine, its name in the code.
        action: which followed, AE-1 to AA-8.
        old: the state in which it came.
        new: the state to which it led.
        pdu: what came with the event.
        fragments: of a P-DATA-TF.
    """

    side: str
    note: str = ""
    event: str = ""
    action: str = ""
    old: str = ""
    new: str = ""
    pdu: Any = None
    fragments: list[Fragment] = attrs.field(factory=list)


@attrs.frozen
class Phase:
    """A heading: what comes next in a run."""

    title: str


@attrs.frozen
class Line:
    """
    A line of the log.

    Args:
        seconds: of the virtual clock.
        side: whose log it is.
        level: of the line.
        text: as it is written.
    """

    seconds: float
    side: str
    level: str
    text: str


@attrs.define
class Run:
    """
    What happened.

    Args:
        name: of the run.
        title: in words.
        steps: in the order in which they happened, with headings.
        lines: of the log.
    """

    name: str
    title: str
    steps: list[Step | Phase] = attrs.field(factory=list)
    lines: list[Line] = attrs.field(factory=list)


class _NotingFileSystem(OSFileSystem):
    """The operating system's, which notes what is called."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._inside = False
        for name in _CALLS:
            setattr(self, name, self._noting(getattr(self, name), _CALLS[name]))

    def _noting(self, call: Callable[..., T], words: str) -> Callable[..., T]:
        def noting(*arguments: Any) -> T:
            if self._inside:  # one call that makes use of another
                return call(*arguments)
            self._note(words)
            self._inside = True
            try:
                return call(*arguments)
            finally:
                self._inside = False

        return noting


@implementer(ILogObserver)
class Recorder:
    """
    Both ends of a line in memory, and what they say.

    Args:
        run: what happens is added to it.
        directory: where objects are stored.
        settings: of the server, by the names of its options.
    """

    def __init__(self, run: Run, directory: str, **settings: Any) -> None:
        self.run = run
        self.reactor = MemoryReactorClock()
        self._directory = directory
        self._last: dict[str, Step] = {}
        self._calls: list[str] = []
        self._storing = False
        self.settings = StoreSettings(
            directory=directory,
            disk_mode="inline",
            log_level="debug",
            max_associations=10,
            max_pdu=16384,
            **{"ae_title": "PACS", **settings},
        )
        self.service = self._make_service()
        self.endpoint = MemoryEndpoint(_Watched(self), self.reactor)

    def _make_service(self) -> AcceptorService:
        resources = DirectoryResources(self.settings, self.reactor)
        resources.store = FileStore(self._directory, _NotingFileSystem(self._called))
        resources.disk = InlineDisk()

        def make_entity(settings: ServerSettings) -> ApplicationEntity:
            return store_entity(self.settings, resources.store, resources.disk)

        return AcceptorService(
            self.settings,
            make_entity,
            reactor=self.reactor,
            resources=resources,
            install_signal=lambda number, handler: None,
        )

    # What a run is made of

    def phase(self, title: str) -> None:
        """Begin another part of the run; without a title, one before which nothing is shown."""
        self._storing = False
        if not title:
            self.run.steps.clear()
            self.run.lines.clear()
            return
        self.run.steps.append(Phase(title))

    def start(self) -> None:
        """Start the server, as twistd does: first what may need root's rights."""
        self.service.privilegedStartService()
        self.service.startService()
        self.carry()

    def associate(self) -> Deferred[RequestorAssociation]:
        """Ask for an association; nothing is carried yet."""
        endpoint: Any = _Watched(self, self.endpoint)
        return associate(
            endpoint,
            called="PACS",
            calling="CT1",
            contexts=[(_CT, ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])],
            reactor=self.reactor,
            debug=True,
        )

    def establish(self) -> RequestorAssociation:
        """Ask for an association and get it."""
        asking = self.associate()
        self.carry()
        return _result(asking)

    def store(self, peer: RequestorAssociation, data_set: Any = None) -> Deferred[Any]:
        """Send an image, or another data set; nothing is carried yet."""
        self._storing = True
        return peer.store(_CT, _INSTANCE, data_set or image())

    def stop(self) -> None:
        """Stop the server."""
        self.service.stopService()
        self.carry()

    def carry(self) -> None:
        """Carry bytes until both ends are silent; each time takes a millisecond."""
        for _ in range(_MOST_ROUNDS):
            self.reactor.advance(0)
            if not any([connection.step() for connection in self.endpoint.connections]):
                return
            self.reactor.advance(_ROUND)
        raise AssertionError("the two ends never fall silent")

    # What is recorded

    def __call__(self, event: LogEvent) -> None:
        """Take a line of the log."""
        namespace = str(event.get("log_namespace", ""))
        if not namespace.startswith("pacs_twisted."):
            return
        number = event.get("association")
        side = REQUESTOR if isinstance(number, str) else ACCEPTOR
        name = str(event.get("event", ""))
        if "action" in event:
            step = Step(
                side,
                event=name,
                action=str(event["action"]),
                old=str(event["old"]),
                new=str(event["state"]),
            )
            self._add(step)
        elif name in ("storing", "listening", "stopping", "stopped"):
            self._add(Step(side, note=self._text(event).partition(": ")[2]))
        self.run.lines.append(
            Line(self.reactor.seconds(), side, event["log_level"].name, self._text(event))
        )

    def _text(self, event: LogEvent) -> str:
        known = dict(event)
        if "association" in known:  # numbers go on from run to run
            known["association"] = "r1" if isinstance(known["association"], str) else 1
        return formatEvent(known).replace(self._directory, DIRECTORY)

    def _add(self, step: Step) -> None:
        if step.side == ACCEPTOR:
            self.note_calls()
        self._last[step.side] = step
        self.run.steps.append(step)

    def note_calls(self) -> None:
        """Make a step of what the file system has been called for since the last one."""
        calls, self._calls = self._calls, []
        if calls:
            self.run.steps.append(Step(ACCEPTOR, note=", ".join(calls)))

    def _called(self, words: str) -> None:
        if self._storing:
            self._calls.append(words)

    def came_with(self, side: str, event: str, action: str, argument: Any) -> None:
        """Keep the PDU that came with the event that was logged just now; its bytes are lent."""
        step = self._last[side]
        if (step.event, step.action) != (event, action):
            raise AssertionError(f"{event} was not logged")
        step.pdu = argument
        if isinstance(argument, PDataTF):
            step.fragments = [
                Fragment(pdv.is_command, pdv.is_last, bytes(pdv.fragment)) for pdv in argument.pdvs
            ]


@attrs.frozen
class _Observer:
    """An `AssociationObserver` of one side."""

    recorder: Recorder
    side: str

    def transition(
        self, association: Any, old: Any, event: str, action: str, new: Any, argument: Any
    ) -> None:
        self.recorder.came_with(self.side, event, action, argument)

    def message(self, association: Any, sent: bool, message: Any) -> None:
        """Messages are read from the fragments."""


class _Watched(Factory):
    """Connects to the server, or makes its protocols, and lets the recorder watch each."""

    noisy = False

    def __init__(self, recorder: Recorder, inner: Any = None) -> None:
        self._recorder = recorder
        self._inner = inner

    def buildProtocol(self, addr: Any) -> Any:
        factory, side = self._inner, REQUESTOR
        if factory is None:
            factory, side = self._recorder.reactor.tcpServers[-1][1], ACCEPTOR
        protocol: Any = factory.buildProtocol(addr)
        protocol.association.add_observer(_Observer(self._recorder, side))
        return protocol

    def connect(self, factory: Any) -> Any:
        return self._inner.connect(_Watched(self._recorder, factory))


def _result(deferred: Deferred[T]) -> T:
    """Return what a `Deferred` has come to."""
    found: list[T] = []
    deferred.addCallback(found.append)
    if not found:
        raise AssertionError("no result")
    return found[0]


def image() -> bytes:
    """Return the data set of a small image: two hundred pixels square, all grey."""
    from pydicom.dataset import Dataset

    from pacs_twisted.storage.conversion import encode_dataset

    dataset = Dataset()
    dataset.SOPClassUID = _CT
    dataset.SOPInstanceUID = _INSTANCE
    dataset.Modality = "CT"
    dataset.StudyInstanceUID = _STUDY
    dataset.SeriesInstanceUID = f"{_STUDY}.1"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = 200
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = bytes(200 * 200)
    dataset["PixelData"].VR = "OB"
    return encode_dataset(dataset, "1.2.840.10008.1.2.1")


# --- the runs -----------------------------------------------------------------------------------


def whole_line(recorder: Recorder) -> None:
    """From the start of the server to its end."""
    recorder.phase("startup, listen")
    recorder.start()
    recorder.phase("connect, associate")
    peer = recorder.establish()
    recorder.phase("C-STORE")
    storing = recorder.store(peer)
    recorder.carry()
    if _result(storing).status != 0:
        raise AssertionError("not stored")
    recorder.phase("release, close")
    peer.release()
    recorder.carry()
    recorder.phase("shutdown")
    recorder.stop()


def reject(recorder: Recorder) -> None:
    """The server wants to be called by its name."""
    recorder.start()
    recorder.phase("")
    recorder.associate().addErrback(lambda failure: None)
    recorder.carry()


def abort_by_requestor(recorder: Recorder) -> None:
    """The requestor gives up in the middle of a data set."""
    recorder.start()
    peer = recorder.establish()
    recorder.phase("")
    recorder.store(peer, _Stuck(image())).addErrback(lambda failure: None)
    recorder.carry()
    peer.abort()
    recorder.carry()


class _Stuck:
    """A data set of which no more than the beginning can be read."""

    def __init__(self, data: bytes) -> None:
        self.length = len(data)
        self._pieces: list[Any] = [data[: len(data) // 2]]

    def read(self) -> Any:
        return self._pieces.pop() if self._pieces else Deferred()

    def close(self) -> None:
        pass


def abort_by_acceptor(recorder: Recorder) -> None:
    """Nothing comes, and the acceptor's idle timer runs out."""
    recorder.start()
    recorder.establish()
    recorder.phase("")
    recorder.reactor.advance(recorder.settings.idle_timeout)
    recorder.carry()


def collision(recorder: Recorder) -> None:
    """Both sides ask for a release at the same time."""
    recorder.start()
    peer = recorder.establish()
    recorder.phase("")
    recorder.reactor.advance(recorder.settings.idle_timeout)
    peer.release().addErrback(lambda failure: None)
    recorder.carry()


@attrs.frozen
class _Plan:
    title: str
    play: Callable[[Recorder], None]
    settings: Mapping[str, Any] = attrs.field(factory=dict)


RUNS: Final[Mapping[str, _Plan]] = {
    "whole": _Plan("An image is sent and stored, from the server's start to its stop", whole_line),
    "reject": _Plan(
        "The association is rejected", reject, {"require_called_ae": True, "ae_title": "ARCHIVE"}
    ),
    "abort-by-requestor": _Plan("The requestor aborts while it sends", abort_by_requestor),
    "abort-by-acceptor": _Plan("The acceptor aborts an idle association", abort_by_acceptor),
    "release-by-acceptor": _Plan(
        "The acceptor releases an idle association", abort_by_acceptor, {"idle_action": "release"}
    ),
    "collision": _Plan("Both sides release at once", collision, {"idle_action": "release"}),
}
"""All runs by their names."""


@contextmanager
def _observing(recorder: Recorder) -> Iterator[None]:
    globalLogPublisher.addObserver(recorder)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(recorder)


def record(name: str) -> Run:
    """
    Play a run and return what happened.

    Raises:
        KeyError: there is no such run.
    """
    plan = RUNS[name]
    run = Run(name, plan.title)
    with tempfile.TemporaryDirectory() as directory:
        recorder = Recorder(run, directory, **plan.settings)
        with _observing(recorder):
            plan.play(recorder)
            recorder.note_calls()
            # What comes now is not part of the run any more.
            steps, lines = list(run.steps), list(run.lines)
            recorder.endpoint.lose()
            recorder.service.stopService()
    run.steps, run.lines = steps, lines
    return run
