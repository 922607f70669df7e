"""The photo restorer of notebook 06: upload a photograph, and compare it with its restored faces.

    photo -> faces, each restored -> strength, blend, divider -> what is shown

Faces are found and restored when a photograph comes or the blend moves; strength and divider only mix what is there,
so they move without delay.
"""

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets

from hifacegan_lib.reports.html_pages import narrowed, webp_uri
from hifacegan_lib.restoration import photos, uncertainty
from hifacegan_lib.restoration.detection import Detector
from hifacegan_lib.restoration.photo_files import Photo, read_photo
from hifacegan_lib.restoration.photos import Model, Restored
from hifacegan_lib.utils.images import Pixels
from hifacegan_lib.widgets.panels import Panel, hbox, take, upload_button

WIDEST = 760  # of the shown photograph, pixels


class Divider(anywidget.AnyWidget):
    """Two pictures of one place and an edge between them, moved by the pointer or the arrow keys."""

    _esm = Path(__file__).with_name("divider.js")
    before = traitlets.Unicode().tag(sync=True)
    after = traitlets.Unicode().tag(sync=True)

    def show(self, before: Pixels, after: Pixels) -> None:
        """uint8 H x W x 3, of one size."""
        self.before, self.after = (webp_uri(narrowed(image, WIDEST), 92) for image in (before, after))


class Restorer(Panel):
    """Upload and controls above, the divided photograph below.

    Args:
        photo: uint8 H x W x 3, shown first.
        load: blend in [0, 1] -> the model that restores.
        detector: how faces are found, see :func:`hifacegan_lib.restoration.photos.restore`.
        strength, blend: where the sliders stand at first, 0 to 1.
    """

    def __init__(
        self,
        photo: Pixels,
        load: Callable[[float], Model],
        detector: Detector = "auto",
        strength: float = 1.0,
        blend: float = 0.0,
    ) -> None:
        self.load, self.detector = load, detector
        self.photo: Photo = Photo(photo)
        self.restored: Restored | None = None
        label: dict[str, Any] = {"min": 0, "max": 1, "style": {"description_width": "64px"}, "readout_format": ".2f"}
        self.upload = upload_button()
        self.strength = ipywidgets.FloatSlider(strength, step=0.05, description="strength", **label)
        self.blend = ipywidgets.FloatSlider(blend, step=0.1, description="realism", continuous_update=False, **label)
        self.shown = ipywidgets.ToggleButtons(options=["photograph", "faces found", "where it is unsure"])
        self.words, self.error, self.divider = ipywidgets.HTML(), ipywidgets.HTML(), Divider()
        bar = hbox("dx-bar", self.upload, self.strength, self.blend)
        super().__init__([bar, self.shown, self.error, self.divider, self.words], "rx")
        self.upload.observe(lambda _: self.attempt(self._take), "value")
        self.blend.observe(lambda _: self.attempt(self._restore), "value")
        for control in (self.strength, self.shown):
            control.observe(lambda _: self.attempt(self._draw), "value")
        self.attempt(self._restore)

    def _take(self) -> None:
        if self.upload.value:
            self.photo = take(self.upload, read_photo)
            self._restore()

    def _restore(self) -> None:
        self.model = self.load(self.blend.value)
        self.restored = photos.restore(self.photo, self.model, self.detector)
        self._draw()

    def _draw(self) -> None:
        """Mix the photograph and the restored one as the controls say, and show both."""
        if self.restored is None:
            return
        before, full = self.photo.shown, self.restored.image
        after = np.rint(before + self.strength.value * (full.astype(np.float32) - before)).astype(np.uint8)
        if self.shown.value == "faces found":
            before, after = (photos.boxed(image, self.restored.faces) for image in (before, after))
        elif self.shown.value == "where it is unsure":
            before, after = self._unsure(self.restored)
        self.divider.show(before, after)
        self.words.value = f"<div>{html.escape(self.restored.says)}</div>"

    def _unsure(self, restored: Restored) -> tuple[Pixels, Pixels]:
        """Each face, restored, and how far a dozen answers for it differ."""
        faces = restored.faces[:4]
        if not faces:
            raise ValueError("no face was found: there is nothing to be unsure about")
        maps = [uncertainty.heat(uncertainty.spread(face.before, self.model).map) for face in faces]
        return np.hstack([face.after for face in faces]), np.hstack(maps)
