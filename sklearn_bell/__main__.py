"""The command line: ``sklearn-bell``, or ``python -m sklearn_bell``.

Thin over the public API: each command says what it does in Python.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import math
import os
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

_EPILOG = """\
RECORDS is one of these:
  a folder of WFDB records (.hea files, at whatever depth), or one of them;
  a folder of .csv files (at whatever depth), or one of them: each is a record in mV, with a header
    of lead names, a column for each lead, and a row for each sample. All have the same leads and
    length. A column named time, t, index, or not at all is left out;
  a .npy file of shape (n_records, n_leads, n_samples) in mV.

examples:
  sklearn-bell pretrain my_ecgs bell.safetensors --leads II V1 V5
  sklearn-bell embed my_ecgs latents.csv --model bell.safetensors
  sklearn-bell embed twelve_leads latents.csv
  sklearn-bell plot my_ecgs/0001.hea ecg.png
  sklearn-bell demo

exit codes: 0 done, 1 what was given is not as it should be, 2 wrong usage, 130 interrupted.
"""


def main(arguments=None):
    """Run a command; return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, ImportError, ArithmeticError) as error:
        message = " ".join(str(error).split())
        print(f"sklearn-bell: error: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sklearn-bell: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="sklearn-bell",
        description="Learn from multi-lead ECGs with few labels.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run, summary, *positional):
        one = commands.add_parser(
            run.__name__.strip("_"),
            help=summary,
            description=inspect.getdoc(run),
            epilog=_EPILOG if positional else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.set_defaults(run=run)
        for name, what in positional:
            one.add_argument(name, type=Path, metavar=name.upper(), help=what)
        return one

    records = "records", "folder of WFDB records or of .csv files, or a .npy file"
    one = command(
        _pretrain,
        "learn from records without labels",
        records,
        ("model", "file to write, .safetensors"),
    )
    one.add_argument("--leads", nargs="+",
                     help="leads to read, in this order, or names of those of a .npy file; "
                     "default all")  # fmt: skip
    one.add_argument("--sampling-rate", type=_positive, default=100, metavar="HZ",
                     help="to which WFDB records are brought, and which .npy and .csv files have "
                     "(%(default)s)")  # fmt: skip
    one.add_argument("--duration", type=_positive, default=10, metavar="S",
                     help="to which WFDB records are cropped or padded (%(default)s)")  # fmt: skip
    one.add_argument("--epochs", type=int, default=60,
                     help="how often all records are seen (%(default)s)")  # fmt: skip
    one.add_argument("--batch-size", type=int, default=128, help="records per step (%(default)s)")
    one.add_argument("--device", default="auto", help="such as cpu or cuda:1 (%(default)s)")
    one.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"],
                     help="what layers are computed in (%(default)s)")  # fmt: skip
    one.add_argument("--seed", type=int, default=0, help="of all that is drawn (%(default)s)")
    one.add_argument("--checkpoint", type=Path, metavar="FOLDER",
                     help="where to keep the state; else MODEL.kept, until done")  # fmt: skip

    one = command(
        _embed,
        "write the latents of records",
        records,
        ("latents", "file to write, .npy or .csv"),
    )
    one.add_argument("--model", type=Path, metavar="FILE",
                     help="what pretrain has written; default the weights that come with the "
                     "library, for records of twelve leads, 10 s at 100 Hz")  # fmt: skip

    one = command(
        _plot,
        "draw a record on paper",
        ("record", "WFDB record, .npy or .csv file"),
        ("picture", "file to write, such as .png or .pdf"),
    )
    one.add_argument("--number", type=int, default=0, help="of the record in a .npy file, from 0")
    one.add_argument("--leads", nargs="+", help="leads to draw, or names of those of a .npy file")
    one.add_argument("--sampling-rate", type=_positive, metavar="HZ", help="of .npy and .csv files")
    one.add_argument("--layout", default="auto", choices=["auto", "3x4", "6x2", "rows"])
    one.add_argument("--dpi", type=_positive, default=200, help="(%(default)s)")

    one = command(_demo, "pretrain without labels, then classify with few")
    one.add_argument("--data", help="folder of PTB-XL; by default synthetic ECGs are made")
    one.add_argument("--picture", default="demo.png", help="where to write it (%(default)s)")
    return parser


def _positive(text):
    """Return a number more than 0, or let argparse say what was given instead."""
    with contextlib.suppress(ValueError):
        if math.isfinite(number := float(text)) and number > 0:
            return number
    raise argparse.ArgumentTypeError(f"expected a number more than 0, but got {text}")


def _pretrain(options):
    """Learn a latent for each lead from records without labels, and write the transformer.

    In Python: BELLPretrainer(...).fit(X).save(MODEL). Interrupted, the same command goes on.
    """
    from sklearn_bell import BELLPretrainer

    _check_suffix(options.model, ".safetensors")
    _check_device(options.device)
    ecg = _read(options.records, options.leads, options.sampling_rate, options.duration)
    kept = options.checkpoint or options.model.with_suffix(".kept")
    bell = BELLPretrainer(
        max_epochs=options.epochs,
        batch_size=options.batch_size,
        lead_names=ecg.lead_names,
        sampling_rate=ecg.sampling_rate,
        device=options.device,
        precision=options.precision,
        checkpoint=kept,
        random_state=options.seed,
    )
    if find_spec("rich"):
        from sklearn.callback import ProgressBar

        bell.set_callbacks(ProgressBar())
    with _without_trace(kept):
        bell.fit(ecg.data)
    options.model.parent.mkdir(parents=True, exist_ok=True)
    bell.save(options.model)
    if options.checkpoint is None:
        shutil.rmtree(kept)
    print(f"{options.model}: {len(ecg.data)} records of {ecg.data.shape[1]} leads")


def _embed(options):
    """Write the latents of records, in the order of their names: a row for each.

    In Python: sklearn_bell.load(MODEL).transform(X). A .csv file has names of records and features.
    Leads are chosen by the names that the model has; .npy and .csv files must have its rate and
    length, and WFDB records are brought to them. These are read block by block into a file beside
    LATENTS, which is removed in the end, so that they need not fit into memory.
    LATENTS appears, or is replaced, when it is complete.
    """
    import numpy as np
    import pandas as pd

    _check_suffix(options.latents, ".npy", ".csv")
    _check_there(options.latents.parent)
    model = _model(options.model)
    features = model.get_feature_names_out()
    duration = model.n_samples_in_ / model.sampling_rate
    with tempfile.TemporaryDirectory(dir=options.latents.parent, prefix=".records-") as folder:
        out = Path(folder, "records.npy")
        ecg = _read(options.records, model.lead_names, model.sampling_rate, duration, out)
        latents = np.empty((len(ecg.data), len(features)), np.float32)
        model.transform(ecg.data, out=_Shown(latents))
    with _written_at_once(options.latents) as file:
        if options.latents.suffix == ".npy":
            np.save(file, latents)
        else:
            names = pd.Index(ecg.record_names, name="record")
            pd.DataFrame(latents, index=names, columns=features).to_csv(file)
    print(f"{options.latents}: {latents.shape[0]} records, {latents.shape[1]} features")


def _plot(options):
    """Draw a record on paper: 25 mm/s, 10 mm/mV.

    In Python: ECGDisplay.from_record(X[0], sampling_rate, lead_names=...).
    """
    import matplotlib

    matplotlib.use("Agg")  # the picture goes to a file, screen or not
    from sklearn_bell.plotting import ECGDisplay

    ecg = _read(options.record, options.leads, options.sampling_rate, None)
    if not 0 <= options.number < len(ecg.data):
        raise ValueError(
            f"{options.record} has {len(ecg.data)} records, no number {options.number}"
        )
    display = ECGDisplay.from_record(
        ecg.data[options.number], ecg.sampling_rate, lead_names=ecg.lead_names,
        layout=options.layout,
    )  # fmt: skip
    display.figure_.savefig(options.picture, dpi=options.dpi)
    print(options.picture)


def _demo(options):
    """Pretrain without labels, then classify with few: the library's main job, end to end."""
    import matplotlib

    matplotlib.use("Agg")
    from sklearn_bell import demo

    demo.main(options.data, options.picture)


def _model(path):
    """Return the pretrainer that is in a file, or that comes with the library."""
    import sklearn_bell
    from sklearn_bell.pretraining._base import BasePretrainer

    if path is None:
        return sklearn_bell.BELLPretrainer.from_pretrained()
    _check_there(path)
    model = sklearn_bell.load(path)
    if not isinstance(model, BasePretrainer):
        raise ValueError(
            f"{path} holds a {type(model).__name__}; expected what sklearn-bell pretrain has "
            "written, or another pretrainer"
        )
    return model


def _check_device(name):
    import torch

    if name == "auto":
        return
    try:
        torch.zeros(1, device=name)
    except (AssertionError, RuntimeError) as error:
        raise ValueError(
            f"--device {name} cannot be computed on; expected auto, cpu, cuda, or such as cuda:1, "
            f"of a GPU that is there ({str(error).splitlines()[0]})"
        ) from error


@contextlib.contextmanager
def _without_trace(kept):
    """Remove the folder for checkpoints, and those it is in, where nothing was trained within."""
    made = [folder for folder in (kept, *kept.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        if made and not any(kept.rglob("epoch-*")):
            shutil.rmtree(kept, ignore_errors=True)
            with contextlib.suppress(OSError):  # somebody else has use for one by now
                for folder in made[1:]:
                    folder.rmdir()
        raise


@contextlib.contextmanager
def _written_at_once(path):
    """Open a file beside, which takes the place of this one when it is complete."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with open(unfinished, "wb") as file:
            yield file
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


class _Shown:
    """An array that is filled batch by batch, and shows on a terminal how far it is."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __setitem__(self, rows, values):
        self.array[rows] = values
        if sys.stderr.isatty():
            end = "\n" if rows.stop == len(self.array) else ""
            message = f"\r{rows.stop} of {len(self.array)} records"
            print(message, end=end, file=sys.stderr, flush=True)


def _read(*args):
    """Return the records of a file or folder as a Bunch, and tell what was left out."""
    from sklearn_bell.datasets._paths import load_records

    ecg = load_records(*args)
    for name in ecg.get("left_out", ()):
        column = f"column {name}" if name else "the column without a name"
        print(f"sklearn-bell: note: {column} is no lead, and is left out", file=sys.stderr)
    return ecg


def _check_there(path):
    if not path.exists():
        raise ValueError(f"there is no folder or file {path}")


def _check_suffix(path, *suffixes):
    if path.suffix not in suffixes:
        raise ValueError(f"{path} must end in {' or '.join(suffixes)}")


if __name__ == "__main__":
    sys.exit(main())
