"""Identity: OpenCV's own numbers, 1 for the same picture, and no value rather than a wrong one."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib import cbook
from skimage import data
from standins import real
from torch import Tensor

from hifacegan_lib.evaluation.scoring import evaluate
from hifacegan_lib.metrics import identity, landmarks
from hifacegan_lib.metrics.identity import Identity
from hifacegan_lib.metrics.metric import MetricUnavailable
from hifacegan_lib.metrics.recognition import yunet_row
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.restoration.detection import Detection
from hifacegan_lib.utils import weight_registry
from hifacegan_lib.utils.images import load_image, to_float, to_uint8

METRICS = ("similarity", "degrees", "fed", "landmark_error", "landmark_distance")


def crops() -> tuple[Tensor, Tensor, Tensor]:
    """Two faces, and a picture without one; 1 x 3 x 192 x 192 each."""
    hopper = load_image(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    parts = data.astronaut()[:192, 128:320], cv2.resize(hopper[60:376, 108:424], (192, 192)), data.coffee()[:192, :192]
    a, b, none = (to_float(part)[None] for part in parts)
    return a, b, none


@real("yunet", "sface", "onet")
def test_the_same_picture_is_the_same_person() -> None:
    a, _, _ = crops()
    metric = Identity()
    assert metric.similarity(a, a).item() == pytest.approx(1)
    assert metric.fed(a, a).item() == metric.landmark_error(a, a).item() == 0


@real("yunet", "sface", "onet")
def test_similarity_and_fed_are_opencvs_own() -> None:
    a, b, _ = crops()
    recogniser = cv2.FaceRecognizerSF.create(str(weight_registry.path("sface")), "")
    embedded = []
    for picture in (a, b):
        pixels = to_uint8(picture[0])
        face = landmarks.faces_of_crop(pixels)[0]
        embedded.append(
            recogniser.feature(recogniser.alignCrop(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), yunet_row(face))).copy()
        )
    metric = Identity()
    cosine = recogniser.match(*embedded, cv2.FaceRecognizerSF_FR_COSINE)
    distance = recogniser.match(*embedded, cv2.FaceRecognizerSF_FR_NORM_L2)
    assert metric.similarity(a, b).item() == pytest.approx(cosine, abs=1e-5) and cosine < 0.999
    assert metric.fed(a, b).item() == pytest.approx(distance, abs=1e-5)
    assert metric.fed(a, b).item() == pytest.approx((2 - 2 * cosine) ** 0.5, abs=1e-3)


@real("yunet", "sface", "onet")
def test_other_people_are_further_apart_than_damage_brings_one() -> None:
    a, b, _ = crops()
    blurred, same = to_float(cv2.GaussianBlur(to_uint8(a[0]), (0, 0), 2))[None], Identity()
    assert same.similarity(a, b).item() < 0.363 < 0.6 < same.similarity(blurred, a).item()  # OpenCV: one person above
    assert same.similarity(a.flip(3), a).item() > 0.8


@real("yunet", "sface", "onet")
def test_where_no_face_is_found_there_is_no_value() -> None:
    a, b, none = crops()
    metric = Identity()
    for name in METRICS:
        values = getattr(metric, name)(torch.cat([a, none, a]), torch.cat([b, b, none]))
        assert values.isnan().tolist() == [False, True, True]


@real("yunet", "sface", "onet")
def test_each_pair_has_its_own_value_and_may_change_places() -> None:
    a, b, _ = crops()
    metric = Identity()
    both = metric.similarity(torch.cat([a, b]), torch.cat([b, b]))
    assert both[1].item() == pytest.approx(1) and both[0] < both[1]
    torch.testing.assert_close(metric.similarity(a, b), metric.similarity(b, a))
    torch.testing.assert_close(Identity().similarity(a, b), both[:1])


@real("yunet", "sface", "onet")
def test_the_order_of_the_channels_matters() -> None:
    a, b, _ = crops()
    assert abs(Identity().similarity(a, b) - Identity().similarity(a, b.flip(1))).item() > 1e-4


@real("yunet", "sface", "onet")
def test_a_face_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, _ = crops()
    calls: list[int] = []
    real = landmarks.faces_of_crop
    monkeypatch.setattr(landmarks, "faces_of_crop", lambda image: calls.append(1) or real(image))
    metric = Identity()
    for name in METRICS:
        getattr(metric, name)(a, b)
        getattr(metric, name)(b, b)
    assert len(calls) == 2


def at(shift: float) -> Detection:
    points = np.array([[10, 10], [30, 10], [20, 20], [13, 30], [27, 30]], np.float32) + np.float32([shift, 0])
    return Detection((0, 0, 40, 40), points, 1.0)


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The face of a picture lies as far to the right as its first pixel says, beside a smaller face at 0."""
    monkeypatch.setattr(identity, "weights", lambda _: None)
    monkeypatch.setattr(landmarks, "faces_of_crop", lambda image: [at(float(image[0, 0, 0])), at(0)])
    monkeypatch.setattr(landmarks, "five_points", lambda image, _: at(float(image[0, 0, 0])).points)


