"""The declared shape is the computed shape, over a grid of settings for each type."""

from __future__ import annotations

import pytest
import torch

from caffelite.layerkit import Layer

from .alone import build, run_at

Shape = tuple[int, ...]


def _bottoms(shapes: list[Shape]) -> list[torch.Tensor]:
    """Scores first, labels (zeros, so valid for any number of classes) second."""
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(shape, generator=generator) if not i else torch.zeros(shape) for i, shape in enumerate(shapes)]


def _weights(layer: Layer) -> list[torch.Tensor]:
    return [torch.ones(spec.shape) for spec in layer.weights]


ELEMENTWISE = [
    (f'type: "{kind}" bottom: "x" top: "y" {settings}', [shape])
    for kind, settings in (
        ("AbsVal", ""),
        ("BNLL", ""),
        ("Dropout", "dropout_param { dropout_ratio: 0.3 }"),
        ("Power", ""),
        ("Power", "power_param { power: 0 }"),
        ("Power", "power_param { power: 2 scale: 3 shift: 1 }"),
        ("Power", "power_param { power: 3 }"),
        ("ReLU", ""),
        ("ReLU", "relu_param { negative_slope: 0.1 }"),
        ("Sigmoid", ""),
        ("TanH", ""),
        ("Clip", "clip_param { min: -1 max: 1 }"),
        ("ELU", ""),
        ("ELU", "elu_param { alpha: -1 }"),
        ("Exp", ""),
        ("Exp", "exp_param { base: 2 scale: 3 shift: 1 }"),
        ("Log", ""),
        ("Log", "log_param { base: 2 scale: 3 shift: 1 }"),
        ("Swish", ""),
        ("Threshold", ""),
    )
    for shape in ((), (5,), (2, 3), (2, 3, 4, 5), (2, 1, 2, 3, 2))
]
SOFTMAX = [
    (f'type: "Softmax" bottom: "x" top: "y" softmax_param {{ axis: {axis} }}', [(2, 3, 4)]) for axis in range(-3, 3)
]
FLATTEN = [
    (f'type: "Flatten" bottom: "x" top: "y" flatten_param {{ axis: {axis} end_axis: {end} }}', [(2, 3, 4, 5)])
    for axis in range(-4, 4)
    for end in range(-4, 4)
    if axis % 4 <= end % 4 + 1
]
CONCAT = [
    (f'type: "Concat" bottom: "a" bottom: "b" bottom: "c" top: "y" concat_param {{ axis: {axis} }}', [shape] * count)
    for axis in range(-2, 2)
    for shape in ((2, 3), (2, 3, 4, 4))
    for count in (1, 3)
]
ELTWISE = [
    (f'type: "Eltwise" bottom: "a" bottom: "b" top: "y" eltwise_param {{ operation: {operation} }}', [shape] * count)
    for operation in ("SUM", "PROD", "MAX")
    for shape in ((), (4,), (2, 3, 2, 2))
    for count in (2, 3)
]
LINED_UP = [
    (f'type: "{kind}" bottom: "x" top: "y" {field} {{ {settings} }}', [(2, 3, 4, 5)])
    for kind, field, more in (("Scale", "scale_param", "bias_term: true"), ("Bias", "bias_param", ""))
    for settings in ("", more, f"num_axes: 2 {more}", f"axis: -2 num_axes: -1 {more}", f"num_axes: 0 {more}")
] + [
    (f'type: "{kind}" bottom: "x" bottom: "z" top: "y" {settings}', [(2, 3, 4, 5), second])
    for kind, field, more in (("Scale", "scale_param", "bias_term: true"), ("Bias", "bias_param", ""))
    for settings, second in (
        (f"{field} {{ {more} }}", (3,)),
        (f"{field} {{ axis: 0 }}", (2, 3)),
        (f"{field} {{ axis: -1 }}", (5,)),
        (f"{field} {{ axis: 9 }}", ()),
        (f"{field} {{ axis: 3 {more} }}", ()),
        (f"{field} {{ axis: 0 }}", (2, 3, 4, 5)),
    )
]
REDUCTION = [
    (
        f'type: "Reduction" bottom: "x" top: "y" reduction_param {{ operation: {operation} axis: {axis} coeff: 2 }}',
        [(2, 3, 4, 5)],
    )
    for operation in ("SUM", "ASUM", "SUMSQ", "MEAN")
    for axis in range(-4, 4)
]
BY_CHANNEL = [
    (f'type: "{kind}" bottom: "x" top: "y" {settings}', [shape])
    for kind, settings in (
        ("PReLU", ""),
        ("PReLU", "prelu_param { channel_shared: true }"),
        ("BatchNorm", ""),
        ("BatchNorm", "batch_norm_param { use_global_stats: false }"),
    )
    for shape in ((2, 3), (2, 3, 4), (2, 3, 4, 5), (2, 3, 1, 2, 2))
]
MVN = [
    (f'type: "MVN" bottom: "x" top: "y" mvn_param {{ across_channels: {across} normalize_variance: {scale} }}', [shape])
    for across in ("true", "false")
    for scale in ("true", "false")
    for shape in ((), (4,), (2, 3), (2, 3, 4), (2, 3, 4, 5))
]
SLICE = [
    (f'type: "Slice" bottom: "x" {tops} slice_param {{ {axis} {points} }}', [(2, 4, 6)])
    for axis in ("axis: 1", "axis: -1", "axis: -2", "slice_dim: 2")
    for tops, points in (
        ('top: "a"', ""),
        ('top: "a" top: "b"', ""),
        ('top: "a" top: "b" top: "c"', "slice_point: 1 slice_point: 3"),
    )
]
RESHAPE = [
    (f'type: "Reshape" bottom: "x" top: "y" reshape_param {{ {settings} }}', [(2, 3, 4)])
    for settings in (
        "shape { dim: 0 dim: -1 }",
        "shape { dim: -1 } axis: 1",
        "shape { dim: 6 dim: 2 } axis: 1",
        "shape { dim: 1 dim: 1 } axis: -1",
        "shape { dim: 1 } axis: 0 num_axes: 0",
        "shape { dim: -1 dim: 2 } axis: -2 num_axes: 1",
        "shape { } axis: 3 num_axes: 0",
    )
]
TILE = [
    (f'type: "Tile" bottom: "x" top: "y" tile_param {{ axis: {axis} tiles: {tiles} }}', [shape])
    for shape in ((2, 3), (2, 3, 4, 5))
    for axis in (-2, -1, 0, 1)
    for tiles in (1, 3)
]
CROP = [
    ('type: "Crop" bottom: "x" bottom: "z" top: "y"', [(2, 3, 5, 6), (2, 7, 4, 2)]),
    ('type: "Crop" bottom: "x" bottom: "z" top: "y" crop_param { offset: 1 }', [(2, 3, 5, 6), (9, 9, 4, 2, 3)]),
    (
        'type: "Crop" bottom: "x" bottom: "z" top: "y" crop_param { axis: 1 offset: 1 offset: 0 }',
        [(2, 3, 5), (2, 2, 5)],
    ),
    ('type: "Crop" bottom: "x" bottom: "z" top: "y" crop_param { axis: -1 offset: 2 }', [(2, 3, 5), (1, 1, 3)]),
]
CHOSEN = [
    ('type: "BatchReindex" bottom: "x" bottom: "i" top: "y"', [(2, 3, 4, 5), (7,)]),
    ('type: "BatchReindex" bottom: "x" bottom: "i" top: "y"', [(3,), (0,)]),
    ('type: "Embed" bottom: "x" top: "y" embed_param { input_dim: 9 num_output: 3 }', [(2, 0)]),
    ('type: "Parameter" top: "y" parameter_param { shape { dim: 2 dim: 3 } }', []),
    ('type: "Parameter" top: "y"', []),
]
SEVERAL = [
    ('type: "Split" bottom: "x" top: "a" top: "b" top: "c"', [(2, 3)]),
    ('type: "Silence" bottom: "a" bottom: "b"', [(2, 3), (4,)]),
]
LABELLED = [
    (f'type: "{kind}" bottom: "x" bottom: "l" top: "a" {second} {settings}', [scores, labels])
    for kind, field in (("SoftmaxWithLoss", "softmax_param"), ("Accuracy", "accuracy_param"))
    for second in ("", 'top: "b"')
    for settings, scores, labels in (
        ("", (4, 3), (4,)),
        ("", (4, 3), (4, 1, 1, 1)),
        ("", (2, 3, 4, 5), (2, 1, 4, 5)),
        (f"{field} {{ axis: -1 }}", (2, 3, 4), (2, 3)),
        (f"{field} {{ axis: 2 }}", (2, 3, 4, 2), (2, 3, 2)),
    )
]
LOSSES = [
    ('type: "EuclideanLoss" bottom: "x" bottom: "l" top: "a"', [(4, 3), (4, 3)]),
    ('type: "EuclideanLoss" bottom: "x" bottom: "l" top: "a"', [(4, 3, 2, 1), (4, 6)]),
    ('type: "HingeLoss" bottom: "x" bottom: "l" top: "a"', [(4, 3, 2), (4, 1)]),
    ('type: "HingeLoss" bottom: "x" bottom: "l" top: "a" hinge_loss_param { norm: L2 }', [(4, 3), (4,)]),
    ('type: "SigmoidCrossEntropyLoss" bottom: "x" bottom: "l" top: "a"', [(4, 3, 2), (4, 6)]),
    ('type: "SoftmaxWithLoss" bottom: "x" bottom: "l"', [(4, 3), (4,)]),
    ('type: "MultinomialLogisticLoss" bottom: "x" bottom: "l" top: "a"', [(4, 3, 2, 1), (4, 1, 1, 1)]),
    ('type: "MultinomialLogisticLoss" bottom: "x" bottom: "l"', [(4, 3), (4,)]),
    ('type: "ContrastiveLoss" bottom: "x" bottom: "z" bottom: "l" top: "a"', [(4, 3), (4, 3, 1, 1), (4, 1)]),
    ('type: "InfogainLoss" bottom: "x" bottom: "l" bottom: "H" top: "a" top: "p"', [(4, 3), (4,), (3, 3)]),
    (
        'type: "InfogainLoss" bottom: "x" bottom: "l" bottom: "H" top: "a" infogain_loss_param { axis: 2 }',
        [(4, 2, 3, 2), (4, 4), (1, 1, 3, 3)],
    ),
]
GRID = [
    *ELEMENTWISE,
    *SOFTMAX,
    *FLATTEN,
    *CONCAT,
    *ELTWISE,
    *LINED_UP,
    *REDUCTION,
    *SEVERAL,
    *LABELLED,
    *LOSSES,
    *BY_CHANNEL,
    *MVN,
    *SLICE,
    *RESHAPE,
    *TILE,
    *CROP,
    *CHOSEN,
]


