"""Colour and light: the identities, the sums by hand, where the light falls."""

import cv2
import golden
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from hifacegan_lib.degradations import colour
from hifacegan_lib.utils.images import Pixels, resize

LUMA = np.array([0.299, 0.587, 0.114])
QUICK = settings(max_examples=25, deadline=None, derandomize=True, database=None)


@pytest.fixture(scope="module")
def face() -> Pixels:
    return resize(data.astronaut()[0:256, 96:352], 96, 96)


def rounded(values: np.ndarray) -> np.ndarray:
    return values.clip(0, 255).round()


def test_neutral_numbers_change_nothing(face: Pixels) -> None:
    for same in (colour.colour_jitter(face), colour.colour_shift(face, 0, 0, 0), colour.grey(face, 0)):
        np.testing.assert_array_equal(same, face)
    for same in (colour.haze(face, 0, seed=1), colour.uneven_light(face, 0, 40)):
        np.testing.assert_array_equal(same, face)
    assert np.abs(colour.colour_jitter(face, hue=0.5).astype(int) - colour.colour_jitter(face, hue=-0.5)).max() <= 1


@QUICK
@given(brightness=st.floats(0, 2), contrast=st.floats(0, 2), saturation=st.floats(0, 2))
def test_colour_jitter_is_what_its_words_say(brightness: float, contrast: float, saturation: float) -> None:
    """No value wraps: what is too light is white, what is too dark is black."""
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    bright = image * brightness
    luma = bright @ LUMA
    coloured = luma[..., None] + saturation * (bright - luma[..., None])
    expected = rounded(luma.mean() + contrast * (coloured - luma.mean()))
    assert np.abs(colour.colour_jitter(image, brightness, contrast, saturation) - expected).max() <= 1


def test_hue_turns_the_colours_and_keeps_the_luma(face: Pixels) -> None:
    pale = 110 + face // 8
    turned = colour.colour_jitter(pale, hue=0.2)
    assert np.abs(turned @ LUMA - pale @ LUMA).max() < 1.5
    back = colour.colour_jitter(turned, hue=-0.2)
    assert np.abs(back.astype(int) - pale).max() <= 3
    red = np.full((4, 4, 3), (160, 100, 100), np.uint8)
    thirds = [colour.colour_jitter(red, hue=turn)[0, 0].argmax() for turn in (0, 1 / 3, -1 / 3)]
    assert sorted(thirds) == [0, 1, 2]


@QUICK
@given(shift=st.tuples(*[st.floats(-255, 255)] * 3))
def test_a_shift_adds_to_each_channel_and_never_wraps(shift: tuple[float, float, float]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    assert np.abs(colour.colour_shift(image, *shift) - rounded(image + np.array(shift))).max() <= 1


def test_grey_is_opencvs_and_half_grey_half_the_way(face: Pixels) -> None:
    whole = colour.grey(face)
    assert np.ptp(whole, axis=2).max() == 0
    assert np.abs(whole[..., 0].astype(int) - cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)).max() <= 1
    assert np.abs(colour.grey(face, 0.5) - (face * 0.5 + whole * 0.5)).max() <= 1.5


@pytest.mark.parametrize("amount", [0.2, 0.6, 1.0])
def test_haze_brings_every_pixel_nearer_to_its_light(amount: float, face: Pixels) -> None:
    hazy, light_of = colour.haze(face, amount, seed=3, light=200).astype(float), 200
    gone = (np.abs(face - 200.0) - np.abs(hazy - light_of))[np.abs(face - 200.0) > 30]
    share = gone / np.abs(face - 200.0)[np.abs(face - 200.0) > 30]
    assert 0.6 * amount - 0.04 <= share.min()
    assert share.max() <= amount + 0.04
    assert np.ptp(share) > 0.1 * amount  # it is no even veil
    assert colour.haze(face, amount, seed=3).mean() > face.mean()


def test_haze_is_smooth_and_the_same_at_any_size() -> None:
    small, large = (colour.haze(np.zeros((side, side, 3), np.uint8), 0.5, seed=5) for side in (64, 256))
    assert np.abs(np.diff(large.astype(int), axis=0)).max() <= 3
    assert np.abs(resize(large, 64, 64).astype(int) - small).max() <= 2


@pytest.mark.parametrize(("angle", "lit", "dark"), [(45, (0, -1), (-1, 0)), (225, (-1, 0), (0, -1))])
def test_light_falls_off_from_where_it_comes(angle: float, lit: tuple[int, int], dark: tuple[int, int]) -> None:
    white = np.full((101, 101, 3), 255, np.uint8)
    uneven = colour.uneven_light(white, 0.75, angle)[..., 0].astype(int)
    assert uneven[lit] == uneven.max() == 255
    assert uneven[dark] == uneven.min()
    assert (uneven.min() / 255) ** 2.2 == pytest.approx(0.25, abs=0.01)  # of the light


@pytest.mark.parametrize(("angle", "axis", "sign"), [(0, 1, 1), (90, 0, -1), (180, 1, -1), (270, 0, 1)])
def test_light_is_even_across_its_way(angle: float, axis: int, sign: int) -> None:
    uneven = colour.uneven_light(np.full((60, 80, 3), 200, np.uint8), 0.6, angle).astype(int)
    assert (sign * np.diff(uneven, axis=axis)).min() >= 0
    assert np.ptp(uneven, axis=1 - axis).max() <= 1
    assert np.ptp(uneven) > 30


def test_light_is_the_same_at_any_size() -> None:
    small, large = (colour.uneven_light(np.full((side, side, 3), 200, np.uint8), 0.6, 30) for side in (32, 256))
    assert np.abs(resize(large, 32, 32).astype(int) - small).max() <= 1


@pytest.mark.parametrize("name", golden.operations_of(colour))
def test_the_recorded_pixels(name: str) -> None:
    golden.check_operation(name)
