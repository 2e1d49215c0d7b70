"""caffelite: Caffe's way of working on PyTorch's engine.

    import caffelite
    net = caffelite.Net("deploy.prototxt", caffelite.TEST, weights="lenet.caffemodel")
    solver = caffelite.get_solver("solver.prototxt")
    solver.step(100)

The solver types are torch optimizers, too: `caffelite.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)`.
Layers of one's own derive from `caffelite.Layer` (the original's protocol) or `caffelite.TorchLayer` (a torch module).
Names are imported when they are first used, so `import caffelite` does not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_ROOMS = {
    "Net": ".pycaffe.net",
    "SGDSolver": ".pycaffe.solver",
    "get_solver": ".pycaffe.solver",
    "Layer": ".layerkit.python_layer",
    "TorchLayer": ".layerkit.torch_layer",
    "set_device": ".pycaffe.state",
    "set_mode_cpu": ".pycaffe.state",
    "set_mode_gpu": ".pycaffe.state",
    "set_random_seed": ".pycaffe.state",
    "optim": ".optim",
    "CaffeliteError": ".errors",
    "TEST": ".proto",
    "TRAIN": ".proto",
}

if TYPE_CHECKING:
    from . import optim
    from .errors import CaffeliteError
    from .layerkit.python_layer import Layer
    from .layerkit.torch_layer import TorchLayer
    from .proto import TEST, TRAIN
    from .pycaffe.net import Net
    from .pycaffe.solver import SGDSolver, get_solver
    from .pycaffe.state import set_device, set_mode_cpu, set_mode_gpu, set_random_seed

__all__ = [
    "TEST",
    "TRAIN",
    "CaffeliteError",
    "Layer",
    "Net",
    "SGDSolver",
    "TorchLayer",
    "get_solver",
    "optim",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = importlib.import_module(_ROOMS[name], __name__)
    value = room if _ROOMS[name] == f".{name}" else getattr(room, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS})
