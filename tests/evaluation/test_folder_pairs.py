"""Folders as pairs: all of them or an error, whatever the order, the format or the machine."""

import re
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from hifacegan_lib.evaluation import folder_pairs
from hifacegan_lib.evaluation.folder_pairs import FolderPairs, pair_folders
from hifacegan_lib.utils.images import save_image
from hifacegan_lib.utils.inputs import files_by_name, images_in


def face(seed: int, height: int = 24, width: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def folder(path: Path, names: list[str], seed: int = 0, **size: int) -> Path:
    for n, name in enumerate(names):
        save_image(path / name, face(seed + n, **size))
    return path


@pytest.fixture
def three(tmp_path: Path) -> tuple[Path, Path]:
    names = ["b/2.png", "a/1.png", "c.v1.png"]
    return folder(tmp_path / "out", names), folder(tmp_path / "clean", names, 50)


def test_pictures_pair_by_name_in_order_whatever_their_suffix(three: tuple[Path, Path]) -> None:
    out, clean = three
    (clean / "a" / "1.png").rename(clean / "a" / "1.bmp")
    Image.fromarray(face(51)).save(clean / "a" / "1.bmp")
    pairs = pair_folders(clean, {"restored": out})
    (batch,) = pairs
    assert batch["key"] == ["a/1", "b/2", "c.v1"] and len(pairs) == 3
    for n, seed in enumerate((1, 0, 2)):
        for column, offset in ((batch["columns"]["restored"], 0), (batch["clean"], 50)):
            expected = torch.from_numpy(face(seed + offset)).permute(2, 0, 1) / 255
            torch.testing.assert_close(column[n], expected)
    assert pairs.conditions["file_format"] == "reference: BMP 1, PNG 2; restored: PNG 3"
    assert pairs.conditions["resize_kernel"] == "none"


def test_what_does_not_pair_is_listed_on_both_sides(three: tuple[Path, Path]) -> None:
    out, clean = three
    (out / "b" / "2.png").rename(out / "b" / "other.png")
    with pytest.raises(ValueError, match=r"do not pair\n.*only in .*out \(1\): b/other\n.*only in .*clean \(1\): b/2"):
        pair_folders(clean, {"restored": out})


def test_many_unpaired_names_are_counted(tmp_path: Path) -> None:
    out = folder(tmp_path / "out", [f"{n:02}.png" for n in range(9)])
    clean = folder(tmp_path / "clean", ["00.png"])
    with pytest.raises(ValueError, match=r"\(8\): 01, 02, 03, 04, 05 and 3 more\n.*\(0\): none"):
        pair_folders(clean, {"restored": out})


def test_two_files_of_one_name_are_refused(three: tuple[Path, Path]) -> None:
    out, clean = three
    save_image(out / "a" / "1.jpg", face(1))
    with pytest.raises(ValueError, match=r"1\.(jpg|png) and 1\.(jpg|png): two pictures of one name"):
        pair_folders(clean, {"restored": out})


def test_no_folder_and_no_picture_are_named(tmp_path: Path, three: tuple[Path, Path]) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        pair_folders(tmp_path / "nowhere", {"restored": three[0]})
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".hidden.png").touch()
    with pytest.raises(ValueError, match="empty: no image file below it"):
        pair_folders(three[1], {"restored": tmp_path / "empty"})


def test_an_unreadable_pair_is_told_and_the_rest_comes(three: tuple[Path, Path]) -> None:
    out, clean = three
    (out / "a" / "1.png").write_bytes(b"no picture")
    batches = list(pair_folders(clean, {"restored": out}))
    assert [batch["key"] for batch in batches] == [["b/2", "c.v1"]]
    assert "1.png: not an image" in batches[0]["unreadable"]["a/1"]
    for path in ("b/2.png", "c.v1.png"):
        (clean / path).write_bytes(b"")
    (batch,) = pair_folders(clean, {"restored": out})
    assert batch["key"] == [] and len(batch["unreadable"]) == 3


def test_another_size_needs_a_kernel_which_is_told(tmp_path: Path) -> None:
    out = folder(tmp_path / "out", ["1.png"], height=12, width=10)
    clean = folder(tmp_path / "clean", ["1.png"])
    (batch,) = pair_folders(clean, {"restored": out})
    assert batch["key"] == [] and re.search(
        r"1\.png: 10 x 12 pixels, its reference 20 x 24; .*area\|bilinear", batch["unreadable"]["1"]
    )
    for kernel, flag in folder_pairs.KERNELS.items():
        pairs = pair_folders(clean, {"restored": out}, kernel)
        (batch,) = pairs
        expected = cv2.resize(face(0, 12, 10), (20, 24), interpolation=flag)
        assert np.array_equal(batch["columns"]["restored"][0].mul(255).byte().permute(1, 2, 0).numpy(), expected)
        assert pairs.conditions["resize_kernel"] == f"{kernel} (OpenCV), to the reference's size: restored 1 files"
    with pytest.raises(ValueError, match="resize = 'nearest': expected one of area"):
        pair_folders(clean, {"restored": out}, "nearest")


