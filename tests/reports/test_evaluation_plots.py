"""Pictures of an evaluation: what they show is what was measured."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from hifacegan_lib.evaluation.baselines import Tuned
from hifacegan_lib.evaluation.identity_drift import Drift
from hifacegan_lib.evaluation.robustness import LADDERS, Surface
from hifacegan_lib.metrics import registry
from hifacegan_lib.reports import evaluation_plots

KINDS = ("gaussian_noise", "jpeg")
NOISE = [30.0, 29.5, 29.0, 28.5, 20.0]  # falls off at the last step


def made(metrics: tuple[str, ...] = ("psnr",)) -> Surface:
    values = np.array([NOISE, [30.0, 30.0, 29.9, 29.8, np.nan]])
    trained = np.array([[True, True, False, False, False], [False] * 5])
    return Surface(
        "within",
        {kind: tuple(LADDERS[kind].values) for kind in KINDS},
        dict.fromkeys(metrics, values),
        dict.fromkeys(metrics, values - 2),
        trained,
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
    drawn = np.concatenate([line.get_xydata() for line in axis.lines[2:]])  # after the two rules
    assert sorted(drawn.tolist()) == [[-0.1, 0.7], [0.1, 0.1], [0.2, 0.9]]


def test_tuning_shows_every_setting_that_was_tried() -> None:
    rows = [{"h": h, "template": t, "search": 11, "psnr": h + t} for t in (3, 7) for h in (1.0, 2.0)]
    figure = evaluation_plots.tuning({"means": Tuned(lambda x: x, {"h": 2.0, "template": 7, "search": 11}, rows)})
    (axis,) = figure.axes
    assert [line.get_label() for line in axis.lines] == ["template 3", "template 7"]
    assert axis.lines[1].get_xydata().tolist() == [[1, 8], [2, 9]] and axis.get_xlabel() == "h"
