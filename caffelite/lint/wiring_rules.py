"""What is wired in a way that is hardly meant, and layers that do nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import Fault
from ..graph import Node
from .rules import net_rule
from .subject import WITH_BIAS, Subject

_MAKES_FEATURES = frozenset(
    {
        "BatchNorm", "Bias", "BNLL", "Concat", "Convolution", "Deconvolution", "Dropout", "ELU", "Eltwise", "Embed",
        "InnerProduct", "LRN", "MVN", "PReLU", "Pooling", "ReLU", "Scale", "Sigmoid", "TanH",
    }
)  # fmt: skip


@net_rule("CL612")
def the_bias_has_a_param_too(net: Subject) -> Iterator[Fault]:
    """A layer with one `param` says nothing about its bias: that learns with lr_mult 1 and decays."""
    if not net.trains:
        return
    layers = [node for node in net.nodes if node.type in WITH_BIAS and net.weight_count(node) == 2]
    both = [node for node in layers if len(node.param.param) == 2 and _is_usual(node)]
    for node in layers:
        specs = node.param.param
        if len(specs) != 1:
            continue
        if specs[0].lr_mult == 0 and specs[0].HasField("lr_mult"):
            message = "its weights are frozen (lr_mult: 0), but its bias learns: there is no second param"
            help = "add param { lr_mult: 0 } for the bias, or bias_term: false"
            yield node.fault(message, "param[0]", help, severity="warning")
        elif len(both) >= 2 and 4 * len(both) >= 3 * (len(layers) - 1):
            example = both[0].param.param[1]
            message = f'has no param for its bias, which layer "{both[0].name}" and others like it have'
            help = f"add param {{ lr_mult: {example.lr_mult:g} decay_mult: {example.decay_mult:g} }} behind the first"
            yield node.fault(message, "param[0]", help, severity="warning")


def _is_usual(node: Node) -> bool:
    """Whether the bias learns twice as fast, or does not decay: as one writes it on purpose."""
    weight, bias = node.param.param
    return bool(weight.lr_mult and (bias.lr_mult == 2 * weight.lr_mult or (bias.decay_mult == 0 != weight.decay_mult)))


@net_rule("CL615")
def features_are_read(net: Subject) -> Iterator[Fault]:
    """What a layer makes and nobody reads costs time and learns nothing."""
    if not net.trains:
        return
    for node in net.nodes:
        if node.type not in _MAKES_FEATURES or any(node.loss_weights) or node in net.losses:
            continue
        for position, value in enumerate(node.writes[:1]):
            if not net.readers.get(value):
                message = f'nobody reads its top "{node.tops[position]}", and it is no loss'
                help = 'read it, take the layer out, or say that it is meant with a layer { type: "Silence" }'
                yield node.fault(message, f"top[{position}]", help, severity="warning")


@net_rule("CL617")
def nobody_overwrites_what_a_backward_reads(net: Subject) -> Iterator[Fault]:
    """Sigmoid, TanH and others find their gradient from their top: it must still be there."""
    if not net.trains:
        return
    for node in net.nodes:
        if node.layer is None or node.layer.rereads != "top" or node.name not in net.backward:
            continue
        for reader, position in net.readers.get(node.writes[0], []):
            blob = node.tops[0]
            if reader.type == "ReLU":  # where it changes a value, no gradient comes back
                continue
            if reader.tops[position : position + 1] == (blob,) and reader.bottoms[position] == blob:
                message = (
                    f'changes "{blob}" in place, from which layer "{node.name}" ({node.type}) finds its gradient: '
                    "that will be wrong"
                )
                yield reader.fault(message, f"top[{position}]", "give the top another name", severity="warning")


@net_rule("CL618")
def a_layer_does_something(net: Subject) -> Iterator[Fault]:
    """A layer that hands its bottom on as it is."""
    for node in net.nodes:
        why = _why_without_effect(net, node) if node.layer is not None else None
        if why is not None:
            yield node.fault(f"changes nothing: {why[0]}", why[1], "take it out", severity="warning")


def _why_without_effect(net: Subject, node: Node) -> tuple[str, str] | None:
    param, kind = node.param, node.type
    if kind == "ReLU":
        above = net.above(node)
        if param.relu_param.negative_slope == 1:
            return "negative_slope is 1", "relu_param.negative_slope"
        rectified = above is not None and above.type == "ReLU" and not above.param.relu_param.negative_slope
        if rectified and above is not None:
            return f'layer "{above.name}" has cut off all below 0 before', "bottom[0]"
    elif kind == "Dropout" and net.training and param.dropout_param.dropout_ratio == 0:
        return "dropout_ratio is 0", "dropout_param.dropout_ratio"
    elif kind == "Pooling":
        settings = param.pooling_param
        plain = not (settings.pad or settings.stride_h or settings.stride_w or settings.global_pooling)
        if plain and settings.kernel_size == 1 and settings.stride <= 1:
            return "kernel_size is 1, and so is stride", "pooling_param.kernel_size"
    return None
