"""The restorer of notebook 06, to turn by hand: a photograph comes in, its faces come back better.

    photo -> faces, each restored once by both flavours -> strength, blend, divider -> what is shown

Faces are found and drawn when a photograph comes or the blend moves; strength and divider only mix what is there, so
they follow the hand. What goes wrong is told in the restorer itself.
"""

import html
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets

from hifacegan_lib.reports import face_views
from hifacegan_lib.reports.html_pages import webp
from hifacegan_lib.restoration import photos, uncertainty
from hifacegan_lib.restoration.detection import Detector
from hifacegan_lib.restoration.photo_files import Photo, read_photo
from hifacegan_lib.restoration.photos import Model, Restored
from hifacegan_lib.utils.images import Pixels, resize

WIDEST = 760  # of the shown photograph, pixels

_DIVIDER = """
function render({ model, el }) {
  const box = document.createElement("div");
  box.className = "rx-divider";
  const before = document.createElement("img"), after = document.createElement("img");
  const edge = document.createElement("input");
  before.alt = "before";
  after.alt = "after";
  edge.type = "range"; edge.min = 0; edge.max = 100; edge.value = 50;
  edge.setAttribute("aria-label", "before and after");
  edge.dataset.lmSuppressShortcuts = "true";  // JupyterLab would take the arrows to fold headings
  const cut = () => {
    after.style.clipPath = `inset(0 0 0 ${edge.value}%)`;
    box.style.setProperty("--at", edge.value + "%");
  };
  const draw = () => { before.src = model.get("before"); after.src = model.get("after"); };
  edge.addEventListener("input", cut);
  model.on("change:before", draw);
  model.on("change:after", draw);
  box.append(before, after, edge);
  draw(); cut();
  el.appendChild(box);
}
export default { render };
"""
_STYLE = """
.rx-divider { position: relative; display: inline-block; max-width: 100%; line-height: 0; }
.rx-divider img { max-width: 100%; }
.rx-divider img + img { position: absolute; left: 0; top: 0; width: 100%; height: 100%; }
.rx-divider::after { content: ""; position: absolute; top: 0; bottom: 0; left: var(--at, 50%); width: 2px;
  margin-left: -1px; background: #fff; box-shadow: 0 0 3px #000; pointer-events: none; }
.rx-divider input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize; }
.rx-divider:focus-within { outline: 2px solid var(--dx-accent); outline-offset: 2px; }
.rx .dx-upload::after { content: "upload a photograph"; font-size: 12px; }
"""


class Divider(anywidget.AnyWidget):
    """Two pictures of one place and an edge between them that a hand or the arrow keys move."""

    _esm = _DIVIDER
    before = traitlets.Unicode().tag(sync=True)
    after = traitlets.Unicode().tag(sync=True)

    def show(self, before: Pixels, after: Pixels) -> None:
        """uint8 H x W x 3, of one size."""
        self.before, self.after = (f"data:image/webp;base64,{webp(image, 92)}" for image in (before, after))


class Restorer(ipywidgets.VBox):
    """Upload and controls above; the photograph, divided, and where the model is unsure below."""

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
        label: dict[str, Any] = {"style": {"description_width": "64px"}, "readout_format": ".2f"}
        self.upload = ipywidgets.FileUpload(accept="image/*").add_class("dx-upload")
        self.strength = ipywidgets.FloatSlider(strength, min=0, max=1, step=0.05, description="strength", **label)
        late: dict[str, Any] = {**label, "continuous_update": False}
        self.blend = ipywidgets.FloatSlider(blend, min=0, max=1, step=0.1, description="realism", **late)
        self.shown = ipywidgets.ToggleButtons(options=["photograph", "faces found", "where it is unsure"])
        self.words, self.error = ipywidgets.HTML(), ipywidgets.HTML()
        self.divider = Divider()
        style = ipywidgets.HTML(f"<style>{face_views.STYLE}{_STYLE}</style>")
        bar = ipywidgets.HBox([self.upload, self.strength, self.blend]).add_class("dx-bar")
        children = [style, bar, self.shown, self.error, self.divider, self.words]
        super().__init__(children, _dom_classes=("dx", "rx"))
        self.upload.observe(lambda _: self._try(self._take), "value")
        self.blend.observe(lambda _: self._try(self._restore), "value")
        for control in (self.strength, self.shown):
            control.observe(lambda _: self._try(self._draw), "value")
        self._try(self._restore)

    def _try(self, action: Callable[[], None]) -> None:
        self.error.value = ""
        try:
            action()
        except Exception as error:  # shown: a kernel drops what a callback raises
            words = html.escape(str(error))
            self.error.value = f'<div class="dx-error"><b>{type(error).__name__}</b> {words}</div>'

    def _take(self) -> None:
        if self.upload.value:
            came, self.upload.value = self.upload.value[0], ()  # so that the same file may be chosen again
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / Path(came["name"]).name
                path.write_bytes(bytes(came["content"]))
                try:
                    self.photo = read_photo(path)
                except ValueError as error:
                    raise ValueError(str(error).replace(folder, "").lstrip("/")) from None
            self._restore()

    def _restore(self) -> None:
        self.model = self.load(self.blend.value)
        self.restored = photos.restore(self.photo, self.model, self.detector)
        self._draw()

    def _draw(self) -> None:
        """What the controls ask for, from what is there."""
        if self.restored is None:
            return
        before, full = self.photo.shown, self.restored.image
        after = np.rint(before + self.strength.value * (full.astype(np.float32) - before)).astype(np.uint8)
        if self.shown.value == "faces found":
            before, after = (photos.boxed(image, self.restored.faces) for image in (before, after))
        elif self.shown.value == "where it is unsure":
            before, after = self._unsure()
        height, width = before.shape[:2]
        if width > WIDEST:
            size = max(1, round(height * WIDEST / width)), WIDEST
            before, after = (resize(image, *size) for image in (before, after))
        self.divider.show(before, after)
        self.words.value = f"<div>{html.escape(self.restored.says)}</div>"

    def _unsure(self) -> tuple[Pixels, Pixels]:
        """Each face, restored, and how far a dozen answers for it differ."""
        faces = self.restored.faces[:4] if self.restored else []
        if not faces:
            raise ValueError("no face was found: there is nothing to be unsure about")
        maps = [uncertainty.heat(uncertainty.spread(face.before, self.model).map) for face in faces]
        return np.hstack([face.after for face in faces]), np.hstack(maps)
