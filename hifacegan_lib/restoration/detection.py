"""Every face of a whole photograph: YuNet at several sizes, or OpenCV's Haar cascade where YuNet was not fetched.

YuNet sees a face best when it is between 10 and 200 pixels wide. The photograph is shown at sizes a factor of four
apart, in tiles that overlap, so faces of 16 and of 2000 pixels are found in pictures of any size, in bounded memory.
It finds faces that lie on their side or stand on their head too, but gives them the landmarks of upright ones, with
less confidence: a face that is small, unsure or leans is shown again, turned by eighths, and the surest one counts.
The cascade, which knows upright faces alone, sees the photograph turned by quarters, and the surest quarter counts.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.restoration.alignment import Alignment, cut
from hifacegan_lib.utils import weight_registry
from hifacegan_lib.utils.images import Pixels, check_pixels, resize

LEAST = 16  # narrowest face that is looked for, pixels
SHARE = {"yunet": 96, "haar": 48}  # and at least this part of the photograph's shorter side
TILE, LAP = 1024, 256  # pixels: what YuNet sees at once, and how much of it the next tile sees again
NARROWEST, WIDEST = 10, 220  # faces in a tile, pixels
SCORE, OVERLAP = 0.6, 0.35  # least confidence; most overlap of two faces, intersection over union
STEP = 4.0  # between sizes at which the photograph is shown
CLOSE, AROUND = 320, 2.4  # a face shown again: pixels, widths of its box
SURE, CLEAR, LEANS = 0.92, 40, 12.0  # not shown again: confidence, width in the tile, pixels, and turn, degrees
PLAIN = 6.0  # the cascade's sum for a face that needs no look at the other quarters; upside down faces reach 5.3
Points = NDArray[np.float64]


class Detection(NamedTuple):
    """A face in a photograph, lengths in its pixels.

    Attributes:
        box: left, top, width, height; upright.
        points: 5 x 2, right eye, left eye, nose, corners of the mouth; None: the detector has no landmarks.
        score: confidence, 0 to 1; of the cascade its last stage's sum, about 0 to 10.
        degrees: by how much the picture was turned when a detector without landmarks found it.
        shown: its width where the detector saw it, pixels.
    """

    box: tuple[float, float, float, float]
    points: Points | None
    score: float
    degrees: float = 0.0
    shown: float = 0.0

    @property
    def alignment(self) -> Alignment:
        """The similarity from the photograph to the training's frame."""
        if self.points is not None:
            return Alignment.of_points(self.points)
        return Alignment.of_box(*self.box, self.degrees)


Detector = Literal["auto", "yunet", "haar"]


