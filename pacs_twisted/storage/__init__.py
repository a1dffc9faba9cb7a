"""
Storage of composite objects, both roles (PS3.4 annex B), as files of PS3.10.

Send what is in a directory:

    summary = await send("tcp:pacs:11112", ["scans/"], called="PACS", calling="CT1")
    print(summary.successes, summary.failures)

Store what comes, under a directory:

    disk, store = DiskPool(reactor), FileStore("/srv/dicom")
    disk.start()
    store.open()
    entity = ApplicationEntity("PACS", [Storage(store, disk=disk), Verification()])

Take small objects into an application:

    entity = ApplicationEntity("MY_SCP", [StorageInMemory(received)])
"""

from pacs_twisted.storage.conversion import Conversion, NotConvertible
from pacs_twisted.storage.deposit import Store, Temporary
from pacs_twisted.storage.disk import Disk, DiskPool, DiskQueue, InlineDisk
from pacs_twisted.storage.files import (
    Committed,
    Crowded,
    Existing,
    FileStore,
    Incoming,
    Leftovers,
    Refused,
)
from pacs_twisted.storage.memory import ReceivedInstance, StorageInMemory
from pacs_twisted.storage.objects import NotStorable, StorableObject
from pacs_twisted.storage.outcomes import Category, Outcome, Progress, Summary
from pacs_twisted.storage.part10 import FileMeta, NeedMore, NotPart10, read_file_meta
from pacs_twisted.storage.paths import DEFAULT_TEMPLATE, PathTemplate, is_plausible_uid
from pacs_twisted.storage.proposals import Need, Offer, propose
from pacs_twisted.storage.received import AfterCommit, BeforeCommit, Received, Stored
from pacs_twisted.storage.sender import Retry, Sender, send
from pacs_twisted.storage.service import Storage
from pacs_twisted.storage.sop_classes import RETIRED, STORAGE_SOP_CLASSES
from pacs_twisted.storage.transfer_syntaxes import TRANSFER_SYNTAXES, prefer

__all__ = [
    "DEFAULT_TEMPLATE",
    "RETIRED",
    "STORAGE_SOP_CLASSES",
    "TRANSFER_SYNTAXES",
    "AfterCommit",
    "BeforeCommit",
    "Category",
    "Committed",
    "Conversion",
    "Crowded",
    "Disk",
    "DiskPool",
    "DiskQueue",
    "Existing",
    "FileMeta",
    "FileStore",
    "Incoming",
    "InlineDisk",
    "Leftovers",
    "Need",
    "NeedMore",
    "NotConvertible",
    "NotPart10",
    "NotStorable",
    "Offer",
    "Outcome",
    "PathTemplate",
    "Progress",
    "Received",
    "ReceivedInstance",
    "Refused",
    "Retry",
    "Sender",
    "StorableObject",
    "Storage",
    "StorageInMemory",
    "Store",
    "Stored",
    "Summary",
    "Temporary",
    "is_plausible_uid",
    "prefer",
    "propose",
    "read_file_meta",
    "send",
]
