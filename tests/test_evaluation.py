"""Evaluation: each number is the one it says it is, on every face, and what cannot be had is told."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap
from torch import Tensor

from hifacegan_lib import evaluation, metrics
from hifacegan_lib.evaluation import Evaluation, evaluate, examples, mean_interval
from hifacegan_lib.traces import Trace

N, SIDE = 10, 24
BASIC = {name: metric for name, metric in metrics.standard().items() if name in ("psnr", "ssim")}


def pairs(batch_size: int = 4, noise: float = 0.2) -> list[dict]:
    """Batches of smooth faces and noisy ones, in 8 bits; the last is smaller."""
    rng = np.random.default_rng(0)
    clean = torch.from_numpy(np.linspace(0.2, 0.8, SIDE)[:, None] * rng.uniform(0.4, 1, (N, 3, 1, SIDE))).float()
    strength = torch.linspace(0.2, 1, N).view(N, 1, 1, 1) * noise
    degraded = (clean + strength * torch.from_numpy(rng.normal(size=clean.shape)).float()).clamp(0, 1)
    clean, degraded = (x.mul(255).round().div(255) for x in (clean, degraded))
    return [
        {"clean": c, "degraded": d, "key": [f"face {n}" for n in range(start, start + len(c))]}
        for start, c, d in zip(
            range(0, N, batch_size), clean.split(batch_size), degraded.split(batch_size), strict=True
        )
    ]


def smooth(x: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


@pytest.fixture(scope="module")
def judged() -> Evaluation:
    return evaluate({"smooth": smooth}, pairs(), 200, 0, {"recipe": "noise"}, BASIC)


def test_rows_are_means_of_each_faces_value(judged: Evaluation) -> None:
    clean, degraded = (torch.cat([batch[name] for batch in pairs()]) for name in ("clean", "degraded"))
    assert [(row["method"], row["n"]) for row in judged.rows] == [("degraded", N), ("smooth", N)]
    for row, faces in zip(judged.rows, (degraded, smooth(degraded).mul(255).round().div(255)), strict=True):
        for name, metric in BASIC.items():
            assert row[name] == pytest.approx(metric.compute(faces, clean).double().mean().item())
            assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
        assert row["psnr_infinite"] == 0


def test_batch_size_does_not_matter(judged: Evaluation) -> None:
    again = evaluate({"smooth": smooth}, pairs(7), 200, 0, {"recipe": "noise"}, BASIC)
    assert again.keys == judged.keys
    for row, other in zip(again.rows, judged.rows, strict=True):
        assert row == pytest.approx(other)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_intervals(judged: Evaluation) -> None:
    again, other = (evaluate({"smooth": smooth}, pairs(), 200, seed, {"recipe": "noise"}, BASIC) for seed in (0, 1))
    assert again.to_json() == judged.to_json()
    assert other.rows[0]["psnr"] == judged.rows[0]["psnr"]
    assert other.rows[0]["psnr_low"] != judged.rows[0]["psnr_low"]


def test_outputs_are_scored_in_eight_bits() -> None:
    """A change that no file could hold is no change."""
    found = evaluate({"tiny": lambda x: (x + 1e-4).clamp(0, 1)}, pairs(), 100, 0, metrics=BASIC)
    assert np.array_equal(found.scores["tiny"]["psnr"], found.scores["degraded"]["psnr"])


def test_interval_matches_scipy() -> None:
    values = np.random.default_rng(1).gamma(2, 3, 150)
    ours = mean_interval(values, 20_000, 0)
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2))
    assert ours.mean == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.02)


def test_interval_of_one_face_is_a_point_and_of_none_an_error() -> None:
    assert mean_interval(np.array([3.0]), 100, 0) == (3, 3, 3)
    for values in ([], [1.0, math.inf], [math.nan]):
        with pytest.raises(ValueError, match="finite values"):
            mean_interval(np.array(values), 100, 0)


def test_many_resamples_come_in_blocks_of_the_same_kind() -> None:
    values = np.random.default_rng(0).normal(size=300_000)
    low, high = mean_interval(values, 40, 0)[1:]
    assert -0.01 < low < high < 0.01


def test_gain_is_measured_face_by_face(judged: Evaluation) -> None:
    gain = judged.gain("smooth")
    assert gain.mean == pytest.approx(judged.rows[1]["psnr"] - judged.rows[0]["psnr"])
    apart = judged.rows[1]["psnr_high"] - judged.rows[0]["psnr_low"]
    assert gain.low < gain.mean < gain.high < apart
    assert judged.gain("degraded", "smooth").mean == pytest.approx(-gain.mean)
    assert str(evaluation.Interval(1.234, -0.5, 2)) == "+1.23 [-0.50, +2.00]"


def test_equal_images_are_counted_and_never_averaged() -> None:
    batches = pairs()
    batches[0]["degraded"] = batches[0]["clean"]
    found = evaluate({"smooth": smooth}, batches, 100, 0, metrics=BASIC)
    row, values = found.rows[0], found.scores["degraded"]["psnr"]
    assert row["psnr_infinite"] == 4
    assert row["psnr"] == pytest.approx(values[4:].mean())
    assert found.gain("smooth").mean == pytest.approx((found.scores["smooth"]["psnr"] - values)[4:].mean())
    lines = [line for line in json.loads(found.to_json())["per_image"] if line["method"] == "degraded"]
    assert [line["psnr"] is None for line in lines] == [True] * 4 + [False] * 6


def test_nothing_but_equal_images_has_no_mean() -> None:
    batches = [{**batch, "degraded": batch["clean"]} for batch in pairs()]
    found = evaluate({}, batches, 100, 0, metrics=BASIC)
    assert [found.rows[0][name] for name in ("psnr", "psnr_low", "psnr_high")] == [None] * 3
    assert found.rows[0]["psnr_infinite"] == N
    assert "infinite" in found.table()
    json.loads(found.to_json(), parse_constant=pytest.fail)


def test_a_metric_that_cannot_be_had_is_null_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = evaluate({"smooth": smooth}, pairs(), 100)
    for row in found.rows:
        assert all(row[f"{name}{end}"] is None for name in ("ms_ssim", "lpips") for end in ("", "_low", "_high"))
    assert "176 pixels, got 24 x 24" in found.conditions["unavailable"]["ms_ssim"]
    assert found.best("lpips") is None and "LPIPS" not in found.table()
    with pytest.raises(ValueError, match="metric 'lpips': not available"):
        found.gain("smooth", metric="lpips")


def test_conditions_say_what_the_numbers_depend_on(judged: Evaluation) -> None:
    conditions = judged.conditions
    assert conditions["recipe"] == "noise"
    assert (conditions["n"], conditions["image_size"], conditions["seed"]) == (N, "24 x 24", 0)
    assert "RGB" in conditions["colour"] and "8 bits" in conditions["rounding"]
    assert "torchmetrics" in conditions["metrics"]["ssim"]
    assert conditions["unavailable"] == {}


def test_saved_json_is_strict_and_alone(judged: Evaluation, tmp_path: Path) -> None:
    path = judged.save(tmp_path / "new" / "metrics.json")
    saved = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert saved == {
        "conditions": judged.conditions,
        "rows": judged.rows,
        "per_image": judged.per_image,
        "traces": judged.traces,
    }
    assert len(saved["per_image"]) == 2 * N
    assert [p.name for p in path.parent.iterdir()] == ["metrics.json"]


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (lambda x: x * 2, r"values in \[0, 1\], got"),
        (lambda x: x - 1e-3, r"values in \[0, 1\], got"),
        (lambda x: x * math.nan, "got nan to nan"),
        (lambda x: x[:1], r"faces of shape \(4, 3, 24, 24\), got \(1, 3, 24, 24\)"),
        (lambda x: x.numpy(), "got ndarray"),
    ],
)
def test_a_method_that_gives_no_faces_is_named(method: Callable, said: str) -> None:
    with pytest.raises(ValueError, match=f"method 'wild': expected .*{said}"):
        evaluate({"good": smooth, "wild": method}, pairs(), 100, metrics=BASIC)


def test_no_pair_and_a_taken_name_are_refused() -> None:
    with pytest.raises(ValueError, match="no pair came"):
        evaluate({}, [], 100)
    with pytest.raises(ValueError, match="'degraded': this name"):
        evaluate({"degraded": smooth}, pairs(), 100)


def test_methods_are_called_without_gradients() -> None:
    weight = torch.ones((), requires_grad=True)
    found = evaluate({"weighted": lambda x: x * weight}, pairs(), 100, metrics=BASIC)
    assert found.gain("weighted") == (0, 0, 0)


def test_pick_orders_the_faces(judged: Evaluation) -> None:
    by_value = [judged.keys[n] for n in np.argsort(-judged.scores["smooth"]["psnr"])]
    assert judged.pick("smooth", 2) == {"best": by_value[:2], "median": by_value[4:6], "worst": by_value[:-3:-1]}
    assert [len(keys) for keys in judged.pick("smooth", 99).values()] == [3, 3, 3]
    with pytest.raises(ValueError, match="method 'other': not evaluated; there are: degraded, smooth"):
        judged.pick("other")


def test_pick_knows_that_lower_may_be_better(judged: Evaluation) -> None:
    turned = {"psnr": metrics.standard()["psnr"]._replace(higher_is_better=False)}
    found = evaluate({"smooth": smooth}, pairs(), 100, metrics=turned)
    assert found.pick("smooth", 1)["best"] == judged.pick("smooth", 1)["worst"]
    assert (judged.best("psnr"), found.best("psnr")) == ("smooth", "degraded")


def test_examples_are_the_pictures_behind_the_numbers(judged: Evaluation) -> None:
    keys = ["face 9", "face 0"]
    found = examples({"smooth": smooth}, pairs(), keys)
    assert list(found) == keys
    for key, faces in found.items():
        assert list(faces) == ["degraded", "smooth", "clean"]
        error = np.mean((faces["smooth"] / 255 - faces["clean"] / 255) ** 2)
        place = judged.keys.index(key)
        assert -10 * math.log10(error) == pytest.approx(judged.scores["smooth"]["psnr"][place], abs=1e-4)
    with pytest.raises(ValueError, match="key 'nobody'"):
        examples({}, pairs(), ["nobody"])


def test_the_table_marks_the_best(judged: Evaluation) -> None:
    head, degraded, smoothed = judged.table().splitlines()
    assert head.split() == ["method", "PSNR,", "dB", "SSIM"]
    row = judged.rows[1]
    assert f"  {row['psnr']:.2f} [{row['psnr_low']:.2f}, {row['psnr_high']:.2f}] *" in smoothed
    assert f"{judged.rows[0]['psnr']:.2f} [" in degraded and (degraded + smoothed).count("*") == 2


def test_traces_of_the_pairs_are_kept() -> None:
    trace = Trace.of("mine", {"op": "jpeg", "quality": 30})
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    batch = {"clean": x, "degraded": x * 0.9, "key": ["a", "b"], "trace": [trace.to_json()] * 2}
    found = evaluation.evaluate({}, [batch])
    assert {key: Trace.from_dict(content) for key, content in found.traces.items()} == {"a": trace, "b": trace}
    assert json.loads(found.to_json())["traces"] == found.traces