@pytest.mark.parametrize(("text", "bottoms"), GRID, ids=lambda value: str(value)[:90])
def test_declared_shape_is_computed_shape(text: str, bottoms: list[Shape]) -> None:
    layer, declared = build(text, *bottoms)
    computed = layer.forward(run_at(), _bottoms(bottoms), _weights(layer))
    assert [tuple(top.shape) for top in computed] == declared


@pytest.mark.parametrize(("text", "bottoms"), GRID, ids=lambda value: str(value)[:90])
def test_shapes_follow_a_new_batch_size(text: str, bottoms: list[Shape]) -> None:
    layer, _ = build(text, *bottoms)
    grown = [(6, *shape[1:]) if shape and shape[0] == bottoms[0][0] else shape for shape in bottoms]
    declared = [tuple(shape) for shape in layer.shapes(grown)]
    layer.raise_faults()
    computed = layer.forward(run_at(), _bottoms(grown), _weights(layer))
    assert [tuple(top.shape) for top in computed] == declared


@pytest.mark.parametrize(("text", "bottoms"), ELEMENTWISE + ELTWISE + LINED_UP, ids=lambda value: str(value)[:90])
def test_elementwise_types_keep_the_memory_format(text: str, bottoms: list[Shape]) -> None:
    if len(bottoms[0]) != 4:
        return
    layer, _ = build(text, *bottoms, phase=0)
    formats = {4: torch.channels_last}
    given = [x.contiguous(memory_format=formats.get(x.dim(), torch.contiguous_format)) for x in _bottoms(bottoms)]
    (top,) = layer.forward(run_at(), given, _weights(layer))
    assert top.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ("axis: 1", (2, 60)),
        ("axis: 2", (2, 3, 20)),
        ("axis: 1 end_axis: 2", (2, 12, 5)),
        ("axis: 0 end_axis: -2", (24, 5)),
        ("axis: -1", (2, 3, 4, 5)),
        ("axis: 0 end_axis: 0", (2, 3, 4, 5)),
        ("axis: 2 end_axis: 1", (2, 3, 1, 4, 5)),
    ],
)
def test_flatten_by_hand(settings: str, shape: Shape) -> None:
    _, tops = build(f'type: "Flatten" bottom: "x" top: "y" flatten_param {{ {settings} }}', (2, 3, 4, 5))
    assert tops == [shape]


