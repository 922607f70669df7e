"""Identity honesty: the dangerous faces are found, groups are the user's, and what is missing is said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hifacegan_lib.evaluation.identity_drift import NO_LABEL, drift, group_frame, group_table, group_tables, read_labels
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.metrics.metric import MetricUnavailable
from hifacegan_lib.metrics.registry import standard

KEYS = [f"{n}.png" for n in range(5)]
METRICS = standard(("psnr", "lpips", "identity"))


def made(**unavailable: str) -> Evaluation:
    scores = {
        "degraded": {
            "psnr": np.array([20.0, 21, 22, 23, 24]),
            "lpips": np.array([0.5, 0.5, 0.5, 0.5, 0.5]),
            "identity": np.array([0.9, 0.2, np.nan, 0.6, 0.6]),
        },
        "model": {
            "psnr": np.array([21.0, 22, 23, 24, np.inf]),
            "lpips": np.array([0.3, 0.2, 0.6, 0.4, 0.1]),
            "identity": np.array([0.8, 0.1, 0.3, np.nan, 0.35]),
        },
    }
    scores = {m: {k: v for k, v in by.items() if k not in unavailable} for m, by in scores.items()}
    conditions = {"unavailable": unavailable, "bootstrap_samples": 100, "seed": 0}
    return Evaluation(conditions, [], KEYS, scores, METRICS)


def test_drift_and_gain_are_each_faces() -> None:
    found = drift(made())
    assert list(found.faces.index) == ["1.png", "2.png", "4.png", "0.png"] and found.not_found == ["3.png"]
    np.testing.assert_allclose(found.faces["drift"], [0.9, 0.7, 0.65, 0.2])
    np.testing.assert_allclose(found.faces["gain"], [0.3, -0.1, 0.4, 0.2])
    np.testing.assert_allclose(found.faces["drift_degraded"], [0.8, np.nan, 0.4, 0.1])
    assert found.metric == "lpips"


def test_the_deceptive_are_named() -> None:
    found = drift(made())
    assert len(found.another_person) == 3
    assert list(found.deceptive.index) == ["1.png", "4.png"]  # looks better, is someone else


def test_without_any_perceptual_metric_the_reason_is_told() -> None:
    with pytest.raises(MetricUnavailable, match=r"needs one of lpips, .*ssim, and none was measured"):
        drift(made(lpips="no weights"))


def test_without_identity_the_reason_is_told() -> None:
    with pytest.raises(MetricUnavailable, match="identity was not measured: run `hifacegan weights fetch sface`"):
        drift(made(identity="run `hifacegan weights fetch sface`"))


def test_groups_have_their_own_means_and_gains() -> None:
    groups = group_frame(made(), {"0": "young", "1.png": "young", "2.png": "old", "4": "old"})
    assert list(groups["n"].items()) == [(NO_LABEL, 1), ("old", 2), ("young", 2)] and groups["few"].all()
    nobody, old = groups.loc[NO_LABEL], groups.loc["old"]
    assert old["psnr"] == 23 and old["psnr_gain"] == 1  # the infinite one is in no mean
    assert old["identity"] == pytest.approx(0.325) and old["identity_no_value"] == 0
    assert np.isnan(nobody["identity"]) and nobody["identity_no_value"] == 1
    text = group_table(groups, made()).drop(columns=["LPIPS", "LPIPS gain"])
    assert list(text.loc["old"]) == ["2 (few)", "23.00", "0.325", "+1.00 [+1.00, +1.00]", "-0.250 [-0.250, -0.250]"]
    assert list(text.loc[NO_LABEL])[2:] == ["none", "+1.00 [+1.00, +1.00]", ""]
    alone = replace(made(), scores={"model": made().scores["model"]})
    assert list(group_table(group_frame(alone, {"0": "young"}), alone)) == ["faces", "PSNR, dB", "LPIPS", "identity"]


def test_a_dot_in_a_name_begins_no_suffix_unless_an_image_has_it() -> None:
    found = replace(made(), keys=["a 0.25", "a 0.5", "b 0.5", "c", "d.JPG"])
    groups = group_frame(found, {"a 0.5.png": "x", "b 0.25": "y", "c.png": "x", "d": "x"})
    assert dict(groups["n"]) == {"x": 3, NO_LABEL: 2}


def test_each_column_of_labels_has_its_table() -> None:
    labels = {"age": {"0": "young"}, "light": {"1": "dim", "2": "dim"}}
    tables = group_tables(made(), labels)
    assert list(tables) == ["age", "light"] and tables["light"].loc["dim", "faces"] == "2 (few)"
    assert tables["age"].equals(group_table(group_frame(made(), labels["age"]), made()))


def test_labels_of_nobody_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no label is of an evaluated face: labels such as 'x', faces such"):
        group_frame(made(), {"x": "young"})


def test_labels_are_read_by_column(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("key,age,light\n0.png,young,\n1.png,old,dim\n", encoding="utf-8-sig")
    assert read_labels(path) == {
        "age": {"0.png": "young", "1.png": "old"},
        "light": {"0.png": NO_LABEL, "1.png": "dim"},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,age\n", "expected a header with 'key'"),
        ("key\n1\n", "a column of labels"),
        ("key,a\n1,x\n1,y\n", "line 3: key '1' comes twice"),
        ("", "header"),
    ],
)
def test_bad_labels_are_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"labels\.csv.*{said}"):
        read_labels(tmp_path / "labels.csv")
