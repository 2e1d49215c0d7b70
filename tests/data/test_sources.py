from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffelite.data.sources import acquire, kinds, release, resolve
from caffelite.data.sources.lmdb import Lmdb
from caffelite.errors import CaffeliteError, DataError

from .databases import numbered, write_images, write_values


def read(path: Path, start: int, count: int) -> list[bytes]:
    source = acquire(path, resolve(path, None))
    try:
        return source.reader().read(start, count)
    finally:
        release(source)


def test_records_come_in_the_order_of_their_keys(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "db"), lock=False) as environment, environment.begin(write=True) as txn:
        for key in (b"b", b"a", b"10", b"9", b"c"):
            txn.put(key, b"value of " + key)
    assert read(tmp_path / "db", 0, 5) == [b"value of " + key for key in (b"10", b"9", b"a", b"b", b"c")]


@pytest.mark.parametrize("options", [{}, {"subdir": False}], ids=["folder", "file"])
def test_reads_from_anywhere_in_any_order(tmp_path: Path, options: dict[str, bool]) -> None:
    values = [b"%d" % index for index in range(20)]
    path = write_values(tmp_path / "db", values, **options)
    source = acquire(path, resolve(path, None))
    reader = source.reader()
    for start, count in ((0, 3), (3, 4), (15, 5), (0, 20), (7, 1), (6, 2)):
        assert reader.read(start, count) == values[start : start + count]
    assert reader.key(11) == "00000011"
    assert reader.read(8, 2) == values[8:10]
    reader.close()
    release(source)


def test_two_readers_share_one_database_and_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = write_values(tmp_path / "db", [b"%d" % index for index in range(4)])
    one, two = acquire(path, "LMDB"), acquire(tmp_path / "db" / ".." / "db", "LMDB")
    first, second = one.reader(), two.reader()
    assert first.read(0, 2) == [b"0", b"1"]
    assert second.read(0, 1) == [b"0"]
    assert first.read(2, 1) == [b"2"]
    first.close()
    release(one)
    assert second.read(1, 3) == [b"1", b"2", b"3"]
    second.close()
    release(two)
    lmdb.open(str(path), readonly=True, lock=False).close()  # raises where the path is still open in this process


def test_a_database_that_took_the_place_of_an_open_one_is_read(tmp_path: Path) -> None:
    old = acquire(write_values(tmp_path / "db", [b"old"]), "LMDB")
    write_values(tmp_path / "other", [b"new"])
    (tmp_path / "db").rename(tmp_path / "aside")
    (tmp_path / "other").rename(tmp_path / "db")
    assert read(tmp_path / "db", 0, 1) == [b"new"]
    assert old.reader().read(0, 1) == [b"old"]
    release(old)


def test_release_finds_the_source_after_a_change_of_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_values(tmp_path / "db", [b"x"])
    monkeypatch.chdir(tmp_path)
    source = acquire(Path("db"), "LMDB")
    monkeypatch.chdir("/")
    release(source)
    lmdb.open(str(tmp_path / "db"), readonly=True, lock=False).close()


def test_backend_is_found_by_looking(tmp_path: Path) -> None:
    (tmp_path / "level").mkdir()
    (tmp_path / "level" / "CURRENT").write_text("MANIFEST-000002\n")
    assert resolve(write_values(tmp_path / "db", [b"x"]), None) == "LMDB"
    assert resolve(tmp_path / "level", None) == "LEVELDB"


def test_a_wrong_backend_is_told_what_lies_there(tmp_path: Path) -> None:
    path = write_values(tmp_path / "db", [b"x"])
    with pytest.raises(DataError, match=r"backend is LEVELDB, but .* is an LMDB") as caught:
        resolve(path, "LEVELDB")
    assert "backend: LMDB" in str(caught.value)


def test_missing_and_foreign_paths_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("just text, and more of it than an LMDB's header is long")
    with pytest.raises(DataError, match=r"no database at .*gone") as caught:
        resolve(tmp_path / "gone", None, help="make it so")
    assert caught.value.faults[0].help == "make it so"
    with pytest.raises(DataError, match="a folder without an LMDB or a LevelDB"):
        resolve(tmp_path / "folder", None)
    with pytest.raises(DataError, match="a file that is not an LMDB or a LevelDB"):
        resolve(tmp_path / "file", "LMDB")


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "has no bytes"), (b"no LMDB at all" * 1000, "cannot be opened as an LMDB")]
)
def test_a_file_that_is_no_lmdb_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(DataError, match=said):
        acquire(tmp_path, resolve(tmp_path, "LMDB"))


def test_a_cut_off_lmdb_is_refused_and_closed(tmp_path: Path) -> None:
    path = write_images(tmp_path / "db", numbered(200, (1, 28, 28)))
    file = path / "data.mdb"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=f"cut short: {len(whole) // 2} bytes of"):
        acquire(path, "LMDB")
    file.write_bytes(whole)
    assert len(read(path, 0, 200)) == 200


