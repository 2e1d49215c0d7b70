"""Layers of forks against numbers that the forks' own code gave for small inputs.

The code of each fork that a case names was compiled against that fork's own tree or, where it has only some files, the
original's; "its .cu file" says that the numbers are those of the kernels on the CPU, run as loops, one thread after the
other.  The inputs are `numbers`; `tops` came from a forward, `gradients` from a backward behind it with
`numbers` again (1 for a loss) as the gradient of the first top.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from caffelite.proto import TEST, TRAIN

from .alone import build, run_at

Given = tuple[int, ...] | Sequence[Any]


@dataclass(frozen=True)
class Case:
    """What was given, a shape standing for `numbers` of it, and what came out, each blob as one list; `kept`: what the
    weights were afterwards; `gradients`: of the bottoms that get one, then of the weights that are learned."""

    text: str
    bottoms: list[Given]
    weights: list[Given]
    tops: list[list[float]]
    gradients: list[list[float]] | None = None
    kept: list[list[float]] | None = None
    phase: int = TRAIN


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Multiples of 1/32 from -1.5 to 1.5; no two alike among less than 98."""
    return (np.arange(np.prod(shape, dtype=int)) * (2 * seed + 11) % 97 - 48).reshape(shape) / 32


def array(given: Given, seed: int) -> np.ndarray:
    return numbers(given, seed) if isinstance(given, tuple) else np.array(given, dtype=float)


ROIS = [[0, 0, 0, 30, 22], [0, 17, 9, 41, 60]]
BOXES = [[[[1, 0.3, 0.6, 0.4, 0.5], [0, 0.7, 0.2, 0.2, 0.3], *[[0] * 5] * 298]]]

