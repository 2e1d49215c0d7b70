"""`data` and its subcommands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import h5py
import pytest
from PIL import Image

from caffelite.commands import perform
from caffelite.commands.data.expand import command as expand
from caffelite.errors import DataError
from caffelite.proto import AugmentationParameter
from tests.conftest import REPO, find_golden
from tests.tools.databases import contents, write


def unreachable(*_: Any, **__: Any) -> None:
    raise DataError("MNIST could not be downloaded")


def test_digits_stand_in_where_mnist_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.delenv("CAFFELITE_DATASETS", raising=False)
    monkeypatch.setattr("caffelite.tools.mnist.download", unreachable)
    assert perform(["data", "mnist", str(tmp_path / "d")]) == 1
    assert "could not be downloaded" in capsys.readouterr().err
    assert perform(["data", "mnist", str(tmp_path / "d"), "--or-digits"]) == 0
    shown = capsys.readouterr()
    assert "MNIST CANNOT BE HAD HERE" in shown.err
    assert "digits_train_lmdb: 1497 digits" in shown.out
    assert (tmp_path / "d" / "digits_test_lmdb" / "data.mdb").exists()


def test_a_folder_without_the_files_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["data", "mnist", str(tmp_path / "d"), "--from", str(tmp_path)]) == 1
    assert "train-images-idx3-ubyte" in capsys.readouterr().err


GOLDEN = "layers/Data/_src"


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path, status: int = 0) -> str:
    """What a command says, on either stream, when it ends with this status."""
    capsys.readouterr()
    assert perform(["data", *map(str, arguments)]) == status
    return "".join(capsys.readouterr())


def test_compute_mean_writes_and_says_what_the_original_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database, wanted = find_golden("mean/color_lmdb"), find_golden("mean/color_mean.binaryproto").read_bytes()
    log = [line.split("] ", 1)[1] for line in find_golden("mean/color_mean.log").read_text().splitlines()]
    for index, target in enumerate((["-o", tmp_path / "0"], ["--backend=lmdb", tmp_path / "1"])):
        text = said(capsys, "compute-mean", database, *target)
        assert [line for line in log if "hannel" in line] == text.splitlines()[1:]
        assert (tmp_path / str(index)).read_bytes() == wanted
    assert said(capsys, "compute_mean", database).startswith("Number of channels: 3\n")
    assert "keep one" in said(capsys, "compute-mean", database, "a", "-o", "b", status=2)
    assert "backend" in said(capsys, "compute-mean", database, "--backend", "hdf5", status=2)
    assert "no database" in said(capsys, "compute-mean", tmp_path / "gone", status=1)
    before = (tmp_path / "0").read_bytes()
    other = find_golden("mean/gray_lmdb")
    assert "--force" in said(capsys, "compute-mean", other, tmp_path / "0", status=1)
    assert (tmp_path / "0").read_bytes() == before
    said(capsys, "compute-mean", other, "--force", "-o", tmp_path / "0")
    assert (tmp_path / "0").read_bytes() == find_golden("mean/gray_mean.binaryproto").read_bytes()


def test_convert_imageset_takes_the_originals_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = find_golden(f"{GOLDEN}/list.txt").parent
    options = [
        "-resize_height",
        "8",
        "--resize_width=6",
        "--shuffle=0",
        "-backend",
        "lmdb",
        "--gray=false",
        "--check_size",
    ]
    said(capsys, "convert_imageset", *options, f"{source / 'img'}/", source / "list.txt", tmp_path / "db")
    assert contents(tmp_path / "db") == contents(source / "resized_lmdb")


def test_convert_imageset_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = find_golden(f"{GOLDEN}/list.txt").parent
    lines = (source / "list.txt").read_text().splitlines()
    (tmp_path / "list").write_text("\n".join([*lines, "gone.png 3"]))
    arguments = ("convert-imageset", source / "img", tmp_path / "list", tmp_path / "db")
    text = said(capsys, *arguments, status=1)
    assert '"gone.png": No such file' in text and "1 of 7 images cannot be read" in text and "--max-bad=1" in text
    text = said(capsys, *arguments, "--max-bad", "1")
    assert 'left out: "gone.png"' in text and "6 images; 1 could not be read" in text
    assert "--force" in said(capsys, *arguments, "--max-bad", "1", status=1)
    assert "ROOT LISTFILE DB" in said(capsys, "convert-imageset", "a", status=2)
    assert "go together" in said(capsys, *arguments, "--resize_width", "3", status=2)
    assert "is not one of 'lmdb', 'leveldb'" in said(capsys, *arguments, "--backend", "hdf5", status=2)


def test_convert_imageset_writes_leveldbs_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("plyvel")
    source = find_golden(f"{GOLDEN}/list.txt").parent
    arguments = ("convert-imageset", "-backend=leveldb", source / "img", source / "list.txt", tmp_path / "db")
    said(capsys, *arguments)
    assert contents(tmp_path / "db") == contents(source / "color_lmdb")
    assert "exists and is a LevelDB" in said(capsys, *arguments, status=1)
    said(capsys, *arguments, "--force")
    assert "a/x.png" not in said(capsys, "info", tmp_path / "db", "--backend", "leveldb")


@pytest.mark.parametrize("name", ["convert-imageset", "mnist", "cifar10", "copy", "expand"])
def test_without_plyvel_nothing_is_done_for_a_leveldb(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "plyvel", None)
    source = find_golden(f"{GOLDEN}/list.txt").parent
    arguments = {
        "convert-imageset": [source / "img", source / "list.txt", tmp_path / "db", "--backend=leveldb"],
        "mnist": [tmp_path / "db", "--from", tmp_path, "--backend=leveldb"],
        "cifar10": [tmp_path / "db", "--from", tmp_path, "--backend=leveldb"],
        "copy": [source / "color_lmdb", tmp_path / "x_leveldb"],
        "expand": [source / "color_lmdb", tmp_path / "db", "--shifts=1", "--backend=leveldb"],
    }[name]
    text = said(capsys, name, *arguments, status=1)
    assert "needs the package plyvel" in text and "caffelite[leveldb]" in text
    assert not list(tmp_path.iterdir())


def test_convert_imageset_of_folders_names_the_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = find_golden(f"{GOLDEN}/list.txt").parent
    for name in ("b", "a"):
        shutil.copytree(source / "img", tmp_path / "tree" / name)
    assert "labels.txt: 2 classes" in said(capsys, "convert-imageset", tmp_path / "tree", tmp_path / "db")
    assert "2 different, 0 … 1" in said(capsys, "info", tmp_path / "db")


def test_info_tells_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "info", find_golden(f"{GOLDEN}/encoded_lmdb"), "--picture", tmp_path / "it.png")
    assert "6 records" in text and "%08d_name" in text and "6 of 3×12×10" in text and "encoded PNG" in text
    with Image.open(tmp_path / "it.png") as picture:
        assert picture.format == "PNG"
    damaged = write(tmp_path / "db", [(b"a", b"\xff")])
    assert 'record "a" is not a Datum' in said(capsys, "info", damaged, status=1)


def test_info_looks_into_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = find_golden(f"{GOLDEN}/color_lmdb")
    forms = {"x_lmdb": "LMDB, 6", "x.h5": "HDF5 file, 6", "images": "folder of images, 6"}
    if find_spec("plyvel"):
        forms["x_leveldb"] = "LevelDB, 6"
    labels = said(capsys, "info", source).partition("labels")[2]
    for name, what in forms.items():
        said(capsys, "copy", source, tmp_path / name, *(["--to", "images"] if name == "images" else []))
        text = said(capsys, "info", tmp_path / name, "--picture", tmp_path / f"{name}.png")
        assert what in text and "3×12×10" in text and text.partition("labels")[2].startswith(labels)
    pictures = [(tmp_path / f"{name}.png").read_bytes() for name in forms]
    assert len(set(pictures)) == 1


def test_preview_draws_the_recorded_nets_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = find_golden(f"{GOLDEN}/color_lmdb").parent.parent
    monkeypatch.chdir(source)
    net = tmp_path / "net.prototxt"
    net.write_text(
        'layer { name: "d" type: "Data" top: "data" top: "label" '
        'data_param { source: "_src/color_lmdb" batch_size: 3 backend: LMDB } transform_param { scale: 2 } }'
    )
    text = said(capsys, "preview", net, "-o", tmp_path / "it.png", "--phase", "TEST", "--batches", "2")
    assert 'layer "d", TEST: data 3×3×12×10, label 3' in text and "shown as 0 … 255" in text
    assert "--phase must be" in said(capsys, "preview", net, "-o", "x.png", "--phase", "DREAM", status=2)
    assert "Missing option" in said(capsys, "preview", net, status=2)
    assert "did you mean d?" in said(capsys, "preview", net, "-o", tmp_path / "x.png", "--layer", "dd", status=1)


def test_copy_goes_by_the_targets_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = find_golden(f"{GOLDEN}/color_lmdb")
    assert "6 records (hdf5)" in said(capsys, "copy", source, tmp_path / "x.h5")
    assert "6 records (images)" in said(capsys, "copy", tmp_path / "x.h5", tmp_path / "x", "--to", "images")
    assert "6 records (lmdb)" in said(capsys, "copy", tmp_path / "x", tmp_path / "x_lmdb")
    assert len(contents(tmp_path / "x_lmdb")) == 6
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["clip"] = [1, 1]
    assert 'left out: data set "clip"' in said(capsys, "copy", tmp_path / "x.h5", tmp_path / "y_lmdb")
    assert "--to" in said(capsys, "copy", source, tmp_path / "y", status=2)
    assert "--force" in said(capsys, "copy", source, tmp_path / "x.h5", status=1)


def test_expand_enlarges_and_says_by_how_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = find_golden(f"{GOLDEN}/color_lmdb"), tmp_path / "x_lmdb"
    text = said(capsys, "expand", source, target, "--shifts", "1", "--copies", "2", "--augmentation", "hue: 9 shift: 1")
    assert f"x_lmdb: 42 images, 7 of each in {source}" in text
    assert len(contents(target)) == 42
    assert "42 of 3×12×10 (channels×height×width), raw uint8" in said(capsys, "info", target)
    assert "--force" in said(capsys, "expand", source, target, "--shifts", "1", status=1)
    said(capsys, "expand", source, target, "--shifts=1", "--border=ZERO", "--in-order", "--force", "--seed=3")
    before = [value for _, value in contents(target)]
    said(capsys, "expand", source, target, "--shifts=1", "--in-order", "--force", "--seed=4")
    assert [a == b for a, (_, b) in zip(before, contents(target), strict=True)] == 6 * [True, *4 * [False]]


def test_expand_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("expand", find_golden(f"{GOLDEN}/color_lmdb"), tmp_path / "db")
    assert "nothing to add" in said(capsys, *arguments, status=2)
    assert "go together" in said(capsys, *arguments, "--copies", "2", status=2)
    assert "go together" in said(capsys, *arguments, "--shifts", "1", "--augmentation", "shift: 1", status=2)
    copies = ("--copies", "1", "--augmentation")
    assert "border: ZERO" in said(capsys, *arguments, *copies, "shift: 1", "--border", "ZERO", status=2)
    text = said(capsys, *arguments, *copies, "shift: 1 rotate: 3", status=1)
    assert "--augmentation:1:10: unknown field" in text and "did you mean rotation?" in text
    assert "warning: edge is read as EDGE" in said(capsys, *arguments, *copies, "shift: 1 border: edge")
    shutil.rmtree(tmp_path / "db")
    assert "below 10" in said(capsys, *arguments, "--shifts", "10", status=1)
    assert not list(tmp_path.iterdir())


def test_expand_offers_the_borders_of_the_proto() -> None:
    border = next(param for param in expand.params if param.name == "border")
    assert isinstance(border.type, click.Choice)
    assert list(border.type.choices) == AugmentationParameter.Border.keys()


def test_cifar10_says_what_it_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "cifar10", tmp_path / "out", "--from", tmp_path, status=1)
    assert "cifar-10-binary.tar.gz" in text and not (tmp_path / "out").exists()


def test_an_unknown_subcommand_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean cifar10?" in said(capsys, "cifar", status=2)


def test_at_a_terminal_an_error_begins_a_new_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, side in (("a", 2), ("b", 3)):
        Image.new("L", (side, side)).save(tmp_path / f"{name}.png")
    (tmp_path / "list").write_text("a.png 1\n" * 100 + "b.png 2\n" * 50)
    paths = [str(tmp_path), str(tmp_path / "list"), str(tmp_path / "db")]
    command = [sys.executable, "cli.py", "data", "convert-imageset", "--check_size", *paths]
    monkeypatch.setenv("TERM", "xterm")
    ours, its = os.openpty()
    process = subprocess.Popen(command, cwd=REPO, stdout=its, stderr=its)
    os.close(its)
    text = b""
    with suppress(OSError):  # which is how a terminal ends on Linux
        while part := os.read(ours, 4096):
            text += part
    os.close(ours)
    assert process.wait() == 1
    assert b"db:  66 %\r\ncaffelite: " in text
