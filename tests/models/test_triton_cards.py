"""Triton's kernels are used where a measurement supports them; and on a GPU they equal the equation."""

import json
from pathlib import Path

import pytest
import torch

from hifacegan_lib.models.fused import cards
from hifacegan_lib.models.suppression import correlation_maps, inner_product_conv2d, suppress


def test_a_card_needs_a_measurement_that_the_kernels_passed_and_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cards.json"
    found = {"good": (True, 1.2), "slow": (True, 0.9), "wrong": (False, 3.0)}
    file.write_text(json.dumps({name: {"passed": p, "slowest_vs_plain": s} for name, (p, s) in found.items()}))
    for switch, expected in (("", ["good"]), ("0", []), ("1", ["good", "slow", "wrong", "unknown"])):
        monkeypatch.setenv(cards.SWITCH, switch)
        assert [card for card in (*found, "unknown") if cards.wanted(card, file)] == expected
    monkeypatch.setenv(cards.SWITCH, "yes")
    with pytest.raises(ValueError, match="HIFACEGAN_TRITON=yes: expected 0 or 1"):
        cards.wanted("good", file)


def test_the_cards_that_are_shipped_name_their_result() -> None:
    for card, found in json.loads(cards.FILE.read_text()).items():
        result = json.loads((Path(__file__).parents[2] / "benchmarks" / "results" / found["result"]).read_text())
        assert result["card"] == card and result["triton"]["passed"] == found["passed"]
        assert result["triton"]["slowest_vs_plain"] == found["slowest_vs_plain"]


def test_the_switch_changes_nothing_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cards.SWITCH, "1")
    assert not cards.use_triton(torch.zeros(1, 1, 1, 1))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 2e-3), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
@pytest.mark.parametrize("shape", [(2, 33, 17, 29, 20, 1), (1, 64, 64, 64, 128, 2), (2, 16, 9, 9, 16, 2)], ids=str)
def test_on_a_gpu_the_kernels_equal_the_equation(
    shape: tuple[int, ...], dtype: torch.dtype, bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forward and backward, against float64; TF32 in the products of float32."""
    monkeypatch.setenv(cards.SWITCH, "1")
    n, c, height, width, out, stride = shape
    draw = torch.Generator().manual_seed(0)
    sizes = ((n, c, height, width), (n, 8, height, width), (out, c, 3, 3))
    given = [torch.randn(*size, generator=draw).to("cuda", dtype) for size in sizes]
    assert cards.use_triton(given[0])
    results = []
    for kind in (torch.float64, dtype):
        f, g, weight = x = [t.to(kind).requires_grad_() for t in given]
        if kind == torch.float64:
            y = inner_product_conv2d(f, correlation_maps(g, 3, stride), weight, None, stride)
        else:
            y = suppress(f, g, weight, None, stride)
        pull = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to("cuda", dtype).to(kind)
        results.append([y, *torch.autograd.grad(y, x, pull)])
    for expected, found in zip(*results, strict=True):
        assert (found.double() - expected).abs().max() < bound * expected.abs().max()
