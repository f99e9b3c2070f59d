"""Errors and warnings that users of the library may catch."""

__all__ = [
    "CheckpointWarning",
    "CollapseWarning",
    "DivergenceError",
    "InvalidECGError",
    "InvalidFileError",
    "RecordWarning",
]


class InvalidECGError(ValueError):
    """Raised if records, their labels or other arguments are not as expected."""


class InvalidFileError(ValueError):
    """Raised if a file is damaged or not as expected. The message names the file."""


class DivergenceError(ArithmeticError):
    """Raised if the loss or the weights of a training become NaN or infinite.

    The estimator has the weights of the last intact epoch, and is not fitted if there is none.
    """


class CheckpointWarning(UserWarning):
    """Warned if a checkpoint is damaged, so that training resumes from the one before."""


class CollapseWarning(UserWarning):
    """Warned if the latents of a pretrainer collapse: nearly the same latent for every record."""


class RecordWarning(UserWarning):
    """Warned if a loader leaves out or pads records, or a sampler keeps doubtful ones."""
