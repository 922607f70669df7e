"""Near-duplicates: copies of a picture are found however they were made, other pictures are not."""

import cv2
import golden
import numpy as np
import pytest

from hifacegan_lib.data.duplicates import THRESHOLD, distance, face_hash, near_duplicates
from hifacegan_lib.utils.images import Pixels, resize


def picture(seed: int, size: int = 96) -> Pixels:
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)


def recompressed(image: Pixels, quality: int) -> Pixels:
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def noisy(image: Pixels) -> Pixels:
    noise = np.random.default_rng(1).normal(0, 10, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


COPIES = {
    "the same": picture(0),
    "recompressed": recompressed(picture(0), 30),
    "smaller": resize(picture(0), 40, 40),
    "larger": resize(picture(0), 200, 200),
    "brighter": np.clip(picture(0) * 1.15 + 8, 0, 255).astype(np.uint8),
    "noisy": noisy(picture(0)),
    "cropped by 1 pixel": picture(0)[1:-1, 1:-1],
    "mirrored": picture(0)[:, ::-1],
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_found(name: str) -> None:
    train = {f"t{n}": face_hash(picture(n)) for n in range(1, 30)} | {"copy": face_hash(COPIES[name])}
    valid = {"v": (face_hash(picture(0)), face_hash(picture(0)[:, ::-1]))}
    assert [(t, v) for t, v, _ in near_duplicates(train, valid)] == [("copy", "v")]


def test_other_pictures_are_far_apart() -> None:
    hashes = np.stack([face_hash(picture(n)) for n in range(60)])
    bits = distance(hashes[:, None], hashes[None])[np.triu_indices(60, 1)]
    assert bits.min() > 2 * THRESHOLD and abs(bits.mean() - 132) < 10


def test_distance_counts_bits_and_is_a_metric() -> None:
    a, b, c = (face_hash(picture(n)) for n in range(3))
    assert distance(a, a) == 0 and distance(a, b) == distance(b, a)
    assert distance(a, c) <= distance(a, b) + distance(b, c)
    assert distance(a, b) == sum(int(x ^ y).bit_count() for x, y in zip(a, b, strict=True))


def test_the_nearest_comes_first_and_the_threshold_is_kept() -> None:
    image = picture(0)
    train = {"far": face_hash(recompressed(image, 5)), "near": face_hash(image)}
    valid = {"v": (face_hash(image), face_hash(image[:, ::-1]))}
    found = near_duplicates(train, valid)
    assert found[0] == ("near", "v", 0) and [bits for *_, bits in found] == sorted(bits for *_, bits in found)
    assert near_duplicates(train, valid, threshold=0) == [("near", "v", 0)]
    assert near_duplicates({}, valid) == near_duplicates(train, {}) == []


def test_a_flat_image_has_an_empty_hash() -> None:
    assert not face_hash(np.full((20, 30, 3), 77, np.uint8)).any()


def test_a_hash_by_numpy() -> None:
    picture = golden.picture(12, 12)
    grey = np.rint(picture @ [0.299, 0.587, 0.114])
    bits = [grey[y, x + 1] > grey[y, x] for y in range(12) for x in range(11)]
    bits += [grey[y + 1, x] > grey[y, x] for y in range(11) for x in range(12)]
    found = np.unpackbits(face_hash(picture).view(np.uint8))
    assert (found[:264] == bits).mean() > 0.99 and not found[264:].any()  # OpenCV's grey may round otherwise
    golden.check("data: hash", np.unpackbits(face_hash(golden.picture(50, 40)).view(np.uint8)).astype(float))
