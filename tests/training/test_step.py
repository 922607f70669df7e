"""A step of training against one that is written out: each term of the losses, R1, Adam, rates, clipping, the average.

The networks are tiny, have no random numbers and no state besides their weights, and are in float64, so a wrong factor
on any term shows.
"""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hifacegan_lib.params import Training
from hifacegan_lib.training import distributed, loop
from hifacegan_lib.training.state import Run

SETTINGS: dict[str, Any] = {
    "batch_size": 4,
    "steps": 8,
    "decay_steps": 3,
    "adversary_from": 2,
    "discriminator_warmup": 1,
    "lr_generator": 0.02,
    "lr_discriminator": 0.03,
    "l1_weight": 3.0,
    "adversarial_weight": 0.7,
    "feature_matching_weight": 0.4,
    "beta1": 0.3,
    "beta2": 0.9,
    "ema_decay": 0.2,
    "device": "cpu",
}
CASES: dict[str, dict[str, Any]] = {
    "l1": {"adversarial_weight": 0.0, "feature_matching_weight": 0.0},
    "adversarial": {"feature_matching_weight": 0.0, "l1_weight": 0.0},
    "feature matching": {"adversarial_weight": 0.0, "l1_weight": 0.0},
    "all": {},
    "charbonnier": {"charbonnier_weight": 2.0, "charbonnier_epsilon": 0.05},
    "hinge": {"adversarial": "hinge"},
    "non saturating": {"adversarial": "non_saturating"},
    "r1 every step": {"r1_weight": 0.3, "r1_every": 1},
    "r1 every third step": {"r1_weight": 0.3, "r1_every": 3},
    "in parts": {"accumulate": 2},
    "r1 in parts": {"accumulate": 4, "r1_weight": 0.3, "r1_every": 2},
    "clipped": {"gradient_clip": 0.02},
    "clipped in parts": {"gradient_clip": 0.02, "accumulate": 2},
    "no decay": {"decay_steps": 0},
    "long average": {"ema_decay": 0.999},
}


class Restorer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return torch.sigmoid(self.layer(image) + 2 * image - 1)


