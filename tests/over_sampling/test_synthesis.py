import warnings

import numpy as np
import pytest
import torch
from imblearn.pipeline import make_pipeline
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sklearn_bell import BELLPretrainer
from sklearn_bell.exceptions import InvalidECGError, RecordWarning
from sklearn_bell.feature_extraction import detect_qrs
from sklearn_bell.over_sampling._beat_alignment import align_beats
from tests.over_sampling.conftest import ALIGNED, pool, small


@ALIGNED
def test_sampler_interpolation_matches_network(ecg, vqvae, sampling_rate):
    X, y, _ = ecg
    sampler = small(vqvae=vqvae, alpha=1.0, sampling_rate=sampling_rate)
    X_new, _ = sampler.fit_resample(X, y)
    first, second = (X[rows] for rows in sampler.parents_.T)
    if sampling_rate is not None:
        beats = [[sampling_rate * times for times in detect_qrs(x, 100)] for x in (first, second)]
        second = np.stack([align_beats(x, b, a) for x, a, b in zip(second, *beats, strict=True)])
    network = vqvae.estimator.vqvae_
    with torch.no_grad():
        first, second = (network.encode(torch.tensor(x)) for x in (first, second))
        alpha = torch.tensor(sampler.alpha_, dtype=torch.float32)[:, None, None]
        mixed = network.quantizer((1 - alpha) * first + alpha * second)[0]
        expected = network.decode(mixed, X.shape[2:])
    # rounding may change codes of latents between two vectors
    is_close = np.isclose(X_new[48:], expected, atol=1e-4).all(axis=(1, 2))
    assert is_close.mean() > 0.9


def test_sampler_alignment_keeps_beats_of_first_record(ecg, vqvae):
    X, y, _ = ecg

    def fraction_with_beats_of_first(sampling_rate):
        sampler = small(vqvae=vqvae, sampling_strategy={"lbbb": 60}, alpha=1.0)
        X_new, _ = sampler.set_params(sampling_rate=sampling_rate).fit_resample(X, y)
        beats = zip(detect_qrs(X[sampler.parents_[:, 0]]), detect_qrs(X_new[48:]), strict=True)
        return np.mean([len(a) == len(b) and np.abs(a - b).max() < 0.05 for a, b in beats])

    assert fraction_with_beats_of_first(100) > 0.9
    assert fraction_with_beats_of_first(None) < 0.7


def test_sampler_temperature_sets_distance_from_reconstruction(ecg, vqvae):
    X, y, _ = ecg
    sampler = small(vqvae=vqvae, method="sample", temperature=1e-6)
    cold, _ = sampler.fit_resample(X, y)
    rows, second_rows = sampler.parents_.T
    np.testing.assert_array_equal(rows, second_rows)
    expected = vqvae.estimator.inverse_transform(vqvae.transform(X[rows]))
    assert np.isclose(cold[48:], expected, atol=1e-4).all(axis=(1, 2)).mean() > 0.9
    warm, _ = sampler.set_params(temperature=3.0).fit_resample(X, y)
    assert np.abs(warm[48:] - expected).mean() > np.abs(cold[48:] - expected).mean()


@pytest.mark.parametrize("method", ["sample", "prior"])
def test_sampler_lowest_temperature_is_finite(ecg, vqvae, method):
    sampler = small(vqvae=vqvae, method=method, prior_epochs=1, temperature=1e-300)
    X_new, _ = sampler.fit_resample(ecg[0], np.arange(48) < 3)
    assert np.isfinite(X_new).all()
    if method == "sample":  # all are reconstructions of three records
        assert len(np.unique(np.round(X_new[48:], 3), axis=0)) == 3


