"""LevelDBs: read whole, from anywhere, without a trace in their folder."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from caffelite.data.leveldb_copy import is_cut_off, live_tables
from caffelite.data.sources import acquire, release, resolve
from caffelite.errors import DataError

plyvel = pytest.importorskip("plyvel", reason="the extra caffelite[leveldb] is not installed")


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own: what is left in it was left by the test."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def values_of(count: int, size: int = 500) -> list[bytes]:
    return [bytes((index + at) % 256 for at in range(size)) for index in range(count)]


def write(path: Path, values: list[bytes], **options: int) -> Path:
    """A LevelDB of these values under keys 00000000, 00000001 …"""
    database = plyvel.DB(str(path), create_if_missing=True, **options)
    for index, value in enumerate(values):
        database.put(b"%08d" % index, value)
    database.close()
    return path


def all_of(path: Path) -> list[bytes]:
    source = acquire(path, resolve(path, "LEVELDB"))
    try:
        return source.reader().read(0, len(source))
    finally:
        release(source)


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """1,500 records in several tables and logs."""
    path = write(tmp_path / "tables", values_of(1500), write_buffer_size=100_000)
    assert list(path.glob("*.ldb"))
    return path


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """Twenty records, all of them in the log."""
    path = write(tmp_path / "fresh", values_of(20))
    assert not list(path.glob("*.ldb"))
    return path


def trace(folder: Path) -> dict[str, tuple[bytes, int, int, int, int]]:
    """All that can be seen of a folder's files: content, times of change (of content and of anything), mode, links."""
    return {
        file.name: (file.read_bytes(), status.st_mtime_ns, status.st_ctime_ns, status.st_mode, status.st_nlink)
        for file in (folder, *folder.iterdir())
        if file.is_file()
        for status in [file.stat()]
    } | {".": (b"", folder.stat().st_mtime_ns, folder.stat().st_ctime_ns, 0, 0)}


def test_records_come_back_in_the_order_of_their_keys(tables: Path, fresh: Path) -> None:
    assert all_of(tables) == values_of(1500)
    assert all_of(fresh) == values_of(20)


def test_reads_from_anywhere_in_any_order(tables: Path) -> None:
    source, values = acquire(tables, "LEVELDB"), values_of(1500)
    reader, other = source.reader(), source.reader()
    for start, count in ((0, 3), (3, 4), (1100, 5), (1023, 3), (1499, 1), (7, 1), (0, 1500), (1024, 1)):
        assert reader.read(start, count) == values[start : start + count]
        assert other.read(2 * start % 1500, 1) == [values[2 * start % 1500]]
    assert reader.key(1130) == "00001130"
    assert reader.read(1131, 2) == values[1131:1133]
    reader.close()
    reader.close()
    other.close()
    release(source)


@pytest.mark.parametrize("kind", ["tables", "fresh"])
def test_reading_leaves_no_trace(kind: str, request: pytest.FixtureRequest, temporary: Path) -> None:
    path = request.getfixturevalue(kind)
    before = trace(path)
    source = acquire(path, "LEVELDB")
    source.reader().read(0, len(source))
    assert trace(path) == before
    release(source)
    assert trace(path) == before
    assert not list(temporary.iterdir())


def test_a_folder_that_cannot_be_written_to_is_read(tables: Path) -> None:
    modes = {file: stat.S_IMODE(file.stat().st_mode) for file in (tables, *tables.iterdir())}
    for file in modes:
        file.chmod(0o555 if file.is_dir() else 0o444)
    try:
        assert all_of(tables) == values_of(1500)
    finally:
        for file, mode in modes.items():
            file.chmod(mode)


def test_a_database_that_another_process_holds_is_read(tables: Path) -> None:
    script = f"import plyvel; db = plyvel.DB({str(tables)!r}); print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(plyvel.IOError):
            plyvel.DB(str(tables))
        before = trace(tables)
        assert all_of(tables) == values_of(1500)
        assert trace(tables) == before
        holder.communicate(b"\n")
    assert holder.returncode == 0


def test_a_database_open_in_this_process_is_read(fresh: Path) -> None:
    with plyvel.DB(str(fresh)) as held:
        assert all_of(fresh) == values_of(20)
        assert held.get(b"00000019") == values_of(20)[19]


