"""docs/protocols.py: each protocol moves the numbers as its arithmetic says, ours not at all."""

import json
import math
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import scripts
import torch
from skimage import data
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from hifacegan_lib.degradations.compression import jpeg
from hifacegan_lib.evaluation.scoring import evaluate
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.utils.images import Pixels, to_float

METRICS = standard(("psnr", "ssim", "colour_shift"))
COUNT, SIDE = 30, 60


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return scripts.load("protocols")


@pytest.fixture(scope="module")
def faces() -> list[tuple[Pixels, Pixels, Pixels]]:
    """Crops of photographs, noisy and blurred ever more, and with noise removed: degraded, restored, clean."""
    photos, rng, found = (data.astronaut(), data.chelsea(), data.coffee()), np.random.default_rng(0), []
    for n in range(COUNT):
        y, x = rng.integers(0, 300 - SIDE, 2)
        clean = photos[n % 3][y : y + SIDE, x : x + SIDE].copy()
        noisy = cv2.GaussianBlur(clean, (0, 0), 1) + rng.normal(0, 4 + 20 * n / COUNT, clean.shape)
        degraded = noisy.round().clip(0, 255).astype(np.uint8)
        found.append((degraded, cv2.bilateralFilter(degraded, 5, 40, 2), clean))
    return found


@pytest.fixture(scope="module")
def psnr(study: ModuleType, faces: list) -> dict[str, dict]:
    """Protocol -> its row of PSNR."""
    rows = study.moved([study.Face(*face) for face in faces], METRICS, seed=3)
    return {row["protocol"]: row for row in rows if row["metric"] == "psnr"}


def values(faces: list, change: object = lambda x: x) -> np.ndarray:
    """scikit-image's PSNR of each face after ``change`` to both."""
    return np.array([peak_signal_noise_ratio(change(c), change(r)) for _, r, c in faces])  # type: ignore[operator]


def test_every_protocol_moves_some_metric_and_ours_none(study: ModuleType, faces: list) -> None:
    rows = study.moved([study.Face(*face) for face in faces], METRICS)
    still = {row["protocol"] for row in rows} - {row["protocol"] for row in rows if abs(row["moved"]) > 1e-4}
    assert still == {"ours"}
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert {row["metric"] for row in rows if row["protocol"] == "mean_of_mse"} == {"psnr"}
    assert len({row["protocol"] for row in rows}) == 16 and all(row["says"].endswith(".") for row in rows)


def test_each_number_is_scikit_images(psnr: dict, faces: list) -> None:
    each, last = values(faces), COUNT // 24 * 24
    y = values(faces, lambda x: rgb2ycbcr(x)[..., 0].round().astype(np.uint8))
    as_jpeg = np.mean([peak_signal_noise_ratio(c, jpeg(r, 90)) for _, r, c in faces])
    gone = np.random.default_rng(3).choice(COUNT, 2, replace=False)
    expected = {
        "ours": each.mean(),
        "jpeg_outputs_90": as_jpeg,
        "bgr_both": each.mean(),
        "bgr_restored": np.mean([peak_signal_noise_ratio(c, r[..., ::-1]) for _, r, c in faces]),
        "luma_only": y.mean(),
        "cropped_border_8": values(faces, lambda x: x[8:-8, 8:-8]).mean(),
        "dropped_last_batch": each[:last].mean(),
        "faces_not_found_dropped": np.sort(each)[3:].mean(),
        "unreadable_as_80": (np.delete(each, gone).sum() + 160) / COUNT,
        "mean_of_mse": peak_signal_noise_ratio(*(np.stack([face[k] for face in faces]) for k in (2, 1))),
        "mean_of_batches": np.mean([each[:last].mean(), each[last:].mean()]),
    }
    for name, value in expected.items():
        assert psnr[name]["value"] == pytest.approx(value, abs=1e-4), name
        assert psnr[name]["moved"] == pytest.approx(value - each.mean(), abs=1e-4), name
    assert psnr["bgr_restored"]["moved"] < -3 and psnr["resized_references"]["moved"] > 1


def test_colours_run_over_the_seams_of_a_triptych(study: ModuleType) -> None:
    red, blue = (np.full((32, 32, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    left, right = study.triptych(study.Face(red, red, blue), 95)
    for cut, whole, edge in ((left, red, -1), (right, blue, 0)):
        assert cut.shape == whole.shape
        assert np.abs(cut[:, 16].astype(float) - whole[:, 16]).max() < 5
        assert np.abs(cut[:, edge].astype(float) - whole[:, edge]).max() > 20


def test_infinite_values_are_left_out_and_pictures_too_small_have_none(study: ModuleType, faces: list) -> None:
    some = [study.Face(*face) for face in faces[:5]]
    some[0] = some[0]._replace(restored=some[0].clean)
    rows = study.moved(some, standard(("psnr", "ms_ssim")))
    assert rows[0]["value"] == pytest.approx(values(faces[1:5]).mean(), abs=1e-4)
    assert {row["value"] for row in rows if row["metric"] == "ms_ssim"} == {None}
    assert {row["moved"] for row in rows if row["protocol"] == "dropped_last_batch"} == {None}  # no full batch


def test_a_judged_run_gets_its_numbers_and_its_picture(study: ModuleType, faces: list, tmp_path: Path) -> None:
    degraded, restored, clean = (torch.stack([to_float(face[k]) for face in faces[:4]]) for k in range(3))
    batch = {"key": [f"face {n}" for n in range(4)], "degraded": degraded, "clean": clean}
    found = evaluate({"model": lambda _: restored}, [batch], 100, metrics=METRICS, keep=tmp_path)
    found.save(tmp_path / "metrics.json")
    study.main([str(tmp_path)])
    rows = json.loads((tmp_path / "protocols.json").read_text())
    assert math.isclose(rows[0]["value"], found.rows[1]["psnr"], rel_tol=1e-9)
    assert (tmp_path / "figures" / "05_protocols.png").stat().st_size > 10_000
    (tmp_path / "pictures.json").unlink()
    with pytest.raises(FileNotFoundError, match="keep_pictures = true"):
        study.main([str(tmp_path)])
