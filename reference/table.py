"""What checkpoints are made of: LevelDB's sorted tables with their checksums, and protocol buffers.

Sources: github.com/google/leveldb `doc/table_format.md`; protobuf.dev, "Encoding".
"""

import struct
from collections.abc import Iterator

TABLE_MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES = 48
BLOCK_TRAILER_BYTES = 5
"""After each block: one byte for the compression, four for the checksum."""

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
"""Wire types of protocol buffers."""


class CheckpointError(ValueError):
    """The bytes are not those of a checkpoint that this reader knows."""


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


def check_crc32c(data: bytes, masked: int, what: str) -> None:
    """Raise CheckpointError where `data` has another checksum than the one stored beside it."""
    # LevelDB stores checksums rotated and shifted, because a checksum of data that holds its own checksum is weak
    crc = compute_crc32c(data)
    expected = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    if expected != masked:
        raise CheckpointError(f"the checksum of {what} does not match, fetch the file again")


def iterate_table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table, in order; CheckpointError, IndexError or struct.error where it is damaged."""
    if len(content) < FOOTER_BYTES or struct.unpack("<Q", content[-8:])[0] != TABLE_MAGIC:
        raise CheckpointError("the table's end mark is not there")
    footer = content[-FOOTER_BYTES:]
    _, _, at = _parse_handle(footer, 0)  # the meta index, which checkpoints leave empty
    offset, size, _ = _parse_handle(footer, at)
    for _, handle in _iterate_block(_read_block(content, offset, size)):
        yield from _iterate_block(_read_block(content, *_parse_handle(handle, 0)[:2]))


def _read_block(content: bytes, offset: int, size: int) -> bytes:
    block = content[offset : offset + size + BLOCK_TRAILER_BYTES]
    if len(block) != size + BLOCK_TRAILER_BYTES:
        raise CheckpointError("a block lies beyond its end")
    compression, masked = struct.unpack("<BI", block[size:])
    check_crc32c(block[: size + 1], masked, "a block of its table")
    if compression:
        raise CheckpointError("its table is compressed, save it with a TensorFlow that leaves it plain (1.0 or later)")
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


def iterate_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values of a message's fields: integers, or the bytes of whatever is not a varint."""
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
            raise CheckpointError("a message in it ends early")
        yield tag >> 3, message[at : at + size]
        at += size


def list_values(message: bytes, field: int) -> list[int | bytes]:
    """All values of a repeated field."""
    return [value for number, value in iterate_fields(message) if number == field]


def parse_shape(message: bytes) -> tuple[int, ...]:
    """The sizes in a TensorShapeProto."""
    return tuple(dict(iterate_fields(dim)).get(1, 0) for dim in list_values(message, 2))
