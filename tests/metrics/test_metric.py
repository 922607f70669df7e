"""What every metric takes, refuses and returns."""

import numpy as np
import pytest
import torch
from torch import Tensor

from hifacegan_lib.metrics.metric import Metric, MetricUnavailable, check, per_pair


def batch(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_what_fits_is_taken_at_the_ends_of_the_range_and_at_one_pixel() -> None:
    for x in (torch.zeros(1, 3, 1, 1), torch.ones(2, 3, 1, 4), batch(1, 3, 5, 5).double(), batch(1, 3, 5, 5).half()):
        check(x, x)
    check(batch(1, 3, 11, 12), batch(1, 3, 11, 12), 11)
    with pytest.raises(MetricUnavailable, match="needs sides of at least 12 pixels, got 11 x 12"):
        check(batch(1, 3, 11, 12), batch(1, 3, 11, 12), 12)
    with pytest.raises(MetricUnavailable, match="needs sides of at least 12 pixels, got 12 x 11"):
        check(batch(1, 3, 12, 11), batch(1, 3, 12, 11), 12)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (batch(3, 8, 8), "got torch.float32 3 x 8 x 8"),
        (batch(1, 1, 8, 8), "got torch.float32 1 x 1 x 8 x 8"),
        (batch(1, 4, 8, 8), "got torch.float32 1 x 4 x 8 x 8"),
        (batch(0, 3, 8, 8), "got torch.float32 0 x 3 x 8 x 8"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "got torch.uint8"),
        (np.zeros((1, 3, 8, 8)), "got ndarray"),
        (batch(1, 3, 8, 8) - 0.5, "got -0.4"),
        (batch(1, 3, 8, 8) + 0.5, "to 1.4"),
        (batch(1, 3, 8, 8) * float("nan"), "got nan to nan"),
        (torch.full((1, 3, 8, 8), float("inf")), "got inf to inf"),
        (torch.full((1, 3, 8, 8), -1e-6), "got -1e-06 to -1e-06"),
    ],
)
def test_anything_else_is_refused_with_its_name_and_what_it_is(wrong: Tensor, said: str) -> None:
    good = batch(1, 3, 8, 8)
    for name, pair in (("image", (wrong, good)), ("clean", (good, wrong))):
        with pytest.raises(ValueError, match=f"{name}: expected float RGB, N x 3 x H x W, finite, in .0, 1.; .*{said}"):
            check(*pair)


def test_a_pair_has_one_shape_and_dtype() -> None:
    good = batch(1, 3, 8, 8)
    for other in (batch(2, 3, 8, 8), batch(1, 3, 8, 9), good.double()):
        with pytest.raises(ValueError, match="shape and dtype must be equal"):
            check(other, good)


@pytest.mark.parametrize("planar", [False, True])
def test_each_pair_is_measured_by_itself_in_float32_and_in_order(planar: bool) -> None:
    image, clean = batch(5, 3, 4, 6).double().requires_grad_(), batch(5, 3, 4, 6).double() / 2
    seen: list[tuple[tuple[int, ...], np.dtype]] = []

    def value(a: np.ndarray, b: np.ndarray) -> float:
        seen.append((a.shape, a.dtype))
        first = a[0, 1, 2] - b[0, 1, 2] if planar else a[1, 2, 0] - b[1, 2, 0]
        return float(first)

    found = per_pair(value, image, clean, planar=planar)
    torch.testing.assert_close(found, (image - clean)[:, 0, 1, 2].detach(), rtol=1e-6, atol=1e-7)
    assert found.dtype == torch.float64 and not found.requires_grad
    assert seen == [((3, 4, 6) if planar else (4, 6, 3), np.dtype(np.float32))] * 5


def test_a_metric_names_itself_and_its_better_side() -> None:
    made = [Metric(None, "PSNR", unit, better, 2, "") for unit, better in (("dB", True), ("", False), ("", None))]
    assert [metric.title for metric in made] == ["PSNR, dB", "PSNR", "PSNR"]
    assert [metric.direction for metric in made] == [
        "higher is better",
        "lower is better",
        "near the clean faces' is better",
    ]
