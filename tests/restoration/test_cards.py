"""Faces of any size: what a card says is done to them is done, and they come back at their size."""

import numpy as np
import pytest
import torch

from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.utils import images

SIZES = [(32, 32), (64, 64), (40, 50), (1, 1), (7, 3), (200, 64)]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


class Seen:
    """A network that keeps what it is shown, and enlarges it by repetition."""

    def __init__(self, scale: int = 1) -> None:
        self.scale, self.shapes, self.shown = scale, list[tuple[int, ...]](), list[np.ndarray]()

    def __call__(self, faces: np.ndarray) -> np.ndarray:
        self.shapes.append(faces.shape)
        self.shown += list(faces)
        return faces.repeat(self.scale, 2).repeat(self.scale, 3)


@pytest.mark.parametrize("card", [Card("a"), Card("a", size=64), Card("a", size=64, square=True), Card("a", scale=3)])
def test_faces_come_back_at_their_sizes_in_their_order(card: Card) -> None:
    faces = [noise(*size) for size in SIZES]
    for drawn, face in zip(Model(Seen(card.scale), card).restore(faces), faces, strict=True):
        assert drawn.shape == face.shape and drawn.dtype == np.uint8
        alone = Model(Seen(card.scale), card).restore([face])[0]
        assert np.array_equal(drawn, alone)
        if card.size is None:
            assert np.array_equal(drawn, face)


def test_a_network_of_one_size_sees_only_this_size_and_no_face_is_stretched() -> None:
    seen, face = Seen(), noise(40, 50)
    Model(seen, Card("a", size=64, square=True)).restore([noise(*size) for size in SIZES[:4]] + [face])
    assert {shape[1:] for shape in seen.shapes} == {(3, 64, 64)}
    filled = np.vstack([face, face[:-11:-1]])  # 40 rows, then ten of their reflection
    expected = images.resize(filled, 64, 64)
    assert np.array_equal(np.rint(255 * seen.shown[-1]).astype(np.uint8).transpose(1, 2, 0), expected)


def test_the_shorter_side_is_brought_to_the_size() -> None:
    seen = Seen()
    Model(seen, Card("a", size=64)).restore([noise(40, 50), noise(128, 96)])
    assert [shape[2:] for shape in seen.shapes] == [(64, 80), (85, 64)]


def test_a_batch_holds_faces_of_one_size_and_at_most_eight() -> None:
    seen = Seen()
    Model(seen, Card("a")).restore([noise(8, 8)] * 10 + [noise(9, 9)])
    assert [shape[:1] for shape in seen.shapes] == [(8,), (2,), (1,)]
    assert Model(seen, Card("a")).restore([]) == []


@pytest.mark.parametrize("card", [Card("a", size=8), Card("a", size=8, square=True)])
def test_a_strip_is_no_face(card: Card) -> None:
    with pytest.raises(ValueError, match="90 x 10 pixels: a picture of one face has no side 8 times the other"):
        Model(Seen(), card).restore([noise(10, 90)])


def test_other_arrays_are_refused_and_named() -> None:
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), [1]):
        with pytest.raises(ValueError, match="theirs: expected"):
            Model(Seen(), Card("theirs")).restore([wrong])  # type: ignore[list-item]


def test_a_model_is_a_method_for_tensors_and_arrays_too() -> None:
    model, faces = Model(lambda x: 1 - x, Card("negative", size=16)), torch.rand(2, 3, 16, 16)
    drawn = model(faces)
    assert drawn.shape == faces.shape and (drawn + faces - 1).abs().max() <= 0.5 / 255 + 1e-6
    assert np.array_equal(model(faces.numpy()), drawn.numpy())


def test_the_words_name_size_kernel_and_scale() -> None:
    assert Card("a").resizing == "none: every face is shown at its size"
    one_size = Card("a", size=512, square=True).resizing
    assert "512 pixels and back" in one_size and "square by reflection" in one_size and "area averages down" in one_size
    assert "the output, 4 times as large, is shrunk by area averages" in Card("a", scale=4).resizing
    given = Card("a", "ESRGAN", 7, "0" * 64, "MIT", None, 4)
    assert (
        given.to_dict()["resizing"] == given.resizing
        and Card(**{k: v for k, v in given.to_dict().items() if k != "resizing"}) == given
    )
