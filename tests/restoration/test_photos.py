"""Whole photographs: every face restored where it is, the rest to the bit as it was, and what was done written down."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from skimage import data

from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.restoration.photo_encoders import write_photo
from hifacegan_lib.restoration.photo_files import Photo, read_photo
from hifacegan_lib.restoration.photos import Model, restore, restore_aligned, scale_for

ASTRONAUT = data.astronaut()
FACE = (slice(60, 170), slice(175, 280))
NOTHING = Model(lambda faces: faces, Card("nothing", sha256="0" * 64, size=128))
DARKER = replace(NOTHING, network=lambda faces: faces * 0.5, card=replace(NOTHING.card, name="darker"))


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def striped(faces: np.ndarray) -> np.ndarray:
    """A network that draws stripes, each two pixels wide, in the middle of each face."""
    drawn = faces.copy()
    middle = faces.shape[-1] // 2
    stripes = 0.3 * (-1.0) ** (np.arange(16) // 2)
    drawn[..., middle - 8 : middle + 8, middle - 8 : middle + 8] += stripes
    return drawn


def stripes(image: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Where a photograph was changed by much, H x W."""
    return np.abs(image.astype(int) - photo).max(2) > 30


def test_a_network_that_changes_nothing_changes_nothing() -> None:
    found = restore(ASTRONAUT, NOTHING, "haar")
    assert len(found.faces) == 1
    assert np.array_equal(found.image, ASTRONAUT)


def test_the_change_comes_where_the_face_is_and_nowhere_else() -> None:
    found = restore(ASTRONAUT, replace(NOTHING, network=striped), "haar")
    changed = (found.image != ASTRONAUT).any(2)
    assert changed[FACE].any()
    changed[FACE] = False
    assert not changed.any()
    assert stripes(found.image, ASTRONAUT).sum() > 200


def test_two_faces_side_by_side_are_both_restored() -> None:
    photo = np.hstack([ASTRONAUT, ASTRONAUT[:, ::-1]])
    found = restore(photo, replace(NOTHING, network=striped), "haar")
    assert len(found.faces) == 2
    changed = stripes(found.image, photo)
    assert changed[:, :512].sum() > 200 and changed[:, 512:].sum() > 200


def test_a_photograph_without_a_face_is_as_it_came_and_says_so() -> None:
    photo = np.full((200, 300, 3), 90, np.uint8)
    found = restore(photo, DARKER, "haar")
    assert np.array_equal(found.image, photo)
    assert found.summary == "no face was found: nothing was restored"
    assert found.trace["faces"] == []


def test_strength_is_between_the_photograph_and_the_restored_one() -> None:
    full, half, none = (restore(ASTRONAUT, replace(NOTHING, network=striped), "haar", s).image for s in (1.0, 0.5, 0.0))
    assert np.array_equal(none, ASTRONAUT)
    middle, clipped = (full.astype(float) + ASTRONAUT) / 2, (full == 0) | (full == 255)
    assert np.abs(half - middle)[~clipped].max() <= 1
    assert (half != ASTRONAUT).any()


@pytest.mark.parametrize(
    ("sides", "shape", "longest", "expected"),
    [
        ([], (100, 100), 9999, 1),
        ([256, 900], (100, 100), 9999, 1),
        ([255.9, 900], (100, 100), 9999, 2),
        ([128], (100, 100), 9999, 2),
        ([127, 300], (100, 100), 9999, 4),
        ([20], (100, 100), 9999, 4),
        ([127], (5000, 5000), 99_999, 2),  # 100 megapixels, not 400
        ([127], (5000, 5001), 99_999, 1),
        ([127], (10, 5000), 16_383, 2),
    ],
)
def test_auto_enlarges_until_the_smallest_face_keeps_its_detail_and_the_file_can_be_held(
    sides: list[float], shape: tuple[int, int], longest: int, expected: int
) -> None:
    scale, reason = scale_for(sides, 256, shape, longest)
    assert scale == expected
    assert bool(reason) == (min(sides, default=256) < 256)
    wanted = 1 if not sides or min(sides) >= 256 else 2 if min(sides) >= 128 else 4
    assert ("would be more than 100 megapixels" in reason) == (scale < wanted)


def test_auto_is_the_default_and_says_what_it_did() -> None:
    big = replace(NOTHING, network=lambda faces: 1 - faces, card=Card("big", size=256))
    found = restore(ASTRONAUT, big, "haar")
    (face,) = found.faces
    side = face.detection.alignment.side
    assert 128 <= side < 256 and found.trace["scale"] == 2 and found.image.shape == (1024, 1024, 3)
    assert found.trace["scale_reason"] == (
        f"enlarged 2 times: the frame of the smallest face has {side:.0f} of the network's 256 pixels"
    )
    assert np.array_equal(found.image, restore(ASTRONAUT, big, "haar", scale=2).image)
    assert np.array_equal(restore(ASTRONAUT, big, "haar", strength=0).image, ASTRONAUT)  # nothing drawn, no detail


