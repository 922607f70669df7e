"""Metrics: they agree with independent ones, image by image, and know the good from the bad."""

import warnings
from collections.abc import Callable
from pathlib import Path

import golden
import lpips
import numpy as np
import pytest
import standins
import torch
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torchmetrics.functional import image as theirs
from torchvision.models import alexnet, squeezenet1_1, vgg16

from hifacegan_lib.metrics import array_pickles, full_reference, learned_distance
from hifacegan_lib.metrics.metric import MetricUnavailable
from hifacegan_lib.utils import weight_registry
from hifacegan_lib.utils.images import to_float

Score = Callable[[Tensor, Tensor], Tensor]
SCORES = [full_reference.psnr, full_reference.ssim, full_reference.ms_ssim]


def faces(side: int, sigma: float = 20, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(image, clean): two patches of photographs, in eight bits, and the same with noise."""
    clean = np.stack([data.astronaut()[:side, 160 : 160 + side], data.chelsea()[60 : 60 + side, 120 : 120 + side]])
    noise = np.random.default_rng(seed).normal(0, sigma, clean.shape) * np.array([1, 2]).reshape(2, 1, 1, 1)
    noisy = (clean + noise).round().clip(0, 255).astype(np.uint8)
    noisy, clean = (torch.from_numpy(x.transpose(0, 3, 1, 2).copy()) / 255 for x in (noisy, clean))
    return noisy, clean


def arrays(*tensors: Tensor) -> list[list[np.ndarray]]:
    """N x 3 x H x W -> N arrays of H x W x 3 in double precision, for each."""
    return [[x.permute(1, 2, 0).double().numpy() for x in tensor] for tensor in tensors]


def test_psnr_matches_scikit_image() -> None:
    image, clean = faces(48)
    expected = [peak_signal_noise_ratio(b, a, data_range=1) for a, b in zip(*arrays(image, clean), strict=True)]
    np.testing.assert_allclose(full_reference.psnr(image, clean), expected, atol=1e-4)


def test_ssim_matches_scikit_image() -> None:
    image, clean = faces(48)
    expected = [
        structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=2
        )
        for a, b in zip(*arrays(image, clean), strict=True)
    ]
    np.testing.assert_allclose(full_reference.ssim(image, clean), expected, atol=1e-5)


def test_ssim_and_ms_ssim_match_torchmetrics() -> None:
    image, clean = faces(192)
    options = {"sigma": 1.5, "data_range": 1.0, "reduction": "none"}
    _, full = theirs.structural_similarity_index_measure(image, clean, **options, return_full_image=True)
    torch.testing.assert_close(
        full_reference.ssim(image, clean), full[..., 5:-5, 5:-5].mean((1, 2, 3)), atol=5e-5, rtol=0
    )
    # theirs counts mirrored borders at the last scale, 12 pixels here, where ours has two windows
    whole = theirs.multiscale_structural_similarity_index_measure(image, clean, **options)
    torch.testing.assert_close(full_reference.ms_ssim(image, clean), whole, atol=0.05, rtol=0)


def ms_ssim_of_channel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The terms of the five scales inside the image, by scipy's filter: contrast and structure, all at the last."""
    terms = []
    for scale in range(5):
        blur = [gaussian_filter(x, 1.5, truncate=3.5)[5:-5, 5:-5] for x in (a, b, a * a, b * b, a * b)]
        var_a, var_b, covariance = blur[2] - blur[0] ** 2, blur[3] - blur[1] ** 2, blur[4] - blur[0] * blur[1]
        contrast = (2 * covariance + 0.03**2) / (var_a + var_b + 0.03**2)
        luminance = (2 * blur[0] * blur[1] + 0.01**2) / (blur[0] ** 2 + blur[1] ** 2 + 0.01**2)
        terms.append((luminance * contrast).mean() if scale == 4 else contrast.mean())
        height, width = (side // 2 for side in a.shape)
        a, b = (x[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3)) for x in (a, b))
    return np.array(terms)


@pytest.mark.parametrize("side", [192, 201])
def test_ms_ssim_matches_scipy(side: int) -> None:
    image, clean = faces(side)
    powers = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]
    expected = [
        np.prod(np.mean([ms_ssim_of_channel(a[..., c], b[..., c]) for c in range(3)], axis=0) ** powers)
        for a, b in zip(*arrays(image, clean), strict=True)
    ]
    np.testing.assert_allclose(full_reference.ms_ssim(image, clean), expected, atol=1e-5)


def test_constant_images_have_a_defined_value() -> None:
    grey, white = torch.full((1, 3, 176, 176), 0.5), torch.ones(1, 3, 176, 176)
    for score in SCORES:
        values = torch.cat([score(grey, white), score(white, white)])
        assert not values.isnan().any()
    assert full_reference.ssim(grey, white).item() == pytest.approx((2 * 0.5 + 1e-4) / (1.25 + 1e-4), abs=1e-5)


