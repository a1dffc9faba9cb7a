"""
The upper layer state machine (PS3.8 section 9.2).

States are reached by events, as in life. Sta9 and Sta11 belong to the requestor of the
association, Sta10 and Sta12 to its acceptor, and the other role cannot get there: so of 494
combinations of state, event and role, 418 can be met, and that the 76 others cannot is a test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
from automat import NoTransition, TypeMachineBuilder
from automat._core import Automaton
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.errors import InvalidPDU, ProtocolError, UnexpectedPDU, UnrecognizedPDU
from pacs_twisted.pdu import (
    PDU,
    PDV,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    ContextResult,
    PDataTF,
    PDUReader,
    ProposedContext,
    UserInformation,
)
from pacs_twisted.upper_layer import machine as machine_module
from pacs_twisted.upper_layer.actions import Core, Events, State
from pacs_twisted.upper_layer.machine import (
    MachineFactory,
    acceptor_machine,
    build_machine,
    requestor_machine,
)
from pacs_twisted.upper_layer.negotiation import VERSION_NOT_SUPPORTED, judge_version
from tests import bytes_of
from tests.requirements import requirement
from tests.upper_layer import ps3_8

MACHINES: Final[Mapping[str, MachineFactory]] = {
    "requestor": requestor_machine,
    "acceptor": acceptor_machine,
}

REQUEST = AAssociateRQ(
    "ANY-SCP",
    "ECHOSCU",
    (ProposedContext(1, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",)),),
    UserInformation(16384, "1.2.3.4", "TEST_1"),
)
ACCEPT = AAssociateAC(
    (ContextResult(1, 0, "1.2.840.10008.1.2"),),
    UserInformation(16384, "1.2.3.4", "TEST_1"),
    bytes_of.TITLES,
)
REJECT = AAssociateRJ(1, 1, 7)
PDATA = PDataTF([PDV(1, 3, bytes_of.C_ECHO_RQ)])

ARGUMENTS: Final[Mapping[str, Any]] = {
    "Evt1": REQUEST,
    "Evt2": None,
    "Evt3": ACCEPT,
    "Evt4": REJECT,
    "Evt5": None,
    "Evt6": REQUEST,
    "Evt7": ACCEPT,
    "Evt8": REJECT,
    "Evt9": PDATA,
    "Evt10": PDATA,
    "Evt11": AReleaseRQ(),
    "Evt12": AReleaseRQ(),
    "Evt13": AReleaseRP(),
    "Evt14": AReleaseRP(),
    "Evt15": AAbort(),
    "Evt16": AAbort(source=2, reason=1),
    "Evt17": None,
    "Evt18": None,
    "Evt19": InvalidPDU("of no use"),
}

SENT: Final[Mapping[str, bytes]] = {
    "send A-ASSOCIATE-RQ": bytes_of.A_ASSOCIATE_RQ.octets,
    "send A-ASSOCIATE-AC": bytes_of.A_ASSOCIATE_AC.octets,
    "send A-ASSOCIATE-RJ": bytes_of.A_ASSOCIATE_RJ.octets,
    "send P-DATA-TF": bytes_of.P_DATA_TF_C_ECHO_RQ.octets,
    "send A-RELEASE-RQ": bytes_of.A_RELEASE_RQ.octets,
    "send A-RELEASE-RP": bytes_of.A_RELEASE_RP.octets,
    "send A-ABORT by user": bytes_of.A_ABORT_BY_USER.octets,
    "send A-ABORT by provider": bytes_of.A_ABORT_BY_PROVIDER.octets,  # reason 2, unexpected PDU
}

PATHS: Final[Mapping[str, Mapping[str, str]]] = {
    "requestor": {
        "Sta1": "",
        "Sta2": "Evt5",
        "Sta3": "Evt5 Evt6",
        "Sta4": "Evt1",
        "Sta5": "Evt1 Evt2",
        "Sta6": "Evt1 Evt2 Evt3",
        "Sta7": "Evt1 Evt2 Evt3 Evt11",
        "Sta8": "Evt1 Evt2 Evt3 Evt12",
        "Sta9": "Evt1 Evt2 Evt3 Evt11 Evt12",
        "Sta11": "Evt1 Evt2 Evt3 Evt11 Evt12 Evt14",
        "Sta13": "Evt1 Evt2 Evt3 Evt15",
    },
    "acceptor": {
        "Sta1": "",
        "Sta2": "Evt5",
        "Sta3": "Evt5 Evt6",
        "Sta4": "Evt1",
        "Sta5": "Evt1 Evt2",
        "Sta6": "Evt5 Evt6 Evt7",
        "Sta7": "Evt5 Evt6 Evt7 Evt11",
        "Sta8": "Evt5 Evt6 Evt7 Evt12",
        "Sta10": "Evt5 Evt6 Evt7 Evt11 Evt12",
        "Sta12": "Evt5 Evt6 Evt7 Evt11 Evt12 Evt13",
        "Sta13": "Evt5 Evt6 Evt8",
    },
}
"""How each state is reached from Sta1."""

TRANSPORT_OPEN: Final = frozenset(ps3_8.STATES) - {"Sta1", "Sta4"}
ARTIM_RUNS: Final = frozenset({"Sta2", "Sta13"})


class Recorder:
    """
    Transport, ARTIM timer and user in one: notes what the machine asks of them.

    Args:
        objection: what the provider has against an A-ASSOCIATE-RQ.
    """

    def __init__(self, objection: AAssociateRJ | None = None) -> None:
        self.calls: list[tuple[str, object]] = []
        self.transitions: list[tuple[str, str, str, str, object]] = []
        self.artim_runs = False
        self.transport_open = False
        self.objection = objection

    def __getattr__(self, name: str) -> Any:
        """Return an indication or confirmation of the user's, which notes that it was called."""
        if not name.startswith(("a_", "p_")):
            raise AttributeError(name)
        return lambda argument: self.calls.append((f"tell {name}", argument))

    def connect(self) -> None:
        self.calls.append(("connect", None))

    def send_parts(self, parts: list[bytes | memoryview]) -> None:
        self.send(b"".join(parts))

    def send(self, data: bytes) -> None:
        assert self.transport_open, "sent without a connection"
        self.calls.append(("send", data))

    def close(self) -> None:
        self.transport_open = False
        self.calls.append(("close", None))

    def start(self) -> None:
        self.artim_runs = True
        self.calls.append(("start ARTIM", None))

    def stop(self) -> None:
        self.artim_runs = False
        self.calls.append(("stop ARTIM", None))

    def trace(self, old: State, event: str, action: str, new: State, argument: object) -> None:
        self.transitions.append((old.name, event, action, new.name, argument))

    def forget(self) -> None:
        """Forget what was noted."""
        self.calls.clear()
        self.transitions.clear()