def test_an_lmdb_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = write_images(tmp_path / "db", numbered(200, (1, 28, 28)))
    file = path / "data.mdb"
    whole = file.read_bytes()
    for size in (1, 16, 24, 4095, 4096, 8191, 8192, 8193, len(whole) - 4096, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"cut short|cannot be opened as an LMDB"):
            acquire(path, "LMDB")


def test_an_lmdb_without_its_pages_says_so_and_what_to_do(tmp_path: Path) -> None:
    path = write_images(tmp_path / "db", numbered(200, (1, 28, 28)))
    file = path / "data.mdb"
    whole = file.read_bytes()
    file.write_bytes(whole[:8192] + bytes(len(whole) - 8192))
    with pytest.raises(DataError, match=f'the LMDB "{path}" is damaged: reading record 0 failed') as caught:
        read(path, 0, 1)
    assert "build it again" in str(caught.value)


def test_a_folder_that_may_not_be_searched_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", forbidden)  # the superuser, who runs tests in containers, may search any
    with pytest.raises(DataError, match=f'"{tmp_path}" cannot be read: Permission denied'):
        resolve(tmp_path, None)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_a_name_that_no_file_can_have_is_missing(name: str) -> None:
    with pytest.raises(DataError, match="no database at"):
        resolve(Path(name), None)


def test_an_lmdb_open_elsewhere_in_the_process_is_read_all_the_same(tmp_path: Path) -> None:
    path = write_values(tmp_path / "db", [b"x"])
    with lmdb.open(str(path), readonly=True, lock=False):
        assert read(path, 0, 1) == [b"x"]


def test_unknown_backends_are_errors() -> None:
    with pytest.raises(CaffeliteError, match="unknown database backend"):
        kinds["ROCKSDB"]


def test_reading_goes_on_after_a_request_that_was_broken_off(tmp_path: Path) -> None:
    source = acquire(write_values(tmp_path / "db", [b"%d" % index for index in range(9)]), "LMDB")
    assert isinstance(source, Lmdb)
    waiting = source._answer

    def interrupted(serial: int) -> tuple[int, int]:
        raise KeyboardInterrupt

    reader = source.reader()
    source._answer = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        reader.read(0, 4)
    source._answer = waiting  # type: ignore[method-assign]
    assert reader.read(4, 3) == [b"4", b"5", b"6"]
    release(source)


def test_signals_are_the_readers_affair(tmp_path: Path) -> None:
    """Ctrl-C and the terminate signals of schedulers reach every process of a job; the data must still come."""
    source = acquire(write_values(tmp_path / "db", [b"0", b"1"]), "LMDB")
    assert isinstance(source, Lmdb)
    reader = source.reader()
    assert reader.read(0, 1) == [b"0"]
    assert os.getpgid(source._process.pid) != os.getpgid(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        source._process.send_signal(number)
    assert reader.read(1, 1) == [b"1"]
    release(source)


def test_the_process_ends_with_its_source_and_with_its_reader(tmp_path: Path) -> None:
    path = write_values(tmp_path / "db", [b"0"])
    source = acquire(path, "LMDB")
    assert isinstance(source, Lmdb)
    release(source)
    assert source._process.returncode == 0
    code = (
        "import os, signal, sys; from pathlib import Path; from caffelite.data.sources import acquire;"
        f"print(acquire(Path({str(path)!r}), 'LMDB')._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    wait_for(lambda: not Path(f"/proc/{int(done.stdout)}").exists() or zombie(int(done.stdout)))


def zombie(pid: int) -> bool:
    """Whether the process is dead and only waits to be fetched."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


def wait_for(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("waited for 10 s")


def test_a_process_that_is_killed_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    source = acquire(write_values(tmp_path / "db", [b"0", b"1"]), "LMDB")
    assert isinstance(source, Lmdb)
    reader = source.reader()
    source._process.kill()
    for _ in range(2):
        with pytest.raises(DataError, match=rf'the LMDB "{tmp_path}/db" cannot be read any more: .* \(SIGKILL\)'):
            reader.read(0, 1)
    release(source)


def test_a_value_larger_than_the_shared_memory(tmp_path: Path) -> None:
    values = [b"small", b"x" * (3 << 20), b"y" * (2 << 20), b""]
    path = write_values(tmp_path / "db", values)
    assert read(path, 0, 4) == values
    assert read(path, 1, 1) == values[1:2]


@given(rows=st.lists(st.integers(0, 199), min_size=1, max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_any_rows_in_any_order(hundreds: Lmdb, rows: list[int]) -> None:
    reader = hundreds.reader()
    assert list(reader.take(rows)) == [b"%d" % row for row in rows]
    assert reader.keys(rows) == [b"%08d" % row for row in rows]


@pytest.fixture(scope="module")
def hundreds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lmdb]:
    source = acquire(write_values(tmp_path_factory.mktemp("d") / "db", [b"%d" % row for row in range(200)]), "LMDB")
    assert isinstance(source, Lmdb)
    yield source
    release(source)
