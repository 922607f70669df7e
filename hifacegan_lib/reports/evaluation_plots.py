"""Plots of an evaluation: means, tuned baselines, where a model breaks, and how far faces drift from the person."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hifacegan_lib.evaluation.baselines import Tuned
from hifacegan_lib.evaluation.identity_drift import SAME_PERSON, Drift
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.evaluation.robustness import Surface, cliffs
from hifacegan_lib.evaluation.severity import LADDERS
from hifacegan_lib.reports.network_plots import curves
from hifacegan_lib.reports.plots import canvas, intervals


def means(found: Evaluation, highlight: str = "model", metrics: Sequence[str] = ()) -> Figure:
    """Mean and interval of each method, a panel for each metric.

    Args:
        highlight: the method in colour.
        metrics: names; by default all that have values.
    """
    names = [name for name in metrics or found.available if name in found.available]
    titles = {name: f"{found.metrics[name].title}\n{found.metrics[name].direction}" for name in names}
    return intervals(found.rows, titles, highlight)


def tuning(tuned: Mapping[str, Tuned]) -> Figure:
    """PSNR of each setting that was tried: a panel for each baseline, a line for each setting of its other numbers."""
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, result in tuned.items():
        lines = panels.setdefault(f"{name.replace('_', ' ')}: PSNR, dB", {})
        first = next(iter(result.setting))
        varied = [key for key in result.setting if key != first and len({row[key] for row in result.table}) > 1]
        for row in result.table:
            label = ", ".join(f"{key} {row[key]}" for key in varied) or first
            lines.setdefault(label, []).append((row[first], row["psnr"]))
    return curves(panels, " or ".join(next(iter(result.setting)) for result in tuned.values()))


def surface_maps(found: Surface, metrics: Sequence[str] = ()) -> Figure:
    """A heat map for each metric: severity to the right, kinds below each other.

    In a cell the model's mean, and small its difference to the input's. Outlined: severities of the training. A bar
    between two cells: a cliff.

    Args:
        metrics: which of the surface's; by default all.
    """
    names = list(metrics or found.metrics)
    kinds = list(found.severities)
    figure, axes = canvas(
        1, len(names), figsize=(1.5 + 4.9 * len(names), 0.72 * len(kinds) + 1.2), layout="constrained"
    )
    for axis, name in zip(axes[0], names, strict=True):
        metric, values = found.metrics[name], found.restored[name]
        change = values - found.degraded[name]
        good = 1 if metric.higher_is_better else -1
        axis.imshow(good * values, cmap="viridis", aspect="auto")
        middle = np.nanmean([np.nanmin(good * values), np.nanmax(good * values)])
        for (row, column), value in np.ndenumerate(values):
            colour = "black" if good * value > middle else "white"
            centred: dict[str, Any] = {"ha": "center", "va": "center", "color": colour}
            corner: dict[str, Any] = {"ha": "left", "va": "top", "color": colour, "alpha": 0.75, "fontsize": 7.5}
            axis.text(column - 0.43, row - 0.4, f"{found.severities[kinds[row]][column]:.3g}", **corner)
            if np.isnan(value):
                axis.text(column, row, "none", fontsize=9, **centred)
                continue
            digits = min(metric.digits, 1 if metric.unit == "dB" else 2)
            axis.text(column, row, f"{value:.{digits}f}", fontsize=11, **centred)
            axis.text(column, row + 0.3, f"{change[row, column]:+.{digits}f}", fontsize=8, **centred)
        for row, trained in enumerate(found.trained):
            if len(columns := np.flatnonzero(trained)):
                box = Rectangle((columns[0] - 0.47, row - 0.45), len(columns) - 0.06, 0.9, fill=False)
                box.set(edgecolor="white", linewidth=2.4)
                axis.add_patch(box)
        for cliff in cliffs(found, name):
            if cliff.sharp:
                row = kinds.index(cliff.kind)
                axis.plot([cliff.place + 0.5] * 2, [row - 0.42, row + 0.42], color="tab:red", linewidth=3.5)
        axis.set_title(f"{metric.title}, {metric.direction}", fontsize=11, loc="left")
        labels = [f"{kind.replace('_', ' ')}\n({LADDERS[kind].parameter})" for kind in kinds]
        axis.set_yticks(range(len(kinds)), labels if axis is axes[0, 0] else [""] * len(kinds), fontsize=10)
        rungs = len(found.severities[kinds[0]])
        axis.set_xticks([0, rungs - 1], ["mild", "strong"], fontsize=10)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    legend = "white frame: what the training drew     red bar: a cliff     signed: difference to the input"
    figure.supxlabel(legend, x=0.995, ha="right", fontsize=9, color="0.25")
    return figure


def drift_dots(found: Drift, label: str) -> Figure:
    """Each face: perceptual gain to the right, drift upwards; the upper right looks better and is somebody else.

    Args:
        label: name of the metric behind the gain.
    """
    figure, axes = canvas(figsize=(6.4, 4.6), layout="constrained")
    axis = axes[0, 0]
    limit = 1 - SAME_PERSON
    drift, gain = (found.faces[name].to_numpy() for name in ("drift", "gain"))
    top = max(1.0, float(drift.max()) * 1.08)
    span = float(np.abs(gain).max()) * 1.12 or 1.0
    axis.fill_between([0, span], limit, top, color="C3", alpha=0.08, linewidth=0)
    axis.axhline(limit, color="C3", linewidth=1, linestyle=(0, (4, 3)))
    axis.axvline(0, color="0.4", linewidth=1)
    other = drift > limit
    for chosen, colour in ((~other, "C0"), (other, "C3")):
        axis.plot(gain[chosen], drift[chosen], "o", color=colour, alpha=0.75, markeredgecolor="white")
    axis.text(span * 0.98, top * 0.97, "looks better, is someone else", color="C3", ha="right", va="top", fontsize=10)
    axis.text(span * 0.98, limit, "another person to SFace from here", color="C3", ha="right", va="bottom", fontsize=8)
    axis.set(xlim=(-span, span), ylim=(0, top))
    axis.set(xlabel=f"perceptual gain by {label} (right is better)", ylabel="drift: 1 - similarity to the clean face")
    axis.set_title(f"{other.sum()} of {len(drift)} faces became another person", fontsize=10, loc="left")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    return figure
