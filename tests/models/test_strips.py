"""The inner-product convolution in one piece against the equation in ordinary operators."""

import warnings

import pytest
import torch
import torch.nn.functional as F

from hifacegan_lib.models.fused import strips
from hifacegan_lib.models.suppression import correlation_maps, inner_product_conv2d, suppress


def inputs(n: int, c: int, d: int, o: int, window: int, height: int, width: int) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    shapes = ((n, c, height, width), (n, d, height, width), (o, c, window, window))
    return [torch.randn(*shape, generator=draw, dtype=torch.float64).requires_grad_() for shape in shapes]


def unfolded(f: torch.Tensor, g: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
    """All K^2 copies at once."""
    window, (n, c) = weight.shape[-1], f.shape[:2]
    h = correlation_maps(g, window, stride)
    copies = F.unfold(f, window, padding=window // 2, stride=stride).view(n, c, window**2, -1) * h.flatten(2)[:, None]
    return (weight.flatten(1) @ copies.flatten(1, 2)).view(n, -1, *h.shape[2:])


@pytest.mark.parametrize(
    ("window", "stride", "size"),
    [(3, 1, (7, 6)), (3, 2, (7, 6)), (5, 1, (6, 9)), (5, 2, (7, 8)), (3, 1, (1, 1)), (3, 2, (1, 9))],
)
def test_equals_the_unfolded_form_forward_and_backward(
    window: int, stride: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "STRIP_BYTES", 2000)  # several strips an image
    given = inputs(2, 4, 3, 6, window, *size)
    expected = unfolded(*given, stride)
    found = suppress(*given, None, stride)
    torch.testing.assert_close(found, expected)
    pull = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(torch.autograd.grad(found, given, pull), torch.autograd.grad(expected, given, pull))


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_are_those_of_finite_differences(stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "STRIP_BYTES", 1000)
    given = inputs(2, 2, 3, 3, 3, 4, 5)
    assert torch.autograd.gradcheck(lambda *x: suppress(*x, None, stride), given)


def test_strips_of_any_height_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    given = inputs(1, 3, 2, 4, 3, 11, 7)
    whole = suppress(*given)
    for size in (1, 3000, 10**9):
        monkeypatch.setattr(strips, "STRIP_BYTES", size)
        torch.testing.assert_close(suppress(*given), whole)


def test_one_piece_is_the_two_functions() -> None:
    f, g, weight = inputs(2, 4, 3, 6, 3, 8, 8)
    bias = torch.arange(6.0, dtype=torch.float64)
    two = inner_product_conv2d(f, correlation_maps(g, 3, 2), weight, bias, 2)
    torch.testing.assert_close(suppress(f, g, weight, bias, 2), two)


def test_shapes_alone_are_enough() -> None:
    f, g, weight = (x.detach().to("meta") for x in inputs(2, 4, 3, 6, 3, 8, 9))
    assert suppress(f, g, weight, None, 2).shape == (2, 6, 4, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_half_the_precision_gives_nearly_the_same(dtype: torch.dtype) -> None:
    given = inputs(1, 16, 4, 8, 3, 12, 12)
    expected = suppress(*given)
    found = suppress(*(x.to(dtype) for x in given))
    assert found.dtype == dtype
    assert (found - expected).abs().max() < (0.05 if dtype == torch.bfloat16 else 1e-5) * expected.abs().max()


def test_autocast_keeps_the_features_precision() -> None:
    f, g, weight = (x.float().detach().requires_grad_() for x in inputs(1, 4, 3, 6, 3, 8, 8))
    with torch.autocast("cpu", torch.bfloat16):
        y = suppress(f.bfloat16(), g, weight)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert weight.grad is not None and weight.grad.dtype == torch.float32


def test_the_same_bits_at_every_call() -> None:
    given = [x.float() for x in inputs(2, 8, 4, 8, 3, 20, 20)]
    assert torch.equal(suppress(*given), suppress(*given))


def test_the_copies_are_not_kept() -> None:
    f, g, weight = (x.float().detach().requires_grad_() for x in inputs(1, 32, 4, 32, 3, 64, 64))
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        suppress(f, g, weight)
    storages = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in kept}  # views share theirs
    assert sum(storages.values()) < 2.3 * f.nbytes  # f, g, H and the kernel; nine copies would be 9 times f


def test_what_does_not_fit_is_named() -> None:
    f, g, weight = inputs(1, 4, 3, 6, 3, 8, 8)
    with pytest.raises(ValueError, match="square and odd"):
        suppress(f, g, weight[..., :2, :2])
    with pytest.raises(ValueError, match="differ in images or size"):
        suppress(f, g[..., :4], weight)
    with pytest.raises(ValueError, match="4 channels do not fit"):
        suppress(f, g, weight[:, :3])


def test_nothing_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given = inputs(1, 2, 2, 2, 3, 5, 5)
        suppress(*given).sum().backward()


def test_many_strips_are_added_in_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """600 rows of ones: a sum in bfloat16 stands still at 256 or 512."""
    monkeypatch.setattr(strips, "STRIP_BYTES", 1)
    f, g = torch.ones(1, 1, 600, 2, dtype=torch.bfloat16), torch.zeros(1, 1, 600, 2, dtype=torch.bfloat16)
    weight = torch.ones(1, 1, 3, 3, dtype=torch.bfloat16, requires_grad=True)
    suppress(f, g, weight).sum().backward()
    assert weight.grad is not None
    expected = torch.tensor([[599.0, 1198, 599], [600, 1200, 600], [599, 1198, 599]])
    torch.testing.assert_close(weight.grad[0, 0].float(), expected, rtol=4e-3, atol=0)


def test_a_strip_is_as_large_as_its_limit_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of copies has 8 x 9 x 4 numbers of 8 bytes."""
    f, g, _ = inputs(1, 4, 2, 3, 3, 11, 8)
    h = strips._by_window(correlation_maps(g, 3), 3)[0]
    padded = strips._padded(f[0], 3)
    for limit, rows in ((1, 1), (2304, 1), (2 * 2304 - 1, 1), (2 * 2304, 2), (10**9, 11)):
        monkeypatch.setattr(strips, "STRIP_BYTES", limit)
        made = list(strips._strips(padded, h, 1))
        assert [len(strip.copies) for strip in made] == [rows] * (11 // rows) + [11 % rows] * (11 % rows > 0)
        assert [strip.first for strip in made] == list(range(0, 11, rows))


def test_a_second_derivative_is_refused() -> None:
    f, g, weight = inputs(1, 2, 2, 3, 3, 4, 4)
    (slope,) = torch.autograd.grad(suppress(f, g, weight).square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
