"""Without originals: what needs no clean face is measured, the rest is named, and nothing is called the best unduly."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from standins import real
from torch import Tensor

import hifacegan_lib as hf
from hifacegan_lib.evaluation import identity_drift
from hifacegan_lib.evaluation.comparison import EvaluatedRun, compare
from hifacegan_lib.evaluation.face_values import FaceValues
from hifacegan_lib.evaluation.folder_pairs import pair_folders
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.evaluation.scoring import Batch, evaluate
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.names import TO_INPUT
from hifacegan_lib.utils.images import save_image, to_float

SIDES = (24, 24, 32)  # the third batch has another size
QUICK = standard(("psnr", "sharpness", "moved"))
BRIGHT = QUICK["sharpness"]._replace(compute=lambda x, _: x.mean((1, 2, 3)), label="brightness", higher_is_better=True)


def batches(seed: int = 0) -> list[Batch]:
    draw = torch.Generator().manual_seed(seed)
    faces = [torch.rand(2, 3, side, side + 4, generator=draw).mul(255).round() / 255 for side in SIDES]
    return [{"degraded": x, "key": [f"Söhne {n} {k}" for k in range(2)]} for n, x in enumerate(faces)]


def smooth(x: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def judged(metrics: Any = None, **methods: Any) -> Evaluation:
    return evaluate(methods or {"smooth": smooth}, batches(), 100, metrics=metrics or QUICK | {"bright": BRIGHT})


def test_the_distance_from_the_input_is_in_grey_levels() -> None:
    found = judged()
    pictures = [((smooth(b["degraded"]) * 255).round() - b["degraded"] * 255).abs() for b in batches()]
    expected = torch.cat([x.mean((1, 2, 3)) for x in pictures])
    np.testing.assert_allclose(found.scores["smooth"]["moved"], expected, rtol=1e-5)
    assert "moved" not in found.scores["degraded"] and found.rows[0]["moved"] is None


def test_the_input_is_a_row_too_after_other_processes_have_scored_it() -> None:
    there, here = (FaceValues({"moved": QUICK["moved"]}) for _ in range(2))
    batch = batches()[0]
    there.add({"degraded": batch["degraded"], "restored": smooth(batch["degraded"])}, batch["key"])
    here.merge(there, batch["key"])
    assert list(here.scores()) == list(there.scores()) == ["degraded", "restored"]


@real("yunet", "sface")
def test_identity_to_the_input_is_identity_with_the_input_in_the_clean_faces_place() -> None:
    face = to_float(np.ascontiguousarray(data.astronaut()[:192, 128:320]))[None]
    batch = {"degraded": face, "key": ["astronaut"]}
    to_input = evaluate({"model": smooth}, [batch], 100, metrics=standard(("identity_to_input",)))
    to_clean = evaluate({"model": smooth}, [batch | {"clean": face}], 100, metrics=standard(("identity",)))
    assert to_input.rows[1]["identity_to_input"] == to_clean.rows[1]["identity"]
    assert to_input.rows[1]["faces_not_found"] == 0


def test_conditions_name_what_was_left_out_and_list_the_sizes() -> None:
    found = judged()
    c = found.conditions
    assert c["originals"] == "none" and c["left_out"] == "psnr: need clean faces" and "clean_sha256" not in c
    assert c["image_size"] == found.sizes == "24 x 28, 32 x 36" and len(c["input_sha256"]) == 64
    assert list(found.metrics) == ["sharpness", "moved", "bright"] and not found.originals
    many = [{"degraded": torch.rand(1, 3, n, n), "key": [f"{n}"]} for n in range(90, 110)]
    assert evaluate({}, many, 10, metrics=QUICK).sizes == "20 sizes, 90 x 90 to 109 x 109"


def test_by_default_everything_that_can_be_measured_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # no networks: quick, and as true
    bare = batches()[0]
    found = evaluate({"smooth": smooth}, [bare], 10)
    assert {"niqe", "sharpness", "colour_cast", *TO_INPUT} <= set(found.metrics) and "psnr" not in found.metrics
    with_clean = evaluate({}, [bare | {"clean": bare["degraded"]}], 10)
    assert not {*TO_INPUT} & set(with_clean.metrics) and "left_out" not in with_clean.conditions
    alone = evaluate({}, [{"key": bare["key"], "columns": {"restored": bare["degraded"]}}], 10)
    assert alone.conditions["left_out"].endswith("; identity_to_input, moved: need the restorer's input")


def test_no_method_is_the_best_where_only_the_clean_faces_would_tell() -> None:
    found = judged()
    assert [found.best(name) for name in found.metrics] == [None, None, "degraded"]
    assert found.leading == "bright" and found.gain("smooth") == found.gain("smooth", metric="bright")
    assert found.direction("moved") == found.direction("sharpness") == "no better side without clean faces"
    assert list(found.gains("smooth").index) == ["degraded"] and found.gains("smooth", "moved").empty
    assert "(clean)" not in found.summary().index


def test_a_face_without_a_value_is_not_picked() -> None:
    dark = BRIGHT._replace(compute=lambda x, _: torch.where(x.mean((1, 2, 3)) > 0.5, x.mean((1, 2, 3)), torch.nan))
    found = judged({"bright": dark})
    missing = found.conditions["no_value"]["smooth"]["bright"]
    picked = {key for keys in found.pick("smooth").values() for key in keys}
    assert missing and picked and not picked & set(missing)


def test_it_is_saved_and_comes_back(tmp_path: Path) -> None:
    found = judged()
    again = Evaluation.load(found.save(tmp_path / "metrics.json"))
    assert again.to_json() == found.to_json() and not again.originals
    assert {m: list(v) for m, v in again.scores.items()} == {m: list(v) for m, v in found.scores.items()}
    assert (again.metrics["moved"].unit, again.metrics["moved"].against) == ("grey levels", "degraded")
    line = (tmp_path / "metrics.csv").read_text(encoding="utf-8").splitlines()[1]
    assert "psnr: need clean faces" in line


def test_distances_to_statistics_need_no_clean_faces() -> None:
    def distance(features: Any, clean: Any) -> tuple[float, None, None]:
        assert clean is None
        return float(features.mean()), None, None

    sets = BRIGHT._replace(compute=None, features=lambda x: x.mean((2, 3)), distance=distance, against="")
    found = judged({"fid": sets})
    assert [row["fid"] for row in found.rows] == pytest.approx([0.5, 0.5], abs=0.05)
    with_clean = [b | {"clean": b["degraded"]} for b in batches()]
    assert evaluate({}, with_clean, 10, metrics={"fid": sets}).rows[0]["fid"] == found.rows[0]["fid"]
    assert evaluate({}, batches(), 10, metrics=QUICK | {"fid": sets._replace(against="clean")}).conditions[
        "left_out"
    ] == ("psnr, fid: need clean faces")


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="no metric is left: psnr: need clean faces"):
        judged(standard(("psnr",)))
    mixed = batches()
    mixed[1]["clean"] = mixed[1]["degraded"]
    with pytest.raises(ValueError, match=r"batch of 'Söhne 1 0': its pictures are degraded, clean; .* were degraded$"):
        evaluate({}, mixed, 10, metrics=QUICK)


def test_one_picture_is_enough() -> None:
    one = [{"degraded": batches()[0]["degraded"][:1], "key": ["a"]}]
    found = evaluate({"smooth": smooth}, one, 10, metrics=QUICK)
    (row,) = [row for row in found.rows if row["method"] == "smooth"]
    assert row["n"] == 1 and row["moved_low"] == row["moved"] == row["moved_high"]


def run(name: str, found: Evaluation) -> EvaluatedRun:
    return EvaluatedRun(name, Path(), found, "model", {})


def test_two_are_compared_face_by_face_and_count_no_wins_without_a_better_side() -> None:
    a, b = (run(name, judged(model=lambda x, k=k: x * k)) for name, k in (("a", 0.9), ("b", 0.5)))
    found = compare(a, b)
    assert list(found.metrics.index) == ["bright", "sharpness", "moved"] and found.cautions == []
    assert list(found.metrics["wins"]) == [0, None, None] and found.metrics["better"]["bright"] == -1
    change = b.evaluation.scores["model"]["moved"] - a.evaluation.scores["model"]["moved"]
    assert found.metrics["difference"]["moved"] == pytest.approx(change.mean())
    assert found.summary().loc["sharpness", "better"] == "" and '"wins": null' in found.to_json()
    assert compare(a, b, "moved").verdict().endswith("(no better side)")


def test_a_comparison_says_that_inputs_or_originals_differ() -> None:
    a = judged(model=smooth)
    other = replace(a, conditions=a.conditions | {"input_sha256": "0"})
    assert compare(run("a", a), run("b", other)).cautions[0].startswith("The inputs are not the same pixels")
    with_clean = [b | {"clean": b["degraded"]} for b in batches()]
    judged_by_clean = evaluate({"model": smooth}, with_clean, 100, metrics=QUICK)
    said = compare(run("a", a), run("b", judged_by_clean)).cautions
    assert said[0] == "Only one of them has clean faces: the metrics that need them are not compared."


def test_drift_is_from_the_input_and_gain_by_what_needs_no_reference() -> None:
    alike = QUICK["moved"]._replace(compute=lambda x, y: 1 - (x - y).abs().mean((1, 2, 3)), label="identity", unit="")
    found = judged({"bright": BRIGHT, "identity_to_input": alike}, model=lambda x: x * 0.5)
    drift = identity_drift.drift(found)
    assert (drift.origin, drift.metric) == ("input", "bright") and (drift.faces["drift_degraded"] == 0).all()
    values = found.scores["model"]["identity_to_input"]
    np.testing.assert_allclose(drift.faces["drift"], 1 - np.sort(values))
    groups = identity_drift.group_tables(found, {"light": dict.fromkeys(found.keys[:3], "dim")})["light"]
    assert list(groups) == ["faces", "brightness", "identity", "brightness gain"]


def test_a_folder_of_inputs_can_be_restored_and_judged(tmp_path: Path) -> None:
    for n, side in enumerate((24, 30)):
        save_image(tmp_path / "photos" / f"Grüße {n}.png", cv2.resize(data.astronaut(), (side, side)))
    found = hf.evaluate({"ours": smooth}, pair_folders(None, {"degraded": tmp_path / "photos"}), ("sharpness", "moved"))
    assert list(found.scores) == ["degraded", "ours"] and found.keys == ["Grüße 0", "Grüße 1"]
    assert found.conditions["file_format"] == "degraded: PNG 2" and found.scores["ours"]["moved"].min() > 0


def test_the_challenges_score_is_of_all_its_parts_or_names_what_is_missing() -> None:
    means = {"clip_iqa": 0.7, "maniqa": 0.5, "musiq": 70.0, "niqe": 4.0, "qalign": 4.0, "fid": 40.0}
    constant = {
        name: BRIGHT._replace(compute=lambda x, _, value=value: x.new_full((len(x),), value))
        for name, value in means.items()
        if name != "fid"
    }
    alike = QUICK["moved"]._replace(compute=lambda x, _: x.new_full((len(x),), 0.9))
    fid = BRIGHT._replace(
        compute=None, features=lambda x: x.mean((2, 3)), distance=lambda *_: (40.0, None, None), against=""
    )
    against = fid._replace(implementation="Inception; against ffhq.npz (sha256 0)")
    found = judged(constant | {"identity_to_input": alike, "fid": against})
    told = found.ntire("wider", "smooth")
    assert told.score == pytest.approx(0.7 + 0.5 + 0.7 + 0.6 + 0.8 + 0.6) and str(told).endswith("10 are allowed")
    assert found.ntire("wider", "degraded").missing == ("identity",)
    assert judged(constant | {"fid": fid}).ntire("lfw", "smooth").missing == ("fid", "identity")  # not against FFHQ
    with pytest.raises(ValueError, match="method 'other': not evaluated; there are: degraded, smooth"):
        found.ntire("lfw", "other")
