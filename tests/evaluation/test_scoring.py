"""Evaluation: each number is the one it says it is, on every face, and what cannot be had is told."""

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import golden
import numpy as np
import pytest
import torch
from torch import Tensor

from hifacegan_lib.degradations.traces import Trace
from hifacegan_lib.evaluation import scoring
from hifacegan_lib.evaluation.folder_pairs import pair_folders
from hifacegan_lib.evaluation.pictures import read_picture
from hifacegan_lib.evaluation.scoring import Evaluation, evaluate, examples
from hifacegan_lib.metrics import registry
from hifacegan_lib.utils.images import save_image
from hifacegan_lib.utils.jobs import workers

N, SIDE = 10, 24
BASIC = registry.standard(("psnr", "ssim"))


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


def test_gain_is_measured_face_by_face(judged: Evaluation) -> None:
    gain = judged.gain("smooth")
    assert gain.mean == pytest.approx(judged.rows[1]["psnr"] - judged.rows[0]["psnr"])
    apart = judged.rows[1]["psnr_high"] - judged.rows[0]["psnr_low"]
    assert gain.low < gain.mean < gain.high < apart
    assert judged.gain("degraded", "smooth").mean == pytest.approx(-gain.mean)


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
    assert "infinite" in found.summary().to_string()
    json.loads(found.to_json(), parse_constant=pytest.fail)


def test_a_metric_that_cannot_be_had_is_null_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = evaluate({"smooth": smooth}, pairs(), 100)
    for row in found.rows:
        assert all(row[f"{name}{end}"] is None for name in ("ms_ssim", "lpips") for end in ("", "_low", "_high"))
    assert "176 pixels, got 24 x 24" in found.conditions["unavailable"]["ms_ssim"]
    assert found.best("lpips") is None and not [name for name in found.summary() if "LPIPS" in name]
    with pytest.raises(ValueError, match="metric 'lpips': not available"):
        found.gain("smooth", metric="lpips")


def test_conditions_say_what_the_numbers_depend_on(judged: Evaluation) -> None:
    conditions = judged.conditions
    assert conditions["recipe"] == "noise"
    assert (conditions["n"], conditions["image_size"], conditions["seed"]) == (N, "24 x 24", 0)
    assert "RGB" in conditions["colour"] and "8 bits" in conditions["rounding"]
    assert "Gaussian window 11" in conditions["metrics"]["ssim"] and "OpenCV 4" in conditions["metrics"]["ssim"]
    assert all(conditions[rule] for rule in ("file_format", "resize_kernel", "crop")) and conditions["backbones"] == {}
    assert len(conditions["clean_sha256"]) == 64
    assert conditions["unavailable"] == {}


def test_saved_json_is_strict_and_comes_back(judged: Evaluation, tmp_path: Path) -> None:
    path = judged.save(tmp_path / "new" / "metrics.json")
    saved = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    names = ("conditions", "rows", "per_image", "traces")
    assert {name: saved[name] for name in names} == {name: getattr(judged, name) for name in names}
    assert len(saved["per_image"]) == 2 * N
    assert sorted(p.name for p in path.parent.iterdir()) == ["metrics.csv", "metrics.json"]
    again = Evaluation.load(path)
    assert again.to_json() == judged.to_json() and again.summary().equals(judged.summary())


def test_what_has_no_number_comes_back_as_it_was(tmp_path: Path) -> None:
    batches = pairs()
    batches[0]["degraded"] = batches[0]["clean"]
    half = registry.standard(("psnr",)) | {"halves": BASIC["ssim"]._replace(compute=only_bright, backbone=())}
    found = evaluate({"smooth": smooth}, batches, 100, 0, metrics=half)
    again = Evaluation.load(found.save(tmp_path / "metrics.json"))
    for method, values in found.scores.items():
        for name in values:
            np.testing.assert_array_equal(again.scores[method][name], values[name])
    assert again.metrics["halves"].label == "halves" and again.rows == found.rows


def test_the_frames_hold_the_rows_and_each_faces_values(judged: Evaluation) -> None:
    frame, faces = judged.frame(), judged.faces()
    assert list(frame.index) == ["degraded", "smooth"] and "faces_not_found" not in frame
    for row in judged.rows:
        assert {name: frame.loc[row["method"], name] for name in frame} == {name: row[name] for name in frame}
    for method, values in judged.scores.items():
        assert list(faces.loc[method].index) == judged.keys
        for name in values:
            np.testing.assert_array_equal(faces.loc[method][name], values[name])


