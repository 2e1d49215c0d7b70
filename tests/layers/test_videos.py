"""VideoData of its three kinds over folders of small frames whose values tell which video and frame they are, and the
crops of yjxiong/caffe against a transcription of its lists of places and sizes (fillFixOffset, fillCropSize)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from caffelite.assembly import build_graph, read_net
from caffelite.data import patches
from caffelite.data.transform import Transform
from caffelite.data.videos import read_clip_mean
from caffelite.errors import DataError, LayerError, UpgradeError
from caffelite.graph import state_of
from caffelite.layerkit import Layer
from caffelite.layerkit.videos import printf_fields
from caffelite.proto import TEST, TRAIN, BlobProto

from .alone import build, run_at, settings


def value(video: int, frame: int, channel: int = 0) -> int:
    """What every pixel of a frame is (channel 0: blue)."""
    return 60 * video + 4 * frame + channel


@pytest.fixture(scope="module", autouse=True)
def _frames(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Three videos of 12 frames, 8×10 pixels, under all three ways of calling them; PNG inside, so that values stay."""
    folder = tmp_path_factory.mktemp("videos")
    for video in range(3):
        (folder / f"v{video}").mkdir()
        for frame in range(1, 13):
            pixels = np.array([value(video, frame, 2 - c) for c in range(3)], np.uint8)  # Pillow: red first
            image = Image.fromarray(np.broadcast_to(pixels, (8, 10, 3)).copy())
            for name in (f"{frame:06d}.jpg", f"img_{frame:05d}.jpg"):
                image.save(folder / f"v{video}" / name, format="PNG")
            for letter, more in (("x", 0), ("y", 1)):
                gray = np.full((8, 10), value(video, frame, more), np.uint8)
                Image.fromarray(gray).save(folder / f"v{video}" / f"flow_{letter}_{frame:04d}.jpg", format="PNG")
    (folder / "starts.txt").write_text("v0 1 5\nv1 3 6\nv2 2 7\n")
    (folder / "counts.txt").write_text("v0 12 5\nv1 12 6\nv2 12 7\n")
    (folder / "short.txt").write_text("v0 4 5\n")
    (folder / "several.txt").write_text("v0 1 0,2\nv1 3 1\n")
    with chdir(folder):
        yield


def _layer(dialect: str, settings: str, phase: int = TEST, tops: int = 2) -> tuple[Layer, list]:
    named = " ".join(f'top: "{name}"' for name in ("data", "label")[:tops])
    return build(f'name: "v" type: "VideoData" dialect: "{dialect}" {named} {settings}', phase=phase)


def _batches(layer: Layer, count: int, seed: int = 1) -> list[list[np.ndarray]]:
    run = run_at(seed=seed)
    batches = [[top.numpy().copy() for top in layer.forward(run, [], [])] for _ in range(count)]
    layer.close()
    return batches


# -- C3D --------------------------------------------------------------------------------------------------------------

C3D = 'source: "starts.txt" use_image: true batch_size: 2 new_length: 3'


def test_clips_of_c3d() -> None:
    layer, shapes = _layer("C3D", f"video_data_param {{ {C3D} sampling_rate: 2 }}")
    assert shapes == [(2, 3, 3, 8, 10), (2,)]
    (first, labels), (second, more) = _batches(layer, 2)
    assert labels.tolist() == [5, 6]
    assert more.tolist() == [7, 5]
    starts = {0: 1, 1: 3, 2: 2}
    for clips, videos in ((first, (0, 1)), (second, (2, 0))):
        for clip, video in zip(clips, videos, strict=True):
            for channel in range(3):
                for at in range(3):
                    assert (clip[channel, at] == value(video, starts[video] + 2 * at, channel)).all()


