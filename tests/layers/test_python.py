"""Python layers: the original's protocol, ours in torch, and what is told when users' code fails."""

from __future__ import annotations

import gc
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import caffelite
from caffelite import assembly
from caffelite.errors import CaffeliteError
from caffelite.net import Net
from caffelite.net.module import NetModule
from caffelite.proto import TEST, TRAIN

from ..nets import graph_of, net_of
from . import user_layers
from .alone import build, run_at

BOTH = pytest.mark.parametrize("observed", [False, True], ids=["fast", "observed"])
PLACE = Path(user_layers.__file__)


def layer(kind: str, bottoms: str = "x", tops: str = "y", more: str = "", name: str = "user", param: str = "") -> str:
    """A Python layer with a class of user_layers."""
    blobs = " ".join([f'bottom: "{blob}"' for blob in bottoms.split()] + [f'top: "{blob}"' for blob in tops.split()])
    settings = f'module: "{user_layers.__name__}" layer: "{kind}" param_str: "{param}"'
    return f'layer {{ name: "{name}" type: "Python" {blobs} {more} python_param {{ {settings} }} }}\n'


def inputs(**shapes: tuple[int, ...]) -> str:
    tops = " ".join(f'top: "{blob}"' for blob in shapes)
    dims = " ".join(f"shape {{ {' '.join(f'dim: {size}' for size in shape)} }}" for shape in shapes.values())
    return f'layer {{ name: "in" type: "Input" {tops} input_param {{ {dims} }} }}\n'


def product(bottom: str, top: str, outputs: int = 3, name: str = "ip") -> str:
    settings = f'num_output: {outputs} weight_filler {{ type: "xavier" }}'
    blobs = f'bottom: "{bottom}" top: "{top}"'
    return f'layer {{ name: "{name}" type: "InnerProduct" {blobs} inner_product_param {{ {settings} }} }}\n'


def fill(net: Net, seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    for blob in net.graph.inputs:
        net.blobs[blob].data[...] = random.normal(size=net.blobs[blob].shape)


def user_of(net: Net, name: str = "user") -> Any:
    return next(node.layer.user for node in net.graph.nodes if node.name == name)


# -- the original's protocol --------------------------------------------------------------------------------------

CHAIN = "force_backward: true\n" + inputs(x=(4, 3, 2)) + layer("Times") + layer("Times", "y", "z", param="-0.5")


def test_values_go_up_and_gradients_come_down() -> None:
    net = net_of(CHAIN, observed=True)
    fill(net)
    net.forward()
    np.testing.assert_allclose(net.blobs["z"].data, -5 * net.blobs["x"].data, rtol=1e-6)
    net.blobs["z"].diff[...] = np.arange(24).reshape(4, 3, 2)
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, -5 * np.arange(24).reshape(4, 3, 2), rtol=1e-6)


def test_it_is_set_up_once_and_reshaped_before_every_forward() -> None:
    net = net_of(CHAIN, observed=True)
    user = user_of(net)
    assert user.calls == ["setup", "reshape"]
    net.forward()
    net.backward()
    assert user.calls[2:] == ["reshape", "forward", "backward"]
    net.reshape()
    assert user.calls[5:] == ["reshape"]
    net.blobs["x"].reshape(5, 5)
    net.forward()
    assert {blob.shape for blob in net.blobs.values()} == {blob.data.shape for blob in net.blobs.values()} == {(5, 5)}


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_it_knows_its_phase(phase: int) -> None:
    net = net_of("force_backward: true\n" + layer("Phase", "", "phase"), phase, observed=True)
    net.forward()
    assert net.blobs["phase"].data.shape == ()
    assert net.blobs["phase"].data == phase
    own = net_of(layer("Phase", "", "phase", more="phase: TEST"), observed=True)
    assert user_of(own).phase == TEST


def test_blobs_say_what_the_original_s_say() -> None:
    net = net_of(inputs(x=(2, 3, 4)) + layer("Described"), observed=True)
    net.forward()
    assert net.blobs["y"].data.tolist() == [2, 3, 4, 1, 24, 3]


FITTED = inputs(x=(6, 4), label=(6, 3)) + product("x", "score")
LOSS = 'layer { name: "loss" type: "EuclideanLoss" bottom: "score" bottom: "label" top: "loss" loss_weight: 0.7 }\n'
OWN_LOSS = layer("Distance", "score label", "loss", "loss_weight: 0.7")


