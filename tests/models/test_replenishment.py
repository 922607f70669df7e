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
