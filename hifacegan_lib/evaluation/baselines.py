"""Classical restorers to compare a network with, each with the setting that suits the damage best.

    bicubic          shrink by a factor, enlarge again: the plainest way to trade noise for blur
    non_local_means  mean of pixels whose surroundings look alike (Buades et al. 2005)
    bilateral        mean of near pixels of like colour (Tomasi and Manduchi 1998)

Each maps faces, N x 3 x H x W in [0, 1], to the same shape, and raises a ValueError for settings out of range.
A baseline with an arbitrary setting is too easy to beat. So :func:`tune` tries a grid of settings on training faces and
takes the one with the highest PSNR. Validation faces are not used.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hifacegan_lib.evaluation.scoring import Batch, Method, restore
from hifacegan_lib.metrics.full_reference import psnr
from hifacegan_lib.utils.images import to_float, to_uint8

Setting = Mapping[str, Any]


def bicubic(x: Tensor, factor: float) -> Tensor:
    """Shrink by ``factor`` (at least 1; antialiased) and enlarge again, both bicubic; clipped."""
    if factor < 1:
        raise ValueError(f"factor = {factor}: expected 1 or more")
    height, width = x.shape[2:]
    small = (max(1, round(height / factor)), max(1, round(width / factor)))
    shrunk = F.interpolate(x, small, mode="bicubic", antialias=True)
    return F.interpolate(shrunk, (height, width), mode="bicubic").clamp(0, 1)


def non_local_means(x: Tensor, h: float, template: int = 7, search: int = 21) -> Tensor:
    """OpenCV's non-local means in Lab, on 8 bits.

    Args:
        h: strength in grey levels.
        template, search: odd sides of the compared patches and of the searched window, pixels.
    """
    if h < 0 or min(template, search) < 1 or not template % 2 or not search % 2:
        raise ValueError(f"h = {h}, template = {template}, search = {search}: expected h >= 0 and odd sides")
    faces = [cv2.cvtColor(to_uint8(face), cv2.COLOR_RGB2BGR) for face in x]  # OpenCV goes from BGR to Lab
    denoised = [cv2.fastNlMeansDenoisingColored(face, None, h, h, template, search) for face in faces]
    return torch.stack([to_float(cv2.cvtColor(face, cv2.COLOR_BGR2RGB)) for face in denoised]).to(x)


def bilateral(x: Tensor, diameter: int, colour: float, space: float) -> Tensor:
    """OpenCV's bilateral filter on 8 bits.

    Args:
        diameter: of the window, odd, pixels.
        colour, space: deviations of the two Gaussians, in grey levels and in pixels.
    """
    if diameter < 1 or not diameter % 2 or min(colour, space) <= 0:
        raise ValueError(
            f"diameter = {diameter}, colour = {colour}, space = {space}: expected an odd diameter and numbers above 0"
        )
    return torch.stack([to_float(cv2.bilateralFilter(to_uint8(face), diameter, colour, space)) for face in x]).to(x)


class Tuned(NamedTuple):
    """The best of a family: the method, its setting, and each setting tried with its mean ``psnr``."""

    method: Method
    setting: Setting
    table: list[dict[str, Any]]

    @property
    def gain(self) -> float:
        """PSNR over the first setting of the grid, dB."""
        return max(row["psnr"] for row in self.table) - float(self.table[0]["psnr"])


def tune(family: Callable[..., Tensor], grid: Sequence[Setting], batches: Iterable[Batch]) -> Tuned:
    """Try ``family(x, **setting)`` for each setting on pairs; the first of those with the highest mean PSNR.

    Args:
        batches: training pairs, with ``clean`` and ``degraded``, N x 3 x H x W in [0, 1].
    Raises:
        ValueError: no setting or no pair.
    """
    methods = [partial(family, **setting) for setting in grid]
    found: list[list[Tensor]] = [[] for _ in methods]
    for batch in batches:
        for values, method, setting in zip(found, methods, grid, strict=True):
            restored = restore(f"{family.__name__} {dict(setting)}", method, batch["degraded"])
            values.append(psnr(restored, batch["clean"]))
    if not methods or not found[0]:
        raise ValueError(f"{family.__name__}: nothing to tune: {len(methods)} settings, and no pair came")
    means = [float(torch.cat(values).mean()) for values in found]
    best = int(np.argmax(means))
    return Tuned(methods[best], grid[best], [{**s, "psnr": mean} for s, mean in zip(grid, means, strict=True)])


FAMILIES: dict[str, Callable[..., Tensor]] = {f.__name__: f for f in (bicubic, non_local_means, bilateral)}
GRIDS: dict[str, list[Setting]] = {
    "bicubic": [{"factor": factor} for factor in (1, 1.25, 1.5, 2, 2.5, 3, 4, 6)],
    "non_local_means": [
        {"h": h, "template": side, "search": 11} for side in (3, 7) for h in (1, 2, 4, 6, 10, 15, 25, 40)
    ],
    "bilateral": [{"diameter": 9, "colour": c, "space": s} for s in (1, 2, 3, 5) for c in (1, 10, 20, 40, 80, 160)],
}
"""Family -> settings, the mildest first: it changes next to nothing, so that no baseline can lose much."""
DEFAULTS: dict[str, Setting] = {
    "bicubic": {"factor": 4},
    "non_local_means": {"h": 25, "template": 3, "search": 11},
    "bilateral": {"diameter": 9, "colour": 160, "space": 2},
}
"""Settings of a benchmark that tunes nothing: those with the highest PSNR on 32 training faces of FFHQ at 256 pixels,
damaged by face_renov."""


def tune_all(batches: Sequence[Batch], families: Iterable[str] = ("bicubic", "non_local_means")) -> dict[str, Tuned]:
    """:func:`tune` each of the named families; name -> the best."""
    return {name: tune(FAMILIES[name], GRIDS[name], batches) for name in families}
