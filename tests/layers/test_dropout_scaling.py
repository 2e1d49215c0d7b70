"""Dropout with `scale_train: false`, of rbgirshick/caffe-fast-rcnn: TEST makes up for what TRAIN drops."""

from __future__ import annotations

import pytest
import torch

from caffelite.proto import TEST, TRAIN

from .alone import build, run_at

X = torch.linspace(1, 2, 4000).reshape(40, 100)


def outcome(settings: str, phase: int) -> torch.Tensor:
    layer, _ = build(
        f'name: "d" type: "Dropout" bottom: "x" top: "y" dropout_param {{ {settings} }}', (40, 100), phase=phase
    )
    (y,) = layer.forward(run_at(), [X], [])
    return y


def test_what_is_kept_in_train_stays_as_it_is() -> None:
    y, scaled = outcome("dropout_ratio: 0.2 scale_train: false", TRAIN), outcome("dropout_ratio: 0.2", TRAIN)
    kept = y != 0
    assert torch.equal(y[kept], X[kept])
    assert torch.equal(kept, scaled != 0)  # the same draw
    torch.testing.assert_close(scaled, y / 0.8)
    assert 0.75 < kept.float().mean() < 0.85


def test_test_multiplies_by_the_share_that_train_keeps() -> None:
    torch.testing.assert_close(outcome("dropout_ratio: 0.2 scale_train: false", TEST), 0.8 * X)
    assert torch.equal(outcome("dropout_ratio: 0.2 scale_train: true", TEST), X)


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_gradient(phase: int) -> None:
    settings = "dropout_param { dropout_ratio: 0.25 scale_train: false }"
    layer, _ = build(f'name: "d" type: "Dropout" bottom: "x" top: "y" {settings}', (40, 100), phase=phase)
    x = X.clone().requires_grad_()
    (y,) = layer.forward(run_at(), [x], [])
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, y.detach() / X)
