"""A net as a torch module in its phases, and its training by optimizers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import caffelite
from caffelite import assembly
from caffelite.proto import TEST, TRAIN

from .modules import NORM, Noted, inputs, module_of, python

DROPOUT = inputs(x=(8, 50)) + 'layer { name: "drop" type: "Dropout" bottom: "x" top: "y" }'


def test_a_net_begins_in_its_phase_and_train_and_eval_change_it():
    x = torch.ones(8, 50)
    module = module_of(DROPOUT, TEST)
    assert not module.training
    assert torch.equal(module(x), x)
    assert (module.train()(x) == 0).any()
    assert torch.equal(module.eval()(x), x)
    assert (module_of(DROPOUT, TRAIN)(x) == 0).any()
    assert module_of(DROPOUT, TRAIN).drop.training


def test_draws_follow_torchs_generator_and_only_where_there_are_any():
    x = torch.ones(8, 50)
    module = module_of(DROPOUT, TRAIN)
    torch.manual_seed(1)
    one, other = module(x), module(x)
    assert not torch.equal(one, other)
    torch.manual_seed(1)
    assert torch.equal(module(x), one)
    state = torch.get_rng_state()
    module.eval()(x)
    assert torch.equal(torch.get_rng_state(), state)


def test_recomputed_activations_are_the_same_ones():
    module, x = module_of(DROPOUT, TRAIN), torch.ones(8, 50, requires_grad=True)
    y = torch.utils.checkpoint.checkpoint(module, x, use_reentrant=False)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_a_batch_norm_collects_in_training_and_uses_that_elsewhere():
    module, torchs = module_of(NORM % "", TEST), nn.BatchNorm2d(3, momentum=1.0)
    module.train()
    x = 2 + 3 * torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(module(x), torchs(x))
    mean, variance, amount = module.bn.buffers()
    torch.testing.assert_close(mean / amount, torchs.running_mean)
    torch.testing.assert_close(variance / amount, torchs.running_var)
    module.eval(), torchs.eval()
    y = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(module(y), torchs(y))
    module.train().bn.eval()
    torch.testing.assert_close(module(y), torchs(y))
    assert module.bn.amount.item() == 1


@pytest.mark.parametrize("said", [True, False])
def test_use_global_stats_says_what_to_do_in_either_phase(said):
    module = module_of(NORM % f"use_global_stats: {str(said).lower()}", TEST)
    for mode in (True, False):
        before = module.bn.amount.item()
        module.train(mode)(torch.randn(4, 3, 5, 5))
        assert (module.bn.amount.item() == before) is said


def test_a_layer_whose_prototxt_gives_it_another_phase_keeps_it():
    text = DROPOUT + '\nlayer { name: "always" type: "Dropout" bottom: "x" top: "z" phase: TRAIN }'
    module, x = module_of(text, TEST), torch.ones(8, 50)
    for mode in (True, False):
        outputs = module.train(mode)(x)
        assert bool((outputs["y"] == 0).any()) is mode
        assert bool((outputs["z"] == 0).any())
        assert module.always.training


class Told(caffelite.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        top[0].data[...] = self.phase

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 0


def test_layers_in_python_are_told_the_phase():
    module = module_of(inputs(x=(4, 3)) + python(Told, "blobs") + python(Noted, "torch"), TRAIN)
    x = torch.randn(4, 3)
    outputs = module(x)
    assert outputs["blobs"] == TRAIN
    torch.testing.assert_close(outputs["torch"].mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    outputs = module.eval()(x + 1)
    assert outputs["blobs"] == TEST
    assert (outputs["torch"].mean(0) - TEST).abs().max() > 1e-2


def test_random_crops_are_for_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "x.png")
    (tmp_path / "list.txt").write_text("x.png 3\n")
    monkeypatch.chdir(tmp_path)
    module = module_of(
        """layer { name: "data" type: "ImageData" top: "data" top: "label" transform_param { crop_size: 4 }
        image_data_param { source: "list.txt" batch_size: 8 is_color: false } }""",
        TEST,
    )
    centre = module()["data"][0, 0, 0, 0].item()
    assert centre == 2 * 8 + 2
    assert (module()["data"][:, 0, 0, 0] == centre).all()
    assert (module.train()()["data"][:, 0, 0, 0] != centre).any()
    assert (module.eval()()["data"][:, 0, 0, 0] == centre).all()


TRAJECTORIES: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd_m0_fixed": (torch.optim.SGD, {}),
    "sgd_m09_l2_mults": (torch.optim.SGD, {"momentum": 0.9}),
    "sgd_shared": (torch.optim.SGD, {"momentum": 0.9}),
    "sgd_frozen": (torch.optim.SGD, {"momentum": 0.9}),
    "sgd_two_losses": (torch.optim.SGD, {"momentum": 0.9}),
    "sgd_batchnorm": (torch.optim.SGD, {"momentum": 0.9}),
    "nesterov_m09": (caffelite.optim.Nesterov, {"momentum": 0.9}),
    "adagrad": (caffelite.optim.AdaGrad, {}),
    "adam": (caffelite.optim.Adam, {"momentum": 0.9, "delta": 1e-8}),
}


@pytest.mark.parametrize("case", TRAJECTORIES)
def test_training_by_an_optimizer_is_what_the_original_recorded(
    case: str, golden: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(golden(f"solvers/{case}/trajectory.npz").parent, tmp_path / case)
    shutil.copytree(golden("solvers/_data/train.h5").parent, tmp_path / "_data")
    monkeypatch.chdir(tmp_path / case)
    arrays = np.load("trajectory.npz")
    settings = assembly.read_solver("solver.prototxt").settings
    module = caffelite.load("net.prototxt", "init.caffemodel", TRAIN)
    kind, options = TRAJECTORIES[case]
    groups = module.parameter_groups(settings.base_lr, settings.weight_decay)
    optimizer = kind(groups, lr=settings.base_lr, **options)
    for iteration in range(20):
        optimizer.zero_grad()
        module.weighted_loss().backward()
        optimizer.step()
        if iteration + 1 in (1, 2, 5, 20):
            compared = [key for key in arrays if key.startswith(f"w{iteration + 1}/")]
            assert compared
            for key in compared:
                layer, slot = key.partition("/")[2].rsplit("/", 1)
                got = module.core.params[layer][int(slot)].data
                np.testing.assert_allclose(got, arrays[key], rtol=2e-3, atol=2e-5, err_msg=key)
