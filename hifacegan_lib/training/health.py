"""Checks of a training run: measures with warnings, and a stop at NaN or infinity.

    colour cast    mean(restored - clean) of each channel
    droplets       small blobs that the clean face does not have nearby. On faces shrunk to 64 pixels, b is the
                   difference of a spot from its surroundings. e is the distance of the restored face's b from the
                   range that 0 and the clean face's b within side/32 span:

                       b     = box(x; side/12) - box(x; side/2)
                       score = (max e - q) / (q + 0.03),   q = 95% quantile of e

                   Smoothing keeps b inside that range; noise and blocks are everywhere, so they also raise q.
    separation     a discriminator's mean clean score - mean restored score, and the share of its correct decisions
    spike          the strip's PSNR falls far below its best, and no discriminator or flow explains it

    finite         NaN or infinity in a loss or a gradient stops the run

A sign that holds over several lines of the log gives one warning. It warns again only after it was absent for as many
lines.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hifacegan_lib.models import checkpoints

# For 8 real faces, damaged by seven recipes or restored by networks of 20 to 3000 steps, the cast is at most 0.011.
CAST = 0.03
# Chosen on 6,300 ordinary faces (damaged, blurred, denoised, restored by a network), with a highest score of 4.2. On
# other faces: 1 of 2,000 damaged faces is above; found are 83% of single blobs of 0.4, 95% of 0.6, 99% of 0.8, and all
# of 50 strips of 8 damaged faces with a blob of 0.4 on each face.
DROPLETS = 4.5
# A discriminator at suitable rates: margin 0.05 to 0.2, 62 to 77% correct after 100 steps at 64 px. At ten times these
# rates: below 0.01 and 52% for 400 steps. Against a generator that does not change: above 0.95 and 99.8%.
TOO_WEAK = (0.02, 0.53)  # margin as a share of its range, accuracy: both below
TOO_STRONG = (0.9, 0.99)  # both above
# 18 of 19 trainings on pixels (docs/ablation2.md) fell at most 0.02 dB below their best, one fell 2.2 dB.
SPIKE = 0.5  # dB

SCORES = {"lsgan": (0.5, 1.0), "hinge": (0.0, 2.0), "non_saturating": (0.0, 9.2)}  # middle; range (last: 1% to 99%)
SMALLEST_SCALE = 2.0**-10  # least float16 loss scale; gradients that overflow below it are infinite at any scale
LINES = 3  # consecutive lines of the log after which a sign counts as present or absent
PATIENCE = {
    "cast": 5,
    "droplets": 5,
    "blind": 10,
    "wins": 10,
    "spike": 5,
}  # lines before the first warning (names: checkpoints')


@torch.no_grad()
def colour_cast(restored: Tensor, clean: Tensor) -> Tensor:
    """Signed mean shift of each channel over all faces: two batches N x 3 x H x W in [0, 1] -> 3; above 0: bright."""
    return (restored.float() - clean.float()).mean((0, 2, 3))


@torch.no_grad()
def droplets(restored: Tensor, clean: Tensor) -> Tensor:
    """Score of the most conspicuous spot of each face: two batches N x 3 x H x W in [0, 1] -> N, 0 or more, no unit.

    The clean face scores 0 and restored faces about 1. Most blobs with a radius of 1/32 to 1/12 of the side that differ
    by 0.4 or more from the covered pixels score above ``DROPLETS``. A face that is shifted by 1/64 of the side scores
    2, and one in twenty such faces scores above ``DROPLETS``.
    """
    spots, clean_spots = _spots(restored), _spots(clean)
    near = min(clean_spots.shape[2:]) / 16
    above = spots - _largest(clean_spots, near).clamp_min(0)
    below = -_largest(-clean_spots, near).clamp_min(0) - spots
    excess = torch.maximum(above, below).clamp_min(0).amax(1).flatten(1)  # N, H * W
    worst, elsewhere = excess.amax(1), excess.quantile(0.95, 1)
    return (worst - elsewhere) / (elsewhere + 0.03)  # 0.03: a difference of eight grey levels is no droplet


def separation(
    clean_scores: Sequence[Tensor], restored_scores: Sequence[Tensor], middle: float = 0.5
) -> tuple[float, float]:
    """How well a discriminator separates faces: mean clean minus mean restored score, and the share of correct patches.

    Args:
        clean_scores, restored_scores: the score maps of all scales, each N x 1 x h x w.
        middle: the threshold between both classes, ``SCORES[adversarial][0]``; a score equal to it counts half.
    Returns:
        Margin and accuracy, each a mean over scales, like the losses.
    """
    rows = []
    for clean, restored in zip(clean_scores, restored_scores, strict=True):
        clean, restored = clean.detach().float(), restored.detach().float()
        correct = ((clean - middle).sign().mean() - (restored - middle).sign().mean()) / 4 + 0.5
        rows.append(torch.stack([clean.mean() - restored.mean(), correct]))
    margin, accuracy = torch.stack(rows).mean(0).tolist()
    return margin, accuracy


class Monitor:
    """Reads the measures in the log and returns warnings as text.

    Args:
        adversarial: the adversarial loss, a key of ``SCORES``.
    """

    def __init__(self, adversarial: str = "lsgan") -> None:
        self.middle, self.range = SCORES[adversarial]
        self._memory: dict[str, dict[str, Any]] = {
            name: {"seen": 0, "bad": 0, "good": 0, "since": 0, "said": False} for name in PATIENCE
        }
        self._memory["spike"]["best"] = -math.inf

    def warnings(self, step: int, values: Mapping[str, float]) -> list[str]:
        """The new warnings after the log's line of ``step``; usually an empty list.

        Args:
            values: the numbers of the line. Used are ``cast_r``, ``cast_g``, ``cast_b``, ``droplets`` (the largest of
                the strip), ``d_margin``, ``d_accuracy`` and ``psnr``; a sign is skipped if one of its numbers is
                missing, that of ``psnr`` also beside a discriminator or the loss ``flow``.
        """
        signs = {}
        if values.keys() >= {"cast_r", "cast_g", "cast_b"}:
            signs["cast"] = _cast(values["cast_r"], values["cast_g"], values["cast_b"])
        if "droplets" in values:
            signs["droplets"] = _droplets(values["droplets"])
        if values.keys() >= {"d_margin", "d_accuracy"}:
            signs["blind"], signs["wins"] = self._collapse(values["d_margin"], values["d_accuracy"])
        elif "psnr" in values and "flow" not in values:
            signs["spike"] = self._spike(values["psnr"])
        new = [name for name, text in signs.items() if self._is_new(name, step, bool(text))]
        return [f"{signs[name]} (since step {self._memory[name]['since']})" for name in new]

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """The memory of the monitor, as plain values."""
        return copy.deepcopy(self._memory)

    def load_state_dict(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Restore the memory of a :meth:`state_dict`."""
        self._memory |= {name: dict(memory) for name, memory in state.items()}

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

    def _spike(self, psnr: float) -> str:
        memory = self._memory["spike"]
        memory["best"] = max(memory["best"], psnr)
        fall = memory["best"] - psnr
        text = f"training spike: PSNR of the validation strip is {fall:.2f} dB below its best"
        advice = "unless a loss trades PSNR away, lower lr_generator or set gradient_clip"
        return f"{text}: {advice}" if fall > SPIKE else ""

    def _collapse(self, margin: float, accuracy: float) -> tuple[str, str]:
        """Warnings of a discriminator that is too weak and too strong, each empty without the sign."""
        share, said = margin / self.range, f"{accuracy:.1%} of patches correct, margin {margin:.3f}"
        weak = (
            f"discriminator collapse: it separates nothing, {said}: "
            "lower lr_discriminator, or raise discriminator_width"
        )
        strong = (
            f"discriminator collapse: it always wins, {said}: the generator learns little from it; "
            "lower lr_discriminator or discriminator_width, or set r1_weight"
        )
        return (
            weak if share < TOO_WEAK[0] and accuracy < TOO_WEAK[1] else "",
            strong if share > TOO_STRONG[0] and accuracy > TOO_STRONG[1] else "",
        )


