"""Ladders of damage: one number of an operation goes from mild to strong, and what that does is measured.

Each ladder says what theory expects of it. Blurs, low resolutions and blends with a constant only take away: PSNR falls
from rung to rung, and so does the power of fine detail. Noise of one seed grows in proportion: PSNR falls, and fine
power rises. The median is no linear filter, JPEG's rounding may be lucky: those are measured, and not promised.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from hifacegan_lib.degradations.traces import Trace
from hifacegan_lib.metrics.full_reference import psnr, ssim
from hifacegan_lib.utils.images import Pixels, to_float
from hifacegan_lib.utils.measures import radial_power
from hifacegan_lib.utils.statistics import Values


@dataclass(frozen=True)
class Ladder:
    """``values`` of ``parameter``, mild to strong; ``fixed`` are the operation's other numbers.

    ``falls``: PSNR must not rise from rung to rung. ``fine``: what happens to the finest octave, when theory says.
    """

    family: str
    parameter: str
    values: Sequence[float]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    falls: bool = True
    fine: Literal["lost", "added"] | None = None


_HALVES = (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)
_DEVIATIONS = (4, 8, 16, 32, 64)
_LEVELS = (5, 10, 20, 40, 80)
_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
_QUALITIES = (90, 70, 50, 30, 10)

LADDERS = {
    "downsample": Ladder("fewer pixels", "ratio", _HALVES, {"kernel": "area"}, fine="lost"),
    "mosaic": Ladder("fewer pixels", "block", (16, 32, 64, 128, 256)),
    "gaussian_blur": Ladder("blur", "sigma", _DEVIATIONS, fine="lost"),
    "anisotropic_blur": Ladder("blur", "sigma", _DEVIATIONS, {"across": 4, "angle": 30}, fine="lost"),
    "generalized_blur": Ladder("blur", "sigma", _DEVIATIONS, {"beta": 0.5}, fine="lost"),
    "plateau_blur": Ladder("blur", "sigma", _DEVIATIONS, {"beta": 2}, fine="lost"),
    "motion_blur": Ladder("blur", "length", (16, 32, 64, 128, 256), {"angle": 30}, fine="lost"),
    "median_blur": Ladder("blur", "size", (17, 25, 41, 57, 101), falls=False),
    "sinc": Ladder("blur", "wavelength", (20, 26, 34, 48, 64), {"size": 101}, fine="lost"),
    "gaussian_noise": Ladder("noise", "sigma", _LEVELS, {"seed": 1}, fine="added"),
    "laplace_noise": Ladder("noise", "scale", _LEVELS, {"seed": 1}, fine="added"),
    "poisson_noise": Ladder("noise", "rate", _LEVELS, {"seed": 1}, fine="added"),
    "speckle_noise": Ladder("noise", "sigma", (0.05, 0.1, 0.2, 0.4, 0.8), {"seed": 1}, fine="added"),
    "shot_noise": Ladder("noise", "scale", (0.5, 1, 2, 4, 8), {"seed": 1}, fine="added"),
    "sensor_noise": Ladder("noise", "shot", (0.002, 0.006, 0.02, 0.05, 0.1), {"read": 0.01, "seed": 1}, fine="added"),
    "jpeg": Ladder("compression", "quality", _QUALITIES, falls=False),
    "webp": Ladder("compression", "quality", _QUALITIES, falls=False),
    "colour_jitter": Ladder("light", "contrast", (0.8, 0.6, 0.4, 0.2, 0.0), fine="lost"),
    "colour_shift": Ladder("light", "red", (10, 20, 40, 80, 160), {"green": 0, "blue": 0}),
    "grey": Ladder("light", "amount", _SHARES),
    "haze": Ladder("light", "amount", _SHARES, {"seed": 1}, fine="lost"),
    "uneven_light": Ladder("light", "strength", _SHARES, {"angle": 60}),
    "scratches": Ladder("print", "count", (5, 10, 20, 50, 100), {"width": 4, "opacity": 0.8, "seed": 1}),
    "fold": Ladder("print", "opacity", _SHARES, {"width": 8, "seed": 1}),
}
"""Every operation but ``resize``, whose picture is ``downsample``'s. Lengths are pixels of a 512-pixel face."""


@dataclass(frozen=True)
class Climb:
    """What the rungs do, means over the faces: PSNR in dB, SSIM, dB gained in each octave (rungs x octaves)."""

    psnr: Values
    ssim: Values
    octaves: Values


def rungs(op: str, grid: int) -> list[Trace]:
    """One trace for each value of the ladder of ``op``, noise and compression on the pixels of a face of ``grid``."""
    ladder = LADDERS[op]
    return [Trace.of(op, {"op": op, ladder.parameter: value, **ladder.fixed}, grid=grid) for value in ladder.values]


def climb(op: str, faces: Sequence[Pixels]) -> Climb:
    """Measure the ladder of ``op`` on faces of one size, 11 pixels a side or more, with noise on their own pixels.

    Raises:
        KeyError: no ladder for ``op``. ValueError: no face, other sizes, or smaller ones.
    """
    if len({face.shape for face in faces}) != 1:
        raise ValueError(f"expected faces of one size, got {sorted({face.shape[:2] for face in faces})}")
    clean, before = _stacked(faces), np.mean([octave_power(face) for face in faces], 0)
    rows = []
    for trace in rungs(op, min(faces[0].shape[:2])):
        damaged = [trace.apply(face) for face in faces]
        quality, alike = (metric(_stacked(damaged), clean).mean().item() for metric in (psnr, ssim))
        rows.append((quality, alike, np.mean([octave_power(image) for image in damaged], 0) - before))
    return Climb(*map(np.array, zip(*rows, strict=True)))


def _stacked(faces: Sequence[Pixels]) -> Tensor:
    """N x 3 x H x W in [0, 1]."""
    return torch.stack([to_float(face) for face in faces])


def by_family(climbs: Mapping[str, Climb], quantity: Literal["psnr", "ssim"]) -> dict[str, dict[str, Values]]:
    """Family -> operation -> the quantity, rung by rung."""
    groups: dict[str, dict[str, Values]] = {}
    for op, measured in climbs.items():
        groups.setdefault(LADDERS[op].family, {})[op] = getattr(measured, quantity)
    return groups


def surprises(op: str, measured: Climb) -> list[str]:
    """Where the measured ladder is not what theory says, in words; none is as it should be.

    Fine power that is lost may come back by 1.5 dB: eight bits are a floor, a cut-off kernel ripples.
    """
    ladder, found = LADDERS[op], []
    if ladder.falls and (np.diff(measured.psnr) > 0).any():
        found.append(f"{op}: PSNR rises with severity: {measured.psnr.round(1)}")
    fine = np.concatenate([[0.0], measured.octaves[:, -1]])
    if ladder.fine == "lost" and ((np.diff(fine) > 1.5).any() or fine[-1] > -1):
        found.append(f"{op}: fine detail is not lost: {fine.round(1)} dB")
    if ladder.fine == "added" and (np.diff(fine) < 0).any():
        found.append(f"{op}: fine noise does not grow: {fine.round(1)} dB")
    return found


def octave_power(image: Pixels) -> Values:
    """Mean power in dB of each octave: 1, 2-3, 4-7, ... cycles a face, the last one up to Nyquist's frequency."""
    power = radial_power(image)[1:]
    octave = np.log2(np.arange(1, len(power) + 1)).astype(int)
    octave[-1] = octave[-2:][0]  # Nyquist's own ring begins no octave
    return np.bincount(octave, power) / np.bincount(octave)
