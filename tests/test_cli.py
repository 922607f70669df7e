import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hifacegan_lib import cli
from hifacegan_lib.degradations.crop import draw_frame
from hifacegan_lib.degradations.recipes import load_recipe, recipe_names
from hifacegan_lib.models import checkpoints
from hifacegan_lib.models.generator import Generator, GeneratorConfig
from hifacegan_lib.training import perceptual
from hifacegan_lib.utils import images

COMMANDS = [name for name in cli.app if not name.startswith("-")]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("one.png", "deep/two.jpg"):
        images.save_image(tmp_path / "faces" / name, rng.integers(0, 256, (40, 32, 3), np.uint8))
    return tmp_path / "faces"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    assert f"hifacegan {command}" in capsys.readouterr().out.split("example")[1]


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(COMMANDS) == 17 and cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\u2502 {command} " in out for command in COMMANDS)


def test_degrade_writes_files_and_traces_that_replay(faces: Path, tmp_path: Path) -> None:
    from hifacegan_lib.degradations.recipes import Trace

    out = tmp_path / "damaged"
    assert cli.main(["degrade", str(faces), str(out), "--recipe", "face_renov", "--seed", "3"]) == 0
    traces = json.loads((out / "traces.json").read_text())
    assert sorted(traces) == ["deep/two.jpg", "one.png"]
    again = Trace.from_json(json.dumps(traces["one.png"])).apply(images.load_image(faces / "one.png"))
    assert np.array_equal(again, images.load_image(out / "one.png"))


def test_degrade_squares_and_resizes_first(faces: Path, tmp_path: Path) -> None:
    assert cli.main(["degrade", str(faces / "one.png"), str(tmp_path / "out"), "--size", "16"]) == 0
    assert images.load_image(tmp_path / "out" / "one.png").shape == (16, 16, 3)


