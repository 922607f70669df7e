"""Colour, haze and uneven light. The maps of haze and light are stretched to the image's proportions."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.utils.images import Pixels

Matrix = NDArray[np.float64]
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
CHROMA = np.array([[0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])  # I and Q of YIQ


def colour_jitter(
    image: Pixels, brightness: float = 1, contrast: float = 1, saturation: float = 1, hue: float = 0
) -> Pixels:
    """Change brightness, contrast about the mean luma, saturation about the luma, hue in turns of the colour circle.

    All four are linear: one matrix applies them, and the result is clipped once.
    """
    yiq = np.vstack([LUMA, CHROMA])
    turn = 2 * math.pi * hue
    rotation = np.array([[1, 0, 0], [0, math.cos(turn), -math.sin(turn)], [0, math.sin(turn), math.cos(turn)]])
    grey = np.outer(np.ones(3), LUMA)
    matrix = np.linalg.inv(yiq) @ rotation @ yiq @ (saturation * np.eye(3) + (1 - saturation) * grey)
    mean = brightness * float(LUMA @ cv2.mean(image)[:3])
    return _transform(image, contrast * brightness * matrix, (1 - contrast) * mean * np.ones(3))


def colour_shift(image: Pixels, red: float, green: float, blue: float) -> Pixels:
    """Add a number of grey levels (of 255) to each channel."""
    return _transform(image, np.eye(3), np.array([red, green, blue]))


def grey(image: Pixels, amount: float = 1) -> Pixels:
    """Blend the image with its luma (BT.601): ``amount`` 0 keeps all colour, 1 removes all colour."""
    return _transform(image, (1 - amount) * np.eye(3) + amount * np.outer(np.ones(3), LUMA), np.zeros(3))


def haze(image: Pixels, amount: float, seed: int, light: float = 230) -> Pixels:
    """Add scattered light: x t + light (1 - t), transmission t = 1 - amount d, smooth random depth d from 0.6 to 1."""
    coarse = np.random.default_rng(seed).random((4, 4), np.float32)
    depth = 0.6 + 0.4 * cv2.resize(coarse, image.shape[1::-1], interpolation=cv2.INTER_CUBIC).clip(0, 1)
    lost = cv2.merge([np.float32(amount) * depth] * 3)
    return cv2.add(image * (1 - lost), lost * np.float32(light), dtype=cv2.CV_8U)


def uneven_light(image: Pixels, strength: float, angle: float) -> Pixels:
    """Reduce the light across the image from 1 to 1 - strength; it comes from ``angle`` (degrees, 90 is above)."""
    height, width = image.shape[:2]
    x = ((np.arange(width) + 0.5) / width - 0.5)[None, :] * math.cos(math.radians(angle))
    y = ((np.arange(height) + 0.5) / height - 0.5)[:, None] * -math.sin(math.radians(angle))
    away = (0.5 - (x + y) / math.sqrt(2)).clip(0, 1)  # 0 at the corner next to the light, 1 at the opposite corner
    gain = (1 - strength * away**2 * (3 - 2 * away)) ** (1 / 2.2)  # linear light to pixel values
    return cv2.multiply(image, cv2.merge([gain.astype(np.float32)] * 3), dtype=cv2.CV_8U)


def _transform(image: Pixels, matrix: Matrix, shift: Matrix) -> Pixels:
    return cv2.transform(image, np.column_stack([matrix, shift]))
