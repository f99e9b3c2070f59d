"""Guards of files: what may be opened, and the encoding of text."""

from __future__ import annotations

import codecs
import os
import re
import stat
from dataclasses import dataclass

from sklearn_bell.exceptions import InvalidECGError

#: First line of tables that Excel writes, which names the separator.
SEPARATOR_LINE = re.compile(r"\"?sep=(.)\"?\r?\n", re.IGNORECASE)


@dataclass(frozen=True)
class ReadPolicy:
    """Checks of the files."""

    root: str | os.PathLike[str] | None = None  # holds all files; None: the folder of the record
    verify: bool = True  # compare samples with length and checksum in the header
    allow_links: bool = False  # out of the root

    def __post_init__(self):
        if self.root is not None:  # workers that still run may have another current folder
            object.__setattr__(self, "root", os.path.abspath(self.root))


def resolve_inside(folder: str | os.PathLike[str], name: str, policy: ReadPolicy) -> str:
    """Return the path of a file that a header in the folder names, and that may be opened."""
    if name in (".", "..") or any(separator in name for separator in "/\\:\0"):
        raise InvalidECGError(f"its header points outside its own folder, to {name}.")
    path = os.path.join(folder, name)
    check_file(path, policy)
    return path


def check_file(path: str, policy: ReadPolicy) -> None:
    """Raise unless this is a regular file, inside the root of the policy once links are followed.

    Without a root, it is the folder of the file.
    """
    folder, name = os.path.split(path)
    root = os.path.realpath(policy.root or folder)
    if not policy.allow_links and os.path.commonpath([os.path.realpath(path), root]) != root:
        problem = f"its file {name} is a link out of {root}"
        raise InvalidECGError(f"{problem}. Pass allow_links=True if you trust it.")
    if not stat.S_ISREG(os.stat(path).st_mode):  # reading a pipe would block
        raise InvalidECGError(f"its file {name} is not a regular file.")


def find_encoding(content: bytes) -> str:
    """Return the encoding of text by its beginning: UTF-8, UTF-16 with a mark, else Latin-1."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content)  # may end inside a character
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"
