"""DISTS: torchmetrics' own network with the same convolutions, both formats of VGG-16, and what is missing."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics.functional.image.dists as theirs
from skimage import data
from torch import Tensor, nn

from hifacegan_lib.evaluation.scoring import evaluate
from hifacegan_lib.metrics import array_pickles, learned_distance
from hifacegan_lib.metrics.learned_distance import Dists, Layers
from hifacegan_lib.metrics.metric import MetricUnavailable, TooSmall
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.utils import weight_registry

WIDTHS = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]


def drawn() -> Layers:
    """VGG-16's convolutions with random weights, which keep the size of their values."""
    rng = torch.Generator().manual_seed(0)
    sides = zip([3, *WIDTHS], WIDTHS, strict=False)
    return [(torch.randn(b, a, 3, 3, generator=rng) * (2 / 9 / a) ** 0.5, torch.zeros(b)) for a, b in sides]


def pictures() -> tuple[Tensor, Tensor]:
    """Two crops and the same blurred, 2 x 3 x 64 x 48."""
    photo = torch.from_numpy(data.astronaut()[:128, 100:196].copy()).permute(2, 0, 1)[None] / 255
    clean = torch.cat([photo[..., :64, :48], photo[..., 64:, 48:]])
    return nn.functional.avg_pool2d(clean, 5, 1, 2), clean


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Layers:
    """The drawn convolutions in place of the downloaded ones."""
    layers = drawn()
    names = [f"features.{n}" for n in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)]
    state = {
        f"{n}.{part}": x
        for n, pair in zip(names, layers, strict=True)
        for part, x in zip(("weight", "bias"), pair, strict=True)
    }
    torch.save(state | {"classifier.0.weight": torch.zeros(1)}, tmp_path / "vgg16.pth")
    monkeypatch.setattr(weight_registry, "verify", lambda _: tmp_path / "vgg16.pth")
    return layers


def test_it_is_torchmetrics(given: Layers, monkeypatch: pytest.MonkeyPatch) -> None:
    build = theirs.vgg16

    def network(**_: object) -> nn.Module:
        with torch.random.fork_rng():
            made = build(weights=None)
        for layer, (kernel, bias) in zip((m for m in made.features if isinstance(m, nn.Conv2d)), given, strict=True):
            layer.load_state_dict({"weight": kernel, "bias": bias})
        return made

    monkeypatch.setattr(theirs, "vgg16", network)
    image, clean = pictures()
    with torch.random.fork_rng():
        expected = theirs.DISTSNetwork()(image, clean)
    found, metric = Dists()(image, clean), Dists()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert found.min() > 0.01 and metric(clean, clean).abs().max() < 1e-5
    torch.testing.assert_close(metric(image, clean), found)  # with the features of the clean ones, kept
    torch.testing.assert_close(metric(image.flip(0), clean.flip(0)), found.flip(0))  # others come
    monkeypatch.setattr(learned_distance, "KEPT", 0)
    torch.testing.assert_close(Dists()(image, clean), found)


@pytest.mark.skipif(not weight_registry.is_present("vgg16"), reason="`hifacegan weights fetch vgg16`, 59 MB")
def test_the_package_indexs_convolutions_are_vgg16s() -> None:
    layers = learned_distance.vgg16(weight_registry.verify("vgg16"))
    assert [tuple(kernel.shape) for kernel, _ in layers] == [tuple(kernel.shape) for kernel, _ in drawn()]
    image, clean = pictures()
    values = Dists()(image, clean)
    assert values.min() > 0.05 and values.max() < 0.6


def test_both_formats_hold_the_same(given: Layers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convolutions = {
        f"Conv_{n}": {"kernel": kernel.permute(2, 3, 1, 0).numpy(), "bias": bias.numpy()}
        for n, (kernel, bias) in enumerate(given)
    }
    monkeypatch.setattr(array_pickles, "read", lambda _: {"VGG16_0": convolutions})
    for found in (learned_distance.vgg16(tmp_path / "vgg16.ckpt"), learned_distance.vgg16(tmp_path / "vgg16.pth")):
        for pair, expected in zip(found, given, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(pair, expected, strict=True))


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image, clean = pictures()
    with pytest.raises(TooSmall, match="at least 16 pixels"):
        Dists()(image[..., :9], clean[..., :9])
    with monkeypatch.context() as patch:
        patch.setenv("TORCH_HOME", str(tmp_path))
        with pytest.raises(MetricUnavailable, match="`hifacegan weights fetch vgg16`"):
            Dists()(image, clean)
    monkeypatch.setattr(learned_distance, "find_spec", lambda _: None)
    with pytest.raises(MetricUnavailable, match=r"torchmetrics: run `pip install 'hifacegan-workbench\[metrics\]'`"):
        learned_distance.channel_weights()


def test_alpha_and_beta_share_one() -> None:
    alpha, beta = learned_distance.channel_weights()
    assert alpha.shape == beta.shape == (1475,) and (alpha.sum() + beta.sum()).item() == pytest.approx(1, abs=1e-5)
    assert np.isfinite(alpha.numpy()).all()


@pytest.mark.usefixtures("given")
def test_a_picture_that_is_too_small_is_lost_alone() -> None:
    batches = [{"clean": x, "degraded": x, "key": [str(n)]} for n in (64, 12, 32) for x in [torch.rand(1, 3, n, n)]]
    found = evaluate({}, batches, 100, metrics=standard(["psnr", "dists"]))
    assert list(found.conditions["failed"]["dists"]) == ["12"] and "dists" in found.available
    assert found.rows[0]["dists"] == pytest.approx(0, abs=1e-5)
