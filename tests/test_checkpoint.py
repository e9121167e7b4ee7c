"""The reader of TensorFlow checkpoints: on files written here byte by byte, and on the published ones."""

import hashlib
import struct

import numpy as np
import pytest

from reference.checkpoint import read_checkpoint
from reference.table import CheckpointError, compute_crc32c, iterate_fields, list_values, parse_shape

MAGIC = bytes.fromhex("57fb808b247547db")
HEADER = b"\x08\x01\x1a\x02\x08\x01"
"""One data file, little-endian, version 1."""


def mask(crc: int) -> int:
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def make_varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + make_varint(rest) if rest else bytes([low])


def make_block(items: list[tuple[bytes, bytes]], compression: int = 0) -> bytes:
    entries, before = b"", b""
    for key, value in items:
        shared = sum(1 for n in range(1, len(key) + 1) if before[:n] == key[:n])
        added = key[shared:]
        entries += make_varint(shared) + make_varint(len(added)) + make_varint(len(value)) + added + value
        before = key
    content = entries + struct.pack("<II", 0, 1) + bytes([compression])
    return content + struct.pack("<I", mask(compute_crc32c(content)))


def make_entry(array: np.ndarray, offset: int, dtype: int = 1) -> bytes:
    shape = b"".join(b"\x12" + bytes([1 + len(make_varint(n))]) + b"\x08" + make_varint(n) for n in array.shape)
    raw = array.tobytes()
    place = b"\x12" + make_varint(len(shape)) + shape + b"\x20" + make_varint(offset) + b"\x28" + make_varint(len(raw))
    return b"\x08" + bytes([dtype]) + place + b"\x35" + struct.pack("<I", mask(compute_crc32c(raw)))


def make_table(items: list[tuple[bytes, bytes]], compression: int = 0) -> bytes:
    data_block = make_block(items, compression)
    meta_block = make_block([])
    handle = make_varint(0) + make_varint(len(data_block) - 5)
    index_block = make_block([(b"z", handle)])
    start = len(data_block)
    footer = make_varint(start) + make_varint(len(meta_block) - 5)
    footer += make_varint(start + len(meta_block)) + make_varint(len(index_block) - 5)
    return data_block + meta_block + index_block + footer.ljust(40, b"\0") + MAGIC


def write_checkpoint(folder, items, data, *, compression=0):
    (folder / "model.index").write_bytes(make_table(items, compression))
    (folder / "model.data-00000-of-00001").write_bytes(data)
    return folder / "model"


def make_field(number: int, content: bytes) -> bytes:
    return bytes([8 * number + 2]) + make_varint(len(content)) + content


def make_v1_meta(name: str, array: np.ndarray, *, dtype: int = 1, extent: bytes = b"") -> bytes:
    """A SavedSliceMeta: the shape and, of a variable in one piece, an empty extent for each axis."""
    shape = b"".join(make_field(2, b"\x08" + make_varint(size)) for size in array.shape)
    extents = b"".join(make_field(1, extent) for _ in array.shape)
    return make_field(1, name.encode()) + make_field(2, shape) + bytes([0x18, dtype]) + make_field(4, extents)


def make_v1_values(name: str, array: np.ndarray, *, field: int = 5) -> bytes:
    """A SavedTensorSlices with the values of one variable."""
    tensor = make_field(3, make_field(field, array.tobytes()))
    return make_field(2, make_field(1, name.encode()) + make_field(2, b"") + tensor)


def write_v1(path, metas: list[bytes], values: dict[str, bytes], *, compression=0):
    header = make_field(1, b"".join(make_field(1, meta) for meta in metas))
    items = [(b"", header), *((b"\0" + name.encode() + b"\0\1\1", value) for name, value in values.items())]
    path.write_bytes(make_table(items, compression))
    return path


@pytest.fixture
def arrays():
    random = np.random.default_rng(0)
    return {
        "net/W1": random.standard_normal((3, 3, 2, 150), dtype=np.float32),
        "net/W10": np.float32([7]),
        "net/b1": np.float32(3).reshape(()),
    }


@pytest.fixture
def checkpoint(tmp_path, arrays):
    items, data = [(b"", HEADER)], b""
    for name, array in arrays.items():
        items.append((name.encode(), make_entry(array, len(data))))
        data += array.tobytes()
    return write_checkpoint(tmp_path, items, data)


