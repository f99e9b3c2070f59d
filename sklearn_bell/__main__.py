"""Command line: ``sklearn-bell``, or ``python -m sklearn_bell``. A thin layer over the API."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import math
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

_EPILOG = """\
RECORDS is a folder, read at any depth, or a file. Formats are recognised by content:
  WFDB records (.hea files);
  with the extra "formats": GE MUSE XML, Philips Sierra XML, HL7 aECG, Mortara XML, DICOM, SCP-ECG,
    ISHNE, EDF and BDF;
  .csv files, where a folder has no others: each is a record, with a header of lead names, a column
    for each lead, and a row for each sample. Columns of times and numbers of samples are left out;
  a .npy file of shape (n_records, n_leads, n_samples).

examples:
  sklearn-bell pretrain my_ecgs bell.safetensors --leads II V1 V5
  sklearn-bell embed my_ecgs latents.csv --model bell.safetensors
  sklearn-bell embed twelve_leads latents.csv
  sklearn-bell plot my_ecgs/0001.hea ecg.png
  sklearn-bell demo

exit codes: 0 success, 1 invalid input, 2 wrong usage, 130 interrupted.
"""
_LONGEST_SHEET = 60  # s that are drawn without being asked for


def main(arguments=None):
    """Run a command and return its exit code."""
    options = _make_parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, ImportError, ArithmeticError) as error:
        text = str(error).replace("Pass sampling_rate_in= (Hz)", "Give --sampling-rate")
        text = text.replace("sampling_rate_in=", "--sampling-rate")
        print("sklearn-bell: error:", *text.split(), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sklearn-bell: interrupted", file=sys.stderr)
        return 130
    return 0


def _make_parser():
    raw = argparse.RawDescriptionHelpFormatter
    summary = "Learn from multi-lead ECGs with few labels."
    parser = argparse.ArgumentParser("sklearn-bell", None, summary, _EPILOG, formatter_class=raw)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add_command(run, summary, **positional):
        command = commands.add_parser(
            run.__name__.strip("_"), help=summary, description=inspect.getdoc(run),
            epilog=_EPILOG if positional else None, formatter_class=raw,
        )  # fmt: skip
        command.set_defaults(run=run)
        for name, description in positional.items():
            command.add_argument(name, type=Path, metavar=name.upper(), help=description)
        return command.add_argument

    records = "folder of records, or a file"
    units = {"default": "mV", "choices": ["mV", "uV", "V", "nV"]}
    units["help"] = "unit of .npy and .csv files that do not state it (%(default)s)"
    model = "file to write, .safetensors"
    add = add_command(_pretrain, "learn from records without labels", records=records, model=model)
    add("--leads", nargs="+", help="leads to read, or lead names of a .npy file; default all")
    add("--sampling-rate", type=_positive, default=100, metavar="HZ", help="rate (%(default)s)")
    add("--duration", type=_positive, default=10, metavar="S", help="length (%(default)s)")
    add("--units", **units)
    add("--epochs", type=int, default=60, help="passes over all records (%(default)s)")
    add("--batch-size", type=int, default=128, help="records per step (%(default)s)")
    add("--device", default="auto", help="such as cpu or cuda:1 (%(default)s)")
    precisions = ["auto", "float32", "bfloat16"]
    add("--precision", default="auto", choices=precisions, help="of the layers (%(default)s)")
    add("--seed", type=int, default=0, help="seed of all random numbers (%(default)s)")
    checkpoint = "folder for checkpoints; default MODEL, suffix .checkpoint, removed at the end"
    add("--checkpoint", type=Path, metavar="FOLDER", help=checkpoint)

    latents = "file to write, .npy or .csv"
    add = add_command(_embed, "write the latents of records", records=records, latents=latents)
    model = "model of pretrain; default the library's, for twelve leads, 10 s at 100 Hz"
    add("--model", type=Path, metavar="FILE", help=model)
    add("--units", **units)

    record, picture = "file of a record", "file to write, such as .png or .pdf"
    add = add_command(_plot, "draw a record on paper", record=record, picture=picture)
    add("--number", type=int, default=0, help="number of the record in a .npy file, from 0")
    add("--leads", nargs="+", help="leads to draw, or lead names of a .npy file; default all")
    add("--sampling-rate", type=_positive, metavar="HZ", help="rate of .npy and .csv files")
    add("--start", type=float, default=0, metavar="S", help="beginning (%(default)s)")
    add("--duration", type=_positive, metavar="S", help="length; default all, or 10 of over 60")
    add("--units", **units)
    add("--layout", default="auto", choices=["auto", "3x4", "6x2", "rows"])
    add("--dpi", type=_positive, default=200, help="dots per inch (%(default)s)")

    add = add_command(_demo, "pretrain without labels, then classify with few")
    add("--data", help="folder of PTB-XL; default synthetic ECGs")
    add("--picture", default="demo.png", help="file to write (%(default)s)")
    return parser


def _positive(text):
    with contextlib.suppress(ValueError):
        if math.isfinite(number := float(text)) and number > 0:
            return number
    raise argparse.ArgumentTypeError(f"expected a positive number, got {text}")


def _pretrain(options):
    """Learn a latent for each lead from records without labels, and write the transformer.

    In Python: BELLPretrainer(...).fit(X).save(MODEL). WFDB records are resampled to HZ and cropped
    or padded to S seconds; .npy and .csv files must have that rate, and keep their length. If
    interrupted, run the same command again: it resumes after the last finished epoch.
    """
    from sklearn_bell import BELLPretrainer
    from sklearn_bell.training import Checkpoint

    _check_suffix(options.model, ".safetensors")
    _check_device(options.device)
    ecg = _read(options, options.leads, options.sampling_rate, options.duration)
    folder = options.checkpoint or options.model.with_suffix(".checkpoint")
    bell = BELLPretrainer(
        lead_names=ecg.lead_names, sampling_rate=ecg.sampling_rate, max_epochs=options.epochs,
        batch_size=options.batch_size, device=options.device, precision=options.precision,
        random_state=options.seed, checkpoint=Checkpoint(folder, epochs=1),
    )  # fmt: skip
    if find_spec("rich"):
        from sklearn.callback import ProgressBar

        bell.set_callbacks(ProgressBar())
    with _removed_if_unused(folder):
        bell.fit(ecg.data)
    options.model.parent.mkdir(parents=True, exist_ok=True)
    bell.save(options.model)
    if options.checkpoint is None:
        shutil.rmtree(folder)
    print(f"{options.model}: {len(ecg.data)} records of {ecg.data.shape[1]} leads")


def _embed(options):
    """Write the latents of records, a row for each, in the order of their names.

    In Python: sklearn_bell.load(MODEL).transform(X). A .csv file has names of records and features.
    Leads are selected by the names in the model. WFDB records are brought to the rate and length of
    the model, through a temporary file beside LATENTS, so they need not fit into memory; .npy and
    .csv files must have that rate and length. LATENTS appears, or is replaced, when complete.
    """
    import numpy as np
    import pandas as pd

    import sklearn_bell
    from sklearn_bell._utils.io import write_atomically
    from sklearn_bell.pretraining._base import BasePretrainer

    _check_suffix(options.latents, ".npy", ".csv")
    if not options.latents.parent.is_dir():
        raise ValueError(f"there is no folder {options.latents.parent}; create it first")
    if options.model is None:
        model = sklearn_bell.BELLPretrainer.from_pretrained()
    else:
        model = sklearn_bell.load(options.model)
    if not isinstance(model, BasePretrainer):
        holds = f"{options.model} holds a {type(model).__name__}"
        raise ValueError(f"{holds}; give a file that sklearn-bell pretrain wrote")
    features = model.get_feature_names_out()
    duration = model.n_samples_in_ / model.sampling_rate
    with tempfile.TemporaryDirectory(dir=options.latents.parent, prefix=".records-") as folder:
        out = Path(folder, "records.npy")
        ecg = _read(options, model.lead_names, model.sampling_rate, duration, out)
        latents = np.empty((len(ecg.data), len(features)), np.float32)
        model.transform(ecg.data, out=_ProgressArray(latents))
    file = io.BytesIO()
    if options.latents.suffix == ".npy":
        np.save(file, latents)
    else:
        names = pd.Index(ecg.record_names, name="record")
        pd.DataFrame(latents, index=names, columns=features).to_csv(file)
    write_atomically(options.latents, file.getvalue())
    print(f"{options.latents}: {latents.shape[0]} records, {latents.shape[1]} features")


def _plot(options):
    """Draw a record on paper: 25 mm/s, 10 mm/mV.

    In Python: ECGDisplay.from_record(X[0], sampling_rate, lead_names=...).
    """
    import matplotlib

    matplotlib.use("Agg")  # needs no screen
    from sklearn_bell.plotting import ECGDisplay

    options.records = options.record
    ecg = _read(options, options.leads, options.sampling_rate, None)
    if not 0 <= options.number < len(ecg.data):
        last = len(ecg.data) - 1
        raise ValueError(f"expected --number from 0 to {last}, got {options.number}")
    record, rate = _part(ecg.data[options.number], ecg.sampling_rate, options), ecg.sampling_rate
    display = ECGDisplay.from_record(record, rate, lead_names=ecg.lead_names, layout=options.layout)
    display.figure_.savefig(options.picture, dpi=options.dpi)
    print(options.picture)


def _demo(options):
    """Pretrain without labels, then classify with few: the main use of the library."""
    import matplotlib

    matplotlib.use("Agg")
    from sklearn_bell import demo

    demo.main(options.data, options.picture)


def _check_device(name):
    from sklearn_bell.training._device import resolve_device

    try:
        resolve_device(name)
    except ValueError as error:
        raise ValueError(f"--device {name} is not available. {error}") from error


@contextlib.contextmanager
def _removed_if_unused(folder):
    """Remove a new folder for checkpoints, and its new parents, if training leaves no state."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        if new and not any(folder.rglob("epoch-*")):
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # another process uses a parent
                for path in new[1:]:
                    path.rmdir()
        raise


