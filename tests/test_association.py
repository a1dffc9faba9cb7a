"""
Associations from their beginning to their end, in memory.

One end is fed with bytes that are written out; where both ends matter they are joined by the
test kit. What single cells of the state table do is tested in tests/upper_layer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise, product
from typing import Any, Final

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.association import Association, Bounds, Ending, Outcome
from pacs_twisted.dimse import DATA_SET, CEchoRQ, CStoreRQ, Status
from pacs_twisted.dimse.messages import Message
from pacs_twisted.errors import (
    InvalidPDU,
    NoPresentationContext,
    OutOfSequence,
    PacsError,
    UnexpectedParameter,
    UnexpectedPDU,
    UnrecognizedPDU,
)
from pacs_twisted.pdu import AAbort, AAssociateAC, AAssociateRJ, AAssociateRQ, ContextResult
from pacs_twisted.testing import (
    AssociationEnd,
    AssociationPair,
    RecordingObserver,
    RecordingSink,
    RecordingUser,
    ScriptedUser,
    associate_ac,
    associate_rq,
    message_pdus,
)
from pacs_twisted.uids import IMPLICIT_VR_LITTLE_ENDIAN as IMPLICIT
from pacs_twisted.uids import VERIFICATION
from pacs_twisted.upper_layer.actions import State
from pacs_twisted.upper_layer.negotiation import PresentationContext
from tests import bytes_of
from tests.bytes_of import p_data_tf, pdu, pdv
from tests.requirements import requirement

RQ: Final = bytes_of.A_ASSOCIATE_RQ.octets
AC: Final = bytes_of.A_ASSOCIATE_AC.octets
RJ: Final = bytes_of.A_ASSOCIATE_RJ.octets
ECHO_RQ: Final = bytes_of.P_DATA_TF_C_ECHO_RQ.octets
ECHO_RSP: Final = bytes_of.P_DATA_TF_C_ECHO_RSP.octets
RELEASE_RQ: Final = bytes_of.A_RELEASE_RQ.octets
RELEASE_RP: Final = bytes_of.A_RELEASE_RP.octets
ABORT: Final = bytes_of.A_ABORT_BY_USER.octets
PROVIDER_ABORT: Final = bytes_of.A_ABORT_BY_PROVIDER.octets
VERSION_REJECT: Final = bytes.fromhex("0300 00000004 00 010202")

CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
STORE: Final = CStoreRQ(7, CT_IMAGE, "1.2.3", command_data_set_type=DATA_SET)
STORE_RQ: Final = associate_rq(["1.2.840.10008.1.1", CT_IMAGE])
STORE_COMMAND: Final = p_data_tf(pdv(3, 3, STORE.encode()))
STORE_DATA: Final = p_data_tf(pdv(3, 0, b"1234"))
STORE_END: Final = p_data_tf(pdv(3, 2, b"5678"))


def provider_abort(reason: int) -> bytes:
    """Return an A-ABORT of the service-provider."""
    return bytes((7, 0, 0, 0, 0, 4, 0, 0, 2, reason))


Step = Callable[[AssociationEnd], None]


def peer(data: bytes) -> Step:
    """Return the step in which the peer's bytes arrive."""
    return lambda end: end.association.receive_bytes(data)


def connect(end: AssociationEnd) -> None:
    end.connect()


def ask(end: AssociationEnd) -> None:
    end.association.associate(associate_rq())


def accept(end: AssociationEnd) -> None:
    end.association.accept(associate_ac())


def release(end: AssociationEnd) -> None:
    end.association.release()


def respond(end: AssociationEnd) -> None:
    end.association.respond_release()


def abort(end: AssociationEnd) -> None:
    end.association.abort()


PATHS: Final[Mapping[str, Mapping[str, tuple[Step, ...]]]] = {
    "requestor": {
        "Sta1": (),
        "Sta4": (ask,),
        "Sta5": (ask, connect),
        "Sta6": (ask, connect, peer(AC)),
        "Sta7": (ask, connect, peer(AC), release),
        "Sta8": (ask, connect, peer(AC), peer(RELEASE_RQ)),
        "Sta9": (ask, connect, peer(AC), release, peer(RELEASE_RQ)),
        "Sta11": (ask, connect, peer(AC), release, peer(RELEASE_RQ), respond),
        "Sta13": (ask, connect, peer(AC), abort),
    },
    "acceptor": {
        "Sta1": (),
        "Sta2": (connect,),
        "Sta3": (connect, peer(RQ)),
        "Sta6": (connect, peer(RQ), accept),
        "Sta7": (connect, peer(RQ), accept, release),
        "Sta8": (connect, peer(RQ), accept, peer(RELEASE_RQ)),
        "Sta10": (connect, peer(RQ), accept, release, peer(RELEASE_RQ)),
        "Sta12": (connect, peer(RQ), accept, release, peer(RELEASE_RQ), peer(RELEASE_RP)),
        "Sta13": (connect, peer(RQ), accept, abort),
    },
}
"""How each state is reached by the role that can be in it."""

ALL_STATES: Final = [(role, state) for role, paths in PATHS.items() for state in paths]
BEFORE: Final = ("Sta1", "Sta2", "Sta3", "Sta4", "Sta5")
"""Not yet established."""


def arrive(role: str, state: str, user: RecordingUser | None = None) -> AssociationEnd:
    """Return an end in a state, with what it sent on its way taken."""
    end = AssociationEnd(user, requestor=role == "requestor")
    for step in PATHS[role][state]:
        step(end)
    assert end.association.state.name == state
    end.transport.take()
    end.artim.starts = 0
    return end


def established(user: RecordingUser | None = None) -> AssociationEnd:
    """Return an acceptor's end in Sta6, for Verification and storage of CT images."""
    end = AssociationEnd(user)
    end.connect()
    end.association.receive_bytes(STORE_RQ.encode())
    if end.association.state is State.Sta3:
        end.association.accept(associate_ac(STORE_RQ))
    end.transport.take()
    return end


class Case(SynchronousTestCase):
    """Assertions on an end."""

    def assert_state(self, end: AssociationEnd, state: str, where: object = None) -> None:
        """Check the state, and that ARTIM and the transport are as it demands."""
        self.assertEqual(end.association.state.name, state, where)
        self.assertEqual(end.artim.running, state in ("Sta2", "Sta13"), where)
        is_open = end.connected and not end.transport.closing
        self.assertEqual(is_open, state not in ("Sta1", "Sta4"), where)

    def assert_ended(
        self, end: AssociationEnd, outcome: Outcome, cause: object = None, where: object = None
    ) -> None:
        """Check that the user was told of one end, of this kind; a class stands for an error."""
        (ending,) = end.user.endings
        self.assertEqual(end.user.told.count("association_ended"), 1, where)
        self.assertIs(ending.outcome, outcome, where)
        if isinstance(cause, type):
            self.assertIsInstance(ending.cause, cause, where)
        else:
            self.assertEqual(ending.cause, cause, where)
        self.assertTrue(end.association.is_over, where)

    def assert_not_ended(self, end: AssociationEnd, where: object = None) -> None:
        """Check that nobody was told of an end."""
        self.assertEqual(end.user.endings, [], where)
        self.assertFalse(end.association.is_over, where)


