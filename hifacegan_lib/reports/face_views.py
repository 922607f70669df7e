"""Views of one damaged face for a screen: crops, quality, charts, a contact sheet.

The charts are SVG text and the pictures PNGs of the crop's own pixels, so that a slider's move costs milliseconds;
``widgets/widgets.css`` gives them colour.
"""

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.metrics import full_reference
from hifacegan_lib.reports.html_pages import render
from hifacegan_lib.utils.images import Pixels, grid, resize, to_float
from hifacegan_lib.utils.measures import psnr, radial_power

VIEW = 256  # side of a picture on the screen, pixels
CELL = 91  # side of a face in the contact sheet, pixels: eight of them are as wide as three pictures
BINS = 64  # of the histogram

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
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).ravel()
    return np.bincount(grey // (256 // BINS), minlength=BINS) / len(grey)


def histogram_svg(clean: Pixels, image: Pixels) -> str:
    """Brightness of the clean face, filled, and of the degraded one, as a line."""
    before, after = (np.pad(np.repeat(100 * luminance(face), 2), 1) for face in (clean, image))  # from 0 back to 0
    highest = max(before.max(), after.max())
    every = next(step for step in (1, 2, 5, 10, 20, 50) if highest <= 4 * step or step == 50)
    levels = range(0, every * math.ceil(highest / every) + 1, every)
    x = np.repeat(np.linspace(0, 256, BINS + 1), 2)
    lines = {"dx-clean dx-fill": before, "dx-degraded": after}
    return _chart("brightness, % of pixels", x, lines, {n: n for n in (0, 64, 128, 192, 255)}, levels)


def spectrum_svg(clean: Pixels, image: Pixels) -> str:
    """Power of each spatial frequency, dB, of both faces; see :func:`hifacegan_lib.utils.measures.radial_power`."""
    before, after = (radial_power(face)[1:] for face in (clean, image))
    if len(before) < 2:
        return _chart("spectrum: too few pixels", np.arange(2.0), {}, {}, range(2))
    octaves = np.log2(np.arange(1, len(before) + 1))
    low = 20 * math.floor(min(before.min(), after.min()) / 20)
    high = max(20 * math.ceil(max(before.max(), after.max()) / 20), low + 20)
    names = {n: 2**n for n in range(int(octaves[-1]) + 1)}
    lines = {"dx-clean": before, "dx-degraded": after}
    return _chart("spectrum, dB at cycles per face", octaves, lines, names, range(low, high + 1, 20))


def _chart(title: str, x: Line, lines: Mapping[str, Line], names: Mapping[int, int], levels: range) -> str:
    """SVG of lines over ``x``, by their CSS class: names below places of x, rules at levels of y."""

    def across(value: Line | Sequence[int]) -> list[float]:
        return np.interp(value, (x[0], x[-1]), (26, 376)).round(1).tolist()

    def up(value: Line | Sequence[int]) -> list[float]:
        return np.interp(value, (levels[0], levels[-1]), (130, 26)).round(1).tolist()

    return render(
        "chart.html",
        title=title,
        lines={name: list(zip(across(x), up(line), strict=True)) for name, line in lines.items()},
        names=list(zip(across(list(names)), names.values(), strict=True)),
        levels=list(zip(up(levels), levels, strict=True)) if lines else [],
    )


def quality(clean: Pixels, image: Pixels, words: str) -> str:
    """PSNR and SSIM as HTML, with some words after them."""
    return render("quality.html", psnr=psnr(clean, image), ssim=ssim(clean, image), words=words)


def copy_button(label: str, text: str) -> str:
    """HTML of a button that puts ``text`` on the clipboard; where that is forbidden it is shown, ready to be copied."""
    return render("copy_button.html", label=label, text=text)
