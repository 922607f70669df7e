"""Metrics that compare a restored face with the clean one, pixel by pixel or window by window; one value per image.

    psnr      -10 log10 mean (a - b)^2, over pixels and channels                                dB, higher is better
    ssim      mean of (2 mu_a mu_b + c1)(2 cov + c2) / ((mu_a^2 + mu_b^2 + c1)(var_a + var_b + c2))   up to 1, higher
    ms_ssim   product over five scales of contrast x structure, luminance at the last                 0 to 1, higher
    moved     mean |a - b|, between a restored face and the restorer's input                          grey levels

All take float RGB, N x 3 x H x W in [0, 1], and return N values; see :mod:`hifacegan_lib.metrics.metric`.
"""

import cv2
import numpy as np
from torch import Tensor

from hifacegan_lib.metrics.metric import Planes, check, per_pair
from hifacegan_lib.utils import measures

SSIM_SIDE, MS_SSIM_SIDE = 11, 176  # smallest sides in pixels: one window; one window at 1/16
MS_SSIM_POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, fine to coarse
_C1, _C2 = 0.01**2, 0.03**2
_WINDOW = cv2.getGaussianKernel(SSIM_SIDE, 1.5, cv2.CV_32F)


def psnr(image: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, over all pixels and channels of an image; infinity for equal images."""
    check(image, clean)
    return per_pair(lambda a, b: measures.psnr(b, a, 1.0), image, clean, planar=True)


def moved(image: Tensor, source: Tensor) -> Tensor:
    """Mean absolute difference of an image from the restorer's input, N values, in grey levels of 0 to 255."""
    check(image, source)
    return (image - source).abs().double().mean((1, 2, 3)) * 255


def ssim(image: Tensor, clean: Tensor) -> Tensor:
    """Structural similarity, -1 to 1 (Wang et al. 2004): Gaussian window 11, sigma 1.5, K = 0.01 and 0.03.

    Covariances have the divisor n. Each channel is computed separately, then the mean is taken. Only windows inside the
    image count, as in the paper and in scikit-image.
    """
    check(image, clean, SSIM_SIDE)

    def value(a: Planes, b: Planes) -> float:
        terms = (_terms(x, y) for x, y in zip(a, b, strict=True))
        return float(np.mean([(luminance * structure).mean(dtype=np.float64) for luminance, structure in terms]))

    return per_pair(value, image, clean, planar=True)


def ms_ssim(image: Tensor, clean: Tensor) -> Tensor:
    """Multi-scale structural similarity, 0 to 1 (Wang et al. 2003).

    Each scale is made of 2 x 2 means (an odd last line is left out). At each scale only windows inside the image count.
    The mean over channels is taken before the power, and negative terms count as 0.
    """
    check(image, clean, MS_SSIM_SIDE)

    def value(a: Planes, b: Planes) -> float:
        found = np.mean([_scales(x, y) for x, y in zip(a, b, strict=True)], 0)
        return float(np.prod(np.maximum(found, 0) ** MS_SSIM_POWERS))

    return per_pair(value, image, clean, planar=True)


def _scales(a: Planes, b: Planes) -> list[float]:
    """For one plane, mean contrast x structure at each scale; the last one includes luminance."""
    found = []
    for _ in MS_SSIM_POWERS[:-1]:
        found.append(_terms(a, b)[1].mean(dtype=np.float64))
        height, width = (side // 2 for side in a.shape)
        a, b = (cv2.resize(x[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA) for x in (a, b))
    luminance, structure = _terms(a, b)
    return [*found, (luminance * structure).mean(dtype=np.float64)]


def _terms(a: Planes, b: Planes) -> tuple[Planes, Planes]:
    """Luminance, and contrast x structure, of every window inside a plane; H x W -> (H - 10) x (W - 10).

    With s = a + b and d = a - b, 2 cov = (var_s - var_d) / 2 and var_a + var_b = (var_s + var_d) / 2, and likewise for
    the means. This needs four filters instead of five.
    """
    level_a, level_b = a.mean(), b.mean()  # subtracted, so that differences of squares are exact in flat regions
    a, b = a - level_a, b - level_b
    mu_s, var_s = _moments(a + b)
    mu_d, var_d = _moments(a - b)
    s, d = np.square(mu_s + (level_a + level_b)), np.square(mu_d + (level_a - level_b))
    inside = (slice(SSIM_SIDE // 2, -(SSIM_SIDE // 2)),) * 2
    luminance = (s - d + 2 * _C1) / (s + d + 2 * _C1)
    structure = (var_s - var_d + 2 * _C2) / (var_s + var_d + 2 * _C2)
    return luminance[inside], structure[inside]


def _moments(x: Planes) -> tuple[Planes, Planes]:
    """Mean and variance of each window."""
    mean, square = (cv2.sepFilter2D(y, -1, _WINDOW, _WINDOW) for y in (x, x * x))
    return mean, square - mean * mean
