"""Atomic writing of files."""

import errno
import os
import resource
from pathlib import Path

import pytest

from sklearn_bell._utils.io import write_atomically


@pytest.fixture
def path(tmp_path):
    (tmp_path / "file").write_bytes(b"before")
    return tmp_path / "file"


@pytest.mark.parametrize("data", [b"", b"x", bytes(10**6)])
def test_write_replaces_the_file(data, path):
    write_atomically(path, data)
    assert path.read_bytes() == data
    assert os.listdir(path.parent) == ["file"]


def test_write_makes_a_new_file(tmp_path):
    write_atomically(tmp_path / "new", b"x")
    assert (tmp_path / "new").read_bytes() == b"x"


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt(), MemoryError()]
)
def test_failed_write_keeps_the_previous_file(function, error, path, monkeypatch):
    def fail(*args):
        raise error

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error)):
        write_atomically(path, b"after")
    assert path.read_bytes() == b"before"
    assert os.listdir(path.parent) == ["file"]


def test_oserror_names_the_file(path, monkeypatch):
    def fail(descriptor):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(PermissionError, match=r"Could not write 2\.0 MB \(Operation not") as error:
        write_atomically(path, bytes(2 * 10**6))
    assert (error.value.errno, error.value.filename) == (errno.EPERM, str(path))


def test_missing_folder_raises(tmp_path):
    with pytest.raises(FileNotFoundError, match="Could not write"):
        write_atomically(tmp_path / "missing" / "file", b"x")


def test_file_size_limit_keeps_the_previous_file(path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"Could not write 0\.1 MB \(File too large"):
            write_atomically(path, bytes(10**5))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"before"
    assert os.listdir(path.parent) == ["file"]


def test_file_is_flushed_before_it_is_renamed(path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        usual = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *args, name=name, usual=usual: (calls.append(name), usual(*args))[1]
        )
    write_atomically(path, b"x")
    assert calls == ["fsync", "replace", "fsync"]  # the file, its name, the folder


def test_folder_without_fsync_is_accepted(path, monkeypatch):
    usual = os.open

    def fail(name, *args, **kwargs):
        if Path(name).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied")
        return usual(name, *args, **kwargs)

    monkeypatch.setattr(os, "open", fail)
    write_atomically(path, b"after")
    assert path.read_bytes() == b"after"
