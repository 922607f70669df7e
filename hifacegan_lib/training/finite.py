"""A number that is none stops the run: at which step, in which loss or gradient, on which faces.

Weights that met one are lost, so nothing is saved before all that came until then is known to be finite. On a GPU the
answer to step n is read at step n + 1, when it has arrived anyway: nobody waits for it.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from hifacegan_lib.models import checkpoints

SMALLEST_SCALE = 2.0**-10  # float16's loss scale halves at each overflow; down here it is no overflow any more


class Finite:
    """Looks at every step's losses and gradients; ``folder`` is where the run's checkpoints lie."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pending: tuple[int, Sequence[str], list[str], Tensor] | None = None
        self.arrived: torch.cuda.Event | None = None

    def see(self, step: int, keys: Sequence[str], values: Mapping[str, Tensor]) -> None:
        """Note a step's scalars, after a look at those of the step before."""
        self.check()
        numbers = torch.stack([value.detach().float() for value in values.values()])
        if numbers.is_cuda:
            numbers = torch.empty(numbers.shape, pin_memory=True).copy_(numbers, non_blocking=True)
            self.arrived = torch.cuda.Event()
            self.arrived.record()
        self.pending = (step, keys, list(values), numbers)

    def check(self) -> None:
        """Look at what was noted last.

        Raises:
            FloatingPointError: something is not finite; the message names the step, it, and the batch's keys.
        """
        if self.pending is None:
            return
        if self.arrived is not None:
            self.arrived.synchronize()
        (step, keys, names, numbers), self.pending = self.pending, None
        broken = [f"{name} is {n}" for name, n in zip(names, numbers.tolist(), strict=True) if not math.isfinite(n)]
        if broken:
            raise FloatingPointError(f"step {step}: {', '.join(broken)} on {list(keys)}; {self._kept()}")

    def check_scale(self, step: int, scaler: torch.amp.GradScaler) -> None:
        """float16: overflows are expected and skipped, but not for ever.

        Raises:
            FloatingPointError: the loss scale fell to nothing.
        """
        if scaler.is_enabled() and scaler.get_scale() < SMALLEST_SCALE:
            raise FloatingPointError(
                f"step {step}: every gradient overflows float16 (loss scale {scaler.get_scale():.3g}); "
                f"try precision bfloat16 or float32; {self._kept()}"
            )

    def _kept(self) -> str:
        found = checkpoints.steps(self.folder)
        return f"the last good checkpoint, {found[-1].name}, is kept" if found else "there is no checkpoint yet"
