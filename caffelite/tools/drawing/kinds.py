"""Kinds of layers, and the colour of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of layers: what the legend calls it, and its colour, on which dark text is read well."""

    name: str
    fill: str


DATA = Kind("data", "#d3dae3")
CONVOLUTION = Kind("convolution", "#9cc7ec")
POOLING = Kind("pooling", "#fbc68b")
FULLY_CONNECTED = Kind("fully connected", "#cdb7ea")
NORMALISATION = Kind("normalisation", "#c4e3ad")
ACTIVATION = Kind("activation", "#f5e48c")
DROPOUT = Kind("dropout", "#e2d2b6")
JOINING = Kind("joining, splitting, shape", "#bfe6e3")
LOSS = Kind("loss", "#f2a59f")
EVALUATION = Kind("evaluation", "#f6c9dd")
RECURRENT = Kind("recurrent", "#7fcfb8")
PYTHON = Kind("Python", "#b5bdf2")
OTHER = Kind("other", "#dcdcdc")
MISSING = Kind("blob that no layer makes", "#ffffff")

KINDS = (
    DATA, CONVOLUTION, POOLING, FULLY_CONNECTED, NORMALISATION, ACTIVATION, DROPOUT, JOINING, LOSS, EVALUATION,
    RECURRENT, PYTHON, OTHER, MISSING,
)  # fmt: skip
"""All of them, in the order of a legend."""

_TYPES = {
    DATA: "Input Parameter",
    CONVOLUTION: "Deconvolution Im2col",
    POOLING: "SPP",
    FULLY_CONNECTED: "InnerProduct Embed",
    NORMALISATION: "BatchNorm LRN MVN Scale Bias",
    ACTIVATION: "AbsVal BNLL Clip ELU Exp Log Power PReLU ReLU Sigmoid Softmax Swish TanH Threshold",
    DROPOUT: "Dropout",
    JOINING: "BatchReindex Concat Crop Eltwise Filter Flatten Reduction Reshape Silence Slice Split Tile",
    EVALUATION: "Accuracy ArgMax",
    RECURRENT: "LSTM LSTMUnit RNN",
    PYTHON: "Python",
}
_BY_TYPE = {type: kind for kind, types in _TYPES.items() for type in types.split()}

_BY_ENDING = {
    "Loss": LOSS,
    "Data": DATA,
    "Convolution": CONVOLUTION,
    "Pooling": POOLING,
    "Normalization": NORMALISATION,
    "Accuracy": EVALUATION,
}
"""Types are called by what they are, those of other versions of Caffe as well: SmoothL1Loss, AnnotatedData."""


def kind_of(type: str) -> Kind:
    """The kind of a layer type; :data:`OTHER` for one that nobody has sorted in."""
    found = _BY_TYPE.get(type)
    return found or next((kind for ending, kind in _BY_ENDING.items() if type.endswith(ending)), OTHER)
