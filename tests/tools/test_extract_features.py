"""Features: what nets of known weights make of known data, read back by the libraries alone."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from caffelite.assembly import load_net
from caffelite.errors import CaffeliteError, DataError, GraphError, UsageError
from caffelite.net import Net
from caffelite.proto import Datum
from caffelite.tools.extract_features import FORMS, Feature, extract_features, placed, read_again, unfilled
from caffelite.tools.writers import datum_value, write_images

from .databases import contents
from .killing import kill

RECORDS, BATCH = 10, 4
NET = """
layer {{
  name: "data" type: "Data" top: "data" top: "label"
  data_param {{ source: "{folder}/in_lmdb" backend: LMDB batch_size: {batch} }}
}}
layer {{
  name: "conv" type: "Convolution" bottom: "data" top: "conv/sum"
  convolution_param {{
    num_output: 2 kernel_h: 2 kernel_w: 1
    weight_filler {{ type: "constant" value: 1 }} bias_filler {{ type: "constant" value: -20 }}
  }}
}}
layer {{ name: "relu" type: "ReLU" bottom: "conv/sum" top: "conv/sum" }}
layer {{
  name: "ip" type: "InnerProduct" bottom: "conv/sum" top: "ip"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "constant" value: 0.5 }} }}
}}
layer {{ name: "prob" type: "Softmax" bottom: "ip" top: "prob" }}
layer {{ name: "deep" type: "Reshape" bottom: "ip" top: "deep"
  reshape_param {{ shape {{ dim: 0 dim: 1 dim: 1 dim: 1 dim: 3 }} }} }}
