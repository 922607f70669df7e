"""Metrics of identity: embeddings by SFace (Zhong et al. 2021), landmarks by YuNet.

    identity   cosine of the two faces' embeddings             -1 to 1, higher; OpenCV: same person from 0.363
    FED        Euclidean distance of the embeddings, each of length 1          0 to 2, lower; sqrt(2 - 2 cosine)
    LLE        mean distance of the five landmarks, % of the clean eyes' distance                 from 0, lower

Each image is aligned by its own landmarks, as face recognition systems do. If no face is found in one of the two
images, the value is NaN, which an evaluation counts and lists. Papers define LLE differently (68 landmarks of another
network, or pixels); only values of the same definition can be compared.
"""

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hifacegan_lib.metrics import landmarks
from hifacegan_lib.metrics.metric import check, weights
from hifacegan_lib.restoration.detection import Detection
from hifacegan_lib.utils.images import Pixels, to_uint8

CACHED_IMAGES = 128  # images whose results are cached: every method and metric uses the same clean image
Array = NDArray[np.floating]
Key = tuple[bytes, tuple[int, ...]]
"""The bytes and the shape of a uint8 image: equal images are one entry of a cache."""


class Identity:
    """Three metrics that share the face and embedding of each image; the networks are loaded at the first call.

    Raises (when called):
        MetricUnavailable: YuNet, or for similarity and FED SFace, is not downloaded.
        ValueError: a file of weights is damaged, or the arguments are not a pair of image batches.
    """

    def __init__(self) -> None:
        self._face = lru_cache(CACHED_IMAGES)(_largest_face)
        self._embedding = lru_cache(CACHED_IMAGES)(self._embed)
        self._recogniser: cv2.FaceRecognizerSF | None = None

    def similarity(self, image: Tensor, clean: Tensor) -> Tensor:
        """Cosine of the embeddings, N values from -1 to 1."""
        return _each(image, clean, self._embedding, lambda a, b: float(a @ b))

    def fed(self, image: Tensor, clean: Tensor) -> Tensor:
        """Face embedding distance, N values from 0 to 2."""
        return _each(image, clean, self._embedding, lambda a, b: float(np.linalg.norm(a - b)))

    def landmark_error(self, image: Tensor, clean: Tensor) -> Tensor:
        """Landmark localisation error, N values, in per cent of the distance between the clean face's eyes."""

        def points(key: Key) -> Array | None:
            face = self._face(key)
            return face.points if face else None

        def value(a: Array, b: Array) -> float:
            return 100 * float(np.linalg.norm(a - b, axis=1).mean() / np.linalg.norm(b[0] - b[1]))

        return _each(image, clean, points, value)

    def _embed(self, key: Key) -> Array | None:
        """Embedding of 128 numbers and length 1; None without a face."""
        if self._recogniser is None:  # before the face detection, so that the error comes for the first image
            self._recogniser = cv2.FaceRecognizerSF.create(str(weights("sface")), "")
        face = self._face(key)
        if face is None:
            return None
        bgr = cv2.cvtColor(_pixels(key), cv2.COLOR_RGB2BGR)
        embedding = self._recogniser.feature(self._recogniser.alignCrop(bgr, yunet_row(face))).ravel()  # from 112 x 112
        return embedding / max(float(np.linalg.norm(embedding)), 1e-12)


def yunet_row(face: Detection) -> NDArray[np.float32]:
    """A face in the format of OpenCV's recogniser: box, points, score; 1 x 15."""
    assert face.points is not None  # YuNet's detections have points
    return np.concatenate([face.box, face.points.ravel(), [face.score]]).astype(np.float32)[None]


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
