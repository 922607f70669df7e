import golden
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hifacegan_lib.models.replenishment import ReplenishmentBlock, SpatiallyAdaptiveNorm, modulate, normalise


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_instance_statistics_match_torch() -> None:
    x = 3 * random(2, 4, 6, 5) + 7
    torch.testing.assert_close(normalise(x, "instance"), F.instance_norm(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["instance", "layer"])
def test_normalised_has_zero_mean_and_unit_variance(norm: str) -> None:
    y = normalise(5 * random(2, 4, 16, 16) - 3, norm)  # type: ignore[arg-type]
    assert y.mean().abs() < 1e-5
    assert (y.var(correction=0) - 1).abs() < 1e-2


@pytest.mark.parametrize("norm", ["instance", "layer"])
def test_an_image_does_not_depend_on_its_neighbours(norm: str) -> None:
    x = random(3, 4, 6, 6)
    alone, together = normalise(x[:1], norm), normalise(x, norm)[:1]  # type: ignore[arg-type]
    torch.testing.assert_close(alone, together)


def test_modulations_differ_by_the_normalised_itself() -> None:
    x, gamma, beta = random(1, 2, 3, 3), random(1, 2, 3, 3, seed=1), random(1, 2, 3, 3, seed=2)
    torch.testing.assert_close(modulate(x, gamma, beta, "one_plus_gamma") - modulate(x, gamma, beta, "gamma"), x)


def test_guidance_of_another_size_is_resized_by_nearest() -> None:
    layer, x, guidance = SpatiallyAdaptiveNorm(4, 3, 8), random(1, 4, 8, 8), random(1, 3, 4, 4, seed=1)
    enlarged = guidance.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(layer(x, guidance), layer(x, enlarged))


@pytest.mark.parametrize(("before", "after"), [(4, 4), (8, 4), (4, 8)])
@pytest.mark.parametrize("size", [1, 6])
def test_block_keeps_the_size_and_changes_the_channels(before: int, after: int, size: int) -> None:
    block = ReplenishmentBlock(before, after, 3, 8)
    assert block(random(2, before, size, size), random(2, 3, size, size)).shape == (2, after, size, size)


def test_batch_statistics_move_only_with_the_published_norm() -> None:
    assert not list(SpatiallyAdaptiveNorm(4, 3).buffers())
    assert len(list(SpatiallyAdaptiveNorm(4, 3, norm="batch").buffers())) == 3


def test_unknown_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="instance, layer"):
        normalise(random(1, 2, 3, 3), "group")  # type: ignore[arg-type]


def test_an_edge_moves_only_with_a_scale_and_a_shift_for_every_pixel() -> None:
    """Instance norm makes steps of any height equal; a scale and shift a channel put back the height, not the place."""
    column = torch.arange(64.0)

    def step(place: int, low: float, high: float) -> torch.Tensor:
        return torch.where(column < place, low, high).view(1, 1, 1, 64)

    flat, wanted = normalise(step(24, 0.2, 0.5), "instance"), step(36, 0.3, 0.8)
    torch.testing.assert_close(flat, normalise(step(24, 0.6, 0.9), "instance"), atol=1e-3, rtol=0)
    design = torch.stack([flat.flatten(), torch.ones(64)], 1)
    per_channel = design @ torch.linalg.lstsq(design, wanted.flatten()[:, None]).solution
    assert (per_channel.flatten() - wanted.flatten()).square().mean() > 0.005
    per_pixel = modulate(flat, torch.full_like(wanted, -1.0), wanted, "one_plus_gamma")
    torch.testing.assert_close(per_pixel, wanted)


