"""An evaluation's folder: every part that was given is in the page, and the numbers come last."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.evaluation.robustness import metrics_for, surface
from hifacegan_lib.evaluation.scoring import Batch, evaluate, examples
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.reports import evaluation_report
from hifacegan_lib.utils.images import to_float

N, SIDE = 6, 32
METHODS = {"darker": lambda x: x * 0.9, "model": lambda x: x * 0.5 + 0.25}


@pytest.fixture(scope="module")
def batches() -> list[Batch]:
    recipe, clean = load_recipe("report"), [portrait(n, SIDE) for n in range(N)]
    traces = [recipe.sample(n, grid=SIDE) for n in range(N)]
    degraded = [to_float(trace.apply(face)) for trace, face in zip(traces, clean, strict=True)]
    return [
        {
            "key": [f"face {n}" for n in range(N)],
            "clean": torch.stack([to_float(face) for face in clean]),
            "degraded": torch.stack(degraded),
            "trace": [trace.to_json() for trace in traces],
        }
    ]


@pytest.fixture(scope="module")
def judged(batches: list[Batch]) -> Evaluation:
    return evaluate(METHODS, batches, 100, metrics=standard(("psnr", "ssim", "identity")))


def test_the_page_holds_every_part_in_order(judged: Evaluation, batches: list[Batch], tmp_path: Path) -> None:
    keys = evaluation_report.shown_keys(judged)
    assert set(keys) == set(judged.keys)  # two each of best, median and worst
    faces = examples(METHODS, batches, keys)
    clean = {key: faces[key]["clean"] for key in keys[:1]}
    found = surface(METHODS["model"], clean, load_recipe("report"), metrics_for(judged), ("jpeg",), "alone")
    labels, remarks = {"light": dict.fromkeys(keys[:2], "dim")}, {"Other rules": ["PSNR 80 dB."]}
    page = evaluation_report.write_evaluation(
        tmp_path, judged, "model", faces, "T", {"seed": 0}, labels=labels, surfaces=[found], remarks=remarks
    )
    assert {path.name for path in tmp_path.iterdir()} == {
        "metrics.csv", "metrics.json", "report.html", "surfaces.json"
    }  # fmt: skip
    text = page.read_text(encoding="utf-8")
    parts = ["Methods", "best by PSNR", "Best, median and worst.", "Damage: face", "Means.", "Face by face."]
    parts += ["Where it breaks: that damage alone", "Other rules", "Is it still the same person?", "By light"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places) and text.count('class="slider"') == len(keys)
    assert json.loads((tmp_path / "surfaces.json").read_text()) == {"alone": json.loads(json.dumps(found.to_dict()))}
    assert Evaluation.load(tmp_path / "metrics.json").rows == judged.rows


def test_the_identity_section_shows_the_worst_or_says_why_not(judged: Evaluation) -> None:
    missing = evaluation_report.identity_section(judged)
    if "identity" not in judged.available:
        assert missing.sentences[0].startswith("Not measured: identity was not measured:") and not missing.figures
    values = {"degraded": np.linspace(0.9, 0.4, N), "model": np.linspace(0.8, 0.1, N)}
    scores = {name: {**judged.scores[name], "identity": x} for name, x in values.items()}
    conditions = {**judged.conditions, "unavailable": {}}
    found = Evaluation(conditions, judged.rows, judged.keys, scores, judged.metrics)
    face = {name: portrait(1, SIDE) for name in ("degraded", "model", "clean")}
    section = evaluation_report.identity_section(found, "model", {"face 5": face})
    assert section.table["drift"]["face 5"] == "0.900" and section.sentences[0].startswith("2 of 6 faces")
    assert [caption.split(".")[0] for caption in section.figures] == ["Drift and gain", "The worst, 1 to 1"]
    assert evaluation_report.OTHER_RECOGNISER not in section.sentences
    other = {**found.metrics, "identity": found.metrics["identity"]._replace(implementation="adaface.onnx")}
    section = evaluation_report.identity_section(replace(found, metrics=other))
    assert section.sentences[-1] == evaluation_report.OTHER_RECOGNISER
