"""A whole photograph: find every face, bring it to the training's frame, restore it, bring it back.

    photo -> detect -> align, cut -> network -> change under a feathered mask -> photo'

Outside of the masks no pixel changes. Each face is cut from the photograph as it came, also where two overlap.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib import __version__
from hifacegan_lib.restoration.alignment import cut
from hifacegan_lib.restoration.blending import detail
from hifacegan_lib.restoration.blending.backgrounds import enlarge, lanczos
from hifacegan_lib.restoration.blending.pasting import add, check_strength, painted
from hifacegan_lib.restoration.blending.tones import in_tone
from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.restoration.detection import Detection, Detector, choose_detector, detect
from hifacegan_lib.restoration.photo_encoders import write_photo
from hifacegan_lib.restoration.photo_files import Photo, longest_side, read_photo
from hifacegan_lib.utils import images
from hifacegan_lib.utils.images import Pixels

BATCH = 8  # faces that the network sees at once
SCALES = (1, 2, 4)
Scale = Literal["auto", 1, 2, 4]
MOST_PIXELS = 100_000_000  # of a photograph that "auto" enlarges
FRAME = 256  # side in which a face is shown to a network that takes any size, pixels
DRAWING = 3  # version of what this wing draws: raised when the same photograph and weights give other pixels
Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Model:
    """A network that restores faces, or a folder of faces that somebody restored.

    Attributes:
        network: float32 RGB N x 3 x H x W in [0, 1], a NumPy array -> N x 3 x sH x sW, s = ``card.scale``. A PyTorch
            generator becomes one by :class:`hifacegan_lib.models.torch_network.TorchNetwork`.
        card: name, architecture, sha256, licence, the size that it takes and what is done to faces of other sizes.
        engine: what draws it, with version, device and precision, for the trace.
        results: of a folder: path below it, without suffix, "/" between its parts -> file; else None.
        loader: a function that loads the same model, and its arguments; other processes load the model by it.
    """

    network: Network
    card: Card
    engine: str = ""
    results: Mapping[str, Path] | None = None
    loader: tuple[Callable[..., "Model"], tuple[Any, ...]] | None = None

    def __reduce__(self) -> tuple[Callable[..., "Model"], tuple[Any, ...]]:
        if self.loader is None:
            raise TypeError(f"{self.name}: a network that was not loaded from a file of weights")
        return _reloaded, (self.loader, self.card, self.engine)

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @property
    def sha256(self) -> str:
        """The card's sha256."""
        return self.card.sha256

    @property
    def size(self) -> int:
        """Side of the frame in which a photograph's face is shown to the network, pixels."""
        return self.card.size or FRAME

    def restore(self, faces: Sequence[Pixels]) -> list[Pixels]:
        """Restore faces, each uint8 H x W x 3 of any size; the results have the same sizes, see ``card.resizing``.

        Raises:
            ValueError: no such pixels, a side far longer than the other, the network drew NaN or another shape.
        """
        for face in faces:
            images.check_pixels(face, f"{self.name}: ")
        shown = [self.card.to_network(face) for face in faces]
        found: list[Pixels] = []
        for _, alike in groupby(shown, lambda face: face.shape):
            of_a_size = list(alike)
            for start in range(0, len(of_a_size), BATCH):
                found += self._drawn(of_a_size[start : start + BATCH])
        return [self.card.to_face(drawn, *face.shape[:2]) for drawn, face in zip(found, faces, strict=True)]

    def restore_in_photograph(self, frames: Sequence[Pixels]) -> list[Pixels]:
        """As :meth:`restore`; a network that changes colours gives each face the tone of its frame."""
        drawn = self.restore(frames)
        return [in_tone(*pair) for pair in zip(frames, drawn, strict=True)] if self.card.recolours else drawn

    def __call__(self, faces: Any) -> Any:
        """Restore N x 3 x H x W in [0, 1], a tensor or an array, which is rounded to 8 bits as in a file; alike.

        Raises:
            ValueError: as :meth:`restore`.
        """
        values = faces if isinstance(faces, np.ndarray) else faces.detach().float().cpu().numpy()
        levels = np.rint(values.clip(0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)  # N, H, W, 3
        restored = np.stack(self.restore(list(levels))).transpose(0, 3, 1, 2) / np.float32(255)
        return restored if isinstance(faces, np.ndarray) else faces.new_tensor(restored)

    def _drawn(self, faces: list[Pixels]) -> list[Pixels]:
        """The network's output for faces of one size."""
        batch = np.ascontiguousarray(np.stack(faces).transpose(0, 3, 1, 2), np.float32) / np.float32(255)  # N, 3, H, W
        drawn, scale = np.asarray(self.network(batch)), self.card.scale
        expected = (*batch.shape[:2], *(scale * side for side in batch.shape[2:]))
        if drawn.shape != expected or np.isnan(drawn).any():
            raise ValueError(f"{self.name}: drew {drawn.shape}, not {expected}, {np.isnan(drawn).sum()} of it NaN")
        return list(np.rint(drawn.clip(0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1))


def _reloaded(loader: tuple[Callable[..., Model], tuple[Any, ...]], card: Card, engine: str) -> Model:
    """The model of another process; its file and what draws it must be the same here."""
    found = _loaded(*loader, card.sha256)
    if (found.sha256, found.engine) != (card.sha256, engine):
        here, there = (f"{mark[:12]}, {what}" for mark, what in ((found.sha256, found.engine), (card.sha256, engine)))
        raise ValueError(f"{card.name}: this worker has {here}; expected {there}")
    return replace(found, card=card)


@lru_cache(maxsize=2)  # for the faces, and for what is around them
def _loaded(load: Callable[..., Model], arguments: tuple[Any, ...], _sha256: str) -> Model:
    return load(*arguments)


class Face(NamedTuple):
    """A face of a photograph: where it was found, the frame that the network saw and what it drew, uint8."""

    detection: Detection
    before: Pixels
    after: Pixels

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, for the trace."""
        alignment, d = self.detection.alignment, self.detection
        return {
            "box": [round(x, 1) for x in d.box],
            "score": round(d.score, 3),
            "frame_side": round(alignment.side, 1),
            "degrees": round(alignment.degrees, 1),
            "landmarks": None if d.points is None else np.round(d.points, 1).tolist(),
            "mean_change": round(cv2.norm(self.after, self.before, cv2.NORM_L1) / self.after.size, 2),
        }


@dataclass(frozen=True)
class Restored:
    """A restored photograph.

    Attributes:
        photo: with the input's depth, alpha, profile and EXIF.
        faces: the largest first; empty: the photograph is as it came (but for ``scale``).
        trace: what was done, by which weights, as JSON values; "scale" is the factor, "scale_reason" its reason.
    """

    photo: Photo
    faces: list[Face]
    trace: dict[str, Any]

    @property
    def image(self) -> Pixels:
        """uint8 RGB, H x W x 3."""
        return self.photo.shown

    @property
    def summary(self) -> str:
        """One sentence: how many faces were found, and which weights restored them."""
        count = len(self.faces)
        if not count:
            return "no face was found: nothing was restored"
        if not self.trace["strength"]:
            return f"{count} face{'s' if count > 1 else ''} found, nothing restored at strength 0"
        return f"{count} face{'s' if count > 1 else ''} restored by {self.trace['weights']}"

    def save(self, path: str | Path) -> Path:
        """Write the photograph with its depth, alpha, profile and metadata; EXIF says how it was restored, if it was.

        Args, returns, raises:
            as :func:`hifacegan_lib.restoration.photo_encoders.write_photo`.
        """
        software = f"hifacegan-workbench {self.trace['workbench']}: {self.summary}"
        return write_photo(path, self.photo, software if self.faces and self.trace["strength"] else "")


def restore(
    photo: Photo | Pixels | str | Path,
    model: Model,
    detector: Detector = "auto",
    strength: float = 1.0,
    scale: Scale = "auto",
    least: int | None = None,
    background: Model | None = None,
) -> Restored:
    """Restore every face of a photograph.

    Args:
        photo: an image file, uint8 RGB, H x W x 3, or a :class:`Photo`.
        strength: of the change, 0 to 1.
        scale: 1, 2 or 4: the photograph is enlarged first (Lanczos), its faces then have room for detail. "auto": the
            least of them that shows the smallest face in all pixels of the network's frame; at most 100 megapixels.
        least: narrowest face that is restored, pixels; None: 16, or 1/96 of the shorter side where that is more.
        background: a network of any size, an upscaler for example, that draws all around the faces; None: Lanczos.
    Raises:
        FileNotFoundError: no such file. ValueError: a file that cannot be decoded, a setting out of its range.
        MissingWeights: YuNet was asked for and is not there.
    """
    check_strength(strength)
    if background and background.card.size:
        raise ValueError(f"background {background.name}: draws {background.card.size} pixels; any size is expected")
    if scale not in ("auto", *SCALES):
        raise ValueError(f"scale = {scale}: expected auto or one of {', '.join(map(str, SCALES))}")
    photo = _opened(photo)
    shown = photo.shown
    found = detect(shown, detector, least)
    before = [cut(shown, face.alignment, model.size) for face in found]
    faces = [Face(*face) for face in zip(found, before, model.restore_in_photograph(before), strict=True)]
    how: dict[str, Any] = {"detector": choose_detector(detector), "strength": strength}
    if scale == "auto":
        sides = [face.alignment.side for face in found if strength]
        scale, reason = scale_for(sides, model.size, shown.shape[:2], longest_side(photo.suffix))
        how["scale_reason"] = reason
    if background:
        how["background"] = {"weights": background.name, "sha256": background.sha256, "engine": background.engine}
    source = enlarge(photo.pixels, scale, background.network) if background else lanczos(photo.pixels, scale)
    alpha = None if photo.alpha is None else lanczos(photo.alpha, scale)
    drawn = replace(photo, pixels=source, alpha=alpha).shown if background else None
    cuts = [(face.detection.alignment, face.before, face.after) for face in faces if strength]
    pixels = painted(shown, source, cuts, strength, scale, drawn)
    changed = scale > 1 or background or (faces and strength)
    photo = replace(photo, pixels=pixels, alpha=alpha, encoded=None if changed else photo.encoded)
    return Restored(photo, faces, _trace(model, faces, **how, scale=scale))


def scale_for(
    sides: Sequence[float], size: int, shape: tuple[int, int], longest: int = 2**31
) -> tuple[Literal[1, 2, 4], str]:
    """The least enlargement that keeps the detail of every face, and the reason in words (empty: nothing to say).

    Args:
        sides: of the faces' frames in the photograph, pixels.
        size: side of the network's frame, pixels.
        shape: height and width of the photograph, pixels.
        longest: side that the file's format can hold, pixels.
    """
    least = min(sides, default=size)
    wanted = next((factor for factor in SCALES if factor * least >= size), SCALES[-1])
    fits = [n for n in SCALES if n == 1 or (shape[0] * shape[1] * n * n <= MOST_PIXELS and max(shape) * n <= longest)]
    scale = max(factor for factor in fits if factor <= wanted)
    if wanted == 1:
        return 1, ""
    because = f"the frame of the smallest face has {least:.0f} of the network's {size} pixels"
    done = f"enlarged {scale} times" if scale > 1 else "not enlarged"
    if scale < wanted:
        most = f"{MOST_PIXELS // 10**6} megapixels, or more than its format can hold"
        because += f", but {wanted} times would be more than {most}"
    return scale, f"{done}: {because}"  # type: ignore[return-value]


def restore_aligned(photo: Photo | Pixels | str | Path, model: Model, strength: float = 1.0) -> Restored:
    """Restore a picture that is one face already, framed as the training's faces are; all of it is the face.

    Raises:
        As :func:`restore`.
    """
    check_strength(strength)
    photo = _opened(photo)
    before = photo.shown
    height, width = before.shape[:2]
    (after,) = model.restore([before])
    unit = 257 if photo.deep else 1
    changes = after.astype(np.float32) - before
    kept = detail.kept_detail(before, after, model.card)
    pixels = add(photo.pixels, (strength * unit) * (changes if kept is None else changes + kept))
    faces = [Face(Detection((0.0, 0.0, float(width), float(height)), None, 1.0), before, after)]
    trace = _trace(model, faces, detector="none: the picture is a face", strength=strength, scale=1)
    return Restored(replace(photo, pixels=pixels, encoded=None if strength else photo.encoded), faces, trace)


def _opened(photo: Photo | Pixels | str | Path) -> Photo:
    if isinstance(photo, str | Path):
        return read_photo(photo)
    return photo if isinstance(photo, Photo) else Photo(photo)


def boxed(image: Pixels, faces: Sequence[Face]) -> Pixels:
    """A copy of a photograph, uint8 H x W x 3, with each face's frame and landmarks drawn."""
    drawn = image.copy()
    thick = max(1, round(max(image.shape[:2]) / 400))
    for face in faces:
        corners = np.rint(face.detection.alignment.corners).astype(np.int32)
        cv2.polylines(drawn, [corners], True, (255, 200, 0), thick, cv2.LINE_AA)
        for point in () if face.detection.points is None else face.detection.points:
            cv2.circle(drawn, tuple(map(int, point)), 2 * thick, (0, 220, 255), -1, cv2.LINE_AA)
    return drawn


def _trace(model: Model, faces: Sequence[Face], **how: Any) -> dict[str, Any]:
    head = {"workbench": __version__, "weights": model.name, "sha256": model.sha256, "engine": model.engine}
    return {**head, "drawing": DRAWING, **how, "faces": [face.to_dict() for face in faces]}
