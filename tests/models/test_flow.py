"""The flow by hand, its determinism, and a toy with a known answer."""

import math

import pytest
import torch
from torch import Tensor, nn

from hifacegan_lib.models.flow import NEAREST, Flow

FACES = torch.rand(3, 3, 6, 5, generator=torch.Generator().manual_seed(0))
CLEAN = torch.rand(3, 3, 6, 5, generator=torch.Generator().manual_seed(1))


class Half(nn.Module):
    """A fixed answer that is not linear; keeps what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, image: Tensor) -> Tensor:
        self.seen = image
        return (self.factor * image.square()).clamp(0, 1)


def test_a_prediction_and_its_weight_by_hand() -> None:
    made = Flow(Half(), Half(), sigma=0.3).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        t, noise = torch.rand(3, 1, 1, 1), torch.randn(3, 3, 6, 5)
        torch.manual_seed(5)
        restored, weights = made.predict(FACES, CLEAN)
    z0 = FACES.square() / 2 + 0.3 * noise
    z = (1 - t) * z0 + t * CLEAN
    torch.testing.assert_close(made.network.seen, z)  # the entrance begins as the identity
    torch.testing.assert_close(restored, (z.square() / 2).clamp(0, 1))
    velocity = (restored - z) / (1 - t)
    assert t.max() < 1 - NEAREST
    expected = (velocity - (CLEAN - z0)).square().mean()
    torch.testing.assert_close(Flow.loss(restored, CLEAN, weights), expected)


def test_the_weight_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape, 0.99))
    assert Flow(Half(), Half()).predict(FACES, CLEAN)[1].flatten().tolist() == pytest.approx([400.0] * 3)


def test_faces_are_drawn_by_euler_s_method() -> None:
    made = Flow(Half(), Half(), sigma=0.3, steps=4, seed=3).eval()
    nn.init.normal_(made.enter.weight, generator=torch.Generator().manual_seed(2))
    noise = torch.randn(1, 3, 6, 5, generator=torch.Generator().manual_seed(3))
    mean = FACES.square() / 2
    z = mean + 0.3 * noise
    with torch.no_grad():
        for n in range(4):
            t = torch.full((3, 1, 6, 5), n / 4)
            x = made.network(made.enter(torch.cat([z, t, mean], 1)))
            z = z + (x - z) / (1 - n / 4) / 4
        torch.testing.assert_close(made(FACES), z)
        made.steps = 1
        torch.testing.assert_close(
            made(FACES), made.network(made.enter(torch.cat([mean + 0.3 * noise, 0 * t, mean], 1)))
        )


def test_a_face_depends_on_the_seed_and_not_on_its_neighbours() -> None:
    made, before = Flow(Half(), Half(), steps=2).eval(), torch.get_rng_state()
    whole = made(FACES)
    assert torch.equal(whole, torch.cat([made(face) for face in FACES.split(1)])) and torch.equal(whole, made(FACES))
    made.seed = 1
    assert not torch.equal(whole, made(FACES)) and torch.equal(before, torch.get_rng_state())
    assert (made.noise(6, 5) == made.noise(6, 5)).all() and made.noise(6, 5).shape == (1, 3, 6, 5)


def test_the_mean_is_frozen_and_the_rest_learns() -> None:
    made = Flow(nn.Sequential(Half(), nn.Dropout()), Half()).train()
    assert not any(part.training for part in made.mean.modules()) and made.network.training
    restored, weights = made.predict(FACES, CLEAN)
    Flow.loss(restored, CLEAN, weights).backward()
    assert made.mean[0].factor.grad is None and made.network.factor.grad != 0 and made.enter.weight.grad.abs().sum() > 0


class Pixelwise(nn.Module):
    """A small network for each pixel alone, for values near 0.5."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 64, 1), nn.SiLU(), nn.Conv2d(64, 64, 1), nn.SiLU(), nn.Conv2d(64, 3, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        return image + self.layers(6 * (image - 0.5)) / 6


def two_modes() -> tuple[Tensor, Tensor]:
    """Grey pixels, damaged beyond all knowledge, and their clean values: 0.3 or 0.7, each half of the time."""
    return torch.full((256, 3, 2, 2), 0.5), 0.3 + 0.4 * torch.randint(0, 2, (256, 1, 2, 2)).expand(-1, 3, -1, -1)


def fit(network: nn.Module, loss_of: object, steps: int) -> None:
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(learning, 0.02)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=steps)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(*two_modes()).backward()  # type: ignore[operator]
        optimizer.step()
        rates.step()


def test_of_two_modes_the_mean_gives_neither_and_the_flow_both() -> None:
    """Known: the mean is 0.5 with square error 0.2^2; a draw from the possible values has twice that error."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mean = Pixelwise()
        fit(mean, lambda y, x: (mean(y) - x).square().mean(), 100)
        made = Flow(mean, Pixelwise(), sigma=0.1, steps=20)

        def loss_of(y: Tensor, x: Tensor) -> Tensor:
            drawn, weights = made.predict(y, x)
            return Flow.loss(drawn, x, weights)

        fit(made, loss_of, 400)
        damaged, clean = two_modes()
        with torch.no_grad():
            means, drawn = mean(damaged), made.sample(damaged, torch.randn(256, 3, 2, 2))
    assert (means - 0.5).abs().max() < 0.01
    assert (means - clean).square().mean().item() == pytest.approx(0.04, abs=0.001)
    grey = drawn.mean(1)
    near = (grey - 0.3).abs() < 0.05, (grey - 0.7).abs() < 0.05
    assert (near[0] | near[1]).float().mean() > 0.98
    assert near[0].float().mean().item() == pytest.approx(0.5, abs=4 * math.sqrt(0.25 / grey.numel()))
    assert (drawn - clean).square().mean().item() == pytest.approx(0.08, abs=0.008)
