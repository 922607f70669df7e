"""Faces and their five landmarks in a face crop, by YuNet (Wu et al. 2023).

A crop that is filled by a face differs from YuNet's training images, and YuNet finds faces of medium size better than
large ones. So the crop gets a grey frame, on each side as wide as the crop, and the network sees it at 320 x 320, where
the face is about 80 pixels wide. Of 50 clean FFHQ faces all are found, at 512 down to 64 pixels; after the recipe
`face_renov` 50 are found at 512, 50 at 256, 48 at 128 and 28 at 64 pixels (without frame at 640: 42, 33, 27, 14).
"""

from pathlib import Path

import cv2
import numpy as np

from hifacegan_lib.metrics.metric import weights
from hifacegan_lib.restoration.detection import Detection, seen, yunet
from hifacegan_lib.utils.images import Pixels, check_pixels

SIDE, FRAME = 320, 1.0  # input of the network, pixels; width of the frame as a share of the longer side
SCORE, OVERLAP = 0.5, 0.3  # least confidence; largest overlap of two faces
GREY = (128, 128, 128)


def faces_of_crop(image: Pixels, file: Path | None = None) -> list[Detection]:
    """Faces of a crop, uint8 H x W x 3, the largest first; lengths in pixels of the crop, a box may extend beyond it.

    Args:
        file: of YuNet; None: the downloaded one.
    Raises:
        MetricUnavailable: YuNet is not downloaded. ValueError: wrong shape or dtype, or damaged weights.
    """
    check_pixels(image)
    network = yunet(str(file or weights("yunet")), -2, SCORE, OVERLAP)
    longer = max(image.shape[:2])
    edge = round(FRAME * longer)
    framed = cv2.copyMakeBorder(image, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=GREY)
    scale = SIDE / max(framed.shape[:2])
    height, width = (max(1, round(side * scale)) for side in framed.shape[:2])
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    shown = np.full((SIDE, SIDE, 3), GREY, np.uint8)
    shown[:height, :width] = cv2.resize(framed, (width, height), interpolation=kind)
    faces = []
    for row in seen(network, shown):
        left, top, wide, high = (float(length) / scale for length in row[:4])
        points = row[4:14].reshape(5, 2).astype(np.float64) / scale - edge
        faces.append(Detection((left - edge, top - edge, wide, high), points, float(row[14])))
    return sorted(faces, key=lambda face: -face.box[2] * face.box[3])