class Machine:
    """A machine of one role with a recorder around it."""

    def __init__(
        self,
        role: str,
        path: str = "",
        *,
        objection: AAssociateRJ | None = None,
        factory: MachineFactory | None = None,
    ) -> None:
        self.recorder = Recorder(objection)
        self.core = Core(
            transport=self.recorder,
            artim=self.recorder,
            user=self.recorder,
            objection=lambda rq: self.recorder.objection,
            tracer=self.recorder.trace,
        )
        self.inputs: Events = (factory or MACHINES[role])(self.core)
        for event in path.split():
            self.give(event)

    @property
    def state(self) -> str:
        """The present state."""
        return self.core.state.name

    def give(self, event: str, argument: object = ...) -> None:
        """Give an event by its number, with its usual argument unless told otherwise."""
        if argument is ...:
            argument = ARGUMENTS[event]
        if event in ("Evt2", "Evt5", "Evt17") and (self.state, event) in ps3_8.TABLE:
            self.recorder.transport_open = event != "Evt17"
        getattr(self.inputs, ps3_8.EVENTS[event])(argument)


def expected_calls(action: str, event: str) -> list[tuple[str, object]]:
    """Return what the standard wants an action to do upon an event with its usual argument."""
    argument = ARGUMENTS[event]
    calls: list[tuple[str, object]] = []
    for deed in ps3_8.ACTIONS[action]:
        if deed == "send A-ABORT by provider" and event == "Evt19":
            calls.append(("send", b"\x07\0\0\0\0\x04\0\0\x02\x06"))  # invalid PDU parameter value
        elif deed.startswith("send"):
            calls.append(("send", SENT[deed]))
        else:
            calls.append((deed, argument if deed.startswith("tell") else None))
    return calls


