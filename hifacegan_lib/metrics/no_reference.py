"""What one picture shows without a reference, and how far its mean colour lies from the clean one's.

    sharpness      deviation of the Laplacian of luma over the pixels                        grey levels; fine detail
    colour_cast    |mean (a*, b*)| in CIELAB: 0 is grey on average                            faces have some by nature
    colour_shift   |mean (a*, b*) of the image - of the clean face|                           a tint that was added

Sharpness cannot tell noise from detail, and both restorers that blur and those that invent are seen beside the clean
faces' value: near it is good, above it is not better. Luma is ITU-R BT.601's, CIELAB has the white point D65.
"""

import cv2
import numpy as np
from torch import Tensor

from hifacegan_lib.metrics.metric import Planes, check, each

SHARPNESS_SIDE = 3  # pixels: one place of the Laplacian


def sharpness(image: Tensor, clean: Tensor) -> Tensor:
    """Standard deviation of the 3 x 3 Laplacian of luma, in grey levels of 0 to 255; N values, from 0.

    Places inside the picture alone. Half the value is half the contrast of detail. ``clean`` is not looked at.
    """
    check(image, clean, SHARPNESS_SIDE)

    def value(x: Planes, _: Planes) -> float:
        luma = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) * np.float32(255)
        return float(cv2.Laplacian(luma, cv2.CV_32F, ksize=1)[1:-1, 1:-1].std(dtype=np.float64))

    return each(value, image, clean)


def colour_cast(image: Tensor, clean: Tensor) -> Tensor:
    """Length of the mean (a*, b*) vector, N values, 0 for a picture that is grey on average; ``clean`` is not used."""
    check(image, clean)
    return each(lambda x, _: float(np.hypot(*_mean_colour(x))), image, clean)


def colour_shift(image: Tensor, clean: Tensor) -> Tensor:
    """Distance of the mean (a*, b*) of an image from that of the clean one, N values; about 2 begins to be seen."""
    check(image, clean)
    return each(lambda x, y: float(np.hypot(*(_mean_colour(x) - _mean_colour(y)))), image, clean)


def _mean_colour(x: Planes) -> np.ndarray:
    """Mean a* and b* of H x W x 3 in [0, 1]."""
    return np.array(cv2.mean(cv2.cvtColor(x, cv2.COLOR_RGB2Lab))[1:3])
