"""The suppression microscope: noise, colours, the ring, and clicks."""

import numpy as np

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.utils.images import Pixels
from hifacegan_lib.widgets import microscope
from hifacegan_lib.widgets.microscope import Place

FACE = portrait(1, 32)


def weights(face: Pixels, place: Place) -> np.ndarray:
    """2 where a pixel is as bright as the one at the place, less the more it differs."""
    grey = face.mean(2)
    return 2 - abs(grey - grey[place]) / 128


def test_noise_is_one_pattern_at_every_strength() -> None:
    assert np.array_equal(microscope.with_noise(FACE, 0), FACE)
    mild, strong = (microscope.with_noise(np.full_like(FACE, 128), s).astype(float) - 128 for s in (4, 16))
    assert abs(strong - 4 * mild).max() <= 2.5 and 3.5 < mild.std() < 4.5


def test_colours_run_from_blue_over_white_to_red() -> None:
    low, middle, high = microscope.coloured(np.array([[0.0, 1.0, 2.0]]))[0].astype(int)
    assert low[2] > low[0] and high[0] > high[2] and middle.min() > 230


def test_the_ring_is_around_the_place() -> None:
    ringed = microscope.ringed(FACE, (20, 4))
    rows, columns = np.nonzero((ringed != FACE.repeat(8, 0).repeat(8, 1)).any(2))
    assert ringed.shape == (256, 256, 3)
    assert abs(rows.mean() - 164) < 2 and abs(columns.mean() - 36) < 2


def test_views_are_the_face_and_its_weights_without_and_with_noise() -> None:
    shown = microscope.views(FACE, (20, 4), weights, 15)
    assert list(shown) == ["face", "its H", "noise 15", "its H with noise"]
    far = np.s_[0:100, 150:256]  # of the ring
    expected = microscope.coloured(weights(FACE, (20, 4))).repeat(8, 0).repeat(8, 1)
    np.testing.assert_array_equal(shown["its H"][far], expected[far])


def test_a_click_on_any_picture_moves_the_ring_in_all() -> None:
    widget = microscope.SuppressionMicroscope(FACE, (20, 4), weights)
    before = [picture.source for picture in widget.pictures]
    widget.pictures[2].place = [5, 6]
    assert widget.place == (5, 6) and all(picture.place == [5, 6] for picture in widget.pictures)
    assert all(picture.source != old for picture, old in zip(widget.pictures, before, strict=True))
    assert widget.words.value.startswith("row 5, column 6: noise moves H by")
    maps = widget.pictures[1].source, widget.pictures[3].source
    widget.noise.value = 0
    assert widget.pictures[1].source == maps[0] == widget.pictures[3].source != maps[1]
    assert widget.words.value.endswith("by 0.00 on average")
