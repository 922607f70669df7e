"""Four implementations of the same damage: ours, the seed's, albumentations and kornia.

An implementation turns a list of our steps, with all numbers fixed, into a function of an image in its own format:
uint8 RGB, uint8 BGR (as from cv2.imread), uint8 RGB, float32 tensors. The creation of that function is not timed.

The seed is the student's code with which this project began, written from a description: float64 noise of NumPy's
legacy generator, OpenCV for all other operations, in BGR. Where the description gives no detail, the code is the
obvious one: cv2.GaussianBlur with its own kernel size, area averages down and cubic up, cv2.imencode without flags,
noise added in float64, clipped, then cast. (The description casts before the sum, which wraps negative noise and is
other work.)
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

from hifacegan_lib.degradations.operations import OPERATIONS
from hifacegan_lib.degradations.traces import REFERENCE_SIZE, Step, Trace
from hifacegan_lib.utils.images import Pixels

Numbers = Mapping[str, Any]
Damage = Callable[[Any], Any]


class NotShared(Exception):
    """The implementation does not have this operation."""


@dataclass(frozen=True)
class Way:
    """``make(steps, size)`` gives the damage of images of that side; ``enter`` and ``leave`` convert their format."""

    name: str
    make: Callable[[Sequence[Step], int], Damage]
    enter: Callable[[Pixels], Any]
    leave: Callable[[Any], Pixels]


def ways() -> tuple[list[Way], dict[str, str]]:
    """The installed implementations, ours first, and the reason why each other one is missing."""
    found, absent = [ours(), seed()], {}
    for name, build in (("albumentations", _albumentations), ("kornia", _kornia)):
        try:
            found.append(build())
        except ImportError as error:
            absent[name] = f"cannot be imported ({error})"
    return found, absent


def _chain(makers: Mapping[str, Callable[[Numbers], Damage]]) -> Callable[[Sequence[Step], int], Damage]:
    """Combine steps into one function; lengths are converted to pixels of the image."""

    def make(steps: Sequence[Step], size: int) -> Damage:
        parts = [_maker(makers, step)(pixels(step, size)) for step in steps]

        def damage(picture: Any) -> Any:
            for part in parts:
                picture = part(picture)
            return picture

        return damage

    return make


def _maker(makers: Mapping[str, Callable[[Numbers], Any]], step: Step) -> Callable[[Numbers], Any]:
    if step.op not in makers:
        raise NotShared(step.op)
    return makers[step.op]


def pixels(step: Step, size: int) -> dict[str, Any]:
    """The numbers of a step, with lengths in pixels of an image of this side."""
    kinds = OPERATIONS[step.op].parameters
    return {name: v * size / REFERENCE_SIZE if kinds[name].length else v for name, v in step.values}


def odd(size: float) -> int:
    """The nearest odd number, at least 3."""
    return max(3, 2 * round((size - 1) / 2) + 1)


def three_sigma(sigma: float) -> int:
    """The side of a Gaussian kernel in pixels."""
    return 2 * max(1, math.ceil(3 * sigma)) + 1


def ours() -> Way:
    """Our implementation: a trace."""

    def make(steps: Sequence[Step], size: int) -> Damage:
        return Trace.of("benchmark", *steps, grid=size).apply

    return Way("ours", make, lambda image: image, lambda image: image)


def seed() -> Way:
    """The seed's functions, in BGR."""

    def noise(draw: Callable[..., Any]) -> Callable[[Numbers], Damage]:
        def make(n: Numbers) -> Damage:
            level = n["sigma"] if "sigma" in n else n["scale"]
            return lambda image: np.clip(image + draw(0, level, image.shape), 0, 255).astype(np.uint8)

        return make

    def down(n: Numbers) -> Damage:
        def apply(image: Pixels) -> Pixels:
            height, width = image.shape[:2]
            few = (max(1, round(width * n["ratio"])), max(1, round(height * n["ratio"])))
            return cv2.resize(cv2.resize(image, few, interpolation=cv2.INTER_AREA), (width, height), None, 0, 0, 2)

        return apply

    def jpeg(n: Numbers) -> Damage:
        flags = [cv2.IMWRITE_JPEG_QUALITY, n["quality"]]
        return lambda image: cv2.imdecode(cv2.imencode(".jpg", image, flags)[1], cv2.IMREAD_COLOR)

    legacy = np.random.RandomState(0)  # the generator behind np.random.normal and np.random.laplace
    makers: dict[str, Callable[[Numbers], Damage]] = {
        "downsample": down,
        "gaussian_noise": noise(legacy.normal),
        "laplace_noise": noise(legacy.laplace),
        "gaussian_blur": lambda n: lambda image: cv2.GaussianBlur(image, (0, 0), n["sigma"]),
        "median_blur": lambda n: lambda image: cv2.medianBlur(image, odd(n["size"])),
        "jpeg": jpeg,
    }
    return Way("seed", _chain(makers), _swap, _swap)


