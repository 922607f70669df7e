import csv
import io
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from scipy import stats

from hifacegan_lib import cli, sweep_cells, sweep_tables, sweeps
from hifacegan_lib.params import ParamsError
from hifacegan_lib.reports.run_log import strip_faces
from hifacegan_lib.sweeps import Sweep
from hifacegan_lib.utils import images, jobs
from hifacegan_lib.utils.statistics import t_interval

ROOT = Path(__file__).parents[1]
DATA = "source: synthetic\nsynthetic_size: 16\ntrain_size: 2\nvalid_size: 1\n"
CELLS = (
    'suppression = ""\nseed = -1\nsteps = 0\nrun_name = ""',
    "import json, os, pathlib\n"
    'home = pathlib.Path(os.environ["HIFACEGAN_HOME"])\n'
    'folder = home / "runs" / run_name\n'
    'assert (home / "data" / "demo" / "manifest.json").exists()\n'
    'print("steps", steps, "threads", os.environ.get("OMP_NUM_THREADS"))',
    'assert suppression != "conv" or (folder / "mended").exists(), "conv is\\nbroken"',
    'numbers = {"psnr": 20.0 + seed, "steps": steps, "device": "cpu"}\n'
    '(folder / "result.json").write_text(json.dumps(numbers))',
)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose notebook 04 takes no time."""
    shutil.copytree(ROOT / "params" / "demo", tmp_path / "params" / "demo")
    (tmp_path / "params" / "demo" / "01_data_preparation.yaml").write_text(DATA)
    cells = [nbformat.v4.new_code_cell(text) for text in CELLS]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    (tmp_path / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "notebooks" / "04_training.ipynb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HIFACEGAN_HOME", raising=False)
    return tmp_path


def planned(*choices: str, name: str = "s", notebook: str = "04_training") -> tuple[Sweep, list[str]]:
    return sweeps.plan(notebook, "demo", sweeps.read_grid(choices), name)


def pretend(sweep: Sweep, cell: str, result: Mapping[str, Any] | None, seconds: float = 1.0) -> None:
    """A cell as its run would leave it; no result: it failed."""
    folder = sweep.folder / cell
    folder.mkdir(parents=True, exist_ok=True)
    error = {"cell": 3, "ename": "ValueError", "evalue": "too\nlong"}
    marker = {"status": "done", "seconds": seconds} if result is not None else {"seconds": seconds, "error": error}
    (folder / "cell.json").write_text(json.dumps(marker))
    if result:
        (folder / "result.json").write_text(json.dumps(result))


def test_a_grid_is_read_as_yaml() -> None:
    read = sweeps.read_grid(["suppression=lip,conv", "lr_generator=0.001,2.0e-3", "skip=true", 'photo="a,b"', "seed=1"])
    assert read == {
        "suppression": ["lip", "conv"],
        "lr_generator": [0.001, 0.002],
        "skip": [True],
        "photo": ["a,b"],
        "seed": [1],
    }


@pytest.mark.parametrize("texts", [["seed"], ["=1"], ["seed="], ["seed=1,,2"], ["train_glob=**"]])
def test_what_is_no_grid_is_named(texts: list[str]) -> None:
    with pytest.raises(ParamsError, match=r"expected KEY=V1,V2,\.\.\. with values as YAML reads them"):
        sweeps.read_grid(texts)


@pytest.mark.parametrize(("texts", "says"), [(["seed=1", "seed=2"], "seed is given"), (["seed=1,1"], "a value is")])
def test_nothing_is_given_twice(texts: list[str], says: str) -> None:
    with pytest.raises(ParamsError, match=f"{says} .*twice|{says} given twice"):
        sweeps.read_grid(texts)


def test_cells_are_the_product_of_what_varies() -> None:
    sweep, cells = planned("suppression=lip,conv", "width=8", "seed=0,1")
    assert cells == [f"suppression-{name}_seed-{seed}" for name in ("lip", "conv") for seed in (0, 1)]
    parameters = sweep.parameters("suppression-conv_seed-1")
    assert (parameters["suppression"], parameters["seed"], parameters["width"]) == ("conv", 1, 8)
    assert parameters["run_name"] == "s/suppression-conv_seed-1"
    assert not sweep.folder.exists(), "planning writes nothing"


def test_different_values_have_different_folders() -> None:
    texts = ["a/b.json", "a-b.json", "a b.json", "", "x" * 60, "x" * 61]
    names = [sweeps.label({"recipe": text, "skip": True}) for text in texts]
    assert len(set(names)) == len(texts)
    assert sweeps.label({"recipe": "report", "skip": True}) == "recipe-report_skip-true"
    assert all("/" not in name and len(name) < 100 for name in names)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["07_dreams", "demo", "-p", "seed=0,1"], "'07_dreams' is no notebook; there are: 01_data_preparation"),
        (["04_training", "dmeo", "-p", "seed=0,1"], "params/dmeo: no such profile; there are: demo"),
        (["04_training", "demo", "-p", "stepz=1,2"], "-p stepz: 04_training has no such key to choose; it has: "),
        (["04_training", "demo", "-p", "photo=a,b"], "-p photo: 04_training has no such key to choose"),
        (["04_training", "demo", "-p", "run_name=a,b"], "-p run_name: 04_training has no such key to choose"),
        (["04_training", "demo", "-p", "suppression=lip,pooling"], "-p suppression=pooling: suppression = 'pooling': "),
        (["04_training", "demo", "-p", "steps=100,900"], "decay_steps = 200 must not exceed steps = 100"),
        (["04_training", "demo", "-p", "steps=900"], "nothing varies: give a key several values"),
        (["04_training", "demo", "-p", "seed=0,1", "--name", "../up"], "--name: run_name = '../up'"),
        (["04_training", "demo", "-p", "seed=0,1", "--jobs", "0"], "--jobs 0: expected at least 1"),
        (["04_training", "demo", "--collect"], "runs/demo-sweep/sweep.json: no such sweep"),
    ],
)
def test_mistakes_are_found_before_anything_runs(
    arguments: list[str], says: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sweep", *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not (project / "runs").exists() and not (project / "data").exists()


def test_a_sweep_grows_but_does_not_change(project: Path) -> None:
    first, _ = planned("suppression=lip,conv", "seed=0,1")
    first.save()
    grown, cells = planned("suppression=inner_product", "seed=1,2", "workers=2")
    assert cells == ["suppression-inner_product_seed-1", "suppression-inner_product_seed-2"]
    assert list(grown.cells) == [*first.cells, *cells]
    assert grown.grid == {"suppression": ["lip", "conv", "inner_product"], "seed": [0, 1, 2]}
    _, cells = planned("seed=0")
    assert cells == ["suppression-inner_product_seed-0"], "the profile's value of what varies there"
    with pytest.raises(ParamsError, match=r"runs/s holds another sweep \(width: 24 saved, 8 requested\)"):
        planned("seed=0", "width=8")
    with pytest.raises(ParamsError, match="width does not vary"):
        planned("seed=0", "width=8,16")
    with pytest.raises(ParamsError, match="runs/s is a sweep of 04_training demo; choose another"):
        planned("seed=0", notebook="05_evaluation")
    (project / "runs" / "run").mkdir()
    (project / "runs" / "run" / "params.json").write_text("{}")
    with pytest.raises(ParamsError, match="runs/run holds a run, no sweep"):
        planned("seed=0,1", name="run")


def test_numbers_show_two_digits_of_their_interval() -> None:
    def shown(*values: float) -> str:
        found = t_interval(np.array(values))
        return sweep_tables.number(found.mean, found.high)

    assert shown(1.0, 3.0) == "2 ± 13"  # t(0.975, 1) = 12.7
    assert shown(25.93, 25.95, 25.97) == "25.950 ± 0.050"
    assert shown(570544, 570544) == "570,544"
    assert shown() == "-"
    assert sweep_tables.number(0.5, sign="+") == "+0.5"


def test_the_table_compares_over_seeds_and_seed_by_seed() -> None:
    sweep, _ = planned("suppression=lip,conv", "seed=0,1,2")
    sweep.save()
    noise = {0: -1.0, 1: 0.5, 2: 2.0}
    for cell, values in sweep.cells.items():
        gain = {"lip": 0.0, "conv": 1.0}[values["suppression"]] + 0.1 * (values["seed"] == 2)
        pretend(sweep, cell, {"psnr": 25 + noise[values["seed"]] + gain, "steps": 40, "device": "cpu"}, seconds=7)
    frame = sweep.frame()
    assert list(frame["suppression"]) == ["lip", "conv"] and list(frame["done"]) == [3, 3]
    low, high = stats.t.interval(0.95, 2, 79.6 / 3, stats.sem([25.0, 26.5, 28.1]))
    np.testing.assert_allclose(frame.loc[1, ["psnr", "psnr_low", "psnr_high"]].astype(float), [79.6 / 3, low, high])
    less = sweep.differences()
    assert less[["suppression", "less", "seeds"]].values.tolist() == [["conv", "lip", 3]]
    assert less["psnr"][0] == pytest.approx(1.0)
    alone, pair = ((x["psnr_high"] - x["psnr_low"]).iloc[-1] for x in (frame, less))
    assert pair < alone / 100, "a seed's effect on both cancels"
    assert sweep_tables.constants(sweep) == {"steps": 40, "seconds": 7}


def test_a_metric_under_the_name_of_what_varies_is_the_value_that_varies() -> None:
    sweep, cells = planned("steps=200,400")
    for cell in cells:
        pretend(sweep, cell, {"psnr": 25.0, "steps": sweep.cells[cell]["steps"]})
    assert list(sweep.frame()["steps"]) == [200, 400]
    assert next(iter(sweep_tables.texts(sweep).values())).columns.tolist() == ["steps", "done"]


def test_seeds_alone_are_one_row() -> None:
    sweep, cells = planned("seed=0,1,2")
    pretend(sweep, cells[0], {"psnr": 25.0})
    pretend(sweep, cells[1], {"psnr": 26.0, "ssim": 0.5})
    frame = sweep.frame()
    assert frame[["done", "not run", "psnr"]].values.tolist() == [[2, 1, 25.5]]
    assert sweep.differences().empty
    assert "ssim: only 1 of 2 finished cells have it" in sweep_tables.notes(sweep)
    assert [path.name for path in sweep_tables.write(sweep)] == ["table.md", "table.csv", "table.json"]


def test_the_table_is_shown_in_four_forms(capsys: pytest.CaptureFixture[str]) -> None:
    sweep, cells = planned("suppression=lip,conv", "seed=0,1,2")
    sweep.save()
    for cell, psnr in zip(cells[:4], (25.0, 25.4, None, 24.0), strict=True):
        pretend(sweep, cell, {"psnr": psnr, "steps": 40} if psnr else None)
    assert cli.main(["sweep", "04_training", "demo", "--name", "s", "--collect"]) == 1
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines()]
    assert ["lip", "2", "1", "0", "25.2", "±", "2.5"] in rows and ["conv", "1", "0", "2", "24"] in rows
    assert "failed: suppression-lip_seed-2: notebook cell 3: ValueError: too\n" in text
    assert "not run: suppression-conv_seed-1, suppression-conv_seed-2" in text
    assert "seed by seed" not in text, "one common seed has no interval"
    assert "| lip | 2 | 1 | 0 | 25.2 ± 2.5 |" in (sweep.folder / "table.md").read_text()
    first, second = csv.DictReader(io.StringIO((sweep.folder / "table.csv").read_text()))
    assert (first["suppression"], first["psnr"], second["psnr"], second["psnr_low"]) == ("lip", "25.2", "24.0", "")
    found = json.loads((sweep.folder / "table.json").read_text())
    assert [(row["done"], row["psnr"], row["steps"]) for row in found["rows"]] == [(2, 25.2, 40), (1, 24.0, 40)]
    assert found["rows"][1]["psnr_low"] is None and found["differences"] == []
    assert [row["status"] for row in found["open"]] == ["failed", "not run", "not run"]
    assert not (sweep.folder / "grid.png").exists(), "these runs left no strips"


def strip(seed: int, side: int = 16, count: int = 3) -> tuple[list[images.Pixels], images.Pixels]:
    rng = np.random.default_rng(seed)
    faces = [rng.integers(0, 256, (side, side, 3), np.uint8) for _ in range(3 * count)]
    return faces, images.grid(faces, count)


@pytest.mark.parametrize(("side", "count"), [(16, 3), (32, 1), (17, 8)])
def test_a_strip_is_cut_where_it_was_joined(side: int, count: int) -> None:
    faces, picture = strip(0, side, count)
    cut = strip_faces(picture)
    assert list(cut) == ["degraded", "restored", "clean"]
    for face, again in zip(faces, [face for row in cut.values() for face in row], strict=True):
        np.testing.assert_array_equal(face, again)


def test_pictures_show_degraded_once_where_it_is_the_same(project: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        images.save_image(project / name / "figures" / "step_000010.png", strip(5)[1])
        images.save_image(project / name / "figures" / "step_000020.png", strip(seed)[1])
    same = sweep_tables.pictures({name: [project / "none", project / name] for name in ("one", "two")})
    assert same is not None
    assert [axis.get_ylabel() for axis in same.axes[::3]] == ["degraded", "one", "two", "clean"]
    np.testing.assert_array_equal(same.axes[3].images[0].get_array(), strip(0)[0][3])
    images.save_image(project / "one" / "figures" / "step_1000000.png", strip(7)[1])
    late = sweep_tables.pictures({"one": [project / "one"]})
    assert late is not None
    np.testing.assert_array_equal(late.axes[3].images[0].get_array(), strip(7)[0][3])
    (project / "one" / "figures" / "step_1000000.png").unlink()
    others = sweep_tables.pictures({name: [project / name] for name in ("one", "other")})
    assert others is not None
    labels = [axis.get_ylabel() for axis in others.axes[::3]]
    assert labels == ["degraded", "one", "degraded\nother", "other", "clean"]
    assert sweep_tables.pictures({"none": [project / "none"]}) is None


def test_a_combinations_name_is_short_and_clear() -> None:
    assert sweep_tables.combination_name({"suppression": "inner_product", "width": 16}) == "inner product, width 16"
    assert sweep_tables.combination_name({"skip": True, "photo": ""}) == "skip True, photo "
    assert sweep_tables.combination_name({}) == "restored"


def test_curves_have_a_line_for_each_run_and_their_mean(project: Path) -> None:
    for seed in (0, 1):
        lines = [{"step": n, "seconds": n * 0.5, "psnr": 20 + n + seed} for n in range(1, 4 + seed)]
        text = "\n".join(map(json.dumps, [{"step": 0, "l1": 1.0}, *lines]))
        (project / str(seed)).mkdir()
        (project / str(seed) / "metrics.jsonl").write_text(text + '\n{"step": 4, "ps')
    figure = sweep_tables.curves({"lip": [project / "0", project / "1"], "none": [project / "2"]})
    assert figure is not None and [axis.get_xlabel() for axis in figure.axes] == ["step", "seconds"]
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [3, 4, 3]
    np.testing.assert_allclose(figure.axes[1].lines[2].get_ydata(), [21.5, 22.5, 23.5])
    assert sweep_tables.curves({"none": [project / "2"]}) is None


def test_a_sweep_runs_goes_on_and_tries_again(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "sweep",
        "04_training",
        "demo",
        "-p",
        "seed=0,1",
        "-p",
        "suppression=lip",
        "--name",
        "a/b",
        "--jobs",
        "2",
    ]
    assert cli.main(command) == 0
    folder = project / "runs" / "a" / "b"
    marker = json.loads((folder / "seed-1" / "cell.json").read_text())
    assert (marker["status"], marker["params"]) == ("done", {"seed": 1}) and marker["seconds"] > 0
    assert "steps 400 threads " in (folder / "seed-1" / "log.txt").read_text()
    assert (folder / "seed-0" / "notebooks" / "04_training.ipynb").exists()
    out = capsys.readouterr().out
    assert "2 cells, 0 done before" in out and "done    seed-1  psnr 21, steps 400" in out
    assert "20.5 ± 6.4" in out and "the same in every cell: steps 400" in out
    assert "steps 400 threads" not in out
    before = {path: path.stat().st_mtime_ns for path in folder.glob("seed-*/**/*") if path.is_file()}
    assert cli.main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "2 cells, 2 done before" in capsys.readouterr().out


def test_a_cluster_runs_it_too_and_a_cell_that_fails_leaves_the_others(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from distributed import LocalCluster

    command = ["sweep", "04_training", "demo", "-p", "suppression=conv,lip", "--name", "c"]
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp://", dashboard_address=":0"
    ) as c:
        assert cli.main([*command, "--scheduler", c.scheduler_address]) == 1
    folder, out = project / "runs" / "c", capsys.readouterr().out
    assert json.loads((folder / "suppression-lip" / "result.json").read_text())["psnr"] == 20.0
    error = json.loads((folder / "suppression-conv" / "cell.json").read_text())["error"]
    assert error == {"cell": 4, "ename": "AssertionError", "evalue": "conv is\nbroken"}
    assert "failed: suppression-conv: notebook cell 4: AssertionError: conv is" in out
    kept = (folder / "suppression-lip" / "cell.json").stat().st_mtime_ns
    (folder / "suppression-conv" / "mended").touch()
    assert cli.main([*command, "--jobs", "1"]) == 0
    assert "2 cells, 1 done before" in capsys.readouterr().out
    assert (folder / "suppression-lip" / "cell.json").stat().st_mtime_ns == kept


def test_no_cluster_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sweep", "04_training", "demo", "-p", "seed=0,1", "--scheduler", "tcp://127.0.0.1:9"]
    monkeypatch.setattr(jobs, "PATIENCE", 0.1)
    assert cli.main(command) == 1
    assert "tcp://127.0.0.1:9" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cli.main(command) == 1
    assert "pip install 'hifacegan-workbench[cluster]'" in capsys.readouterr().err


def test_a_sweep_stopped_by_hand_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep_cells, "run_cell", stopped)
    assert cli.main(["sweep", "04_training", "demo", "-p", "seed=0,1", "--jobs", "1"]) == 130
    assert "the same command goes on" in capsys.readouterr().err
