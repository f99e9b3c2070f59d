"""VQ-VAE transformer of ECGs to discrete codes, and back."""

from __future__ import annotations

from dataclasses import dataclass

from sklearn_bell._utils import types
from sklearn_bell._utils.leads import check_lead_names
from sklearn_bell._utils.validation import check_ecg
from sklearn_bell.nn.vector_quantization import VQVAE
from sklearn_bell.vqvae._base import BaseVQVAE


@dataclass(eq=False, repr=False, kw_only=True)
class VQVAETransformer(BaseVQVAE):
    """Transform ECGs to discrete codes along time, and codes back to ECGs.

    Vector-quantised variational autoencoder (VQ-VAE) [1]_ of all leads together, without labels. An
    encoder makes a latent of every few samples, codebooks quantise it, and a decoder reconstructs
    the record, at the length of those in `fit`.

    Parameters
    ----------
    n_codes : int, default=256
        Number of vectors in each codebook.
    n_codebooks : int, default=8
        Number of codes per latent: each codebook quantises the residual of those before it [2]_.
        With 1 it is the method of [1]_, which loses more.
    n_features : int, default=64
        Width of latents and vectors.
    width : int, default=128
        Number of channels after the first layer of the encoder, and before the last layer of the
        decoder. It doubles with each further stride.
    strides : tuple of int, default=(8,)
        Patch length of each layer of the encoder: in samples, then in patches. Their product is the
        number of samples per latent; the last latent may stand for fewer.
    beta : float, default=0.25
        Weight of the commitment loss, which pulls latents towards their vectors.
    decay : float, default=0.99
        Decay per step of the moving averages of latents that update the vectors.
    max_epochs : int, default=40
        Number of passes over all records.
    batch_size : int, default=16
        Records per step, and per batch in `transform`. Batches differ in size by one at most.
    lr : float, default=0.001
        Learning rate of Adam. It falls to zero in the second half of the epochs.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights and vectors, and of the order of the records.

    Other Parameters
    ----------------
    lead_names, precision, device, verbose, checkpoint
        As in :class:`sklearn_bell.BELLPretrainer`, but `transform` always uses float32.

    Attributes
    ----------
    vqvae_ : sklearn_bell.nn.vector_quantization.VQVAE
        The trained network. It reconstructs records in mV ``(batch, n_leads, n_samples)``.
    history_ : list of dict
        For each epoch: ``epoch`` (number); mean ``loss``; ``reconstruction_error`` of each lead
        by name, as a fraction of its variance; ``commitment`` loss; ``perplexity`` of each
        codebook, the number of equally frequent codes of the same entropy; ``duration`` in s.
    lead_names_, n_features_in_, n_leads_in_, n_samples_in_, feature_names_in_
        As in :class:`sklearn_bell.BELLPretrainer`.

    Raises
    ------
    InvalidECGError, DivergenceError
        As in :class:`sklearn_bell.BELLPretrainer`. The former, a ``ValueError``, also if codes do
        not have the form that `transform` returns.

    Notes
    -----
    The reconstruction loss compares samples, and differences of neighbouring samples, which are
    large in a QRS complex. It is relative to the variance of each lead of each record.

    References
    ----------
    .. [1] van den Oord A, Vinyals O, Kavukcuoglu K. Neural discrete representation learning.
       NeurIPS 2017.
    .. [2] Zeghidour N, Luebs A, Omran A, Skoglund J, Tagliasacchi M. SoundStream: an end-to-end
       neural audio codec. IEEE/ACM Trans Audio Speech Lang Process 2022;30:495-507.

    Examples
    --------
    >>> from sklearn_bell import VQVAETransformer, datasets
    >>> X = datasets.make_ecg(20, duration=5, sampling_rate=100, random_state=0).data
    >>> vqvae = VQVAETransformer(n_codes=32, max_epochs=2, random_state=0).fit(X)
    >>> vqvae.transform(X).shape  # 63 latents of 8 samples each, 8 codes for each latent
    (20, 504)
    >>> vqvae.inverse_transform(vqvae.transform(X)).shape
    (20, 12, 500)
    """

    lead_names: types.Names | None = None

    _parameter_constraints = BaseVQVAE._parameter_constraints | {"lead_names": ["array-like", None]}

    _check_X = staticmethod(check_ecg)
    _expects_millivolts = True

    def _make_network(self, **settings):
        self.lead_names_ = check_lead_names(self.lead_names, self.n_leads_in_)
        return VQVAE(self.n_leads_in_, **settings)
