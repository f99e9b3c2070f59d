"""Warnings about records that are hardly what was meant."""

import time
import warnings
from itertools import combinations

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from sklearn_bell import (
    BELLPretrainer,
    ECGClassifier,
    ECGFeatures,
    VQVAEOverSampler,
    VQVAETransformer,
)
from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import InvalidECGError, RecordWarning
from sklearn_bell.preprocessing import (
    STANDARD_LEADS,
    BandpassFilter,
    Cropper,
    LeadSelector,
    RecordScaler,
    Resampler,
)

ECG = make_ecg(16, classes=["normal", "lbbb"], random_state=0)
X, Y, NAMES = ECG.data, ECG.target, list(STANDARD_LEADS)
SMALL = {"max_epochs": 0, "random_state": 0, "device": "cpu"}
VQVAE = VQVAETransformer(
    max_epochs=1, width=8, n_codes=8, n_codebooks=2, n_features=4, random_state=0, device="cpu"
)
LEARNERS = {
    "BELLPretrainer": lambda X: BELLPretrainer(lead_names=NAMES, **SMALL).fit(X),
    "BELLPretrainer.transform": lambda X: fitted(BELLPretrainer(lead_names=NAMES, **SMALL), X),
    "ECGClassifier": lambda X: ECGClassifier(
        BELLPretrainer(lead_names=NAMES, max_epochs=0), n_trees=2, **SMALL
    ).fit(X, Y),
    "ECGClassifier on frozen": lambda X: ECGClassifier(
        FrozenEstimator(BELLPretrainer(lead_names=NAMES, **SMALL).fit(ECG.data)), n_trees=2, **SMALL
    ).fit(X, Y),
    "ECGFeatures": lambda X: ECGFeatures().fit(X),
    "ECGFeatures.transform": lambda X: fitted(ECGFeatures(), X),
    "pretrained": lambda X: BELLPretrainer.from_pretrained(device="cpu").transform(X),
}
OTHERS = {
    "VQVAETransformer": lambda X: VQVAE.fit(X),
    "VQVAEOverSampler": lambda X: VQVAEOverSampler(
        vqvae=VQVAE, sampling_strategy="all", random_state=0
    ).fit_resample(X, Y),
    "BandpassFilter": lambda X: BandpassFilter().fit(X),
    "Cropper": lambda X: Cropper().fit(X),
    "LeadSelector": lambda X: LeadSelector().fit(X),
    "RecordScaler": lambda X: RecordScaler().fit(X),
    "Resampler": lambda X: Resampler(500, 100).fit(X),
}


