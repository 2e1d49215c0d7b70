"""Weights and solver states on disk, in the original's formats: NumPy arrays in and out."""

from .atomic import write_atomic
from .blobs import array_to_blob, blob_to_array
from .caffemodel import LayerParts, LayerWeights, NetParts, Weights, read_best, read_weights, write_weights
from .kinds import Kind, kind_of
from .names import Snapshot, best_name, newest, snapshot_files, snapshot_names, snapshots, whole
from .solverstate import FARTHEST, SolverStateData, digest_of, read_state, weights_of, write_state

__all__ = [
    "FARTHEST",
    "Kind",
    "LayerParts",
    "LayerWeights",
    "NetParts",
    "Snapshot",
    "SolverStateData",
    "Weights",
    "best_name",
    "digest_of",
    "blob_to_array",
    "kind_of",
    "newest",
    "read_best",
    "read_state",
    "read_weights",
    "snapshot_files",
    "snapshot_names",
    "snapshots",
    "array_to_blob",
    "weights_of",
    "whole",
    "write_atomic",
    "write_state",
    "write_weights",
]
