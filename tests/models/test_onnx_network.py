"""ONNX Runtime draws what the plain generator draws: the shipped weights, at any size, the same bits each time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hifacegan_lib.models import checkpoints
from hifacegan_lib.models.generator import Generator
from hifacegan_lib.models.onnx_network import OnnxNetwork, check, padded
from hifacegan_lib.restoration import pretrained
from hifacegan_lib.utils.jobs import SHARE

NAME, FOLDER = pretrained.DEFAULT, pretrained.FOLDER
SHAPES = [(1, 3, 256, 256), (2, 3, 70, 50), (1, 3, 1, 1), (1, 3, 37, 1), (1, 3, 33, 96)]


@pytest.fixture(scope="module")
def flavours() -> list[Generator]:
    return [checkpoints.load_generator(FOLDER / f"{NAME}-{f}.safetensors")[0] for f in pretrained.FLAVOURS]


@pytest.fixture(scope="module")
def shipped() -> OnnxNetwork:
    return pretrained.load_model().network  # type: ignore[return-value]


def faces(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).random(shape, np.float32)


@torch.no_grad()
@pytest.mark.parametrize("blend", [0.0, 0.3, 1.0])
def test_the_shipped_weights_are_drawn_as_the_plain_generator_draws_them(
    blend: float, flavours: list[Generator]
) -> None:
    network = pretrained.load_model(NAME, blend).network
    assert isinstance(network, OnnxNetwork)
    ends = [generator.state_dict() for generator in flavours]
    plain = Generator(flavours[0].config).eval()
    plain.load_state_dict({name: torch.lerp(value, ends[1][name], blend) for name, value in ends[0].items()})
    for shape in SHAPES:
        image = faces(*shape)
        found = network(image)
        assert found.shape == shape and found.dtype == np.float32
        assert np.abs(found - plain(torch.from_numpy(image)).numpy()).max() < 1e-5


def test_a_picture_is_the_same_bits_each_time_and_in_any_company(shipped: OnnxNetwork) -> None:
    image = faces(3, 3, 96, 64)
    whole = shipped(image)
    assert np.array_equal(shipped(image), whole)
    assert np.array_equal(pretrained.load_model().network(image), whole)
    assert np.array_equal(np.concatenate([shipped(image[n : n + 1]) for n in range(3)]), whole)


def test_a_tensor_gives_a_tensor(shipped: OnnxNetwork) -> None:
    image = faces(1, 3, 40, 40)
    found = shipped(torch.from_numpy(image))
    assert isinstance(found, torch.Tensor) and np.array_equal(found.numpy(), shipped(image))


@pytest.mark.parametrize("size", [(64, 32), (33, 40), (1, 50), (5, 5), (31, 63)])
def test_sides_are_extended_as_the_generator_extends_them(size: tuple[int, int], flavours: list[Generator]) -> None:
    image = faces(1, 3, *size)
    assert np.array_equal(padded(image, 32), flavours[0]._padded(torch.from_numpy(image)).numpy())


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (0, 3, 32, 32), (1, 3, 0, 32)])
def test_what_is_no_batch_of_pictures_is_refused(shape: tuple[int, ...], shipped: OnnxNetwork) -> None:
    with pytest.raises(ValueError, match="expected N x 3 x H x W with at least one pixel"):
        shipped(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match="the image: 2 of 3072 values are NaN or infinite"):
        broken = faces(1, 3, 32, 32)
        broken[0, 1, 2, 3:5] = np.nan, np.inf
        check(broken)


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.onnx: no such network"):
        OnnxNetwork(tmp_path / "none.onnx")
    (tmp_path / "words.onnx").write_text("words")
    with pytest.raises(ValueError, match=r"words\.onnx: ONNX Runtime cannot load it"):
        OnnxNetwork(tmp_path / "words.onnx")
    with pytest.raises(ValueError, match=rf"{NAME}\.onnx: ONNX Runtime cannot load it"):  # its weights are elsewhere
        OnnxNetwork(FOLDER / f"{NAME}.onnx")


def test_the_bits_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """So workers may share the cores."""
    image, drawn = faces(1, 3, 160, 128), []
    for threads in (1, 2, 5):
        monkeypatch.setenv(SHARE, str(threads))
        drawn.append(pretrained.load_model().network(image))
    assert np.array_equal(drawn[0], drawn[1]) and np.array_equal(drawn[0], drawn[2])
