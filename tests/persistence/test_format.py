"""File format: tensors and JSON with a checksum."""

import json
import math
import os

import numpy as np
import pytest
import torch

from sklearn_bell.exceptions import InvalidFileError
from sklearn_bell.persistence import _format
from sklearn_bell.persistence._format import FORMAT, from_bytes, read_file, to_bytes, write_file

SMALL = {"array": np.arange(3), "name": "value", "numbers": [1, 2.5]}
CONTENT = {
    "numbers": [1, -2.5, 1e-310, math.inf, True, None, 'text " sha256 \u00e9'],
    "array": np.arange(6, dtype=np.int64).reshape(2, 3).T,
    "weights": {"a": torch.ones(2, 1, dtype=torch.bfloat16), "b": torch.tensor(3.0)},
    "flags": np.array([True, False]),
    "empty": [np.zeros((0, 3), np.float32), {}, []],
}


def leaves(value, path=()):
    """Yield the path, type and value of every leaf, arrays and tensors by their bytes."""
    if isinstance(value, dict | list) and value:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, key))
    elif isinstance(value, torch.Tensor):
        data = value.reshape(-1).view(torch.uint8).numpy().tobytes()
        yield path, "tensor", str(value.dtype), tuple(value.shape), data
    elif isinstance(value, np.ndarray):
        yield path, "array", str(value.dtype), value.shape, value.tobytes()
    else:
        yield path, type(value), repr(value)


@pytest.mark.parametrize("content", [CONTENT, SMALL, {}], ids=["all", "small", "empty"])
def test_content_is_read_as_written(content, tmp_path):
    write_file(tmp_path / "file", content, "kind")
    assert list(leaves(read_file(tmp_path / "file", "kind"))) == list(leaves(content))
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5), (np.int64(3), 3), (np.bool_(True), True), ((1, 2), [1, 2]),
        (torch.nn.Parameter(torch.ones(2)), torch.ones(2)),
    ],
)  # fmt: skip
def test_other_types_are_converted(value, expected):
    content = from_bytes(to_bytes({"value": value}, "kind"), "kind")
    assert list(leaves(content["value"])) == list(leaves(expected))


def test_tensors_that_share_memory_are_copied():
    whole = torch.arange(6.0)
    content = from_bytes(to_bytes({"whole": whole, "part": whole[::2]}, "kind"), "kind")
    assert torch.equal(content["part"], whole[::2])


def assert_detected(data):
    """Assert that damaged bytes are refused, or still have the same content."""
    try:
        content = from_bytes(bytes(data), "kind")
    except InvalidFileError:
        return
    assert list(leaves(content)) == list(leaves(SMALL))


@pytest.mark.parametrize("bit", range(8))
def test_flipped_bit_is_detected(bit):
    data = to_bytes(SMALL, "kind")
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << bit
        assert_detected(damaged)


def test_truncated_file_is_refused():
    data = to_bytes(SMALL, "kind")
    for n_bytes in range(len(data)):
        with pytest.raises(InvalidFileError):
            from_bytes(data[:n_bytes], "kind")


def test_longer_file_is_refused():
    with pytest.raises(InvalidFileError, match="it is damaged"):
        from_bytes(to_bytes(SMALL, "kind") + b"x", "kind")


def resealed(**changes):
    """Return a file whose checksum is right, but not its description."""
    data = to_bytes(SMALL, "kind")
    n_header = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + n_header])["__metadata__"]
    description = json.dumps(json.loads(metadata["description"]) | changes)
    tensors = {"0": torch.arange(3)}
    metadata = {"description": description, "sha256": _format._digest(description, tensors)}
    return _format.safetensors.torch.save(tensors, metadata)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format": FORMAT + 1}, "Install a newer version"),
        ({"format": "newest"}, "its description is not valid"),
        ({"format": math.inf}, "its description is not valid"),
        ({"format": None}, "its description is not valid"),
        ({"kind": "model"}, "it is a model, not a kind"),
        ({"content": {"array": {"array": "7"}}}, "its description is not valid"),
        ({"content": {"array": {"tensor": []}}}, "its description is not valid"),
    ],
)
def test_invalid_description_is_refused(changes, match):
    with pytest.raises(InvalidFileError, match=match):
        from_bytes(resealed(**changes), "kind")


@pytest.mark.parametrize(
    "data", [b"", b"{}", bytes(8), bytes(100), b"\xff" * 100, b"[" * 10**5, b"PK\x03\x04" * 9]
)
def test_other_files_are_refused(data):
    with pytest.raises(InvalidFileError, match="it is damaged or no file of sklearn_bell"):
        from_bytes(data, "kind")


def test_deep_json_is_refused():
    header = b'{"__metadata__":' + b"[" * 10**5
    with pytest.raises(InvalidFileError):
        from_bytes(len(header).to_bytes(8, "little") + header, "kind")


def test_errors_name_the_file(tmp_path):
    (tmp_path / "file").write_bytes(b"nothing")
    with pytest.raises(InvalidFileError, match=str(tmp_path / "file")):
        read_file(tmp_path / "file", "kind")
    with pytest.raises(FileNotFoundError, match="missing"):
        read_file(tmp_path / "missing", "kind")


def test_unsupported_types_leave_the_previous_file(tmp_path):
    write_file(tmp_path / "file", {"x": 1}, "kind")
    with pytest.raises(TypeError, match="object cannot be written"):
        write_file(tmp_path / "file", {"x": object()}, "kind")
    assert read_file(tmp_path / "file", "kind") == {"x": 1}
