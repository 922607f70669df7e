"""Plots of damage: they show what they are given."""

from itertools import permutations

import numpy as np
import pytest
from matplotlib.figure import Figure

from hifacegan_lib.data import drawn_portraits
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.reports import degradation_plots, plots
from hifacegan_lib.utils import measures
from hifacegan_lib.utils.images import Pixels


@pytest.fixture
def faces() -> list[Pixels]:
    return list(np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8))


def shown(figure: Figure) -> list[Pixels]:
    return [np.asarray(axis.images[0].get_array()) for axis in figure.axes if axis.images]


def test_an_operations_sheet_holds_clean_damaged_and_difference(faces: list[Pixels]) -> None:
    figure = degradation_plots.operations_sheet(faces[0], {"blur": faces[1], "noise": faces[2]}, columns=2)
    tile = shown(figure)[1]
    np.testing.assert_array_equal(tile[:16], faces[1])
    np.testing.assert_array_equal(tile[-16:], plots.difference(faces[0], faces[1]))
    assert "blur" in figure.axes[1].get_title()


def test_orders_show_the_worst_and_the_best(faces: list[Pixels]) -> None:
    results = dict(zip(permutations(("noise", "blur", "jpeg")), faces[1:7], strict=True))
    figure = degradation_plots.orders(faces[0], results)
    ranked = sorted(results.values(), key=lambda image: measures.psnr(faces[0], image))
    np.testing.assert_array_equal(shown(figure)[0], ranked[0])
    np.testing.assert_array_equal(shown(figure)[1], ranked[-1])
    assert sum(len(line.get_xdata()) for line in figure.axes[0].lines) == 6


def test_spectra_have_a_line_for_each_image(faces: list[Pixels]) -> None:
    lines = degradation_plots.spectra(faces[0], {"noise": faces[1]}).axes[0].lines
    assert [line.get_label() for line in lines] == ["clean", "noise"]
    np.testing.assert_array_equal(lines[1].get_ydata(), measures.radial_power(faces[1])[1:])


@pytest.mark.parametrize("side", [1, 8, 64])
def test_the_figure_shows_everything_once(side: int) -> None:
    clean = drawn_portraits.portrait(1, 64)
    degraded = load_recipe("report").sample(3, grid=64).apply(clean)
    figure = degradation_plots.damaged_face(clean[:side, :side], degraded[:side, :side], "trace in words", zoom=4)
    assert sum(bool(axis.images) for axis in figure.axes) == 6
    assert figure.get_suptitle() == "trace in words"
    figure.canvas.draw()