class _ProgressArray:
    """Array that prints on a terminal how many of its rows are filled."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __setitem__(self, rows, values):
        self.array[rows] = values
        if sys.stderr.isatty():
            n_records, end = len(self.array), "\n" if rows.stop == len(self.array) else ""
            print(f"\r{rows.stop} of {n_records} records", end=end, file=sys.stderr, flush=True)


def _part(record, rate, options):
    """Return the part of a record to draw."""
    n_samples, duration = record.shape[1], options.duration
    if duration is None and n_samples > _LONGEST_SHEET * rate:
        duration = 10
        text = f"of {n_samples / rate:.0f} s, {duration} s are drawn; see --start and --duration"
        print(f"sklearn-bell: note: {text}", file=sys.stderr)
    start = round(options.start * rate)
    part = record[:, start : None if duration is None else start + round(duration * rate)]
    if start < 0 or not part.size:
        last = n_samples / rate
        raise ValueError(f"expected --start from 0 to below {last:g} s, got {options.start:g}")
    return part


def _read(options, leads, sampling_rate, duration, out=None):
    """Read records as a Bunch, and print the leads that are computed and the columns left out."""
    from sklearn_bell.datasets import read_ecg

    path = options.records
    if not path.exists() and not path.with_name(f"{path.name}.hea").exists():
        raise ValueError(f"there is no folder or file {path}")
    if path.suffix.lower() == ".npy":  # keeps its length, and is a memory map
        duration = out = None
    ecg = read_ecg(
        path, leads=leads, sampling_rate=sampling_rate, duration=duration, out=out,
        sampling_rate_in=sampling_rate, units=options.units, n_jobs=-1,
        on_error="skip" if path.is_dir() else "raise",
    )  # fmt: skip
    notes = [f"column {name or 'without a name'} is not a lead" for name in ecg.get("left_out", ())]
    notes += [f"lead {lead} is {formula}" for lead, formula in ecg.derived_leads.items()]
    for note in notes:
        print(f"sklearn-bell: note: {note}", file=sys.stderr)
    return ecg


def _check_suffix(path, *suffixes):
    if path.suffix not in suffixes:
        raise ValueError(f"{path} must end in {' or '.join(suffixes)}")


if __name__ == "__main__":
    sys.exit(main())
