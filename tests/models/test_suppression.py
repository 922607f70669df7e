import golden
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hifacegan_lib.models.suppression import (
    InnerProductConv2d,
    LocalImportanceConv2d,
    correlation_maps,
    inner_product_conv2d,
    local_importance_pool2d,
    suppression,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unfolded(f: torch.Tensor, g: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
    """The equation, read off term by term: sum over j of D(G(f_j)^T G(f_i)) W[j - i] f_j."""
    n, _, height, width = f.shape
    window = weight.shape[-1]
    out = torch.zeros(n, weight.shape[0], -(-height // stride), -(-width // stride), dtype=f.dtype)
    for y in range(out.shape[2]):
        for x in range(out.shape[3]):
            for dy in range(window):
                for dx in range(window):
                    j, i = (y * stride + dy - window // 2, x * stride + dx - window // 2), (y * stride, x * stride)
                    if 0 <= j[0] < height and 0 <= j[1] < width:
                        correlation = (g[:, :, j[0], j[1]] * g[:, :, i[0], i[1]]).sum(1) / g.shape[1] ** 0.5
                        h = 2 * torch.sigmoid(correlation)
                        out[:, :, y, x] += h[:, None] * (f[:, :, j[0], j[1]] @ weight[:, :, dy, dx].T)
    return out


@pytest.mark.parametrize("window", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_equals_the_equation_term_by_term(window: int, stride: int) -> None:
    f, g, weight = random(2, 3, 7, 6), random(2, 4, 7, 6, seed=1), random(5, 3, window, window, seed=2)
    ours = inner_product_conv2d(f, correlation_maps(g, window, stride), weight, stride=stride)
    torch.testing.assert_close(ours, unfolded(f, g, weight, stride))


@pytest.mark.parametrize("stride", [1, 2])
def test_without_correlation_is_the_plain_convolution(stride: int) -> None:
    f, weight, bias = random(2, 3, 9, 8), random(4, 3, 3, 3, seed=1), random(4, seed=2)
    h = correlation_maps(torch.zeros(2, 5, 9, 8, dtype=f.dtype), 3, stride)
    assert torch.equal(h, torch.ones_like(h))
    ours = inner_product_conv2d(f, h, weight, bias, stride)
    torch.testing.assert_close(ours, F.conv2d(f, weight, bias, stride, padding=1))


def test_correlation_is_symmetric() -> None:
    h = correlation_maps(random(1, 4, 6, 6), 3)  # neighbour k = 5 is the right one, k = 3 the left one
    torch.testing.assert_close(h[:, 5, :, :-1], h[:, 3, :, 1:])
    torch.testing.assert_close(h[:, 7, :-1], h[:, 1, 1:])


def test_weights_of_neighbours_are_bounded() -> None:
    h = correlation_maps(100 * random(1, 4, 6, 6), 3)
    assert h.min() >= 0
    assert h.max() <= 2


def test_gradient_is_exact() -> None:
    f, g = random(1, 2, 4, 4).requires_grad_(), random(1, 2, 4, 4, seed=1).requires_grad_()
    weight = random(3, 2, 3, 3, seed=2).requires_grad_()

    def convolve(f: torch.Tensor, g: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return inner_product_conv2d(f, correlation_maps(g, 3, 2), weight, stride=2)

    assert torch.autograd.gradcheck(convolve, (f, g, weight))


def test_maps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"h must be N x K\^2"):
        inner_product_conv2d(random(1, 2, 4, 4), random(1, 9, 3, 3), random(3, 2, 3, 3))
    with pytest.raises(ValueError, match="odd"):
        correlation_maps(random(1, 2, 4, 4), 4)


def test_importance_pooling_with_equal_logits_is_the_mean() -> None:
    f = random(2, 3, 8, 8)
    pooled = local_importance_pool2d(f, torch.zeros_like(f))
    inside = F.avg_pool2d(f, 3, 2, 1, count_include_pad=False)
    torch.testing.assert_close(pooled, inside)


def test_importance_pooling_ignores_a_shift_and_survives_huge_logits() -> None:
    f, logit = random(1, 2, 8, 8), random(1, 2, 8, 8, seed=1)
    shifted = local_importance_pool2d(f, logit + 1000)
    torch.testing.assert_close(shifted, local_importance_pool2d(f, logit), rtol=1e-3, atol=1e-3)
    assert torch.isfinite(shifted).all()


def test_importance_pooling_picks_the_important_pixel() -> None:
    f, logit = random(1, 1, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    logit[0, 0, 1, 1] = 30
    torch.testing.assert_close(local_importance_pool2d(f, logit)[0, 0, 0, 0], f[0, 0, 1, 1])


@pytest.mark.parametrize("kind", ["inner_product", "lip", "conv"])
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (2, 2), (1, 2)])
def test_every_operator_halves_the_size(kind: str, size: tuple[int, int]) -> None:
    layer = suppression(kind, 4, 6)  # type: ignore[arg-type]
    out = layer.double()(random(2, 4, *size))
    assert out.shape == (2, 6, -(-size[0] // 2), -(-size[1] // 2))


def test_unknown_operator_is_refused() -> None:
    with pytest.raises(ValueError, match="inner_product, lip, conv"):
        suppression("involution", 4, 6)  # type: ignore[arg-type]


def test_modules_keep_ordinary_kernels() -> None:
    """The puzzle 'no shape of W fits': nothing of G's output has to match W's channels."""
    layer = InnerProductConv2d(4, 6, correlation_dim=7)
    assert layer.conv.weight.shape == (6, 4, 3, 3)
    assert layer(torch.rand(2, 4, 8, 8)).shape == (2, 6, 8, 8)
    assert LocalImportanceConv2d(4, 6).conv.weight.shape == (6, 4, 3, 3)


@pytest.mark.parametrize("kind", ["inner_product", "lip", "conv"])
def test_every_operator_learns_to_undo_noise(kind: str) -> None:
    """Head, one operator, back to colours: the smallest network that has something to correct."""
    draw = torch.Generator().manual_seed(0)
    clean = F.avg_pool2d(torch.rand(4, 3, 20, 20, generator=draw), 5, 1)
    damaged = clean + 0.1 * torch.randn(clean.shape, generator=draw)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head, back = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 3, 3, padding=1)
        net = torch.nn.Sequential(head, torch.nn.LeakyReLU(0.2), suppression(kind, 8, 8, stride=1), back)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        loss = F.l1_loss(damaged + net(damaged), clean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("kind", ["inner_product", "lip", "conv"])
@pytest.mark.parametrize(("window", "stride"), [(3, 1), (3, 2), (5, 2)])
def test_the_recorded_features(kind: str, window: int, stride: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = suppression(kind, 4, 6, window, stride, 3)  # type: ignore[arg-type]
    f = random(2, 4, 9, 8).float().requires_grad_()
    out = layer(f)
    out.square().sum().backward()
    golden.check(f"models: {kind}, window {window}, stride {stride}", out)
    golden.check(f"models: {kind}, window {window}, stride {stride}, slope", f.grad)


def test_importance_pooling_by_numpy_up_to_the_border() -> None:
    f, logit = random(1, 2, 5, 6), 3 * random(1, 2, 5, 6, seed=1)
    values, weights = np.zeros((1, 2, 7, 8)), np.zeros((1, 2, 7, 8))  # nothing outside has a weight
    weights[..., 1:-1, 1:-1] = logit.exp().numpy()
    values[..., 1:-1, 1:-1] = f.numpy()
    found = local_importance_pool2d(f, logit)
    for y in range(3):
        for x in range(3):
            near = np.s_[0, :, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3]
            expected = (values[near] * weights[near]).sum((1, 2)) / weights[near].sum((1, 2))
            np.testing.assert_allclose(found[0, :, y, x], expected, rtol=1e-5)


def test_importance_pooling_in_16_bits_is_computed_in_32() -> None:
    f, logit = random(1, 2, 8, 8).half(), (6 * random(1, 2, 8, 8, seed=1)).half()
    found = local_importance_pool2d(f, logit)
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), local_importance_pool2d(f.float(), logit.float()), atol=1e-3, rtol=1e-3)


def test_the_logits_of_importance_lie_between_0_and_12() -> None:
    layer, seen = LocalImportanceConv2d(2, 2), []
    layer.gate.register_forward_hook(lambda *_: seen.append(torch.full((1, 2, 4, 4), 50.0)) or seen[-1])
    f = random(1, 2, 4, 4).float()
    expected = layer.conv(local_importance_pool2d(f, torch.full_like(f, 12.0)))
    torch.testing.assert_close(layer(f), expected)
