"""Ladders climb: what is measured is what theory says, and a wrong ladder is found out."""

import numpy as np
import pytest

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.operations import OPERATIONS
from hifacegan_lib.evaluation import severity
from hifacegan_lib.evaluation.severity import LADDERS, Climb
from hifacegan_lib.utils.images import Pixels


@pytest.fixture(scope="module")
def faces() -> list[Pixels]:
    return [portrait(seed, 64) for seed in range(3)]


def test_every_operation_has_a_ladder() -> None:
    assert LADDERS.keys() == OPERATIONS.keys() - {"resize"}  # its picture is that of downsample


@pytest.mark.parametrize("op", LADDERS)
def test_theory_holds(op: str, faces: list[Pixels]) -> None:
    measured = severity.climb(op, faces)
    assert measured.psnr.shape == measured.ssim.shape == (5,)
    assert measured.octaves.shape == (5, 5)
    assert severity.surprises(op, measured) == []
    assert measured.psnr[-1] < measured.psnr[0] - 3 and measured.ssim[-1] < measured.ssim[0]


def test_a_ladder_that_does_not_climb_is_told() -> None:
    flat = np.zeros((5, 5))
    assert "PSNR rises" in severity.surprises("grey", Climb(np.arange(5.0), np.ones(5), flat))[0]
    assert "not lost" in severity.surprises("gaussian_blur", Climb(-np.arange(5.0), np.ones(5), flat))[0]
    falling = np.repeat(-np.arange(5.0)[:, None], 5, 1)
    assert "does not grow" in severity.surprises("shot_noise", Climb(-np.arange(5.0), np.ones(5), falling))[0]


@pytest.mark.parametrize(("side", "octaves"), [(64, 5), (48, 5), (16, 3), (11, 3)])
def test_octaves_hold_every_ring_once(side: int, octaves: int) -> None:
    x = np.cos(2 * np.pi * np.arange(side) / side * (side // 2))  # the finest wave that there is
    image = np.repeat((128 + 60 * x).astype(np.uint8)[None, :, None], side, 0).repeat(3, 2)
    power = severity.octave_power(image)
    assert len(power) == octaves
    assert power.argmax() == octaves - 1


def test_faces_of_two_sizes_are_refused(faces: list[Pixels]) -> None:
    with pytest.raises(ValueError, match="one size"):
        severity.climb("grey", [faces[0], faces[1][:32, :32]])
    with pytest.raises(ValueError, match="one size"):
        severity.climb("grey", [])
