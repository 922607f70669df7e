"""Each noise has the moments, the distribution and the grid that were asked for, and never wraps."""

from collections.abc import Callable
from typing import Any

import golden
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from skimage import data

from hifacegan_lib.degradations import noises
from hifacegan_lib.utils.images import Pixels, resize

Values = NDArray[np.float64]
ADDED: dict[str, tuple[dict[str, float], float]] = {  # numbers, deviation
    "gaussian_noise": ({"sigma": 10}, 10),
    "laplace_noise": ({"scale": 10}, 10 * 2**0.5),
    "poisson_noise": ({"rate": 10}, 110**0.5),
}
SHOT = {  # of a pixel's level: numbers, deviation at the level
    "speckle_noise": ({"sigma": 0.1}, lambda level: 0.1 * level),
    "shot_noise": ({"scale": 0.7}, lambda level: 0.7 * level**0.5),
}
NOTHING: dict[str, dict[str, float]] = {
    "gaussian_noise": {"sigma": 0},
    "laplace_noise": {"scale": 0},
    "poisson_noise": {"rate": 0},
    "speckle_noise": {"sigma": 0},
    "shot_noise": {"scale": 0},
    "sensor_noise": {"shot": 0, "read": 0},
}


def flat(level: float, side: int = 512) -> Pixels:
    return np.full((side, side, 3), level, np.uint8)


def added(name: str, level: int = 127, side: int = 512, **numbers: Any) -> Values:
    return getattr(noises, name)(flat(level, side), **numbers, seed=1).astype(float) - level


def independent(noise: Values) -> bool:
    return bool(np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.01)


@pytest.mark.parametrize("name", ADDED)
def test_added_noise_has_its_deviation_in_every_channel(name: str) -> None:
    numbers, deviation = ADDED[name]
    noise = added(name, **numbers)
    assert np.abs(noise.mean((0, 1))).max() < 0.1
    np.testing.assert_allclose(noise.std((0, 1)), np.hypot(deviation, 12**-0.5), rtol=0.01)
    assert independent(noise)


@pytest.mark.parametrize("name", [*ADDED, *SHOT])
def test_grey_noise_is_one_noise_for_all_channels(name: str) -> None:
    numbers, deviation = ADDED[name] if name in ADDED else (SHOT[name][0], SHOT[name][1](127))
    noise = added(name, channels="grey", **numbers)
    np.testing.assert_array_equal(noise[..., 0], noise[..., 1])
    np.testing.assert_array_equal(noise[..., 0], noise[..., 2])
    assert noise.std() == pytest.approx(deviation, rel=0.015)


@pytest.mark.parametrize("level", [40, 127, 200])
@pytest.mark.parametrize("name", SHOT)
def test_noise_of_light_grows_with_the_pixel(name: str, level: int) -> None:
    numbers, deviation = SHOT[name]
    noise = added(name, level, **numbers)
    assert abs(noise.mean()) < 0.1
    np.testing.assert_allclose(noise.std((0, 1)), np.hypot(deviation(level), 12**-0.5), rtol=0.015)
    assert independent(noise)


@pytest.mark.parametrize("level", [60, 127, 200])
@pytest.mark.parametrize(("shot", "read"), [(0.01, 0.0), (0.0, 0.03), (0.005, 0.02)])
def test_a_sensors_noise_has_its_variance_in_linear_light(level: int, shot: float, read: float) -> None:
    def light(value: Values) -> Values:  # IEC 61966-2-1
        value = value / 255
        return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)

    x, seen = float(light(np.array(float(level)))), light(noises.sensor_noise(flat(level), shot, read, seed=1) * 1.0)
    deviation = (shot * x + read**2) ** 0.5
    clipped = stats.norm.cdf(-x / deviation) > 0.01
    assert seen.std() == pytest.approx(deviation, rel=0.2 if clipped else 0.02)
    assert clipped or seen.mean() == pytest.approx(x, abs=0.001)
    assert independent(seen)


@pytest.mark.parametrize(
    ("name", "number", "distribution"),
    [("gaussian_noise", "sigma", stats.norm(0, 20)), ("laplace_noise", "scale", stats.laplace(0, 20))],
)
def test_the_distribution_is_scipys(name: str, number: str, distribution: Any) -> None:
    noise = added(name, **{number: 20}).ravel()
    for value in range(-60, 61, 10):
        assert (noise <= value).mean() == pytest.approx(distribution.cdf(value + 0.5), abs=0.003)


def test_poisson_noise_counts_and_has_both_signs() -> None:
    noise = added("poisson_noise", rate=10)
    assert (noise > 0).mean() == pytest.approx((noise < 0).mean(), abs=0.003)
    for count in (5, 10, 15):
        assert (np.abs(noise) == count).mean() == pytest.approx(stats.poisson(10).pmf(count), rel=0.03)


def test_shot_noise_counts_photons() -> None:
    counts = 100 + added("shot_noise", 100, scale=1)
    for count in (80, 100, 115):
        assert (counts == count).mean() == pytest.approx(stats.poisson(100).pmf(count), rel=0.05)


@pytest.mark.parametrize("name", [*ADDED, *SHOT, "sensor_noise"])
@pytest.mark.parametrize("level", [0, 255])
def test_noise_clips_and_never_wraps(name: str, level: int) -> None:
    numbers = {"shot": 0.01, "read": 0.02} if name == "sensor_noise" else (ADDED | SHOT)[name][0]
    noise = added(name, level, 128, **numbers)
    assert np.abs(noise).max() < 140  # a wrapped value lies at the other end
    assert (noise == 0).mean() > 0.45


@pytest.mark.parametrize("name", NOTHING)
def test_no_noise_is_none(name: str) -> None:
    face = resize(data.astronaut()[0:256, 96:352], 128, 128)
    np.testing.assert_array_equal(getattr(noises, name)(face, **NOTHING[name], seed=0), face)


@pytest.mark.parametrize("name", [*ADDED, *SHOT])
def test_on_a_finer_grid_noise_is_what_averaging_leaves(name: str) -> None:
    numbers, deviation = ADDED[name] if name in ADDED else (SHOT[name][0], SHOT[name][1](127))
    assert added(name, grain=0.25, **numbers).std() == pytest.approx(np.hypot(deviation / 4, 12**-0.5), rel=0.03)


@pytest.mark.parametrize("name", [*ADDED, *SHOT])
def test_on_a_coarser_grid_a_draw_covers_a_square(name: str) -> None:
    numbers, deviation = ADDED[name] if name in ADDED else (SHOT[name][0], SHOT[name][1](127))
    noise = added(name, side=256, grain=2, **numbers)
    np.testing.assert_array_equal(noise, noise[::2, ::2].repeat(2, 0).repeat(2, 1))
    assert noise.std() == pytest.approx(deviation, rel=0.02)
    small: Callable[..., Pixels] = getattr(noises, name)
    np.testing.assert_array_equal(noise[::2, ::2], small(flat(127, 128), **numbers, seed=1) - 127.0)  # the same draw


@pytest.mark.parametrize("name", [*ADDED, *SHOT])
def test_neighbours_and_seeds_know_nothing_of_each_other(name: str) -> None:
    numbers = (ADDED | SHOT)[name][0]
    noise, other = (getattr(noises, name)(flat(127), **numbers, seed=seed) - 127.0 for seed in (1, 2))
    for a, b in ((noise, other), (noise[1:], noise[:-1]), (noise[:, 1:], noise[:, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.006


@pytest.mark.parametrize("name", golden.operations_of(noises))
def test_the_recorded_pixels(name: str) -> None:
    golden.check_operation(name)
