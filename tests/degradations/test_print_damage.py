"""Scratches and folds: thin, where the seed puts them, at every size the same."""

import golden
import numpy as np
import pytest

from hifacegan_lib.degradations import print_damage
from hifacegan_lib.utils.images import Pixels, resize

GREY = np.full((512, 512, 3), 120, np.uint8)


def touched(image: Pixels, level: int = 120, by: int = 2) -> float:
    return float((np.abs(image.astype(int) - level).max(2) > by).mean())


def test_nothing_drawn_changes_nothing() -> None:
    for same in (
        print_damage.scratches(GREY, 0, 2, 1, seed=1),
        print_damage.scratches(GREY, 9, 2, 0, seed=1),
        print_damage.fold(GREY, 0, 4, seed=1),
    ):
        np.testing.assert_array_equal(same, GREY)


def test_scratches_are_thin_light_or_dark_and_colourless() -> None:
    marked = print_damage.scratches(GREY, 40, 1.5, 0.9, seed=2)
    assert 0.005 < touched(marked) < 0.08
    assert marked.max() > 200
    assert marked.min() < 80
    assert np.ptp(marked, axis=2).max() == 0
    assert (marked > 130).sum() > (marked < 110).sum()  # most of them light


def test_more_wider_and_stronger_scratches_do_more() -> None:
    def change(count: int, width: float, opacity: float) -> float:
        return float(np.abs(print_damage.scratches(GREY, count, width, opacity, seed=3).astype(int) - 120).mean())

    for ladder in ([(5, 2, 0.5), (20, 2, 0.5), (80, 2, 0.5)], [(20, 1, 0.5), (20, 2, 0.5), (20, 6, 0.5)]):
        changes = [change(*numbers) for numbers in ladder]
        assert changes == sorted(changes)
        assert changes[-1] > 2 * changes[0]
    assert change(20, 2, 0.8) == pytest.approx(2 * change(20, 2, 0.4), rel=0.1)


def test_the_first_scratches_stay_when_more_come() -> None:
    few, many = (touched_map(print_damage.scratches(GREY, count, 2, 1, seed=4)) for count in (5, 25))
    assert (few & many).sum() > 0.95 * few.sum()


def touched_map(image: Pixels) -> np.ndarray:
    return np.abs(image.astype(int) - 120).max(2) > 20


def test_a_fold_runs_from_edge_to_edge_with_a_shadow() -> None:
    directions = set()
    for seed in range(12):
        folded = print_damage.fold(GREY, 0.9, 5, seed)
        light, dark = folded[..., 0] > 130, folded[..., 0] < 112
        across = [bool(light.any(axis).mean() > 0.9) for axis in (0, 1)]
        assert any(across), seed
        assert dark.any()
        assert touched(folded) < 0.25
        directions.add(across[0])
    assert directions == {True, False}  # lying ones and upright ones


@pytest.mark.parametrize("side", [64, 128, 1024])
def test_the_same_seed_marks_the_same_places_at_every_size(side: int) -> None:
    image, scale = np.full((side, side, 3), 120, np.uint8), side / 512
    common = min(side, 512) // 8  # seen in squares of at least 8 pixels of the larger
    for kind in ("scratches", "fold"):
        for seed in range(3):
            if kind == "scratches":
                two = (
                    print_damage.scratches(GREY, 15, 3, 0.8, seed=seed),
                    print_damage.scratches(image, 15, 3 * scale, 0.8, seed=seed),
                )
            else:
                two = (print_damage.fold(GREY, 0.8, 6, seed=seed), print_damage.fold(image, 0.8, 6 * scale, seed=seed))
            a, b = (resize(picture, common, common)[..., 0].astype(float) for picture in two)
            assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.9, (kind, seed)
            assert np.abs(a - 120).mean() == pytest.approx(np.abs(b - 120).mean(), rel=0.25), (kind, seed)


@pytest.mark.parametrize("name", golden.operations_of(print_damage))
def test_the_recorded_pixels(name: str) -> None:
    golden.check_operation(name)


def test_without_scratches_the_face_is_a_copy_of_itself() -> None:
    face = np.full((8, 8, 3), 100, np.uint8)
    found = print_damage.scratches(face, 0, 1.0, 1.0, 0)
    assert found is not face and np.array_equal(found, face)