layer {{ name: "loss" type: "Reduction" bottom: "ip" top: "total" }}
layer {{ name: "end" type: "Silence" bottom: "prob" bottom: "label" bottom: "total" bottom: "deep" }}
"""
BLOBS = ("data", "label", "conv/sum", "ip", "prob")

IMAGES = np.arange(RECORDS * 4, dtype=np.uint8).reshape(RECORDS, 1, 2, 2)
SUMS = np.maximum(IMAGES.sum(axis=2, keepdims=True, dtype=np.float32) - 20, 0).repeat(2, axis=1)
"""Of columns, N×2×1×2, minus 20, and none below zero."""
EXPECTED: dict[str, NDArray[Any]] = {
    "data": IMAGES,
    "label": np.arange(RECORDS) % 3,
    "conv/sum": SUMS,
    "ip": (SUMS.sum(axis=(1, 2, 3)) / 2)[:, None].repeat(3, axis=1),
    "prob": np.full((RECORDS, 3), 1 / 3),
}

WithForm = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(autouse=True)
def installed(request: pytest.FixtureRequest) -> None:
    """Tests of LevelDB need its library."""
    if "leveldb" in str(request.node.name):
        pytest.importorskip("plyvel")


@contextmanager
def opened(folder: Path, *blobs: str, batch: int = BATCH, text: str = NET, **options: Any) -> Iterator[Net]:
    """The net, on its data in `folder`, keeping these blobs."""
    if not (folder / "in_lmdb").exists():
        write_images(folder / "in_lmdb", IMAGES, [index % 3 for index in range(RECORDS)])
    (folder / "net.prototxt").write_text(text.format(folder=folder, batch=batch))
    with closing(load_net(folder / "net.prototxt", keeping=blobs, **options)) as net:
        yield net


def extract(folder: Path, form: str, *blobs: str, batches: int | None = None, **options: Any) -> list[int]:
    with opened(folder, *blobs) as net:
        return extract_features(net, placed(blobs, folder / "out", form), batches, form, **options)


def read(folder: Path, form: str, blob: str) -> NDArray[Any]:
    """What was written of a blob, by row; checks what all records of a database have in common."""
    [feature] = placed([blob], folder / "out", form)
    if form == "hdf5":
        with h5py.File(feature.path) as file:
            return np.array(file[blob])
    keys, values = zip(*contents(feature.path), strict=True)
    assert keys == tuple(b"%010d" % number for number in range(len(keys)))
    datums = [Datum.FromString(value) for value in values]
    fields = {tuple(field.name for field, _ in datum.ListFields()) for datum in datums}
    assert fields == {("channels", "height", "width", "float_data")}
    return np.array([np.reshape(datum.float_data, (datum.channels, datum.height, datum.width)) for datum in datums])


def legacy(rows: NDArray[Any]) -> NDArray[Any]:
    """With four axes."""
    return rows.reshape((*rows.shape, 1, 1, 1)[:4])


@WithForm
def test_every_sample_once(form: str, tmp_path: Path) -> None:
    """Though the last batch holds the first two samples again."""
    assert extract(tmp_path, form, *BLOBS) == [RECORDS] * len(BLOBS)
    for blob, expected in EXPECTED.items():
        expected = expected if form == "hdf5" else legacy(expected)
        found = read(tmp_path, form, blob)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == sorted(
        {feature.path.name for feature in placed(BLOBS, tmp_path / "out", form)}
    )


@WithForm
def test_as_many_batches_as_asked_for(form: str, tmp_path: Path) -> None:
    assert extract(tmp_path, form, "label", batches=4) == [16]
    np.testing.assert_array_equal(
        read(tmp_path, form, "label").ravel(), [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 1, 2, 0, 1, 2]
    )


def test_records_that_are_read_again_are_told(tmp_path: Path) -> None:
    with opened(tmp_path) as net:
        [fault] = read_again(net, 4)
        assert str(fault) == ('warning: layer "data": has 10 records: the last 6 samples of 4 batches of 4 are repeats')
        assert not read_again(net, 2)
    with opened(tmp_path, batch=5) as net:
        assert not read_again(net, 2)


@WithForm
def test_a_blob_without_samples_gives_a_row_in_each_batch(form: str, tmp_path: Path) -> None:
    assert extract(tmp_path, form, "total") == [3]
    per_sample = EXPECTED["ip"].sum(axis=1)
    totals = [per_sample[:4].sum(), per_sample[4:8].sum(), per_sample[[8, 9, 0, 1]].sum()]
    np.testing.assert_allclose(read(tmp_path, form, "total").ravel(), totals)


def test_an_hdf5_file_may_be_written_for_each_blob(tmp_path: Path) -> None:
    with opened(tmp_path, "ip", "deep") as net:
        extract_features(net, [Feature("ip", tmp_path / "a.h5"), Feature("deep", tmp_path / "b.h5")], form="hdf5")
    with h5py.File(tmp_path / "a.h5") as one, h5py.File(tmp_path / "b.h5") as other:
        assert list(one) == ["ip"] and one["ip"].chunks == (BATCH, 3) and one["ip"].dtype == np.float32
        assert other["deep"].shape == (RECORDS, 1, 1, 1, 3)


def test_features_are_what_forward_leaves_in_the_blobs(tmp_path: Path) -> None:
    """Also with weights drawn by chance, and blobs that later layers write in place."""
    text = (
        NET.replace('type: "constant"', 'type: "gaussian"')
        .replace("value: 1", "std: 1")
        .replace("value: 0.5", "std: 1")
    )
    text = text.replace("value: -20", "std: 5")
    blobs = [*BLOBS, "ip_ip_0_split_1"]
    with opened(tmp_path, *blobs, text=text, seed=7) as net:
        extract_features(net, placed(blobs, tmp_path / "out", "hdf5"), 3, "hdf5")
    with opened(tmp_path, text=text, seed=7, observed=True) as net:
        for batch in range(3):
            net.forward()
            for blob in blobs:
                rows = read(tmp_path, "hdf5", blob)[batch * BATCH :][:BATCH]
                np.testing.assert_allclose(rows, net.blobs[blob].data, rtol=1e-5, atol=1e-6)


def test_progress_is_told_for_each_blob(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    extract(tmp_path, "lmdb", "ip", "total", progress=lambda *now: told.append(now))
    assert told == [("ip", 4, 10), ("total", 1, 3), ("ip", 8, 10), ("total", 2, 3), ("ip", 10, 10), ("total", 3, 3)]


def test_names_of_blobs_become_names_of_files() -> None:
    assert placed(["a/b", "c"], Path("x"), "lmdb") == [
        Feature("a/b", Path("x/a_b_lmdb")),
        Feature("c", Path("x/c_lmdb")),
    ]
    assert {one.path for one in placed(["a/b", "c"], Path("x"), "hdf5")} == {Path("x/features.h5")}
    assert placed(["a"], Path("x/y.HDF5"), "hdf5") == [Feature("a", Path("x/y.HDF5"))]


# -- what is refused --------------------------------------------------------------------------------------------------


def test_unknown_blobs_are_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(GraphError) as caught, opened(tmp_path, "labels", "prob", "xyz"):
        pass
    assert [fault.message for fault in caught.value.faults] == [
        f'the net has no blob "{blob}"' for blob in ("labels", "xyz")
    ]
    assert [fault.help for fault in caught.value.faults] == [
        "did you mean label?",
        "it has: data, label, conv/sum, ip, prob, deep, total",
    ]


def test_blobs_that_the_net_does_not_keep_are_refused(tmp_path: Path) -> None:
    features = placed(["prob", "ip"], tmp_path / "out", "lmdb")
    with opened(tmp_path, "prob") as net, pytest.raises(UsageError, match="does not keep prob, ip"):
        extract_features(net, features)
    with opened(tmp_path, observed=True) as net:
        assert extract_features(net, features) == [RECORDS] * 2


@pytest.mark.parametrize(
    ("form", "blobs", "paths", "said"),
    [
        ("lmdb", ["ip", "prob"], ["x", "y/../x"], r'two blobs cannot be one database, ".*/x"'),
        ("hdf5", ["ip", "ip"], ["x.h5", "x.h5"], '"ip" and "ip" cannot both be data sets of ".*/x.h5"'),
        ("hdf5", ["conv/sum", "conv"], ["x.h5", "x.h5"], '"conv/sum" and "conv" cannot both'),
        ("lmdb", ["deep"], ["x"], 'blob "deep" has 5 axes'),
    ],
)
def test_data_sets_that_cannot_be(form: str, blobs: list[str], paths: list[str], said: str, tmp_path: Path) -> None:
    features = [Feature(blob, tmp_path / path) for blob, path in zip(blobs, paths, strict=True)]
    with opened(tmp_path, observed=True) as net, pytest.raises(UsageError, match=said):
        extract_features(net, features, form=form)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in_lmdb", "net.prototxt"]


@WithForm
def test_what_lies_there_is_replaced_by_force_alone(form: str, tmp_path: Path) -> None:
    extract(tmp_path, form, "ip")
    with pytest.raises(DataError, match="exists") as caught:
        extract(tmp_path, form, "ip", batches=1)
    assert "--force" in str(caught.value)
    assert len(read(tmp_path, form, "ip")) == RECORDS
    extract(tmp_path, form, "ip", batches=1, force=True)
    assert len(read(tmp_path, form, "ip")) == BATCH
    [feature] = placed(["ip"], tmp_path / "other", form)
    feature.path.mkdir(parents=True)
    (feature.path / "thesis.txt").write_text("mine")
    with opened(tmp_path, "ip") as net, pytest.raises(DataError, match="left alone"):
        extract_features(net, [feature], form=form, force=True)
    assert (feature.path / "thesis.txt").read_text() == "mine"


@WithForm
def test_a_place_that_cannot_be_written_to(form: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(DataError, match=r'cannot write to ".*/out"'):
        extract(tmp_path, form, "ip")


def test_a_net_that_nothing_feeds(tmp_path: Path) -> None:
    given = 'layer {{ name: "in" type: "Input" top: "in" input_param {{ shape {{ dim: 4 }} }} }}'
    with opened(tmp_path, text=given) as net, pytest.raises(UsageError, match='nothing fills "in"') as caught:
        unfilled(net)
    assert "take a net with a data layer" in str(caught.value)
    with opened(tmp_path, text=NET + given) as net:
        assert [str(fault) for fault in unfilled(net)] == ['warning: nothing fills "in" (Input): it stays zero']
    with opened(tmp_path) as net:
        assert unfilled(net) == []


MEMORY = """
layer {{ name: "made" type: "DummyData" top: "made" dummy_data_param {{ shape {{ dim: 2 dim: 3 }} }} }}
"""
OTHER = """
layer {{
  name: "other" type: "Data" top: "other" data_param {{ source: "{folder}/in_lmdb" backend: LMDB batch_size: 3 }}
}}
"""


@pytest.mark.parametrize(
    ("text", "blob", "said"),
    [
        (MEMORY, "made", "no layer of the net knows how many records it has"),
        (NET + OTHER, "other", "do not agree .*: they read data 10 in batches of 4, other 10 in batches of 3"),
    ],
)
def test_where_nobody_knows_how_many_batches_there_are(text: str, blob: str, said: str, tmp_path: Path) -> None:
    features = placed([blob], tmp_path / "out", "hdf5")
    with opened(tmp_path, blob, text=text) as net:
        with pytest.raises(UsageError, match=said):
            extract_features(net, features, form="hdf5")
        rows = net.blobs[blob].shape[0]
        assert extract_features(net, features, 2, "hdf5") == [2 * rows]


# -- what is left behind ----------------------------------------------------------------------------------------------


@WithForm
@pytest.mark.parametrize("there", [False, True])
def test_an_error_in_the_middle_leaves_what_was_there(there: bool, form: str, tmp_path: Path) -> None:
    if there:
        extract(tmp_path, form, "label", batches=1)

    def fail(_blob: str, done: int, _total: int | None) -> None:
        if done == 2 * BATCH:
            raise DataError("the data")

    with pytest.raises(CaffeliteError, match="the data"):
        extract(tmp_path, form, "label", "ip", force=True, progress=fail)
    assert len(list((tmp_path / "out").iterdir())) == there
    if there:
        assert len(read(tmp_path, form, "label")) == BATCH


KILLED = """
import sys, time
from pathlib import Path
from caffelite.assembly import load_net
from caffelite.tools.extract_features import extract_features, placed

