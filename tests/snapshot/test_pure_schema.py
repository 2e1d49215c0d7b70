"""What we write is, for a reader who knows Caffe 1.0 only, a file of Caffe 1.0."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, unknown_fields
from google.protobuf.message import Message

from caffelite import proto

from ..solver.resuming import files, solver_of

EXTENSIONS = 5000


def pure(name: str) -> type[Message]:
    """A message class of the schema without its extensions."""
    schema = descriptor_pb2.FileDescriptorProto()
    proto.NetParameter.DESCRIPTOR.file.CopyToProto(schema)
    for message in schema.message_type:
        kept = [field for field in message.field if field.number < EXTENSIONS]
        del message.field[:]
        message.field.extend(kept)
    pool = descriptor_pool.DescriptorPool()
    return message_factory.GetMessageClass(pool.Add(schema).message_types_by_name[name])  # type: ignore[no-any-return]


def strangers(message: Message) -> Iterator[int]:
    """The numbers of all fields, of the message and those in it, that its schema does not know."""
    yield from (field.field_number for field in unknown_fields.UnknownFieldSet(message))
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                yield from strangers(one)


def written(tmp_path: Path, more: str = "") -> list[Path]:
    """Model and state of a run whose net and solver use extensions."""
    solver, _ = solver_of(files(tmp_path, tmp_path / "out" / "s", "Adam", more))
    solver.step(2)
    solver.snapshot()
    solver.close()
    return sorted((tmp_path / "out").glob("s_iter_2.*"))


@pytest.mark.parametrize("more", ["", "snapshot_diff: true"])
def test_binary_files_have_no_strange_fields_but_extensions(tmp_path: Path, more: str) -> None:
    model, state = written(tmp_path, more)
    for path, name in ((model, "NetParameter"), (state, "SolverState")):
        message: Any = pure(name).FromString(path.read_bytes())
        found = set(strangers(message))
        assert found
        assert min(found) >= EXTENSIONS
        assert message.IsInitialized()
        whole = getattr(proto, name).FromString(path.read_bytes())
        assert set(strangers(whole)) == set()
    assert message.iter == 2
    assert message.learned_net.endswith("s_iter_2.caffemodel")
    assert len(message.history) == 2 * 7  # of convolution, statistics and inner product


def test_an_hdf5_state_has_one_data_set_more(tmp_path: Path) -> None:
    model, state = written(tmp_path, "snapshot_format: HDF5")
    with h5py.File(state) as file:
        assert set(file) == {"iter", "learned_net", "current_step", "history", "caffelite_run"}
        assert proto.RunState.FromString(file["caffelite_run"][()].tobytes()).net[0].position == 4
    with h5py.File(model) as file:
        assert set(file) == {"data"}
