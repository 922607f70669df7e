"""Blurs: kernels over the image, mirrored at its edges; the median; the sinc, a low-pass filter that
rings; the halo, a blur's remainder added.

The blur kernels of Real-ESRGAN (arXiv 2107.10833) are functions of

    r^2 = (u / sigma)^2 + (v / across)^2,        (u, v) = (x, y) turned by the angle

Gaussian exp(-r^2 / 2), generalised Gaussian exp(-(r^2)^beta / 2), plateau 1 / (1 + (r^2)^beta): beta below 1 gives long
tails, beta above 1 a flat top. Each function is integrated over each pixel, so a sigma below one pixel is exact too.
The kernel is a square of ``size`` pixels a side; with ``size`` 0 it reaches three sigma each way.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import j1

from hifacegan_lib.utils.images import Pixels

Kernel = NDArray[np.float32]
Profile = Callable[[NDArray[np.float64]], NDArray[np.float64]]
WINDOWS: dict[int, tuple[tuple[int, int], ...]] = {  # size -> (window, step) of each median, in order
    1: (),
    3: ((3, 1),),
    5: ((5, 1),),
    7: ((3, 2), (3, 1), (3, 1)),
    9: ((3, 3), (3, 1), (3, 1)),
    11: ((5, 2), (3, 1), (3, 1)),
    13: ((3, 4), (5, 1), (3, 1)),
    15: ((5, 3), (3, 1), (3, 1)),
    17: ((5, 3), (3, 2), (3, 1)),
    21: ((5, 4), (3, 2), (3, 1)),
    25: ((5, 5), (3, 2), (3, 1)),
    33: ((5, 6), (3, 4), (3, 1)),
    45: ((5, 9), (3, 3), (3, 2)),
    63: ((5, 12), (3, 5), (3, 3)),
    89: ((5, 18), (3, 6), (3, 2)),
    125: ((5, 24), (3, 9), (3, 5)),
    225: ((5, 43), (3, 16), (3, 9)),
    375: ((5, 72), (3, 27), (3, 15)),
}
DENSE = 130  # elements: OpenCV filters larger kernels by a Fourier transform, which is much slower for a thin line
WIDEST = 8  # largest radius of a kernel, as a multiple of the image's longer side


def gaussian_blur(image: Pixels, sigma: float, size: float = 0) -> Pixels:
    """Convolve with a Gaussian of ``sigma`` pixels."""
    if sigma <= 0:
        return image.copy()
    radius = _radius(sigma, size, max(image.shape))
    below = [NormalDist(0, sigma).cdf(edge - 0.5) for edge in range(-radius, radius + 2)]
    taps = np.diff(below)  # 2 radius + 1
    taps += taps[::-1]  # exactly symmetric: OpenCV is slow otherwise
    taps = (taps / taps.sum()).astype(np.float32)
    return cv2.sepFilter2D(image, -1, taps, taps, borderType=cv2.BORDER_REFLECT_101)


def halo(image: Pixels, amount: float, sigma: float) -> Pixels:
    """Sharpen too much: x + amount (x - blurred x). Edges get light and dark seams about ``sigma`` pixels wide."""
    return cv2.addWeighted(image, 1 + amount, gaussian_blur(image, sigma), -amount, 0)


def anisotropic_blur(image: Pixels, sigma: float, across: float, angle: float, size: float = 0) -> Pixels:
    """Convolve with a Gaussian: ``sigma`` pixels along ``angle`` (degrees, 90 is vertical), ``across`` across it."""
    return _blur(image, lambda r2: np.exp(-r2 / 2), sigma, across, angle, size)


def generalized_blur(
    image: Pixels, sigma: float, beta: float, across: float = 0, angle: float = 0, size: float = 0
) -> Pixels:
    """Convolve with a generalised Gaussian; ``across`` 0 means the same as ``sigma``."""
    return _blur(image, lambda r2: np.exp(-(r2**beta) / 2), sigma, across or sigma, angle, size)


def plateau_blur(
    image: Pixels, sigma: float, beta: float, across: float = 0, angle: float = 0, size: float = 0
) -> Pixels:
    """Convolve with a plateau kernel; ``across`` 0 means the same as ``sigma``."""
    return _blur(image, lambda r2: 1 / (1 + r2**beta), sigma, across or sigma, angle, size)


def sinc(image: Pixels, wavelength: float, size: float = 21) -> Pixels:
    """Remove all waves shorter than ``wavelength`` pixels by a circular low-pass filter, which rings at edges.

    The kernel is w J1(w r) / (2 pi r) with w = 2 pi / wavelength, cut to ``size`` pixels a side. A wavelength of two
    pixels or less changes nothing.
    """
    if wavelength <= 2:
        return image.copy()
    radius = _radius(wavelength, size, max(image.shape))
    w = 2 * math.pi / wavelength
    away = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1])
    away[radius, radius] = 1
    kernel = w * j1(w * away) / (2 * math.pi * away)
    kernel[radius, radius] = w**2 / (4 * math.pi)
    return _convolve(image, kernel)


def median_blur(image: Pixels, size: float) -> Pixels:
    """Median over size x size pixels: up to 5 a mixture of the exact medians of 1, 3 and 5, above 5 a remedian.

    The remedian (Rousseeuw and Bassett 1990) of the nearest size in ``WINDOWS`` is a median of medians. At 15 x 15: the
    median of 5 x 5 pixels with step 3, then twice the median of 3 x 3 neighbours. Since coarse steps come first, up to
    15 the remedian is as close to the exact median as that is to the exact median of the next odd size (44 dB). It
    takes a twentieth of the time.
    """
    if size > 5:
        return _remedian(image, min(WINDOWS, key=lambda window: abs(window - size)))
    odd = max(1, 2 * math.floor((size - 1) / 2) + 1)
    share = max(0.0, (size - odd) / 2)  # weight of the larger median, odd + 2
    smaller = _remedian(image, odd) if share < 1 else image
    larger = _remedian(image, odd + 2) if share > 0 else image
    return cv2.addWeighted(smaller, 1 - share, larger, share, 0)


def motion_blur(image: Pixels, length: float, angle: float) -> Pixels:
    """Average along a straight line of ``length`` pixels; angle in degrees, 0 is horizontal, 90 vertical."""
    return _convolve(image, _line(length, angle))


def _remedian(image: Pixels, size: int) -> Pixels:
    for window, step in WINDOWS[size]:
        image = cv2.medianBlur(image, window) if step == 1 else _spaced_median(image, window, step)
    return image


def _spaced_median(image: Pixels, window: int, step: int) -> Pixels:
    """Median of window x window pixels with a distance of ``step``; the edges are mirrored.

    The array is reshaped: ``step`` rows become one long row, and ``step`` of its pixels one pixel of 3 ``step``
    channels. Then the pixels are neighbours, and OpenCV takes the median of each channel.
    """
    height, width = image.shape[:2]
    far = window // 2 * step
    wide = cv2.copyMakeBorder(image, far, far + -height % step, far, far + -width % step, cv2.BORDER_REFLECT_101)
    medians = cv2.medianBlur(wide.reshape(len(wide) // step, -1, 3 * step), window)
    return np.ascontiguousarray(medians.reshape(wide.shape)[far : far + height, far : far + width])


def _blur(image: Pixels, profile: Profile, sigma: float, across: float, angle: float, size: float) -> Pixels:
    """Convolve with profile(r^2). Below 0.05 pixels ``sigma`` and ``across`` change nothing."""
    if max(sigma, across) < 0.05:
        return image.copy()
    radius = _radius(max(sigma, across), size, max(image.shape))
    return _convolve(image, _kernel(profile, max(sigma, 0.05), max(across, 0.05), angle, radius))


def _radius(sigma: float, size: float, side: int) -> int:
    """A kernel's radius in pixels: three sigma, or half of ``size``; ``side`` is the image's longer side."""
    return min(max(1, round((size - 1) / 2)) if size else math.ceil(3 * sigma), WIDEST * side)


def _kernel(profile: Profile, sigma: float, across: float, angle: float, radius: int) -> Kernel:
    """profile(r^2), integrated over the pixels of a square."""
    width = 2 * radius + 1
    fine = max(1, min(math.ceil(4 / min(sigma, across, 4)), 1024 // width))  # samples along each side of a pixel
    sigma, across = max(sigma, 0.6 / fine), max(across, 0.6 / fine)  # the samples cannot resolve less
    place = (np.arange(width * fine) + 0.5) / fine - radius - 0.5
    turn = math.radians(angle)
    u = place[None, :] * math.cos(turn) - place[:, None] * math.sin(turn)
    v = place[None, :] * math.sin(turn) + place[:, None] * math.cos(turn)
    values = profile((u / sigma) ** 2 + (v / across) ** 2)
    return values.reshape(width, fine, width, fine).sum((1, 3))


@lru_cache(maxsize=64)
def _line(length: float, angle: float) -> Kernel:
    """The share of a centred line that crosses each pixel."""
    points = 32 * max(1, math.ceil(length))
    line = ((np.arange(points) + 0.5) / points - 0.5) * length
    x, y = line * math.cos(math.radians(angle)), -line * math.sin(math.radians(angle))
    radius = math.ceil((length - 1) / 2)
    edges = np.arange(-radius, radius + 2) - 0.5
    return (np.histogram2d(y, x, bins=(edges, edges))[0] / points).astype(np.float32)


def _pieces(kernel: Kernel, top: int = 0, left: int = 0) -> list[tuple[int, int, Kernel]]:
    """The non-zero parts of a kernel as (row, column, part), small enough for OpenCV's direct filter."""
    rows, columns = np.flatnonzero(kernel.any(1)), np.flatnonzero(kernel.any(0))
    if not len(rows):
        return []
    top, left = top + int(rows[0]), left + int(columns[0])
    kernel = kernel[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if kernel.size < DENSE:
        return [(top, left, kernel)]
    if len(kernel) < kernel.shape[1]:
        half = kernel.shape[1] // 2
        return _pieces(kernel[:, :half], top, left) + _pieces(kernel[:, half:], top, left + half)
    half = len(kernel) // 2
    return _pieces(kernel[:half], top, left) + _pieces(kernel[half:], top + half, left)


def _convolve(image: Pixels, kernel: NDArray[np.floating]) -> Pixels:
    kernel = (kernel / kernel.sum()).astype(np.float32)
    if kernel.size < DENSE or np.count_nonzero(kernel) > 250:
        return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    height, width = image.shape[:2]
    edge = len(kernel) // 2
    wide = cv2.copyMakeBorder(image, edge, edge, edge, edge, cv2.BORDER_REFLECT_101)
    total = np.zeros(image.shape, np.int16)  # in 1/64 of a grey level
    for top, left, piece in _pieces(kernel):
        near = wide[top : top + height + len(piece) - 1, left : left + width + piece.shape[1] - 1]
        part = cv2.filter2D(near, cv2.CV_16S, piece * np.float32(64), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
        total += part[:height, :width]
    return cv2.convertScaleAbs(total.clip(0, None), alpha=1 / 64)
