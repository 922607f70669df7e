"""Sweeps: a grid of runs, what is done is done, what failed is told, and numbers with intervals."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from scipy import stats

from hifacegan_lib import cli, images, pipeline, sweeps, tables
from hifacegan_lib.params import DataPreparation, ParamsError

ROOT = Path(__file__).parents[1]
NOTEBOOK = """
import json, os, pathlib
assert suppression != "conv", "no convolution today"
folder = pathlib.Path(os.environ["HIFACEGAN_HOME"]) / "runs" / run_name
(folder / "count").write_text(str(int((folder / "count").read_text()) + 1 if (folder / "count").exists() else 1))
psnr = 20.0 + 0.5 * seed + (1.0 if suppression == "lip" else 0.0) + 0.1 * seed * (suppression == "lip")
(folder / "result.json").write_text(json.dumps({"psnr": psnr, "steps": steps, "seconds": 2.0, "device": "cpu"}))
lines = [{"step": n, "seconds": n / 10, "psnr": psnr - 1 / n} for n in (1, 2, 3)]
(folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\\n" for line in lines))
print("a line of the kernel, with", os.environ.get("OMP_NUM_THREADS"), os.environ["HIFACEGAN_PROGRESS"])
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with the real params/ and a notebook 04 of its own, and a home with eight faces."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "params" / "demo", root / "params" / "demo")
    (root / "notebooks").mkdir()
    names = 'run_name = "x"\nsuppression = "lip"\nseed = 0\nsteps = 1'
    cells = [nbformat.v4.new_code_cell(names, metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell(NOTEBOOK)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), root / "notebooks" / "04_training.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("HIFACEGAN_HOME", str(root))
        faces = {"synthetic_size": 32, "train_size": 8, "valid_size": 8}
        pipeline.prepare_data(DataPreparation.checked(faces, "test"))
    return root


@pytest.fixture(autouse=True)
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("HIFACEGAN_HOME", str(project))


def sweep(*arguments: str) -> int:
    return cli.main(["sweep", "04_training", "demo", *arguments])


# the grid


def test_a_grid_s_values_are_read_as_yaml_reads_them() -> None:
    assert sweeps.read_grid(["seed=0,1", "lr_generator=1.0e-3", "skip=true,false", "suppression=lip"]) == {
        "seed": [0, 1],
        "lr_generator": [0.001],
        "skip": [True, False],
        "suppression": ["lip"],
    }


@pytest.mark.parametrize("text", ["seed", "seed=", "=1", "seed=[1"])
def test_what_is_no_grid_is_refused(text: str) -> None:
    with pytest.raises(ParamsError, match="expected KEY=V1,V2"):
        sweeps.read_grid([text])


@pytest.mark.parametrize("texts", [["seed=1,1"], ["seed=1", "seed=2"]])
def test_what_is_given_twice_is_refused(texts: list[str]) -> None:
    with pytest.raises(ParamsError, match="twice"):
        sweeps.read_grid(texts)


def test_a_plan_has_every_combination_once() -> None:
    choices = {"suppression": ["lip", "inner_product"], "seed": [0, 1, 2], "steps": [9], "decay_steps": [3]}
    plan, cells = sweeps.plan("04_training", "demo", choices, "planned")
    assert len(cells) == 6 == len(set(cells)) and "suppression-lip_seed-2" in cells
    values = plan.parameters("suppression-lip_seed-2")
    assert (values["suppression"], values["seed"], values["steps"]) == ("lip", 2, 9)
    assert values["run_name"] == "planned/suppression-lip_seed-2"


def test_labels_are_folders_and_tell_values_apart() -> None:
    texts = ["a/b", "a b", "a-b", "", "x" * 100, "x" * 101]
    labels = [sweeps.label({"recipe": text}) for text in texts]
    assert len(set(labels)) == len(texts)
    assert all("/" not in text and " " not in text for text in labels)
    assert sweeps.label({"skip": True, "seed": 3}) == "skip-true_seed-3"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-p", "seed=0,1", "-p", "stepz=1"], "stepz"),
        (["-p", "suppression=lip,max"], "suppression = 'max'"),
        (["-p", "seed=1"], "nothing varies"),
        (["-p", "run_name=a,b"], "run_name"),
        (["-p", "seed=0,1", "--name", "../up"], "--name"),
        (["-p", "seed=0,1", "--jobs", "0"], "--jobs 0"),
    ],
)
def test_mistakes_are_found_before_anything_runs(
    arguments: list[str], says: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(*arguments) == 2
    assert says in capsys.readouterr().err
    assert not (project / "runs" / "demo-sweep").exists()


def test_an_unknown_notebook_or_profile_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sweep", "07_dreams", "demo", "-p", "seed=0,1"]) == 2
    assert cli.main(["sweep", "04_training", "dmeo", "-p", "seed=0,1"]) == 2
    said = capsys.readouterr().err
    assert "'07_dreams' is no notebook" in said and "params/dmeo: no such profile" in said


# running


def counts(folder: Path) -> dict[str, int]:
    return {path.parent.name: int(path.read_text()) for path in sorted(folder.glob("*/count"))}


def test_a_failed_cell_is_told_and_the_others_go_on_and_done_ones_are_not_run_again(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("HIFACEGAN_PROGRESS", raising=False)
    folder = project / "runs" / "first"
    grid = ["-p", "suppression=lip,conv", "-p", "steps=7", "-p", "decay_steps=0", "--name", "first"]
    assert sweep(*grid, "-p", "seed=0,1", "--jobs", "2") == 1
    said = capsys.readouterr().out
    assert (
        "failed: suppression-conv_seed-0: cell 3: AssertionError: no convolution today" in said
    )  # after the parameters, and the injected ones
    assert counts(folder) == {"suppression-lip_seed-0": 1, "suppression-lip_seed-1": 1}
    log = (folder / "suppression-lip_seed-0" / "log.txt").read_text()
    assert "a line of the kernel, with " in log and "plain" in log and "a line of the kernel" not in said
    marker = json.loads((folder / "suppression-conv_seed-1" / "cell.json").read_text())
    assert marker["status"] == "failed" and marker["error"]["evalue"] == "no convolution today"
    assert (folder / "suppression-lip_seed-0" / "notebooks" / "04_training.ipynb").exists()

    assert sweep(*grid, "-p", "seed=0,1,2", "--jobs", "2") == 1  # more cells, of the same sweep
    assert counts(folder) == {f"suppression-lip_seed-{n}": 1 for n in range(3)}
    assert "2 done before" in capsys.readouterr().out

    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/cell.json")}
    assert sweep("--collect", "--name", "first") == 1
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/cell.json")} == before
    found = json.loads((folder / "table.json").read_text())
    assert [(row["factors"]["suppression"], row["done"], row["failed"]) for row in found["rows"]] == [
        ("lip", 3, 0),
        ("conv", 0, 3),
    ]
    assert found["rows"][0]["metrics"]["psnr"]["mean"] == pytest.approx(21.0 + 0.6)
    assert (folder / "curves.png").stat().st_size > 1000
    assert "| lip | 3 |" in (folder / "table.md").read_text()
    assert (folder / "table.csv").read_text().startswith("suppression,done,failed,not run,psnr,psnr_low,psnr_high")

    assert sweep(*[text.replace("steps=7", "steps=8") for text in grid], "-p", "seed=0,1") == 2
    assert "holds another sweep (steps: 7 there, 8 asked)" in capsys.readouterr().err


def test_a_cell_that_was_killed_midway_is_run_again(project: Path) -> None:
    grid = ["-p", "seed=0,1", "--name", "killed"]
    assert sweep(*grid) == 0
    (project / "runs" / "killed" / "seed-1" / "cell.json").unlink()  # as if it had never come so far
    assert sweep(*grid) == 0
    assert counts(project / "runs" / "killed") == {"seed-0": 1, "seed-1": 2}


@pytest.fixture
def cluster() -> Iterator[str]:
    """The address of a scheduler with one worker, a process of its own."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None, silence_logs=50) as here:
        yield here.scheduler_address


def test_a_dask_cluster_runs_the_cells(project: Path, cluster: str) -> None:
    assert cluster.startswith("tcp://")
    assert sweep("-p", "seed=0,1", "--name", "spread", "--scheduler", cluster) == 0
    assert counts(project / "runs" / "spread") == {"seed-0": 1, "seed-1": 1}
    assert json.loads((project / "runs" / "spread" / "table.json").read_text())["rows"][0]["done"] == 2


def test_a_scheduler_that_is_not_there_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweeps, "PATIENCE", 1)
    assert sweep("-p", "seed=0,1", "--name", "nowhere", "--scheduler", "tcp://127.0.0.1:9") == 1
    assert "127.0.0.1:9" in capsys.readouterr().err


# numbers


def test_an_interval_is_student_s() -> None:
    values = [1.0, 2.0, 4.0]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    found = tables.interval(values)
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((7 / 3, low, high))
    assert tables.interval([3.0]) == {"mean": 3.0, "low": None, "high": None, "n": 1}


def results(name: str, values: dict[int, float]) -> tuple[dict[str, Any], list[sweeps.Result]]:
    factors = {"suppression": name}
    cells = [
        sweeps.Result(f"{name}{seed}", {**factors, "seed": seed}, "done", {"psnr": v}, "") for seed, v in values.items()
    ]
    return factors, cells


def test_differences_are_taken_seed_by_seed_over_the_seeds_that_both_have() -> None:
    one, two = results("lip", {0: 20.0, 1: 25.0, 2: 22.0}), results("conv", {2: 22.4, 0: 20.1, 1: 25.3, 9: 0.0})
    (found,) = tables.differences([one, two])
    expected = stats.ttest_rel([20.1, 25.3, 22.4], [20.0, 25.0, 22.0]).confidence_interval()
    psnr = found["metrics"]["psnr"]
    assert (psnr["low"], psnr["high"], psnr["n"]) == pytest.approx((expected.low, expected.high, 3))
    assert tables.differences([]) == []


@pytest.mark.parametrize(
    ("values", "text"), [([1.0, 1.2, 1.4], "1.20 ± 0.50"), ([25.93], "25.93"), ([800.0, 800.0], "800")]
)
def test_numbers_have_as_many_places_as_their_interval(values: list[float], text: str) -> None:
    assert tables.number(tables.interval(values)) == text


# pictures


def test_the_picture_grid_has_the_damaged_faces_once_and_a_row_for_each_combination(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    degraded, clean = rng.integers(0, 256, (2, 3, 16, 16, 3), dtype=np.uint8)
    for name in ("one", "two"):
        restored = rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
        strip = images.grid([*degraded, *restored, *clean], columns=3)
        images.save_image(tmp_path / name / "figures" / "step_000004.png", strip)
        cut = tables.faces(strip)
        assert all(np.array_equal(a, b) for a, b in zip(cut["restored"], restored, strict=True))
    figure = tables.pictures({name: [tmp_path / name] for name in ("one", "two")})
    assert figure is not None and len(figure.axes) == 4 * 3  # degraded, one, two, clean
    assert tables.pictures({"none": [tmp_path / "none"]}) is None
