"""A large face keeps its own fine detail where it is clean, and loses its noise."""

import numpy as np
import pytest

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.restoration.alignment import Alignment, cut
from hifacegan_lib.restoration.blending import detail
from hifacegan_lib.restoration.blending.pasting import painted
from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.restoration.photos import Model, restore_aligned
from hifacegan_lib.restoration.pretrained import load_model
from hifacegan_lib.utils.images import resize

SIDE = 1024


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Over the face: the middle of a picture, without the feather around it."""
    inner = np.s_[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4]
    return float(-10 * np.log10(np.mean((a[inner].astype(float) - b[inner]) ** 2) / 255**2))


def noisy(face: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, face.shape)
    return np.clip(np.rint(face + noise), 0, 255).astype(np.uint8)


def restored(photo: np.ndarray, model: Model) -> np.ndarray:
    """A photograph that is one aligned face, by the way that whole photographs take."""
    side = len(photo)
    points = side * np.array([[0.374, 0.4755], [0.626, 0.4755], [0.5, 0.6235], [0.391, 0.729], [0.609, 0.729]])
    alignment = Alignment.of_points(points)
    before = cut(photo, alignment, model.size)
    return painted(photo, photo, [(alignment, before, *model.restore([before]))])


@pytest.mark.parametrize("sigma", [0, 3, 10])
def test_the_noise_is_measured(sigma: float) -> None:
    flat = noisy(np.full((256, 256, 3), 120, np.uint8), sigma)
    assert detail.noise_power(flat) ** 0.5 == pytest.approx(sigma, rel=0.1)


def test_an_image_of_one_pixel_has_no_noise() -> None:
    assert detail.noise_power(np.zeros((1, 9, 3), np.uint8)) == 0


def test_clean_detail_is_kept_noise_is_not_and_between_is_wieners_share() -> None:
    finer, stripes = np.full((128, 128, 3), 20, np.float32), np.full((128, 128, 3), 10, np.float32)
    stripes[::2] *= -1  # fine detail of power 100 in the frame
    assert detail.kept_share(finer, 0, stripes, 4, 4).min() == 1
    assert detail.kept_share(finer, 64, stripes, 4, 4).max() == 0
    assert detail.kept_share(finer, 8, stripes, 4, 4) == pytest.approx(1 - 1.5 * 8 * (15 / 16) / 20)
    assert detail.kept_share(finer, 8, stripes, 0, 4).min() == 1  # a network that changed nothing saw no noise
    half, none = (detail.kept_share(finer, 0, stripes, changed, 4) for changed in (17.5, 30))
    assert half == pytest.approx(0.5, abs=0.05) and none.max() == 0


def test_a_face_below_twice_the_frame_has_no_finer_band() -> None:
    photo = np.zeros((300, 300, 3), np.uint8)
    frame, mask = np.zeros((128, 128, 3), np.uint8), np.ones((128, 128), np.float32)
    sides = [detail.removed(photo, Alignment(1 / side, 0j), photo, frame, frame, mask) is None for side in (255, 256)]
    assert sides == [True, False]
    assert detail.kept_detail(photo, photo, Card("any size")) is None


@pytest.mark.parametrize("whole", [True, False])
def test_a_clean_large_face_comes_back_a_damaged_one_as_good_as_at_256(whole: bool) -> None:
    """Golden: 40 dB, and 0.1 dB below the frame's restoration enlarged, on drawn faces of 1,024 pixels."""
    model = load_model("compact-256")
    for seed in range(2):
        clean = portrait(seed, SIDE)
        damage = load_recipe("face_renov").sample(seed, SIDE).apply(clean)
        for given in (clean, noisy(clean, 8), damage):
            large = restored(given, model) if whole else restore_aligned(given, model).image
            (small,) = model.restore([resize(given, 256, 256)])
            if given is clean:
                assert psnr(large, clean) > 40
            else:
                assert psnr(large, clean) > psnr(resize(small, SIDE, SIDE), clean) - 0.1
