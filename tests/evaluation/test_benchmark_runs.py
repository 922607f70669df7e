"""Benchmarks: methods on sets, an evaluation for each, rows for failures, and runs that go on where they stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.evaluation.benchmark_results import Asked, Benchmark
from hifacegan_lib.evaluation.benchmark_runs import run
from hifacegan_lib.evaluation.comparison import EvaluatedRun, compare
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.metrics.full_reference import psnr
from hifacegan_lib.reports.benchmark_page import write_benchmark
from hifacegan_lib.utils.images import load_image, save_image, to_float
from hifacegan_lib.utils.statistics import mean_interval

ASKED = Asked(metrics=("psnr", "ssim", "sharpness"), recipe="report", size=32, samples=200)

SLOW = "non_local_means@h=10,search=61"


def faces(folder: Path, count: int = 4, size: int = 48) -> Path:
    for n in range(count):
        save_image(folder / f"face {n}.png", portrait(n, size))
    return folder


def clean_card(path: Path, name: str = "mine") -> Path:
    path.write_text(json.dumps({"name": name, "title": "My faces", "kind": "clean", "source": "drawn"}))
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Benchmark]:
    home = tmp_path_factory.mktemp("bench")
    (home / "lückig").mkdir()
    save_image(home / "lückig" / "face 0.png", portrait(0, 32))
    (home / "broken.safetensors").write_text("no weights")
    words = ["bicubic", "bicubic@factor=2", "bilateral", str(home / "lückig"), str(home / "broken.safetensors")]
    cards = [clean_card(home / "card.json")]
    return home, run(words, [f"mine={faces(home / 'Gesichter ä')}"], home / "out", ASKED, cards, progress=False)


def test_each_method_on_each_set_is_an_evaluation_of_its_own(done: tuple[Path, Benchmark]) -> None:
    home, found = done
    place = home / "out" / "mine" / "methods"
    for method in ("input", "bicubic", "bicubic@factor=2", "bilateral"):
        alone = Evaluation.load(place / method / "metrics.json")
        assert alone.rows[0]["psnr"] == found.frame().loc[("mine", method), "psnr"]
        assert alone.conditions["set_fingerprint"] == found.sets["mine"].fingerprint
        assert alone.conditions["recipe"] == "report"
    picture = to_float(load_image(place / "bicubic" / "outputs" / "face 2.png"))[None]
    clean = to_float(load_image(home / "out" / "mine" / "clean" / "face 2.png"))[None]
    here = found.evaluations["mine", "bicubic"]
    assert here.scores["restored"]["psnr"][here.keys.index("face 2")] == pytest.approx(float(psnr(picture, clean)))
    both = compare(*(EvaluatedRun.load(place / method) for method in ("bicubic", "bilateral")))
    assert both.metrics.loc["psnr", "difference"] == pytest.approx(
        found.differences("mine", "psnr", "bicubic").loc["bilateral", "mean"]
    )


def test_a_method_that_failed_is_a_row_with_its_reason(done: tuple[Path, Benchmark]) -> None:
    home, found = done
    assert not found.complete
    assert found.failed["mine", "lückig"].startswith("no picture for 3 of 4 faces: face 1, face 2, face 3")
    assert "safetensors" in found.failed["mine", "broken"] and str(home) not in found.failed["mine", "broken"]
    frame = found.frame()
    assert list(frame.index.get_level_values("method")) == list(found.cards)
    assert found.summary("mine").loc["lückig", "SSIM"] == "failed" and "#" in found.summary("mine").loc["input", "SSIM"]
    assert frame.loc[("mine", "lückig"), "failed"] and np.isnan(frame.loc[("mine", "lückig"), "psnr"])


def test_differences_are_paired_and_ranks_follow_them(done: tuple[Path, Benchmark]) -> None:
    found = done[1]
    for metric, better in (("psnr", 1), ("sharpness", 0)):
        ranks = found.ranks["mine"][metric]
        best = next(iter(ranks))
        table = found.differences("mine", metric)
        assert ranks[best] == 1 and (table.loc[best] == [0, 0, 0, 4]).all()
        for method in ranks:
            (a,), (b,) = (found.evaluations["mine", m].values(metric, "restored") for m in (method, best))
            assert table.loc[method, "mean"] == pytest.approx(float(np.mean(a - b)))
            assert table.loc[method, "low"] == pytest.approx(mean_interval(a - b, 200, 0).low)
        if better:
            tied = [method for method in ranks if table.loc[method, "high"] >= 0]
            assert [method for method, rank in ranks.items() if rank == 1] == tied


def test_json_and_csv_hold_every_row_with_fingerprint_and_restorer(done: tuple[Path, Benchmark]) -> None:
    home, found = done
    found.save()
    content = json.loads((home / "out" / "benchmark.json").read_text(encoding="utf-8"))
    assert content["rows"] == json.loads(json.dumps(found.rows)) and content["methods"]["bicubic"]["settings"]
    lines = (home / "out" / "benchmark.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + len(found.cards) and all(found.sets["mine"].fingerprint in line for line in lines[1:])


def test_a_second_run_draws_and_measures_nothing(done: tuple[Path, Benchmark], monkeypatch: pytest.MonkeyPatch) -> None:
    home, found = done
    monkeypatch.setattr("hifacegan_lib.evaluation.benchmark_runs.evaluate", None)
    monkeypatch.setattr("hifacegan_lib.evaluation.methods.save_image", None)
    again = run(["bilateral", "bicubic"], [f"mine={home / 'Gesichter ä'}"], home / "out", ASKED, [home / "card.json"])
    assert again.complete
    assert again.frame().loc[("mine", "bicubic"), "psnr"] == found.frame().loc[("mine", "bicubic"), "psnr"]


def test_other_pictures_metrics_or_seeds_are_measured_again(tmp_path: Path) -> None:
    folder, cards = faces(tmp_path / "a", 2), [clean_card(tmp_path / "card.json")]

    def mean(asked: Asked) -> tuple[float, str]:
        row = run(["bicubic"], {"mine": folder}, tmp_path / "out", asked, cards, False).rows[1]
        return row["psnr"], row["set_fingerprint"]

    first = mean(ASKED)
    assert mean(Asked(metrics=("psnr",), recipe="report", size=32, seed=1))[0] != first[0]
    save_image(folder / "face 1.png", portrait(9, 48))
    assert mean(ASKED)[0] != first[0] and mean(ASKED)[1] != first[1]


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folder, card = faces(tmp_path / "faces", 20), clean_card(tmp_path / "card.json")
    line = ["benchmark", "--methods", SLOW, "--sets", f"mine={folder}", "--recipe", "report", "--size", "96"]
    line += ["--metrics", "psnr", "--cards", str(card), "--out", str(tmp_path / "out")]
    killed = subprocess.Popen([sys.executable, "-m", "hifacegan_lib.cli", *line], stderr=subprocess.DEVNULL)
    outputs = tmp_path / "out" / "mine" / "methods" / SLOW / "outputs"
    for _ in range(1200):
        if outputs.is_dir() and any(outputs.glob("[!.]*.png")):
            break
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    before = {path.name: path.stat().st_ino for path in outputs.glob("[!.]*.png")}
    assert before
    asked = Asked(metrics=("psnr",), recipe="report", size=96)
    found = run([SLOW], [f"mine={folder}"], tmp_path / "out", asked, [card], False)
    after = {path.name: path.stat().st_ino for path in outputs.glob("[!.]*.png")}
    assert found.complete and found.rows[1]["n"] == len(after) == 20 and before.items() <= after.items()


def test_models_functions_and_lists_of_files_come_from_python(tmp_path: Path) -> None:
    files = {f"{n}.png": faces(tmp_path / "a") / f"face {n}.png" for n in range(3)}
    methods = {"brighter": lambda x: (x + 0.02).clamp(0, 1), "b": "bicubic@factor=2"}
    found = run(methods, {"list": files}, tmp_path / "out", ASKED, progress=False)
    assert found.complete and list(found.cards) == ["input", "brighter", "b"] and len(found.sets["list"]) == 3


def test_pairs_are_scored_as_they_are_and_one_face_has_no_ranks_but_ties(tmp_path: Path) -> None:
    for part in ("clean", "damaged"):
        save_image(tmp_path / "p" / part / "x.png", portrait(part == "clean", 32))
    found = run(["bicubic", "bilateral"], [str(tmp_path / "p")], tmp_path / "out", ASKED, progress=False)
    assert not (tmp_path / "out" / "p" / "input").exists() and found.complete
    assert set(found.ranks["p"]["psnr"].values()) == {1} and found.examples("p") == {"best": "x"}
    expected = psnr(*(to_float(portrait(n, 32))[None] for n in (0, 1)))
    assert found.rows[0]["psnr"] == pytest.approx(float(expected))


def test_without_originals_outputs_are_compared_with_the_input(
    tmp_path: Path,
) -> None:
    asked = Asked(metrics=("psnr", "moved", "sharpness"), samples=100)
    folder = faces(tmp_path / "lfw", 2, 128)
    found = run(["bicubic@factor=8", "bicubic@factor=2"], {"lfw": folder}, tmp_path / "out", asked, progress=False)
    assert found.complete and set(found.metrics("lfw")) == {"moved", "sharpness"}
    moved = found.frame().loc["lfw", "moved"]
    assert np.isnan(moved["input"]) and moved["bicubic@factor=8"] > moved["bicubic@factor=2"] > 0
    assert found.ranks["lfw"]["sharpness"] == {} and found.ranks["lfw"]["moved"] == {}
    assert found.frame().loc[("lfw", "bicubic@factor=8"), "ntire"].startswith("no NTIRE score: clip_iqa")
    assert "this folder 2" in found.sets["lfw"].remarks[0]
    assert found.examples("lfw") == {
        "first": "face 0",
        "last": "face 1",
    }
    page = write_benchmark(found).read_text(encoding="utf-8")
    assert "without clean originals" in page and "by the rules of NTIRE 2026" in page
    assert ">clean</option>" not in page and found.asked.recipe == ""


def test_a_folder_of_one_s_own_without_originals_is_compared_with_the_input(tmp_path: Path) -> None:
    found = run(["bicubic@factor=8"], {"mine": faces(tmp_path / "mine", 2, 128)}, tmp_path / "out",
                Asked(metrics=("moved",), samples=100), progress=False)  # fmt: skip
    assert found.frame().loc[("mine", "bicubic@factor=8"), "moved"] > 0


def test_an_unreadable_face_is_left_out_for_all_methods_and_makes_the_run_incomplete(tmp_path: Path) -> None:
    folder = faces(tmp_path / "a", 3)
    (folder / "face 1.png").write_bytes(b"broken")
    found = run(["bicubic"], {"mine": folder}, tmp_path / "out", ASKED, [clean_card(tmp_path / "c.json")], False)
    assert not found.complete and not found.failed and found.rows[0]["n"] == 2


def test_results_of_other_sizes_are_resized_and_counted_and_a_broken_one_fails_the_method(tmp_path: Path) -> None:
    files = {f"{n}.png": path for n, path in enumerate(sorted(faces(tmp_path / "a", 3).iterdir()))}
    for n in range(3):
        save_image(tmp_path / "theirs" / f"{n}.png", portrait(n, 32 + 8 * n))
    again = {"theirs": tmp_path / "theirs"}
    found = run(again, {"list": files}, tmp_path / "out", ASKED, progress=False)
    assert "restored 2 files" in found.evaluations["list", "theirs"].conditions["resize_kernel"] and found.complete
    (tmp_path / "theirs" / "1.png").write_bytes(b"broken")
    found = run(again, {"list": files}, tmp_path / "out", ASKED, progress=False)
    assert found.failed == {("list", "theirs"): "1 of 3 pictures cannot be read: 1"}


def test_classical_restorers_are_tuned_on_training_faces(tmp_path: Path) -> None:
    asked = Asked(metrics=("psnr",), recipe="report", size=32, tune=faces(tmp_path / "train", 2))
    words, cards = ["bicubic", "bicubic@factor=6"], [clean_card(tmp_path / "c.json")]
    found = run(words, {"mine": faces(tmp_path / "a", 2)}, tmp_path / "out", asked, cards, False)
    tuned, given = found.cards["bicubic"], found.cards["bicubic@factor=6"]
    assert tuned and given and tuned["settings_are"] == "tuned on training faces"
    assert given["settings"] == {"factor": 6} and given["settings_are"] == "given"


@pytest.mark.parametrize(
    ("methods", "sets", "asked", "message"),
    [
        (["bicubic", "bicubic"], ["a"], {}, "method 'bicubic' comes twice; .*label=bicubic"),
        (["gfpgan"], ["a"], {}, "method 'gfpgan': unknown"),
        ([], ["a"], {}, "no method"),
        ({}, ["a"], {}, "no method"),
        (["bicubic"], [], {}, "no set"),
        (["bicubic"], ["a", "a"], {}, "set 'a' comes twice"),
        (["bicubic"], ["lfw=none"], {}, "lfw: none: no such folder"),
        (["bicubic"], ["ffhq100=a"], {"recipe": ""}, "ffhq100: clean faces: name the recipe"),
        (["bicubic"], ["a"], {"recipe": "rust"}, "no recipe 'rust'"),
        (["bicubic"], ["a"], {"metrics": ("psnr", "beauty")}, "metric 'beauty': unknown"),
    ],
)
def test_a_mistake_ends_it_before_anything_is_drawn(
    methods: list[str],
    sets: list[str],
    asked: dict[str, object],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    faces(Path("a"), 1)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(methods, sets, "out", Asked(**{"metrics": ("psnr",), "recipe": "report", **asked}), progress=False)  # type: ignore
    assert not list(Path().glob("out/**/*.png"))
