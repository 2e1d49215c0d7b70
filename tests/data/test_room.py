from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from caffelite.data.room import Room

SHAPE = (4, 3, 256, 512)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("interleaved", [False, True])
def test_memory_comes_back_when_every_tensor_and_view_of_it_is_gone(interleaved: bool) -> None:
    room = Room()
    tensor = torch.from_numpy(room.array(SHAPE, np.float32, interleaved))
    assert tuple(tensor.shape) == SHAPE
    assert tensor.is_contiguous(memory_format=torch.channels_last) == interleaved
    first = tensor.data_ptr()
    view, weight = tensor[1:, :1].flatten(1), torch.ones(1, requires_grad=True)
    saved = (view * weight).sum()  # autograd keeps the view
    del tensor, view
    gc.collect()
    other = room.array(SHAPE, np.float32, interleaved)
    assert address(other) != first, "autograd still needs it"
    saved.backward()
    del saved
    gc.collect()
    assert address(room.array(SHAPE, np.float32)) == first
    del other


def test_arrays_at_the_same_time_are_different_memory() -> None:
    room = Room()
    arrays = [room.array(SHAPE, np.uint8) for _ in range(3)]
    for number, array in enumerate(arrays):
        array[...] = number
    assert [int(array.max()) for array in arrays] == [0, 1, 2] == [int(array.min()) for array in arrays]


def test_a_view_by_itself_keeps_its_memory() -> None:
    room = Room()
    array = room.array(SHAPE, np.uint8)
    view = array[1:, 0, ::2]
    view[...] = 7
    del array
    gc.collect()
    other = room.array(SHAPE, np.uint8)
    other[...] = 9
    assert int(view.min()) == int(view.max()) == 7


def test_of_many_sizes_only_a_few_pieces_are_kept() -> None:
    room = Room()
    for size in range(100):
        room.array((1, 1, 1024, 1025 + size), np.uint8)
    gc.collect()
    assert 0 < len(room._free) <= 8
    assert room.array((0, 3, 4, 4), np.float32).shape == (0, 3, 4, 4)