def comparable(calls: Iterable[tuple[str, object]]) -> list[tuple[str, object]]:
    """Return the calls with the reasons of provider aborts by their type alone."""
    return [
        (deed, type(value) if isinstance(value, ProtocolError) else value) for deed, value in calls
    ]


class TableTests(SynchronousTestCase):
    """Every state, event and role that can be met."""

    def check_defined(self, role: str, state: str, event: str) -> None:
        """Check action, next state and calls of one cell."""
        where = (role, state, event)
        machine = Machine(role, PATHS[role][state])
        machine.recorder.forget()
        machine.give(event)
        action, _ = ps3_8.TABLE[state, event]
        new = ps3_8.next_state(state, event, requestor=role == "requestor")
        expected = expected_calls(action, event)
        if action == "AA-8" and event != "Evt19":
            expected[1] = ("tell a_p_abort_indication", UnexpectedPDU())
        traced = (state, ps3_8.EVENTS[event], action, new, ARGUMENTS[event])
        self.assertEqual(machine.recorder.transitions, [traced], where)
        self.assertEqual(comparable(machine.recorder.calls), comparable(expected), where)
        self.assertEqual(machine.state, new, where)

    def check_undefined(self, role: str, state: str, event: str) -> None:
        """Check that an empty cell changes nothing: what follows is as if it had not been."""
        where = (role, state, event)
        machine = Machine(role, PATHS[role][state])
        machine.recorder.forget()
        before = attrs.asdict(machine.core, recurse=False)
        self.assertRaises(NoTransition, machine.give, event)
        self.assertEqual(attrs.asdict(machine.core, recurse=False), before, where)
        self.assertEqual((machine.recorder.calls, machine.recorder.transitions), ([], []), where)
        good = next(one for one in ps3_8.EVENTS if (state, one) in ps3_8.TABLE)
        machine.give(good)
        ((old, _, action, _, _),) = machine.recorder.transitions
        self.assertEqual((old, action), (state, ps3_8.TABLE[state, good][0]), where)

    @requirement("H6", "H7", "H8", "H9")
    def test_every_cell(self) -> None:
        """Each does what the standard prints, and an undefined one raises and changes nothing."""
        checked = Counter[str]()
        for role, paths in PATHS.items():
            for state, path in paths.items():
                self.assertEqual(Machine(role, path).state, state)
                for event in ps3_8.EVENTS:
                    if (state, event) in ps3_8.TABLE:
                        self.check_defined(role, state, event)
                        checked["defined"] += 1
                    else:
                        self.check_undefined(role, state, event)
                        checked["undefined"] += 1
        self.assertEqual(checked.total(), 2 * 13 * 19 - 2 * 2 * 19)

    def test_reachable_states(self) -> None:
        """The requestor meets neither Sta10 nor Sta12, the acceptor neither Sta9 nor Sta11."""
        for role, missing in (("requestor", {"Sta10", "Sta12"}), ("acceptor", {"Sta9", "Sta11"})):
            paths = {"Sta1": ""}
            waiting = ["Sta1"]
            while waiting:
                state = waiting.pop()
                for event in (event for old, event in ps3_8.TABLE if old == state):
                    path = f"{paths[state]} {event}"
                    found = Machine(role, path).state
                    if found not in paths:
                        paths[found] = path
                        waiting.append(found)
            self.assertEqual(set(ps3_8.STATES) - set(paths), missing)
            self.assertEqual(set(PATHS[role]), set(paths))

    def test_without_a_tracer(self) -> None:
        """Nobody needs to listen."""
        machine = Machine("acceptor", "Evt5")
        machine.core.tracer = None
        machine.give("Evt6")
        self.assertEqual(machine.state, "Sta3")


