from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from caffelite.data.sources import acquire, release
from caffelite.errors import DataError
from caffelite.proto import Datum
from caffelite.tools.writers import Record, kinds, leveldb, lmdb, write_images, write_records
from tests.conftest import REPO, find_golden

from .databases import contents
from .killing import kill

KINDS = ["lmdb", "leveldb"]
BOTH = pytest.mark.parametrize("backend", KINDS)


@pytest.fixture(autouse=True)
def installed(request: pytest.FixtureRequest) -> None:
    """Tests of LevelDB need its library."""
    if "leveldb" in str(request.node.name):
        pytest.importorskip("plyvel")


def test_all_kinds_are_tested() -> None:
    assert sorted(kinds) == sorted(KINDS)


@BOTH
def test_what_was_written_is_read_by_the_librarys_own_hand(backend: str, tmp_path: Path) -> None:
    records = [(b"%08d" % index, os.urandom(index % 50)) for index in range(2500)]
    assert write_records(tmp_path / "db", records, backend=backend) == 2500
    assert contents(tmp_path / "db") == records
    assert [file.name for file in tmp_path.iterdir()] == ["db"]


@BOTH
def test_large_data_sets_make_room_for_themselves(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large beside what there is room for at first."""
    monkeypatch.setattr(lmdb, "_FIRST_MAP", 1 << 16)
    monkeypatch.setattr(leveldb, "_BUFFER", 1 << 16)
    images = np.random.default_rng(0).integers(0, 256, (3000, 1, 28, 28), dtype=np.uint8)
    assert images.nbytes > 32 * (1 << 16)
    write_images(tmp_path / "db", images, [0] * len(images), backend=backend)
    values = [Datum.FromString(value).data for _, value in contents(tmp_path / "db")]
    assert b"".join(values) == images.tobytes()


@BOTH
def test_the_originals_records_come_out_as_it_wrote_them(backend: str, tmp_path: Path) -> None:
    records = contents(find_golden("layers/Data/_src/color_lmdb"))
    write_records(tmp_path / "db", records, backend=backend)
    source = acquire(tmp_path / "db", backend.upper())
    reader = source.reader()
    assert reader.read(0, len(source)) == [value for _, value in records]
    reader.close()
    release(source)


def test_a_leveldb_leaves_nothing_in_its_log(tmp_path: Path) -> None:
    write_records(tmp_path / "db", [(b"a", b"x" * 1000)], backend="leveldb")
    assert [log.stat().st_size for log in (tmp_path / "db").glob("*.log")] == [0]
    assert len(list((tmp_path / "db").glob("*.ldb"))) == 1


def test_keys_of_a_leveldb_may_come_in_any_order(tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(3000).tolist()
    records = [(b"%d" % index, b"%d" % (2 * index)) for index in order]
    write_records(tmp_path / "db", records, backend="leveldb")
    assert contents(tmp_path / "db") == sorted(records)


@pytest.mark.parametrize("apart", [1, 2500])
@pytest.mark.parametrize("descending", [False, True])
def test_a_key_that_comes_twice_is_no_record_lost_leveldb(apart: int, descending: bool, tmp_path: Path) -> None:
    numbers = list(range(3000))[:: -1 if descending else 1]
    numbers.insert(200 + apart, numbers[200])
    with pytest.raises(DataError, match=f'two records have the key "0*{numbers[200]}"'):
        write_records(tmp_path / "db", ((b"%04d" % number, b"") for number in numbers), backend="leveldb")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("second", [b"b", b"a"])
def test_keys_of_an_lmdb_must_ascend(second: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'must ascend; "[ab]" does not follow'):
        write_records(tmp_path / "db", [(b"b", b""), (second, b"")])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", [b"", b"x" * 512])
def test_keys_that_an_lmdb_cannot_have_a_leveldb_can(key: bytes, tmp_path: Path) -> None:
    pytest.importorskip("plyvel")
    with pytest.raises(DataError, match="1 to 511 bytes") as caught:
        write_records(tmp_path / "lmdb", [(key, b"v")])
    assert "a LevelDB" in str(caught.value)
    write_records(tmp_path / "db", [(key, b"v")], backend="leveldb")
    assert contents(tmp_path / "db") == [(key, b"v")]


@BOTH
def test_progress_is_told(backend: str, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    images = np.zeros((2500, 1, 1, 1), np.uint8)
    write_images(tmp_path / "db", images, [0] * 2500, progress=lambda *now: told.append(now), backend=backend)
    assert told == [("db", 1000, 2500), ("db", 2000, 2500), ("db", 2500, 2500)]


@BOTH
@pytest.mark.parametrize("there", KINDS)
def test_what_lies_there_is_replaced_by_force_alone(backend: str, there: str, tmp_path: Path) -> None:
    pytest.importorskip("plyvel")
    write_records(tmp_path / "db", [(b"old", b"")], backend=there)
    with pytest.raises(DataError, match=r"exists and is an? (LMDB|LevelDB)") as caught:
        write_records(tmp_path / "db", [(b"new", b"")], backend=backend)
    assert "--force" in str(caught.value)
    assert contents(tmp_path / "db") == [(b"old", b"")]
    write_records(tmp_path / "db", [(b"new", b"")], force=True, backend=backend)
    assert contents(tmp_path / "db") == [(b"new", b"")]
    (tmp_path / "db" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="left alone"):
        write_records(tmp_path / "db", [(b"third", b"")], force=True, backend=backend)
    assert (tmp_path / "db" / "thesis.txt").read_text() == "mine"


@BOTH
def test_other_peoples_files_are_left_alone(backend: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "LOG").write_text("mine")
    for name in ("file", "logs"):
        with pytest.raises(DataError, match="left alone"):
            write_records(tmp_path / name, [(b"a", b"")], force=True, backend=backend)
    with pytest.raises(DataError, match="cannot write to"):
        write_records(tmp_path / "file" / "db", [(b"a", b"")], backend=backend)
    write_records(tmp_path / "empty", [(b"a", b"")], backend=backend)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["empty", "file", "logs"]


@BOTH
def test_records_that_fail_leave_what_was_there(backend: str, tmp_path: Path) -> None:
    def failing() -> Iterator[Record]:
        yield b"a", b""
        raise OSError("the source")

    write_records(tmp_path / "db", [(b"old", b"")], backend=backend)
    with pytest.raises(OSError, match="the source"):
        write_records(tmp_path / "db", failing(), force=True, backend=backend)
    assert contents(tmp_path / "db") == [(b"old", b"")]
    assert [file.name for file in tmp_path.iterdir()] == ["db"]


FULL = """
import resource, signal, sys
from pathlib import Path
from caffelite.errors import DataError
from caffelite.tools.writers import write_records

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    write_records(Path(sys.argv[1]), ((b"%08d" % n, b"%08d" % n * 999) for n in range(5000)), backend=sys.argv[2])
except DataError as error:
    print(error)
"""


@BOTH
def test_a_full_disk_is_an_error_that_names_the_database(backend: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "db"), backend]
    said = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f'writing "{tmp_path / "db"}" failed: ')
    assert ("File too large" if backend == "leveldb" else "Input/output error") in said and "room on the disk" in said
    assert ".partial" not in said
    assert not list(tmp_path.iterdir())


def test_without_plyvel_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plyvel", None)
    with pytest.raises(DataError, match="needs the package plyvel") as caught:
        write_records(tmp_path / "db", [(b"a", b"")], backend="leveldb")
    assert "pip install 'caffelite[leveldb]'" in str(caught.value)
    assert not list(tmp_path.iterdir())


KILLED = """
import sys, time
import numpy as np
from pathlib import Path
from caffelite.tools.writers import write_images

def slowly(what, done, total):
    print(done, flush=True)
    time.sleep(60)

images = np.zeros((3000, 1, 28, 28), np.uint8)
write_images(Path(sys.argv[1]), images, [1] * 3000, sys.argv[2] == "True", slowly, backend=sys.argv[3])
"""


@BOTH
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("there", [False, True])
def test_a_killed_conversion_leaves_nothing_half_made(
    tmp_path: Path, there: bool, signal_number: int, backend: str
) -> None:
    path = tmp_path / f"mnist_train_{backend}"
    if there:
        write_images(path, np.ones((4, 1, 2, 2), np.uint8), range(4), backend=backend)
    before = contents(path) if there else None
    assert kill(signal_number, KILLED, path, there, backend) == b"1000\n"
    assert (contents(path) if path.exists() else None) == before
    left = [file.name for file in tmp_path.iterdir() if file != path]
    assert len(left) == (1 if signal_number == signal.SIGKILL else 0)

    hours_ago = time.time() - 7200
    for partial in tmp_path.glob(".*.partial"):
        for file in (*partial.rglob("*"), partial):
            os.utime(file, (hours_ago, hours_ago))
    write_images(path, np.ones((5, 1, 2, 2), np.uint8), range(5), force=True, backend=backend)
    assert len(contents(path)) == 5
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
