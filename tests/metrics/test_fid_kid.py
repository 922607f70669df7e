"""Distances of two sets: SciPy's, torchmetrics' and torch-fidelity's numbers, whatever the order and the batches."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import golden
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from skimage import data
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from hifacegan_lib.metrics import fid_kid
from hifacegan_lib.metrics.fid_kid import Inception, fid, kid, small_set_warning
from hifacegan_lib.metrics.metric import MetricUnavailable
from hifacegan_lib.utils import weight_registry

Matrix = NDArray[np.float64]


def cloud(n: int, d: int = 12, seed: int = 0, shift: float = 0.0) -> NDArray[np.float32]:
    """n correlated features far from the origin, as a network's are; exact in float32."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(d, d))
    return (rng.normal(size=(n, d)) @ mix + 30 + shift).astype(np.float32)


def pictures(name: str, n: int) -> Tensor:
    """n crops of a photograph, N x 3 x 32 x 32, uint8."""
    photo, rng = getattr(data, name)(), np.random.default_rng(0)
    corners = rng.integers(0, np.array(photo.shape[:2]) - 32, (n, 2))
    return torch.from_numpy(np.stack([photo[y : y + 32, x : x + 32] for y, x in corners]).transpose(0, 3, 1, 2).copy())


class Tiles(nn.Module):
    """Means of 4 x 4 tiles, 48 features: a network that others can be given too."""

    num_features = 48

    def forward(self, image: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(image.float() / 255, 8).flatten(1)


@pytest.mark.parametrize("n", [8, 99])  # 12 features: with a singular covariance, and without
def test_fid_is_scipys_matrix_root(n: int) -> None:
    a, b = cloud(n).astype(float), cloud(n + 5, seed=1, shift=1).astype(float)
    (mean_a, cov_a), (mean_b, cov_b) = ((x.mean(0), np.cov(x, rowvar=False)) for x in (a, b))
    roots = np.linalg.eigvals(cov_a @ cov_b).real.clip(0) ** 0.5 if n < 12 else np.linalg.eigvals(sqrtm(cov_a @ cov_b))
    expected = np.square(mean_a - mean_b).sum() + np.trace(cov_a + cov_b) - 2 * roots.real.sum()
    assert fid(a, b) == pytest.approx(expected, rel=1e-6)


def test_fid_is_torchmetrics() -> None:
    for n in (40, 150):  # 48 features: with a singular covariance, and without
        a, b = pictures("astronaut", n), pictures("chelsea", n)
        theirs = FrechetInceptionDistance(Tiles()).set_dtype(torch.float64)
        theirs.update(a, real=True)
        theirs.update(b, real=False)
        assert fid(Tiles()(a), Tiles()(b)) == pytest.approx(theirs.compute().item(), rel=1e-4)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all:UserWarning")
def test_kid_is_torchmetrics() -> None:
    a, b = pictures("astronaut", 90), pictures("chelsea", 90)
    for size in (90, 45):  # of all pictures, and the mean of subsets, which estimates the same
        theirs = KernelInceptionDistance(Tiles(), subsets=60, subset_size=size)
        theirs.update(a, real=True)
        theirs.update(b, real=False)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            mean, deviation = (x.item() for x in theirs.compute())
        assert kid(Tiles()(a), Tiles()(b)).mean == pytest.approx(mean, abs=1e-5 + 3 * deviation * (2 / 60) ** 0.5)


def test_kid_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = cloud(50), cloud(70, seed=1)
    whole = kid(a, b)
    monkeypatch.setattr(fid_kid, "BLOCK", 16)
    assert kid(a, b) == pytest.approx(whole, rel=1e-9)


def test_kid_is_the_papers_equation() -> None:
    x, y = cloud(20).astype(float), cloud(20, seed=1, shift=1).astype(float)

    def k(p: Matrix, q: Matrix) -> float:
        return float((p @ q / 12 + 1) ** 3)

    within = [np.mean([k(z[i], z[j]) for i in range(20) for j in range(20) if i != j]) for z in (x, y)]
    expected = sum(within) - 2 * np.mean([k(p, q) for p in x for q in y])
    assert kid(x, y).mean == pytest.approx(expected, rel=1e-9)


def test_the_jackknife_leaves_out_each_picture_in_turn() -> None:
    x, y = cloud(15), cloud(15, seed=1, shift=1)

    def mmd(p: Matrix, q: Matrix) -> float:
        inner = [
            (((z @ z.T / 12 + 1) ** 3).sum() - ((z * z).sum(1) / 12 + 1) @ ((z * z).sum(1) / 12 + 1) ** 2)
            for z in (p, q)
        ]
        a, b = (total / (len(z) * (len(z) - 1)) for total, z in zip(inner, (p, q), strict=True))
        return a + b - 2 * ((p @ q.T / 12 + 1) ** 3).mean()

    p, q = x.astype(float), y.astype(float)
    without = [[mmd(np.delete(p, i, 0), q) for i in range(15)], [mmd(p, np.delete(q, i, 0)) for i in range(15)]]
    expected = np.sqrt(sum(14 * np.var(values) for values in without))
    assert kid(x, y).error == pytest.approx(expected, rel=1e-6)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng, found = np.random.default_rng(0), []
    for _ in range(80):
        a, b = rng.normal(size=(60, 4)), rng.normal(0.5, 1, (60, 4))
        found.append(kid(a, b))
    truth = np.mean([k.mean for k in found])
    assert 0.88 <= np.mean([low <= truth <= high for low, high in (k.interval for k in found)]) <= 1
    assert np.mean([k.error for k in found]) == pytest.approx(np.std([k.mean for k in found]), rel=0.3)


def test_equal_sets_are_nowhere_apart() -> None:
    for n in (5, 300):  # fewer than the features, and more
        a, b = cloud(n), cloud(n)
        assert 0 <= fid(a, b) < 1e-9 * np.trace(np.cov(a, rowvar=False))
        assert kid(a, b).mean < 0  # no bias: that of two sets of one kind is 0 in the mean
    same = np.full((4, 6), 0.5)
    assert fid(same, same) == 0


def test_image_and_reference_may_change_places() -> None:
    a, b = cloud(60), cloud(50, seed=1, shift=2)
    assert fid(a, b) == pytest.approx(fid(b, a), rel=1e-9)
    c = cloud(60, seed=1, shift=2)
    assert kid(a, c).mean == pytest.approx(kid(c, a).mean, rel=1e-9)


def test_a_shift_adds_its_squared_length() -> None:
    features, step = cloud(100), np.arange(12, dtype=np.float32) / 4
    assert fid(features, features + step) == pytest.approx(np.square(step).sum(), rel=1e-5)
    other = cloud(90, seed=1) - cloud(90, seed=1).mean(0)
    centred = features - features.mean(0)
    moved = fid(centred + step, other) - fid(centred, other)
    assert moved == pytest.approx(np.square(step).sum(), rel=1e-4)


def test_further_is_further() -> None:
    a = cloud(80)
    for distance in (fid, lambda x, y: kid(x, y).mean):
        values = [distance(a, cloud(80, seed=1, shift=shift)) for shift in (0, 1, 2, 4)]
        assert values == sorted(values)


def test_the_fewer_the_pictures_the_higher_the_fid_but_not_the_kid() -> None:
    def mean(n: int, distance: Callable[[Matrix, Matrix], float]) -> float:
        pairs = [(cloud(n, seed=2 * r), cloud(n, seed=2 * r + 1)) for r in range(20)]
        return float(np.mean([distance(a, b) for a, b in pairs]))

    assert mean(10, fid) > 2 * mean(40, fid) > 4 * mean(160, fid)
    error = np.mean([kid(cloud(40, seed=r), cloud(40, seed=r + 50)).error for r in range(5)])
    assert abs(mean(40, lambda a, b: kid(a, b).mean)) < error


def test_few_pictures_are_said() -> None:
    assert small_set_warning(5000) == small_set_warning(2049) == ""
    assert "FID of 64 images: for up to 2048 images the covariance is singular" in small_set_warning(64)


def test_too_few_pictures_have_no_distance() -> None:
    enough, one, two = cloud(20), cloud(1), cloud(2)
    for pair in ((one, enough), (enough, one)):
        with pytest.raises(MetricUnavailable, match="at least 2 needed, got 1"):
            fid(*pair)
        with pytest.raises(MetricUnavailable, match="at least 3 needed, got 1"):
            kid(*pair)
    assert fid(two, two) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("distance", [fid, kid])
def test_what_are_no_features_is_refused(distance: Callable[[Matrix, Matrix], object]) -> None:
    for bad in (np.full((4, 12), np.nan), np.full((4, 12), np.inf), np.zeros(12), np.zeros((4, 12, 1))):
        with pytest.raises(ValueError, match="b: expected finite features, n x d"):
            distance(cloud(20), bad)
    with pytest.raises(ValueError, match="a has 12 features, b 5"):
        distance(cloud(20), cloud(20, 5))


def test_without_torch_fidelity_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(MetricUnavailable, match=r"pip install 'hifacegan-workbench\[metrics\]'"):
        Inception()(torch.zeros(1, 3, 8, 8))


class Recorder:
    """In the place of torch-fidelity: notes what it is given."""

    def __init__(self, *given: object, **named: object) -> None:
        self.given, self.images = (given, named), []
        torch.rand(1)

    def to(self, _: torch.device) -> "Recorder":
        return self

    def __call__(self, image: Tensor) -> tuple[Tensor]:
        self.images.append(image)
        return (image.float().mean((2, 3)),)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Recorder]]:
    made: list[Recorder] = []

    def extractor(*given: object, **named: object) -> Recorder:
        made.append(Recorder(*given, **named))
        return made[-1]

    module = SimpleNamespace(FeatureExtractorInceptionV3=extractor)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)
    monkeypatch.setattr(weight_registry, "verify", lambda name: tmp_path / f"{name}.pth")
    yield made


