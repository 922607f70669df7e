"""Kept pictures: they come back, an earlier evaluation leaves none, and their paths are relative."""

import json
from pathlib import Path

import numpy as np
import pytest

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.evaluation.pictures import PictureWriter, read_picture, remove, write_index
from hifacegan_lib.utils.images import save_image, to_float

FACE = portrait(1, 16)


def test_a_picture_comes_back_and_an_earlier_evaluation_leaves_none(tmp_path: Path) -> None:
    for key in ("old.jpg", "a/new.jpg"):
        with PictureWriter(tmp_path) as writer:
            writer.write([key], {"model": [to_float(FACE)]})
    assert json.loads((tmp_path / "pictures.json").read_text()) == {"model": {"a/new.jpg": "pictures/model/a/new.png"}}
    assert [p.name for p in (tmp_path / "pictures").rglob("*.png")] == ["new.png"]
    assert np.array_equal(read_picture(tmp_path, "model", "a/new.jpg"), FACE)
    assert read_picture(tmp_path, "model", "old.jpg") is None and read_picture(tmp_path, "clean", "a/new.jpg") is None
    remove(tmp_path)
    assert read_picture(tmp_path, "model", "a/new.jpg") is None and not list(tmp_path.iterdir())


def test_two_keys_of_one_stem_have_two_pictures(tmp_path: Path) -> None:
    keys = ["a.jpg", "a.png", "a.png.png", "A.gif"]
    with PictureWriter(tmp_path) as writer:
        writer.write(keys, {"clean": [to_float(np.full((4, 4, 3), shade, np.uint8)) for shade in range(4)]})
    assert [int(read_picture(tmp_path, "clean", key).max()) for key in keys] == [0, 1, 2, 3]


def test_earlier_pictures_stay_until_new_ones_are_there(tmp_path: Path) -> None:
    with PictureWriter(tmp_path) as writer:
        writer.write(["a.png"], {"model": [to_float(FACE)]})
    with pytest.raises(KeyboardInterrupt), PictureWriter(tmp_path) as writer:
        writer.write(["a.png"], {"model": [to_float(FACE[::-1])]})
        raise KeyboardInterrupt
    assert np.array_equal(read_picture(tmp_path, "model", "a.png"), FACE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures", "pictures.json"]


def test_paths_are_relative_and_absolute_ones_of_older_evaluations_are_read(tmp_path: Path) -> None:
    file = tmp_path / "faces" / "1.png"
    save_image(file, FACE)
    (tmp_path / "scores").mkdir()
    write_index(tmp_path / "scores", {"clean": {"1": file}})
    index = tmp_path / "scores" / "pictures.json"
    assert json.loads(index.read_text()) == {"clean": {"1": "../faces/1.png"}}
    index.write_text(json.dumps({"clean": {"1": str(file)}}))
    assert np.array_equal(read_picture(tmp_path / "scores", "clean", "1"), FACE)
    file.unlink()
    assert read_picture(tmp_path / "scores", "clean", "1") is None
