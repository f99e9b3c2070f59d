"""Lines that warnings point at."""

import pytest

from sklearn_bell._utils.warn import warn_caller


def warn_through(*modules):
    """Warn through functions of several modules, the innermost first, and return the file names."""

    def call():
        raise AssertionError

    for number, module in enumerate(modules):
        scope = {"__name__": module, "call": call, "warn_caller": warn_caller}
        body = "call()" if number else "warn_caller('text', UserWarning)"
        exec(compile(f"def function(): {body}", f"{module}.py", "exec"), scope)
        call = scope["function"]
    with pytest.warns(UserWarning, match="text") as record:
        call()
    return [warning.filename for warning in record]


@pytest.mark.parametrize(
    "libraries",
    [
        ["sklearn_bell"],
        ["sklearn_bell.training._loop"],
        ["sklearn_bell.pretraining._base", "contextlib", "sklearn.base", "skorch.net"],
        ["imblearn.base", "joblib.parallel"],
        [
            "sklearn.utils.parallel",
            "joblib.externals.loky",
            "concurrent.futures.thread",
            "threading",
        ],
        ["sklearn_bell", "multiprocessing.process"],
    ],
    ids=len,
)
@pytest.mark.parametrize("user", ["user", "__main__", "sklearn_bellows", "sklearn2"])
def test_warning_points_at_the_first_frame_of_the_user(libraries, user):
    assert warn_through(*libraries, user, "sklearn_bell.demo") == [f"{user}.py"]


def test_warning_without_user_frame_points_outside():
    assert warn_through("sklearn_bell.module") == [__file__]
