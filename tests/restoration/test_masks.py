"""The mask of a face: inside the frame, off what the network does not know, divided where faces overlap, no seam."""

import cv2
import numpy as np
import pytest

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.restoration.alignment import Alignment, cut
from hifacegan_lib.restoration.blending.masks import face_mask, frame_mask, shares, trust
from hifacegan_lib.restoration.blending.pasting import change, paste
from hifacegan_lib.restoration.pretrained import load_model

SIZE = 128
BARS = {"dark": (25, 25, 30), "light": (240, 240, 235), "red": (200, 40, 40)}


def place(side: float, middle: complex, degrees: float = 0) -> Alignment:
    """A frame of ``side`` pixels around a point of a photograph, turned by ``degrees``."""
    turn = np.exp(-1j * np.deg2rad(degrees)) / side
    return Alignment(complex(turn), 0.5 + 0.5j - complex(turn) * middle)


def with_bar(face: np.ndarray, color: tuple[int, ...], share: float = 0.06) -> tuple[np.ndarray, np.ndarray]:
    """A bar across the mouth, as wide as ``share`` of the side, and where it lies, H x W."""
    side = len(face)
    cover = np.zeros((side, side), np.uint8)
    cv2.line(cover, (side // 8, side * 3 // 4), (side * 7 // 8, side * 5 // 8), 255, round(share * side), cv2.LINE_AA)
    mixed = face + (np.array(color) - face) * (cover[..., None] / 255)
    return np.rint(mixed).astype(np.uint8), cover > 127


def test_the_frame_is_one_inside_nothing_at_the_border_and_smooth() -> None:
    found = frame_mask(SIZE)
    assert found.max() == 1 and found[SIZE // 2, SIZE // 2] == 1
    border = np.concatenate([found[:3].ravel(), found[-3:].ravel(), found[:, :3].ravel(), found[:, -3:].ravel()])
    assert not border.any()
    assert np.array_equal(found, found.T) and np.array_equal(found, found[::-1])
    assert np.abs(np.diff(found, axis=0)).max() < 0.12


def test_no_change_a_cast_and_noise_are_trusted() -> None:
    rng = np.random.default_rng(0)
    for found in (np.zeros(3), np.array([60, -20, 5]), rng.normal(0, 15, (SIZE, SIZE, 3))):
        assert trust(np.broadcast_to(found, (SIZE, SIZE, 3)).astype(np.float32)).min() == 1


@pytest.mark.parametrize("color", BARS)
def test_a_face_drawn_over_a_bar_does_not_replace_it(color: str) -> None:
    """The answer is the face without the bar, as a network that invents draws it; the bar stays, the face improves."""
    for seed in range(4):
        clean = portrait(seed, 256)
        damaged = load_recipe("face_renov").sample(seed, 256).apply(clean)
        given, bar = with_bar(damaged, BARS[color])
        all_of_it, added = (change(given, clean, mask) for mask in (frame_mask(256), face_mask(given, clean)))
        under = bar & (frame_mask(256) == 1)
        assert np.abs(added[under]).mean() < 0.08 * np.abs(all_of_it[under]).mean()
        far = cv2.dilate(bar.astype(np.uint8), np.ones((41, 41))) == 0
        assert np.abs(added[far]).mean() > 0.9 * np.abs(all_of_it[far]).mean()


@pytest.mark.parametrize("color", BARS)
def test_the_shipped_network_does_not_smear_a_bar(color: str) -> None:
    model = load_model("compact-256")
    given, bars = zip(
        *(with_bar(load_recipe("face_renov").sample(n, 256).apply(portrait(n, 256)), BARS[color]) for n in range(4)),
        strict=True,
    )
    for before, after, bar in zip(given, model.restore(given), bars, strict=True):
        inner = cv2.erode(bar.astype(np.uint8), np.ones((5, 5))) > 0
        assert np.abs(change(before, after)[inner]).mean() < 10  # grey levels; the bar differs by about 100


def test_a_face_with_nothing_in_front_keeps_its_whole_mask() -> None:
    model = load_model("compact-256")
    given = [load_recipe("face_renov").sample(n, 256).apply(portrait(n, 256)) for n in range(6)]
    for before, after in zip(given, model.restore(given), strict=True):
        assert face_mask(before, after).sum() > 0.99 * frame_mask(256).sum()


def test_shares_of_overlapping_frames_sum_to_one_and_each_face_keeps_its_middle() -> None:
    left, right, far = place(100, 100 + 100j, 10), place(120, 150 + 110j, -20), place(60, 500 + 400j)
    first, second, third = shares([left, right, far], SIZE)
    assert third is None and first is not None and second is not None
    assert first[SIZE // 2, SIZE // 2] > 0.9 and second[SIZE // 2, SIZE // 2] > 0.9
    sums = np.zeros((300, 300))
    for alignment, share in ((left, first), (right, second)):
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        sums += cv2.warpAffine(share * frame_mask(SIZE), alignment.matrix(SIZE), (300, 300), flags=flags)
    assert sums.max() < 1.02
    between = sums[100:110, 100:150]
    assert between.min() > 0.98


def test_what_two_frames_share_is_changed_once() -> None:
    photo = np.full((300, 300, 3), 200, np.uint8)
    places = [place(100, 100 + 100j), place(100, 150 + 100j)]
    for alignment, share in zip(places, shares(places, SIZE), strict=True):
        seen = cut(np.full_like(photo, 200), alignment, SIZE)
        drawn = (seen - 40).astype(np.uint8)
        mask = face_mask(seen, drawn, share)
        paste(photo, alignment, np.float32(-40) * cv2.merge([mask] * 3))
    assert 158 <= photo.min() <= 161
    assert np.abs(photo[85:115, 80:170].astype(int) - 160).max() <= 2


def test_no_seam_shows_on_twenty_drawn_scenes() -> None:
    """The band inside the mask's border, 6 % of the frame wide, is on average less than a grey level off."""
    model, rng = load_model("compact-256"), np.random.default_rng(0)
    scenes, alignment = [], place(250, 150 + 150j, 7)
    for seed in range(20):
        noisy = portrait(seed, 300) + rng.normal(0, 12, (300, 300, 3))
        scenes.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    seen = [cut(scene, alignment, 256) for scene in scenes]
    flags, steps = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, []
    mask = cv2.warpAffine(frame_mask(256), alignment.matrix(256), (300, 300), flags=flags)
    inside = (mask > 0).astype(np.uint8)
    band = (inside > 0) & (cv2.erode(inside, np.ones((3, 3)), iterations=15) == 0)
    for scene, before, after in zip(scenes, seen, model.restore(seen), strict=True):
        photo = scene.copy()
        paste(photo, alignment, change(before, after), 1.0)
        assert np.array_equal(photo[mask == 0], scene[mask == 0])
        steps.append(np.abs((photo.astype(float) - scene)[band].mean(0)).max())
    assert np.mean(steps) < 1 and max(steps) < 1.5
