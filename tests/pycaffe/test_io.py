"""`caffe.io`: messages, image files, crops.  (Transformer and resize_image have files of their own.)"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from caffelite import proto
from caffelite.errors import CaffeliteError, DataError
from caffelite.proto import BlobProto, BlobProtoVector, Datum
from caffelite.pycaffe import io

shapes = arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
floats = arrays.arrays(np.float32, shapes, elements=st.floats(width=32, allow_nan=False))


# -- blobs ------------------------------------------------------------------------------------------------------------


def test_the_old_sizes_make_four_axes() -> None:
    blob = BlobProto(data=range(12), num=1, channels=2, height=3, width=2)
    array = io.blobproto_to_array(blob)
    assert (array.shape, array.dtype) == ((1, 2, 3, 2), np.float64)
    assert array.ravel().tolist() == list(range(12))


def test_a_shape_makes_its_axes() -> None:
    blob = BlobProto(data=range(6))
    blob.shape.dim.extend([3, 2])
    assert io.blobproto_to_array(blob).tolist() == [[0, 1], [2, 3], [4, 5]]


def test_one_value_needs_no_shape_and_several_do() -> None:
    assert io.blobproto_to_array(BlobProto(data=[123])) == 123
    assert io.blobproto_to_array(BlobProto(data=[123])).shape == ()
    with pytest.raises(ValueError, match=r"2 numbers for the shape a scalar\n.*blob\.shape\.dim\.extend") as caught:
        io.blobproto_to_array(BlobProto(data=[1, 2]))
    assert isinstance(caught.value, CaffeliteError)


@pytest.mark.parametrize("sizes", [{"num": 2}, {"num": 1, "channels": 1, "height": 1, "width": 3}])
def test_values_that_do_not_fill_the_shape(sizes: dict[str, int]) -> None:
    with pytest.raises(io.ShapeError, match="2 numbers for the shape"):
        io.blobproto_to_array(BlobProto(data=[1, 2], **sizes))


def test_the_gradient_is_there_for_those_who_ask() -> None:
    blob = io.array_to_blobproto(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    assert io.blobproto_to_array(blob).tolist() == [[1, 2]]
    assert io.blobproto_to_array(blob, return_diff=True).tolist() == [[3, 4]]
    with pytest.raises(io.ShapeError, match="the blob has no diff"):
        io.blobproto_to_array(BlobProto(data=[1]), True)


def test_double_precision_is_read_too() -> None:
    assert io.blobproto_to_array(BlobProto(double_data=[0.5, 3], num=1, channels=1, height=1, width=2)).sum() == 3.5


def test_messages_of_another_package_are_read() -> None:
    file = FileDescriptorSet.FromString(Path(proto.__file__).with_name("caffe.desc").read_bytes()).file[0]
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    foreign = message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.BlobProto"))
    assert foreign is not BlobProto
    assert io.blobproto_to_array(foreign(data=[1, 2], num=1, channels=1, height=1, width=2)).shape == (1, 1, 1, 2)


@given(floats)
def test_arrays_come_back_from_blobs(array: np.ndarray) -> None:
    blob = io.array_to_blobproto(array, -array)
    assert list(blob.shape.dim) == list(array.shape)
    assert blob.data == array.ravel().tolist()
    assert np.array_equal(io.blobproto_to_array(BlobProto.FromString(blob.SerializeToString())), array)
    if array.size:
        assert np.array_equal(io.blobproto_to_array(blob, return_diff=True), -array)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64, np.float16, bool])
def test_any_numbers_in_any_order_of_memory_make_a_blob(dtype: Any) -> None:
    array = (np.arange(24) % 2).astype(dtype).reshape(2, 3, 4).transpose(2, 0, 1)[:, ::-1]
    assert io.array_to_blobproto(array).data == array.astype(float).ravel().tolist()


def test_a_gradient_of_another_size_is_refused() -> None:
    with pytest.raises(io.ShapeError, match=r"the diff has shape \(3,\), the array \(2,\)"):
        io.array_to_blobproto(np.ones(2), np.ones(3))


@given(st.lists(floats, max_size=4))
def test_lists_of_arrays_come_back_from_bytes(given: list[np.ndarray]) -> None:
    data = io.arraylist_to_blobprotovector_str(given)
    assert len(BlobProtoVector.FromString(data).blobs) == len(given)
    found = io.blobprotovector_str_to_arraylist(data)
    assert all(np.array_equal(*pair) for pair in zip(found, given, strict=True))


def test_bytes_that_are_no_blobs() -> None:
    with pytest.raises(DataError, match="not a BlobProtoVector"):
        io.blobprotovector_str_to_arraylist(b"\xff\xff")


def test_the_messages_are_at_hand() -> None:
    assert io.caffe_pb2.BlobProto is BlobProto


# -- data -------------------------------------------------------------------------------------------------------------

sizes = arrays.array_shapes(min_dims=3, max_dims=3, max_side=5)
images = arrays.arrays(np.uint8, sizes) | arrays.arrays(np.float32, sizes, elements=st.floats(-9, 9, width=32))


@given(images)
def test_images_come_back_from_data(image: np.ndarray) -> None:
    datum = io.array_to_datum(image, 7)
    assert (datum.channels, datum.height, datum.width, datum.label) == (*image.shape, 7)
    assert bool(datum.data) == (image.dtype == np.uint8)
    assert bool(datum.float_data) == (image.dtype != np.uint8)
    array = io.datum_to_array(Datum.FromString(datum.SerializeToString()))
    assert array.dtype == (np.uint8 if image.dtype == np.uint8 else np.float64)
    assert np.array_equal(array, image)
    array[0] = 1  # it is the caller's own


def test_a_label_takes_room_only_where_it_is_given() -> None:
    without, having = (io.array_to_datum(np.ones((10, 10, 3)), label=label) for label in (None, 1))
    assert not without.HasField("label")
    assert len(having.SerializeToString()) > len(without.SerializeToString())
    assert io.array_to_datum(np.ones((1, 1, 1)), np.int64(0)).HasField("label")


def test_doubles_become_floats() -> None:
    datum = io.array_to_datum(np.full((1, 1, 2), 0.1))
    assert list(datum.float_data) == [float(np.float32(0.1))] * 2


@pytest.mark.parametrize("shape", [(), (3,), (2, 2), (1, 2, 3, 4)])
def test_a_datum_is_an_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="holds an image C×H×W"):
        io.array_to_datum(np.ones(shape))


def png(pixels: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_encoded_data_are_decoded() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    array = io.datum_to_array(Datum(encoded=True, data=png(pixels)))
    assert np.array_equal(array, pixels.transpose(2, 0, 1)[::-1])
    with pytest.raises(DataError, match="in no format that can be decoded"):
        io.datum_to_array(Datum(encoded=True, data=b"none"))


@pytest.mark.parametrize("content", [{"data": b"123"}, {"float_data": [1, 2, 3]}, {}])
def test_pixels_that_do_not_fill_the_image(content: Any) -> None:
    with pytest.raises(io.ShapeError, match="1×2×2 needs 4"):
        io.datum_to_array(Datum(channels=1, height=2, width=2, **content))


# -- image files ------------------------------------------------------------------------------------------------------

RGB = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
GRAY = RGB[:, :, 0]
LUMA = (RGB / 255) @ [0.2125, 0.7154, 0.0721]


def saved(path: Path, image: Image.Image, **settings: Any) -> Path:
    image.save(path, **settings)
    return path


def test_colour_is_red_green_blue_of_0_to_1(tmp_path: Path) -> None:
    image = io.load_image(saved(tmp_path / "a.png", Image.fromarray(RGB)))
    assert (image.dtype, image.shape) == (np.float32, (4, 5, 3))
    assert np.array_equal(image, (RGB / 255).astype(np.float32))


def test_without_colour_it_is_the_luma_that_scikit_image_weighs(tmp_path: Path) -> None:
    image = io.load_image(saved(tmp_path / "a.png", Image.fromarray(RGB)), color=False)
    assert (image.dtype, image.shape) == (np.float32, (4, 5, 1))
    np.testing.assert_allclose(image[:, :, 0], LUMA, atol=1e-7)


@pytest.mark.parametrize(
    ("mode", "pixels"),
    [
        ("L", GRAY),
        ("1", (GRAY > 99) * np.uint8(255)),
        ("LA", np.dstack([GRAY, GRAY[::-1]])),
        ("I;16", GRAY.astype(np.uint16) * 257),
        ("F", (GRAY / 255).astype(np.float32)),
    ],
)
def test_gray_of_any_depth_stands_for_every_channel(tmp_path: Path, mode: str, pixels: np.ndarray) -> None:
    image = Image.fromarray(pixels).convert("1") if mode == "1" else Image.fromarray(pixels)
    assert image.mode == mode
    path = saved(tmp_path / "a.tif", image)
    wanted = (GRAY > 99).astype(float) if mode == "1" else GRAY / 255
    gray, colour = io.load_image(path, color=False), io.load_image(path)
    assert (gray.shape, colour.shape) == ((4, 5, 1), (4, 5, 3))
    np.testing.assert_allclose(gray[:, :, 0], wanted, atol=1e-7)
    np.testing.assert_allclose(colour, np.dstack([wanted] * 3), atol=1e-7)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_16_bits_keep_their_precision(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / name, Image.fromarray(np.array([[0, 1, 30_000, 65_535]], np.uint16)))
    assert np.array_equal(
        io.load_image(path, color=False)[0, :, 0], (np.array([0, 1, 30_000, 65_535]) / 65_535).astype(np.float32)
    )


def test_transparency_is_left_out(tmp_path: Path) -> None:
    alpha = np.dstack([RGB, GRAY])
    assert np.array_equal(
        io.load_image(saved(tmp_path / "a.png", Image.fromarray(alpha))), (RGB / 255).astype(np.float32)
    )


@pytest.mark.parametrize("settings", [{}, {"transparency": 0}, {"transparency": bytes(range(20))}])
def test_palettes_are_looked_up(tmp_path: Path, settings: Any, recwarn: pytest.WarningsRecorder) -> None:
    few = Image.fromarray(RGB).quantize(20)
    path = saved(tmp_path / "a.png", few, **settings)
    assert np.array_equal(io.load_image(path), (np.asarray(few.convert("RGB")) / 255).astype(np.float32))
    assert not len(recwarn)


def test_jpeg_of_colour_and_of_inks(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(0, 160, 10), np.arange(0, 80, 5)).astype(np.uint8)
    rgb = Image.fromarray(np.dstack([smooth, smooth[::-1], smooth]))
    for name, image in (("rgb.jpg", rgb), ("inks.jpg", rgb.convert("CMYK"))):
        loaded = io.load_image(saved(tmp_path / name, image, quality=100, subsampling=0))
        np.testing.assert_allclose(loaded, np.asarray(rgb) / 255, atol=4 / 255)


def test_an_image_is_read_from_an_open_file_too(tmp_path: Path) -> None:
    (tmp_path / "rgb.png").write_bytes(png(RGB))
    (tmp_path / "text.png").write_text("hello")
    expected = io.load_image(tmp_path / "rgb.png")
    assert np.array_equal(io.load_image(BytesIO(png(RGB))), expected)
    with open(tmp_path / "rgb.png", "rb") as file:
        assert np.array_equal(io.load_image(file), expected)
    with (
        open(tmp_path / "text.png") as file,
        pytest.raises(io.UnreadableImage, match=r"text\.png: the image cannot be read: it is open as text"),
    ):
        io.load_image(file)  # type: ignore[arg-type]
    with pytest.raises(io.UnreadableImage, match=r"^the image cannot be read: .* in no format that can be decoded"):
        io.load_image(BytesIO(b"hello"))


def test_what_the_original_imports_from_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {name: ModuleType(name) for name in ("skimage", "skimage.io", "skimage.transform")}
    parts["skimage.transform"].resize = resize = object()
    for name, module in parts.items():
        monkeypatch.setitem(sys.modules, name, module)
    assert io.resize is resize
    assert io.skimage is parts["skimage"]
    monkeypatch.setitem(sys.modules, "skimage.transform", None)
    with pytest.raises(AttributeError, match="resize is scikit-image's, which is not installed"):
        io.resize  # noqa: B018
    assert not hasattr(io, "resized")


def test_images_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(png(RGB)[:60])
    (tmp_path / "text.jpg").write_text("hello")
    for name, message in (
        ("none.jpg", "none.jpg: the image cannot be read: No such file"),
        ("cut.png", "cut.png: the image cannot be read: the encoded image is damaged"),
        ("text.jpg", "text.jpg: the image cannot be read: .* in no format that can be decoded"),
        ("", "the image cannot be read: Is a directory"),
        ("a\0b", "the image cannot be read: embedded null"),
    ):
        with pytest.raises(io.UnreadableImage, match=message) as caught:
            io.load_image(tmp_path / name)
        assert isinstance(caught.value, OSError)
        assert isinstance(caught.value, CaffeliteError)


# -- crops ------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 5), st.integers(0, 5), st.integers(1, 3))
def test_ten_crops_are_where_they_belong(height: int, width: int, more: int, wider: int, count: int) -> None:
    full = (height + more, width + wider)
    stack = np.arange(count * full[0] * full[1] * 2, dtype=np.float32).reshape(count, *full, 2)
    crops = io.oversample(stack, (height, width))
    assert (crops.dtype, crops.shape) == (np.float32, (10 * count, height, width, 2))
    places = [(0, 0), (0, wider), (more, 0), (more, wider), (int(more / 2), int(wider / 2))]
    for number, image in enumerate(stack):
        for place, (top, left) in enumerate(places):
            part = image[top : top + height, left : left + width]
            assert np.array_equal(crops[10 * number + place], part)
            assert np.array_equal(crops[10 * number + 5 + place], part[:, ::-1])


@pytest.mark.parametrize(
    ("images", "crop", "message"),
    [
        ([np.ones((4, 4, 3)), np.ones((4, 5, 3))], (2, 2), r"of one shape, got \(4, 4, 3\), \(4, 5, 3\)"),
        ([], (2, 2), "got none"),
        ([np.ones((4, 4))], (2, 2), r"got \(4, 4\)"),
        ([np.ones((4, 4, 3))], (5, 2), "crops of 5×2 cannot be taken of images of 4×4"),
        ([np.ones((4, 4, 3))], (0, 2), "crops of 0×2"),
    ],
)
def test_crops_that_cannot_be_taken(images: Any, crop: Any, message: str) -> None:
    with pytest.raises(io.ShapeError, match=message):
        io.oversample(images, crop)
