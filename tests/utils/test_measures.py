"""PSNR and spectrum of uint8 pictures against a reference and a wave."""

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from hifacegan_lib.utils import measures


def test_psnr_matches_scikit_image() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    assert measures.psnr(faces[0], faces[1]) == pytest.approx(peak_signal_noise_ratio(faces[0], faces[1]))
    assert measures.psnr(faces[0], faces[0]) == math.inf


def test_a_wave_has_its_power_at_its_frequency() -> None:
    wave = 128 + 100 * np.sin(2 * np.pi * 8 * np.arange(64) / 64)
    image = np.broadcast_to(wave[None, :, None], (64, 64, 3)).round().astype(np.uint8)
    power = measures.radial_power(image)
    assert len(power) == 33
    assert power.argmax() == 8
    assert power[8] > power[16] + 20