@pytest.mark.parametrize("scale", [2, 4])
def test_an_enlarged_photograph_has_its_faces_in_place(scale: Literal[2, 4]) -> None:
    photo = ASTRONAUT[:256, 128:384]
    large, once = (
        restore(photo, replace(NOTHING, network=striped), "haar", scale=factor).image for factor in (scale, 1)
    )
    assert large.shape == (256 * scale, 256 * scale, 3)
    plain = restore(photo, NOTHING, "haar", scale=scale).image
    place = np.argwhere(stripes(large, plain)).mean(0) / scale
    assert np.abs(place - np.argwhere(stripes(once, photo)).mean(0)).max() < 1


def test_depth_alpha_and_the_rest_of_a_photograph_stay() -> None:
    rng = np.random.default_rng(0)
    deep = (ASTRONAUT.astype(np.uint16) * 257) ^ rng.integers(0, 2, ASTRONAUT.shape, np.uint16)
    alpha = np.full(ASTRONAUT.shape[:2], 65535, np.uint16)
    photo = Photo(deep, alpha, False, ".png", b"profile", b"exif")
    found = restore(photo, replace(NOTHING, network=striped), "haar").photo
    assert (found.icc, found.exif, found.suffix) == (b"profile", b"exif", ".png")
    assert found.pixels.dtype == np.uint16 and found.alpha is not None and np.array_equal(found.alpha, alpha)
    outside = np.ones(ASTRONAUT.shape[:2], bool)
    outside[FACE] = False
    assert np.array_equal(found.pixels[outside], deep[outside])
    assert (found.pixels != deep).any()


def test_a_file_is_read_and_saved_with_what_came_along(tmp_path: Path) -> None:
    source = write_photo(tmp_path / "family.jpg", Photo(ASTRONAUT, suffix=".jpg"), "a camera")
    found = restore(str(source), DARKER, "haar")
    assert np.array_equal(found.image, restore(read_photo(source), DARKER, "haar").image)
    saved = read_photo(found.save(tmp_path / "out" / "restored.png"))
    assert np.array_equal(saved.pixels, found.image) and saved.suffix == ".png"
    assert b"1 face restored by darker" in (saved.exif or b"")
    assert np.array_equal(
        restore_aligned(source, replace(NOTHING, card=Card("nothing", size=512))).image, read_photo(source).pixels
    )
    with pytest.raises(FileNotFoundError, match="nobody"):
        restore(tmp_path / "nobody.jpg", NOTHING)


def test_the_trace_says_what_was_done_and_by_which_weights() -> None:
    found = restore(ASTRONAUT, DARKER, "haar", 0.5)
    assert (found.trace["weights"], found.trace["sha256"]) == ("darker", "0" * 64)
    assert (found.trace["detector"], found.trace["strength"], found.trace["scale"]) == ("haar", 0.5, 1)
    (face,) = found.trace["faces"]
    assert face["landmarks"] is None and face["mean_change"] > 20
    assert found.summary == "1 face restored by darker"


def test_the_same_photograph_gives_the_same_pixels() -> None:
    first, second = (restore(ASTRONAUT, DARKER, "haar").image for _ in range(2))
    assert np.array_equal(first, second)


def test_a_whole_picture_can_be_the_face() -> None:
    found = restore_aligned(noise(40, 60), NOTHING)
    assert found.image.shape == (40, 60, 3)
    dark = restore_aligned(ASTRONAUT, DARKER, 0.5).image
    assert dark.mean() == pytest.approx(0.75 * ASTRONAUT.mean(), rel=0.02)
    deep = restore_aligned(Photo(ASTRONAUT.astype(np.uint16) * 257), DARKER).photo
    assert deep.pixels.mean() == pytest.approx(0.5 * 257 * ASTRONAUT.mean(), rel=0.02)


@pytest.mark.parametrize(("name", "value"), [("strength", 1.2), ("scale", 3), ("least", 0)])
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} = {value}"):
        restore(ASTRONAUT, NOTHING, "haar", **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("drawn", [np.zeros((1, 3, 32, 32), np.float32), np.full((1, 3, 64, 64), np.nan, np.float32)])
def test_a_network_that_draws_another_shape_or_nan_is_refused(drawn: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"odd: drew \(1, 3, \d+, \d+\), not \(1, 3, 64, 64\), \d+ of it NaN"):
        Model(lambda _: drawn, Card("odd", size=64)).restore([noise(64, 64)])
