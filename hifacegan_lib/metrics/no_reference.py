"""Sharpness and colour: measures of one image without a reference, and the shift of its mean colour.

    sharpness      deviation of the Laplacian of luma over the pixels                        grey levels; fine detail
    colour_cast    |mean (a*, b*)| in CIELAB; 0: grey on average                              faces have a natural cast
    colour_shift   |mean (a*, b*) of the image - of the clean face|                           a tint that was added

Sharpness does not distinguish noise from detail. It is compared with the value of the clean faces: blur lies below it,
invented detail above, and a value near it is good. Luma is that of ITU-R BT.601; CIELAB has the white point D65.
"""

import cv2
import numpy as np
from torch import Tensor

from hifacegan_lib.metrics.metric import Planes, check, per_pair

SHARPNESS_SIDE = 3  # smallest side in pixels, for one value of the Laplacian


def sharpness(image: Tensor, clean: Tensor) -> Tensor:
    """Standard deviation of the 3 x 3 Laplacian of luma, in grey levels of 0 to 255; N values, from 0.

    Pixels at the border do not count. Half the contrast of detail gives half the value. ``clean`` is not used.
    """
    check(image, clean, SHARPNESS_SIDE)

    def value(x: Planes, _: Planes) -> float:
        luma = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) * np.float32(255)
        return float(cv2.Laplacian(luma, cv2.CV_32F, ksize=1)[1:-1, 1:-1].std(dtype=np.float64))

    return per_pair(value, image, clean)


def colour_cast(image: Tensor, clean: Tensor) -> Tensor:
    """Length of the mean (a*, b*) vector, N values, 0 for an image that is grey on average; ``clean`` is not used."""
    check(image, clean)
    return per_pair(lambda x, _: float(np.hypot(*_mean_colour(x))), image, clean)


def colour_shift(image: Tensor, clean: Tensor) -> Tensor:
    """Distance of the mean (a*, b*) of the image from that of the clean one, N values; visible from about 2."""
    check(image, clean)
    return per_pair(lambda x, y: float(np.hypot(*(_mean_colour(x) - _mean_colour(y)))), image, clean)


def _mean_colour(x: Planes) -> np.ndarray:
    """Mean a* and b* of H x W x 3 in [0, 1]."""
    return np.array(cv2.mean(cv2.cvtColor(x, cv2.COLOR_RGB2Lab))[1:3])
