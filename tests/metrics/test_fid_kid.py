"""Distances of two sets: SciPy's, torchmetrics' and torch-fidelity's numbers, whatever the order and the batches."""

import os
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

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
from hifacegan_lib.metrics.fid_kid import FeatureSet, Inception, caution, fid, frechet_distance, kid
from hifacegan_lib.metrics.full_reference import MetricUnavailable
from hifacegan_lib.utils import weight_registry

Make = Callable[..., FeatureSet]
Matrix = NDArray[np.float64]


@pytest.fixture
def made() -> Iterator[Make]:
    """FeatureSets of arrays, in batches, closed after the test."""
    with ExitStack() as stack:

        def make(features: Matrix | Tensor, batch: int = 1000) -> FeatureSet:
            found = stack.enter_context(FeatureSet())
            for start in range(0, len(features), batch):
                found.add(features[start : start + batch])
            return found

        yield make


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


@pytest.mark.parametrize("batch", [1, 7, 200])
def test_running_sums_are_numpys_on_all_at_once(made: Make, batch: int) -> None:
    features = cloud(200)
    found = made(features, batch)
    assert found.count == 200
    np.testing.assert_allclose(found.mean, features.astype(float).mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(features.astype(float), rowvar=False), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(found.features(), features)


def test_order_and_batches_change_nothing(made: Make) -> None:
    features, other = cloud(300), made(cloud(200, seed=1))
    shuffled = np.random.default_rng(5).permutation(features)
    sets = [made(features), made(shuffled, 17), made(torch.from_numpy(features), 1)]
    assert np.ptp([fid(x, other) for x in sets]) < 1e-9
    assert np.ptp([kid(x, made(cloud(300, seed=1))).mean for x in sets]) < 1e-9 * kid(sets[0], other).mean


def test_far_from_the_origin_nothing_cancels(made: Make) -> None:
    features = cloud(100).round(1) * 10
    near, far = made(features), made(features + 2**20, 3)
    np.testing.assert_allclose(far.covariance, np.cov(features.astype(float) + 2**20, rowvar=False), rtol=1e-6)
    assert fid(near, far) == pytest.approx(12 * 2.0**40, rel=1e-9)


def test_frechet_distance_is_scipys_matrix_root() -> None:
    clouds = [x.astype(float) for x in (cloud(99), cloud(80, seed=1))]
    (mean_a, cov_a), (mean_b, cov_b) = ((x.mean(0), np.cov(x, rowvar=False)) for x in clouds)
    expected = np.square(mean_a - mean_b).sum() + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
    assert frechet_distance(mean_a, cov_a, mean_b, cov_b) == pytest.approx(expected, rel=1e-9)


def test_gaussians_whose_covariances_commute_have_a_closed_form() -> None:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    a, b = np.array([4.0, 1, 9, 0, 0, 2]), np.array([1.0, 1, 0, 3, 0, 5])  # both singular
    found = frechet_distance(np.zeros(6), turn * a @ turn.T, np.ones(6), turn * b @ turn.T)
    assert found == pytest.approx(6 + np.square(np.sqrt(a) - np.sqrt(b)).sum(), rel=1e-12)


def test_fid_is_torchmetrics() -> None:
    for n in (40, 150):  # 48 features: with a singular covariance, and without
        astronaut, chelsea = pictures("astronaut", n), pictures("chelsea", n)
        theirs = FrechetInceptionDistance(Tiles()).set_dtype(torch.float64)
        with FeatureSet() as a, FeatureSet() as b:
            for one, images, real in ((a, astronaut, True), (b, chelsea, False)):
                one.add(Tiles()(images))
                theirs.update(images, real=real)
            assert fid(a, b) == pytest.approx(theirs.compute().item(), rel=1e-4)
            assert fid(b, a) == pytest.approx(fid(a, b), rel=1e-9)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all:UserWarning")
def test_kid_is_torchmetrics(made: Make) -> None:
    astronaut, chelsea = pictures("astronaut", 90), pictures("chelsea", 90)
    for size in (90, 45):
        theirs = KernelInceptionDistance(Tiles(), subsets=60, subset_size=size)
        theirs.update(astronaut, real=True)
        theirs.update(chelsea, real=False)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            mean, deviation = (x.item() for x in theirs.compute())
        ours = kid(made(Tiles()(astronaut)), made(Tiles()(chelsea)), size, subsets=60).mean
        assert ours == pytest.approx(mean, abs=1e-5 + 3 * deviation * (2 / 60) ** 0.5)


def test_a_subset_is_the_papers_equation(made: Make) -> None:
    x, y = cloud(20).astype(float), cloud(20, seed=1, shift=1).astype(float)

    def k(p: Matrix, q: Matrix) -> float:
        return float((p @ q / 12 + 1) ** 3)

    within = [np.mean([k(z[i], z[j]) for i in range(20) for j in range(20) if i != j]) for z in (x, y)]
    expected = sum(within) - 2 * np.mean([k(p, q) for p in x for q in y])
    assert kid(made(x), made(y)).mean == pytest.approx(expected, rel=1e-9)


def test_the_jackknife_leaves_out_each_picture_in_turn(made: Make) -> None:
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
    assert kid(made(x), made(y)).error == pytest.approx(expected, rel=1e-6)


def test_the_interval_holds_the_truth_as_often_as_it_says(made: Make) -> None:
    rng, found = np.random.default_rng(0), []
    for _ in range(80):
        a, b = rng.normal(size=(60, 4)), rng.normal(0.5, 1, (60, 4))
        found.append(kid(made(a), made(b)))
    truth = np.mean([k.mean for k in found])
    assert 0.88 <= np.mean([low <= truth <= high for low, high in (k.interval for k in found)]) <= 1
    assert np.mean([k.error for k in found]) == pytest.approx(np.std([k.mean for k in found]), rel=0.3)


def test_equal_sets_are_nowhere_apart(made: Make) -> None:
    for n in (5, 300):  # fewer than the features, and more
        a, b = made(cloud(n)), made(cloud(n), 4)
        assert 0 <= fid(a, b) < 1e-9 * np.trace(a.covariance)
        assert kid(a, b).mean < 0  # no bias: that of two sets of one kind is 0 in the mean
    same = made(np.full((4, 6), 0.5))
    assert fid(same, same) == 0


def test_image_and_reference_may_change_places(made: Make) -> None:
    a, b = made(cloud(60)), made(cloud(50, seed=1, shift=2))
    assert fid(a, b) == pytest.approx(fid(b, a), rel=1e-9)
    c = made(cloud(60, seed=1, shift=2))
    assert kid(a, c).mean == pytest.approx(kid(c, a).mean, rel=1e-9)


def test_a_shift_adds_its_squared_length(made: Make) -> None:
    features, step = cloud(100), np.arange(12, dtype=np.float32) / 4
    assert fid(made(features), made(features + step)) == pytest.approx(np.square(step).sum(), rel=1e-5)
    other = made(cloud(90, seed=1) - cloud(90, seed=1).mean(0))
    centred = features - features.mean(0)
    moved = fid(made(centred + step), other) - fid(made(centred), other)
    assert moved == pytest.approx(np.square(step).sum(), rel=1e-4)


def test_further_is_further(made: Make) -> None:
    a = made(cloud(80))
    for distance in (fid, lambda x, y: kid(x, y).mean):
        values = [distance(a, made(cloud(80, seed=1, shift=shift))) for shift in (0, 1, 2, 4)]
        assert values == sorted(values)


def test_the_fewer_the_pictures_the_higher_the_fid_but_not_the_kid(made: Make) -> None:
    def mean(n: int, distance: Callable[[FeatureSet, FeatureSet], float]) -> float:
        pairs = [(made(cloud(n, seed=2 * r)), made(cloud(n, seed=2 * r + 1))) for r in range(20)]
        return float(np.mean([distance(a, b) for a, b in pairs]))

    assert mean(10, fid) > 2 * mean(40, fid) > 4 * mean(160, fid)
    error = np.mean([kid(made(cloud(40, seed=r)), made(cloud(40, seed=r + 50))).error for r in range(5)])
    assert abs(mean(40, lambda a, b: kid(a, b).mean)) < error


def test_few_or_unequal_pictures_are_said() -> None:
    assert caution(5000, 5000) == "" == caution(2049, 2049)
    assert "FID of 64 pictures: up to 2048 the covariance is singular" in caution(64, 64)
    assert caution(5000, 4000) == "the sets have 5000 and 4000 pictures: not comparable with a FID of equal sets"


def test_the_same_seed_draws_the_same_subsets(made: Make) -> None:
    a, b = made(cloud(50)), made(cloud(70, seed=1))
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    draws = [kid(a, b, 20, 5, seed) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_subsets_are_cut_to_the_smaller_set(made: Make) -> None:
    a, b = made(cloud(50)), made(cloud(70, seed=1))
    assert kid(a, b, 1000, 5) == kid(a, b, 50, 5)


def test_memory_does_not_grow_with_the_pictures() -> None:
    def peak(batches: int) -> tuple[int, int]:
        batch = cloud(50, 64)
        with FeatureSet() as found:
            tracemalloc.start()
            for _ in range(batches):
                found.add(batch)
            highest = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert len(found.features()) == 50 * batches
            return highest, os.fstat(found._file.fileno()).st_size

    few, many = peak(4), peak(200)
    assert many[1] == 200 * 50 * 64 * 4  # 2.5 MB, on disk
    assert many[0] < few[0] + 100_000


def test_the_file_goes_with_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with FeatureSet() as found:
        found.add(cloud(5))
    assert not list(tmp_path.iterdir())
    assert found.mean.shape == (12,)
    with pytest.raises(ValueError, match="closed file"):
        found.features()


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (np.full((2, 12), np.nan), "expected finite features, got 24 that are not"),
        (np.full((2, 12), np.inf), "expected finite features, got 24"),
        (np.zeros((2, 11)), r"expected features, n x 12, got an array of shape \(2, 11\)"),
        (np.zeros(12), r"n x 12, got an array of shape \(12,\)"),
        (np.zeros((0, 12)), r"n x 12, got an array of shape \(0, 12\)"),
        (torch.zeros(2, 12, 1), r"shape \(2, 12, 1\)"),
    ],
)
def test_what_are_no_features_is_refused_and_changes_nothing(made: Make, features: Matrix, said: str) -> None:
    found, before = made(cloud(20)), made(cloud(20))
    with pytest.raises(ValueError, match=said):
        found.add(features)
    np.testing.assert_array_equal(found.covariance, before.covariance)
    np.testing.assert_array_equal(found.features(), before.features())


