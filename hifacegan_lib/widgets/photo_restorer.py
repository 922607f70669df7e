"""The photo restorer of notebook 06: upload a photograph, and compare it with its restored faces.

    photo -> detected and restored faces -> strength, blend, divider -> shown image

Faces are detected and restored when a photograph is uploaded or the blend changes. Strength and divider only mix images
that are ready, so they react without delay.
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
from hifacegan_lib.widgets.panels import Panel, hbox, read_upload, upload_button

WIDEST = 760  # pixels, width of the shown photograph


class Divider(anywidget.AnyWidget):
    """Two images of one scene with a movable edge between them (pointer or arrow keys)."""

    _esm = Path(__file__).with_name("divider.js")
    before = traitlets.Unicode().tag(sync=True)
    after = traitlets.Unicode().tag(sync=True)

    def show(self, before: Pixels, after: Pixels) -> None:
        """Show two images, uint8 H x W x 3, of the same size."""
        self.before, self.after = (webp_uri(narrowed(image, WIDEST), 92) for image in (before, after))


class Restorer(Panel):
    """The upload button and the controls, and the photograph with its divider below.

    Args:
        photo: the first photograph, uint8 H x W x 3.
        load: blend in [0, 1] -> the restoration model.
        detector: the face detector, see :func:`hifacegan_lib.restoration.photos.restore`.
        strength, blend: first values of the sliders, 0 to 1.
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
        label: dict[str, Any] = {"min": 0, "max": 1, "readout_format": ".2f"}
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
            self.photo = read_upload(self.upload, read_photo)
            self._restore()

    def _restore(self) -> None:
        self.model = self.load(self.blend.value)
        self.restored = photos.restore(self.photo, self.model, self.detector, scale=1)
        self._draw()

    def _draw(self) -> None:
        """Mix the original and the restored photograph by the controls, and show both."""
        if self.restored is None:
            return
        before, full = self.photo.shown, self.restored.image
        after = np.rint(before + self.strength.value * (full.astype(np.float32) - before)).astype(np.uint8)
        if self.shown.value == "faces found":
            before, after = (photos.boxed(image, self.restored.faces) for image in (before, after))
        elif self.shown.value == "where it is unsure":
            before, after = self._unsure(self.restored)
        self.divider.show(before, after)
        self.words.value = f"<div>{html.escape(self.restored.summary)}</div>"

    def _unsure(self, restored: Restored) -> tuple[Pixels, Pixels]:
        """The restored faces, and maps of the spread over a dozen restorations of each face."""
        faces = restored.faces[:4]
        if not faces:
            raise ValueError("no face was found, so there is no uncertainty to show")
        maps = [uncertainty.heat(uncertainty.spread(face.before, self.model).map) for face in faces]
        return np.hstack([face.after for face in faces]), np.hstack(maps)