def test_one_database_serves_two_readers_and_two_copies(tables: Path) -> None:
    from caffelite.data.sources.leveldb import Leveldb

    one, same, other = acquire(tables, "LEVELDB"), acquire(tables, "LEVELDB"), Leveldb(tables)
    assert one is same
    assert one.reader().read(5, 2) == other.reader().read(5, 2) == values_of(7)[5:]
    release(one)
    assert same.reader().read(9, 1) == values_of(10)[9:]
    release(same)
    assert other.reader().read(1400, 1) == [values_of(1401)[1400]]
    other.close()


def test_a_table_that_the_manifest_does_not_list_is_neither_read_nor_written(tables: Path) -> None:
    """LevelDB gives numbers to new tables from where the manifest ends; a file may be there already."""
    for number in range(5, 40):
        stray = tables / f"{number:06}.ldb"
        if not stray.exists():
            stray.write_bytes(b"not a table")
    before = trace(tables)
    assert all_of(tables) == values_of(1500)
    assert trace(tables) == before


def test_tables_under_their_old_name_are_read(tables: Path) -> None:
    for table in tables.glob("*.ldb"):
        table.rename(table.with_suffix(".sst"))
    assert all_of(tables) == values_of(1500)


def test_an_empty_database_has_no_records(tmp_path: Path) -> None:
    assert all_of(write(tmp_path / "none", [])) == []


# -- copies are removed ---------------------------------------------------------------------------------------------


def _open_and_end(path: Path) -> None:
    acquire(path, "LEVELDB")


def test_the_copy_goes_with_the_process(fresh: Path, temporary: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from caffelite.data.sources import acquire\n"
        f"source = acquire(pathlib.Path({str(fresh)!r}), 'LEVELDB')\n"
        "print(len(source))\n"
        "raise SystemError('of another kind')"
    )
    environment = dict(os.environ, TMPDIR=str(temporary))
    repo = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=repo, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("20\n", 1)
    assert not list(temporary.iterdir())
    worker = multiprocessing.get_context("fork").Process(target=_open_and_end, args=(fresh,))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert not list(temporary.iterdir())


def test_a_forked_child_leaves_its_parents_copy_alone(fresh: Path, temporary: Path) -> None:
    source = acquire(fresh, "LEVELDB")
    worker = multiprocessing.get_context("fork").Process(target=source.path.stat)
    worker.start()
    worker.join()
    assert len(list(temporary.iterdir())) == 1
    release(source)


def _aged(folder: Path) -> Path:
    os.utime(folder, (1, 1))
    return folder