@pytest.mark.usefixtures("moved")
def test_a_shift_is_an_error_in_shares_of_the_eyes_distance_and_in_pixels_at_512() -> None:
    clean = torch.zeros(3, 3, 40, 32)
    image = clean + torch.tensor([0, 1, 5]).view(3, 1, 1, 1) / 255
    torch.testing.assert_close(Identity().landmark_error(image, clean), torch.tensor([0.0, 5.0, 25.0]))
    torch.testing.assert_close(Identity().landmark_distance(image, clean), torch.tensor([0.0, 12.8, 64.0]))


def test_the_largest_face_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def embed(_: object, face: Detection) -> np.ndarray:
        return np.array([1.0, 0.0]) if face.points[0, 0] < 11 else np.array([0.6, 0.8])

    monkeypatch.setattr(landmarks, "faces_of_crop", lambda image: [at(float(image[0, 0, 0])), at(0)])
    one, zero = torch.ones(1, 3, 40, 40), torch.zeros(1, 3, 40, 40)
    assert Identity(embed).similarity(one, zero).item() == pytest.approx(0.6)
    assert Identity(embed).degrees(one, zero).item() == pytest.approx(53.1301, abs=1e-3)


@real("yunet", "onet")
def test_each_missing_file_is_named_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = [weight_registry.verify(name) for name in ("onet", "yunet")]
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    a, _, _ = crops()
    with pytest.raises(MetricUnavailable, match="`hifacegan weights fetch sface`"):
        Identity().similarity(a, a)
    folder = weight_registry.path("sface").parent
    folder.mkdir(parents=True)
    for name, file in zip(("onet", "yunet"), there, strict=True):
        with pytest.raises(MetricUnavailable, match=f"`hifacegan weights fetch {name}`"):
            Identity().landmark_error(a, a)
        shutil.copy(file, folder)
    assert Identity().landmark_error(a, a).item() == 0  # without SFace
    weight_registry.path("sface").write_bytes(b"half of it")
    with pytest.raises(ValueError, match="damaged or wrong file"):
        Identity().fed(a, a)


@real("yunet", "sface", "onet")
def test_what_is_no_pair_is_refused() -> None:
    a, b, _ = crops()
    for name in METRICS:
        with pytest.raises(ValueError, match="image: expected float RGB"):
            getattr(Identity(), name)(a * 255, b)
        with pytest.raises(ValueError, match="shape and dtype must be equal"):
            getattr(Identity(), name)(a, b[..., :-1])


@real("yunet", "sface", "onet")
def test_a_picture_without_a_face_is_lost_alone() -> None:
    a, _, none = crops()
    names = ["identity", "degrees", "fed", "lle", "lmd"]
    batches = [
        {"clean": x, "degraded": x, "key": [key]} for key, x in (("a", a), ("none", none), ("tiny", a[..., :9, :9]))
    ]
    found = evaluate({}, batches, 100, metrics=standard(names))
    assert found.conditions["no_value"]["degraded"] == {name: ["none", "tiny"] for name in names}
    assert found.rows[0]["faces_not_found"] == 2 and found.rows[0]["lmd"] == found.rows[0]["degrees"] == 0
