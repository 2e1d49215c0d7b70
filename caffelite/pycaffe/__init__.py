"""The original's Python module: its names, arguments and results, for scripts that exist.

`caffelite` has all these names, too; this package alone is what `import caffe` gives after
`caffelite.install_as_caffe()`.  Process-global mode, device, seed and log live here and nowhere else.  Names are
imported when they are first used.

Source: `python/caffe/__init__.py` and what it imports.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import did_you_mean
from .former import OF_MODULE

__version__ = "1.0.0"
"""The version of the original whose module this is."""

_ROOMS = {
    "Net": ".net",
    "get_solver": ".solver",
    "Layer": "..layerkit.python_layer",
    "Classifier": ".classifier",
    "Detector": ".detector",
    "classifier": ".classifier",
    "detector": ".detector",
    "io": ".io",
    "draw": ".draw",
    "coord_map": ".coord_map",
    "_caffe": "._caffe",
    "net_spec": ".net_spec",
    "layers": "..layers",
    "params": "..netspec",
    "NetSpec": ".net_spec",
    "to_proto": "..netspec",
    "proto": "..proto",
    "TRAIN": "..proto",
    "TEST": "..proto",
    "layer_type_list": ".state",
    "set_mode_cpu": ".state",
    "set_mode_gpu": ".state",
    "set_device": ".state",
    "set_random_seed": ".state",
    "init_log": ".telling",
    "log": ".telling",
    "Timer": ".timer",
    "NCCL": ".parallel",
    "has_nccl": ".parallel",
    "solver_count": ".parallel",
    "set_solver_count": ".parallel",
    "solver_rank": ".parallel",
    "set_solver_rank": ".parallel",
    "set_multiprocess": ".parallel",
}
"""Where each name comes from; one that ends in itself is that room.  Solver classes follow from the solver types there
are: `AdamSolver` is the one of type "Adam"."""

SOLVER = "Solver"

if TYPE_CHECKING:
    from .. import layers as layers
    from .. import proto as proto
    from ..layerkit.python_layer import Layer as Layer
    from ..netspec import params as params
    from ..netspec import to_proto as to_proto
    from ..proto import TEST as TEST
    from ..proto import TRAIN as TRAIN
    from . import classifier as classifier
    from . import coord_map as coord_map
    from . import detector as detector
    from . import draw as draw
    from . import io as io
    from . import net_spec as net_spec
    from .classifier import Classifier as Classifier
    from .detector import Detector as Detector
    from .net import Net as Net
    from .net_spec import NetSpec as NetSpec
    from .parallel import NCCL as NCCL
    from .parallel import has_nccl as has_nccl
    from .parallel import set_multiprocess as set_multiprocess
    from .parallel import set_solver_count as set_solver_count
    from .parallel import set_solver_rank as set_solver_rank
    from .parallel import solver_count as solver_count
    from .parallel import solver_rank as solver_rank
    from .solver import SGDSolver as SGDSolver
    from .solver import get_solver as get_solver
    from .state import layer_type_list as layer_type_list
    from .state import set_device as set_device
    from .state import set_mode_cpu as set_mode_cpu
    from .state import set_mode_gpu as set_mode_gpu
    from .state import set_random_seed as set_random_seed
    from .telling import init_log as init_log
    from .telling import log as log
    from .timer import Timer as Timer


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return names()
    if name in _ROOMS:
        value = importlib.import_module(_ROOMS[name], __name__)
        if not _ROOMS[name].endswith(f".{name}"):
            value = getattr(value, name)
    elif name.endswith(SOLVER) and not name.startswith("_"):
        value = importlib.import_module(".solver", __name__).solver_class(name.removesuffix(SOLVER))
    else:
        near = None
        if not name.startswith("_"):
            near = OF_MODULE.get(name) or did_you_mean(name, names())
        raise AttributeError(f"the module has no attribute {name!r}{f'; {near}' if near else ''}")
    globals()[name] = value
    return value


def names() -> list[str]:
    """Every name that scripts may use."""
    types = importlib.import_module("..solver.update", __name__).updates.names()
    return sorted({*(name for name in _ROOMS if name[0] != "_"), *(f"{type}{SOLVER}" for type in types)})


def __dir__() -> list[str]:
    return sorted({*globals(), *names()})