@BOTH
def test_a_loss_in_python_is_the_loss_of_the_layer(observed: bool) -> None:
    mine, theirs = (net_of(FITTED + loss, observed=observed) for loss in (OWN_LOSS, LOSS))
    for seed in range(3):
        for net in (mine, theirs):
            fill(net, seed)
        assert float(mine.forward_backward()) == pytest.approx(float(theirs.forward_backward()), rel=1e-6)
        for one, other in zip(mine.parameters, theirs.parameters, strict=True):
            assert one.diff.any()
            np.testing.assert_allclose(one.diff, other.diff, rtol=1e-5, atol=1e-7)
    assert user_of(mine).asked == [True, False]
    if observed:
        np.testing.assert_allclose(mine.blobs["score"].diff, theirs.blobs["score"].diff, rtol=1e-5, atol=1e-7)
        assert not mine.blobs["label"].diff.any()


@BOTH
def test_a_loss_in_python_trains_as_the_layer_does(observed: bool, tmp_path: Path) -> None:
    ended = []
    for loss in (OWN_LOSS, LOSS):
        net = FITTED.replace('"Input"', '"DummyData"').replace("input_param {", f"dummy_data_param {{ {NOISE * 2}")
        text = (
            f'net_param {{ {net + loss} }} base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" max_iter: 8 iter_size: 2 '
            f'random_seed: 4 snapshot_prefix: "{tmp_path}/x" solver_mode: CPU average_loss: 4'
        )
        path = tmp_path / "solver.prototxt"
        path.write_text(text)
        solver = assembly.load_solver(path, observed=observed)
        losses: list[Any] = []
        solver.sinks.append(losses.append)
        solver.step(8)
        ended.append([parameter.data.copy() for parameter in solver.net.parameters])
    for one, other in zip(*ended, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


NOISE = 'data_filler { type: "gaussian" std: 1 } '


def test_a_loss_stays_what_it_was_when_the_next_comes() -> None:
    """The solver keeps losses as they came until it displays their mean."""
    net = net_of(FITTED + OWN_LOSS.replace("0.7", "1"))
    losses = []
    for seed in range(3):
        fill(net, seed)
        losses.append(net.forward_backward())
    assert len({float(loss) for loss in losses}) == 3


def test_it_is_told_where_gradients_are_wanted() -> None:
    both = "force_backward: true\n" + FITTED + OWN_LOSS
    net = net_of(both, observed=True)
    fill(net)
    net.forward_backward()
    assert user_of(net).asked == [True, True]
    np.testing.assert_allclose(net.blobs["label"].diff, -net.blobs["score"].diff)
    second = FITTED + layer("Distance", "label score", "loss", "loss_weight: 1")
    for observed in (False, True):
        net = net_of(second, observed=observed)
        net.forward_backward()
        assert user_of(net).asked == [False, True]
    stopped = layer("Distance", "score label", "loss", "loss_weight: 1 propagate_down: [false, false]")
    net = net_of(FITTED + stopped)
    fill(net)
    net.forward_backward()
    assert not any(parameter.diff.any() for parameter in net.parameters)


@BOTH
def test_no_gradient_is_what_a_backward_that_writes_none_gives(observed: bool) -> None:
    net = net_of(FITTED + layer("Stop", "score", "s") + LOSS.replace('"score"', '"s"'), observed=observed)
    fill(net)
    assert float(net.forward_backward()) > 0
    assert not any(parameter.diff.any() for parameter in net.parameters)


LEARNING = inputs(x=(5, 4)) + product("x", "h") + layer("Affine", "h", "y", "loss_weight: 1")


@BOTH
def test_it_learns_its_blobs(observed: bool) -> None:
    net = net_of(LEARNING, observed=observed)
    assert [parameter.shape for parameter in net.params["user"]] == [(1,), ()]
    assert [parameter.data.sum() for parameter in net.params["user"]] == [2, 0]
    fill(net)
    h = net.blobs["x"].data @ net.params["ip"][0].data.T
    assert float(net.forward_backward()) == pytest.approx(2 * h.sum(), rel=1e-5)
    once = [parameter.diff.copy() for parameter in net.params["user"]]
    np.testing.assert_allclose(once[0], [h.sum()], rtol=1e-5)
    assert once[1] == 15
    np.testing.assert_allclose(net.params["ip"][0].diff, 2 * np.ones((5, 3)).T @ net.blobs["x"].data, rtol=1e-5)
    net.forward_backward()  # whether a backward assigns or adds, gradients add up until they are cleared
    for parameter, gradient in zip(net.params["user"], once, strict=True):
        np.testing.assert_allclose(parameter.diff, 2 * gradient, rtol=1e-5)
    net.params["user"][0].data[0] = -3
    assert float(net.forward()) == pytest.approx(-3 * h.sum(), rel=1e-5)
    assert user_of(net).blobs[0].data.tolist() == [-3]


def test_blobs_are_saved_loaded_and_shared(tmp_path: Path) -> None:
    net = net_of(LEARNING, observed=True)
    net.params["user"][0].data[...] = 9
    net.save(str(tmp_path / "a.caffemodel"))
    other = net_of(LEARNING, seed=2)
    other.load_weights(str(tmp_path / "a.caffemodel"))
    assert other.params["user"][0].data.tolist() == [9]
    test = net_of(LEARNING, TEST, share=other, observed=True)
    other.params["user"][0].data[...] = 4
    fill(test)
    test.forward()
    np.testing.assert_allclose(test.blobs["y"].data, 4 * test.blobs["h"].data, rtol=1e-6)


def test_a_frozen_blob_does_not_learn() -> None:
    frozen = LEARNING.replace('type: "Python"', 'type: "Python" param { lr_mult: 0 }')
    for observed in (False, True):
        net = net_of(frozen, observed=observed)
        fill(net)
        net.forward_backward()
        assert not net.params["user"][0].diff.any()
        assert net.params["user"][1].diff == 15


def test_blobs_may_come_with_the_first_reshape_but_not_later() -> None:
    net = net_of(inputs(x=(2,)) + layer("Early"), observed=True)
    assert [parameter.shape for parameter in net.params["user"]] == [(4,)]
    net.forward()
    net.reshape()
    net = net_of(inputs(x=(2,)) + layer("Late"), observed=True)
    net.forward()
    with pytest.raises(CaffeliteError, match="has 1 blobs, and had 0 when the net was made"):
        net.forward()


def test_arrays_held_from_setup_on_are_the_net_s() -> None:
    net = net_of(layer("Keeper", "", "y", "loss_weight: 1"), observed=True)
    for count in range(3):
        net.clear_gradients()
        net.forward_backward()
        assert net.blobs["y"].data.tolist() == [5 + count] * 3
        assert net.params["user"][0].data.tolist() == [[0] * 3, [6 + count] * 3]
        assert net.params["user"][0].diff.tolist() == [[0] * 3, [1] * 3]
    net.params["user"][0].data[1] = -1
    net.forward()
    assert net.blobs["y"].data.tolist() == [-1] * 3


@BOTH
def test_values_of_tops_stay_and_writing_to_bottoms_takes_effect(observed: bool) -> None:
    text = inputs(x=(2, 3)) + layer("Counter", "x", "count", more="loss_weight: 1") + layer("Times", "x", "y", name="t")
    net = net_of(text, observed=observed)
    seen = []
    for _ in range(3):
        net.blobs["x"].data[...] = 1
        net.forward()
        seen.append(net.blobs["count"].data.tolist())
        assert net.blobs["y"].data.tolist() == [[10, 10, 70]] * 2
    assert seen == [[1, 0], [2, 0], [3, 0]]


@BOTH
@pytest.mark.parametrize("front", ["", "conv"])
def test_memory_orders_do_not_show(observed: bool, front: str) -> None:
    """With a convolution a net computes in channels_last order; blobs are C-contiguous all the same."""
    conv = (
        'layer { name: "conv" type: "Convolution" bottom: "x" top: "c" '
        'convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }\n'
    )
    scale = 'layer { name: "conv" type: "Scale" bottom: "x" top: "c" scale_param { filler { type: "msra" } } }\n'
    text = inputs(x=(2, 3, 4, 5)) + (conv if front else scale)
    net = net_of(text + layer("Times", "c", "y") + layer("Counter", "y", "k", "loss_weight: 1", "k"), observed=observed)
    assert net.channels_last == bool(front)
    fill(net)
    net.forward_backward()
    last = net.params["conv"][0].diff.copy()
    assert np.isfinite(last).all()
    assert last.any()
    if observed:
        np.testing.assert_allclose(net.blobs["y"].data[..., :-1], 10 * net.blobs["c"].data[..., :-1], rtol=1e-5)
        assert (net.blobs["y"].data[..., -1] == 7).all()
        np.testing.assert_array_equal(net.blobs["c"].diff, np.full((2, 3, 4, 5), 10.0))


IN_PLACE = "force_backward: true\n" + inputs(x=(2, 3)) + layer("Squared", "x", "y", name="first")
ABOVE = 'layer { name: "above" type: "Power" bottom: "y" top: "z" loss_weight: 1 power_param { scale: 3 } }\n'


@BOTH
def test_it_works_in_place(observed: bool) -> None:
    net = net_of(IN_PLACE + layer("Times", "y", "y", param="4") + ABOVE, observed=observed)
    net.blobs["x"].data[...] = [[1, 2, 3], [4, 5, 6]]
    assert float(net.forward_backward()) == 3 * 4 * (1 + 4 + 9 + 16 + 25 + 36)
    if observed:
        assert net.blobs["y"].data[0].tolist() == [4, 16, 36]
        # Its backward finds y as the layer in place left it: 2√(4x²) instead of 2√x².
        assert net.blobs["x"].diff.tolist() == [[3 * 4 * 4 * x for x in row] for row in ((1, 2, 3), (4, 5, 6))]


def test_its_backward_reads_what_a_layer_in_place_left_in_the_fast_plan() -> None:
    learned = inputs(x=(2, 3)) + layer("Affine", "x", "a", name="a") + layer("Squared", "a", "y", name="first")
    fast, seen = (
        net_of(learned + layer("Times", "y", "y", param="4") + ABOVE, observed=observed) for observed in (False, True)
    )
    for net in (fast, seen):
        net.blobs["x"].data[...] = [[1, 2, 3], [4, 5, 6]]
        net.forward_backward()
    assert fast.params["a"][0].diff.tolist() == seen.params["a"][0].diff.tolist() == [3 * 4 * 2 * 2 * 2 * 91]


@pytest.mark.parametrize("kind", ["Distance", "Affine"])
def test_a_backward_may_come_after_other_forwards(kind: str) -> None:
    """As in programs of torch; the instance and its blobs are full of the last, so its own is made again."""
    text = inputs(x=(2, 3), h=(2, 3)) + layer("Distance", "x h", "y")
    module = NetModule(net_of(text if kind == "Distance" else inputs(x=(2, 3)) + layer("Affine")))
    batches = [[torch.randn(count, 3) for _ in module.core.graph.inputs] for count in (2, 4, 2)]
    alone = [gradient for batch in batches for gradient in gradients(module, [batch])]
    assert all(torch.equal(a, b) for a, b in zip(alone, gradients(module, batches), strict=True))


def gradients(module: NetModule, batches: list[list[torch.Tensor]]) -> list[torch.Tensor]:
    """The gradients of the inputs, of calls that are made before all of their backwards."""
    given = [[tensor.clone().requires_grad_() for tensor in batch] for batch in batches]
    torch.stack([module(*batch).square().sum() for batch in given]).sum().backward()
    return [tensor.grad for batch in given for tensor in batch if tensor.grad is not None]


def test_in_place_a_backward_that_writes_nothing_hands_the_gradient_on() -> None:
    net = net_of(IN_PLACE + layer("Stop", "y", "y") + ABOVE, observed=True)
    net.blobs["x"].data[...] = [[1, 2, 3], [4, 5, 6]]
    net.forward_backward()
    assert net.blobs["x"].diff.tolist() == [[3 * 2 * x for x in row] for row in ((1, 2, 3), (4, 5, 6))]


def test_without_tops_it_listens() -> None:
    for text in (inputs(x=(2, 3), h=(2,)), "force_backward: true\n" + inputs(x=(2, 3), h=(2,))):
        net = net_of(text + layer("Listener", "x h", ""), observed=True)
        net.blobs["x"].data[...] = 2
        net.forward_backward()
        assert user_of(net).heard == [12, 0]


# -- shapes that change by themselves -------------------------------------------------------------------------------

FED = layer("Growing", "", "x label") + product("x", "score", 2)
CLASSIFIED = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }\n'


