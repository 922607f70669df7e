"""Plots of a network and its training: maps over a face, curves over steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hifacegan_lib.reports.plots import canvas

Map = NDArray[np.floating[Any]]
Points = list[tuple[float, float]]
QUANTITIES = {  # panel -> keys of a line of metrics.jsonl
    "L1": ("l1",),
    "PSNR of the validation strip, dB": ("psnr",),
    "perceptual": ("perceptual",),
    "adversary": ("adversarial", "feature_matching", "discriminator"),
}
NO_LOSSES = ("step", "seconds", "lr", "cast_r", "cast_g", "cast_b", "droplets", "d_margin", "d_accuracy")
"""Keys of a line that :func:`history` leaves out; any other key is a loss with a panel of its own."""


def maps(values: Mapping[str, Map], low: float, high: float) -> Figure:
    """Named H x W maps side by side, in one scale of colours from ``low`` to ``high``."""
    figure, axes = canvas(1, len(values), figsize=(2.1 * len(values) + 0.8, 2.6))
    for axis, (name, value) in zip(axes[0], values.items(), strict=True):
        shown = axis.imshow(value, cmap="magma", vmin=low, vmax=high, interpolation="nearest")
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.set_title(name, fontsize=9)
    figure.colorbar(shown, ax=axes[0].tolist(), shrink=0.85)
    return figure


def history(log: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Points]]:
    """Lines of a run's metrics.jsonl as panels for :func:`curves`; missing, NaN and infinite values are left out."""
    known = {*NO_LOSSES, *(name for names in QUANTITIES.values() for name in names)}
    others = dict.fromkeys(name for line in log for name in line if name not in known)
    panels = {
        quantity: {name.replace("_", " "): points for name in names if (points := _points(log, name))}
        for quantity, names in [*QUANTITIES.items(), *((name.replace("_", " "), (name,)) for name in others)]
    }
    return {quantity: lines for quantity, lines in panels.items() if lines}


def _points(log: Sequence[Mapping[str, Any]], name: str) -> Points:
    return [(line["step"], line[name]) for line in log if line.get(name) is not None and np.isfinite(line[name])]


def curves(
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    x: str = "step",
    seconds: Sequence[tuple[float, float]] = (),
) -> Figure:
    """One panel for each quantity, in it a line of (x, y) points for each name.

    Args:
        seconds: (x, seconds since the start), for a second axis above; left out where time does not rise with x.
    """
    figure, axes = canvas(1, len(panels), figsize=(3.4 * len(panels) + 0.4, 2.9))
    for axis, (quantity, lines) in zip(axes[0], panels.items(), strict=True):
        for name, points in lines.items():
            marker = "o" if len(points) == 1 else ""  # a line needs two
            axis.plot(*zip(*points, strict=True), label=name, linewidth=1.6, marker=marker)
        axis.set_title(quantity, fontsize=10)
        axis.set_xlabel(x)
        axis.grid(alpha=0.25)
        if len(lines) > 1:
            axis.legend(frameon=False, fontsize=9)
        _clock(axis, seconds)
    return figure


def _clock(axis: Any, seconds: Sequence[tuple[float, float]]) -> None:
    """Ticks above: the time at which a step was done."""
    steps, times = [0.0, *(x for x, _ in seconds)], [0.0, *(t for _, t in seconds)]
    if len(times) < 3 or (np.diff(times) <= 0).any():
        return
    unit, scale = next((u, s) for u, s in (("h", 3600), ("min", 60), ("s", 1)) if times[-1] >= 2 * s or s == 1)
    first, last = np.interp(axis.get_xlim(), steps, times) / scale
    ticks = [tick for tick in MaxNLocator(4).tick_values(first, last) if first <= tick <= last]
    above = axis.twiny()
    above.set_xticks(np.interp(np.multiply(ticks, scale), times, steps), [f"{tick:g} {unit}" for tick in ticks])
    above.set_xlim(axis.get_xlim())
    above.tick_params(length=0, labelsize=8, colors="0.45", pad=1)
    above.spines[:].set_visible(False)
