"""Signs that a training run has gone wrong: numbers, warnings, and NaN or infinity, which stops it.

    colour cast    mean(restored - clean) of each channel
    droplets       small blobs that the clean face has nowhere near; on faces shrunk to 64 pixels, b is what a spot
                   differs from its surroundings by, and e how far the restored face's b leaves the range that 0 and
                   the clean face's b span within side/32 of it

                       b     = box(x; side/12) - box(x; side/2)
                       score = (max e - q) / (q + 0.03),   q = 95% quantile of e

                   What smooths has its b inside that range; noise and blocks are everywhere, and so are in q.
    separation     mean clean score - mean restored score of a discriminator, and how often it is right

    finite         NaN or infinity in a loss or a gradient stops the run

A sign that holds over several lines of the log gives one warning, and another only after it was gone for as long.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hifacegan_lib.models import checkpoints

# Of 8 real faces damaged by any of seven recipes, or restored by networks of 20 to 3000 steps, none casts above 0.011.
CAST = 0.03
# Set on 6,300 ordinary faces (damaged, blurred, denoised, restored by a network), the worst of which scores 4.2. On
# fresh faces: 1 of 2,000 damaged ones above; of single blobs found 83% at 0.4, 95% at 0.6, 99% at 0.8; of strips of 8
# damaged faces with a blob of 0.4 on each all 50.
DROPLETS = 4.5
# A discriminator at rates that suit it: margin 0.05 to 0.2, 62 to 77% right after 100 steps at 64 px; at ten times
# these rates below 0.01 and 52% for 400 steps; against a generator that stands still above 0.95 and 99.8%.
TOO_WEAK = (0.02, 0.53)  # margin as a share of its range, accuracy: both below
TOO_STRONG = (0.9, 0.99)  # both above

SCORES = {"lsgan": (0.5, 1.0), "hinge": (0.0, 2.0), "non_saturating": (0.0, 9.2)}  # middle, range (there 1% to 99%)
SMALLEST_SCALE = 2.0**-10  # of float16's losses; below, the gradients are infinite by themselves
LINES = 3  # of the log in a row that make a sign, or heal it
# The names are those of earlier checkpoints.
PATIENCE = {"cast": 5, "droplets": 5, "blind": 10, "wins": 10}  # lines with its numbers before a sign may be said


@torch.no_grad()
def colour_cast(restored: Tensor, clean: Tensor) -> Tensor:
    """Signed mean shift of each channel over all faces: both N x 3 x H x W in [0, 1] -> 3; above 0 is too bright.

    Raises:
        ValueError: shapes that differ or are not N x 3 x H x W.
    """
    _check(restored, clean)
    return (restored.float() - clean.float()).mean((0, 2, 3))


@torch.no_grad()
def droplets(restored: Tensor, clean: Tensor) -> Tensor:
    """How far each face's worst spot stands out: both N x 3 x H x W in [0, 1] -> N, 0 or more, without unit.

    0 for the clean face, about 1 for what restorations leave, above ``DROPLETS`` for most blobs with a radius of 1/32
    to 1/12 of the side that differ by 0.4 or more from what they cover. A face that
    is misplaced by 1/64 of the side scores 2, one in twenty above ``DROPLETS``.

    Raises:
        ValueError: shapes that differ or are not N x 3 x H x W.
    """
    _check(restored, clean)
    spots, usual = _spots(restored), _spots(clean)
    near = min(usual.shape[2:]) / 16
    above = spots - _largest(usual, near).clamp_min(0)
    below = -_largest(-usual, near).clamp_min(0) - spots
    excess = torch.maximum(above, below).clamp_min(0).amax(1).flatten(1)  # N, H * W
    worst, elsewhere = excess.amax(1), excess.quantile(0.95, 1)
    return (worst - elsewhere) / (elsewhere + 0.03)  # 0.03: eight grey levels are no droplet on any face


def separation(
    clean_scores: Sequence[Tensor], restored_scores: Sequence[Tensor], middle: float = 0.5
) -> tuple[float, float]:
    """How well a discriminator tells faces apart: mean clean minus mean restored score, and its share of right patches.

    Args:
        clean_scores, restored_scores: the score maps of all scales, each N x 1 x h x w.
        middle: between the two answers, ``SCORES[adversarial][0]``; a score right on it counts half.
    Returns:
        Margin and accuracy, both the mean over scales, as the losses are.
    Raises:
        ValueError: no scale, or not as many of both.
    """
    if not clean_scores or len(clean_scores) != len(restored_scores):
        raise ValueError(f"expected as many score maps of both, got {len(clean_scores)} and {len(restored_scores)}")
    rows = []
    for clean, restored in zip(clean_scores, restored_scores, strict=True):
        clean, restored = clean.detach().float(), restored.detach().float()
        right = ((clean - middle).sign().mean() - (restored - middle).sign().mean()) / 4 + 0.5
        rows.append(torch.stack([clean.mean() - restored.mean(), right]))
    margin, accuracy = torch.stack(rows).mean(0).tolist()
    return margin, accuracy


class Monitor:
    """Reads the numbers of the log and gives warnings in words.

    Args:
        adversarial: the adversarial loss, a key of ``SCORES``.
    Raises:
        ValueError: no such loss.
    """

    def __init__(self, adversarial: str = "lsgan") -> None:
        if adversarial not in SCORES:
            raise ValueError(f"adversarial = {adversarial!r}: expected one of {', '.join(SCORES)}")
        self.middle, self.range = SCORES[adversarial]
        self._memory = {name: {"seen": 0, "bad": 0, "good": 0, "since": 0, "said": False} for name in PATIENCE}

    def warnings(self, step: int, values: Mapping[str, float]) -> list[str]:
        """The warnings that the log's line of ``step`` gives, most often none.

        Args:
            values: the line; of it ``cast_r``, ``cast_g``, ``cast_b``, ``droplets`` (the strip's largest), ``d_margin``
                and ``d_accuracy`` count, each sign only where all of its numbers are there.
        """
        signs: dict[str, tuple[tuple[str, ...], Callable[..., str]]] = {
            "cast": (("cast_r", "cast_g", "cast_b"), self._cast),
            "droplets": (("droplets",), self._droplets),
            "blind": (("d_margin", "d_accuracy"), self._weak),
            "wins": (("d_margin", "d_accuracy"), self._strong),
        }
        found = []
        for name, (keys, judge) in signs.items():
            if all(key in values for key in keys):
                text = judge(*(values[key] for key in keys))
                if self._is_new(name, step, bool(text)):
                    found.append(f"{text} (since step {self._memory[name]['since']})")
        return found

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Its memory, as plain values."""
        return {name: dict(memory) for name, memory in self._memory.items()}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on from a :meth:`state_dict`. Raises ValueError when it is of other signs."""
        if {name: set(memory) for name, memory in state.items()} != {n: set(m) for n, m in self._memory.items()}:
            raise ValueError(f"a monitor's state has the signs {', '.join(self._memory)}, got {dict(state)!r}")
        self._memory = {name: dict(memory) for name, memory in state.items()}

    def _is_new(self, name: str, step: int, holds: bool) -> bool:
        memory = self._memory[name]
        memory["seen"] += 1
        if holds:
            memory["since"] = memory["since"] if memory["bad"] else step
            memory["bad"], memory["good"] = memory["bad"] + 1, 0
        else:
            memory["bad"], memory["good"] = 0, memory["good"] + 1
            memory["said"] = memory["said"] and memory["good"] < LINES
        new = memory["bad"] >= LINES and memory["seen"] > PATIENCE[name] and not memory["said"]
        memory["said"] = memory["said"] or new
        return new

    def _cast(self, *shifts: float) -> str:
        named = zip(("red", "green", "blue"), shifts, strict=True)
        off = [f"{name} is {abs(x):.3f} too {'bright' if x > 0 else 'dark'}" for name, x in named if abs(x) > CAST]
        advice = "raise l1_weight, which holds the colours, or train on with lower rates"
        return f"colour cast: on the validation strip {', '.join(off)} (white is 1): {advice}" if off else ""

    def _droplets(self, score: float) -> str:
        advice = "look at the pictures; lower both rates or adversarial_weight, or raise l1_weight"
        text = (
            f"droplets: a small blob stands out of the validation strip by {score:.1f} (ordinary: below {DROPLETS:g})"
        )
        return f"{text}: {advice}" if score > DROPLETS else ""

    def _weak(self, margin: float, accuracy: float) -> str:
        text = (
            f"discriminator collapse: it tells nothing apart, {accuracy:.1%} of the patches right, margin {margin:.3f}"
        )
        advice = "lower lr_discriminator, or raise discriminator_width"
        return f"{text}: {advice}" if margin < TOO_WEAK[0] * self.range and accuracy < TOO_WEAK[1] else ""

    def _strong(self, margin: float, accuracy: float) -> str:
        text = f"discriminator collapse: it always wins, {accuracy:.1%} of the patches right, margin {margin:.2f}"
        advice = "the generator learns little from it; lower lr_discriminator or discriminator_width, or set r1_weight"
        return f"{text}: {advice}" if margin > TOO_STRONG[0] * self.range and accuracy > TOO_STRONG[1] else ""


class FiniteCheck:
    """Stops a run at a loss or a gradient that is NaN or infinite.

    Weights after such a step are lost, so the loop checks before it saves. On a GPU the numbers of a step are read at
    the next step, when they have arrived anyway: nobody waits for them.

    Args:
        folder: where the run's checkpoints lie; the message names the last one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pending: tuple[int, Sequence[str], list[str], Tensor] | None = None
        self.arrived: torch.cuda.Event | None = None

    def note(self, step: int, keys: Sequence[str], values: Mapping[str, Tensor]) -> None:
        """Check the step before, then keep the scalars of this one."""
        self.check()
        numbers = torch.stack([value.detach().float() for value in values.values()])
        if numbers.is_cuda:
            numbers = torch.empty(numbers.shape, pin_memory=True).copy_(numbers, non_blocking=True)
            self.arrived = torch.cuda.Event()
            self.arrived.record()
        self.pending = (step, keys, list(values), numbers)

    def check(self) -> None:
        """Check the numbers that were kept last.

        Raises:
            FloatingPointError: one is NaN or infinite; the message names the step, it, and the batch's keys.
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
        """float16: single overflows are expected, and their steps are skipped.

        Raises:
            FloatingPointError: the loss scale, halved at each overflow, fell below ``SMALLEST_SCALE``.
        """
        if scaler.is_enabled() and scaler.get_scale() < SMALLEST_SCALE:
            raise FloatingPointError(
                f"step {step}: every gradient overflows float16 (loss scale {scaler.get_scale():.3g}); "
                f"try precision bfloat16 or float32; {self._kept()}"
            )

    def _kept(self) -> str:
        found = checkpoints.steps(self.folder)
        return f"the last good checkpoint, {found[-1].name}, is kept" if found else "there is no checkpoint yet"


def _check(restored: Tensor, clean: Tensor) -> None:
    if restored.shape != clean.shape or clean.ndim != 4 or clean.shape[1] != 3 or not clean.numel():
        raise ValueError(f"expected two N x 3 x H x W, got {tuple(restored.shape)} and {tuple(clean.shape)}")


def _spots(x: Tensor) -> Tensor:
    """Difference of each spot, as large as a droplet, from its surroundings; faces are shrunk to 64 pixels."""
    x, side = x.float(), min(x.shape[2:])
    if side > 64:
        x = F.interpolate(x, [round(length * 64 / side) for length in x.shape[2:]], mode="area")
        side = 64
    return _mean(x, side / 12) - _mean(x, side / 2)


def _mean(x: Tensor, width: float) -> Tensor:
    odd = round(width) | 1
    x = F.pad(x, (odd // 2,) * 4, mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(x, (odd, 1), 1), (1, odd), 1)


def _largest(x: Tensor, width: float) -> Tensor:
    odd = round(width) | 1
    x = F.max_pool2d(x, (odd, 1), 1, (odd // 2, 0))
    return F.max_pool2d(x, (1, odd), 1, (0, odd // 2))