@BOTH
def test_every_forward_may_have_a_batch_of_another_size(observed: bool) -> None:
    net = net_of(FED + CLASSIFIED, observed=observed)
    for rows in range(1, 5):
        net.clear_gradients()
        loss = float(net.forward_backward())
        x = np.random.default_rng(rows).normal(size=(rows, 3))
        scores = x @ net.params["ip"][0].data.T
        p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        labels = np.arange(rows) % 2
        assert loss == pytest.approx(-np.log(p[np.arange(rows), labels]).mean(), rel=1e-5)
        slope = (p - np.eye(2)[labels]) / rows
        np.testing.assert_allclose(net.params["ip"][0].diff, slope.T @ x, rtol=1e-4, atol=1e-6)
        if observed:
            assert net.blobs["score"].shape == (rows, 2)


@BOTH
def test_shapes_may_depend_on_values(observed: bool) -> None:
    text = (
        inputs(x=(6, 2)) + product("x", "h", 2) + layer("Positive", "h", "kept") + layer("Times", "kept", "y", name="t")
    )
    net = net_of(text + ABOVE, observed=observed)
    for seed in range(3):
        fill(net, seed)
        net.clear_gradients()
        loss = float(net.forward_backward())
        h = net.blobs["x"].data @ net.params["ip"][0].data.T
        kept = h[:, 0] > 0
        assert 0 < kept.sum() < 6
        assert loss == pytest.approx(30 * h[kept].sum(), rel=1e-4)
        np.testing.assert_allclose(
            net.params["ip"][0].diff, 30 * np.outer([1, 1], net.blobs["x"].data[kept].sum(0)), rtol=1e-4
        )
        assert net.blobs["z"].shape == (kept.sum(), 2)
        # Behind another layer of varying size it is reshaped once a forward all the same.
        assert user_of(net, "t").calls.count("reshape") == 1 + user_of(net, "t").calls.count("forward")


