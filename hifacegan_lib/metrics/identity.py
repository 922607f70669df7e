"""Is it still the same person? Embeddings by SFace (Zhong et al. 2021), landmarks by YuNet.

    identity   cosine of the two faces' embeddings                          -1 to 1, higher; OpenCV: same from 0.363
    FED        Euclidean distance of the embeddings, each of length 1          0 to 2, lower; sqrt(2 - 2 cosine)
    LLE        mean distance of the five landmarks, % of the clean eyes' distance                 from 0, lower

Each picture is aligned by its own landmarks, as a system that recognises people would do it. Where no face is found in
either of the two there is no value: NaN, which an evaluation counts and lists. Papers differ in LLE: 68 landmarks of
another network, or pixels; only the same kind can be compared.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hifacegan_lib.metrics import landmarks
from hifacegan_lib.metrics.metric import MetricUnavailable, check
from hifacegan_lib.restoration.detection import Detection
from hifacegan_lib.utils import weight_registry
from hifacegan_lib.utils.images import Pixels, to_uint8

REMEMBERED = 128  # pictures whose face is not looked for again: the clean one serves every method and metric
Array = NDArray[np.floating]


@dataclass(frozen=True)
class _Picture:
    """Pixels that a cache can tell from others by their bytes."""

    pixels: Pixels = field(compare=False)
    mark: bytes

    @classmethod
    def of(cls, image: Tensor) -> "_Picture":
        pixels = to_uint8(image)
        return cls(pixels, hashlib.sha256(np.array(pixels.shape).tobytes() + pixels.tobytes()).digest())


class Identity:
    """Three metrics over one description of each picture; networks are loaded at the first call.

    Raises (when called):
        MetricUnavailable: YuNet, or for similarity and FED SFace, is not downloaded.
        ValueError: a file of weights is damaged, or what is given is no pair of pictures.
    """

    def __init__(self) -> None:
        self._face = lru_cache(REMEMBERED)(_largest_face)
        self._embedding = lru_cache(REMEMBERED)(self._embed)
        self._recogniser: cv2.FaceRecognizerSF | None = None

    def similarity(self, image: Tensor, clean: Tensor) -> Tensor:
        """Cosine of the embeddings, N values of -1 to 1."""
        return _each(image, clean, self._embedding, lambda a, b: float(a @ b))

    def fed(self, image: Tensor, clean: Tensor) -> Tensor:
        """Face embedding distance, N values of 0 to 2."""
        return _each(image, clean, self._embedding, lambda a, b: float(np.linalg.norm(a - b)))

    def landmark_error(self, image: Tensor, clean: Tensor) -> Tensor:
        """Landmark localisation error, N values in per cent of the distance of the clean face's eyes."""

        def points(picture: _Picture) -> Array | None:
            face = self._face(picture)
            return face.points if face else None

        def value(a: Array, b: Array) -> float:
            return 100 * float(np.linalg.norm(a - b, axis=1).mean() / np.linalg.norm(b[0] - b[1]))

        return _each(image, clean, points, value)

    def _embed(self, picture: _Picture) -> Array | None:
        """128 numbers of length 1; None where there is no face."""
        if self._recogniser is None:  # before a face is looked for: one missing file is enough to know
            self._recogniser = cv2.FaceRecognizerSF.create(str(weight_registry.verify("sface")), "")
        face = self._face(picture)
        if face is None:
            return None
        bgr = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2BGR)
        embedding = self._recogniser.feature(self._recogniser.alignCrop(bgr, yunet_row(face))).ravel()  # of 112 x 112
        return embedding / max(float(np.linalg.norm(embedding)), 1e-12)


def yunet_row(face: Detection) -> NDArray[np.float32]:
    """A face as OpenCV's recogniser takes it: box, points, score; 1 x 15."""
    assert face.points is not None  # YuNet's have them
    return np.concatenate([face.box, face.points.ravel(), [face.score]]).astype(np.float32)[None]


def _largest_face(picture: _Picture) -> Detection | None:
    return next(iter(landmarks.faces_of_crop(picture.pixels)), None)


def _each(
    image: Tensor,
    clean: Tensor,
    describe: Callable[[_Picture], Array | None],
    value: Callable[[Array, Array], float],
) -> Tensor:
    """``value`` of what ``describe`` finds in each pair; NaN where it finds nothing in either."""
    check(image, clean)
    found = []
    try:
        for pair in zip(image, clean, strict=True):
            a, b = (describe(_Picture.of(picture)) for picture in pair)
            found.append(np.nan if a is None or b is None else value(a, b))
    except weight_registry.MissingWeights as error:
        raise MetricUnavailable(str(error)) from None
    return torch.tensor(found, dtype=image.dtype, device=image.device)
