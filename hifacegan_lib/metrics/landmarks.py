"""Faces in a crop by YuNet (Wu et al. 2023), and their five landmarks by o-net of MTCNN (Zhang et al. 2016).

A crop that is filled by a face differs from YuNet's training images, and YuNet finds faces of medium size better than
large ones. So the crop gets a grey frame, on each side as wide as the crop, and the network sees it at 320 x 320, where
the face is about 80 pixels wide. Of 50 clean FFHQ faces all are found, at 512 down to 64 pixels; after the recipe
`face_renov` 50 are found at 512, 50 at 256, 48 at 128 and 28 at 64 pixels (without frame at 640: 42, 33, 27, 14).

YuNet's own landmarks move by 7 % of the eyes' distance when the same face is shown at 0.8 times its size. o-net's are
steadier, and steadier still in windows of its own, because they depend on where the face lies in the window:

    points = mean over nine windows of  corner + side * onet(window at 48 x 48)

The first window is YuNet's box; then come, twice, nine windows around the points found so far, with sides of 2.2 times
the distance from the eyes to the mouth, moved by -4, 0 and +4 % of it to each side. See ``benchmarks/landmarks.py``.
"""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hifacegan_lib.metrics import array_pickles
from hifacegan_lib.metrics.metric import weights
from hifacegan_lib.restoration.alignment import Alignment, cut
from hifacegan_lib.restoration.detection import Detection, yunet_network, yunet_rows
from hifacegan_lib.utils.images import Pixels, check_pixels

SIDE, FRAME = 320, 1.0  # input of YuNet, pixels; width of the frame as a share of the longer side
SCORE, OVERLAP = 0.5, 0.3  # least confidence; largest overlap of two faces
GREY = (128, 128, 128)
WINDOW = 48  # input of o-net, pixels
AROUND, MOVES, ROUNDS = 2.2, (-0.04, 0.0, 0.04), 2
Points = NDArray[np.float64]


def faces_of_crop(image: Pixels, file: Path | None = None) -> list[Detection]:
    """Faces of a crop, uint8 H x W x 3, the largest first; lengths in pixels of the crop, a box may extend beyond it.

    Args:
        file: of YuNet; None: the downloaded one.
    Raises:
        MetricUnavailable: YuNet is not downloaded. ValueError: wrong shape or dtype, or damaged weights.
    """
    check_pixels(image)
    network = yunet_network(str(file or weights("yunet")), -2, SCORE, OVERLAP)
    longer = max(image.shape[:2])
    edge = round(FRAME * longer)
    framed = cv2.copyMakeBorder(image, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=GREY)
    scale = SIDE / max(framed.shape[:2])
    height, width = (max(1, round(side * scale)) for side in framed.shape[:2])
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    shown = np.full((SIDE, SIDE, 3), GREY, np.uint8)
    shown[:height, :width] = cv2.resize(framed, (width, height), interpolation=kind)
    faces = []
    for row in yunet_rows(network, shown):
        left, top, wide, high = (float(length) / scale for length in row[:4])
        points = row[4:14].reshape(5, 2).astype(np.float64) / scale - edge
        faces.append(Detection((left - edge, top - edge, wide, high), points, float(row[14])))
    return sorted(faces, key=lambda face: -face.box[2] * face.box[3])


def five_points(image: Pixels, box: tuple[float, float, float, float], rounds: int = ROUNDS) -> Points:
    """Right eye, left eye, nose, corners of the mouth: 5 x 2, pixels of ``image`` (uint8 RGB, H x W x 3).

    Args:
        box: the detector's: left, top, width, height.
        rounds: of nine windows; 0: what the network says in the detector's box.
    Raises:
        MetricUnavailable: o-net is not downloaded. ValueError: its file is damaged.
    """
    layers = _layers(str(weights("onet")))
    left, top, wide, high = box
    points = _mean_points(layers, image, complex(left + wide / 2, top + high / 2), max(wide, high), (0.0,))
    for _ in range(rounds):
        side = AROUND * float(np.linalg.norm(points[:2].mean(0) - points[3:].mean(0)))
        points = _mean_points(layers, image, complex(*points.mean(0)), max(side, 1.0), MOVES)
    return points


def _mean_points(layers: list[Tensor], image: Pixels, centre: complex, side: float, moves: tuple[float, ...]) -> Points:
    """The mean of the points found in windows of ``side`` pixels, moved from ``centre`` by shares of it."""
    corners = np.array([centre - complex(0.5 - x, 0.5 - y) * side for x in moves for y in moves])
    windows = np.stack([cut(image, Alignment(complex(1 / side), -corner / side), WINDOW) for corner in corners])
    x = torch.from_numpy((windows.astype(np.float32) - 127.5) / 128).permute(0, 3, 1, 2)  # n x 3 x 48 x 48
    with torch.inference_mode():
        found = onet(layers, x).numpy().astype(np.float64)  # n x 10: five x, then five y
    places = found.reshape(-1, 2, 5).transpose(0, 2, 1)  # n x 5 x 2
    return (places * side + np.stack([corners.real, corners.imag], 1)[:, None]).mean(0)


def onet(layers: list[Tensor], x: Tensor) -> Tensor:
    """o-net's landmarks: n x 3 x 48 x 48, RGB from -1 to 1 -> n x 10, shares of the window: five x, then five y."""
    for n, pool in enumerate((3, 3, 2, 1)):  # 48 -> 46 -> 23 -> 21 -> 10 -> 8 -> 4 -> 3 pixels
        kernel, bias, slope = layers[3 * n : 3 * n + 3]
        x = functional.prelu(functional.conv2d(x, kernel.permute(3, 2, 0, 1), bias), slope.flatten())
        x = functional.max_pool2d(x, pool, min(pool, 2), ceil_mode=True)
    x = x.permute(0, 3, 2, 1).flatten(1)  # columns first, n x 1152
    x = functional.prelu(x @ layers[12] + layers[13], layers[14])
    return x @ layers[17] + layers[18]


@lru_cache(maxsize=1)
def _layers(file: str) -> list[Tensor]:
    """Kernel (height, width, in, out), bias and slope of four convolutions, then the dense layers (in, out)."""
    return [torch.from_numpy(array) for array in array_pickles.read(file)]
