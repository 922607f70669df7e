"""DiffAugment: each change by hand, the same for all faces of a pair, differentiable, the same in parts."""

import pytest
import torch
from torch import Tensor

from hifacegan_lib.training.augmentation import diffaugment, judge

STILL = [0.5, 0.5, 0.5, 0.5, 0.5, 0.0, 0.0]  # no change but the cutout, which is in the corner


def changed(image: Tensor, **numbers: float) -> Tensor:
    names = ("brightness", "saturation", "contrast", "down", "right", "cut_row", "cut_column")
    row = [numbers.get(name, still) for name, still in zip(names, STILL, strict=True)]
    return diffaugment(image, torch.tensor([row], dtype=image.dtype))


@pytest.fixture
def image() -> Tensor:
    return torch.rand(1, 3, 16, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_the_cutout_is_a_grey_rectangle_of_half_the_sides(image: Tensor) -> None:
    found = changed(image, cut_row=0.5, cut_column=0.5)  # centre: row 8, column 4
    expected = image.clone()
    expected[:, :, 4:12, 2:6] = 0.5
    torch.testing.assert_close(found, expected)
    corner = changed(image)
    assert (corner[:, :, :4, :2] == 0.5).all() and torch.allclose(corner[:, :, 4:, 2:], image[:, :, 4:, 2:])


@pytest.mark.parametrize(("number", "rows"), [(0.0, -2), (0.5, 0), (0.99, 2)])
def test_a_translation_moves_by_an_eighth_at_most_and_grey_comes_in(image: Tensor, number: float, rows: int) -> None:
    found = changed(image, down=number, cut_column=0.0)[:, :, :, 2:]  # beside the cutout
    expected = torch.full_like(image, 0.5)
    expected[:, :, max(rows, 0) : 16 + min(rows, 0)] = image[:, :, max(-rows, 0) : 16 - max(rows, 0)]
    torch.testing.assert_close(found, expected[:, :, :, 2:])


def test_colours_by_hand(image: Tensor) -> None:
    apart = image[..., 2:]  # of columns beside the cutout; contrast is about the mean of the whole face
    torch.testing.assert_close(changed(image, brightness=0.9)[..., 2:], apart + 0.2)
    grey = apart.mean(1, keepdim=True)
    torch.testing.assert_close(changed(image, saturation=0.0)[..., 2:], grey.expand_as(apart))
    torch.testing.assert_close(changed(image, saturation=0.75)[..., 2:], grey + 1.5 * (apart - grey))
    torch.testing.assert_close(changed(image, contrast=0.25)[..., 2:], image.mean() + 0.75 * (apart - image.mean()))


def test_gradients_pass_the_change(image: Tensor) -> None:
    assert torch.autograd.gradcheck(lambda x: changed(x, saturation=0.2, down=0.9), image.requires_grad_())


def test_faces_of_a_pair_have_one_change_and_those_of_other_pairs_have_others() -> None:
    face = torch.rand(1, 3, 16, 16).expand(2, 3, 16, 16)
    seen = judge(lambda *both: both, "diffaugment", face)(face)  # type: ignore[arg-type]
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0][0], seen[0][1])
    assert judge(lambda *both: both, "none", face)(face)[1] is face  # type: ignore[arg-type]


def test_a_batch_in_parts_has_the_changes_of_the_whole_batch() -> None:
    faces = torch.rand(6, 3, 16, 16)

    def seen(parts: int) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return torch.cat([judge(lambda _, x: x, "diffaugment", x)(x) for x in faces.chunk(parts)])  # type: ignore

    assert torch.equal(seen(1), seen(3))