def test_crc32c_of_the_test_vectors():
    # RFC 3720, appendix B.4, and the check value of the catalogue of CRC algorithms
    assert compute_crc32c(bytes(32)) == 0x8A9136AA
    assert compute_crc32c(bytes([0xFF] * 32)) == 0x62A8AB43
    assert compute_crc32c(bytes(range(32))) == 0x46DD794E
    assert compute_crc32c(b"123456789") == 0xE3069283


def test_reads_names_shapes_and_values(checkpoint, arrays):
    read = read_checkpoint(checkpoint)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].shape == array.shape
        np.testing.assert_array_equal(read[name], array)


def test_reads_other_types(tmp_path):
    step = np.int64([[1, -2]])
    prefix = write_checkpoint(tmp_path, [(b"", HEADER), (b"step", make_entry(step, 0, dtype=9))], step.tobytes())
    read = read_checkpoint(prefix)["step"]
    assert read.dtype == np.int64
    np.testing.assert_array_equal(read, step)


def test_missing_file(checkpoint):
    checkpoint.with_name("model.data-00000-of-00001").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.data-00000-of-00001"):
        read_checkpoint(checkpoint)


@pytest.mark.parametrize("name", ["model.index", "model.data-00000-of-00001"])
@pytest.mark.parametrize("position", [3, 40])
def test_a_flipped_bit_is_noticed(checkpoint, name, position):
    path = checkpoint.with_name(name)
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum of"):
        read_checkpoint(checkpoint)


@pytest.mark.parametrize("kept_bytes", [0, 10, 48, 100])
def test_a_truncated_index_is_refused(checkpoint, kept_bytes):
    path = checkpoint.with_name("model.index")
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(CheckpointError, match="end mark"):
        read_checkpoint(checkpoint)


def test_a_scrambled_footer_is_refused(checkpoint):
    path = checkpoint.with_name("model.index")
    content = path.read_bytes()
    for filler in (b"\xff", b"\x7f", b"\0"):
        path.write_bytes(content[:-48] + filler * 40 + MAGIC)
        with pytest.raises(CheckpointError, match="model"):
            read_checkpoint(checkpoint)


def test_a_truncated_data_file_is_refused(checkpoint):
    path = checkpoint.with_name("model.data-00000-of-00001")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="net/b1 does not fit"):
        read_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("header", "message"),
    [(b"\x08\x02", "2 data files"), (b"", "no data files"), (b"\x08\x01\x10\x01", "big-endian")],
)
def test_other_layouts_are_refused(tmp_path, header, message):
    prefix = write_checkpoint(tmp_path, [(b"", header)], b"")
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(prefix)


def test_unknown_kinds_of_variables_are_refused(tmp_path):
    entry = make_entry(np.float32([1]), 0)
    for value, message in ((entry[:1] + b"\x07" + entry[2:], "type 7"), (entry + b"\x3a\x00", "slices")):
        prefix = write_checkpoint(tmp_path, [(b"", HEADER), (b"v", value)], bytes(4))
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(prefix)


def test_a_compressed_index_is_refused(tmp_path):
    prefix = write_checkpoint(tmp_path, [(b"", HEADER)], b"", compression=1)
    with pytest.raises(CheckpointError, match="compressed"):
        read_checkpoint(prefix)


