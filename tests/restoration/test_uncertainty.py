"""Spread: nothing where the model copies, much where it answers differently."""

import numpy as np
import pytest
from skimage import data

from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.restoration.uncertainty import NOISE, spread

FACE = data.astronaut()[50:114, 190:254]


def test_a_model_that_copies_has_the_spread_of_the_noise_alone() -> None:
    found = spread(FACE, Model(lambda faces: faces, Card("copy", size=64)))
    inside = found.map[4:-4, 4:-4]
    assert inside.mean() == pytest.approx(NOISE, rel=0.15)
    assert np.abs(found.mean[4:-4, 4:-4].astype(float) - FACE[4:-4, 4:-4]).mean() < 1


def test_a_model_that_is_always_of_the_same_opinion_has_none() -> None:
    found = spread(FACE, Model(lambda faces: np.full_like(faces, 0.5), Card("grey", size=64)))
    assert not found.map.any()


def test_what_does_not_follow_the_face_is_seen() -> None:
    """A model that draws a dark mark at a fixed place, wherever the face is."""

    def marked(faces: np.ndarray) -> np.ndarray:
        drawn = faces.copy()
        drawn[..., 20:24, 10:14] = 0
        return drawn

    found = spread(FACE, Model(marked, Card("marked", size=64)))
    assert found.map[16:28, 6:18].max() > 10 * NOISE
    assert found.map[30:60, 20:44].max() < 4 * NOISE


def test_the_same_seed_gives_the_same_map() -> None:
    model = Model(lambda faces: faces, Card("copy", size=64))
    assert np.array_equal(spread(FACE, model, 4).map, spread(FACE, model, 4).map)
    assert not np.array_equal(spread(FACE, model, 4).map, spread(FACE, model, 4, seed=1).map)
    with pytest.raises(ValueError, match="answers = 1"):
        spread(FACE, model, 1)
