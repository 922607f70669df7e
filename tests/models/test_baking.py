"""A baked network draws the same picture as the generator that it was made of."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from published import draw, tensors
from torch import Tensor

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.models import published, rows, train_eval
from hifacegan_lib.models.baking import bake, folded, has_bfloat16
from hifacegan_lib.models.generator import PRESETS, PUBLISHED, Generator, GeneratorConfig
from hifacegan_lib.models.winograd import WinogradConv2d
from hifacegan_lib.utils.images import to_float

SMALL = {name: dataclasses.replace(c, width=min(c.width, 8)) for name, c in {**PRESETS, **PUBLISHED}.items()}
VARIANTS: dict[str, GeneratorConfig] = {
    **SMALL,
    **{f"ours, {kind}": dataclasses.replace(SMALL["paper"], suppression=kind) for kind in ("lip", "conv")},  # type: ignore[arg-type]
    "ours, layer norm": dataclasses.replace(SMALL["paper"], norm="layer"),
    "ours, gamma": dataclasses.replace(SMALL["paper"], modulation="gamma"),
    "published, instance": dataclasses.replace(SMALL["hifacegan"], norm="instance"),
    "published, rms": dataclasses.replace(SMALL["hifacegan"], norm="rms"),
}


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
def apart(a: torch.nn.Module, b: torch.nn.Module, image: Tensor) -> Tensor:
    return (a(image) - b(image)).abs()


@pytest.mark.parametrize("name", list(VARIANTS))
@pytest.mark.parametrize("strip", [2**12, 2**23], ids=["many strips", "few strips"])
def test_float32_draws_the_same_picture(name: str, strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "STRIP", strip)
    generator = untrained(VARIANTS[name])
    assert apart(generator, bake(generator), faces(2, 3, 70, 50)).max() < 0.1 / 255


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_a_published_file_is_drawn_as_its_authors_draw_it(name: str) -> None:
    given = tensors(name, 8)
    image = faces(1, 3, 64, 96)
    expected = draw(name, given, image, True)
    generator, _ = published.import_state(given)
    found = bake(train_eval.eval_safe(generator))(image)
    assert (found - expected).abs().max() < 1 / 255


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 3, 1, 40), (3, 3, 33, 7), (1, 3, 64, 64)])
def test_any_size_and_any_count(shape: tuple[int, ...]) -> None:
    generator = untrained(SMALL["paper"])
    assert apart(generator, bake(generator), faces(*shape)).max() < 0.1 / 255


def test_many_pictures_are_drawn_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = untrained(SMALL["paper"])
    baked, image = bake(generator), faces(5, 3, 32, 32)
    whole = baked(image)
    monkeypatch.setattr("hifacegan_lib.models.baking.AT_ONCE", 2 * 32 * 32)
    assert (baked(image) - whole).abs().max() < 0.1 / 255


def test_large_maps_take_the_tiles() -> None:
    generator = untrained(dataclasses.replace(PRESETS["paper"], width=32, stages=2))
    baked = bake(generator)
    assert any(isinstance(layer, WinogradConv2d) for layer in baked.modules())
    assert not any(isinstance(layer, WinogradConv2d) for layer in bake(generator, "bfloat16").modules())
    assert apart(generator, baked, faces(1, 3, 60, 44)).max() < 0.1 / 255


@pytest.mark.parametrize(("above", "below"), [(1, 1), (1, 0), (0, 1), (0, 0)])
@pytest.mark.parametrize("size", [(9, 8), (4, 5), (3, 17)])
def test_tiles_are_the_plain_convolution(size: tuple[int, int], above: int, below: int) -> None:
    rng = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(*shape, generator=rng) for shape in ((2, 5, *size), (7, 5, 3, 3), (7,)))
    expected = F.conv2d(F.pad(x, (1, 1, above, below)).double(), weight.double(), bias.double()).float()
    found = WinogradConv2d(weight, bias)(x, above, below)
    torch.testing.assert_close(found, expected, atol=3e-6 * float(expected.max() - expected.min()), rtol=0)


def test_tiles_refuse_another_kernel() -> None:
    with pytest.raises(ValueError, match=r"3 x 3 kernel, got \(2, 2, 5, 5\)"):
        WinogradConv2d(torch.zeros(2, 2, 5, 5), None)


def pairs(seeds: range, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    recipe = load_recipe("face_renov")
    for seed in seeds:
        face = portrait(seed, size)
        yield to_float(recipe.sample(seed, grid=size).apply(face)), to_float(face)


@pytest.mark.parametrize("name", ["paper", "hifacegan", "published, instance"])
def test_bfloat16_of_a_trained_network_is_within_two_grey_levels(name: str) -> None:
    """On 99% of pixels, of faces that it has not seen."""
    generator = untrained(VARIANTS[name]).train()
    optimizer = torch.optim.Adam(generator.parameters(), 1e-3, (0.0, 0.9))
    degraded, clean = (torch.stack(part) for part in zip(*pairs(range(40), 64), strict=True))
    for step in range(40):
        batch = slice(step % 8 * 4, step % 8 * 4 + 4)
        generator.step_spectral_norm()
        loss = F.l1_loss(generator(degraded[batch]), clean[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    off = apart(generator.eval(), bake(generator, "bfloat16"), degraded[32:])
    assert off.flatten().quantile(0.99) < 2 / 255


def test_nothing_moves_and_the_given_stays_as_it_was() -> None:
    generator = untrained(SMALL["hifacegan"])
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    baked = bake(generator)
    assert not any(p.requires_grad for p in baked.parameters())
    assert not generator.training
    for name, value in generator.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert apart(generator, folded(generator), faces(1, 3, 32, 32)).max() < 1e-5


def test_precision_is_checked_and_found() -> None:
    generator = untrained(SMALL["compact-64"])
    with pytest.raises(ValueError, match="precision is one of float32, bfloat16, auto; got 'half'"):
        bake(generator, "half")  # type: ignore[arg-type]
    assert bake(generator, "auto").dtype == (torch.bfloat16 if has_bfloat16() else torch.float32)
    with pytest.raises(ValueError, match="NaN or infinite"):
        bake(generator)(torch.full((1, 3, 8, 8), float("nan")))


def test_compiling_is_asked_for_and_waits_for_the_first_picture() -> None:
    generator = untrained(SMALL["compact-64"])
    assert bake(generator, compiled=True).network._compiled_call_impl is not None
    assert bake(generator).network._compiled_call_impl is None