def test_inception_is_loaded_once_and_gets_the_eight_bits(recorder: list[Recorder], tmp_path: Path) -> None:
    state, network, photo = torch.get_rng_state(), Inception(), pictures("astronaut", 2)
    assert not recorder
    for _ in range(2):
        assert network(photo / 255).shape == (2, 3)
    (found,) = recorder
    assert found.given == (("inception", ["2048"]), {"feature_extractor_weights_path": str(tmp_path / "inception.pth")})
    assert all(torch.equal(image, photo) and image.dtype == torch.uint8 for image in found.images)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("bad", [torch.full((1, 3, 8, 8), 255.0), torch.zeros(1, 1, 8, 8), torch.zeros(3, 8, 8)])
def test_inception_takes_pictures_only(recorder: list[Recorder], bad: Tensor) -> None:
    with pytest.raises(ValueError, match="expected float RGB"):
        Inception()(bad)
    with pytest.raises(ValueError, match=r"torch\.uint8"):
        Inception()(bad.byte())
    assert not recorder


@pytest.mark.usefixtures("recorder")
def test_without_weights_the_command_is_named_and_damage_is_no_excuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(error: Exception) -> Callable[[str], Path]:
        def verify(_: str) -> Path:
            raise error

        return verify

    monkeypatch.setattr(
        weight_registry, "verify", fails(weight_registry.MissingWeights("run `hifacegan weights fetch inception`"))
    )
    with pytest.raises(MetricUnavailable, match="`hifacegan weights fetch inception`"):
        Inception()(torch.zeros(1, 3, 8, 8))
    monkeypatch.setattr(weight_registry, "verify", fails(ValueError("inception.pth: damaged")))
    with pytest.raises(ValueError, match="damaged") as caught:
        Inception()(torch.zeros(1, 3, 8, 8))
    assert not isinstance(caught.value, MetricUnavailable)