def test_sampler_verbose_prints_epochs_of_prior(ecg, vqvae, tmp_path, capsys):
    X, y, _ = ecg
    sampler = small(vqvae=vqvae, method="prior", prior_epochs=2, checkpoint=tmp_path)
    expected, _ = sampler.fit_resample(X, y)
    assert capsys.readouterr().out == ""
    verbose = clone(sampler).set_params(verbose=True)
    np.testing.assert_array_equal(verbose.fit_resample(X, y)[0], expected)
    assert capsys.readouterr().out == ""  # the checkpoint is complete
    X_new, _ = verbose.set_params(checkpoint=None).fit_resample(X, y)
    np.testing.assert_array_equal(X_new, expected)
    lines = [line.split(": loss")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == [f"[VQVAEOverSampler] epoch {number} of 2" for number in (1, 2)]


def test_sampler_prior_has_no_source_rows(ecg, vqvae):
    X, y, _ = ecg
    sampler = small(vqvae=vqvae, method="prior", prior_epochs=1)
    sampler.fit_resample(X, y)
    assert (sampler.parents_ == -1).all()
    assert (sampler.alpha_ == 0).all()


def test_sampler_latent_filter_accepts_records_near_class_mean(ecg, vqvae):
    X, y, _ = ecg
    unfiltered = small(vqvae=vqvae, method="sample", temperature=2.0)
    unfiltered.set_params(sampling_strategy={"lbbb": 60})
    filtered = clone(unfiltered).set_params(filter="latent", max_redraws=50)
    reconstructed = vqvae.estimator.inverse_transform(vqvae.transform(X))

    def is_near(X_new):
        x = torch.tensor(np.concatenate([reconstructed, X_new]))
        z = pool(vqvae.estimator.vqvae_.encode(x).detach().numpy())
        z /= z[:48].std(axis=0)
        members = z[:48][y == "lbbb"]
        distances = np.linalg.norm(z - members.mean(axis=0), axis=1)
        return distances[48:] <= 1.001 * np.quantile(distances[:48][y == "lbbb"], 0.95)

    assert not is_near(unfiltered.fit_resample(X, y)[0][48:]).all()
    assert is_near(filtered.fit_resample(X, y)[0][48:]).all()


def test_sampler_latent_filter_accepts_all_of_single_record_class(ecg, vqvae):
    X, y, _ = ecg
    rows = [*range(30), 42]
    sampler = small(vqvae=vqvae, method="sample", filter="latent", sampling_strategy={"afib": 9})
    _, y_new = sampler.fit_resample(X[rows], y[rows])
    assert (y_new == "afib").sum() == 9


class RejectingFilter(LogisticRegression):
    """Predicts normal always, and records the batch sizes."""

    def fit(self, X, y):
        self.batch_sizes_ = []
        RejectingFilter.last = self
        return self

    def predict(self, X):
        self.batch_sizes_.append(len(X))
        return np.full(len(X), "normal")


def test_sampler_stops_redrawing_after_max_redraws(ecg, vqvae):
    X, y, _ = ecg
    sampler = small(vqvae=vqvae, filter=RejectingFilter(), max_redraws=3)
    sampler.set_params(sampling_strategy={"afib": 10})
    with pytest.warns(RecordWarning, match=r"4 of 4 synthetic records, .*max_redraws=3") as warned:
        _, y_new = sampler.fit_resample(X, y)
    assert warned[0].filename == __file__
    assert RejectingFilter.last.batch_sizes_ == [4, 4, 4, 4]
    assert (y_new == "afib").sum() == 10


def test_sampler_classifier_filter_predicts_labels_of_accepted_records(ecg, vqvae):
    X, y, _ = ecg
    model = make_pipeline(BELLPretrainer(max_epochs=0), StandardScaler(), LogisticRegression())
    model.set_params(bellpretrainer__random_state=0)
    sampler = small(vqvae=vqvae, filter=model, max_redraws=30)
    X_new, y_new = sampler.fit_resample(X, y)
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict(X_new[48:]), y_new[48:])


@pytest.mark.parametrize("is_multilabel", [False, True])
def test_sampler_filter_gets_2d_x_and_seed(ecg, vqvae, is_multilabel):
    X, y, _ = ecg
    y = np.stack([y == "afib", y == "lbbb"], axis=1).astype(int) if is_multilabel else y
    model = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=5))
    sampler = small(filter=model, method="sample", max_redraws=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)
        expected, repeated = (sampler.fit_resample(X[:, 0], y)[0] for _ in range(2))
    np.testing.assert_array_equal(repeated, expected)


def test_sampler_filter_of_other_classes_raises(ecg, vqvae):
    X, y, _ = ecg
    model = FrozenEstimator(LogisticRegression().fit(X[:, 0], np.arange(48) % 3))
    with pytest.raises(InvalidECGError, match=r"filter predicts the classes .* but y has"):
        small(vqvae=vqvae, filter=model).fit_resample(X, y)
