"""What the package `caffelite.layers` is to scripts: a function for every layer type."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from caffelite import CaffeliteError, layers, netspec
from caffelite.layerkit import layers as registry


@pytest.mark.parametrize("name", list(registry))
def test_there_is_a_function_for_every_type(name: str) -> None:
    function = getattr(layers, name)
    assert (function.__name__, function.__doc__) == (name, registry[name].__doc__)
    assert function(ntop=0, **dict(clip_param=dict(min=0, max=1)) if name == "Clip" else {}).type_name == name


def test_it_makes_layers() -> None:
    top = layers.Convolution(layers.Input(shape=dict(dim=[1, 3, 8, 8])), num_output=4, kernel_size=3)
    assert isinstance(top, netspec.Top)
    assert [layer.type for layer in top.to_proto().layer] == ["Input", "Convolution"]


@pytest.mark.parametrize("name", ["Convoluton", "CONVOLUTION", "Relu"])
def test_an_unknown_type_is_told_at_once(name: str) -> None:
    right = {"Convoluton": "Convolution", "CONVOLUTION": "Convolution", "Relu": "ReLU"}[name]
    with pytest.raises(AttributeError, match=f'unknown layer type "{name}"\n  help: did you mean {right}\\?') as caught:
        getattr(layers, name)
    assert isinstance(caught.value, CaffeliteError)
    assert not hasattr(layers, name)


def test_modules_are_modules() -> None:
    from caffelite.layers import pooling

    assert isinstance(layers.pooling, ModuleType)
    assert layers.pooling is pooling
    assert layers.pooling is not layers.Pooling


def test_names_in_lower_case_are_none() -> None:
    assert not hasattr(layers, "no_such_layer")
    assert not hasattr(layers, "__path_of_no_layer__")


def test_types_are_listed() -> None:
    assert {"Convolution", "ReLU", "Data"} <= set(dir(layers))


def test_a_right_name_imports_its_own_file_and_no_torch() -> None:
    script = (
        "import sys; from caffelite import layers as L; L.Convolution, L.ReLU; loaded = sorted(sys.modules);"
        "print([name for name in loaded if name.startswith('caffelite.layers.')], 'torch._C' in loaded)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['caffelite.layers.convolution', 'caffelite.layers.relu'] False"
