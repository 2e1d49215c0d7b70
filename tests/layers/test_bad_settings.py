"""What a bad setting is told, word for word."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

import pytest
import torch

from caffelite import ops
from caffelite.errors import DataError, LayerError
from caffelite.fillers import fillers
from caffelite.layerkit.losses import marked

from .alone import build, run_at

Shape = tuple[int, ...]

BAD: list[tuple[str, list[Shape], str]] = [
    (
        'name: "a" type: "AbsVal" bottom: "x" top: "x"',
        [(2, 3)],
        'layer "a" (AbsVal): cannot work in place: its top may not be its bottom "x"\n'
        "  help: give the top a name of its own",
    ),
    (
        'name: "f" type: "Flatten" bottom: "x" top: "x"',
        [(2, 3)],
        'layer "f" (Flatten): cannot work in place: its top may not be its bottom "x"\n'
        "  help: give the top a name of its own",
    ),
    (
        'name: "s" type: "Split" bottom: "x" top: "y" top: "x"',
        [(2, 3)],
        'layer "s" (Split): cannot work in place: its top may not be its bottom "x"\n'
        "  help: give the top a name of its own",
    ),
    (
        'name: "f" type: "Flatten" bottom: "x" top: "y" flatten_param { axis: 3 end_axis: 1 }',
        [(2, 3, 4, 5)],
        'layer "f" (Flatten): end_axis must not lie before axis 3, got 1',
    ),
    (
        'name: "f" type: "Flatten" bottom: "x" top: "y" flatten_param { axis: 2 }',
        [(2, 3)],
        'layer "f" (Flatten): axis must be an axis of a 2-d blob, got 2',
    ),
    (
        'name: "p" type: "Softmax" bottom: "x" top: "y"',
        [(4,)],
        'layer "p" (Softmax): axis must be an axis of a 1-d blob, got 1',
    ),
    (
        'name: "d" type: "Dropout" bottom: "x" top: "y" dropout_param { dropout_ratio: 1 }',
        [(4,)],
        'layer "d" (Dropout): dropout_ratio must be at least 0 and below 1, got 1.0',
    ),
    (
        'name: "c" type: "Concat" bottom: "x" bottom: "z" top: "y"',
        [(2, 3, 4), (2, 5, 6)],
        'layer "c" (Concat): its bottoms may differ in size on axis 1 only, got shapes (2, 3, 4) and (2, 5, 6)',
    ),
    (
        'name: "c" type: "Concat" bottom: "x" top: "y" concat_param { axis: 1 concat_dim: 1 }',
        [(2, 3)],
        'layer "c" (Concat): axis: 1 and concat_dim: 1 are two names of one setting\n  help: keep axis',
    ),
    (
        'name: "c" type: "Concat" bottom: "x" top: "y" concat_param { concat_dim: 2 }',
        [(2, 3)],
        'layer "c" (Concat): concat_dim must be an axis of a 2-d blob, got 2',
    ),
    (
        'name: "e" type: "Eltwise" bottom: "x" bottom: "z" top: "y" '
        "eltwise_param { operation: PROD coeff: 1 coeff: 2 }",
        [(2, 3), (2, 3)],
        'layer "e" (Eltwise): operation PROD takes no coeff\n  help: coeff belongs to operation: SUM',
    ),
    (
        'name: "e" type: "Eltwise" bottom: "x" bottom: "z" top: "y" eltwise_param { coeff: 2 }',
        [(2, 3), (2, 3)],
        'layer "e" (Eltwise): needs a coeff for each of its 2 bottoms, or none at all, got 1',
    ),
    (
        'name: "e" type: "Eltwise" bottom: "x" bottom: "z" top: "y"',
        [(2, 3), (3, 2)],
        'layer "e" (Eltwise): its bottoms must have one shape, got (2, 3) and (3, 2)',
    ),
    (
        'name: "s" type: "Scale" bottom: "x" top: "y" scale_param { num_axes: 3 }',
        [(2, 3, 4)],
        'layer "s" (Scale): num_axes must be at most 2 from axis 1 of (2, 3, 4) on, or -1 for all, got 3',
    ),
    (
        'name: "b" type: "Bias" bottom: "x" top: "y" bias_param { num_axes: -2 }',
        [(2, 3, 4)],
        'layer "b" (Bias): num_axes must not be negative, but for -1: all axes, got -2',
    ),
    (
        'name: "s" type: "Scale" bottom: "x" top: "y"',
        [(4,)],
        'layer "s" (Scale): axis must be an axis of a 1-d blob, got 1',
    ),
    (
        'name: "s" type: "Scale" bottom: "x" top: "y" scale_param { filler { type: "one" } }',
        [(2, 3)],
        f'layer "s" (Scale): filler type names no filler, got "one"\n  help: {fillers.known()}',
    ),
    (
        'name: "s" type: "Scale" bottom: "x" top: "y"',
        [(2, 0)],
        'layer "s" (Scale): filler type cannot fill a shape without elements, got (0,)',
    ),
    (
        'name: "s" type: "Scale" bottom: "x" bottom: "z" top: "y"',
        [(2, 3, 4), (2, 3)],
        'layer "s" (Scale): its second bottom of shape (2, 3) does not fit its bottom of shape (2, 3, 4) from axis 1 '
        "on\n  help: with axis: 0 it would",
    ),
    (
        'name: "s" type: "Scale" bottom: "x" bottom: "z" top: "y" scale_param { axis: 3 bias_term: true }',
        [(2, 3, 4), ()],
        'layer "s" (Scale): axis must be an axis of a 3-d blob, got 3',
    ),
    (
        'name: "s" type: "Scale" bottom: "x" top: "y" scale_param { num_axes: 0 filler { type: "msra" } }',
        [(2, 3)],
        'layer "s" (Scale): filler type "msra" needs a weight with at least one axis, this one is a scalar',
    ),
    (
        'name: "b" type: "Bias" bottom: "x" bottom: "z" top: "y"',
        [(2, 3, 4), (3, 4, 1)],
        'layer "b" (Bias): its second bottom of shape (3, 4, 1) does not fit its bottom of shape (2, 3, 4) from axis 1 '
        "on",
    ),
    (
        'name: "r" type: "Reduction" bottom: "x" top: "y" reduction_param { axis: -3 }',
        [(2, 3)],
        'layer "r" (Reduction): axis must be an axis of a 2-d blob, got -3',
    ),
    (
        'name: "r" type: "Reduction" bottom: "x" top: "y"',
        [()],
        'layer "r" (Reduction): axis must be an axis of a 0-d blob, got 0',
    ),
    (
        'name: "l" type: "EuclideanLoss" bottom: "x" bottom: "l" top: "y"',
        [(2, 4), (2,)],
        'layer "l" (EuclideanLoss): its bottoms must have as many elements per sample, got 4 (shape (2, 4)) and '
        "1 (shape (2,))",
    ),
    (
        'name: "l" type: "EuclideanLoss" bottom: "x" bottom: "l" top: "y"',
        [(2, 4), (3, 4)],
        'layer "l" (EuclideanLoss): the first axis (the batch) of its bottoms must be the same, got shapes (2, 4) and '
        "(3, 4)",
    ),
    (
        'name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "l" top: "y"',
        [(2, 4, 3, 3), (2, 3)],
        'layer "l" (SoftmaxWithLoss): needs one label per prediction: scores of shape (2, 4, 3, 3) with their classes '
        "on axis 1 are 18 predictions, got 6 labels of shape (2, 3)\n"
        "  help: for scores N×C×H×W with the classes on axis 1, the labels are N×H×W or N×1×H×W",
    ),
    (
        'name: "l" type: "HingeLoss" bottom: "x" bottom: "l" top: "y"',
        [(2, 4), (2, 4)],
        'layer "l" (HingeLoss): needs one label per sample: 2, got 8 labels of shape (2, 4)',
    ),
    (
        'name: "l" type: "SigmoidCrossEntropyLoss" bottom: "x" bottom: "l" top: "y"',
        [(2, 4), (2, 3)],
        'layer "l" (SigmoidCrossEntropyLoss): needs one target per score, got 8 scores of shape (2, 4) and 6 targets '
        "of shape (2, 3)",
    ),
    (
        'name: "l" type: "InfogainLoss" bottom: "x" bottom: "l" top: "y"',
        [(2, 4), (2,)],
        'layer "l" (InfogainLoss): needs the matrix H: as a third bottom, or infogain_loss_param { source }',
    ),
    (
        'name: "l" type: "InfogainLoss" bottom: "x" bottom: "l" bottom: "h" top: "y"',
        [(2, 4), (2,), (4, 3)],
        'layer "l" (InfogainLoss): H must hold 4×4 numbers for 4 classes, got 12',
    ),
    (
        'name: "l" type: "InfogainLoss" bottom: "x" bottom: "l" bottom: "h" top: "y" loss_param { normalize: true }',
        [(2, 4), (2,), (4, 4)],
        'layer "l" (InfogainLoss): normalize is not known to InfogainLoss, got True\n'
        "  help: use normalization: VALID instead of normalize: true, BATCH_SIZE instead of false",
    ),
    (
        'name: "a" type: "Accuracy" bottom: "x" bottom: "l" top: "y" accuracy_param { top_k: 5 }',
        [(2, 4), (2,)],
        'layer "a" (Accuracy): top_k must not exceed the number of classes, 4, got 5',
    ),
    (
        'name: "i" type: "Input" top: "a" top: "b" top: "c" input_param { shape { dim: 1 } shape { dim: 1 } }',
        [],
        'layer "i" (Input): needs one shape for all of its 3 tops or one for each, got 2',
    ),
    (
        'name: "i" type: "Input" top: "a" input_param { shape { dim: 2 dim: -1 } }',
        [],
        'layer "i" (Input): shape must have no negative dim, got [2, -1]',
    ),
    (
        'name: "d" type: "DummyData" top: "a" '
        "dummy_data_param { shape { dim: 1 } num: 2 channels: 1 height: 1 width: 1 }",
        [],
        'layer "d" (DummyData): shape and num, channels, height, width are two spellings of one setting\n'
        "  help: keep shape { dim: … }",
    ),
    (
        'name: "d" type: "DummyData" top: "a" dummy_data_param { num: 2 channels: 1 width: 1 }',
        [],
        'layer "d" (DummyData): needs one height for all of its 1 tops or one for each, got 0',
    ),
    (
        'name: "d" type: "DummyData" top: "a" dummy_data_param { shape { dim: 1 } data_filler { type: "gausian" } }',
        [],
        'layer "d" (DummyData): data_filler type names no filler, got "gausian"\n  help: did you mean gaussian?',
    ),
    (
        'name: "d" type: "DummyData" top: "a" top: "b" top: "c" '
        "dummy_data_param { shape { dim: 1 } data_filler { } data_filler { } }",
        [],
        'layer "d" (DummyData): needs no data_filler, one for all of its 3 tops or one for each, got 2',
    ),
    (
        'name: "e" type: "Exp" bottom: "x" top: "y" exp_param { base: 0 }',
        [(2,)],
        'layer "e" (Exp): base must be positive, or -1 for e, got 0.0',
    ),
    (
        'name: "l" type: "Log" bottom: "x" top: "y" log_param { base: inf }',
        [(2,)],
        'layer "l" (Log): base must be positive, or -1 for e, got inf',
    ),
    (
        'name: "l" type: "Log" bottom: "x" top: "y" log_param { base: 1 }',
        [(2,)],
        'layer "l" (Log): base must not be 1, whose logarithm is 0, got 1.0',
    ),
    (
        'name: "p" type: "PReLU" bottom: "x" top: "y"',
        [(3,)],
        'layer "p" (PReLU): needs a bottom with at least 2 axes (channels are axis 1), got (3,)',
    ),
    (
        'name: "s" type: "Slice" bottom: "x" top: "a" top: "b" slice_param { axis: 1 slice_dim: 1 }',
        [(2, 4)],
        'layer "s" (Slice): axis: 1 and slice_dim: 1 are two names of one setting\n  help: keep axis',
    ),
    (
        'name: "s" type: "Slice" bottom: "x" top: "a" top: "b" slice_param { slice_dim: 2 }',
        [(2, 4)],
        'layer "s" (Slice): slice_dim must be an axis of a 2-d blob, got 2',
    ),
    (
        'name: "s" type: "Slice" bottom: "x" top: "a" top: "b" top: "c"',
        [(2, 4)],
        'layer "s" (Slice): cannot cut axis 1 of size 4 into 3 equal parts\n'
        "  help: say where to cut: slice_point, once fewer than there are tops",
    ),
    (
        'name: "s" type: "Slice" bottom: "x" top: "a" top: "b" slice_param { slice_point: 1 slice_point: 2 }',
        [(2, 4)],
        'layer "s" (Slice): needs one slice_point fewer than it has tops: 1, got 2',
    ),
    (
        'name: "s" type: "Slice" bottom: "x" top: "a" top: "b" top: "c" slice_param { slice_point: 3 slice_point: 3 }',
        [(2, 4)],
        'layer "s" (Slice): slice_point must rise, and lie inside axis 1 of size 4, got [3, 3]',
    ),
    (
        'name: "s" type: "Slice" bottom: "x" top: "a" top: "b" slice_param { axis: -1 slice_point: 4 }',
        [(2, 4)],
        'layer "s" (Slice): slice_point must rise, and lie inside axis 1 of size 4, got [4]',
    ),
    (
        'name: "r" type: "Reshape" bottom: "x" top: "x" reshape_param { shape { dim: 0 dim: -1 } }',
        [(2, 3)],
        'layer "r" (Reshape): cannot work in place: its top may not be its bottom "x"\n'
        "  help: give the top a name of its own",
    ),
    (
        'name: "r" type: "Reshape" bottom: "x" top: "y" reshape_param { shape { dim: -1 dim: -1 } }',
        [(2, 3)],
        'layer "r" (Reshape): at most one dim may be -1 (infer), got [-1, -1]',
    ),
    (
        'name: "r" type: "Reshape" bottom: "x" top: "y" reshape_param { shape { dim: -2 dim: 3 } }',
        [(2, 3)],
        'layer "r" (Reshape): dim must be a size, 0 (copy) or -1 (infer), got [-2, 3]',
    ),
    (
        'name: "r" type: "Reshape" bottom: "x" top: "y" reshape_param { shape { dim: 4 dim: -1 } }',
        [(2, 3)],
        'layer "r" (Reshape): dim: -1 cannot be worked out: 6 values are not a multiple of 4, the product of the '
        "others",
    ),
    (
        'name: "r" type: "Reshape" bottom: "x" top: "y" reshape_param { shape { dim: 0 dim: -1 } }',
        [(0, 3)],
        'layer "r" (Reshape): dim: -1 cannot be worked out: another dim is 0, in (0, 3) already',
    ),
    (
        'name: "r" type: "Reshape" bottom: "x" top: "y" reshape_param { shape { dim: 4 dim: 2 } }',
        [(2, 3)],
        'layer "r" (Reshape): (2, 3) has 6 values, (4, 2) would have 8\n  help: dim: -1 stands for whatever is left',
    ),
    (
        'name: "r" type: "Reshape" bottom: "x" top: "y" reshape_param { shape { dim: 6 dim: 1 dim: 0 } }',
        [(2, 3)],
        'layer "r" (Reshape): dim: 0 copies axis 2 of its bottom, whose shape (2, 3) has no such axis',
    ),
    (
        'name: "r" type: "Reshape" bottom: "x" top: "y" reshape_param { shape { dim: 6 } axis: -4 }',
        [(2, 3)],
        'layer "r" (Reshape): axis must be from -3 to 2 for a 2-d blob, got -4',
    ),
    (
        'name: "r" type: "Reshape" bottom: "x" top: "y" reshape_param { shape { dim: 6 } axis: 1 num_axes: 2 }',
        [(2, 3)],
        'layer "r" (Reshape): num_axes must be at most 1 from axis 1 of (2, 3) on, or -1 for all, got 2',
    ),
    (
        'name: "t" type: "Tile" bottom: "x" top: "y"',
        [(2, 3)],
        'layer "t" (Tile): tiles is missing\n  help: say how many copies',
    ),
    (
        'name: "t" type: "Tile" bottom: "x" top: "y" tile_param { tiles: 0 }',
        [(2, 3)],
        'layer "t" (Tile): tiles must be positive, got 0',
    ),
    (
        'name: "t" type: "Tile" bottom: "x" top: "y" tile_param { tiles: 2 axis: -3 }',
        [(2, 3)],
        'layer "t" (Tile): axis must be an axis of a 2-d blob, got -3',
    ),
    (
        'name: "b" type: "BatchReindex" bottom: "x" bottom: "i" top: "y"',
        [(2, 3), (4, 1)],
        'layer "b" (BatchReindex): its second bottom must have 1 axis, got shape (4, 1)',
    ),
    (
        'name: "b" type: "BatchReindex" bottom: "x" bottom: "i" top: "y"',
        [(0, 3), (4,)],
        'layer "b" (BatchReindex): has no samples to choose 4 from: its bottom\'s shape is (0, 3)',
    ),
    (
        'name: "f" type: "Filter" bottom: "x" bottom: "s" top: "y" top: "z"',
        [(2, 3), (2,)],
        'layer "f" (Filter): needs one top for each bottom but the selector: 1, got 2',
    ),
    (
        'name: "f" type: "Filter" bottom: "x" bottom: "s" top: "x"',
        [(2, 3), (2,)],
        'layer "f" (Filter): cannot work in place: its top may not be its bottom "x"\n'
        "  help: give the top a name of its own",
    ),
    (
        'name: "f" type: "Filter" bottom: "x" bottom: "s" top: "y"',
        [(2, 3), (2, 2)],
        'layer "f" (Filter): the selector must hold one value per sample (N, or N×1 …), got shape (2, 2)',
    ),
    (
        'name: "f" type: "Filter" bottom: "x" bottom: "s" top: "y"',
        [(3, 3), (2, 1)],
        'layer "f" (Filter): its bottoms must have as many samples as the selector: 2, got shape (3, 3)',
    ),
    (
        'name: "c" type: "Crop" bottom: "x" bottom: "s" top: "y"',
        [(2, 3), (2, 3)],
        'layer "c" (Crop): axis must be an axis of a 2-d blob, got 2',
    ),
    (
        'name: "c" type: "Crop" bottom: "x" bottom: "s" top: "y" crop_param { axis: 1 offset: 1 offset: 2 }',
        [(2, 3, 5, 5), (2, 3, 3, 3)],
        'layer "c" (Crop): needs one offset for all of the 3 axes it cuts or one for each, got 2',
    ),
    (
        'name: "c" type: "Crop" bottom: "x" bottom: "s" top: "y"',
        [(2, 3, 5, 5), (3, 3, 3)],
        'layer "c" (Crop): its second bottom must have at least as many axes as the first, got shapes (2, 3, 5, 5) and '
        "(3, 3, 3)",
    ),
    (
        'name: "c" type: "Crop" bottom: "x" bottom: "s" top: "y" crop_param { offset: 3 }',
        [(2, 3, 5, 6), (2, 3, 3, 3)],
        'layer "c" (Crop): the cut of axis 2 from 3 to 6 exceeds its size 5',
    ),
    (
        'name: "p" type: "Parameter" top: "y" parameter_param { shape { dim: -1 } }',
        [],
        'layer "p" (Parameter): shape must have no negative dim, got [-1]',
    ),
    (
        'name: "e" type: "Embed" bottom: "x" top: "y" embed_param { num_output: 3 }',
        [(2,)],
        'layer "e" (Embed): input_dim must be positive, got 0',
    ),
    (
        'name: "o" type: "HDF5Output" bottom: "x" bottom: "l"',
        [(2,), (2,)],
        'layer "o" (HDF5Output): file_name must name the file to write, got ""',
    ),
    (
        'name: "o" type: "HDF5Output" bottom: "x" bottom: "l" hdf5_output_param { file_name: "/no/such/place/a.h5" }',
        [(2,), (2,)],
        'layer "o" (HDF5Output): file_name must lie in a folder that exists, got "/no/such/place/a.h5"\n'
        "  help: create /no/such/place first",
    ),
    (
        'name: "o" type: "HDF5Output" bottom: "x" bottom: "l" hdf5_output_param { file_name: "a.h5" }',
        [(2, 3), (3,)],
        'layer "o" (HDF5Output): the first axis (the batch) of its bottoms must be the same, got shapes (2, 3) and '
        "(3,)",
    ),
    (
        'name: "o" type: "HDF5Output" bottom: "x" bottom: "l" hdf5_output_param { file_name: "a.h5" }',
        [(2, 3, 4, 5, 6), (2,)],
        'layer "o" (HDF5Output): needs bottoms with at most 4 axes, got (2, 3, 4, 5, 6)',
    ),
    (
        'name: "m" type: "MVN" bottom: "x" top: "y"',
        [(2, 3, 4, 5, 6)],
        'layer "m" (MVN): needs a bottom with at most 4 axes, got (2, 3, 4, 5, 6)',
    ),
    (
        'name: "b" type: "BatchNorm" bottom: "x" top: "y"',
        [(5,)],
        'layer "b" (BatchNorm): needs a bottom with at least 2 axes (channels are axis 1), got (5,)',
    ),
    (
        'name: "b" type: "BatchNorm" bottom: "x" top: "y" batch_norm_param { use_global_stats: false }',
        [(0, 5)],
        'layer "b" (BatchNorm): needs at least one value per channel, got (0, 5)',
    ),
    (
        'name: "b" type: "BatchNorm" bottom: "x" top: "y" param { lr_mult: 0 } param { }',
        [(4, 5)],
        'layer "b" (BatchNorm): lr_mult must be 0: its weights are statistics, and are not learned; got 1\n'
        "  help: leave param out",
    ),
    (
        'name: "l" type: "MultinomialLogisticLoss" bottom: "x" bottom: "l" top: "y"',
        [(2, 4), (2, 4)],
        'layer "l" (MultinomialLogisticLoss): needs one label per sample: 2, got 8 labels of shape (2, 4)',
    ),
    (
        'name: "l" type: "ContrastiveLoss" bottom: "a" bottom: "b" bottom: "l" top: "y"',
        [(2, 4), (2, 5), (2,)],
        'layer "l" (ContrastiveLoss): its first two bottoms must have vectors of one length, got shapes (2, 4) and '
        "(2, 5)",
    ),
    (
        'name: "l" type: "ContrastiveLoss" bottom: "a" bottom: "b" bottom: "l" top: "y"',
        [(2, 4, 2), (2, 8), (2,)],
        'layer "l" (ContrastiveLoss): needs vectors, N×C (ones may follow), got shape (2, 4, 2)',
    ),
    (
        'name: "l" type: "ContrastiveLoss" bottom: "a" bottom: "b" bottom: "l" top: "y"',
        [(2, 4), (2, 4), (3,)],
        'layer "l" (ContrastiveLoss): needs one label per pair: 2, got 3 labels of shape (3,)',
    ),
]


@pytest.mark.parametrize(("text", "bottoms", "message"), BAD, ids=lambda value: str(value)[:80])
def test_bad_setting(text: str, bottoms: list[Shape], message: str) -> None:
    with pytest.raises(LayerError) as caught:
        build(text, *bottoms)
    assert str(caught.value) == message


@pytest.mark.parametrize("kind", ["PReLU", "BatchNorm"])
def test_channels_that_no_longer_fit_the_weights(kind: str) -> None:
    layer, _ = build(f'type: "{kind}" bottom: "x" top: "y"', (2, 3, 4))
    layer.shapes([(7, 3, 5)])
    layer.raise_faults()
    layer.shapes([(2, 4, 4)])
    with pytest.raises(LayerError, match=r"and its bottom of shape \(2, 4, 4\) has other channels"):
        layer.raise_faults()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([[0, 1, 2], [3, 4, 2]], "sample 1 at position 1 of 3 must be from 0 to 3, got 4"),
        ([0, 3, -1], "sample 2 must be from 0 to 3, got -1"),
        ([float("nan")], "sample 0 must be from 0 to 3, got nan"),
        (9e20, "sample 0 must be from 0 to 3, got 9e+20"),
    ],
)
def test_index_that_no_vector_has(values: object, told: str) -> None:
    indices = torch.tensor(values, dtype=torch.float32)
    text = 'name: "e" type: "Embed" bottom: "x" top: "y" embed_param { input_dim: 4 num_output: 2 }'
    layer, _ = build(text, tuple(indices.shape))
    with pytest.raises(LayerError) as caught:
        layer.forward(run_at(), [indices], [torch.zeros(4, 2), torch.zeros(2)])
    assert str(caught.value) == f'layer "e" (Embed): index of {told}\n  help: indices count from 0'


@pytest.mark.parametrize("index", [-0.5, 3.0])
def test_index_that_no_sample_has(index: float) -> None:
    layer, _ = build('type: "BatchReindex" bottom: "x" bottom: "i" top: "y"', (3, 2), (2,))
    with pytest.raises(LayerError, match=f"index of sample 1 must be from 0 to 2, got {index:g}"):
        layer.forward(run_at(), [torch.zeros(3, 2), torch.tensor([2.9, index])], [])


def test_all_faults_of_a_layer_are_told_at_once() -> None:
    with pytest.raises(LayerError) as caught:
        build('type: "DummyData" top: "a" top: "b" top: "c" dummy_data_param { num: 2 num: 3 channels: 1 width: 1 }')
    assert len(caught.value.faults) == 2


def test_scale_is_told_of_a_bottom_that_no_longer_fits() -> None:
    layer, _ = build('name: "s" type: "Scale" bottom: "x" top: "y"', (2, 3, 4))
    layer.shapes([(7, 3, 5)])
    layer.raise_faults()
    layer.shapes([(2, 5, 4)])
    with pytest.raises(LayerError) as caught:
        layer.raise_faults()
    assert str(caught.value) == (
        'layer "s" (Scale): its weight of shape (3,) does not fit its bottom of shape (2, 5, 4) from axis 1 on'
    )


@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "Accuracy", "HingeLoss", "InfogainLoss"])
def test_label_beyond_the_classes(kind: str) -> None:
    third = [(4, 4)] if kind == "InfogainLoss" else []
    bottoms = 'bottom: "x" bottom: "l"' + ' bottom: "h"' * len(third)
    layer, _ = build(f'name: "n" type: "{kind}" {bottoms} top: "y"', (3, 4), (3,), *third)
    with pytest.raises(LayerError) as caught:
        layer.forward(run_at(), [torch.zeros(3, 4), torch.tensor([0.0, 3.0, 4.0]), *map(torch.zeros, third)], [])
    assert str(caught.value) == (
        f'layer "n" ({kind}): label of sample 2 must be a class from 0 to 3, got 4\n'
        "  help: labels count from 0: a label 4 needs at least 5 scores; ignore_label: 4 would leave such labels out"
    )


def test_negative_label_of_a_pixel() -> None:
    layer, _ = build('name: "n" type: "SoftmaxWithLoss" bottom: "x" bottom: "l"', (2, 3, 2, 2), (2, 1, 2, 2))
    labels = torch.zeros(2, 1, 2, 2)
    labels[1, 0, 1, 0] = -1
    with pytest.raises(LayerError) as caught:
        layer.forward(run_at(), [torch.zeros(2, 3, 2, 2), labels], [])
    assert str(caught.value) == (
        'layer "n" (SoftmaxWithLoss): label of sample 1 at position 2 of 4 must be a class from 0 to 2, got -1\n'
        "  help: ignore_label: -1 would leave such labels out"
    )


@pytest.mark.parametrize("value", ["nan", "inf", "1e+20"])
def test_label_that_is_no_number(value: str) -> None:
    layer, _ = build('name: "n" type: "SoftmaxWithLoss" bottom: "x" bottom: "l"', (2, 3), (2,))
    with pytest.raises(LayerError) as caught:
        layer.forward(run_at(), [torch.zeros(2, 3), torch.tensor([0.0, float(value)])], [])
    assert str(caught.value) == (
        f'layer "n" (SoftmaxWithLoss): label of sample 1 must be a class from 0 to 2, got {value}\n'
        "  help: a label is a whole number"
    )


@pytest.mark.parametrize(
    ("value", "told", "help"),
    [
        (-1.5, "-1.5", "ignore_label: -1 would leave such labels out"),
        (1234567.0, "1234567", "labels count from 0: a label 1234567 needs at least 1234568 scores"),
    ],
)
def test_a_fraction_of_a_label_is_cut_off_and_large_ones_are_told_in_full(value: float, told: str, help: str) -> None:
    layer, _ = build('type: "SoftmaxWithLoss" bottom: "x" bottom: "l"', (2, 3), (2,))
    with pytest.raises(LayerError, match=f"got {told}\n  help: {help}"):
        layer.forward(run_at(), [torch.zeros(2, 3), torch.tensor([0.0, value])], [])


def test_where_nobody_can_wait_a_wrong_label_makes_the_loss_nan() -> None:
    scores = torch.zeros(3, 4, requires_grad=True)
    for labels, spoilt in (([0, 3, 1], False), ([0, 4, 1], True), ([0, -1, 1], True)):
        indices, weights = marked(torch.tensor(labels), None, 4)
        loss = ops.losses.softmax_loss(scores, indices, weights, 1, 3.0)
        assert loss.isnan() == spoilt
        assert torch.autograd.grad(loss, scores)[0].isnan().any() == spoilt


INFOGAIN = 'name: "l" type: "InfogainLoss" bottom: "x" bottom: "l" infogain_loss_param {{ source: "{}" }}'


def test_infogain_source_that_is_not_there(tmp_path: Path) -> None:
    with chdir(tmp_path), pytest.raises(DataError) as caught:
        build(INFOGAIN.format("H.binaryproto"), (2, 4), (2,))
    assert str(caught.value) == (
        'layer "l" (InfogainLoss): cannot read source "H.binaryproto": No such file or directory\n'
        f"  help: looked in {tmp_path}"
    )


def test_infogain_source_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "H.binaryproto").write_bytes(b"\xff\xff not a blob")
    with pytest.raises(DataError, match="is not a BlobProto"):
        build(INFOGAIN.format(tmp_path / "H.binaryproto"), (2, 4), (2,))
