"""Whatever peers do, in any order, the server keeps its accounts and gives everything back."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from pacs_twisted.admission import AdmissionPolicy, Limits
from pacs_twisted.dimse import Status
from pacs_twisted.net import Timeouts
from pacs_twisted.upper_layer.actions import State
from tests import LONG
from tests.net.memory import (
    ABORT,
    RELEASE_RP,
    RELEASE_RQ,
    Peer,
    ServerCase,
    associate_rq,
    cancel_rq,
    echo_rq,
    window,
)
from tests.net.test_operations import Service, Trouble

PLACES = 3
CONNECTIONS = 6
UNFINISHED = 3000

WORDS = {
    "A-ASSOCIATE-RQ": associate_rq(),
    "with a window": associate_rq(user_items=window(0)),
    "tiny": associate_rq(maximum_length=8),
    "other version": associate_rq(version=2),
    "foreign": associate_rq(b"\0"),
    "long": b"\x01\x00\x00\x00\x10\x00" + bytes(2000),
    "C-ECHO-RQ": echo_rq(1),
    "another": echo_rq(2),
    "many": b"".join(map(echo_rq, range(200))),
    "C-CANCEL-RQ": cancel_rq(1),
    "half": echo_rq(3)[:30],
    "release": RELEASE_RQ,
    "released": RELEASE_RP,
    "abort": ABORT,
    "nonsense": b"GET / HTTP/1.1\r\n\r\n",
    "nothing": b"",
}
SERVED_IN_TIME = frozenset({State.Sta2, State.Sta13})
ON_PLACES = frozenset(State) - {State.Sta1, State.Sta2, State.Sta13}


class Server(ServerCase):
    """The server under test, outside of a test."""

    def runTest(self) -> None:  # noqa: N802
        """Trial wants one."""


class Crowd(RuleBasedStateMachine):
    """Peers, services and administrators who do as they like."""

    test: SynchronousTestCase  # that runs, and to which errors in the log go

    def __init__(self) -> None:
        super().__init__()
        self.case = Server()
        self.peers: list[Peer] = []
        self.judgements: list[Deferred[Any]] = []
        self.service = Service()
        self.slow_judge = False

    @initialize(
        idle_action=st.sampled_from(["abort", "release"]),
        handler=st.sampled_from([0.0, 7.0]),
        operations=st.sampled_from([0, 1, 2]),
        slow_judge=st.booleans(),
        slow_service=st.booleans(),
    )
    def begin(
        self,
        idle_action: str,
        handler: float,
        operations: int,
        slow_judge: bool,
        slow_service: bool,
    ) -> None:
        self.case.setUp()
        self.slow_judge = slow_judge
        if not slow_service:
            self.service.answer = lambda *_: Status.SUCCESS
        policy = AdmissionPolicy(
            limits=Limits(associations=PLACES, connections=CONNECTIONS, per_host=2)
        )
        machine = self

        class Judge:
            limits = policy.limits

            def judge(self, applicant: Any) -> Deferred[Any]:
                judgement = policy.judge(applicant)
                if judgement is not None or not machine.slow_judge:
                    return succeed(judgement)
                machine.judgements.append(Deferred())
                return machine.judgements[-1]

        self.case.make_factory(
            services=[self.service],
            admission=Judge(),
            idle_action=idle_action,
            maximum_operations=operations,
            maximum_unfinished=UNFINISHED,
            timeouts=Timeouts(artim=10, acse=11, idle=12, pdu=13, handler=handler, send=9),
        )

    def choose(self, data: st.DataObject) -> Peer:
        """Return one of the peers that are there."""
        return data.draw(st.sampled_from(self.peers))

    @rule(host=st.sampled_from(["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"]), wrapped=st.booleans())
    def connect(self, host: str, wrapped: bool) -> None:
        peer = self.case.connect(host, wrapped=wrapped)
        if not peer.is_closed:
            self.peers.append(peer)

    @precondition(lambda self: self.peers)
    @rule(data=st.data(), words=st.lists(st.sampled_from(sorted(WORDS)), max_size=3))
    def send(self, data: st.DataObject, words: list[str]) -> None:
        self.choose(data).send(*(WORDS[word] for word in words))

    @precondition(lambda self: self.peers)
    @rule(data=st.data(), room=st.sampled_from([0, 1, 100, 5000, 1 << 40]))
    def read(self, data: st.DataObject, room: int) -> None:
        self.choose(data).read(room)

    @precondition(lambda self: self.peers)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        self.choose(data).close()

    @precondition(lambda self: self.peers)
    @rule(data=st.data())
    def reset(self, data: st.DataObject) -> None:
        self.choose(data).reset()

    @precondition(lambda self: self.peers)
    @rule(data=st.data(), what=st.sampled_from(["abort", "fail", "drop"]))
    def interfere(self, data: st.DataObject, what: str) -> None:
        connection = self.choose(data).connection
        if what == "abort":
            connection.association.abort()
        elif what == "drop":
            connection.drop()
        else:

            def bug() -> None:
                raise Trouble

            connection.guard(bug)
            self.test.flushLoggedErrors(Trouble)
        self.case.reactor.run()

    @precondition(lambda self: self.service.pending)
    @rule(data=st.data(), result=st.sampled_from([Status.SUCCESS, Trouble(), None]))
    def answer(self, data: st.DataObject, result: Any) -> None:
        message_id = data.draw(st.sampled_from(sorted(self.service.pending)))
        deferred = self.service.pending.pop(message_id)
        if deferred.called:
            return
        if isinstance(result, Exception):
            deferred.errback(result)
        else:
            deferred.callback(result)
        self.case.reactor.run()
        self.test.flushLoggedErrors(Trouble, TypeError)

    @precondition(lambda self: self.judgements)
    @rule(fails=st.booleans())
    def judge(self, fails: bool) -> None:
        judgement = self.judgements.pop()
        if not judgement.called:
            if fails:
                judgement.errback(Trouble())
            else:
                judgement.callback(None)
        self.case.reactor.run()
        self.test.flushLoggedErrors(Trouble)

    @rule(seconds=st.sampled_from([0.5, 5, 9, 10, 12]))
    def wait(self, seconds: float) -> None:
        self.case.reactor.wait(seconds, 0.5)

    @rule(what=st.sampled_from(["drain", "undrain", "reconfigure"]))
    def administrate(self, what: str) -> None:
        if what == "reconfigure":
            self.case.factory.reconfigure(timeouts=Timeouts(artim=8, idle=12, pdu=5, send=9))
        else:
            getattr(self.case.factory, what)()

    @invariant()
    def accounts(self) -> None:
        """The table, the limits, the sum of what is held, and the timers are right."""
        if not hasattr(self.case, "factory"):
            return
        factory: Any = self.case.factory
        self.peers = [peer for peer in self.peers if not peer.is_closed]
        here = [peer.connection for peer in self.peers]
        assert set(factory.connections) == set(here)
        assert len(here) <= CONNECTIONS
        assert factory.association_count <= PLACES
        held = sum(connection.association.reader.held for connection in here)
        assert factory._held_in_all == sum(factory._held.values()) <= UNFINISHED
        assert factory._held_in_all <= held or not held
        for connection in here:
            state = connection.association.state
            placed = connection in factory._places
            assert not placed or state in ON_PLACES, state
            assert connection._artim.running == (state in SERVED_IN_TIME), state
            assert state is not State.Sta1 or connection._drop_call is not None
        assert sum(factory._hosts.values()) == factory.association_count

    def teardown(self) -> None:
        """All go: nothing is left, and nothing was said that is not ours."""
        if not hasattr(self.case, "factory"):
            return
        for peer in self.peers:
            if not peer.is_closed:
                peer.reset()
        # A peer that we do not read is not seen to go, unless there is something to write.
        for message_id in list(self.service.pending):
            deferred = self.service.pending.pop(message_id)
            if not deferred.called:
                deferred.callback(Status.SUCCESS)
        self.case.reactor.wait(60, 0.5)
        self.case.assert_nothing_left()
        self.case.doCleanups()
        errors = self.test.flushLoggedErrors()
        assert not errors, errors


class InvariantTests(SynchronousTestCase):
    """The accounts of a server."""

    def test_crowd(self) -> None:
        """No slot, timer, buffer or descriptor is lost, whatever happens."""
        steps = settings(max_examples=2000 if LONG else 120, stateful_step_count=30, deadline=None)
        Crowd.test = self
        run_state_machine_as_test(Crowd, settings=steps)
