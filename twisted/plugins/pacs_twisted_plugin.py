"""twistd drop-in: makes ``twistd pacs-echo`` available."""

from twisted.application.service import ServiceMaker

pacsEcho = ServiceMaker("PACS echo", "pacs_twisted.tap.echo", "A DICOM C-ECHO SCP.", "pacs-echo")  # noqa: N816