@pytest.mark.parametrize(("axis", "shape"), [(0, ()), (1, (2,)), (-1, (2, 3, 4)), (-4, ())])
def test_reduction_by_hand(axis: int, shape: Shape) -> None:
    _, tops = build(f'type: "Reduction" bottom: "x" top: "y" reduction_param {{ axis: {axis} }}', (2, 3, 4, 5))
    assert tops == [shape]


@pytest.mark.parametrize(
    ("text", "bottoms", "weights"),
    [
        ('type: "Scale" bottom: "x"', [(2, 3, 4)], [(3,)]),
        ('type: "Scale" bottom: "x" scale_param { bias_term: true }', [(2, 3, 4)], [(3,), (3,)]),
        ('type: "Scale" bottom: "x" scale_param { axis: -2 num_axes: -1 }', [(2, 3, 4)], [(3, 4)]),
        ('type: "Scale" bottom: "x" scale_param { num_axes: 0 bias_term: true }', [(2, 3, 4)], [(), ()]),
        ('type: "Scale" bottom: "x" bottom: "z"', [(2, 3, 4), (3,)], []),
        ('type: "Scale" bottom: "x" bottom: "z" scale_param { bias_term: true }', [(2, 3, 4), (3, 4)], [(3, 4)]),
        ('type: "Bias" bottom: "x"', [(2, 3, 4)], [(3,)]),
        ('type: "Bias" bottom: "x" bias_param { axis: 0 num_axes: 2 }', [(2, 3, 4)], [(2, 3)]),
        ('type: "Bias" bottom: "x" bottom: "z" bias_param { num_axes: 9 }', [(2, 3, 4), ()], []),
    ],
)
def test_weights_of_scale_and_bias_by_hand(text: str, bottoms: list[Shape], weights: list[Shape]) -> None:
    layer, _ = build(f'{text} top: "y"', *bottoms)
    assert [spec.shape for spec in layer.weights] == weights


