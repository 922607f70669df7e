"""Two evaluations: differences face by face, and everything that was not the same is said."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hifacegan_lib.evaluation.comparison import Side, compare, differing
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.evaluation.scoring import evaluate
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.utils.images import save_image

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


def side(name: str, found: Evaluation, **params: object) -> Side:
    return Side(name, Path(), found, "model", params)


@pytest.fixture(scope="module")
def two() -> tuple[Side, Side]:
    return side("a", evaluation(0.5), steps=100, width=8), side("b", evaluation(0.8), steps=200, width=8)


def test_the_difference_is_of_b_less_a_face_by_face(two: tuple[Side, Side]) -> None:
    a, b = two
    found = compare(a, b)
    line = found.lines[0]
    change = b.evaluation.scores["model"]["psnr"] - a.evaluation.scores["model"]["psnr"]
    assert (line.metric, line.n) == ("psnr", N)
    assert line.difference.mean == pytest.approx(change.mean()) and line.b - line.a == pytest.approx(change.mean())
    assert (line.wins, line.losses, line.ties) == ((change > 0).sum(), (change < 0).sum(), 0)
    assert line.better == 1 and "is better than" in found.verdict()
    assert list(found.changed) == [a.evaluation.keys[n] for n in np.argsort(-abs(change))]


def test_the_other_way_round_everything_changes_its_sign(two: tuple[Side, Side]) -> None:
    there, back = compare(*two), compare(*reversed(two))
    for x, y in zip(there.lines, back.lines, strict=True):
        assert x.difference.mean == pytest.approx(-y.difference.mean)
        assert (x.wins, x.losses, x.better) == (y.losses, y.wins, -y.better)


def test_a_run_equals_itself(two: tuple[Side, Side]) -> None:
    found = compare(two[0], two[0])
    assert all((x.difference, x.ties, x.better) == ((0, 0, 0), N, 0) for x in found.lines)
    assert "cannot be told from" in found.verdict()
    assert found.cautions == [] and found.params == found.conditions == {}


def test_lower_may_be_better(two: tuple[Side, Side]) -> None:
    def turned(s: Side) -> Side:
        metrics = {"psnr": METRICS["psnr"]._replace(higher_is_better=False)}
        return replace(s, evaluation=replace(s.evaluation, metrics={**s.evaluation.metrics, **metrics}))

    straight, other = compare(*two).lines[0], compare(*map(turned, two)).lines[0]
    assert other.difference == straight.difference
    assert (other.wins, other.better) == (straight.losses, -straight.better)


def test_the_order_of_the_faces_does_not_matter(two: tuple[Side, Side]) -> None:
    b = two[1].evaluation
    order = np.random.default_rng(0).permutation(N)
    shuffled = replace(
        b,
        keys=[b.keys[n] for n in order],
        scores={m: {k: v[order] for k, v in by.items()} for m, by in b.scores.items()},
    )
    found = compare(two[0], replace(two[1], evaluation=shuffled))
    assert [x.difference for x in found.lines] == [x.difference for x in compare(*two).lines]


def test_other_faces_are_refused_with_both_sides(two: tuple[Side, Side]) -> None:
    with pytest.raises(
        ValueError, match=r"judged other faces\n  only in a \(12\): face 0.*\n  only in c \(12\): image 0"
    ):
        compare(two[0], side("c", evaluation(names="image {}")))


def test_other_damage_references_and_rules_are_told(two: tuple[Side, Side]) -> None:
    a = two[0]
    assert any("degraded faces are not the same" in s for s in compare(a, side("c", evaluation(noise=5))).cautions)
    changed = {**a.evaluation.conditions, "clean_sha256": "0", "crop": "4 pixels at each border"}
    cautions = compare(a, replace(a, evaluation=replace(a.evaluation, conditions=changed))).cautions
    assert len(cautions) == 2 and "clean faces are not the same" in cautions[0] and "crop" in cautions[1]


def test_what_differs_is_listed_with_both_values(two: tuple[Side, Side]) -> None:
    assert compare(*two).params == {"steps": (100, 200)}
    assert differing({"a": 1}, {"b": 2}) == {"a": (1, None), "b": (None, 2)}


def test_another_metric_can_lead(two: tuple[Side, Side]) -> None:
    assert [x.metric for x in compare(*two, metric="ssim").lines] == ["ssim", "psnr"]
    with pytest.raises(ValueError, match="metric 'lpips': not in both; there are: psnr, ssim"):
        compare(*two, metric="lpips")


def test_a_side_is_read_from_its_folder(tmp_path: Path, two: tuple[Side, Side]) -> None:
    a = two[0]
    a.evaluation.save(tmp_path / "run" / "metrics.json")
    (tmp_path / "run" / "params.json").write_text('{"steps": 100}')
    found = Side.load(tmp_path / "run")
    assert (found.name, found.method, found.params) == ("run", "model", {"steps": 100})
    assert found.evaluation.to_json() == a.evaluation.to_json()
    assert found.picture("model", "face 0") is None
    face = np.full((4, 4, 3), 7, np.uint8)
    save_image(tmp_path / "run" / "pictures" / "x.png", face)
    (tmp_path / "run" / "pictures.json").write_text(json.dumps({"model": {"face 0": "pictures/x.png"}}))
    assert np.array_equal(found.picture("model", "face 0"), face)
    assert found.picture("model", "face 1") is None and found.picture("clean", "face 0") is None
    with pytest.raises(ValueError, match="method 'other': there are: degraded, model"):
        Side.load(tmp_path / "run", "other")
    with pytest.raises(FileNotFoundError, match=r"metrics\.json: no such file"):
        Side.load(tmp_path)


def test_the_table_and_the_json_hold_the_numbers(two: tuple[Side, Side]) -> None:
    found = compare(*two)
    line = found.lines[0]
    assert f"{line.difference.mean:+.2f} [{line.difference.low:+.2f}" in found.table()
    saved = json.loads(found.to_json(), parse_constant=pytest.fail)
    assert saved["lines"][0]["difference"]["mean"] == line.difference.mean
    assert saved["a"] == {"name": "a", "method": "model"} and saved["params"] == {"steps": [100, 200]}
