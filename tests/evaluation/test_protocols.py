"""Other rules for the same pictures: each moves the numbers as its arithmetic says, ours not at all."""

import json

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from hifacegan_lib.degradations.compression import jpeg
from hifacegan_lib.evaluation import protocols
from hifacegan_lib.evaluation.protocols import Face, Protocol, moved, table
from hifacegan_lib.metrics import full_reference
from hifacegan_lib.utils.images import Pixels

SCORES = {"psnr": full_reference.psnr, "ssim": full_reference.ssim}
Pictures = tuple[list[Pixels], list[Pixels], list[Pixels]]


def pictures(count: int = 5, side: int = 60) -> Pictures:
    """(restored, clean, degraded): crops of photographs, noisy and blurred ever more, and with noise removed."""
    photos, rng = (data.astronaut(), data.chelsea(), data.coffee()), np.random.default_rng(0)
    restored, clean, degraded = [], [], []
    for n in range(count):
        y, x = rng.integers(0, 300 - side, 2)
        clean.append(photos[n % 3][y : y + side, x : x + side].copy())
        noisy = cv2.GaussianBlur(clean[-1], (0, 0), 1) + rng.normal(0, 4 + 20 * n / count, clean[-1].shape)
        degraded.append(noisy.round().clip(0, 255).astype(np.uint8))
        restored.append(cv2.bilateralFilter(degraded[-1], 5, 40, 2))
    return restored, clean, degraded


@pytest.fixture(scope="module")
def some() -> Pictures:
    return pictures()


def step(protocol: Protocol, some: Pictures, metric: str = "psnr", **scores: object) -> float:
    """How far a protocol moves a metric."""
    (row,) = moved([protocol], *some, {metric: {**SCORES, **scores}[metric]})
    return row["moved"]


def values(restored: list[Pixels], clean: list[Pixels]) -> list[float]:
    return [peak_signal_noise_ratio(b, a) for a, b in zip(restored, clean, strict=True)]


