"""The list of metrics: complete, named, and honest about what each needs."""

import numpy as np
import pytest

from hifacegan_lib.metrics import fid_kid, registry
from hifacegan_lib.metrics.metric import MetricUnavailable
from hifacegan_lib.names import DEFAULT_METRICS, METRICS
from hifacegan_lib.utils import weight_registry


def test_every_metric_says_how_it_is_computed_and_what_it_needs() -> None:
    assert tuple(registry.standard()) == DEFAULT_METRICS
    found = registry.standard(METRICS)
    assert tuple(found) == METRICS
    for name, metric in found.items():
        assert metric.label, name
        assert any(
            mark in metric.implementation for mark in ("hifacegan_lib", "lpips ", "OpenCV ", "torchmetrics ", "pyiqa ")
        ), name
        assert set(metric.backbone) <= set(weight_registry.REGISTRY), name
        assert (metric.compute is None) == (metric.distance is not None), name
    assert {name for name, metric in found.items() if not metric.backbone} == {
        *("psnr", "ssim", "ms_ssim", "sharpness", "colour_cast", "colour_shift", "moved"),
        *("clip_iqa", "arniqa", "musiq", "maniqa", "topiq", "qalign"),
    }


def test_some_can_be_asked_for_in_any_order_and_an_unknown_one_is_refused() -> None:
    assert list(registry.standard(["ssim", "psnr"])) == ["ssim", "psnr"]
    with pytest.raises(ValueError, match="metric 'mse': unknown; expected one of: psnr, ssim"):
        registry.standard(["psnr", "mse"])


def test_what_was_measured_before_keeps_its_implementation() -> None:
    old = registry.recorded("psnr", "another program 1.0")
    assert (old.label, old.implementation) == ("PSNR", "another program 1.0")
    foreign = registry.recorded("brisque", "pyiqa")
    assert (foreign.label, foreign.higher_is_better) == ("brisque", None)
    with pytest.raises(MetricUnavailable, match="brisque: metric of another program, read from a file"):
        foreign.compute(None, None)


def test_units_better_sides_digits_and_downloads() -> None:
    found = {
        n: (m.label, m.unit, m.higher_is_better, m.digits, m.against) for n, m in registry.standard(METRICS).items()
    }
    assert found == {
        "psnr": ("PSNR", "dB", True, 2, "clean"),
        "ssim": ("SSIM", "", True, 4, "clean"),
        "ms_ssim": ("MS-SSIM", "", True, 4, "clean"),
        "lpips": ("LPIPS", "", False, 4, "clean"),
        "lpips_vgg": ("LPIPS VGG-16", "", False, 4, "clean"),
        "lpips_squeeze": ("LPIPS SqueezeNet", "", False, 4, "clean"),
        "identity": ("identity", "", True, 3, "clean"),
        "fed": ("FED", "", False, 3, "clean"),
        "lle": ("LLE", "% of eye distance", False, 2, "clean"),
        "niqe": ("NIQE", "", False, 2, ""),
        "sharpness": ("sharpness", "", None, 2, ""),
        "colour_cast": ("colour cast", "", None, 2, ""),
        "colour_shift": ("colour shift", "", False, 2, "clean"),
        "fid": ("FID", "", False, 2, "clean"),
        "kid": ("KID", "", False, 4, "clean"),
        "dists": ("DISTS", "", False, 4, "clean"),
        "clip_iqa": ("CLIP-IQA", "", True, 4, ""),
        "arniqa": ("ARNIQA", "", True, 4, ""),
        "musiq": ("MUSIQ", "", True, 2, ""),
        "maniqa": ("MANIQA", "", True, 4, ""),
        "topiq": ("TOPIQ", "", True, 4, ""),
        "qalign": ("Q-Align", "", True, 3, ""),
        "degrees": ("degrees", "°", False, 2, "clean"),
        "lmd": ("LMD", "pixels at 512", False, 2, "clean"),
        "identity_to_input": ("identity to input", "", True, 3, "degraded"),
        "moved": ("moved", "grey levels", None, 2, "degraded"),
    }
    assert {n: m.backbone for n, m in registry.standard(["identity", "fed", "lle", "niqe", "fid", "kid"]).items()} == {
        **dict.fromkeys(("identity", "fed"), ("sface", "yunet")),
        "lle": ("onet", "yunet"),
        "niqe": ("niqe",),
        **dict.fromkeys(("fid", "kid"), ("inception",)),
    }


def test_metrics_of_sets_share_their_features() -> None:
    fid, kid = registry.standard(["fid", "kid"]).values()
    assert fid.features is kid.features and fid.compute is None
    a, b = (np.random.default_rng(seed).normal(seed, 1, (20, 4)) for seed in (0, 1))
    assert fid.distance is not None and kid.distance is not None
    assert fid.distance(a, b) == (fid_kid.fid(a, b), None, None)
    found = fid_kid.kid(a, b)
    assert kid.distance(a, b) == (found.mean, found.mean - 1.96 * found.error, found.mean + 1.96 * found.error)
