"""The net to use, made of the net that was trained: data and losses out, Input in, Softmax on.

    net = read_net("train_val.prototxt")
    graph = build_graph(net, state_of(net.message, TEST), given=…, missing_data=True)
    text = deploy(graph).text

What is kept is what the predictions need: the bottoms of losses, through what stands for the loss when there are no
labels, and blobs that nobody reads.  Layers that read a label, that do nothing outside training, or that lead to an
auxiliary loss only are left out, and so are rates and fillers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from .. import prototxt
from ..errors import Fault, GraphError, did_you_mean
from ..graph import Graph, Node, Shape
from ..proto import FillerParameter, LayerParameter, NetParameter

_PREDICTION = "prob"
"""What the activation that a loss contained is called, as in the nets that came with Caffe."""

_TRAINING_ONLY = ("param", "loss_weight", "include", "exclude", "propagate_down", "blobs", "phase")


@dataclass(slots=True)
class Deployed:
    """The net to use.

    Attributes:
        message: a NetParameter.
        text: the same as prototxt, with what is to be done to its inputs as comments.
        notes: what was left out, and why.
    """

    message: Any
    text: str
    notes: list[Fault] = field(default_factory=list)


def deploy(graph: Graph, outputs: Sequence[str] = (), batch: int | None = 1, source: str = "") -> Deployed:
    """The net to use, made of the graph of a net in its TEST phase.

    Args:
        graph: with the shapes of its data, as far as they are known.
        outputs: blobs it is to give; none: its predictions.
        batch: samples in a batch; None: as many as in the graph.
        source: the name of the file, for the first comment.

    Raises:
        GraphError: no such output, nothing that could be an output, or an input of unknown shape.
    """
    return _Deployment(graph, batch).make(outputs, source)


class _Deployment:
    def __init__(self, graph: Graph, batch: int | None) -> None:
        self.graph, self.batch = graph, batch
        read = {blob for node in graph.nodes if not node.layer.sharing_bottoms for blob in node.layer.bottom_names}
        inserted = {node.index for node in graph.nodes if node.layer.sharing_bottoms and not read & set(node.tops)}
        self.nodes = [node for node in graph.nodes if node.index not in inserted]
        self.notes: list[Fault] = []
        self.names = {node.index: _Names(node) for node in self.nodes}
        self.makers, self.reads = self._wires()
        self.renamed: dict[str, str] = {}

    def _wires(self) -> tuple[dict[str, int], dict[int, list[int]]]:
        """Which layer made each blob last, and for each layer, the layers that made its bottoms."""
        makers, reads = dict[str, int](), dict[int, list[int]]()
        for node in self.nodes:
            reads[node.index] = [makers[blob] for blob in self.names[node.index].bottoms]
            makers.update(dict.fromkeys(self.names[node.index].tops, node.index))
        return makers, reads

    def behind(self, layers: Iterable[int]) -> set[int]:
        """These layers, and all that they need."""
        found, left = set[int](), list(layers)
        while left:
            index = left.pop()
            if index not in found:
                found.add(index)
                left += self.reads[index]
        return found

    # -- what it gives --------------------------------------------------------------------------------------------

    def make(self, outputs: Sequence[str], source: str) -> Deployed:
        wanted, added = self._asked(outputs) if outputs else self._predictions()
        kept = self.behind(wanted)
        self._tell_left_out(kept, added)
        net = NetParameter(name=self.graph.name)
        comments: dict[int, str] = {}
        for node in self.nodes:
            if node.index in kept:
                self._add(net, node, comments, kept)
        for layer in added:
            layer.bottom[:] = [self.renamed.get(blob, blob) for blob in layer.bottom]
            net.layer.add().CopyFrom(layer)
        return Deployed(net, _text(net, comments, source), self.notes)

    def _asked(self, outputs: Sequence[str]) -> tuple[set[int], list[Any]]:
        faults = [
            Fault(f'the net has no blob "{blob}"', help=did_you_mean(blob, self.makers) or ", ".join(self.makers))
            for blob in outputs
            if blob not in self.makers
        ]
        if faults:
            raise GraphError(faults)
        return {self.makers[blob] for blob in outputs}, []

    def _predictions(self) -> tuple[set[int], list[Any]]:
        """The layers that make the predictions, and the activations to put behind them."""
        losses = [node for node in self.nodes if node.layer.loss or any(node.loss_weights)]
        without = self._reading_labels(losses)
        ends = {node.index for node in self._unread(without) if not node.layer.loss}
        layers = list[Any]()
        main = self._main(losses)
        for node in main:
            graded = self._graded(node)
            there = self._activated(node, graded)
            ends |= {index for index, _ in graded if index not in without} | there
            layers += [] if there else self._activation(node, [blob for _, blob in graded], len(main))
        ends -= {node.index for node in losses}
        if not ends:
            help = "name the blobs it is to give: --output A,B"
            raise GraphError(Fault("the net has neither a loss nor a blob that nobody reads", help=help))
        return ends, layers

    def _graded(self, node: Node) -> list[tuple[int, str]]:
        """The bottoms of a loss that are predictions: who made them, and their names."""
        bottoms = zip(self.reads[node.index], self.names[node.index].bottoms, strict=True)
        return [entry for position, entry in enumerate(bottoms) if position not in node.layer.ungraded]

    def _reading_labels(self, losses: Sequence[Node]) -> set[int]:
        """Sources of labels and of nothing else, and the layers that read what is made of them."""
        graded = self.behind(index for node in losses for index, _ in self._graded(node))
        targets = {
            self.names[node.index].bottoms[position]
            for node in losses
            for position in node.layer.ungraded
            if position < len(self.reads[node.index])
        }
        tainted = set[int]()
        blobs = self._sources_of(targets) - self._sources_of(
            {blob for node in losses for _, blob in self._graded(node)}
        )
        for node in self.nodes:
            names = self.names[node.index]
            if names.bottoms and blobs & set(names.bottoms):
                tainted.add(node.index)
                blobs |= set(names.tops) - set(names.bottoms)
        return tainted - graded

    def _sources_of(self, blobs: Iterable[str]) -> set[str]:
        """The blobs of data layers that these are made of."""
        found = set[str]()
        behind = self.behind(self.makers[blob] for blob in blobs)
        needed = set(blobs) | {blob for index in behind for blob in self.names[index].bottoms}
        for index in behind:
            if not self.reads[index]:
                found |= set(self.names[index].tops) & needed
        return found

    def _unread(self, without: set[int]) -> list[Node]:
        """The layers that make a blob which is an output of the net."""
        makers = {self.makers[blob] for blob in self.graph.outputs if blob in self.makers}
        return [node for node in self.nodes if node.index in makers - without and self.reads[node.index]]

    def _main(self, losses: Sequence[Node]) -> list[Node]:
        """The losses that weigh most; the others help training only."""
        weighed = [(node, max(node.loss_weights, default=0)) for node in losses]
        most = max((weight for _, weight in weighed), default=0)
        for node, weight in weighed:
            if 0 < weight < most:
                text = f"left out with what only it needs: an auxiliary loss (loss_weight {weight:g}, below {most:g})"
                self.notes.append(node.fault(text, severity="note"))
        return [node for node, weight in weighed if weight == most]

    def _activated(self, loss: Node, graded: Sequence[tuple[int, str]]) -> set[int]:
        """The layer that does already, beside the loss, what the loss contains."""
        return {
            node.index
            for node in self.nodes
            if node.type == loss.layer.activation and graded and self.reads[node.index] == [graded[0][0]]
        }

    def _activation(self, loss: Node, blobs: Sequence[str], heads: int) -> list[Any]:
        """The layer that stands for the loss when there are no labels."""
        if not (loss.layer.activation and blobs):
            return []
        name = _PREDICTION if heads == 1 and _PREDICTION not in self.makers else f"{blobs[0]}_{_PREDICTION}"
        layer = LayerParameter(name=name, type=loss.layer.activation, bottom=[blobs[0]], top=[name])
        if loss.param.HasField("softmax_param"):
            layer.softmax_param.CopyFrom(loss.param.softmax_param)
        if loss.param.infogain_loss_param.HasField("axis"):
            layer.softmax_param.axis = loss.param.infogain_loss_param.axis
        return [layer]

    def _tell_left_out(self, kept: set[int], added: Sequence[Any]) -> None:
        gone = [node for node in self.nodes if node.index not in kept]
        if gone:
            names = ", ".join(f"{node.name} ({node.type})" for node in gone)
            self.notes.append(Fault(f"left out: {names}", severity="note"))
        for layer in added:
            what = f"{layer.type} of {layer.bottom[0]}"
            self.notes.append(Fault(f"added: {layer.name}, the {what}, which the loss contained", severity="note"))

    # -- its layers -----------------------------------------------------------------------------------------------

    def _add(self, net: Any, node: Node, comments: dict[int, str], kept: set[int]) -> None:
        names = self.names[node.index]
        if not names.bottoms and _is_data(node):
            needed = {blob for index in kept for blob in self.names[index].bottoms}
            for blob in names.tops:
                if blob in needed:
                    comments[len(net.layer)] = _preparation(node)
                    self._add_input(net, node, blob)
            return
        if self._does_nothing(node):
            self.renamed[names.tops[0]] = self.renamed.get(names.bottoms[0], names.bottoms[0])
            return
        layer = net.layer.add()
        layer.CopyFrom(node.param)
        layer.bottom[:] = [self.renamed.get(blob, blob) for blob in names.bottoms]
        layer.top[:] = [
            layer.bottom[at] if at < len(names.bottoms) and blob == names.bottoms[at] else blob
            for at, blob in enumerate(names.tops)
        ]
        _strip(layer)

    def _does_nothing(self, node: Node) -> bool:
        """Whether a layer only hands its bottom on when the net is used."""
        if node.type != "Dropout" or not _plain_dropout(node.param.dropout_param):
            return False
        bottom, top = self.names[node.index].bottoms[0], self.names[node.index].tops[0]
        return bottom == top or self.makers[bottom] < node.index

    def _add_input(self, net: Any, node: Node, blob: str) -> None:
        shape = self.graph.shape(blob)
        if shape is None:
            crop = node.param.transform_param.crop_size
            size = f"{crop}x{crop}" if crop else "HxW"
            help = f"say it: --input {blob}={self.batch or 1}x3x{size}"
            raise GraphError(node.fault(f'the shape of "{blob}" is not known, as its data are not at hand', "", help))
        layer = net.layer.add(name=blob, type="Input", top=[blob])
        layer.input_param.shape.add().dim.extend(self._batched(shape))

    def _batched(self, shape: Shape) -> Shape:
        return (self.batch, *shape[1:]) if self.batch and shape else shape


class _Names:
    """The bottoms and tops of a layer as its prototxt has them, Splits left out."""

    def __init__(self, node: Node) -> None:
        self.bottoms = list(node.layer.bottom_names)
        self.tops = list(node.param.top)


def _is_data(node: Node) -> bool:
    return node.type not in ("DummyData", "Parameter")


def _plain_dropout(settings: Any) -> bool:
    """Whether it is the identity in TEST, as the original's is; some forks' are not."""
    return not any(
        settings.HasField(name) and getattr(settings, name) != plain
        for name, plain in (("scale_train", True), ("sample_weights_test", False))
        if name in settings.DESCRIPTOR.fields_by_name
    )


def _strip(layer: Any) -> None:
    """Take out of a layer what only training needs; names of shared weights stay."""
    shared = [param.name for param in layer.param]
    for name in _TRAINING_ONLY:
        layer.ClearField(name)
    if any(shared):
        for name in shared:
            layer.param.add(name=name) if name else layer.param.add()
    if layer.type not in ("DummyData", "Parameter"):
        _without_fillers(layer)


def _without_fillers(message: Message) -> None:
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        if descriptor.message_type.name == FillerParameter.DESCRIPTOR.name:
            message.ClearField(descriptor.name)
            continue
        for block in value if hasattr(value, "add") else [value]:
            _without_fillers(block)


def _preparation(node: Node) -> str:
    """What the data layer did to its images before the net saw them."""
    settings = node.param.transform_param
    steps = list[str]()
    if settings.mean_file:
        steps.append(f"the mean of {settings.mean_file} subtracted")
    if settings.mean_value:
        steps.append(f"mean_value {', '.join(f'{value:g}' for value in settings.mean_value)} subtracted")
    if settings.HasField("scale") and settings.scale != 1:
        steps.append(f"multiplied by {settings.scale:g}")
    if settings.crop_size:
        steps.append(f"cropped to {settings.crop_size}")
    return f"As in training: {', '.join(steps)}." if steps else ""


def _text(net: Any, comments: Mapping[int, str], source: str) -> str:
    return prototxt.formatted("".join(_pieces(net, comments, source)))


def _pieces(net: Any, comments: Mapping[int, str], source: str) -> Iterator[str]:
    if source:
        yield f"# The net of {source}, for use: made by `caffelite deploy`.\n"
    yield prototxt.dump(NetParameter(name=net.name)) if net.name else ""
    for index, layer in enumerate(net.layer):
        if comments.get(index):
            yield f"# {comments[index]}\n"
        yield prototxt.dump(NetParameter(layer=[layer]))
