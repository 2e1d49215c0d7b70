"""The process that reads an LMDB for `sources/lmdb.py`.

Pages of a damaged LMDB lead its library beyond the end of the file or into its assertions, which kill the process
that reads (SIGBUS, SIGSEGV, SIGABRT).  So the library runs in this process, and whoever reads learns from its end
where it happened.  It is a script that needs nothing but lmdb, so that it starts in some 20 ms.

Arguments: the path, "folder" or "file", the number of a file descriptor that is memory shared with the reader, and
its size.  It answers requests on standard input until that is closed.  A request is (what, serial number, reader,
count) and as many runs of records (first, how many); an answer is (what, the request's number, count, bytes).  What:
"r" the values of these records, "k" their keys; "+" they lie in the memory behind HEAD: `count` lengths, then the
values; "-" a message lies there.  The memory begins with what is being read, for the reader to tell where this process
ended.

LMDB keeps no checksums.  Beside a database that we wrote lies a file with the CRC-32 of each key and value, which is
checked when a record is read for the first time.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
from array import array
from itertools import islice, pairwise
from typing import Any
from zlib import crc32

REQUEST = struct.Struct("<cQQQ")
RUN = struct.Struct("<QQ")
ANSWER = struct.Struct("<cQQQ")
AT = struct.Struct("<QQ")
HEAD = 1024
COPYING = (1 << 64) - 1
"""Stands where the number of a record would, while the value of the key beside it is read."""
EVERY = 16
"""Of every so many records one key is remembered, to begin reading there."""
AHEAD = 64 << 20
"""Bytes that the system is asked to have ready before they are read."""
SMALL = 4096
"""Bytes.  Where the first value is no larger, values are copied: with 800 bytes that takes a third of a view's time."""
INLINE = 2000
"""Bytes.  Smaller values lie in the page of their key; larger ones have pages of their own, which may be broken."""


CHECKSUMS = "checksums"
_MAGIC = b"caffelite CRC-32\n"
_STATE = struct.Struct("<QQI")


class Damaged(Exception):
    """What LMDB's library does not notice."""


