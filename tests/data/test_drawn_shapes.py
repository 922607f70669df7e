"""Shapes and textures of drawings: by hand at single points, and as recorded."""

import golden
import numpy as np
import pytest

from hifacegan_lib.data import drawn_shapes
from hifacegan_lib.data.drawn_shapes import Canvas


def canvas(side: int = 20) -> Canvas:
    return Canvas(np.random.default_rng(0), side)


def test_pixels_lie_evenly_between_minus_1_and_1() -> None:
    c = canvas(4)
    np.testing.assert_allclose(c.x[0], [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(c.y[:, 0], [-0.75, -0.25, 0.25, 0.75])
    assert c.pixel == 0.5


@pytest.mark.parametrize(("cells", "stretch", "octaves", "gain"), [(3, 1, 1, 0.6), (7, 2, 3, 0.8), (60, 5, 2, 1.0)])
def test_the_recorded_noise(cells: int, stretch: float, octaves: int, gain: float) -> None:
    golden.check(f"data: noise {cells}, {stretch}, {octaves}", canvas(24).noise(cells, stretch, octaves, gain))


def test_noise_has_unit_variance_before_it_is_smoothed() -> None:
    assert canvas(128).noise(128).std() == pytest.approx(1, abs=0.03)


def test_an_edge_is_one_and_a_half_pixels_wide_or_softer() -> None:
    c = canvas(20)  # a pixel is 0.1
    distance = np.array([-0.15, -0.075, 0.0, 0.075, 0.15], np.float32)
    np.testing.assert_allclose(c.inside(distance), [1, 1, 0.5, 0, 0], atol=1e-6)
    np.testing.assert_allclose(c.inside(distance, 0.3), [1, 0.75, 0.5, 0.25, 0], atol=1e-6)


def test_a_disc_by_its_equation() -> None:
    c = canvas()
    found = c.disc(0.2, -0.1, 0.5, 0.3, 0.2)
    away = np.sqrt(((c.x - 0.2) / 0.5) ** 2 + ((c.y + 0.1) / 0.3) ** 2)
    np.testing.assert_allclose(found, np.clip(0.5 - (away - 1) * 0.3 / 0.2, 0, 1), atol=1e-5)


def test_a_bump_by_its_equation() -> None:
    c = canvas()
    expected = np.exp(-(((c.x - 0.2) / 0.5) ** 2 + ((c.y + 0.1) / 0.3) ** 2))
    np.testing.assert_allclose(c.bump(0.2, -0.1, 0.5, 0.3), expected, atol=1e-6)


def test_a_window_surrounds_its_point_and_ends_at_the_border() -> None:
    c = canvas()  # the pixel of 0.05 is number 10, that of -0.95 number 0
    assert c.window(0.05, -0.95, 0.3) == (slice(0, 3), slice(7, 13))
    assert c.window(0.96, 0.05, 0.52) == (slice(5, 15), slice(14, 24))


def test_blends_by_hand() -> None:
    base = np.full((1, 2, 3), 0.4, np.float32)
    np.testing.assert_allclose(drawn_shapes.mix(base, [1, 0, 0.4], [[0.5, 0]])[0], [[0.7, 0.2, 0.4], [0.4] * 3])
    np.testing.assert_allclose(drawn_shapes.darken(base, 0.5, [[1, 0.5]])[0], [[0.2] * 3, [0.3] * 3], atol=1e-7)


def test_colours_between_stops_are_straight_lines() -> None:
    stops = np.array([[0.0, 1, 2], [1, 1, 0], [5, 3, 0]])
    for where, expected in ((0, [0, 1, 2]), (0.5, [0.5, 1, 1]), (1.25, [2, 1.5, 0]), (2, [5, 3, 0])):
        np.testing.assert_allclose(drawn_shapes.between(stops, where), expected)
    five = np.arange(15.0).reshape(5, 3)
    np.testing.assert_allclose(drawn_shapes.between(five, 4), [12, 13, 14])
    np.testing.assert_allclose(drawn_shapes.between(five, 3.5), [10.5, 11.5, 12.5])


def test_the_recorded_muted_colours() -> None:
    golden.check("data: muted colours", drawn_shapes.muted(np.random.default_rng(0), 50))
