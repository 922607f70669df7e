"""Views of one damaged face: crops, quality, charts, a contact sheet; fast ones for a screen, one figure for paper.

The screen's charts are SVG text and its pictures PNGs of the crop's own pixels, so that a slider's move costs
milliseconds; ``explorer.css`` gives them colour.
"""

import html
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from hifacegan_lib.reports.plots import _canvas, _show, difference
from hifacegan_lib.utils.images import Pixels, grid, resize
from hifacegan_lib.utils.measures import psnr, radial_power

VIEW = 256  # side of a picture on the screen, pixels
CELL = 91  # side of a face in the contact sheet, pixels: eight of them are as wide as three pictures
SSIM_WINDOW = 11
BINS = 64  # of the histogram
STYLE = Path(__file__).with_name("explorer.css").read_text(encoding="utf-8")
_WIDTH, _HEIGHT = 388, 150  # of a chart
_LEFT, _RIGHT, _TOP, _BOTTOM = 26, 376, 26, 130  # of its plot
_COPY = """
const b = this, text = b.dataset.text;
const done = () => { b.classList.add('dx-done'); setTimeout(() => b.classList.remove('dx-done'), 1500); };
const byHand = () => {
  const area = document.createElement('textarea');
  area.value = text; document.body.append(area); area.select();
  const copied = document.execCommand('copy');
  area.remove(); b.focus();
  if (copied) done(); else window.prompt('Copy this:', text);
};
if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, byHand); else byHand();
"""

Line = NDArray[np.float64]


def ssim(clean: Pixels, image: Pixels) -> float | None:
    """Structural similarity as in ``metrics`` (Gaussian window 11, sigma 1.5), fast, in single precision.

    None for sides below the window.
    """
    if min(clean.shape[:2]) < SSIM_WINDOW:
        return None
    x, y = clean.astype(np.float32), image.astype(np.float32)
    mean_x, mean_y, xx, yy, xy = (
        cv2.GaussianBlur(field, (SSIM_WINDOW, SSIM_WINDOW), 1.5) for field in (x, y, x * x, y * y, x * y)
    )
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    values = (2 * product + c1) * (2 * (xy - product) + c2) / ((squares + c1) * (xx + yy - squares + c2))
    edge = SSIM_WINDOW // 2  # only windows inside the image count
    return float(values[edge:-edge, edge:-edge].mean(dtype=np.float64))


def window(shape: tuple[int, ...], zoom: float, across: float, down: float) -> tuple[slice, slice]:
    """Rows and columns of a crop, 1/zoom of each side, around a centre in [0, 1] as near to the edges as it fits."""
    found = []
    for side, centre in ((shape[0], down), (shape[1], across)):
        length = max(1, round(side / zoom))
        start = min(max(0, round(centre * side - length / 2)), side - length)
        found.append(slice(start, start + length))
    return found[0], found[1]


