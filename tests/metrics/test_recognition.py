"""Embeddings by a user's ONNX file: aligned as OpenCV's SFace, scaled as said, and a wrong file is refused."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from skimage import data
from standins import real

from hifacegan_lib.metrics.landmarks import faces_of_crop
from hifacegan_lib.metrics.recognition import OnnxRecogniser, align, yunet_row
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.restoration.detection import Detection
from hifacegan_lib.utils import files, weight_registry

PHOTO = np.ascontiguousarray(data.astronaut()[0:256, 96:352])
POINTS = np.array([[106, 105], [151, 105], [127, 127], [110, 144], [147, 144]], np.float64)  # as looked at
FACE = Detection((84, 69, 90, 110), POINTS, 0.9)


def network(file: Path, shape: Sequence[int | str] = ("n", 3, 112, 112), axes: Sequence[int] = (2, 3)) -> Path:
    """An ONNX file whose output is the mean of its input over ``axes``: of each channel, if these are height, width."""
    mean = helper.make_node("ReduceMean", ["picture", "axes"], ["embedding"], keepdims=0)
    chosen = helper.make_tensor("axes", TensorProto.INT64, [len(axes)], list(axes))
    given = helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)
    out = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, None)
    graph = helper.make_graph([mean], "mean", [given], [out], [chosen])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), file)
    return file


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_the_embedding_is_what_the_network_gives_for_the_aligned_face(tmp_path: Path, order: str) -> None:
    file = network(tmp_path / "arc@face.onnx")
    means = ((align(PHOTO, POINTS).astype(np.float64) - 127.5) / 127.5).mean((0, 1))
    expected = means[::-1] if order == "bgr" else means
    found = OnnxRecogniser(f"{file}@bgr" if order == "bgr" else file)
    np.testing.assert_allclose(found(PHOTO, FACE), expected / np.linalg.norm(expected), atol=1e-5)
    assert files.sha256(file) in found.words and f", {order.upper()} (x - 127.5) / 127.5" in found.words


@real("sface")
def test_a_face_is_aligned_as_opencv_aligns_it() -> None:
    theirs = cv2.FaceRecognizerSF.create(str(weight_registry.path("sface")), "").alignCrop(PHOTO, yunet_row(FACE))
    difference = np.abs(align(PHOTO, POINTS).astype(int) - theirs)
    assert difference.mean() < 0.05 and np.mean(difference > 3) < 1e-3


@real("yunet")
def test_identity_angle_and_fed_are_of_the_users_network(tmp_path: Path) -> None:
    file = network(tmp_path / "Gesicht für Übung.onnx")
    found = standard(["identity", "degrees", "fed", "lle"], recogniser=file)
    a, b = (torch.from_numpy(x.transpose(2, 0, 1).copy())[None] / 255 for x in (PHOTO, PHOTO[..., ::-1]))
    embed = OnnxRecogniser(file)
    x, y = (embed(picture, faces_of_crop(picture)[0]) for picture in (PHOTO, np.ascontiguousarray(PHOTO[..., ::-1])))
    cosine = float(x @ y)
    values = {name: metric.compute(a, b).item() for name, metric in found.items() if metric.compute}
    assert values["identity"] == pytest.approx(cosine, abs=1e-5) and cosine < 0.99
    assert values["degrees"] == pytest.approx(np.degrees(np.arccos(cosine)), abs=0.01)
    assert values["fed"] == pytest.approx((2 - 2 * cosine) ** 0.5, abs=1e-4)
    for name in ("identity", "degrees", "fed"):
        assert files.sha256(file) in found[name].implementation and "sface" not in found[name].backbone


@pytest.mark.parametrize(
    ("shape", "axes", "said"),
    [
        (
            ("n", 112, 112, 3),
            (1, 2),
            r"expected one input, float32 N x 3 x 112 x 112, found tensor\(float\) \['n', 112",
        ),
        (("n", 3, 160, 160), (2, 3), "expected one input, float32 N x 3 x 112 x 112"),
        (("n", 3, 112, 112), (3,), r"expected an embedding, N x d, as first output, found 'embedding' of shape \(1, 3"),
        (("n", 3, 112, 112), (1, 2, 3), "expected an embedding, N x d"),
    ],
)
def test_a_network_of_another_form_is_refused(tmp_path: Path, shape: tuple, axes: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=f"wrong.onnx: {said}"):
        standard(["identity"], recogniser=network(tmp_path / "wrong.onnx", shape, axes))


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"half of it")
    with pytest.raises(ValueError, match=r"broken.onnx: no ONNX network"):
        OnnxRecogniser(tmp_path / "broken.onnx")
    with pytest.raises(FileNotFoundError, match=r"none.onnx: no such file"):
        OnnxRecogniser(tmp_path / "none.onnx")
    with pytest.raises(ValueError, match="landmarks in one place"):
        align(PHOTO, np.ones((5, 2)))
