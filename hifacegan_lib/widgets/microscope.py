"""The suppression microscope of notebook 03: the weights of one pixel for all others, without and with noise.

A suppression layer uses only the weights in a small window; the microscope shows them for the whole image. ipywidgets
does not report the position of a click in an image, so the image is an anywidget: click it, or move the ring with the
arrow keys.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import cv2
import ipywidgets
import matplotlib
import numpy as np
import traitlets
from numpy.typing import NDArray

from hifacegan_lib.reports.face_views import VIEW, fit, png
from hifacegan_lib.reports.html_pages import data_uri
from hifacegan_lib.utils.images import Pixels

Place = tuple[int, int]  # row and column
Weights = Callable[[Pixels, Place], NDArray[np.floating[Any]]]
"""(face, uint8 H x W x 3; pixel i) -> H(f_j, f_i) for each pixel j, H x W, from 0 to 2."""


def with_noise(face: Pixels, sigma: float) -> Pixels:
    """The face with Gaussian noise of ``sigma`` grey levels, in the same pattern at every strength."""
    noise = np.random.default_rng(0).standard_normal(face.shape)
    return (face + sigma * noise).round().clip(0, 255).astype(np.uint8)


def coloured(weights: NDArray[np.floating[Any]]) -> Pixels:
    """H x W weights from 0 (blue) over 1 (white) to 2 (red), as uint8 H x W x 3."""
    return matplotlib.colormaps["RdBu_r"](np.asarray(weights, np.float64) / 2, bytes=True)[..., :3]


def ringed(image: Pixels, place: Place) -> Pixels:
    """The image enlarged to fit ``VIEW`` pixels, with square pixels and a ring around one of them."""
    large = np.ascontiguousarray(fit(image, VIEW))
    times = large.shape[0] / image.shape[0]
    centre = tuple(int((part + 0.5) * times) for part in reversed(place))
    for colour, thick in (((0, 0, 0), 4), ((255, 255, 255), 2)):
        cv2.circle(large, centre, max(5, round(2 * times)), colour, thick, cv2.LINE_AA)
    return large


def views(face: Pixels, place: Place, weights: Weights, sigma: float) -> dict[str, Pixels]:
    """The face and the weights of one pixel, without and with noise: four images by name, with a ring in each."""
    noisy = with_noise(face, sigma)
    maps = {"face": face, "its H": coloured(weights(face, place))}
    maps |= {f"noise {sigma:g}": noisy, "its H with noise": coloured(weights(noisy, place))}
    return {name: ringed(image, place) for name, image in maps.items()}


class ClickablePicture(anywidget.AnyWidget):
    """An image that reports the clicked pixel: ``place`` is its row and column."""

    _esm = Path(__file__).with_name("clickable_picture.js")
    source = traitlets.Unicode().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    shape = traitlets.List(traitlets.Int()).tag(sync=True)
    place = traitlets.List(traitlets.Int()).tag(sync=True)


class SuppressionMicroscope(ipywidgets.VBox):
    """A face without and with noise, and the weights of the ringed pixel in both: click a pixel, change the noise.

    Args:
        face: uint8 H x W x 3.
        place: row and column of the first ringed pixel.
        weights: the function that gives the shown weights.
    """

    def __init__(self, face: Pixels, place: Place, weights: Weights) -> None:
        self.face, self.place, self.weights = face, place, weights
        self.noise = ipywidgets.FloatSlider(20, min=0, max=60, step=1, description="noise", readout_format=".0f")
        self.words = ipywidgets.Label()
        names = ("face", "its H", "with noise", "its H with noise")
        self.pictures = [ClickablePicture(label=name, shape=list(face.shape[:2])) for name in names]
        columns = [ipywidgets.VBox([ipywidgets.Label(p.label), p]) for p in self.pictures]
        super().__init__([self.noise, ipywidgets.HBox(columns), self.words], _dom_classes=("suppression-microscope",))
        self.noise.observe(lambda _: self._draw(), "value")
        for picture in self.pictures:
            picture.observe(self._clicked, "place")
        self._draw()

    def _clicked(self, change: Any) -> None:
        row, column = change["new"]
        if (row, column) != self.place:
            self.place = row, column
            self._draw()

    def _draw(self) -> None:
        shown = views(self.face, self.place, self.weights, self.noise.value)
        for picture, image in zip(self.pictures, shown.values(), strict=True):
            picture.place, picture.source = list(self.place), data_uri("image/png", png(image))
        noisy = self.weights(with_noise(self.face, self.noise.value), self.place)
        moved = abs(noisy - self.weights(self.face, self.place)).mean()
        row, column = self.place
        self.words.value = f"row {row}, column {column}: noise moves H by {moved:.2f} on average"
