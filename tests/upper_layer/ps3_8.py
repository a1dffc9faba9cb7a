"""
PS3.8 section 9.2 as a reader takes it from the page: Table 9-10 and Tables 9-6 to 9-9.

Transcribed for the tests alone, from the standard and not from the code under test.
"""

from __future__ import annotations

from typing import Final

STATES: Final = tuple(f"Sta{number}" for number in range(1, 14))

# `-` is a combination that the standard leaves undefined. 3/13 is decided by AE-6 and 9/10 by AR-8.
_TABLE_9_10: Final = """
event,Sta1,Sta2,Sta3,Sta4,Sta5,Sta6,Sta7,Sta8,Sta9,Sta10,Sta11,Sta12,Sta13
Evt1,AE-1>4,-,-,-,-,-,-,-,-,-,-,-,-
Evt2,-,-,-,AE-2>5,-,-,-,-,-,-,-,-,-
Evt3,-,AA-1>13,AA-8>13,-,AE-3>6,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-6>13
Evt4,-,AA-1>13,AA-8>13,-,AE-4>1,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-6>13
Evt5,AE-5>2,-,-,-,-,-,-,-,-,-,-,-,-
Evt6,-,AE-6>3/13,AA-8>13,-,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-7>13
Evt7,-,-,AE-7>6,-,-,-,-,-,-,-,-,-,-
Evt8,-,-,AE-8>13,-,-,-,-,-,-,-,-,-,-
Evt9,-,-,-,-,-,DT-1>6,-,AR-7>8,-,-,-,-,-
Evt10,-,AA-1>13,AA-8>13,-,AA-8>13,DT-2>6,AR-6>7,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-6>13
Evt11,-,-,-,-,-,AR-1>7,-,-,-,-,-,-,-
Evt12,-,AA-1>13,AA-8>13,-,AA-8>13,AR-2>8,AR-8>9/10,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-6>13
Evt13,-,AA-1>13,AA-8>13,-,AA-8>13,AA-8>13,AR-3>1,AA-8>13,AA-8>13,AR-10>12,AR-3>1,AA-8>13,AA-6>13
Evt14,-,-,-,-,-,-,-,AR-4>13,AR-9>11,-,-,AR-4>13,-
Evt15,-,-,AA-1>13,AA-2>1,AA-1>13,AA-1>13,AA-1>13,AA-1>13,AA-1>13,AA-1>13,AA-1>13,AA-1>13,-
Evt16,-,AA-2>1,AA-3>1,-,AA-3>1,AA-3>1,AA-3>1,AA-3>1,AA-3>1,AA-3>1,AA-3>1,AA-3>1,AA-2>1
Evt17,-,AA-5>1,AA-4>1,AA-4>1,AA-4>1,AA-4>1,AA-4>1,AA-4>1,AA-4>1,AA-4>1,AA-4>1,AA-4>1,AR-5>1
Evt18,-,AA-2>1,-,-,-,-,-,-,-,-,-,-,AA-2>1
Evt19,-,AA-1>13,AA-8>13,-,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-8>13,AA-7>13
"""

ACTION_COUNTS: Final = {
    **dict.fromkeys(("AE-1", "AE-2", "AE-3", "AE-4", "AE-5", "AE-6", "AE-7", "AE-8"), 1),
    **dict.fromkeys(("DT-1", "DT-2"), 1),
    **dict.fromkeys(("AR-1", "AR-2", "AR-5", "AR-6", "AR-7", "AR-8", "AR-9", "AR-10"), 1),
    **{"AR-3": 2, "AR-4": 2},
    **{"AA-1": 15, "AA-2": 5, "AA-3": 9, "AA-4": 10, "AA-5": 1, "AA-6": 5, "AA-7": 2, "AA-8": 54},
}
"""How often each action stands in Table 9-10."""

# What each action does, in the standard's order: `send` a PDU, `tell` the user, the ARTIM timer,
# the transport connection.
ACTIONS: Final[dict[str, tuple[str, ...]]] = {
    "AE-1": ("connect",),
    "AE-2": ("send A-ASSOCIATE-RQ",),
    "AE-3": ("tell a_associate_confirmation",),
    "AE-4": ("tell a_associate_confirmation", "close"),
    "AE-5": ("start ARTIM",),
    "AE-6": ("stop ARTIM", "tell a_associate_indication"),
    "AE-7": ("send A-ASSOCIATE-AC",),
    "AE-8": ("send A-ASSOCIATE-RJ", "start ARTIM"),
    "DT-1": ("send P-DATA-TF",),
    "DT-2": ("tell p_data_indication",),
    "AR-1": ("send A-RELEASE-RQ",),
    "AR-2": ("tell a_release_indication",),
    "AR-3": ("tell a_release_confirmation", "close"),
    "AR-4": ("send A-RELEASE-RP", "start ARTIM"),
    "AR-5": ("stop ARTIM",),
    "AR-6": ("tell p_data_indication",),
    "AR-7": ("send P-DATA-TF",),
    "AR-8": ("tell a_release_indication",),
    "AR-9": ("send A-RELEASE-RP",),
    "AR-10": ("tell a_release_confirmation",),
    "AA-1": ("send A-ABORT by user", "start ARTIM"),
    "AA-2": ("stop ARTIM", "close"),
    "AA-3": ("tell a_abort_indication", "close"),
    "AA-4": ("tell a_p_abort_indication",),
    "AA-5": ("stop ARTIM",),
    "AA-6": (),
    "AA-7": ("send A-ABORT by provider",),
    "AA-8": ("send A-ABORT by provider", "tell a_p_abort_indication", "start ARTIM"),
}

EVENTS: Final = {
    "Evt1": "a_associate_request",
    "Evt2": "transport_connected",
    "Evt3": "a_associate_ac",
    "Evt4": "a_associate_rj",
    "Evt5": "transport_accepted",
    "Evt6": "a_associate_rq",
    "Evt7": "a_associate_accept",
    "Evt8": "a_associate_reject",
    "Evt9": "p_data_request",
    "Evt10": "p_data_tf",
    "Evt11": "a_release_request",
    "Evt12": "a_release_rq",
    "Evt13": "a_release_rp",
    "Evt14": "a_release_response",
    "Evt15": "a_abort_request",
    "Evt16": "a_abort",
    "Evt17": "transport_closed",
    "Evt18": "artim_expired",
    "Evt19": "invalid_pdu",
}
"""The methods that stand for the events."""


def _read() -> dict[tuple[str, str], tuple[str, str]]:
    header, *rows = (line.split(",") for line in _TABLE_9_10.split())
    return {
        (state, event): (cell.split(">")[0], cell.split(">")[1])
        for event, *cells in rows
        for state, cell in zip(header[1:], cells, strict=True)
        if cell != "-"
    }


TABLE: Final = _read()
"""Action and next states by state and event; the undefined cells are left out."""


def next_state(state: str, event: str, *, requestor: bool, objection: bool = False) -> str:
    """
    Return where a defined cell leads.

    Args:
        state: such as "Sta6".
        event: such as "Evt10".
        requestor: whether we asked for the association (AR-8).
        objection: whether the provider rejects an A-ASSOCIATE-RQ by itself (AE-6).
    """
    action, numbers = TABLE[state, event]
    first, _, second = numbers.partition("/")
    take_second = objection if action == "AE-6" else not requestor
    return f"Sta{second if second and take_second else first}"
