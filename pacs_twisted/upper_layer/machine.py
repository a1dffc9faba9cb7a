"""
The upper layer state machine: Table 9-10 built into an Automat machine (PS3.8 section 9.2).

Two machines come from the one table, for requestor and acceptor, because AR-8 leads to another
state in each.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from automat import TypeMachineBuilder

from pacs_twisted.upper_layer.actions import ACTIONS, Action, Core, Events, State
from pacs_twisted.upper_layer.table import TABLE_9_10, read_table

MachineFactory = Callable[[Core], Events]


def _entering(action: Action, event: str, old: State, new: State) -> Callable[..., None]:
    """Return what Automat calls for one cell: note the state, tell the tracer, do the action."""
    do, name = action.do, action.name

    def straight(machine: Any, data: object, argument: Any) -> None:
        core = machine.__automat_core__
        core.previous, core.state = old, new
        if core.tracer is not None:
            core.tracer(old, event, name, new, argument)
        do(machine, core, argument)

    def enter(events: Events, core: Core, argument: Any) -> None:
        straight(events, None, argument)

    enter.straight = straight  # type: ignore[attr-defined]
    return enter


def build_machine(*, requestor: bool) -> MachineFactory:
    """
    Return what makes a machine of Table 9-10 for a `Core`.

    An event that the table leaves undefined in the present state raises `automat.NoTransition`.
    """
    builder = TypeMachineBuilder(Events, Core)
    states = {state: builder.state(state.name) for state in State}
    for event, cells in read_table(TABLE_9_10).items():
        for cell, name in cells.items():
            action = ACTIONS[name]
            old = State[cell]
            new = action.requestor_to if requestor else action.acceptor_to
            transition = states[old].upon(getattr(Events, event)).to(states[new])
            transition(_entering(action, event, old, new))
    factory = builder.build()
    _memoize_transitions(builder)
    return factory


def _memoize_transitions(builder: TypeMachineBuilder[Events, Core]) -> None:
    """
    Let the automaton find each transition once.

    Automat scans all transitions at every input, 4 to 65 µs with a table of this size against
    under 1 µs from a dictionary. The transitions are final once the machine is built. What is
    kept calls the action without the detour by which Automat hands over the data of a state:
    ours have none. The attributes are private, so an Automat that has them no more runs as it is.
    """
    automaton = getattr(builder, "_automaton", None)
    find = getattr(automaton, "outputForInput", None)
    if automaton is None or find is None:
        warnings.warn(
            "this release of Automat keeps its transitions elsewhere: they are not memoized",
            RuntimeWarning,
            stacklevel=3,
        )
        return
    found: dict[tuple[Any, Any], Any] = {}

    def output_for_input(state: Any, symbol: Any) -> Any:
        key = (state.name, symbol)
        transition = found.get(key)
        if transition is None:
            new, outputs = find(state, symbol)
            transition = found[key] = new, [_straight(output) for output in outputs]
        return transition

    automaton.outputForInput = output_for_input


def _straight(output: Any) -> Callable[..., None]:
    """Return what does the same as one of Automat's outputs, for a machine without data."""
    straight: Callable[..., None] = getattr(getattr(output, "method", None), "straight", output)
    return straight


requestor_machine = build_machine(requestor=True)
acceptor_machine = build_machine(requestor=False)
