"""Download data sets from their publishers, file by file, each held against its checksum."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from sklearn_bell.datasets._base import find_dataset
from sklearn_bell.datasets._sources import Source
from sklearn_bell.exceptions import InvalidECGError

_CHECKSUMS = "SHA256SUMS.txt"  # which PhysioNet has for each data set
_TIMEOUT = 30  # s without a byte
_ATTEMPTS = 5  # at a file, with a pause of 1 s, 2 s, ... before each but the first


def is_there(source: Source, home: Path) -> bool:
    """Return whether there is a copy that somebody else has made."""
    own = home / source.folders[0]
    try:
        return find_dataset(source, home) != own or not (own / _CHECKSUMS).exists()
    except FileNotFoundError:
        return False


def download(
    source: Source, home: Path, wanted: tuple[str, ...], n_connections: int, verbose: bool
) -> None:
    """Download what is not there yet of the files whose names start as is wanted."""
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            "Downloads need pooch, which is not installed: pip install 'sklearn_bell[fetch]'"
        ) from error
    folder = home / source.folders[0]
    files = pooch.create(
        path=folder,
        base_url=source.files,
        registry={_CHECKSUMS: None},
        retry_if_failed=_ATTEMPTS - 1,
    )

    def fetch(name: str) -> None:
        try:
            files.fetch(name, downloader=pooch.HTTPDownloader(timeout=_TIMEOUT))
        except (OSError, ValueError) as error:
            raise OSError(
                f"{name} of {source.name} could not be downloaded from {source.files}: {error}. "
                f"What was downloaded is kept in {folder}; call again to go on from there."
            ) from error

    with _silent(pooch.get_logger()):
        fetch(_CHECKSUMS)
        files.registry = {
            name: f"sha256:{checksum}"
            for name, checksum in _checksums(folder / _CHECKSUMS)
            if name.startswith(wanted)
        }
        # what has its name is whole: it was given that once its checksum had been found right
        missing = [name for name in files.registry if not (folder / name).exists()]
        if not missing:
            return
        if verbose:
            print(
                f"Downloading {len(missing)} files of {source.name} to {folder}.\n"
                f"Source: {source.url} (licence {source.licence}). Please cite:\n{source.citation}",
                file=sys.stderr,
            )
        for parent in {(folder / name).parent for name in missing}:  # connections would compete
            parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(n_connections) as executor:
            jobs = [executor.submit(fetch, name) for name in missing]
            try:
                for job in _progress(as_completed(jobs), len(jobs), verbose):
                    job.result()
            except BaseException:
                executor.shutdown(cancel_futures=True)
                raise


def _checksums(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the files that a publisher lists, each with its SHA-256."""
    for line in path.read_text("utf-8").splitlines():
        found = re.fullmatch(r"([0-9a-f]{64}) [ *]?(\S.*)", line)
        name = PurePosixPath(found[2]) if found else None
        if not found or not name or name.is_absolute() or ".." in name.parts or "\\" in line:
            raise InvalidECGError(f"{path} has a line that makes no sense: {line[:100]!r}.")
        yield found[2], found[1]


def _progress(jobs: Iterator[Future], total: int, verbose: bool) -> Iterator[Future]:
    if not verbose:
        return jobs
    from rich.console import Console
    from rich.progress import track

    return iter(track(jobs, "Downloading", total, console=Console(stderr=True)))


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Keep pooch from telling of each of thousands of files."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
