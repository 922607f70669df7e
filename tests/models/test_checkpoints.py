import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hifacegan_lib.models import checkpoints
from hifacegan_lib.models.generator import Generator, GeneratorConfig

CONFIG = GeneratorConfig(width=4, stages=1, hidden=4)


def test_a_generator_comes_back_with_its_config_and_info(tmp_path: Path) -> None:
    generator = Generator(CONFIG)
    path = checkpoints.save_generator(tmp_path / "deep" / "g.safetensors", generator, {"image_size": 64})
    loaded, info = checkpoints.load_generator(path)
    assert loaded.config == CONFIG
    assert info == {"image_size": 64}
    assert not loaded.training
    assert all(torch.equal(a, b) for a, b in zip(generator.parameters(), loaded.parameters(), strict=True))
    assert [p.name for p in path.parent.iterdir()] == ["g.safetensors"]


def test_spectral_norm_comes_back_too(tmp_path: Path) -> None:
    generator = Generator(dataclasses.replace(CONFIG, spectral_norm=True, skip=False)).eval()
    loaded, _ = checkpoints.load_generator(checkpoints.save_generator(tmp_path / "g.safetensors", generator))
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(loaded(image), generator(image))


def test_missing_broken_and_foreign_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        checkpoints.load_generator(tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors here")
    with pytest.raises(ValueError, match=r"broken\.safetensors: not a safetensors file"):
        checkpoints.load_generator(tmp_path / "broken.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match=r"foreign\.safetensors: the metadata's format"):
        checkpoints.load_generator(tmp_path / "foreign.safetensors")


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    description = {"format": checkpoints.FORMAT, "config": dataclasses.asdict(CONFIG), "info": {}}
    save_file({"head.weight": torch.zeros(1)}, tmp_path / "g.safetensors", {"hifacegan": json.dumps(description)})
    with pytest.raises(ValueError, match="the weights do not fit the config"):
        checkpoints.load_generator(tmp_path / "g.safetensors")


class Own(torch.nn.Module):
    """A network of the reader's own with a parameter ``norm.scale``."""

    def __init__(self, scale: float = 0.0) -> None:
        super().__init__()
        self.norm = torch.nn.Module()
        self.norm.scale = torch.nn.Parameter(torch.tensor(scale, dtype=torch.float64))


def test_a_parameter_called_scale_is_no_scale_of_a_packed_kernel(tmp_path: Path) -> None:
    path = checkpoints.save_generator(tmp_path / "own.safetensors", Own(1 / 3))
    loaded, _ = checkpoints.load_generator(path, network=Own())
    assert loaded.norm.scale.item() == 1 / 3  # in float64, as it was saved


def save_step(folder: Path, step: int, keep: int = 2) -> Path:
    generator = Generator(CONFIG)
    return checkpoints.save_training(folder, step, generator, generator, {"x": torch.ones(2)}, {"step": step}, keep)


def test_only_the_newest_stay(tmp_path: Path) -> None:
    for step in (1, 20, 300):
        save_step(tmp_path, step)
    assert [p.name for p in checkpoints.list_complete(tmp_path)] == ["step_000020", "step_000300"]
    assert checkpoints.load_state(tmp_path / "step_000300")["step"] == 300


def test_steps_count_as_numbers_however_long_they_are(tmp_path: Path) -> None:
    for step in (999_500, 1_000_000, 1_000_500):
        assert (save_step(tmp_path, step) / "state.pt").is_file()
    (tmp_path / "step_old").mkdir()
    assert [p.name for p in checkpoints.list_complete(tmp_path)] == ["step_1000000", "step_1000500"]
    assert save_step(tmp_path, 7).is_dir()  # what was asked for stays, whatever lies there


def test_a_half_written_checkpoint_is_never_taken(tmp_path: Path) -> None:
    whole = save_step(tmp_path, 10)
    (tmp_path / ".step_000020.partial").mkdir()
    (tmp_path / ".step_000020.partial" / "state.pt").write_bytes(b"half")
    assert checkpoints.list_complete(tmp_path) == [whole]
    save_step(tmp_path, 20)
    assert [p.name for p in checkpoints.list_complete(tmp_path)] == ["step_000010", "step_000020"]


def test_the_newest_average_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        checkpoints.latest_generator(tmp_path)
    save_step(tmp_path / "checkpoints", 7)
    assert checkpoints.latest_generator(tmp_path) == tmp_path / "checkpoints" / "step_000007" / "ema.safetensors"


def test_state_is_read_without_running_code(tmp_path: Path) -> None:
    folder = save_step(tmp_path, 1)
    torch.save({"step": Path("a path is no plain value")}, folder / "state.pt")
    with pytest.raises(Exception, match="Weights only load failed"):
        checkpoints.load_state(folder)


def test_differences_have_dotted_keys() -> None:
    saved, asked = {"a": {"b": [1, 2], "c": 3}, "d": 4}, {"a": {"b": [1, 5], "c": 3}, "e": 4}
    assert checkpoints.differences(saved, asked) == [
        "a.b.1: 2 saved, 5 requested",
        "e: 'nothing' saved, 4 requested",
        "d: 4 saved, 'nothing' requested",
    ]


def test_a_cut_file_s_message_has_the_reason(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(4)}, tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"cut.pth: not a file with only tensors \(PytorchStreamReader failed"):
        checkpoints.read_foreign(tmp_path / "cut.pth")
