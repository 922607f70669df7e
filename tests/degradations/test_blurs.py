"""Each blur's measured point spread is the one that was asked for; each agrees with SciPy where SciPy has it."""

from collections.abc import Callable

import golden
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data

from hifacegan_lib.degradations import blurs
from hifacegan_lib.utils.images import Pixels, resize

Values = NDArray[np.float64]
Blur = Callable[..., Pixels]
HALF = 130  # of the pictures of an edge, pixels
Y, X = np.mgrid[-HALF : HALF + 1, -HALF : HALF + 1]  # y down


@pytest.fixture(scope="module")
def face() -> Pixels:
    return resize(data.astronaut()[0:256, 96:352], 128, 128)


def mean_difference(a: Pixels, b: Pixels | Values) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def edge(blur: Blur, a: int, b: int, **numbers: float) -> Values:
    """What a step from 0 to 1 where a x + b y > 0 becomes, at a x + b y = -HALF ... HALF.

    Its differences are the point spread summed along the edge, in thousands of parts where a single point has few.
    """
    step = np.repeat(np.where(a * X + b * Y > 0, 255, 0).astype(np.uint8)[..., None], 3, 2)
    blurred = blur(step, **numbers)[..., 0] / 255
    return blurred[HALF] if a else blurred[:, HALF]


def variance(profile: Values) -> float:
    weights = np.diff(profile)
    place = np.arange(len(weights)) - np.average(np.arange(len(weights)), weights=weights)
    return float(np.average(place**2, weights=weights))


def measured(blur: Blur, **numbers: float) -> Values:
    """Covariance of the point spread, (x, y up), pixels squared; the pixels' own 1/12 is taken off."""
    along_x, along_y, along_both = (variance(edge(blur, *way, **numbers)) for way in ((1, 0), (0, 1), (1, -1)))
    cross = (along_both - along_x - along_y) / 2
    return np.array([[along_x, cross], [cross, along_y]]) - np.eye(2) / 12


def asked(formula: Callable[[Values], Values], sigma: float, across: float, angle: float, radius: float) -> Values:
    """The same of formula(r^2) over a square, by plain summation."""
    place = (np.arange(1001) / 1000 - 0.5) * (2 * radius + 1)
    x, y = np.meshgrid(place, place)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    weights = formula(((x * cos + y * sin) / sigma) ** 2 + ((y * cos - x * sin) / across) ** 2).ravel()
    return np.cov(np.stack([x.ravel(), y.ravel()]), aweights=weights)


def gaussian(r2: Values) -> Values:
    return np.exp(-r2 / 2)


def generalized(beta: float) -> Callable[[Values], Values]:
    return lambda r2: np.exp(-(r2**beta) / 2)


def plateau(beta: float) -> Callable[[Values], Values]:
    return lambda r2: 1 / (1 + r2**beta)


@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.5, 6.0, 15.0])
def test_gaussian_blur_has_its_deviation_each_way(sigma: float) -> None:
    expected = asked(gaussian, sigma, sigma, 0, np.ceil(3 * sigma))
    np.testing.assert_allclose(measured(blurs.gaussian_blur, sigma=sigma), expected, atol=0.02 * sigma**2 + 0.02)
    assert expected[0, 0] ** 0.5 == pytest.approx(sigma, rel=0.03)


def test_a_kernel_cut_off_at_its_size_spreads_less() -> None:
    """41 pixels leave 10.4 of a deviation of 15: what CodeFormer's kernels do."""
    cut = measured(blurs.gaussian_blur, sigma=15, size=41)
    np.testing.assert_allclose(cut, asked(gaussian, 15, 15, 0, 20), atol=1.5)
    assert cut[0, 0] ** 0.5 == pytest.approx(10.4, abs=0.2)
    assert np.flatnonzero(np.diff(edge(blurs.gaussian_blur, 1, 0, sigma=15, size=41))).size == 41


