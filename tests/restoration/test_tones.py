"""A restored face in the tone of its photograph: the tone is undone, a bar in front does not count."""

import cv2
import numpy as np
import pytest

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.restoration import photos
from hifacegan_lib.restoration.blending.tones import in_tone
from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.utils.images import Pixels

SEPIA = np.array([[0.36, 0.30, 0.10], [0.33, 0.29, 0.09], [0.25, 0.23, 0.08]])


def sepia(face: Pixels) -> Pixels:
    return np.rint(face @ SEPIA.T + (60, 45, 25)).astype(np.uint8)


def test_the_tone_of_a_print_is_found() -> None:
    for seed in range(4):
        clean = portrait(seed, 128)
        assert np.abs(in_tone(sepia(clean), clean).astype(int) - sepia(clean)).max() <= 2
        assert np.abs(in_tone(clean, clean).astype(int) - clean).max() <= 1


def test_a_grey_print_stays_grey() -> None:
    clean = portrait(0, 128)
    grey = cv2.merge([cv2.cvtColor(clean, cv2.COLOR_RGB2GRAY)] * 3)
    assert np.ptp(in_tone(grey, clean), axis=2).max() <= 1


def test_a_bar_in_front_does_not_change_the_tone() -> None:
    clean = portrait(1, 128)
    given = sepia(clean)
    given[84:94] = (250, 20, 20)
    found = in_tone(given, clean)
    assert np.abs(found.astype(int) - sepia(clean)).mean() < 3


def test_faces_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected the same size"):
        in_tone(portrait(0, 64), portrait(0, 32))


def test_only_a_network_that_changes_colours_takes_the_tone_of_its_photograph() -> None:
    frame = sepia(portrait(2, 64))
    negative = photos.Model(lambda x: 1 - x, Card("negative", size=64))
    assert np.array_equal(negative.restore_in_photograph([frame])[0], 255 - frame)
    toned = photos.Model(lambda x: 1 - x, Card("negative", size=64, recolours=True))
    assert np.array_equal(toned.restore([frame])[0], 255 - frame)
    assert np.abs(toned.restore_in_photograph([frame])[0].astype(int) - frame).max() <= 2