def test_what_a_killed_process_left_is_removed_and_nothing_else(fresh: Path, temporary: Path) -> None:
    mine = acquire(fresh, "LEVELDB")
    (own,) = temporary.iterdir()
    _aged(own)
    (temporary / "caffelite-leveldb-left").mkdir()
    (temporary / "caffelite-leveldb-left" / "LOCK").touch()
    _aged(temporary / "caffelite-leveldb-left")
    (temporary / "caffelite-leveldb-young").mkdir()
    held = temporary / "caffelite-leveldb-held"
    held.mkdir()
    script = (
        "import fcntl; lock = open('LOCK', 'w'); fcntl.lockf(lock, fcntl.LOCK_EX); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=held, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        _aged(held)
        (temporary / "someone-elses").mkdir()
        _aged(temporary / "someone-elses")
        other = write(fresh.parent / "other", values_of(3))
        assert all_of(other) == values_of(3)
        left = {folder.name for folder in temporary.iterdir()}
        assert left == {own.name, "caffelite-leveldb-young", held.name, "someone-elses"}
        holder.communicate(b"\n")
    assert mine.reader().read(0, 20) == values_of(20)
    assert _is_locked(own)
    release(mine)


def _is_locked(folder: Path) -> bool:
    """Whether this process still holds the lock of its database, as another process sees it."""
    script = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    done = subprocess.run([sys.executable, "-c", script, str(folder / "LOCK")], capture_output=True, check=False)
    return done.returncode != 0


# -- damage ---------------------------------------------------------------------------------------------------------


def test_a_missing_package_is_named(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plyvel", None)
    with pytest.raises(DataError, match="needs the package plyvel") as caught:
        acquire(fresh, "LEVELDB")
    assert "caffelite[leveldb]" in str(caught.value.faults[0].help)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 4
    file.write_bytes(content)


def _remove(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("*.ldb", _remove, r"is incomplete: of \d+ tables 0\d+\.ldb.* are not there"),
        ("*.ldb", _cut, "cannot be read"),
        ("*.ldb", _flip, "cannot be read"),
        ("*.log", _cut, r"is incomplete: 0\d+\.log is cut short"),
        ("*.log", _flip, "cannot be read"),
        ("MANIFEST-*", _remove, r"is incomplete: MANIFEST-\d+ is not there"),
        ("MANIFEST-*", _cut, r"is incomplete: MANIFEST-\d+ is cut short"),
        ("MANIFEST-*", _flip, "is damaged|cannot be read|is incomplete"),
        ("CURRENT", _cut, "CURRENT does not name a manifest|is not there"),
    ],
)
def test_damage_is_named_and_leaves_no_copy(
    tables: Path, temporary: Path, name: str, damage: Callable[[Path], None], said: str
) -> None:
    file = max(tables.glob(name), key=lambda file: file.stat().st_size)
    damage(file)
    with pytest.raises(DataError, match=said) as caught:
        all_of(tables)
    assert str(tables) in str(caught.value)
    assert str(temporary) not in str(caught.value)
    assert not list(temporary.iterdir())


def test_a_database_that_changes_all_the_while_is_refused(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from caffelite.data import leveldb_copy

    copied = shutil.copyfile

    def copy_and_grow(source: Path, target: Path) -> None:
        copied(source, target)
        with Path(source).open("ab") as log:
            log.write(b"\0")

    monkeypatch.setattr(leveldb_copy.shutil, "copyfile", copy_and_grow)
    with pytest.raises(DataError, match="changes while it is being read"):
        acquire(fresh, "LEVELDB")


def test_the_end_of_a_log_is_told_from_a_cut() -> None:
    whole = _log([b"one", bytes(40000), b"three"])
    assert not is_cut_off(whole)
    assert not is_cut_off(b"")
    ends = {0, len(_log([b"one"])), len(_log([b"one", bytes(40000)])), len(whole)}
    looked_at = [*range(40), *range(32750, 32800), *range(len(whole) - 30, len(whole))]
    assert [at for at in looked_at if not is_cut_off(whole[:at])] == [at for at in looked_at if at in ends]


def _log(records: list[bytes]) -> bytes:
    """LevelDB's log format (checksums left zero): 32 KiB blocks of fragments with 7-byte heads."""
    log = b""
    for record in records:
        first = True
        while True:
            left = 32768 - len(log) % 32768
            if left < 7:
                log += bytes(left)
                continue
            part, record = record[: left - 7], record[left - 7 :]
            kind = (1 if not record else 2) if first else (4 if not record else 3)
            log += bytes(4) + len(part).to_bytes(2, "little") + bytes([kind]) + part
            first = False
            if not record:
                break
    return log


def test_live_tables_are_those_added_and_not_taken_away() -> None:
    added = b"\x07\x00\x05\x90\x03\x01a\x01b"  # level 0, table 5, 400 bytes, keys a to b
    moved = b"\x06\x00\x05" + b"\x07\x01\x05\x90\x03\x01a\x01b"  # the same table, to level 1
    other = b"\x01\x03cmp\x02\x08\x03\x09\x04\x07\x05\x00\x01k" + b"\x07\x00\x81\x01\x01\x01a\x01b"  # table 129
    gone = b"\x06\x01\x05"
    assert live_tables(_log([added, moved, other])) == [5, 129]
    assert live_tables(_log([added, moved, other, gone])) == [129]
    with pytest.raises(ValueError, match="unknown entry 77"):
        live_tables(_log([b"\x4d"]))
    with pytest.raises(ValueError, match="cut short"):
        live_tables(_log([b"\x07\x00"]))


def test_the_recorded_databases_are_read(golden: Callable[[str], Path]) -> None:
    for name in ("color_leveldb", "fresh_leveldb"):
        path = golden(f"layers/Data/_src/{name}")
        source = acquire(path, resolve(path, None))
        assert len(source) == 6
        assert source.reader().key(5) == "00000005_c5.png"
        release(source)