class EstablishmentTests(Case):
    @requirement("A2", "C5", "E1")
    def test_accepted(self) -> None:
        """The requestor speaks first; both ends then know contexts and maximum lengths."""
        rq = associate_rq([CT_IMAGE, "1.2.840.10008.1.1"], maximum_length=4096)
        pair = AssociationPair(acceptor=RecordingUser())
        self.assertEqual(arrive("acceptor", "Sta2").transport.writes, [])
        pair.associate(rq)
        self.assertEqual(pair.acceptor.user.requests, [rq])
        ac = associate_ac(rq, results={1: 3}, maximum_length=8192)
        pair.acceptor.association.accept(ac)
        pair.carry()
        (answer,) = pair.requestor.user.answers
        self.assertIsInstance(answer, AAssociateAC)
        for end in pair.requestor, pair.acceptor:
            self.assert_state(end, "Sta6")
            self.assert_not_ended(end)
            context = PresentationContext(3, "1.2.840.10008.1.1", "1.2.840.10008.1.2")
            self.assertEqual(end.association.contexts, {3: context})
            self.assertEqual(end.association.request, rq)
        self.assertEqual(pair.acceptor.association.accepted, ac)
        self.assertEqual(pair.requestor.association.peer_maximum_length, 8192)
        self.assertEqual(pair.acceptor.association.peer_maximum_length, 4096)
        self.assertEqual(pair.requestor.observer.path, "Sta1 Sta4 Sta5 Sta6")
        self.assertEqual(pair.acceptor.observer.path, "Sta1 Sta2 Sta3 Sta6")

    @requirement("F6")
    def test_rejected(self) -> None:
        """The requestor closes on a reject, the acceptor waits for that under ARTIM."""
        rj = AAssociateRJ(2, 3, 2)
        end = arrive("acceptor", "Sta3")
        end.association.reject(rj)
        self.assertEqual(end.transport.take(), rj.encode())
        self.assert_state(end, "Sta13")
        self.assert_ended(end, Outcome.REJECTED, rj)
        pair = AssociationPair(acceptor=ScriptedUser(answer=rj))
        pair.associate()
        self.assertEqual(pair.requestor.user.answers, [rj])
        for end in pair.requestor, pair.acceptor:
            self.assert_state(end, "Sta1")
            self.assert_ended(end, Outcome.REJECTED, rj)

    @requirement("F1")
    def test_version(self) -> None:
        """A foreign protocol version is rejected before the user hears of it."""
        end = arrive("acceptor", "Sta2")
        end.association.receive_bytes(bytes_of.A_ASSOCIATE_RQ.replace("protocol-version", b"\0\2"))
        self.assertEqual(end.transport.take(), VERSION_REJECT)
        self.assert_state(end, "Sta13")
        self.assertEqual(end.user.told, ["association_ended"])
        self.assert_ended(end, Outcome.REJECTED, AAssociateRJ(1, 2, 2))

    def test_not_connected(self) -> None:
        """A connection that cannot be made is a lost one."""
        end = arrive("requestor", "Sta4")
        self.assertTrue(end.transport.connecting)
        end.association.connection_lost()
        self.assert_state(end, "Sta1")
        self.assert_ended(end, Outcome.LOST)

    @requirement("A1")
    def test_never_again(self) -> None:
        """What is over cannot be begun anew."""
        for role in PATHS:
            end = arrive(role, "Sta6")
            end.disconnect()
            self.assertRaises(OutOfSequence, end.association.associate, associate_rq())
            self.assert_state(end, "Sta1")
            self.assert_ended(end, Outcome.LOST)
            self.assertFalse(end.transport.connecting and role == "acceptor")


class MessageTests(Case):
    @requirement("J5", "I5")
    def test_echo(self) -> None:
        """Echoes are answered in order with their message IDs."""
        pair = AssociationPair()
        pair.associate()
        for message_id in (0, 1, 65535):
            pair.requestor.association.send(1, CEchoRQ(message_id))
        pair.carry()
        answers = [CEchoRQ(message_id).respond(Status.SUCCESS) for message_id in (0, 1, 65535)]
        self.assertEqual(pair.requestor.user.commands, answers)
        for end in pair.requestor, pair.acceptor:
            association = end.association
            self.assertEqual((association.messages_sent, association.messages_received), (3, 3))

    @requirement("J5")
    def test_one_segment(self) -> None:
        """All requests of one segment are answered in order, before its release, by one write."""
        end = AssociationEnd(ScriptedUser())
        end.connect()
        end.association.receive_bytes(RQ + ECHO_RQ * 3 + RELEASE_RQ)
        self.assertEqual(end.transport.writes, [AC + ECHO_RSP * 3 + RELEASE_RP])
        self.assert_state(end, "Sta13")
        self.assert_ended(end, Outcome.RELEASED)

    @requirement("G10")
    def test_wrong_context(self) -> None:
        """A context that was not accepted cannot be used, and nothing comes of trying."""
        for role in PATHS:
            end = arrive(role, "Sta6")
            self.assertRaises(NoPresentationContext, end.association.send, 3, CEchoRQ(1))
            self.assertEqual((end.transport.take(), end.association.messages_sent), (b"", 0))
            self.assert_state(end, "Sta6")

    @requirement("E1", "E3")
    def test_peer_maximum_length(self) -> None:
        """What is sent fits the peer, whatever we take ourselves."""
        end = AssociationEnd(bounds=Bounds(maximum_length=1000))
        end.connect()
        rq = associate_rq(maximum_length=32)
        end.association.receive_bytes(rq.encode())
        end.association.accept(associate_ac(rq))
        end.transport.take()
        end.association.send(1, CEchoRQ(1))
        self.assertEqual(
            end.transport.writes, [message_pdus(CEchoRQ(1), context_id=1, maximum_length=32)]
        )

    @requirement("C12")
    def test_peer_without_maximum_length(self) -> None:
        """A peer that says nothing gets 16 KiB at most."""
        pair = AssociationPair()
        pair.associate(associate_rq(maximum_length=None))
        self.assertEqual(pair.acceptor.association.peer_maximum_length, 16384)

    @requirement("E4")
    def test_too_long(self) -> None:
        """A P-DATA-TF over our own maximum is refused from its header; just that long is not."""
        for length, path in ((74, "Sta1 Sta2 Sta3 Sta6"), (73, "Sta1 Sta2 Sta3 Sta6 Sta13")):
            end = AssociationEnd(ScriptedUser(), bounds=Bounds(maximum_length=length))
            end.connect()
            end.association.receive_bytes(RQ + ECHO_RQ)
            self.assertEqual(end.observer.path, path)
        self.assertEqual(end.transport.take(), AC + provider_abort(6))

    def test_command_bound(self) -> None:
        """A command set over our bound ends the association."""
        end = AssociationEnd(ScriptedUser(), bounds=Bounds(maximum_command_length=67))
        end.connect()
        end.association.receive_bytes(RQ + ECHO_RQ)
        self.assertEqual(end.transport.take(), AC + provider_abort(6))
        self.assert_ended(end, Outcome.PROTOCOL_ERROR, InvalidPDU)

    @requirement("G11", "G12")
    def test_data_set(self) -> None:
        """A data set reaches its sink while it comes; meanwhile something can be sent."""
        end = established()
        end.association.receive_bytes(STORE_COMMAND + STORE_DATA)
        end.association.send(1, CEchoRQ(1))
        self.assertEqual(end.transport.take(), ECHO_RQ)
        self.assertEqual(bytes(end.user.sinks[0].data), b"1234")
        self.assertEqual(end.user.commands, [])
        end.association.receive_bytes(STORE_END)
        self.assertEqual(bytes(end.user.sinks[0].data), b"12345678")
        self.assertEqual(end.user.commands, [STORE])
        self.assertFalse(end.user.sinks[0].abandoned)

    def test_unfinished(self) -> None:
        """Whoever watches the time can ask whether a PDU is on its way and how much is kept."""
        end = arrive("acceptor", "Sta2")
        end.association.receive_bytes(RQ[:100])
        self.assertEqual(
            (end.association.reader.inside_pdu, end.association.reader.held), (True, 94)
        )
        end.association.receive_bytes(RQ[100:])
        self.assertEqual(
            (end.association.reader.inside_pdu, end.association.reader.held), (False, 0)
        )
        self.assertEqual(end.association.reader.completed, 1)


