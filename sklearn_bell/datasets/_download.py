"""Downloads of data sets from their publishers, verified by checksums."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath

from sklearn_bell.datasets._base import Source, get_data_home
from sklearn_bell.exceptions import InvalidECGError

_CHECKSUMS = "SHA256SUMS.txt"  # published by PhysioNet for each data set
_TIMEOUT = 30  # s without a byte
_ATTEMPTS = 5  # for each file, with a pause of 1 s, 2 s, ... before each but the first


def download_if_absent(source: Source, data_home, prefixes, n_connections, verbose) -> None:
    """Download the missing files whose names start with one of the prefixes."""
    folder = get_data_home(data_home) / source.folders[0]
    with suppress(FileNotFoundError):
        if source.find(data_home) != folder or not (folder / _CHECKSUMS).exists():
            return  # a copy from elsewhere stays untouched
    try:
        import pooch
    except ImportError as error:
        raise ImportError("Downloads need pooch: pip install 'sklearn_bell[fetch]'") from error
    registry = {_CHECKSUMS: None}
    files = pooch.create(folder, source.files, registry=registry, retry_if_failed=_ATTEMPTS - 1)

    def fetch(name: str) -> None:
        try:
            files.fetch(name, downloader=pooch.HTTPDownloader(timeout=_TIMEOUT))
        except (OSError, ValueError) as error:
            raise OSError(
                f"Could not download {name} of {source.name} from {source.files}: {error}. Call "
                f"again to resume; files already in {folder} are kept."
            ) from error

    with ExitStack() as stack:  # to silence pooch, which logs each of thousands of files
        logger = pooch.get_logger()
        stack.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.ERROR)
        fetch(_CHECKSUMS)
        checksums = _read_checksums(folder / _CHECKSUMS)
        files.registry = {name: checksums[name] for name in checksums if name.startswith(prefixes)}
        if not files.registry:
            problem = f"Expected files of {source.name} under {', '.join(prefixes)}, got none in"
            raise InvalidECGError(f"{problem} {folder / _CHECKSUMS}. Choose folders listed there.")
        # pooch names a file only once its checksum is verified, so every present file is complete
        missing = [name for name in files.registry if not (folder / name).exists()]
        if verbose and missing:
            print(
                f"Downloading {len(missing)} files of {source.name} to {folder}.\n"
                f"Source: {source.url} (licence {source.licence}). Please cite:\n{source.citation}",
                file=sys.stderr,
            )
        for parent in {(folder / name).parent for name in missing}:  # connections would compete
            parent.mkdir(parents=True, exist_ok=True)
        executor = ThreadPoolExecutor(n_connections)
        stack.callback(executor.shutdown, cancel_futures=True)
        jobs = [executor.submit(fetch, name) for name in missing]
        done: Iterable[Future] = as_completed(jobs)
        if verbose and missing:
            from rich.console import Console
            from rich.progress import track

            done = track(done, "Downloading", len(jobs), console=Console(stderr=True))
        for job in done:
            job.result()


def _read_checksums(path: Path) -> dict[str, str]:
    """Return the checksum of each published file, by its name."""
    checksums = {}
    for line in path.read_text("utf-8").splitlines():
        match = re.fullmatch(r"([0-9a-f]{64}) [ *]?(\S.*)", line)
        name = PurePosixPath(match[2]) if match else None
        if not match or not name or name.is_absolute() or ".." in name.parts or "\\" in line:
            problem = f"{path} has an invalid line: {line[:100]!r}"
            raise InvalidECGError(f"{problem}. Delete this file to download it anew.")
        checksums[match[2]] = f"sha256:{match[1]}"
    return checksums
