"""Five landmarks of a face by o-net, the last network of MTCNN (Zhang et al. 2016), steadied by windows of its own.

    points = mean over nine windows of  corner + side * onet(window at 48 x 48)

What o-net says depends a little on where the face lies in its window. So the first window is the detector's box; then
come, twice, nine windows around the points found so far, with sides of 2.2 times the distance from the eyes to the
mouth, moved by -4, 0 and +4 % of it to each side. ``benchmarks/landmarks.py`` measures how steady this is.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hifacegan_lib.metrics import array_pickles
from hifacegan_lib.metrics.metric import weights
from hifacegan_lib.restoration.alignment import Alignment, cut
from hifacegan_lib.utils.images import Pixels

SIDE = 48  # input of the network, pixels
AROUND, MOVES, ROUNDS = 2.2, (-0.04, 0.0, 0.04), 2
Points = NDArray[np.float64]


def find(image: Pixels, box: tuple[float, float, float, float], rounds: int = ROUNDS) -> Points:
    """Right eye, left eye, nose, corners of the mouth: 5 x 2, pixels of ``image`` (uint8 RGB, H x W x 3).

    Args:
        box: the detector's: left, top, width, height.
        rounds: of nine windows; 0: what the network says in the detector's box.
    Raises:
        MetricUnavailable: o-net is not downloaded. ValueError: its file is damaged.
    """
    layers = _layers(str(weights("onet")))
    left, top, wide, high = box
    points = _seen(layers, image, complex(left + wide / 2, top + high / 2), max(wide, high), (0.0,))
    for _ in range(rounds):
        side = AROUND * float(np.linalg.norm(points[:2].mean(0) - points[3:].mean(0)))
        points = _seen(layers, image, complex(*points.mean(0)), max(side, 1.0), MOVES)
    return points


def _seen(layers: list[Tensor], image: Pixels, centre: complex, side: float, moves: tuple[float, ...]) -> Points:
    """The mean of the points found in windows of ``side`` pixels, moved from ``centre`` by shares of it."""
    corners = np.array([centre - complex(0.5 - x, 0.5 - y) * side for x in moves for y in moves])
    windows = np.stack([cut(image, Alignment(complex(1 / side), -corner / side), SIDE) for corner in corners])
    x = torch.from_numpy((windows.astype(np.float32) - 127.5) / 128).permute(0, 3, 1, 2)  # n x 3 x 48 x 48
    with torch.inference_mode():
        found = network(layers, x).numpy().astype(np.float64)  # n x 10: five x, then five y
    places = found.reshape(-1, 2, 5).transpose(0, 2, 1)  # n x 5 x 2
    return (places * side + np.stack([corners.real, corners.imag], 1)[:, None]).mean(0)


def network(layers: list[Tensor], x: Tensor) -> Tensor:
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