# -- in scripts -----------------------------------------------------------------------------------------------------


def test_scripts_reach_the_user_s_own_instance(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(FED)
    net = caffelite.Net(path, caffelite.TRAIN)
    net.layers[0].start_at(3)
    assert net.forward()["score"].shape == (3, 2)
    assert net.layers[0].rows == 4
    assert (net.layers[0].type, len(net.layers[0].blobs), len(net.layers[1].blobs)) == ("Python", 0, 2)
    with pytest.raises(AttributeError, match="start_at"):
        net.layers[1].start_at(3)


def test_nothing_of_a_net_stays_behind() -> None:
    net = net_of(LEARNING)
    net.forward_backward()
    watched = weakref.ref(user_of(net))
    assert watched() is not None
    del net
    gc.collect()
    assert watched() is None


# -- modules --------------------------------------------------------------------------------------------------------


def other(module: str, kind: str = "Ten", file: str = "") -> str:
    return f'layer {{ name: "u" type: "Python" top: "y" python_param {{ module: "{module}" layer: "{kind}" }} }}'


OWN = """import caffelite
{}
class Ten(caffelite.Layer):
    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[...] = {}
"""


def built(path: Path, text: str) -> Any:
    path.write_text(text)
    net = caffelite.Net(path, caffelite.TEST)
    return net.forward()["y"]


@pytest.fixture
def path_restored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working directory; Python's path is put back afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_module_is_found_on_the_path_then_here_then_beside_the_prototxt(
    path_restored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, number in (("library", 1), ("here", 2), ("beside", 3)):
        (path_restored / folder).mkdir()
        for module in ("first", "second", "third")[: number if folder != "library" else 1]:
            (path_restored / folder / f"caffelite_test_{module}.py").write_text(OWN.format("", number))
    (path_restored / "beside" / "caffelite_test_helper.py").write_text("NUMBER = 30\n")
    (path_restored / "beside" / "caffelite_test_fourth.py").write_text(
        OWN.format("from caffelite_test_helper import NUMBER", "NUMBER")
    )
    monkeypatch.syspath_prepend(path_restored / "library")
    monkeypatch.chdir(path_restored / "here")
    net = path_restored / "beside" / "net.prototxt"
    found = {module: float(built(net, other(f"caffelite_test_{module}"))) for module in ("first", "second", "third")}
    assert found == {"first": 1, "second": 2, "third": 3}
    assert float(built(net, other("caffelite_test_fourth"))) == 30


def test_a_folder_of_the_module_s_name_is_not_it(path_restored: Path) -> None:
    (path_restored / "caffelite_test_folder").mkdir()
    (path_restored / "beside").mkdir()
    (path_restored / "beside" / "caffelite_test_folder.py").write_text(OWN.format("", 6))
    assert float(built(path_restored / "beside" / "net.prototxt", other("caffelite_test_folder"))) == 6


def test_a_module_of_a_package(path_restored: Path) -> None:
    (path_restored / "caffelite_test_package").mkdir()
    (path_restored / "caffelite_test_package" / "inner.py").write_text(OWN.format("", 5))
    assert float(built(path_restored / "net.prototxt", other("caffelite_test_package.inner"))) == 5


def test_two_modules_of_one_name_are_not_taken_for_each_other(path_restored: Path) -> None:
    for number, folder in enumerate(("a", "b")):
        (path_restored / folder).mkdir()
        (path_restored / folder / "caffelite_test_twin.py").write_text(OWN.format("", number))
    text = other("caffelite_test_twin")
    assert float(built(path_restored / "a" / "net.prototxt", text)) == 0
    assert float(built(path_restored / "a" / "net.prototxt", text)) == 0
    with pytest.raises(
        CaffeliteError, match=r'another module "caffelite_test_twin" is loaded: .*a/caffelite_test_twin.py'
    ):
        built(path_restored / "b" / "net.prototxt", text)


# -- what is told -----------------------------------------------------------------------------------------------------


def line_of(text: str, after: str = "class Wrong") -> int:
    lines = PLACE.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(after))
    return 1 + next(number for number, line in enumerate(lines) if number > start and text in line)


