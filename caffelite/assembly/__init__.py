"""The only place that sees the whole chain: net file → Net, solver file → Solver."""

from .modules import load
from .nets import NetFile, Told, Warn, build_graph, load_net, make_layer, read_net, silent, untold
from .settled import counting, watching
from .solvers import SolverFile, load_solver, make_solver, read_solver, seed_of_test_net

__all__ = [
    "NetFile",
    "SolverFile",
    "Told",
    "Warn",
    "build_graph",
    "counting",
    "load",
    "load_net",
    "load_solver",
    "make_layer",
    "make_solver",
    "read_net",
    "read_solver",
    "seed_of_test_net",
    "silent",
    "untold",
    "watching",
]
