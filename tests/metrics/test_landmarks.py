"""Landmarks: back in the crop's own pixels, largest first, and none where there is none."""

from pathlib import Path

import numpy as np
import pytest
import standins
from skimage import data

from hifacegan_lib.metrics import landmarks
from hifacegan_lib.metrics.landmarks import Landmarker
from hifacegan_lib.utils import weight_registry


@pytest.fixture
def finder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Landmarker:
    """A landmarker whose network takes white blocks for faces."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    standins.put(monkeypatch, "yunet", standins.yunet())
    return Landmarker()


def spot(height: int, width: int, top: int, left: int, side: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[top : top + side, left : left + side] = 255
    return image


def test_a_face_comes_back_in_the_crops_pixels(finder: Landmarker) -> None:
    # framed 960 x 960 and shown at a third: the crop begins at 106.7, the block 128..160 is 384..480, 64..160 in it
    (face,) = finder.find(spot(320, 320, 64, 64, 96))
    np.testing.assert_allclose(face.box, [112 - 144, 112 - 144, 288, 288], atol=1)
    np.testing.assert_allclose(face.points, 64 + 96 * standins.POINTS, atol=1)
    assert face.eye_distance == pytest.approx(96, abs=1) and face.score == pytest.approx(1, abs=0.05)
    assert face.row.shape == (1, 15) and face.row.dtype == np.float32


def test_no_face_is_an_empty_list(finder: Landmarker) -> None:
    assert finder.find(np.full((50, 70, 3), 128, np.uint8)) == []


def test_a_smaller_copy_of_a_picture_has_its_face_at_the_same_place(finder: Landmarker) -> None:
    large, small = finder.find(spot(320, 320, 64, 64, 96)), finder.find(spot(80, 80, 16, 16, 24))
    np.testing.assert_allclose(large[0].points / 4, small[0].points, atol=1)


def test_a_picture_need_not_be_square(finder: Landmarker) -> None:
    (face,) = finder.find(spot(320, 200, 64, 64, 96))
    np.testing.assert_allclose(face.points, 64 + 96 * standins.POINTS, atol=1)


def test_without_the_network_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(weight_registry.MissingWeights, match="`hifacegan weights fetch yunet`"):
        Landmarker().find(spot(50, 50, 1, 1, 9))
    weight_registry.path("yunet").parent.mkdir(parents=True)
    weight_registry.path("yunet").write_bytes(b"half of it")
    with pytest.raises(ValueError, match="damaged or another file"):
        Landmarker().find(spot(50, 50, 1, 1, 9))


def test_what_is_no_picture_is_refused(finder: Landmarker) -> None:
    with pytest.raises(ValueError, match="expected uint8 H x W x 3"):
        finder.find(np.zeros((9, 9), np.uint8))


@pytest.mark.skipif(
    not weight_registry.is_present("yunet"), reason="the published file: `hifacegan weights fetch yunet`"
)
@pytest.mark.parametrize("side", [256, 128, 64])
def test_the_published_network_finds_the_astronaut(side: int) -> None:
    crop = data.astronaut()[0:256, 96:352]
    face = Landmarker().find(landmarks.cv2.resize(crop, (side, side), interpolation=landmarks.cv2.INTER_AREA))[0]
    expected = np.array([[106, 105], [151, 105], [127, 127], [110, 144], [147, 144]])  # as looked at
    np.testing.assert_allclose(face.points * 256 / side, expected, atol=5)