@BOTH
@pytest.mark.parametrize("method", ["setup", "reshape", "forward", "backward"])
def test_an_exception_is_told_with_layer_class_method_and_lines(method: str, observed: bool) -> None:
    text = FITTED.replace('top: "score"', 'top: "s"') + layer("Wrong", "s", "score", param=method) + LOSS
    with pytest.raises(CaffeliteError) as caught:
        net_of(text, observed=observed).forward_backward()
    (fault,) = caught.value.faults
    call = f'self.fail_in("{method}", 2)' if method == "reshape" else f'self.fail_in("{method}")'
    raised = 'raise RuntimeError(f"no luck in {method}")'
    assert str(fault) == (
        f'layer "user" (Python): {user_layers.__name__}.Wrong.{method} raised RuntimeError: no luck in {method}\n'
        f"  help: {PLACE}:{line_of(call)}, in {method}: {call}\n"
        f"        {PLACE}:{line_of(raised)}, in fail_in: {raised}"
    )


def test_where_numpy_raises_the_user_s_line_is_told() -> None:
    net = net_of(inputs(x=(2,)) + layer("Wrong", param="numpy"), observed=True)
    with pytest.raises(CaffeliteError) as caught:
        net.forward()
    call = "top[0].data[...] = np.zeros(17)"
    assert caught.value.faults[0].help == f"{PLACE}:{line_of(call)}, in forward: {call}"
    assert "could not broadcast" in str(caught.value)