def slowly(blob, done, total):
    if done == 8 and blob == "ip":
        print(done, flush=True)
        time.sleep(60)

folder, form = Path(sys.argv[1]), sys.argv[2]
net = load_net(folder / "net.prototxt", keeping=["label", "ip"])
extract_features(net, placed(["label", "ip"], folder / "out", form), None, form, progress=slowly)
"""


@pytest.mark.parametrize("form", ["lmdb", "hdf5"])
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_extraction_leaves_no_data_set(signal_number: int, form: str, tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    assert kill(signal_number, KILLED, tmp_path, form) == b"8\n"
    for feature in placed(["label", "ip"], tmp_path / "out", form):
        assert not feature.path.exists()
    left = [file.name for file in (tmp_path / "out").iterdir()]
    assert bool(left) == (signal_number == signal.SIGKILL)
    assert extract(tmp_path, form, "label", "ip") == [RECORDS] * 2


@pytest.mark.parametrize("label", [None, 300])
def test_floats_of_a_datum_are_written_as_protobuf_writes_them(label: int | None) -> None:
    image = np.random.default_rng(0).standard_normal((3, 2, 4)).astype(np.float32)
    image[0, 0] = [np.nan, np.inf, -0.0, 1e-45]
    datum = Datum(channels=3, height=2, width=4, label=label, float_data=image.ravel().tolist())
    assert datum_value(image, label) == datum.SerializeToString()
