"""MatWrite: what SciPy reads in its files, and their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import loadmat

from caffelite.errors import DataError, LayerError
from caffelite.layerkit import Run

from .alone import build, run_at


def _layer(settings: str, *shapes: tuple[int, ...]) -> object:
    bottoms = " ".join(f'bottom: "b{at}"' for at in range(len(shapes)))
    layer, tops = build(f'name: "w" type: "MatWrite" {bottoms} mat_write_param {{ {settings} }}', *shapes)
    assert tops == []
    return layer


def test_files_and_their_names(tmp_path: Path) -> None:
    """MATLAB's axes are ours in the reverse order, as matio_io.cpp has them: width, height, channels, num."""
    x, y = torch.randn(2, 3, 4, 5), torch.randn(7)
    layer = _layer(f'prefix: "{tmp_path}/a_" period: 2', x.shape, y.shape)
    for _ in range(3):
        layer.forward(run_at(), [x, y], [])
    names = [f"a_iter_{at}_blob_{blob}.mat" for at in (0, 2) for blob in (0, 1)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    (data,) = (value for key, value in loadmat(tmp_path / names[0]).items() if not key.startswith("__"))
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data, x.numpy().T)
    second = loadmat(tmp_path / names[1])["data"]
    np.testing.assert_array_equal(second, y.numpy().reshape(1, 1, 1, 7))


def test_names_from_a_list(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("2008_1.jpg 3\n\n2008_2.jpg 4\n")
    layer = _layer(f'prefix: "{tmp_path}/" source: "{tmp_path}/list.txt" strip: 4', (1, 2))
    for _ in range(2):
        layer.forward(run_at(), [torch.zeros(1, 2)], [])
    assert sorted(path.name for path in tmp_path.glob("*.mat")) == ["2008_1_blob_0.mat", "2008_2_blob_0.mat"]
    with pytest.raises(DataError, match="has names for 2 batches, and this is one more"):
        layer.forward(run_at(), [torch.zeros(1, 2)], [])
    layer = _layer(f'prefix: "{tmp_path}/" source: "{tmp_path}/list.txt" strip: 10', (1, 2))
    with pytest.raises(DataError, match=r'strip: 10 leaves nothing of "2008_1.jpg", line 1'):
        layer.forward(run_at(), [torch.zeros(1, 2)], [])


def test_passes_that_are_made_again_write_nothing(tmp_path: Path) -> None:
    layer = _layer(f'prefix: "{tmp_path}/"', (1, 2))
    layer.forward(Run(torch.device("cpu"), 1, 0, repeating=True), [torch.zeros(1, 2)], [])
    assert not list(tmp_path.iterdir())
    assert layer.passes == 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("", "prefix must be given: what the files' names begin with"),
        ('prefix: "a" period: 0', "period must be at least 1, got 0"),
        ('prefix: "a" strip: -1', "strip must not be negative, got -1"),
    ],
)
def test_settings(settings: str, told: str) -> None:
    with pytest.raises(LayerError, match=told):
        _layer(settings, (1, 2))
    with pytest.raises(LayerError, match="at most 4 axes"):
        _layer('prefix: "a"', (1, 2, 3, 4, 5))


def test_what_cannot_be_read_or_written(tmp_path: Path) -> None:
    layer = _layer(f'prefix: "{tmp_path}/no/such/folder/"', (1, 2))
    with pytest.raises(DataError, match=r'layer "w" \(MatWrite\): cannot write .*/no/such/folder/.*No such file'):
        layer.forward(run_at(), [torch.zeros(1, 2)], [])
    layer = _layer(f'prefix: "{tmp_path}/" source: "{tmp_path}/none.txt"', (1, 2))
    with pytest.raises(DataError, match=r"cannot read .*none.txt: No such file"):
        layer.forward(run_at(), [torch.zeros(1, 2)], [])