BAD_CLASSES = [
    ("Forwardless", "has no method forward(bottom, top)", "forward"),
    ("OneWay", "has no method backward(top, propagate_down, bottom)", "backward"),
    ("Shapeless", "has no method reshape(bottom, top)", "net"),
    ("Negative", "reshape raised UsageError: a blob cannot have a negative size, got shape (-1,)", "net"),
    ("Stranger", "must derive from caffelite.Layer or caffelite.TorchLayer", "net"),
    ("Unmade", "setup raised KeyError: 'fc'", "net"),
    ("Torn", "forward raised RuntimeError: mat1 and mat2", "forward"),
    ("Two", "returns 2 tops, and the layer has 1", "net"),
    ("Gatte", f'module "{user_layers.__name__}" ({PLACE}) has no class "Gatte"\n  help: did you mean Gate?', "net"),
    ("np", f'module "{user_layers.__name__}" ({PLACE}) has no class "np"', "net"),
    ("Zzz", "it has Times, Distance, Affine", "net"),
]


@pytest.mark.parametrize(("kind", "told", "when"), BAD_CLASSES)
def test_a_class_that_does_not_serve(kind: str, told: str, when: str) -> None:
    text = inputs(x=(5, 4), label=(5, 3)) + product("x", "h") + layer(kind, "h", "y", "loss_weight: 1")
    if when == "net":
        with pytest.raises(CaffeliteError) as caught:
            net_of(text, observed=True)
    else:
        net = net_of(text, observed=when == "forward")
        with pytest.raises(CaffeliteError) as caught:
            net.forward_backward()
    assert told in str(caught.value)
    assert str(caught.value).startswith('layer "user" (Python): ')


@pytest.mark.parametrize(
    ("module", "source", "told"),
    [
        ("caffelite_test_absent", None, 'there is no module "caffelite_test_absent"\n'),
        (
            "caffelite_test_absent",
            None,
            "\n  help: looked on Python's path, to which PYTHONPATH adds folders, and in /",
        ),
        ("caffelite_test_bad.py", "", 'a module is named without folder and ending: "caffelite_test_bad"'),
        ("some/where", None, 'there is no module "some/where"'),
        ("caffelite_test_syntax", "class Ten(:\n", "importing caffelite_test_syntax raised SyntaxError"),
        ("caffelite_test_syntax", "class Ten(:\n", "caffelite_test_syntax.py:1: class Ten(:"),
        (
            "caffelite_test_needs",
            "import absent_of_all\n",
            "raised ModuleNotFoundError: No module named 'absent_of_all'",
        ),
        (
            "caffelite_test_needs",
            "import absent_of_all\n",
            "caffelite_test_needs.py:1, in <module>: import absent_of_all",
        ),
        ("caffelite_test_old", "x = 1\nimport caffe\n", "caffelite_test_old imports the original Caffe"),
        ("caffelite_test_old", "x = 1\nimport caffe\n", "write `import caffelite as caffe` in it: "),
        (
            "caffelite_test_fails",
            "1 / 0\n",
            "importing caffelite_test_fails raised ZeroDivisionError: division by zero",
        ),
        ("caffelite_test_empty", "", "\n  help: it has no classes"),
        ("", None, "needs a module to import: module"),
        ("..up", None, "importing ..up raised TypeError"),
    ],
)
def test_a_module_that_does_not_serve(module: str, source: str | None, told: str, path_restored: Path) -> None:
    if source is not None:
        (path_restored / f"{module.removesuffix('.py')}.py").write_text(source)
    path = path_restored / "net.prototxt"
    with pytest.raises(CaffeliteError) as caught:
        built(path, other(module))
    assert told in str(caught.value)
    assert f'{path}:1:1: layer "u" (Python): ' in str(caught.value) or f"{path}:1:" in str(caught.value)


