"""Downloads, from a server in this process."""

from __future__ import annotations

import gzip
import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.tools import download, mnist

from .idx_files import write_small_mnist

CONTENT = gzip.compress(np.random.default_rng(0).bytes(300_000))


@dataclass
class Mirror:
    """A server of files from memory.  `breaks_after`: the next answer ends after so many bytes."""

    files: dict[str, bytes]
    ranges: bool = True
    breaks_after: int | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    served = Mirror({"digits.gz": CONTENT})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, wanted = self.path.lstrip("/"), self.headers["Range"]
            served.asked.append((name, wanted))
            if name not in served.files:
                self.send_error(404)
                return
            content = served.files[name]
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and served.ranges else 0  # type: ignore[index]
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end, served.breaks_after = served.breaks_after, None
            self.wfile.write(content[start:][:end])

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.address = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def anything(_content: bytes) -> None:
    """Accepts every content."""


def only_content(content: bytes) -> None:
    if content != CONTENT:
        raise DataError("not the content")


def test_a_file_is_fetched_with_progress(mirror: Mirror, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    target = tmp_path / "digits.gz"
    assert not download.fetch(
        [mirror.address], "digits.gz", target, only_content, lambda *progress: told.append(progress)
    )
    assert target.read_bytes() == CONTENT
    assert told[-1] == ("digits.gz", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on_where_it_broke_off(mirror: Mirror, tmp_path: Path, ranges: bool) -> None:
    target = tmp_path / "digits.gz"
    mirror.breaks_after, mirror.ranges = 70_000, ranges
    troubles = download.fetch([mirror.address], "digits.gz", target, only_content)
    assert len(troubles) == 1 and "broke" in troubles[0] and not target.exists()
    assert not download.fetch([mirror.address], "digits.gz", target, only_content)
    assert target.read_bytes() == CONTENT
    assert mirror.asked == [("digits.gz", None), ("digits.gz", "bytes=70000-")]


def test_a_broken_download_goes_on_at_the_next_mirror(mirror: Mirror, tmp_path: Path) -> None:
    mirror.breaks_after = 70_000
    assert not download.fetch([mirror.address] * 2, "digits.gz", tmp_path / "digits.gz", only_content)
    assert (tmp_path / "digits.gz").read_bytes() == CONTENT


def test_a_part_that_is_whole_already_is_taken(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "digits.gz.part").write_bytes(CONTENT)
    assert not download.fetch([mirror.address], "digits.gz", tmp_path / "digits.gz", only_content)
    assert (tmp_path / "digits.gz").read_bytes() == CONTENT


def test_a_wrong_part_is_thrown_away_and_the_next_mirror_asked(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "digits.gz.part").write_bytes(b"another file" * 9)
    assert not download.fetch([mirror.address] * 2, "digits.gz", tmp_path / "digits.gz", only_content)
    assert (tmp_path / "digits.gz").read_bytes() == CONTENT


def test_every_mirror_that_failed_is_told(mirror: Mirror, tmp_path: Path) -> None:
    mirrors = ["http://127.0.0.1:1/", mirror.address]
    troubles = download.fetch(mirrors, "gone.gz", tmp_path / "gone.gz", anything)
    assert len(troubles) == 2
    assert "127.0.0.1:1/gone.gz" in troubles[0] and "refused" in troubles[0]
    assert "404" in troubles[1]


def test_mnist_is_downloaded_once_and_checked(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_small_mnist(tmp_path / "source")
    for name, path in mnist.find_idx(tmp_path / "source").items():
        content = path.read_bytes()
        unpacked = gzip.decompress(content) if path.suffix == ".gz" else content
        mirror.files[f"{name}.gz"] = gzip.compress(unpacked)
        monkeypatch.setitem(mnist.CHECKSUMS, name, hashlib.md5(unpacked).hexdigest())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = mnist.download(mirrors=[mirror.address])
    assert {path.parent for path in found.values()} == {tmp_path / "cache" / "caffelite" / "mnist"}
    assert len(mirror.asked) == len(found) == 4
    assert mnist.download(mirrors=[mirror.address]) == found
    assert len(mirror.asked) == 4

    monkeypatch.delenv("CAFFELITE_DATASETS", raising=False)
    monkeypatch.setattr(mnist, "download", lambda progress: found)
    made = mnist.build(tmp_path / "out", verify=False)
    assert [database["records"] for database in made["databases"].values()] == [25, 7]


def test_a_file_that_is_not_mnists_is_not_kept(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files = {f"{name}.gz": CONTENT for name in mnist.CHECKSUMS}
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        mnist.download(tmp_path, mirrors=[mirror.address])
    assert "MD5" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_without_a_network_the_ways_out_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="MNIST could not be downloaded") as caught:
        mnist.download(tmp_path, mirrors=["http://127.0.0.1:1/"])
    assert "http://127.0.0.1:1/train-images-idx3-ubyte.gz: " in str(caught.value)
    assert "--from FOLDER" in str(caught.value) and "CAFFELITE_DATASETS" in str(caught.value)