def test_scale_starts_as_one_unless_it_has_a_filler() -> None:
    def starts(settings: str) -> list[tuple[str, float]]:
        layer, _ = build(f'type: "Scale" bottom: "x" top: "y" scale_param {{ bias_term: true {settings} }}', (2, 3))
        return [(spec.filler.type, spec.filler.value) for spec in layer.weights]

    assert starts("") == [("constant", 1), ("constant", 0)]
    assert starts("filler { }") == [("constant", 0), ("constant", 0)]
    assert starts("filler { value: 2 } bias_filler { value: 3 }") == [("constant", 2), ("constant", 3)]


@pytest.mark.parametrize(
    ("text", "tops"),
    [
        ('type: "Input" top: "a" top: "b" input_param { shape { dim: 2 dim: 3 } }', [(2, 3), (2, 3)]),
        ('type: "Input" top: "a" top: "b" input_param { shape { dim: 2 } shape { } }', [(2,), ()]),
        ('type: "Input" top: "a"', [()]),
        ('type: "DummyData" top: "a" top: "b" dummy_data_param { shape { dim: 2 dim: 3 } }', [(2, 3), (2, 3)]),
        (
            'type: "DummyData" top: "a" top: "b" '
            "dummy_data_param { num: 2 num: 5 channels: 3 height: 4 width: 1 width: 6 }",
            [(2, 3, 4, 1), (5, 3, 4, 6)],
        ),
        ('type: "DummyData" top: "a" dummy_data_param { num: 2 channels: 3 height: 4 width: 5 }', [(2, 3, 4, 5)]),
    ],
)
def test_source_shapes_by_hand(text: str, tops: list[Shape]) -> None:
    assert build(text)[1] == tops
