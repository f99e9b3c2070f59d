"""Pretraining methods by name, and their weights for each held-out part of PTB-XL."""

import resource
import time
from functools import partial

import numpy as np
import torch
from _common import describe_machine, settings_key, write_whole
from sklearn.base import BaseEstimator

from sklearn_bell import BELLPretrainer, ECGFeatures
from sklearn_bell.pretraining import (
    BarlowTwinsPretrainer,
    BYOLPretrainer,
    CLOCSPretrainer,
    LFBTPretrainer,
    SimCLRPretrainer,
)

MACHINE = describe_machine()  # at import: the commit of the source that runs
NOT_TRAINED = {"hand-made", "MiniRocket"}
RESULTS = 4  # increment when code changes results: then cached results do not count


class HandMade(BaseEstimator):
    """ECGFeatures of all twelve leads, four of which follow from II and III."""

    def fit(self, X):
        """Do nothing."""
        return self

    def transform(self, X):
        """Return hand-made features (n_records, n_features)."""
        ii, iii = X[:, 0], X[:, 1]
        i = ii - iii
        limb = [i, ii, iii, -(i + ii) / 2, (i - iii) / 2, (ii + iii) / 2]
        X = np.concatenate([np.stack(limb, axis=1), X[:, 2:]], axis=1)
        return ECGFeatures().fit_transform(X)


def minirocket():
    """Return aeon's MiniRocket (extra ``bench``)."""
    from aeon.transformations.collection.convolution_based import MiniRocket

    return MiniRocket(random_state=0)


METHODS = {
    "BELL": BELLPretrainer,
    "BELL intra": partial(BELLPretrainer, gamma=1.0),
    "BELL inter": partial(BELLPretrainer, gamma=0.0),
    "BELL shared": partial(BELLPretrainer, shared_encoder=True),
    "untrained": partial(BELLPretrainer, max_epochs=0),
    "BYOL": BYOLPretrainer,
    "SimCLR": SimCLRPretrainer,
    "Barlow Twins": BarlowTwinsPretrainer,
    "LFBT": LFBTPretrainer,
    "CLOCS": CLOCSPretrainer,
    "hand-made": HandMade,
    "MiniRocket": minirocket,
}


def make_method(name, seed, options):
    """Return the method of a name, with the seed of its pretraining."""
    if name in NOT_TRAINED:
        return METHODS[name]()
    method = METHODS[name](random_state=seed, device=options.device, precision=options.precision)
    if options.max_epochs is not None and method.max_epochs:
        method.set_params(max_epochs=options.max_epochs)
    return method


def result_path(name, seed, part, options):
    """Return the path of cached scores of a method; its name depends on the settings."""
    params = {} if name in NOT_TRAINED else make_method(name, None, options).get_params()
    key = settings_key(name, str((params, options.ptbxl.X.shape, [*options.folds])))
    file = f"{name.replace(' ', '_')}-{key}-{seed % options.pretrainings}-{seed}-{part}.joblib"
    return options.out / f"label_efficiency-{RESULTS}" / file


def pretrain(name, seed, part, options):
    """Return the method, fitted without the held-out part or restored, and its cost."""
    source, seed = options.ptbxl, seed % options.pretrainings
    train = np.ones(len(source.X), bool) if part == "all" else source.fold != part
    method = make_method(name, seed, options)
    path = result_path(name, seed, part, options).with_suffix(".pt")
    if path.exists():
        state = torch.load(path, map_location="cpu", weights_only=True)
        method.set_params(max_epochs=0).fit(source.X[train][:2])
        method.encoder_.load_state_dict(state["encoder"])
        return method.set_params(max_epochs=state["cost"]["epochs"]), state["cost"]
    start = time.perf_counter()
    if isinstance(method, CLOCSPretrainer):
        method.fit(source.X[train], groups=source.groups[train])
    else:
        method.fit(source.X[train])
    cost = {
        "epochs": len(getattr(method, "history_", [])),
        "seconds": time.perf_counter() - start,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "machine": MACHINE,
    }
    if name not in NOT_TRAINED:
        state = {"encoder": method.encoder_.state_dict(), "cost": cost}
        write_whole(partial(torch.save, state), path)
    return method, cost
