"""The Storage service: what becomes of an object that is sent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Protocol
from twisted.logger import LogLevel, formatEvent

from pacs_twisted.dimse import CStoreRQ, Status
from pacs_twisted.storage.files import Committed, Crowded, FileStore
from pacs_twisted.storage.part10 import read_file_meta
from pacs_twisted.storage.service import Storage
from pacs_twisted.storage.sop_classes import STORAGE_SOP_CLASSES
from pacs_twisted.storage.transfer_syntaxes import TRANSFER_SYNTAXES, prefer
from pacs_twisted.testing import (
    associate_rq,
    connect,
    message_pdus,
)
from pacs_twisted.uids import IMPLICIT_VR_LITTLE_ENDIAN
from tests.requirements import requirement
from tests.storage.cases import LARGE, NAME, StorageCase, store_rq
from tests.storage.fakes import (
    CT,
    INSTANCE,
    MR,
    SERIES,
    STUDY,
    data_set,
)

EMPTY_LAST_FRAGMENT = bytes.fromhex("0400 00000006 00000002 0102")


class StoringTests(StorageCase):
    """An object that comes in order."""

    @requirement("K2", "K4")
    def test_small(self) -> None:
        """A small object is one job for the disk, and then it is answered."""
        self.serve()
        requestor = self.associated()
        self.send(requestor, message_id=7)
        self.assertEqual(requestor.responses, [])
        self.assertEqual(len(self.disk.jobs), 1)
        self.assert_nothing()
        self.run_disk(requestor)
        self.assertEqual(self.disk.done, 1)
        self.assertEqual(self.store.calls, ["write", "finish", "commit"])
        self.assertEqual(
            requestor.responses, [store_rq(7).respond(Status.SUCCESS)], "class and instance too"
        )
        self.assert_file()

    @requirement("K9")
    def test_meta_group(self) -> None:
        """The meta group names what the command and the negotiation say, and who sent it."""
        self.serve(inline=True)
        data = data_set(sop_class=MR, instance="1.2.9")
        self.assertEqual(self.stored(data)[0], 0)
        self.assert_file(f"/archive/{STUDY}/{SERIES}/{INSTANCE}.dcm", data)
        meta, _ = read_file_meta(self.store.files[NAME])
        self.assertEqual(
            (
                meta.sop_class_uid,
                meta.sop_instance_uid,
                meta.transfer_syntax_uid,
                meta.source_ae_title,
            ),
            (CT, INSTANCE, IMPLICIT_VR_LITTLE_ENDIAN, "CT_1"),
        )

    @requirement("K3")
    def test_large(self) -> None:
        """A large object is written while it comes, and answered after its last byte."""
        self.serve()
        requestor = self.associated()
        data = data_set(pixels=LARGE)
        self.send(requestor, data)
        self.assertEqual(len(self.disk.jobs), 3)
        self.run_disk(requestor, 2)
        self.assertEqual(self.store.calls, ["write", "write"])
        self.assertEqual(requestor.responses, [])
        self.run_disk(requestor)
        self.assertEqual(self.answer(requestor).status, 0)
        self.assert_file(data=data)

    def test_empty_last_fragment(self) -> None:
        """Some peers end a data set by a fragment without bytes."""
        for inline in False, True:
            self.serve(inline=inline)
            self.store.files.clear()
            requestor = self.associated()
            message = bytearray(message_pdus(store_rq(), data_set()))
            at = message.rindex(data_set()) - 1
            self.assertEqual(message[at], 2)
            message[at] = 0
            requestor.pump.client_transport.write(bytes(message) + EMPTY_LAST_FRAGMENT)
            requestor.pump.flush()
            self.run_disk(requestor)
            self.assertEqual(self.answer(requestor).status, 0)
            self.assert_file()

    def test_any_chunks(self) -> None:
        """However it comes, the file has the same bytes."""
        data = data_set(pixels=LARGE[:20_000])
        rq = associate_rq([CT]).encode()
        for inline in False, True:
            for chunk_size in 7, 1000, 4100:
                self.store.files.clear()
                self.serve(inline=inline)
                pump = connect(self.factory, Protocol(), self.clock, chunk_size=chunk_size)
                pump.client_transport.write(rq + message_pdus(store_rq(), data, maximum_length=64))
                pump.flush()
                self.disk.run()
                pump.flush()
                self.assert_file(data=data)
                pump.lose()

    def test_many(self) -> None:
        """Objects of one association are stored one after another."""
        self.serve()
        requestor = self.associated()
        for number in range(5):
            instance = f"1.2.{number}"
            requestor.send(store_rq(number, instance=instance), data_set(instance=instance))
        requestor.association.release()
        requestor.pump.flush()
        self.run_disk(requestor)
        self.assertEqual(
            [int(response.status) for response in requestor.user.commands],  # type: ignore[attr-defined]
            [0] * 5,
        )
        self.assertIsNotNone(requestor.ending)
        self.assertEqual(len(self.store.files), 5)
        self.assertEqual(self.store.temporary, set())

    def test_window(self) -> None:
        """With a window, objects wait for the disk beside each other."""
        self.serve(maximum_operations=3)
        requestor = self.associated(window=3)
        for number in range(3):
            instance = f"1.2.{number}"
            requestor.send(store_rq(number, instance=instance), data_set(instance=instance))
        requestor.pump.flush()
        self.assertEqual(len(self.disk.jobs), 3)
        self.run_disk(requestor)
        self.assertEqual(len(requestor.responses), 3)
        self.assertEqual(len(self.store.files), 3)

    @requirement("K10")
    def test_deflated(self) -> None:
        """A data set is kept as it came, whatever it is labelled as."""
        deflated = "1.2.840.10008.1.2.1.99"
        self.serve(inline=True)
        for number, data in enumerate([b"no deflated stream at all", os.urandom(5000)]):
            requestor = self.associated(transfer_syntaxes=[deflated])
            instance = f"1.2.{number}"
            requestor.send(store_rq(instance=instance), data + bytes(len(data) & 1))
            requestor.pump.flush()
            self.assertEqual(self.answer(requestor).status, 0)
            name = f"/archive/no-StudyInstanceUID/no-SeriesInstanceUID/{instance}.dcm"
            content = self.store.files[name]
            meta, _ = read_file_meta(content)
            self.assertEqual(meta.transfer_syntax_uid, deflated)
            self.assertTrue(content.endswith(data + bytes(len(data) & 1)))

    def test_does_not_parse(self) -> None:
        """A data set that nobody can read is stored all the same, under the command's UID."""
        self.serve()
        for number, data in enumerate((b"\xff" * 1000, bytes(1000), b"xy", data_set()[:11] + b"?")):
            requestor = self.associated()
            self.send(requestor, data, instance=f"1.2.{number}")
            self.run_disk(requestor)
            self.assertEqual(self.answer(requestor).status, 0)
        self.assertEqual(len(self.store.files), 4)

    def test_template(self) -> None:
        """The path is made from the template, the titles among it."""
        self.serve(
            inline=True, template="{CallingAETitle}/{CalledAETitle}/{PatientID}-{SOPInstanceUID}"
        )
        data = data_set()
        self.assertEqual(self.stored(data)[0], 0)
        self.assert_file(f"/archive/CT_1/ANY-SCP/no-PatientID-{INSTANCE}", data)

    def test_files(self) -> None:
        """With the store that is shipped there are files."""
        directory = self.mktemp()
        store = FileStore(directory)
        store.open()
        self.serve(inline=True, store=store)
        data = data_set(pixels=LARGE)
        self.assertEqual(self.stored(data)[0], 0)
        path = Path(directory, STUDY, SERIES, f"{INSTANCE}.dcm")
        content = path.read_bytes()
        self.assertEqual(content[read_file_meta(content)[1] :], data)
        self.assertEqual(self.stored(data)[0], 0)
        self.assertEqual(self.stored(data_set(pixels=b"other"))[0], 0)
        self.assertEqual(len(list(path.parent.iterdir())), 2)
        self.assertEqual(len(self.events("object-beside")), 1)


