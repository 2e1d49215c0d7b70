"""The blob contract: NumPy faces of a net's memory, whatever its format."""

from __future__ import annotations

import copy
import gc

import numpy as np
import pytest
import torch

from caffelite.layerkit.mirror import Mirror

FORMATS = [torch.contiguous_format, torch.channels_last]


def tensor(memory_format):
    return torch.arange(48.0).reshape(2, 3, 2, 4).contiguous(memory_format=memory_format)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("fixed", [False, True])
def test_an_array_is_contiguous_and_of_the_declared_shape(memory_format, fixed):
    array = Mirror((2, 3, 2, 4), tensor(memory_format), fixed=fixed).array()
    assert array.flags.c_contiguous
    assert array.dtype == np.float32
    assert np.array_equal(array, np.arange(48).reshape(2, 3, 2, 4))


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("fixed", [False, True])
def test_writing_a_flat_view_of_a_temporary_array_reaches_the_tensor(memory_format, fixed):
    mirror = Mirror((2, 3, 2, 4), tensor(memory_format), fixed=fixed)
    mirror.array().reshape(-1)[...] = 7
    gc.collect()
    assert bool((mirror.tensor() == 7).all())
    assert mirror.tensor().is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_an_array_that_is_held_is_read_again_each_time(memory_format):
    mirror = Mirror((2, 3, 2, 4), tensor(memory_format))
    row = mirror.array()[1, 2]
    for value in (5.0, 6.0):
        row[...] = value
        assert bool((mirror.tensor()[1, 2] == value).all())


@pytest.mark.parametrize("memory_format", FORMATS)
def test_new_values_show_in_an_array_that_is_held(memory_format):
    mirror = Mirror((2, 3, 2, 4), tensor(memory_format))
    array = mirror.array()
    mirror.set(torch.full((2, 3, 2, 4), 9.0).contiguous(memory_format=memory_format))
    assert (array == 9).all()
    assert mirror.array() is array
    mirror.set(None)
    assert (array == 0).all()


@pytest.mark.parametrize("memory_format", FORMATS)
def test_a_parameter_keeps_its_memory_and_shows_updates_in_place(memory_format):
    leaf = tensor(memory_format)
    mirror = Mirror(leaf.shape, leaf, fixed=True)
    array = mirror.array()
    array[...] = 1
    assert mirror.tensor() is leaf
    leaf.add_(1)
    mirror.refresh()
    assert (array == 2).all()
    assert bool((mirror.tensor() == 2).all())


def test_nobody_holding_an_array_ends_the_copying():
    mirror = Mirror((2, 3, 2, 4), tensor(torch.channels_last))
    array = mirror.array()
    assert mirror.lent
    del array
    gc.collect()
    mirror.tensor()
    assert not mirror.lent


def test_a_view_keeps_the_array_alive():
    mirror = Mirror((2, 3, 2, 4), tensor(torch.channels_last))
    view = mirror.array()[0].reshape(-1)[3:5]
    gc.collect()
    mirror.tensor()
    mirror.set(torch.zeros(2, 3, 2, 4))
    assert (view == 0).all()
    view[...] = 4
    assert float(mirror.tensor().sum()) == 8


def test_a_scalar_is_an_array_without_axes():
    mirror = Mirror((), torch.tensor(3.0))
    assert mirror.array().shape == ()
    mirror.array()[...] = 4
    assert float(mirror.tensor()) == 4


def test_values_that_nobody_set_are_zeros():
    assert not Mirror((2, 3)).array().any()


@pytest.mark.parametrize("memory_format", FORMATS)
def test_what_others_make_of_a_fixed_tensor_is_not_undone(memory_format):
    """As an optimizer does it, which tells nobody; neither does `data`."""
    leaf = torch.nn.Parameter(tensor(memory_format))
    mirror = Mirror(leaf.shape, leaf, fixed=True)
    array = mirror.array()
    with torch.no_grad():
        leaf.mul_(2)
    leaf.data.add_(1)
    assert mirror.tensor() is leaf
    assert np.array_equal(mirror.array(), 2 * np.arange(48).reshape(2, 3, 2, 4) + 1)
    assert mirror.array() is array


@pytest.mark.parametrize("memory_format", FORMATS)
def test_what_was_written_to_an_array_is_added_to_what_others_made(memory_format):
    leaf = tensor(memory_format)
    mirror = Mirror(leaf.shape, leaf, fixed=True)
    array = mirror.array()
    leaf.zero_()
    array[1, 2, 0] = np.nan
    array[0, 0, 0, 0] = 5
    wanted = np.zeros((2, 3, 2, 4))
    wanted[1, 2, 0], wanted[0, 0, 0, 0] = np.nan, 5
    if memory_format == torch.channels_last:  # else both are one memory
        assert array[0, 0, 0, 1] == 1
    np.testing.assert_array_equal(mirror.tensor(), wanted)
    np.testing.assert_array_equal(array, wanted)
    leaf.fill_(7)
    assert (mirror.array() == 7).all()


def test_an_array_follows_a_tensor_to_other_memory():
    leaf = torch.nn.Parameter(tensor(torch.contiguous_format))
    mirror = Mirror(leaf.shape, leaf, fixed=True)
    array = mirror.array()
    leaf.data = leaf.data + 1
    mirror.tensor()
    assert array[0, 0, 0, 0] == 1
    array[0, 0, 0, 0] = 9
    assert mirror.tensor()[0, 0, 0, 0] == 9


@pytest.mark.parametrize("memory_format", FORMATS)
def test_a_copy_has_what_was_written_and_nobodys_array(memory_format):
    mirror = Mirror((2, 3, 2, 4), tensor(memory_format))
    array = mirror.array()
    array[...] = 3
    twin = copy.deepcopy(mirror)
    array[...] = 4
    assert (twin.array() == 3).all()
    assert twin.array() is not array
    assert copy.deepcopy(Mirror((2,))).value is None


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("fixed", [False, True])
def test_an_array_that_was_asked_for_within_inference_mode_stays_good(memory_format, fixed):
    mirror, empty = Mirror((2, 3, 2, 4), tensor(memory_format), fixed=fixed), Mirror((2,), fixed=fixed)
    with torch.inference_mode():
        arrays = mirror.array(), empty.array()
    mirror.set(torch.zeros(2, 3, 2, 4))
    empty.set(torch.ones(2))
    assert [array.sum() for array in arrays] == [0, 2]
