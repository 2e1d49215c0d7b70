"""The pseudo-module `params`."""

from __future__ import annotations

import pytest

from caffelite import CaffeliteError, proto
from caffelite import params as P


def test_constants_are_those_of_the_messages() -> None:
    assert (P.Pooling.MAX, P.Pooling.AVE, P.Pooling.STOCHASTIC) == (0, 1, 2)
    assert (P.Data.LEVELDB, P.Data.LMDB) == (0, 1)
    assert (P.Eltwise.PROD, P.Eltwise.SUM, P.Eltwise.MAX) == (0, 1, 2)
    assert (P.Loss.FULL, P.Loss.VALID, P.Loss.BATCH_SIZE, P.Loss.NONE) == (0, 1, 2, 3)
    assert (P.LRN.WITHIN_CHANNEL, P.HingeLoss.L2, P.Filler.AVERAGE) == (1, 2, 2)


@pytest.mark.parametrize("message", proto.pool.FindFileByName("caffe.proto").message_types_by_name.values())
def test_every_enum_of_every_settings_message_is_there(message: object) -> None:
    name = message.name  # type: ignore[attr-defined]
    if name.endswith("Parameter"):
        constants = getattr(P, name.removesuffix("Parameter"))
        values = {value.name: value.number for enum in message.enum_types for value in enum.values}  # type: ignore[attr-defined]
        assert {value: getattr(constants, value) for value in dir(constants)} == values


def test_the_rest_of_a_message_class_is_there_too() -> None:
    assert P.Pooling.PoolMethod.Name(P.Pooling.AVE) == "AVE"
    assert P.Pooling.DESCRIPTOR is proto.PoolingParameter.DESCRIPTOR


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("Poling", "there is no PolingParameter\n  help: did you mean Pooling?"),
        ("Pooling.MAXX", "PoolingParameter has no constant MAXX\n  help: did you mean MAX?"),
        ("Data.HDF5", "DataParameter has no constant HDF5\n  help: known: LEVELDB, LMDB"),
        ("Power.MAX", "PowerParameter has no constant MAX"),
    ],
)
def test_a_name_that_is_none_is_told(path: str, said: str) -> None:
    with pytest.raises(AttributeError) as caught:
        eval(f"P.{path}")
    assert str(caught.value) == said
    assert isinstance(caught.value, CaffeliteError)


def test_names_can_be_asked_for_and_listed() -> None:
    assert not hasattr(P, "Poling")
    assert not hasattr(P, "__path__")
    assert not hasattr(P.Pooling, "MAXX")
    assert "Pooling" in dir(P)
    assert {"MAX", "AVE", "STOCHASTIC"} <= set(dir(P.Pooling))