@pytest.mark.parametrize("angle", [0, 30, 45, 90, 135, 250])
def test_anisotropic_blur_has_two_deviations_and_its_angle(angle: float) -> None:
    found = measured(blurs.anisotropic_blur, sigma=6, across=2, angle=angle)
    np.testing.assert_allclose(found, asked(gaussian, 6, 2, angle, 18), atol=0.7)
    spreads, axes = np.linalg.eigh(found)
    np.testing.assert_allclose(spreads**0.5, [2, 6], rtol=0.05)
    assert abs(axes[:, 1] @ [np.cos(np.radians(angle)), np.sin(np.radians(angle))]) > 0.999


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize(("blur", "formula"), [("generalized_blur", generalized), ("plateau_blur", plateau)])
def test_a_beta_makes_its_shape(blur: str, formula: Callable[..., Callable[[Values], Values]], beta: float) -> None:
    function = getattr(blurs, blur)
    for numbers, radius in (({"sigma": 4, "size": 31}, 15), ({"sigma": 5, "across": 2, "angle": 40, "size": 25}, 12)):
        shape = asked(formula(beta), numbers["sigma"], numbers.get("across", 4), numbers.get("angle", 0), radius)
        found = measured(function, beta=beta, **numbers)
        np.testing.assert_allclose(found, shape, atol=0.03 * shape.max() + 0.02)
    place = (np.arange(1001) / 1000 - 0.5) * 31
    x, y = np.meshgrid(place, place)
    line = formula(beta)((x**2 + y**2) / 16).sum(0)  # summed along the edge
    expected = np.interp(np.arange(-HALF, HALF + 1) - 0.5, place, np.cumsum(line) / line.sum())
    np.testing.assert_allclose(edge(function, 1, 0, sigma=4, beta=beta, size=31), expected, atol=0.006)


def test_beta_one_is_the_gaussian(face: Pixels) -> None:
    once = blurs.generalized_blur(face, 3, 1)
    assert mean_difference(once, blurs.gaussian_blur(face, 3)) < 0.1
    assert mean_difference(once, blurs.anisotropic_blur(face, 3, 3, 77)) < 0.1


@pytest.mark.parametrize("sigma", [1.0, 2.5, 6.0])
def test_gaussian_blur_matches_scipy(sigma: float, face: Pixels) -> None:
    expected = ndimage.gaussian_filter(face.astype(float), (sigma, sigma, 0), mode="mirror")
    assert mean_difference(blurs.gaussian_blur(face, sigma), expected) < 0.6


def test_gaussian_blurs_add_up_in_variance(face: Pixels) -> None:
    twice = blurs.gaussian_blur(blurs.gaussian_blur(face, 3), 4)
    assert mean_difference(twice, blurs.gaussian_blur(face, 5)) < 0.5


@pytest.mark.parametrize(
    ("blur", "numbers"),
    [
        ("gaussian_blur", {"sigma": 0}),
        ("gaussian_blur", {"sigma": 1e-6}),
        ("anisotropic_blur", {"sigma": 0, "across": 0, "angle": 9}),
        ("generalized_blur", {"sigma": 0, "beta": 2}),
        ("plateau_blur", {"sigma": 1e-3, "beta": 8}),
        ("motion_blur", {"length": 1, "angle": 40}),
        ("median_blur", {"size": 1}),
        ("sinc", {"wavelength": 2}),
    ],
)
def test_a_blur_of_nothing_changes_nothing(blur: str, numbers: dict[str, float], face: Pixels) -> None:
    np.testing.assert_array_equal(getattr(blurs, blur)(face, **numbers), face)


@pytest.mark.parametrize(("length", "angle"), [(5, 0), (9, 90), (20, 30), (33.5, 135), (12, 200)])
def test_motion_blur_is_a_line_of_its_length_at_its_angle(length: float, angle: float) -> None:
    found = measured(blurs.motion_blur, length=length, angle=angle) + np.eye(2) / 12
    way = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])  # y up
    assert way @ found @ way == pytest.approx(length**2 / 12, rel=0.04, abs=0.1)
    assert way[::-1] * [1, -1] @ found @ (way[::-1] * [1, -1]) < 0.2


def test_motion_blur_is_the_mean_along_its_line(face: Pixels) -> None:
    expected = ndimage.uniform_filter1d(face.astype(float), 5, axis=1, mode="mirror")
    assert np.abs(blurs.motion_blur(face, 5, 0) - expected).max() <= 1
    assert mean_difference(blurs.motion_blur(face, 9, 30), blurs.motion_blur(face, 9, 210)) < 0.1


