"""File format: tensors as safetensors, everything else as JSON in its metadata.

The metadata hold a description, in which arrays stand by name, and a SHA-256 over the description
and the names, dtypes, shapes and bytes of all tensors. Reading runs no code from the file.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from sklearn_bell._utils.io import write_atomically
from sklearn_bell.exceptions import InvalidFileError

FORMAT = 1  # written, and the newest that is read

_ARRAY, _TENSOR = "array", "tensor"  # keys of one-entry dicts that stand for an array or tensor


def write_file(path, content, kind):
    """Write dicts with string keys, lists, scalars, arrays and tensors; `kind` names their type."""
    write_atomically(path, to_bytes(content, kind))


def read_file(path, kind):
    """Read the content of a file; an InvalidFileError names the file and the defect."""
    data = Path(path).read_bytes()
    try:
        return from_bytes(data, kind)
    except InvalidFileError as error:
        raise InvalidFileError(f"{path}: {error}") from error


def to_bytes(content, kind):
    """Serialise the content, as :func:`write_file` writes it."""
    tensors: dict[str, torch.Tensor] = {}

    def extract_tensor(value):
        """Collect an array or tensor on the CPU, and return its description."""
        name = str(len(tensors))
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, np.ndarray):
            tensors[name] = torch.from_numpy(np.array(value, order="C"))
            return {_ARRAY: name}
        if isinstance(value, torch.Tensor):
            # a copy, so that no two tensors share memory, which safetensors refuses
            tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
            return {_TENSOR: name}
        raise TypeError(f"{type(value).__name__} cannot be written to a file.")

    tree = {"format": FORMAT, "kind": kind, "content": content}
    description = json.dumps(tree, default=extract_tensor)
    metadata = {"description": description, "sha256": _digest(description, tensors)}
    return safetensors.torch.save(tensors, metadata)


def from_bytes(data, kind):
    """Deserialise the content, as :func:`read_file` reads it."""
    try:
        n_header = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + n_header])["__metadata__"]
        description, sha256 = metadata["description"], metadata["sha256"]
        tensors = safetensors.torch.load(data)
    except (LookupError, RecursionError, TypeError, ValueError, SafetensorError) as error:
        raise InvalidFileError(f"it is damaged or no file of sklearn_bell ({error})") from error
    if _digest(description, tensors) != sha256:
        raise InvalidFileError("it is damaged: its checksum does not match its content")

    def insert_tensor(entry):
        if entry.keys() == {_TENSOR}:
            return tensors[entry[_TENSOR]]
        return tensors[entry[_ARRAY]].numpy() if entry.keys() == {_ARRAY} else entry

    try:
        tree = json.loads(description)
        version, file_kind = int(tree["format"]), str(tree["kind"])
        if version > FORMAT:
            raise InvalidFileError(
                f"it has format {version}, but this version of sklearn_bell reads up to {FORMAT}. "
                "Install a newer version"
            )
        if file_kind != kind:
            raise InvalidFileError(f"it is a {file_kind}, not a {kind}")
        return json.loads(description, object_hook=insert_tensor)["content"]
    except InvalidFileError:
        raise
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise InvalidFileError(f"its description is not valid ({error})") from error


def _digest(description, tensors):
    digest = hashlib.sha256(str(description).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        if tensor.numel():  # an empty tensor cannot be viewed as bytes
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