class ReleaseTests(Case):
    @requirement("H4")
    def test_both_roles(self) -> None:
        """Either side may ask; who asked closes, who answered waits for that under ARTIM."""
        for asking in PATHS:
            pair = AssociationPair(RecordingUser(), RecordingUser())
            pair.associate()
            pair.acceptor.association.accept(associate_ac())
            pair.carry()
            ends = [pair.requestor, pair.acceptor]
            asker, answerer = ends if asking == "requestor" else reversed(ends)
            asker.association.release()
            self.assertEqual(asker.transport.writes, [RELEASE_RQ])
            pair.carry()
            self.assert_state(asker, "Sta7")
            self.assert_state(answerer, "Sta8")
            self.assert_not_ended(asker)
            self.assert_not_ended(answerer)
            answerer.association.respond_release()
            self.assert_state(answerer, "Sta13")
            self.assert_ended(answerer, Outcome.RELEASED)
            asker.association.receive_bytes(answerer.transport.take())
            self.assert_state(asker, "Sta1")
            self.assert_ended(asker, Outcome.RELEASED)
            pair.carry()
            self.assert_state(answerer, "Sta1")
            self.assert_ended(answerer, Outcome.RELEASED)

    @requirement("H1", "H2")
    def test_data_during_release(self) -> None:
        """Who asked takes P-DATA and sends none; who was asked may still send."""
        for role in PATHS:
            asker, answerer = arrive(role, "Sta7"), arrive(role, "Sta8")
            asker.association.receive_bytes(ECHO_RQ)
            self.assertEqual(asker.user.commands, [CEchoRQ(1)])
            self.assert_state(asker, "Sta7")
            answer = CEchoRQ(1).respond(Status.SUCCESS)
            self.assertRaises(OutOfSequence, asker.association.send, 1, answer)
            self.assertEqual(asker.transport.take(), b"")
            answerer.association.send(1, answer)
            self.assertEqual(answerer.transport.take(), ECHO_RSP)
            self.assert_state(answerer, "Sta8")

    @requirement("H3")
    def test_nothing_after_the_answer(self) -> None:
        """After the answer nothing more is sent."""
        for role in PATHS:
            end = arrive(role, "Sta8")
            end.association.respond_release()
            self.assertEqual(end.transport.take(), RELEASE_RP)
            for call in (
                lambda end=end: end.association.send(1, CEchoRQ(1)),
                lambda end=end: end.association.respond_release(),
                lambda end=end: end.association.release(),
            ):
                self.assertRaises(OutOfSequence, call)
            end.association.abort()
            end.association.receive_bytes(ECHO_RQ + RELEASE_RQ)
            self.assertEqual(end.transport.take(), b"")
            self.assert_ended(end, Outcome.RELEASED)

    def collide(self, requestor: RecordingUser, acceptor: RecordingUser) -> AssociationPair:
        """Return two ends that have asked each other for release."""
        pair = AssociationPair(requestor, acceptor)
        pair.associate()
        if pair.acceptor.association.state is State.Sta3:
            pair.acceptor.association.accept(associate_ac())
            pair.carry()
        pair.requestor.association.release()
        pair.acceptor.association.release()
        pair.carry()
        return pair

    def check_collision_over(self, pair: AssociationPair) -> None:
        """Check that both ended in order, by the states that PS3.8 prints."""
        self.assertTrue(pair.requestor.observer.path.endswith("Sta6 Sta7 Sta9 Sta11 Sta1"))
        self.assertTrue(pair.acceptor.observer.path.endswith("Sta6 Sta7 Sta10 Sta12 Sta13 Sta1"))
        for end in pair.requestor, pair.acceptor:
            self.assert_state(end, "Sta1")
            self.assert_ended(end, Outcome.RELEASED)

    @requirement("H5")
    def test_collision(self) -> None:
        """Two releases that cross end well, whoever of the users answers first."""
        for acceptor_first in (True, False):
            pair = self.collide(RecordingUser(), RecordingUser())
            self.assert_state(pair.requestor, "Sta9")
            self.assert_state(pair.acceptor, "Sta10")
            if acceptor_first:
                pair.acceptor.association.respond_release()
                self.assertEqual(pair.acceptor.transport.writes, [])
                self.assert_state(pair.acceptor, "Sta10")
            pair.requestor.association.respond_release()
            self.assert_state(pair.requestor, "Sta11")
            pair.carry()
            if not acceptor_first:
                self.assert_state(pair.acceptor, "Sta12")
                self.assert_not_ended(pair.acceptor)
                pair.acceptor.association.respond_release()
                pair.carry()
            self.check_collision_over(pair)

    @requirement("H5")
    def test_collision_of_scripts(self) -> None:
        """It also ends well when both answer at once."""
        self.check_collision_over(self.collide(ScriptedUser(), ScriptedUser()))


class AbortTests(Case):
    @requirement("H6")
    def test_ours(self) -> None:
        """Our abort: A-ABORT 0/0 and ARTIM; the cause is our user's and not the peer's."""
        cause = PacsError("why not")
        for role, state in ALL_STATES:
            where = (role, state)
            end = arrive(role, state)
            before = list(end.user.endings)
            end.association.abort(cause)
            if state in ("Sta1", "Sta13"):
                self.assert_state(end, state, where)
                self.assertEqual((end.transport.take(), end.user.endings), (b"", before), where)
            elif state in ("Sta2", "Sta4"):
                self.assertEqual((end.transport.take(), end.transport.closing), (b"", True), where)
                self.assert_state(end, "Sta1", where)
                self.assert_ended(end, Outcome.ABORTED, cause, where)
            else:
                self.assertEqual(end.transport.take(), ABORT, where)
                self.assert_state(end, "Sta13", where)
                self.assertEqual(end.artim.starts, 1, where)
                self.assert_ended(end, Outcome.ABORTED, cause, where)
            told = list(end.user.told)
            end.association.abort()
            end.disconnect()
            end.association.connection_lost()
            self.assertEqual((end.transport.take(), end.user.told), (b"", told), where)
            self.assert_state(end, "Sta1", where)

    @requirement("H7", "B11")
    def test_peers(self) -> None:
        """A peer's abort is reported with its source and closes; nothing answers it."""
        aborts = AAbort(0, 0), AAbort(0, 77), AAbort(2, 6), AAbort(1, 3)
        for (role, state), received in product(ALL_STATES, aborts):
            if state in ("Sta1", "Sta4"):
                continue
            where = (role, state, received)
            end = arrive(role, state)
            end.association.receive_bytes(received.encode())
            self.assertEqual(end.transport.take(), b"", where)
            self.assertTrue(end.transport.closing, where)
            self.assert_state(end, "Sta1", where)
            if state == "Sta13":
                self.assert_ended(end, Outcome.ABORTED, None, where)
            else:
                self.assert_ended(end, Outcome.ABORTED_BY_PEER, received, where)

    @requirement("A9")
    def test_lost(self) -> None:
        """A connection that breaks is told as such, unless there was no association or no more."""
        for role, state in ALL_STATES:
            where = (role, state)
            end = arrive(role, state)
            end.association.connection_lost()
            end.connected = False
            self.assertEqual(end.transport.take(), b"", where)
            self.assert_state(end, "Sta1", where)
            if state == "Sta1":
                self.assertEqual(end.user.endings, [], where)
            elif state == "Sta2":
                self.assert_ended(end, Outcome.CLOSED, None, where)
            elif state == "Sta13":
                self.assert_ended(end, Outcome.ABORTED, None, where)
            else:
                self.assert_ended(end, Outcome.LOST, None, where)

    @requirement("H8")
    def test_unexpected_pdus(self) -> None:
        """Any PDU that a state does not allow: A-ABORT of the provider with reason 2."""
        allowed = {
            "Sta5": (AC, RJ),
            "Sta6": (ECHO_RQ, RELEASE_RQ),
            "Sta7": (ECHO_RQ, RELEASE_RQ, RELEASE_RP),
            "Sta10": (RELEASE_RP,),
            "Sta11": (RELEASE_RP,),
        }
        for role, state in ALL_STATES:
            for data in (RQ, AC, RJ, ECHO_RQ, RELEASE_RQ, RELEASE_RP):
                if state in ("Sta1", "Sta2", "Sta4", "Sta13") or data in allowed.get(state, ()):
                    continue
                where = (role, state, data[0])
                end = arrive(role, state)
                end.association.receive_bytes(data)
                self.assertEqual(end.transport.take(), PROVIDER_ABORT, where)
                self.assertFalse(end.transport.closing, where)
                self.assert_state(end, "Sta13", where)
                self.assert_ended(end, Outcome.PROTOCOL_ERROR, UnexpectedPDU, where)

    @requirement("H9")
    def test_unexpected_before_an_association(self) -> None:
        """Before an association the A-ABORT is a user's, and ARTIM starts anew."""
        for data in (AC, RJ, ECHO_RQ, RELEASE_RQ, RELEASE_RP):
            end = arrive("acceptor", "Sta2")
            end.association.receive_bytes(data)
            self.assertEqual(end.transport.take(), ABORT, data[0])
            self.assertEqual(end.artim.starts, 1)
            self.assert_state(end, "Sta13")
            self.assert_ended(end, Outcome.PROTOCOL_ERROR, UnexpectedPDU)

    @requirement("B4")
    def test_no_pdu(self) -> None:
        """A byte that is no type ends it in every state with a connection."""
        for role, state in ALL_STATES:
            if state in ("Sta1", "Sta4"):
                continue
            where = (role, state)
            end = arrive(role, state)
            end.association.receive_bytes(b"\x08")
            expected = ABORT if state == "Sta2" else provider_abort(1)
            self.assertEqual(end.transport.take(), expected, where)
            self.assert_state(end, "Sta13", where)
            self.assertEqual(end.artim.starts, state != "Sta13", where)
            if state != "Sta13":
                self.assert_ended(end, Outcome.PROTOCOL_ERROR, UnrecognizedPDU, where)


