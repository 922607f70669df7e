"""The similarity between a photograph and the training's frame: exact, its own inverse, without aliasing."""

import cv2
import numpy as np
import pytest
from skimage import data

from hifacegan_lib.restoration.alignment import TEMPLATE, Alignment, cut, reach


def turned(points: np.ndarray, degrees: float, scale: float, move: tuple[float, float]) -> np.ndarray:
    z = points @ (1, 1j) * scale * np.exp(1j * np.deg2rad(degrees)) + complex(*move)
    return np.stack([z.real, z.imag], 1)


@pytest.mark.parametrize("degrees", [0, 30, -75, 170])
@pytest.mark.parametrize("scale", [16, 256, 3000])
def test_landmarks_of_a_turned_and_scaled_face_are_found_again(degrees: float, scale: float) -> None:
    found = Alignment.of_points(turned(TEMPLATE, degrees, scale, (40, -7)))
    assert found.side == pytest.approx(scale)
    assert found.degrees == pytest.approx(degrees)
    np.testing.assert_allclose(found.corners[0], (40, -7), atol=1e-6 * scale)


def test_noise_on_the_landmarks_is_shared_out() -> None:
    """As OpenCV's least squares over the same points."""
    rng = np.random.default_rng(0)
    points = turned(TEMPLATE, 20, 100, (5, 9)) + rng.normal(0, 2, TEMPLATE.shape)
    ones = np.zeros((10, 4))  # unknowns: a, b of the turn, x, y of the move
    for n, (x, y) in enumerate(points):
        ones[2 * n], ones[2 * n + 1] = (x, -y, 1, 0), (y, x, 0, 1)
    a, b, x, y = np.linalg.lstsq(ones, TEMPLATE.ravel(), rcond=None)[0]
    found = Alignment.of_points(points)
    assert (found.turn, found.move) == (pytest.approx(complex(a, b)), pytest.approx(complex(x, y)))


def test_a_frame_that_is_the_picture_is_the_picture() -> None:
    face = data.astronaut()[:256, 100:356]
    assert np.array_equal(cut(face, Alignment.of_points(TEMPLATE * 256), 256), face)


@pytest.mark.parametrize("side", [64, 500, 1000])
def test_a_cut_is_what_a_resized_square_is(side: int) -> None:
    photo = cv2.resize(data.astronaut(), (2 * side, 2 * side), interpolation=cv2.INTER_AREA)
    alignment = Alignment.of_points(TEMPLATE * side + (side / 2, side / 4))
    square = photo[side // 4 :][:side, side // 2 :][:, :side]
    kind = cv2.INTER_AREA if side > 256 else cv2.INTER_CUBIC
    error = cut(photo, alignment, 256).astype(float) - cv2.resize(square, (256, 256), interpolation=kind)
    assert np.abs(error[8:-8, 8:-8]).mean() < 1.0


def test_a_large_face_does_not_alias() -> None:
    stripes = np.repeat(np.tile(np.array([0, 255], np.uint8), 1024)[None], 2048, 0)
    found = cut(np.repeat(stripes[..., None], 3, 2), Alignment.of_points(TEMPLATE * 2048), 100)
    assert found.std() < 8  # each pixel covers 20.48 stripes; picked ones would have 127
    assert found.mean() == pytest.approx(127.5, abs=1)


def test_what_lies_outside_is_the_border_repeated() -> None:
    photo = np.full((50, 50, 3), 90, np.uint8)
    found = cut(photo, Alignment.of_points(TEMPLATE * 100 - 30), 64)
    assert (found == 90).all()
    with pytest.raises(ValueError, match="lies outside of 50 x 50 pixels"):
        reach((50, 50), Alignment.of_points(TEMPLATE * 20 + 500))


def test_an_enlarged_photograph_has_the_same_frame() -> None:
    alignment = Alignment.of_points(turned(TEMPLATE, 25, 60, (30, 20)))
    np.testing.assert_allclose(alignment.scaled(4).corners, 4 * alignment.corners)


def test_a_box_stands_where_the_cascade_draws_it() -> None:
    found = Alignment.of_box(100, 50, 110, 110)
    assert found.side == pytest.approx(160)
    assert found.degrees == 0
    np.testing.assert_allclose(found.corners.mean(0), (155, 105 - 0.051 * 160))


@pytest.mark.parametrize("points", [TEMPLATE[:4], np.full((5, 2), 3.0), TEMPLATE * np.nan])
def test_points_that_are_no_face_are_refused(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="five"):
        Alignment.of_points(points)
