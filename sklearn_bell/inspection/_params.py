"""Checks of the parameters of inspection functions."""

from numbers import Integral, Real

from sklearn.utils._param_validation import Interval, StrOptions, validate_params

_COUNT = Interval(Integral, 1, None, closed="left")
_POSITIVE = Interval(Real, 0, None, closed="neither")

check_params = validate_params(
    {
        **{name: ["array-like"] for name in ("X", "X_reference", "y")},
        **{name: ["array-like", None] for name in ("groups", "lead_names")},
        "scoring": [str, callable, None],
        "method": [StrOptions({"integrated_gradients", "grad_cam"})],
        "metric": [str, callable],
        "by": [StrOptions({"beats", "windows"})],
        "sampling_rate": [_POSITIVE],
        "width": [_POSITIVE, None],
        **{name: [_COUNT] for name in ("n_steps", "n_repeats", "n_neighbors")},
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
