import dataclasses
import itertools
from pathlib import Path

import golden
import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hifacegan_lib.models.generator import PRESETS, PUBLISHED, SMOOTHINGS, Generator, GeneratorConfig
from hifacegan_lib.params import Training
from hifacegan_lib.training.loop import build as build_networks

SMALL = GeneratorConfig(width=4, stages=2, hidden=4)


def build(config: GeneratorConfig, seed: int = 0) -> Generator:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = Generator(config)
        torch.nn.init.normal_(generator.draw.weight, std=0.1)  # an untrained skip network would return its input
    return generator


def faces(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


GRID = itertools.product(["inner_product", "lip", "conv"], ["features", "image"], ["gamma", "one_plus_gamma"])


@pytest.mark.parametrize(("suppression", "guidance", "modulation"), list(GRID))
def test_every_variant_keeps_shape_and_range(suppression: str, guidance: str, modulation: str) -> None:
    config = dataclasses.replace(SMALL, suppression=suppression, guidance=guidance, modulation=modulation)
    out = build(config)(faces(2, 3, 16, 16))
    assert out.shape == (2, 3, 16, 16)
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (17, 40), (64, 64)])
@pytest.mark.parametrize("patch", [1, 2])
def test_any_size_of_image(size: tuple[int, int], patch: int) -> None:
    assert build(dataclasses.replace(SMALL, patch=patch))(faces(1, 3, *size)).shape == (1, 3, *size)


@pytest.mark.parametrize("stages", [1, 3, 6])
def test_any_number_of_stages(stages: int) -> None:
    assert build(dataclasses.replace(SMALL, stages=stages))(faces(1, 3, 20, 20)).shape == (1, 3, 20, 20)


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_train_and_eval_give_the_same_picture(spectral_norm: bool) -> None:
    generator, image = build(dataclasses.replace(SMALL, spectral_norm=spectral_norm)), faces(3, 3, 16, 16)
    trained, again, judged = generator.train()(image), generator(image), generator.eval()(image)
    assert (trained - judged).abs().max() <= 1e-3
    assert (trained - again).abs().max() <= 1e-3


def test_a_picture_does_not_depend_on_its_neighbours() -> None:
    generator, image = build(SMALL), faces(3, 3, 16, 16)
    torch.testing.assert_close(generator(image)[:1], generator(image[:1]))


def test_power_iteration_moves_only_when_asked() -> None:
    generator, image = build(dataclasses.replace(SMALL, spectral_norm=True)).train(), faces(1, 3, 8, 8)
    before = {name: value.clone() for name, value in generator.named_buffers()}
    generator(image)
    assert all(torch.equal(before[name], value) for name, value in generator.named_buffers())
    generator.step_spectral_norm()
    assert any(not torch.equal(before[name], value) for name, value in generator.named_buffers())


def test_an_untrained_network_with_a_skip_returns_its_input() -> None:
    image = faces(1, 3, 12, 12)
    torch.testing.assert_close(Generator(SMALL)(image), image)


