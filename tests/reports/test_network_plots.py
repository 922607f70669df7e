"""Plots of a network and its training."""

import pytest

from hifacegan_lib.reports import network_plots


def test_the_history_leaves_out_what_is_missing_or_not_finite() -> None:
    log = [{"step": 1, "l1": 0.1}, {"step": 2, "l1": float("nan"), "psnr": 20.0}, {"step": 3, "l1": 0.2, "psnr": None}]
    panels = network_plots.history(log)
    assert panels == {"L1": {"l1": [(1, 0.1), (3, 0.2)]}, "PSNR of the validation strip, dB": {"psnr": [(2, 20.0)]}}
    assert len(network_plots.curves(panels).axes) == 2


def test_the_clock_above_stands_at_its_steps_and_only_where_time_rises() -> None:
    panel = {"L1": {"l1": [(n, 1.0) for n in (0, 100, 200, 300)]}}
    figure = network_plots.curves(panel, seconds=[(100, 60.0), (200, 120.0), (300, 240.0)])
    axis, above = figure.axes
    assert above.get_xlim() == axis.get_xlim()
    above.figure.canvas.draw()
    where = {label.get_text(): place for place, label in zip(above.get_xticks(), above.get_xticklabels(), strict=True)}
    assert where["2 min"] == pytest.approx(200) and where["3 min"] == pytest.approx(250)
    assert len(network_plots.curves(panel, seconds=[(100, 60.0), (200, 5.0)]).axes) == 1