def test_c3d_crops_and_takes_off_a_mean_for_each_channel() -> None:
    mean = "mean_value: 1 mean_value: 2 mean_value: 3 scale: 0.5 crop_size: 6"
    layer, shapes = _layer("C3D", f"transform_param {{ {mean} }} video_data_param {{ {C3D} }}")
    assert shapes[0] == (2, 3, 3, 6, 6)
    ((clips, _),) = _batches(layer, 1)
    for channel in range(3):
        assert (clips[0, channel, 1] == (value(0, 2, channel) - channel - 1) / 2).all()


def test_shapes_of_c3d_need_no_data_where_settings_tell() -> None:
    missing = 'source: "nowhere.txt" batch_size: 4 new_length: 16'
    for size in ("new_height: 6 new_width: 7", ""):
        crop = "" if size else "transform_param { crop_size: 5 }"
        _, shapes = _layer("C3D", f"{crop} video_data_param {{ {missing} {size} }}")
        assert shapes == [(4, 3, 16, *((6, 7) if size else (5, 5))), (4,)]
    with pytest.raises(DataError, match=r'the list "nowhere\.txt" cannot be read'):
        _layer("C3D", f"video_data_param {{ {missing} use_image: true }}")


def test_c3d_resizes() -> None:
    layer, shapes = _layer("C3D", f"video_data_param {{ {C3D} new_height: 4 new_width: 5 }}", tops=1)
    assert shapes == [(2, 3, 3, 4, 5)]
    assert (_batches(layer, 1)[0][0][1, 2, 0] == value(1, 3, 2)).all()


