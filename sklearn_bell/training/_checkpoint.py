"""Checkpoints: an interrupted training resumes after its last epoch, to the same bits."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from sklearn_bell._utils.validation import Records
from sklearn_bell._utils.warn import warn_caller
from sklearn_bell.exceptions import CheckpointWarning, InvalidFileError
from sklearn_bell.persistence._format import read_file, write_file
from sklearn_bell.training._run_hash import run_hash, sampled_rows_signature

_KIND = "checkpoint"
_STATE_NAME = re.compile(r"epoch-(\d+)\.safetensors")
_SEED_NAME = "seed.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """Folder in which estimators store the state of their training, and how often.

    A state holds weights, optimiser, seed, epoch and history. Calling `fit` again with the same
    parameters and records resumes from the newest state and ends with the same weights, to the bit,
    as an uninterrupted run on the same machine with as many threads.

    Every training has a subfolder of its own, named by a hash of its parameters and data, so the
    folds and candidates of a search do not collide. ``device``, ``verbose`` and callbacks do not
    count, nor does ``max_epochs`` of pretrainers and classifiers: a finished run can be extended.
    Of the records, 64 rows are hashed, and all labels. Your own networks and functions count by
    their source and the values that they enclose, but not by global variables that they read.

    Parameters
    ----------
    folder : str or path
        Created if it does not exist.
    epochs : int, default=1
        Number of epochs between states; the last epoch is always stored. An interrupted training
        loses at most that many epochs. ``epoch_size`` of a pretrainer bounds an epoch.

    Raises
    ------
    ValueError
        If `epochs` is less than 1.

    Notes
    -----
    A state is written to a temporary file, flushed to disk and renamed, so that a complete one
    exists whenever the process is killed. It is a safetensors file with a SHA-256; a damaged one is
    skipped with a warning, and the state before it is used. The last two states are kept. If
    ``random_state`` is None, a resumed run keeps its first seed. Of several processes started by
    torchrun the first one writes.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn_bell import BELLPretrainer
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.training import Checkpoint
    >>> X = make_ecg(20, leads=["II"], random_state=0).data
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(folder)
    ...     bell = BELLPretrainer(max_epochs=1, checkpoint=checkpoint, random_state=0).fit(X)
    ...     bell = bell.set_params(max_epochs=2).fit(X)  # trains one more epoch
    >>> [entry["epoch"] for entry in bell.history_]
    [1, 2]
    """

    folder: str | PathLike
    epochs: int = 1

    def __post_init__(self):
        if self.epochs < 1:
            raise ValueError(f"Expected epochs to be at least 1, got {self.epochs}.")


CheckpointLike: TypeAlias = str | PathLike[str] | Checkpoint


def make_checkpoint_manager(estimator, ignored, **data):
    """Return the manager of an estimator's states, or None if ``checkpoint`` is None.

    Parameters
    ----------
    estimator : estimator
        Has the parameter ``checkpoint``.
    ignored : iterable of str
        Parameters that the training does not depend on.
    **data : dict
        Everything else that it depends on; rows of :class:`Records` are sampled.
    """
    if estimator.checkpoint is None:
        return None
    for name, value in data.items():
        data[name] = sampled_rows_signature(value) if isinstance(value, Records) else value
    return CheckpointManager(estimator.checkpoint, estimator, ignored, data)


class CheckpointManager:
    """Writes the states of one training, and finds the newest again."""

    def __init__(self, checkpoint, estimator, ignored, data):
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = Checkpoint(checkpoint)
        self.epochs = checkpoint.epochs
        key = run_hash(estimator, ignored, data)
        self.folder = Path(checkpoint.folder) / f"{type(estimator).__name__}-{key}"
        params = estimator.get_params(deep=False).items()
        self._origin = {"run_hash": key, "parameters": {k: repr(v)[:200] for k, v in params}}
        self._seed = None

    def first_seed(self, seed):
        """Return the seed that the run began with; store this one if the run is new."""
        path = self.folder / _SEED_NAME
        try:
            self._seed = self._read(path)["seed"]
        except FileNotFoundError:
            self._seed = seed
        except InvalidFileError as error:
            state = self.newest()
            self._seed = seed if state is None else state["seed"]
            origin = "a new one" if state is None else "the one of the newest state"
            message = f"{error}. Training uses another seed, {origin}."
            warn_caller(message, CheckpointWarning)
        else:
            return self._seed
        self.folder.mkdir(parents=True, exist_ok=True)
        write_file(path, {"seed": self._seed, **self._origin}, _KIND)
        return self._seed

    def newest(self, max_epochs=math.inf):
        """Return the newest intact state of at most that many epochs, or None."""
        for epoch, path in reversed(self._states()):
            if epoch > max_epochs:
                continue
            try:
                return self._read(path)
            except FileNotFoundError:  # another process has just removed it
                continue
            except (InvalidFileError, OSError) as error:
                message = f"{error}. Training resumes from the previous checkpoint, if any."
                warn_caller(message, CheckpointWarning)
        return None

    def save(self, epoch, state):
        """Write the state after so many epochs, and remove all earlier ones but the last."""
        content = {"seed": self._seed, **self._origin, **state}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_file(self.folder / f"epoch-{epoch:06}.safetensors", content, _KIND)
        earlier = [path for number, path in self._states() if number < epoch]
        for path in earlier[:-1]:
            path.unlink(missing_ok=True)

    def _read(self, path):
        content = read_file(path, _KIND)
        if content.get("run_hash") != self._origin["run_hash"]:
            raise InvalidFileError(f"{path}: it belongs to another training")
        return content

    def _states(self):
        """Return epochs and paths of all states, the newest last."""
        if not self.folder.is_dir():
            return []
        names = [(_STATE_NAME.fullmatch(path.name), path) for path in self.folder.iterdir()]
        return sorted((int(name[1]), path) for name, path in names if name)
