"""
The state table of the upper layer as the standard prints it (PS3.8 Table 9-10).

A cell names the action; what the action does and where it leads is in `actions`. A dot is a
combination that the standard leaves undefined, and stays so: what a running server needs
beyond the table is a timer of the shell's or a rule of `Association`, not a cell.
"""

from __future__ import annotations

TABLE_9_10 = """
                       Sta1 Sta2 Sta3 Sta4 Sta5 Sta6 Sta7 Sta8 Sta9 Sta10 Sta11 Sta12 Sta13
a_associate_request    AE-1 .    .    .    .    .    .    .    .    .     .     .     .
transport_connected    .    .    .    AE-2 .    .    .    .    .    .     .     .     .
a_associate_ac         .    AA-1 AA-8 .    AE-3 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8  AA-8  AA-6
a_associate_rj         .    AA-1 AA-8 .    AE-4 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8  AA-8  AA-6
transport_accepted     AE-5 .    .    .    .    .    .    .    .    .     .     .     .
a_associate_rq         .    AE-6 AA-8 .    AA-8 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8  AA-8  AA-7
a_associate_accept     .    .    AE-7 .    .    .    .    .    .    .     .     .     .
a_associate_reject     .    .    AE-8 .    .    .    .    .    .    .     .     .     .
p_data_request         .    .    .    .    .    DT-1 .    AR-7 .    .     .     .     .
p_data_tf              .    AA-1 AA-8 .    AA-8 DT-2 AR-6 AA-8 AA-8 AA-8  AA-8  AA-8  AA-6
a_release_request      .    .    .    .    .    AR-1 .    .    .    .     .     .     .
a_release_rq           .    AA-1 AA-8 .    AA-8 AR-2 AR-8 AA-8 AA-8 AA-8  AA-8  AA-8  AA-6
a_release_rp           .    AA-1 AA-8 .    AA-8 AA-8 AR-3 AA-8 AA-8 AR-10 AR-3  AA-8  AA-6
a_release_response     .    .    .    .    .    .    .    AR-4 AR-9 .     .     AR-4  .
a_abort_request        .    .    AA-1 AA-2 AA-1 AA-1 AA-1 AA-1 AA-1 AA-1  AA-1  AA-1  .
a_abort                .    AA-2 AA-3 .    AA-3 AA-3 AA-3 AA-3 AA-3 AA-3  AA-3  AA-3  AA-2
transport_closed       .    AA-5 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4  AA-4  AA-4  AR-5
artim_expired          .    AA-2 .    .    .    .    .    .    .    .     .     .     AA-2
invalid_pdu            .    AA-1 AA-8 .    AA-8 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8  AA-8  AA-7
"""

UNDEFINED = "."


def read_table(text: str) -> dict[str, dict[str, str]]:
    """Return the defined cells of a table: rows by event, each with its actions by state."""
    header, *rows = text.strip().splitlines()
    states = header.split()
    table = {}
    for row in rows:
        event, *cells = row.split()
        filled = zip(states, cells, strict=True)
        table[event] = {state: cell for state, cell in filled if cell != UNDEFINED}
    return table