def png(image: Pixels, view: int = VIEW) -> bytes:
    """PNG for the screen: larger images are averaged down to ``view``, each pixel of smaller ones becomes a square.

    A ``view`` of 0 leaves the image as it is.
    """
    side = max(image.shape[:2])
    if side > view > 0:
        height, width = (max(1, round(length * view / side)) for length in image.shape[:2])
        image = resize(image, height, width)
    times = max(1, view // side)
    large = image.repeat(times, 0).repeat(times, 1) if times > 1 else image
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    return cv2.imencode(".png", cv2.cvtColor(large, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def sheet(faces: Sequence[Pixels], columns: int = 8) -> Pixels:
    """Small faces side by side, each at most ``CELL`` pixels, small ones with their pixels as squares."""
    side = max(faces[0].shape[:2])
    if side > CELL:
        height, width = (max(1, round(length * CELL / side)) for length in faces[0].shape[:2])
        return grid([resize(face, height, width) for face in faces], columns, gap=8)
    times = CELL // side
    return grid([face.repeat(times, 0).repeat(times, 1) for face in faces], columns, gap=8)


def luminance(image: Pixels) -> Line:
    """Share of the pixels in each of ``BINS`` equal steps of brightness."""
    levels = cv2.calcHist([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)], [0], None, [BINS], [0, 256])
    return levels.ravel().astype(np.float64) / levels.sum()


def histogram_svg(clean: Pixels, image: Pixels) -> str:
    """Brightness of the clean face, filled, and of the degraded one, as a line."""
    before, after = 100 * luminance(clean), 100 * luminance(image)
    every = next(step for step in (1, 2, 5, 10, 20, 50) if max(before.max(), after.max()) <= 4 * step or step == 50)
    top = every * math.ceil(max(before.max(), after.max()) / every)
    x = _across(np.repeat(np.linspace(0, 256, BINS + 1), 2)[1:-1], 0, 256)
    outlines = [_points(x, _up(np.repeat(values, 2), 0, top)) for values in (before, after)]
    drawn = f'<polygon class="dx-clean dx-fill" points="{outlines[0]} {_RIGHT},{_BOTTOM} {_LEFT},{_BOTTOM}"/>'
    drawn += f'<polyline class="dx-degraded" points="{outlines[1]}"/>'
    marks = _marks([(value, str(value)) for value in (0, 64, 128, 192, 255)], 0, 256)
    return _chart("brightness, % of pixels", _rules(0, top, every) + drawn + marks)


def spectrum_svg(before: Line, after: Line) -> str:
    """Power of each spatial frequency, dB, of the clean face and of the degraded one; see ``figures.radial_power``."""
    if len(before) < 3:
        return _chart("spectrum: too few pixels", "")
    octaves = np.log2(np.arange(1, len(before)))
    low = 20 * math.floor(min(before[1:].min(), after[1:].min()) / 20)
    high = max(20 * math.ceil(max(before[1:].max(), after[1:].max()) / 20), low + 20)
    drawn = "".join(
        f'<polyline class="{name}" points="{_points(_across(octaves, 0, octaves[-1]), _up(line[1:], low, high))}"/>'
        for name, line in (("dx-clean", before), ("dx-degraded", after))
    )
    marks = _marks([(n, str(2**n)) for n in range(int(octaves[-1]) + 1)], 0, octaves[-1])
    return _chart("spectrum, dB at cycles per face", _rules(low, high, 20) + drawn + marks)


def quality(clean: Pixels, image: Pixels, words: str) -> str:
    """PSNR and SSIM as HTML, with some words after them."""
    decibels, likeness = psnr(clean, image), ssim(clean, image)
    first = f"{decibels:.2f} dB" if math.isfinite(decibels) else "equal"
    second = "n/a" if likeness is None else f"{likeness:.3f}"
    numbers = f"<span>PSNR <b>{first}</b></span><span>SSIM <b>{second}</b></span>"
    return f'<div class="dx-quality">{numbers}<span class="dx-words-line">{html.escape(words)}</span></div>'


def copy_button(label: str, text: str) -> str:
    """HTML of a button that puts ``text`` on the clipboard; where that is forbidden it is shown, ready to be copied."""
    quoted, script = html.escape(text), html.escape(" ".join(_COPY.split()))
    return (
        f'<button type="button" class="dx-copy" data-text="{quoted}" onclick="{script}">{html.escape(label)}</button>'
    )


def damage(
    clean: Pixels, degraded: Pixels, title: str = "", zoom: float = 3, centre: tuple[float, float] = (0.5, 0.45)
) -> Figure:
    """One damaged face on paper: clean, degraded, difference, the same crop of each, brightness and spectrum.

    Args:
        clean, degraded: uint8 H x W x 3 of one size.
        title: such as ``trace.describe()``.
        zoom: the crop is 1/zoom of each side.
        centre: of the crop, (across, down), each 0 to 1.
    """
    rows, columns = window(clean.shape, zoom, *centre)
    likeness = ssim(clean, degraded)
    named = {
        "clean": clean,
        f"degraded, {psnr(clean, degraded):.1f} dB" + ("" if likeness is None else f", SSIM {likeness:.3f}"): degraded,
        "difference, grey is unchanged": difference(clean, degraded),
    }
    figure, axes = _canvas(2, 4, figsize=(11, 5.4), width_ratios=(1, 1, 1, 1.35), layout="constrained")
    for axis, close, (name, image) in zip(axes[0], axes[1], named.items(), strict=False):
        _show(axis, image, name)
        _show(close, image[rows, columns])
        axis.add_patch(
            Rectangle(
                (columns.start - 0.5, rows.start - 0.5),
                columns.stop - columns.start,
                rows.stop - rows.start,
                edgecolor="C0",
                facecolor="none",
                linewidth=1.5,
            )
        )
        close.spines[:].set(visible=True, color="C0", linewidth=1.5)
    _paper_charts(axes[0, 3], axes[1, 3], clean, degraded)
    figure.suptitle("\n".join(textwrap.wrap(title, 150)), fontsize=10)
    return figure


def _paper_charts(tones: Any, waves: Any, clean: Pixels, degraded: Pixels) -> None:
    levels = np.linspace(0, 256, BINS + 1)
    tones.stairs(luminance(clean), levels, fill=True, color="0.75", label="clean")
    tones.stairs(luminance(degraded), levels, color="C0", linewidth=1.5, label="degraded")
    tones.set(xlim=(0, 256), xticks=[0, 64, 128, 192, 255], yticks=[])
    tones.set_title("brightness, share of pixels", fontsize=9)
    tones.legend(frameon=False, fontsize=8)
    for image, style in ((clean, {"color": "0.45", "linewidth": 2}), (degraded, {"color": "C0", "linewidth": 1.5})):
        power = radial_power(image)
        waves.plot(np.arange(1, len(power)), power[1:], **style)
    octaves = [2**n for n in range(int(math.log2(max(2, len(power) - 1))) + 1)]
    waves.set(xscale="log", xlim=(1, max(2, len(power) - 1)))
    waves.set_xticks(octaves, [str(n) for n in octaves])
    waves.minorticks_off()
    waves.grid(alpha=0.25)
    waves.set_title("spectrum, dB at cycles per face", fontsize=9)
    for axis in (tones, waves):
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    tones.spines["left"].set_visible(False)


def _chart(title: str, content: str) -> str:
    head = f'<text class="dx-name" x="{_LEFT}" y="14">{title}</text>'
    for x, name in ((_RIGHT - 118, "clean"), (_RIGHT - 63, "degraded")):
        head += f'<line class="dx-{name}" x1="{x}" x2="{x + 12}" y1="10.5" y2="10.5"/>'
        head += f'<text x="{x + 16}" y="14">{name}</text>'
    axis = f'<line class="dx-axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{_BOTTOM}" y2="{_BOTTOM}"/>'
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    return f'<svg class="dx-chart" role="img" aria-label="{title}" {box}>{head}{content}{axis}</svg>'


def _rules(low: int, high: int, every: int) -> str:
    """Level lines with their numbers at the left."""
    drawn = ""
    for level in range(low, high + 1, every):
        y = _BOTTOM - (level - low) / (high - low) * (_BOTTOM - _TOP)
        drawn += f'<line class="dx-rule" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        drawn += f'<text text-anchor="end" x="{_LEFT - 5}" y="{y + 3.5:.1f}">{level}</text>'
    return drawn


def _marks(ticks: Sequence[tuple[float, str]], low: float, high: float) -> str:
    """Names below the horizontal axis."""
    where = _across(np.array([value for value, _ in ticks], float), low, high)
    y = _BOTTOM + 14
    return "".join(
        f'<text text-anchor="middle" x="{x:.1f}" y="{y}">{name}</text>'
        for x, (_, name) in zip(where, ticks, strict=True)
    )


def _across(values: Line, low: float, high: float) -> Line:
    return _LEFT + (values - low) / (high - low) * (_RIGHT - _LEFT)


def _up(values: Line, low: float, high: float) -> Line:
    return _BOTTOM - (values - low) / (high - low) * (_BOTTOM - _TOP)


def _points(x: Line, y: Line) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
