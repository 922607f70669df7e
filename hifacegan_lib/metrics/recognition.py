"""Embeddings of faces: by OpenCV's SFace, or by an ArcFace or AdaFace network in an ONNX file of the user's.

    aligned = the face at 112 x 112, by the similarity (a z + b) that brings its five landmarks nearest to the template
    embedding = network((aligned - 127.5) / 127.5), divided by its length

The template is that of ArcFace (Deng et al. 2019), which SFace and AdaFace use too; pixels are bilinear and black
outside of the picture. ArcFace takes RGB. AdaFace (Kim et al. 2022) takes BGR: ``@bgr`` at the end of the path says so.
SFace takes values of 0 to 255 and does its own scaling.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.metrics.metric import weights
from hifacegan_lib.restoration.alignment import similarity
from hifacegan_lib.restoration.detection import Detection
from hifacegan_lib.utils.files import sha256
from hifacegan_lib.utils.images import Pixels

SIDE = 112
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Right eye, left eye, nose, corners of the mouth, in pixels of 112 x 112."""


Recogniser = Callable[[Pixels, Detection], NDArray[np.float32]]
"""A picture, uint8 RGB H x W x 3, and a face in it -> its embedding, d numbers of length 1."""


class SFace:
    """SFace (Zhong et al. 2021) by OpenCV, 128 numbers.

    Raises:
        MetricUnavailable: SFace is not downloaded. ValueError: its file is damaged.
    """

    def __init__(self) -> None:
        self._network = cv2.FaceRecognizerSF.create(str(weights("sface")), "")

    def __call__(self, image: Pixels, face: Detection, /) -> NDArray[np.float32]:
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        return _unit(self._network.feature(self._network.alignCrop(bgr, yunet_row(face))))  # from 112 x 112


class OnnxRecogniser:
    """An ONNX file of ArcFace, AdaFace or alike: N x 3 x 112 x 112 float32 -> N x d; the first output counts.

    Args:
        source: path of the file; ``@bgr`` behind it for a network that takes BGR, as AdaFace does.
    Raises:
        FileNotFoundError: no such file. ValueError: no ONNX network, or of another input or output; the file is named.
    """

    def __init__(self, source: str | Path) -> None:
        path, at, order = str(source).rpartition("@")
        named = bool(at) and order.lower() in ("bgr", "rgb")
        self.file, self.order = (Path(path), order.lower()) if named else (Path(source), "rgb")
        if not self.file.is_file():
            raise FileNotFoundError(f"{self.file}: no such file; expected an ONNX network of face recognition")
        self.sha256 = sha256(self.file)
        self._session = _session(self.file)

    @property
    def words(self) -> str:
        """The file and how it is used, for the conditions of an evaluation."""
        return f"{self.file.name} sha256 {self.sha256}, {self.order.upper()} (x - 127.5) / 127.5, 112 x 112"

    def __call__(self, image: Pixels, face: Detection, /) -> NDArray[np.float32]:
        assert face.points is not None
        aligned = align(image, face.points)
        planes = (aligned if self.order == "rgb" else aligned[..., ::-1]).transpose(2, 0, 1)[None]  # 1 x 3 x 112 x 112
        given = {self._session.get_inputs()[0].name: (planes.astype(np.float32) - 127.5) / 127.5}
        return _unit(self._session.run(None, given)[0])


def align(image: Pixels, points: NDArray[np.floating]) -> Pixels:
    """The face at 112 x 112 by its five landmarks, 5 x 2 in pixels of ``image``; the centre of the first pixel is 0.

    Raises:
        ValueError: all landmarks lie in one place.
    """
    turn, move = similarity(points, TEMPLATE)
    matrix = np.array([[turn.real, -turn.imag, move.real], [turn.imag, turn.real, move.imag]])
    return cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)


def yunet_row(face: Detection) -> NDArray[np.float32]:
    """A face in the format of OpenCV's recogniser: box, points, score; 1 x 15."""
    assert face.points is not None  # YuNet's detections have points
    return np.concatenate([face.box, face.points.ravel(), [face.score]]).astype(np.float32)[None]


def _unit(embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = embedding.ravel()
    return flat / max(float(np.linalg.norm(flat)), 1e-12)


def _session(file: Path) -> Any:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each kind
        raise ValueError(f"{file}: no ONNX network ({str(error).splitlines()[0]})") from None
    entries = session.get_inputs()
    try:
        probe = session.run(None, {entries[0].name: np.zeros((1, 3, SIDE, SIDE), np.float32)})[0]
    except Exception:  # it refuses this input
        found = ", ".join(f"{entry.type} {entry.shape}" for entry in entries)
        raise ValueError(f"{file}: expected one input, float32 N x 3 x 112 x 112, found {found}") from None
    if probe.ndim != 2 or probe.shape[0] != 1 or probe.shape[1] < 2:
        found = f"{session.get_outputs()[0].name!r} of shape {probe.shape}"
        raise ValueError(f"{file}: expected an embedding, N x d, as first output, found {found}")
    return session