def test_reads_a_v1_file(tmp_path, arrays):
    arrays = {name: array for name, array in reversed(arrays.items()) if array.ndim} | {"net/scale": np.float64([[2]])}
    types = {np.dtype("f4"): (1, 5), np.dtype("f8"): (2, 6)}
    metas = [make_v1_meta(name, array, dtype=types[array.dtype][0]) for name, array in arrays.items()]
    values = {name: make_v1_values(name, array, field=types[array.dtype][1]) for name, array in sorted(arrays.items())}
    read = read_checkpoint(write_v1(tmp_path / "model.ckpt", metas, values))
    assert list(read) == sorted(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
        assert read[name].flags.writeable


def test_v1_files_that_are_not_whole_are_refused(tmp_path):
    array = np.float32([1, 2, 3])
    meta, values = make_v1_meta("v", array), {"v": make_v1_values("v", array)}
    cases = [
        ([meta], {}, "values of v are not there"),
        ([meta], {"v": make_v1_values("v", array[:2])}, r"v has 2 values, its shape \(3,\) needs 3"),
        ([make_v1_meta("v", array, dtype=3)], values, "type 3"),
        ([make_v1_meta("v", array, extent=b"\x10\x02")], values, "slices"),
        ([b"\x18\x01"], values, "is no TensorFlow V1 checkpoint"),
        ([meta], {"v": make_v1_values("v", np.uint8([1, 2, 3]))}, "is no TensorFlow V1 checkpoint"),
    ]
    for metas, stored, message in cases:
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(write_v1(tmp_path / "model.ckpt", metas, stored))


def test_a_flipped_bit_of_a_v1_file_is_noticed(tmp_path):
    array = np.float32([1, 2, 3])
    path = write_v1(tmp_path / "model.ckpt", [make_v1_meta("v", array)], {"v": make_v1_values("v", array)})
    content = bytearray(path.read_bytes())
    content[content.index(array.tobytes()) + 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum of a block"):
        read_checkpoint(path)
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="end mark"):
        read_checkpoint(path)


def read_constants(graph: bytes) -> dict[str, np.ndarray]:
    """The float constants of a frozen graph by name, from the messages GraphDef, NodeDef, AttrValue, TensorProto."""
    constants = {}
    for node in list_values(graph, 1):
        fields = dict(iterate_fields(node))
        attributes = dict(tuple(dict(iterate_fields(entry)).values()) for entry in list_values(node, 5))
        if fields[2] == b"Const" and dict(iterate_fields(attributes[b"dtype"]))[6] == 1:
            tensor = dict(iterate_fields(dict(iterate_fields(attributes[b"value"]))[8]))
            values = np.frombuffer(tensor.get(4, tensor.get(5)), "<f4")
            constants[fields[1].decode()] = values.reshape(parse_shape(tensor[2]))
    return constants


@pytest.mark.assets
@pytest.mark.parametrize("name", ["dped_srcnn", "div2k_srcnn"])
def test_published_srcnn_holds_the_arrays_of_its_frozen_graph(assets_dir, name):
    folder = assets_dir / "aiff22/ai-challenge/models_pretrained"
    read, constants = read_checkpoint(folder / name), read_constants((folder / f"{name}.pb").read_bytes())
    assert {name: array.shape for name, array in read.items()} == {
        "generator/b1": (64,),
        "generator/b2": (32,),
        "generator/b3": (1,),
        "generator/w1": (9, 9, 3, 64),
        "generator/w2": (5, 5, 64, 32),
        "generator/w3": (5, 5, 32, 3),
    }
    for variable, array in read.items():
        np.testing.assert_array_equal(array, constants[variable], err_msg=variable)
    others = {variable: float(value) for variable, value in constants.items() if variable not in read}
    assert sorted(others.values()) == pytest.approx([0.5, 0.58])  # tanh(x) * 0.58 + 0.5


@pytest.mark.assets
def test_published_vdsr_is_a_v1_file(assets_dir):
    read = read_checkpoint(assets_dir / "aiff22/ai-challenge/models_pretrained/div2k_vgg19_vdsr.ckpt")
    assert len(read) == 40
    assert read["shared_model/conv_00_w"].shape == (3, 3, 1, 64)
    assert read["shared_model/conv_18_w"].shape == (3, 3, 64, 64)
    assert read["shared_model/conv_20_w"].shape == (3, 3, 64, 1)
    digest = hashlib.sha256()
    for name, array in read.items():
        digest.update(name.encode() + array.astype("<f4").tobytes())
    # names and arrays in turn as tf.train.NewCheckpointReader of TensorFlow 1.8.0 gives them, sorted by name
    assert digest.hexdigest() == "e4f3a36908d2b5905d9739a7caf09e3c6f38962366f41ce46b537fd523f570bc"


@pytest.mark.assets
def test_published_resnet_12_64_is_dped(assets_dir):
    resnet = read_checkpoint(assets_dir / "aiff22/ai-challenge/models_pretrained/dped_resnet_12_64")
    dped = read_checkpoint(assets_dir / "aiff22/DPED/models_orig/iphone_orig")
    assert list(resnet) == list(dped)
    assert len(resnet) == 12 * 2 + 8 * 2
    for name, array in resnet.items():
        np.testing.assert_array_equal(array, dped[name], err_msg=name)
