"""Two measures of images: PSNR, and the power at each spatial frequency."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.utils.images import Pixels


def psnr(clean: NDArray[Any], image: NDArray[Any], peak: float = 255) -> float:
    """Peak signal-to-noise ratio in dB of two images with white at ``peak``; infinite for equal images."""
    error = float(np.square(np.subtract(clean, image, dtype=np.float32)).mean(dtype=np.float64))
    return 10 * math.log10(peak**2 / error) if error else math.inf


def radial_power(image: Pixels) -> np.ndarray:
    """Power of the grey image in dB, averaged over rings of one frequency, up to the shorter side's Nyquist."""
    grey = image.mean(2) - image.mean()
    power = np.abs(np.fft.fft2(grey * np.outer(np.hanning(grey.shape[0]), np.hanning(grey.shape[1])))) ** 2
    fy, fx = (np.fft.fftfreq(side) * min(grey.shape) for side in grey.shape)
    ring = np.hypot(fy[:, None], fx).round().astype(int).ravel()
    mean = np.bincount(ring, power.ravel()) / np.bincount(ring)
    return 10 * np.log10(mean[: min(grey.shape) // 2 + 1] / grey.size + 1e-3)
