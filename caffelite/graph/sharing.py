"""Which weights share memory, and with what rate and decay.  Source: `Net::AppendParam`, `src/caffe/net.cpp`."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

from ..errors import Fault
from ..proto import ParamSpec
from .model import Graph, Node, Weight


def _shape_fault(node: Node, spec: Any, weight: Weight, owner: Weight, owner_name: str) -> Fault | None:
    where, name = f"param[{weight.slot}]", spec.name
    if spec.share_mode == ParamSpec.PERMISSIVE:
        if prod(weight.shape) == prod(owner.shape):
            return None
        return node.fault(
            f'shares "{name}" with layer "{owner_name}", which has {prod(owner.shape)} elements {owner.shape}; '
            f"here {prod(weight.shape)} are needed {weight.shape}",
            where,
            code="CL212",
        )
    if weight.shape == owner.shape:
        return None
    return node.fault(
        f'shares "{name}" with layer "{owner_name}", which has shape {owner.shape}; here it is {weight.shape}',
        where,
        "share_mode: PERMISSIVE shares weights of equal size and different shape"
        if prod(weight.shape) == prod(owner.shape)
        else None,
        code="CL212",
    )


def share(graph: Graph) -> tuple[Graph, list[Fault]]:
    """Resolve `param { name lr_mult decay_mult share_mode }`: owners, multipliers, and whether a gradient is wanted.

    The first layer that names a weight owns it; a later one may set a multiplier the owner left out, but not another
    value of one that is set.
    """
    weights, faults = list(graph.weights), list[Fault]()
    named: dict[str, int] = {}
    set_by_owner: dict[tuple[int, str], bool] = {}
    for node in graph.nodes:
        specs = list(node.param.param)
        if node.layer is not None and node.writes and len(specs) > len(node.weights):
            known = all(index < 0 or graph.values[index].shape is not None for index in node.reads)
            if known:
                message = f"has {len(specs)} param entries for {len(node.weights)} weights"
                faults.append(node.fault(message, f"param[{len(node.weights)}]", code="CL211"))
        for index in node.weights:
            weight = weights[index]
            spec = specs[weight.slot] if weight.slot < len(specs) else ParamSpec()
            owner_index = named.setdefault(spec.name, index) if spec.name else index
            wanted = spec.param_propagate_down and (spec.lr_mult != 0 or bool(graph.message.force_backward))
            weights[index] = replace(weight, share=spec.name, owner=owner_index, wanted=wanted)
            if owner_index != index:
                owner = weights[owner_index]
                fault = _shape_fault(node, spec, weight, owner, graph.nodes[owner.node].name)
                faults += [fault] if fault else []
            for field in ("lr_mult", "decay_mult"):
                if owner_index == index or spec.HasField(field):
                    owner = weights[owner_index]
                    value = getattr(spec, field)
                    if set_by_owner.get((owner_index, field)) and getattr(owner, field) != value:
                        faults.append(
                            node.fault(
                                f'{field} of shared "{spec.name}" is {value:g} here, '
                                f'but {getattr(owner, field):g} in layer "{graph.nodes[owner.node].name}"',
                                f"param[{weight.slot}].{field}",
                                f"give {field} in one of the layers only, or the same in all",
                                code="CL213",
                            )
                        )
                    else:
                        weights[owner_index] = replace(owner, **{field: value})
                        set_by_owner[owner_index, field] = spec.HasField(field)
    for index, weight in enumerate(weights):
        owner = weights[weight.owner]
        weights[index] = replace(weight, lr_mult=owner.lr_mult, decay_mult=owner.decay_mult)
    return replace(graph, weights=tuple(weights), warnings=(*graph.warnings, *_namesakes(graph))), faults


def _namesakes(graph: Graph) -> list[Fault]:
    """Warnings about layers whose weights have the name of another's: weight files find layers by their names."""
    first, warnings = dict[str, Node](), list[Fault]()
    for node in graph.nodes:
        if node.weights and first.setdefault(node.name, node) is not node:
            fault = node.fault(
                f'has weights, and so has another layer called "{node.name}"',
                "name",
                "give it a name of its own: weight files tell layers apart by their names",
                code="CL214",
                severity="warning",
            )
            warnings.append(fault)
    return warnings
