import numpy as np
import pytest
from skimage import data

from hifacegan_lib.faces import Box, crop_face, detect_faces


def test_the_astronaut_has_one_large_face_where_it_is() -> None:
    boxes = detect_faces(data.astronaut())
    box = boxes[0]
    assert box.left < 224 < box.left + box.width
    assert box.top < 110 < box.top + box.height


def test_boxes_come_largest_first() -> None:
    astronaut = data.astronaut()
    both = np.concatenate([astronaut[:256, :400], np.repeat(np.repeat(astronaut[:256, :400], 2, 0), 2, 1)[:, :400]])
    areas = [box.width * box.height for box in detect_faces(both)]
    assert areas == sorted(areas, reverse=True)


def test_no_face_is_an_empty_list() -> None:
    assert detect_faces(np.full((80, 80, 3), 127, np.uint8)) == []
    assert detect_faces(np.zeros((3, 2, 3), np.uint8)) == []


def test_a_crop_is_square_and_larger_than_the_box() -> None:
    crop, square = crop_face(data.astronaut(), Box(180, 70, 90, 90), margin=0.5)
    assert crop.shape == (135, 135, 3)
    assert (square.width, square.height) == (135, 135)
    assert np.array_equal(crop, data.astronaut()[square.top : square.top + 135, square.left : square.left + 135])


def test_a_crop_across_the_border_repeats_the_border() -> None:
    image = np.arange(20 * 20 * 3, dtype=np.uint32).reshape(20, 20, 3).astype(np.uint8)
    crop, square = crop_face(image, Box(-4, -4, 12, 12), margin=0.5)
    assert crop.shape == (18, 18, 3)
    assert square.left < 0
    assert np.array_equal(crop[0, -square.left :], crop[1, -square.left :])


def test_boxes_that_make_no_sense_are_refused() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    for box in (Box(30, 0, 5, 5), Box(0, 0, 0, 5), Box(-9, 0, 5, 5)):
        with pytest.raises(ValueError, match="no part of a 20 x 20 image"):
            crop_face(image, box)
    with pytest.raises(ValueError, match="min_size = 0"):
        detect_faces(image, 0)