class AfterTheEndTests(Case):
    @requirement("A1")
    def test_bytes_in_sta1(self) -> None:
        """What comes after the close is dropped."""
        for data in (RQ, ECHO_RQ, ABORT, b"\x08"):
            end = arrive("acceptor", "Sta6")
            end.association.receive_bytes(ABORT + data)
            end.association.receive_bytes(data)
            self.assertEqual(end.transport.take(), b"")
            self.assert_state(end, "Sta1")
            self.assert_ended(end, Outcome.ABORTED_BY_PEER, AAbort(0, 0))

    def test_one_more_abort(self) -> None:
        """In Sta13 a late request or garbage gets one A-ABORT, and ARTIM is left alone."""
        for late, answer in (
            (RQ, PROVIDER_ABORT),
            (b"\x08", provider_abort(1)),
            (pdu(5, bytes(5)), provider_abort(6)),
        ):
            for chunks in ([late * 3, RQ], [late, late, RQ, b"\x08"], [ECHO_RQ + late, late]):
                end = arrive("acceptor", "Sta13")
                for chunk in chunks:
                    end.association.receive_bytes(chunk)
                self.assertEqual(end.transport.take(), answer)
                self.assert_state(end, "Sta13")
                self.assertEqual(end.artim.starts, 0)
                self.assert_ended(end, Outcome.ABORTED)

    def test_at_most_two_aborts(self) -> None:
        """Whatever a peer sends, it gets one A-ABORT of AA-8 and at most one of AA-7."""
        end = arrive("acceptor", "Sta6")
        end.association.receive_bytes(RQ * 10)
        self.assertEqual(end.transport.take(), PROVIDER_ABORT * 2)
        end = arrive("acceptor", "Sta6")
        end.association.receive_bytes(b"\x08" * 10 + RQ)
        end.association.receive_bytes(RQ)
        self.assertEqual(end.transport.take(), provider_abort(1))

    def test_abort_after_wrong_content(self) -> None:
        """Where the next PDU begins is known, a wrong content does not hide an A-ABORT (AA-2)."""
        for wrong in (p_data_tf(pdv(3, 3, b"")), p_data_tf(pdv(1, 2, b"")), pdu(1, bytes(68))):
            end = arrive("acceptor", "Sta6")
            end.association.receive_bytes(wrong + ECHO_RQ)
            self.assert_state(end, "Sta13")
            self.assertEqual(len(end.transport.take()), 10)
            end.association.receive_bytes(ABORT)
            self.assert_state(end, "Sta1")
            self.assertEqual((end.transport.take(), end.user.commands), (b"", []))

    def test_ignored_in_sta13(self) -> None:
        """Other PDUs are ignored in Sta13 (AA-6), and a late A-ABORT closes (AA-2)."""
        end = arrive("acceptor", "Sta13")
        end.association.receive_bytes(AC + RJ + ECHO_RQ + RELEASE_RQ + RELEASE_RP)
        self.assertEqual((end.transport.take(), end.user.commands), (b"", []))
        self.assert_state(end, "Sta13")
        end.association.receive_bytes(ABORT)
        self.assert_state(end, "Sta1")

    @requirement("A3")
    def test_artim(self) -> None:
        """ARTIM closes in Sta2 and Sta13, without a word; in another state it means nothing."""
        for role, state in ALL_STATES:
            end = arrive(role, state)
            end.association.artim_expired()
            self.assertEqual(end.transport.take(), b"", (role, state))
            self.assert_state(end, "Sta1" if state in ("Sta2", "Sta13") else state, (role, state))
            if state == "Sta2":
                self.assert_ended(end, Outcome.CLOSED)


class OutOfSequenceTests(Case):
    """Our own caller's mistakes (empty cells of the table): an error and nothing else."""

    def test_local_requests(self) -> None:
        calls: dict[str, tuple[Callable[[Association], None], tuple[str, ...]]] = {
            "associate": (lambda it: it.associate(associate_rq()), ("Sta1",)),
            "accept": (lambda it: it.accept(associate_ac()), ("Sta3",)),
            "reject": (lambda it: it.reject(AAssociateRJ(1, 1, 1)), ("Sta3",)),
            "send": (lambda it: it.send(1, CEchoRQ(1)), ("Sta6", "Sta8")),
            "release": (lambda it: it.release(), ("Sta6",)),
            "respond": (lambda it: it.respond_release(), ("Sta8", "Sta9", "Sta10", "Sta12")),
        }
        for (role, state), (name, (call, allowed)) in product(ALL_STATES, calls.items()):
            if state in allowed:
                continue
            where = (role, state, name)
            end = arrive(role, state)
            told, seen = list(end.user.told), list(end.observer.transitions)
            # Before an association there is no context either.
            error = NoPresentationContext if name == "send" and state in BEFORE else OutOfSequence
            self.assertRaises(error, call, end.association)
            self.assertEqual(end.transport.take(), b"", where)
            self.assert_state(end, state, where)
            self.assertEqual((end.user.told, end.observer.transitions), (told, seen), where)
            self.assertEqual(end.association.messages_sent, 0, where)

    def test_it_goes_on(self) -> None:
        """The association is as good as before."""
        pair = AssociationPair()
        pair.associate()
        self.assertRaises(OutOfSequence, pair.requestor.association.respond_release)
        self.assertRaises(OutOfSequence, pair.acceptor.association.accept, associate_ac())
        self.assertRaises(OutOfSequence, pair.requestor.association.associate, associate_rq())
        pair.requestor.association.send(1, CEchoRQ(1))
        pair.requestor.association.release()
        pair.carry()
        self.assertEqual(len(pair.requestor.user.messages), 1)
        self.assert_ended(pair.requestor, Outcome.RELEASED)


