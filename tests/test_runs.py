import json
from pathlib import Path

import pytest

from hifacegan_lib import runs
from hifacegan_lib.params import NOTEBOOKS, ParamsError, Training
from hifacegan_lib.utils import files

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HIFACEGAN_HOME", str(tmp_path))
    return tmp_path


def test_the_root_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (ROOT, ROOT / "notebooks", tmp_path):
        monkeypatch.chdir(folder)
        assert runs.project_root() == ROOT


def test_runs_and_data_lie_in_home(home: Path) -> None:
    assert runs.run_folder("x") == home / "runs" / "x"
    assert runs.data_folder("data/x") == home / "data" / "x"
    assert runs.data_folder(home / "elsewhere") == home / "elsewhere"
    assert runs.shown(home / "runs" / "x") == "runs/x"


def test_a_run_notes_parameters_and_environment(home: Path) -> None:
    folder = runs.open_run(Training())
    assert json.loads((folder / "params.json").read_text()) == Training().model_dump()
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["packages"]["torch"]
    assert folder == home / "runs" / "demo"


def test_other_parameters_are_refused_with_the_difference() -> None:
    runs.open_run(Training())
    runs.open_run(Training(workers=1))  # the pixels do not depend on it
    with pytest.raises(FileExistsError, match=r"steps: 400 saved, 900 requested.*overwrite = true"):
        runs.open_run(Training(steps=900))


def test_overwrite_removes_what_the_run_made_and_nothing_else() -> None:
    folder = runs.open_run(Training())
    (folder / "checkpoints").mkdir()
    (folder / "notes.txt").write_text("mine")
    runs.open_run(Training(steps=900, overwrite=True))
    assert not (folder / "checkpoints").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    assert json.loads((folder / "params.json").read_text())["steps"] == 900


def test_overrides_go_to_every_notebook_that_knows_the_key() -> None:
    chosen = runs.load_profile("demo", {"seed": 7, "steps": 400})
    assert {p.seed for p in chosen.values()} == {7}
    assert chosen["04_training"].model_dump()["steps"] == 400
    assert list(chosen) == list(NOTEBOOKS)


@pytest.mark.parametrize(
    ("profile", "overrides", "says"),
    [
        ("dmeo", {}, "params/dmeo: no such profile; there are: colab, compact256, demo, ffhq512, folder256, "),
        ("demo", {"stepz": 1}, "-p stepz: no notebook knows this key; known keys: .*steps"),
        ("demo", {"steps": -1}, "04_training.yaml: steps = -1: .*allowed: integer, at least 1"),
    ],
)
def test_mistakes_are_found_before_a_kernel_starts(profile: str, overrides: dict, says: str) -> None:
    with pytest.raises(ParamsError, match=says):
        runs.run_profile(profile, overrides)
    with pytest.raises(ParamsError, match="'07_dreams' is no notebook of this profile"):
        runs.run_profile("demo", only=["07_dreams"])


def test_a_profile_may_hold_some_of_the_notebooks() -> None:
    chosen = runs.load_profile("shipped256")
    assert list(chosen) == [name for name in NOTEBOOKS if name != "04_training"]
    with pytest.raises(ParamsError, match=r"params/shipped256 has no 04_training\.yaml; it has: 01_data_preparation"):
        runs.load_notebook("shipped256", "04_training")
    with pytest.raises(ParamsError, match="'04_training' is no notebook of this profile"):
        runs.run_profile("shipped256", only=["04_training"])
    with pytest.raises(ParamsError, match="-p steps: no notebook knows this key"):
        runs.load_profile("shipped256", {"steps": 5})


def test_json_is_strict_and_whole(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"psnr": float("inf")})
    files.write_json(tmp_path / "deep" / "y.json", {"psnr": 1.5})
    assert json.loads((tmp_path / "deep" / "y.json").read_text()) == {"psnr": 1.5}
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["y.json"]
