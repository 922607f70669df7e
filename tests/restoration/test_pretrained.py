"""Weights by name: two flavours and what lies between them."""

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from hifacegan_lib import cli
from hifacegan_lib.models.checkpoints import load_generator, save_generator
from hifacegan_lib.models.exporting import export
from hifacegan_lib.models.generator import Generator, GeneratorConfig
from hifacegan_lib.models.onnx_network import OnnxNetwork
from hifacegan_lib.restoration import photos, pretrained
from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.utils import images
from hifacegan_lib.utils.files import sha256

SMALL = GeneratorConfig(width=4, stages=1, hidden=4)
LEVELS = 2  # grey levels by which kernels in eight bits may differ: random kernels of few channels are the worst case


def random(seed: int, config: GeneratorConfig = SMALL) -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Generator(config)
    source = torch.Generator().manual_seed(seed)
    for tensor in generator.state_dict().values():
        tensor += 0.05 * torch.randn(tensor.shape, generator=source)
    return generator


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for seed, flavour in enumerate(pretrained.FLAVOURS):
        save_generator(tmp_path / f"tiny-{flavour}.safetensors", random(seed), {"image_size": 16})
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    return tmp_path


def drawn(model: pretrained.Model) -> np.ndarray:
    face = np.random.default_rng(0).integers(60, 200, (16, 16, 3), np.uint8)
    return model.restore([face])[0].astype(float)


def test_a_name_has_two_flavours_and_their_blend(folder: Path) -> None:
    assert pretrained.names() == ["tiny"]
    ends = [pretrained.load_model("tiny", blend) for blend in (0.0, 1.0)]
    alone = pretrained.load_model(folder / "tiny-realism.safetensors")
    assert np.array_equal(drawn(ends[1]), drawn(alone))
    between = pretrained.load_model("tiny", 0.5)
    assert not np.array_equal(drawn(between), drawn(ends[0]))
    assert between.name == "tiny (blend 0.5)" and between.size == 16
    assert between.sha256 == f"{ends[0].sha256} + {ends[1].sha256}"


def test_the_blend_is_of_the_weights() -> None:
    first, second = ({name: v.numpy() for name, v in random(seed).state_dict().items()} for seed in (0, 1))
    for name, value in pretrained.mix(first, second, 0.25).items():
        np.testing.assert_allclose(value, 0.75 * first[name] + 0.25 * second[name], rtol=1e-5, atol=1e-7)
        assert value.dtype == np.float32
    other = random(0, GeneratorConfig(width=8, stages=1, hidden=4)).state_dict()
    with pytest.raises(ValueError, match="one architecture"):
        pretrained.mix(first, {name: v.numpy() for name, v in other.items()}, 0.5)


