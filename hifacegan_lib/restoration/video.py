"""Films, frame by frame, without flicker: landmarks and changes are smoothed along each face's track.

    p_t = m p_{t-1} + (1 - m) found_t        d_t = m d_{t-1} + (1 - m) change_t        in the aligned frame

A track goes on while boxes overlap. m falls where a face moves, so that what is smoothed never lags far behind.
``flicker`` is the mean absolute difference between successive aligned frames, in grey levels: of the input, of what the
network draws for each frame alone, and of the smoothed film.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.restoration import films
from hifacegan_lib.restoration.alignment import Alignment, cut
from hifacegan_lib.restoration.detection import Detection, Detector, detect, overlap
from hifacegan_lib.restoration.pasting import change, check_strength, paste
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.utils.images import Pixels

SAME = 0.3  # least overlap of a face's boxes in two frames
STILL = 0.04  # movement of the landmarks, shares of the frame's side, that halves the smoothing
Float = NDArray[np.float32]


@dataclass(frozen=True)
class _Track:
    """A face in one frame of the film: its smoothed alignment and change.

    Attributes:
        views: name in ``Film.flicker`` -> the aligned frame, grey levels.
        flicker: the same names -> mean difference from the last frame's view; empty for a new face.
    """

    box: tuple[float, float, float, float]
    alignment: Alignment
    change: Float
    views: dict[str, Float]
    flicker: dict[str, float]


class Film(NamedTuple):
    """What became of a film.

    Attributes:
        flicker: "input", "frame by frame", "smoothed" -> grey levels; empty without a face in two successive frames.
        differs: in what the film differs from its source beside the faces, in sentences; frames that are missing, too.
    """

    path: Path
    frames: int
    faces: int
    flicker: dict[str, float]
    differs: tuple[str, ...] = ()

    @property
    def says(self) -> str:
        """In a sentence."""
        words = ", ".join(f"{name} {value:.2f}" for name, value in self.flicker.items())
        return f"{self.frames} frames, {self.faces} faces restored; flicker in grey levels: {words or 'not measured'}"


def restore_video(
    source: str | Path,
    out: str | Path,
    model: Model,
    detector: Detector = "auto",
    strength: float = 1.0,
    smooth: float = 0.6,
    least: int | None = None,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> Film:
    """Restore every face of a film into ``out``, an .mp4 of the same size, timestamps and sound, upright.

    A damaged film is restored as far as it can be read.

    Args:
        smooth: m above, 0 (each frame alone) to below 1.
        progress: gets the frames done and the frames there are (0: unknown).
    Raises:
        FileNotFoundError, ValueError: no such film, it cannot be decoded, a setting out of its range.
    """
    source, out = Path(source), Path(out).with_suffix(".mp4")
    check_strength(strength)
    if not 0 <= smooth < 1:
        raise ValueError(f"smooth = {smooth}: expected 0 to below 1")
    if out.resolve() == source.resolve():
        raise ValueError(f"{source}: the output would replace the input; choose another folder")
    tracks: list[_Track] = []
    flicker: dict[str, list[float]] = {}
    faces = 0

    def draw(frame: Pixels) -> Pixels:
        nonlocal tracks, faces
        tracks = _followed(frame, detect(frame, detector, least), tracks, model, smooth)
        for track in tracks:
            paste(frame, track.alignment, track.change, strength)
            for name, value in track.flicker.items():
                flicker.setdefault(name, []).append(value)
        faces += len(tracks)
        return frame

    written = films.redraw(source, out, draw, progress)
    means = {name: float(np.mean(values)) for name, values in flicker.items()}
    return Film(out, written.frames, faces, means, written.differs)


def _followed(frame: Pixels, faces: list[Detection], before: list[_Track], model: Model, smooth: float) -> list[_Track]:
    """The tracks in this frame, one for each face."""
    lasts = [_last(face, before) for face in faces]
    shares = [_share(face.alignment, last, smooth) for face, last in zip(faces, lasts, strict=True)]
    places = [
        face.alignment if last is None else _between(face.alignment, last.alignment, share)
        for face, last, share in zip(faces, lasts, shares, strict=True)
    ]
    cuts = [cut(frame, place, model.size) for place in places]
    tracks, restored = [], model.restore(cuts)
    for face, last, share, place, seen, drawn in zip(faces, lasts, shares, places, cuts, restored, strict=True):
        new = change(seen, drawn)
        kept = new if last is None else np.float32(share) * last.change + np.float32(1 - share) * new
        start = seen.astype(np.float32)
        views = {"input": start, "frame by frame": start + new, "smoothed": start + kept}
        flicker = {name: float(np.abs(views[name] - last.views[name]).mean()) for name in views} if last else {}
        tracks.append(_Track(face.box, place, kept, views, flicker))
    return tracks


def _last(face: Detection, tracks: list[_Track]) -> _Track | None:
    best = max(tracks, key=lambda track: overlap(face.box, track.box), default=None)
    return best if best and overlap(face.box, best.box) >= SAME else None


def _share(alignment: Alignment, last: _Track | None, smooth: float) -> float:
    """m: the share of the last frame; less, the further the face has moved."""
    if last is None:
        return 0.0
    moved = float(np.abs(alignment.corners - last.alignment.corners).mean()) / alignment.side
    return smooth * 0.5 ** (moved / STILL)


def _between(new: Alignment, old: Alignment, share: float) -> Alignment:
    """Its frame's corners lie ``share`` of the way from the new frame's corners to the old one's."""
    along = share / old.turn + (1 - share) / new.turn  # the frame's upper edge, and its first corner
    start = -share * old.move / old.turn - (1 - share) * new.move / new.turn
    return Alignment(1 / along, -start / along)
