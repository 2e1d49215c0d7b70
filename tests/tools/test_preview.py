from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffelite.assembly import load_solver
from caffelite.errors import CaffeliteError, DataError, Fault, GraphError
from caffelite.proto import TEST, TRAIN, Datum
from caffelite.tools.pictures import Shown, write_grid
from caffelite.tools.preview import preview

from .databases import write_datums

NET = """
layer {{ name: "first" type: "Data" top: "data" top: "label" include {{ phase: TRAIN }}
  data_param {{ source: "{0}" batch_size: 2 backend: LMDB }}
  transform_param {{ crop_size: 32 mean_value: 100 scale: 0.5 }} }}
layer {{ name: "second" type: "Data" top: "data" include {{ phase: TEST }}
  data_param {{ source: "{0}" batch_size: 1 backend: LMDB }} }}
layer {{ name: "third" type: "Data" top: "more" include {{ phase: TEST stage: "deep" }}
  data_param {{ source: "{0}" batch_size: 3 backend: LMDB }} }}
layer {{ name: "not built" type: "NoSuchType" bottom: "nothing" }}
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A net on four images of 32×64: their left halves black, their right halves of 20, 40, 60 and 80."""
    datums = []
    for label in range(1, 5):
        image = np.zeros((1, 32, 64), np.uint8)
        image[..., 32:] = 20 * label
        datums.append(Datum(channels=1, height=32, width=64, data=image.tobytes(), label=label))
    path = tmp_path / "net.prototxt"
    path.write_text(NET.format(write_datums(tmp_path / "db", *datums)))
    return path


def test_it_draws_what_the_layer_hands_over(net: Path, tmp_path: Path) -> None:
    drawn = preview(net, tmp_path / "it.png", TEST)
    assert (drawn.layer, drawn.tops, drawn.range) == ("second", {"data": (1, 1, 32, 64)}, (0, 20))
    with Image.open(tmp_path / "it.png") as picture:
        assert picture.getpixel((10, 10)) == (0, 0, 0) and picture.getpixel((50, 10)) == (255, 255, 255)


def test_transforms_are_in_it_and_so_is_chance(net: Path, tmp_path: Path) -> None:
    drawn = preview(net, tmp_path / "a.png", TRAIN, batches=2)
    assert drawn.tops == {"data": (2, 1, 32, 32), "label": (2,)}
    assert drawn.range[0] == -50 and drawn.range[1] <= -10
    preview(net, tmp_path / "b.png", TRAIN, batches=2)
    preview(net, tmp_path / "c.png", TRAIN, batches=2, seed=2)
    first, same, other = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert first == same != other


def test_batches_follow_each_other(net: Path, tmp_path: Path) -> None:
    assert preview(net, tmp_path / "it.png", TEST, batches=4).range == (0, 80)


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_it_is_exactly_what_the_nets_of_a_training_see(phase: int, net: Path, tmp_path: Path) -> None:
    everything = (
        "crop_size: 24 mirror: true mean_value: 100 scale: 0.5 "
        "augmentation { rotation: 30 elastic_alpha: 20 brightness: 0.5 cutout: 5 border: ZERO }"
    )
    net.write_text(f"""
        layer {{ name: "d" type: "Data" top: "data" top: "label"
          data_param {{ source: "{tmp_path / "db"}" batch_size: 10 shuffle: true }}
          transform_param {{ {everything} }} }}
        layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param {{ num_output: 1 }} }}
        layer {{ name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" }}
    """)
    solver = tmp_path / "solver.prototxt"
    solver.write_text(
        f'net: "{net}" base_lr: 0 lr_policy: "fixed" max_iter: 9 test_iter: 1 test_interval: 9 random_seed: 7'
    )
    preview(net, tmp_path / "it.png", phase, batches=2, seed=7)
    with closing(load_solver(solver, observed=True)) as training:
        seen = training.net if phase == TRAIN else training.test_nets[0]
        images: list[np.ndarray] = []
        labels: list[str] = []
        for _ in range(2):
            seen.forward()
            images += list(seen.blobs["data"].data.copy())
            labels += [f"{label:.0f}" for label in seen.blobs["label"].data]
    write_grid(tmp_path / "seen.png", Shown.of(images).images, labels)
    assert (tmp_path / "it.png").read_bytes() == (tmp_path / "seen.png").read_bytes()


def test_a_layer_is_found_by_name_and_state(net: Path, tmp_path: Path) -> None:
    drawn = preview(net, tmp_path / "it.png", TEST, layer="third", stages=["deep"])
    assert drawn.tops == {"more": (3, 1, 32, 64)}
    with pytest.raises(GraphError, match='is called "third" in phase TEST'):
        preview(net, tmp_path / "it.png", TEST, layer="third")
    with pytest.raises(GraphError, match="did you mean first"):
        preview(net, tmp_path / "it.png", TRAIN, layer="frist")


def test_faults_stand_where_the_layer_stands(net: Path, tmp_path: Path) -> None:
    text = net.read_text()
    net.write_text(text.replace("batch_size: 1 ", "batch_size: 0 "))
    with pytest.raises(CaffeliteError, match=r"net\.prototxt:6:.*batch_size"):
        preview(net, tmp_path / "it.png", TEST)
    net.write_text(text.replace("crop_size: 32", "crop_size: 99"))
    with pytest.raises(CaffeliteError, match=r"net\.prototxt:4:.*crop_size 99 is larger"):
        preview(net, tmp_path / "it.png", TRAIN)
    assert not (tmp_path / "it.png").exists()


def test_a_net_without_data_or_without_images_is_told(net: Path, tmp_path: Path) -> None:
    import h5py

    net.write_text('layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 } } }')
    with pytest.raises(GraphError, match="there is no layer that reads data"):
        preview(net, tmp_path / "it.png")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["data"] = np.zeros((3, 7), np.float32)
    (tmp_path / "list.txt").write_text(f"{tmp_path / 'x.h5'}\n")
    net.write_text(
        f'layer {{ name: "d" type: "HDF5Data" top: "data" '
        f'hdf5_data_param {{ source: "{tmp_path / "list.txt"}" batch_size: 3 }} }}'
    )
    with pytest.raises(DataError, match='"data", is 3×7; images have 4 axes'):
        preview(net, tmp_path / "it.png")


def test_what_is_odd_about_the_net_is_told(net: Path, tmp_path: Path) -> None:
    net.write_text(net.read_text().replace("batch_size: 1 ", "batch_size: 1 batch_size: 1 "))
    warned: list[Fault] = []
    preview(net, tmp_path / "it.png", TEST, warn=warned.append)
    assert any("batch_size" in fault.message for fault in warned)