class ConditionalEndTests(SynchronousTestCase):
    """The two actions that lead to one state or another."""

    @requirement("F1")
    def test_version(self) -> None:
        """A request of a foreign version never reaches the user; of any other bit it does."""
        for version, told in ((1, True), (3, True), (0xFFFF, True), (0, False), (2, False)):
            machine = Machine("acceptor", "Evt5")
            machine.core.objection = judge_version
            machine.recorder.forget()
            machine.give("Evt6", attrs.evolve(REQUEST, protocol_version=version))
            deeds = [deed for deed, _ in machine.recorder.calls]
            self.assertEqual("tell a_associate_indication" in deeds, told)
            self.assertEqual(machine.state, "Sta3" if told else "Sta13")

    @requirement("F1", "F6")
    def test_provider_objects(self) -> None:
        """AE-6 with an objection: the reject, ARTIM and Sta13, and the user hears nothing."""
        objection = VERSION_NOT_SUPPORTED
        for role in MACHINES:
            machine = Machine(role, "Evt5", objection=objection)
            machine.recorder.forget()
            machine.give("Evt6")
            self.assertEqual(
                machine.recorder.calls,
                [
                    ("stop ARTIM", None),
                    ("send", bytes.fromhex("03000000000400010202")),
                    ("start ARTIM", None),
                ],
            )
            self.assertEqual(
                machine.recorder.transitions,
                [
                    ("Sta2", "a_associate_rq", "AE-6", "Sta3", REQUEST),
                    ("Sta3", "a_associate_reject", "AE-8", "Sta13", objection),
                ],
            )
            self.assertEqual(machine.state, "Sta13")

    def test_the_provider_judges_the_request(self) -> None:
        """The judgement is asked once, about the request that came."""
        machine = Machine("acceptor", "Evt5")
        asked: list[AAssociateRQ] = []
        machine.core.objection = asked.append
        machine.give("Evt6")
        self.assertEqual(asked, [REQUEST])

    def test_user_answers_within_the_indication(self) -> None:
        """A user that accepts while it is told is heard when AE-6 has ended."""
        machine = Machine("acceptor", "Evt5")
        recorder = machine.recorder
        recorder.forget()

        def accept_at_once(rq: AAssociateRQ) -> None:
            machine.inputs.a_associate_accept(ACCEPT)
            self.assertEqual(machine.state, "Sta3")

        self.patch(recorder, "a_associate_indication", accept_at_once)
        machine.give("Evt6")
        self.assertEqual(machine.state, "Sta6")
        self.assertEqual(
            recorder.calls, [("stop ARTIM", None), ("send", bytes_of.A_ASSOCIATE_AC.octets)]
        )

    def test_release_collision(self) -> None:
        """AR-8 leads to Sta9 when we asked for the association, else to Sta10."""
        for role, state in (("requestor", "Sta9"), ("acceptor", "Sta10")):
            machine = Machine(role, PATHS[role]["Sta7"])
            machine.give("Evt12")
            self.assertEqual(machine.state, state)


