"""What can happen to the pixels of a face: shrinking, blocks, noise, blur, compression.

Every operation is a pure function uint8 H x W x 3 -> a new uint8 H x W x 3 of the same size, from 1 x 1 up. Lengths are
in this image's own pixels, noise levels in grey levels of 255. Noise is drawn for each pixel and channel by its seed,
added in float32, rounded and clipped: it never wraps. ``OPERATIONS`` says what each one takes.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.images import Pixels

INTERPOLATIONS = {
    "area": cv2.INTER_AREA,
    "cubic": cv2.INTER_CUBIC,
    "linear": cv2.INTER_LINEAR,
    "nearest": cv2.INTER_NEAREST,
}

Quantiles = NDArray[np.float32]
Value = float | str
LEVELS = 65536  # of a noise, equally likely: one for each 16-bit number


def downsample(image: Pixels, ratio: float, kernel: str = "area") -> Pixels:
    """Shrink to ``ratio`` of each side (at least one pixel), and back by cubic interpolation.

    Only "area" averages; "cubic", "linear" and "nearest" skip pixels, and so alias, as OpenCV does.
    """
    height, width = image.shape[:2]
    small = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    shrunk = cv2.resize(image, small, interpolation=INTERPOLATIONS[kernel])
    return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_CUBIC)


def mosaic(image: Pixels, block: float) -> Pixels:
    """Means over blocks; as many blocks as fit the side when ``block`` does not divide it."""
    height, width = image.shape[:2]
    few = (max(1, round(width / max(block, 1))), max(1, round(height / max(block, 1))))
    means = cv2.resize(image, few, interpolation=cv2.INTER_AREA)
    return cv2.resize(means, (width, height), interpolation=cv2.INTER_NEAREST)


def gaussian_noise(image: Pixels, sigma: float, seed: int) -> Pixels:
    """Add N(0, sigma^2) to each pixel and channel; sigma of 255."""
    return _add_noise(image, sigma * _normal_quantiles(), seed)


def laplace_noise(image: Pixels, scale: float, seed: int) -> Pixels:
    """Add noise of density exp(-|x| / scale) / (2 scale); its standard deviation is 1.41 scale, of 255."""
    return _add_noise(image, scale * _laplace_quantiles(), seed)


def poisson_noise(image: Pixels, rate: float, seed: int) -> Pixels:
    """Add a Poisson(rate) count of grey levels, with random sign, to each pixel and channel."""
    return _add_noise(image, _poisson_quantiles(rate), seed)


def gaussian_blur(image: Pixels, sigma: float) -> Pixels:
    """Convolve with a Gaussian of ``sigma`` pixels, integrated over each pixel: right for less than one pixel too."""
    if sigma <= 0:
        return image.copy()
    radius = math.ceil(3 * sigma)
    below = [NormalDist(0, sigma).cdf(edge - 0.5) for edge in range(-radius, radius + 2)]
    taps = np.diff(below) / (below[-1] - below[0])  # 2 radius + 1
    return cv2.sepFilter2D(image, -1, taps, taps, borderType=cv2.BORDER_REFLECT_101)


def median_blur(image: Pixels, size: float) -> Pixels:
    """Median over size x size, the nearest odd size; below 5 the mixture of the medians of both neighbouring ones."""
    odd = max(1, 2 * math.floor((size - 1) / 2) + 1)
    share = max(0.0, (size - odd) / 2)  # of the larger size, odd + 2
    if size > 5:
        share = round(share)
    smaller = cv2.medianBlur(image, odd) if share < 1 else image
    larger = cv2.medianBlur(image, odd + 2) if share > 0 else image
    return cv2.addWeighted(smaller, 1 - share, larger, share, 0)


def motion_blur(image: Pixels, length: float, angle: float) -> Pixels:
    """Average along a straight line of ``length`` pixels; angle in degrees, 0 is horizontal, 90 vertical."""
    points = 32 * max(1, math.ceil(length))
    line = ((np.arange(points) + 0.5) / points - 0.5) * length
    x, y = line * math.cos(math.radians(angle)), -line * math.sin(math.radians(angle))
    radius = math.ceil((length - 1) / 2)
    edges = np.arange(-radius, radius + 2) - 0.5
    kernel = np.histogram2d(y, x, bins=(edges, edges))[0]  # how much of the line crosses each pixel
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)


def jpeg(image: Pixels, quality: int) -> Pixels:
    """Write as JPEG with 4:2:0 chroma and read back; quality 1 to 100."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
    flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def _add_noise(image: Pixels, quantiles: Quantiles, seed: int) -> Pixels:
    """Each sample picks one of 65,536 equally likely levels: as fine as 8 bits can show, and cheaper than a sampler."""
    picks = np.frombuffer(np.random.default_rng(seed).bytes(2 * image.size), "<u2")
    noise = quantiles[picks].reshape(image.shape)
    return cv2.add(image, noise, dtype=cv2.CV_8U)  # in float32; rounds and clips, never wraps