def test_degrade_leaves_what_is_there_and_says_so(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["degrade", str(faces), str(tmp_path / "out")]
    assert cli.main(command) == 0
    assert cli.main(command) == 0
    assert "0 degraded by report" in (said := capsys.readouterr().out) and "2 done before" in said
    assert cli.main([*command, "--seed", "1"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert cli.main([*command, "--seed", "1", "--overwrite"]) == 0


def test_a_later_call_keeps_the_earlier_traces(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "damaged"
    assert cli.main(["degrade", str(faces / "one.png"), str(out)]) == 0
    assert cli.main(["degrade", str(faces / "deep"), str(out)]) == 0
    assert sorted(json.loads((out / "traces.json").read_text())) == ["one.png", "two.jpg"]


@pytest.mark.parametrize("options", [[], ["--size", "16"]])
def test_replay_gives_the_pixels_of_every_degraded_file_again(faces: Path, tmp_path: Path, options: list[str]) -> None:
    out = tmp_path / "damaged"
    assert cli.main(["degrade", str(faces), str(out), "--recipe", "face_renov", "--seed", "3", *options]) == 0
    for name in ("one.png", "deep/two.jpg"):
        again, first = tmp_path / "again.png", (out / name).with_suffix(".png")
        assert cli.main(["replay", str(out / "traces.json"), str(faces / name), str(again), "--overwrite"]) == 0
        np.testing.assert_array_equal(images.load_image(again), images.load_image(first))


def test_replay_in_another_process_of_a_loaders_pair(faces: Path, tmp_path: Path) -> None:
    source = images.load_image(faces / "one.png")
    frame = draw_frame(40, 32, 24, crop_min=0.5, flip_probability=1, seed=5)
    trace = load_recipe("realesrgan").sample(7, grid=24).with_frame(frame)
    (tmp_path / "trace.json").write_text(trace.to_json())
    command = ["replay", str(tmp_path / "trace.json"), str(faces / "one.png"), str(tmp_path / "again.png")]
    done = subprocess.run([sys.executable, "-m", "hifacegan_lib.cli", *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert trace.describe() in done.stdout
    np.testing.assert_array_equal(images.load_image(tmp_path / "again.png"), trace.apply(frame.apply(source)))


def test_replay_names_what_is_missing(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, image = tmp_path / "damaged", str(faces / "one.png")
    assert cli.main(["degrade", str(faces), str(out)]) == 0
    traces, again = str(out / "traces.json"), tmp_path / "again.png"
    assert cli.main(["replay", traces, image, str(again), "--key", "three.png"]) == 1
    assert "no trace of 'three.png'" in capsys.readouterr().err
    small = tmp_path / "one.png"
    images.save_image(small, np.zeros((4, 4, 3), np.uint8))
    assert cli.main(["degrade", str(faces), str(out), "--size", "16", "--overwrite"]) == 0
    assert cli.main(["replay", traces, str(small), str(again)]) == 1
    assert "expected the image that it was cut from" in capsys.readouterr().err
    assert not again.exists()
    images.save_image(again, np.zeros((4, 4, 3), np.uint8))
    assert cli.main(["replay", traces, image, str(again)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_recipes_lists_all_and_prints_one_to_begin_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipes"]) == 0
    assert all(line.split()[0] in recipe_names() for line in capsys.readouterr().out.splitlines())
    assert cli.main(["recipes", "--schema"]) == 0
    assert "face" in str(json.loads(capsys.readouterr().out))
    assert cli.main(["recipes", "face_renov"]) == 0
    own = tmp_path / "own.json"
    own.write_text(capsys.readouterr().out)
    assert load_recipe(own) == load_recipe("face_renov")
    own.write_text(own.read_text().replace("0.25", "2.5"))
    assert cli.main(["recipes", str(own)]) == 1
    assert "own.json: operations[3].ratio = [0.125, 2.5]" in capsys.readouterr().err


def test_a_glob_is_a_value_though_yaml_cannot_read_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "demo", "-p", "train_glob", "**", "-p", "train_size", "0"]) == 2
    assert "train_size = 0" in capsys.readouterr().err


def test_restore_uses_the_checkpoints_size(faces: Path, tmp_path: Path) -> None:
    generator = Generator(GeneratorConfig(width=4, stages=1, hidden=4))
    path = checkpoints.save_generator(tmp_path / "g.safetensors", generator, {"image_size": 16})
    out = tmp_path / "restored"
    command = ["restore", str(faces), str(out), "--aligned", "--weights", str(path), "--device", "cpu"]
    assert cli.main(command) == 0
    assert images.load_image(out / "deep" / "two.jpg").shape == (40, 32, 3)


def test_one_broken_file_fails_the_command_and_not_the_rest(faces: Path, tmp_path: Path) -> None:
    (faces / "broken.png").write_bytes(b"no image")
    path = checkpoints.save_generator(tmp_path / "g.safetensors", Generator(GeneratorConfig(width=4, stages=1)))
    out = tmp_path / "restored"
    command = ["restore", str(faces), str(out), "--detector", "haar", "--weights", str(path), "--device", "cpu"]
    assert cli.main(command) == 1
    assert (out / "one.png").exists() and (out / "deep" / "two.jpg").exists()


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (["run", "dmeo"], 2, "params/dmeo: no such profile"),
        (["run", "demo", "-p", "stepz", "3"], 2, "-p stepz: no notebook knows this key"),
        (["run", "demo", "-p", "steps", "many"], 2, "steps = 'many'"),
        (["prepare", "-p", "train_size", "0"], 2, "train_size = 0"),
        (["prepare", "--side", "300"], 2, "--side 300: of the faces in shards; it needs --shards"),
        (["degrade", "nowhere", "out"], 1, "nowhere: no such file or folder"),
        (["degrade", ".", "out", "--recipe", "nope"], 1, "no recipe 'nope'; shipped: "),
        (["restore", ".", "out", "--checkpoint", "none.safetensors"], 1, "no file or folder has this path"),
        (["doctor", "none.pth"], 1, "none.pth: no such checkpoint"),
        (["export", "none.pth", "face.onnx"], 1, "none.pth: no such checkpoint"),
        (["weights", "fetch", "vgg99"], 1, "vgg99"),
        (["weights", "convert", "one.pth"], 1, "1 files named, expected SOURCE.pth TARGET.safetensors"),
        (["weights", "convert", "none.pth", "none.safetensors"], 1, "none.pth: no such checkpoint"),
    ],
)
def test_mistakes_are_named_on_stderr_with_their_exit_code(
    command: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(command) == code
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err


def test_prepare_makes_a_manifest(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HIFACEGAN_HOME", str(tmp_path / "home"))
    command = ["prepare", "-p", "source", "folder", "-p", "source_path", str(faces), "-p", "data_dir", "data/x"]
    assert cli.main([*command, "-p", "train_size", "1", "-p", "valid_size", "1"]) == 0
    assert (tmp_path / "home" / "data" / "x" / "manifest.json").exists()
    assert "1 train, 1 valid, 0 rejected" in capsys.readouterr().out
    (faces / "one.png").write_bytes((faces / "one.png").read_bytes() + b" ")
    again = [*command, "-p", "train_size", "1", "-p", "valid_size", "1", "--all"]
    assert cli.main(again) == 1
    assert "1 files differ from the manifest" in capsys.readouterr().err
    other = [*command[:-1], "data/y"]
    assert cli.main([*other, "-p", "train_size", "5", "-p", "valid_size", "1"]) == 1
    assert "there are 2" in capsys.readouterr().err


def test_weights_convert_says_what_it_wrote_and_overwrites_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shapes = {name: tensor.shape for name, tensor in perceptual.empty_first_layers().state_dict().items()}
    torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "theirs.pth")
    target = tmp_path / "first.safetensors"
    command = ["weights", "convert", str(tmp_path / "theirs.pth"), str(target)]
    assert cli.main(command) == 0
    assert (
        capsys.readouterr().out == f"{target}: VGG-19 up to relu3_1, 2.1 MB; the parameter perceptual_file takes it\n"
    )
    assert perceptual.load(target)
    assert cli.main(command) == 1
    assert "first.safetensors: exists already" in capsys.readouterr().err
