"""Networks by name, their descriptions in checkpoints, and what a network of anybody's must keep to."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hifacegan_lib.models import checkpoints, networks
from hifacegan_lib.models.flow import Flow
from hifacegan_lib.models.generator import Generator, GeneratorConfig

NAFNET = "spandrel:NAFNet"
SMALL = {"width": 4, "enc_blk_nums": [1], "middle_blk_num": 1, "dec_blk_nums": [1]}
FACES = torch.rand(2, 3, 16, 12, generator=torch.Generator().manual_seed(0))


class Own(nn.Module):
    """The face plus a convolution of it, or what a subclass makes of that."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        return (image + self.layer(image)).clamp(0, 1)


def built(name: str = NAFNET, **options: object) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return networks.build(name, options or SMALL)


@pytest.mark.parametrize("name", [NAFNET, "spandrel:NAFNet.NAFNet"])
def test_a_network_of_spandrel_is_clipped_and_learns_beyond_the_clip(name: str) -> None:
    network = built(name)
    drawn = network(FACES)
    assert torch.equal(drawn, network.network(FACES).clamp(0, 1))
    nn.init.constant_(network.network.ending.bias, 5.0)
    white = network(FACES)
    assert white.min() == 1
    white.mean().backward()
    assert network.network.ending.bias.grad.sum() == pytest.approx(1, abs=1e-5)  # the gradient passes the clip


@pytest.mark.parametrize("kind", ["ours", "spandrel", "module", "flow"])
def test_a_checkpoint_builds_its_network_again(kind: str, tmp_path: Path) -> None:
    network = built() if kind != "ours" else Generator(GeneratorConfig(width=4, stages=1))
    if kind == "module":
        network = built("torch.nn:Conv2d", in_channels=3, out_channels=3, kernel_size=1)
    if kind == "flow":
        network = Flow(Generator(GeneratorConfig(width=4, stages=1)), network, sigma=0.2, steps=3, seed=7)
    before = torch.get_rng_state()
    file = checkpoints.save_generator(tmp_path / "n.safetensors", network, {"step": 1})
    loaded, info = checkpoints.load_generator(file)
    assert torch.equal(before, torch.get_rng_state()) and info == {"step": 1}
    assert type(loaded) is type(network) and not loaded.training
    assert networks.describe(loaded) == networks.describe(network) == json.loads(json.dumps(networks.describe(loaded)))
    assert torch.equal(loaded(FACES), network.eval()(FACES))


def test_the_reader_s_own_class_is_given_also_within_a_flow(tmp_path: Path) -> None:
    whole = Flow(built(), Own(), steps=2).eval()
    file = checkpoints.save_generator(tmp_path / "n.safetensors", whole)
    for given in (Own(), Flow(built(), Own(), steps=2)):
        loaded, _ = checkpoints.load_generator(file, network=given)
        assert torch.equal(loaded(FACES), whole(FACES))
    with pytest.raises(ValueError, match=r"n\.safetensors: weights of the class 'Own'; expected network=Own"):
        checkpoints.load_generator(file)
    with pytest.raises(ValueError, match="weights of the class 'Own', expected 'Identity'"):
        checkpoints.load_generator(file, network=nn.Identity())


def test_layers_that_share_weights_are_saved(tmp_path: Path) -> None:
    tied = nn.Sequential(Own(), Own())
    tied[1].layer = tied[0].layer
    file, other = checkpoints.save_generator(tmp_path / "n.safetensors", tied), nn.Sequential(Own(), Own())
    assert torch.equal(checkpoints.load_generator(file, network=other)[0](FACES), tied(FACES))


def test_ours_takes_the_fields_of_its_config() -> None:
    assert networks.build("hifacegan", {"width": 4, "window": 5}).config == GeneratorConfig(width=4, window=5)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("nafnet", {}, "network 'nafnet': unknown; expected hifacegan, spandrel:ARCHITECTURE or MODULE:CLASS"),
        ("no_such_module:Own", {}, "cannot import 'no_such_module'; is its folder in PYTHONPATH?"),
        ("torch.nn:Tensor", {}, "network 'torch.nn:Tensor': no class 'Tensor'; there are: .*torch.nn:Conv2d"),
        ("torch.nn:Conv2d", {"depth": 3}, "torch.nn:Conv2d: cannot be built with .*options: .*'in_channels'"),
        ("spandrel:Nafnet", {}, "spandrel has no architecture 'Nafnet'"),
        ("spandrel:ESRGAN.RRDBNet", {}, "no class 'RRDBNet'; there are: spandrel:ESRGAN.ESRGAN"),
        (NAFNET, {"widht": 4}, r"spandrel:NAFNet: cannot be built with \{'widht': 4\} .*options: .*'width'"),
        ("hifacegan", {"widht": 4}, r"unknown \['widht'\]; known: .*'width'"),
    ],
)
def test_unknown_names_and_options_are_named(name: str, options: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        networks.build(name, options)


def test_without_spandrel_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = checkpoints.save_generator(tmp_path / "n.safetensors", built())
    monkeypatch.setitem(sys.modules, "spandrel.architectures", None)
    with pytest.raises(ImportError, match=r"network 'spandrel:NAFNet' needs spandrel: pip install .*\[zoo\]"):
        checkpoints.load_generator(file)


class Larger(Own):
    def forward(self, image: Tensor) -> Tensor:
        return image.repeat_interleave(2, 2)


class Pair(Own):
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return image, image


class Signed(Own):
    def forward(self, image: Tensor) -> Tensor:
        return 2 * image - 1


class Nan(Own):
    def forward(self, image: Tensor) -> Tensor:
        return image / (image - image)


class Grey(Own):
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image[:, :1])


class Empty(nn.Identity):
    pass


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Larger, r"network Larger: from \(2, 3, 16, 12\) it draws \(2, 3, 32, 12\); expected the same shape"),
        (Pair, "network Pair: from .* it draws tuple"),
        (Signed, r"network Signed: it draws -0\.\d+ to 0\.\d+, expected \[0, 1\]; end its forward by .clamp"),
        (Nan, "network Nan: 1152 of 1152 values that it draws are NaN or infinite"),
        (Grey, r"network Grey: it fails on faces of \(2, 3, 16, 12\): .*channels"),
        (Empty, "network Empty: it has no parameters that can be trained"),
    ],
)
def test_a_network_that_is_none_for_faces_is_refused_by_name(kind: type[nn.Module], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        networks.check(kind(), FACES)


def test_batch_statistics_are_warned_of_and_a_trial_changes_nothing() -> None:
    network = nn.Sequential(Own(), nn.BatchNorm2d(3), nn.Dropout(), nn.Sigmoid()).train()
    before, random = {n: v.clone() for n, v in network.state_dict().items()}, torch.get_rng_state()
    networks.check(network, FACES)
    assert re.match(
        r"network Sequential: 1 layers \(1, ...\) keep batch statistics: a face's", networks.batch_statistics(network)
    )
    assert network.training and torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert networks.batch_statistics(built()) == ""
