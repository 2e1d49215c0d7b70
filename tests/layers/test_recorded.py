"""Every recorded case of the element-wise, reshaping and loss types, in both memory formats."""

from __future__ import annotations

import pytest
import torch

from .conform import Case, Replay, cases

TYPES = [
    "AbsVal",
    "Accuracy",
    "BNLL",
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
    "Sigmoid",
    "SigmoidCrossEntropyLoss",
    "Silence",
    "Softmax",
    "SoftmaxWithLoss",
    "Split",
    "TanH",
]
CASES = cases(TYPES)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_recorded_case(case: Case, memory_format: torch.memory_format) -> None:
    assert Replay(case, memory_format).check() > 0


def test_every_type_has_a_case() -> None:
    covered = {layer_type for case in CASES for layer_type in case.entry["layer_types"]}
    assert covered == set(TYPES)
