"""Reads TensorFlow V2 checkpoints (`NAME.index` + `NAME.data-00000-of-00001`) without TensorFlow.

The index is a sorted table in LevelDB's format; its values are protocol buffers that say where in the data file an
array lies.
Sources: github.com/google/leveldb `doc/table_format.md`; github.com/tensorflow/tensorflow
`tensorflow/core/protobuf/tensor_bundle.proto` and `tensorflow/core/util/tensor_bundle/`.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TABLE_MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES = 48
BLOCK_TRAILER_BYTES = 5
"""After each block: one byte for the compression, four for the checksum."""

DTYPES = {1: np.dtype("<f4"), 2: np.dtype("<f8"), 3: np.dtype("<i4"), 9: np.dtype("<i8")}
"""The numeric types of tensorflow/core/framework/types.proto that a network's weights use."""

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
"""Wire types of protocol buffers."""


class CheckpointError(ValueError):
    """The bytes are not those of a checkpoint that this reader knows."""


@dataclass(frozen=True)
class ArrayEntry:
    """Where an array lies in the data file (a BundleEntryProto)."""

    dtype: int
    shape: tuple[int, ...]
    offset: int
    size_bytes: int
    masked_crc32c: int


def read_checkpoint(prefix: Path) -> dict[str, np.ndarray]:
    """All arrays of the checkpoint `prefix.index` + `prefix.data-00000-of-00001`, by variable name, sorted.

    Every checksum of both files is compared. OSError when a file cannot be read; CheckpointError when one is damaged,
    or of a kind that this reader does not know: compressed index, several data files, big-endian, strings,
    partitioned variables.
    """
    index = prefix.with_name(f"{prefix.name}.index").read_bytes()
    data = prefix.with_name(f"{prefix.name}.data-00000-of-00001").read_bytes()
    try:
        table = _parse_table(index)
        _check_header(table.pop("", b""))
        return {name: _read_array(data, name, _parse_entry(value)) for name, value in table.items()}
    except CheckpointError as error:
        raise CheckpointError(f"{prefix} cannot be read as a TensorFlow V2 checkpoint: {error}.") from error
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise CheckpointError(f"{prefix} is no TensorFlow V2 checkpoint, or damaged: fetch it again.") from error


def compute_crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of `data`, as an unsigned integer. RFC 3720, appendix B.4 has test vectors."""
    crc = 0xFFFFFFFF
    table = _CRC32C_TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _make_crc32c_table() -> list[int]:
    table = []
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_CRC32C_TABLE = _make_crc32c_table()


def _check_crc32c(data: bytes, masked: int, what: str) -> None:
    # LevelDB stores checksums rotated and shifted, because a checksum of data that holds its own checksum is weak
    crc = compute_crc32c(data)
    expected = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    if expected != masked:
        raise CheckpointError(f"the checksum of {what} does not match, fetch the file again")


def _parse_table(index: bytes) -> dict[str, bytes]:
    if len(index) < FOOTER_BYTES or struct.unpack("<Q", index[-8:])[0] != TABLE_MAGIC:
        raise CheckpointError("the table's end mark is not there")
    footer = index[-FOOTER_BYTES:]
    _, _, at = _parse_handle(footer, 0)  # the meta index, which checkpoints leave empty
    offset, size, _ = _parse_handle(footer, at)
    table = {}
    for _, handle in _iterate_block(_read_block(index, offset, size)):
        block = _read_block(index, *_parse_handle(handle, 0)[:2])
        table.update((key.decode(), value) for key, value in _iterate_block(block))
    return table


def _read_block(index: bytes, offset: int, size: int) -> bytes:
    block = index[offset : offset + size + BLOCK_TRAILER_BYTES]
    if len(block) != size + BLOCK_TRAILER_BYTES:
        raise CheckpointError("a block lies beyond its end")
    compression, masked = struct.unpack("<BI", block[size:])
    _check_crc32c(block[: size + 1], masked, "a block of the index")
    if compression:
        raise CheckpointError("its index is compressed, save it with a TensorFlow that leaves it plain (1.0 or later)")
    return block[:size]


def _iterate_block(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    restart_count = struct.unpack("<I", block[-4:])[0]
    end = len(block) - 4 - 4 * restart_count
    at, key = 0, b""
    while at < end:
        shared, at = _parse_varint(block, at)  # a key gives only what differs from the key before
        added, at = _parse_varint(block, at)
        value_size, at = _parse_varint(block, at)
        key = key[:shared] + block[at : at + added]
        yield key, block[at + added : at + added + value_size]
        at += added + value_size


def _parse_handle(data: bytes, at: int) -> tuple[int, int, int]:
    offset, at = _parse_varint(data, at)
    size, at = _parse_varint(data, at)
    return offset, size, at


def _parse_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _iterate_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        tag, at = _parse_varint(message, at)
        wire_type = tag & 7
        if wire_type == VARINT:
            value, at = _parse_varint(message, at)
            yield tag >> 3, value
            continue
        if wire_type == LENGTH_DELIMITED:
            size, at = _parse_varint(message, at)
        else:
            size = {FIXED64: 8, FIXED32: 4}[wire_type]
        if at + size > len(message):
            raise CheckpointError("a message in its index ends early")
        yield tag >> 3, message[at : at + size]
        at += size


def _check_header(message: bytes) -> None:
    header = dict(_iterate_fields(message))
    if header.get(1) != 1:
        raise CheckpointError(f"it has {header.get(1, 'no')} data files, only one is supported")
    if header.get(2, 0) != 0:
        raise CheckpointError("it is big-endian")


def _parse_entry(message: bytes) -> ArrayEntry:
    fields = list(_iterate_fields(message))
    values = dict(fields)
    if 7 in values:
        raise CheckpointError("a variable is stored in slices (a partitioned variable)")
    dims = [dict(_iterate_fields(dim)) for field, dim in _iterate_fields(values.get(2, b"")) if field == 2]
    return ArrayEntry(
        dtype=values[1],
        shape=tuple(dim.get(1, 0) for dim in dims),
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
    _check_crc32c(raw, entry.masked_crc32c, name)
    return np.frombuffer(raw, dtype).reshape(entry.shape).copy()