def test_c3d_begins_anywhere_with_jitter() -> None:
    settings = """video_data_param {
      source: "counts.txt" use_image: true batch_size: 3 new_length: 4 sampling_rate: 2 use_temporal_jitter: true
    }"""
    layer, _ = _layer("C3D", settings, TRAIN)
    seen = set()
    for clips, _labels in _batches(layer, 20):
        for video in range(3):
            values = [int(clips[video, 0, at, 0, 0]) for at in range(4)]
            assert np.diff(values).tolist() == [8, 8, 8]
            seen.add((values[0] - 60 * video) // 4)
    assert seen == {1, 2, 3, 4, 5}  # 12 − 4·2 + 1 of them


def test_in_test_jitter_begins_before_the_first_frame() -> None:
    """As there: frame 0 of folders that begin with 1."""
    settings = """video_data_param {
      source: "counts.txt" use_image: true new_length: 4 use_temporal_jitter: true new_height: 8 new_width: 10
    }"""
    with pytest.raises(DataError, match=r'video "v0": frame "000000\.jpg" cannot be read'):
        _batches(_layer("C3D", settings)[0], 1)


def test_c3d_begins_at_one_of_the_first_lines() -> None:
    settings = 'video_data_param { source: "starts.txt" use_image: true new_length: 2 rand_skip: 2 }'
    begun = {float(_batches(_layer("C3D", settings)[0], 1, seed)[0][1][0]) for seed in range(12)}
    assert begun == {5, 6}
    with pytest.raises(LayerError, match=r"rand_skip must not exceed the number of videos \(3\), got 4"):
        _batches(_layer("C3D", settings.replace("rand_skip: 2", "rand_skip: 4"))[0], 1)


@pytest.mark.parametrize(
    ("dialect", "settings"),
    [
        ("C3D", 'video_data_param { source: "starts.txt" use_image: true batch_size: 3 new_length: 2 shuffle: true }'),
        ("TSN", 'video_data_param { source: "counts.txt" batch_size: 3 modality: FLOW shuffle: true }'),
    ],
)
def test_videos_are_shuffled(dialect: str, settings: str) -> None:
    """Each epoch has all of them; one in six has the order of the list."""
    epochs = [labels.flatten().tolist() for _, labels in _batches(_layer(dialect, settings)[0], 20)]
    assert all(sorted(epoch) == [5, 6, 7] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 3
    plain = _batches(_layer(dialect, settings.replace("shuffle: true", ""))[0], 4)
    assert [labels.flatten().tolist() for _, labels in plain] == [[5, 6, 7]] * 4


def test_the_root_folder_stands_in_front_as_it_is() -> None:
    Path("numbers.txt").write_text("0 1 5\n1 3 6\n")
    settings = """video_data_param {
      source: "numbers.txt" root_folder: "v" use_image: true batch_size: 2 new_length: 1
    }"""
    ((clips, _),) = _batches(_layer("C3D", settings)[0], 1)
    assert clips[:, 0, 0, 0, 0].tolist() == [value(0, 1), value(1, 3)]


@pytest.mark.parametrize(
    ("dialect", "settings", "told"),
    [
        ("C3D", "video_data_param { is_color: false }", "is_color has no effect: frames are always read in colour"),
        ("TSN", "video_data_param { rand_skip: 2 }", "rand_skip has no effect: reading begins at the first line"),
        ("TSN", "video_data_param { encoded: true }", "encoded has no effect: frames are image files"),
    ],
)
def test_settings_without_effect(dialect: str, settings: str, told: str) -> None:
    listed = "starts.txt" if dialect == "C3D" else "counts.txt"
    base = f'source: "{listed}" use_image: true batch_size: 3 new_length: 2'
    layer, _ = _layer(dialect, settings.replace("{", f"{{ {base}"))
    assert [fault.message for fault in layer.warnings()] == [told]
    plain, _ = _layer(dialect, f"video_data_param {{ {base} }}")
    assert plain.warnings() == []
    for batches in zip(_batches(layer, 2), _batches(plain, 2), strict=True):
        for top, other in zip(*batches, strict=True):
            np.testing.assert_array_equal(top, other)


@pytest.mark.parametrize(
    "settings",
    [
        'video_data_param { source: "starts.txt" use_image: true new_length: 2 scale: 0.5 }',
        'video_data_param { source: "starts.txt" use_image: true new_length: 2 mean_file: "nowhere" }',
        'video_data_param { source: "starts.txt" use_image: true new_length: 2 crop_size: 5 }',
        'video_data_param { source: "starts.txt" use_image: true new_length: 2 mirror: true }',
    ],
)
def test_transformations_stand_elsewhere(settings: str, tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(f'layer {{ name: "v" type: "VideoData" top: "d" {settings} }}')
    field = settings.removesuffix(" }").split()[-2].removesuffix(":")
    (warning,) = read_net(tmp_path / "net.prototxt").warnings
    assert warning.message == f"video_data_param.{field} has no effect in a `layer`"
    layer, shapes = _layer("C3D", settings, tops=1)
    assert shapes == [(1, 3, 2, 8, 10)]
    for batch, video in zip(_batches(layer, 9), (0, 1, 2) * 3, strict=True):
        assert (batch[0][0, 0, 0] == value(video, (1, 3, 2)[video])).all()


def test_c3d_draws_the_sampling_rate() -> None:
    settings = f"{C3D} max_sampling_rate: 3 use_sampling_rate_jitter: true"
    layer, _ = _layer("C3D", f"video_data_param {{ {settings} }}", TRAIN)
    steps = {int(clips[0, 0, 1, 0, 0] - clips[0, 0, 0, 0, 0]) // 4 for clips, _ in _batches(layer, 30)}
    assert steps == {1, 2, 3}


def test_c3d_with_several_labels() -> None:
    settings = 'source: "several.txt" use_image: true batch_size: 2 new_length: 2 use_multiple_label: true'
    layer, shapes = _layer("C3D", f"video_data_param {{ {settings} num_of_labels: 4 }}")
    assert shapes[1] == (2, 4)
    assert _batches(layer, 1)[0][1].tolist() == [[1, 0, 1, 0], [0, 1, 0, 0]]
    with pytest.raises(LayerError, match="use_multiple_label needs num_of_labels"):
        _layer("C3D", f"video_data_param {{ {settings} }}")
    layer, _ = _layer("C3D", f"video_data_param {{ {settings} num_of_labels: 2 new_height: 8 new_width: 10 }}")
    with pytest.raises(DataError, match="a label must be a class from 0 to 1, got 2"):
        _batches(layer, 1)


def test_c3d_of_version_1_0() -> None:
    settings = 'source: "starts.txt" use_image: true batch_size: 3 new_length: 2'
    layer, shapes = _layer("C3D", f"image_data_param {{ {settings} sampling_rate: 3 mean_value: 10 }}")
    assert shapes == [(3, 3, 2, 8, 10), (3, 1, 1, 1, 1)]
    ((clips, labels),) = _batches(layer, 1)
    assert labels.flatten().tolist() == [5, 6, 7]
    assert (clips[2, 1, 1] == value(2, 5, 1) - 10).all()
    assert not layer.warnings()


OLD_JITTER = """
image_data_param {
  source: "counts.txt" use_image: true batch_size: 3 new_length: 4 sampling_rate: 2 use_temporal_jitter: true
}
"""


def test_c3d_of_version_1_0_begins_anywhere_with_jitter() -> None:
    layer, _ = _layer("C3D", OLD_JITTER, TRAIN)
    begun = {int(clips[0, 0, 0, 0, 0]) // 4 for clips, _labels in _batches(layer, 30)}
    assert begun == {1, 2, 3, 4, 5}  # 12 − 4·2 + 1 of them


@pytest.mark.parametrize(
    "param",
    [
        'image_data_param { source: "starts.txt" use_image: true new_length: 2 use_label: false }',
        'image_data_param { source: "starts.txt" use_image: true new_length: 2 use_label: true }',
    ],
)
def test_the_tops_tell_whether_there_are_labels(param: str) -> None:
    """VideoDataLayer of C3D v1.0 reads no use_label."""
    for tops in (1, 2):
        layer, _ = _layer("C3D", param, tops=tops)
        (batch,) = _batches(layer, 1)
        assert [top.shape for top in batch] == [(1, 3, 2, 8, 10), (1, 1, 1, 1, 1)][:tops]
        (warning,) = layer.warnings()
        assert warning.message == "use_label has no effect: a second top says whether there are labels"


def test_video_files_of_version_1_0_are_refused() -> None:
    layer, _ = _layer("C3D", 'image_data_param { source: "starts.txt" new_length: 2 new_height: 8 new_width: 10 }')
    with pytest.raises(LayerError, match="video files cannot be read: there is no decoder for them"):
        _batches(layer, 1)


def test_a_mean_clip_in_either_form(tmp_path: Path) -> None:
    values = np.arange(3 * 2 * 4 * 5, dtype=np.float32)
    today = BlobProto(data=values.tolist())
    today.shape.dim.extend((1, 3, 2, 4, 5))
    old = b"".join(bytes((8 * field, size)) for field, size in enumerate((1, 3, 2, 4, 5), 1))  # num to width: 1 to 5
    old += bytes((8 * 6 + 2,)) + b"\xe0\x03" + values.tobytes()  # data: 6, packed, 480 bytes
    for name, content in (("today", today.SerializeToString()), ("old", old)):
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(read_clip_mean(tmp_path / name), values.reshape(6, 4, 5))
    flat = BlobProto(num=1, channels=3, height=2, width=2, data=[0] * 12)
    (tmp_path / "flat").write_bytes(flat.SerializeToString())
    with pytest.raises(DataError, match="holds no clip of 5 axes"):
        read_clip_mean(tmp_path / "flat")


def test_video_files_are_refused() -> None:
    size = "new_height: 8 new_width: 10"
    layer, _ = _layer("C3D", f'video_data_param {{ source: "starts.txt" new_length: 2 {size} }}')
    with pytest.raises(LayerError, match="video files cannot be read: there is no decoder for them"):
        _batches(layer, 1)


def test_a_missing_frame_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("v0 1 0\nv0 11 0\n")
    settings = f'source: "{tmp_path}/list.txt" use_image: true batch_size: 2 new_length: 3'
    layer, _ = _layer("C3D", f"video_data_param {{ {settings} }}")
    with pytest.raises(DataError) as raised:
        _batches(layer, 1)
    assert 'list.txt:2: layer "v" (VideoData): video "v0": frame "000013.jpg" cannot be read' in str(raised.value)


# -- temporal segments ------------------------------------------------------------------------------------------------


def test_segments_in_test_lie_in_the_middle() -> None:
    settings = 'source: "counts.txt" batch_size: 3 num_segments: 3 new_length: 2 name_pattern: "img_%05d.jpg"'
    layer, shapes = _layer("TSN", f"video_data_param {{ {settings} modality: RGB }}")
    assert shapes == [(3, 18, 8, 10), (3, 1, 1, 1)]
    ((images, labels),) = _batches(layer, 1)
    assert labels.flatten().tolist() == [5, 6, 7]
    # Parts of 4 frames; (4 − 2 + 1) / 2 = 1, so frames 2 and 3 of each part.
    frames = [2, 3, 6, 7, 10, 11]
    want = [value(1, frame, channel) for frame in frames for channel in range(3)]
    assert images[1, :, 0, 0].tolist() == want


def test_flow_in_train_begins_anywhere_in_its_part() -> None:
    settings = 'video_data_param { source: "counts.txt" batch_size: 3 num_segments: 2 new_length: 3 modality: FLOW }'
    layer, shapes = _layer("TSN", settings, TRAIN)
    assert shapes[0] == (3, 12, 8, 10)
    seen: list[set[int]] = [set(), set()]
    for images, _ in _batches(layer, 40):
        for video in range(3):
            here = images[video, :, 0, 0].astype(int)
            for part in range(2):
                x, y = here[6 * part : 6 * part + 6 : 2], here[6 * part + 1 : 6 * part + 6 : 2]
                assert (y == x + 1).all()
                assert np.diff(x).tolist() == [4, 4]
                seen[part].add(int(x[0] - 60 * video) // 4)
    assert seen == [{1, 2, 3, 4}, {7, 8, 9, 10}]


@pytest.mark.parametrize(
    ("settings", "channels"),
    [
        ("video_data_param { modality: RGB grayscale: true }", [1]),  # 0.114·0 + 0.587·1 + 0.299·2 = 1.185
        ("video_data_param { modality: RGB grayscale: false }", [0, 1, 2]),
        ("video_data_param { modality: FLOW grayscale: true }", [0, 1]),
    ],
)
def test_gray_frames(settings: str, channels: list[int]) -> None:
    pattern = 'name_pattern: "img_%05d.jpg"' if "RGB" in settings else ""
    base = f'source: "counts.txt" batch_size: 1 new_length: 2 {pattern}'
    layer, shapes = _layer("TSN", settings.replace("{", f"{{ {base}"))
    assert shapes[0] == (1, 2 * len(channels), 8, 10)
    ((images, _),) = _batches(layer, 1)
    assert images[0, :, 3, 4].tolist() == [value(0, frame) + channel for frame in (6, 7) for channel in channels]


def test_a_short_video_begins_at_its_first_frame() -> None:
    settings = 'source: "short.txt" batch_size: 1 num_segments: 2 new_length: 3'
    layer, _ = _layer("TSN", f"video_data_param {{ {settings} }}", TRAIN)
    ((images, _),) = _batches(layer, 1)
    assert images[0, ::2, 0, 0].tolist() == [value(0, frame) for frame in (1, 2, 3)] * 2


def test_mirrored_flow_changes_sign_along_x() -> None:
    settings = 'source: "counts.txt" batch_size: 3 num_segments: 1 new_length: 2'
    transform = "transform_param { mirror: true is_flow: true }"
    layer, _ = _layer("TSN", f"{transform} video_data_param {{ {settings} }}")
    kinds = set()
    for images, _ in _batches(layer, 10):
        for video in range(3):
            x, y = images[video, 0, 0, 0], images[video, 1, 0, 0]
            frame = value(video, 6)
            assert y == frame + 1
            kinds.add({frame: "straight", 255 - frame: "mirrored"}[int(x)])
    assert kinds == {"straight", "mirrored"}


def test_mean_values_are_repeated() -> None:
    settings = (
        'source: "counts.txt" batch_size: 1 num_segments: 2 new_length: 1 name_pattern: "img_%05d.jpg" modality: RGB'
    )
    mean = "transform_param { mean_value: 1 mean_value: 2 mean_value: 3 }"
    layer, _ = _layer("TSN", f"{mean} video_data_param {{ {settings} }}")
    plain, _ = _layer("TSN", f"video_data_param {{ {settings} }}")
    difference = _batches(plain, 1)[0][0] - _batches(layer, 1)[0][0]
    assert difference[0, :, 0, 0].tolist() == [1, 2, 3, 1, 2, 3]
    with pytest.raises(LayerError, match=r"the mean_value given \(4\) must divide the channels \(6\)"):
        _layer("TSN", f"transform_param {{ {'mean_value: 1 ' * 4} }} video_data_param {{ {settings} }}")


@pytest.mark.parametrize(
    ("pattern", "fields"),
    [("img_%05d.jpg", ["d"]), ("flow_%c_%04d.jpg", ["c", "d"]), ("100%%_%d", ["d"]), ("%s", ["?"]), ("a", [])],
)
def test_patterns(pattern: str, fields: list[str]) -> None:
    assert printf_fields(pattern) == fields


def test_a_pattern_that_names_nothing_is_refused() -> None:
    with pytest.raises(LayerError, match='name_pattern must hold %c and, behind it, %d, got "%05d'):
        _layer("TSN", 'video_data_param { source: "counts.txt" batch_size: 1 name_pattern: "%05d.jpg" }')


# -- crops ------------------------------------------------------------------------------------------------------------


def test_places_are_the_sources() -> None:
    """fillFixOffset for 256×340 and crops of 224: steps of 8 and 29."""
    assert patches.places(256, 340, (224, 224), False) == [(0, 0), (0, 116), (32, 0), (32, 116), (16, 58)]
    assert patches.places(256, 340, (224, 224), True)[5:] == [
        (0, 58), (32, 58), (16, 0), (16, 116), (8, 29), (8, 87), (24, 29), (24, 87),
    ]  # fmt: skip


def test_sizes_are_the_sources() -> None:
    """fillCropSize for 256×340: 256, 224, 192, 168 (0.66 · 256 = 168.96); a side that is nearly 224 becomes 224."""
    assert patches.sizes(256, 340, 224, (), 1) == [
        (256, 256), (256, 224), (224, 256), (224, 224), (224, 192),
        (192, 224), (192, 192), (192, 168), (168, 192), (168, 168),
    ]  # fmt: skip
    assert patches.sizes(340, 256, 226, (1, 0.875), 0) == [(256, 256), (226, 226)]


def _transform(text: str) -> Transform:
    return Transform(settings(text).transform_param, TRAIN)


def test_fixed_crops_come_from_the_places() -> None:
    image = np.arange(8 * 12, dtype=np.uint8).reshape(1, 1, 8, 12)
    for more in (False, True):
        text = "transform_param { crop_size: 4 fix_crop: true more_fix_crop: true }"
        transform = _transform(text if more else text.replace("more_fix_crop: true", ""))
        seen = {int(transform(image, 1, "l", position)[0, 0, 0, 0]) for position in range(150)}
        assert seen == {row * 12 + column for row, column in patches.places(8, 12, (4, 4), more)}


def test_crops_of_several_sizes_are_resized() -> None:
    from caffelite.data.resize import resize

    image = np.random.default_rng(1).integers(0, 256, (2, 16, 24), np.uint8)
    transform = _transform(
        "transform_param { crop_size: 8 multi_scale: true fix_crop: true scale_ratios: [1, 0.75] max_distort: 1 }"
    )
    possible = {
        resize(image[:, r : r + h, c : c + w], 8, 8).tobytes(): (h, w)
        for h, w in patches.sizes(16, 24, 8, (1, 0.75), 1)
        for r, c in patches.places(16, 24, (h, w), False)
    }
    seen = {possible[transform(image[None], 1, "l", at)[0].astype(np.uint8).tobytes()] for at in range(60)}
    assert seen == {(16, 16), (16, 12), (12, 16), (12, 12)}


def test_in_test_crops_are_central() -> None:
    param = settings("transform_param { crop_size: 4 fix_crop: true multi_scale: true }").transform_param
    image = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8)
    assert Transform(param, TEST)(image, 1, "l", 0)[0, 0, 0, 0] == 2 * 8 + 2


def test_faults_of_crops() -> None:
    with pytest.raises(LayerError) as raised:
        settings = "scale_ratios: 1.5 max_distort: -1 multi_scale: true augmentation { shift: 1 }"
        source = 'source: "counts.txt" batch_size: 1'
        _layer("TSN", f"transform_param {{ {settings} }} video_data_param {{ {source} }}")
    assert [fault.message for fault in raised.value.faults] == [
        "a scale ratio must be above 0 and at most 1, got 1.5",
        "max_distort must not be negative, got -1",
        "multi_scale and augmentation cannot both be given",
    ]


# -- which kind -------------------------------------------------------------------------------------------------------


def _graph(tmp_path: Path, settings: str) -> str:
    (tmp_path / "net.prototxt").write_text(f'layer {{ name: "v" type: "VideoData" top: "d" top: "l" {settings} }}')
    net = read_net(tmp_path / "net.prototxt")
    return str(build_graph(net, state_of(net.message, TRAIN, None, [])).nodes[0].layer.dialect)


def test_the_settings_tell_the_kind(tmp_path: Path) -> None:
    crop = "transform_param { crop_size: 5 }"
    base = 'source: "x" batch_size: 1 new_length: 2'
    assert _graph(tmp_path, f"{crop} video_data_param {{ {base} use_image: true }}") == "C3D"
    assert _graph(tmp_path, f"{crop} video_data_param {{ {base} num_segments: 3 }}") == "TSN"
    camera = "data_param { batch_size: 1 } video_data_param { video_type: WEBCAM }"
    assert _graph(tmp_path, f"{crop} {camera}") == "SSD"
    with pytest.raises(UpgradeError, match="VideoData means different things in different forks"):
        _graph(tmp_path, f"{crop} video_data_param {{ {base} }}")


def test_a_camera_is_looked_at_but_not_run() -> None:
    settings = "data_param { batch_size: 2 } video_data_param { video_type: WEBCAM }"
    layer, shapes = _layer("SSD", f"transform_param {{ resize_param {{ height: 30 width: 40 }} }} {settings}")
    assert shapes == [(2, 3, 30, 40), (2,)]
    with pytest.raises(LayerError, match="a camera cannot be read: there is no decoder for it"):
        layer.forward(run_at(), [], [])
    with pytest.raises(LayerError, match="how large its images are would be known only from the camera or the file"):
        _layer("SSD", settings)
    assert torch.Size(shapes[0]) == (2, 3, 30, 40)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ("video_data_param { video_type: WEBCAM device_id: 1 }", "a camera"),
        ("video_data_param { video_type: WEBCAM skip_frames: 2 }", "a camera"),
        ('video_data_param { video_type: VIDEO video_file: "film.mp4" skip_frames: 2 }', "a video file"),
    ],
)
def test_nothing_of_a_camera_or_a_film_is_read(settings: str, what: str) -> None:
    layer, shapes = _layer("SSD", f"transform_param {{ crop_size: 30 }} data_param {{ batch_size: 2 }} {settings}")
    assert shapes == [(2, 3, 30, 30), (2,)]
    with pytest.raises(LayerError, match=f"{what} cannot be read: there is no decoder for it"):
        layer.forward(run_at(), [], [])


def test_a_film_needs_a_file() -> None:
    with pytest.raises(LayerError, match="video_type: VIDEO needs a video_file"):
        _layer("SSD", "data_param { batch_size: 2 } video_data_param { video_type: VIDEO }")
