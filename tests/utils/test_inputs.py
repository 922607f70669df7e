"""No command replaces what it reads, and none takes its own outputs for inputs."""

import hashlib
import json
from pathlib import Path

import pytest
from skimage import data

from hifacegan_lib import cli
from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.data.preparation import prepare
from hifacegan_lib.degradations.traces import find_key
from hifacegan_lib.models import checkpoints
from hifacegan_lib.models.generator import Generator, GeneratorConfig
from hifacegan_lib.utils import images
from hifacegan_lib.utils.inputs import images_in, refuse_inputs

FACE = data.astronaut()[20:220, 120:330]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photos/ with two faces, weights beside it; the working folder is its parent."""
    images.save_image(tmp_path / "photos" / "a.png", FACE)
    images.save_image(tmp_path / "photos" / "deep" / "b.png", portrait(1, 64))
    config = GeneratorConfig(width=4, hidden=4, widest=2)
    checkpoints.save_generator(tmp_path / "net.safetensors", Generator(config), {"image_size": 16})
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def sums(folder: Path) -> dict[str, str]:
    """Every file below a folder with its sha256."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


RESTORE = ["--weights", "net.safetensors", "--detector", "haar", "--device", "cpu"]


def test_restore_into_its_source_folder_leaves_its_results_aside(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, command = sums(photos), ["restore", "photos", "photos/out", *RESTORE]
    assert cli.main(command) == 0
    once = sums(photos)
    assert sorted(once.keys() - before.keys()) == ["out/a.png", "out/deep/b.png", "out/restored.jsonl"]
    capsys.readouterr()
    assert cli.main(command) == 0
    assert "0 of 2 done, 2 done before" in capsys.readouterr().out
    assert sums(photos) == once and before.items() <= once.items()


def test_degrade_into_its_source_folder_leaves_its_results_aside(photos: Path) -> None:
    command = ["degrade", "photos", "photos/out", "--overwrite"]
    assert cli.main(command) == 0
    once = sums(photos)
    assert cli.main(command) == 0
    assert sums(photos) == once
    assert sorted(json.loads((photos / "out" / "traces.json").read_text())) == ["a.png", "deep/b.png"]


@pytest.mark.parametrize(
    "command",
    [
        ["degrade", "photos", "photos", "--overwrite"],
        ["degrade", "photos/a.png", "photos", "--overwrite"],
        ["degrade", "photos", "linked", "--overwrite"],
        ["degrade", "photos", "out", "--recipe", "out/traces.json", "--overwrite"],
        ["restore", "photos", "photos", *RESTORE, "--overwrite"],
        ["restore", "photos", "linked", *RESTORE, "--overwrite"],
        ["restore", "photos", "photos", *RESTORE, "--only-faces"],
        ["restore", "photos/a.png", "photos", *RESTORE, "--overwrite"],
        ["restore", "photos/clip.mp4", "photos", *RESTORE, "--overwrite"],
        ["replay", "trace.json", "photos/a.png", "photos/a.png", "--overwrite"],
        ["replay", "trace.json", "photos/a.png", "trace.json", "--overwrite"],
        ["export", "net.safetensors", "net.safetensors", "--overwrite"],
        ["doctor", "net.safetensors", "--out", "net.safetensors", "--overwrite"],
        ["doctor", "net.safetensors", "--images", "photos", "--out", "photos/a.png", "--overwrite"],
        ["evaluate", "--restored", "photos", "--reference", "photos", "--groups", "out/metrics.csv", "--out", "out"],
    ],
    ids=" ".join,
)
def test_an_output_that_is_an_input_is_refused_before_the_first_write(
    photos: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    root = photos.parent
    (root / "linked").symlink_to(photos, target_is_directory=True)
    (photos / "clip.mp4").write_bytes(b"a film")
    (root / "trace.json").write_text('{"operations": []}')
    (root / "out").mkdir()
    (root / "out" / "traces.json").write_text('{"operations": [], "name": "mine"}')
    (root / "out" / "metrics.csv").write_text("key,light\na,dim\n")
    before = sums(root)
    if command[:1] == ["degrade"] and "--recipe" in command:
        assert cli.main(["recipes", "report"]) == 0
        (root / "out" / "traces.json").write_text(capsys.readouterr().out)
        before = sums(root)
    assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert "would replace the input" in said and "Traceback" not in said
    assert sums(root) == before


def test_two_images_of_one_name_do_not_share_an_output(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images.save_image(photos / "a.jpg", FACE)
    assert cli.main(["degrade", "photos", "out", "--overwrite"]) == 0
    assert "3 degraded by report" in capsys.readouterr().out
    assert sorted(json.loads(Path("out/traces.json").read_text())) == ["a.jpg", "a.png", "deep/b.png"]
    assert sorted(sums(Path("out"))) == ["a.jpg.png", "a.png", "deep/b.png", "traces.json"]


def test_a_link_to_an_input_is_that_input(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    refuse_inputs([tmp_path / "c.png"], [tmp_path / "a.png", tmp_path / "gone.png"])
    with pytest.raises(ValueError, match=r"b\.png: the output would replace the input .*a\.png"):
        refuse_inputs([tmp_path / "b.png"], [tmp_path / "a.png"])


def test_only_what_lies_below_the_results_folder_is_left_out(photos: Path) -> None:
    names = [path.relative_to(photos).as_posix() for path in images_in(photos, photos / "deep")[0]]
    assert names == ["a.png"]
    for out in (photos, photos.parent, photos.parent / "elsewhere", photos / "de"):
        assert len(images_in(photos, out)[0]) == 2


def test_a_trace_s_key_is_matched_by_whole_parts_of_the_path() -> None:
    keys = ["1.png", "11.png", "deep/2.png", "2.png"]
    assert find_key("g/11.png", keys) == "11.png" and find_key("1.png", keys) == "1.png"
    assert find_key("other/2.png", keys) == "2.png"
    with pytest.raises(ValueError, match=r"several traces of '2\.png'; --key names one of deep/2\.png, 2\.png$"):
        find_key("deep/2.png", keys)
    with pytest.raises(ValueError, match=r"no trace of '111\.png'; --key names one of 1\.png, 11\.png"):
        find_key("g/111.png", keys)
    with pytest.raises(ValueError, match=r"no trace of '2\.png'; --key names one of far/2\.png$"):
        find_key("2.png", ["1.png", "far/2.png"])


def test_replay_takes_no_other_image_s_trace(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images.save_image(photos / "11.png", FACE)
    images.save_image(photos / "1.png", FACE)
    assert cli.main(["degrade", "photos/1.png", "out"]) == 0
    assert cli.main(["replay", "out/traces.json", "photos/11.png", "again.png"]) == 1
    assert "no trace of '11.png'; --key names one of 1.png" in capsys.readouterr().err
    assert not Path("again.png").exists()


def test_prepare_does_not_remove_the_images_that_it_is_to_list(tmp_path: Path) -> None:
    drawn = {"synthetic_size": 32, "train_size": 3, "valid_size": 1, "progress": False}
    prepare(source="synthetic", data_dir=tmp_path, **drawn)
    before, sizes = sums(tmp_path), {"train_size": 2, "valid_size": 1, "progress": False}
    with pytest.raises(ValueError, match="images: overwrite would delete its images"):
        prepare(source="folder", source_path=tmp_path / "images", data_dir=tmp_path, overwrite=True, **sizes)
    assert sums(tmp_path) == before
