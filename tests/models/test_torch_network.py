"""A copy without moving parts draws the generator's picture; bfloat16 stays near it."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from published import draw, tensors
from torch import Tensor

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.models import published, train_eval
from hifacegan_lib.models.generator import PRESETS, PUBLISHED, Generator, GeneratorConfig
from hifacegan_lib.models.torch_network import TorchNetwork, folded, has_bfloat16
from hifacegan_lib.utils.images import to_float

SMALL: dict[str, GeneratorConfig] = {
    name: dataclasses.replace(c, width=min(c.width, 8)) for name, c in {**PRESETS, **PUBLISHED}.items()
}
SMALL["published, instance"] = dataclasses.replace(SMALL["hifacegan"], norm="instance")


def untrained(config: GeneratorConfig, seed: int = 0) -> Generator:
    """Weights that draw something, statistics that are not those of the beginning."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Generator(config)
        with torch.no_grad():
            generator.draw.weight.normal_(0, 0.05)
            for name, buffer in generator.named_buffers():
                if name.endswith("running_mean"):
                    buffer.normal_(0, 0.3)
                elif name.endswith("running_var"):
                    buffer.uniform_(0.5, 2)
    return generator.eval()


def faces(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def apart(generator: Generator, precision: str, image: Tensor) -> Tensor:
    return (generator(image) - TorchNetwork(generator, precision)(image)).abs()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", list(SMALL))
def test_float32_draws_the_same_picture(name: str) -> None:
    assert apart(untrained(SMALL[name]), "float32", faces(2, 3, 70, 50)).max() < 0.1 / 255


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_a_published_file_is_drawn_as_its_authors_draw_it(name: str) -> None:
    given = tensors(name, 8)
    image = faces(1, 3, 64, 96)
    expected = draw(name, given, image, True)
    generator, _ = published.import_state(given)
    found = TorchNetwork(train_eval.eval_safe(generator))(image)
    assert (found - expected).abs().max() < 1 / 255


def test_an_array_gives_an_array() -> None:
    network, image = TorchNetwork(untrained(SMALL["compact"])), faces(2, 3, 20, 30)
    found = network(image.numpy())
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    assert np.array_equal(found, network(image).numpy())


def pairs(seeds: range, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    recipe = load_recipe("face_renov")
    for seed in seeds:
        face = portrait(seed, size)
        yield to_float(recipe.sample(seed, grid=size).apply(face)), to_float(face)


@pytest.mark.parametrize("name", ["paper", "hifacegan", "published, instance"])
def test_bfloat16_of_a_trained_network_is_within_two_grey_levels(name: str) -> None:
    """On 99% of pixels, of faces that it has not seen."""
    generator = untrained(SMALL[name]).train()
    optimizer = torch.optim.Adam(generator.parameters(), 1e-3, (0.0, 0.9))
    degraded, clean = (torch.stack(part) for part in zip(*pairs(range(40), 64), strict=True))
    for step in range(40):
        batch = slice(step % 8 * 4, step % 8 * 4 + 4)
        generator.step_spectral_norm()
        loss = F.l1_loss(generator(degraded[batch]), clean[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    off = apart(generator.eval(), "bfloat16", degraded[32:])
    assert off.flatten().quantile(0.99) < 2 / 255


def test_nothing_moves_and_the_given_stays_as_it_was() -> None:
    generator = untrained(SMALL["hifacegan"])
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    still = folded(generator)
    assert not any(p.requires_grad for p in still.parameters()) and not still.training
    assert not any("parametrizations" in name for name in still.state_dict())
    TorchNetwork(generator)(faces(1, 3, 32, 32))
    for name, value in generator.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_precision_is_checked_and_found() -> None:
    generator = untrained(SMALL["compact-64"])
    with pytest.raises(ValueError, match="precision is one of float32, bfloat16, auto; got 'half'"):
        TorchNetwork(generator, "half")  # type: ignore[arg-type]
    assert TorchNetwork(generator, "auto").dtype == (torch.bfloat16 if has_bfloat16() else torch.float32)
    with pytest.raises(ValueError, match="NaN or infinite"):
        TorchNetwork(generator)(torch.full((1, 3, 8, 8), float("nan")))
