"""DenseImageData, ImageSegData and WindowSegData: every pixel of an image knows where it is, and so does its label, so
that whatever was cut, turned or resized can be told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffelite.data.resize import nearest, resize
from caffelite.errors import CaffeliteError, DataError, LayerError
from caffelite.layerkit import Layer
from caffelite.proto import TEST, TRAIN, BlobProto

from ..nets import net_of
from .alone import build, run_at

HEIGHT, WIDTH = 12, 16


def picture(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Blue is the row, green the column, red the number of the image: H×W×3 in the order R, G, B."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([np.full_like(rows, number), columns, rows], -1).astype(np.uint8)


def labels_of(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (rows * width + columns).astype(np.uint8)


@pytest.fixture(autouse=True)
def _files(tmp_path: Path) -> Iterator[None]:
    for number in range(3):
        Image.fromarray(picture(number)).save(tmp_path / f"{number}.png")
    Image.fromarray(labels_of()).save(tmp_path / "labels.png")
    Image.fromarray(labels_of(5, 6)).save(tmp_path / "small.png")
    (tmp_path / "pairs.txt").write_text("".join(f"{number}.png labels.png\n" for number in range(3)))
    with chdir(tmp_path):
        yield


def dense(param: str, transform: str = "", phase: int = TRAIN, source: str = "pairs.txt") -> Layer:
    """`param`: dense_image_data_param without the source."""
    text = f'name: "d" type: "DenseImageData" top: "x" top: "l" transform_param {{ {transform} }}'
    sourced = param.replace("{", f'{{ source: "{source}"', 1)
    return build(f"{text} {sourced}", phase=phase)[0]


def seg(
    settings: str = "label_type: PIXEL",
    transform: str = "",
    phase: int = TRAIN,
    source: str = "pairs.txt",
    kind: str = "ImageSegData",
) -> Layer:
    text = f'name: "d" type: "{kind}" top: "x" top: "l" top: "s" transform_param {{ {transform} }}'
    return build(f'{text} image_data_param {{ source: "{source}" {settings} }}', phase=phase)[0]


def read(layer: Layer, seed: int = 1) -> list[np.ndarray]:
    tops = [top.numpy().copy() for top in layer.forward(run_at(seed=seed), [], [])]
    assert [top.shape for top in tops] == [tuple(shape) for shape in layer.shapes([])]
    assert all(top.dtype == np.float32 for top in tops)
    return tops


def places(images: np.ndarray, labels: np.ndarray) -> list[tuple[int, int, bool]]:
    """Where each image was cut out, and whether it was turned; every pixel is where it belongs, and so is its label."""
    found = []
    for image, label in zip(images.astype(int), labels.astype(int), strict=True):
        rows, columns = image[0], image[1]
        np.testing.assert_array_equal(label[0], (rows * WIDTH + columns) % 256)
        turned = bool(columns[0, 0] > columns[0, -1])
        row, column = int(rows[0, 0]), int(columns.min())
        np.testing.assert_array_equal(rows, np.broadcast_to(np.arange(row, row + rows.shape[0])[:, None], rows.shape))
        order = np.arange(column, column + rows.shape[1])[:: -1 if turned else 1]
        np.testing.assert_array_equal(columns, np.broadcast_to(order, rows.shape))
        found.append((row, column, turned))
    return found


# -- DenseImageData -----------------------------------------------------------------------------------------------


def test_images_and_labels_as_they_stand() -> None:
    layer = dense("dense_image_data_param { batch_size: 2 }", "mean_value: 10 mean_value: 20 mean_value: 30 scale: 0.5")
    assert layer.records == 3
    seen = []
    for _ in range(3):
        x, label = read(layer)
        assert x.shape == (2, 3, HEIGHT, WIDTH)
        assert label.shape == (2, 1, HEIGHT, WIDTH)
        raw = x * 2 + np.array([10, 20, 30], np.float32).reshape(3, 1, 1)
        assert places(raw, label) == [(0, 0, False)] * 2
        seen += raw[:, 2, 0, 0].astype(int).tolist()
    assert seen == [0, 1, 2, 0, 1, 2]


def test_gray_images() -> None:
    x, _ = read(dense("dense_image_data_param { batch_size: 1 is_color: false }"))
    assert x.shape == (1, 1, HEIGHT, WIDTH)


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_it_crops_and_mirrors_both_alike_in_either_phase(phase: int) -> None:
    layer = dense("dense_image_data_param { batch_size: 3 crop_height: 5 crop_width: 7 mirror: true }", phase=phase)
    found = {place for _ in range(40) for place in places(*read(layer))}
    assert {turned for *_, turned in found} == {True, False}
    assert {row for row, *_ in found} == set(range(HEIGHT - 5 + 1))
    assert {column for _, column, _ in found} == set(range(WIDTH - 7 + 1))


def test_new_sizes() -> None:
    x, label = read(dense("dense_image_data_param { batch_size: 3 new_height: 5 new_width: 9 }"))
    np.testing.assert_array_equal(x[2], resize(picture(2)[..., ::-1].transpose(2, 0, 1), 5, 9))
    for h, w in np.ndindex(5, 9):  # cv::resize with INTER_NEAREST: the pixel at ⌊place · old / new⌋
        assert label[2, 0, h, w] == labels_of()[h * HEIGHT // 5, w * WIDTH // 9]


def test_labels_of_the_encoder_of_enet_are_smaller() -> None:
    x, label = read(
        dense("dense_image_data_param { batch_size: 1 new_height: 24 new_width: 37 label_divide_factor: 8 }")
    )
    assert x.shape == (1, 3, 24, 37)
    assert label.shape == (1, 1, 3, 4)
    np.testing.assert_array_equal(label[0], nearest(labels_of()[np.newaxis], 3, 4))


def test_a_mean_file_is_taken_off_the_image_alone() -> None:
    mean = np.random.default_rng(1).uniform(0, 9, (3, HEIGHT, WIDTH)).astype(np.float32)
    blob = BlobProto(num=1, channels=3, height=HEIGHT, width=WIDTH, data=mean.ravel())
    Path("mean.binaryproto").write_bytes(blob.SerializeToString())
    x, label = read(dense("dense_image_data_param { batch_size: 1 }", 'mean_file: "mean.binaryproto"'))
    assert places(np.rint(x + mean), label) == [(0, 0, False)]
    with pytest.raises(DataError, match="the mean file is 3×12×16, the image 3×4×4"):
        dense("dense_image_data_param { batch_size: 1 crop_height: 4 crop_width: 4 }", 'mean_file: "mean.binaryproto"')


def test_one_image_at_a_time_may_be_of_any_size() -> None:
    Image.fromarray(picture(9, 5, 6)).save("9.png")
    Path("mixed.txt").write_text("9.png small.png\n0.png labels.png\n")
    layer = dense("dense_image_data_param { batch_size: 1 }", source="mixed.txt")
    assert [tuple(top.shape) for top in layer.forward(run_at(), [], [])] == [(1, 3, 5, 6), (1, 1, 5, 6)]
    assert [tuple(top.shape) for top in layer.forward(run_at(), [], [])] == [(1, 3, 12, 16), (1, 1, 12, 16)]
    with pytest.raises(DataError, match="is 3×12×16, but the first of its batch is 3×5×6"):
        dense("dense_image_data_param { batch_size: 2 }", source="mixed.txt").forward(run_at(), [], [])


def test_shuffling_takes_every_line_once_an_epoch_and_depends_on_the_seed() -> None:
    def numbers(seed: int) -> list[int]:
        layer = dense("dense_image_data_param { batch_size: 3 shuffle: true }")
        return [int(image[2, 0, 0]) for _ in range(12) for image in read(layer, seed)[0]]

    first = numbers(1)
    assert all(sorted(first[at : at + 3]) == [0, 1, 2] for at in range(0, 36, 3))
    assert first == numbers(1) != numbers(2)


def test_root_folder_stands_before_both_paths() -> None:
    Path("there").mkdir()
    for name in ("0.png", "labels.png"):
        Path(name).rename(Path("there") / name)
    Path("one.txt").write_text("0.png labels.png\n")
    param = 'dense_image_data_param { source: "one.txt" batch_size: 1 root_folder: "there/" }'
    x, label = read(build(f'name: "d" type: "DenseImageData" top: "x" top: "l" {param}')[0])
    assert places(x, label) == [(0, 0, False)]
    with pytest.raises(DataError, match=r'"0\.png" cannot be read'):
        dense("dense_image_data_param { batch_size: 1 }", source="one.txt")


def test_a_mean_file_of_its_own_is_not_read() -> None:
    """DenseImageDataLayer leaves it to the transformer, which looks at transform_param."""
    layer = dense('dense_image_data_param { batch_size: 1 mean_file: "nowhere.binaryproto" }')
    assert places(*read(layer)) == [(0, 0, False)]
    (warning,) = layer.warnings()
    assert warning.message == "mean_file has no effect: transform_param { mean_file } is the one that counts"


def test_rand_skip_begins_elsewhere() -> None:
    begun = {
        int(read(dense("dense_image_data_param { batch_size: 1 rand_skip: 3 }"), seed)[0][0, 2, 0, 0])
        for seed in range(12)
    }
    assert begun == {0, 1, 2}


# -- ImageSegData -------------------------------------------------------------------------------------------------


def test_a_crop_lies_anywhere_in_training_and_in_the_middle_in_a_test() -> None:
    layer = seg("label_type: PIXEL batch_size: 3", "crop_size: 8 mirror: true")
    found = set()
    for _ in range(30):
        x, label, sizes = read(layer)
        found |= set(places(x, label))
        assert sizes.tolist() == [[[[8, 8]]]] * 3
    assert {turned for *_, turned in found} == {True, False}
    assert {(row, column) for row, column, _ in found} >= {(0, 0), (4, 8)}


def test_a_crop_that_is_no_square() -> None:
    text = """
      name: "d" type: "ImageSegData" top: "x" top: "l" transform_param { crop_height: 5 crop_width: 9 }
      image_data_param { source: "pairs.txt" label_type: PIXEL }
    """
    assert places(*read(build(text)[0])) == [(3, 3, False)]
    layer, _ = build(text, phase=TRAIN)
    found = [places(*read(layer))[0] for _ in range(80)]
    assert {row for row, *_ in found} == {column for _, column, _ in found} == set(range(8))


def test_what_is_too_small_is_filled_with_the_mean_and_ignore_label() -> None:
    x, label, sizes = read(seg("label_type: PIXEL ignore_label: 77", "crop_size: 14 mean_value: 3", TEST))
    assert sizes.tolist() == [[[[12, 14]]]]
    assert not x[0, :, 12:].any()
    assert set(label[0, 0, 12:].ravel().tolist()) == {77}
    assert places(x[:, :, :12] + 3, label[:, :, :12]) == [(0, 1, False)]


def test_factors() -> None:
    layer = seg("label_type: PIXEL batch_size: 3", "crop_size: 4 scale_factors: 0.5 scale_factors: 1", TEST)
    halves = {
        0.5: [resize(picture(n)[..., ::-1].transpose(2, 0, 1), 6, 8)[:, 1:5, 2:6] for n in range(3)],
        1.0: [picture(n)[..., ::-1].transpose(2, 0, 1)[:, 4:8, 6:10] for n in range(3)],
    }
    halves_of_labels = {
        0.5: nearest(labels_of()[np.newaxis], 6, 8)[:, 1:5, 2:6],
        1.0: labels_of()[np.newaxis, 4:8, 6:10],
    }
    seen = set()
    for _ in range(10):
        x, label, sizes = read(layer)
        assert sizes.tolist() == [[[[4, 4]]]] * 3
        for number in range(3):
            (factor,) = (one for one in halves if np.array_equal(x[number], halves[one][number]))
            np.testing.assert_array_equal(label[number], halves_of_labels[factor])
            seen.add(factor)
    assert seen == {0.5, 1.0}


def test_labels_by_number_and_without_any() -> None:
    Path("numbers.txt").write_text("0.png 4\n1.png 9\n")
    _, label, _ = read(seg("batch_size: 2", source="numbers.txt"))
    assert [set(each.ravel().tolist()) for each in label] == [{4}, {9}]
    Path("alone.txt").write_text("0.png\n1.png\n")
    _, label, _ = read(seg("batch_size: 2 label_type: NONE ignore_label: 5", source="alone.txt"))
    assert set(label.ravel().tolist()) == {5}


def test_new_sizes_of_a_segmented_image() -> None:
    x, label, sizes = read(seg("label_type: PIXEL new_height: 6 new_width: 5"))
    np.testing.assert_array_equal(x[0], resize(picture(0)[..., ::-1].transpose(2, 0, 1), 6, 5))
    np.testing.assert_array_equal(label[0], nearest(labels_of()[np.newaxis], 6, 5))
    assert sizes.tolist() == [[[[6, 5]]]]


# -- WindowSegData ------------------------------------------------------------------------------------------------


def test_windows() -> None:
    Path("boxes.txt").write_text("0.png labels.png 2 3 9 6\n1.png labels.png -2 -1 1 2\n2.png labels.png 14 10 17 13\n")
    one = seg(source="boxes.txt", kind="WindowSegData")
    x, label, sizes = read(one)
    assert places(x, label) == [(3, 2, False)]
    assert x.shape == (1, 3, 4, 8)
    assert sizes.tolist() == [[[[4, 8]]]]  # of the image, at most those of the top
    x, label = (top.numpy() for top in one.forward(run_at(), [], [])[:2])
    assert places(x[:, :, 1:, 2:], label[:, :, 1:, 2:]) == [(0, 0, False)]
    assert not x[:, :, 0].any() and not x[:, :, :, :2].any()
    assert set(label[0, 0, 0].tolist()) == set(label[0, 0, :, 0].tolist()) == {255}
    x, label = (top.numpy() for top in one.forward(run_at(), [], [])[:2])
    assert places(x[:, :, :2, :2], label[:, :, :2, :2]) == [(10, 14, False)]
    assert set(label[0, 0, 2:].ravel().tolist()) == {255}


def test_windows_are_resized() -> None:
    Path("boxes.txt").write_text("0.png labels.png 2 3 9 6\n")
    layer = seg("label_type: PIXEL new_height: 8 new_width: 10", "crop_size: 6", TEST, "boxes.txt", "WindowSegData")
    x, label, _ = read(layer)
    whole = resize(picture(0)[3:7, 2:10, ::-1].transpose(2, 0, 1), 8, 10)
    np.testing.assert_array_equal(x[0], whole[:, 1:7, 2:8])
    np.testing.assert_array_equal(label[0], nearest(labels_of()[np.newaxis, 3:7, 2:10], 8, 10)[:, 1:7, 2:8])


# -- faults -------------------------------------------------------------------------------------------------------


def told(make: object) -> str:
    with pytest.raises(CaffeliteError) as raised:
        make()  # type: ignore[operator]
    return str(raised.value)


@pytest.mark.parametrize(
    ("settings", "transform", "what"),
    [
        ("", "", "batch_size must be positive, got 0"),
        ("batch_size: 1 new_height: 3", "", "new_height: 3 and new_width: 0 must both be given, or neither"),
        ("batch_size: 1 crop_width: 3", "", "crop_height: 0 and crop_width: 3 must both be given, or neither"),
        ("batch_size: 1", "mirror: true", "transform_param { mirror } would not change the labels"),
        ("batch_size: 1", "crop_size: 4", "transform_param { crop_size } would not change the labels"),
        ("batch_size: 1", "augmentation { shift: 2 }", "augmentation is not for DenseImageData"),
        ("batch_size: 1", 'mean_file: "m" mean_value: 1', "mean_file and mean_value are both given"),
        ("batch_size: 1", "scale: inf", "scale must be a number"),
        ("batch_size: 1 label_divide_factor: 2", "", "label_divide_factor needs new_height and new_width"),
        ("batch_size: 1", "mean_value: 1 mean_value: 2", "needs one mean_value, or one for each of 3 channels, got 2"),
        ("batch_size: 1", "scale_factors: 2", "scale_factors is not for DenseImageData"),
    ],
)
def test_settings_of_dense_image_data(settings: str, transform: str, what: str) -> None:
    assert f'layer "d" (DenseImageData): {what}' in told(
        lambda: dense(f"dense_image_data_param {{ {settings} }}", transform)
    )


@pytest.mark.parametrize(
    ("settings", "transform", "what"),
    [
        ("batch_size: 0", "", "batch_size must be positive, got 0"),
        ("", "crop_height: 3", "crop_height: 3 and crop_width: 0 must both be given, or neither"),
        ("", "crop_size: 3 crop_height: 3 crop_width: 3", "crop_size and crop_height are both given"),
        ("", 'mean_file: "m"', "mean_file is not for ImageSegData"),
        ("", "crop_size: 3 scale_factors: 0", "scale_factors must be positive numbers, got 0"),
        ("", "scale_factors: 2", "scale_factors makes images of different sizes, and nothing is cut out of them"),
        ("ignore_label: 256", "", "ignore_label must be from 0 to 255, got 256"),
    ],
)
def test_settings_of_image_seg_data(settings: str, transform: str, what: str) -> None:
    assert f'layer "d" (ImageSegData): {what}' in told(lambda: seg(f"label_type: PIXEL {settings}", transform))


@pytest.mark.parametrize(
    ("settings", "lines", "what"),
    [
        (
            "label_type: PIXEL",
            "0.png labels.png\n0.png\n",
            'list.txt:2:1: layer "d" (ImageSegData): expected the path of',
        ),
        ("", "0.png cat\n", "expected the path of an image, a label"),
        ("", "0.png 256\n", "a label must be from 0 to 255, got 256"),
        ("label_type: PIXEL", "\n", 'the list "list.txt" names no image'),
        (
            "label_type: PIXEL",
            "0.png small.png\n",
            'image "small.png" is 5×6, but the image whose labels it holds is 12×16',
        ),
        ("label_type: PIXEL", "0.png none.png\n", 'image "none.png" cannot be read: No such file or directory'),
        ("label_type: PIXEL", "none.png labels.png\n", 'image "none.png" cannot be read'),
    ],
)
def test_lists(settings: str, lines: str, what: str) -> None:
    Path("list.txt").write_text(lines)
    assert what in told(lambda: seg(settings, source="list.txt"))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (
            "0.png labels.png 1 2 3\n",
            "expected the path of an image, the path of an image of labels, x1 y1 x2 y2 in whole",
        ),
        ("0.png labels.png 1 2 x 4\n", "expected the path of an image, the path of an image of labels, x1 y1 x2 y2 in"),
        ("0.png labels.png 5 2 4 4\n", 'image "0.png" has the window [5, 2, 4, 4], which is empty'),
    ],
)
def test_boxes(line: str, what: str) -> None:
    Path("boxes.txt").write_text(line)
    assert what in told(lambda: seg(source="boxes.txt", kind="WindowSegData"))


def test_a_crop_larger_than_an_image() -> None:
    assert "is 12×16, smaller than crop_height × crop_width, 20×4" in told(
        lambda: dense("dense_image_data_param { batch_size: 1 crop_height: 20 crop_width: 4 }")
    )


def test_rand_skip_beyond_the_list() -> None:
    with pytest.raises(LayerError, match="rand_skip must not exceed the number of images"):
        dense("dense_image_data_param { batch_size: 1 rand_skip: 4 }")


def test_a_list_that_is_not_there() -> None:
    assert 'the list "none.txt" cannot be read: No such file or directory' in told(lambda: seg(source="none.txt"))


@pytest.mark.parametrize("setting", ["scale_factors: 2", "crop_height: 4", "stride: 8", "upper_size: 3"])
def test_other_layers_refuse_what_they_would_not_do(setting: str) -> None:
    Path("numbers.txt").write_text("0.png 1\n")
    settings = f'transform_param {{ {setting} }} image_data_param {{ source: "numbers.txt" }}'
    name = setting.partition(":")[0]
    assert f"{name} is for layers whose images have a label for each pixel" in told(
        lambda: build(f'name: "d" type: "ImageData" top: "x" top: "l" {settings}')
    )


def test_image_data_tells_what_is_not_its_own() -> None:
    Path("numbers.txt").write_text("0.png 1\n")
    settings = 'image_data_param { source: "numbers.txt" label_type: PIXEL }'
    layer, _ = build(f'name: "d" type: "ImageData" top: "x" top: "l" {settings}')
    assert [fault.message for fault in layer.warnings()] == [
        "label_type has no effect: it belongs to ImageSegData, whose images have a label for each pixel"
    ]


# -- SegData ------------------------------------------------------------------------------------------------------


def one(transform: str = "", settings: str = "", source: str = "pairs.txt") -> Layer:
    text = f'name: "d" type: "SegData" top: "x" top: "l" transform_param {{ {transform} }}'
    return build(f'{text} seg_data_param {{ source: "{source}" {settings} }}')[0]


def draw(layer: Layer) -> list[np.ndarray]:
    return [top.numpy() for top in layer.forward(run_at(), [], [])]


def test_one_image_as_large_as_the_stride_divides() -> None:
    layer = one("stride: 5 mirror: true mean_value: 2 scale: 0.5")
    assert list(layer.shapes([])) == [(1, 3, 10, 15), (1, 1, 10, 15)]
    found = set()
    for _ in range(60):
        x, label = draw(layer)
        found |= set(places(x * 2 + 2, label))
    assert found == {(row, column, turned) for row in range(3) for column in range(2) for turned in (False, True)}


@pytest.mark.parametrize(
    ("transform", "size"),
    [
        ("", (12, 16)),
        ("upper_size: 13", (12, 13)),
        ("stride: 4 upper_height: 7 upper_width: 40", (7, 16)),
    ],
)
def test_how_much_is_cut_out(transform: str, size: tuple[int, int]) -> None:
    layer = one(transform)
    assert list(layer.shapes([])) == [(1, 3, *size), (1, 1, *size)]
    assert [top.shape for top in draw(layer)] == [(1, 3, *size), (1, 1, *size)]


def test_it_is_resized_by_chance() -> None:
    layer = one("scale_ratios: 0.5 scale_ratios: 2")
    sizes = set()
    for turn in range(25):
        x, label = draw(layer)
        height, width = x.shape[2:]
        sizes.add((height, width))
        np.testing.assert_array_equal(x[0], resize(picture(turn % 3)[..., ::-1].transpose(2, 0, 1), height, width))
        np.testing.assert_array_equal(label[0], nearest(labels_of()[np.newaxis], height, width))
    assert len(sizes) > 5
    assert all(6 <= height <= 24 and 8 <= width <= 32 for height, width in sizes)


def test_the_root_of_a_list_stands_in_front_as_it_is() -> None:
    Path("ends.txt").write_text("0.png abels.png\n")
    Image.fromarray(picture(7)).save("l0.png")
    text = 'name: "d" type: "SegData" top: "x" top: "l" seg_data_param { source: "ends.txt" root_dir: "l" }'
    x, label = draw(build(text)[0])
    assert places(x, label) == [(0, 0, False)]
    assert (x[0, 2] == 7).all()


def test_lines_are_shuffled_in_every_pass() -> None:
    """Each pass has all of them; one in six has the order of the list."""
    text = 'name: "d" type: "SegData" top: "x" top: "l" seg_data_param { source: "pairs.txt" shuffle: true }'

    def passes(text: str) -> set[tuple[int, ...]]:
        layer = build(text)[0]
        return {tuple(int(draw(layer)[0][0, 2, 0, 0]) for _ in range(3)) for _ in range(20)}

    assert {tuple(sorted(one)) for one in passes(text)} == {(0, 1, 2)}
    assert len(passes(text)) > 3
    assert passes(text.replace("shuffle: true", "")) == {(0, 1, 2)}


def test_balance_draws_again_where_a_label_is_too_frequent() -> None:
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    label[:, 8:] = 1
    Image.fromarray(label).save("half.png")
    Path("half.txt").write_text("0.png half.png\n")

    def shares(settings: str) -> list[float]:
        layer = one("upper_size: 9", settings, "half.txt")
        return [float(draw(layer)[1].mean()) for _ in range(60)]

    assert max(max(1 - share, share) for share in shares("balance: true")) <= 0.8
    assert min(shares("")) < 0.2


@pytest.mark.parametrize(
    ("transform", "what"),
    [
        ("stride: 0", "stride must be positive, got 0"),
        ("upper_size: 0", "upper_size must be positive, got 0"),
        ("upper_height: 4", "upper_height: 4 and upper_width: 0 must both be given, or neither"),
        ("scale_ratios: 2", "scale_ratios must be two positive numbers, the smaller first, got [2.0]"),
        ("scale_ratios: 2 scale_ratios: 1", "scale_ratios must be two positive numbers, the smaller first"),
        ("crop_size: 4", "crop_size is not for SegData"),
        ("stride: 13", "nothing is left of an image of 12×16"),
    ],
)
def test_settings_of_seg_data(transform: str, what: str) -> None:
    assert f'layer "d" (SegData): {what}' in told(lambda: one(transform))


@pytest.mark.parametrize("observed", [False, True], ids=["fast", "observed"])
def test_the_layers_behind_follow_the_sizes(observed: bool) -> None:
    net = net_of(
        """
        layer { name: "d" type: "SegData" top: "x" top: "l" transform_param { scale_ratios: 0.5 scale_ratios: 2 }
          seg_data_param { source: "pairs.txt" } }
        layer { name: "c" type: "Convolution" bottom: "x" top: "y"
          convolution_param { num_output: 256 kernel_size: 1 weight_filler { type: "xavier" } } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "l" top: "loss" }
        """,
        observed=observed,
    )
    losses = []
    for _ in range(4):
        net.forward_backward()
        losses.append(float(net.blobs["loss"].data))
    assert all(np.isfinite(losses)) and len(set(losses)) == 4
    net.close()
