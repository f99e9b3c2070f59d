"""Checkpoints: training that was ended goes on from where it was, and ends where it would have."""

from __future__ import annotations

import contextlib
import math
import re
import signal
import threading
import time
import warnings
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from sklearn_bell._utils.validation import Records
from sklearn_bell.exceptions import CheckpointWarning, InvalidFileError
from sklearn_bell.persistence._format import read_file, remove_unfinished, write_file
from sklearn_bell.training._run_hash import run_hash, sampled_rows_signature

_KIND = "checkpoint"
_NAME = re.compile(r"epoch-(\d+)-step-(\d+)\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """Where estimators keep the state of their training, and how often.

    What is kept is all that training depends on: weights, optimiser, seed, epoch and step, and
    history. `fit` of an estimator with the same parameters, on the same records, goes on from it,
    and ends with the same weights, bit by bit, as if it had never been ended, on the same machine
    with as many threads.

    In the folder every training has one of its own, named by a run_hash of parameters and data,
    so that folds and settings of a search do not get in each other's way. ``max_epochs`` does not
    count, where training does not depend on it, so that a finished run can be prolonged, nor do
    ``device`` and callbacks. Of the data, 64 records count, and all labels. The last two states are
    kept, and those of longer runs.

    Parameters
    ----------
    folder : str or path
        Made where it does not exist.
    epochs : int, default=None
        After how many epochs a state is kept. None leaves it to the minutes.
    minutes : float, default=5.0
        After how many minutes a state is kept, after a step if need be. In any case it is kept at
        the end, and where training is interrupted by Ctrl-C (``SIGINT``).

    Raises
    ------
    ValueError
        If `epochs` is less than 1, or `minutes` is not more than 0.

    Notes
    -----
    A state is written to a new file, and takes its name when it is safe on the disk, so that there
    is a complete one whenever a process is killed. It is a file of safetensors with a checksum; one
    that is damaged is passed over, with a warning. Where ``random_state`` is None, a run that goes
    on keeps the seed that it had. Of several processes that torchrun has started the first one
    writes, after epochs only.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn_bell import BELLPretrainer
    >>> from sklearn_bell.training import Checkpoint
    >>> from sklearn_bell.datasets import make_ecg
    >>> X = make_ecg(20, leads=["II"], random_state=0).data
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(folder, epochs=1)
    ...     bell = BELLPretrainer(max_epochs=1, checkpoint=checkpoint, random_state=0).fit(X)
    ...     bell = bell.set_params(max_epochs=2).fit(X)  # one epoch more
    >>> [one["epoch"] for one in bell.history_]
    [1, 2]
    """

    folder: str | PathLike
    epochs: int | None = None
    minutes: float = 5.0

    def __post_init__(self):
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, but is {self.epochs}.")
        if not self.minutes > 0:
            raise ValueError(f"minutes must be more than 0, but is {self.minutes}.")


CheckpointLike: TypeAlias = str | PathLike[str] | Checkpoint


def make_checkpoint_manager(estimator, left_out, **data):
    """Return what keeps the states of its training, or None where it is not to be kept.

    The data are those that the training depends on; of :class:`Records` some rows are read.
    """
    if estimator.checkpoint is None:
        return None
    for name, one in data.items():
        data[name] = sampled_rows_signature(one) if isinstance(one, Records) else one
    return CheckpointManager(estimator.checkpoint, estimator, left_out, data)


def following(keeper, net, describe):
    """Return the context in which a manager, if any, follows a training."""
    return contextlib.nullcontext() if keeper is None else keeper.following(net, describe)


class CheckpointManager:
    """Keeps the states of one training, and finds them again.

    Parameters
    ----------
    checkpoint : Checkpoint or path
    estimator : estimator
    left_out : iterable of str
        Parameters that its training does not depend on.
    data : dict
        What it is trained on, as in :func:`run_hash`.
    """

    def __init__(self, checkpoint, estimator, left_out, data):
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = Checkpoint(checkpoint)
        self.checkpoint = checkpoint
        key = run_hash(estimator, {"checkpoint", *left_out}, data)
        self.folder = Path(checkpoint.folder) / f"{type(estimator).__name__}-{key}"
        params = estimator.get_params(deep=False).items()
        self._origin = {"run_hash": key, "parameters": {k: repr(v)[:200] for k, v in params}}
        self._seed = None  # of the first run
        self._interrupted = False

    def first_seed(self, seed):
        """Return the seed of the first run, which is this one if there was none before."""
        path = self.folder / "seed.safetensors"
        try:
            self._seed = self._read(path)["seed"]
        except FileNotFoundError:
            self._seed = seed
        except InvalidFileError as error:
            state = self.newest()
            self._seed = seed if state is None else state["seed"]
            whence = "a new one" if state is None else "that of the newest state"
            message = f"{error}. Training goes on with another seed, {whence}."
            warnings.warn(message, CheckpointWarning, stacklevel=2)
        else:
            return self._seed
        self.folder.mkdir(parents=True, exist_ok=True)
        write_file(path, {"seed": self._seed, **self._origin}, _KIND)
        return self._seed

    def newest(self, n_epochs=math.inf):
        """Return the newest intact state of at most so many epochs, or None.

        One that is damaged gets another name, and counts no longer as one of those that are kept.
        """
        remove_unfinished(self.folder)
        for position, path in reversed(self._kept()):
            if position > (n_epochs, 0):
                continue
            try:
                return self._read(path)
            except FileNotFoundError:  # another process had no more use for it
                continue
            except (InvalidFileError, OSError) as error:
                message = f"{error}. Training goes on from the checkpoint before it, if any."
                warnings.warn(message, CheckpointWarning, stacklevel=2)
                with contextlib.suppress(OSError):
                    path.rename(path.with_suffix(".damaged"))
        return None

    def _read(self, path):
        """Return what is in a file, which has to be of this training."""
        content = read_file(path, _KIND)
        if content.get("run_hash") != self._origin["run_hash"]:
            raise InvalidFileError(f"{path}: it is of a training with other parameters or data")
        return content

    @contextlib.contextmanager
    def following(self, net, describe):
        """Keep states of a net while it is trained, with what ``describe()`` returns.

        Ctrl-C then ends training after the step, and a state is kept first.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._net, self._describe = net, describe
        self._last, self._kept_at = time.monotonic(), None
        net._keeper = self
        usual = signal.getsignal(signal.SIGINT)
        in_main_thread = threading.current_thread() is threading.main_thread()
        handles = in_main_thread and usual is signal.default_int_handler
        if handles:
            signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            if handles:
                signal.signal(signal.SIGINT, usual)
            net._keeper = None

    def is_time(self):
        """Return whether a state is to be kept after this step."""
        is_late = time.monotonic() - self._last >= 60 * self.checkpoint.minutes
        return is_late or self._interrupted

    def after_step(self):
        """Keep a state."""
        self._keep(self._net.epoch_, self._net.n_steps_)

    def after_epoch(self, is_last):
        """Keep a state if it is time, or the end."""
        n_epochs, every = self._net.epoch_ + 1, self.checkpoint.epochs
        if is_last or self.is_time() or (every and n_epochs % every == 0):
            self._keep(n_epochs, 0)

    def _keep(self, epoch, step):
        net = self._net.get_state(epoch)
        content = {"net": net, "seed": self._seed, **self._origin, **self._describe()}
        write_file(self.folder / f"epoch-{epoch:06}-step-{step:08}.safetensors", content, _KIND)
        earlier = [path for position, path in self._kept() if position < (epoch, step)]
        for path in earlier[:-1]:
            path.unlink(missing_ok=True)
        self._last = time.monotonic()
        if self._interrupted:
            raise KeyboardInterrupt

    def _kept(self):
        """Return positions and paths of all states, the newest last."""
        if not self.folder.is_dir():
            return []
        found = [(_NAME.fullmatch(path.name), path) for path in self.folder.iterdir()]
        return sorted((tuple(map(int, name.groups())), path) for name, path in found if name)

    def _interrupt(self, number, frame):
        if self._interrupted:  # twice: at once
            signal.default_int_handler(number, frame)
        self._interrupted = True
