"""Random small nets: both plans, and plain torch in double precision, give one loss and the same gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffelite.net.module import NetModule

from ..nets import net_of

Shape = tuple[int, ...]
BATCH = 3
POINTWISE = {
    "ReLU": lambda x: (x > 0).to(x.dtype),
    "Sigmoid": lambda y: y * (1 - y),
    "TanH": lambda y: 1 - y * y,
}
"""Slopes, from the value that the original's backward finds in the blob it works on in place."""


class Rereading(torch.autograd.Function):
    """An in-place layer of the original: backward looks at what the blob holds by then."""

    @staticmethod
    def forward(ctx, x, kind, last):
        ctx.slope, ctx.last = POINTWISE[kind], last
        return {"ReLU": torch.relu, "Sigmoid": torch.sigmoid, "TanH": torch.tanh}[kind](x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.slope(ctx.last().detach()), None, None


@dataclass
class Draft:
    """A net as it is drawn: its text, and the same computation as a list of functions.

    Attributes:
        shapes: of the blobs that can be read.
        settled: blobs that may not be worked on in place any more: somebody reads them, or they are a loss, or the
            backward of the layer that made them reads them (in Caffe, working in place would disturb it).
        learned: whether a layer's weights get a gradient; owners: by layer the layer whose weights it uses.
    """

    text: str
    shapes: dict[str, Shape]
    settled: set[str] = field(default_factory=set)
    program: list[Callable[[dict[str, Any], dict[str, list[torch.Tensor]]], Any]] = field(default_factory=list)
    learned: dict[str, bool] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)

    def add(self, kind, bottoms, top, shape, compute, more="", weight=0.0, stop=()):
        """One layer: its text, and `compute` of its bottoms' tensors."""
        name = f"l{len(self.program)}"
        bottom = " ".join(f'bottom: "{blob}"' for blob in bottoms)
        weighted = f"loss_weight: {weight}" if weight else ""
        down = " ".join(f"propagate_down: {str(blob not in stop).lower()}" for blob in bottoms) if stop else ""
        self.text += f'layer {{ name: "{name}" type: "{kind}" {bottom} top: "{top}" {more} {weighted} {down} }}\n'
        in_place = top in bottoms
        self.settled.update(set(bottoms) - {top})
        if weight or (kind in ("Sigmoid", "TanH") and not in_place):
            self.settled.add(top)
        self.shapes[top] = shape

        def run(env, weights):
            read = [env[blob].detach() if blob in stop else env[blob] for blob in bottoms]
            own = weights.get(self.owners.get(name, name), [])
            env[top] = compute(read, own, lambda: env[top])
            return weight * env[top].sum() if weight else 0.0

        self.program.append(run)
        return name

    def evaluate(self, inputs, weights):
        """The loss and the gradient of each weight and input that gets one, by plain autograd."""
        given = {blob: torch.tensor(values, dtype=torch.float64, requires_grad=True) for blob, values in inputs.items()}
        env = dict(given)
        leaves = {
            layer: [torch.tensor(w, dtype=torch.float64, requires_grad=self.learned[layer]) for w in row]
            for layer, row in weights.items()
        }
        total = sum((run(env, leaves) for run in self.program), torch.zeros((), dtype=torch.float64))
        if total.requires_grad:
            total.backward()
        gradients = {layer: [leaf.grad for leaf in row] for layer, row in leaves.items()}
        return float(total.detach()), gradients, {blob: leaf.grad for blob, leaf in given.items()}


def images(draft):
    return [blob for blob, shape in draft.shapes.items() if len(shape) == 4]


def flats(draft):
    return [blob for blob, shape in draft.shapes.items() if len(shape) == 2 and blob != "label"]


def loss_weight(draw):
    return draw(st.sampled_from([0.0, 0.0, 0.5, -1.5]))


def inner_product(draw, draft):
    blob = draw(st.sampled_from(flats(draft) + images(draft)))
    size, count = draw(st.integers(2, 4)), int(np.prod(draft.shapes[blob][1:]))
    frozen, stop = draw(st.booleans()) and draw(st.booleans()), draw(st.integers(0, 5)) == 0
    share = f"{count}to{size}{'frozen' if frozen else ''}" if draw(st.booleans()) else ""
    spec = " ".join(
        f"param {{ {f'name: {chr(34)}{share}{slot}{chr(34)}' if share else ''} {'lr_mult: 0' if frozen else ''} }}"
        for slot in "wb"
    )
    more = f'{spec} inner_product_param {{ num_output: {size} weight_filler {{ type: "xavier" }} }}'
    name = draft.add(
        "InnerProduct", [blob], f"b{len(draft.program)}", (BATCH, size),
        lambda x, w, _: F.linear(x[0].flatten(1), *w), more, loss_weight(draw), {blob} if stop else (),
    )  # fmt: skip
    owner = draft.owners.setdefault(share, name) if share else name
    draft.owners[name], draft.learned[name] = owner, not frozen


