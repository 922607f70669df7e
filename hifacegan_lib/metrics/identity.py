"""Is it still the same person? Embeddings by SFace (Zhong et al. 2021), landmarks by YuNet.

    identity   cosine of the two faces' embeddings                          -1 to 1, higher; OpenCV: same from 0.363
    FED        Euclidean distance of the embeddings, each of length 1          0 to 2, lower; sqrt(2 - 2 cosine)
    LLE        mean distance of the five landmarks, % of the clean eyes' distance                 from 0, lower

Each picture is aligned by its own landmarks, as a system that recognises people would do it. Where no face is found in
either of the two there is no value: NaN, which an evaluation counts and lists. Papers differ in LLE: 68 landmarks of
another network, or pixels; only the same kind can be compared.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hifacegan_lib.metrics.full_reference import MetricUnavailable, check
from hifacegan_lib.metrics.landmarks import Face, Landmarker
from hifacegan_lib.utils import weight_registry
from hifacegan_lib.utils.images import Pixels, to_uint8

REMEMBERED = 256  # pictures whose face is not looked for again: the clean one serves every method and metric


class Described(NamedTuple):
    """A picture's face, and its embedding of length 1, 128 numbers (None: nobody asked yet)."""

    face: Face
    embedding: NDArray[np.float32] | None


class Identity:
    """Three metrics over one description of each picture; networks are loaded at the first call.

    Raises (when called):
        MetricUnavailable: YuNet, or for similarity and FED SFace, is not downloaded.
        ValueError: a file of weights is damaged, or what is given is no pair of pictures.
    """

    def __init__(self) -> None:
        self._landmarker = Landmarker()
        self._recogniser: cv2.FaceRecognizerSF | None = None
        self._known: OrderedDict[bytes, Described | None] = OrderedDict()

    def similarity(self, image: Tensor, clean: Tensor) -> Tensor:
        """Cosine of the embeddings, N values of -1 to 1."""
        return self._each(image, clean, True, lambda a, b: float(_embedding(a) @ _embedding(b)))

    def fed(self, image: Tensor, clean: Tensor) -> Tensor:
        """Face embedding distance, N values of 0 to 2."""
        return self._each(image, clean, True, lambda a, b: float(np.linalg.norm(_embedding(a) - _embedding(b))))

    def landmark_error(self, image: Tensor, clean: Tensor) -> Tensor:
        """Landmark localisation error, N values in per cent of the distance of the clean face's eyes."""

        def value(a: Described, b: Described) -> float:
            away = np.linalg.norm(a.face.points - b.face.points, axis=1).mean()
            return 100 * float(away) / b.face.eye_distance

        return self._each(image, clean, False, value)

    def _each(
        self, image: Tensor, clean: Tensor, embed: bool, value: Callable[[Described, Described], float]
    ) -> Tensor:
        check(image, clean)
        found = []
        try:
            if embed:
                self._load_recogniser()  # before a face is looked for: one missing file is enough to know
            for pair in zip(image, clean, strict=True):
                a, b = (self._describe(to_uint8(picture), embed) for picture in pair)
                found.append(np.nan if a is None or b is None else value(a, b))
        except weight_registry.MissingWeights as error:
            raise MetricUnavailable(str(error)) from None
        return torch.tensor(found, dtype=image.dtype, device=image.device)

    def _describe(self, picture: Pixels, embed: bool) -> Described | None:
        """The largest face of a picture; None where there is none."""
        mark = hashlib.sha256(np.array(picture.shape).tobytes() + picture.tobytes()).digest()
        if mark in self._known:
            self._known.move_to_end(mark)
        else:
            faces = self._landmarker.find(picture)
            self._known[mark] = Described(faces[0], None) if faces else None
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        described = self._known[mark]
        if embed and described is not None and described.embedding is None:
            described = self._known[mark] = described._replace(embedding=self._embed(picture, described.face))
        return described

    def _embed(self, picture: Pixels, face: Face) -> NDArray[np.float32]:
        recogniser = self._load_recogniser()
        aligned = recogniser.alignCrop(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), face.row)  # 112 x 112, BGR
        embedding = recogniser.feature(aligned).ravel()
        return embedding / max(float(np.linalg.norm(embedding)), 1e-12)

    def _load_recogniser(self) -> cv2.FaceRecognizerSF:
        if self._recogniser is None:
            self._recogniser = cv2.FaceRecognizerSF.create(str(weight_registry.verify("sface")), "")
        return self._recogniser


def _embedding(described: Described) -> NDArray[np.float32]:
    if described.embedding is None:
        raise AssertionError("described without its embedding")
    return described.embedding
