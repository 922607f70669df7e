"""Two evaluations: differences face by face, and everything that was not the same is said."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hifacegan_lib.evaluation.comparison import EvaluatedRun, compare, differing
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.evaluation.scoring import evaluate
from hifacegan_lib.metrics.registry import standard

N, SIDE = 12, 16
METRICS = {**standard(("psnr", "ssim"))}


def evaluation(strength: float = 0.5, noise: int = 0, names: str = "face {}") -> Evaluation:
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(N, 3, SIDE, SIDE, generator=generator)
    damage = torch.randn(clean.shape, generator=generator.manual_seed(noise + 1)) * torch.linspace(0.1, 0.3, N).view(
        -1, 1, 1, 1
    )
    batch = {"clean": clean.mul(255).round() / 255, "degraded": (clean + damage).clamp(0, 1)}
    batch["key"] = [names.format(n) for n in range(N)]
    return evaluate(
        {"model": lambda x: x * strength + (1 - strength) * 0.5}, [batch], 200, 0, {"recipe": "noise"}, METRICS
    )


def run(name: str, found: Evaluation, **params: object) -> EvaluatedRun:
    return EvaluatedRun(name, Path(), found, "model", params)


@pytest.fixture(scope="module")
def two() -> tuple[EvaluatedRun, EvaluatedRun]:
    return run("a", evaluation(0.5), steps=100, width=8), run("b", evaluation(0.8), steps=200, width=8)


def test_the_difference_is_of_b_less_a_face_by_face(two: tuple[EvaluatedRun, EvaluatedRun]) -> None:
    a, b = two
    found = compare(a, b)
    row = found.metrics.iloc[0]
    change = b.evaluation.scores["model"]["psnr"] - a.evaluation.scores["model"]["psnr"]
    assert (row.name, row.n) == ("psnr", N)
    assert row.difference == pytest.approx(change.mean()) and row.b - row.a == pytest.approx(change.mean())
    assert (row.wins, row.losses, row.ties) == ((change > 0).sum(), (change < 0).sum(), 0)
    assert row.better == 1 and "is better than" in found.verdict()
    assert list(found.changed) == [a.evaluation.keys[n] for n in np.argsort(-abs(change))]


def test_the_other_way_round_everything_changes_its_sign(two: tuple[EvaluatedRun, EvaluatedRun]) -> None:
    there, back = compare(*two), compare(*reversed(two))
    for x, y in zip(there.metrics.itertuples(), back.metrics.itertuples(), strict=True):
        assert x.difference == pytest.approx(-y.difference)
        assert (x.wins, x.losses, x.better) == (y.losses, y.wins, -y.better)


def test_a_run_equals_itself(two: tuple[EvaluatedRun, EvaluatedRun]) -> None:
    found = compare(two[0], two[0])
    assert (found.metrics[["difference", "low", "high", "ties", "better"]] == [0, 0, 0, N, 0]).all(axis=None)
    assert "cannot be told from" in found.verdict()
    assert found.cautions == [] and found.params == found.conditions == {}


def test_lower_may_be_better(two: tuple[EvaluatedRun, EvaluatedRun]) -> None:
    def turned(s: EvaluatedRun) -> EvaluatedRun:
        metrics = {"psnr": METRICS["psnr"]._replace(higher_is_better=False)}
        return replace(s, evaluation=replace(s.evaluation, metrics={**s.evaluation.metrics, **metrics}))

    straight, other = compare(*two).metrics.iloc[0], compare(*map(turned, two)).metrics.iloc[0]
    assert other.difference == straight.difference
    assert (other.wins, other.better) == (straight.losses, -straight.better)


def test_the_order_of_the_faces_does_not_matter(two: tuple[EvaluatedRun, EvaluatedRun]) -> None:
    b = two[1].evaluation
    order = np.random.default_rng(0).permutation(N)
    shuffled = replace(
        b,
        keys=[b.keys[n] for n in order],
        scores={m: {k: v[order] for k, v in by.items()} for m, by in b.scores.items()},
    )
    found = compare(two[0], replace(two[1], evaluation=shuffled))
    assert found.metrics.equals(compare(*two).metrics)


def test_other_faces_are_refused_with_both_sides(two: tuple[EvaluatedRun, EvaluatedRun]) -> None:
    with pytest.raises(
        ValueError, match=r"judged other faces\n  only in a \(12\): face 0.*\n  only in c \(12\): image 0"
    ):
        compare(two[0], run("c", evaluation(names="image {}")))


def test_other_damage_references_and_rules_are_told(two: tuple[EvaluatedRun, EvaluatedRun]) -> None:
    a = two[0]
    assert any("degraded faces are not the same" in s for s in compare(a, run("c", evaluation(noise=5))).cautions)
    changed = {**a.evaluation.conditions, "clean_sha256": "0", "crop": "4 pixels at each border"}
    cautions = compare(a, replace(a, evaluation=replace(a.evaluation, conditions=changed))).cautions
    assert len(cautions) == 2 and "clean faces are not the same" in cautions[0] and "crop" in cautions[1]


def test_what_differs_is_listed_with_both_values(two: tuple[EvaluatedRun, EvaluatedRun]) -> None:
    assert compare(*two).params == {"steps": (100, 200)}
    assert differing({"a": 1}, {"b": 2}) == {"a": (1, None), "b": (None, 2)}


def test_another_metric_can_lead(two: tuple[EvaluatedRun, EvaluatedRun]) -> None:
    assert list(compare(*two, metric="ssim").metrics.index) == ["ssim", "psnr"]
    with pytest.raises(ValueError, match="metric 'lpips': not in both; there are: psnr, ssim"):
        compare(*two, metric="lpips")


def test_a_run_is_read_from_its_folder(tmp_path: Path, two: tuple[EvaluatedRun, EvaluatedRun]) -> None:
    a = two[0]
    a.evaluation.save(tmp_path / "run" / "metrics.json")
    (tmp_path / "run" / "params.json").write_text('{"steps": 100}')
    found = EvaluatedRun.load(tmp_path / "run")
    assert (found.name, found.method, found.params) == ("run", "model", {"steps": 100})
    assert found.evaluation.to_json() == a.evaluation.to_json()
    with pytest.raises(ValueError, match="method 'other': there are: degraded, model"):
        EvaluatedRun.load(tmp_path / "run", "other")
    with pytest.raises(FileNotFoundError, match=r"metrics\.json: no such file"):
        EvaluatedRun.load(tmp_path)


def test_the_summary_and_the_json_hold_the_numbers(two: tuple[EvaluatedRun, EvaluatedRun]) -> None:
    found = compare(*two)
    row = found.metrics.iloc[0]
    assert f"{row.difference:+.2f} [{row.low:+.2f}" in found.summary().loc["PSNR, dB", "B - A"]
    saved = json.loads(found.to_json(), parse_constant=pytest.fail)
    assert saved["metrics"][0]["difference"] == row.difference and saved["metrics"][0]["wins"] == row.wins
    assert saved["a"] == {"name": "a", "method": "model"} and saved["params"] == {"steps": [100, 200]}
