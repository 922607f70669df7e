"""The perceptual losses against direct computations, on networks that have seen nothing: arithmetic needs no eyes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import standins
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import vgg19

from hifacegan_lib.training import perceptual
from hifacegan_lib.utils import weight_registry

CONVOLUTIONS = {"2": (64, 3), "5": (64, 64), "9": (128, 64), "12": (128, 128), "16": (256, 128)}


def pictures(*shape: int) -> list[Tensor]:
    return list(torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)))


def published() -> dict[str, Tensor]:
    """Names, shapes and layer 0 (to BGR, times 255, less the mean) of the published file; the rest at random."""
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "0.weight": 255 * torch.eye(3).flip(0).view(3, 3, 1, 1),
        "0.bias": -torch.tensor([103.939, 116.779, 123.68]),
    }
    for name, (out, channels) in CONVOLUTIONS.items():
        scale = (2 / (9 * channels)) ** 0.5 / (100 if name == "2" else 1)
        tensors[f"{name}.weight"] = scale * torch.randn(out, channels, 3, 3, generator=generator)
        tensors[f"{name}.bias"] = 0.1 * torch.randn(out, generator=generator)
    return tensors


@pytest.fixture
def source(tmp_path: Path) -> Path:
    torch.save(published(), tmp_path / "source.pth")
    return tmp_path / "source.pth"


@pytest.fixture
def converted(source: Path, tmp_path: Path) -> Path:
    return perceptual.convert(source, tmp_path / "first.safetensors")


def directly(tensors: dict[str, Tensor], image: Tensor) -> list[Tensor]:
    def block(x: Tensor, name: str) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.relu(F.conv2d(padded, tensors[f"{name}.weight"], tensors[f"{name}.bias"]))

    blue_first = 255 * image.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    one = block(blue_first, "2")
    two = block(F.max_pool2d(block(one, "5"), 2, ceil_mode=True), "9")
    return [one, two, block(F.max_pool2d(block(two, "12"), 2, ceil_mode=True), "16")]


@pytest.mark.parametrize("size", [(16, 24), (17, 15)])
def test_first_layers_equal_a_direct_computation(converted: Path, size: tuple[int, int]) -> None:
    a, b = pictures(2, 3, *size)
    features = zip((1 / 32, 1 / 16, 1 / 8), directly(published(), a), directly(published(), b), strict=True)
    expected = sum(weight * (fa - fb).abs().mean() for weight, fa, fb in features)
    torch.testing.assert_close(perceptual.load(converted)(a, b), expected, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def random_vgg() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return vgg19().features


def test_whole_equals_a_direct_sum_over_the_papers_layers(random_vgg: nn.Sequential) -> None:
    a, b = pictures(1, 3, 32, 32)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = torch.zeros(())
    for cut, weight in ((2, 1 / 32), (7, 1 / 16), (12, 1 / 8), (21, 1 / 4), (30, 1.0)):
        fa, fb = (random_vgg[:cut]((x - mean.view(3, 1, 1)) / std.view(3, 1, 1)) for x in (a, b))
        expected = expected + weight * (fa - fb).abs().mean()
    torch.testing.assert_close(perceptual.full_loss(random_vgg)(a, b), expected)


@pytest.fixture(params=["whole", "first"])
def loss(request: pytest.FixtureRequest) -> perceptual.PerceptualLoss:
    if request.param == "whole":
        return perceptual.full_loss(request.getfixturevalue("random_vgg"))
    return perceptual.PerceptualLoss(perceptual.first_layers("file", published()), perceptual._FIRST_LAYERS)


def test_equal_pictures_lose_nothing_and_more_damage_loses_more(loss: perceptual.PerceptualLoss) -> None:
    clean, noise = pictures(1, 3, 32, 32)
    values = [loss(clean + share * (noise - clean), clean).item() for share in (0, 0.03, 0.1, 0.3)]
    assert values[0] == 0
    assert values == sorted(set(values))


def test_the_gradient_flows_to_the_restored_picture_alone(loss: perceptual.PerceptualLoss) -> None:
    restored, clean = (image.requires_grad_() for image in pictures(1, 3, 16, 16))
    loss(restored, clean).backward()
    assert restored.grad is not None and restored.grad.any()
    assert clean.grad is None
    assert not [p for p in loss.parameters() if p.requires_grad or p.grad is not None]


def test_missing_vgg_weights_name_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        weight_registry.MissingWeights, match=r"hifacegan weights fetch vgg19.*perceptual_file.*weight to 0"
    ):
        perceptual.load()


def test_the_whole_is_read_from_torchs_cache_and_draws_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of torchvision's names and shapes whose tensors each repeat one number, so that it is small."""
    with torch.device("meta"):
        state = vgg19().state_dict()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weight_registry.path("vgg19").parent.mkdir(parents=True)
    repeated = {name: torch.tensor(0.01).expand(tensor.shape) for name, tensor in state.items()}
    torch.save(repeated, weight_registry.path("vgg19"))
    standins.register(monkeypatch, "vgg19")
    before, (a, b) = torch.get_rng_state(), pictures(1, 3, 16, 16)
    read = perceptual.load("")
    assert torch.equal(before, torch.get_rng_state())
    features = vgg19().features.requires_grad_(False)
    for parameter in features.parameters():
        parameter.fill_(0.01)
    assert read(a, b) == perceptual.full_loss(features)(a, b) > 0


