"""Each loss against numbers worked out by hand or by an expression of NumPy's alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import golden
import numpy as np
import pytest
import torch
from standins import real
from torch import Tensor
from torch.nn.utils import parametrize

from hifacegan_lib.metrics.learned_distance import Lpips
from hifacegan_lib.models.discriminator import Discriminator
from hifacegan_lib.params import Training
from hifacegan_lib.training import losses


def answers(*scores: float) -> list[list[Tensor]]:
    """One scale for each score: a feature map of that constant, then the score map."""
    return [[torch.full((2, 3, 4, 4), s), torch.full((2, 1, 3, 3), s)] for s in scores]


def drawn(seed: int) -> list[list[Tensor]]:
    """Two scales of unequal size with random scores between -4 and 4, in float64."""
    rng = np.random.default_rng(seed)
    return [[torch.zeros(1), torch.from_numpy(rng.uniform(-4, 4, (2, 1, n, n)))] for n in (5, 3)]


def ln_sigmoid(x: np.ndarray) -> np.ndarray:
    return np.log(1 / (1 + np.exp(-x)))


BY_NUMPY: dict[str, tuple[Callable, Callable]] = {
    "lsgan": (lambda r, c: 0.5 * np.mean(r**2) + 0.5 * np.mean((c - 1) ** 2), lambda r: np.mean((r - 1) ** 2)),
    "hinge": (
        lambda r, c: np.mean(np.maximum(0, 1 + r)) + np.mean(np.maximum(0, 1 - c)),
        lambda r: -np.mean(r),
    ),
    "non_saturating": (
        lambda r, c: -np.mean(np.log(1 - 1 / (1 + np.exp(-r)))) - np.mean(ln_sigmoid(c)),
        lambda r: -np.mean(ln_sigmoid(r)),
    ),
}


@pytest.mark.parametrize("kind", losses.ADVERSARIAL)
def test_adversarial_losses_equal_numpys(kind: str) -> None:
    restored, clean = drawn(0), drawn(1)
    pairs = [(r[-1].numpy(), c[-1].numpy()) for r, c in zip(restored, clean, strict=True)]
    discriminator, generator = BY_NUMPY[kind]
    expected = np.mean([discriminator(r, c) for r, c in pairs])
    assert losses.discriminator_loss(kind, restored, clean).item() == pytest.approx(expected, rel=1e-12)
    assert losses.generator_loss(kind, restored).item() == pytest.approx(np.mean([generator(r) for r, _ in pairs]))


@pytest.mark.parametrize(
    ("kind", "discriminator", "generator"),
    [
        ("lsgan", (0.25 + 0.5625) / 2, 0.25),
        ("hinge", 1.5 + 0.75, -0.5),
        ("non_saturating", 0.974077 + 0.575939, 0.474077),  # ln(1 + e^½), ln(1 + e^-¼); ln(1 + e^-½)
    ],
)
def test_adversarial_losses_by_hand(kind: str, discriminator: float, generator: float) -> None:
    """Scores ½ for restored and ¼ for clean."""
    assert losses.discriminator_loss(kind, answers(0.5), answers(0.25)).item() == pytest.approx(discriminator, abs=2e-6)
    assert losses.generator_loss(kind, answers(0.5)).item() == pytest.approx(generator, abs=2e-6)


def test_scales_count_alike_whatever_their_size() -> None:
    assert losses.generator_loss("lsgan", answers(0.5, 2.0)).item() == pytest.approx((0.25 + 1.0) / 2)
    uneven = [[torch.zeros(1, 1, 9, 9)], [torch.ones(1, 1, 1, 1)]]
    assert losses.generator_loss("lsgan", uneven).item() == 0.5


@pytest.mark.parametrize(("kind", "sure"), [("lsgan", 1.0), ("hinge", 1.0), ("non_saturating", 50.0)])
def test_a_perfect_discriminator_loses_nothing(kind: str, sure: float) -> None:
    restored = answers(0.0 if kind == "lsgan" else -sure)
    assert losses.discriminator_loss(kind, restored, answers(sure)).item() == pytest.approx(0, abs=1e-12)


def test_a_perfect_generator_loses_nothing_or_without_end() -> None:
    assert losses.generator_loss("lsgan", answers(1.0, 1.0)).item() == 0
    assert losses.generator_loss("non_saturating", answers(50.0)).item() == pytest.approx(0, abs=1e-12)
    assert losses.generator_loss("hinge", answers(1e3)).item() == -1e3  # no bound: D's margin holds it


@pytest.mark.parametrize(("kind", "value"), [("lsgan", 0.25), ("hinge", 2.0), ("non_saturating", 2 * np.log(2))])
def test_a_discriminator_that_cannot_tell_loses_this_much(kind: str, value: float) -> None:
    """The same score for all, at its best: ½, any between -1 and 1, 0."""
    same = answers(0.5 if kind == "lsgan" else 0.0)
    assert losses.discriminator_loss(kind, same, same).item() == pytest.approx(value)


def test_hinge_asks_nothing_of_scores_beyond_the_margin() -> None:
    restored, clean = (torch.tensor([[[[-3.0, -0.5, 2.0]]]]) * sign for sign in (1, -1))
    for scores in (restored, clean):
        scores.requires_grad_()
    losses.discriminator_loss("hinge", [[restored]], [[clean]]).backward()
    assert restored.grad is not None and clean.grad is not None
    assert restored.grad.flatten().tolist() == pytest.approx([0, 1 / 3, 1 / 3])
    assert clean.grad.flatten().tolist() == pytest.approx([0, -1 / 3, -1 / 3])


@pytest.mark.parametrize("score", [-30.0, 30.0])
def test_the_non_saturating_generator_learns_most_where_it_fools_least(score: float) -> None:
    scores = torch.tensor([[[[score]]]], requires_grad=True)
    losses.generator_loss("non_saturating", [[scores]]).backward()
    assert scores.grad is not None
    assert scores.grad.item() == pytest.approx(-1 if score < 0 else 0, abs=1e-6)  # σ(score) - 1


def test_an_unknown_adversarial_loss_is_refused_with_the_known_ones() -> None:
    for call in (lambda: losses.generator_loss("gan", []), lambda: losses.discriminator_loss("gan", [], [])):
        with pytest.raises(ValueError, match="'gan': unknown; expected one of: lsgan, hinge, non_saturating"):
            call()


def test_r1_by_hand() -> None:
    """Scores 3 x² summed over patches, on two scales: the slope is 2 . 6 x = 12 x, the penalty ½ mean Σ 144 x²."""
    clean = torch.tensor([[[[1.0, 2.0]]], [[[0.0, 3.0]]]], requires_grad=True)
    scale = [torch.zeros(1), 3 * clean.square()]
    penalty = losses.r1_penalty([scale, scale], clean)
    assert penalty.item() == pytest.approx(0.5 * 144 * (5 + 9) / 2)
    penalty.backward()
    assert clean.grad is not None
    torch.testing.assert_close(clean.grad, 144 / 2 * clean.detach())


def test_r1_of_a_flat_discriminator_is_nothing() -> None:
    clean = torch.rand(2, 3, 4, 4, requires_grad=True)
    assert losses.r1_penalty([[clean.sum((1, 2, 3)) * 0]], clean).item() == 0


def test_r1_without_a_way_back_to_the_face_is_refused() -> None:
    with pytest.raises(ValueError, match="clean requires no grad"):
        losses.r1_penalty(answers(1.0), torch.rand(1, 3, 4, 4))


def judge() -> tuple[Discriminator, Tensor, Tensor]:
    """A tiny discriminator in float64, with two damaged and two clean faces."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        discriminator = Discriminator(width=3, layers=3).double().eval()
    damaged, clean = torch.rand(2, 2, 3, 12, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return discriminator, damaged, clean.requires_grad_()


def test_r1_equals_finite_differences_pixel_by_pixel() -> None:
    discriminator, damaged, clean = judge()
    value, step, slopes = losses.r1_penalty(discriminator(damaged, clean), clean).item(), 1e-6, []
    with torch.no_grad():
        for shift in step * torch.eye(clean[0].numel(), dtype=torch.float64).view(-1, 1, *clean[0].shape):
            up, down = (
                sum(scale[-1].sum((1, 2, 3)) for scale in discriminator(damaged, clean + sign * shift))
                for sign in (1, -1)
            )
            slopes.append((up - down) / (2 * step))
    assert value == pytest.approx(torch.stack(slopes).square().sum(0).mean().item() / 2, rel=1e-6)


def test_r1_is_differentiated_through_spectral_norm_and_pixel_statistics() -> None:
    """Along a random direction in the space of D's weights, backward's slope is that of finite differences."""
    discriminator, damaged, clean = judge()
    weights = list(discriminator.parameters())
    generator = torch.Generator().manual_seed(2)
    direction = [torch.randn(w.shape, dtype=w.dtype, generator=generator) for w in weights]

    def penalty(shift: float) -> Tensor:
        with torch.no_grad():
            for weight, way in zip(weights, direction, strict=True):
                weight += shift * way
        return losses.r1_penalty(discriminator(damaged, clean), clean)

    penalty(0.0).backward(inputs=weights)
    assert sum(w.grad is not None and bool(w.grad.any()) for w in weights) == 2 * (4 + 1)  # the scores' bias has none
    slope = sum((w.grad * way).sum().item() for w, way in zip(weights, direction, strict=True) if w.grad is not None)
    step = 1e-8  # a longer one steps over kinks of the leaky ReLU, where the penalty jumps
    up, down = penalty(step).item(), penalty(-2 * step).item()
    assert slope == pytest.approx((up - down) / (2 * step), rel=1e-6)


def test_r1_goes_with_the_adversarial_loss_in_one_backward_while_training() -> None:
    """Spectral norm's vectors move in each pass; what an earlier pass has kept must stay."""
    discriminator, damaged, clean = judge()
    discriminator.train()
    for context in (torch.enable_grad, parametrize.cached):
        with context():
            fake, real = discriminator(damaged, damaged), discriminator(damaged, clean)
            total = losses.discriminator_loss("non_saturating", fake, real) + 5 * losses.r1_penalty(real, clean)
        total.backward(inputs=list(discriminator.parameters()))
    assert all(torch.isfinite(w.grad).all() for w in discriminator.parameters() if w.grad is not None)


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


def test_charbonnier_by_hand() -> None:
    a, b = torch.tensor([0.0, 3.0, -1.0]), torch.tensor([0.0, 0.0, -1.0])
    assert losses.charbonnier(a, b, epsilon=4.0).item() == pytest.approx((4 + 5 + 4) / 3)
    assert losses.charbonnier(b, b).item() == pytest.approx(1e-3)


@pytest.mark.parametrize(("epsilon", "best"), [(1e-3, 0.0), (10.0, 1 / 3)])
def test_charbonnier_goes_from_the_median_to_the_mean(epsilon: float, best: float) -> None:
    possible, guesses = torch.tensor([0.0, 0.0, 1.0]), torch.linspace(0, 1, 301)
    found = torch.stack([losses.charbonnier(guess.expand(3), possible, epsilon=epsilon) for guess in guesses.double()])
    assert guesses[found.argmin()].item() == pytest.approx(best, abs=0.01)


def test_charbonnier_lies_within_epsilon_above_l1_and_is_smooth_at_its_foot() -> None:
    a, b = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_(), torch.zeros(2, 3, 8, 8)
    l1, smooth = (a - b).abs().mean().item(), losses.charbonnier(a, b).item()
    assert l1 < smooth < l1 + 1e-3
    (slope,) = torch.autograd.grad(losses.charbonnier(a, a.detach()), a)
    assert not slope.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", losses.ADVERSARIAL)
def test_scores_of_16_bits_are_squared_and_averaged_in_32(kind: str, dtype: torch.dtype) -> None:
    """300 squared is more than float16 holds, and bfloat16 has three digits."""
    rng = np.random.default_rng(0)
    restored, clean = ([[torch.from_numpy(rng.uniform(-300, 300, (2, 1, 9, 9))).to(dtype)]] for _ in range(2))
    for loss, given in ((losses.discriminator_loss, (restored, clean)), (losses.generator_loss, (restored,))):
        found, exact = loss(kind, *given), loss(kind, *([[x.double() for x in s] for s in a] for a in given))
        assert found.dtype == torch.float32
        assert found.item() == pytest.approx(exact.item(), rel=1e-5)


def test_the_recorded_losses_of_features() -> None:
    discriminator, damaged, clean = judge()
    fake, real = discriminator(damaged, clean.detach().flip(3)), discriminator(damaged, clean)
    found = [losses.feature_matching(fake, real), losses.r1_penalty(real, clean)]
    by_numpy = [
        sum(np.abs(a.detach().numpy() - b.detach().numpy()).mean() for a, b in zip(f[:-1], r[:-1], strict=True))
        for f, r in zip(fake, real, strict=True)
    ]
    assert found[0].item() == pytest.approx(np.mean(by_numpy))
    golden.check("training: feature matching and R1", torch.stack(found))


def test_focal_frequency_by_hand() -> None:
    """A constant c and a wave a cos(2 pi x / 4) over 4 x 4 pixels: F is 4 c at 0, and 2 a at two frequencies."""
    c, a = 0.5, 0.25
    difference = c + a * torch.cos(torch.pi / 2 * torch.arange(4.0)).expand(1, 3, 4, 4)
    expected = (2.0**2 + 2 * 0.5**2 * (0.5 / 2.0)) / 16  # the largest, 2, has the weight 1
    assert losses.focal_frequency(difference, torch.zeros(1, 3, 4, 4)).item() == pytest.approx(expected)


def test_focal_frequency_by_numpy_and_without_focus_the_mean_square() -> None:
    a, b = torch.rand(2, 2, 3, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    size = np.abs(np.fft.fft2((a - b).numpy(), norm="ortho"))
    expected = (size**3 / size.max((2, 3), keepdims=True)).mean()
    assert losses.focal_frequency(a, b).item() == pytest.approx(expected)
    assert losses.focal_frequency(a, b, alpha=0.0).item() == pytest.approx((a - b).square().mean().item())
    equal = a.clone().requires_grad_()
    losses.focal_frequency(equal, a).backward()
    assert equal.grad is not None and not equal.grad.any()


@real("vgg16")
def test_the_lpips_loss_is_the_metric_with_a_gradient() -> None:
    restored, clean = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    p = Training.checked({"lpips_weight": 2.0}, "test")
    weight, loss = losses.image_losses(p)["lpips"]
    value = loss(restored.requires_grad_(), clean, clean)
    assert weight == 2.0 and value.item() == pytest.approx(Lpips("vgg")(restored.detach(), clean).mean().item())
    value.backward()
    assert restored.grad is not None and restored.grad.any()


@pytest.mark.parametrize("name", ["lpips", "parts", "identity"])
def test_a_loss_whose_network_is_missing_names_the_command(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"run `hifacegan weights fetch (vgg16|yunet)`"):
        losses.image_losses(Training.checked({f"{name}_weight": 1.0}, "test"))


def test_losses_of_sums_of_squares_are_exact_in_any_precision() -> None:
    p = Training.checked({"focal_weight": 1.0}, "test")
    a, b = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    loss = losses.image_losses(p)["focal"][1]
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(a, b, b).item() == pytest.approx(losses.focal_frequency(a, b).item())
