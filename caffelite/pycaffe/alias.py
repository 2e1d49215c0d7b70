"""Import names of the original's module: `import caffe`, `import caffe.io`, `from caffe.proto import caffe_pb2`.

A finder gives the modules of this package under these names, and not copies of them.  For `caffelite` itself it only
adds what the original has at the top (`import caffelite.io`).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

from ..errors import UsageError

_OURS = __name__.partition(".")[0]
_API = f"{_OURS}.pycaffe"
_ELSEWHERE = {
    "pycaffe": _API,
    "proto": f"{_OURS}.proto",
    "layers": f"{_OURS}.layers",
}
_AT_THE_TOP = ("classifier", "coord_map", "detector", "draw", "io", "net_spec")


def _real_name(name: str, alias: str) -> str:
    """The name of the module that `name`, below `alias`, means."""
    first, dot, rest = name.removeprefix(f"{alias}.").partition(".")
    return f"{_ELSEWHERE.get(first, f'{_API}.{first}')}{dot}{rest}" if name != alias else _API


class _Finder(MetaPathFinder):
    def __init__(self, alias: str, only: Sequence[str] = ()) -> None:
        self.alias, self.only = alias, only

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module under the alias; None for all others."""
        if fullname != self.alias and not fullname.startswith(f"{self.alias}."):
            return None
        if self.only and fullname.removeprefix(f"{self.alias}.") not in self.only:
            return None
        real = _real_name(fullname, self.alias)
        found = find_spec(real)
        if found is None:
            return None
        return ModuleSpec(fullname, _SameModule(real), is_package=found.submodule_search_locations is not None)


class _SameModule(Loader):
    """Loads a module by importing the one it is."""

    def __init__(self, real: str) -> None:
        self.real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module itself, with what the import system is going to write into it kept aside."""
        module = importlib.import_module(self.real)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is to be run; the module gets its own spec back."""
        module.__spec__ = self.spec


def install_as_caffe() -> None:
    """Let `import caffe` in this process mean this package.

    Raises:
        UsageError: another `caffe` is imported already.
    """
    loaded = sys.modules.get("caffe")
    if loaded is not None and loaded is not sys.modules.get(_API):
        where = getattr(loaded, "__file__", None) or "somewhere"
        raise UsageError(
            f"another module caffe is imported already, from {where}",
            help="call install_as_caffe() before anything imports caffe",
        )
    if not any(isinstance(finder, _Finder) and finder.alias == "caffe" for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder("caffe"))
    importlib.import_module("caffe")


def complete() -> None:
    """Let `import caffelite.io` and its like find what the original has at the top."""
    if not any(isinstance(finder, _Finder) and finder.alias == _OURS for finder in sys.meta_path):
        sys.meta_path.append(_Finder(_OURS, _AT_THE_TOP))