class ReasonTests(SynchronousTestCase):
    """The reasons of A-ABORT (PS3.8 section 9.3.8)."""

    errors: tuple[tuple[ProtocolError, int], ...] = (
        (ProtocolError("internal"), 0),
        (UnrecognizedPDU(0x47), 1),
        (UnexpectedPDU("state"), 2),
        (InvalidPDU("length"), 6),
    )

    @requirement("H8")
    def test_an_error_brings_its_reason(self) -> None:
        """AA-8 and AA-7 send the reason of what was wrong, AA-8 tells the user of it."""
        for error, reason in self.errors:
            octets = b"\x07\0\0\0\0\x04\0\0\x02" + bytes((reason,))
            for state, told in (("Sta6", [("tell a_p_abort_indication", error)]), ("Sta13", [])):
                machine = Machine("acceptor", PATHS["acceptor"][state])
                machine.recorder.forget()
                machine.give("Evt19", error)
                expected = [("send", octets), *told]
                self.assertEqual(machine.recorder.calls[: len(expected)], expected)

    @requirement("H9")
    def test_before_any_association(self) -> None:
        """AA-1 is an abort by the user even when the provider found something wrong."""
        for error, _ in self.errors:
            machine = Machine("acceptor", "Evt5")
            machine.recorder.forget()
            machine.give("Evt19", error)
            self.assertEqual(
                machine.recorder.calls,
                [("send", bytes_of.A_ABORT_BY_USER.octets), ("start ARTIM", None)],
            )

    @requirement("B4")
    def test_unknown_type(self) -> None:
        """A type that does not exist is answered by an A-ABORT wherever a connection is open."""
        for role, paths in PATHS.items():
            for state in TRANSPORT_OPEN & set(paths):
                machine = Machine(role, paths[state])
                machine.recorder.forget()
                reader = PDUReader()
                reader.feed(b"\x08")
                error = self.assertRaises(ProtocolError, reader.next_pdu)
                machine.inputs.invalid_pdu(error)
                octets = b"\0\0" if state == "Sta2" else b"\x02\x01"
                self.assertEqual(
                    machine.recorder.calls[0], ("send", b"\x07\0\0\0\0\x04\0\0" + octets)
                )
                self.assertEqual(machine.state, "Sta13")

    def test_an_unexpected_pdu_is_named(self) -> None:
        """The user is told which PDU came out of sequence, without its content."""
        machine = Machine("acceptor", PATHS["acceptor"]["Sta3"])
        machine.recorder.forget()
        machine.give("Evt6")
        _, error = machine.recorder.calls[1]
        self.assertEqual(str(error), "AAssociateRQ out of sequence")


class InvariantTests(SynchronousTestCase):
    """What holds in every state, however it was reached."""

    @given(st.sampled_from(sorted(MACHINES)), st.data())
    def test_walk(self, role: str, data: st.DataObject) -> None:
        """ARTIM runs in Sta2 and Sta13 only; the connection is open but in Sta1 and Sta4."""
        machine = Machine(role)
        for _ in range(data.draw(st.integers(1, 25))):
            events = [event for state, event in ps3_8.TABLE if state == machine.state]
            event = data.draw(st.sampled_from(events))
            objection = data.draw(st.booleans()) if event == "Evt6" else False
            machine.recorder.objection = REJECT if objection else None
            expected = ps3_8.next_state(
                machine.state, event, requestor=role == "requestor", objection=objection
            )
            machine.give(event)
            self.assertEqual(machine.state, expected)
            self.assertEqual(machine.recorder.artim_runs, machine.state in ARTIM_RUNS)
            self.assertEqual(machine.recorder.transport_open, machine.state in TRANSPORT_OPEN)

    @given(st.sampled_from(sorted(MACHINES)), st.lists(st.sampled_from(sorted(ps3_8.EVENTS))))
    def test_any_events(self, role: str, events: list[str]) -> None:
        """The same when events come that the state does not know."""
        machine = Machine(role)
        for event in events:
            defined = (machine.state, event) in ps3_8.TABLE
            try:
                machine.give(event)
            except NoTransition:
                self.assertFalse(defined)
            else:
                self.assertTrue(defined)
            self.assertEqual(machine.recorder.artim_runs, machine.state in ARTIM_RUNS)
            self.assertEqual(machine.recorder.transport_open, machine.state in TRANSPORT_OPEN)

    @requirement("A9")
    def test_lost_connection(self) -> None:
        """The loss of the connection under an association reaches the user once, as AA-4."""
        for role, paths in PATHS.items():
            for state in set(paths) - {"Sta1", "Sta2", "Sta13"}:
                machine = Machine(role, paths[state])
                machine.recorder.forget()
                machine.give("Evt17")
                self.assertEqual(machine.recorder.calls, [("tell a_p_abort_indication", None)])
                self.assertEqual(machine.state, "Sta1")

    @requirement("H7")
    def test_peer_aborts(self) -> None:
        """An A-ABORT is reported with the peer's source and reason, and never answered."""
        for abort in (AAbort(0, 0), AAbort(2, 6), AAbort(1, 77)):
            for role, paths in PATHS.items():
                for state in TRANSPORT_OPEN & set(paths):
                    machine = Machine(role, paths[state])
                    machine.recorder.forget()
                    machine.give("Evt16", abort)
                    told = [value for deed, value in machine.recorder.calls if "tell" in deed]
                    self.assertEqual(told, [] if state in ARTIM_RUNS else [abort])
                    self.assertEqual(machine.recorder.calls[-1], ("close", None))
                    self.assertNotIn("send", dict(machine.recorder.calls))


