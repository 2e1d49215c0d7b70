"""The recorded cases of the original, and both plans of a net run on one.

`tests/golden` carries every case of the kinds `layers`, `nets`, `memory_data`, `net_error`, `reshape`, `weights`,
`filter`, `filler` and `solver`, with their entries in `index.json`; more may lie in the folder `conftest.ALL`.

Arrays are called `in/<blob>`, `param/<layer>/<i>`, `out/<blob>`, `topdiff/<blob>` where the backward starts, and
`bottomdiff/<blob>` and `paramdiff/<layer>/<i>` for what it gives; of the second forward `in@1/<blob>` and so on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import torch

from caffelite import assembly
from caffelite.graph import state_of
from caffelite.net import Net
from caffelite.net.module import NetModule
from caffelite.proto import TEST, TRAIN, NetParameter

from .conftest import ALL, CARRIED

Arrays = dict[str, np.ndarray]
KINDS = ("layers", "nets", "memory_data", "reshape")
"""Kinds of cases that are a net and what it computes."""


@dataclass(frozen=True)
class Case:
    """One recorded case: its index entry, and the folder it lies in."""

    entry: dict[str, Any]
    folder: Path

    def __str__(self) -> str:
        return self.entry["id"].removeprefix("layers/")

    def file(self, key: str) -> Path:
        return self.folder / Path(self.entry[key]).name

    @property
    def differentiated(self) -> bool:
        """Whether gradients were asked for: without a loss or `force_backward` the recorded ones are zeros that nobody
        computed."""
        asked = self.entry.get("loss_weights") or "force_backward: true" in self.file("prototxt").read_text()
        return bool(self.entry.get("backward") and asked)

    def arrays(self) -> Arrays:
        with np.load(self.file("npz")) as stored:
            return dict(stored)


def indexed(root: Path) -> dict[str, Case]:
    """The cases that the index of a folder names, by id; none where there is no index."""
    index = root / "index.json"
    entries = json.loads(index.read_text())["cases"] if index.exists() else []
    return {entry["id"]: Case(entry, root / entry["cwd"]) for entry in entries}


def cases(*kinds: str) -> list[Case]:
    """The cases of these kinds: those carried, and what else is at hand."""
    found = indexed(CARRIED) | indexed(ALL)
    return [found[name] for name in sorted(found) if found[name].entry["kind"] in kinds]


def types_of_the_original() -> set[str]:
    """Every layer type of the original, as its message about an unknown one lists them."""
    (message,) = indexed(CARRIED)["net_errors/unknown_type"].entry["caffe_message"]
    return set(message.split("known types: ")[1].rstrip(")").split(", "))


@contextmanager
def placed(case: Case) -> Iterator[Path]:
    """The prototxt of a case, its paths right from the working directory, which is a scratch folder if it writes."""
    path = case.file("prototxt")
    if "HDF5Output" not in case.entry["layer_types"]:
        with chdir(path.parent):
            yield path
        return
    with TemporaryDirectory() as scratch, chdir(scratch):
        yield Path(shutil.copy(path, scratch))


def close(name: str, got: Any, want: Any, tol: dict[str, float]) -> float:
    """Assert equal shapes and, within tolerance, values; returns the worst relative error.

    The tolerance is relative to each element, and, for cancellation, to a hundredth of the largest one.
    """
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape, f"{name}: shape {got.shape}, recorded {want.shape}"
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite], err_msg=name)
    got, want = got[finite], want[finite]
    magnitude = np.maximum(np.abs(want), 0.01 * np.abs(want).max(initial=0))
    allowed, error = tol["atol"] + tol["rtol"] * magnitude, np.abs(got - want)
    assert (error <= allowed).all(), f"{name}: off by up to {error.max()} at {got[np.argmax(error - allowed)]}"
    return float((error / (magnitude + 1e-30)).max(initial=0))


# -- the two plans ---------------------------------------------------------------------------------------------------


class Run:
    """A net made for a case, and the arrays it gives, by their names in the recording."""

    def __init__(self, case: Case, arrays: Arrays, message: Any, *, observed: bool, device: str = "cpu") -> None:
        self.case, self.arrays, self.found = case, arrays, {}
        phase = TEST if case.entry["phase"] == "TEST" else TRAIN
        level, stages = case.entry.get("level"), case.entry.get("stages") or ()
        graph = assembly.build_graph(assembly.NetFile(message), state_of(message, phase, level, stages))
        self.net = Net(graph, torch.device(device), seed=1, observed=observed)
        for layer, slot, values in self.parameters("param"):
            self.net.params[layer][slot].data[...] = values
        if "mem/data" in arrays:
            graph.nodes[0].layer.set_arrays(arrays["mem/data"], arrays["mem/label"])

    def parameters(self, head: str) -> Iterator[tuple[str, int, np.ndarray]]:
        """What is recorded of parameters: layer, slot, values."""
        for key, values in self.arrays.items():
            if key.startswith(f"{head}/"):
                layer, slot = key[len(head) + 1 :].rsplit("/", 1)
                yield layer, int(slot), values

    def feed(self, head: str, sources: dict[str, str] | None = None) -> None:
        """Put recorded arrays into the blobs of the same name, or into those that `sources` names."""
        for key, values in self.arrays.items():
            blob = key[len(head) + 1 :]
            if not key.startswith(f"{head}/") or (sources is not None and blob not in sources):
                continue
            target = blob if sources is None else sources[blob]
            if target in self.net.blobs:
                self.net.blobs[target].reshape(*values.shape)
                self.net.blobs[target].data[...] = values

    def keep_outputs(self, suffix: str, loss: Any, blobs: Any) -> None:
        self.found[f"loss{suffix}"] = loss.cpu().numpy()
        for blob in blobs:
            self.found[f"out{suffix}/{blob}"] = self.net.blobs[blob].data.copy()
        for layer, slot, _ in self.parameters(f"param_after{suffix}"):
            self.found[f"param_after{suffix}/{layer}/{slot}"] = self.net.params[layer][slot].data.copy()

    def keep_gradients(self, suffix: str) -> None:
        for layer, slot, _ in self.parameters(f"paramdiff{suffix}"):
            self.found[f"paramdiff{suffix}/{layer}/{slot}"] = self.net.params[layer][slot].diff.copy()

    def close(self, folder: Path) -> None:
        """Close the net and keep what it wrote to an HDF5 file."""
        self.net.close()
        for file in folder.glob("*.out.h5") if "HDF5Output" in self.case.entry["layer_types"] else ():
            with h5py.File(file) as written:
                self.found |= {f"file/{name}": written[name][...] for name in written}


def steps(case: Case) -> Iterator[tuple[str, str | None]]:
    """For each forward the suffix of its arrays, and of those of the backward after it, if there is one."""
    count, each = case.entry.get("forward_steps", 1), case.entry["kind"] == "reshape"
    for step in range(count):
        suffix = f"@{step}" if step else ""
        last = case.entry.get("backward") and step == count - 1
        yield suffix, suffix if each and case.entry["backward"] else "" if last else None


def observe(case: Case, arrays: Arrays, device: str = "cpu") -> Arrays:
    """What the observed plan gives: every blob and every gradient."""
    with placed(case) as path:
        run = Run(case, arrays, assembly.read_net(path).message, observed=True, device=device)
        net = run.net
        for suffix, backward in steps(case):
            run.feed(f"in{suffix}")
            run.keep_outputs(suffix, net.forward(), net.blobs)
            if backward is not None:
                net.clear_gradients()
                for key, values in arrays.items():
                    if key.startswith(f"topdiff{backward}/"):
                        net.blobs[key.partition("/")[2]].diff[...] = values
                net.backward()
                run.keep_gradients(backward)
                for blob in net.blobs:
                    run.found[f"bottomdiff{backward}/{blob}"] = net.blobs[blob].diff.copy()
        run.close(path.parent)
    return run.found


def train(case: Case, arrays: Arrays, device: str = "cpu") -> Arrays:
    """What the fast plan gives: losses and outputs, and gradients of all parameters."""
    with placed(case) as path:
        message = assembly.read_net(path).message
        run = Run(case, arrays, message, observed=False, device=device)
        for suffix, _ in steps(case):
            run.feed(f"in{suffix}")
            run.keep_outputs(suffix, run.net.forward(), run.net.graph.outputs)
        run.close(path.parent)
        if case.entry.get("backward"):
            run.found |= _gradients(case, arrays, message, device)
    return run.found


def _gradients(case: Case, arrays: Arrays, message: Any, device: str) -> Arrays:
    starts = sorted({key.partition("/")[2] for key in arrays if key.startswith("topdiff")})
    free = [blob for blob in starts if blob not in case.entry.get("loss_weights", ())]
    if free and not message.force_backward:
        return {}  # nothing would ask for these gradients in training
    learned = [
        blob
        for blob in (key.partition("/")[2] for key in arrays if key.startswith("in/"))
        if f"bottomdiff/{blob}" in arrays and message.force_backward and case.entry["kind"] != "reshape"
    ]
    shapes = {blob: arrays[f"in/{blob}"].shape for blob in learned}
    tops = {f"{blob}/weight": arrays[f"topdiff/{blob}"].shape for blob in free}
    run = Run(case, arrays, learning(message, shapes, tops), observed=False, device=device)
    for suffix, backward in steps(case):
        run.feed(f"in{suffix}")
        for blob in learned:
            if f"in{suffix}/{blob}" in arrays:
                run.net.params[f"learned {blob}"][0].data[...] = arrays[f"in{suffix}/{blob}"]
        if backward is None:
            run.net.forward()
            continue
        run.feed(f"topdiff{backward}", {blob: f"{blob}/weight" for blob in free})
        run.net.clear_gradients()
        run.net.forward_backward()
        run.keep_gradients(backward)
        for blob in learned:
            run.found[f"bottomdiff{backward}/{blob}"] = run.net.params[f"learned {blob}"][0].diff.copy()
    return run.found


def call(case: Case, arrays: Arrays, *, total: bool) -> Arrays:
    """What the net as a torch module gives: its outputs, or the `total` of its losses, and gradients from these."""
    with placed(case) as path:
        run = Run(case, arrays, assembly.read_net(path).message, observed=False)
        module, blobs = NetModule(run.net), run.net.graph.inputs
        inputs = {blob: torch.zeros(run.net.blobs[blob].shape) for blob in blobs}
        for suffix, backward in steps(case):
            given = {blob: arrays[key] for blob in blobs if (key := f"in{suffix}/{blob}") in arrays}
            inputs |= {blob: torch.from_numpy(values) for blob, values in given.items()}
            inputs = {blob: values.detach().requires_grad_() for blob, values in inputs.items()}
            start = (_total if total else _outputs)(run, module, suffix, backward, inputs)
            for layer, slot, _ in run.parameters(f"param_after{suffix}"):
                run.found[f"param_after{suffix}/{layer}/{slot}"] = run.net.params[layer][slot].data.copy()
            if start is None or not case.differentiated:
                continue
            run.net.clear_gradients()
            start.backward()
            run.keep_gradients(str(backward))
            for blob, values in inputs.items() if run.net.graph.message.force_backward else ():
                if values.grad is not None:
                    run.found[f"bottomdiff{backward}/{blob}"] = values.grad.numpy()
        run.close(path.parent)
    return run.found


def _total(run: Run, module: NetModule, suffix: str, backward: str | None, inputs: Any) -> torch.Tensor | None:
    """The weighted loss, where the backward begins there."""
    loss = module.weighted_loss(**inputs)
    run.found[f"loss{suffix}"] = loss.detach().numpy()
    starts = {key.partition("/")[2] for key in run.arrays if key.startswith(f"topdiff{backward}/")}
    return loss if backward is not None and starts <= run.case.entry.get("loss_weights", {}).keys() else None


def _outputs(run: Run, module: NetModule, suffix: str, backward: str | None, inputs: Any) -> torch.Tensor | None:
    """The outputs times their recorded gradients, where the backward begins at outputs only."""
    outputs = module(**inputs)
    outputs = outputs if isinstance(outputs, dict) else {module.outputs[0]: outputs}
    for blob, values in outputs.items():
        run.found[f"out{suffix}/{blob}"] = values.detach().numpy()
    keys = {key: key.partition("/")[2] for key in run.arrays if key.startswith(f"topdiff{backward}/")}
    starts = set(keys.values())
    if backward is None or not starts or not module.loss_weights.keys() <= starts <= outputs.keys():
        return None
    return torch.stack([(outputs[blob] * torch.from_numpy(run.arrays[key])).sum() for key, blob in keys.items()]).sum()


def learning(message: Any, learned: dict[str, tuple[int, ...]], weights: dict[str, tuple[int, ...]]) -> Any:
    """A net whose training asks for the recorded gradients: the `learned` inputs are parameters, and its loss is the
    sum of the output blobs, each element times its top gradient, which becomes the input `<blob>/weight`."""
    net = NetParameter()
    net.CopyFrom(message)
    del net.layer[:]
    for layer in message.layer:
        if layer.type == "Input":
            given = layer.input_param.shape
            for index, top in enumerate(layer.top):
                _source(net, top, given[index if len(given) > 1 else 0].dim, top in learned)
        else:
            net.layer.add().CopyFrom(layer)
    for weight, shape in weights.items():
        blob = weight.removesuffix("/weight")
        _source(net, weight, shape, False)
        product = net.layer.add(
            name=f"{blob}/product", type="Eltwise", bottom=[blob, weight], top=[f"{blob}/product"], loss_weight=[1]
        )
        product.eltwise_param.operation = product.eltwise_param.PROD
    return net


def _source(net: Any, top: str, shape: Any, learned: bool) -> None:
    layer = net.layer.add(name=f"{'learned' if learned else 'in'} {top}", type="Input", top=[top])
    if learned:
        layer.type = "Parameter"
        layer.parameter_param.shape.dim.extend(shape)
    else:
        layer.input_param.shape.add().dim.extend(shape)


# -- comparing -------------------------------------------------------------------------------------------------------

BACKWARD = ("bottomdiff", "paramdiff")


@dataclass
class Compared:
    """How many arrays of a pass were compared, and the worst relative error among them."""

    arrays: int = 0
    worst: float = 0.0

    def add(self, error: float) -> None:
        self.arrays, self.worst = self.arrays + 1, max(self.worst, error)


def compare(case: Case, arrays: Arrays, found: Arrays) -> tuple[Compared, Compared]:
    """Hold what a plan gave against the recording: forward and backward.

    Raises:
        AssertionError: an array differs.
    """
    forward, backward = Compared(), Compared()
    for key in arrays.keys() & found.keys():
        target = backward if key.startswith(BACKWARD) else forward
        target.add(close(key, found[key], arrays[key], case.entry["tol"]))
    return forward, backward