def test_gradients_reach_every_parameter() -> None:
    generator = build(SMALL)
    generator(faces(1, 3, 16, 16)).square().mean().backward()
    assert [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []


def test_clipped_pixels_still_learn() -> None:
    generator = Generator(SMALL)
    torch.nn.init.constant_(generator.draw.bias, 5.0)
    out = generator(faces(1, 3, 8, 8))
    assert out.max() == 1
    out.sum().backward()
    assert generator.draw.bias.grad.abs().sum() > 0


def test_seed_fixes_the_network() -> None:
    first, second, other = (build(SMALL, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_have_no_batch_statistics(name: str) -> None:
    with torch.device("meta"):
        generator = Generator(dataclasses.replace(PRESETS[name], spectral_norm=False))
    assert not [module for module in generator.modules() if isinstance(module, torch.nn.BatchNorm2d)]


def test_bad_input_and_config_are_refused() -> None:
    with pytest.raises(ValueError, match="N x 3 x H x W"):
        build(SMALL)(faces(1, 4, 8, 8))
    with pytest.raises(ValueError, match="width must be at least 1"):
        GeneratorConfig(width=0)
    with pytest.raises(ValueError, match="unknown \\['depth'\\]"):
        GeneratorConfig.from_dict({"depth": 3})
    with pytest.raises(ValueError, match="guidance is"):
        GeneratorConfig(guidance="edges")


@pytest.mark.parametrize("name", ["paper", "hifacegan"])
def test_activation_checkpointing_gives_the_same_gradients_and_averages(name: str) -> None:
    config = dataclasses.replace({**PRESETS, **PUBLISHED}[name], width=4, stages=5)
    results = []
    for on in (False, True):
        generator = build(config).train()
        generator.checkpointing = on
        generator(faces(2, 3, 32, 32)).square().sum().backward()
        results.append(
            [p.grad for p in generator.parameters()] + [b.float() for b in generator.buffers()]  # type: ignore[misc]
        )
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_activation_checkpointing_keeps_less() -> None:
    kept = []
    for on in (False, True):
        generator = build(dataclasses.replace(PRESETS["paper"], width=8, stages=2)).train()
        generator.checkpointing = on
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, to=sizes: (to.append(x.nbytes), x)[1], lambda x: x):
            generator(faces(1, 3, 64, 64)).sum().backward()
        kept.append(sum(sizes))
    assert kept[1] < 0.7 * kept[0]


def cost(config: GeneratorConfig) -> tuple[int, float]:
    """Parameters, and GFLOP of one picture of 512 x 512 pixels."""
    with torch.device("meta"):
        generator = Generator(config).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            generator(torch.empty(1, 3, 512, 512))
    return sum(p.numel() for p in generator.parameters()), counter.get_total_flops() / 1e9


def test_compact_costs_a_tenth_of_the_published_network() -> None:
    parameters, gflop = cost(PRESETS["compact"])
    assert parameters <= 8e6 and gflop <= 90
    published, published_gflop = cost(PUBLISHED["hifacegan"])
    assert published == 79_854_931 and published_gflop == pytest.approx(863, abs=1)
    assert parameters < published / 10 and gflop < published_gflop / 10
    assert cost(PRESETS["compact-64"])[1] < gflop


@pytest.mark.parametrize(
    ("profile", "preset"),
    [("demo", "compact-64"), ("folder64", "compact"), ("ffhq512", "paper")],
)
def test_profiles_train_the_presets(profile: str, preset: str) -> None:
    p = Training.from_yaml(Path(__file__).parents[2] / "params" / profile / "04_training.yaml")
    assert build_networks(p.model_copy(update={"device": "cpu"}), torch.device("meta"))[0].config == PRESETS[preset]


KINDS = {
    **{name: dataclasses.replace(c, width=3) for name, c in {**PRESETS, **PUBLISHED}.items()},
    "every option": GeneratorConfig(
        width=3, widest=2, stages=3, patch=2, guidance="image", start="features", norm="layer", window=5, hidden=4
    ),
    "narrow image": GeneratorConfig(width=2, stages=2, guidance="image", norm="rms", suppression="conv", skip=False),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_recorded_picture_and_its_slope(name: str) -> None:
    generator, image = build(KINDS[name]).train(), golden.faces(2, 3, 33, 40).requires_grad_()
    generator.step_spectral_norm()
    out = generator(image)
    out.square().sum().backward()
    golden.check(f"models: generator {name}", out)
    golden.check(f"models: generator {name}, slope", image.grad, unit=10)
    slopes = torch.stack([p.grad.norm() for p in generator.parameters() if p.grad is not None])
    golden.check(f"models: generator {name}, weights", slopes / slopes.norm())


@pytest.mark.parametrize("reach", SMOOTHINGS)
def test_each_gain_of_the_skip_takes_the_mean_of_the_pixels_inside_the_image(reach: int) -> None:
    image = faces(1, 3, 8, 12)
    generator = Generator(SMALL)
    generator.draw.bias.data[3 + SMOOTHINGS.index(reach)] = 1.0
    expected = np.zeros((3, 8, 12))
    for y in range(8):
        for x in range(12):
            near = image[0, :, max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
            expected[:, y, x] = near.numpy().mean((1, 2))
    np.testing.assert_allclose(generator(image)[0].detach(), expected, atol=1e-6)


def test_gains_add_up_and_the_drawn_colours_come_on_top() -> None:
    image = torch.full((1, 3, 8, 8), 0.5)
    generator = Generator(SMALL)
    generator.draw.bias.data[:] = torch.tensor([0.1, -0.2, 0.3, 0.7, 0.8, 0.9])
    expected = image + torch.tensor([0.1, -0.2, 0.3]).view(1, 3, 1, 1)
    torch.testing.assert_close(generator(image), expected)


@pytest.mark.parametrize("size", [(5, 7), (3, 1), (8, 9), (4, 4)])
def test_sides_are_extended_by_reflection_or_by_the_border(size: tuple[int, int]) -> None:
    image, block = faces(1, 3, *size), SMALL.block
    padded = Generator(SMALL)._padded(image)
    pads = [(0, 0), (0, 0), (0, -size[0] % block), (0, -size[1] % block)]
    reflects = pads[2][1] < size[0] and pads[3][1] < size[1]
    np.testing.assert_array_equal(padded, np.pad(image.numpy(), pads, "reflect" if reflects else "edge"))


def test_in_bfloat16_the_picture_is_nearly_the_same() -> None:
    generator, image = build(dataclasses.replace(SMALL, modulation="gamma")), golden.faces(1, 3, 33, 40)
    with torch.autocast("cpu", torch.bfloat16):
        drawn = generator(image).float()
    assert (drawn - generator(image)).abs().max() < 0.05


def test_channels_double_up_to_the_widest() -> None:
    config = GeneratorConfig(width=6, widest=4, stages=3, patch=3)
    assert [config.channels(level) for level in range(5)] == [6, 12, 24, 24, 24]
    assert config.block == 24


def test_without_the_skip_the_picture_is_the_tanh_clipped_from_below() -> None:
    generator = Generator(dataclasses.replace(SMALL, skip=False))
    torch.nn.init.zeros_(generator.draw.weight)
    generator.draw.bias.data[:] = torch.tensor([-1.0, 0.5, 3.0])
    expected = torch.tensor([0.0, 0.5, 3.0]).tanh().view(1, 3, 1, 1).expand(1, 3, 8, 8)
    torch.testing.assert_close(generator(faces(1, 3, 8, 8)), expected)
