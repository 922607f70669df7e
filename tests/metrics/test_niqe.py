"""NIQE: SciPy's numbers in its parts, an independent implementation's in the whole, and the right direction."""

from pathlib import Path

import golden
import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from scipy.special import gamma
from scipy.stats import gennorm
from skimage import data
from standins import real
from torch import Tensor

from hifacegan_lib.metrics import niqe
from hifacegan_lib.metrics.metric import MetricUnavailable
from hifacegan_lib.metrics.niqe import Niqe


def tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].float() / 255


def test_mscn_is_scipys() -> None:
    y = niqe.luma(data.chelsea()[:96, :120] / np.float32(255))
    window = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)
    window = np.outer(window, window) / window.sum() ** 2
    mu = correlate(y, window, mode="nearest")
    sigma = np.sqrt(abs(correlate(y * y, window, mode="nearest") - mu**2))
    np.testing.assert_allclose(niqe.mscn(y), (y - mu) / (sigma + 1), atol=1e-9)


@pytest.mark.parametrize(("shape", "left", "right"), [(2.0, 1.0, 1.0), (0.8, 0.5, 1.5), (3.0, 2.0, 0.7)])
def test_the_fit_recovers_the_distribution(shape: float, left: float, right: float) -> None:
    rng = np.random.default_rng(0)
    size = abs(gennorm.rvs(shape, size=400_000, random_state=rng))
    side = rng.random(size.size) < left / (left + right)
    x = np.where(side, -left * size, right * size).reshape(1, 400, 1000)
    found = [value.item() for value in niqe.aggd(x)]
    np.testing.assert_allclose(found, [shape, left, right], rtol=0.03)


def test_the_shape_is_the_nearest_of_the_table() -> None:
    x = np.random.default_rng(1).normal(size=(3, 40, 40)) ** 3
    shapes = np.arange(0.2, 10.001, 0.001)
    table = gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))
    for block, found in zip(x, niqe.aggd(x)[0], strict=True):
        ratio = np.sqrt((block[block < 0] ** 2).mean() / (block[block > 0] ** 2).mean())
        wanted = abs(block).mean() ** 2 / (block**2).mean() * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
        assert found == shapes[np.argmin((table - wanted) ** 2)]


def test_distance_is_mahalanobis_with_the_mean_covariance() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200, 5)), rng.normal(1, 2, (300, 5))
    middle = (np.cov(a, rowvar=False) + np.cov(b, rowvar=False)) / 2
    away = a.mean(0) - b.mean(0)
    expected = np.sqrt(away @ np.linalg.inv(middle) @ away)
    assert niqe.distance(a.mean(0), np.cov(a, rowvar=False), b) == pytest.approx(expected)


def test_half_a_gradient_is_a_gradient_and_a_constant_a_constant() -> None:
    ramp = np.tile(np.arange(96.0), (96, 1))
    np.testing.assert_allclose(niqe.halve(ramp)[:, 4:-4], np.tile(np.arange(0.5, 96, 2), (48, 1))[:, 4:-4], atol=1e-4)
    np.testing.assert_allclose(niqe.halve(np.full((96, 192), 7.0)), np.full((48, 96), 7.0), atol=1e-5)


@real("niqe")
def test_noise_moves_away_from_nature_and_each_picture_has_its_own_value() -> None:
    x = tensor(data.astronaut())
    noisy = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    score = Niqe()
    values = torch.cat([score(z, z) for z in (x, noisy)])
    assert values[0] < 4 < 8 < values[1]
    both = torch.cat([x, noisy])
    torch.testing.assert_close(score(both, both), values)


@real("niqe")
def test_a_picture_without_texture_has_no_value() -> None:
    flat, x = torch.full((1, 3, 192, 192), 0.5), tensor(data.astronaut()[:192, :192])
    assert Niqe()(torch.cat([flat, x]), torch.cat([x, x])).isnan().tolist() == [True, False]


@real("niqe")
def test_what_is_left_of_the_blocks_does_not_count() -> None:
    x, y = tensor(data.astronaut()[:192, :288]), tensor(data.astronaut()[:200, :300])
    torch.testing.assert_close(Niqe()(x, x), Niqe()(y, y), rtol=0.05, atol=0)  # but for the window at the cut


@pytest.mark.parametrize(("height", "width"), [(95, 300), (150, 190), (96, 191)])
def test_fewer_than_two_blocks_are_told(height: int, width: int) -> None:
    with pytest.raises(MetricUnavailable, match=f"got {height} x {width}"):
        Niqe()(torch.zeros(1, 3, height, width), torch.zeros(1, 3, height, width))


def test_without_the_statistics_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MetricUnavailable, match="`hifacegan weights fetch niqe`"):
        Niqe()(torch.zeros(1, 3, 192, 192), torch.zeros(1, 3, 192, 192))


@real("niqe")
@pytest.mark.parametrize(("name", "expected"), [("astronaut", 3.06495), ("chelsea", 2.62552), ("coffee", 4.11524)])
def test_the_published_statistics_give_basicsrs_numbers(name: str, expected: float) -> None:
    x = tensor(getattr(data, name)())
    assert Niqe()(x, x).item() == pytest.approx(expected, abs=0.001)


def test_the_recorded_features() -> None:
    found = niqe.features(niqe.luma(data.chelsea()[:200, :300] / np.float32(255)))
    golden.check("metrics: features of NIQE", found)
    golden.check("metrics: distance of NIQE", [niqe.distance(found.mean(0) + 0.1, np.cov(found[::2].T), found)])


def test_half_the_size_is_pillows_with_mirrored_borders() -> None:
    y = niqe.luma(data.chelsea()[:96, :120] / np.float32(255))
    golden.check("metrics: half size", niqe.halve(y) / 255)
    assert niqe.halve(y).shape == (48, 60)
    flipped = niqe.halve(np.ascontiguousarray(y[::-1, ::-1]))[::-1, ::-1]
    np.testing.assert_allclose(niqe.halve(y), flipped, atol=1e-3)