def detect(photo: Pixels, detector: Detector = "auto", least: int | None = None) -> list[Detection]:
    """Faces of a photograph, uint8 H x W x 3, the largest first.

    Args:
        detector: "yunet" (`hifacegan weights fetch yunet`), "haar", or "auto": YuNet where it is downloaded.
        least: narrowest face that is looked for, pixels; None: 16, or where that is more 1/96 of the shorter side, 1/48
            for the cascade.
    Raises:
        MissingWeights: YuNet is asked for by name and not there. ValueError: no such detector, ``least`` below 1.
    """
    check_pixels(photo)
    if least is not None and least < 1:
        raise ValueError(f"least = {least}: expected 1 pixel or more")
    chosen = choose_detector(detector)
    find = {"yunet": _yunet, "haar": _haar}.get(chosen)
    if find is None:
        raise ValueError(f"detector = {detector!r}: expected auto, yunet or haar")
    least = max(LEAST, min(photo.shape[:2]) // SHARE[chosen]) if least is None else least
    return _distinct(find(photo, least))


def choose_detector(detector: Detector) -> str:
    """The detector that "auto" means here."""
    if detector != "auto":
        return detector
    try:
        weight_registry.verify("yunet")
    except weight_registry.MissingWeights:
        return "haar"
    return "yunet"


def version(detector: Detector) -> str:
    """The detector that is used here and what its findings depend on: "haar, OpenCV 4.13.0" for example.

    Raises:
        MissingWeights: YuNet is asked for by name and not there.
    """
    chosen = choose_detector(detector)
    if chosen == "yunet":
        weight_registry.verify("yunet")
        chosen += f" {weight_registry.sha256('yunet')}"
    return f"{chosen}, OpenCV {cv2.__version__}"


def _yunet(photo: Pixels, least: int) -> list[Detection]:
    file = str(weight_registry.verify("yunet"))
    found = []
    scales = list(_scales(photo.shape[:2], least))
    for level, scale in enumerate(scales):
        height, width = (max(1, round(side * scale)) for side in photo.shape[:2])
        shown = resize(photo, height, width)
        for top, left in itertools.product(_starts(height), _starts(width)):
            rows = yunet_rows(yunet_network(file, level), shown[top : top + TILE, left : left + TILE])
            # a wider one may be a piece that the tile's edge cut; it is whole at the next size
            whole = [row for row in rows if row[2] <= WIDEST or scale == scales[-1]]
            found += [_detection(row, scale, left, top) for row in whole]
    wide = [face for face in _distinct(found) if face.box[2] >= least]
    return [_upright(photo, face, yunet_network(file, -1)) for face in wide]


def _upright(photo: Pixels, face: Detection, network: cv2.FaceDetectorYN) -> Detection:
    """The same face with the landmarks of the turn in which it is surest, and these found again upright."""
    best = face
    if face.score >= SURE and face.shown >= CLEAR and abs(face.alignment.degrees) < LEANS:
        return face
    for eighth in (0, 1, -1, 2, -2, 3, -3, 4):
        seen = _close(photo, face, np.exp(-1j * np.pi / 4 * eighth), network)
        best = seen if seen and seen.score > best.score else best
        if best.score >= SURE:
            break
    for _ in range(2):  # nearer to upright, the landmarks are truer
        turn = best.alignment.turn
        best = _close(photo, face, turn / abs(turn), network) or best
    return best


def _close(photo: Pixels, face: Detection, turn: complex, network: cv2.FaceDetectorYN) -> Detection | None:
    """The face in a square around it, turned by ``turn`` of length 1; None: the network does not find it there."""
    left, top, wide, high = face.box
    turn = complex(turn / (AROUND * max(wide, high)))
    square = Alignment(turn, complex(0.5, 0.5) - turn * complex(left + wide / 2, top + high / 2))
    rows = yunet_rows(network, cut(photo, square, CLOSE))
    for row in sorted(rows, key=lambda row: -row[14]):
        points = row[4:14].reshape(5, 2).astype(np.float64) @ (1, 1j) / CLOSE
        if abs(points.mean() - complex(0.5, 0.55)) < 0.2:
            there = (points - square.move) / square.turn
            return Detection(face.box, np.stack([there.real, there.imag], 1), float(row[14]))
    return None


def yunet_rows(network: cv2.FaceDetectorYN, part: Pixels) -> Sequence[NDArray[np.float32]]:
    """YuNet's rows for a picture, which is filled up with black to sides that it can halve five times.

    A row: left, top, width, height; x and y of right eye, left eye, nose, corners of the mouth; score.
    """
    height, width = (-(-side // 32) * 32 for side in part.shape[:2])
    right, below = width - part.shape[1], height - part.shape[0]
    tile = cv2.copyMakeBorder(cv2.cvtColor(part, cv2.COLOR_RGB2BGR), 0, below, 0, right, cv2.BORDER_CONSTANT)
    network.setInputSize((width, height))
    _, rows = network.detect(tile)
    return rows if rows is not None else ()


def _detection(row: NDArray[np.float32], scale: float, left: int, top: int) -> Detection:
    x, y, wide, high = (float(value) for value in row[:4])
    points = row[4:14].reshape(5, 2).astype(np.float64) + np.array([left, top])
    box = ((x + left) / scale, (y + top) / scale, wide / scale, high / scale)
    return Detection(box, points / scale, float(row[14]), shown=wide)


def _scales(shape: tuple[int, int], least: int) -> Iterator[float]:
    """From the size at which the narrowest face is wide enough down to that where the photograph is one tile."""
    scale = min(2.0, NARROWEST / least) if max(shape) <= 4 * TILE else min(1.0, NARROWEST / least)
    while True:
        yield scale
        if max(shape) * scale <= 2 * WIDEST:
            return
        scale /= STEP


def _starts(length: int) -> Sequence[int]:
    """Where tiles begin that cover a side of a picture, the last one moved back inside."""
    return [*range(0, length - TILE, TILE - LAP), max(0, length - TILE)]


def _haar(photo: Pixels, least: int) -> list[Detection]:
    """Faces of the quarter turn in which the cascade is surest, else those of turns by 30 degrees."""
    shrink = min(1.0, 24 / least)
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    if shrink < 1:
        grey = cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    best = upright = _haar_turned(grey, shrink, least, 0)
    if not any(face.score >= PLAIN for face in upright):  # most photographs: three quarters of the work is saved
        quarters = [upright, *(_haar_turned(grey, shrink, least, degrees) for degrees in (90, 180, -90))]
        best = max(quarters, key=lambda faces: max((face.score for face in faces), default=0.0))
    return best or [face for degrees in (-30, 30) for face in _haar_turned(grey, shrink, least, degrees)]


def _haar_turned(grey: Pixels, shrink: float, least: int, degrees: int) -> list[Detection]:
    """Faces of a grey picture, ``shrink`` times the photograph's size, turned counter-clockwise by ``degrees``."""
    height, width = grey.shape if degrees % 180 != 90 else grey.shape[::-1]
    turn = complex(np.exp(-1j * np.deg2rad(degrees)))
    turned = Alignment(turn, complex(width, height) / 2 - turn * complex(*grey.shape[::-1]) / 2)
    if degrees:
        grey = cv2.warpAffine(grey, turned.matrix(1), (width, height))
    side = max(20, round(least * shrink))
    boxes, _, sure = _cascade().detectMultiScale3(
        cv2.equalizeHist(grey), scaleFactor=1.08, minNeighbors=6, minSize=(side, side), outputRejectLevels=True
    )
    found = []
    for (left, top, wide, high), score in zip(boxes, np.ravel(sure), strict=True):
        centre = (complex(left + wide / 2, top + high / 2) - turned.move) / turn
        corner = centre - complex(wide, high) / 2  # a box is a square
        box = (corner.real / shrink, corner.imag / shrink, float(wide) / shrink, float(high) / shrink)
        found.append(Detection(box, None, float(score), float(degrees)))
    return found


def _distinct(found: Sequence[Detection]) -> list[Detection]:
    """Without those that overlap a surer one; the largest first."""
    kept: list[Detection] = []
    for face in sorted(found, key=lambda f: (-round(f.score, 2), -f.box[2])):
        if all(overlap(face.box, other.box) < OVERLAP for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: -face.box[2] * face.box[3])


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes, or 1 where one lies almost wholly in the other."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    both, areas = wide * high, (a[2] * a[3], b[2] * b[3])
    return 1.0 if both > 0.8 * min(areas) else both / (sum(areas) - both)


@lru_cache(maxsize=8)
def yunet_network(file: str, _level: int, score: float = SCORE, most: float = OVERLAP) -> cv2.FaceDetectorYN:
    """A network for each size at which a picture is shown: an input of another size costs OpenCV a new plan."""
    return cv2.FaceDetectorYN.create(file, "", (TILE, TILE), score, most)


@lru_cache(maxsize=1)
def _cascade() -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"))
