"""Faces and their five landmarks in a face crop, by YuNet (Wu et al. 2023).

A crop that a face fills is unlike what YuNet learned from, and large faces are found worse than middling ones: the crop
is framed in grey, as wide as itself on each side, and shown at 320 x 320, where its face is about 80 pixels wide. Of
50 FFHQ faces this finds all when they are clean, from 512 down to 64 pixels; after the recipe `face_renov` 50 at 512,
50 at 256, 48 at 128 and 28 at 64 pixels (unframed at 640: 42, 33, 27, 14).
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.utils import weight_registry
from hifacegan_lib.utils.images import Pixels, check_pixels

SIDE, FRAME = 320, 1.0  # pixels that the network sees; grey around the crop, shares of its longer side
SCORE, OVERLAP = 0.5, 0.3  # least confidence; most overlap of two faces
GREY = (128, 128, 128)
Points = NDArray[np.float32]


class Face(NamedTuple):
    """A face in a picture; lengths in its pixels.

    Attributes:
        box: left, top, width, height.
        points: 5 x 2, x and y of the person's right eye, left eye, nose, right and left corner of the mouth.
        score: confidence, 0 to 1.
    """

    box: NDArray[np.float32]
    points: Points
    score: float

    @property
    def eye_distance(self) -> float:
        """Between the eyes, pixels."""
        return float(np.linalg.norm(self.points[0] - self.points[1]))

    @property
    def row(self) -> NDArray[np.float32]:
        """As OpenCV's recogniser takes it: box, points, score; 1 x 15."""
        return np.concatenate([self.box, self.points.ravel(), [self.score]]).astype(np.float32)[None]


class Landmarker:
    """Finds faces; the network is loaded at the first call.

    Raises (when called):
        MissingWeights: YuNet is not downloaded. ValueError: its file is damaged, or the picture is none.
    """

    def __init__(self) -> None:
        self._network: cv2.FaceDetectorYN | None = None

    def find(self, image: Pixels) -> list[Face]:
        """Faces of a uint8 RGB H x W x 3 picture, the largest first."""
        check_pixels(image)
        if self._network is None:
            file = str(weight_registry.verify("yunet"))
            self._network = cv2.FaceDetectorYN.create(file, "", (SIDE, SIDE), SCORE, OVERLAP)
        longer = max(image.shape[:2])
        edge = round(FRAME * longer)
        framed = cv2.copyMakeBorder(image, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=GREY)
        scale = SIDE / max(framed.shape[:2])
        height, width = (max(1, round(side * scale)) for side in framed.shape[:2])
        kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        shown = np.full((SIDE, SIDE, 3), GREY, np.uint8)
        shown[:height, :width] = cv2.resize(framed, (width, height), interpolation=kind)
        _, found = self._network.detect(cv2.cvtColor(shown, cv2.COLOR_RGB2BGR))
        faces = [_face(row, scale, edge) for row in (found if found is not None else ())]
        return sorted(faces, key=lambda face: -float(face.box[2] * face.box[3]))


def _face(row: NDArray[np.float32], scale: float, edge: int) -> Face:
    """Back from the framed picture's pixels to the crop's."""
    box = row[:4] / scale
    box[:2] -= edge
    return Face(box, row[4:14].reshape(5, 2) / scale - edge, float(row[14]))