def test_too_few_pictures_have_no_distance(made: Make) -> None:
    enough, one, two = made(cloud(20)), made(cloud(1)), made(cloud(2))
    for pair in ((one, enough), (enough, one)):
        with pytest.raises(MetricUnavailable, match="at least 2 needed, got 1"):
            fid(*pair)
        with pytest.raises(MetricUnavailable, match="at least 3 needed, got 1"):
            kid(*pair)
    assert fid(two, two) == pytest.approx(0, abs=1e-6)
    with FeatureSet() as empty, pytest.raises(MetricUnavailable, match="got 0"):
        fid(empty, enough)


def test_sets_of_other_features_are_refused(made: Make) -> None:
    a, b = made(cloud(20)), made(cloud(20, 5))
    for distance in (fid, kid):
        with pytest.raises(ValueError, match="a has 12 features, b 5"):
            distance(a, b)
    with pytest.raises(ValueError, match="at least 3 pictures, got 100 of 2"):
        kid(a, a, subset_size=2)


@pytest.mark.parametrize("bad", [-np.eye(2), np.array([[1, 1], [0, 1.0]]), np.full((2, 2), np.nan), np.eye(3)])
def test_what_is_no_covariance_is_refused(bad: Matrix) -> None:
    with pytest.raises(ValueError, match="b: expected"):
        frechet_distance(np.zeros(2), np.eye(2), np.zeros(2), bad)


def test_an_evaluation_takes_both_as_rows(made: Make) -> None:
    a, b = made(cloud(40)), made(cloud(40, seed=1))
    assert fid_kid.fid_row(a, b, 0) == (fid(a, b), None, None)
    assert fid_kid.kid_row(a, b, 3) == (kid(a, b, seed=3).mean, *kid(a, b, seed=3).interval)


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
