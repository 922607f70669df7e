"""The common form of all metrics: a function of restored and clean images, its description, and the input check.

All metrics take float RGB, N x 3 x H x W in [0, 1], and return N values. Inputs are never clipped, rescaled or
averaged: any other input raises a ValueError, a metric that cannot be computed raises :class:`MetricUnavailable` with
the reason, and NaN marks an image without a value (no face found).
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hifacegan_lib.utils import weight_registry

Planes = NDArray[np.floating]


class MetricUnavailable(ValueError):
    """The metric cannot be computed for these images or on this machine; the message gives the reason."""


class TooSmall(MetricUnavailable):
    """These images have too few pixels; others may not."""


class Metric(NamedTuple):
    """A metric and its description.

    Attributes:
        compute: (image, clean) -> N values; None for a metric of whole sets of images.
        label, unit, digits: for tables and figures.
        higher_is_better: None if a value nearer to that of the clean faces is better.
        implementation: the program and its settings, for the conditions of an evaluation.
        backbone: downloads that the value depends on, names in :data:`hifacegan_lib.utils.weight_registry.REGISTRY`.
        against: the second image: "clean", "degraded" (the restorer's input), or "" if the metric needs none.
        features, distance: for a metric of sets: faces -> N x d, and (features n x d of all restored faces, of all
            clean faces; None unless ``against`` is "clean") -> value, low, high.
    """

    compute: Callable[[Tensor, Tensor], Tensor] | None
    label: str
    unit: str
    higher_is_better: bool | None
    digits: int
    implementation: str
    backbone: tuple[str, ...] = ()
    against: Literal["clean", "degraded", ""] = "clean"
    features: Callable[[Tensor], Tensor] | None = None
    distance: Callable[[Any, Any], tuple[float, float | None, float | None]] | None = None

    @property
    def title(self) -> str:
        """Label and unit: "PSNR, dB"."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    @property
    def direction(self) -> str:
        """Which values are better, in words."""
        if self.higher_is_better is None:
            return "near the clean faces' is better"
        return "higher is better" if self.higher_is_better else "lower is better"


def weights(name: str) -> Path:
    """The verified file of :mod:`hifacegan_lib.utils.weight_registry`; without it the metric is unavailable.

    Raises:
        MetricUnavailable: not downloaded. ValueError: damaged.
    """
    try:
        return weight_registry.verify(name)
    except weight_registry.MissingWeights as error:
        raise MetricUnavailable(str(error)) from None


def per_pair(value: Callable[[Planes, Planes], float], image: Tensor, clean: Tensor, planar: bool = False) -> Tensor:
    """``value`` of each pair, float32 H x W x 3 (3 x H x W if ``planar``), computed in threads; N values.

    OpenCV and NumPy release the lock of the interpreter, so the threads run in parallel.
    """
    pairs = [(x, y) for x, y in zip(*(t.detach().float().cpu().numpy() for t in (image, clean)), strict=True)]

    def one(pair: tuple[Planes, Planes]) -> float:
        return value(*pair) if planar else value(*(cv2.merge(list(x)) for x in pair))

    with ThreadPoolExecutor(min(len(pairs), os.cpu_count() or 1)) as pool:
        return torch.tensor(list(pool.map(one, pairs)), dtype=image.dtype, device=image.device)


def check(image: Tensor, clean: Tensor, side: int = 1) -> None:
    """Raise unless both are float RGB, N x 3 x H x W, finite, in [0, 1], of equal shape and dtype.

    Raises:
        ValueError: one of these does not hold; the message names the argument and the value found.
        TooSmall: an image has a side below ``side`` pixels.
    """
    for name, x in (("image", image), ("clean", clean)):
        if problem := _problem(x):
            raise ValueError(f"{name}: expected float RGB, N x 3 x H x W, finite, in [0, 1]; {problem}")
    if image.shape != clean.shape or image.dtype != clean.dtype:
        raise ValueError(f"image is {_kind(image)}, clean is {_kind(clean)}: shape and dtype must be equal")
    if min(image.shape[2:]) < side:
        raise TooSmall(f"needs sides of at least {side} pixels, got {image.shape[2]} x {image.shape[3]}")


def _problem(x: Any) -> str | None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        return f"got {x.dtype if isinstance(x, Tensor) else type(x).__name__}"
    if x.ndim != 4 or x.shape[1] != 3 or not x.numel():
        return f"got {_kind(x)}"
    # min and max are NaN if any value is; NumPy's loop does not wait for busy threads of torch
    low, high = (x.detach().numpy().min(), x.detach().numpy().max()) if x.device.type == "cpu" else x.aminmax()
    return None if low >= 0 and high <= 1 else f"got {low:.4g} to {high:.4g}"


def _kind(x: Tensor) -> str:
    return f"{x.dtype} {' x '.join(map(str, x.shape))}"