def fitted(transformer, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformer.fit(ECG.data)
    return transformer.transform(X)


def warned(act, X):
    """Return the messages of RecordWarning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        act(X)
    return [str(w.message) for w in caught if issubclass(w.category, RecordWarning)]


@pytest.mark.parametrize("act", [*LEARNERS.values(), *OTHERS.values()], ids=[*LEARNERS, *OTHERS])
def test_records_of_the_right_kind_do_not_warn(act):
    assert warned(act, X) == []


@pytest.mark.parametrize("act", [*LEARNERS.values(), *OTHERS.values()], ids=[*LEARNERS, *OTHERS])
def test_exchanged_axes_raise_with_the_remedy(act):
    with pytest.raises(InvalidECGError, match=r"X\.transpose\(0, 2, 1\)"):
        act(X.transpose(0, 2, 1))


@pytest.mark.parametrize("act", LEARNERS.values(), ids=LEARNERS)
@pytest.mark.parametrize(("factor", "unit"), [(1000, "microvolts"), (0.001, "volts")])
def test_other_units_warn_once(act, factor, unit):
    messages = warned(act, X * np.float32(factor))
    assert len(messages) == 1
    assert unit in messages[0]
    assert "units=" in messages[0]


@pytest.mark.parametrize("act", LEARNERS.values(), ids=LEARNERS)
def test_leads_in_another_order_warn_once(act):
    order = [0, 1, 6, 7, 8, 9, 10, 11, 2, 3, 4, 5]  # I, II, V1 to V6, then the others
    (message,) = warned(act, X[:, order])
    assert "order of the leads" in message


def test_reversed_electrodes_of_most_records_warn():
    reversed_arms = X.copy()
    reversed_arms[:, 0] *= -1  # I, but not the leads that follow from it
    (message,) = warned(lambda X: ECGFeatures().fit(X), reversed_arms)
    assert "electrodes" in message
    few = np.concatenate([reversed_arms[:4], X[:12]])
    assert warned(lambda X: ECGFeatures().fit(X), few) == []
    (message,) = warned(lambda X: ECGFeatures().fit(X), RecordScaler().fit_transform(reversed_arms))
    assert "electrodes" in message


@pytest.mark.parametrize("name", ["ECGClassifier", "ECGFeatures.transform", "pretrained"])
def test_another_sampling_rate_warns_once(name):
    act = LEARNERS[name]
    fast = make_ecg(16, duration=2, sampling_rate=500, random_state=0).data  # 1,000 samples
    (message,) = warned(act, fast)
    assert "Resampler" in message
    assert "100 Hz" in message


@pytest.mark.parametrize(
    ("actual", "declared"),
    [(100, 200), (100, 250), (100, 360), (100, 500), (500, 250), (500, 200), (500, 100)],
)
def test_sampling_rate_that_makes_most_heart_rates_implausible_warns(actual, declared):
    records = make_ecg(64, sampling_rate=actual, random_state=0).data
    (message,) = warned(lambda X: ECGFeatures(declared).fit(X), records)
    assert "beats" in message


def test_rate_does_not_warn_where_nothing_depends_on_it():
    fast = make_ecg(16, duration=2, sampling_rate=500, random_state=0).data
    assert warned(lambda X: BELLPretrainer(**SMALL).fit(X), fast) == []
    measured = BELLPretrainer(measurements=ECGFeatures(), **SMALL)
    assert len(warned(measured.fit, fast)) == 1


@pytest.mark.parametrize("duration", [1, 2, 3])
def test_short_records_of_the_right_rate_do_not_warn(duration):
    records = make_ecg(64, duration=duration, random_state=0).data
    assert warned(lambda X: ECGFeatures().fit(X), records) == []


def test_unusual_heart_rates_of_few_patients_do_not_warn():
    slow = Resampler(100, 55).fit_transform(make_ecg(7, duration=20, random_state=0).data)
    assert warned(lambda X: ECGFeatures().fit(Resampler(55, 100).fit_transform(X)), slow) == []
    assert warned(lambda X: ECGFeatures(27).fit(X), slow) == []  # half of the rates


def test_some_records_or_leads_in_microvolts_warn():
    few, lead = X.copy(), X.copy()
    few[:3] *= 1000
    lead[:, 6] *= 1000
    for mixed in few, lead:
        (message,) = warned(lambda X: ECGFeatures().fit(X), mixed)
        assert "some records or leads" in message


@pytest.mark.parametrize("n_leads", [3, 6])
def test_order_of_limb_leads_alone_is_checked(n_leads):
    limb = X[:, :n_leads]
    features = ECGFeatures(lead_names=NAMES[:n_leads])
    assert warned(features.fit, limb) == []
    (message,) = warned(features.fit, limb[:, [1, 0, *range(2, n_leads)]])
    assert "order of the leads" in message


def test_classifier_checks_the_order_that_its_features_assume():
    classifier = ECGClassifier(n_trees=2, **SMALL)
    (message,) = warned(lambda X: classifier.fit(X, Y), X[:, ::-1])
    assert "order of the leads" in message
    plain = ECGClassifier(features=None, n_trees=2, **SMALL)
    assert warned(lambda X: plain.fit(X, Y), X[:, ::-1]) == []


@pytest.mark.parametrize("name", ["ECGFeatures", "BELLPretrainer"])
def test_fit_transform_warns_once(name):
    transformer = {"ECGFeatures": ECGFeatures(), "BELLPretrainer": BELLPretrainer(**SMALL)}[name]
    assert len(warned(transformer.fit_transform, X * 1000)) == 1


def test_folds_of_cross_validation_repeat_the_same_text():
    model = make_pipeline(ECGFeatures(), DecisionTreeClassifier())
    messages = warned(lambda X: cross_val_score(model, X, Y, cv=3), X * 1000)
    assert len(messages) == 6  # fit and predict
    assert len(set(messages)) == 1


def test_pretrained_classifier_warns_of_another_rate():
    fast = make_ecg(16, duration=2, sampling_rate=500, random_state=0).data
    classifier = ECGClassifier.from_pretrained(max_epochs=0, n_trees=2, random_state=0).fit(X, Y)
    (message,) = warned(classifier.predict_proba, fast)
    assert "sampling rate" in message


def test_warnings_can_be_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RecordWarning)
        with pytest.raises(RecordWarning, match="microvolts"):
            ECGFeatures().fit(X * 1000)


def test_pipeline_warns_once_in_each_call():
    pipeline = make_pipeline(
        Resampler(100, 50), BELLPretrainer(sampling_rate=50, **SMALL), LogisticRegression()
    )
    assert len(warned(lambda X: pipeline.fit(X, Y), X * 1000)) == 1
    assert len(warned(pipeline.predict, X * 1000)) == 1


SCALERS = {
    **{
        f"{method} per {per}": RecordScaler(method=method, per=per).fit_transform
        for method in ("zscore", "robust", "max")
        for per in ("lead", "record")
    },
    "range": lambda X: (X - X.min(-1, keepdims=True)) / np.ptp(X, axis=-1, keepdims=True),
    "channel": lambda X: (X - X.mean((0, 2), keepdims=True)) / X.std((0, 2), keepdims=True),
}


@pytest.mark.parametrize("scale", SCALERS.values(), ids=SCALERS)
def test_scaled_leads_do_not_contradict_each_other(scale):
    assert warned(lambda X: BELLPretrainer(lead_names=NAMES, **SMALL).fit(X), scale(X)) == []


@pytest.mark.parametrize("scale", SCALERS.values(), ids=SCALERS)
@pytest.mark.parametrize("pair", list(combinations(range(6), 2)), ids=str)
def test_exchanged_limb_leads_contradict_each_other(scale, pair):
    order = np.arange(12)
    order[list(pair)] = order[list(pair[::-1])]
    (message,) = warned(lambda X: ECGFeatures().fit(X), scale(X)[:, order])
    assert "order of the leads" in message


def test_flat_or_missing_leads_do_not_warn():
    broken = X.copy()
    broken[:, 7] = np.nan
    broken[:4] = 0
    options = {"missing": "zero", "lead_names": NAMES}
    assert warned(lambda X: BELLPretrainer(**options, **SMALL).fit(X), broken) == []
    assert warned(lambda X: BELLPretrainer(**options, **SMALL).fit(X), np.zeros_like(X)) == []


def test_very_many_leads_warn():
    noise = np.random.default_rng(0).normal(0, 0.2, (4, 80, 100))
    (message,) = warned(lambda X: BandpassFilter().fit(X), noise)
    assert "80 leads" in message


def test_one_record_and_exchanged_axes_are_named_after_fit():
    features = ECGFeatures().fit(X)
    with pytest.raises(InvalidECGError, match=r"one record. Pass X\[None\]"):
        features.transform(X[0])
    with pytest.raises(InvalidECGError, match=r"axes are exchanged. Pass X.transpose"):
        features.transform(X.transpose(0, 2, 1))


def test_bunch_is_named():
    with pytest.raises(InvalidECGError, match=r"Pass its data"):
        ECGFeatures().fit(ECG)


@pytest.mark.parametrize("kind", ["memory map", "h5py"])
def test_check_of_a_large_array_is_fast(tmp_path, kind):
    shape = 20_000, 12, 1000
    if kind == "memory map":
        large = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, shape)
    else:
        h5py = pytest.importorskip("h5py")
        file = h5py.File(tmp_path / "x.h5", "w")
        large = file.create_dataset("x", shape, np.float32, chunks=(16, 12, 1000))
    from sklearn_bell._utils.plausibility import check_values
    from sklearn_bell._utils.validation import Records

    durations = []
    for _ in range(3):  # the first time, the file system may be slow
        start = time.thread_time()
        check_values(Records(large, (np.float32,)), NAMES, 100)
        durations.append(time.thread_time() - start)
    assert min(durations) < 0.6  # 0.3 s on a free processor
