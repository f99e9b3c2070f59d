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

    Calling `fit` again with the same parameters and records resumes from the newest state and ends
    with the weights of an uninterrupted run: to the bit on a CPU, on the same machine with as many
    threads; up to rounding on CUDA.

    Every training has a subfolder named by a hash of its parameters, 64 records and all labels, so
    the folds and candidates of a search do not collide. ``device``, ``verbose`` and callbacks do
    not count, nor does ``max_epochs`` of pretrainers and classifiers: a finished run can be
    extended. Your own networks and functions count by their source and the values that they
    enclose, but not by global variables that they read.

    Parameters
    ----------
    folder : str or path
        Created if it does not exist.
    epochs : int, default=1
        Number of epochs between states, and so the most that an interruption loses; the last epoch
        is always stored. ``epoch_size`` of a pretrainer bounds an epoch.

    Raises
    ------
    ValueError
        If `epochs` is less than 1.

    Notes
    -----
    A state is a safetensors file of weights, optimiser, seed, epoch and history with a SHA-256,
    replaced atomically, so that a complete one exists whenever the process is killed. A damaged one
    is skipped with a warning; the last two are kept. If ``random_state`` is None, a resumed run
    keeps its first seed. Of several processes started by torchrun the first one writes.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn_bell import BELLPretrainer, datasets, training
    >>> X = datasets.make_ecg(20, leads=["II"], random_state=0).data
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = training.Checkpoint(folder)
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
    """Return the manager of a training of `data` and all but `ignored` parameters, if any."""
    if estimator.checkpoint is None:
        return None
    for name, value in data.items():
        data[name] = sampled_rows_signature(value) if isinstance(value, Records) else value
    return CheckpointManager(estimator, ignored, data)


class CheckpointManager:
    """Writes the states of one training, and finds the newest again."""

    def __init__(self, estimator, ignored, data):
        checkpoint = estimator.checkpoint
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
        path, self._seed = self.folder / _SEED_NAME, seed
        try:
            self._seed = self._read(path)["seed"]
            return self._seed
        except FileNotFoundError:
            pass
        except InvalidFileError as error:
            state, origin = self.newest(), "a new one"
            if state is not None:
                self._seed, origin = state["seed"], "the one of the newest state"
            warn_caller(f"{error}. Training uses another seed, {origin}.", CheckpointWarning)
        self._write(path, {})
        return self._seed

    def newest(self, max_epochs=math.inf):
        """Return the newest intact state of at most that many epochs, or None."""
        paths = [path for epoch, path in self._states() if epoch <= max_epochs]
        for path in reversed(paths):
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
        self._write(self.folder / f"epoch-{epoch:06}.safetensors", state)
        earlier = [path for number, path in self._states() if number < epoch]
        for path in earlier[:-1]:
            path.unlink(missing_ok=True)

    def _write(self, path, state):
        self.folder.mkdir(parents=True, exist_ok=True)
        write_file(path, {"seed": self._seed, **self._origin, **state}, _KIND)

    def _read(self, path):
        content = read_file(path, _KIND)
        if content.get("run_hash") != self._origin["run_hash"]:
            raise InvalidFileError(f"{path}: it belongs to another training")
        return content

    def _states(self):
        """Return epochs and paths of all states, the newest last."""
        names = [(_STATE_NAME.fullmatch(path.name), path) for path in self.folder.glob("epoch-*")]
        return sorted((int(name[1]), path) for name, path in names if name)
