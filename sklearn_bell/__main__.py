"""The command line: ``sklearn-bell``, or ``python -m sklearn_bell``.

Thin over the public API: each command says what it does in Python.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

_EPILOG = """\
RECORDS is a folder of WFDB records (.hea files, at whatever depth); a .npy file of shape
(n_records, n_leads, n_samples) in mV; or a .csv file of one record in mV, with a column for each
lead and a row for each sample.

examples:
  sklearn-bell pretrain my_ecgs bell.safetensors --leads II V1 V5
  sklearn-bell embed my_ecgs latents.csv --model bell.safetensors
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
        print(f"sklearn-bell: error: {error}", file=sys.stderr)
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
            description=run.__doc__,
            epilog=_EPILOG if positional else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.set_defaults(run=run)
        for name, what in positional:
            one.add_argument(name, type=Path, help=what)
        return one

    records = "records", "folder of WFDB records, .npy or .csv file"
    one = command(
        _pretrain,
        "learn from records without labels",
        records,
        ("model", "file to write, .safetensors"),
    )
    one.add_argument("--leads", nargs="+", help="leads to read, in this order; default all")
    one.add_argument("--sampling-rate", type=float, default=100, metavar="HZ",
                     help="of WFDB records then, or of others (%(default)s)")  # fmt: skip
    one.add_argument("--duration", type=float, default=10, metavar="S",
                     help="of WFDB records: cropped or padded (%(default)s)")  # fmt: skip
    one.add_argument("--epochs", type=int, default=60, help="(%(default)s)")
    one.add_argument("--batch-size", type=int, default=128, help="(%(default)s)")
    one.add_argument("--device", default="auto", help="such as cpu or cuda:1 (%(default)s)")
    one.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    one.add_argument("--seed", type=int, default=0, help="of all that is drawn (%(default)s)")
    one.add_argument("--checkpoint", type=Path, metavar="FOLDER",
                     help="where to keep the state; else MODEL.kept, until done")  # fmt: skip

    one = command(
        _embed,
        "write the latents of records",
        records,
        ("latents", "file to write, .npy or .csv"),
    )
    one.add_argument("--model", type=Path, required=True, help="what pretrain has written")

    one = command(
        _plot,
        "draw a record on paper",
        ("record", "WFDB record, .npy or .csv file"),
        ("picture", "file to write, such as .png or .pdf"),
    )
    one.add_argument("--number", type=int, default=0, help="of the record in a .npy file, from 0")
    one.add_argument("--leads", nargs="+", help="leads to draw, or names of those of a .npy file")
    one.add_argument("--sampling-rate", type=float, metavar="HZ", help="of .npy and .csv files")
    one.add_argument("--layout", default="auto", choices=["auto", "3x4", "6x2", "rows"])
    one.add_argument("--dpi", type=float, default=200, help="(%(default)s)")

    one = command(_demo, "pretrain without labels, then classify with few")
    one.add_argument("--data", help="folder of PTB-XL; by default synthetic ECGs are made")
    one.add_argument("--picture", default="demo.png", help="where to write it (%(default)s)")
    return parser


def _pretrain(options):
    """Learn a latent for each lead from records without labels, and write the transformer.

    In Python: BELLPretrainer(...).fit(X).save(MODEL). Interrupted, the same command goes on.
    """
    from sklearn_bell import BELLPretrainer

    _check_suffix(options.model, ".safetensors")
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
    bell.fit(ecg.data)
    bell.save(options.model)
    if options.checkpoint is None:
        shutil.rmtree(kept)
    print(f"{options.model}: {len(ecg.data)} records of {ecg.data.shape[1]} leads")


def _embed(options):
    """Write the latents of records, in the order of their names: a row for each.

    In Python: sklearn_bell.load(MODEL).transform(X). A .csv file has names of records and features.
    """
    import numpy as np
    import pandas as pd

    import sklearn_bell

    _check_suffix(options.latents, ".npy", ".csv")
    model = sklearn_bell.load(options.model)
    duration = model.n_samples_in_ / model.sampling_rate
    ecg = _read(options.records, model.lead_names, model.sampling_rate, duration)
    if options.latents.suffix == ".npy":
        np.save(options.latents, latents := model.transform(ecg.data))
    else:
        latents = pd.DataFrame(
            model.transform(ecg.data),
            index=pd.Index(ecg.record_names, name="record"),
            columns=model.get_feature_names_out(),
        )
        latents.to_csv(options.latents)
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


def _read(path, leads, sampling_rate, duration):
    """Return the records of a WFDB folder, or of another file, as a Bunch."""
    import numpy as np
    import pandas as pd
    from sklearn.utils import Bunch

    from sklearn_bell.datasets import read_wfdb

    if path.suffix in (".npy", ".csv"):
        if sampling_rate is None:
            raise ValueError(f"{path} does not tell its sampling rate: give --sampling-rate")
        if path.suffix == ".npy":
            data, names = np.load(path, mmap_mode="r"), leads
            if data.ndim != 3:
                raise ValueError(
                    f"{path} must be of shape (n_records, n_leads, n_samples), but is {data.shape}"
                )
            records = [str(i) for i in range(len(data))]
        else:
            table = pd.read_csv(path)
            table = table if leads is None else table[leads]
            data, names, records = table.to_numpy(float).T[None], [*table], [path.stem]
        return Bunch(data=data, lead_names=names, sampling_rate=sampling_rate, record_names=records)
    records = sorted(path.rglob("*.hea")) if path.is_dir() else [path]
    if not records:
        raise ValueError(f"{path} has no WFDB records, files with the extension .hea")
    return read_wfdb(
        records, leads=leads, sampling_rate=sampling_rate, duration=duration,
        on_error="skip", n_jobs=-1,
    )  # fmt: skip


def _check_suffix(path, *suffixes):
    if path.suffix not in suffixes:
        raise ValueError(f"{path} must end in {' or '.join(suffixes)}")


if __name__ == "__main__":
    sys.exit(main())
