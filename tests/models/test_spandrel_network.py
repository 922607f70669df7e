"""Networks of others, by spandrel's own classes: the picture that their authors draw, whatever was drawn before."""

import importlib
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from restorers import SMALL, made
from spandrel.architectures import GFPGAN
from spandrel.architectures.DnCNN import DnCNN
from spandrel.architectures.LaMa import LaMa
from torch import Tensor, nn

from hifacegan_lib.models import spandrel_network
from hifacegan_lib.models.spandrel_network import SpandrelNetwork


def faces(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("name", "scale"), [("NAFNet", 1), ("SwinIR", 1), ("SwinIR x2", 2)])
def test_the_picture_is_that_of_the_network_itself(name: str, scale: int) -> None:
    network = made(SMALL[name])
    found = SpandrelNetwork(network.state_dict())
    assert (found.architecture, found.scale, found.size) == (name.split()[0], scale, None)
    assert found.parameters == sum(values.numel() for values in network.parameters())
    images = faces(3, 3, 32, 48)
    drawn = found(images)
    assert drawn.shape == (3, 3, 32 * scale, 48 * scale)
    assert torch.allclose(drawn, network(images).clamp(0, 1), atol=1e-5)
    assert torch.equal(drawn[1:2], found(images[1:2]))  # alone as in company
    as_array = found(images.numpy())
    assert isinstance(as_array, np.ndarray) and np.array_equal(as_array, drawn.numpy())


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 3, 17, 5), (2, 3, 33, 64)])
def test_any_size_is_drawn(shape: tuple[int, ...]) -> None:
    for name in ("NAFNet", "SwinIR"):
        assert SpandrelNetwork(made(SMALL[name]).state_dict())(faces(*shape)).shape == shape


def authors(network: nn.Module, image: Tensor) -> Tensor:
    """As GFPGAN's, RestoreFormer's and CodeFormer's programs draw: [-1, 1] in and out."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        return ((network(2 * image - 1)[0] + 1) / 2).clamp(0, 1)


def codeformer() -> nn.Module:
    return importlib.import_module("spandrel_extra_arches.architectures.CodeFormer").CodeFormer()


@pytest.fixture
def narrow_gfpgan(monkeypatch: pytest.MonkeyPatch) -> Callable[[], nn.Module]:
    """GFPGAN for 64 pixels and of fewer channels, which spandrel then builds too: the whole takes half a minute."""

    whole = GFPGAN.GFPGAN

    def narrow(**options: object) -> nn.Module:
        return whole(**{**options, "out_size": 64, "narrow": 0.125})

    monkeypatch.setattr(sys.modules[GFPGAN.GFPGANArch.__module__], "GFPGAN", narrow)
    return narrow


@pytest.mark.parametrize(("name", "side"), [("RestoreFormer", 64), ("GFPGAN", 64), ("CodeFormer", 512)])
def test_a_network_for_faces_gets_the_range_of_its_authors(
    name: str, side: int, narrow_gfpgan: Callable[[], nn.Module]
) -> None:
    if name == "CodeFormer":
        pytest.importorskip("spandrel_extra_arches", reason="its licences are partly non-commercial")
    network = made({**SMALL, "GFPGAN": narrow_gfpgan, "CodeFormer": codeformer}[name])
    found, image = SpandrelNetwork(network.state_dict()), faces(1, 3, side, side)
    assert (found.architecture, found.scale, found.size) == (name, 1, 512)
    state = torch.get_rng_state()
    assert torch.allclose(found(image), authors(network, image), atol=1e-4)
    assert torch.equal(torch.get_rng_state(), state)  # GFPGAN draws noise


def test_bfloat16_draws_nearly_the_same() -> None:
    weights, image = made(SMALL["NAFNet"]).state_dict(), faces(1, 3, 32, 32)
    plain, half = (SpandrelNetwork(weights, precision=p)(image) for p in ("float32", "bfloat16"))
    assert half.dtype == torch.float32 and 0 < (half - plain).abs().max() < 0.1
    with pytest.raises(ValueError, match="precision is one of"):
        SpandrelNetwork(weights, precision="half")  # type: ignore[arg-type]


def test_wrappers_and_prefixes_are_removed() -> None:
    weights = made(SMALL["NAFNet"]).state_dict()
    wrapped = {"params_ema": {f"module.{name}": values for name, values in weights.items()}, "iteration": 7}
    assert torch.equal(SpandrelNetwork(wrapped)(faces(1, 3, 16, 16)), SpandrelNetwork(weights)(faces(1, 3, 16, 16)))


def test_what_cannot_restore_a_face_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = made(SMALL["NAFNet"]).state_dict()
    with pytest.raises(ValueError, match=r"knows no network with these tensors"):
        SpandrelNetwork({"a": torch.zeros(2)})
    cut = {name: values for name, values in weights.items() if name != "ups.0.0.weight"}
    with pytest.raises(ValueError, match=r"knows no network with these tensors"):
        SpandrelNetwork(cut)
    with pytest.raises(ValueError, match=r"the tensors do not fit \(RuntimeError: .*intro"):
        SpandrelNetwork({**weights, "intro.weight": torch.zeros(4, 3, 5, 5)})
    with pytest.raises(ValueError, match="DnCNN with 1 channels in and 1 out, expected RGB in and out"):
        SpandrelNetwork(DnCNN().state_dict())
    with pytest.raises(ValueError, match="LaMa fills holes: it needs a mask beside the image"):
        SpandrelNetwork(LaMa().state_dict())
    with pytest.raises(ValueError, match="expected N x 3 x H x W"):
        SpandrelNetwork(weights)(torch.zeros(1, 1, 8, 8))
    there = importlib.util.find_spec
    for missing, says in (("spandrel", r"install hifacegan-workbench\[zoo\]"), ("spandrel_extra_arches", "licences")):
        with monkeypatch.context() as patch:
            patch.setattr(
                spandrel_network.importlib.util, "find_spec", lambda name, m=missing: None if name == m else there(name)
            )
            with pytest.raises(ValueError, match=says):
                SpandrelNetwork({"a": torch.zeros(2)})
