"""torch is imported when it is needed, and as if somebody had imported it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from caffelite.runtime.torch_later import Later


def test_a_module_may_look_for_itself_while_it_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "looks_for_itself.py").write_text(
        "import sys\nextra = 1\ndelattr(sys.modules[__name__], 'extra')\nsys.modules[__name__].made = [2]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    later = Later("looks_for_itself")
    assert "looks_for_itself" not in sys.modules
    assert later.made == [2]
    assert later.made is sys.modules["looks_for_itself"].made
    with pytest.raises(AttributeError):
        _ = later.extra


def test_nothing_stands_in_its_place_before() -> None:
    code = """
import sys
import caffelite.layerkit, caffelite.data.transform, caffelite.runtime.device
from caffelite.runtime.torch_later import torch
assert "torch" not in sys.modules
kind = torch.float32
import torch as imported
assert imported.float32 is kind and type(imported) is type(sys)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
