"""Losses of eyes, mouth and identity: by hand, against OpenCV's SFace, and with faces in which no face is found."""

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from standins import real
from torch import Tensor

from hifacegan_lib.metrics.recognition import align, yunet_row
from hifacegan_lib.params import Training
from hifacegan_lib.restoration.detection import Detection
from hifacegan_lib.training import face_losses, losses
from hifacegan_lib.utils import weight_registry

PHOTO = np.ascontiguousarray(data.astronaut()[0:256, 96:352])
POINTS = np.array([[106, 105], [151, 105], [127, 127], [110, 144], [147, 144]], np.float64)  # as looked at
BLURRED = cv2.GaussianBlur(PHOTO, (0, 0), 5)


def batch(*pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32) / 255)


def test_parts_by_hand() -> None:
    """Eyes 10 apart: windows of 6, 6 and 9 pixels. Wrong by 1 in all of one window, then in a third of the mouth's."""
    points = np.array([[[10, 10], [20, 10], [15, 15], [11, 22], [19, 22]]], np.float64)
    clean = torch.zeros(1, 3, 32, 32)
    restored = clean.clone()
    restored[:, :, 7:13, 7:13] = 1
    assert face_losses.parts(restored, clean, points).item() == pytest.approx(1 / 3)
    restored[:, :, 18:21, 10:20] = 1  # three of the mouth's rows, which are 18 to 26
    assert face_losses.parts(restored, clean, points).item() == pytest.approx(1 / 3 + 1 / 9)
    outside = clean.clone()
    outside[:, :, 28:] = 1
    assert face_losses.parts(outside, clean, points).item() == 0


def test_windows_end_at_the_border_and_none_is_left_of_a_face_outside() -> None:
    points = np.array([[[0, 10], [10, 10], [5, 15], [1, 40], [9, 40]]], np.float64)
    restored = torch.zeros(1, 3, 32, 32)
    restored[:, :, :, :3] = 1  # the right eye's window, of which three columns are left
    assert face_losses.parts(restored, torch.zeros_like(restored), points).item() == pytest.approx(1 / 2)
    assert face_losses.parts(restored, torch.zeros_like(restored), points + 99).item() == 0
    for height, width in ((16, 64), (64, 16)):  # the face lies below, or to the right
        wide = torch.zeros(1, 3, height, width)
        outside = points + np.array([40 * (width < height), 40 * (height < width)])
        assert face_losses.parts(wide, wide, outside).item() == 0


def test_a_face_is_aligned_as_for_the_metric() -> None:
    found = (255 * face_losses.aligned(batch(PHOTO), POINTS[None])[0].permute(1, 2, 0)).numpy()
    difference = np.abs(found - align(PHOTO, POINTS))
    assert difference.mean() < 0.5 and difference.max() < 8  # OpenCV rounds places to 1/32 pixel


@real("sface")
def test_embeddings_are_opencvs() -> None:
    theirs = cv2.FaceRecognizerSF.create(str(weight_registry.path("sface")), "")
    faces = [cv2.resize(picture, (112, 112), interpolation=cv2.INTER_AREA) for picture in (PHOTO, BLURRED)]
    faces.append(np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8))
    found = face_losses.sface()(batch(*faces)).numpy()
    expected = np.concatenate([theirs.feature(cv2.cvtColor(face, cv2.COLOR_RGB2BGR)) for face in faces])
    assert np.abs(found - expected).max() < 1e-3


@real("sface")
def test_identity_is_opencvs_cosine_of_faces_aligned_alike() -> None:
    theirs = cv2.FaceRecognizerSF.create(str(weight_registry.path("sface")), "")
    row = yunet_row(Detection((84, 69, 90, 110), POINTS, 0.9))
    a, b = (
        theirs.feature(theirs.alignCrop(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), row)) for picture in (BLURRED, PHOTO)
    )
    restored, clean, points = batch(BLURRED), batch(PHOTO), POINTS[None]
    embed = face_losses.sface()
    expected = 1 - theirs.match(a, b, cv2.FaceRecognizerSF_FR_COSINE)
    assert face_losses.identity(restored, clean, points, embed).item() == pytest.approx(
        expected, abs=0.01
    )  # it rounds pixels
    assert face_losses.identity(clean, clean, points, embed).item() == pytest.approx(0, abs=1e-6)


@real("sface")
def test_the_identity_gradient_is_that_of_finite_differences_and_leads_to_the_person() -> None:
    embed, clean, points = face_losses.sface(), batch(PHOTO), POINTS[None]
    restored = batch(BLURRED).requires_grad_()
    value = face_losses.identity(restored, clean, points, embed)
    (slope,) = torch.autograd.grad(value, restored)
    way = slope / slope.norm()
    with torch.no_grad():
        up, down = (face_losses.identity(restored + s * way, clean, points, embed).item() for s in (0.05, -0.05))
        nearer = face_losses.identity(restored - way, clean, points, embed).item()
    assert (up - down) / 0.1 == pytest.approx(slope.norm().item(), rel=0.05)
    assert nearer < 0.8 * value.item()


@real("yunet", "sface")
def test_a_picture_without_a_face_adds_nothing_and_counts() -> None:
    p = Training.checked({"parts_weight": 1.0, "identity_weight": 1.0}, "test")
    clean, restored = batch(PHOTO, np.full_like(PHOTO, 99)), batch(BLURRED, np.full_like(PHOTO, 9)).requires_grad_()
    for name in ("parts", "identity"):
        loss = losses.image_losses(p)[name][1]
        both, first, second = (loss(restored[part], clean[part], clean[part]) for part in ([0, 1], [0], [1]))
        assert second.item() == 0 and first.item() > 0.01
        assert both.item() == pytest.approx(first.item() / 2, rel=1e-4)
        (slope,) = torch.autograd.grad(both + second, restored)
        assert slope[0].any() and not slope[1].any()


@real("yunet")
def test_landmarks_are_found_once_for_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    find, clean, seen = face_losses.faces_of_crop, batch(PHOTO), []
    monkeypatch.setattr(face_losses, "faces_of_crop", lambda face: seen.append(1) or find(face))
    landmarks = face_losses.Landmarks()
    np.testing.assert_allclose(landmarks(clean)[0], POINTS, atol=6)
    landmarks(clean.float())
    assert len(seen) == 1