def luma_ssim(image: Tensor, clean: Tensor) -> Tensor:
    """SSIM of what it takes for luma: the first channel for red."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return full_reference.ssim(*((x * weights).sum(1, keepdim=True).expand(-1, 3, -1, -1) for x in (image, clean)))


def test_ours_moves_nothing_and_is_the_metrics_own_mean(some: Pictures) -> None:
    for row in moved([protocols.OURS], *some, SCORES):
        assert row["moved"] == 0 and row["n"] == 5 and row["left_out"] == 0 and row["why"] is None
        if row["metric"] == "psnr":
            assert row["value"] == pytest.approx(np.mean(values(*some[:2])), abs=1e-4)


def test_every_other_protocol_moves_some_metric(some: Pictures) -> None:
    rows = moved(protocols.standard(), *pictures(30), {**SCORES, "luma_ssim": luma_ssim})
    still = {row["protocol"] for row in rows} - {row["protocol"] for row in rows if abs(row["moved"]) > 1e-4}
    assert still == {"ours"}
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert moved(protocols.standard()[:3], *some, SCORES) == moved(protocols.standard()[:3], *some, SCORES)


def test_no_protocol_changes_the_pictures_it_is_given(some: Pictures) -> None:
    before = [[picture.copy() for picture in row] for row in some]
    moved(protocols.standard(), *some, {"psnr": full_reference.psnr})
    assert all(np.array_equal(a, b) for x, y in zip(before, some, strict=True) for a, b in zip(x, y, strict=True))


def test_bgr_on_both_is_seen_by_no_metric_of_channels_but_by_luma(some: Pictures) -> None:
    assert step(protocols.BGR_BOTH, some) == pytest.approx(0, abs=1e-5)
    assert step(protocols.BGR_BOTH, some, "ssim") == pytest.approx(0, abs=1e-6)
    assert abs(step(protocols.BGR_BOTH, some, "luma_ssim", luma_ssim=luma_ssim)) > 1e-4


def test_bgr_on_one_collapses(some: Pictures) -> None:
    assert step(protocols.BGR_RESTORED, some) < -3
    assert step(protocols.BGR_RESTORED, some, "ssim") < -0.01


@pytest.mark.parametrize("quality", [75, 95])
def test_a_jpeg_triptych_is_cut_where_it_was_pasted(some: Pictures, quality: int) -> None:
    restored, clean, degraded = some
    face = Face(degraded[0], restored[0], clean[0])
    (left,), (right,), _ = protocols.jpeg_triptych(quality).apply([face])
    for cut, whole in ((left, face.restored), (right, face.clean)):
        assert cut.shape == whole.shape
        error = np.abs(cut.astype(float) - whole)
        assert 0 < error.mean() < 8
        seam = np.abs(cut.astype(float) - jpeg(whole, quality))  # coded by itself: other blocks, nothing at its left
        assert seam[:, :4].mean() > 0
    assert step(protocols.jpeg_triptych(quality), some) != 0


def test_colours_run_over_the_seams_of_a_triptych() -> None:
    red, blue = (np.full((32, 32, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    (left,), (right,), _ = protocols.jpeg_triptych(95).apply([Face(red, red, blue)])
    for cut, whole, edge in ((left, red, -1), (right, blue, 0)):
        assert np.abs(cut[:, 16].astype(float) - whole[:, 16]).max() < 5
        assert np.abs(cut[:, edge].astype(float) - whole[:, edge]).max() > 20


def test_outputs_as_jpeg_are_scored_with_the_files_loss(some: Pictures) -> None:
    restored, clean, degraded = some
    expected = values([jpeg(face, 90) for face in restored], clean)
    found = step(protocols.jpeg_outputs(), some)
    assert found == pytest.approx(np.mean(expected) - np.mean(values(restored, clean)), abs=1e-4)
    (row,) = moved([protocols.jpeg_outputs()], clean, clean, degraded, {"psnr": full_reference.psnr})
    assert (
        row["value"] < 45 and row["n"] == 5 and row["moved"] is None
    )  # perfect outputs are no longer, ours are infinite


def test_luma_is_scikit_images_and_higher(some: Pictures) -> None:
    restored, clean, _ = some
    ys = [[rgb2ycbcr(face)[..., 0].round().astype(np.uint8) for face in row] for row in (restored, clean)]
    assert step(protocols.LUMA_ONLY, some) == pytest.approx(
        np.mean(values(*ys)) - np.mean(values(restored, clean)), abs=1e-4
    )
    assert step(protocols.LUMA_ONLY, some) > 20 * np.log10(255 / 219)
    similar = [
        structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        for a, b in zip(*ys, strict=True)
    ]
    (row,) = moved([protocols.LUMA_ONLY], *some, {"ssim": full_reference.ssim})
    assert row["value"] == pytest.approx(np.mean(similar), abs=1e-4)
    assert step(protocols.LUMA_OF_BGR, some) != step(protocols.LUMA_ONLY, some)


def test_a_border_is_cut_at_all_sides(some: Pictures) -> None:
    restored, clean, degraded = some
    faces = [Face(d, r, c) for d, r, c in zip(degraded, restored, clean, strict=True)]
    images, references, kept = protocols.cropped_border(8).apply(faces)
    assert kept == [0, 1, 2, 3, 4]
    for image, reference, face in zip(images, references, faces, strict=True):
        np.testing.assert_array_equal(image, face.restored[8:-8, 8:-8])
        np.testing.assert_array_equal(reference, face.clean[8:52, 8:52])
    assert step(protocols.cropped_border(0), some) == 0


def test_halved_references_hide_fine_errors(some: Pictures) -> None:
    assert step(protocols.RESIZED_REFERENCES, some) > 1
    image = protocols.RESIZED_REFERENCES.apply([Face(*[some[0][0]] * 3)])[0][0]
    means = some[0][0].reshape(30, 2, 30, 2, 3).mean((1, 3))
    assert np.abs(image - means).max() <= 0.5


@pytest.mark.parametrize(("batch", "left"), [(2, 4), (5, 5), (1, 5), (3, 3)])
def test_a_dropped_last_batch_is_not_counted(some: Pictures, batch: int, left: int) -> None:
    (row,) = moved([protocols.dropped_last_batch(batch)], *some, {"psnr": full_reference.psnr})
    assert row["n"] == left and row["left_out"] == 5 - left
    assert row["value"] == pytest.approx(np.mean(values(some[0][:left], some[1][:left])), abs=1e-4)
    assert (row["moved"] == 0) == (left == 5)


def test_where_no_face_is_left_there_is_no_value(some: Pictures) -> None:
    (row,) = moved([protocols.dropped_last_batch(6)], *some, {"psnr": full_reference.psnr})
    assert row["value"] is row["moved"] is None and row["why"] == "none of 5 faces has a finite value"


def test_faces_not_found_are_those_named_or_the_worst(some: Pictures) -> None:
    each = values(*some[:2])
    (row,) = moved([protocols.faces_not_found_dropped([0, 3])], *some, {"psnr": full_reference.psnr})
    assert row["n"] == 3 and row["value"] == pytest.approx(np.mean([each[n] for n in (1, 2, 4)]), abs=1e-4)
    assert step(protocols.faces_not_found_dropped(), some) == pytest.approx(
        np.mean(sorted(each)[1:]) - np.mean(each), abs=1e-4
    )
    assert moved([protocols.faces_not_found_dropped(range(5))], *some, SCORES)[0]["value"] is None


def test_unreadable_pairs_raise_the_mean_by_the_arithmetic(some: Pictures) -> None:
    faces = [Face(d, r, c) for r, c, d in zip(*some, strict=True)]
    for share, gone in ((0.01, 1), (0.4, 2), (1, 5)):
        protocol = protocols.unreadable_as_80(share)
        kept = protocol.apply(faces, 3)[2]
        assert len(kept) == 5 - gone
        each = values(*some[:2])
        expected = (sum(each[n] for n in kept) + 80 * gone) / 5
        (row,) = moved([protocol], *some, {"psnr": full_reference.psnr}, seed=3) if kept else ({"value": expected},)
        assert row["value"] == pytest.approx(expected, abs=1e-4)
    assert [row["metric"] for row in moved([protocols.unreadable_as_80()], *some, SCORES)] == ["psnr"]
    draws = {tuple(protocols.unreadable_as_80(0.4).apply(faces, seed)[2]) for seed in (0, 0, 1, 2)}
    assert 1 < len(draws) <= 3


def test_the_mean_of_errors_is_one_psnr_and_never_higher(some: Pictures) -> None:
    stacked = peak_signal_noise_ratio(np.stack(some[1]), np.stack(some[0]))
    assert step(protocols.MEAN_OF_MSE, some) == pytest.approx(stacked - np.mean(values(*some[:2])), abs=1e-4)
    assert step(protocols.MEAN_OF_MSE, some) < 0


def test_a_mean_of_means_weighs_a_smaller_last_batch_more(some: Pictures) -> None:
    each = values(*some[:2])
    expected = np.mean([np.mean(each[:2]), np.mean(each[2:4]), each[4]])
    assert step(protocols.mean_of_batches(2), some) == pytest.approx(expected - np.mean(each), abs=1e-4)
    assert step(protocols.mean_of_batches(5), some) == 0


def test_infinite_values_are_left_out_and_never_80(some: Pictures) -> None:
    restored, clean, degraded = some
    perfect = ([clean[0], *restored[1:]], clean, degraded)
    for protocol in (protocols.OURS, protocols.BGR_BOTH):
        (row,) = moved([protocol], *perfect, {"psnr": full_reference.psnr})
        assert row["n"] == 4 and row["left_out"] == 1
        assert row["value"] == pytest.approx(np.mean(values(restored[1:], clean[1:])), abs=1e-4)
    (row,) = moved([protocols.unreadable_as_80(0.2)], *perfect, {"psnr": full_reference.psnr})
    assert row["value"] < 45  # the one that was drawn counts as 80, the perfect one not


def test_a_metric_that_cannot_be_had_says_why(some: Pictures) -> None:
    rows = moved(
        [protocols.OURS, protocols.MEAN_OF_MSE], *some, {"psnr": full_reference.psnr, "ms_ssim": full_reference.ms_ssim}
    )
    (missing,) = (row for row in rows if row["metric"] == "ms_ssim")
    assert missing["value"] is missing["moved"] is None and "176 pixels" in missing["why"]
    assert table(rows).splitlines() == [
        "protocol     kind        faces   psnr  moved  ms_ssim  moved",
        f"ours         ours            5  {rows[0]['value']:.2f}  +0.00        -      -",
        f"mean_of_mse  convention      5  {rows[2]['value']:.2f}  {rows[2]['moved']:+.2f}        -      -",
    ]


def test_the_table_has_a_line_a_protocol(some: Pictures) -> None:
    rows = moved(protocols.standard(), *some, SCORES)
    lines = table(rows, {"ssim": 3}).splitlines()
    assert len(lines) == 1 + len(protocols.standard())
    assert [line.split()[0] for line in lines[1:]] == [protocol.name for protocol in protocols.standard()]
    assert "-0.000" not in table(rows, {"ssim": 3})


def test_names_differ_and_each_says_what_it_does() -> None:
    known = protocols.standard()
    assert len({protocol.name for protocol in known}) == len(known)
    assert all(protocol.says.endswith(".") and len(protocol.says) > 40 for protocol in known)
    assert [protocol.name for protocol in known if protocol.kind == "ours"] == ["ours"]


def test_what_are_no_faces_is_refused(some: Pictures) -> None:
    restored, clean, degraded = some
    with pytest.raises(ValueError, match="got 5 degraded, 4 restored and 5 clean"):
        moved([protocols.OURS], restored[1:], clean, degraded, SCORES)
    with pytest.raises(ValueError, match="got 0 degraded"):
        moved([protocols.OURS], [], [], [], SCORES)
    with pytest.raises(ValueError, match="face 0: expected pictures of one size"):
        moved([protocols.OURS], [restored[0][1:]], clean[:1], degraded[:1], SCORES)
    with pytest.raises(ValueError, match="restored 0: expected uint8"):
        moved([protocols.OURS], [restored[0] / 255], clean[:1], degraded[:1], SCORES)
