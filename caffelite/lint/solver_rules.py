"""Mistakes that a solver and its nets make together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import Fault, did_you_mean
from ..graph import Node
from .loss_rules import USE_GLOBAL_STATS, and_others, norms
from .rules import solver_rule
from .subject import WITH_BIAS, SolverSubject, Subject

_NORMALISING = frozenset({"BatchNorm", "BN", "MVN", "Normalize"})
_MOMENTUM = frozenset({"SGD", "Nesterov"})
_FAST = 1.0
"""Steps of SGD add up to base_lr / (1 − momentum): beyond this, nets without normalisation diverge."""


@solver_rule("CL606")
def a_test_takes_every_record_once(solver: SolverSubject) -> Iterator[Fault]:
    """test_iter × batch_size is to be the size of the test set."""
    for test in solver.tests:
        for node, layer in test.net.fed():
            records, batch = layer.records, layer.batch_size
            taken = test.batches * batch
            if not records or not batch or taken == records or 0 <= taken - records < batch:
                continue
            message = (
                f'test_iter: {test.batches} takes {taken:,} records of layer "{node.name}" (batch_size: {batch}), '
                f"and the test set has {records:,}"
            )
            whole = -(-records // batch)
            yield solver.warning(message, f"test_iter[{test.index}]", f"test_iter: {whole}")


@solver_rule("CL609")
def a_test_net_has_the_train_nets_weights(solver: SolverSubject) -> Iterator[Fault]:
    """Test nets get the weights of the train net's layers of the same name; what has another name is never trained."""
    if solver.train is None:
        return
    trained = {node.name for node in solver.train.nodes if solver.train.weight_count(node)}
    shared = {spec.name for node in solver.train.nodes for spec in node.param.param}
    for test in solver.tests:
        for node in test.net.nodes:
            names = [spec.name for spec in node.param.param if spec.name]
            if test.net.weight_count(node) and node.name not in trained and not (names and shared.issuperset(names)):
                message = "has weights that nobody trains: the train net has no layer of this name"
                help = did_you_mean(node.name, trained) or "give it the name of the train net's layer"
                yield node.fault(message, "name", help, severity="warning")


@solver_rule("CL610")
def training_collects_statistics(solver: SolverSubject) -> Iterator[Fault]:
    """In TRAIN, from scratch, BatchNorm has no statistics but the batch's."""
    train = solver.train
    if train is None or solver.settings.weights:
        return
    given = norms(train)
    wrong = [node for node in given if node.param.batch_norm_param.use_global_stats]
    if wrong and len(wrong) == len(given) and all(_begins_anew(train, node) for node in wrong):
        message = f"takes statistics in TRAIN that nobody has collected{and_others(wrong)}"
        help = "leave use_global_stats out, unless --weights brings statistics along"
        yield wrong[0].fault(message, USE_GLOBAL_STATS, help, severity="warning")


def _begins_anew(net: Subject, node: Node) -> bool:
    """Whether the layer above begins from random weights and learns: then its statistics cannot be known."""
    above = net.above(node)
    if above is None or above.type not in WITH_BIAS or not net.learned(above):
        return False
    settings = getattr(above.param, WITH_BIAS[above.type])
    return bool(settings.HasField("weight_filler") and settings.weight_filler.type != "constant")


@solver_rule("CL611")
def the_rate_is_not_beyond_reason(solver: SolverSubject) -> Iterator[Fault]:
    """Without normalisation, a rate that high drives scores apart until the loss is 87.3365 = −ln(FLT_MIN)."""
    settings, train = solver.settings, solver.train
    if train is None or settings.clip_gradients > 0 or settings.type not in _MOMENTUM or settings.rampup_interval:
        return
    if any(getattr(solver.message, field, False) for field in ("larc", "local_lr_auto")):
        return  # rates of layers follow from their weights
    deep = [node for node in train.nodes if train.learned(node)]
    if len(deep) < 2 or not any(node.type == "SoftmaxWithLoss" for node in train.losses):
        return
    if any(node.type in _NORMALISING for node in train.nodes):
        return
    slowest = min(node.param.param[0].lr_mult if node.param.param else 1.0 for node in deep)
    if settings.base_lr * slowest > _FAST * (1 - settings.momentum) * 1.001:
        message = (
            f"base_lr {settings.base_lr:g} with momentum {settings.momentum:g} is high for a net without "
            "normalisation: the loss may go to 87.3365 (a probability of 0) and stay there"
        )
        yield solver.warning(message, "base_lr", "try a tenth of it, or put BatchNorm and Scale behind the layers")


@solver_rule("CL620")
def tests_see_data_scaled_as_in_training(solver: SolverSubject) -> Iterator[Fault]:
    """What the net is tested on must be scaled and have its mean taken off as what it was trained on."""
    if solver.train is None:
        return
    scaled = _transforms(solver.train)
    for test in solver.tests:
        for blob, (node, param) in _transforms(test.net).items():
            if blob not in scaled:
                continue
            _, other = scaled[blob]
            if param.scale != other.scale:
                message = f"scale is {param.scale:g} in the test net, and {other.scale:g} in the train net"
                yield node.fault(message, "transform_param.scale", "scale both alike", severity="warning")
            if _has_mean(param) != _has_mean(other):
                which = "test" if _has_mean(param) else "train"
                message = f"a mean is taken off the images of the {which} net only"
                help = "give mean_file or mean_value in both"
                yield node.fault(message, "transform_param", help, severity="warning")


def _transforms(net: Subject) -> dict[str, tuple[Node, Any]]:
    return {
        node.tops[0]: (node, node.param.transform_param)
        for node in net.sources
        if node.type in ("Data", "ImageData", "WindowData") and node.tops
    }


def _has_mean(param: Any) -> bool:
    return bool(param.HasField("mean_file") or len(param.mean_value))