def test_inception_is_a_direct_call_of_torch_fidelity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    extractor = module.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(extractor, "load_state_dict", lambda *_: None)
        state = extractor("drawn", ["2048"]).state_dict()
    state = {name: value * 6**0.5 if name.endswith("conv.weight") else value for name, value in state.items()}
    torch.save(state, tmp_path / "drawn.pth")
    monkeypatch.setattr(weight_registry, "verify", lambda _: tmp_path / "drawn.pth")
    photo, network = pictures("astronaut", 2), Inception()
    found = network(photo / 255)
    direct = extractor("direct", ["2048"], feature_extractor_weights_path=str(tmp_path / "drawn.pth"))
    torch.testing.assert_close(found, direct(photo)[0])
    assert found.shape == (2, 2048) and found.dtype == torch.float32 and found.std() > 0
    assert not torch.allclose(network(photo.flip(1) / 255), found, rtol=0.01)  # BGR is another picture
    alone = torch.cat([network(one[None] / 255) for one in photo])
    torch.testing.assert_close(alone, found, rtol=1e-4, atol=1e-5)


def test_the_recorded_distances() -> None:
    a, b = cloud(40), cloud(33, seed=1, shift=0.5)
    golden.check("metrics: FID", [fid(a, b)], unit=10)
    golden.check("metrics: KID", np.array(kid(a / 30, b / 30)))
    golden.check("metrics: interval of KID", np.array(kid(a / 30, b / 30).interval))


def test_the_jackknife_by_hand() -> None:
    """Leaving out one image after the other, of each set, and the distance each time."""
    a, b = (x.astype(np.float64) / 30 for x in (cloud(9, 5), cloud(7, 5, seed=1, shift=1)))
    errors = 0.0
    for n, left in ((9, [kid(np.delete(a, i, 0), b).mean for i in range(9)]), (7, [])):
        left = left or [kid(a, np.delete(b, i, 0)).mean for i in range(7)]
        errors += (n - 1) / n * np.square(np.array(left) - np.mean(left)).sum()
    assert kid(a, b).error == pytest.approx(errors**0.5)
