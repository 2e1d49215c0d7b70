"""Every recorded case of the element-wise, reshaping, reducing and loss types, in both memory formats."""

from __future__ import annotations

import pytest
import torch

from .conform import Case, Replay, cases

TYPES = [
    "AbsVal",
    "Accuracy",
    "BNLL",
    "Bias",
    "Concat",
    "Dropout",
    "DummyData",
    "Eltwise",
    "EuclideanLoss",
    "Flatten",
    "HingeLoss",
    "InfogainLoss",
    "Input",
    "Power",
    "ReLU",
    "Reduction",
    "Scale",
    "Sigmoid",
    "SigmoidCrossEntropyLoss",
    "Silence",
    "Softmax",
    "SoftmaxWithLoss",
    "Split",
    "TanH",
]
CASES = cases(TYPES)


def _leave_out_scratch(replay: Replay) -> None:
    """Forget recorded gradients of inputs that need none: the original's Scale keeps dy·x in that memory, which is
    the gradient of nothing."""
    if not replay.message.force_backward:
        for param in replay.message.layer:
            for top in param.top if param.type == "Input" else ():
                replay.arrays.pop(f"bottomdiff/{top}", None)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_recorded_case(case: Case, memory_format: torch.memory_format) -> None:
    replay = Replay(case, memory_format)
    _leave_out_scratch(replay)
    assert replay.check() > 0


def test_every_type_has_a_case() -> None:
    covered = {layer_type for case in CASES for layer_type in case.entry["layer_types"]}
    assert covered == set(TYPES)
