import json
from pathlib import Path

import numpy as np
import pytest

from hifacegan_lib import checkpoints, cli, images
from hifacegan_lib.generator import Generator, GeneratorConfig

COMMANDS = ["run", "prepare", "degrade", "restore", "weights"]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("one.png", "deep/two.jpg"):
        images.save_image(tmp_path / "faces" / name, rng.integers(0, 256, (40, 32, 3), np.uint8))
    return tmp_path / "faces"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert f"hifacegan {command}" in capsys.readouterr().out.split("example")[1]


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    out = capsys.readouterr().out
    assert all(f"\n    {command} " in out for command in COMMANDS)


def test_degrade_writes_files_and_traces_that_replay(faces: Path, tmp_path: Path) -> None:
    from hifacegan_lib.degradations import Trace

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
    assert cli.main(command) == 1
    assert "exists already" in capsys.readouterr().err
    assert cli.main([*command, "--overwrite"]) == 0


def test_restore_uses_the_checkpoints_size(faces: Path, tmp_path: Path) -> None:
    generator = Generator(GeneratorConfig(width=4, stages=1, hidden=4))
    path = checkpoints.save_generator(tmp_path / "g.safetensors", generator, {"image_size": 16})
    out = tmp_path / "restored"
    assert cli.main(["restore", str(faces), str(out), "--checkpoint", str(path), "--device", "cpu"]) == 0
    assert images.load_image(out / "deep" / "two.png").shape == (40, 32, 3)


def test_one_broken_file_fails_the_command_and_not_the_rest(faces: Path, tmp_path: Path) -> None:
    (faces / "broken.png").write_bytes(b"no image")
    path = checkpoints.save_generator(tmp_path / "g.safetensors", Generator(GeneratorConfig(width=4, stages=1)))
    out = tmp_path / "restored"
    assert cli.main(["restore", str(faces), str(out), "--checkpoint", str(path), "--device", "cpu"]) == 1
    assert (out / "one.png").exists() and (out / "deep" / "two.png").exists()


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (["run", "dmeo"], 2, "params/dmeo: no such profile"),
        (["run", "demo", "-p", "stepz", "3"], 2, "-p stepz: no notebook knows this key"),
        (["run", "demo", "-p", "steps", "many"], 2, "steps = 'many'"),
        (["prepare", "-p", "train_size", "0"], 2, "train_size = 0"),
        (["degrade", "nowhere", "out"], 1, "nowhere: no such file or folder"),
        (["degrade", ".", "out", "--recipe", "nope"], 1, "no recipe 'nope'; shipped: "),
        (["restore", ".", "out", "--checkpoint", "none.safetensors"], 1, "none.safetensors: no such checkpoint"),
        (["weights", "fetch", "vgg99"], 1, "vgg99"),
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
    other = [*command[:-1], "data/y"]
    assert cli.main([*other, "-p", "train_size", "5", "-p", "valid_size", "1"]) == 1
    assert "there are 2" in capsys.readouterr().err
