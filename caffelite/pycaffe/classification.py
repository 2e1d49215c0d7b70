"""What images show: from files to the names of classes.

Source: `examples/cpp_classification/classification.cpp`; `python/classify.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isclose, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import assembly
from ..data.image import decode_image
from ..data.resize import resize
from ..data.transform_param import by
from ..errors import CaffeliteError, DataError, Fault, GraphError, LayerError, Place, SnapshotError, UsageError
from ..graph import state_of
from ..layerkit import SourceLayer
from ..proto import TEST
from . import state
from .classifier import Classifier
from .given_images import File, Image, named
from .io import unreadable
from .mean_and_labels import Mean, mean_of, read_labels

_CROPS = 10
_OVERSAMPLED = 256
_TOLERANCE = 1e-3
_DEPLOY = "a deploy net has a layer of type Input in place of the data layers, and Softmax in place of the loss"


@dataclass(frozen=True, slots=True)
class Guess:
    """A class that an image may show: its number, from 0; its name, where labels are given; its score."""

    index: int
    label: str | None
    score: float


@dataclass(frozen=True, slots=True)
class Classified:
    """What a net makes of an image.

    Attributes:
        image: the file; for an array "image 0" and so on.
        guesses: the classes of the highest scores, the best first.
        scores: of every class, float32.
    """

    image: str
    guesses: list[Guess]
    scores: NDArray[np.float32]

    @property
    def probabilities(self) -> bool:
        """Whether the scores can be probabilities: none is negative, and they add up to 1."""
        return bool((self.scores >= 0).all()) and isclose(float(self.scores.sum()), 1, abs_tol=_TOLERANCE)


def classify(
    images: Image | Iterable[Image], model: File, weights: File | Sequence[File], *, top: int = 5, **settings: Any
) -> list[Classified]:
    """Say what images show: `classify("cat.jpg", "deploy.prototxt", "net.caffemodel", labels="synset_words.txt")`.

    Args:
        images: files; folders, of which all images are taken; or arrays H×W×K as `caffelite.io.load_image` gives them.
        model, weights, settings: as for :class:`FileClassifier`.
        top: so many guesses an image.

    Raises:
        CaffeliteError: the net, its weights, the mean, the labels or an image cannot be used; says which and why.
    """
    return list(FileClassifier(model, weights, **settings).classified(images, top))


class FileClassifier(Classifier):
    """A :class:`Classifier` of image files, with the names of its classes.

    Files are decoded and resized as data layers do it, to 3 channels or to gray as the net takes them.  Their values,
    0 … 1, times `raw_scale`, less the mean, times `input_scale`, go into the net.

    Args:
        model: a deploy net: one input, N×1×H×W or N×3×H×W, and one output, a score for each class.
        weights: one or several files.
        mean: a file, or a value for each channel in the net's order (B, G, R); see :func:`mean_of`.  Of a mean image
            that of each channel is subtracted, or with `mean_by_pixel` the image, resized to the net's input.
        labels: a file with a line for each class, or the names themselves.
        oversample: the mean over ten crops of each image instead of its centre alone.
        image_dims: height and width to resize to before crops are taken; by default those of the net's input, and with
            `oversample` 256 each.
        channel_swap: the net's order of R, G, B; for 3 channels (2, 1, 0) by default.
        allow_python: Python layers of the net may run.

    Raises:
        CaffeliteError: the net is none of these, or one of the files cannot be used.
    """

    def __init__(
        self,
        model: File,
        weights: File | Sequence[File],
        *,
        mean: Mean | None = None,
        labels: File | Sequence[str] | None = None,
        oversample: bool = False,
        image_dims: Sequence[int] | None = None,
        raw_scale: float | None = 255.0,
        input_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        mean_by_pixel: bool = False,
        allow_python: bool = True,
    ) -> None:
        channels, sizes, classes = _expect_deploy(model, allow_python)
        self.labels = None if labels is None else _labels(labels, classes)
        if image_dims is None and oversample:
            image_dims = _oversampled(sizes)
        super().__init__(
            model,
            None,
            image_dims,
            mean=None if mean is None else mean_of(mean, channels, by_pixel=mean_by_pixel),
            input_scale=input_scale,
            raw_scale=raw_scale,
            channel_swap=(2, 1, 0) if channel_swap is None and channels == 3 else channel_swap,
        )
        self._load([weights] if isinstance(weights, (str, os.PathLike)) else weights)
        self.channels, self.oversample = channels, oversample
        self.batch = self.blobs[self.inputs[0]].shape[0]

    def _load(self, files: Sequence[File]) -> None:
        """Load weights, and say which layers got none."""
        missing = set(self.params)
        for file in files:
            report = self.core.load_weights(os.fspath(file))
            missing &= {row.layer for row in report if row.status == "not in the file"}
        names = ", ".join(os.fspath(file) for file in files)
        if missing and missing == set(self.params):
            help = f"the net's layers are called {', '.join(self.params)}"
            raise SnapshotError(Fault(f"no layer of the net got weights from {names}", help=help))
        if missing:
            layers = ", ".join(name for name in self.params if name in missing)
            state.warn(Fault(f"not in {names}, so untrained: {layers}", severity="warning"))

    def classified(self, images: Image | Iterable[Image], top: int = 5) -> Iterator[Classified]:
        """What images show, a batch at a time.

        Raises:
            DataError: an image is missing or damaged; of the missing ones, all are told before the first is classified.
        """
        given = list(named(images))
        crops = _CROPS if self.oversample else 1
        at_once = max(1, self.batch // crops)
        self._set_batch(max(1, crops * len(given)))
        for start in range(0, len(given), at_once):
            part = given[start : start + at_once]
            scores = self.predict([self._image(image) for _, image in part], self.oversample)
            for (name, _), row in zip(part, scores.reshape(len(part), -1), strict=True):
                if not np.isfinite(row).all():
                    raise CaffeliteError(f"the scores of {name} are not finite", help="are these weights of this net?")
                yield Classified(name, self._guesses(row, top), row)

    def _set_batch(self, samples: int) -> None:
        """Compute no batch that is mostly empty, unless the net can only take batches of its own size."""
        blob = self.blobs[self.inputs[0]]
        try:
            blob.reshape(min(samples, self.batch), *blob.shape[1:])
            self.reshape()
        except LayerError:
            blob.reshape(self.batch, *blob.shape[1:])
            self.reshape()

    def _image(self, image: Image) -> NDArray[np.float32]:
        """H×W×K, in the order R, G, B, of 0 … 1."""
        if isinstance(image, np.ndarray):
            return np.divide(image, 255, dtype=np.float32) if image.dtype == np.uint8 else image
        try:
            pixels = decode_image(Path(image).read_bytes(), "colour" if self.channels == 3 else "gray")
        except OSError as error:
            raise unreadable(image, error.strerror or str(error)) from error
        except DataError as error:
            raise unreadable(image, error.faults[0].message) from error
        height, width = map(int, self.image_dims)
        return np.divide(resize(pixels, height, width).transpose(1, 2, 0)[..., ::-1], 255, dtype=np.float32)

    def _guesses(self, scores: NDArray[np.float32], top: int) -> list[Guess]:
        best = np.argsort(-scores, kind="stable")[:top].tolist()
        return [Guess(index, self.labels[index] if self.labels else None, float(scores[index])) for index in best]


def _expect_deploy(model: File, allow_python: bool) -> tuple[int, tuple[int, int], int]:
    """The channels, the height and width of a deploy net's input, and the number of its classes.

    Raises:
        GraphError: it is none.
    """
    file = assembly.read_net(model, allow_python=allow_python)
    graph = assembly.build_graph(file, state_of(file.message, TEST), missing_data=True)

    def refuse(why: str, help: str = _DEPLOY) -> GraphError:
        return GraphError(Fault(f"images cannot be classified with this net: {why}", Place(os.fspath(model)), help))

    reading = [f'"{node.name}" ({node.type})' for node in graph.nodes if isinstance(node.layer, SourceLayer)]
    if reading:
        raise refuse(f"its layer {reading[0]} reads data itself")
    for kind, blobs in (("input", graph.inputs), ("output", graph.outputs)):
        if len(blobs) != 1:
            raise refuse(f"it needs one {kind}, and has {', '.join(blobs) or 'none'}")
    if any(node.type == "ArgMax" and graph.outputs[0] in node.tops for node in graph.nodes):
        raise refuse("it ends in ArgMax, which leaves no scores", "leave the ArgMax layer out")
    shape, scores = (graph.shape(blob) or () for blob in (graph.inputs[0], graph.outputs[0]))
    if len(shape) != 4 or shape[1] not in (1, 3):
        raise refuse(f'its input "{graph.inputs[0]}" must be N×1×H×W or N×3×H×W, and is {by(shape)}')
    if len(scores) < 2 or prod(scores[2:]) != 1:
        raise refuse(f'its output "{graph.outputs[0]}" must be a score for each class, N×C, and is {by(scores)}')
    return shape[1], (shape[2], shape[3]), scores[1]


def _oversampled(sizes: tuple[int, int]) -> tuple[int, int]:
    if not all(_OVERSAMPLED // 2 < size < _OVERSAMPLED for size in sizes):
        raise UsageError(
            f"oversample cuts crops of {by(sizes)} out of a larger image: say how large",
            help="image_dims (on the command line --images-dim HEIGHT,WIDTH)",
        )
    return _OVERSAMPLED, _OVERSAMPLED


def _labels(labels: File | Sequence[str], classes: int) -> Sequence[str]:
    if not isinstance(labels, (str, os.PathLike)):
        names, what = labels, f"there are {len(labels)} labels"
    else:
        names = read_labels(labels)
        what = f'labels "{os.fspath(labels)}": {len(names)} lines'
    if len(names) != classes:
        help = "there must be one for each class, class 0 first"
        raise DataError(Fault(f"{what}, but the net tells {classes} classes apart", help=help))
    return names
