"""Landmarks: back in the crop's own pixels, largest first, and none where there is none."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import standins
from skimage import data

from hifacegan_lib.metrics import landmarks
from hifacegan_lib.metrics.identity import yunet_row
from hifacegan_lib.metrics.landmarks import faces_of_crop
from hifacegan_lib.metrics.metric import MetricUnavailable
from hifacegan_lib.restoration import detection
from hifacegan_lib.utils import weight_registry


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In YuNet's place one that takes white blocks for faces."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    standins.put(monkeypatch, "yunet", standins.yunet())
    yield
    detection.yunet.cache_clear()


def spot(height: int, width: int, top: int, left: int, side: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[top : top + side, left : left + side] = 255
    return image


@pytest.mark.usefixtures("network")
def test_a_face_comes_back_in_the_crops_pixels() -> None:
    # framed 960 x 960 and shown at a third: the crop begins at 106.7, the block 128..160 is 384..480, 64..160 in it
    (face,) = faces_of_crop(spot(320, 320, 64, 64, 96))
    np.testing.assert_allclose(face.box, [112 - 144, 112 - 144, 288, 288], atol=1)
    np.testing.assert_allclose(face.points, 64 + 96 * standins.POINTS, atol=1)
    assert face.score == pytest.approx(1, abs=0.05)
    row = yunet_row(face)
    assert row.shape == (1, 15) and row.dtype == np.float32 and row[0, 4] == pytest.approx(face.points[0, 0])


@pytest.mark.usefixtures("network")
def test_no_face_is_an_empty_list() -> None:
    assert faces_of_crop(np.full((50, 70, 3), 128, np.uint8)) == []


@pytest.mark.usefixtures("network")
def test_a_smaller_copy_of_a_picture_has_its_face_at_the_same_place() -> None:
    large, small = faces_of_crop(spot(320, 320, 64, 64, 96)), faces_of_crop(spot(80, 80, 16, 16, 24))
    np.testing.assert_allclose(large[0].points / 4, small[0].points, atol=1)


@pytest.mark.usefixtures("network")
def test_a_picture_need_not_be_square() -> None:
    (face,) = faces_of_crop(spot(320, 200, 64, 64, 96))
    np.testing.assert_allclose(face.points, 64 + 96 * standins.POINTS, atol=1)


def test_without_the_network_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MetricUnavailable, match="`hifacegan weights fetch yunet`"):
        faces_of_crop(spot(50, 50, 1, 1, 9))
    weight_registry.path("yunet").parent.mkdir(parents=True)
    weight_registry.path("yunet").write_bytes(b"half of it")
    with pytest.raises(ValueError, match="damaged or wrong file"):
        faces_of_crop(spot(50, 50, 1, 1, 9))


@pytest.mark.usefixtures("network")
def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="expected uint8 H x W x 3"):
        faces_of_crop(np.zeros((9, 9), np.uint8))


@pytest.mark.skipif(
    not weight_registry.is_present("yunet"), reason="the published file: `hifacegan weights fetch yunet`"
)
@pytest.mark.parametrize("side", [256, 128, 64])
def test_the_published_network_finds_the_astronaut(side: int) -> None:
    crop = data.astronaut()[0:256, 96:352]
    face = faces_of_crop(landmarks.cv2.resize(crop, (side, side), interpolation=landmarks.cv2.INTER_AREA))[0]
    expected = np.array([[106, 105], [151, 105], [127, 127], [110, 144], [147, 144]])  # as looked at
    np.testing.assert_allclose(face.points * 256 / side, expected, atol=5)
