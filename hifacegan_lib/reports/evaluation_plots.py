"""Plots of an evaluation: means, each face before and after, where a model breaks, drift from the person."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hifacegan_lib.degradations.severity import LADDERS
from hifacegan_lib.evaluation.identity_drift import SAME_PERSON, Drift
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.evaluation.robustness import Surface, cliffs
from hifacegan_lib.reports.plots import canvas


def means(found: Evaluation, highlight: str = "model", metrics: Sequence[str] = ()) -> Figure:
    """Mean and interval of each method, a panel for each metric.

    Args:
        highlight: the method in colour.
        metrics: names; by default all that have values.
    """
    names = [name for name in metrics or found.available if name in found.available]
    columns = min(2, len(names))
    lines = -(-len(names) // columns)
    methods = [row["method"] for row in found.rows]
    size = (1.4 + 2.9 * columns, (1.1 + 0.45 * len(methods)) * lines)
    figure, axes = canvas(lines, columns, figsize=size, sharey=True)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names, strict=False):
        for n, row in enumerate(found.rows):
            if row[name] is not None:
                colour = "C0" if row["method"] == highlight else "0.45"
                axis.plot([row[f"{name}_low"], row[f"{name}_high"]], [n, n], color=colour, linewidth=2.5, alpha=0.5)
                axis.plot(row[name], n, "o", color=colour, markersize=8)
                axis.annotate(f"{row[name]:.4g}", (row[name], n), (0, 8), textcoords="offset points", ha="center")
        axis.set_title(f"{found.metrics[name].title}\n{found.direction(name)}", fontsize=10.5, loc="left")
        axis.set_yticks(range(len(methods)), [method.replace("_", " ") for method in methods])
        axis.set(ylim=(len(methods) - 0.6, -0.7), xmargin=0.14)
        axis.grid(axis="x", alpha=0.25)
    return figure


def before_after(before: Sequence[float], after: Sequence[float], name: str = "model") -> Figure:
    """PSNR of each face before and after: above the diagonal it was helped, below (in red) it was harmed."""
    pairs = np.array([before, after], float)
    x, y = pairs[:, np.isfinite(pairs).all(0)]
    figure, [[axis]] = canvas(figsize=(5, 4.6))
    span = np.array([min(x.min(), y.min()) - 0.7, max(x.max(), y.max()) + 0.7])
    axis.fill_between(span, span, span[0], color="C3", alpha=0.07, linewidth=0)
    axis.plot(span, span, color="0.3", linewidth=1)
    axis.plot(span, span + (y - x).mean(), color="C0", linewidth=1, linestyle="--")
    axis.text(0.97, 0.04, "harmed", color="C3", ha="right", transform=axis.transAxes)
    axis.text(0.03, 0.93, "helped", color="C0", transform=axis.transAxes)
    _dots(axis, x, y, y < x)
    axis.set_title(f"{(y - x).mean():+.2f} dB on average, {(y < x).sum()} of {len(x)} faces harmed", fontsize=10)
    axis.set(xlabel="PSNR of the degraded face, dB", ylabel=f"PSNR after {name}, dB", xlim=span, ylim=span, aspect=1)
    return figure


def drift_dots(found: Drift, label: str) -> Figure:
    """Each face: perceptual gain to the right, drift upwards; the upper right looks better and is somebody else.

    Args:
        label: name of the metric behind the gain.
    """
    figure, [[axis]] = canvas(figsize=(6.4, 4.6))
    drift, gain = (found.faces[name].to_numpy() for name in ("drift", "gain"))
    limit, top = 1 - SAME_PERSON, max(1.0, float(drift.max()) * 1.08)
    span = float(np.nan_to_num(np.abs(gain)).max()) * 1.12 or 1.0  # NaN: the metric has no value for this face
    axis.fill_between([0, span], limit, top, color="C3", alpha=0.08, linewidth=0)
    axis.axhline(limit, color="C3", linewidth=1, linestyle="--")
    axis.axvline(0, color="0.4", linewidth=1)
    axis.text(span * 0.98, top * 0.97, "looks better, is someone else", color="C3", ha="right", va="top")
    axis.text(span * 0.98, limit, "another person to SFace from here", color="C3", ha="right", va="bottom", fontsize=8)
    _dots(axis, gain, drift, drift > limit)
    axis.set_title(f"{(drift > limit).sum()} of {len(drift)} faces became another person", fontsize=10, loc="left")
    axis.set(xlim=(-span, span), xlabel=f"perceptual gain by {label} (right is better)")
    axis.set(ylim=(0, top), ylabel=f"drift: 1 - similarity to the {found.origin}")
    return figure


def _dots(axis: Any, x: Any, y: Any, bad: Any) -> None:
    """A dot for each face, red where it is ``bad``."""
    axis.scatter(x, y, c=np.where(bad, "C3", "C0"), alpha=0.75, edgecolors="white")
    axis.grid(alpha=0.25)


def tradeoff(found: Evaluation) -> Figure:
    """The settings of one restorer: mean LPIPS and identity (else SSIM) against mean PSNR, a panel each."""
    names = [name for name in found.available if name in ("lpips", "identity")] or ["ssim"]
    figure, axes = canvas(1, len(names), figsize=(4.6 * len(names), 3.4))
    rows = [row for row in found.rows if row["method"] != "degraded"]
    for axis, name in zip(axes[0], names, strict=True):
        axis.plot([row["psnr"] for row in rows], [row[name] for row in rows], "o-", color="C0", linewidth=1)
        for row in rows:
            axis.annotate(row["method"], (row["psnr"], row[name]), (5, 5), textcoords="offset points", fontsize=9)
        axis.set(xlabel="PSNR, dB", xmargin=0.2)
        axis.set_title(f"{found.metrics[name].title}, {found.direction(name)}", fontsize=10.5, loc="left")
    return figure


def surface_maps(found: Surface, metrics: Sequence[str] = ()) -> Figure:
    """A heat map for each metric: severity to the right, kinds below each other.

    In a cell the model's mean, and small its difference to the input's. Outlined: severities that the recipe draws. A
    bar between two cells: a cliff.

    Args:
        metrics: which of the surface's; by default all.
    """
    names, kinds = list(metrics or found.metrics), list(found.severities)
    rungs = len(found.severities[kinds[0]])
    figure, axes = canvas(1, len(names), figsize=(1.5 + 4.9 * len(names), 0.72 * len(kinds) + 1.2), sharey=True)
    for axis, name in zip(axes[0], names, strict=True):
        _surface_map(axis, found, name)
        for row, trained in enumerate(found.trained):
            if len(columns := np.flatnonzero(trained)):
                corner, size = (columns[0] - 0.47, row - 0.45), (len(columns) - 0.06, 0.9)
                axis.add_patch(Rectangle(corner, *size, fill=False, edgecolor="white", linewidth=2.4))
        for cliff in cliffs(found, name):
            if cliff.sharp:
                row = kinds.index(cliff.kind)
                axis.plot([cliff.place + 0.5] * 2, [row - 0.42, row + 0.42], color="tab:red", linewidth=3.5)
        axis.set_title(f"{found.metrics[name].title}, {found.metrics[name].direction}", fontsize=11, loc="left")
        axis.set_yticks(range(len(kinds)), [f"{k.replace('_', ' ')}\n({LADDERS[k].parameter})" for k in kinds])
        axis.set_xticks([0, rungs - 1], ["mild", "strong"])
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    legend = "white frame: what the recipe draws     red bar: a cliff     signed: difference to the input"
    figure.supxlabel(legend, x=0.995, ha="right", fontsize=9, color="0.25")
    return figure


def _surface_map(axis: Any, found: Surface, name: str) -> None:
    """The colours of one metric and, in each cell, severity, mean, difference to the input."""
    metric, values = found.metrics[name], found.restored[name]
    good = values if metric.higher_is_better else -values
    change = values - found.degraded[name]
    middle = (np.nanmin(good) + np.nanmax(good)) / 2
    digits = min(metric.digits, 1 if metric.unit == "dB" else 2)
    severities = list(found.severities.values())
    axis.imshow(good, cmap="viridis", aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if good[row, column] <= middle else "black"
        style: dict[str, Any] = {"ha": "center", "va": "center", "color": colour}
        axis.text(column - 0.3, row - 0.33, f"{severities[row][column]:.3g}", fontsize=7.5, alpha=0.75, **style)
        if np.isnan(value):
            axis.text(column, row, "none", fontsize=9, **style)
        else:
            axis.text(column, row, f"{value:.{digits}f}", fontsize=11, **style)
            more = change[row, column]
            text = "input: none" if np.isnan(more) else f"{more:+.{digits}f}"
            axis.text(column, row + 0.3, text, fontsize=8, **style)
