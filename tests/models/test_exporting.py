"""What other programs draw from an exported network is what the generator draws."""

import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from hifacegan_lib import cli
from hifacegan_lib.models import checkpoints
from hifacegan_lib.models.exporting import export
from hifacegan_lib.models.generator import PUBLISHED, Generator, GeneratorConfig
from hifacegan_lib.models.onnx_network import OnnxNetwork

VARIANTS: dict[str, GeneratorConfig] = {
    "ours": GeneratorConfig(width=8, stages=1, patch=2, hidden=8),
    "published": dataclasses.replace(PUBLISHED["hifacegan"], width=4, stages=2),
}


def generator(config: GeneratorConfig) -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Generator(config).eval()
        with torch.no_grad():
            made.draw.weight.normal_(0, 0.1)
    return made


def faces(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def drawn(path: Path, image: torch.Tensor) -> np.ndarray:
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(None, {"image": image.numpy()})[0]
    with torch.no_grad():
        return torch.export.load(path).module()(image).numpy()


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize("name", list(VARIANTS))
def test_other_programs_draw_the_same_at_any_size(name: str, suffix: str, tmp_path: Path) -> None:
    made = generator(VARIANTS[name])
    path = export(made, tmp_path / f"face{suffix}", 64)
    for shape in ((1, 3, 64, 64), (3, 3, 96, 128)):
        image = faces(*shape)
        with torch.no_grad():
            expected = made(image).numpy()
        assert expected.std() > 0.01
        assert np.abs(drawn(path, image) - expected).max() < 1e-3
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if suffix == ".onnx":  # ours draws it at sizes that its blocks do not divide
        odd, network = faces(2, 3, 70, 41), OnnxNetwork(path)
        with torch.no_grad():
            assert np.abs(network(odd.numpy()) - made(odd).numpy()).max() < 1e-3
        assert network.block == made.config.block and network.fixed_size is None


def test_a_fixed_size_is_fixed(tmp_path: Path) -> None:
    made = generator(VARIANTS["ours"])
    path = export(made, tmp_path / "face.pt2", 32, fixed=True)
    with torch.no_grad():
        assert np.abs(drawn(path, faces(4, 3, 32, 32)) - made(faces(4, 3, 32, 32)).numpy()).max() < 1e-3
    with pytest.raises(AssertionError, match="32"):
        drawn(path, faces(1, 3, 64, 64))


def test_what_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = generator(VARIANTS["ours"])
    with pytest.raises(ValueError, match=r"face\.pth: the suffix tells the format, \.onnx or \.pt2"):
        export(made, tmp_path / "face.pth")
    with pytest.raises(ValueError, match="size 62: exported networks take sides that are multiples of 4 pixels"):
        export(made, tmp_path / "face.onnx", 62)
    with pytest.raises(ValueError, match=r"size 4: .* larger than one block of 4 pixels"):
        export(made, tmp_path / "face.onnx", 4)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"onnx and onnxscript: pip install hifacegan-workbench\[export\]"):
        export(made, tmp_path / "face.onnx", 64)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_a_checkpoint_s_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = generator(VARIANTS["ours"])
    checkpoint = checkpoints.save_generator(tmp_path / "ema.safetensors", made, {"image_size": 30})
    out = tmp_path / "face.pt2"
    assert cli.main(["export", str(checkpoint), str(out)]) == 0
    assert f"multiples of {made.config.block} pixels" in capsys.readouterr().out
    image = faces(1, 3, 40, 40)
    with torch.no_grad():
        assert np.abs(drawn(out, image) - made(image).numpy()).max() < 1e-3
    assert cli.main(["export", str(checkpoint), str(out)]) == 1
    assert "exists already; --overwrite replaces it" in capsys.readouterr().err
    assert cli.main(["export", str(checkpoint), str(out), "--size", "62", "--overwrite"]) == 1
