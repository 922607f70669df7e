import pytest
import torch
from torch import nn
from torchvision.models import vgg19

from hifacegan_lib import losses


def answers(*scores: float) -> list[list[torch.Tensor]]:
    """One scale for each score: a feature map of that constant, then the score map."""
    return [[torch.full((2, 3, 4, 4), s), torch.full((2, 1, 3, 3), s)] for s in scores]


def test_lsgan_by_hand() -> None:
    assert losses.lsgan_generator(answers(0.5, 2.0)).item() == pytest.approx((0.25 + 1.0) / 2)
    value = losses.lsgan_discriminator(answers(0.5), answers(0.25)).item()
    assert value == pytest.approx((0.25 + 0.5625) / 2)


def test_a_perfect_discriminator_and_a_perfect_generator_lose_nothing() -> None:
    assert losses.lsgan_discriminator(answers(0.0), answers(1.0)).item() == 0
    assert losses.lsgan_generator(answers(1.0, 1.0)).item() == 0


def test_feature_matching_by_hand_without_the_scores() -> None:
    restored, clean = answers(0.5, 1.0), answers(0.25, 3.0)
    assert losses.feature_matching(restored, clean).item() == pytest.approx((0.25 + 2.0) / 2)
    assert losses.feature_matching(clean, clean).item() == 0


def test_feature_matching_sends_no_gradient_into_the_clean_side() -> None:
    restored, clean = answers(0.5), answers(0.25)
    restored[0][0].requires_grad_()
    clean[0][0].requires_grad_()
    losses.feature_matching(restored, clean).backward()
    assert restored[0][0].grad is not None
    assert clean[0][0].grad is None


@pytest.fixture(scope="module")
def random_vgg() -> nn.Sequential:
    """The architecture alone: the loss's arithmetic does not depend on what the network has seen."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return vgg19().features


def test_perceptual_equals_a_direct_sum_over_the_papers_layers(random_vgg: nn.Sequential) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 1, 3, 32, 32, generator=generator).unbind()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = torch.zeros(())
    for cut, weight in ((2, 1 / 32), (7, 1 / 16), (12, 1 / 8), (21, 1 / 4), (30, 1.0)):
        fa, fb = (random_vgg[:cut]((x - mean.view(3, 1, 1)) / std.view(3, 1, 1)) for x in (a, b))
        expected = expected + weight * (fa - fb).abs().mean()
    torch.testing.assert_close(losses.PerceptualLoss(random_vgg)(a, b), expected)


def test_perceptual_is_zero_for_equal_images_and_trains_nothing_of_its_own(random_vgg: nn.Sequential) -> None:
    loss, image = losses.PerceptualLoss(random_vgg), torch.rand(1, 3, 32, 32, requires_grad=True)
    assert loss(image, image.detach()).item() == 0
    assert not [p for p in loss.parameters() if p.requires_grad]


def test_missing_vgg_weights_name_the_command(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="hifacegan weights fetch vgg19"):
        losses.PerceptualLoss()
