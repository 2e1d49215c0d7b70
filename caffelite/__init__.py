"""caffelite: Caffe's way of working on PyTorch's engine.

    import caffelite as caffe
    net = caffe.Net("deploy.prototxt", caffe.TEST, weights="lenet.caffemodel")
    solver = caffe.get_solver("solver.prototxt")
    solver.step(100)

Every name of the original's Python module is here (:mod:`caffelite.pycaffe`); `install_as_caffe()` lets scripts that
say `import caffe` run unchanged.  Beyond it: `caffelite.load("net.prototxt", "lenet.caffemodel")` is the net as a torch
module, the solver types are torch optimizers (`caffelite.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)`), and
layers of one's own derive from `caffelite.Layer` (the original's protocol) or `caffelite.TorchLayer` (a torch module).
Names are imported when they are first used, so `import caffelite` does not load torch.
"""

from __future__ import annotations

import importlib
import importlib.machinery
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_ROOMS = {
    "TorchLayer": ".layerkit.torch_layer",
    "optim": ".optim",
    "pycaffe": ".pycaffe",
    "install_as_caffe": ".pycaffe.alias",
    "CaffeliteError": ".errors",
    "load": ".assembly",
    "from_state_dict": ".net.exchange",
    "to_state_dict": ".net.exchange",
    "classify": ".pycaffe.classification",
}
"""What the original's module does not have; the rest is pycaffe's."""

if TYPE_CHECKING:
    from . import layers as layers
    from . import optim as optim
    from . import proto as proto
    from .assembly import load as load
    from .errors import CaffeliteError as CaffeliteError
    from .layerkit.torch_layer import TorchLayer as TorchLayer
    from .net.exchange import from_state_dict as from_state_dict
    from .net.exchange import to_state_dict as to_state_dict
    from .pycaffe import *  # noqa: F403
    from .pycaffe.alias import install_as_caffe as install_as_caffe
    from .pycaffe.classification import classify as classify

# By its name, as of everything here: the rooms below may import this module for its version.
importlib.import_module(".pycaffe.alias", __name__).complete()


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return _names()
    if name in _ROOMS:
        value = importlib.import_module(_ROOMS[name], __name__)
        if not _ROOMS[name].endswith(f".{name}"):
            value = getattr(value, name)
    elif (name.startswith("_") and name != "_caffe") or _is_room(name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    else:
        value = getattr(importlib.import_module(".pycaffe", __name__), name)
    globals()[name] = value
    return value


def _is_room(name: str) -> bool:
    """Whether a module of ours that was not imported yet has this name: `from .. import graph` asks for an attribute
    first, and is not to wait until all names of scripts are known."""
    return importlib.machinery.PathFinder.find_spec(f"{__name__}.{name}", globals()["__path__"]) is not None


def _names() -> list[str]:
    return sorted({*_ROOMS, *importlib.import_module(".pycaffe", __name__).names()})


def __dir__() -> list[str]:
    return sorted({*globals(), *_names()})