@pytest.mark.parametrize("score", SCORES)
def test_each_image_has_its_own_value(score: Score) -> None:
    image, clean = faces(176)
    both = score(image, clean)
    assert both.shape == (2,) and both[0] != both[1]
    alone = torch.cat([score(image[n : n + 1], clean[n : n + 1]) for n in range(2)])
    torch.testing.assert_close(both, alone)


@pytest.mark.parametrize("score", SCORES)
def test_equal_images_have_the_best_value(score: Score) -> None:
    _, clean = faces(176)
    best = torch.inf if score is full_reference.psnr else 1.0
    torch.testing.assert_close(score(clean, clean), torch.full((2,), best))


@pytest.mark.parametrize("score", SCORES)
def test_image_and_clean_may_change_places(score: Score) -> None:
    image, clean = faces(176)
    torch.testing.assert_close(score(image, clean), score(clean, image))


@pytest.mark.parametrize("score", SCORES)
def test_more_noise_is_worse(score: Score) -> None:
    values = torch.stack([score(*faces(176, sigma)) for sigma in (2, 8, 32)])
    assert (values.diff(dim=0) < 0).all()


def test_black_against_white_has_the_worst_value() -> None:
    black, white = torch.zeros(1, 3, 176, 176), torch.ones(1, 3, 176, 176)
    assert full_reference.psnr(black, white).item() == 0
    assert 0 <= full_reference.ssim(black, white).item() < 1e-3
    negative = full_reference.ssim(faces(64)[1], 1 - faces(64)[1])
    assert (negative >= -1).all() and (negative < 0).all()
    assert (full_reference.ms_ssim(faces(176)[1], 1 - faces(176)[1]) == 0).all()


@pytest.mark.parametrize("score", [*SCORES, learned_distance.Lpips()])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda x: x * 255, "got 0 to 255"),
        (lambda x: x - 0.5, "got -0.5 to"),
        (lambda x: x.masked_fill(x == x.amax(), torch.nan), "got nan to nan"),
        (lambda x: x.masked_fill(x == x.amax(), torch.inf), "to inf"),
        (lambda x: (x * 255).byte(), "got torch.uint8"),
        (lambda x: x.numpy(), "got ndarray"),
        (lambda x: x[0], "got torch.float32 3 x 176 x 176"),
        (lambda x: x[:, :1], "got torch.float32 2 x 1 x 176 x 176"),
        (lambda x: x[:0], "got torch.float32 0 x 3 x 176 x 176"),
    ],
)
def test_what_is_no_image_is_refused(score: Score, spoil: Callable, said: str) -> None:
    image, clean = faces(176)
    with pytest.raises(ValueError, match=f"image: expected float RGB.*{said}"):
        score(spoil(image), clean)
    with pytest.raises(ValueError, match=f"clean: expected float RGB.*{said}"):
        score(image, spoil(clean))


@pytest.mark.parametrize("score", [*SCORES, learned_distance.Lpips()])
def test_pairs_must_be_alike(score: Score) -> None:
    image, clean = faces(176)
    for other in (clean[:1], clean[..., :-1], clean.double()):  # the first would broadcast
        with pytest.raises(ValueError, match="shape and dtype must be equal"):
            score(image, other)


@pytest.mark.parametrize(
    ("score", "side"), [(full_reference.ssim, 11), (full_reference.ms_ssim, 176), (learned_distance.Lpips(), 31)]
)
def test_an_image_too_small_for_a_metric_is_told_so(score: Score, side: int) -> None:
    small = torch.zeros(1, 3, 200, side - 1)
    with pytest.raises(MetricUnavailable, match=f"sides of at least {side} pixels, got 200 x {side - 1}"):
        score(small, small)
    if not isinstance(score, learned_distance.Lpips):
        assert score(torch.zeros(1, 3, side, side), torch.zeros(1, 3, side, side)).item() == pytest.approx(1)


@pytest.mark.parametrize(("net", "name"), [("alex", "alexnet"), ("vgg", "vgg16"), ("squeeze", "squeezenet")])
def test_lpips_without_its_backbone_names_the_command(
    net: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MetricUnavailable, match=f"`hifacegan weights fetch {name}`"):
        learned_distance.Lpips(net)(*faces(64))


def test_lpips_refuses_a_damaged_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weight_registry.path("alexnet").parent.mkdir(parents=True)
    weight_registry.path("alexnet").write_bytes(b"half of it")
    with pytest.raises(ValueError, match="damaged"):
        learned_distance.Lpips()(*faces(64))