class Server:
    """An open LMDB, its readers' cursors, and the shared memory."""

    def __init__(self, path: str, is_folder: bool, file: int, size: int) -> None:
        import lmdb

        self.library = lmdb
        self.file, self.memory = file, mmap.mmap(file, size)
        self.environment = lmdb.open(path, subdir=is_folder, readonly=True, lock=False, create=False, readahead=True)
        self.path = os.path.join(path, "data.mdb") if is_folder else path
        self.size, self.asked_for = os.stat(self.path).st_size, 0
        self._refuse_a_short_file()
        self.entries = int(self.environment.stat()["entries"])
        self.transaction = self._begin()
        self.cursors: dict[int, tuple[Any, int]] = {}
        self.known: list[bytes] = []
        self.checksums: array[int] | None = None
        if is_folder and os.path.exists(os.path.join(path, CHECKSUMS)):
            self.checksums = self._checksums(os.path.join(path, CHECKSUMS))
            self.unchecked = bytearray(b"\1") * self.entries

    def _refuse_a_short_file(self) -> None:
        wanted = (self.environment.info()["last_pgno"] + 1) * self.environment.stat()["psize"]
        if self.size < wanted:
            raise Damaged(f"is cut short: {self.size} bytes of {wanted}")

    def _begin(self) -> Any:
        """A transaction that copies values where they are small, which costs less than pointing at them."""
        transaction = self.environment.begin(buffers=True)
        cursor = transaction.cursor()
        self._note(0, b"")
        try:
            if not cursor.first() or len(cursor.value()) > SMALL:
                return transaction
        except self.library.Error:  # which will be told when that record is asked for
            return transaction
        transaction.abort()
        return self.environment.begin(buffers=False)

    def _checksums(self, path: str) -> array[int]:
        with open(path, "rb") as file:
            content = file.read()
        head, table = content[: len(_MAGIC) + _STATE.size], content[len(_MAGIC) + _STATE.size :]
        remedy = f'without its file "{CHECKSUMS}" it is read unchecked'
        if content[: len(_MAGIC)] != _MAGIC or len(head) < len(_MAGIC) + _STATE.size:
            raise Damaged(f'has a file "{CHECKSUMS}" that is none of ours, or is damaged; {remedy}')
        last, entries, own = _STATE.unpack(head[len(_MAGIC) :])
        if crc32(table) != own:
            raise Damaged(f'has a file "{CHECKSUMS}" that is damaged; {remedy}')
        if (last, entries) != (self.environment.info()["last_txnid"], self.entries):
            raise Damaged(f'was changed after its file "{CHECKSUMS}" was written, or is damaged; {remedy}')
        return array("I", table)

    # -- finding --------------------------------------------------------------------------------------------------

    def _note(self, index: int, key: bytes) -> None:
        """Let it be known that what comes next is about this record, or those behind it, and `key` the last before."""
        AT.pack_into(self.memory, 0, index, len(key))
        self.memory[AT.size : AT.size + len(key)] = key

    def _remember(self, slot: int) -> None:
        """Remember the key of every EVERY-th record up to record slot · EVERY."""
        cursor = self.transaction.cursor()
        if self.known:
            self._to(cursor, self.known[-1])
        keys = cursor.iternext(keys=True, values=False)
        next(keys, None)
        if not self.known:
            self.known.append(bytes(cursor.key()))
        while len(self.known) <= slot:
            at = (len(self.known) - 1) * EVERY
            self._note(at, self.known[-1])
            part = [self.known[-1], *map(bytes, islice(keys, EVERY))]
            self._check(at, part, EVERY + 1)
            self.known.append(part[-1])

    def _check(self, start: int, keys: list[bytes], count: int) -> None:
        """There must be so many keys from record `start` on, and they must ascend."""
        for index, (last, key) in enumerate(pairwise(keys), start + 1):
            if key <= last:
                raise Damaged(f'has record {index}, "{_shown(key)}", out of order behind "{_shown(last)}"')
        if len(keys) < count:
            raise Damaged(f"ends after record {start + len(keys)}, before its count of {self.entries} says")

    @staticmethod
    def _to(cursor: Any, key: bytes) -> None:
        if not cursor.set_key(key):
            raise Damaged(f'does not find the record "{_shown(key)}", which it has')

    def _at(self, reader: int, index: int) -> Any:
        """This reader's cursor, on a record."""
        if index >= self.entries:
            raise Damaged(f"has {self.entries} records; record {index} was asked for")
        cursor, stands = self.cursors.get(reader) or (self.transaction.cursor(), -EVERY)
        self.cursors[reader] = (cursor, -EVERY)
        if not 0 <= index - stands < EVERY:
            slot, rest = divmod(index, EVERY)
            self._remember(slot)
            self._to(cursor, self.known[slot])
            stands = index - rest
        self._note(stands, bytes(cursor.key()))
        for _ in range(index - stands):
            if not cursor.next():
                raise Damaged(f"has no record {index}, though it says that there are {self.entries}")
        return cursor

    # -- answering ------------------------------------------------------------------------------------------------

    def answer(self, what: bytes, reader: int, runs: list[tuple[int, int]]) -> tuple[int, int]:
        """Put the answer into the memory; how many values, and of how many bytes."""
        keys: list[bytes] = []
        values: list[bytes] = []
        for start, count in runs:
            if count > 1:
                self._ask_for(start + count)
            cursor = self._at(reader, start)
            pairs = list(islice(cursor.iternext(keys=True, values=True), count))
            here = [bytes(key) for key, _ in pairs]
            self._check(start, here, count)
            self.cursors[reader] = (cursor, start + count - 1)
            keys += here
            if what == b"r":
                values += [value for _, value in pairs]
                self._compare(start, pairs)
        return self._put(keys if what == b"k" else values, keys)

    def _ask_for(self, index: int) -> None:
        """Ask the system for what lies behind a record, which is likely to be read next: the file is written in the
        order of its keys.  It reads large pieces at once, and while others compute."""
        reached = index * self.size // max(1, self.entries)
        if reached < self.asked_for - 2 * AHEAD:
            self.asked_for = reached  # from the beginning again
        if not hasattr(os, "posix_fadvise") or not reached + AHEAD // 2 > self.asked_for < self.size:
            return
        start = max(self.asked_for, reached - AHEAD)
        self.asked_for = start + AHEAD
        try:
            file = os.open(self.path, os.O_RDONLY)
        except OSError:  # gone by this name; what is open can still be read
            return
        os.posix_fadvise(file, start, AHEAD, os.POSIX_FADV_WILLNEED)
        os.close(file)

    def _compare(self, start: int, pairs: list[tuple[Any, Any]]) -> None:
        """Compare each record that was not read before with its checksum."""
        if self.checksums is None or not any(self.unchecked[start : start + len(pairs)]):
            return
        for (key, value), wanted in zip(pairs, self.checksums[start : start + len(pairs)], strict=True):
            if len(value) > INLINE:
                self._note(COPYING, bytes(key))
            if checksum(key, value) != wanted:
                raise Damaged(f'has other bytes in record "{_shown(bytes(key))}" than were written (CRC-32)')
        self.unchecked[start : start + len(pairs)] = bytes(len(pairs))

    def _put(self, values: list[bytes], keys: list[bytes]) -> tuple[int, int]:
        sizes = list(map(len, values))
        lengths = struct.pack(f"<{len(sizes)}Q", *sizes)
        place = HEAD + len(lengths)
        if place + sum(sizes) > len(self.memory):
            os.ftruncate(self.file, place + sum(sizes))
            self.memory = mmap.mmap(self.file, place + sum(sizes))
        self.memory[HEAD:place] = lengths
        if max(sizes, default=0) <= INLINE:
            self.memory[place : place + sum(sizes)] = b"".join(values)
        else:
            for key, value in zip(keys, values, strict=True):
                self._note(COPYING, key)
                self.memory[place : place + len(value)] = value
                place += len(value)
        return len(sizes), sum(sizes)

    def serve(self) -> None:
        """Answer until nobody asks any more."""
        os.write(1, ANSWER.pack(b"+", 0, self.entries, 0))
        while head := _read(REQUEST.size):
            what, serial, reader, count = REQUEST.unpack(head)
            runs = list(RUN.iter_unpack(_read(RUN.size * count)))
            try:
                said = ANSWER.pack(b"+", serial, *self.answer(what, reader, runs))
            except Exception as error:
                self.cursors.pop(reader, None)
                said = refusal(self.memory, error, serial)
            os.write(1, said)


