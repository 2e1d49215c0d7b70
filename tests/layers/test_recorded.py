"""Every recorded case of the element-wise, reshaping, selecting, reducing, normalising and loss types, in both memory
formats."""

from __future__ import annotations

import pytest
import torch

from .conform import Case, Replay, cases

TYPES = [
    "AbsVal",
    "Accuracy",
    "BNLL",
    "BatchNorm",
    "BatchReindex",
    "Bias",
    "Clip",
    "Concat",
    "ContrastiveLoss",
    "Crop",
    "Dropout",
    "DummyData",
    "ELU",
    "Eltwise",
    "Embed",
    "EuclideanLoss",
    "Exp",
    "Filter",
    "Flatten",
    "HingeLoss",
    "InfogainLoss",
    "Input",
    "Log",
    "MVN",
    "MultinomialLogisticLoss",
    "PReLU",
    "Parameter",
    "Power",
    "ReLU",
    "Reduction",
    "Reshape",
    "Scale",
    "Sigmoid",
    "SigmoidCrossEntropyLoss",
    "Silence",
    "Slice",
    "Softmax",
    "SoftmaxWithLoss",
    "Split",
    "Swish",
    "TanH",
    "Threshold",
    "Tile",
]
CASES = cases(TYPES)


def _leave_out_what_is_no_gradient(replay: Replay) -> None:
    """Forget recorded gradients of inputs that need none: the original's Scale keeps dy·x in that memory, which is
    the gradient of nothing.  Where nothing needed a gradient, those of weights are zeros that nobody computed."""
    if not replay.message.force_backward:
        for param in replay.message.layer:
            for top in param.top if param.type == "Input" else ():
                replay.arrays.pop(f"bottomdiff/{top}", None)
        if not replay.case.entry["loss_weights"]:
            for key in [key for key in replay.arrays if key.startswith("paramdiff/")]:
                del replay.arrays[key]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_recorded_case(case: Case, memory_format: torch.memory_format) -> None:
    replay = Replay(case, memory_format)
    _leave_out_what_is_no_gradient(replay)
    assert replay.check() > 0


def test_every_type_has_a_case() -> None:
    covered = {layer_type for case in CASES for layer_type in case.entry["layer_types"]}
    assert covered == set(TYPES)
