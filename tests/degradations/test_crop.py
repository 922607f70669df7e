"""A frame cuts the same square again, and refuses an image that it was not drawn for."""

import golden
import numpy as np
import pytest

from hifacegan_lib.degradations.crop import Frame, draw_frame, whole_frame
from hifacegan_lib.utils.images import center_square, resize

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)


def test_the_whole_frame_is_the_centred_square() -> None:
    np.testing.assert_array_equal(whole_frame(IMAGE.shape, 8).apply(IMAGE), resize(center_square(IMAGE), 8, 8))


def test_the_whole_frame_of_a_wide_image_is_in_its_middle() -> None:
    assert whole_frame((20, 30), 8) == Frame(top=0, left=5, side=20, flip=False, size=8)
    assert whole_frame((30, 20), 8) == Frame(top=5, left=0, side=20, flip=False, size=8)


def test_a_frame_survives_its_json_form() -> None:
    for seed in range(20):
        frame = draw_frame(30, 20, 8, 0.3, 0.5, seed)
        assert Frame.parse(frame.model_dump(), "frame") == frame


def test_a_flip_mirrors_the_same_square() -> None:
    plain, flipped = (Frame(top=3, left=4, side=10, flip=flip, size=10) for flip in (False, True))
    np.testing.assert_array_equal(flipped.apply(IMAGE), plain.apply(IMAGE)[:, ::-1])


def test_another_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"20 x 30 pixels does not hold .* square of 10 at \(15, 0\)"):
        Frame(top=0, left=15, side=10, flip=False, size=8).apply(IMAGE)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"side": 0}, r"frame: side = 0: it must be greater than 0"),
        ({"top": -1}, r"frame: top = -1"),
        ({"size": 2.5}, r"frame: size = 2\.5"),
        ({"flip": 1}, r"frame: flip = 1: it must be a valid boolean"),
        ({"turn": 90}, "frame: unknown key 'turn'; known keys: top, left, side, flip, size"),
    ],
)
def test_a_bad_form_is_named(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Frame.parse({"top": 0, "left": 0, "side": 4, "flip": False, "size": 4, **change}, "frame")


def test_the_recorded_frames() -> None:
    frames = [draw_frame(30, 20, 8, 0.3, 0.4, seed) for seed in range(40)]
    golden.check("degradations: frames", np.array([[f.top, f.left, f.side, f.flip] for f in frames]) / 30)
    golden.check("degradations: framed", np.stack([frame.apply(IMAGE) for frame in frames]))


def test_a_square_may_reach_the_border_and_not_cross_it() -> None:
    assert Frame(top=20, left=10, side=10, flip=False, size=10).apply(IMAGE).shape == (10, 10, 3)
    for top, left in ((21, 10), (20, 11)):
        with pytest.raises(ValueError, match="does not hold"):
            Frame(top=top, left=left, side=10, flip=False, size=10).apply(IMAGE)


@pytest.mark.parametrize(("height", "width", "corner"), [(64, 100, (0, 18)), (100, 64, (18, 0))])
def test_without_random_crops_the_square_is_in_the_middle(height: int, width: int, corner: tuple[int, int]) -> None:
    frame = draw_frame(height, width, 32, 1.0, 0.5, seed=3)
    assert (frame.top, frame.left) == corner and frame.side == 64
