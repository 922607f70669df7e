"""Landmarks: back in the crop's own pixels, largest first, and none where there is none."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data
from standins import real

from hifacegan_lib.metrics.landmarks import faces_of_crop
from hifacegan_lib.metrics.metric import MetricUnavailable
from hifacegan_lib.metrics.recognition import yunet_row
from hifacegan_lib.utils import weight_registry

CROP = np.ascontiguousarray(data.astronaut()[0:256, 96:352])
POINTS = np.array([[106, 105], [151, 105], [127, 127], [110, 144], [147, 144]])  # as looked at


def resized(crop: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)


@real("yunet")
@pytest.mark.parametrize("side", [256, 128, 64])
def test_a_face_comes_back_in_the_crops_pixels(side: int) -> None:
    (face,) = faces_of_crop(resized(CROP, side))
    np.testing.assert_allclose(face.points * 256 / side, POINTS, atol=5)
    np.testing.assert_allclose(np.array(face.box) * 256 / side, [84, 69, 90, 110], atol=5)
    assert 0.8 < face.score <= 1
    row = yunet_row(face)
    assert row.shape == (1, 15) and row.dtype == np.float32 and row[0, 4] == pytest.approx(face.points[0, 0])


@real("yunet")
def test_no_face_is_an_empty_list() -> None:
    assert faces_of_crop(data.coffee()[:192, :256]) == []


@real("yunet")
def test_the_largest_face_comes_first() -> None:
    photo = np.full((256, 400, 3), 128, np.uint8)
    photo[56:184, 0:128], photo[:, 144:] = resized(CROP, 128), CROP
    large, small = faces_of_crop(photo)
    np.testing.assert_allclose(large.points, POINTS + np.array([144, 0]), atol=8)
    np.testing.assert_allclose(small.box, [42, 90, 45, 55], atol=12)  # 12 pixels wide where YuNet sees it


@real("yunet")
def test_a_picture_need_not_be_square() -> None:
    (face,) = faces_of_crop(CROP[:, 60:200])
    np.testing.assert_allclose(face.points, POINTS - np.array([60, 0]), atol=8)


def test_without_the_network_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MetricUnavailable, match="`hifacegan weights fetch yunet`"):
        faces_of_crop(CROP)
    weight_registry.path("yunet").parent.mkdir(parents=True)
    weight_registry.path("yunet").write_bytes(b"half of it")
    with pytest.raises(ValueError, match="damaged or wrong file"):
        faces_of_crop(CROP)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="expected uint8 H x W x 3"):
        faces_of_crop(np.zeros((9, 9), np.uint8))
