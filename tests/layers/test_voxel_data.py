"""VideoSegmentationData and VideoWithVoxelTruthData over files written here, in the layout that image_io.cpp of
facebook/C3D reads: five int32, then the values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest

from caffelite.assembly import build_graph, read_net
from caffelite.errors import DataError, LayerError
from caffelite.graph import state_of
from caffelite.layerkit import Layer
from caffelite.proto import TEST, TRAIN

from .alone import build, run_at

SHAPE = (4, 2, 6, 8)
BYTES = [np.random.default_rng(seed).integers(0, 200, SHAPE).astype(np.uint8) for seed in range(3)]
FLOATS = [np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32) for seed in range(3)]


@pytest.fixture(scope="module", autouse=True)
def _files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("voxels")
    head = np.array((1, *SHAPE), "<i4").tobytes()
    for name, clips in (("b", BYTES), ("f", FLOATS)):
        for number, clip in enumerate(clips):
            (folder / f"{name}{number}").write_bytes(head + clip.tobytes())
        (folder / f"{name}.txt").write_text("".join(f"{name}{number}\n" for number in range(3)))
    (folder / "bad").write_bytes(head + b"12345")
    (folder / "bad.txt").write_text("\nbad\n")
    with chdir(folder):
        yield


def _layer(kind: str, settings: str, transform: str = "", phase: int = TEST) -> tuple[Layer, list]:
    text = f'name: "v" type: "{kind}" top: "d" top: "t" transform_param {{ {transform} }}'
    return build(f"{text} image_data_param {{ {settings} }}", phase=phase)


def _batches(layer: Layer, count: int) -> list[list[np.ndarray]]:
    batches = [[top.numpy() for top in layer.forward(run_at(), [], [])] for _ in range(count)]
    layer.close()
    return batches


def test_classes_of_voxels() -> None:
    layer, shapes = _layer("VideoSegmentationData", 'source: "b.txt" batch_size: 2 mean_value: 10', "scale: 0.5")
    assert shapes == [(2, 3, 2, 6, 8), (2, 1, 2, 6, 8)]
    (clips, truths), (_, more) = _batches(layer, 2)
    np.testing.assert_array_equal(clips[1], (BYTES[1][:3].astype(np.float32) - 10) / 2)
    np.testing.assert_array_equal(truths[1], BYTES[1][3:])
    np.testing.assert_array_equal(more[:, 0, 0, 0, 0], [BYTES[2][3, 0, 0, 0], BYTES[0][3, 0, 0, 0]])


def test_in_test_both_are_cut_at_the_centre() -> None:
    layer, shapes = _layer("VideoSegmentationData", 'source: "b.txt" batch_size: 1', "crop_size: 4")
    assert shapes == [(1, 3, 2, 4, 4), (1, 1, 2, 4, 4)]
    ((clips, truths),) = _batches(layer, 1)
    np.testing.assert_array_equal(clips[0], BYTES[0][:3, :, 1:5, 2:6])
    np.testing.assert_array_equal(truths[0], BYTES[0][3:, :, 1:5, 2:6])


FLOW = 'image_data_param { source: "f.txt" batch_size: 1 num_truth_channels: 2 is_flow: true truth_scale: 2 }'
NO_FLOW = 'image_data_param { source: "f.txt" batch_size: 1 num_truth_channels: 2 is_flow: false truth_scale: 2 }'


@pytest.mark.parametrize(("param", "flow"), [(FLOW, True), (NO_FLOW, False)])
def test_in_train_both_are_cut_and_mirrored_alike(param: str, flow: bool) -> None:
    named = 'name: "v" type: "VideoWithVoxelTruthData" top: "d" top: "t" transform_param { crop_size: 5 mirror: true }'
    sign = -1 if flow else 1
    layer, _ = build(f"{named} {param}", phase=TRAIN)
    whole = FLOATS[0]
    possible = {}
    for row in range(2):
        for column in range(4):
            part = whole[:, :, row : row + 5, column : column + 5]
            possible[part[:2].tobytes()] = (row, column, False), 2 * part[2:]
            part = np.ascontiguousarray(part[..., ::-1])
            signs = np.array([sign, 1], np.float32).reshape(2, 1, 1, 1)
            possible[part[:2].tobytes()] = (row, column, True), 2 * signs * part[2:]
    seen = set()
    for clips, truths in _batches(layer, 150)[::3]:
        place, truth = possible[clips[0].tobytes()]
        np.testing.assert_array_equal(truths[0], truth)
        seen.add(place)
    assert len(seen) > 10


def test_files_of_bytes() -> None:
    settings = 'image_data_param { source: "b.txt" batch_size: 1 use_byte_input: true }'
    layer, shapes = build(f'name: "v" type: "VideoWithVoxelTruthData" top: "d" top: "t" {settings}')
    assert shapes == [(1, 3, 2, 6, 8), (1, 1, 2, 6, 8)]
    ((clips, truths),) = _batches(layer, 1)
    np.testing.assert_array_equal(np.concatenate([clips[0], truths[0]]), BYTES[0])
    with pytest.raises(DataError, match='clip "b0" is no clip'):
        _layer("VideoWithVoxelTruthData", 'source: "b.txt" batch_size: 1 use_byte_input: false')


def test_clipped_truth() -> None:
    settings = 'source: "f.txt" batch_size: 1 clip_min: -1 clip_max: 3'
    layer, _ = _layer("VideoWithVoxelTruthData", settings)
    ((_, truths),) = _batches(layer, 1)
    np.testing.assert_allclose(truths[0], ((FLOATS[0][3:] + 1) / 4).clip(0, 1), rtol=1e-6)
    with pytest.raises(LayerError, match="clip_min needs a clip_max above it"):
        _layer("VideoWithVoxelTruthData", 'source: "f.txt" batch_size: 1 clip_min: 1')


def test_a_damaged_file_is_named() -> None:
    with pytest.raises(DataError) as raised:
        _layer("VideoSegmentationData", 'source: "bad.txt" batch_size: 1')
    assert 'bad.txt:2: layer "v" (VideoSegmentationData): clip "bad" is no clip' in str(raised.value)
    with pytest.raises(DataError, match="has 4 channels: too few for a truth of 4"):
        _layer("VideoWithVoxelTruthData", 'source: "f.txt" batch_size: 1 num_truth_channels: 4')
    with pytest.raises(DataError, match="is 6×8: smaller than crop_size 7"):
        _layer("VideoSegmentationData", 'source: "b.txt" batch_size: 1', "crop_size: 7")


def test_the_v1_form_moves_its_settings(tmp_path: Path) -> None:
    settings = 'source: "b.txt" batch_size: 1 crop_size: 4 mirror: true mean_value: 3'
    text = f'layers {{ type: VIDEO_SEGMENTATION_DATA top: "d" top: "t" image_data_param {{ {settings} }} }}'
    (tmp_path / "net.prototxt").write_text(text)
    net = read_net(tmp_path / "net.prototxt")
    graph = build_graph(net, state_of(net.message, TRAIN, None, []))
    assert graph.shape("d") == (1, 3, 2, 4, 4)
    assert net.message.layer[0].transform_param.mirror