class BadInputTests(Case):
    """The table of bad inputs, line by line."""

    def check(self, state: str, data: bytes, answer: bytes, cause: object) -> AssociationEnd:
        """Check what an acceptor answers, whole and byte by byte, and why it says so."""
        for chunks in ([data], [data[n : n + 1] for n in range(len(data))]):
            end = arrive("acceptor", state)
            for chunk in chunks:
                end.association.receive_bytes(chunk)
            self.assertEqual(end.transport.take(), answer)
            self.assert_state(end, "Sta13")
            self.assert_ended(end, Outcome.PROTOCOL_ERROR, cause)
        return end

    @requirement("B4", "B9", "H9")
    def test_http(self) -> None:
        """An HTTP request is known by its first byte, and nothing of it is kept."""
        data = bytes.fromhex("474554202f20485454502f312e31")
        end = self.check("Sta2", data, ABORT, UnrecognizedPDU)
        self.assertEqual(end.association.reader.held, 0)
        self.check("Sta2", data[:1], ABORT, UnrecognizedPDU)

    @requirement("B8")
    def test_huge_request(self) -> None:
        """A claim of 4 GiB is refused from the header."""
        end = self.check("Sta2", bytes.fromhex("0100ffffffff"), ABORT, InvalidPDU)
        self.assertEqual(end.association.reader.held, 0)

    @requirement("B5", "H8")
    def test_long_release(self) -> None:
        data = bytes.fromhex("0500000000050000000000")
        self.check("Sta6", data, provider_abort(6), InvalidPDU)

    @requirement("C1", "F1")
    def test_version_2(self) -> None:
        end = arrive("acceptor", "Sta2")
        end.association.receive_bytes(RQ.replace(b"\0\1\0\0ANY", b"\0\2\0\0ANY"))
        self.assertEqual(end.transport.take(), VERSION_REJECT)
        self.assert_state(end, "Sta13")

    @requirement("B2", "C1")
    def test_version_3_and_unknown_sub_item(self) -> None:
        """Other bits of the version and unknown sub-items change nothing."""
        for content in (b"", b"\0", bytes(range(256))):
            information = bytes_of.item(
                0x50,
                bytes_of.MAXIMUM_LENGTH_ITEM
                + bytes_of.IMPLEMENTATION_CLASS_ITEM
                + bytes_of.item(0x5F, content),
            )
            end = arrive("acceptor", "Sta2", ScriptedUser())
            end.association.receive_bytes(
                bytes_of.associate_rq(version=3, user_information=information)
            )
            self.assert_state(end, "Sta6")

    @requirement("D1", "G10")
    def test_context_0(self) -> None:
        data = bytes.fromhex("040000000006000000020003")
        self.check("Sta6", data, provider_abort(6), InvalidPDU)

    @requirement("G10")
    def test_context_3(self) -> None:
        """The context was never accepted: an invalid value, whatever the fragment is."""
        for control in ("00", "01", "02", "03"):
            data = bytes.fromhex("0400000000060000000203" + control)
            self.check("Sta6", data, provider_abort(6), InvalidPDU)

    @requirement("G1")
    def test_data_set_first(self) -> None:
        data = bytes.fromhex("040000000006000000020102")
        self.check("Sta6", data, provider_abort(5), UnexpectedParameter)

    @requirement("H8")
    def test_unasked_accept(self) -> None:
        for state in ("Sta3", "Sta6", "Sta7", "Sta8", "Sta10", "Sta12"):
            self.check(state, AC, PROVIDER_ABORT, UnexpectedPDU)

    @requirement("A10", "H8")
    def test_request_twice(self) -> None:
        """Of two requests in one segment the first is indicated, the second ends it."""
        for user, answered in ((RecordingUser(), b""), (ScriptedUser(), AC)):
            end = arrive("acceptor", "Sta2", user)
            end.association.receive_bytes(RQ + RQ)
            self.assertEqual(end.transport.take(), answered + PROVIDER_ABORT)
            self.assertEqual(user.told, ["associate_requested", "association_ended"])
            self.assert_state(end, "Sta13")
            self.assert_ended(end, Outcome.PROTOCOL_ERROR, UnexpectedPDU)

    @requirement("A3", "A11")
    def test_half_a_header_and_silence(self) -> None:
        """Half a header does not stop ARTIM, which closes without a word."""
        end = arrive("acceptor", "Sta2")
        end.association.receive_bytes(RQ[:3])
        self.assert_state(end, "Sta2")
        self.assertEqual(end.artim.starts, 0)
        end.association.artim_expired()
        self.assertEqual(end.transport.take(), b"")
        self.assert_state(end, "Sta1")
        self.assert_ended(end, Outcome.CLOSED)

    @requirement("A9")
    def test_half_a_header_and_close(self) -> None:
        end = arrive("acceptor", "Sta6")
        end.association.receive_bytes(ECHO_RQ[:3])
        end.disconnect()
        self.assertEqual(end.transport.take(), b"")
        self.assert_state(end, "Sta1")
        self.assert_ended(end, Outcome.LOST)


class SinkTests(Case):
    @requirement("G12")
    def test_abandoned(self) -> None:
        """Whatever ends an association inside a data set, its sink hears of it before the user."""
        ends: dict[str, Step] = {
            "abort": abort,
            "peer's abort": peer(ABORT),
            "lost": lambda end: end.disconnect(),
            "garbage": peer(b"\x08"),
            "wrong fragment": peer(STORE_COMMAND),
            "wrong PDU": peer(AC),
            "release": peer(RELEASE_RQ),
        }
        for name, step in ends.items():
            user = ScriptedUser()
            end = established(user)
            end.association.receive_bytes(STORE_COMMAND + STORE_DATA)
            (sink,) = user.sinks
            at_the_end: list[bool] = []

            def ended(
                ending: Ending, sink: RecordingSink = sink, noted: list[bool] = at_the_end
            ) -> None:
                noted.append(sink.abandoned)

            self.patch(user, "association_ended", ended)
            self.assertFalse(sink.abandoned, name)
            step(end)
            self.assertEqual(at_the_end, [True], name)
            self.assertEqual(user.commands, [], name)

    def test_abandon_fails(self) -> None:
        """A sink that fails at the end hides it neither from the peer nor from the user."""

        def fail() -> None:
            raise RuntimeError

        end = established(ScriptedUser())
        end.association.receive_bytes(STORE_COMMAND + STORE_DATA)
        end.transport.take()
        self.patch(end.user.sinks[0], "abandon", fail)
        self.assertRaises(RuntimeError, end.association.abort)
        self.assertEqual(end.transport.take(), ABORT)
        self.assertEqual(end.user.endings, [Ending(Outcome.ABORTED)])

    def test_kept(self) -> None:
        """A whole data set stays what it is."""
        end = established(ScriptedUser())
        end.association.receive_bytes(STORE_COMMAND + STORE_DATA + STORE_END + ABORT)
        self.assertFalse(end.user.sinks[0].abandoned)


