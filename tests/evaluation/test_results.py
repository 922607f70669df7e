"""What an evaluation says of itself: the best, the gains, the picks, the tables and the counts, all by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.utils.statistics import mean_interval

NAMES = ("psnr", "niqe", "sharpness", "ssim")
METRICS = standard(NAMES)


def row(method: str, psnr: float, niqe: float, sharpness: float | None, infinite: int) -> dict[str, Any]:
    found: dict[str, Any] = {"method": method, "n": 4}
    for name, value in (("psnr", psnr), ("niqe", niqe), ("sharpness", sharpness), ("ssim", None)):
        found |= {name: value, f"{name}_low": value and value - 1, f"{name}_high": value and value + 1}
    return found | {"psnr_infinite": infinite, "faces_not_found": None, "unreadable": 1}


def made() -> Evaluation:
    scores = {
        "degraded": {"psnr": [20.0, 21, 22, 23], "niqe": [9.0, 8, 9, 8], "sharpness": [3.0, 3, 3, 3]},
        "our_model": {"psnr": [24.0, 21.5, np.inf, 25], "niqe": [5.0, 6, np.nan, 7], "sharpness": [9.0, 9, 9, 9]},
        "other": {"psnr": [20.0, 22.0, 21, 23.5], "niqe": [4.0, 4, 5, 5], "sharpness": [6.0, 6, 6, 6]},
    }
    conditions = {
        "metrics": {name: METRICS[name].implementation for name in NAMES},
        "unavailable": {"ssim": "too small"},
        "bootstrap_samples": 200,
        "seed": 3,
        "unreadable": {"e.png": "no image"},
        "no_value": {"our_model": {"niqe": ["c.png"]}},
        "recipe": {"name": "mine"},
    }
    rows = [row("degraded", 21.5, 8.5, 3.0, 0), row("our_model", 23.5, 6.0, 9.0, 1), row("other", 21.6, 4.5, 6.0, 0)]
    arrays = {method: {m: np.array(v) for m, v in by.items()} for method, by in scores.items()}
    keys = ["a.png", "b.png", "c.png", "d.png"]
    reference = {"niqe": np.array([3.0, 3, 4, np.nan]), "sharpness": np.array([7.0, 7, 7, 6.2])}
    return Evaluation(conditions, rows, keys, arrays, METRICS, {}, reference)


def test_the_best_is_the_highest_the_lowest_or_the_nearest_to_the_clean_faces() -> None:
    found = made()
    assert {name: found.best(name) for name in NAMES} == {
        "psnr": "our_model",
        "niqe": "other",
        "sharpness": "other",
        "ssim": None,
    }
    assert list(found.available) == ["psnr", "niqe", "sharpness"]
    without = Evaluation(found.conditions, found.rows, found.keys, found.scores, METRICS)
    assert without.best("sharpness") is None and without.clean == {}


def test_the_clean_faces_have_intervals_of_their_finite_values() -> None:
    clean = made().clean
    assert clean["niqe"] == mean_interval(np.array([3.0, 3, 4]), 200, 3)
    assert clean["sharpness"].mean == pytest.approx(6.8)


def test_a_gain_is_a_mean_of_differences_of_finite_pairs() -> None:
    found = made()
    assert found.gain("our_model") == mean_interval(np.array([4.0, 0.5, 2]), 200, 3)
    assert found.gain("our_model", "other", "niqe") == mean_interval(np.array([1.0, 2, 2]), 200, 3)
    gains = found.gains("our_model")
    assert list(gains.index) == ["degraded", "other"] and list(gains["mean"]) == pytest.approx([6.5 / 3, 5 / 3])
    with pytest.raises(ValueError, match="method 'x': not evaluated; there are: degraded, our_model, other"):
        found.gain("x")
    with pytest.raises(ValueError, match="metric 'ssim': not available; there are: psnr, niqe, sharpness"):
        found.gain("other", metric="ssim")


def test_picks_are_the_best_the_middle_and_the_worst() -> None:
    found = made()
    assert found.pick("degraded", 1) == {"best": ["d.png"], "median": ["c.png"], "worst": ["a.png"]}
    assert found.pick("degraded", 9) == found.pick("degraded", 1)  # a third of four
    assert found.pick("other", 1, "niqe")["best"] == ["a.png"]
    many = Evaluation({}, [], [str(n) for n in range(7)], {"m": {"psnr": np.arange(7.0)}}, METRICS)
    assert many.pick("m") == {"best": ["6", "5"], "median": ["4", "3"], "worst": ["0", "1"]}
    one = Evaluation({}, [], ["a"], {"m": {"psnr": np.ones(1)}}, METRICS)
    assert one.pick("m") == {"best": ["a"], "median": ["a"], "worst": ["a"]}


def test_the_summary_to_the_letter() -> None:
    table = made().summary()
    assert list(table.index) == ["degraded", "our_model", "other", "(clean)"]
    assert list(table) == ["PSNR, dB", "NIQE", "sharpness"]
    cells = {name: [text.strip() for text in table[name]] for name in table}
    assert cells["NIQE"] == ["8.50 [7.50, 9.50]", "6.00 [5.00, 7.00]", "4.50 [3.50, 5.50] *", "3.33"]
    assert cells["sharpness"] == ["3.00 [2.00, 4.00]", "9.00 [8.00, 10.00]", "6.00 [5.00, 7.00] *", "6.80"]
    assert cells["PSNR, dB"][0] == "21.50 [20.50, 22.50]" and cells["PSNR, dB"][1].endswith("*")
    assert cells["PSNR, dB"][3] == ""


def test_what_is_in_no_mean_is_counted_in_words() -> None:
    assert made().exclusions() == [
        "1 of 5 pairs could not be read: e.png.",
        "our model: 1 faces equal the clean one, their PSNR is infinite.",
        "our model: no NIQE for 1 of 4 faces: c.png.",
    ]


def test_the_frames_and_the_files_hold_the_same(tmp_path: Path) -> None:
    found = made()
    frame = found.frame()
    assert "ssim" not in frame and frame.loc["other", "psnr"] == 21.6
    assert found.faces().loc[("our_model", "d.png"), "psnr"] == 25
    assert found.per_image[1] == {
        "key": "a.png",
        "method": "our_model",
        "psnr": 24.0,
        "niqe": 5.0,
        "sharpness": 9.0,
        "ssim": None,
    }
    again = Evaluation.load(found.save(tmp_path / "metrics.json"))
    assert again.to_json() == found.to_json() and again.best("sharpness") == "other"
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(lines) == 4 and all('""name"": ""mine""' in line for line in lines[1:])
    assert lines[0].startswith("method,n,psnr,psnr_low,psnr_high,niqe")


def test_a_file_keeps_comparisons_with_the_input_for_every_method_but_the_input(tmp_path: Path) -> None:
    metrics = standard(("psnr", "moved"))
    scores = {"degraded": {"psnr": np.array([20.0])}, **{m: {n: np.array([1.0]) for n in metrics} for m in ("a", "z")}}
    conditions = {"metrics": {name: metric.implementation for name, metric in metrics.items()}, "unavailable": {}}
    rows = [{"method": method, "n": 1} for method in scores]
    found = Evaluation(conditions, rows, ["a.png"], scores, metrics)
    again = Evaluation.load(found.save(tmp_path / "metrics.json"))
    assert {method: list(by) for method, by in again.scores.items()} == {
        "degraded": ["psnr"],
        "a": ["psnr", "moved"],
        "z": ["psnr", "moved"],
    }