def convolution(draw, draft):
    blob = draw(st.sampled_from(images(draft)))
    shape, size = draft.shapes[blob], draw(st.integers(1, 3))
    name = draft.add(
        "Convolution", [blob], f"b{len(draft.program)}", (BATCH, size, *shape[2:]),
        lambda x, w, _: F.conv2d(x[0], *w, padding=1),
        f'convolution_param {{ num_output: {size} kernel_size: 3 pad: 1 weight_filler {{ type: "xavier" }} }}',
        loss_weight(draw),
    )  # fmt: skip
    draft.owners[name], draft.learned[name] = name, True


def pooling(draw, draft):
    blob, kind = draw(st.sampled_from(images(draft))), draw(st.sampled_from(["MAX", "AVE"]))
    count, channels, height, width = draft.shapes[blob]
    window = min(2, height)
    pool = F.max_pool2d if kind == "MAX" else F.avg_pool2d
    draft.add(
        "Pooling",
        [blob],
        f"b{len(draft.program)}",
        (count, channels, -(-height // window), -(-width // window)),
        lambda x, w, _: pool(x[0], window, window, ceil_mode=True),
        f"pooling_param {{ pool: {kind} kernel_size: {window} stride: {window} }}",
    )


def pointwise(draw, draft):
    blob, kind = draw(st.sampled_from(flats(draft) + images(draft))), draw(st.sampled_from(sorted(POINTWISE)))
    in_place = blob not in draft.settled and draw(st.booleans())
    top = blob if in_place else f"b{len(draft.program)}"
    draft.add(
        kind, [blob], top, draft.shapes[blob],
        lambda x, w, last: Rereading.apply(x[0], kind, last), weight=loss_weight(draw),
    )  # fmt: skip


def power(draw, draft):
    blob = draw(st.sampled_from(flats(draft) + images(draft)))
    scale, shift = draw(st.sampled_from([1.0, -0.5])), draw(st.sampled_from([0.0, 0.25]))
    top = blob if blob not in draft.settled and draw(st.booleans()) else f"b{len(draft.program)}"
    more = f"power_param {{ scale: {scale} shift: {shift} }}"
    draft.add("Power", [blob], top, draft.shapes[blob], lambda x, w, _: scale * x[0] + shift, more)


def eltwise(draw, draft):
    one = draw(st.sampled_from(flats(draft) + images(draft)))
    alike = [blob for blob, shape in draft.shapes.items() if shape == draft.shapes[one] and blob != "label"]
    two, kind = draw(st.sampled_from(alike)), draw(st.sampled_from(["SUM", "PROD"]))
    draft.add(
        "Eltwise", [one, two], f"b{len(draft.program)}", draft.shapes[one],
        lambda x, w, _: x[0] + x[1] if kind == "SUM" else x[0] * x[1],
        f"eltwise_param {{ operation: {kind} }}", loss_weight(draw),
    )  # fmt: skip


def concat(draw, draft):
    one = draw(st.sampled_from(flats(draft) + images(draft)))
    shape = draft.shapes[one]
    alike = [
        blob
        for blob, other in draft.shapes.items()
        if blob != "label" and (*other[:1], *other[2:]) == (BATCH, *shape[2:])
    ]
    two = draw(st.sampled_from(alike))
    size = shape[1] + draft.shapes[two][1]
    draft.add(
        "Concat", [one, two], f"b{len(draft.program)}", (BATCH, size, *shape[2:]),
        lambda x, w, _: torch.cat(x, 1), weight=loss_weight(draw),
    )  # fmt: skip


def flatten(draw, draft):
    blob = draw(st.sampled_from(images(draft)))
    size = int(np.prod(draft.shapes[blob][1:]))
    draft.add("Flatten", [blob], f"b{len(draft.program)}", (BATCH, size), lambda x, w, _: x[0].flatten(1))


def softmax(draw, draft):
    blob = draw(st.sampled_from(flats(draft)))
    draft.add("Softmax", [blob], f"b{len(draft.program)}", draft.shapes[blob], lambda x, w, _: torch.softmax(x[0], 1))
    draft.settled.add(f"b{len(draft.program) - 1}")


def _loss(scores, labels):
    """The cross entropy, which the original bounds by that of the smallest float32, but not its gradient."""
    each = F.cross_entropy(scores, labels, reduction="none")
    bounded = each.detach().clamp(max=-float(np.log(np.finfo(np.float32).tiny)))
    return (each + (bounded - each.detach())).mean()


def classify(draw, draft):
    blob, weight = draw(st.sampled_from(flats(draft))), draw(st.sampled_from([1.0, 0.3]))
    draft.add(
        "SoftmaxWithLoss", [blob, "label"], f"loss{len(draft.program)}", (),
        lambda x, w, _: _loss(x[0], x[1].long()), weight=weight,
    )  # fmt: skip


def regress(draw, draft):
    one = draw(st.sampled_from(flats(draft)))
    alike = [blob for blob in flats(draft) if draft.shapes[blob] == draft.shapes[one]]
    two, weight = draw(st.sampled_from(alike)), draw(st.sampled_from([1.0, 0.3]))
    draft.add(
        "EuclideanLoss", [one, two], f"loss{len(draft.program)}", (),
        lambda x, w, _: (x[0] - x[1]).square().sum() / 2 / BATCH, weight=weight,
    )  # fmt: skip


LAYERS = [
    inner_product,
    inner_product,
    convolution,
    pooling,
    pointwise,
    pointwise,
    power,
    eltwise,
    concat,
    flatten,
    softmax,
]
INPUTS: dict[str, Shape] = {"x": (BATCH, 4), "image": (BATCH, 2, 5, 5), "label": (BATCH,)}
HEAD = (
    'layer { name: "in" type: "Input" top: "x" top: "image" top: "label" input_param { '
    + " ".join("shape { " + " ".join(f"dim: {size}" for size in shape) + " }" for shape in INPUTS.values())
    + " } }\n"
)


@st.composite
def drafts(draw):
    draft = Draft(HEAD, {blob: shape for blob, shape in INPUTS.items() if blob != "label"})
    draft.settled = {"label"}
    inner_product(draw, draft)
    for _ in range(draw(st.integers(1, 8))):
        draw(st.sampled_from(LAYERS))(draw, draft)
    for _ in range(draw(st.integers(1, 2))):
        draw(st.sampled_from([classify, classify, regress]))(draw, draft)
    return draft


def made(draft, inputs, observed):
    net = net_of(draft.text, observed=observed)
    for blob, values in inputs.items():
        net.blobs[blob].data[...] = values
    return net


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(draft=drafts(), seed=st.integers(0, 10_000))
def test_both_plans_and_the_module_agree_with_plain_autograd(draft, seed):
    generator = np.random.default_rng(seed)
    inputs = {blob: generator.standard_normal(shape).astype(np.float32) for blob, shape in INPUTS.items()}
    inputs["label"] = generator.integers(0, 2, BATCH).astype(np.float32)
    fast, observed, called = made(draft, inputs, False), made(draft, inputs, True), made(draft, inputs, False)
    weights = {}
    for layer, row in fast.params.items():
        if draft.owners[layer] == layer:
            weights[layer] = [generator.standard_normal(blob.shape).astype(np.float32) / 2 for blob in row]
            for net in (fast, observed, called):
                for blob, values in zip(net.params[layer], weights[layer], strict=True):
                    blob.data[...] = values
    wanted, gradients, of_inputs = draft.evaluate(inputs, weights)
    tensors = {blob: torch.from_numpy(values).requires_grad_() for blob, values in inputs.items()}
    loss = NetModule(called).weighted_loss(**tensors)
    np.testing.assert_allclose(float(loss.detach()), wanted, rtol=1e-4, atol=1e-4)
    if loss.requires_grad:
        loss.backward()
    for net in (fast, observed):
        np.testing.assert_allclose(float(net.forward_backward()), wanted, rtol=1e-4, atol=1e-4)
    for layer, row in gradients.items():
        for slot, gradient in enumerate(row):
            expected = 0.0 if gradient is None else gradient.numpy()
            scale = 1e-5 + 1e-4 * float(np.abs(expected).max())
            for net in (fast, observed, called):
                np.testing.assert_allclose(net.params[layer][slot].diff, expected, rtol=1e-3, atol=scale)
    assert tensors["label"].grad is None
    for blob, expected in of_inputs.items():
        if expected is not None:
            scale = 1e-5 + 1e-4 * float(expected.abs().max())
            np.testing.assert_allclose(tensors[blob].grad, expected, rtol=1e-3, atol=scale)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(draft=drafts(), seed=st.integers(0, 10_000))
def test_passes_without_python_agree_to_the_bit(draft, seed):
    nets = [net_of(draft.text), net_of(draft.text)]
    nets[1].fast_plan.captured = None
    assert nets[0].fast_plan.captured is not None
    for number in range(5):
        for net in nets:
            generator = np.random.default_rng(seed + number)
            for blob, shape in INPUTS.items():
                net.blobs[blob].data[...] = generator.standard_normal(shape)
            net.blobs["label"].data[...] = generator.integers(0, 2, BATCH)
            net.clear_gradients()
        losses = [float(net.forward_backward()) for net in nets]
        np.testing.assert_equal(*losses)
        np.testing.assert_equal(*([parameter.diff for parameter in net.parameters] for net in nets))
        np.testing.assert_equal(*(net.output_values() for net in nets))
    assert nets[0].fast_plan.captured.settled
