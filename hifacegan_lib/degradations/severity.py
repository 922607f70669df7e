"""Ladders of damage: one number of an operation goes from mild to strong.

Each ladder says what theory expects of it; notebook 02 measures it. Blurs, low resolutions and blends with a constant
only take away: PSNR falls from rung to rung, and so does the power of fine detail. Noise of one seed grows in
proportion: PSNR falls, and fine power rises; so does a halo. For the median, which is no linear filter, for codecs,
whose rounding may be lucky, and for coarse chroma, whose colours are clipped, nothing is promised.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hifacegan_lib.degradations.traces import Trace


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
    "coarse_chroma": Ladder("fewer pixels", "block", (12, 24, 48, 96, 128), falls=False),
    "gaussian_blur": Ladder("blur", "sigma", _DEVIATIONS, fine="lost"),
    "anisotropic_blur": Ladder("blur", "sigma", _DEVIATIONS, {"across": 4, "angle": 30}, fine="lost"),
    "generalized_blur": Ladder("blur", "sigma", _DEVIATIONS, {"beta": 0.5}, fine="lost"),
    "plateau_blur": Ladder("blur", "sigma", _DEVIATIONS, {"beta": 2}, fine="lost"),
    "motion_blur": Ladder("blur", "length", (16, 32, 64, 128, 256), {"angle": 30}, fine="lost"),
    "median_blur": Ladder("blur", "size", (17, 25, 41, 57, 101), falls=False),
    "sinc": Ladder("blur", "wavelength", (20, 26, 34, 48, 64), {"size": 101}, fine="lost"),
    "halo": Ladder("blur", "amount", (0.25, 0.5, 1, 2, 4), {"sigma": 8}, fine="added"),
    "gaussian_noise": Ladder("noise", "sigma", _LEVELS, {"seed": 1}, fine="added"),
    "laplace_noise": Ladder("noise", "scale", _LEVELS, {"seed": 1}, fine="added"),
    "poisson_noise": Ladder("noise", "rate", _LEVELS, {"seed": 1}, fine="added"),
    "speckle_noise": Ladder("noise", "sigma", (0.05, 0.1, 0.2, 0.4, 0.8), {"seed": 1}, fine="added"),
    "shot_noise": Ladder("noise", "scale", (0.5, 1, 2, 4, 8), {"seed": 1}, fine="added"),
    "sensor_noise": Ladder("noise", "shot", (0.002, 0.006, 0.02, 0.05, 0.1), {"read": 0.01, "seed": 1}, fine="added"),
    "jpeg": Ladder("compression", "quality", _QUALITIES, falls=False),
    "webp": Ladder("compression", "quality", _QUALITIES, falls=False),
    "h264": Ladder("compression", "crf", (18, 27, 36, 45, 51), falls=False),
    "colour_jitter": Ladder("light", "contrast", (0.8, 0.6, 0.4, 0.2, 0.0), fine="lost"),
    "colour_shift": Ladder("light", "red", (10, 20, 40, 80, 160), {"green": 0, "blue": 0}),
    "grey": Ladder("light", "amount", _SHARES),
    "haze": Ladder("light", "amount", _SHARES, {"seed": 1}, fine="lost"),
    "uneven_light": Ladder("light", "strength", _SHARES, {"angle": 60}),
    "scratches": Ladder("print", "count", (5, 10, 20, 50, 100), {"width": 4, "opacity": 0.8, "seed": 1}),
    "fold": Ladder("print", "opacity", _SHARES, {"width": 8, "seed": 1}),
}
"""Every operation but ``resize``, whose picture is ``downsample``'s. Lengths are pixels of a 512-pixel face."""


def rungs(op: str, grid: int) -> list[Trace]:
    """One trace for each value of the ladder of ``op``, noise and compression on the pixels of a face of ``grid``."""
    ladder = LADDERS[op]
    return [Trace.of(op, {"op": op, ladder.parameter: value, **ladder.fixed}, grid=grid) for value in ladder.values]
