"""One pixel's weights, and the instruments that show them."""

import numpy as np
import pytest
import torch

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.models.generator import GeneratorConfig
from hifacegan_lib.models.suppression import correlation_maps
from hifacegan_lib.utils.images import to_float, to_uint8
from hifacegan_lib.widgets import guidance_swap, microscope, network_explorers

FACE = portrait(1, 32)


def embedding() -> torch.Tensor:
    return torch.randn(3, 9, 11, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "softplus"])
def test_weights_are_those_of_the_layer_s_window(activation: str) -> None:
    g = embedding()
    maps = correlation_maps(g[None], 3, 1, activation)[0]  # type: ignore[arg-type]
    whole = microscope.weights_of(g, (4, 5), activation)  # type: ignore[arg-type]
    torch.testing.assert_close(whole[3:6, 4:7].flatten(), maps[:, 4, 5])


def test_weights_are_symmetric_and_bounded() -> None:
    g = embedding()
    assert microscope.weights_of(g, (1, 2))[7, 8] == pytest.approx(microscope.weights_of(g, (7, 8))[1, 2].item())
    assert microscope.weights_of(g, (1, 2)).min() >= 0 and microscope.weights_of(g, (1, 2)).max() <= 2


def test_a_place_outside_is_refused() -> None:
    with pytest.raises(ValueError, match=r"place \(9, 0\) lies outside 9 x 11 pixels"):
        microscope.weights_of(embedding(), (9, 0))


def test_noise_is_one_pattern_at_every_strength_and_moves_the_weights() -> None:
    assert np.array_equal(microscope.with_noise(FACE, 0), FACE)
    assert np.array_equal(microscope.with_noise(FACE, 9), microscope.with_noise(FACE, 9))
    clean, mild, strong = (microscope.weights_seen(microscope.with_noise(FACE, s), (10, 10)) for s in (0, 5, 40))
    assert 0 < abs(mild - clean).mean() < abs(strong - clean).mean()


def test_a_flat_picture_correlates_with_nothing() -> None:
    assert (microscope.weights_seen(np.full((8, 8, 3), 90, np.uint8), (3, 3)) == 1).all()


def test_colours_run_from_blue_over_white_to_red() -> None:
    low, middle, high = microscope.coloured(np.array([[0.0, 1.0, 2.0]]))[0].astype(int)
    assert low[2] > low[0] and high[0] > high[2] and middle.min() > 230


def test_the_ring_is_around_the_place() -> None:
    ringed = microscope.crossed(FACE, (20, 4), 8)
    rows, columns = np.nonzero((ringed != FACE.repeat(8, 0).repeat(8, 1)).any(2))
    assert ringed.shape == (256, 256, 3)
    assert abs(rows.mean() - 164) < 2 and abs(columns.mean() - 36) < 2


def test_the_figure_has_both_faces_and_both_maps() -> None:
    figure = microscope.microscope_figure(FACE, (20, 4), 15)
    assert [axis.get_title() for axis in figure.axes[:4:2]] == ["clean", "noise 15"]


def test_a_click_on_any_picture_moves_the_ring_in_all() -> None:
    widget = network_explorers.SuppressionMicroscope(FACE, (20, 4))
    before = [picture.source for picture in widget.pictures]
    widget.pictures[2].place = [5, 6]
    assert widget.place == (5, 6) and all(picture.place == [5, 6] for picture in widget.pictures)
    assert all(picture.source != old for picture, old in zip(widget.pictures, before, strict=True))
    assert widget.words.value.startswith("row 5, column 6: noise moves H by")
    maps = widget.pictures[1].source, widget.pictures[3].source
    widget.noise.value = 0
    assert widget.pictures[1].source == maps[0] == widget.pictures[3].source != maps[1]


def test_the_swap_shows_what_the_library_draws() -> None:
    config = GeneratorConfig(skip=False, width=4, stages=2, patch=2, hidden=4)
    faces = torch.stack([to_float(portrait(seed, 32)) for seed in range(4)])
    generator = guidance_swap.learn_to_redraw(config, faces, steps=3, batch=2)
    widget = network_explorers.GuidanceSwap(generator, *(to_uint8(faces[k]) for k in (0, 1)))
    first = widget.pictures["swapped"].value
    widget.mode.value, widget.level.value = "one ablate", 1
    assert widget.pictures["swapped"].value != first and widget.words.value.startswith("one ablate, level 1:")
