"""
The messages of the normalized services, DIMSE-N (PS3.7 section 10.3).

Fields have the standard's names; what it makes mandatory has no default, or the usual one.
Where the standard leaves it to the user whether a data set follows, the default is none.
"""

from __future__ import annotations

import attrs

from pacs_twisted.dimse._command import DATA_SET, NO_DATA_SET, Request, Response


@attrs.frozen
class NEventReportRSP(Response):
    """N-EVENT-REPORT-RSP (PS3.7 section 10.3.1.2)."""

    command_field = 0x8100

    affected_sop_class_uid: str | None = None
    affected_sop_instance_uid: str | None = None
    event_type_id: int | None = None
    error_comment: str | None = None
    error_id: int | None = None
    command_data_set_type: int = NO_DATA_SET


@attrs.frozen
class NEventReportRQ(Request[NEventReportRSP]):
    """N-EVENT-REPORT-RQ: something happened to an instance (PS3.7 section 10.3.1.1)."""

    command_field = 0x0100
    response = NEventReportRSP

    affected_sop_class_uid: str
    affected_sop_instance_uid: str
    event_type_id: int
    command_data_set_type: int = NO_DATA_SET


@attrs.frozen
class NGetRSP(Response):
    """N-GET-RSP: the attributes follow (PS3.7 section 10.3.2.2)."""

    command_field = 0x8110

    affected_sop_class_uid: str | None = None
    affected_sop_instance_uid: str | None = None
    attribute_identifier_list: tuple[int, ...] = ()
    error_comment: str | None = None
    error_id: int | None = None
    command_data_set_type: int = NO_DATA_SET


@attrs.frozen
class NGetRQ(Request[NGetRSP]):
    """N-GET-RQ: tell attributes of an instance, all if none is listed (PS3.7 section 10.3.2.1)."""

    command_field = 0x0110
    response = NGetRSP

    requested_sop_class_uid: str
    requested_sop_instance_uid: str
    attribute_identifier_list: tuple[int, ...] = ()
    command_data_set_type: int = NO_DATA_SET


@attrs.frozen
class NSetRSP(Response):
    """N-SET-RSP (PS3.7 section 10.3.3.2)."""

    command_field = 0x8120

    affected_sop_class_uid: str | None = None
    affected_sop_instance_uid: str | None = None
    attribute_identifier_list: tuple[int, ...] = ()
    error_comment: str | None = None
    error_id: int | None = None
    command_data_set_type: int = NO_DATA_SET


@attrs.frozen
class NSetRQ(Request[NSetRSP]):
    """N-SET-RQ: change an instance as the data set says (PS3.7 section 10.3.3.1)."""

    command_field = 0x0120
    response = NSetRSP

    requested_sop_class_uid: str
    requested_sop_instance_uid: str
    command_data_set_type: int = DATA_SET


@attrs.frozen
class NActionRSP(Response):
    """N-ACTION-RSP (PS3.7 section 10.3.4.2)."""

    command_field = 0x8130

    affected_sop_class_uid: str | None = None
    affected_sop_instance_uid: str | None = None
    action_type_id: int | None = None
    error_comment: str | None = None
    error_id: int | None = None
    command_data_set_type: int = NO_DATA_SET


@attrs.frozen
class NActionRQ(Request[NActionRSP]):
    """N-ACTION-RQ: do something to an instance (PS3.7 section 10.3.4.1)."""

    command_field = 0x0130
    response = NActionRSP

    requested_sop_class_uid: str
    requested_sop_instance_uid: str
    action_type_id: int
    command_data_set_type: int = NO_DATA_SET


@attrs.frozen
class NCreateRSP(Response):
    """N-CREATE-RSP (PS3.7 section 10.3.5.2)."""

    command_field = 0x8140

    affected_sop_class_uid: str | None = None
    affected_sop_instance_uid: str | None = None
    attribute_identifier_list: tuple[int, ...] = ()
    error_comment: str | None = None
    error_id: int | None = None
    command_data_set_type: int = NO_DATA_SET


@attrs.frozen
class NCreateRQ(Request[NCreateRSP]):
    """N-CREATE-RQ: make an instance; who is asked may choose its UID (PS3.7 section 10.3.5.1)."""

    command_field = 0x0140
    response = NCreateRSP

    affected_sop_class_uid: str
    affected_sop_instance_uid: str | None = None
    command_data_set_type: int = NO_DATA_SET


@attrs.frozen
class NDeleteRSP(Response):
    """N-DELETE-RSP (PS3.7 section 10.3.6.2)."""

    command_field = 0x8150

    affected_sop_class_uid: str | None = None
    affected_sop_instance_uid: str | None = None
    error_comment: str | None = None
    error_id: int | None = None
    command_data_set_type: int = NO_DATA_SET


@attrs.frozen
class NDeleteRQ(Request[NDeleteRSP]):
    """N-DELETE-RQ: forget an instance (PS3.7 section 10.3.6.1)."""

    command_field = 0x0150
    response = NDeleteRSP

    requested_sop_class_uid: str
    requested_sop_instance_uid: str
    command_data_set_type: int = NO_DATA_SET
