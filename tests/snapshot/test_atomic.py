"""Writing that survives the death of the writer."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caffelite.errors import SnapshotError
from caffelite.snapshot import write_atomic

REPO = Path(__file__).parents[2]

HALF_WAY = """
import sys, time
from caffelite.snapshot.atomic import write_atomic
def writer(file):
    file.write(b"half of the new")
    file.flush()
    print("half", flush=True)
    time.sleep(60)
write_atomic(sys.argv[1], writer)
"""
FOREVER = """
import sys
from caffelite.snapshot.atomic import write_atomic
print("go", flush=True)
for round in range(10**6):
    letter = bytes([65 + round % 26])
    write_atomic(sys.argv[1], lambda file: [file.write(letter * 50_000) for _ in range(20)])
"""


def start(script: str, path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", script, path], cwd=REPO, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def strays(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".unfinished")]


def test_a_file_is_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a_iter_1.caffemodel"
    for content in (b"old", b"new"):
        write_atomic(path, lambda file, content=content: file.write(content))
        assert path.read_bytes() == content
    assert [child.name for child in tmp_path.iterdir()] == [path.name]


def test_a_writer_killed_half_way_leaves_the_old_file_and_a_stray_that_the_next_one_removes(tmp_path: Path) -> None:
    path = tmp_path / "a_iter_1.caffemodel"
    path.write_bytes(b"old")
    kill(start(HALF_WAY, path))
    assert path.read_bytes() == b"old"
    assert len(strays(tmp_path)) == 1
    assert strays(tmp_path)[0].startswith(".a_iter_1.caffemodel.")
    write_atomic(tmp_path / "b_iter_1.caffemodel", lambda file: file.write(b"another prefix"))
    assert len(strays(tmp_path)) == 1
    write_atomic(tmp_path / "a_iter_2.solverstate", lambda file: file.write(b"the same prefix"))
    assert strays(tmp_path) == []


def test_the_unfinished_file_of_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    process = start(HALF_WAY, tmp_path / "a_iter_1.caffemodel")
    try:
        write_atomic(tmp_path / "a_iter_2.caffemodel", lambda file: file.write(b"x"))
        assert len(strays(tmp_path)) == 1
    finally:
        kill(process)


def test_a_file_is_whole_whenever_its_writer_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "a.caffemodel"
    moments = random.Random(0)
    for _ in range(8):
        process = start(FOREVER, path)
        time.sleep(moments.uniform(0.02, 0.15))
        kill(process)
        content = path.read_bytes() if path.exists() else b""
        assert content in (b"", content[:1] * 1_000_000)
    assert path.exists()


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def writer(file) -> None:
        file.write(b"new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, writer)
    assert path.read_bytes() == b"old"
    assert [child.name for child in tmp_path.iterdir()] == ["a"]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="cannot be written: No such file or directory\n  help: create the folder"):
        write_atomic(tmp_path / "nowhere" / "a", lambda file: file.write(b""))


def test_a_link_goes_on_pointing_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomic(tmp_path / "link", lambda file: file.write(b"new"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