def test_conversion_keeps_every_number_and_says_where_it_is_from(source: Path, converted: Path) -> None:
    tensors = load_file(converted)
    assert tensors.keys() == published().keys()
    assert all(torch.equal(tensors[name], value) for name, value in published().items())
    with safe_open(converted, framework="pt") as file:
        assert list(file.metadata()) == ["hifacegan"]
        description = json.loads(file.metadata()["hifacegan"])
    assert description["format"] == perceptual.FORMAT
    assert len(description["source_sha256"]) == 64
    again = perceptual.convert(source, converted.with_name("again.safetensors"))
    assert again.read_bytes() == converted.read_bytes()


def test_deeper_layers_are_left_out(source: Path, tmp_path: Path) -> None:
    torch.save({**published(), "19.weight": torch.zeros(256, 256, 3, 3)}, source)
    assert load_file(perceptual.convert(source, tmp_path / "new" / "b.safetensors")).keys() == published().keys()


def test_conversion_overwrites_nothing(source: Path, converted: Path) -> None:
    before = converted.read_bytes()
    with pytest.raises(FileExistsError, match=r"first\.safetensors: exists already"):
        perceptual.convert(source, converted)
    assert converted.read_bytes() == before


class Code:
    """What a pickle may run, and ``weights_only`` does not."""

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return print, ("run",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            {k: v for k, v in published().items() if k != "9.bias"},
            r"(?s:.*)Missing key.*9\.bias",
        ),
        (
            {**published(), "5.weight": torch.zeros(64, 3, 3, 3)},
            r"(?s:.*)mismatch for 5\.weight: .*\[64, 3, 3, 3\].*\[64, 64, 3, 3\]",
        ),
        ([1, 2], r"(?s:.*)Missing key.*0\.weight"),
        (Code(), "not a file with only tensors"),
    ],
)
def test_a_wrong_source_is_refused_and_leaves_nothing(content: object, says: str, source: Path) -> None:
    torch.save(content, source)
    with pytest.raises(ValueError, match=rf"source\.pth: {says}"):
        perceptual.convert(source, source.with_name("out.safetensors"))
    assert [path.name for path in source.parent.iterdir()] == ["source.pth"]


@pytest.mark.parametrize("content", [b"", b"no pickle at all", b"PK\x03\x04 half a zip"])
def test_a_damaged_source_is_refused(content: bytes, source: Path) -> None:
    source.write_bytes(content)
    with pytest.raises(ValueError, match=r"source\.pth: not a file with only tensors"):
        perceptual.convert(source, source.with_name("out.safetensors"))


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pth: no such checkpoint"):
        perceptual.convert(tmp_path / "none.pth", tmp_path / "out.safetensors")
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors: no such checkpoint"):
        perceptual.load(tmp_path / "none.safetensors")


def described(**changes: object) -> dict[str, str]:
    return {"hifacegan": json.dumps({"format": perceptual.FORMAT, **changes})}


@pytest.mark.parametrize(
    ("tensors", "metadata", "says"),
    [
        (published(), None, "the metadata's format is None, expected 'hifacegan-perceptual-1'"),
        (published(), described(format="hifacegan-generator-1"), "the metadata's format is 'hifacegan-generator-1'"),
        (published(), {"hifacegan": "{"}, "not a safetensors file of this workbench"),
        ({}, described(), r"(?s:.*)Missing key.*0\.weight"),
        ({**published(), "16.bias": torch.zeros(2)}, described(), r"(?s:.*)mismatch for 16\.bias: .*\[2\].*\[256\]"),
    ],
)
def test_another_file_is_refused_by_name(
    tensors: dict[str, Tensor], metadata: dict[str, str] | None, says: str, tmp_path: Path
) -> None:
    save_file(tensors, tmp_path / "x.safetensors", metadata)
    with pytest.raises(ValueError, match=rf"x\.safetensors: {says}"):
        perceptual.load(tmp_path / "x.safetensors")


def test_a_damaged_file_is_refused(converted: Path) -> None:
    converted.write_bytes(converted.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"first\.safetensors: not a safetensors file of this workbench"):
        perceptual.load(converted)


def test_weights_and_layers_are_the_paper_s() -> None:
    assert perceptual._FULL == {2: 1 / 32, 7: 1 / 16, 12: 1 / 8, 21: 1 / 4, 30: 1}
    assert perceptual._FIRST_LAYERS == {3: 1 / 32, 10: 1 / 16, 17: 1 / 8}
    normalise = perceptual.full_loss(vgg19().features).network[0]
    assert normalise.mean == (0.485, 0.456, 0.406) and normalise.std == (0.229, 0.224, 0.225)