def _cast(*shifts: float) -> str:
    named = zip(("red", "green", "blue"), shifts, strict=True)
    off = [f"{name} is {abs(x):.3f} too {'bright' if x > 0 else 'dark'}" for name, x in named if abs(x) > CAST]
    advice = "raise l1_weight, which keeps the colours, or continue with lower learning rates"
    return f"colour cast: on the validation strip {', '.join(off)} (white is 1): {advice}" if off else ""


def _droplets(score: float) -> str:
    text = f"droplets: a small blob on the validation strip scores {score:.1f} (normal: below {DROPLETS:g})"
    advice = "check the images; lower both learning rates or adversarial_weight, or raise l1_weight"
    return f"{text}: {advice}" if score > DROPLETS else ""


class FiniteCheck:
    """Stops a run at a loss or a gradient that is NaN or infinite.

    The weights after such a step are useless, so the loop checks before it saves. On a GPU the numbers of a step are
    read during the next step, when the copy is complete, so the check does not wait.

    Args:
        folder: the folder of the run's checkpoints; the message names the last one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pending: tuple[int, Sequence[str], list[str], Tensor] | None = None
        self.arrived: torch.cuda.Event | None = None

    def note(self, step: int, keys: Sequence[str], values: Mapping[str, Tensor]) -> None:
        """Check the previous step, then store the scalars of this step."""
        self.check()
        numbers = torch.stack([value.detach().float() for value in values.values()])
        if numbers.is_cuda:
            numbers = torch.empty(numbers.shape, pin_memory=True).copy_(numbers, non_blocking=True)
            self.arrived = torch.cuda.Event()
            self.arrived.record()
        self.pending = (step, keys, list(values), numbers)

    def check(self, scaler: torch.amp.GradScaler | None = None) -> None:
        """Check the numbers that were stored last, and float16's loss scale, which halves at each overflow.

        Raises:
            FloatingPointError: one is NaN or infinite; the message names the step, the number and the batch's keys. Or
                the loss scale fell below ``SMALLEST_SCALE``.
        """
        if self.pending is None:
            return
        if self.arrived is not None:
            self.arrived.synchronize()
        (step, keys, names, numbers), self.pending = self.pending, None
        found = checkpoints.list_complete(self.folder)
        kept = f"the last good checkpoint, {found[-1].name}, is kept" if found else "there is no checkpoint yet"
        broken = [f"{name} is {n}" for name, n in zip(names, numbers.tolist(), strict=True) if not math.isfinite(n)]
        if broken:
            raise FloatingPointError(f"step {step}: {', '.join(broken)} on {list(keys)}; {kept}")
        if scaler and scaler.is_enabled() and scaler.get_scale() < SMALLEST_SCALE:
            raise FloatingPointError(
                f"step {step}: every gradient overflows float16 (loss scale {scaler.get_scale():.3g}); "
                f"try precision bfloat16 or float32; {kept}"
            )


def _spots(x: Tensor) -> Tensor:
    """Difference of each spot of the size of a droplet from its surroundings; faces are shrunk to 64 pixels."""
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