class RefusalTests(StorageCase):
    """What is not stored, and what the peer is told."""

    @requirement("K5", "K7")
    def test_implausible_uid(self) -> None:
        """An instance UID that is none is refused with 0117H, before the data set has come."""
        self.serve()
        requestor = self.associated()
        for number, instance in enumerate(("../../etc/passwd", "1.2/3", "?", "..", "1.2.x")):
            request = message_pdus(store_rq(number, instance=instance), data_set(pixels=LARGE))
            requestor.pump.client_transport.write(request[:3000])
            requestor.pump.flush()
            [*_, response] = requestor.responses
            self.assertEqual(getattr(response, "status", None), 0x0117, instance)
            requestor.pump.client_transport.write(request[3000:])
            requestor.pump.flush()
            self.assertEqual(len(requestor.responses), number + 1)
        self.assertEqual(self.disk.jobs, [])
        self.assertEqual(self.store.calls, [])
        self.assertEqual(requestor.echo().status, 0)

    def test_crowded(self) -> None:
        """Where too many others have the name an object is not said to be stored already."""
        self.serve()

        def crowded(_: Path) -> Committed:
            raise Crowded("too many")

        self.store.place = crowded
        self.assertEqual(self.stored(), (0xA700, "too many objects have this name"))

    @requirement("K5")
    def test_unreadable_uid(self) -> None:
        """One that is empty, too long, or not ASCII is refused with 0212H, as in any request."""
        self.serve()
        requestor = self.associated()
        right = message_pdus(store_rq(instance=INSTANCE), data_set(instance=None))
        for number, request in enumerate(
            (
                right.replace(INSTANCE.encode(), b" " * len(INSTANCE)),
                right.replace(INSTANCE.encode(), b"1.2.3.\xe9.5"),
                message_pdus(store_rq(instance="1" * 65), data_set()),
            )
        ):
            requestor.pump.client_transport.write(request)
            requestor.pump.flush()
            self.assertEqual(len(requestor.responses), number + 1)
            self.assertEqual(getattr(requestor.responses[-1], "status", None), 0x0212)
        self.assertEqual(self.store.calls, [])

    def test_empty(self) -> None:
        """An empty data set is no object: C000H."""
        self.serve()
        requestor = self.associated()
        pdata = message_pdus(store_rq(), b"")
        requestor.pump.client_transport.write(pdata + EMPTY_LAST_FRAGMENT)
        requestor.pump.flush()
        response: Any = self.answer(requestor)
        self.assertEqual((response.status, response.error_comment), (0xC000, "empty data set"))
        self.assertEqual(self.store.calls, [])

    def test_other_class(self) -> None:
        """A SOP class other than the context's is refused with 0122H."""
        self.serve()
        requestor = self.associated()
        requestor.send(store_rq(sop_class=MR), data_set(), context_id=1)
        requestor.pump.flush()
        self.assertEqual(self.answer(requestor).status, 0x0122)

    def test_existing(self) -> None:
        """An object that is there already, where none may be replaced, is refused with 0111H."""
        self.serve()
        self.assertEqual(self.stored()[0], 0)
        before = dict(self.store.files)
        self.assertEqual(self.stored(), (0x0111, "the instance is stored already"))
        self.assertEqual(self.store.files, before)
        self.assertEqual(self.store.temporary, set())

    def test_derived(self) -> None:
        """A service that is derived decides for each object who may store."""

        class Mine(Storage):
            def c_store(self, request: CStoreRQ, context: Any) -> Any:
                if context.requestor.calling_ae_title == "CT_1":
                    return Status.NOT_AUTHORIZED
                return super().c_store(request, context)

        self.serve(kind=Mine)
        self.assertEqual(self.stored()[0], 0x0124)
        self.assert_nothing()


