"""Hand-made features of an ECG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sklearn_bell._utils.beats import clean
from sklearn_bell._utils.leads import STANDARD_LEADS, check_lead_names
from sklearn_bell._utils.validation import check_ecg
from sklearn_bell.feature_extraction._delineation import BOUNDARIES, TIME, delineate
from sklearn_bell.feature_extraction._measurements import measure
from sklearn_bell.feature_extraction._qrs import HZ
from sklearn_bell.preprocessing._base import RecordTransformer

if TYPE_CHECKING:
    from sklearn_bell._utils import types


@dataclass(eq=False, repr=False)
class ECGFeatures(RecordTransformer):
    """Measurements of cardiologists: rhythm, intervals, axes, voltages and waves.

    With extra trees they are strong for the diagnoses of PTB-XL (doi:10.1038/s41597-020-0495-6).
    Records are resampled to 100 Hz and filtered from 0.5 to 40 Hz. The typical beat is the median
    of the beats with the most frequent shape, after alignment. P, QRS and T begin and end where all
    leads together become slow.

    Parameters
    ----------
    sampling_rate : float, default=100
        Sampling rate of X in Hz. The features hardly depend on it.
    lead_names : array-like of str, default=None
        Names of the leads of X, by default the standard names for twelve leads, else lead0, ...

    Attributes
    ----------
    lead_names_ : list of str
        Names of the leads of X.

    See Also
    --------
    detect_qrs : Times of all beats.

    Notes
    -----
    Names end in units. Features of the record, from all leads together:

    - ``heart_rate_bpm`` from the median RR interval; ``rr_sd_ms``, ``rr_rmssd_ms``, ``rr_min_ms``,
      ``rr_max_ms``; ``rr_cv``, standard deviation over mean; ``rr_irregularity``, median
      successive difference over median; ``rr_pnn50``, share of differences above 50 ms;
    - ``n_beats``; ``n_premature``, RR below 0.8 of the median over the means of two successive
      intervals, which is stable in bigeminy; ``n_aberrant``, correlation of QRS with the typical
      beat below 0.85; ``n_premature_aberrant``;
    - ``p_present``, 0 or 1; ``p_consistency``, the share of the power of P that repeats from beat
      to beat, low in atrial fibrillation;
    - ``p_ms``, ``pr_ms``, ``qrs_ms``, ``qt_ms``, ``qtc_fridericia_ms``: QT / RR^(1/3), RR in s
      [1]_.

    Features of the record from leads of certain names, if X has them:

    - ``p_axis_deg``, ``qrs_axis_deg`` and ``t_axis_deg`` in the frontal plane, and the angle
      ``qrs_t_angle_deg``, from areas in any two limb leads that are not flat;
    - ``sokolow_lyon_mv``, S in V1 plus R in V5 or V6 [2]_; ``cornell_mv``, R in aVL plus S in V3
      [3]_. S is here the lowest point of QRS. aVL can follow from other limb leads.

    Features of each lead, such as ``V1_sd_mv``:

    - ``sd_mv``, ``max_mv`` and ``min_mv`` of the record;
    - the typical beat, every 40 ms from ``beat_-240ms_mv`` to ``beat_+360ms_mv`` around the summit
      of QRS, the largest root of the sum of squares over leads;
    - relative to the level before QRS: ``p_mv``, ``q_mv``, ``r_mv``, ``s_mv``, ``t_mv``;
      ``q_ms``, time of Q below -0.025 mV; ``st_mv``, 60 ms after QRS; ``st_slope_mv_per_s``, from
      20 to 80 ms after it; ``t_polarity``, the sign of T, or 0 below 0.05 mV. R begins where QRS
      first reaches 0.05 mV. Q is the lowest point before, S the lowest point after. Without R,
      the complex is QS: ``q_mv`` and ``q_ms`` measure all of it, ``r_mv`` and ``s_mv`` are 0.

    No feature is NaN. Undefined intervals have the median of sinus rhythm in PTB-XL: P 116, PR 160,
    QRS 100, QT 400, QTc 420 ms. Then ``p_present`` or ``n_beats`` is 0, ``n_beats`` is 1 (QTc), or
    ``t_mv`` is 0 in all leads (QT, QTc). Other undefined features are zero. :meth:`delineate`
    returns NaN where there is no wave. T is absent where, in all leads together, its height is
    below 5 % of that of QRS or below 6 times the noise of the typical beat. The filter shrinks ST
    levels.

    References
    ----------
    .. [1] Fridericia, Acta Med Scand 53, 469-486 (1920),
       doi:10.1111/j.0954-6820.1920.tb18266.x
    .. [2] Sokolow and Lyon, Am Heart J 37, 161-186 (1949), doi:10.1016/0002-8703(49)90562-1
    .. [3] Casale et al., J Am Coll Cardiol 6, 572-580 (1985), doi:10.1016/S0735-1097(85)80115-7

    Examples
    --------
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.feature_extraction import ECGFeatures
    >>> ecg = make_ecg(3, classes=["normal", "av_block", "lbbb"], random_state=0)
    >>> ecg.target_names[ecg.target].tolist()
    ['normal', 'lbbb', 'av_block']
    >>> features = ECGFeatures().set_output(transform="pandas").fit_transform(ecg.data)
    >>> features[["pr_ms", "qrs_ms", "qt_ms"]].astype(int)
       pr_ms  qrs_ms  qt_ms
    0    152     108    400
    1    152     196    464
    2    224     116    400
    """

    sampling_rate: float = 100
    lead_names: types.Names | None = None

    _parameter_constraints = {"sampling_rate": [HZ], "lead_names": ["array-like", None]}
    _dtypes = (np.float32,)

    def delineate(self, X: ArrayLike) -> Bunch:
        """Find the boundaries of P, QRS and T on the typical beat of every record.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records in mV, of the leads and length seen in `fit`.

        Returns
        -------
        bunch : :class:`~sklearn.utils.Bunch`
            boundaries : DataFrame of n_records rows
                ``p_onset_ms``, ``p_offset_ms``, ``qrs_onset_ms``, ``qrs_offset_ms``, ``t_onset_ms``
                and ``t_offset_ms`` in ms from the summit of QRS; NaN where there is no such wave.
            typical_beats : ndarray of shape (n_records, n_leads, 300)
                In mV, zero without beats.
            times : ndarray of shape (300,)
                Of the samples of typical beats, in ms from the summit of QRS.

        Examples
        --------
        >>> from sklearn_bell.datasets import make_ecg
        >>> from sklearn_bell.feature_extraction import ECGFeatures
        >>> X = make_ecg(3, classes=["normal", "afib"], random_state=0).data
        >>> ECGFeatures().fit(X).delineate(X).boundaries.T
                           0      1      2
        p_onset_ms    -192.0    NaN -224.0
        p_offset_ms    -84.0    NaN -116.0
        qrs_onset_ms   -52.0  -52.0  -52.0
        qrs_offset_ms   60.0   60.0   56.0
        t_onset_ms     124.0  112.0  108.0
        t_offset_ms    332.0  316.0  312.0
        """
        check_is_fitted(self, "_shape_out")
        records = check_ecg(self, X, reset=False, dtype=self._dtypes)
        batches = [delineate(clean(x, self.sampling_rate)) for x in records.batches()]
        boundaries = np.concatenate([batch.boundaries for batch in batches])
        return Bunch(
            boundaries=pd.DataFrame(boundaries, columns=[f"{name}_ms" for name in BOUNDARIES]),
            typical_beats=np.concatenate([batch.median for batch in batches]),
            times=TIME.copy(),
        )

    _expects_millivolts = True

    @property
    def _known_lead_names(self):
        is_standard = self.lead_names is None and self.n_leads_in_ == len(STANDARD_LEADS)
        return STANDARD_LEADS if is_standard else self.lead_names

    def _prepare(self):
        self.lead_names_ = check_lead_names(self._known_lead_names, self.n_leads_in_)

    def _transform(self, x):
        of_records, of_leads = measure(clean(x, self.sampling_rate), self.lead_names_)
        record, leads = (np.stack([*part.values()], axis=-1) for part in (of_records, of_leads))
        # all features of the first lead, then all of the second
        return np.concatenate([record, leads.reshape(len(x), -1)], axis=1, dtype=np.float32)

    def get_feature_names_out(self, input_features: types.Names | None = None) -> np.ndarray:
        """Return the names of features, such as ``qrs_ms``, then those of leads (``II_st_mv``).

        The `input_features` are only compared with the names seen in `fit`.
        """
        check_is_fitted(self, "_shape_out")
        self._check_names_in(input_features)
        flat = np.zeros((1, self.n_leads_in_, self.n_samples_in_), np.float32)
        of_records, of_leads = measure(flat, self.lead_names_)
        leads = [f"{lead}_{name}" for lead in self.lead_names_ for name in of_leads]
        return np.array([*of_records, *leads], dtype=object)