def alexnet_weights() -> dict[str, Tensor]:
    """The real ones, under torchvision's names, from either of their sources."""
    file = weight_registry.verify("alexnet")
    if file.suffix == ".pth":
        return torch.load(file, "cpu", weights_only=True)
    state = {}
    for number, index in enumerate((0, 3, 6, 8, 10)):
        layer = array_pickles.read(file)["AlexNet_0"][f"Conv_{number}"]
        state[f"features.{index}.weight"] = torch.from_numpy(layer["kernel"].transpose(3, 2, 0, 1))
        state[f"features.{index}.bias"] = torch.from_numpy(layer["bias"])
    return state


def lpips_by_hand(image: Tensor, clean: Tensor, state: dict[str, Tensor]) -> Tensor:
    """The paper's equation 1, layer by layer, with the heads that come with the package."""
    heads = torch.load(Path(lpips.__file__).parent / "weights" / "v0.1" / "alex.pth", "cpu", weights_only=True)
    shift, scale = (torch.tensor(v).view(1, 3, 1, 1) for v in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    x = torch.cat([(2 * y - 1 - shift) / scale for y in (image, clean)])
    total = torch.zeros(len(image))
    for layer, (index, stride, padding) in enumerate(((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1))):
        if layer in (1, 2):
            x = torch.nn.functional.max_pool2d(x, 3, 2)
        kernel, bias = (state[f"features.{index}.{part}"] for part in ("weight", "bias"))
        x = torch.nn.functional.conv2d(x, kernel, bias, stride, padding).relu()
        unit = x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
        difference = (unit[: len(image)] - unit[len(image) :]).square()
        total += (difference * heads[f"lin{layer}.model.1.weight"]).sum(1).mean((1, 2))
    return total


@standins.real("alexnet")
def test_lpips_is_the_papers_equation() -> None:
    image, clean = faces(64)
    state, score = torch.get_rng_state(), learned_distance.Lpips()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = score(image, clean)
    torch.testing.assert_close(values, lpips_by_hand(image, clean, alexnet_weights()))
    torch.testing.assert_close(values, score(clean, image))
    assert values.shape == (2,) and values[0] < values[1]
    assert (score(clean, clean) == 0).all()
    assert torch.equal(state, torch.get_rng_state())
    assert torch.isfinite(score(image[..., :31, :31], clean[..., :31, :31])).all()


@pytest.mark.parametrize(
    ("net", "name", "build"),
    [("alex", "alexnet", alexnet), ("vgg", "vgg16", vgg16), ("squeeze", "squeezenet", squeezenet1_1)],
)
def test_lpips_is_what_the_package_says(
    net: str, name: str, build: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    generator = torch.Generator().manual_seed(1)
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in build().state_dict().items()}
    state = {
        key: torch.randn(shape, generator=generator) / max(1, np.prod(shape[1:])) ** 0.5
        if key.startswith("features")
        else torch.zeros(()).expand(shape)
        for key, shape in shapes.items()
    }
    weight_registry.path(name).parent.mkdir(parents=True)
    torch.save(state, weight_registry.path(name))
    standins.register(monkeypatch, name)
    image, clean = faces(64)
    with warnings.catch_warnings(), torch.no_grad(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        direct = lpips.LPIPS(net=net, verbose=False)(2 * image - 1, 2 * clean - 1).flatten()
    torch.testing.assert_close(learned_distance.Lpips(net)(image, clean), direct)


def test_lpips_knows_its_networks() -> None:
    with pytest.raises(ValueError, match="net = 'resnet': expected one of alex, vgg, squeeze"):
        learned_distance.Lpips("resnet")


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("size", [(176, 191), (240, 201)])
def test_the_recorded_values(score: Score, size: tuple[int, int]) -> None:
    clean = torch.stack([to_float(golden.picture(*size, seed)) for seed in (0, 1)])
    values = score(torch.flip(clean, (0,)) * 0.9 + 0.02, clean)
    golden.check(f"metrics: {score.__name__}, {size}", values, unit=10 if score is full_reference.psnr else 1)


def test_half_precision_is_measured_in_32_bits_and_keeps_its_dtype() -> None:
    image, clean = (x.half() for x in faces(48))
    for score in SCORES[:2]:
        found = score(image, clean)
        assert found.dtype == torch.float16
        torch.testing.assert_close(found.float(), score(image.float(), clean.float()), rtol=1e-3, atol=1e-3)


def test_the_distance_from_the_input_in_grey_levels() -> None:
    source = torch.zeros(2, 3, 4, 4)
    image = source.clone()
    image[1, 0, :2] = 0.5  # a sixth of all values
    assert full_reference.moved(image, source).tolist() == pytest.approx([0, 255 / 12])