class MismatchTests(StorageCase):
    """Data sets with other UIDs than their commands."""

    def test_logged(self) -> None:
        """They are stored under the command's UIDs; one line an association says so."""
        self.serve()
        requestor = self.associated()
        for number in range(20):
            data = data_set(sop_class=MR, instance="1.9.9")
            self.send(requestor, data, instance=f"1.2.{number}")
            self.run_disk(requestor)
        self.assertEqual(len(self.store.files), 20)
        [event] = self.events("object-mismatch")
        self.assertEqual(event["log_level"], LogLevel.warn)
        self.assertIn("SOP class UID", formatEvent(event))
        self.assertNotIn("1.9.9", repr(event))

    def test_refused(self) -> None:
        """By option they are refused with A900H."""
        self.serve(mismatch="refuse")
        self.assertEqual(
            self.stored(data_set(sop_class=MR)), (0xA900, "other SOP class UID in the data set")
        )
        self.assertEqual(
            self.stored(data_set(instance="1.9.9")),
            (0xA900, "other SOP instance UID in the data set"),
        )
        self.assert_nothing()
        self.assertEqual(self.events("object-mismatch"), [])
        self.assertEqual(self.stored()[0], 0)

    def test_refused_late(self) -> None:
        """A data set that ends before all was found is looked at all the same."""
        self.serve(mismatch="refuse")
        head = data_set(sop_class=MR)[:60]
        self.assertEqual(self.stored(head)[0], 0xA900)
        self.assert_nothing()

    def test_refused_early(self) -> None:
        """The head of the data set is enough to refuse it; the rest is thrown away."""
        self.serve(mismatch="refuse")
        requestor = self.associated()
        pdus = message_pdus(store_rq(), data_set(sop_class=MR, pixels=LARGE))
        requestor.pump.client_transport.write(pdus[:40_000])
        requestor.pump.flush()
        self.assertEqual(self.answer(requestor).status, 0xA900)
        requestor.pump.client_transport.write(pdus[40_000:])
        requestor.pump.flush()
        self.assertEqual(self.store.calls, [])
        self.assertEqual(len(requestor.responses), 1)

    def test_missing(self) -> None:
        """Where the data set does not say, there is nothing to compare."""
        self.serve(mismatch="refuse")
        self.assertEqual(self.stored(data_set(sop_class=None, instance=None))[0], 0)
        self.assertEqual(self.stored(data_set(sop_class="", instance=""), instance="1.9")[0], 0)


