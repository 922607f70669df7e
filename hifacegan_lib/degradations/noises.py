"""Noise, drawn for each pixel from a seed: additive, proportional to the pixel, or as a sensor's photons cause it.

Each sample is a random 16-bit number k that selects one of 65,536 equally likely values of the distribution,
x = F^-1((k + 1/2) / 65536). This resolution suffices for 8-bit images, and a table look-up is faster than any sampler.

``channels``: "rgb" draws a value for each channel, "grey" one value for all three. ``grain`` is the side of a grid
pixel, in pixels of this image; the noise refers to the grid's pixels. Below 1 the level shrinks as averaging would
shrink it; above 1 one value covers several pixels. Results are rounded and clipped, and never wrap.
"""

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, pdtr

from hifacegan_lib.utils.images import Pixels

Quantiles = NDArray[np.float32]
LEVELS = 65536  # equally likely values of a distribution, one for each 16-bit number
COUNTS = 4096  # equally likely photon counts for each of the 256 grey levels


def gaussian_noise(image: Pixels, sigma: float, seed: int, channels: str = "rgb", grain: float = 1.0) -> Pixels:
    """Add N(0, sigma^2); sigma in grey levels of 255."""
    return _add(image, _sample(image, _rounded(_normal_quantiles(), sigma, grain), seed, channels, grain))


def laplace_noise(image: Pixels, scale: float, seed: int, channels: str = "rgb", grain: float = 1.0) -> Pixels:
    """Add noise of density exp(-|x| / scale) / (2 scale), in grey levels of 255; standard deviation 1.41 scale."""
    return _add(image, _sample(image, _rounded(_laplace_quantiles(), scale, grain), seed, channels, grain))


def poisson_noise(image: Pixels, rate: float, seed: int, channels: str = "rgb", grain: float = 1.0) -> Pixels:
    """Add a Poisson(rate) count of grey levels with a random sign, independent of the pixel, as in HiFaceGAN."""
    return _add(image, _sample(image, _rounded(_poisson_quantiles(rate), 1, grain), seed, channels, grain))


def speckle_noise(image: Pixels, sigma: float, seed: int, channels: str = "rgb", grain: float = 1.0) -> Pixels:
    """Multiply by N(1, sigma^2); sigma is a share of the pixel's value."""
    noise = _sample(image, _normal_quantiles() * np.float32(sigma * min(grain, 1)), seed, channels, grain)
    return cv2.multiply(image, _three_channels(noise) + np.float32(1), dtype=cv2.CV_8U)


def shot_noise(image: Pixels, scale: float, seed: int, channels: str = "rgb", grain: float = 1.0) -> Pixels:
    """Add ``scale`` (P(x) - x), P(x) a Poisson count with mean x, the pixel's grey level; deviation scale sqrt(x)."""
    mean = image if channels == "rgb" else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    bits = _enlarge(_random_bits(image, seed, channels, grain) >> 4, image).astype(np.intp)
    counts = _photon_counts().take(mean.astype(np.intp) * COUNTS + bits)
    return _add(image, (counts - mean.astype(np.float32)) * np.float32(scale * min(grain, 1)))


def sensor_noise(image: Pixels, shot: float, read: float, seed: int, grain: float = 1.0) -> Pixels:
    """Add a camera's noise N(0, shot x + read^2) to the linear light x in [0, 1], then apply the sRGB curve."""
    linear = _to_linear()
    deviation = np.sqrt(shot * linear + read**2).astype(np.float32) * np.float32(min(grain, 1))
    noise = _sample(image, _normal_quantiles(), seed, "rgb", grain)
    light = cv2.LUT(image, linear) + cv2.LUT(image, deviation) * noise
    return _from_linear().take((light.clip(0, 1) * np.float32(LEVELS - 1) + np.float32(0.5)).astype(np.uint16))


def _rounded(quantiles: Quantiles, level: float, grain: float) -> NDArray[np.int16]:
    """Noise rounded to whole grey levels; the sum would be rounded anyway, and int16 halves the memory."""
    return np.rint(quantiles * np.float32(level * min(grain, 1))).astype(np.int16)


def _add(image: Pixels, noise: NDArray[Any]) -> Pixels:
    if noise.dtype != np.int16:
        return cv2.add(image, _three_channels(noise), dtype=cv2.CV_8U)  # rounds and clips, never wraps
    total = image + noise
    return total.clip(0, 255, out=total).astype(np.uint8)


def _three_channels(noise: NDArray[Any]) -> NDArray[Any]:
    return noise if noise.shape[2] == 3 else cv2.merge([noise, noise, noise])


def _sample(image: Pixels, quantiles: NDArray[Any], seed: int, channels: str, grain: float) -> NDArray[Any]:
    """Samples of the distribution, H x W x 3, or H x W x 1 for "grey"."""
    bits = _random_bits(image, seed, channels, grain)
    return _enlarge(cv2.LUT(bits, quantiles).reshape(bits.shape), image)


def _random_bits(image: Pixels, seed: int, channels: str, grain: float) -> NDArray[np.uint16]:
    """16 random bits for each channel of each pixel of the noise's grid."""
    height, width = (math.ceil(side / max(grain, 1)) for side in image.shape[:2])
    depth = 3 if channels == "rgb" else 1
    number = height * width * depth
    words = np.random.SFC64(seed).random_raw(-(-number // 4)).astype("<u8", copy=False)
    return words.view("<u2")[:number].reshape(height, width, depth)


def _enlarge(grid: NDArray[Any], image: Pixels) -> NDArray[Any]:
    """Enlarge the noise's grid to the image's size; each grid pixel becomes a square."""
    if grid.shape[:2] == image.shape[:2]:
        return grid
    wide = cv2.resize(grid, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)  # H x W of a single channel
    return wide.reshape(*image.shape[:2], grid.shape[2])


@lru_cache(maxsize=1)
def _normal_quantiles() -> Quantiles:
    return ndtri((np.arange(LEVELS) + 0.5) / LEVELS).astype(np.float32)


@lru_cache(maxsize=1)
def _laplace_quantiles() -> Quantiles:
    u = (np.arange(LEVELS) + 0.5) / LEVELS - 0.5
    return (-np.sign(u) * np.log1p(-2 * np.abs(u))).astype(np.float32)


def _poisson_quantiles(rate: float) -> Quantiles:
    half = _poisson_counts(rate, LEVELS // 2)
    return np.concatenate([half, -half])


@lru_cache(maxsize=1)
def _photon_counts() -> Quantiles:
    return np.concatenate([_poisson_counts(level, COUNTS) for level in range(256)])


def _poisson_counts(rate: float, number: int) -> Quantiles:
    """``number`` equally likely counts of a Poisson distribution, in ascending order."""
    shares = pdtr(np.arange(int(rate + 12 * math.sqrt(rate)) + 20), rate)  # of counts up to 0, 1, 2, ...
    return np.searchsorted(shares, (np.arange(number) + 0.5) / number).astype(np.float32)


@lru_cache(maxsize=1)
def _to_linear() -> NDArray[np.float32]:
    """The linear light in [0, 1] of the 256 grey levels, by the sRGB curve (IEC 61966-2-1)."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


@lru_cache(maxsize=1)
def _from_linear() -> NDArray[np.uint8]:
    """The grey level of 65,536 steps of linear light, by the sRGB curve."""
    light = np.arange(LEVELS) / (LEVELS - 1)
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (value * 255).round().astype(np.uint8)
