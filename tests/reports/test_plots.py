"""Figures: what they are given is what they show, and nothing is left open behind them."""

import math
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


def test_face_sheets_lay_every_group_out(faces: list[Pixels]) -> None:
    figure = plots.face_sheets({"train": faces[:8], "valid": faces[8:]}, columns=4)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["train", "valid"]
    first = shown(figure)[0]
    np.testing.assert_array_equal(first[:16, :16], faces[0])
    np.testing.assert_array_equal(first[-16:, -16:], faces[7])


def test_every_pixel_and_face_of_a_group_is_counted(faces: list[Pixels]) -> None:
    figure = plots.brightness_and_colour({"train": faces[:8], "valid": faces[8:]})
    assert [axis.get_xlabel() for axis in figure.axes[:2]] == ["mean of a face", "red of a pixel"]
    for axis in figure.axes:
        x, y = axis.patches[0].get_xy().T  # the outline of the first group's histogram, whose area is 1
        assert abs(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2)) == pytest.approx(1)


def test_a_gallery_tells_each_psnr_and_the_best_in_bold(faces: list[Pixels]) -> None:
    rows = [dict(zip(("degraded", "model", "clean"), faces[n : n + 3], strict=True)) for n in (0, 3)]
    figure = plots.gallery({"best": rows, "worst": rows[:1]})
    for axis, expected in zip(figure.axes, [*faces[:6], *faces[:3]], strict=True):
        np.testing.assert_array_equal(np.asarray(axis.images[0].get_array()), expected)
    assert [axis.get_ylabel() for axis in figure.axes[::3]] == ["best 1", "best 2", "worst"]
    quality = [measures.psnr(faces[2], face) for face in faces[:2]]
    labels = [axis.xaxis.label for axis in figure.axes[:3]]
    assert [label.get_text() for label in labels] == [*(f"{q:.1f} dB" for q in quality), ""]
    assert [label.get_fontweight() == "bold" for label in labels[:2]] == [q == max(quality) for q in quality]


def test_intervals_show_each_mean_between_its_ends() -> None:
    rows = [{"method": name, "m": mean, "m_low": mean - 1, "m_high": mean + 2} for name, mean in (("a", 3.0), ("b", 5))]
    rows.append({"method": "c", "m": None, "m_low": None, "m_high": None})
    figure = plots.intervals(rows, {"m": "metric"}, highlight="b")
    lines = [list(line.get_xdata()) for line in figure.axes[0].lines]
    assert lines == [[2, 5], [3], [4, 7], [5]]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["a", "b", "c"]


def test_before_after_counts_the_harmed_and_leaves_infinite_ones_out() -> None:
    figure = plots.before_after([20, 21, 22, math.inf], [23, 20, 26, 30])
    assert figure.axes[0].get_title() == "+2.00 dB on average, 1 of 3 faces harmed"
    helped, harmed = (list(line.get_xdata()) for line in figure.axes[0].lines[2:])
    assert (helped, harmed) == ([20, 22], [21])
