"""Faces of whole photographs: of every size and turn, found once, by either detector."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data
from standins import real

from hifacegan_lib.restoration import detection
from hifacegan_lib.restoration.detection import Detection, detect, overlap
from hifacegan_lib.utils import weight_registry

ASTRONAUT = data.astronaut()
EYES, WIDTH = (225.0, 102.0), 90  # between the astronaut's eyes; of her face, pixels


def near_the_astronaut(face: Detection, shape: tuple[int, int] = (512, 512)) -> bool:
    middle = (face.box[0] + face.box[2] / 2, face.box[1] + face.box[3] / 2)
    return abs(middle[0] - 225) < 30 and abs(middle[1] - 115) < 30 and shape == (512, 512)


def test_the_cascade_finds_the_astronaut_whichever_way_she_is_turned() -> None:
    for quarters in range(4):
        found = detect(np.ascontiguousarray(np.rot90(ASTRONAUT, quarters)), "haar")
        assert len(found) == 1
        corner = found[0].alignment.corners[0]  # above her right temple, wherever that is now
        expected = [(153, 44), (44, 359), (359, 468), (468, 153)][quarters]
        assert np.abs(corner - expected).max() < 12, quarters
        assert found[0].alignment.degrees % 360 == pytest.approx(-90 * quarters % 360)


@real("yunet")
def test_faces_in_every_tile_are_found_once_and_where_they_are() -> None:
    places = [(0, 0), (900, 60), (700, 900), (1700, 500), (1850, 1000)]  # tiles meet at 768 to 1024 and 1200 to 1792
    photo = np.full((1300, 2200, 3), 128, np.uint8)
    for left, top in places:
        photo[top : top + 256, left : left + 256] = ASTRONAUT[:256, 96:352]
    found = detect(photo, "yunet")
    middles = sorted((face.box[0] + face.box[2] / 2, face.box[1] + face.box[3] / 2) for face in found)
    np.testing.assert_allclose(middles, sorted((left + 128, top + 119) for left, top in places), atol=8)
    assert all(75 < face.box[2] < 105 for face in found)


@real("yunet")
def test_the_narrowest_is_the_users() -> None:
    assert len(detect(ASTRONAUT, "yunet", least=detection.NARROWEST)) == 1
    assert detect(ASTRONAUT, "yunet", least=150) == []
    with pytest.raises(ValueError, match="least = 0"):
        detect(ASTRONAUT, "yunet", least=0)


def test_a_picture_without_a_face_has_none() -> None:
    assert detect(np.full((300, 400, 3), 128, np.uint8), "haar") == []


@real("yunet")
def test_auto_takes_yunet_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert detection.choose_detector("auto") == "yunet"
    assert detection.choose_detector("haar") == "haar"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert detection.choose_detector("auto") == "haar"


def test_yunet_by_name_asks_for_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(weight_registry.MissingWeights, match="hifacegan weights fetch yunet"):
        detect(ASTRONAUT, "yunet")
    with pytest.raises(ValueError, match="expected auto, yunet or haar"):
        detect(ASTRONAUT, "mtcnn")  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [1, 640, 1024, 1025, 1700, 5000])
def test_tiles_cover_every_pixel_and_overlap(length: int) -> None:
    starts = list(detection._starts(length))
    ends = [start + detection.TILE for start in starts]
    assert starts[0] == 0 and ends[-1] >= length
    assert all(start >= 0 for start in starts)
    assert all(end - start >= detection.LAP for end, start in zip(ends[:-1], starts[1:], strict=True))


@pytest.mark.parametrize(("side", "least"), [(100, 16), (640, 16), (3000, 16), (8700, 16), (8700, 200)])
def test_every_width_of_face_is_shown_at_a_size_that_yunet_knows(side: int, least: int) -> None:
    scales = list(detection._scales((side, side), least))
    for width in np.geomspace(max(least, 12), side * 0.8, 40):
        assert any(detection.NARROWEST - 0.1 <= width * s <= 2 * detection.WIDEST for s in scales), width
    assert side > 3000 or side * scales[0] < 7000


def test_the_narrowest_grows_with_the_photograph(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(detection, "_haar", lambda _, least: asked.append(least) or [])
    for height, width in ((40, 60), (1500, 2000), (5760, 8640)):
        detect(np.zeros((height, width, 3), np.uint8), "haar")
    assert asked == [16, 31, 120]


def test_overlap_of_boxes() -> None:
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert overlap((0, 0, 10, 10), (20, 0, 10, 10)) == 0
    assert overlap((0, 0, 100, 100), (10, 10, 10, 10)) == 1  # one inside the other


@real("yunet")
@pytest.mark.parametrize("degrees", [0, 35, 90, 180, -90])
def test_yunet_finds_landmarks_at_every_turn(degrees: float) -> None:
    turn = cv2.getRotationMatrix2D((256, 256), -degrees, 1)
    found = detect(cv2.warpAffine(ASTRONAUT, turn, (512, 512), borderMode=cv2.BORDER_REFLECT), "yunet")
    expected = turn @ (*EYES, 1)
    assert np.abs(found[0].points[:2].mean(0) - expected).max() < 6  # type: ignore[index]
    assert abs((found[0].alignment.degrees - degrees - 5 + 180) % 360 - 180) < 12


@real("yunet")
@pytest.mark.parametrize("width", [16, 60, 2000])
def test_yunet_finds_small_and_large_faces(width: int) -> None:
    scale = width / WIDTH
    photo = cv2.resize(
        ASTRONAUT[:256, 96:352],
        None,
        fx=scale,
        fy=scale,
        interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC,
    )
    found = detect(photo, "yunet", least=min(16, width - 2))
    assert any(abs(face.box[2] - width) < 0.25 * width for face in found)