class NoRoomTests(Case):
    """A peer whose maximum length leaves no room for a fragment cannot be told anything."""

    def test_answer(self) -> None:
        """A requestor aborts when the answer says so."""
        for maximum_length in range(1, 8):
            answer = associate_ac(maximum_length=maximum_length)
            pair = AssociationPair(acceptor=ScriptedUser(answer=answer))
            pair.associate()
            [ending] = pair.requestor.user.endings
            self.assertEqual(ending.outcome, Outcome.PROTOCOL_ERROR)
            self.assertIsInstance(ending.cause, InvalidPDU)
            self.assertEqual(pair.requestor.user.answers, [])


class DataSetTests(Case):
    """A command set and what is sent with it agree."""

    def test_disagreement(self) -> None:
        """Our own caller is told, and nothing is sent."""
        end = established()
        end.transport.take()
        for command, data_set in (
            (CEchoRQ(1), b"12"),
            (CStoreRQ(1, "1.2", "1.3"), None),
            (CStoreRQ(1, "1.2", "1.3"), b""),
        ):
            with self.assertRaises(ValueError):
                end.association.send(1, command, data_set)
        self.assertEqual(end.transport.take(), b"")
        self.assertEqual(end.association.messages_sent, 0)


class PieceTests(Case):
    """Data sets that are sent piece by piece."""

    def begin(self, length: int, maximum_length: int = 16384) -> AssociationEnd:
        """Return a requestor that has begun to send a data set."""
        end = AssociationEnd(requestor=True)
        end.association.associate(STORE_RQ)
        end.connect()
        end.association.receive_bytes(
            associate_ac(STORE_RQ, maximum_length=maximum_length).encode()
        )
        end.transport.take()
        end.association.begin(3, STORE, length)
        return end

    @requirement("G1", "G5", "G8", "K1")
    def test_pieces(self) -> None:
        """First the command set, then the data set, whose last fragment is marked as such."""
        end = self.begin(8)
        association = end.association
        self.assertEqual(end.transport.take(), STORE_COMMAND)
        self.assertTrue(association.sending_data)
        association.send_data(b"1234")
        self.assertEqual(end.transport.take(), STORE_DATA)
        association.send_data(memoryview(b"5678"))
        self.assertEqual(end.transport.take(), STORE_END)
        self.assertFalse(association.sending_data)
        self.assertEqual((association.messages_sent, end.observer.sent), (1, [STORE]))

    @requirement("E3", "G2")
    @given(
        st.lists(st.integers(1, 300).map(lambda half: 2 * half), min_size=1, max_size=10),
        st.integers(8, 700),
    )
    def test_any_pieces(self, lengths: list[int], maximum_length: int) -> None:
        """However it is cut, the other end gets the same, in PDUs that it can take."""
        data = bytes(range(256)) * 24
        end = self.begin(sum(lengths), maximum_length)
        offset = 0
        for length in lengths:
            end.association.send_data(data[offset : offset + length])
            offset += length
        other = established()
        sent = end.transport.take()
        other.association.receive_bytes(sent)
        self.assertEqual(other.user.commands, [STORE])
        self.assertEqual(bytes(other.user.sinks[0].data), data[:offset])
        while sent:
            pdu_length = int.from_bytes(sent[2:6], "big")
            self.assertLessEqual(pdu_length, maximum_length)
            sent = sent[6 + pdu_length :]

    @requirement("G4")
    def test_others_wait(self) -> None:
        """Messages that are sent meanwhile go out behind the last fragment, in order."""
        end = self.begin(8)
        end.transport.take()
        end.association.send(1, CEchoRQ(1))
        end.association.send_data(b"1234")
        end.association.send(1, CEchoRQ(2))
        self.assertEqual(end.transport.take(), STORE_DATA)
        end.association.send_data(b"5678")
        self.assertEqual(
            end.transport.take(), STORE_END + message_pdus(CEchoRQ(1)) + message_pdus(CEchoRQ(2))
        )
        self.assertEqual(end.observer.sent, [STORE, CEchoRQ(1), CEchoRQ(2)])

    def test_who_waits_is_judged_at_once(self) -> None:
        """A message that cannot be sent is refused to who sends it, not to who ends the other."""
        end = self.begin(8)
        for context_id, command, error in (
            (1, CEchoRQ(1, "\u00e9"), ValueError),
            (1, STORE, ValueError),
            (77, CEchoRQ(1), NoPresentationContext),
        ):
            with self.assertRaises(error):
                end.association.send(context_id, command)
        end.association.send_data(b"12345678")
        self.assertEqual(end.observer.sent, [STORE])

    def test_mistakes_in_the_beginning(self) -> None:
        """What cannot begin does not: nothing is sent, and another message may be."""
        end = self.begin(2)
        end.association.send_data(b"12")
        end.transport.take()
        for context_id, command, length, error in (
            (1, CEchoRQ(1), 8, ValueError),  # no data set follows it
            (3, STORE, 0, ValueError),
            (3, STORE, 7, ValueError),
            (3, STORE, -2, ValueError),
            (3, CStoreRQ(1, "\u00e9", "1.2"), 8, ValueError),
            (5, STORE, 8, NoPresentationContext),
        ):
            with self.assertRaises(error):
                end.association.begin(context_id, command, length)
        self.assertEqual(end.transport.take(), b"")
        self.assertFalse(end.association.sending_data)
        end.association.begin(3, STORE, 8)
        self.assertRaises(OutOfSequence, end.association.begin, 3, STORE, 8)
        self.assertEqual(end.transport.take(), STORE_COMMAND)

    def test_mistakes_in_the_middle(self) -> None:
        """A piece that is none, or too much, is not sent; the right one may follow."""
        end = self.begin(8)
        end.transport.take()
        for piece in (b"", b"123", b"1234567890"):
            self.assertRaises(ValueError, end.association.send_data, piece)
        self.assertEqual(end.transport.take(), b"")
        end.association.send_data(b"1234")
        self.assertRaises(ValueError, end.association.send_data, b"567890")
        end.association.send_data(b"5678")
        self.assertEqual(end.transport.take(), STORE_DATA + STORE_END)
        self.assertRaises(OutOfSequence, end.association.send_data, b"90")

    @requirement("K6")
    def test_last(self) -> None:
        """A data set that nobody wants any more ends with the piece that is marked so."""
        end = self.begin(1000)
        end.transport.take()
        end.association.send(1, CEchoRQ(1))
        end.association.send_data(b"5678", last=True)
        self.assertEqual(end.transport.take(), STORE_END + message_pdus(CEchoRQ(1)))
        self.assertRaises(OutOfSequence, end.association.send_data, b"90")
        end.association.release()

    def test_no_release_in_the_middle(self) -> None:
        """We do not ask for release in the middle of a data set, but the peer may."""
        end = self.begin(8)
        end.transport.take()
        self.assertRaises(OutOfSequence, end.association.release)
        self.assertEqual(end.transport.take(), b"")
        end.association.receive_bytes(RELEASE_RQ)
        end.association.send_data(b"1234")  # AR-7
        end.association.respond_release()
        self.assertEqual(end.transport.take(), STORE_DATA + RELEASE_RP)
        self.assert_ended(end, Outcome.RELEASED)
        self.assertFalse(end.association.sending_data)
        self.assertRaises(OutOfSequence, end.association.send_data, b"5678")

    def test_the_end_in_the_middle(self) -> None:
        """With the association the data set ends, and what waited for it."""
        for act in (abort, AssociationEnd.disconnect, peer(ABORT), peer(b"GET"), peer(AC)):
            end = self.begin(8)
            end.association.send(1, CEchoRQ(1))
            end.transport.take()
            act(end)
            self.assertFalse(end.association.sending_data)
            self.assertNotIn(ECHO_RQ, end.transport.take())
            self.assertRaises(OutOfSequence, end.association.send_data, b"1234")

    def test_in_every_state(self) -> None:
        """A message begins in Sta6 and Sta8 only, of either role."""
        for role, state in ALL_STATES:
            end = arrive(role, state)
            error = NoPresentationContext if state in BEFORE else OutOfSequence
            rq = CStoreRQ(1, VERIFICATION, "1.2")
            if state in ("Sta6", "Sta8"):
                end.association.begin(1, rq, 2)
                end.association.send_data(b"12")
            else:
                with self.assertRaises(error, msg=(role, state)):
                    end.association.begin(1, rq, 2)
                self.assertEqual(end.transport.take(), b"")

    def test_within_a_callback(self) -> None:
        """Pieces that are sent while bytes are read go out at once: they may be many."""

        class Sending(RecordingUser):
            def message_received(self, message: Message) -> None:
                assert self.association is not None
                self.association.begin(1, CStoreRQ(1, VERIFICATION, "1.2"), 8)
                for _ in range(4):
                    self.association.send_data(b"12")
                    writes.append(len(end.transport.take()))

        writes: list[int] = []
        end = arrive("requestor", "Sta6", Sending())
        end.association.receive_bytes(ECHO_RSP)
        self.assertEqual(writes[1:], [14, 14, 14])
        self.assertGreater(writes[0], 100)

    @requirement("C11")
    def test_before_the_confirmation(self) -> None:
        """Until the peer has answered, nothing but an abort is sent, whatever is asked for."""
        for state in ("Sta4", "Sta5"):
            end = arrive("requestor", state)
            association = end.association
            for call in (
                lambda association=association: association.send(1, CEchoRQ(1)),
                lambda association=association: association.begin(1, STORE, 2),
                lambda association=association: association.send_data(b"12"),
                association.release,
                association.respond_release,
                lambda association=association: association.associate(associate_rq()),
                lambda association=association: association.accept(associate_ac()),
            ):
                self.assertRaises((OutOfSequence, NoPresentationContext), call)
            self.assertEqual(end.transport.take(), b"")
            self.assert_state(end, state)
            association.abort()
            self.assertEqual(end.transport.take(), ABORT if state == "Sta5" else b"")


