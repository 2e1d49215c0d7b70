"""What took the place of names that the original's module had before its release 1.0."""

from __future__ import annotations

_PHASE = "a net is given its phase when it is made: Net('net.prototxt', caffe.TEST)"
_TRANSFORMER = "caffe.io.Transformer does it, and a Classifier has one: net.transformer"

OF_MODULE = {
    "CaffeNet": "it is called Net",
    "get_solver_from_file": "get_solver('solver.prototxt') does it",
    "get_solver_from_string": "get_solver takes a SolverParameter, such as text_format.Parse gives",
    "set_phase_test": _PHASE,
    "set_phase_train": _PHASE,
}

OF_NET = {
    "set_phase_test": _PHASE,
    "set_phase_train": _PHASE,
    "set_mode_cpu": "caffe.set_mode_cpu() does it, before the net is made",
    "set_mode_gpu": "caffe.set_mode_gpu() does it, before the net is made",
    "set_device": "caffe.set_device(0) does it, before the net is made",
    "preprocess": _TRANSFORMER,
    "deprocess": _TRANSFORMER,
    "set_mean": _TRANSFORMER,
    "set_raw_scale": _TRANSFORMER,
    "set_input_scale": _TRANSFORMER,
    "set_channel_swap": _TRANSFORMER,
}
