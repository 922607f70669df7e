"""Views of one damaged face for a screen: crops, quality, charts, a contact sheet.

The charts are SVG text and the pictures PNGs of the crop's own pixels, so that a slider's move costs milliseconds;
``widgets/widgets.css`` gives them colour.
"""

import html
import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.metrics import full_reference
from hifacegan_lib.utils.images import Pixels, grid, resize, to_float
from hifacegan_lib.utils.measures import psnr, radial_power

VIEW = 256  # side of a picture on the screen, pixels
CELL = 91  # side of a face in the contact sheet, pixels: eight of them are as wide as three pictures
BINS = 64  # of the histogram
_LEFT, _RIGHT, _TOP, _BOTTOM = 26, 376, 26, 130  # of a chart's plot, in its 388 x 150 units
_COPY = (
    "const done = () => {this.classList.add('dx-done'); setTimeout(() => this.classList.remove('dx-done'), 1500);};"
    "const ask = () => window.prompt('Copy this:', this.dataset.text);"
    "navigator.clipboard ? navigator.clipboard.writeText(this.dataset.text).then(done, ask) : ask();"
)

Line = NDArray[np.float64]


def ssim(clean: Pixels, image: Pixels) -> float | None:
    """Structural similarity, see :func:`hifacegan_lib.metrics.full_reference.ssim`; None for sides below its window."""
    if min(clean.shape[:2]) < full_reference.SSIM_SIDE:
        return None
    return float(full_reference.ssim(to_float(image)[None], to_float(clean)[None]))


def crop(shape: tuple[int, ...], zoom: float, across: float, down: float) -> tuple[slice, slice]:
    """Rows and columns of a crop, 1/zoom of each side, around a centre in [0, 1] as near to the edges as it fits."""
    found = []
    for side, centre in ((shape[0], down), (shape[1], across)):
        length = max(1, round(side / zoom))
        start = min(max(0, round(centre * side - length / 2)), side - length)
        found.append(slice(start, start + length))
    return found[0], found[1]


def fit(image: Pixels, side: int) -> Pixels:
    """Larger images are averaged down to ``side``; each pixel of smaller ones becomes a square, as large as it fits."""
    longest = max(image.shape[:2])
    if longest > side:
        return resize(image, *(max(1, round(length * side / longest)) for length in image.shape[:2]))
    return image.repeat(side // longest, 0).repeat(side // longest, 1)


def png(image: Pixels) -> bytes:
    """A PNG file of uint8 H x W x 3, written fast."""
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def sheet(faces: Sequence[Pixels], columns: int = 8) -> Pixels:
    """Small faces side by side, each at most ``CELL`` pixels."""
    return grid([fit(face, CELL) for face in faces], columns, gap=8)


def luminance(image: Pixels) -> Line:
    """Share of the pixels in each of ``BINS`` equal steps of brightness."""
    levels = cv2.calcHist([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)], [0], None, [BINS], [0, 256])
    return levels.ravel().astype(np.float64) / levels.sum()


def histogram_svg(clean: Pixels, image: Pixels) -> str:
    """Brightness of the clean face, filled, and of the degraded one, as a line."""
    before, after = (np.pad(np.repeat(100 * luminance(face), 2), 1) for face in (clean, image))  # from 0 back to 0
    highest = max(before.max(), after.max())
    every = next(step for step in (1, 2, 5, 10, 20, 50) if highest <= 4 * step or step == 50)
    levels = range(0, every * math.ceil(highest / every) + 1, every)
    x = np.repeat(np.linspace(0, 256, BINS + 1), 2)
    lines = {"dx-clean dx-fill": before, "dx-degraded": after}
    return _chart("brightness, % of pixels", x, lines, {n: str(n) for n in (0, 64, 128, 192, 255)}, levels)


def spectrum_svg(clean: Pixels, image: Pixels) -> str:
    """Power of each spatial frequency, dB, of both faces; see :func:`hifacegan_lib.utils.measures.radial_power`."""
    before, after = (radial_power(face)[1:] for face in (clean, image))
    if len(before) < 2:
        return _chart("spectrum: too few pixels", np.arange(2.0), {}, {}, range(0))
    octaves = np.log2(np.arange(1, len(before) + 1))
    low = 20 * math.floor(min(before.min(), after.min()) / 20)
    high = max(20 * math.ceil(max(before.max(), after.max()) / 20), low + 20)
    names = {n: str(2**n) for n in range(int(octaves[-1]) + 1)}
    lines = {"dx-clean": before, "dx-degraded": after}
    return _chart("spectrum, dB at cycles per face", octaves, lines, names, range(low, high + 1, 20))


def _chart(title: str, x: Line, lines: Mapping[str, Line], names: Mapping[int, str], levels: range) -> str:
    """SVG of lines over ``x``, by their CSS class: names below places of x, rules at levels of y."""
    low, high = (levels[0], levels[-1]) if levels else (0, 1)

    def across(value: Line | float) -> Line:
        return _LEFT + (np.asarray(value) - x[0]) / (x[-1] - x[0]) * (_RIGHT - _LEFT)

    def up(value: Line | float) -> Line:
        return _BOTTOM - (np.asarray(value) - low) / (high - low) * (_BOTTOM - _TOP)

    drawn = f'<text class="dx-name" x="{_LEFT}" y="14">{title}</text>'
    for left, name in ((_RIGHT - 118, "clean"), (_RIGHT - 63, "degraded")):
        drawn += f'<line class="dx-{name}" x1="{left}" x2="{left + 12}" y1="10.5" y2="10.5"/>'
        drawn += f'<text x="{left + 16}" y="14">{name}</text>'
    for level in levels:
        drawn += f'<line class="dx-rule" x1="{_LEFT}" x2="{_RIGHT}" y1="{up(level):.1f}" y2="{up(level):.1f}"/>'
        drawn += f'<text text-anchor="end" x="{_LEFT - 5}" y="{up(level) + 3.5:.1f}">{level}</text>'
    for name, line in lines.items():
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across(x).tolist(), up(line).tolist(), strict=True))
        drawn += f'<polyline class="{name}" points="{points}"/>'
    for value, text in names.items():
        drawn += f'<text text-anchor="middle" x="{across(value):.1f}" y="{_BOTTOM + 14}">{text}</text>'
    drawn += f'<line class="dx-axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{_BOTTOM}" y2="{_BOTTOM}"/>'
    box = 'viewBox="0 0 388 150" width="388" height="150"'
    return f'<svg class="dx-chart" role="img" aria-label="{title}" {box}>{drawn}</svg>'


def quality(clean: Pixels, image: Pixels, words: str) -> str:
    """PSNR and SSIM as HTML, with some words after them."""
    decibels, similarity = psnr(clean, image), ssim(clean, image)
    first = f"{decibels:.2f} dB" if math.isfinite(decibels) else "equal"
    second = "n/a" if similarity is None else f"{similarity:.3f}"
    numbers = f"<span>PSNR <b>{first}</b></span><span>SSIM <b>{second}</b></span>"
    return f'<div class="dx-quality">{numbers}<span class="dx-words-line">{html.escape(words)}</span></div>'


def copy_button(label: str, text: str) -> str:
    """HTML of a button that puts ``text`` on the clipboard; where that is forbidden it is shown, ready to be copied."""
    data, script = html.escape(text), html.escape(_COPY)
    return f'<button type="button" class="dx-copy" data-text="{data}" onclick="{script}">{html.escape(label)}</button>'
