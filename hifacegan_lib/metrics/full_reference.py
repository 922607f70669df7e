"""How near a restored face is to the clean one, pixel by pixel and window by window; one value an image.

    psnr      -10 log10 mean (a - b)^2, over pixels and channels                                dB, higher is better
    ssim      mean of (2 mu_a mu_b + c1)(2 cov + c2) / ((mu_a^2 + mu_b^2 + c1)(var_a + var_b + c2))   up to 1, higher
    ms_ssim   product over five scales of contrast x structure, luminance at the last                 0 to 1, higher

All take float RGB, N x 3 x H x W in [0, 1], and return N values; see :mod:`hifacegan_lib.metrics.metric`.
"""

import cv2
import numpy as np
from torch import Tensor

from hifacegan_lib.metrics.metric import Planes, check, each
from hifacegan_lib.utils import measures

SSIM_SIDE, MS_SSIM_SIDE = 11, 176  # smallest sides, pixels: a window, a window at 1/16
MS_SSIM_POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, fine to coarse
_C1, _C2 = 0.01**2, 0.03**2
_WINDOW = cv2.getGaussianKernel(SSIM_SIDE, 1.5, cv2.CV_32F)


def psnr(image: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, over all pixels and channels of an image; equal images have infinity."""
    check(image, clean)
    return each(lambda a, b: measures.psnr(b, a, 1.0), image, clean, planar=True)


def ssim(image: Tensor, clean: Tensor) -> Tensor:
    """Structural similarity, -1 to 1 (Wang et al. 2004): Gaussian window 11, sigma 1.5, K = 0.01 and 0.03.

    Population covariances; each channel by itself, then the mean; only windows that lie inside the image count, as in
    the paper and scikit-image.
    """
    check(image, clean, SSIM_SIDE)

    def value(a: Planes, b: Planes) -> float:
        terms = (_terms(x, y) for x, y in zip(a, b, strict=True))
        return float(np.mean([(luminance * structure).mean(dtype=np.float64) for luminance, structure in terms]))

    return each(value, image, clean, planar=True)


def ms_ssim(image: Tensor, clean: Tensor) -> Tensor:
    """Multi-scale structural similarity, 0 to 1 (Wang et al. 2003).

    Weights 0.0448, 0.2856, 0.3001, 0.2363, 0.1333; scales are 2 x 2 means (an odd last line is left out); at each scale
    only windows inside count; the mean over channels is taken before the power; negative terms count as 0.
    """
    check(image, clean, MS_SSIM_SIDE)

    def value(a: Planes, b: Planes) -> float:
        found = np.mean([_scales(x, y) for x, y in zip(a, b, strict=True)], 0)
        return float(np.prod(np.maximum(found, 0) ** MS_SSIM_POWERS))

    return each(value, image, clean, planar=True)


def _scales(a: Planes, b: Planes) -> list[float]:
    """Of one plane: mean contrast x structure at each scale but the last, which has luminance too."""
    found = []
    for _ in MS_SSIM_POWERS[:-1]:
        found.append(_terms(a, b)[1].mean(dtype=np.float64))
        height, width = (side // 2 for side in a.shape)
        a, b = (cv2.resize(x[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA) for x in (a, b))
    luminance, structure = _terms(a, b)
    return [*found, (luminance * structure).mean(dtype=np.float64)]


def _terms(a: Planes, b: Planes) -> tuple[Planes, Planes]:
    """Luminance, and contrast x structure, of every window inside a plane; H x W -> (H - 10) x (W - 10).

    By sum and difference, s = a + b and d = a - b: 2 cov = (var_s - var_d) / 2, var_a + var_b = (var_s + var_d) / 2,
    and so for the means: four filters, where five would be.
    """
    level_a, level_b = a.mean(), b.mean()  # taken out: differences of squares are exact where little happens
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