class Judge(nn.Module):
    """Two scales, each of two features and the scores."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            nn.ModuleList([nn.Conv2d(6, 4, 3, 2), nn.Conv2d(4, 3, 2), nn.Conv2d(3, 1, 1)]) for _ in range(2)
        )

    def forward(self, damaged: Tensor, face: Tensor) -> list[list[Tensor]]:
        x, found = torch.cat([damaged, face], 1), []
        for first, second, last in self.scales:  # type: ignore[misc]
            one = torch.tanh(first(x))
            two = torch.tanh(second(one))
            found.append([one, two, last(two)])
            x = F.avg_pool2d(x, 2)
        return found


def networks() -> tuple[Restorer, Judge]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Restorer().double(), Judge().double()


def batch(step: int) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(step)
    clean = torch.rand(4, 3, 12, 10, generator=draw, dtype=torch.float64)
    noise = torch.rand(clean.shape, generator=draw, dtype=torch.float64)
    return {"clean": clean, "degraded": 0.7 * clean + 0.3 * noise, "key": list("abcd")}


GAMES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "lsgan": (lambda r, c: 0.5 * (r**2).mean() + 0.5 * ((c - 1) ** 2).mean(), lambda r: ((r - 1) ** 2).mean()),
    "hinge": (lambda r, c: (1 + r).clamp_min(0).mean() + (1 - c).clamp_min(0).mean(), lambda r: -r.mean()),
    "non_saturating": (
        lambda r, c: -torch.log(1 - torch.sigmoid(r)).mean() - torch.log(torch.sigmoid(c)).mean(),
        lambda r: -torch.log(torch.sigmoid(r)).mean(),
    ),
}


class Textbook:
    """The same training, with whole batches and one expression for each formula."""

    def __init__(self, p: Training, generator: nn.Module, discriminator: nn.Module) -> None:
        self.p, self.generator, self.discriminator = p, generator, discriminator
        self.average = [w.detach().clone() for w in generator.parameters()]
        self.moments = {w: (torch.zeros_like(w), torch.zeros_like(w), 0) for w in self.weights()}

    def weights(self) -> list[nn.Parameter]:
        return [*self.generator.parameters(), *self.discriminator.parameters()]

    def losses(self, step: int, clean: Tensor, degraded: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The loop's numbers, and what generator and discriminator minimise."""
        p, restored = self.p, self.generator(degraded)
        found = {"l1": (restored - clean).abs().mean()}
        total = p.l1_weight * found["l1"]
        if p.charbonnier_weight:
            found["charbonnier"] = torch.sqrt((restored - clean) ** 2 + p.charbonnier_epsilon**2).mean()
            total = total + p.charbonnier_weight * found["charbonnier"]
        opponent = torch.zeros(())
        if (p.adversarial_weight or p.feature_matching_weight) and step >= p.adversary_from - p.discriminator_warmup:
            d_loss, g_loss = GAMES[p.adversarial]
            fake, real = self.discriminator(degraded, restored), self.discriminator(degraded, clean)
            found["adversarial"] = (g_loss(fake[0][2]) + g_loss(fake[1][2])) / 2
            pairs = [[(f, r.detach()) for f, r in zip(fake[n][:2], real[n][:2], strict=True)] for n in (0, 1)]
            found["feature_matching"] = sum((f - r).abs().mean() for pair in pairs for f, r in pair) / 2
            if step >= p.adversary_from:
                total = total + p.adversarial_weight * found["adversarial"]
                total = total + p.feature_matching_weight * found["feature_matching"]
            blind = self.discriminator(degraded, restored.detach())
            found["discriminator"] = (d_loss(blind[0][2], real[0][2]) + d_loss(blind[1][2], real[1][2])) / 2
            opponent = found["discriminator"]
            if p.r1_weight and step % p.r1_every == 0:
                face = clean.clone().requires_grad_()
                scores = sum(scale[2].sum() for scale in self.discriminator(degraded, face))
                (slope,) = torch.autograd.grad(scores, face, create_graph=True)
                found["r1"] = 0.5 * (slope**2).sum() / len(face)
                opponent = opponent + p.r1_every * p.r1_weight * found["r1"]
        return found, total, opponent

    def step(self, step: int, clean: Tensor, degraded: Tensor) -> tuple[dict[str, float], dict[str, float]]:
        p = self.p
        found, total, opponent = self.losses(step, clean, degraded)
        sides = {"generator": (self.generator, total, p.lr_generator)}
        if opponent.requires_grad:
            sides["discriminator"] = (self.discriminator, opponent, p.lr_discriminator)
        decay = min(1, (p.steps - step) / (p.decay_steps + 1))
        slopes = {n: torch.autograd.grad(s[1], list(s[0].parameters()), retain_graph=True) for n, s in sides.items()}
        norms = {f"gradient of the {n}": math.sqrt(sum(float((g**2).sum()) for g in s)) for n, s in slopes.items()}
        for name, (network, _, rate) in sides.items():
            norm = norms[f"gradient of the {name}"]
            factor = min(1, p.gradient_clip / (norm + 1e-6)) if p.gradient_clip else 1
            for weight, slope in zip(network.parameters(), slopes[name], strict=True):
                self.adam(weight, factor * slope, rate * decay)
        keep = min(p.ema_decay, (1 + step) / (10 + step))
        now = [w.detach() for w in self.generator.parameters()]
        self.average = [keep * a + (1 - keep) * w for a, w in zip(self.average, now, strict=True)]
        return {name: value.item() for name, value in found.items()}, norms

    def adam(self, weight: nn.Parameter, slope: Tensor, rate: float) -> None:
        """Kingma and Ba 2015, algorithm 1."""
        p, (first, second, t) = self.p, self.moments[weight]
        first, second, t = p.beta1 * first + (1 - p.beta1) * slope, p.beta2 * second + (1 - p.beta2) * slope**2, t + 1
        self.moments[weight] = first, second, t
        with torch.no_grad():
            weight -= rate * (first / (1 - p.beta1**t)) / ((second / (1 - p.beta2**t)).sqrt() + 1e-8)


@pytest.fixture(scope="module")
def fabric() -> Any:
    return distributed.launch("cpu")


@pytest.mark.parametrize("case", CASES)
def test_every_step_is_the_textbook_s(case: str, fabric: Any) -> None:
    p = Training.checked({**SETTINGS, **CASES[case]}, "test")
    generator, discriminator = networks()
    textbook = Textbook(p, copy.deepcopy(generator), copy.deepcopy(discriminator))
    run = Run(p, fabric, (generator, discriminator), {})
    for step in range(p.steps):
        given = batch(step)
        means, norms = loop.train_step(run, step, given)
        expected, expected_norms = textbook.step(step, given["clean"], given["degraded"])
        assert {name: x.item() for name, x in means.items()} == pytest.approx(expected, rel=1e-9)
        assert {name: x.item() for name, x in norms.items()} == pytest.approx(expected_norms, rel=1e-9)
        for mine, theirs in zip(
            [*generator.parameters(), *discriminator.parameters()], textbook.weights(), strict=True
        ):
            torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-10)
        for mine, theirs in zip(run.average.parameters(), textbook.average, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-10)


def test_clipping_is_seen_in_these_cases(fabric: Any) -> None:
    """Both networks have gradients above the limit, or the cases above would say nothing about it."""
    p = Training.checked({**SETTINGS, **CASES["clipped"]}, "test")
    run = Run(p, fabric, networks(), {})
    norms = [loop.train_step(run, step, batch(step))[1] for step in range(3)][-1]
    assert len(norms) == 2 and min(norms.values()) > 1.5 * p.gradient_clip


def test_a_mask_of_state_is_copied_into_the_average() -> None:
    average, current = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    current(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    loop.update_average(average, current, 0.9)
    assert torch.equal(average.running_mean, current.running_mean)  # type: ignore[arg-type]
    assert int(average.num_batches_tracked) == 1  # type: ignore[arg-type]
