"""The Verification service (PS3.4 annex A, PS3.7 section 9.1.5): is anybody there?"""

from __future__ import annotations

from pacs_twisted.dimse import CEchoRQ, Status
from pacs_twisted.services.service import RequestContext, TransferSyntaxes
from pacs_twisted.uids import VERIFICATION


class Verification:
    """Answer each C-ECHO with success."""

    sop_classes = {VERIFICATION: TransferSyntaxes.UNCOMPRESSED}  # noqa: RUF012

    def c_echo(self, request: CEchoRQ, context: RequestContext) -> Status:
        """Serve a C-ECHO-RQ: there is nothing that could fail."""
        return Status.SUCCESS