@pytest.mark.parametrize("norm", ["instance", "layer", "rms"])
def test_norms_by_numpy(norm: str) -> None:
    x = 3 * random(2, 4, 5, 6) + 1
    a = x.numpy().astype(np.float64)
    if norm == "rms":
        expected = a / np.sqrt((a**2).mean((2, 3), keepdims=True) + 4)
    else:
        axes = (2, 3) if norm == "instance" else (1, 2, 3)
        expected = (a - a.mean(axes, keepdims=True)) / np.sqrt(a.var(axes, keepdims=True) + 1e-5)
    np.testing.assert_allclose(normalise(x, norm), expected, atol=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("norm", ["instance", "rms"])
def test_statistics_of_16_bits_are_computed_in_32(norm: str, dtype: torch.dtype) -> None:
    """300 squared is more than float16 holds."""
    x = (300 + 40 * random(1, 2, 16, 16)).to(dtype)
    torch.testing.assert_close(
        normalise(x, norm).float(),  # type: ignore[arg-type]
        normalise(x.float(), norm),  # type: ignore[arg-type]
        atol=0.05,
        rtol=0.02,
    )


def test_a_scale_starts_near_1_and_a_shift_near_0_in_both_modulations() -> None:
    for modulation, start in (("gamma", 1.0), ("one_plus_gamma", 0.0)):
        layer = SpatiallyAdaptiveNorm(16, 3, 8, modulation=modulation)  # type: ignore[arg-type]
        gamma, beta = layer.gamma_beta.bias.detach().chunk(2)  # type: ignore[union-attr]
        assert (gamma - start).abs().max() < 0.2 and beta.abs().max() < 0.2
        if modulation == "gamma":
            assert torch.equal(gamma, torch.ones(16))


def test_gamma_is_the_first_half_and_beta_the_second() -> None:
    layer, x, guidance = SpatiallyAdaptiveNorm(2, 3, 4), random(1, 2, 5, 5), random(1, 3, 5, 5, seed=1)
    torch.nn.init.zeros_(layer.gamma_beta.weight)
    layer.gamma_beta.bias.data = torch.tensor([1.0, 2.0, 10.0, 20.0])
    scale, shift = torch.tensor([2.0, 3.0]).view(1, 2, 1, 1), torch.tensor([10.0, 20.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(layer(x, guidance), normalise(x, "instance") * scale + shift)


def test_frozen_and_batch_statistics_by_hand() -> None:
    x = random(3, 2, 4, 4)
    layer = SpatiallyAdaptiveNorm(2, 3, 4, norm="batch")
    expected = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(layer.normalised(x), expected)
    with pytest.raises(ValueError, match=r"one value per channel \(1 x 2 x 1 x 1\)"):
        layer.normalised(x[:1, :, :1, :1])
    for few in (x[:2, :, :1, :1], x[:1, :, :2, :1], x[:1, :, :1, :2], layer.eval() and x[:1, :, :1, :1]):
        assert layer.normalised(few).shape == few.shape
    frozen = SpatiallyAdaptiveNorm(2, 3, 4, norm="frozen").train()
    frozen.batch_norm.running_mean.copy_(torch.tensor([1.0, 2.0]))  # type: ignore[union-attr, operator]
    frozen.batch_norm.running_var.copy_(torch.tensor([4.0, 9.0]))  # type: ignore[union-attr, operator]
    ways = [(x[:, 0] - 1) / (4 + 1e-5) ** 0.5, (x[:, 1] - 2) / (9 + 1e-5) ** 0.5]
    torch.testing.assert_close(frozen.normalised(x), torch.stack(ways, 1))
    assert frozen.batch_norm.num_batches_tracked == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("norm", ["instance", "layer", "rms", "batch", "frozen"])
def test_the_recorded_block(norm: str, published: bool) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        block = ReplenishmentBlock(6, 4, 3, 5, norm, "gamma" if published else "one_plus_gamma", published)  # type: ignore[arg-type]
    out = block(random(2, 6, 7, 8), random(2, 3, 7, 8, seed=1))
    golden.check(f"models: block, {norm}{', published' * published}", out)


def test_the_hidden_layer_is_narrow_in_published_blocks_alone() -> None:
    for published, widths in ((False, [5, 5]), (True, [5, 4])):
        block = ReplenishmentBlock(6, 4, 3, 5, published=published)
        assert [norm.shared.out_channels for norm in (block.norm_0, block.norm_1)] == widths
        assert (block.norm_s is not None) == published
        assert (block.norm_0.gamma_beta.bias is None) == published
    assert ReplenishmentBlock(4, 4, 3, 5, published=True).norm_s is None