class NegotiationTests(StorageCase):
    """Which SOP classes and transfer syntaxes are taken."""

    def test_all(self) -> None:
        """All storage SOP classes, in all transfer syntaxes."""
        self.serve()
        self.assertEqual(set(self.storage.sop_classes), set(STORAGE_SOP_CLASSES))
        for syntaxes in self.storage.sop_classes.values():
            self.assertEqual(set(syntaxes), set(TRANSFER_SYNTAXES))

    def test_private(self) -> None:
        """Private ones by option."""
        self.serve(private_sop_classes=["1.2.3.4.999"])
        requestor = self.associated(abstract_syntaxes=["1.2.3.4.999", "1.2.3.4.998"])
        self.assertEqual(list(requestor.association.contexts), [1])

    def test_preference(self) -> None:
        """The preferred transfer syntax is taken where there is a choice."""
        rle = "1.2.840.10008.1.2.5"
        proposed = [IMPLICIT_VR_LITTLE_ENDIAN, rle]
        self.serve()
        requestor = self.associated(transfer_syntaxes=proposed)
        self.assertEqual(
            requestor.association.contexts[1].transfer_syntax, IMPLICIT_VR_LITTLE_ENDIAN
        )
        self.serve(transfer_syntaxes=prefer([rle]))
        requestor = self.associated(transfer_syntaxes=proposed)
        self.assertEqual(requestor.association.contexts[1].transfer_syntax, rle)
