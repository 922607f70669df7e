"""Fewer pixels: means where means are asked for, and the size that was asked for."""

import cv2
import golden
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data

from hifacegan_lib.degradations import resampling
from hifacegan_lib.degradations.traces import Trace
from hifacegan_lib.utils.images import Pixels, resize

KERNELS = list(resampling.INTERPOLATIONS)


@pytest.fixture(scope="module")
def face() -> Pixels:
    return resize(data.astronaut()[0:256, 96:352], 128, 128)


def mean_difference(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def test_mosaic_is_the_mean_of_each_block(face: Pixels) -> None:
    means = face.reshape(16, 8, 16, 8, 3).mean((1, 3))
    assert np.abs(resampling.mosaic(face, 8) - means.repeat(8, 0).repeat(8, 1)).max() <= 0.5


@pytest.mark.parametrize("block", [1, 3, 7.5, 16, 33, 500])
def test_mosaic_has_as_many_blocks_as_fit(block: float, face: Pixels) -> None:
    blocks = resampling.mosaic(face, block)
    borders = np.abs(np.diff(blocks.astype(int), axis=0)).max((1, 2)) > 0
    assert 1 + borders.sum() <= max(1, round(128 / block))
    assert blocks.mean() == pytest.approx(face.mean(), abs=0.5)


def test_downsampling_by_area_averages_and_returns_by_cubic(face: Pixels) -> None:
    means = torch.from_numpy(face.reshape(32, 4, 32, 4, 3).mean((1, 3)).round()).permute(2, 0, 1)[None]
    back = F.interpolate(means, scale_factor=4, mode="bicubic").clamp(0, 255).round()[0].permute(1, 2, 0).byte().numpy()
    assert mean_difference(resampling.downsample(face, 0.25, "area"), back) < 0.05
    np.testing.assert_array_equal(resampling.downsample(face, 1.0, "area"), face)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_kernels_are_torchs(mode: str, face: Pixels) -> None:
    """But for area these are kernels for enlarging: shrinking skips pixels, as in the recipes that use them."""
    kernel = {"nearest": "nearest", "bilinear": "linear", "bicubic": "cubic"}[mode]
    size, image = (40, 40), torch.from_numpy(face).permute(2, 0, 1)[None].double()
    theirs = F.interpolate(image, size=size, mode=mode).clamp(0, 255).round()[0].permute(1, 2, 0).byte().numpy()
    assert mean_difference(resampling.to_shape(face, size, kernel), theirs) < 0.2


def test_area_is_the_mean_of_what_a_pixel_covers(face: Pixels) -> None:
    means = face.reshape(32, 4, 32, 4, 3).mean((1, 3))
    assert np.abs(resampling.to_shape(face, (32, 32), "area") - means).max() <= 0.5


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_lower_ratio_loses_more(kernel: str, face: Pixels) -> None:
    losses = [mean_difference(face, resampling.downsample(face, ratio, kernel)) for ratio in (1, 0.5, 0.25, 0.1)]
    assert losses[0] == 0
    assert losses == sorted(losses)


def test_downsampling_reaches_one_pixel() -> None:
    tiny = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    assert np.unique(resampling.downsample(tiny, 1 / 64, "area")).size == 3


@pytest.mark.parametrize(
    ("ratio", "grain", "side"), [(0.25, 1, 32), (0.25, 0.25, 128), (0.5, 0.3, 128), (0.5, 0.75, 85), (1.5, 4, 192)]
)
def test_a_ratio_keeps_the_pixels_that_its_grid_would_keep(ratio: float, grain: float, side: int, face: Pixels) -> None:
    small = resampling.resample(face, ratio, "area", (128, 128), grain)
    assert small.shape == (side, side, 3)


def test_a_resized_face_is_worked_on_at_its_size_and_returns(face: Pixels) -> None:
    """Mosaic of 2 pixels at a quarter of the side: 16 blocks, and back."""
    there = {"op": "resize", "ratio": 0.25, "kernel": "area"}
    back = {"op": "resize", "ratio": 1, "kernel": "nearest"}
    trace = Trace.of("mine", there, {"op": "mosaic", "block": 8}, back, grid=128)
    expected = face.reshape(16, 8, 16, 8, 3).mean((1, 3)).repeat(8, 0).repeat(8, 1)
    assert np.abs(trace.apply(face) - expected).max() <= 1.5
    cubic = Trace.of("mine", there, grid=128).apply(face)
    np.testing.assert_array_equal(cubic, resampling.downsample(face, 0.25, "area"))


def test_noise_and_blur_of_a_small_face_are_in_its_own_pixels() -> None:
    """A quarter of the side, noise 20, back by nearest: squares of 4 x 4 pixels of one draw each."""
    grey = np.full((128, 128, 3), 127, np.uint8)
    steps = ({"op": "resize", "ratio": 0.25, "kernel": "area"}, {"op": "gaussian_noise", "sigma": 20, "seed": 1})
    trace = Trace.of("mine", *steps, {"op": "resize", "ratio": 1, "kernel": "nearest"}, grid=128)
    noise = trace.apply(grey) - 127.0
    np.testing.assert_array_equal(noise, noise[::4, ::4].repeat(4, 0).repeat(4, 1))
    assert noise.std() == pytest.approx(20, rel=0.03)


@pytest.mark.parametrize("name", golden.operations_of(resampling))
def test_the_recorded_pixels(name: str) -> None:
    golden.check_operation(name)


def test_a_ratio_below_one_never_enlarges() -> None:
    face = np.zeros((20, 10, 3), np.uint8)
    assert resampling.resample(face, 0.9, "area", (20, 10), grain=0.5).shape == (20, 10, 3)
    assert resampling.resample(face, 0.5, "area", (20, 10), grain=2.0).shape == (5, 2, 3)


def test_coarse_chroma_keeps_the_luma_and_averages_colours() -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2], stripes[:, 1::2] = (150, 100, 100), (100, 120, 140)
    found = resampling.coarse_chroma(stripes, 4)
    before, after = (cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb).astype(int) for image in (stripes, found))
    assert np.abs(after[..., 0] - before[..., 0]).max() <= 1
    assert np.abs(after[..., 1:] - before[..., 1:].mean((0, 1))).max() <= 2
    np.testing.assert_array_equal(resampling.coarse_chroma(stripes, 1), stripes)
    grey = np.repeat(stripes[..., :1], 3, 2)
    assert np.abs(resampling.coarse_chroma(grey, 8).astype(int) - grey).max() <= 1
