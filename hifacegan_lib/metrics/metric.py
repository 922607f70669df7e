"""What a metric is: a function of pictures and clean ones, how to speak of it, and the check of what it is given.

All metrics take float RGB, N x 3 x H x W in [0, 1], as a file would give it, and return N values. Nothing is clipped,
rescaled or averaged in silence: anything but such a pair is a ValueError, a metric that cannot be computed is a
:class:`MetricUnavailable` with the reason, and NaN stands where one image has no value (no face found in it).
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Planes = NDArray[np.floating]


class MetricUnavailable(ValueError):
    """A metric that these images or this machine cannot have; the message says why."""


class Metric(NamedTuple):
    """A metric and how to speak of it.

    Attributes:
        compute: (image, clean) -> N values; None where the value belongs to a whole set of images.
        label, unit, digits: for tables and pictures.
        higher_is_better: None: the nearer to the clean faces' value the better.
        implementation: the program and its settings; an evaluation's conditions record it.
        backbone: downloads that the value depends on, names in :data:`hifacegan_lib.utils.weight_registry.REGISTRY`.
        reference: whether the clean image is looked at.
        features, distance: of a metric of sets: faces -> N x d, and (all features of the faces, n x d, those of the
            clean ones) -> value, low, high.
    """

    compute: Callable[[Tensor, Tensor], Tensor] | None
    label: str
    unit: str
    higher_is_better: bool | None
    digits: int
    implementation: str
    backbone: tuple[str, ...] = ()
    reference: bool = True
    features: Callable[[Tensor], Tensor] | None = None
    distance: Callable[[Any, Any], tuple[float, float | None, float | None]] | None = None

    @property
    def title(self) -> str:
        """Label and unit: "PSNR, dB"."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    @property
    def wanted(self) -> str:
        """Which direction is good."""
        if self.higher_is_better is None:
            return "near the clean faces' is better"
        return "higher is better" if self.higher_is_better else "lower is better"


def each(value: Callable[[Planes, Planes], float], image: Tensor, clean: Tensor, planar: bool = False) -> Tensor:
    """``value`` of each pair, float32 H x W x 3 (3 x H x W if ``planar``), in threads; N values.

    OpenCV and NumPy let the other threads run, also those that read the next pairs.
    """
    pairs = [(x, y) for x, y in zip(*(t.detach().float().cpu().numpy() for t in (image, clean)), strict=True)]

    def one(pair: tuple[Planes, Planes]) -> float:
        return value(*pair) if planar else value(*(cv2.merge(list(x)) for x in pair))

    with ThreadPoolExecutor(min(len(pairs), os.cpu_count() or 1)) as pool:
        return torch.tensor(list(pool.map(one, pairs)), dtype=image.dtype, device=image.device)


def check(image: Tensor, clean: Tensor, side: int = 1) -> None:
    """Raise unless both are alike: float RGB, N x 3 x H x W, finite, in [0, 1].

    Raises:
        ValueError: they are not; the message says which and what was found.
        MetricUnavailable: an image has a side below ``side`` pixels.
    """
    for name, x in (("image", image), ("clean", clean)):
        if problem := _problem(x):
            raise ValueError(f"{name}: expected float RGB, N x 3 x H x W, finite, in [0, 1]; {problem}")
    if image.shape != clean.shape or image.dtype != clean.dtype:
        raise ValueError(f"image is {_kind(image)}, clean is {_kind(clean)}: they must be alike")
    if min(image.shape[2:]) < side:
        raise MetricUnavailable(f"needs sides of at least {side} pixels, got {image.shape[2]} x {image.shape[3]}")


def _problem(x: Any) -> str | None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        return f"got {x.dtype if isinstance(x, Tensor) else type(x).__name__}"
    if x.ndim != 4 or x.shape[1] != 3 or not x.numel():
        return f"got {_kind(x)}"
    # either is NaN if any is; NumPy's loop does not wait for threads that others keep busy
    low, high = (x.detach().numpy().min(), x.detach().numpy().max()) if x.device.type == "cpu" else x.aminmax()
    return None if low >= 0 and high <= 1 else f"got {low:.4g} to {high:.4g}"


def _kind(x: Tensor) -> str:
    return f"{x.dtype} {' x '.join(map(str, x.shape))}"
