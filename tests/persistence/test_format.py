import json
import math
import os
import resource

import numpy as np
import pytest
import torch

from sklearn_bell.exceptions import InvalidFileError
from sklearn_bell.persistence._format import FORMAT, read_file, remove_unfinished, write_file

CONTENT = {
    "numbers": [1, -2.5, 1e-310, math.inf, True, None, 'text " sha256 \u00e9'],
    "array": np.arange(6, dtype=np.int64).reshape(2, 3).T,
    "weights": {"a": torch.ones(2, 1, dtype=torch.bfloat16), "b": torch.tensor(3.0)},
    "empty": [np.zeros((0, 3), np.float32), {}, []],
    "of numpy": np.float32(0.1),
}


def test_what_is_written_is_read(tmp_path):
    write_file(tmp_path / "file", CONTENT, "kind")
    found = read_file(tmp_path / "file", "kind")
    assert found.keys() == CONTENT.keys()
    assert found["numbers"] == CONTENT["numbers"]
    np.testing.assert_array_equal(found["array"], CONTENT["array"])
    assert found["array"].dtype == np.int64
    assert torch.equal(found["weights"]["a"], CONTENT["weights"]["a"])
    assert torch.equal(found["weights"]["b"], CONTENT["weights"]["b"])
    assert found["empty"][0].shape == (0, 3)
    assert found["empty"][1:] == [{}, []]
    assert np.float32(found["of numpy"]) == CONTENT["of numpy"]
    assert os.listdir(tmp_path) == ["file"]


def test_tensors_that_share_memory_are_written_each(tmp_path):
    whole = torch.arange(6.0)
    write_file(tmp_path / "file", {"whole": whole, "part": whole[::2]}, "kind")
    found = read_file(tmp_path / "file", "kind")
    assert torch.equal(found["part"], whole[::2])


def test_any_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "file"
    write_file(path, {"x": np.arange(3), "name": "value"}, "kind")
    data = path.read_bytes()
    for at in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(InvalidFileError, match=str(path)):
                read_file(path, "kind")


def test_a_part_of_a_file_or_more_than_it_is_noticed(tmp_path):
    path = tmp_path / "file"
    write_file(path, {"x": np.arange(3)}, "kind")
    data = path.read_bytes()
    for n_bytes in range(len(data)):
        path.write_bytes(data[:n_bytes])
        with pytest.raises(InvalidFileError):
            read_file(path, "kind")
    path.write_bytes(data + b"x")
    with pytest.raises(InvalidFileError):
        read_file(path, "kind")


def test_another_kind_and_a_newer_format_are_refused(tmp_path, monkeypatch):
    write_file(tmp_path / "file", {}, "model")
    with pytest.raises(InvalidFileError, match="is a model, not a checkpoint"):
        read_file(tmp_path / "file", "checkpoint")
    monkeypatch.setattr("sklearn_bell.persistence._format.FORMAT", FORMAT + 1)
    write_file(tmp_path / "file", {}, "model")
    monkeypatch.undo()
    with pytest.raises(InvalidFileError, match="Use a newer one"):
        read_file(tmp_path / "file", "model")


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    write_file(tmp_path / "file", {"x": 1}, "kind")
    with pytest.raises(TypeError, match="object cannot be written"):
        write_file(tmp_path / "file", {"x": object()}, "kind")
    assert read_file(tmp_path / "file", "kind") == {"x": 1}


def test_where_writing_fails_the_error_names_the_file_and_the_old_one_stays(tmp_path, monkeypatch):
    write_file(tmp_path / "file", {"x": 1}, "kind")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OSError, match=r"Could not write .* MB \(No space left on device\)"
    ) as error:
        write_file(tmp_path / "file", {"x": 2}, "kind")
    assert error.value.errno == 28
    assert error.value.filename == str(tmp_path / "file")
    monkeypatch.undo()
    assert read_file(tmp_path / "file", "kind") == {"x": 1}
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_larger_than_may_be_is_told(tmp_path):
    write_file(tmp_path / "file", {"x": 1}, "kind")
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, usual[1]))
    try:
        with pytest.raises(OSError, match=r"Could not write 0\.1 MB"):
            write_file(tmp_path / "file", {"x": np.zeros(10_000)}, "kind")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert read_file(tmp_path / "file", "kind") == {"x": 1}
    assert os.listdir(tmp_path) == ["file"]


def test_what_the_dead_have_left_is_removed_and_nothing_else(tmp_path):
    import socket

    host, dead = socket.gethostname(), 2**22 + 1  # more than any process has
    names = [
        f".file.{host}-{dead}-1.unfinished",
        f".file.{host}-{os.getpid()}-1.unfinished",
        f".file.another-{dead}-1.unfinished",
        "file",
    ]
    for name in names:
        (tmp_path / name).write_text(json.dumps(name))
    remove_unfinished(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(names[1:])
