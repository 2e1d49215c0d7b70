"""Whatever number of threads loads the batches, they are the same bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffelite.data import feed

from ..data.by_hand import TRAIN, batch, layer_from, opened
from ..data.databases import write_images

BATCHES = 500
WORKERS = (0, 1, 2, 4)
TRANSFORM = (
    "crop_size: 9 mirror: true mean_value: 20 scale: 0.1 augmentation { shift: 1 rotation: 15 scaling: 0.1 shear: 5 "
    "elastic_alpha: 8 elastic_sigma: 1 brightness: 0.2 contrast: 0.2 saturation: 0.3 hue: 20 cutout: 3 }"
)


def digest(text: str) -> str:
    found = hashlib.sha256()
    with opened(layer_from(text, TRAIN)) as layer:
        layer.shapes([])
        for _ in range(BATCHES):
            for top in batch(layer):
                found.update(np.ascontiguousarray(top).tobytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (70, 3, 11, 11), dtype=np.uint8)


def test_a_database(tmp_path: Path, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "WORTH_A_THREAD", 0.0)
    path = write_images(tmp_path / "db", pictures)
    text = (
        f'name: "d" type: "Data" top: "data" top: "label" transform_param {{ {TRANSFORM} }} data_param {{ '
        f'source: "{path}" batch_size: 4 shuffle: true cache_mib: %d workers: %d }}'
    )
    assert len({digest(text % (cache, workers)) for workers, cache in zip(WORKERS, (0, 64, 0, 0), strict=True)}) == 1


def test_a_list_of_images(tmp_path: Path, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "WORTH_A_THREAD", 0.0)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture.transpose(1, 2, 0)).save(tmp_path / f"{number}.png")
    lines = "".join(f"{tmp_path}/{number}.png {number}\n" for number in range(len(pictures)))
    (tmp_path / "list.txt").write_text(lines)
    text = (
        f'name: "d" type: "ImageData" top: "data" top: "label" transform_param {{ {TRANSFORM} }} '
        f"data_param {{ workers: %d cache_mib: 0 }} "
        f'image_data_param {{ source: "{tmp_path}/list.txt" batch_size: 4 shuffle: true rand_skip: 9 }}'
    )
    assert len({digest(text % workers) for workers in WORKERS}) == 1
