"""twistd drop-in: makes ``twistd pacs-echo`` and ``twistd pacs-store`` available."""

from twisted.application.service import ServiceMaker

pacsEcho = ServiceMaker("PACS echo", "pacs_twisted.tap.echo", "A DICOM C-ECHO SCP.", "pacs-echo")  # noqa: N816
pacsStore = ServiceMaker(  # noqa: N816
    "PACS store", "pacs_twisted.tap.store", "A DICOM C-STORE and C-ECHO SCP.", "pacs-store"
)