CASES = [
    # daijifeng001/caffe-rfcn, its .cu file
    Case(
        'type: "ROIPooling" bottom: "x" bottom: "rois" top: "y"'
        " roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.125 }",
        [(1, 1, 5, 6), ROIS],
        [],
        [[1.34375, 0.125, 1.15625, 1.375, 1.15625, 1.375, 0, 0]],
        [
            [
                0,
                0,
                0,
                0,
                -0.59375,
                0,
                0,
                -1.5,
                0,
                0,
                0,
                0,
                0,
                0,
                -0.59375,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                1.21875,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            ]
        ],
    ),
    # daijifeng001/caffe-rfcn, its .cu file
    Case(
        'type: "PSROIPooling" bottom: "x" bottom: "rois" top: "y"'
        " psroi_pooling_param { output_dim: 1 group_size: 2 spatial_scale: 0.125 }",
        [(1, 4, 3, 4), ROIS],
        [],
        [[-0.484375, -0.0520833, 0.28125, -0.296875, 0.4375, -0.546875, 0, 0]],
        [
            [
                -0.375,
                -0.375,
                0,
                0,
                -0.375,
                -0.375,
                -0.226562,
                -0.226562,
                0,
                0,
                -0.226562,
                -0.226562,
                0,
                -0.0989583,
                -0.0989583,
                -0.0989583,
                0,
                -0.0989583,
                -0.0989583,
                -0.0989583,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0.078125,
                0.078125,
                0,
                0,
                0.078125,
                0.078125,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0.203125,
                0.203125,
                0.203125,
                0,
                0.203125,
                0.203125,
                0.203125,
            ]
        ],
    ),
    # tianzhi0549/CTPN, its .cu file
    Case(
        'type: "SmoothL1Loss" bottom: "a" bottom: "b" bottom: "in" bottom: "out" top: "y"'
        " smooth_l1_loss_param { sigma: 2 }",
        [(2, 3), (2, 3), (2, 3), (2, 3)],
        [],
        [[0.190746]],
        [
            [0, 0.106312, 0.0149536, -0.000926971, -0.170898, -0.849121],
            [0, -0.106312, -0.0149536, 0.000926971, 0.170898, 0.849121],
        ],
    ),
    # intel/caffe, its .cu file
    Case(
        'type: "SoftmaxWithLossOHEM" bottom: "x" bottom: "l" top: "y" top: "p" top: "each"'
        " loss_weight: 1 loss_weight: 0 loss_weight: 0 loss_param { ignore_label: 1 normalization: PRE_FIXED"
        " pre_fixed_normalizer: 5 }",
        [(3, 3), [2.0, 1.0, 0.0]],
        [],
        [
            [0.341191],
            [0.210318, 0.315724, 0.473958, 0.210318, 0.315724, 0.473958, 0.383153, 0.575181, 0.041666],
            [0.746636, 0, 0.959321],
        ],
        [[0.0420635, 0.0631448, -0.105208, 0, 0, 0, -0.123369, 0.115036, 0.00833319]],
    ),
    # hszhao/PSPNet
    Case(
        'type: "BN" dialect: "PSPNet" bottom: "x" top: "y" bn_param { momentum: 0.75 eps: 0.001 }',
        [(2, 2, 1, 2)],
        [(1, 2, 1, 1), (1, 2, 1, 1), (1, 2, 1, 1), [[[[0.5]], [[2.0]]]]],
        [[0.317722, -0.409367, 0.241218, -0.167769, -2.59063, -3.31772, -1.39473, -1.80372]],
        [
            [0.479924, -0.797086, 0.62738, -0.539074, 0.797086, -0.479924, -0.986763, 0.898457],
            [1.59051, -2.08281],
            [-3, 1.21875],
        ],
        kept=[[-1.5, -0.84375], [-1.5, -0.78125], [-1.24609, -0.457031], [0.550354, 1.67535]],
    ),
    # hszhao/PSPNet
    Case(
        'type: "BN" dialect: "PSPNet" bottom: "x" top: "y" bn_param { momentum: 0.75 eps: 0.001 }',
        [(2, 2, 1, 2)],
        [(1, 2, 1, 1), (1, 2, 1, 1), (1, 2, 1, 1), [[[[0.5]], [[2.0]]]]],
        [[-1.5, -2.36093, -0.79989, -1.04221, -4.9437, -5.80463, -1.76916, -2.01147]],
        phase=TEST,
    ),
    # alexgkendall/caffe-segnet
    Case(
        'type: "BN" dialect: "SegNet" bottom: "x" top: "y" bn_param { bn_mode: LEARN }',
        [(2, 2, 1, 2)],
        [(1, 2, 1, 1), (1, 2, 1, 1)],
        [[0.319017, -0.40859, 0.241947, -0.167332, -2.59141, -3.31902, -1.39517, -1.80445]],
        [
            [0.479035, -0.798392, 0.628734, -0.538915, 0.798392, -0.479035, -0.98801, 0.898191],
            [1.59164, -2.08429],
            [-3, 1.21875],
        ],
        phase=TEST,
    ),
    # hszhao/PSPNet
    Case(
        'type: "Interp" bottom: "x" top: "y" interp_param { height: 3 width: 5 pad_beg: -1 }',
        [(1, 1, 4, 4)],
        [],
        [
            [
                0.53125,
                0.734375,
                0.9375,
                1.14062,
                1.34375,
                -0.875,
                -0.671875,
                -0.46875,
                -0.265625,
                -0.0625,
                0.75,
                0.953125,
                1.15625,
                -0.15625,
                -1.46875,
            ]
        ],
        [[0, 0, 0, 0, 0, -1.79688, 0.625, -0.296875, 0, 0.453125, -0.921875, 0.4375, 0, 1.1875, 0.5625, -0.34375]],
    ),
    # junhyukoh/caffe-lstm, its .cu file
    Case(
        'type: "Lstm" dialect: "junhyukoh" bottom: "x" top: "y"'
        " lstm_param { num_output: 1 batch_size: 2 clipping_threshold: 0.25 }",
        [(6, 2)],
        [(4, 2), (4, 1), (4,)],
        [[0.285484, 0.14672, 0.115431, 0.0564567, 0.273818, 0.118044]],
        [
            [
                -0.185036,
                0.339509,
                -0.0412954,
                0.0762659,
                0.0216657,
                -0.0309879,
                0.0355055,
                -0.0387275,
                -0.080307,
                0.204763,
                0,
                0,
            ],
            [0.129506, 0.0928647, 0.0558143, 0.0706569, 0.629871, 0.479869, 0.0994498, 0.0738044],
            [-0.00345009, 0.00747063, -0.00222776, -0.0014425],
            [-0.0901929, 0.0365357, -0.369234, -0.0631272],
        ],
    ),
    # wy1iu/sphereface
    Case(
        'type: "MarginInnerProduct" bottom: "x" bottom: "l" top: "y" top: "lambda"'
        " margin_inner_product_param { num_output: 2 type: QUADRUPLE base: 20 gamma: 0.5 power: 1 lambda_min:"
        " 2 iteration: 3 }",
        [(3, 3), [0.0, 1.0, 1.0]],
        [(2, 3)],
        [[1.77892, -0.615313, 0.125229, -0.716581, -1.32844, 1.95206], [6.66667]],
        [
            [0.999646, 0.248601, 0.528484, 0.0720913, 0.554622, -0.916431, 0.785219, 0.441686, 0.0981524],
            [1.3125, 0.461914, 2.3584, 0.547852, 0.801758, 1.05566],
        ],
        kept=[[-0.866449, -0.487377, -0.108306, 0.2685, 0.6444, -0.716]],
    ),
    # ydwen/caffe-face
    Case(
        'type: "CenterLoss" dialect: "ydwen" bottom: "x" bottom: "l" top: "y" center_loss_param { num_output: 2 }',
        [(3, 2), [0.0, 1.0, 1.0]],
        [(2, 2)],
        [[0.16276]],
        [[0, -0.0833333, -0.166667, -0.25, 0.104167, 0.0208333], [0, 0.125, 0.0625, 0.229167]],
    ),
    # happynear/caffe-windows, its .cu file
    Case(
        'type: "ChannelScale" bottom: "x" bottom: "a" top: "y" top: "s"'
        " channel_scale_param { global_scale: true max_global_scale: 9 min_global_scale: 0.1 }",
        [(1, 2, 1, 3), (1, 1, 1, 3)],
        [[0.5]],
        [[-0.757969, -0.552686, -0.347402, -0.142119, 0.0631641, 0.268447], [0.505313]],
        [[2.25, 0.612305, -0.175781, -1.82812, 0.93457, 0], [1.90723, 0.536133, -0.214844]],
        kept=[[0.505313]],
    ),
    # happynear/caffe-windows
    Case(
        'type: "Normalize" dialect: "happynear" bottom: "x" top: "y" top: "n" normalize_param { normalize_type: "L1"'
        " bp_norm: true }",
        [(1, 3, 1, 2)],
        [],
        [[-0.648648, -0.57377, -0.297297, -0.147541, 0.054054, 0.278688], [2.3125, 1.90625]],
        [[-0.289262, -0.227089, 0.494521, 0.72373, -0.751278, -0.0843858]],
    ),
    # eric612/MobileNet-YOLO
    Case(
        'type: "Reorg" bottom: "x" top: "y" reorg_param { stride: 2 }',
        [(1, 4, 2, 4)],
        [],
        [
            [
                -1.5,
                -0.6875,
                0.125,
                0.9375,
                -1.0625,
                -0.25,
                0.5625,
                1.375,
                -1.09375,
                -0.28125,
                0.53125,
                1.34375,
                -0.65625,
                0.15625,
                0.96875,
                -1.25,
                -1.28125,
                -0.46875,
                0.34375,
                1.15625,
                -0.84375,
                -0.03125,
                0.78125,
                -1.4375,
                -0.875,
                -0.0625,
                0.75,
                -1.46875,
                -0.4375,
                0.375,
                1.1875,
                -1.03125,
            ]
        ],
    ),
    # facebook/C3D, v1.1, its .cu file
    Case(
        'type: "Pooling3D" bottom: "x" top: "y"'
        " pooling3d_param { pool: AVE kernel_size: 2 kernel_depth: 2 stride: 2 temporal_stride: 1 pad: 1 }",
        [(1, 1, 2, 3, 3)],
        [],
        [[-0.296875, -0.289062, 0, -0.0585938, 0.113281, 0, 0, 0, 0]],
        [
            [
                -0.1875,
                -0.0742188,
                -0.0742188,
                0.152344,
                -0.113281,
                -0.113281,
                0.152344,
                -0.113281,
                -0.113281,
                -0.1875,
                -0.0742188,
                -0.0742188,
                0.152344,
                -0.113281,
                -0.113281,
                0.152344,
                -0.113281,
                -0.113281,
            ]
        ],
    ),
    # eric612/MobileNet-YOLO
    Case(
        'type: "Yolov3" bottom: "x" bottom: "boxes" top: "y"'
        " yolov3_param { num_class: 2 num: 1 mask: 0 biases: 20 biases: 30 iou_loss: CIOU anchors_scale: 32"
        " side: 2 thresh: 0.5 }",
        [(1, 7, 2, 2), BOXES],
        [],
        [[2.25668]],
        [
            [
                0,
                -0.578101,
                -0.398281,
                0,
                0,
                0.0551181,
                0.0539197,
                0,
                0,
                -0.0152546,
                -0.0141967,
                0,
                0,
                0.126853,
                0.127705,
                0,
                0.256832,
                -0.658417,
                -0.562176,
                0.538983,
                0,
                -0.22513,
                0.748187,
                0,
                0,
                0.342337,
                -0.457812,
                0,
            ]
        ],
    ),
    # luoyetx/mini-caffe
    Case(
        'type: "Proposal" bottom: "score" bottom: "box" bottom: "info" top: "rois" top: "p"'
        " proposal_param { ratio: 0.5 ratio: 2 scale: 2 min_size: 1 pre_nms_topn: 8 post_nms_topn: 3"
        " nms_thresh: 0.5 }",
        [
            [[[[0.3, 0.3], [0.3, 0.3]], [[0.3, 0.3], [0.3, 0.3]], [[0.5, 0.2], [0.9, 0.4]], [[0.7, 0.6], [0.8, 0.1]]]],
            (1, 8, 2, 2),
            [[48.0, 64.0, 1.0]],
        ],
        [],
        [[0, 0, 47, 9.01472, 47, 0, 24.6373, 0, 29.8627, 45.6993, 0, 0, 0, 27.8281, 0], [0.9, 0.8, 0.7]],
        phase=TEST,
    ),
    # eric612/MobileNet-YOLO
    Case(
        'type: "Yolov3DetectionOutput" bottom: "x" top: "y"'
        " yolov3_detection_output_param { num_classes: 2 num_box: 1 mask_group_num: 1 mask: 0 anchors_scale:"
        " 32 biases: 20 biases: 30 confidence_threshold: 0.45 nms_threshold: 0.2 }",
        [(1, 7, 2, 2)],
        [],
        [[0, -1, -1, -1, -1, -1, -1]],
        phase=TEST,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: re.findall('"(.*?)"', case.text)[0])
def test_as_the_fork(case: Case) -> None:
    bottoms = [torch.from_numpy(array(given, slot + 1)) for slot, given in enumerate(case.bottoms)]
    weights = [torch.from_numpy(array(given, slot + 5)) for slot, given in enumerate(case.weights)]
    layer, shapes = build(f'name: "l" {case.text}', *(tuple(bottom.shape) for bottom in bottoms), phase=case.phase)
    learned = [weight for weight, spec in zip(weights, layer.weights, strict=True) if spec.learned]
    wanted = [x.requires_grad_() for slot, x in enumerate(bottoms) if slot not in layer.ungraded] + learned
    for weight in learned:
        weight.requires_grad_()
    tops = [top for top in layer.forward(run_at(), bottoms, weights) if top is not None]
    for top, recorded in zip(tops, case.tops, strict=True):
        assert top.detach().flatten().tolist() == pytest.approx(recorded, rel=2e-5, abs=2e-6)
    for weight, recorded in zip(weights, case.kept or [], strict=bool(case.kept)):
        assert weight.detach().flatten().tolist() == pytest.approx(recorded, rel=2e-5, abs=2e-6)
    if case.gradients is not None:
        above = torch.ones(()) if not shapes[0] else torch.from_numpy(numbers(shapes[0], 9))
        gradients = torch.autograd.grad(tops[0], wanted, above.to(tops[0]))
        for gradient, recorded in zip(gradients, case.gradients, strict=True):
            assert gradient.flatten().tolist() == pytest.approx(recorded, rel=2e-5, abs=2e-6)
