"""The recorded cases of the original on a GPU: both plans give what it gave on its CPU."""

from __future__ import annotations

import pytest
import torch

from ..recorded import KINDS, Case, cases, compare, observe, train

if not torch.cuda.is_available():
    pytest.skip("needs a GPU", allow_module_level=True)


@pytest.mark.parametrize("case", cases(*KINDS), ids=str)
def test_both_plans_give_what_was_recorded(case: Case) -> None:
    if "leveldb" in str(case):
        pytest.importorskip("plyvel", reason="the extra caffelite[leveldb] is not installed")
    arrays = case.arrays()
    compare(case, arrays, observe(case, arrays, "cuda"))
    compare(case, arrays, train(case, arrays, "cuda"))