@pytest.mark.parametrize("wavelength", [3.0, 5.0, 9.0])
def test_sinc_takes_what_is_shorter_than_its_wavelength(wavelength: float) -> None:
    """Seen in the Fourier transform of noise: half of the amplitude is left at the wavelength, whatever its angle."""
    noise = np.repeat(np.random.default_rng(0).integers(78, 178, (256, 256, 1), np.uint8), 3, 2)
    before, after = (np.fft.fft2(x[..., 0] - 128.0) for x in (noise, blurs.sinc(noise, wavelength, size=101)))
    y, x = np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256), indexing="ij")
    relative = np.hypot(x, y) * wavelength  # frequency in units of the cut-off

    def gain(low: float, high: float, where: NDArray[np.bool_]) -> float:
        chosen = where & (relative > low) & (relative < high)
        return float((after[chosen] * before[chosen].conj()).real.sum() / (np.abs(before[chosen]) ** 2).sum())

    upright = np.abs(np.abs(x) - np.abs(y)) > 0.5 * np.maximum(np.abs(x), np.abs(y))
    for where in (upright, ~upright):
        assert gain(0.1, 0.8, where) == pytest.approx(1, abs=0.04)
        assert gain(0.97, 1.03, where) == pytest.approx(0.5, abs=0.12)
        assert abs(gain(1.2, 3, where)) < 0.04


def test_sinc_rings() -> None:
    profile = edge(blurs.sinc, 1, 0, wavelength=6, size=21)
    assert blurs.sinc(np.repeat(np.where(X > 0, 200, 50).astype(np.uint8)[..., None], 3, 2), 6).max() > 205
    assert profile.max() == 1  # and what is beyond white stays white


@pytest.mark.parametrize("size", [3, 5])
def test_a_small_median_matches_scipy(size: int, face: Pixels) -> None:
    expected = ndimage.median_filter(face, (size, size, 1), mode="nearest")
    np.testing.assert_array_equal(blurs.median_blur(face, size), expected)


@pytest.mark.parametrize(("size", "strength"), [(7, 0.91), (9, 0.99), (11, 0.95), (13, 0.95), (15, 1.01), (25, 1.02)])
def test_a_large_median_is_nearly_scipys(size: int, strength: float, face: Pixels) -> None:
    """A median of medians; it takes away about as much as the exact one."""
    expected = ndimage.median_filter(face, (size, size, 1), mode="nearest")
    damage, found = mean_difference(face, expected), blurs.median_blur(face, size)
    assert mean_difference(found, face) == pytest.approx(strength * damage, rel=0.03)
    assert mean_difference(found, expected) < 0.2 * damage


def test_median_blur_grows_evenly_between_odd_sizes(face: Pixels) -> None:
    steps = [mean_difference(face, blurs.median_blur(face, size)) for size in (1, 1.5, 2, 2.5, 3, 4, 5, 9, 15, 25)]
    assert steps[0] == 0
    assert steps == sorted(steps)


def test_a_median_keeps_an_edge_and_drops_a_speck() -> None:
    image = np.repeat(np.where(X > 0, 200, 50).astype(np.uint8)[..., None], 3, 2)
    specked = image.copy()
    specked[40:43, 40:43] = 255
    for size in (7, 15, 25):
        np.testing.assert_array_equal(blurs.median_blur(specked, size)[30:-30, 30:-30], image[30:-30, 30:-30])


@pytest.mark.parametrize("name", golden.operations_of(blurs))
def test_the_recorded_pixels(name: str) -> None:
    golden.check_operation(name)


@pytest.mark.parametrize("size", [size for size in blurs.WINDOWS if size > 5])
def test_the_recorded_medians_of_every_window(size: int) -> None:
    golden.check(f"degradations: median, {size}", blurs.median_blur(golden.picture(90, 83), size))


def test_a_kernel_is_sampled_at_most_1024_times_along_a_side() -> None:
    """Four samples for each pixel's share of the smaller deviation; fewer for a kernel that is long."""
    seen: list[tuple[int, ...]] = []
    for sigma, across, radius in ((2, 0.5, 6), (60, 0.5, 180), (150, 0.5, 600)):
        blurs._kernel(lambda r2: seen.append(r2.shape) or np.exp(-r2 / 2), sigma, across, 30, radius)
    assert seen == [(13 * 8,) * 2, (361 * 2,) * 2, (1201,) * 2]


def test_a_halo_is_a_blur_s_remainder_and_overshoots_at_an_edge() -> None:
    edge = np.full((32, 32, 3), 100, np.uint8)
    edge[:, 16:] = 150
    found = blurs.halo(edge, 1, 2)
    expected = np.clip(2.0 * edge - blurs.gaussian_blur(edge, 2), 0, 255)
    assert np.abs(found - expected).max() <= 0.5
    assert found[16, 15, 0] < 95 and found[16, 16, 0] > 155 and (found[:, :4] == 100).all()
    np.testing.assert_array_equal(blurs.halo(edge, 0, 2), edge)
