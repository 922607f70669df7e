"""Backgrounds, clothes and the camera, as recorded and by hand."""

import golden
import numpy as np
import pytest

from hifacegan_lib.data import drawn_scenery
from hifacegan_lib.data.drawn_shapes import Canvas


@pytest.mark.parametrize("seed", range(8))
def test_the_recorded_background(seed: int) -> None:
    golden.check(f"data: background {seed}", drawn_scenery.background(Canvas(np.random.default_rng(seed), 40)))


@pytest.mark.parametrize("seed", range(4))
def test_the_recorded_neck_and_clothes(seed: int) -> None:
    grey, skin = np.full((40, 40, 3), 0.5, np.float32), np.array([0.8, 0.5, 0.4], np.float32)
    scene = drawn_scenery.neck_and_clothes(Canvas(np.random.default_rng(seed), 40), grey, skin)
    golden.check(f"data: neck and clothes {seed}", scene)


def test_the_camera_by_its_equation() -> None:
    scene = np.random.default_rng(1).uniform(-0.1, 4, (12, 12, 3)).astype(np.float32)
    found, rng = drawn_scenery.camera(scene, np.random.default_rng(5), 12), np.random.default_rng(5)
    warmth, exposure = 0.07 * rng.standard_normal(), rng.uniform(0.75, 1.25)
    light = np.maximum(scene * exposure * np.array([1 + warmth, 1, 1 - warmth]), 0)
    expected = 255 * np.minimum(light / (1 + 0.12 * light), 1) ** (1 / 2.2)
    assert np.abs(found - expected).max() <= 0.501


def test_the_camera_shrinks_in_linear_light() -> None:
    scene = np.zeros((8, 8, 3), np.float32)
    scene[::2] = 0.6
    even = drawn_scenery.camera(np.full((4, 4, 3), 0.3, np.float32), np.random.default_rng(0), 4)
    np.testing.assert_array_equal(drawn_scenery.camera(scene, np.random.default_rng(0), 4), even)
