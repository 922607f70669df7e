"""The list of metrics: complete, named, and honest about what each needs."""

import pytest

from hifacegan_lib.metrics import registry
from hifacegan_lib.metrics.metric import MetricUnavailable
from hifacegan_lib.names import METRICS
from hifacegan_lib.utils import weight_registry


def test_every_metric_says_how_it_is_computed_and_what_it_needs() -> None:
    found = registry.standard()
    assert tuple(found) == METRICS
    for name, metric in found.items():
        assert metric.label, name
        assert any(mark in metric.implementation for mark in ("hifacegan_lib", "lpips ", "OpenCV ")), name
        assert set(metric.backbone) <= set(weight_registry.REGISTRY), name
        assert (metric.compute is None) == (metric.distance is not None), name
    assert {name for name, metric in found.items() if not metric.backbone} == {
        *("psnr", "ssim", "ms_ssim", "sharpness", "colour_cast", "colour_shift")
    }


def test_some_can_be_asked_for_in_any_order_and_an_unknown_one_is_refused() -> None:
    assert list(registry.standard(["ssim", "psnr"])) == ["ssim", "psnr"]
    with pytest.raises(ValueError, match="metric 'mse': unknown; expected one of: psnr, ssim"):
        registry.standard(["psnr", "mse"])


def test_what_was_measured_before_keeps_its_implementation() -> None:
    old = registry.recorded("psnr", "another program 1.0")
    assert (old.label, old.implementation) == ("PSNR", "another program 1.0")
    foreign = registry.recorded("musiq", "pyiqa")
    assert (foreign.label, foreign.higher_is_better) == ("musiq", None)
    with pytest.raises(MetricUnavailable, match="musiq: metric of another program, read from a file"):
        foreign.compute(None, None)
