"""A restored face in the tone of its photograph.

A network for old prints takes yellowing, fading and sepia away. It sees the face alone, so the face would be an island
of other colours in its photograph. The low bands of frame and restored face tell how the two tones differ:

    restored' = A restored + b        A: 3 x 3, b: 3, with the least  sum_x | A low(restored) + b - low(frame) |

The sum of distances, not of their squares: a hand or a scratch, which differ much on a small area, count little. It is
minimised by least squares whose weights are the last residuals' inverse roots.
"""

import cv2
import numpy as np

from hifacegan_lib.restoration.blending.masks import low_band
from hifacegan_lib.utils.images import Pixels, check_pixels

ROUNDS = 8
LEAST = 1.0  # grey levels: smaller residuals weigh no more


def in_tone(frame: Pixels, restored: Pixels) -> Pixels:
    """The restored face with the colours, the contrast and the brightness of its frame, uint8 H x W x 3.

    Args:
        frame: the face as the photograph has it, uint8 H x W x 3.
        restored: of the same shape.
    Raises:
        ValueError: the two are no such pixels, or differ in size.
    """
    for image in (frame, restored):
        check_pixels(image)
    if frame.shape != restored.shape:
        raise ValueError(f"frame {frame.shape} and restored face {restored.shape}: expected the same size")
    wanted, given = (low_band(image.astype(np.float32)).reshape(-1, 3) for image in (frame, restored))  # N x 3
    weights = np.ones((len(given), 1))
    given = np.hstack([given, weights])  # N x 4
    for _ in range(ROUNDS):
        tone = np.linalg.lstsq(weights * given, weights * wanted, rcond=None)[0]  # 4 x 3
        distance = np.linalg.norm(wanted - given @ tone, axis=1, keepdims=True)
        weights = 1 / np.sqrt(np.maximum(distance, LEAST))
    drawn = cv2.transform(restored.astype(np.float32), tone.T)  # the last column is added
    return np.clip(np.rint(drawn), 0, 255).astype(np.uint8)
