"""Atomic writing of files."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file completely or not at all; the previous file stays until then.

    Raises
    ------
    OSError
        If the disk is full or the folder is not writable. The error names the file.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        message = f"Could not write {len(data) / 1e6:.1f} MB ({error.strerror})"
        raise type(error)(error.errno, message, str(path)) from error


def _sync_folder(folder):
    """Flush the folder entry, so that the new name survives a crash."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
