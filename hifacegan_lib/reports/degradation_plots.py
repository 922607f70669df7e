"""Plots of damage: one face under many operations, spectra, orders, severities, and one damaged face in full."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from hifacegan_lib.reports.face_views import BINS, crop, luminance, ssim
from hifacegan_lib.reports.plots import canvas, difference, show
from hifacegan_lib.utils.images import Pixels
from hifacegan_lib.utils.measures import psnr, radial_power


def operations_sheet(clean: Pixels, damaged: Mapping[str, Pixels], columns: int = 5, inch: float = 1.65) -> Figure:
    """One face under several operations: each with its name, its PSNR and, below, what it changed."""
    tiles = {"clean": clean, **damaged}
    lines = -(-len(tiles) // columns)
    figure, axes = canvas(lines, columns, figsize=(inch * columns, (inch * 2 + 0.5) * lines), layout=None)
    gap = np.full((max(1, clean.shape[0] // 32), clean.shape[1], 3), 255, np.uint8)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (name, image) in zip(axes.flat, tiles.items(), strict=False):
        title = "clean\n" if image is clean else f"{name}\n{psnr(clean, image):.1f} dB"
        show(axis, np.concatenate([image, gap, difference(clean, image)]), title)
    figure.tight_layout(pad=0.4)
    return figure


def spectra(clean: Pixels, damaged: Mapping[str, Pixels]) -> Figure:
    """Mean power at each spatial frequency, clean against damaged: blur takes detail away, noise adds false detail."""
    figure, axes = canvas(figsize=(7.5, 3.4))
    _spectra(axes[0, 0], {"clean": clean, **damaged})
    axes[0, 0].set(xlabel="cycles per face", ylabel="power, dB")
    axes[0, 0].legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    return figure


def _spectra(axis: Any, images: Mapping[str, Pixels]) -> None:
    """A line for each image, the first one thick and grey."""
    for n, (name, image) in enumerate(images.items()):
        power = radial_power(image)
        style = {"color": f"C{n - 1}", "linewidth": 1.6} if n else {"color": "0.3", "linewidth": 2.4}
        axis.plot(np.arange(1, len(power)), power[1:], label=name, **style)
    highest = max(2, len(power) - 1)
    octaves = [2**n for n in range(int(math.log2(highest)) + 1)]
    axis.set(xscale="log", xlim=(1, highest))
    axis.set_xticks(octaves, [str(n) for n in octaves])
    axis.minorticks_off()
    axis.grid(alpha=0.25)


def orders(clean: Pixels, results: Mapping[tuple[str, ...], Pixels]) -> Figure:
    """The same operations in every order: PSNR by the operation that comes last, and the worst and the best of all."""
    quality = {order: psnr(clean, image) for order, image in results.items()}
    ranked = sorted(quality, key=lambda order: quality[order])
    last = sorted({order[-1] for order in ranked}, key=lambda op: np.mean([quality[o] for o in ranked if o[-1] == op]))
    figure, axes = canvas(1, 3, figsize=(11, 3.6), width_ratios=(1.7, 1, 1))
    dots = axes[0, 0]
    for row, op in enumerate(last):
        values = [quality[order] for order in ranked if order[-1] == op]
        spread = row + np.linspace(-0.2, 0.2, len(values))  # so that equal ones can be counted
        dots.plot(values, spread, "o", color=f"C{row}", alpha=0.8, markersize=7, markeredgecolor="white")
    dots.set(yticks=range(len(last)), yticklabels=[f"{op} last" for op in last], ylim=(-0.6, len(last) - 0.4))
    dots.set_xlabel("PSNR, dB")
    dots.tick_params(axis="y", length=0)
    dots.grid(axis="x", alpha=0.25)
    dots.spines["left"].set_visible(False)
    for axis, order, word in zip(axes[0, 1:], (ranked[0], ranked[-1]), ("worst", "best"), strict=True):
        show(axis, results[order], f"{word}, {quality[order]:.1f} dB")
        axis.set_xlabel("\n".join(f"{n}. {op}" for n, op in enumerate(order, 1)), fontsize=8)
    return figure


def severity_rows(
    rows: Mapping[str, Sequence[Pixels]], captions: Mapping[str, Sequence[str]], inch: float = 0.75
) -> Figure:
    """A row of faces for each name, mild to strong, a caption below each; two rows side by side to save paper."""
    steps = len(next(iter(rows.values())))
    lines = -(-len(rows) // 2)
    size = ((2 * steps + 2.6) * inch, lines * (inch + 0.18))
    figure, axes = canvas(
        lines, 2 * steps + 1, figsize=size, width_ratios=[1] * steps + [1.2] + [1] * steps, layout=None
    )
    figure.subplots_adjust(left=1.1 * inch / size[0], right=1, top=1, bottom=0.2 / size[1], wspace=0.05, hspace=0.24)
    for axis in axes.flat:
        axis.axis("off")
    for n, (name, images) in enumerate(rows.items()):
        line = axes[n % lines, (steps + 1) * (n // lines) :][:steps]
        for axis, image, caption in zip(line, images, captions[name], strict=True):
            axis.axis("on")
            show(axis, image)
            axis.set_xlabel(caption, fontsize=8, labelpad=1.5)
        line[0].set_ylabel(name.replace("_", "\n"), fontsize=9, rotation=0, ha="right", va="center", labelpad=5)
    return figure


def severity_curves(panels: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]) -> Figure:
    """Quantity -> family -> name -> values by severity: a row of panels for each quantity, a column for each family."""
    names = list(next(iter(panels.values())))
    size = (2.1 * len(names) + 0.5, 2.1 * len(panels) + 1.3)
    figure, axes = canvas(len(panels), len(names), figsize=size, sharey="row", sharex=True)
    for row, (quantity, groups) in zip(axes, panels.items(), strict=True):
        row[0].set_ylabel(quantity)
        for axis, lines in zip(row, groups.values(), strict=True):
            for name, values in lines.items():
                steps = range(1, len(values) + 1)
                axis.plot(steps, values, "o-", markersize=4, linewidth=1.5, label=name.replace("_", " "))
            axis.grid(alpha=0.25)
    for top, bottom, name in zip(axes[0], axes[-1], names, strict=True):
        top.set_title(name, fontsize=10)
        bottom.set(xlabel="mild to strong", xticks=steps)
        bottom.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), frameon=False, fontsize=8)
    return figure


def octave_changes(changes: Mapping[str, NDArray[np.floating[Any]]], columns: int = 6, span: float = 30) -> Figure:
    """What each severity does to each octave, dB: blue is lost, red is added, white is as in the clean face.

    Args:
        changes: name -> severities x octaves.
        span: dB at which the colours end.
    """
    columns = min(columns, len(changes))
    lines = -(-len(changes) // columns)
    figure, axes = canvas(lines, columns, figsize=(1.55 * columns + 0.8, 1.3 * lines))
    for axis in axes.flat[len(changes) :]:
        axis.axis("off")
    for n, (axis, (name, change)) in enumerate(zip(axes.flat, changes.items(), strict=False)):
        shown = axis.imshow(change, cmap="RdBu_r", vmin=-span, vmax=span, aspect="auto", origin="lower")
        axis.set_title(name.replace("_", " "), fontsize=9)
        axis.set(xticks=range(change.shape[1]), yticks=[0, len(change) - 1], xticklabels=[], yticklabels=[])
        axis.tick_params(length=0)
        if n % columns == 0:
            axis.set_yticklabels(["mild", "strong"], fontsize=8)
        if n >= len(changes) - columns:
            axis.set_xticklabels([2**octave for octave in range(change.shape[1])], fontsize=8)
            axis.set_xlabel("cycles per face", fontsize=8)
    figure.colorbar(shown, ax=axes.ravel().tolist(), shrink=0.6, label="change of power, dB", aspect=30)
    return figure


def damaged_face(
    clean: Pixels, degraded: Pixels, title: str = "", zoom: float = 3, centre: tuple[float, float] = (0.5, 0.45)
) -> Figure:
    """One damaged face on paper: clean, degraded, difference, the same crop of each, brightness and spectrum.

    Args:
        clean, degraded: uint8 H x W x 3 of one size.
        title: such as ``trace.describe()``.
        zoom: the crop is 1/zoom of each side.
        centre: of the crop, (across, down), each 0 to 1.
    """
    rows, columns = crop(clean.shape, zoom, *centre)
    similarity = ssim(clean, degraded)
    numbers = f"{psnr(clean, degraded):.1f} dB" + ("" if similarity is None else f", SSIM {similarity:.3f}")
    change = difference(clean, degraded)
    named = {"clean": clean, f"degraded, {numbers}": degraded, "difference, grey is unchanged": change}
    figure, axes = canvas(2, 4, figsize=(11, 5.4), width_ratios=(1, 1, 1, 1.35))
    corner = (columns.start - 0.5, rows.start - 0.5)
    for axis, close, (name, image) in zip(axes[0], axes[1], named.items(), strict=False):
        show(axis, image, name)
        show(close, image[rows, columns])
        size = columns.stop - columns.start, rows.stop - rows.start
        axis.add_patch(Rectangle(corner, *size, edgecolor="C0", facecolor="none", linewidth=1.5))
        close.spines[:].set(visible=True, color="C0", linewidth=1.5)
    tones, waves = axes[:, 3]
    levels = np.linspace(0, 256, BINS + 1)
    tones.stairs(luminance(clean), levels, fill=True, color="0.75", label="clean")
    tones.stairs(luminance(degraded), levels, color="C0", linewidth=1.5, label="degraded")
    tones.set(xlim=(0, 256), xticks=[0, 64, 128, 192, 255], yticks=[])
    tones.spines["left"].set_visible(False)
    tones.legend(frameon=False, fontsize=8)
    tones.set_title("brightness, share of pixels", fontsize=9)
    _spectra(waves, {"clean": clean, "degraded": degraded})
    waves.set_title("spectrum, dB at cycles per face", fontsize=9)
    figure.suptitle("\n".join(textwrap.wrap(title, 150)), fontsize=10)
    return figure
