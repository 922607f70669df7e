"""Metrics of identity: embeddings by SFace or another network, landmarks of the same faces.

    identity   cosine of the two faces' embeddings         -1 to 1, higher; SFace by OpenCV: same person from 0.363
    degrees    angle between the embeddings                                                   0 to 180, lower
    FED        Euclidean distance of the embeddings, each of length 1          0 to 2, lower; sqrt(2 - 2 cosine)
    LLE        mean distance of the five landmarks, % of the clean eyes' distance                 from 0, lower
    LMD        the same in pixels, of a picture whose longer side has 512                         from 0, lower

YuNet finds the face. For an embedding the image is aligned by YuNet's landmarks of that image, as face recognition
systems do; LLE and LMD take o-net's landmarks, which are steadier. If no face is found in one of the two
images, the value is NaN, which an evaluation counts and lists. Papers define LLE and LMD by the 68 landmarks of other
networks; only values of the same definition can be compared.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hifacegan_lib.metrics import landmarks
from hifacegan_lib.metrics.metric import check, weights
from hifacegan_lib.metrics.recognition import Recogniser, SFace
from hifacegan_lib.restoration.detection import Detection
from hifacegan_lib.utils.images import Pixels, to_uint8

CACHED_IMAGES = 128  # images whose results are cached: every method and metric uses the same clean image
LMD_SIDE = 512  # pixels of the longer side, for LMD
Array = NDArray[np.floating]
Key = tuple[bytes, tuple[int, ...]]
"""The bytes and the shape of a uint8 image: equal images are one entry of a cache."""


class Identity:
    """Five metrics that share the face and embedding of each image; the networks are loaded at the first call.

    Args:
        recogniser: gives the embeddings; None: SFace.
    Raises (when called):
        MetricUnavailable: YuNet, or SFace for embeddings, or o-net for LLE and LMD, is not downloaded.
        ValueError: a file of weights is damaged, or the arguments are not a pair of image batches.
    """

    def __init__(self, recogniser: Recogniser | None = None) -> None:
        self._face = lru_cache(CACHED_IMAGES)(_largest_face)
        self._points = lru_cache(CACHED_IMAGES)(self._find)
        self._embedding = lru_cache(CACHED_IMAGES)(self._embed)
        self._recogniser = recogniser

    def similarity(self, image: Tensor, clean: Tensor) -> Tensor:
        """Cosine of the embeddings, N values from -1 to 1."""
        return _each(image, clean, self._embedding, lambda a, b: float(a @ b))

    def degrees(self, image: Tensor, clean: Tensor) -> Tensor:
        """Angle between the embeddings in degrees, N values from 0 to 180."""
        return 2 * (self.fed(image, clean) / 2).clamp(max=1).arcsin().rad2deg()  # arccos is less exact near 0

    def fed(self, image: Tensor, clean: Tensor) -> Tensor:
        """Face embedding distance, N values from 0 to 2."""
        return _each(image, clean, self._embedding, lambda a, b: float(np.linalg.norm(a - b)))

    def landmark_error(self, image: Tensor, clean: Tensor) -> Tensor:
        """Landmark localisation error, N values, in per cent of the distance between the clean face's eyes."""
        return self._apart(image, clean, lambda points: 100 / float(np.linalg.norm(points[0] - points[1])))

    def landmark_distance(self, image: Tensor, clean: Tensor) -> Tensor:
        """Mean distance of the landmarks, N values, in pixels at 512."""
        return self._apart(image, clean, lambda _: LMD_SIDE / max(clean.shape[2:]))

    def _apart(self, image: Tensor, clean: Tensor, unit: Callable[[Array], float]) -> Tensor:
        """Mean distance of the landmarks in pixels, times the ``unit`` of the clean face's landmarks."""
        return _each(image, clean, self._points, lambda a, b: unit(b) * float(np.linalg.norm(a - b, axis=1).mean()))

    def _find(self, key: Key) -> Array | None:
        """The landmarks; None without a face."""
        weights("onet")  # before the face detection, so that the error comes for the first image
        face = self._face(key)
        return landmarks.five_points(_pixels(key), face.box) if face else None

    def _embed(self, key: Key) -> Array | None:
        """Embedding of length 1; None without a face."""
        if self._recogniser is None:  # before the face detection, so that the error comes for the first image
            self._recogniser = SFace()
        face = self._face(key)
        return None if face is None else self._recogniser(_pixels(key), face)


def _largest_face(key: Key) -> Detection | None:
    return next(iter(landmarks.faces_of_crop(_pixels(key))), None)


def _pixels(key: Key) -> Pixels:
    return np.frombuffer(key[0], np.uint8).reshape(key[1])


def _each(
    image: Tensor,
    clean: Tensor,
    describe: Callable[[Key], Array | None],
    value: Callable[[Array, Array], float],
) -> Tensor:
    """``value`` of the descriptions of each pair of images; NaN if ``describe`` returns None for one of them."""
    check(image, clean)
    found = []
    for pair in zip(image, clean, strict=True):
        a, b = (describe((pixels.tobytes(), pixels.shape)) for pixels in map(to_uint8, pair))
        found.append(np.nan if a is None or b is None else value(a, b))
    return torch.tensor(found, dtype=image.dtype, device=image.device)