def test_crop_takes_each_border(three: tuple[Path, Path]) -> None:
    out, clean = three
    (batch,) = pair_folders(clean, {"restored": out}, crop=3)
    assert batch["clean"].shape == batch["columns"]["restored"].shape == (3, 3, 18, 14)
    assert np.array_equal(batch["clean"][1].mul(255).round().byte().permute(1, 2, 0).numpy(), face(50)[3:-3, 3:-3])
    (batch,) = pair_folders(clean, {"restored": out}, crop=10)
    assert len(batch["unreadable"]) == 3 and all(
        "crop = 10 leaves nothing" in said for said in batch["unreadable"].values()
    )
    with pytest.raises(ValueError, match="crop = -1: expected 0 or more"):
        pair_folders(clean, {"restored": out}, crop=-1)


def test_sizes_come_in_batches_of_their_own(tmp_path: Path) -> None:
    for side in ("out", "clean"):
        folder(tmp_path / side, ["1.png", "2.png"])
        save_image(tmp_path / side / "3.png", face(7, 30, 31))
    batches = list(pair_folders(tmp_path / "clean", {"restored": tmp_path / "out"}))
    assert [tuple(batch["clean"].shape) for batch in batches] == [(2, 3, 24, 20), (1, 3, 30, 31)]


def test_batches_are_bounded_in_pictures_and_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in ("out", "clean"):
        folder(tmp_path / side, [f"{n:02}.png" for n in range(20)])
    pairs = pair_folders(tmp_path / "clean", {"restored": tmp_path / "out"})
    assert [len(batch["key"]) for batch in pairs] == [16, 4]
    monkeypatch.setattr(folder_pairs, "BATCH_PIXELS", 24 * 20 * 3)
    assert [len(batch["key"]) for batch in pairs] == [3] * 5 + [1] + [3, 1]  # blocks of 16 and 4
    blocks = [batch["key"] for block in pairs.blocks() for batch in block]
    assert blocks == [batch["key"] for batch in pairs]


def test_jpeg_is_told(tmp_path: Path) -> None:
    clean = folder(tmp_path / "clean", ["1.png", "2.png"])
    out = folder(tmp_path / "out", ["1.png", "2.jpg"])
    pairs = pair_folders(clean, {"restored": out})
    list(pairs)
    assert pairs.conditions["file_format"] == "reference: PNG 2; restored: JPG 1, PNG 1"


def test_memory_does_not_grow_with_the_number_of_pairs(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        for side in ("out", "clean"):
            folder(tmp_path / f"{side}{count}", [f"{n:03}.bmp" for n in range(count)], height=64, width=64)
        pairs = pair_folders(tmp_path / f"clean{count}", {"restored": tmp_path / f"out{count}"})
        tracemalloc.start()
        for _ in pairs:
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(160) < 1.3 * peak(80)


def test_iterating_again_gives_the_same(three: tuple[Path, Path]) -> None:
    out, clean = (files_by_name(images_in(folder)) for folder in three)
    pairs = FolderPairs(clean, {"restored": out}, crop=1)
    first, second = list(pairs), list(pairs)
    assert first[0]["key"] == second[0]["key"] and torch.equal(first[0]["clean"], second[0]["clean"])
    assert pairs.conditions["file_format"] == "reference: PNG 3; restored: PNG 3"


def test_without_a_reference_the_restored_faces_are_the_measure(tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", ["Grüße 1.png", "a b.jpg"])
    out = folder(tmp_path / "out", ["Grüße 1.png"], 9) and folder(tmp_path / "out", ["a b.png"], 8, height=48, width=40)
    alone = pair_folders(None, {"restored": out})
    assert [batch["columns"]["restored"].shape[2:] for batch in alone] == [(24, 20), (48, 40)] and len(alone) == 2
    assert all("clean" not in batch for batch in alone) and alone.conditions["file_format"] == "restored: PNG 2"
    pairs = pair_folders(None, {"degraded": photos, "restored": out})
    (batch,) = pairs
    assert batch["key"] == ["Grüße 1"]
    assert "20 x 24 pixels, its restored face 40 x 48; name the kernel" in batch["unreadable"]["a b"]
    resized = pair_folders(None, {"degraded": photos, "restored": out}, "bicubic")
    assert [tuple(batch["columns"]["degraded"].shape[2:]) for batch in resized] == [(24, 20), (48, 40)]
    assert resized.conditions["resize_kernel"] == "bicubic (OpenCV), to the restored face's size: degraded 1 files"


def test_results_that_lack_faces_of_their_input_are_named(tmp_path: Path) -> None:
    photos, out = folder(tmp_path / "photos", ["ä.png", "b.png"]), folder(tmp_path / "out", ["ä.png"])
    with pytest.raises(ValueError, match=r"do not pair\n  only in .*photos \(1\): b\n  only in .*out \(0\): none"):
        pair_folders(None, {"degraded": photos, "restored": out})
    with pytest.raises(ValueError, match="nothing to evaluate: no folder was named"):
        pair_folders(None, {})
