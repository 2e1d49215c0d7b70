"""`extract-features`: the original's arguments, options, and what is said where they do not fit."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from caffelite.commands.extract_features import FORMS
from caffelite.proto import Datum
from caffelite.tools import extract_features

from ..tools.databases import contents
from .conftest import Run

OPTIONS = ["--model", "net.prototxt", "--weights", "init.caffemodel"]
ARGUMENTS = ["init.caffemodel", "net.prototxt"]


def test_forms_are_those_that_can_be_written() -> None:
    assert sorted(FORMS) == sorted(extract_features.FORMS)


@pytest.mark.parametrize("name", ["extract-features", "extract_features"])
def test_the_originals_arguments(name: str, here: Run, files: Path) -> None:
    done = here(name, *ARGUMENTS, "y,label", "a/y,a/labels", "3", "lmdb", "CPU")
    assert (done.status, done.out) == (0, "a/y: 24 records of y\na/labels: 24 records of label\n")
    assert "Extracted features of 24 query images for feature blob y\n" in done.err
    assert 'layer "d": has 20 records: the last 4 samples of 3 batches of 8 are repeats' in done.err
    with h5py.File(files / "test.h5") as file:
        labels = file["label"][...].ravel()
    found = [Datum.FromString(value).float_data[0] for _, value in contents(files / "a" / "labels")]
    np.testing.assert_array_equal(found, [*labels, *labels[:4]])


def test_options_and_what_they_are_by_default(here: Run, files: Path) -> None:
    done = here("extract-features", *OPTIONS, "--blobs", "y,label", "--out", "made")
    assert (done.status, done.out) == (0, "made/y_lmdb: 20 records of y\nmade/label_lmdb: 20 records of label\n")
    done = here("extract-features", *OPTIONS, "--blobs", "y,label", "--out", "y.h5", "--iterations", "1")
    assert done.out == "y.h5: 8 records of y\ny.h5: 8 records of label\n"
    with h5py.File(files / "y.h5") as file:
        rows = file["y"][...]
    datums = [Datum.FromString(value) for _, value in contents(files / "made" / "y_lmdb")]
    np.testing.assert_allclose([datum.float_data for datum in datums[:8]], rows, rtol=1e-6)


def test_hdf5_files_are_what_an_hdf5data_layer_reads(here: Run, files: Path) -> None:
    """A second net takes up where the first ended, and scores as the whole."""
    here("extract-features", *OPTIONS, "--blobs", "h,label", "--out", "h.h5")
    (files / "h.txt").write_text("h.h5\n")
    (files / "rest.prototxt").write_text(
        """
        layer { name: "d" type: "HDF5Data" top: "h" top: "label" hdf5_data_param { source: "h.txt" batch_size: 8 } }
        layer { name: "ip2" type: "InnerProduct" bottom: "h" top: "y" inner_product_param { num_output: 3 } }
        layer { name: "acc" type: "Accuracy" bottom: "y" bottom: "label" top: "acc" }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" }
        """
    )
    whole, rest = (
        re.findall(
            r"Batch \d+, \w+ = \S+",
            here("test", "--model", net, "--weights", "init.caffemodel", "--iterations", "5").err,
        )
        for net in ("net.prototxt", "rest.prototxt")
    )
    assert whole == rest and len(whole) == 10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "needs --model, --weights, --blobs, --out"),
        ([*OPTIONS, "--blobs", ",", "--out", "x"], "needs --blobs"),
        ([*ARGUMENTS, "y"], "got 3 arguments"),
        ([*ARGUMENTS, "y,h", "x", "3", "lmdb"], "as many blobs as data sets, got 2 (y,h) and 1 (x)"),
        ([*ARGUMENTS, "y", "x", "0", "lmdb"], 'NUM_BATCHES is a positive whole number, not "0"'),
        ([*ARGUMENTS, "y", "x", "many", "lmdb"], 'NUM_BATCHES is a positive whole number, not "many"'),
        ([*ARGUMENTS, "y", "x", "3", "lmbd"], "did you mean lmdb?"),
        ([*ARGUMENTS, "y", "x", "3", "lmdb", "TPU"], 'CPU or GPU, not "TPU"'),
        ([*ARGUMENTS, "y", "x", "3", "lmdb", "GPU", "one"], 'DEVICE_ID is the number of a GPU, not "one"'),
        ([*ARGUMENTS, "y", "x", "3", "lmdb", "--out", "z"], "not --out beside these arguments"),
        ([*ARGUMENTS, "y,y", "x,x", "3", "lmdb"], "two blobs cannot be one database"),
    ],
)
def test_command_lines_that_contradict_themselves(arguments: list[str], said: str, here: Run, files: Path) -> None:
    done = here("extract-features", *arguments)
    assert done.status == 2 and said in done.err
    assert not (files / "x").exists()


@pytest.mark.parametrize(
    ("weights", "model", "blob", "said"),
    [
        ("init.caffemodel", "net.prototxt", "lable", "did you mean label?"),
        ("init.caffemodel", "input.prototxt", "y", "there are no samples to make features of"),
        ("init.caffemodel", "wide.prototxt", "y", "blob 0 has shape (5, 6) in init.caffemodel, and (9, 6) in the net"),
        ("none.caffemodel", "net.prototxt", "y", "none.caffemodel: cannot be read: No such file"),
        ("init.caffemodel", "none.prototxt", "y", "none.prototxt: no such file"),
    ],
)
def test_what_does_not_fit_leaves_nothing(
    weights: str, model: str, blob: str, said: str, here: Run, files: Path
) -> None:
    (files / "input.prototxt").write_text('layer { type: "Input" top: "y" input_param { shape { dim: 1 } } }')
    done = here("extract-features", weights, model, blob, "x", "3", "lmdb")
    assert done.status in (1, 2) and said in done.err
    assert not (files / "x").exists()


def test_data_sets_that_are_there_are_told_before_anything_is_loaded(here: Run, files: Path) -> None:
    (files / "x").mkdir()
    (files / "x" / "thesis.txt").write_text("mine")
    done = here("extract-features", "none.caffemodel", "none.prototxt", "y", "x", "3", "lmdb", "--force")
    assert done.status == 1 and "it is left alone" in done.err


def test_long_runs_are_told_of_as_the_original_does(here: Run, files: Path) -> None:
    done = here("extract-features", *ARGUMENTS, "y", "x", "260", "lmdb")
    counts = [int(line.split(" query")[0].split()[-1]) for line in done.err.splitlines() if "Extracted" in line]
    assert counts == [1000, 2000, 2080]