def test_its_text_has_the_name_it_had_at_first_too() -> None:
    user = user_of(net_of(inputs(x=(2,)) + layer("Times", param="3")))
    assert user.param_str_ == user.param_str == "3"


def test_share_in_parallel_has_no_effect() -> None:
    text = (inputs(x=(2,)) + layer("Times")).replace("param_str", "share_in_parallel: true param_str")
    assert "share_in_parallel has no effect" in str(graph_of(text).warnings[0])


def test_a_net_that_may_not_run_code_names_what_it_would_run() -> None:
    with pytest.raises(CaffeliteError) as caught:
        graph_of(CHAIN, allow_python=False)
    first, second = caught.value.faults
    assert first.message == f'would run Python code that the file names: "{user_layers.__name__}.Times"'
    assert "--allow-python" in (second.help or "")


# -- by torch ---------------------------------------------------------------------------------------------------------

GATED = inputs(x=(5, 4), h=(5, 3)) + product("x", "g") + layer("Gate", "x g", "y", "loss_weight: 1", param="2")


@BOTH
def test_a_torch_layer_learns_by_autograd(observed: bool) -> None:
    net = net_of(GATED, observed=observed)
    assert [parameter.shape for parameter in net.params["user"]] == [(3, 4), (3,)]
    fill(net)
    x, (weight, bias) = net.blobs["x"].data, (parameter.data for parameter in net.params["user"])
    g = x @ net.params["ip"][0].data.T
    gate = 1 / (1 + np.exp(-(x @ weight.T + bias)))
    assert float(net.forward_backward()) == pytest.approx(float(2 * (gate * g).sum()), rel=1e-5)
    slope = 2 * g * gate * (1 - gate)
    np.testing.assert_allclose(net.params["user"][0].diff, slope.T @ x, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(net.params["user"][1].diff, slope.sum(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(net.params["ip"][0].diff, (2 * gate).T @ x, rtol=1e-4, atol=1e-6)


def test_its_gradients_against_finite_differences() -> None:
    made, _ = build(GATED.splitlines()[-1].removeprefix("layer {").removesuffix("}"), (5, 4), (5, 3))
    values = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((5, 4), (5, 3), (3, 4), (3,))]
    assert torch.autograd.gradcheck(lambda *given: tuple(made.forward(run_at(), given[:2], given[2:])), values)


def test_first_values_follow_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    one = net_of(GATED, observed=True)
    torch.manual_seed(6)
    same, other = net_of(GATED, observed=True), net_of(GATED, seed=2, observed=True)
    assert torch.equal(torch.random.get_rng_state(), torch.Generator().manual_seed(6).get_state())
    for a, b, c in zip(one.params["user"], same.params["user"], other.params["user"], strict=True):
        assert np.array_equal(a.data, b.data)
        assert not np.array_equal(a.data, c.data)
        assert np.abs(a.data).max() <= 0.5  # torch's Linear begins within ±1/√4


def test_several_tops_and_comparisons() -> None:
    net = net_of(inputs(x=(2, 3)) + layer("Two", "x", "sum positive"), observed=True)
    fill(net)
    net.forward()
    np.testing.assert_allclose(net.blobs["sum"].data, net.blobs["x"].data.sum(1), rtol=1e-6)
    np.testing.assert_array_equal(net.blobs["positive"].data, net.blobs["x"].data > 0)


NORMED = inputs(x=(6, 3)) + layer("Normal", "x", "y") + ABOVE.replace("scale: 3", "power: 2")


def test_buffers_are_blobs_without_a_rate(tmp_path: Path) -> None:
    net = net_of(NORMED)
    weight, bias, mean, variance = net.params["user"]
    assert [blob.lr_mult for blob in net.params["user"]] == [1, 1, 0, 0]
    assert [blob.data.tolist() for blob in (weight, bias, mean, variance)] == [[1] * 3, [0] * 3, [0] * 3, [1] * 3]
    fill(net)
    net.forward_backward()
    x = net.blobs["x"].data
    np.testing.assert_allclose(mean.data, x.mean(0) / 2, rtol=1e-5)
    np.testing.assert_allclose(variance.data, 0.5 + x.var(0, ddof=1) / 2, rtol=1e-5)
    assert not mean.diff.any()
    test = net_of(NORMED, TEST, share=net, observed=True)
    test.blobs["x"].data[...] = x
    test.forward()
    np.testing.assert_allclose(test.blobs["y"].data, (x - mean.data) / np.sqrt(variance.data + 1e-5), rtol=1e-4)
    net.save(str(tmp_path / "a.caffemodel"))
    again = net_of(NORMED, observed=True)
    again.load_weights(str(tmp_path / "a.caffemodel"))
    np.testing.assert_array_equal(again.params["user"][2].data, mean.data)
    forced = net_of("force_backward: true\n" + NORMED, observed=True)
    fill(forced)
    forced.forward_backward()
    np.testing.assert_allclose(forced.params["user"][2].data, x.mean(0) / 2, rtol=1e-5)


def test_a_buffer_may_not_learn() -> None:
    learned = NORMED.replace('type: "Python"', f'type: "Python" {"param { lr_mult: 1 } " * 3}')
    with pytest.raises(CaffeliteError, match=r'lr_mult of "norm.running_mean" must be 0: it is a buffer; got 1'):
        net_of(learned, observed=True)


def test_draws_follow_from_seed_layer_and_position() -> None:
    text = inputs(x=(1, 64)) + layer("Dropped", "x", "y")
    seen = []
    for seed in (1, 1, 2):
        net = net_of(text, seed=seed, observed=True)
        net.blobs["x"].data[...] = 1
        torch.manual_seed(len(seen))
        rows = []
        for _ in range(2):
            net.forward()
            rows.append(net.blobs["y"].data.ravel().tolist())
        seen.append(rows)
    assert seen[0] == seen[1] != seen[2]
    assert seen[0][0] != seen[0][1]
    assert set(seen[0][0]) == {0, 2}
    test = net_of(text, TEST, observed=True)
    test.blobs["x"].data[...] = 1
    test.forward()
    assert (test.blobs["y"].data == 1).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@BOTH
def test_on_a_gpu_users_see_arrays_all_the_same(observed: bool) -> None:
    text = LEARNING.replace("loss_weight: 1", "") + layer("Gate", "x y", "z", name="gate")
    text += layer("Counter", "z", "k", "loss_weight: 1", "count")
    found = []
    for device in ("cpu", "cuda"):
        net = net_of(text, observed=observed, device=torch.device(device))
        for seed in range(2):
            fill(net, seed)
            net.forward_backward()
        found.append([array for blob in net.parameters for array in (blob.data.copy(), blob.diff.copy())])
        assert net.blobs["k"].data.tolist() == [2, 0]
        assert all(parameter.diff.any() for parameter in net.parameters)
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@BOTH
def test_it_may_say_its_shapes_and_change_them(observed: bool) -> None:
    net = net_of(inputs(x=(6, 2)) + product("x", "h", 2) + layer("Chosen", "h", "y") + ABOVE, observed=observed)
    assert net.blobs["y"].shape == (6, 2)
    fill(net)
    net.forward_backward()
    h = net.blobs["x"].data @ net.params["ip"][0].data.T
    np.testing.assert_allclose(net.blobs["z"].data, 3 * h[h[:, 0] > 0], rtol=1e-5)


def test_a_solver_snapshots_and_restores_what_a_torch_layer_learned(tmp_path: Path) -> None:
    net = FITTED.replace('"Input"', '"DummyData"').replace("input_param {", f"dummy_data_param {{ {NOISE * 2}")
    net += layer("Normal", "score", "n") + LOSS.replace('"score"', '"n"')
    path = tmp_path / "solver.prototxt"
    path.write_text(
        f'net_param {{ {net} }} base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" max_iter: 3 random_seed: 3 '
        f'snapshot_prefix: "{tmp_path}/s" solver_mode: CPU'
    )
    trained, resumed = assembly.load_solver(path), assembly.load_solver(path)
    trained.solve()
    resumed.restore(tmp_path / "s_iter_3.solverstate")
    before = assembly.load_solver(path)
    for start, one, other in zip(before.net.parameters, trained.net.parameters, resumed.net.parameters, strict=True):
        assert not np.array_equal(start.data, one.data), one.name
        assert np.array_equal(one.data, other.data), one.name