class AnswerTests(Case):
    """A requestor judges what it is answered."""

    @requirement("C7", "D11")
    def test_wrong(self) -> None:
        """An answer that is none ends in an A-ABORT of the provider, and no association."""
        ac = associate_ac()
        for wrong in (
            attrs.evolve(ac, context_results=(ContextResult(3, 0, IMPLICIT),)),
            attrs.evolve(ac, context_results=(ContextResult(1, 0, "1.2.3"),)),
            attrs.evolve(ac, application_context="1.2.3"),
            associate_ac(maximum_length=7),
        ):
            end = arrive("requestor", "Sta5")
            end.association.receive_bytes(wrong.encode() + ECHO_RSP)
            self.assertEqual(end.transport.take(), provider_abort(6))
            self.assert_ended(end, Outcome.PROTOCOL_ERROR, InvalidPDU)
            self.assertEqual((end.user.answers, end.user.messages), ([], []))
            self.assertIsNone(end.association.accepted)
            self.assert_state(end, "Sta13")

    @requirement("D11")
    def test_missing(self) -> None:
        """A result that is missing is a refusal."""
        end = arrive("requestor", "Sta5")
        end.association.receive_bytes(attrs.evolve(associate_ac(), context_results=()).encode())
        self.assert_state(end, "Sta6")
        self.assertEqual(end.association.contexts, {})

    def test_mistakes_of_our_own(self) -> None:
        """What may not be asked for is refused to who asks, before anything happens."""
        end = AssociationEnd(requestor=True)
        rq = associate_rq()
        with self.assertRaises(ValueError):
            end.association.associate(attrs.evolve(rq, presentation_contexts=()))
        self.assertFalse(end.transport.connecting)
        self.assert_state(end, "Sta1")
        end.association.associate(rq)
        self.assert_state(end, "Sta4")


class PauseTests(Case):
    @requirement("G13")
    def test_pause(self) -> None:
        """Nothing is read while it is paused; what has come is read in order afterwards."""
        end = established()
        end.association.pause()
        stream = STORE_COMMAND + STORE_DATA + STORE_END + ECHO_RQ
        for start in range(0, len(stream), 5):
            end.association.receive_bytes(stream[start : start + 5])
        self.assertEqual((end.user.messages, end.user.sinks), ([], []))
        end.association.resume()
        self.assertEqual(end.user.commands, [STORE, CEchoRQ(1)])
        self.assertEqual(bytes(end.user.sinks[0].data), b"12345678")
        end.association.resume()
        self.assertEqual(len(end.user.messages), 2)

    @requirement("G13")
    def test_pause_while_reading(self) -> None:
        """Who pauses upon a message gets the next one after resuming, and can send meanwhile."""

        class Careful(ScriptedUser):
            def message_received(self, message: Message) -> None:
                super().message_received(message)
                if self.association:
                    self.association.pause()

        end = established(Careful())
        end.association.receive_bytes(ECHO_RQ * 3)
        for count in (1, 2, 3):
            self.assertEqual(len(end.user.messages), count)
            self.assertEqual(end.transport.take(), ECHO_RSP)
            end.association.resume()
        self.assertEqual(len(end.user.messages), 3)

    def test_abort_while_paused(self) -> None:
        """What waits unread does not keep an association from ending."""
        end = established()
        end.association.pause()
        end.association.receive_bytes(ECHO_RQ)
        end.association.abort()
        self.assertEqual(end.transport.take(), ABORT)
        end.association.resume()
        self.assertEqual(end.user.commands, [])
        end.disconnect()
        self.assert_ended(end, Outcome.ABORTED)


class UserTests(Case):
    """The user may do anything from within what it is told."""

    def test_ends_from_within(self) -> None:
        """Aborting or releasing upon a message or a release request works at once."""
        for method, data in (("message_received", ECHO_RQ * 3), ("release_requested", RELEASE_RQ)):
            user = RecordingUser()
            end = established(user)
            self.patch(user, method, lambda *told, end=end: end.association.abort())
            end.association.receive_bytes(data)
            self.assertEqual(end.transport.writes, [ABORT])
            self.assert_state(end, "Sta13")
            self.assert_ended(end, Outcome.ABORTED)
        user = RecordingUser()
        end = established(user)
        self.patch(user, "message_received", lambda message: end.association.release())
        end.association.receive_bytes(ECHO_RQ + RELEASE_RP)
        self.assertEqual(end.transport.writes, [RELEASE_RQ])
        self.assert_ended(end, Outcome.RELEASED)

    def test_requestor_sends_at_once(self) -> None:
        """A requestor may send as soon as it hears of the accept."""
        user = RecordingUser()
        end = arrive("requestor", "Sta5", user)
        self.patch(user, "associate_answered", lambda answer: end.association.send(1, CEchoRQ(1)))
        end.association.receive_bytes(AC)
        self.assertEqual(end.transport.take(), ECHO_RQ)

    def test_abort_upon_the_end(self) -> None:
        """To abort what has ended is no error."""
        user = RecordingUser()
        end = established(user)
        told: list[Ending] = []

        def ended(ending: Ending) -> None:
            told.append(ending)
            end.association.abort()
            end.association.connection_lost()

        self.patch(user, "association_ended", ended)
        end.association.receive_bytes(ABORT)
        self.assertEqual(told, [Ending(Outcome.ABORTED_BY_PEER, AAbort(0, 0))])
        self.assertEqual(end.transport.take(), b"")


