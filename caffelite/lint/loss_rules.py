"""Mistakes around losses, and in what nets are used for."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import Fault
from ..graph import Node
from ..proto import TEST
from .rules import net_rule
from .subject import Subject

_RECTIFIERS = frozenset({"ReLU", "ReLU6"})


@net_rule("CL602")
def a_train_net_has_a_loss(net: Subject) -> Iterator[Fault]:
    """Without a loss there are no gradients, and nothing is learned."""
    if net.role != "train" or net.losses or net.graph.message.force_backward:
        return
    if any(net.learned(node) for node in net.nodes):
        message = "the train net has no loss: nothing would be learned"
        help = "add a loss layer, such as SoftmaxWithLoss, or give a top a loss_weight"
        yield Fault(message, net.nodes[-1].places(""), help, severity="warning")


@net_rule("CL603")
def a_loss_that_takes_the_softmax_itself(net: Subject) -> Iterator[Fault]:
    """Softmax of a softmax is nearly flat: the net learns, slowly and badly."""
    for node in net.nodes:
        above = net.above(node)
        if above is not None and node.layer is not None and above.type == node.layer.activation:
            why = f"{node.type} takes the {above.type.lower()} itself"
            message = f'reads "{node.layer.bottom_names[0]}" of layer "{above.name}" ({above.type}): {why}'
            help = f'let it read what "{above.name}" reads'
            yield node.fault(message, "bottom[0]", help, severity="warning")


@net_rule("CL604")
def no_rectifier_before_a_loss(net: Subject) -> Iterator[Fault]:
    """Scores below 0 are cut off, and where all are, no gradient flows."""
    for node in net.nodes:
        above = net.above(node) if node.layer is not None and node.layer.activation else None
        if above is not None and above.type in _RECTIFIERS and not above.param.relu_param.negative_slope:
            message = f'its scores come from layer "{above.name}" ({above.type}), which cuts off all below 0'
            yield node.fault(message, "bottom[0]", f'take "{above.name}" out', severity="warning")


@net_rule("CL605")
def dropout_does_nothing_in_a_deployed_net(net: Subject) -> Iterator[Fault]:
    """In TEST a Dropout layer hands its bottom on."""
    if not net.deployed or net.graph.phase != TEST:
        return
    dropouts = [node for node in net.nodes if node.type == "Dropout"]
    if dropouts:
        more = f" (nor do {len(dropouts) - 1} more)" if len(dropouts) > 1 else ""
        message = f"does nothing when the net is used{more}"
        help = "harmless; leave such layers out of a deploy net if you like it short"
        yield dropouts[0].fault(message, "", help, severity="note")


@net_rule("CL610")
def tests_use_the_statistics_that_were_collected(net: Subject) -> Iterator[Fault]:
    """In TEST BatchNorm is to use the statistics it collected, not those of the batch."""
    classifies = net.deployed and any(node.type == "Softmax" for node in net.nodes)
    if net.graph.phase != TEST or not (net.role == "test" or classifies or net.says(TEST)):
        return
    wrong = [node for node in norms(net) if not node.param.batch_norm_param.use_global_stats]
    if wrong:
        message = f"takes the statistics of each batch in TEST, not those it collected{and_others(wrong)}"
        help = "leave use_global_stats out: then it is the batch's in TRAIN, and those collected in TEST"
        yield wrong[0].fault(message, USE_GLOBAL_STATS, help, severity="warning")


USE_GLOBAL_STATS = "batch_norm_param.use_global_stats"


def norms(net: Subject) -> list[Node]:
    """The BatchNorm layers that say which statistics they use."""
    found = (node for node in net.nodes if node.type == "BatchNorm")
    return [node for node in found if node.param.batch_norm_param.HasField("use_global_stats")]


def and_others(nodes: list[Node]) -> str:
    """ " (and so do 3 more layers)" """
    more = len(nodes) - 1
    return "" if not more else " (and so does one more layer)" if more == 1 else f" (and so do {more} more layers)"