def checksum(key: Any, value: Any) -> int:
    """The CRC-32 of a record."""
    return crc32(value, crc32(key))


def checksum_file(checksums: array[int], last: int) -> bytes:
    """The content of the file: the records' checksums in the order of their keys (32 bits each), after the number of
    the last transaction, the number of records, and the checksum of all that."""
    table = checksums.tobytes()  # in this machine's order of bytes, as all of an LMDB
    return _MAGIC + _STATE.pack(last, len(checksums), crc32(table)) + table


def refusal(memory: mmap.mmap, error: Exception, serial: int = 0) -> bytes:
    """Put an error's message into the memory; what is to be said of it.  What LMDB's library said begins with "!"."""
    text = str(error) if isinstance(error, Damaged) else f"!{error or type(error).__name__}"
    message = text.encode("utf-8", "backslashreplace")[: len(memory) - HEAD]
    memory[HEAD : HEAD + len(message)] = message
    return ANSWER.pack(b"-", serial, 0, len(message))


def _shown(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")


def _read(size: int) -> bytes:
    """So many bytes of standard input; fewer at its end."""
    data = b""
    while len(data) < size and (part := os.read(0, size - len(data))):
        data += part
    return data


def main() -> None:
    # Whoever reads decides what a signal means; this process ends with it, as its standard input does.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    path, form, file, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    try:
        server = Server(path, form == "folder", file, size)
    except Exception as error:
        os.write(1, refusal(mmap.mmap(file, size), error))
        return
    server.serve()


if __name__ == "__main__":
    main()
