"""Paste-back: outside of the mask no pixel changes, inside the change arrives, and no seam shows."""

import numpy as np
import pytest
from skimage import data

from hifacegan_lib.restoration.alignment import TEMPLATE, Alignment, cut
from hifacegan_lib.restoration.blending.masks import OUTER, frame_mask
from hifacegan_lib.restoration.blending.pasting import change, paste, warped_back

SIZE = 128


def place(side: float = 120, degrees: float = 20, move: tuple[float, float] = (150, 60)) -> Alignment:
    z = TEMPLATE @ (1, 1j) * side * np.exp(1j * np.deg2rad(degrees)) + complex(*move)
    return Alignment.of_points(np.stack([z.real, z.imag], 1))


def middle(alignment: Alignment) -> list[int]:
    """Row and column of the frame's middle in the photograph."""
    point = (0.5 + 0.5j - alignment.move) / alignment.turn
    return [int(point.imag), int(point.real)]


@pytest.mark.parametrize("side", [20, 120, 400])
@pytest.mark.parametrize("deep", [False, True])
def test_outside_of_the_mask_no_pixel_changes(side: float, deep: bool) -> None:
    """Golden: photograph and answer are noise, and what is not under the mask is there to the bit."""
    rng = np.random.default_rng(0)
    alignment = place(side, 20, (150, 60))
    photo = rng.integers(0, 65536 if deep else 256, (512, 512, 3), np.uint16 if deep else np.uint8)
    before = photo.copy()
    seen = cut((photo // 257).astype(np.uint8) if deep else photo, alignment, SIZE)
    paste(photo, alignment, change(seen, rng.integers(0, 256, seen.shape, np.uint8)))
    z = (np.arange(512) + 0.5)[None, :] + 1j * (np.arange(512) + 0.5)[:, None]
    frame = alignment.turn * z + alignment.move
    reach = 0.5 - OUTER + max(1.5 / side, 2 / SIZE)  # and what lies across the border, of either grid
    inside = (abs(frame.real - 0.5) < reach) & (abs(frame.imag - 0.5) < reach)
    assert np.array_equal(photo[~inside], before[~inside])
    middle = (abs(frame.real - 0.5) < 0.3) & (abs(frame.imag - 0.5) < 0.3)
    assert (photo[middle] != before[middle]).mean() > 0.8


def test_a_network_that_changes_nothing_leaves_every_pixel() -> None:
    photo = data.astronaut()
    before, seen = photo.copy(), cut(photo, place(), SIZE)
    paste(photo, place(), change(seen, seen))
    assert np.array_equal(photo, before)


@pytest.mark.parametrize("side", [40, 128, 300])
def test_the_change_arrives(side: float) -> None:
    """A spot that is brighter by 60 in the frame is so in the photograph, whatever the face's size."""
    photo = np.full((512, 512, 3), 100, np.uint8)
    alignment = place(side)
    seen = cut(photo, alignment, SIZE)
    drawn = seen.copy()
    drawn[48:80, 48:80] += 60
    paste(photo, alignment, change(seen, drawn, frame_mask(SIZE)))
    assert photo[tuple(middle(alignment))].tolist() == [160] * 3
    assert abs((photo.astype(float) - 100).sum() / (3 * 60) - (side / 4) ** 2) < 0.1 * (side / 4) ** 2


def test_strength_scales_the_change_and_nothing_is_nothing() -> None:
    photo, alignment = np.full((512, 512, 3), 100, np.uint8), place()
    seen = cut(photo, alignment, SIZE)
    drawn = seen.copy()
    drawn[40:90, 40:90] += 80
    for strength, most in ((0.0, 100), (0.5, 140), (1.0, 180)):
        new = photo.copy()
        paste(new, alignment, change(seen, drawn, frame_mask(SIZE)), strength)
        assert new[tuple(middle(alignment))].max() == most and (new != photo).any() == (strength > 0)


def test_a_colour_cast_of_the_network_leaves_no_seam() -> None:
    """A face that comes back 12 levels too red: along the mask's edge the photograph keeps its colour."""
    photo = data.astronaut()
    alignment = place(200, 0, (130, 20))
    seen = cut(photo, alignment, SIZE)
    drawn = np.clip(seen + np.array([12, 0, 0]), 0, 255).astype(np.uint8)
    edge = frame_mask(SIZE) * (1 - frame_mask(SIZE)) > 0.1
    assert abs(change(seen, drawn)[edge].mean()) < 0.5
    assert (drawn.astype(float) - seen)[edge][:, 0].mean() > 10


def test_sixteen_bits_keep_what_eight_cannot_hold() -> None:
    photo = np.random.default_rng(0).integers(20000, 20257, (300, 400, 3), np.uint16)
    before, alignment = photo.copy(), place(120, 0, (100, 60))
    seen = cut((photo // 257).astype(np.uint8), alignment, SIZE)
    drawn = seen.copy()
    drawn[48:80, 48:80] += 10
    paste(photo, alignment, change(seen, drawn))
    x, y = 160, 120
    assert photo[y, x].astype(int) - before[y, x] == pytest.approx(2570, abs=2)


def test_a_small_face_gets_the_average_not_every_third_pixel() -> None:
    alignment = place(32, 0, (100, 60))
    stripes = np.zeros((SIZE, SIZE, 3), np.float32)
    stripes[:, ::2] = 100
    found = warped_back(stripes, alignment, (90, 50, 150, 110), 4)
    assert found[20:30, 20:30].mean() == pytest.approx(50, abs=1)
    assert found[20:30, 20:30].std() < 3


@pytest.mark.parametrize("strength", [-0.1, 1.5])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="strength"):
        paste(np.zeros((200, 200, 3), np.uint8), place(50), np.zeros((SIZE, SIZE, 3), np.float32), strength)


def test_other_photographs_and_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="8 or 16 bits"):
        paste(np.zeros((200, 200, 3), np.float32), place(50), np.zeros((SIZE, SIZE, 3), np.float32))
    with pytest.raises(ValueError, match="same size"):
        change(np.zeros((8, 8, 3), np.uint8), np.zeros((9, 9, 3), np.uint8))
