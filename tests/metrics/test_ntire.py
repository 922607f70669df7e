"""NTIRE 2026's score: by hand, within its bounds, and none with a part missing."""

import pytest

from hifacegan_lib.metrics.ntire import PARTS, THRESHOLDS, score
from hifacegan_lib.names import METRICS

MEANS = {"clip_iqa": 0.7, "maniqa": 0.5, "musiq": 72.0, "niqe": 4.0, "qalign": 4.0, "fid": 60.0, "psnr": 24.0}


def test_the_score_by_hand() -> None:
    found = score(MEANS, [0.9, 0.5], "celeba")
    assert found.score == pytest.approx(0.7 + 0.5 + 0.72 + 0.6 + 0.8 + 0.4)
    assert found.parts == pytest.approx(dict(zip(PARTS, (0.7, 0.5, 0.72, 0.6, 0.8, 0.4), strict=True)))
    assert str(found) == "NTIRE score 3.7200; gate passed: 0 of 2 faces below 0.50, 10 are allowed"


def test_niqe_and_fid_never_take_away() -> None:
    found = score({**MEANS, "niqe": 14.0, "fid": 250.0}, [1.0], "lfw")
    assert found.parts["niqe"] == found.parts["fid"] == 0 and found.score == pytest.approx(2.72)
    best = score({"clip_iqa": 1, "maniqa": 1, "musiq": 100, "niqe": 0, "qalign": 5, "fid": 0}, [1.0], "lfw")
    assert best.score == pytest.approx(6)


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("value", [None, float("nan"), "absent"])
def test_a_missing_part_gives_no_score_and_is_named(name: str, value: object) -> None:
    means = {n: x for n, x in MEANS.items() if n != name} if value == "absent" else {**MEANS, name: value}
    found = score(means, [1.0], "wider")
    assert found.score is None and found.missing == (name,) and len(found.parts) == 5
    assert str(found).startswith(f"no NTIRE score: {name} missing; gate passed")


def test_without_cosines_there_is_no_gate_and_no_score() -> None:
    for cosines in (None, []):
        found = score({**MEANS, "fid": None}, cosines, "wider")
        assert found.gate is None and found.missing == ("fid", "identity") and found.score is None


@pytest.mark.parametrize("kind", THRESHOLDS)
def test_ten_faces_may_lie_below_the_sets_threshold(kind: str) -> None:
    least = THRESHOLDS[kind]
    for low, passed in ((10, True), (11, False)):
        found = score(MEANS, [least] * 5 + [least - 1e-6] * (low - 1) + [float("nan")], kind)
        assert found.gate and (found.gate.below, found.gate.faces, found.gate.passed) == (low, low + 5, passed)
        assert found.score is not None and f"gate {'passed' if passed else 'failed'}: {low} of" in str(found)


def test_an_unknown_kind_is_refused_and_the_parts_are_metrics() -> None:
    with pytest.raises(ValueError, match="kind of set 'ffhq': unknown; expected one of: wider, webphoto, lfw"):
        score(MEANS, [1.0], "ffhq")
    assert set(PARTS) <= set(METRICS)
