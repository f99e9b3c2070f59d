"""Atomic writing of files."""

import contextlib
import os
import uuid
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file completely or not at all; an OSError names the file, which stays as before."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        message = f"Could not write {len(data) / 1e6:.1f} MB ({error.strerror})"
        raise type(error)(error.errno, message, str(path)) from error
    finally:
        with contextlib.suppress(OSError):  # there is none after a replacement
            temporary.unlink()
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # so that the new name survives a crash
        finally:
            os.close(folder)