@lru_cache(maxsize=1)
def _normal_quantiles() -> Quantiles:
    inverse = NormalDist().inv_cdf
    return np.array([inverse((k + 0.5) / LEVELS) for k in range(LEVELS)], np.float32)


@lru_cache(maxsize=1)
def _laplace_quantiles() -> Quantiles:
    u = (np.arange(LEVELS) + 0.5) / LEVELS - 0.5
    return (-np.sign(u) * np.log1p(-2 * np.abs(u))).astype(np.float32)


def _poisson_quantiles(rate: float) -> Quantiles:
    if rate <= 0:
        return np.zeros(LEVELS, np.float32)
    terms = [k * math.log(rate) - rate - math.lgamma(k + 1) for k in range(int(rate + 12 * math.sqrt(rate)) + 20)]
    half = np.searchsorted(np.cumsum(np.exp(terms)), (np.arange(LEVELS // 2) + 0.5) / (LEVELS // 2))
    return np.concatenate([half, -half]).astype(np.float32)


@dataclass(frozen=True)
class Range:
    """A number and where it may lie, both ends included; a ``length`` counts pixels of a 512-pixel face."""

    low: float
    high: float
    whole: bool = False
    length: bool = False

    def __str__(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.low:.10g} to {self.high:.10g}"

    def holds(self, value: Any) -> bool:
        return type(value) in ((int,) if self.whole else (int, float)) and self.low <= value <= self.high

    def spread(self, spec: Any) -> tuple[Value, ...] | None:
        """(low, high) of a recipe's number or [low, high]; none when it is neither."""
        ends = tuple(spec) if isinstance(spec, list) else (spec, spec)
        return ends if len(ends) == 2 and all(map(self.holds, ends)) and ends[0] <= ends[1] else None

    def draw(self, ends: tuple[Any, ...], rng: np.random.Generator) -> Value:
        low, high = ends
        if self.whole:
            return int(rng.integers(low, high, endpoint=True))
        return min(max(round(rng.uniform(low, high), 4), low), high)  # four decimals keep a trace readable


@dataclass(frozen=True)
class Names:
    """One of some words."""

    names: tuple[str, ...]
    length = False

    def __str__(self) -> str:
        return "one of " + ", ".join(self.names)

    def holds(self, value: Any) -> bool:
        return value in self.names

    def spread(self, spec: Any) -> tuple[Value, ...] | None:
        """The words of a recipe's word or [word, ...]; none when it is neither."""
        names = tuple(spec) if isinstance(spec, list) else (spec,)
        return names if names and all(map(self.holds, names)) else None

    def draw(self, names: tuple[Any, ...], rng: np.random.Generator) -> Value:
        return names[rng.integers(len(names))]


@dataclass(frozen=True)
class Operation:
    """A function of pixels, the numbers that it takes, and how a trace puts it in words."""

    function: Callable[..., Pixels]
    words: str
    parameters: Mapping[str, Range | Names]


MAX_SEED = 2**32 - 1
_GREY, _SEED = Range(0, 255), Range(0, MAX_SEED, whole=True)
_KERNEL = Names(tuple(INTERPOLATIONS))
OPERATIONS = {
    "downsample": Operation(downsample, "down {ratio:.2g}x {kernel}", {"ratio": Range(1 / 64, 1), "kernel": _KERNEL}),
    "mosaic": Operation(mosaic, "mosaic {block:.3g} px", {"block": Range(1, 512, length=True)}),
    "gaussian_noise": Operation(gaussian_noise, "gaussian noise {sigma:.2g}", {"sigma": _GREY, "seed": _SEED}),
    "laplace_noise": Operation(laplace_noise, "laplace noise {scale:.2g}", {"scale": _GREY, "seed": _SEED}),
    "poisson_noise": Operation(poisson_noise, "poisson noise {rate:.2g}", {"rate": _GREY, "seed": _SEED}),
    "gaussian_blur": Operation(gaussian_blur, "gaussian blur {sigma:.2g} px", {"sigma": Range(0, 128, length=True)}),
    "median_blur": Operation(median_blur, "median blur {size:.2g} px", {"size": Range(1, 101, length=True)}),
    "motion_blur": Operation(
        motion_blur,
        "motion blur {length:.2g} px at {angle:.0f}°",
        {"length": Range(1, 256, length=True), "angle": Range(0, 360)},
    ),
    "jpeg": Operation(jpeg, "jpeg q{quality}", {"quality": Range(1, 100, whole=True)}),
}
"""Name in JSON -> what it does and what it takes. A recipe gives ranges, all but the seed; a trace gives values."""
