"""The load generator's bytes, read by others; and what it takes for an answer."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from pydicom import dcmread
from twisted.trial.unittest import SynchronousTestCase

from benchmarks import ct
from benchmarks.processes import BenchmarkFailed
from benchmarks.store_load import accepted_length, check, prepare, take_answer
from benchmarks.store_race import rate_of_dicomload
from pacs_twisted.dimse.command_set import decode_elements

UID = "2.25.11111111110000000001"
ANOTHER = "2.25.11111111110000000002"

ANSWER = bytes.fromhex(
    "0400 00000030 0000002c 01 03"  # P-DATA-TF, one PDV: context 1, command, last
    "0000 0000 04000000 1e000000"
    "0000 0001 02000000 0180"  # C-STORE-RSP
    "0000 2001 02000000 0700"  # to message 7
    "0000 0009 02000000 0000"  # success
)


class DataSetTests(SynchronousTestCase):
    """The objects."""

    def test_file(self) -> None:
        """A file is an object that pydicom reads, as large as was asked for."""
        with tempfile.TemporaryDirectory() as directory:
            (path,) = ct.write_files(Path(directory, "files"), 1, 512 * 1024)
            found = dcmread(path)
        self.assertEqual(found.SOPInstanceUID, found.file_meta.MediaStorageSOPInstanceUID)
        self.assertEqual(len(found.PixelData), 512 * 1024)
        self.assertEqual((found.Rows, found.Columns), (512, 512))

    def test_uid_offset(self) -> None:
        """The instance UID stands where the head says."""
        head = ct.head(UID, 4096)
        self.assertEqual(head.data[head.uid_offset :][: len(UID)], UID.encode())

    def test_large(self) -> None:
        """What does not fit into one value is filled up with padding behind it."""
        size = 2**32
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "large.dcm")
            length = ct.write_large(path, size)
            self.assertGreaterEqual(length, size)
            self.assertLess(path.stat().st_blocks * 512, 2**20)
            self.assertGreater(path.stat().st_size, length)
            with path.open("rb") as file:
                meta = file.read(len(ct.meta(ct.MULTI_FRAME, ct.UIDs().next())))
                begin = ct.head(ct.UIDs().next(), size)
                file.seek(len(meta) + len(begin.data) + begin.pixels)
                trailer = file.read(12)
        self.assertEqual(trailer[:6], b"\xfc\xff\xfc\xffOB")
        padding = int.from_bytes(trailer[8:], "little")
        self.assertEqual(length, len(begin.data) + begin.pixels + 12 + padding)

    def test_uids(self) -> None:
        """Instance UIDs differ and are of one length, as they are patched in place."""
        uids = ct.UIDs()
        found = [uids.next() for _ in range(12)]
        self.assertEqual(len(set(found)), 12)
        self.assertEqual(len({len(each) for each in found}), 1)


class RequestTests(SynchronousTestCase):
    """A prepared C-STORE-RQ."""

    def _read(self, data: bytes) -> tuple[bytes, bytes, list[int]]:
        """Return command set, data set and the lengths of the P-DATA-TFs."""
        stream = io.BytesIO(data)
        command = data_set = b""
        lengths = []
        while head := stream.read(6):
            lengths.append(int.from_bytes(head[2:], "big"))
            body = stream.read(lengths[-1])
            self.assertEqual(int.from_bytes(body[:4], "big") + 4, lengths[-1])  # one PDV in each
            if body[5] & 1:
                command += body[6:]
            else:
                data_set += body[6:]
        return command, data_set, lengths

    def test_request(self) -> None:
        """It is a whole message, in P-DATA-TFs as long as is wanted and no longer."""
        request, length = prepare(40960, 4096, UID)
        request.next(ANOTHER)
        command, data_set, lengths = self._read(bytes(request.front) + request.rest)
        elements = decode_elements(command)
        self.assertEqual(len(data_set), length)
        self.assertEqual(set(lengths[1:-1]), {4096})
        self.assertLessEqual(lengths[-1], 4096)
        found = dcmread(io.BytesIO(ct.meta(ct.CT_IMAGE, ANOTHER) + data_set))
        self.assertEqual(found.SOPInstanceUID, ANOTHER)
        self.assertEqual(elements[0x1000].rstrip(b"\0"), ANOTHER.encode())

    def test_one_fragment(self) -> None:
        """A small data set is one fragment, which is the last."""
        request, length = prepare(256, 16384, UID)
        _, data_set, lengths = self._read(bytes(request.front) + request.rest)
        self.assertEqual((len(data_set), request.rest, len(lengths)), (length, b"", 2))

    def test_message_ids(self) -> None:
        """The message ID is never 0."""
        request, _ = prepare(256, 16384, UID)
        request.message_id = 65535
        request.next(UID)
        self.assertEqual(request.message_id, 1)


class AnswerTests(SynchronousTestCase):
    """What comes back."""

    def test_whole(self) -> None:
        """An answer is taken when all of it is there, wherever it was cut."""
        for cut in range(1, len(ANSWER)):
            received = bytearray(ANSWER[:cut])
            self.assertIsNone(take_answer(received))
            received += ANSWER[cut:] + b"\4"
            answer = take_answer(received)
            assert answer is not None
            check(answer, 7)
            self.assertEqual(received, b"\4")

    def test_status(self) -> None:
        """Another status than success is no success, nor is another message's answer."""
        refused = bytearray(ANSWER[:-2] + b"\x00\xa7")
        answer = take_answer(refused)
        assert answer is not None
        self.assertRaises(BenchmarkFailed, check, answer, 7)
        success = take_answer(bytearray(ANSWER))
        assert success is not None
        self.assertRaises(BenchmarkFailed, check, success, 8)

    def test_abort(self) -> None:
        """An A-ABORT is no answer."""
        self.assertRaises(BenchmarkFailed, take_answer, bytearray.fromhex("0700 00000004 00000200"))

    def test_accepted(self) -> None:
        """The longest P-DATA-TF is read; a context that is refused is an error."""
        context = bytes.fromhex("2100 0008 01 00 00 00 4000 0000")
        information = bytes.fromhex("5000 0008 5100 0004 00004000")
        self.assertEqual(accepted_length(bytes(74) + context + information), 16384)
        refused = bytes.fromhex("2100 0008 01 00 03 00 4000 0000")
        self.assertRaises(BenchmarkFailed, accepted_length, bytes(74) + refused + information)


class ExternalTests(SynchronousTestCase):
    """The line of an external load generator."""

    def test_rate(self) -> None:
        """The rate counts if all objects were stored without an error."""
        line = '{"ops":10,"errors":0,"mb_s":1500.0}\n'
        self.assertEqual(rate_of_dicomload(line, 10), 1.5e9)
        self.assertRaises(BenchmarkFailed, rate_of_dicomload, line, 11)
        self.assertRaises(BenchmarkFailed, rate_of_dicomload, line.replace(":0", ":1"), 10)

    def test_nonsense(self) -> None:
        """What is no such line is an error."""
        for output in ("", "hello", "{}", "[]"):
            self.assertRaises(BenchmarkFailed, rate_of_dicomload, output, 1)
