"""Properties of the operations on pixels, each beside a reference that is not ours."""

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage
from skimage import data

from hifacegan_lib import blurs, compression, noises, resampling
from hifacegan_lib.images import Pixels, resize
from hifacegan_lib.operations import OPERATIONS, Range

EXAMPLE = {
    "downsample": {"ratio": 0.2, "kernel": "area"},
    "mosaic": {"block": 5.0},
    "gaussian_noise": {"sigma": 20.0, "seed": 3},
    "laplace_noise": {"scale": 20.0, "seed": 3},
    "poisson_noise": {"rate": 20.0, "seed": 3},
    "gaussian_blur": {"sigma": 2.5},
    "median_blur": {"size": 4.3},
    "motion_blur": {"length": 7.5, "angle": 33.0},
    "jpeg": {"quality": 40},
}
NOISES = ["gaussian_noise", "laplace_noise", "poisson_noise"]


@pytest.fixture(scope="module")
def face() -> Pixels:
    return resize(data.astronaut()[0:256, 96:352], 128, 128)


def mean_difference(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def test_every_operation_has_an_example() -> None:
    assert EXAMPLE.keys() == OPERATIONS.keys()
    assert all(EXAMPLE[name].keys() == operation.parameters.keys() for name, operation in OPERATIONS.items())


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (3, 3), (2000, 3), (3, 2000), (37, 53)])
@pytest.mark.parametrize("name", OPERATIONS)
def test_size_and_type_stay_and_the_input_is_not_touched(name: str, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    image.setflags(write=False)
    result = OPERATIONS[name].function(image, **EXAMPLE[name])
    assert result.shape == image.shape
    assert result.dtype == np.uint8
    assert not np.shares_memory(result, image)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_largest_values_are_survived_by_a_tiny_image(name: str) -> None:
    kinds = OPERATIONS[name].parameters
    largest = {key: kind.high if isinstance(kind, Range) else kind.names[-1] for key, kind in kinds.items()}
    assert OPERATIONS[name].function(np.full((2, 3, 3), 90, np.uint8), **largest).shape == (2, 3, 3)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in NOISES])
def test_a_flat_image_stays_flat(name: str) -> None:
    flat = np.full((40, 56, 3), (200, 120, 30), np.uint8)
    assert np.abs(OPERATIONS[name].function(flat, **EXAMPLE[name]).astype(int) - flat).max() <= 2


@pytest.mark.parametrize("name", NOISES)
def test_noise_follows_its_seed_alone(name: str, face: Pixels) -> None:
    apply, numbers = OPERATIONS[name].function, EXAMPLE[name]
    np.testing.assert_array_equal(apply(face, **numbers), apply(face, **numbers))
    assert mean_difference(apply(face, **numbers), apply(face, **{**numbers, "seed": 4})) > 5


@pytest.mark.parametrize(
    ("name", "deviation", "kurtosis"),
    [("gaussian_noise", 10, 3), ("laplace_noise", 10 * 2**0.5, 6), ("poisson_noise", 110**0.5, None)],
)
def test_noise_has_its_moments_and_independent_channels(name: str, deviation: float, kurtosis: float | None) -> None:
    grey = np.full((512, 512, 3), 127, np.uint8)
    noise = OPERATIONS[name].function(grey, 10.0, seed=1).astype(float) - 127
    assert abs(noise.mean()) < 0.1
    assert noise.std() == pytest.approx(deviation, rel=0.01)
    if kurtosis:
        assert (noise**4).mean() / noise.var() ** 2 == pytest.approx(kurtosis, rel=0.05)
    assert np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.01


def test_poisson_noise_counts() -> None:
    noise = np.abs(noises.poisson_noise(np.full((512, 512, 3), 127, np.uint8), 10.0, 1).astype(float) - 127)
    assert noise.mean() == pytest.approx(10, rel=0.01)
    assert noise.var() == pytest.approx(10, rel=0.02)
    assert (noise == 10).mean() == pytest.approx(10**10 * np.exp(-10) / 3628800, rel=0.02)


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("level", [0, 255])
def test_noise_clips_and_never_wraps(name: str, level: int) -> None:
    flat = np.full((64, 64, 3), level, np.uint8)
    noisy = OPERATIONS[name].function(flat, 8.0, seed=0)
    assert np.abs(noisy.astype(int) - level).max() < 120  # a wrapped value lies at the other end
    assert (noisy == level).mean() > 0.45