def _swap(image: Pixels) -> Pixels:
    return cv2.cvtColor(image, cv2.COLOR_RGB2BGR)


def _albumentations() -> Way:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else the import looks for a newer version online
    import albumentations as A

    kernels = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_CUBIC}

    def laplace(n: Numbers) -> Any:
        params = {"mean_range": (0, 0), "scale_range": _twice(n["scale"] / 255)}
        return A.AdditiveNoise(noise_type="laplace", spatial_mode="per_pixel", noise_params=params, p=1)

    def gaussian_blur(n: Numbers) -> Any:
        return A.GaussianBlur(blur_limit=_twice(three_sigma(n["sigma"])), sigma_limit=_twice(n["sigma"]), p=1)

    def motion(n: Numbers) -> Any:
        return A.MotionBlur(_twice(odd(n["length"])), False, _twice(n["angle"]), (0.0, 0.0), p=1)

    makers: dict[str, Callable[[Numbers], Any]] = {
        "downsample": lambda n: A.Downscale(scale_range=_twice(n["ratio"]), interpolation_pair=kernels, p=1),
        "gaussian_noise": lambda n: A.GaussNoise(std_range=_twice(n["sigma"] / 255), p=1),
        "laplace_noise": laplace,
        "gaussian_blur": gaussian_blur,
        "median_blur": lambda n: A.MedianBlur(blur_limit=_twice(odd(n["size"])), p=1),
        "motion_blur": motion,
        "jpeg": lambda n: A.ImageCompression("jpeg", _twice(n["quality"]), p=1),
        "webp": lambda n: A.ImageCompression("webp", _twice(n["quality"]), p=1),
    }

    def make(steps: Sequence[Step], size: int) -> Damage:
        whole = A.Compose([_maker(makers, step)(pixels(step, size)) for step in steps], seed=0)
        return lambda image: whole(image=image)["image"]

    return Way("albumentations", make, lambda image: image, lambda image: image)


def _twice(value: Any) -> tuple[Any, Any]:
    return (value, value)


def _kornia() -> Way:
    import kornia

    def down(n: Numbers) -> Damage:
        def apply(x: torch.Tensor) -> torch.Tensor:
            height, width = x.shape[2:]
            few = (max(1, round(height * n["ratio"])), max(1, round(width * n["ratio"])))
            small = kornia.geometry.resize(x, few, interpolation="area")
            return kornia.geometry.resize(small, (height, width), interpolation="bicubic").clamp(0, 1)

        return apply

    def gaussian_noise(n: Numbers) -> Damage:
        return lambda x: (x + torch.randn_like(x) * (n["sigma"] / 255)).clamp(0, 1)

    def gaussian_blur(n: Numbers) -> Damage:
        side = _twice(three_sigma(n["sigma"]))
        return lambda x: kornia.filters.gaussian_blur2d(x, side, _twice(float(n["sigma"])))

    def motion(n: Numbers) -> Damage:
        return lambda x: kornia.filters.motion_blur(x, odd(n["length"]), float(n["angle"]), 0.0)

    def jpeg(n: Numbers) -> Damage:
        quality = torch.tensor([float(n["quality"])])
        return lambda x: kornia.enhance.jpeg_codec_differentiable(x, quality)

    laplace = torch.distributions.Laplace(0.0, 1.0)  # kornia has no Laplace noise
    makers: dict[str, Callable[[Numbers], Damage]] = {
        "downsample": down,
        "gaussian_noise": gaussian_noise,
        "laplace_noise": lambda n: lambda x: (x + laplace.sample(x.shape) * (n["scale"] / 255)).clamp(0, 1),
        "gaussian_blur": gaussian_blur,
        "median_blur": lambda n: lambda x: kornia.filters.median_blur(x, _twice(odd(n["size"]))),
        "motion_blur": motion,
        "jpeg": jpeg,
    }
    return Way("kornia", _chain(makers), _to_tensor, _to_pixels)


def _to_tensor(image: Pixels) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].contiguous().float().div_(255)


def _to_pixels(x: torch.Tensor) -> Pixels:
    return x[0].mul(255).round_().clamp_(0, 255).byte().permute(1, 2, 0).contiguous().numpy()
