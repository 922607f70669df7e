"""NIQE: distance of an image's statistics from those of natural images, without a reference (Mittal et al. 2013).

    i' = (i - mu) / (sigma + 1)                            mu, sigma: of a 7 x 7 Gaussian window; i: luma, 16 to 235
    d = sqrt( (nu - nu')^T ((C + C') / 2)^+ (nu - nu') )   nu, C: mean and covariance of blocks' features; ' this image

In natural images i' and the products of its neighbouring pixels follow asymmetric generalised Gaussians. The features
of a block are the parameters of these distributions, 18 at each of two scales. Blocks are 96 x 96 pixels; incomplete
blocks on the right and below are left out. The pristine statistics nu and C are those that the authors published.

Conventions of the authors' MATLAB code: luma of BT.601 in studio range, rounded; the window repeats the border of the
image; half size by MATLAB's bicubic kernel, widened against aliasing, with a mirrored border; neighbours of a pixel
wrap around inside its block. Lower is better; natural photographs have 2 to 5.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import gamma
from torch import Tensor

from hifacegan_lib.metrics.metric import Planes, TooSmall, check, per_pair, weights

BLOCK = 96  # pixels; 48 at the second scale
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # shifts of a block, rows and columns
_SHAPES = np.arange(0.2, 10.001, 0.001)
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))  # increases with the shape
Array = NDArray[np.float64]


class Niqe:
    """Called like the other metrics, but ``clean`` is not used; N values, NaN for an image without texture.

    Raises (when called):
        MetricUnavailable: the pristine statistics are not downloaded. TooSmall: an image has fewer than two blocks.
        ValueError: the file is damaged.
    """

    def __init__(self) -> None:
        self._pristine: tuple[Array, Array] | None = None

    def __call__(self, image: Tensor, clean: Tensor) -> Tensor:
        check(image, clean, BLOCK)
        height, width = image.shape[2:]
        if (height // BLOCK) * (width // BLOCK) < 2:
            raise TooSmall(f"needs two blocks of {BLOCK} x {BLOCK} pixels, got {height} x {width}")
        if self._pristine is None:
            with np.load(weights("niqe"), allow_pickle=False) as content:
                self._pristine = content["mu_pris_param"].ravel(), content["cov_pris_param"]
        mean, covariance = self._pristine
        return per_pair(lambda x, _: distance(mean, covariance, features(luma(x))), image, clean)


def luma(x: Planes) -> Array:
    """Y of BT.601, 16 to 235, rounded: RGB H x W x 3 in [0, 1] -> H x W."""
    return np.round(x.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) + 16)


def features(y: Array) -> Array:
    """The features, blocks x 36, of a luma image H x W with at least one block."""
    rows, columns = (side // BLOCK for side in y.shape)
    y = y[: rows * BLOCK, : columns * BLOCK]
    found = []
    for side in (BLOCK, BLOCK // 2):
        # blocks x side x side, in reading order
        blocks = mscn(y).reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
        found.append(_block_features(blocks))
        y = halve(y)
    return np.concatenate(found, 1)


def mscn(y: Array) -> Array:
    """Mean-subtracted, contrast-normalised: (i - mu) / (sigma + 1), H x W."""
    window = cv2.getGaussianKernel(7, 7 / 6, cv2.CV_64F)
    mu, square = (cv2.sepFilter2D(x, cv2.CV_64F, window, window, borderType=cv2.BORDER_REPLICATE) for x in (y, y * y))
    return (y - mu) / (np.sqrt(np.abs(square - mu * mu)) + 1)


def halve(y: Array) -> Array:
    """Half size by MATLAB's ``imresize(..., 0.5)``, bicubic; H x W of even sides."""
    height, width = y.shape
    padded = np.pad(y, 8, mode="symmetric").astype(np.float32)
    half = Image.fromarray(padded).resize((width // 2 + 8, height // 2 + 8), Image.Resampling.BICUBIC)
    return np.asarray(half, np.float64)[4:-4, 4:-4]


def _block_features(blocks: Array) -> Array:
    """Features, blocks x 18: shape and scale of the values; shape, mean, both scales of each product of neighbours."""
    shape, left, right = aggd(blocks)
    found = [shape, (left + right) / 2]
    for shift in NEIGHBOURS:
        shape, left, right = aggd(blocks * np.roll(blocks, shift, (1, 2)))
        with np.errstate(invalid="ignore"):
            mean = (right - left) * gamma(2 / shape) / gamma(1 / shape)
        found += [shape, mean, left, right]
    return np.stack(found, 1)


def aggd(x: Array) -> tuple[Array, Array, Array]:
    """Shape, left and right scale of asymmetric generalised Gaussians, by moments (Lasmar et al. 2009).

    blocks x H x W -> three times blocks; NaN for a block without values on both sides of 0.
    """
    axes = (1, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        left, right = (np.sqrt((np.where(side, x, 0) ** 2).sum(axes) / side.sum(axes)) for side in (x < 0, x > 0))
        ratio = left / right
        peaked = np.abs(x).mean(axes) ** 2 / (x**2).mean(axes)
        wanted = peaked * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
        after = np.clip(np.searchsorted(_RATIOS, wanted), 1, len(_RATIOS) - 1)  # NaN sorts last
        nearer = np.where(wanted - _RATIOS[after - 1] <= _RATIOS[after] - wanted, after - 1, after)
        shape = np.where(np.isfinite(wanted), _SHAPES[nearer], np.nan)
        scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * scale, right * scale


def distance(mean: Array, covariance: Array, found: Array) -> float:
    """Distance of features (blocks x 36) from the pristine statistics; blocks without texture do not count.

    NaN if fewer than two blocks remain, because they have no covariance.
    """
    whole = found[np.isfinite(found).all(1)]
    if len(whole) < 2:
        return float("nan")
    away = mean - np.nanmean(found, 0)
    middle = (covariance + np.cov(whole, rowvar=False)) / 2
    return float(np.sqrt(max(0.0, away @ np.linalg.pinv(middle) @ away)))
