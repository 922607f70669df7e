"""Films without flicker: each face is followed from frame to frame, and its restored picture is smoothed on its way.

    place_t = 0.95 T place_{t-1} + 0.05 found_t        T: how the picture around the face moved, by optical flow
    face_t  = w face_{t-1} + (1 - w) (seen_t + change_t)        w = m 0.5^(|seen_t - seen_{t-1}| / NEW)

``face`` and ``seen`` are aligned frames, ``change`` is the network's; w falls where the face itself moves, so that no
ghost of the last frame stays. Faces are looked for and drawn in every ``every``-th frame, several frames in one batch;
between these frames the last change is used again, but a face that looks different is drawn at once.
``flicker`` is the mean absolute difference between successive aligned frames, in grey levels: of the input, with the
network's changes alone, and of the smoothed film.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.restoration import films
from hifacegan_lib.restoration.alignment import Alignment, cut
from hifacegan_lib.restoration.blending.masks import Mask, face_mask
from hifacegan_lib.restoration.blending.pasting import change, check_strength, paste
from hifacegan_lib.restoration.detection import Detection, Detector, detect, overlap
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.utils.images import Pixels

FRAMES = 8  # whose faces the network is shown together
STEADY = 0.95  # share of the place that was followed; the rest is the detector's, against drift
SAME = 0.3  # least overlap of a face's boxes in two frames
PATIENCE = 3  # times that a face is looked for in vain before it counts as gone
NEW = 4.0  # grey levels of difference, around a pixel, that halve the smoothing there
LOOKS = 12.0  # grey levels of difference that have a face drawn before its turn
AROUND = 15  # pixels of the aligned frame over which a difference is averaged
VIEW, POINTS, FEWEST = 256, 80, 8  # side of the picture whose movement is measured, points in it, fewest that agree
Float = NDArray[np.float32]


@dataclass(frozen=True)
class _Face:
    """A face in one frame of the film.

    Attributes:
        number: the same in all frames.
        missed: times that it was looked for in vain since it was found.
        seen: the aligned frame. shown: that which the network was shown last; the same object: it draws this one.
    """

    number: int
    box: tuple[float, float, float, float]
    place: Alignment
    missed: int
    seen: Pixels
    shown: Pixels


class _Drawn(NamedTuple):
    """A face in the last frame: as it was seen, the network's change, and ``Film.flicker``'s name -> aligned frame."""

    seen: Pixels
    mask: Mask
    change: Float
    views: dict[str, Float]


class Film(NamedTuple):
    """A film that was restored.

    Attributes:
        faces: in all frames together. drawn: those that the network drew.
        flicker: "input", "frame by frame", "smoothed" -> grey levels; empty without a face in two successive frames.
        differs: in what the film differs from its source beside the faces, in sentences; frames that are missing, too.
    """

    path: Path
    frames: int
    faces: int
    drawn: int
    flicker: dict[str, float]
    differs: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """One sentence: how many frames and faces, and the flicker."""
        words = ", ".join(f"{name} {value:.2f}" for name, value in self.flicker.items())
        counts = f"{self.frames} frames, {self.faces} faces restored, {self.drawn} of them drawn"
        return f"{counts}; flicker in grey levels: {words or 'not measured'}"


def restore_video(
    source: str | Path,
    out: str | Path,
    model: Model,
    detector: Detector = "auto",
    strength: float = 1.0,
    smooth: float = 0.8,
    least: int | None = None,
    progress: Callable[[int, int], object] = lambda *_: None,
    every: int = 3,
) -> Film:
    """Restore every face of a film into ``out``, an .mp4 of the same size, timestamps and sound, upright.

    A damaged film is restored as far as it can be read.

    Args:
        smooth: m above, 0 (each frame alone) to below 1.
        progress: gets the frames done and the frames there are (0: unknown).
        every: faces are looked for and drawn in every so many frames; 1: in each.
    Raises:
        FileNotFoundError, ValueError: no such film, it cannot be decoded, a setting out of its range.
    """
    source, out = Path(source), Path(out).with_suffix(".mp4")
    check_strength(strength)
    if not 0 <= smooth < 1:
        raise ValueError(f"smooth = {smooth}: expected 0 to below 1")
    if every < 1:
        raise ValueError(f"every = {every}: expected 1 or more")
    if out.resolve() == source.resolve():
        raise ValueError(f"{source}: the output would replace the input; choose another folder")
    faces = _Faces(model, lambda frame: detect(frame, detector, least), strength, smooth, every)
    written = films.redraw(source, out, faces.restored, progress)
    means = {name: float(np.mean(values)) for name, values in faces.flicker.items()}
    return Film(out, written.frames, faces.count, faces.drawn, means, written.differs)


class _Faces:
    """The faces of one film, frame after frame."""

    def __init__(
        self, model: Model, find: Callable[[Pixels], list[Detection]], strength: float, smooth: float, every: int
    ) -> None:
        self.model, self.find, self.strength, self.smooth, self.every = model, find, strength, smooth, every
        self.frames = self.count = self.drawn = self.numbers = 0
        self.grey: Pixels = np.empty((0, 0), np.uint8)  # the last frame
        self.faces: list[_Face] = []
        self.last: dict[int, _Drawn] = {}
        self.flicker: dict[str, list[float]] = {}

    def restored(self, frames: Iterator[Pixels]) -> Iterator[Pixels]:
        """The same frames, their faces restored."""
        while some := list(islice(frames, FRAMES)):
            found = [self._followed(frame) for frame in some]
            shown = [face.seen for faces in found for face in faces if face.shown is face.seen]
            drawn = iter(self.model.restore_in_photograph(shown))
            self.drawn += len(shown)
            for frame, faces in zip(some, found, strict=True):
                self.last = {face.number: self._smoothed(face, drawn) for face in faces}
                for face in faces:
                    views = self.last[face.number].views
                    paste(frame, face.place, views["smoothed"] - views["input"], self.strength)
                self.count += len(faces)
                yield frame

    def _followed(self, frame: Pixels) -> list[_Face]:
        """The faces of the next frame."""
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        turn = self.frames % self.every == 0
        moved = [_moved(face, self.grey, grey) for face in self.faces]
        faces = [self._at(face, frame) for face in moved if face]
        if turn or len(faces) < len(moved) or any(map(_looks_new, faces)):
            faces = self._found(frame, faces)
        self.faces = [replace(face, shown=face.seen) if turn or _looks_new(face) else face for face in faces]
        self.grey, self.frames = grey, self.frames + 1
        return self.faces

    def _at(self, face: _Face, frame: Pixels) -> _Face:
        return replace(face, seen=cut(frame, face.place, self.model.size))

    def _found(self, frame: Pixels, faces: list[_Face]) -> list[_Face]:
        """Detections, joined with the faces that were followed; a face that was not found is kept for some turns."""
        found, left = [], list(faces)
        for box, place in ((detection.box, detection.alignment) for detection in self.find(frame)):
            near = max(left, key=lambda face: overlap(box, face.box), default=None)
            if near and overlap(box, near.box) >= SAME:
                left.remove(near)
                place = _between(place, near.place, STEADY if self.smooth else 0.0)
                found.append(self._at(replace(near, box=box, place=place, missed=0), frame))
            else:
                self.numbers += 1
                seen = cut(frame, place, self.model.size)
                found.append(_Face(self.numbers, box, place, 0, seen, seen))
        alike = [face for face in left if face.missed < PATIENCE and _difference(face.seen, face.shown).mean() < LOOKS]
        return found + [replace(face, missed=face.missed + 1) for face in alike]

    def _smoothed(self, face: _Face, drawn: Iterator[Pixels]) -> _Drawn:
        last = self.last.get(face.number)
        if last is None or face.shown is face.seen:
            restored = next(drawn)
            mask = face_mask(face.seen, restored)
            new = change(face.seen, restored, mask)
        else:
            mask, new = last.mask, last.change
        start = face.seen.astype(np.float32)
        views = {"input": start, "frame by frame": start + new, "smoothed": start + new}
        if last:
            share = np.float32(self.smooth) * np.exp2(_difference(face.seen, last.seen) / -NEW) * mask
            views["smoothed"] += share[..., None] * (last.views["smoothed"] - views["smoothed"])  # size x size x 3
            for name, view in views.items():
                self.flicker.setdefault(name, []).append(float(np.abs(view - last.views[name]).mean()))
        return _Drawn(face.seen, mask, new, views)


def _looks_new(face: _Face) -> bool:
    return bool(_difference(face.seen, face.shown).max() >= LOOKS)


def _difference(seen: Pixels, before: Pixels) -> Float:
    """The difference of two aligned frames, grey levels, averaged around each pixel: H x W."""
    grey = cv2.cvtColor(cv2.absdiff(seen, before), cv2.COLOR_RGB2GRAY)
    return cv2.blur(grey.astype(np.float32), (AROUND, AROUND))


def _moved(face: _Face, before: Pixels, now: Pixels) -> _Face | None:
    """The face where the picture around it has moved to, from one grey frame to the next; None: it is lost."""
    left, top, wide, high = face.box
    centre, turn = complex(left + wide / 2, top + high / 2), complex(1 / (2 * max(wide, high)))
    square = Alignment(turn, complex(0.5, 0.5) - turn * centre)  # the face is in its inner quarter
    old, new = (cut(grey, square, VIEW) for grey in (before, now))
    inner = slice(VIEW // 4, 3 * VIEW // 4)
    points = cv2.goodFeaturesToTrack(old[inner, inner], POINTS, 0.01, 5)
    if points is None or len(points) < FEWEST:
        return None
    there, known, _ = cv2.calcOpticalFlowPyrLK(old, new, points + inner.start, None)
    kept = known.ravel() > 0
    if kept.sum() < FEWEST:
        return None
    matrix, agree = cv2.estimateAffinePartial2D((points + inner.start)[kept], there[kept])
    if matrix is None or agree.sum() < FEWEST:
        return None
    a, half = complex(matrix[0, 0], matrix[1, 0]), complex(0.5, 0.5)  # OpenCV counts from pixels' centres
    b = (complex(*matrix[:, 2]) + half - a * half) / VIEW  # in shares of the square,
    b = (a * square.move + b - square.move) / square.turn  # and in pixels of the frame: z' = a z + b
    centre, size = a * centre + b, abs(a) * complex(wide, high)
    if not (0.5 < abs(a) < 2 and 0 <= centre.real < now.shape[1] and 0 <= centre.imag < now.shape[0]):
        return None
    corner = centre - size / 2
    place = Alignment(face.place.turn / a, face.place.move - face.place.turn * b / a)
    return replace(face, box=(corner.real, corner.imag, size.real, size.imag), place=place)


def _between(new: Alignment, old: Alignment, share: float) -> Alignment:
    """Its frame's corners lie ``share`` of the way from the new frame's corners to the old one's."""
    along = share / old.turn + (1 - share) / new.turn  # the frame's upper edge, and its first corner
    start = -share * old.move / old.turn - (1 - share) * new.move / new.turn
    return Alignment(1 / along, -start / along)
