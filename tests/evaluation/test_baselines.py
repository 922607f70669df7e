"""Baselines: they do what their names say, in the right colours, and are tuned without looking at validation faces."""

from functools import partial

import cv2
import golden
import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from hifacegan_lib.evaluation import baselines
from hifacegan_lib.metrics import full_reference
from hifacegan_lib.utils import images


@pytest.fixture(scope="module")
def faces() -> Tensor:
    """Two unlike colour patches, N x 3 x 48 x 40."""
    photo = images.resize(data.astronaut()[:240, 100:300], 48, 40)
    return torch.stack([images.to_float(photo), images.to_float(photo[::-1, :, ::-1].copy())])


def noisy(faces: Tensor, sigma: float) -> Tensor:
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, sigma / 255, faces.shape)).float()
    return (faces + noise).clamp(0, 1).mul(255).round().div(255)


@pytest.mark.parametrize("method", [partial(baselines.bicubic, factor=2.5), partial(baselines.non_local_means, h=10)])
def test_faces_stay_faces_and_do_not_touch_each_other(method: baselines.Method, faces: Tensor) -> None:
    both = method(faces)
    assert both.shape == faces.shape and both.dtype == faces.dtype
    assert both.min() >= 0 and both.max() <= 1
    torch.testing.assert_close(both[1:], method(faces[1:]))


def test_bicubic_by_one_is_the_identity_and_flat_faces_stay(faces: Tensor) -> None:
    torch.testing.assert_close(baselines.bicubic(faces, 1), faces, atol=1e-6, rtol=0)
    flat = torch.full((1, 3, 20, 30), 0.3)
    torch.testing.assert_close(baselines.bicubic(flat, 3), flat)


def test_bicubic_takes_more_detail_away_the_larger_the_factor(faces: Tensor) -> None:
    values = torch.stack([full_reference.psnr(baselines.bicubic(faces, factor), faces) for factor in (1.5, 3, 6, 100)])
    assert (values.diff(dim=0) < 0).all()


def test_non_local_means_is_opencvs_on_bgr(faces: Tensor) -> None:
    bgr = np.ascontiguousarray(images.to_uint8(faces[0])[..., ::-1])
    expected = cv2.fastNlMeansDenoisingColored(bgr, None, 7, 7, 5, 15)[..., ::-1]
    found = images.to_uint8(baselines.non_local_means(faces, 7, 5, 15)[0])
    np.testing.assert_array_equal(found, expected)


def test_non_local_means_keeps_each_colour_and_lowers_noise(faces: Tensor) -> None:
    colours = torch.eye(3).view(3, 3, 1, 1).expand(3, 3, 24, 24)
    assert (baselines.non_local_means(colours, 5) - colours).abs().max() < 0.02
    damaged = noisy(faces, 20)
    assert (
        full_reference.psnr(baselines.non_local_means(damaged, 15), faces) > full_reference.psnr(damaged, faces) + 1
    ).all()


@pytest.mark.parametrize(("h", "template", "search"), [(-1, 7, 21), (3, 6, 21), (3, 7, 0)])
def test_bad_settings_are_refused(faces: Tensor, h: float, template: int, search: int) -> None:
    with pytest.raises(ValueError, match="expected h >= 0 and odd sides"):
        baselines.non_local_means(faces, h, template, search)
    with pytest.raises(ValueError, match=r"factor = 0\.5"):
        baselines.bicubic(faces, 0.5)


def test_tuning_takes_the_highest_mean_psnr(faces: Tensor) -> None:
    grid = [{"h": h} for h in (0, 5, 15, 60)]
    batches = [{"degraded": noisy(faces, 20), "clean": faces}, {"degraded": noisy(faces, 25)[:1], "clean": faces[:1]}]
    tuned = baselines.tune(baselines.non_local_means, grid, iter(batches))
    scores = [line["psnr"] for line in tuned.table]
    assert [line["h"] for line in tuned.table] == [0, 5, 15, 60]
    assert tuned.setting == grid[int(np.argmax(scores))] and tuned.setting["h"] in (5, 15)
    by_hand = torch.cat([full_reference.psnr(tuned.method(b["degraded"]), b["clean"]) for b in batches]).mean().item()
    assert max(scores) == pytest.approx(by_hand)


def test_tuning_on_nothing_is_refused(faces: Tensor) -> None:
    with pytest.raises(ValueError, match="bicubic: nothing to tune: 0 settings"):
        baselines.tune(baselines.bicubic, [], [{"degraded": faces, "clean": faces}])
    with pytest.raises(ValueError, match="1 settings, and no pair"):
        baselines.tune(baselines.bicubic, [{"factor": 2}], [])


@pytest.mark.parametrize("factor", [1.3, 2.5, 30])
def test_the_recorded_bicubic(faces: Tensor, factor: float) -> None:
    golden.check(f"evaluation: bicubic {factor}", baselines.bicubic(faces, factor))


@pytest.mark.parametrize("numbers", [(5,), (4, 3, 11)])
def test_the_recorded_non_local_means(faces: Tensor, numbers: tuple[float, ...]) -> None:
    golden.check(f"evaluation: non-local means {numbers}", baselines.non_local_means(noisy(faces, 15), *numbers))  # type: ignore[arg-type]


def test_the_grids_begin_with_the_mildest_and_all_families_are_tuned(faces: Tensor) -> None:
    found = baselines.tune_all([{"degraded": noisy(faces, 12), "clean": faces}])
    assert list(found) == ["bicubic", "non_local_means"]
    for name, mildest in (("bicubic", {"factor": 1}), ("non_local_means", {"h": 1, "template": 3, "search": 11})):
        tuned = found[name]
        assert {key: tuned.table[0][key] for key in mildest} == mildest
        values = [row["psnr"] for row in tuned.table]
        assert tuned.gain == pytest.approx(max(values) - values[0])
        golden.check(f"evaluation: tuned {name}", values, unit=10)
