"""Reads TensorFlow's checkpoints without TensorFlow: V2 (`NAME.index` + `NAME.data-00000-of-00001`) and V1 (one file).

Both have a sorted table in LevelDB's format. In V2 its values say where in the data file an array lies; in V1 they hold
the arrays themselves.
Sources: github.com/tensorflow/tensorflow `tensorflow/core/protobuf/tensor_bundle.proto`,
`tensorflow/core/util/tensor_bundle/`, `tensorflow/core/util/saved_tensor_slice.proto`.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reference.table import CheckpointError, check_crc32c, iterate_fields, iterate_table, list_values, parse_shape

DTYPES = {1: np.dtype("<f4"), 2: np.dtype("<f8"), 3: np.dtype("<i4"), 9: np.dtype("<i8")}
"""The numeric types of tensorflow/core/framework/types.proto that a network's weights use."""

PACKED_FIELDS = {1: 5, 2: 6}
"""Where a TensorProto keeps the values of a type, one after the other: float_val and double_val."""


@dataclass(frozen=True)
class ArrayEntry:
    """Where an array lies in the data file (a BundleEntryProto)."""

    dtype: int
    shape: tuple[int, ...]
    offset: int
    size_bytes: int
    masked_crc32c: int


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a checkpoint by variable name, sorted: V1 where `path` is a file, else V2 with the prefix `path`.

    Every checksum is compared. OSError when a file cannot be read; CheckpointError when one is damaged, or of a kind
    that this reader does not know: compressed table, several data files, big-endian, strings, partitioned variables.
    """
    version, read = (1, _read_v1) if path.is_file() else (2, _read_v2)
    try:
        return read(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be read as a TensorFlow V{version} checkpoint: {error}.") from error
    except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise CheckpointError(f"{path} is no TensorFlow V{version} checkpoint, or damaged: fetch it again.") from error


def _read_v2(prefix: Path) -> dict[str, np.ndarray]:
    index = prefix.with_name(f"{prefix.name}.index").read_bytes()
    data = prefix.with_name(f"{prefix.name}.data-00000-of-00001").read_bytes()
    table = {key.decode(): value for key, value in iterate_table(index)}
    _check_header(table.pop("", b""))
    return {name: _read_array(data, name, _parse_entry(value)) for name, value in table.items()}


def _check_header(message: bytes) -> None:
    header = dict(iterate_fields(message))
    if header.get(1) != 1:
        raise CheckpointError(f"it has {header.get(1, 'no')} data files, only one is supported")
    if header.get(2, 0) != 0:
        raise CheckpointError("it is big-endian")


def _parse_entry(message: bytes) -> ArrayEntry:
    values = dict(iterate_fields(message))
    if 7 in values:
        raise CheckpointError("a variable is stored in slices (a partitioned variable)")
    return ArrayEntry(
        dtype=values[1],
        shape=parse_shape(values.get(2, b"")),
        offset=values.get(4, 0),
        size_bytes=values.get(5, 0),
        masked_crc32c=int.from_bytes(values[6], "little"),
    )


def _read_array(data: bytes, name: str, entry: ArrayEntry) -> np.ndarray:
    if entry.dtype not in DTYPES:
        raise CheckpointError(f"{name} is of TensorFlow's type {entry.dtype}, known are {sorted(DTYPES)}")
    dtype = DTYPES[entry.dtype]
    raw = data[entry.offset : entry.offset + entry.size_bytes]
    if len(raw) != entry.size_bytes or len(raw) != dtype.itemsize * int(np.prod(entry.shape)):
        raise CheckpointError(f"{name} does not fit into the data file")
    check_crc32c(raw, entry.masked_crc32c, name)
    return np.frombuffer(raw, dtype).reshape(entry.shape).copy()


def _read_v1(path: Path) -> dict[str, np.ndarray]:
    table = iterate_table(path.read_bytes())
    _, header = next(table, (b"", b""))  # its key is empty, so it comes first
    slices = [dict(iterate_fields(saved)) for _, value in table for saved in list_values(value, 2)]
    tensors = {values[1].decode(): values[3] for values in slices}
    metas = [meta for part in list_values(header, 1) for meta in list_values(part, 1)]
    return dict(sorted(_read_tensor(meta, tensors) for meta in metas))


def _read_tensor(meta: bytes, tensors: dict[str, bytes]) -> tuple[str, np.ndarray]:
    """An array from its SavedSliceMeta and the TensorProtos of all; those have neither shape nor type of their own."""
    values = dict(iterate_fields(meta))
    name, dtype, shape = values[1].decode(), values[3], parse_shape(values.get(2, b""))
    slices = list_values(meta, 4)
    if len(slices) != 1 or any(list_values(slices[0], 1)):  # an extent that says nothing is the whole of its axis
        raise CheckpointError(f"{name} is stored in slices (a partitioned variable)")
    if dtype not in PACKED_FIELDS:
        raise CheckpointError(f"{name} is of TensorFlow's type {dtype}, known here are {sorted(PACKED_FIELDS)}")
    if name not in tensors:
        raise CheckpointError(f"the values of {name} are not there")
    array = np.frombuffer(b"".join(list_values(tensors[name], PACKED_FIELDS[dtype])), DTYPES[dtype])
    if array.size != int(np.prod(shape)):
        raise CheckpointError(f"{name} has {array.size} values, its shape {shape} needs {int(np.prod(shape))}")
    return name, array.reshape(shape).copy()
