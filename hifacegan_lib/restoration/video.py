"""Films, frame by frame, without flicker: landmarks and changes are smoothed along each face's track.

    p_t = m p_{t-1} + (1 - m) found_t        d_t = m d_{t-1} + (1 - m) change_t        in the aligned frame

A track goes on while boxes overlap. m falls where a face moves, so that what is smoothed never lags far behind.
``flicker`` is the mean absolute difference between successive aligned frames, in grey levels: of the input, of what the
network draws for each frame alone, and of the smoothed film.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.restoration.alignment import Alignment, cut
from hifacegan_lib.restoration.detection import Detection, Detector, detect, overlap
from hifacegan_lib.restoration.pasting import change, paste
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.utils.images import Pixels

SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"})
SAME = 0.3  # least overlap of a face's boxes in two frames
STILL = 0.04  # movement of the landmarks, shares of the frame's side, that halves the smoothing
Float = NDArray[np.float32]


@dataclass
class _Track:
    """A face through the film."""

    box: tuple[float, float, float, float]
    corners: NDArray[np.float64]
    change: Float
    seen: dict[str, Pixels | Float] = field(default_factory=dict)


class Film(NamedTuple):
    """What became of a film.

    Attributes:
        flicker: "input", "frame by frame", "smoothed" -> grey levels; empty without a face in two successive frames.
    """

    path: Path
    frames: int
    faces: int
    flicker: dict[str, float]

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
    """Restore every face of a film into ``out``, an .mp4 of the same size and pace; sound is not kept.

    Args:
        smooth: m above, 0 (each frame alone) to below 1.
        progress: gets the frames done and the frames there are (0: unknown).
    Raises:
        FileNotFoundError, ValueError: no such film, it cannot be decoded or written, a setting out of its range.
    """
    source, out = Path(source), Path(out).with_suffix(".mp4")
    if not 0 <= smooth < 1 or not 0 <= strength <= 1:
        raise ValueError(f"smooth = {smooth}, strength = {strength}: expected 0 to below 1, and 0 to 1")
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no such film")
    if out.resolve() == source.resolve():
        raise ValueError(f"{source}: the output would replace the input; choose another folder")
    film = cv2.VideoCapture(str(source))
    pace, total = film.get(cv2.CAP_PROP_FPS) or 25.0, max(0, int(film.get(cv2.CAP_PROP_FRAME_COUNT)))
    partial = out.with_name(f".{out.stem}.partial.mp4")
    out.parent.mkdir(parents=True, exist_ok=True)
    tracks: list[_Track] = []
    found: dict[str, list[float]] = {"input": [], "frame by frame": [], "smoothed": []}
    writer, count, faces = None, 0, 0
    try:
        for frame in _frames(film):
            if writer is None:
                writer = cv2.VideoWriter(str(partial), cv2.VideoWriter.fourcc(*"mp4v"), pace, frame.shape[1::-1])
                if not writer.isOpened():
                    raise ValueError(f"{out}: OpenCV cannot write MP4 here")
            tracks = _followed(frame, tracks, model, detector, least, smooth, found)
            for track in tracks:
                paste(frame, _alignment(track.corners), track.change, strength)
            writer.write(frame[..., ::-1])
            count, faces = count + 1, faces + len(tracks)
            progress(count, total)
        if writer is None:
            raise ValueError(f"{source}: not a film that can be decoded")
        writer.release()
        partial.replace(out)
    finally:
        film.release()
        partial.unlink(missing_ok=True)
    return Film(out, count, faces, {name: float(np.mean(values)) for name, values in found.items() if values})


def _frames(film: cv2.VideoCapture) -> Iterator[Pixels]:
    while True:
        there, frame = film.read()
        if not there:
            return
        yield np.ascontiguousarray(frame[..., ::-1])


def _followed(
    frame: Pixels,
    before: list[_Track],
    model: Model,
    detector: Detector,
    least: int | None,
    smooth: float,
    found: dict[str, list[float]],
) -> list[_Track]:
    """The tracks in this frame; the flicker of those that go on is added to ``found``."""
    faces = detect(frame, detector, least)
    pairs = [(face, _last(face, before)) for face in faces]
    corners = [_smoothed(face.alignment, track, smooth) for face, track in pairs]
    cuts = [cut(frame, _alignment(c), model.size) for c in corners]
    tracks = []
    for (face, last), where, seen, drawn in zip(pairs, corners, cuts, model(cuts), strict=True):
        new = change(seen, drawn)
        share = _share(face.alignment, last, smooth)
        kept = new if last is None else share * last.change + (1 - share) * new
        shown: dict[str, Any] = {
            "input": seen,
            "frame by frame": seen.astype(np.float32) + new,
            "smoothed": seen.astype(np.float32) + kept,
        }
        if last is not None:
            for name, values in found.items():
                values.append(float(np.abs(shown[name].astype(np.float32) - last.seen[name]).mean()))
        tracks.append(_Track(face.box, where, kept.astype(np.float32), shown))
    return tracks


def _last(face: Detection, tracks: list[_Track]) -> _Track | None:
    best = max(tracks, key=lambda track: overlap(face.box, track.box), default=None)
    return best if best and overlap(face.box, best.box) >= SAME else None


def _share(alignment: Alignment, last: _Track | None, smooth: float) -> float:
    """m: what stays of the last frame; less, the further the face has moved."""
    if last is None:
        return 0.0
    moved = float(np.abs(alignment.corners - last.corners).mean()) / alignment.side
    return smooth * 0.5 ** (moved / STILL)


def _smoothed(alignment: Alignment, last: _Track | None, smooth: float) -> NDArray[np.float64]:
    """The frame's corners."""
    if last is None:
        return alignment.corners
    share = _share(alignment, last, smooth)
    return share * last.corners + (1 - share) * alignment.corners


def _alignment(corners: NDArray[np.float64]) -> Alignment:
    """Of a frame with these corners, a square."""
    start, along = corners[0] @ (1, 1j), (corners[1] - corners[0]) @ (1, 1j)
    return Alignment(complex(1 / along), complex(-start / along))
