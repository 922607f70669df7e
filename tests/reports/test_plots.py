"""Figures: what they are given is what they show, and nothing is left open behind them."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from hifacegan_lib.reports import plots
from hifacegan_lib.utils import measures
from hifacegan_lib.utils.images import Pixels


@pytest.fixture
def faces() -> list[Pixels]:
    return list(np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8))


def shown(figure: Figure) -> list[Pixels]:
    return [np.asarray(axis.images[0].get_array()) for axis in figure.axes if axis.images]


def test_difference_is_grey_where_nothing_changed_and_clips(faces: list[Pixels]) -> None:
    assert (plots.difference(faces[0], faces[0]) == 128).all()
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert (plots.difference(black, white) == 255).all()
    assert (plots.difference(white, black) == 0).all()


def test_image_rows_show_each_image_in_its_place(faces: list[Pixels]) -> None:
    figure = plots.image_rows(
        {"a": faces[:3], "b": faces[3:6]}, titles=["x", "y", "z"], captions={"b": ["1", "2", "3"]}
    )
    for image, expected in zip(shown(figure), faces[:6], strict=True):
        np.testing.assert_array_equal(image, expected)
    assert [axis.get_title() for axis in figure.axes[:3]] == ["x", "y", "z"]
    assert [axis.get_xlabel() for axis in figure.axes] == ["", "", "", "1", "2", "3"]


def test_rows_of_different_lengths_are_refused(faces: list[Pixels]) -> None:
    with pytest.raises(ValueError, match="same number of images"):
        plots.image_rows({"a": faces[:3], "b": faces[:2]})
    with pytest.raises(ValueError, match="at least one"):
        plots.image_rows({})


def test_a_contact_sheet_tells_the_psnr_of_each_face(faces: list[Pixels]) -> None:
    figure = plots.contact_sheet(faces[:2], {"seed 0": faces[2:4]})
    captions = [axis.get_xlabel() for axis in figure.axes]
    assert captions[:2] == ["", ""]
    assert captions[3] == f"{measures.psnr(faces[1], faces[3]):.1f} dB"


def test_saving_returns_the_figure_and_leaves_one_file(faces: list[Pixels], tmp_path: Path) -> None:
    figure = plots.image_rows({"a": faces[:1]})
    assert plots.save(figure, tmp_path / "new" / "a.png") is figure
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


def test_no_figure_stays_open(faces: list[Pixels]) -> None:
    plots.image_rows({"a": faces[:2]})
    plots.contact_sheet(faces[:1], {"a": faces[1:2]})
    assert not plt.get_fignums()


def test_a_gallery_tells_each_psnr_and_marks_the_best(faces: list[Pixels]) -> None:
    rows = [dict(zip(("degraded", "model", "clean"), faces[n : n + 3], strict=True)) for n in (0, 3)]
    figure = plots.gallery({"best": rows, "worst": rows[:1]})
    for axis, expected in zip(figure.axes, [*faces[:6], *faces[:3]], strict=True):
        np.testing.assert_array_equal(np.asarray(axis.images[0].get_array()), expected)
    assert [axis.get_ylabel() for axis in figure.axes[::3]] == ["best 1", "best 2", "worst"]
    quality = [measures.psnr(faces[2], face) for face in faces[:2]]
    expected = [f"{q:.1f} dB{' *' if q == max(quality) else ''}" for q in quality]
    assert [axis.get_xlabel() for axis in figure.axes[:3]] == [*expected, ""]