class Pair:
    """A requestor and an acceptor in data transfer, joined by their PDUs in memory."""

    def __init__(self) -> None:
        self.requestor = Machine("requestor", PATHS["requestor"]["Sta6"])
        self.acceptor = Machine("acceptor", PATHS["acceptor"]["Sta6"])
        for machine in (self.requestor, self.acceptor):
            machine.recorder.forget()

    @property
    def states(self) -> tuple[str, str]:
        """The states of both."""
        return self.requestor.state, self.acceptor.state

    def carry(self) -> None:
        """Take what each has sent or closed to the other."""
        for sender, receiver in (
            (self.requestor, self.acceptor),
            (self.acceptor, self.requestor),
        ):
            calls = sender.recorder.calls[:]
            sender.recorder.calls.clear()
            for deed, data in calls:
                if deed == "close":
                    receiver.give("Evt17")
                elif deed == "send" and isinstance(data, bytes):
                    self._receive(receiver, data)

    def _receive(self, receiver: Machine, data: bytes) -> None:
        events: dict[type[PDU], str] = {
            PDataTF: "Evt10",
            AReleaseRQ: "Evt12",
            AReleaseRP: "Evt13",
        }
        reader = PDUReader()
        reader.feed(data)
        pdu = reader.next_pdu()
        assert pdu is not None
        receiver.give(events[type(pdu)], pdu)


class ReleaseTests(SynchronousTestCase):
    """The ends of associations, told from both sides (PS3.8 section 7.2)."""

    def refused(self, machine: Machine, *events: str) -> None:
        """Check that a user's wish is refused and nothing is sent for it."""
        machine.recorder.forget()
        for event in events:
            self.assertRaises(NoTransition, machine.give, event)
        self.assertEqual(machine.recorder.calls, [])

    @requirement("H1", "H2", "H3", "H4")
    def test_release(self) -> None:
        """One asks, data still flows to it, the other answers; who asked closes."""
        pair = Pair()
        pair.requestor.give("Evt11")
        pair.carry()
        self.assertEqual(pair.states, ("Sta7", "Sta8"))
        self.refused(pair.requestor, "Evt1", "Evt7", "Evt8", "Evt9", "Evt11", "Evt14")
        pair.acceptor.give("Evt9")
        self.assertEqual(pair.states, ("Sta7", "Sta8"))
        pair.carry()
        self.assertEqual(
            [deed for deed, _ in pair.requestor.recorder.calls], ["tell p_data_indication"]
        )
        pair.acceptor.give("Evt14")
        self.assertTrue(pair.acceptor.recorder.artim_runs)
        pair.carry()
        self.assertEqual(pair.states, ("Sta1", "Sta13"))
        self.refused(pair.acceptor, "Evt1", "Evt7", "Evt8", "Evt9", "Evt11", "Evt14", "Evt15")
        pair.acceptor.give("Evt17")
        self.assertEqual(pair.states, ("Sta1", "Sta1"))
        self.assertFalse(pair.acceptor.recorder.artim_runs)

    @requirement("H1", "H2")
    def test_abort_instead(self) -> None:
        """Both sides of a release may abort it."""
        for role in MACHINES:
            for state in ("Sta7", "Sta8"):
                machine = Machine(role, PATHS[role][state])
                machine.give("Evt15")
                self.assertEqual(machine.state, "Sta13")

    @requirement("H5")
    def test_collision(self) -> None:
        """Both ask at a time: the requestor answers first, the acceptor when it has heard that."""
        pair = Pair()
        pair.requestor.give("Evt11")
        pair.acceptor.give("Evt11")
        pair.carry()
        self.assertEqual(pair.states, ("Sta9", "Sta10"))
        self.refused(pair.acceptor, "Evt14")
        pair.requestor.give("Evt14")
        pair.carry()
        self.assertEqual(pair.states, ("Sta11", "Sta12"))
        self.refused(pair.requestor, "Evt14")
        pair.acceptor.give("Evt14")
        pair.carry()
        self.assertEqual(pair.states, ("Sta1", "Sta13"))
        pair.carry()
        self.assertEqual(pair.states, ("Sta1", "Sta1"))

    @requirement("A2")
    def test_who_speaks_first(self) -> None:
        """A requestor sends its request upon the connection, an acceptor waits for it."""
        requestor = Machine("requestor", "Evt1 Evt2")
        self.assertEqual(
            requestor.recorder.calls,
            [("connect", None), ("send", bytes_of.A_ASSOCIATE_RQ.octets)],
        )
        acceptor = Machine("acceptor", "Evt5")
        self.assertEqual(acceptor.recorder.calls, [("start ARTIM", None)])

    @requirement("A3")
    def test_silent_peer(self) -> None:
        """ARTIM starts with the connection; when it runs out, that is closed and nothing sent."""
        machine = Machine("acceptor", "Evt5")
        self.assertEqual(machine.recorder.calls, [("start ARTIM", None)])
        machine.give("Evt18")
        self.assertEqual(machine.recorder.calls[1:], [("stop ARTIM", None), ("close", None)])
        self.assertEqual(machine.state, "Sta1")

    def test_artim_does_not_watch_associations(self) -> None:
        """Between the A-ASSOCIATE-RQ and the end of the association ARTIM stands still."""
        for role, paths in PATHS.items():
            for state in set(paths) - ARTIM_RUNS:
                self.assertFalse(Machine(role, paths[state]).recorder.artim_runs)


