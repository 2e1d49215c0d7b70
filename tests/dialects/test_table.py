"""The tables of dialects: it is well-formed, says nothing of what is built, and is heeded by reader and registry."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from caffelite import dialects
from caffelite.assembly import NetFile, build_graph
from caffelite.errors import GraphError, PrototxtError
from caffelite.graph import state_of
from caffelite.layerkit import layers
from caffelite.proto import TRAIN, NetParameter, pool
from caffelite.prototxt import loads

KEYS = {
    "field": {"fork", "meaning", "effect", "instead", "of", "names"},
    "value": {"fork", "meaning", "effect", "instead", "of", "names"},
    "type": {"fork", "meaning", "instead", "names"},
    "alias": {"fork", "meaning", "types"},
    "reading": {"type", "forks"},
    "python": {"fork", "names"},
}
MESSAGES = pool.FindFileByName("caffe.proto").message_types_by_name
BUILT = {name.partition("@")[0] for name in layers.names()}


def entries(kind: str) -> list[dict[str, Any]]:
    return list(dialects.table().get(kind, []))


def test_every_entry_has_its_keys() -> None:
    assert set(dialects.table()) == set(KEYS)
    for kind, keys in KEYS.items():
        for entry in entries(kind):
            assert set(entry) <= keys, entry
            assert keys - {"effect", "instead"} <= set(entry), entry


def test_fields_are_of_messages_that_exist() -> None:
    for entry in entries("field"):
        assert set(entry["of"]) <= set(MESSAGES), entry


def test_no_field_is_listed_that_the_schema_has() -> None:
    stale = [
        f"{message}.{name}"
        for entry in entries("field")
        for message in entry["of"]
        for name in entry["names"]
        if name in MESSAGES[message].fields_by_name
    ]
    assert not stale


def test_no_type_is_listed_that_is_built() -> None:
    assert not [name for entry in entries("type") for name in entry["names"] if name in BUILT]


def test_readings_and_aliases_are_built() -> None:
    for entry in entries("reading"):
        for reading in entry["forks"]:
            assert f"{entry['type']}@{reading['fork']}" in layers
    for entry in entries("alias"):
        for name, kind in entry["types"].items():
            assert kind in BUILT and name not in BUILT
    for entry in entries("python"):
        for name in entry["names"]:
            assert f"Python@{name.rpartition('.')[2]}" in layers


def test_what_only_tunes_speed_is_a_note() -> None:
    loaded = loads('default_forward_type: FLOAT16 layer { name: "a" forward_math: FLOAT }', NetParameter, strict=True)
    assert loaded.message == NetParameter(layer=[{"name": "a"}])
    assert [(fault.severity, fault.place and fault.place.column) for fault in loaded.warnings] == [
        ("note", 1),
        ("note", 49),
    ]
    assert "NVIDIA/caffe" in loaded.warnings[0].message


def test_an_engine_of_a_fork_is_a_note() -> None:
    loaded = loads("layer { pooling_param { engine: MKL2017 } }", NetParameter)
    assert not loaded.message.layer[0].pooling_param.HasField("engine")
    (note,) = loaded.warnings
    assert note.severity == "note" and note.message.startswith(
        "engine: MKL2017 has no effect here; it comes from intel/"
    )


def test_a_foreign_field_is_an_error_that_names_its_owner() -> None:
    with pytest.raises(PrototxtError) as error:
        loads("layer {\n  convolution_param { fuse_type: FUSED_CONV_RELU } }", NetParameter)
    (fault,) = error.value.faults
    assert "naibaf7/caffe" in fault.message and fault.place is not None and fault.place.line == 2
    assert fault.help


def test_a_foreign_type_is_an_error_that_names_its_owner() -> None:
    net = loads('layer { name: "t" type: "TRT" top: "t" }', NetParameter)
    with pytest.raises(GraphError, match='layer type "TRT" is not built here; it comes from NVIDIA/caffe'):
        build_graph(NetFile(net.message, net.places), state_of(net.message, TRAIN))


def test_a_name_nobody_knows() -> None:
    assert dialects.field("LayerParameter", "no_such_field") is None
    assert dialects.value("PoolingParameter.engine", "NO_SUCH_ENGINE") is None
    assert dialects.layer_type("NoSuchType") is None and dialects.readings("Convolution") == ()


def test_a_net_of_plain_caffe_does_not_read_what_is_not_built() -> None:
    script = (
        "from caffelite import dialects, upgrade; from caffelite.proto import NetParameter\n"
        "upgrade.upgrade_net(NetParameter(layer=[{'name': 'a', 'type': 'ReLU'}])); print(dialects._table.cache_info())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "currsize=1" in done.stdout
