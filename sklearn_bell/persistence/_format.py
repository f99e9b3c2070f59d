"""The files of this library: arrays and numbers, none of which is run when it is read.

A file is one of safetensors. Its header holds a description as JSON, in which arrays are named, and
the SHA-256 of the whole file, so that any bit that has changed is noticed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import threading
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from sklearn_bell.exceptions import InvalidFileError

FORMAT = 1  # the newest that is read, and the one that is written

_ARRAY, _TENSOR = "array", "tensor"  # keys of a dict of one entry that stands for one
_NO_DIGEST = "0" * 64  # stands where the checksum comes
_UNFINISHED = ".unfinished"


def write_file(path, content, kind):
    """Write dicts, lists, numbers, strings, arrays and tensors; all of them, or nothing.

    What was at `path` before stays there until the new file is complete, and safe on the disk.

    Parameters
    ----------
    path : Path
    content : dict
        Keys are strings. Tensors may be on any device.
    kind : str
        What is in the file, such as "checkpoint".

    Raises
    ------
    OSError
        If there is no room, or no permission. It names the file.
    """
    data = to_bytes(content, kind)
    # of this machine, process and thread: others write to the same folder
    writer = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
    unfinished = path.with_name(f".{path.name}.{writer}{_UNFINISHED}")
    try:
        with open(unfinished, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        if not isinstance(error, OSError):
            raise
        raise type(error)(
            error.errno, f"Could not write {len(data) / 1e6:.1f} MB ({error.strerror})", str(path)
        ) from error


def remove_unfinished(folder):
    """Remove what processes of this machine have left that were killed while they wrote."""
    for path in folder.glob(f".*-*-*{_UNFINISHED}"):
        host, process, _ = path.name.removesuffix(_UNFINISHED).rsplit("-", 2)
        if host.endswith(f".{socket.gethostname()}") and not _is_running(process):
            path.unlink(missing_ok=True)


def read_file(path, kind):
    """Return what was written.

    Raises
    ------
    InvalidFileError
        A ``ValueError`` that names the file and what is wrong with it.
    OSError
        If there is no such file, or no permission.
    """
    data = Path(path).read_bytes()
    try:
        return from_bytes(data, kind)
    except InvalidFileError as error:
        raise InvalidFileError(f"{path}: {error}") from error


def to_bytes(content, kind):
    """Return the bytes of a file, as :func:`write_file` writes it."""
    tensors: dict[str, torch.Tensor] = {}
    description = {"format": FORMAT, "kind": kind, "content": _taken_apart(content, tensors)}
    metadata = {"description": json.dumps(description), "sha256": _NO_DIGEST}
    data = safetensors.torch.save(tensors, metadata)
    start, end = _place_of_digest(data)
    return data[:start] + hashlib.sha256(data).hexdigest().encode() + data[end:]


def from_bytes(data, kind):
    """Return what is in the bytes of a file, as :func:`read_file` does."""
    try:
        start, end = _place_of_digest(data)
    except ValueError as error:
        raise InvalidFileError(f"it is no file of sklearn_bell ({error})") from error
    blank = hashlib.sha256(data[:start] + _NO_DIGEST.encode() + data[end:])
    if blank.hexdigest().encode() != data[start:end]:
        raise InvalidFileError("it is damaged: its checksum is not that of its content")
    try:
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        description = json.loads(metadata["description"])
        version, found = int(description["format"]), str(description["kind"])
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise InvalidFileError(f"it has no description of sklearn_bell ({error})") from error
    if version > FORMAT:
        raise InvalidFileError(
            f"it has format {version}, but this version of sklearn_bell reads up to {FORMAT}. Use "
            "a newer one"
        )
    if found != kind:
        raise InvalidFileError(f"it is a {found}, not a {kind}")
    try:
        return _put_together(description["content"], safetensors.torch.load(data))
    except (LookupError, RecursionError, TypeError, ValueError, SafetensorError) as error:
        raise InvalidFileError(f"its arrays are not those of its description ({error})") from error


def _place_of_digest(data):
    """Return where the checksum begins and ends; a ``ValueError`` says why there is none."""
    n_header = int.from_bytes(data[:8], "little")
    if len(data) < 8 or n_header > len(data) - 8:
        raise ValueError("it is too short")
    marker = b'"sha256":"'
    start = data.rfind(marker, 8, 8 + n_header) + len(marker)
    end = start + len(_NO_DIGEST)
    if start < len(marker) or end > 8 + n_header:
        raise ValueError("it has no checksum")
    return start, end


def _taken_apart(value, tensors):
    """Return the same with names of arrays instead of these, which JSON can hold."""
    if isinstance(value, dict):
        return {name: _taken_apart(one, tensors) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_taken_apart(one, tensors) for one in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | torch.Tensor):
        name = str(len(tensors))
        if isinstance(value, np.ndarray):
            tensors[name] = torch.from_numpy(np.array(value, order="C"))
            return {_ARRAY: name}
        # a copy, which shares no memory with another tensor
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {_TENSOR: name}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{type(value).__name__} cannot be written to a file.")


def _put_together(value, tensors):
    if isinstance(value, list):
        return [_put_together(one, tensors) for one in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_TENSOR}:
        return tensors[value[_TENSOR]]
    if value.keys() == {_ARRAY}:
        return tensors[value[_ARRAY]].numpy()
    return {name: _put_together(one, tensors) for name, one in value.items()}


def _sync_folder(folder):
    """Make sure that a new name survives a crash, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_running(process):
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError):
        return True
    return True
