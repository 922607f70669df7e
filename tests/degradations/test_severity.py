"""Ladders: one for each operation, and each step takes more of the face. Notebook 02 measures the rest."""

import golden
import numpy as np
import pytest

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.operations import OPERATIONS
from hifacegan_lib.degradations.severity import LADDERS, rungs
from hifacegan_lib.utils.measures import psnr


def test_every_operation_has_a_ladder() -> None:
    assert LADDERS.keys() == OPERATIONS.keys() - {"resize"}  # its picture is that of downsample


@pytest.mark.parametrize("op", LADDERS)
def test_psnr_falls_from_rung_to_rung(op: str) -> None:
    faces = [portrait(seed, 64) for seed in range(3)]
    quality = np.array([np.mean([psnr(face, trace.apply(face)) for face in faces]) for trace in rungs(op, 64)])
    assert len(quality) == 5 and quality[-1] < quality[0] - 3
    assert not LADDERS[op].falls or (np.diff(quality) <= 0).all()


def test_the_recorded_ladders() -> None:
    for op, ladder in LADDERS.items():
        others = [number for number in ladder.fixed.values() if number != "area"]
        golden.check(f"evaluation: ladder of {op}", [*ladder.values, *others])


def test_theory_expects_as_written() -> None:
    assert {op for op, ladder in LADDERS.items() if not ladder.falls} == {
        *("median_blur", "jpeg", "webp", "h264", "coarse_chroma")
    }