@pytest.mark.parametrize("name", NOISES)
def test_noise_of_level_zero_is_none(name: str, face: Pixels) -> None:
    np.testing.assert_array_equal(OPERATIONS[name].function(face, 0.0, seed=0), face)


def test_mosaic_is_the_mean_of_each_block(face: Pixels) -> None:
    means = face.reshape(16, 8, 16, 8, 3).mean((1, 3))
    expected = means.repeat(8, 0).repeat(8, 1)
    assert np.abs(resampling.mosaic(face, 8) - expected).max() <= 0.5


def test_downsampling_by_area_averages_and_returns_by_cubic(face: Pixels) -> None:
    means = torch.from_numpy(face.reshape(32, 4, 32, 4, 3).mean((1, 3)).round()).permute(2, 0, 1)[None]
    back = F.interpolate(means, scale_factor=4, mode="bicubic").clamp(0, 255).round()[0].permute(1, 2, 0).byte().numpy()
    assert mean_difference(resampling.downsample(face, 0.25), back) < 0.05
    np.testing.assert_array_equal(resampling.downsample(face, 1.0), face)


def test_downsampling_reaches_one_pixel() -> None:
    assert np.unique(resampling.downsample(np.arange(27, dtype=np.uint8).reshape(3, 3, 3), 1 / 64)).size == 3


@pytest.mark.parametrize("sigma", [1.0, 2.5, 6.0])
def test_gaussian_blur_matches_scipy(sigma: float, face: Pixels) -> None:
    expected = ndimage.gaussian_filter(face.astype(float), (sigma, sigma, 0), mode="mirror")
    assert mean_difference(blurs.gaussian_blur(face, sigma), expected.round().astype(np.uint8)) < 0.6


def test_gaussian_blurs_add_up_in_variance(face: Pixels) -> None:
    twice = blurs.gaussian_blur(blurs.gaussian_blur(face, 3), 4)
    assert mean_difference(twice, blurs.gaussian_blur(face, 5)) < 0.5
    np.testing.assert_array_equal(blurs.gaussian_blur(face, 0), face)
    np.testing.assert_array_equal(blurs.gaussian_blur(face, 1e-6), face)


@pytest.mark.parametrize("size", [3, 5, 9])
def test_median_blur_matches_scipy(size: int, face: Pixels) -> None:
    expected = ndimage.median_filter(face, (size, size, 1), mode="nearest")
    np.testing.assert_array_equal(blurs.median_blur(face, size), expected)


def test_median_blur_grows_evenly_between_odd_sizes(face: Pixels) -> None:
    sizes = [1, 1.5, 2, 2.5, 3, 4, 5]
    steps = [mean_difference(face, blurs.median_blur(face, size)) for size in sizes]
    assert steps[0] == 0
    assert steps == sorted(steps)
    np.testing.assert_array_equal(blurs.median_blur(face, 7.9), blurs.median_blur(face, 7))


def test_motion_blur_is_the_mean_along_its_line(face: Pixels) -> None:
    expected = ndimage.uniform_filter1d(face.astype(float), 5, axis=1, mode="mirror")
    assert np.abs(blurs.motion_blur(face, 5, 0) - expected).max() <= 1
    down = blurs.motion_blur(face.transpose(1, 0, 2), 5, 90).transpose(1, 0, 2)
    assert mean_difference(down, blurs.motion_blur(face, 5, 0)) < 0.1
    assert mean_difference(blurs.motion_blur(face, 9, 30), blurs.motion_blur(face, 9, 210)) < 0.1
    np.testing.assert_array_equal(blurs.motion_blur(face, 1, 40), face)


def test_motion_blur_at_45_degrees_rises_to_the_right() -> None:
    point = np.zeros((21, 21, 3), np.uint8)
    point[10, 10] = 255
    blurred = blurs.motion_blur(point, 12, 45)[..., 0]
    assert blurred[7, 13] > 0
    assert blurred[7, 7] == 0


@pytest.mark.parametrize("quality", [17, 50, 85])
def test_jpeg_matches_pillow(quality: int, face: Pixels) -> None:
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    assert mean_difference(compression.jpeg(face, quality), np.asarray(Image.open(buffer))) < 0.5


def test_jpeg_loses_less_at_higher_quality_and_keeps_red_red(face: Pixels) -> None:
    losses = [mean_difference(face, compression.jpeg(face, quality)) for quality in (5, 20, 50, 90)]
    assert losses == sorted(losses, reverse=True)
    red = np.full((16, 16, 3), (255, 0, 0), np.uint8)
    assert mean_difference(red, compression.jpeg(red, 90)) < 2