def test_what_does_not_fit_is_refused(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'other': shipped are tiny; .*; and no file or folder has this path"):
        pretrained.load_model("other")
    with pytest.raises(ValueError, match="one network; only shipped weights"):
        pretrained.load_model(folder / "tiny-realism.safetensors", 0.5)
    with pytest.raises(ValueError, match="blend = 2"):
        pretrained.load_model("tiny", 2)
    (folder / "tiny-realism.safetensors").unlink()
    with pytest.raises(ValueError, match=r"blend = 0\.5: tiny has no flavour realism; expected 0"):
        pretrained.load_model("tiny", 0.5)


def test_shipped_is_smaller_and_draws_nearly_the_same(folder: Path) -> None:
    source = save_generator(folder / "ema.safetensors", random(3), {"image_size": 16, "step": 7})
    path = pretrained.ship(source, "small", "fidelity", {"license": "CC BY-NC-SA 4.0"})
    assert path == folder / "small-fidelity.safetensors"
    assert path.stat().st_size < 0.6 * source.stat().st_size  # both begin with kilobytes of names and config
    generator, info = load_generator(path)
    assert {value.dtype for value in generator.state_dict().values()} == {torch.float32}
    assert info == {"image_size": 16, "step": 7, "license": "CC BY-NC-SA 4.0"}
    assert np.abs(drawn(pretrained.load_model(path)) - drawn(pretrained.load_model(source))).max() <= LEVELS
    (folder / "small-realism.safetensors").write_bytes(path.read_bytes())
    by_onnx = pretrained.load_model("small", 0.5)
    assert isinstance(by_onnx.network, OnnxNetwork) and by_onnx.size == 16
    assert np.abs(drawn(by_onnx) - drawn(pretrained.load_model(path))).max() <= 1


def test_a_network_that_was_trained_on_ships_as_its_difference(folder: Path) -> None:
    made = random(3)
    pretrained.ship(save_generator(folder / "ema.safetensors", made, {"image_size": 16}), "first", "fidelity", {})
    for value in made.state_dict().values():
        value *= 1.02
    source = save_generator(folder / "later.safetensors", made, {"image_size": 16})
    path = pretrained.ship(source, "later", "fidelity", {}, base="first-fidelity")
    by_name, by_file = pretrained.load_model("later"), pretrained.load_model(path)
    assert isinstance(by_name.network, OnnxNetwork)
    assert np.abs(drawn(by_name) - drawn(pretrained.load_model(source))).max() <= LEVELS
    assert np.abs(drawn(by_name) - drawn(by_file)).max() <= 1
    assert not np.array_equal(drawn(by_name), drawn(pretrained.load_model("first")))
    with pytest.raises(ValueError, match="base = 'none': no shipped flavour has this name"):
        pretrained.ship(source, "later", "fidelity", {}, base="none")
    with pytest.raises(ValueError, match="one architecture"):
        other = save_generator(folder / "other.safetensors", random(0, GeneratorConfig(width=8, stages=1, hidden=4)))
        pretrained.ship(other, "later", "fidelity", {}, base="first-fidelity")
    (folder / "first-fidelity.safetensors").unlink()
    for load in (lambda: pretrained.load_model("later"), lambda: load_generator(path)):
        with pytest.raises(FileNotFoundError, match=r"first-fidelity\.safetensors"):
            load()


def test_a_network_of_somebody_is_drawn_from_its_file(tmp_path: Path) -> None:
    made = random(5)
    path = export(made, tmp_path / "face.onnx", 16, info={"image_size": 16})
    model = pretrained.load_model(path, device="auto")
    assert (model.size, model.name, model.sha256) == (16, "face.onnx", sha256(path))
    source = save_generator(tmp_path / "face.safetensors", made, {"image_size": 16})
    assert np.abs(drawn(model) - drawn(pretrained.load_model(source))).max() <= 1
    with pytest.raises(ValueError, match=r"drawn on the CPU in float32; got cpu, bfloat16"):
        pretrained.load_model(path, precision="bfloat16")
    with pytest.raises(ValueError, match="one network; only shipped weights"):
        pretrained.load_model(path, 0.5)


def test_restoring_by_the_shipped_weights_does_not_load_pytorch(tmp_path: Path) -> None:
    images.save_image(tmp_path / "photo.png", data.astronaut())
    code = (
        "import sys; from hifacegan_lib import cli\n"
        "assert cli.main(['restore', 'photo.png', 'out', '--blend', '0.5', '--scale', '1', '--device', 'cpu']) == 0\n"
        "assert not {'torch', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    restored = images.load_image(tmp_path / "out" / "photo.png")
    assert restored.shape == (512, 512, 3) and (restored != data.astronaut()).any()


@pytest.mark.usefixtures("folder")
def test_three_lines_restore_a_photograph() -> None:
    photo = data.astronaut()
    model = pretrained.load_model("tiny", 0.5)
    restored = pretrained.restore(photo, model, detector="haar", strength=0.7)
    assert restored.image.shape == photo.shape and len(restored.faces) == 1
    assert restored.trace["weights"] == "tiny (blend 0.5)" and restored.trace["strength"] == 0.7
    assert np.array_equal(restored.image, pretrained.restore(photo, model, detector="haar", strength=0.7).image)
    with pytest.raises(FileNotFoundError, match="weights 'none': shipped are tiny"):
        pretrained.restore(photo, "none")


def test_a_flavour_is_found_by_its_name(folder: Path) -> None:
    assert pretrained.find("tiny-realism") == folder / "tiny-realism.safetensors"
    assert pretrained.find("tiny") == folder / "tiny-fidelity.safetensors"
    for other in ("", "tin", "../tiny-realism", "tiny-realism.safetensors"):
        assert pretrained.find(other) is None


def test_what_cannot_ship_is_refused(folder: Path) -> None:
    wild = random(4)
    next(iter(wild.parameters())).data[:] = torch.inf
    with pytest.raises(ValueError, match="not finite or exceed half precision"):
        pretrained.ship(save_generator(folder / "wild.safetensors", wild), "small", "fidelity", {})
    with pytest.raises(ValueError, match="flavour = 'sharp': expected fidelity or realism"):
        pretrained.ship(folder / "wild.safetensors", "small", "sharp", {})


def test_a_model_travels_to_other_processes_as_the_words_that_load_it(tmp_path: Path) -> None:
    """There, another file under the same path is refused; a network that came from no file does not travel."""
    path, face = tmp_path / "net.safetensors", np.full((16, 16, 3), 90, np.uint8)
    save_generator(path, random(0), {"image_size": 16})
    model = replace(found := pretrained.load_model(path), card=replace(found.card, size=32))
    packed = pickle.dumps(model)
    again = pickle.loads(packed)
    assert len(packed) < 2000 and again.card == model.card
    assert np.array_equal(again.restore([face])[0], model.restore([face])[0])
    save_generator(path, random(1), {"image_size": 16})
    photos._loaded.cache_clear()  # as in a new process
    with pytest.raises(ValueError, match=r"net\.safetensors: this worker has"):
        pickle.loads(packed)
    with pytest.raises(TypeError, match="odd: a network that was not loaded from a file of weights"):
        pickle.dumps(photos.Model(lambda faces: faces, Card("odd")))


@pytest.mark.usefixtures("folder")
def test_weights_that_name_no_licence_are_refused_where_one_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"tiny.*: no licence that is named; licence = any expects one of Apache-2.0"):
        pretrained.load_model("tiny", licence="any")


def test_the_weights_for_any_purpose_are_the_default_where_a_licence_asks_for_it() -> None:
    free = pretrained.load_model(licence="any")
    assert free.name.startswith("open-256") and free.card.licence == "Apache-2.0"
    assert pretrained.load_model().name.startswith("compact-256")
    with pytest.raises(ValueError, match=r"compact-256.*: CC BY-NC-SA 4.0; licence = any"):
        pretrained.load_model("compact-256", licence="any")


def test_the_command_restores_with_weights_for_any_purpose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images.save_image(tmp_path / "a.png", data.astronaut()[:200, 120:330])
    words = ["restore", str(tmp_path / "a.png"), str(tmp_path / "out"), "--licence", "any", "--detector", "haar"]
    assert cli.main(words) == 0
    assert "weights: open-256" in capsys.readouterr().out
    assert cli.main([*words, "--weights", "compact-256"]) == 1
    assert "CC BY-NC-SA 4.0" in capsys.readouterr().err
