"""Pictures of an evaluation: what they show is what was measured."""

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.patches import Rectangle

from hifacegan_lib.evaluation.identity_drift import Drift
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.evaluation.robustness import LADDERS, Surface
from hifacegan_lib.metrics import registry
from hifacegan_lib.reports import evaluation_plots

KINDS = ("gaussian_noise", "jpeg")
NOISE = [30.0, 29.5, 29.0, 28.5, 20.0]  # falls off at the last step


def made(metrics: tuple[str, ...] = ("psnr",)) -> Surface:
    values = np.array([NOISE, [30.0, 30.0, 29.9, 29.8, np.nan]])
    return Surface(
        "within",
        {kind: tuple(LADDERS[kind].values) for kind in KINDS},
        dict.fromkeys(metrics, values),
        dict.fromkeys(metrics, values - 2),
        {"gaussian_noise": (0.0, 10.0), "jpeg": None},
        registry.standard(metrics),
        3,
    )


def test_a_surface_shows_every_mean_its_difference_and_severity_and_the_frame_of_the_training() -> None:
    figure = evaluation_plots.surface_maps(made())
    axis = figure.axes[0]
    words = [text.get_text() for text in axis.texts]
    for value in NOISE:
        assert f"{value:.1f}" in words
    assert words.count("+2.0") == 9
    assert words.count("none") == 1
    assert all(f"{value:.3g}" in words for kind in KINDS for value in LADDERS[kind].values)
    (frame,) = [patch for patch in axis.patches if isinstance(patch, Rectangle)]
    assert (frame.get_x(), frame.get_width(), frame.get_y()) == pytest.approx((-0.47, 1.94, -0.45))
    (cliff,) = axis.lines
    assert list(cliff.get_xdata()) == [3.5, 3.5]
    assert axis.get_title(loc="left") == "PSNR, dB, higher is better"


def test_a_cell_whose_input_has_no_value_says_so() -> None:
    found = made()
    found.degraded["psnr"][0, 0] = np.nan
    words = [text.get_text() for text in evaluation_plots.surface_maps(found).axes[0].texts]
    assert words.count("input: none") == 1 and not any("nan" in word for word in words)


def test_a_surface_has_a_panel_for_each_metric_or_for_those_asked_for() -> None:
    found = made(("psnr", "ssim", "identity"))
    assert len(evaluation_plots.surface_maps(found).axes) == 3
    assert len(evaluation_plots.surface_maps(found, ["ssim"]).axes) == 1


def test_drift_counts_those_who_became_another_person() -> None:
    columns = {"drift": [0.9, 0.7, 0.1], "drift_degraded": [0.0] * 3, "gain": [0.2, -0.1, 0.1]}
    found = Drift(pd.DataFrame(columns, ["b", "c", "a"]), "ssim", [])
    axis = evaluation_plots.drift_dots(found, "SSIM").axes[0]
    assert axis.get_title(loc="left") == "2 of 3 faces became another person"
    assert "SSIM" in axis.get_xlabel()
    (dots,) = [found for found in axis.collections if isinstance(found, PathCollection)]
    assert dots.get_offsets().tolist() == [[0.2, 0.9], [-0.1, 0.7], [0.1, 0.1]]


def test_before_after_counts_the_harmed_and_leaves_infinite_ones_out() -> None:
    axis = evaluation_plots.before_after([20, 21, 22, math.inf], [23, 20, 26, 30]).axes[0]
    assert axis.get_title() == "+2.00 dB on average, 1 of 3 faces harmed"
    (dots,) = [found for found in axis.collections if isinstance(found, PathCollection)]
    assert dots.get_offsets().tolist() == [[20, 23], [21, 20], [22, 26]]


def test_means_stand_between_the_ends_of_their_intervals() -> None:
    rows = [{"method": n, "psnr": m, "psnr_low": m - 1, "psnr_high": m + 2} for n, m in (("a", 3.0), ("b", 5.0))]
    rows.append({"method": "c", "psnr": None, "psnr_low": None, "psnr_high": None})
    found = Evaluation({"unavailable": {}}, rows, [], {}, registry.standard(("psnr",)))
    (axis,) = evaluation_plots.means(found, highlight="b").axes
    assert [list(line.get_xdata()) for line in axis.lines] == [[2, 5], [3], [4, 7], [5]]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["a", "b", "c"]