class ObserverTests(Case):
    def test_transitions(self) -> None:
        """Every observer sees every event with its action and what came with it."""
        pair = AssociationPair()
        second = RecordingObserver()
        pair.acceptor.association.add_observer(second)
        pair.associate()
        pair.requestor.association.send(1, CEchoRQ(1))
        pair.requestor.association.release()
        pair.carry()
        first = pair.acceptor.observer
        self.assertEqual(
            [(seen.event, seen.action) for seen in first.transitions],
            [
                ("transport_accepted", "AE-5"),
                ("a_associate_rq", "AE-6"),
                ("a_associate_accept", "AE-7"),
                ("p_data_tf", "DT-2"),
                ("p_data_request", "DT-1"),
                ("a_release_rq", "AR-2"),
                ("a_release_response", "AR-4"),
                ("transport_closed", "AR-5"),
            ],
        )
        self.assertEqual(first.transitions[1].argument, associate_rq())
        self.assertIsInstance(first.transitions[1].argument, AAssociateRQ)
        self.assertEqual(first.transitions, second.transitions)
        self.assertEqual(first.path, "Sta1 Sta2 Sta3 Sta6 Sta8 Sta13 Sta1")
        self.assertEqual(
            pair.requestor.observer.actions,
            ["AE-1", "AE-2", "AE-3", "DT-1", "AR-1", "AR-6", "AR-3"],
        )

    def test_messages(self) -> None:
        """Messages are seen at both ends, in both directions."""
        pair = AssociationPair()
        pair.associate()
        pair.requestor.association.send(1, CEchoRQ(1))
        pair.carry()
        answer = CEchoRQ(1).respond(Status.SUCCESS)
        for end, sent, received in (
            (pair.requestor, CEchoRQ(1), answer),
            (pair.acceptor, answer, CEchoRQ(1)),
        ):
            self.assertEqual((end.observer.sent, end.observer.received), ([sent], [received]))

    def test_errors(self) -> None:
        """An invalid PDU is seen with the error that says what is wrong."""
        end = arrive("acceptor", "Sta2")
        end.association.receive_bytes(b"GET")
        seen = end.observer.transitions[-1]
        self.assertEqual((seen.event, seen.action), ("invalid_pdu", "AA-1"))
        self.assertIsInstance(seen.argument, UnrecognizedPDU)

    def test_nobody(self) -> None:
        """An association that nobody watches works the same."""
        end = AssociationEnd(ScriptedUser())
        user = ScriptedUser()
        user.association = Association(end.transport, end.artim, user)
        user.association.connection_made()
        user.association.receive_bytes(RQ + ECHO_RQ + RELEASE_RQ)
        self.assertEqual(end.transport.take(), AC + ECHO_RSP + RELEASE_RP)


PIECES: Final = (
    RQ,
    STORE_RQ.encode(),
    AC,
    RJ,
    ECHO_RQ,
    ECHO_RQ,
    STORE_COMMAND,
    STORE_DATA,
    STORE_END,
    STORE_COMMAND + STORE_DATA + STORE_END,
    p_data_tf(pdv(3, 3, STORE.encode()), pdv(3, 0, b"12"), pdv(3, 2, b"34")),
    p_data_tf(pdv(1, 3, bytes_of.C_ECHO_RQ), pdv(7, 3, bytes_of.C_ECHO_RQ)),
    p_data_tf(pdv(1, 1, bytes_of.C_ECHO_RQ[:20]), pdv(1, 3, bytes_of.C_ECHO_RQ[20:])),
    p_data_tf(pdv(1, 3, bytes_of.C_ECHO_RQ), pdv(3, 0, b"", length=1)),
    p_data_tf(pdv(1, 3, bytes_of.C_ECHO_RQ[:-1])),
    RELEASE_RQ,
    RELEASE_RP,
    ABORT,
    pdu(5, bytes(5)),
    pdu(1, b"", length=1 << 31),
    pdu(4, b"", length=1 << 31),
    b"\x08",
    b"",
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Draw what a peer may send: mostly a request first, then anything, some bytes wrong."""
    start = draw(st.sampled_from([STORE_RQ.encode(), STORE_RQ.encode(), b""]))
    octets = bytearray(start + b"".join(draw(st.lists(st.sampled_from(PIECES), max_size=8))))
    if octets:
        for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
            octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
    return bytes(octets)


def cut(octets: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    """Yield the bytes in pieces."""
    ends = sorted({0, len(octets), *(where % (len(octets) + 1) for where in cuts)})
    return (octets[start:end] for start, end in pairwise(ends))


class ChunkingTests(Case):
    def serve(self, chunks: Iterable[bytes]) -> tuple[object, ...]:
        """Let an acceptor serve the chunks, and return all that can be seen of it."""
        end = AssociationEnd(ScriptedUser())
        end.connect()
        for chunk in chunks:
            end.association.receive_bytes(chunk)
        user = end.user
        return (
            end.transport.take(),
            end.transport.closing,
            end.association.state,
            end.artim.running,
            end.artim.starts,
            user.told,
            user.requests,
            user.commands,
            [(ending.outcome, repr(ending.cause)) for ending in user.endings],
            [(sink.abandoned, b"" if sink.abandoned else bytes(sink.data)) for sink in user.sinks],
            end.association.is_over,
        )

    @requirement("A10", "B10")
    @given(octets=streams(), cuts=st.lists(st.integers(0, 1 << 16), max_size=30))
    def test_any_chunks(self, octets: bytes, cuts: list[int]) -> None:
        """However bytes are cut, the same is answered and told; nothing but an end comes of any."""
        whole = self.serve([octets])
        self.assertEqual(self.serve(cut(octets, cuts)), whole)
        self.assertEqual(self.serve(octets[n : n + 1] for n in range(len(octets))), whole)


class StoryTests(Case):
    """Whatever happens in whatever order."""

    STEPS: Final[Mapping[str, Callable[[Association], object]]] = {
        "accept": lambda it: it.accept(associate_ac()),
        "reject": lambda it: it.reject(AAssociateRJ(1, 1, 1)),
        "send": lambda it: it.send(1, CEchoRQ(1)),
        "release": lambda it: it.release(),
        "respond": lambda it: it.respond_release(),
        "abort": lambda it: it.abort(),
        "pause": lambda it: it.pause(),
        "resume": lambda it: it.resume(),
        "late ARTIM": lambda it: it.artim_expired(),
    }

    def do(self, end: AssociationEnd, step: Any) -> None:
        """Let one thing happen, if it can."""
        association = end.association
        if step == "connect":
            if not (end.connected or association.is_over):
                end.connect()
        elif step == "lose":
            end.disconnect()
        elif isinstance(step, bytes):
            if end.connected:
                association.receive_bytes(step)
        else:
            with contextlib.suppress(OutOfSequence, NoPresentationContext):
                self.STEPS[step](association)

    @requirement("H6", "H7", "H8", "H9")
    @given(
        requestor=st.booleans(),
        scripted=st.booleans(),
        steps=st.lists(
            st.sampled_from(["connect", *STEPS, *STEPS, "lose", *PIECES, *PIECES]) | streams()
        ),
    )
    def test_invariants(self, requestor: bool, scripted: bool, steps: list[Any]) -> None:
        """
        ARTIM runs iff in Sta2 or Sta13; the connection is open iff not in Sta1 or Sta4.

        One end is told, once, of what had begun.
        """
        user = ScriptedUser() if scripted else RecordingUser()
        end = AssociationEnd(user, requestor=requestor)
        if requestor:
            end.association.associate(associate_rq())
        for step in ["connect", *steps]:
            self.do(end, step)
            self.assert_state(end, end.association.state.name, step)
            self.assertEqual(len(user.endings), end.association.is_over)
        end.disconnect()
        end.association.connection_lost()
        self.assert_state(end, "Sta1")
        self.assertEqual(user.told.count("association_ended"), 1)
        whole = [message.sink for message in user.messages if message.sink is not None]
        for sink in user.sinks:
            self.assertNotEqual(sink.abandoned, any(sink is other for other in whole))
