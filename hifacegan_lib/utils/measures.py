"""Two measures of uint8 pictures, for captions and curves: PSNR, and the power of each spatial frequency."""

import math

import numpy as np

from hifacegan_lib.utils.images import Pixels


def psnr(clean: Pixels, image: Pixels) -> float:
    """Peak signal-to-noise ratio of two uint8 images in dB; infinite when they are equal."""
    error = float(((clean.astype(np.float64) - image) ** 2).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


def radial_power(image: Pixels) -> np.ndarray:
    """Power of the grey image in dB, mean over rings of equal whole frequency, up to the shorter side's Nyquist."""
    grey = image.mean(2) - image.mean()
    power = np.abs(np.fft.fft2(grey * np.outer(np.hanning(grey.shape[0]), np.hanning(grey.shape[1])))) ** 2
    fy, fx = (np.fft.fftfreq(side) * min(grey.shape) for side in grey.shape)
    ring = np.hypot(fy[:, None], fx).round().astype(int).ravel()
    mean = np.bincount(ring, power.ravel()) / np.bincount(ring)
    return 10 * np.log10(mean[: min(grey.shape) // 2 + 1] / grey.size + 1e-3)