class MemoizationTests(SynchronousTestCase):
    """Automat looks each transition up once, because looking means scanning all of them."""

    def test_each_transition_is_looked_up_once(self) -> None:
        """The automaton is asked once for a state and an input, whatever the number of machines."""
        asked = Counter[tuple[str, str]]()
        find = Automaton.outputForInput

        def counting(self: Any, state: Any, symbol: Any) -> Any:
            asked[state.name, symbol] += 1
            return find(self, state, symbol)

        self.patch(Automaton, "outputForInput", counting)
        factory = build_machine(requestor=False)
        self.assertEqual(asked, {})
        for _ in range(3):
            machine = Machine("acceptor", PATHS["acceptor"]["Sta6"], factory=factory)
            for _ in range(5):
                machine.give("Evt10")
            machine.give("Evt17")
        self.assertEqual(
            asked,
            {
                ("Sta1", "transport_accepted"): 1,
                ("Sta2", "a_associate_rq"): 1,
                ("Sta3", "a_associate_accept"): 1,
                ("Sta6", "p_data_tf"): 1,
                ("Sta6", "transport_closed"): 1,
            },
        )

    def test_undefined_stays_undefined(self) -> None:
        """An empty cell raises each time."""
        machine = Machine("acceptor")
        for _ in range(3):
            self.assertRaises(NoTransition, machine.give, "Evt10")

    def test_this_automat_has_the_shape(self) -> None:
        """Building with the Automat that is installed warns of nothing."""
        build_machine(requestor=True)
        self.assertEqual(self.flushWarnings(), [])

    def test_another_automat(self) -> None:
        """With an Automat of another shape there is one warning, and the machine works."""

        class OtherBuilder:
            """A builder that keeps its automaton elsewhere."""

            def __init__(self, *arguments: Any) -> None:
                self.builder = TypeMachineBuilder(*arguments)
                self.state = self.builder.state
                self.build = self.builder.build

        self.patch(machine_module, "TypeMachineBuilder", OtherBuilder)
        factory = build_machine(requestor=False)
        (warning,) = self.flushWarnings()
        self.assertEqual(warning["category"], RuntimeWarning)
        self.assertIn("Automat", warning["message"])
        self.assertEqual(warning["filename"].removesuffix("c"), __file__.removesuffix("c"))
        machine = Machine("acceptor", PATHS["acceptor"]["Sta12"], factory=factory)
        self.assertEqual(machine.state, "Sta12")
        self.assertEqual(self.flushWarnings(), [])
