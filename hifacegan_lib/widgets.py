"""Controls for notebooks: the only file that knows of ipywidgets.

An explorer redraws by giving its image widgets new PNG bytes: nothing is printed, so no output grows while a slider
moves. Whatever goes wrong in a callback is told in the explorer itself; it would be lost otherwise.
"""

import html
from collections.abc import Sequence
from typing import Any

import cv2
import ipywidgets
import numpy as np

from hifacegan_lib import figures
from hifacegan_lib.degradations import load_recipe, recipe_names
from hifacegan_lib.images import Pixels

SIDE = 256  # of a picture on the screen, pixels


class DegradationExplorer(ipywidgets.VBox):
    """Face, recipe and seed above; clean, degraded and difference below, with the trace in words."""

    def __init__(self, faces: Sequence[Pixels], recipes: Sequence[str]) -> None:
        self.faces = list(faces)
        self.face = ipywidgets.IntSlider(0, 0, len(self.faces) - 1, description="face")
        self.recipe = ipywidgets.Dropdown(options=list(recipes), description="recipe")
        self.seed = ipywidgets.IntSlider(0, 0, 99, description="seed")
        self.pictures = {name: _picture() for name in ("clean", "degraded", "difference")}
        self.message = ipywidgets.HTML()
        columns = [ipywidgets.VBox([ipywidgets.Label(name), picture]) for name, picture in self.pictures.items()]
        super().__init__([ipywidgets.HBox([self.face, self.recipe, self.seed]), ipywidgets.HBox(columns), self.message])
        for control in (self.face, self.recipe, self.seed):
            control.observe(self._redraw, "value")
        self._redraw()

    def _redraw(self, _change: Any = None) -> None:
        try:
            clean = self.faces[self.face.value]
            trace = load_recipe(self.recipe.value).sample(self.seed.value)
            degraded = trace.apply(clean)
            shown = (clean, degraded, figures.difference(clean, degraded))
            text = f"<b>{figures.psnr(clean, degraded):.2f} dB</b> &nbsp; {html.escape(trace.describe())}"
        except Exception as error:  # shown: a kernel drops what a callback raises
            shown = None
            text = f"<b style='color: firebrick'>{type(error).__name__}</b> {html.escape(str(error))}"
        for n, picture in enumerate(self.pictures.values()):
            picture.value = _png(shown[n]) if shown else _EMPTY
        self.message.value = text


def degradation_explorer(faces: Sequence[Pixels], recipes: Sequence[str] = ()) -> DegradationExplorer:
    """Look at what recipes do to faces.

    Args:
        faces: uint8 H x W x 3, at least one.
        recipes: shipped names or JSON files, the first one shown first; none: all shipped ones.
    Raises:
        ValueError: no face.
    """
    if not len(faces):
        raise ValueError("the explorer needs at least one face")
    return DegradationExplorer(faces, recipes or recipe_names())


def _picture() -> ipywidgets.Image:
    return ipywidgets.Image(format="png", layout=ipywidgets.Layout(width=f"{SIDE}px", height=f"{SIDE}px"))


def _png(image: Pixels) -> bytes:
    """PNG of the image, small ones with each pixel as a visible square."""
    times = max(1, SIDE // max(image.shape[:2]))
    large = image.repeat(times, 0).repeat(times, 1)
    return cv2.imencode(".png", cv2.cvtColor(large, cv2.COLOR_RGB2BGR))[1].tobytes()


_EMPTY = _png(np.full((1, 1, 3), 255, np.uint8))
