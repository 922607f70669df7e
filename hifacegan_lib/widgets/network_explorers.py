"""Instruments of notebook 03 to turn by hand: the suppression microscope and the guidance swap.

ipywidgets cannot tell where in a picture one has clicked, so the picture is an anywidget of its own: click it, or move
the ring with the arrow keys.
"""

import base64
from typing import Any

import anywidget
import ipywidgets
import torch
import traitlets

from hifacegan_lib.models.generator import Generator
from hifacegan_lib.reports.face_views import png
from hifacegan_lib.utils.images import Pixels, to_float, to_uint8
from hifacegan_lib.widgets import guidance_swap, microscope
from hifacegan_lib.widgets.microscope import Place

SIDE = 256  # of a picture on the screen, pixels

_PICTURE = """
function render({ model, el }) {
  const image = document.createElement("img");
  image.tabIndex = 0;
  image.style.cssText = "display:block; cursor:crosshair; image-rendering:pixelated";
  const draw = () => {
    image.src = model.get("source");
    image.alt = model.get("label");
    image.title = model.get("label") + ": click a pixel, or move the ring with the arrow keys";
  };
  const choose = (row, column) => {
    const [rows, columns] = model.get("shape");
    const inside = (value, end) => Math.min(Math.max(Math.floor(value), 0), end - 1);
    model.set("place", [inside(row, rows), inside(column, columns)]);
    model.save_changes();
  };
  image.addEventListener("click", (event) => {
    const box = image.getBoundingClientRect();
    const [rows, columns] = model.get("shape");
    choose(((event.clientY - box.top) / box.height) * rows, ((event.clientX - box.left) / box.width) * columns);
    image.focus();
  });
  image.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const [row, column] = model.get("place");
    choose(row + step[0], column + step[1]);
  });
  model.on("change:source", draw);
  draw();
  el.appendChild(image);
}
export default { render };
"""


class ClickablePicture(anywidget.AnyWidget):
    """A picture that tells which of its pixels was clicked; ``place`` is row and column."""

    _esm = _PICTURE
    source = traitlets.Unicode().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    shape = traitlets.List(traitlets.Int()).tag(sync=True)
    place = traitlets.List(traitlets.Int()).tag(sync=True)

    def show(self, image: Pixels, place: Place) -> None:
        """Draw the image with a ring around the pixel."""
        times = max(1, SIDE // max(image.shape[:2]))
        data = base64.b64encode(png(microscope.crossed(image, place, times), 0)).decode()
        self.shape, self.place = list(image.shape[:2]), list(place)
        self.source = f"data:image/png;base64,{data}"


class SuppressionMicroscope(ipywidgets.VBox):
    """Clean and noisy face, and what the ringed pixel weighs all others with; click anywhere, turn up the noise."""

    def __init__(self, face: Pixels, place: Place, sigma: float = 20.0) -> None:
        self.face, self.place = face, place
        self.noise = ipywidgets.FloatSlider(
            sigma, min=0, max=60, step=1, description="noise", readout_format=".0f", continuous_update=True
        )
        self.words = ipywidgets.Label()
        names = ("clean", "its H", "noisy", "its H after noise")
        self.pictures = [ClickablePicture(label=name) for name in names]
        columns = [ipywidgets.VBox([ipywidgets.Label(p.label), p]) for p in self.pictures]
        super().__init__([self.noise, ipywidgets.HBox(columns), self.words], _dom_classes=("suppression-microscope",))
        self.noise.observe(lambda _: self._draw(), "value")
        for picture in self.pictures:
            picture.observe(self._clicked, "place")
        self._draw()

    def _clicked(self, change: Any) -> None:
        if tuple(change["new"]) != self.place:
            self.place = (change["new"][0], change["new"][1])
            self._draw()

    def _draw(self) -> None:
        noisy = microscope.with_noise(self.face, self.noise.value)
        maps = [microscope.weights_seen(image, self.place) for image in (self.face, noisy)]
        shown = (self.face, microscope.coloured(maps[0]), noisy, microscope.coloured(maps[1]))
        for picture, image in zip(self.pictures, shown, strict=True):
            picture.show(image, self.place)
        moved = abs(maps[1] - maps[0]).mean()
        self.words.value = f"row {self.place[0]}, column {self.place[1]}: noise moves H by {moved:.2f} on average"


class GuidanceSwap(ipywidgets.VBox):
    """Face A drawn with guidance of face B at chosen levels: one of three modes, one level."""

    def __init__(self, generator: Generator, a: Pixels, b: Pixels) -> None:
        self.generator = generator
        self.codes = [guidance_swap.encode(generator, to_float(face)[None]) for face in (a, b)]
        self.ends = [generator.decode(*code).detach() for code in self.codes]
        self.mode = ipywidgets.ToggleButtons(options=guidance_swap.MODES, description="mode")
        self.level = ipywidgets.IntSlider(0, min=0, max=generator.config.stages, description="level k")
        self.words = ipywidgets.Label()
        drawn = [to_uint8(end[0]) for end in self.ends]
        faces = {"A, drawn": drawn[0], "swapped": drawn[0], "B, drawn": drawn[1]}
        self.pictures = {name: ipywidgets.Image(value=png(face, SIDE)) for name, face in faces.items()}
        columns = [ipywidgets.VBox([ipywidgets.Label(name), picture]) for name, picture in self.pictures.items()]
        super().__init__([self.mode, self.level, ipywidgets.HBox(columns), self.words], _dom_classes=("guidance-swap",))
        for control in (self.mode, self.level):
            control.observe(lambda _: self._draw(), "value")
        self._draw()

    def _draw(self) -> None:
        with torch.no_grad():
            picture = guidance_swap.swap(
                self.generator, self.codes[0], self.codes[1], self.mode.value, self.level.value
            )
        self.pictures["swapped"].value = png(to_uint8(picture[0]), SIDE)
        near = guidance_swap.likeness(picture, *self.ends)
        self.words.value = f"{self.mode.value}, level {self.level.value}: {near:.0%} of the way from A to B"