def test_each_line_of_the_csv_carries_the_conditions(judged: Evaluation) -> None:
    lines = list(csv.DictReader(io.StringIO(judged.to_csv())))
    assert [line["method"] for line in lines] == ["degraded", "smooth"]
    for line, row in zip(lines, judged.rows, strict=True):
        assert float(line["psnr"]) == row["psnr"] and line["n"] == str(N)
        assert {name.removeprefix("condition: ") for name in line if name.startswith("condition")} == set(
            judged.conditions
        )
        assert line["condition: colour"] == "RGB, range [0, 1]"


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"conditions": {}, "rows": [], "per_image": []}'])
def test_another_file_is_no_evaluation(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(ValueError, match=r"metrics.json: not the metrics.json of an evaluation"):
        Evaluation.load(tmp_path / "metrics.json")
    with pytest.raises(FileNotFoundError, match="notebook 05"):
        Evaluation.load(tmp_path / "nothing.json")


def only_bright(image: Tensor, _: Tensor) -> Tensor:
    """The mean of bright faces; of dark ones there is none."""
    mean = image.mean((1, 2, 3))
    return torch.where(mean > mean.median(), mean, torch.nan)


def test_faces_without_a_value_are_counted_and_listed() -> None:
    metric = BASIC["ssim"]._replace(compute=only_bright, label="identity")
    found = evaluate({"smooth": smooth}, pairs(), 100, 0, metrics={**BASIC, "identity": metric})
    for row in found.rows:
        values = found.scores[row["method"]]["identity"]
        assert row["faces_not_found"] == np.isnan(values).sum() > 0
        assert row["identity"] == pytest.approx(np.nanmean(values))
        listed = found.conditions["no_value"][row["method"]]["identity"]
        assert listed == [key for key, value in zip(found.keys, values, strict=True) if np.isnan(value)]
    assert evaluate({}, pairs(), 100, metrics=BASIC).rows[0]["faces_not_found"] is None
    both = np.isfinite(found.scores["smooth"]["identity"]) & np.isfinite(found.scores["degraded"]["identity"])
    change = (found.scores["smooth"]["identity"] - found.scores["degraded"]["identity"])[both]
    assert found.gain("smooth", metric="identity").mean == pytest.approx(change.mean())


def test_what_needs_no_reference_is_measured_on_the_clean_faces_too() -> None:
    mean = BASIC["psnr"]._replace(compute=lambda x, _: x.mean((1, 2, 3)), against="", higher_is_better=None)
    found = evaluate({"dark": lambda x: x * 0.5}, pairs(), 100, 0, metrics={"psnr": BASIC["psnr"], "bright": mean})
    clean = torch.cat([batch["clean"] for batch in pairs()])
    assert found.clean["bright"].mean == pytest.approx(clean.mean().item(), abs=1e-6)
    assert found.best("bright") == "degraded"  # nearest to the clean faces
    assert found.summary().index[-1] == "(clean)"
    assert list(found.reference) == ["bright"]


def test_unreadable_pairs_are_counted_and_listed() -> None:
    batches = [{**batch, "columns": {"restored": batch["degraded"]}} for batch in pairs()]
    batches[1]["unreadable"] = {"lost": "lost.png: the file is empty"}
    found = evaluate({}, batches, 100, metrics=BASIC)
    assert [row["unreadable"] for row in found.rows] == [1] and found.rows[0]["n"] == N
    assert found.conditions["unreadable"] == {"lost": "lost.png: the file is empty"}
    with pytest.raises(ValueError, match=r"no pair came\n  lost: lost\.png"):
        evaluate({}, [{"key": [], "unreadable": batches[1]["unreadable"]}], 100, metrics=BASIC)


def test_every_scored_picture_can_be_kept(tmp_path: Path) -> None:
    found = evaluate({"smooth": smooth}, pairs(), 100, metrics=BASIC, keep=tmp_path)
    for column in ("degraded", "smooth", "clean"):
        assert all(read_picture(tmp_path, column, key) is not None for key in found.keys)
    restored, clean = (read_picture(tmp_path, column, "face 3") for column in ("smooth", "clean"))
    error = (restored / 255 - clean / 255) ** 2
    assert -10 * math.log10(error.mean()) == pytest.approx(found.scores["smooth"]["psnr"][3], abs=1e-4)


def test_distances_of_whole_sets_are_one_number_a_method() -> None:
    calls = []

    def features(x: Tensor) -> Tensor:
        calls.append(len(x))
        return x.mean((2, 3)).float()

    def apart(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
        return float(np.square(a.mean(0) - b.mean(0)).sum()), float(a.shape[1]), float(len(a))

    names = dict.fromkeys(("one", "two"), BASIC["psnr"]._replace(compute=None, features=features, distance=apart))
    found = evaluate({"dark": lambda x: x * 0.5}, pairs(), 100, 7, metrics={**BASIC, **names})
    clean, degraded = (torch.cat([b[c] for b in pairs()]).mean((0, 2, 3)) for c in ("clean", "degraded"))
    assert found.rows[0]["one"] == pytest.approx(float((clean - degraded).square().sum()), rel=1e-4)
    assert (found.rows[1]["two_low"], found.rows[1]["two_high"]) == (3, N)
    assert sum(calls) == 3 * N  # features are shared by both
    assert "one" not in found.per_image[0] and "one" in found.available


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
    for name in ("degraded", "clean"):
        with pytest.raises(ValueError, match=f"'{name}': this name"):
            evaluate({name: smooth}, pairs(), 100)


def test_methods_are_called_without_gradients() -> None:
    weight = torch.ones((), requires_grad=True)
    found = evaluate({"weighted": lambda x: x * weight}, pairs(), 100, metrics=BASIC)
    assert found.gain("weighted") == (0, 0, 0)


def test_methods_are_scored_where_workers_are_given_too(tmp_path: Path) -> None:
    for column in ("input", "clean"):
        save_image(tmp_path / column / "a.png", golden.picture(24, 24, len(column)))
    pairs = pair_folders(tmp_path / "clean", {"degraded": tmp_path / "input"})
    with workers(2) as each:
        found = evaluate({"smooth": smooth}, pairs, 100, metrics=["psnr"], each=each)
    assert list(found.scores) == ["degraded", "smooth"] and found.keys == ["a"]


def test_pick_orders_the_faces(judged: Evaluation) -> None:
    by_value = [judged.keys[n] for n in np.argsort(-judged.scores["smooth"]["psnr"])]
    assert judged.pick("smooth", 2) == {"best": by_value[:2], "median": by_value[4:6], "worst": by_value[:-3:-1]}
    assert [len(keys) for keys in judged.pick("smooth", 99).values()] == [3, 3, 3]
    with pytest.raises(ValueError, match="method 'other': not evaluated; there are: degraded, smooth"):
        judged.pick("other")


def test_pick_knows_that_lower_may_be_better(judged: Evaluation) -> None:
    turned = {"psnr": registry.standard()["psnr"]._replace(higher_is_better=False)}
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


def test_the_summary_marks_the_best(judged: Evaluation) -> None:
    summary, row = judged.summary(), judged.rows[1]
    assert list(summary) == ["PSNR, dB", "SSIM"] and list(summary.index) == ["degraded", "smooth"]
    text = f"{row['psnr']:.2f} [{row['psnr_low']:.2f}, {row['psnr_high']:.2f}] *"
    assert summary.loc["smooth", "PSNR, dB"] == text
    assert summary.to_string().count("*") == 2


def test_gains_are_over_every_other_method(judged: Evaluation) -> None:
    gains = judged.gains("smooth")
    assert list(gains.index) == ["degraded"] and tuple(gains.loc["degraded"]) == judged.gain("smooth")


def test_traces_of_the_pairs_are_kept() -> None:
    trace = Trace.of("mine", {"op": "jpeg", "quality": 30})
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    batch = {"clean": x, "degraded": x * 0.9, "key": ["a", "b"], "trace": [trace.to_json()] * 2}
    found = scoring.evaluate({}, [batch])
    assert {key: Trace.parse(content, key) for key, content in found.traces.items()} == {"a": trace, "b": trace}
    assert json.loads(found.to_json())["traces"] == found.traces
