import golden
import numpy as np
import pytest

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.utils import images


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(((a / 255.0 - b / 255.0) ** 2).mean() + 1e-12))


@pytest.mark.parametrize("size", [16, 33, 64, 200])
def test_a_portrait_is_a_square_of_any_size(size: int) -> None:
    face = portrait(3, size)
    assert face.shape == (size, size, 3)
    assert face.dtype == np.uint8


def test_the_same_seed_is_the_same_portrait() -> None:
    assert np.array_equal(portrait(5, 64), portrait(5, 64))


@pytest.mark.parametrize("seed", range(6))
def test_the_same_seed_is_the_same_person_at_any_size(seed: int) -> None:
    assert psnr(images.resize(portrait(seed, 256), 128, 128), portrait(seed, 128)) > 30


def test_other_seeds_are_other_people() -> None:
    faces = [portrait(seed, 64) for seed in range(12)]
    assert max(psnr(a, b) for i, a in enumerate(faces) for b in faces[:i]) < 22


def test_portraits_are_as_bright_and_as_varied_as_photographs() -> None:
    faces = np.stack([portrait(seed, 64) for seed in range(40)])
    assert 70 < faces.mean() < 150
    assert 35 < faces.std(axis=(1, 2, 3)).mean() < 75
    assert faces.mean(axis=(1, 2, 3)).std() > 12


def test_there_is_fine_texture_to_restore() -> None:
    """Shrinking by four must cost about what it costs a photographed face (29 to 21 dB at 64 pixels), not nothing."""
    losses = []
    for seed in range(20):
        face = portrait(seed, 64)
        losses.append(psnr(images.resize(images.resize(face, 16, 16), 64, 64), face))
    assert 19 < np.mean(losses) < 26


def test_global_random_numbers_are_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002 (the global one is what we watch)
    portrait(1, 32)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="size = 8: expected at least 16"):
        portrait(0, 8)
    with pytest.raises(ValueError, match="seed = -1"):
        portrait(-1, 64)


@pytest.mark.parametrize("seed", range(30))
def test_the_recorded_portraits(seed: int) -> None:
    """As many as it takes to have every hair, background, beard and pair of glasses."""
    golden.check(f"data: portrait {seed}", portrait(seed, 48))


@pytest.mark.parametrize("seed", range(6))
def test_the_recorded_portraits_of_a_large_size(seed: int) -> None:
    golden.check(f"data: portrait {seed} of 200 pixels", portrait(seed, 200))


def test_the_smallest_portrait_and_seed() -> None:
    assert portrait(0, 16).shape == (16, 16, 3)
    with pytest.raises(ValueError, match="size = 15"):
        portrait(0, 15)
