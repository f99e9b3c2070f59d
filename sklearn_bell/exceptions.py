"""Errors and warnings that users of the library may want to catch."""

__all__ = [
    "CheckpointWarning",
    "CollapseWarning",
    "DivergenceError",
    "InvalidECGError",
    "InvalidFileError",
    "RecordWarning",
]


class InvalidECGError(ValueError):
    """Raised when records, or the array that holds them, are not what was expected.

    It is a ``ValueError``, so that code written for scikit-learn catches it too.
    """


class InvalidFileError(ValueError):
    """Raised when a file is damaged, or not what was expected; it names the file."""


class DivergenceError(ArithmeticError):
    """Raised when the loss of a training, or its weights, are no finite numbers any more.

    The estimator has the weights of the last epoch that ended well, and is not fitted if none did.
    """


class CheckpointWarning(UserWarning):
    """Warned when a checkpoint is damaged, and training goes on from the one before."""


class CollapseWarning(UserWarning):
    """Warned in pretraining as soon as an epoch has nearly the same latent for every record."""


class RecordWarning(UserWarning):
    """Warned when records are left out of a data set, or read with a doubt."""
