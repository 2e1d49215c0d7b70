"""MatWrite: blobs written to files that MATLAB reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..data.mat_writer import write_mat
from ..data.telling import find, folder_of, told_by
from ..errors import DataError
from ..layerkit import Layer, Run, Shape, at_least, exactly, layer

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "mat_write_param"


@layer("MatWrite")
class MatWrite(Layer):
    """Writes each bottom to a file of its own, `prefix` + name + "_blob_" + its number + ".mat", as the variable
    "data", single precision: MATLAB's W×H×C×N of an N×C×H×W bottom, and ones for the axes that others lack.

    The name of the i-th forward since the net was made is the first word of line i of the text file `source`, without
    its last `strip` characters, or "iter_" and i where no source is given.  Every `period`-th forward writes.

    A file that is there already is replaced.

    Source: `src/caffe/layers/mat_write_layer.cpp`, `src/caffe/util/matio_io.cpp` of hszhao/PSPNet, from DeepLab.

    Raises:
        LayerError: no prefix, or settings out of range.
        DataError: in `forward`, where the list is missing or has no line for this batch, or a file cannot be written.
    """

    fork: ClassVar[str] = "hszhao/PSPNet, DeepLab"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 21 dim: 5 dim: 5 } } }
    layer {
      name: "write" type: "MatWrite" bottom: "x"
      mat_write_param { prefix: "fc8_" }  # fc8_iter_0_blob_0.mat
    }
    """

    bottoms, tops = at_least(1), exactly(0)
    remembers = ("passes",)

    @property
    def ungraded(self) -> frozenset[int]:  # type: ignore[override]
        """All."""
        return frozenset(range(len(self.param.bottom)))

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings(_FIELD)
        self.passes = 0
        self._names: list[str] | None = None
        self.require(bool(settings.prefix), f"{_FIELD}.prefix", "must be given: what the files' names begin with")
        self.require(settings.period >= 1, f"{_FIELD}.period", "must be at least 1")
        self.require(settings.strip >= 0, f"{_FIELD}.strip", "must not be negative")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        for position, shape in enumerate(bottoms):
            self.expect(len(shape) <= 4, f"needs bottoms with at most 4 axes, got {shape}", f"bottom[{position}]")
        return []

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        settings, at = self.settings(_FIELD), self.passes
        self.passes = at + 1
        if run.repeating or at % settings.period:
            return ()
        stem = settings.prefix + (self._named(at) if settings.HasField("source") else f"iter_{at}")
        with told_by(self, f"{_FIELD}.prefix"):
            for number, bottom in enumerate(bottoms):
                array = bottom.detach().cpu().numpy()
                write_mat(f"{stem}_blob_{number}.mat", array.reshape(array.shape + (1,) * (4 - array.ndim)))
        return ()

    def _named(self, at: int) -> str:
        """The name for the i-th forward in the list."""
        settings, field = self.settings(_FIELD), f"{_FIELD}.source"
        if self._names is None:
            try:
                lines = find(settings.source, folder_of(self, field)).read_text("utf-8").splitlines()
            except (OSError, ValueError) as error:
                message = f"cannot read {settings.source}: {getattr(error, 'strerror', None) or error}"
                raise DataError(self.fault(message, field, code="CL400")) from error
            self._names = [line.split()[0] for line in lines if line.strip()]
        if at >= len(self._names):
            message = f"{settings.source} has names for {len(self._names)} batches, and this is one more"
            raise DataError(self.fault(message, field, "test_iter: at most the number of its lines"))
        name = self._names[at]
        if len(name) <= settings.strip:
            message = f'strip: {settings.strip} leaves nothing of "{name}", line {at + 1} of {settings.source}'
            raise DataError(self.fault(message, f"{_FIELD}.strip"))
        return name[: len(name) - settings.strip]
