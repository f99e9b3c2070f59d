"""Describe ECGs by codes, and make ECGs of codes: a VQ-VAE as a transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sklearn_bell._utils.leads import check_lead_names
from sklearn_bell._utils.validation import check_ecg
from sklearn_bell.nn.vector_quantization import VQVAE
from sklearn_bell.vqvae._base import BaseVQVAE

if TYPE_CHECKING:
    from sklearn_bell._utils.types import Device, Names, Precision, RandomState
    from sklearn_bell.training._checkpoint import CheckpointLike


class VQVAETransformer(BaseVQVAE):
    """Describe ECGs by discrete codes along time, of which they can be made again.

    A vector-quantised variational autoencoder [1]_ of all leads together: an encoder makes a latent
    of every few samples, codebooks describe it by the numbers of their vectors, and a decoder makes
    the record of these vectors. It learns from records without labels, and what it makes is of the
    very length of the records that it has seen.

    Parameters
    ----------
    n_codes : int, default=256
        Vectors of each codebook.
    n_codebooks : int, default=8
        Codes of each latent: each codebook describes what the ones before it have left [2]_. With 1
        it is the method of [1]_, which loses more.
    n_features : int, default=64
        Width of latents and vectors.
    width : int, default=128
        Channels after the first layer of the encoder, and before the last one of the decoder. With
        each further stride there are twice as many.
    strides : tuple of int, default=(8,)
        Length of the patches that the layers of the encoder make one of, in samples and then in
        patches. There is a latent for as many samples as their product; the last one may stand for
        fewer.
    beta : float, default=0.25
        Weight of the commitment loss, which draws latents to the vectors that describe them.
    decay : float, default=0.99
        The vectors are moving averages of the latents they describe: what remains after a step.
    max_epochs : int, default=40
        How often all records are seen.
    batch_size : int, default=16
        Records per step, and per batch in `transform`. Batches differ in size by one at most.
    lr : float, default=0.001
        Learning rate of Adam. It falls to zero in the second half of the epochs.
    lead_names : array-like of str of length n_leads, default=None
        Names of the leads of X, for the history.
    device : str or torch.device, default="auto"
        Where to compute: ``"auto"`` is a GPU if there is one, or else the CPU.
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        What the layers are computed in while training. ``"auto"`` is bfloat16 where the device has
        instructions for it, which is faster; `transform` is always float32.
    verbose : bool or int, default=False
        Whether to print a line for each epoch: its number, the loss, and the seconds it took.
    checkpoint : str, path or Checkpoint, default=None
        Where to keep the state of training, so that `fit` goes on from it when it was ended: a
        folder, or a :class:`sklearn_bell.training.Checkpoint`. None keeps nothing.
    random_state : int, RandomState instance or None, default=None
        Determines the first weights and vectors, and the order of the records.

    Attributes
    ----------
    vqvae_ : sklearn_bell.nn.vector_quantization.VQVAE
        The trained network: records in mV ``(batch, n_leads, n_samples)`` to what comes back.
    history_ : list of dict
        For each epoch: the mean ``loss``; the ``reconstruction_error`` of each lead, by name, which
        is the part of its variance that does not come back; the ``commitment`` loss; the
        ``perplexity`` of each codebook, which is how many codes of equal frequency would be as
        varied; and the ``duration`` in s.
    lead_names_ : list of str
        Names of the leads, numbered where `lead_names` is None.
    n_features_in_ : int
        Number of leads, or of samples where X is 2-D.
    n_leads_in_, n_samples_in_ : int
        Number of leads, and of samples of a record.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X is a dataframe.

    Raises
    ------
    InvalidECGError
        A ``ValueError``: if X is not two records at least, of three dimensions (or two for one
        lead) and finite; or if codes are not as `transform` returns them.
    DivergenceError
        If the loss or a weight is no finite number any more. The transformer has the weights of the
        last epoch that ended well then, and is not fitted if none did.

    See Also
    --------
    sklearn_bell.over_sampling.VQVAEOverSampler : New records of rare classes, made of such latents.

    Notes
    -----
    What is lost is measured in proportion to the variance of each lead of each record, so that
    small leads come back as well as large ones, and so are the differences between neighbouring
    samples, which are large in a QRS complex.

    References
    ----------
    .. [1] van den Oord A, Vinyals O, Kavukcuoglu K. Neural discrete representation learning.
       NeurIPS 2017.
    .. [2] Zeghidour N, Luebs A, Omran A, Skoglund J, Tagliasacchi M. SoundStream: an end-to-end
       neural audio codec. IEEE/ACM Trans Audio Speech Lang Process 2022;30:495-507.

    Examples
    --------
    >>> from sklearn_bell import VQVAETransformer
    >>> from sklearn_bell.datasets import make_ecg
    >>> ecg = make_ecg(20, duration=5, sampling_rate=100, random_state=0)
    >>> vqvae = VQVAETransformer(n_codes=32, max_epochs=2, random_state=0).fit(ecg.data)
    >>> codes = vqvae.transform(ecg.data)
    >>> codes.shape  # 63 latents of 8 samples each, 8 codes for each latent
    (20, 504)
    >>> vqvae.inverse_transform(codes).shape
    (20, 12, 500)
    """

    _parameter_constraints: dict = {
        **BaseVQVAE._parameter_constraints,
        "lead_names": ["array-like", None],
    }

    _check_X = staticmethod(check_ecg)

    def __init__(
        self,
        *,
        n_codes: int = 256,
        n_codebooks: int = 8,
        n_features: int = 64,
        width: int = 128,
        strides: Sequence[int] = (8,),
        beta: float = 0.25,
        decay: float = 0.99,
        max_epochs: int = 40,
        batch_size: int = 16,
        lr: float = 1e-3,
        lead_names: Names | None = None,
        device: Device = "auto",
        precision: Precision = "float32",
        verbose: bool | int = False,
        checkpoint: CheckpointLike | None = None,
        random_state: RandomState = None,
    ):
        super().__init__(
            n_codes=n_codes,
            n_codebooks=n_codebooks,
            n_features=n_features,
            width=width,
            strides=strides,
            beta=beta,
            decay=decay,
            max_epochs=max_epochs,
            batch_size=batch_size,
            lr=lr,
            device=device,
            precision=precision,
            verbose=verbose,
            checkpoint=checkpoint,
            random_state=random_state,
        )
        self.lead_names = lead_names

    def _make_network(self, **settings):
        self.lead_names_ = check_lead_names(self.lead_names, self.n_leads_in_)
        return VQVAE(self.n_leads_in_, **settings)

    def _channel_names(self):
        return self.lead_names_
