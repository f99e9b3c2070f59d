"""Types shared by signatures; modules without torch import them for type checkers only."""

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

Augmentation: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]
Device: TypeAlias = str | torch.device
Encoder: TypeAlias = Callable[[int], nn.Module] | nn.Module
Missing: TypeAlias = Literal["error", "zero"]
Names: TypeAlias = Sequence[str] | np.ndarray
Precision: TypeAlias = Literal["float32", "bfloat16", "auto"]
RandomState: TypeAlias = int | np.random.RandomState | None
