"""The manifest: read back as written, moved with its data, wrong in a place that the message names."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hifacegan_lib.data.manifest import NAME, Manifest
from hifacegan_lib.utils.files import sha256
from hifacegan_lib.utils.images import save_image

NOISE = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder beside its images: train/b.png, train/a.png, valid/c.png."""
    files = []
    for split, name in [("train", "b"), ("valid", "c"), ("train", "a")]:
        path = save_image(tmp_path / f"faces/{split}/{name}.png", NOISE)
        key = f"{split}/{name}.png"
        files.append(
            {
                "key": key,
                "file": key,
                "sha256": sha256(path),
                "split": split,
                "source": "folder",
                "height": 16,
                "width": 20,
            }
        )
    content = {
        "version": 1,
        "parameters": {},
        "root": "../faces",
        "files": files,
        "rejected": [],
        "near_duplicates": [],
    }
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / NAME).write_text(json.dumps(content))
    return tmp_path / "data"


def change(data: Path, where: list[Any], value: Any) -> None:
    content = json.loads((data / NAME).read_text())
    place = content
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    (data / NAME).write_text(json.dumps(content))


def test_files_of_a_split_have_all_that_is_known(data: Path) -> None:
    manifest = Manifest.load(data)
    assert [entry.key for entry in manifest.files("train")] == ["train/b.png", "train/a.png"]
    (entry,) = manifest.files("valid")
    assert entry.path == data.parent / "faces/valid/c.png" and entry.path.is_file()
    assert (entry.split, entry.source, entry.height, entry.width) == ("valid", "folder", 16, 20)
    assert len(manifest.files()) == 3
    with pytest.raises(ValueError, match="split = 'test': expected 'train' or 'valid'"):
        manifest.files("test")


def test_saving_and_loading_is_the_identity(data: Path) -> None:
    manifest = Manifest.load(data)
    before = (data / NAME).read_text()
    assert manifest.save() == data / NAME and Manifest.load(data) == manifest
    assert json.loads((data / NAME).read_text()) == json.loads(before)
    assert [path.name for path in data.iterdir()] == [NAME]


def test_data_and_manifest_move_together(data: Path, tmp_path: Path) -> None:
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}_moved"))
    manifest = Manifest.load(moved / data.name)
    manifest.verify()
    assert not manifest.missing() and moved in manifest.files()[0].path.parents


def test_a_linked_data_folder_finds_its_files(data: Path, tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/link").symlink_to(data, target_is_directory=True)
    assert not Manifest.load(tmp_path / "deep/er/link").missing()


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (["version"], 2, "version = 2"),
        (["files", 1, "sha256"], "xyz", r"files\[1\]\.sha256 = 'xyz'"),
        (["files", 0, "split"], "test", r"files\[0\]\.split = 'test'"),
        (["files", 0, "height"], "16", r"files\[0\]\.height = '16'"),
        (["files", 0, "height"], 0, r"files\[0\]\.height = 0"),
        (["files", 2, "file"], "../../secret.png", r"files\[2\]\.file = .* below root"),
        (["files", 2, "file"], "/secret.png", r"files\[2\]\.file = .* below root"),
        (["files", 2, "file"], "", r"files\[2\]\.file = .* below root"),
        (["files", 2, "key"], "train/b.png", "key 'train/b.png' is listed twice"),
        (["files", 2, "extra"], 1, r"files\[2\]: unknown key 'extra'"),
        (["extra"], 1, "unknown key 'extra'"),
        (["folder"], "elsewhere", "folder"),
        (["files"], {}, "files"),
    ],
)
def test_a_wrong_value_is_named(data: Path, where: list[Any], value: Any, message: str) -> None:
    change(data, where, value)
    with pytest.raises(ValueError, match=rf"manifest\.json: {message}"):
        Manifest.load(data)


def test_a_missing_key_is_named(data: Path) -> None:
    content = json.loads((data / NAME).read_text())
    del content["files"][1]["width"]
    (data / NAME).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"files\[1\]: missing key 'width'"):
        Manifest.load(data)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7"])
def test_what_is_no_manifest_is_refused(data: Path, text: str) -> None:
    (data / NAME).write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.json"):
        Manifest.load(data)


def test_no_manifest_says_who_makes_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="notebook 01 or `hifacegan prepare`"):
        Manifest.load(tmp_path)


def test_verify_names_what_changed_and_what_is_gone(data: Path) -> None:
    manifest = Manifest.load(data)
    manifest.verify()
    save_image(data.parent / "faces/train/a.png", NOISE[::-1])
    (data.parent / "faces/valid/c.png").unlink()
    assert [entry.key for entry in manifest.missing()] == ["valid/c.png"]
    with pytest.raises(ValueError, match=r"2 files differ .*c\.png \(missing\).*a\.png \(changed\)"):
        manifest.verify()


def test_verify_of_a_sample_reads_no_more_files(data: Path) -> None:
    manifest = Manifest.load(data)
    save_image(data.parent / "faces/train/a.png", NOISE[::-1])  # the last of three
    manifest.verify(sample=1)
    with pytest.raises(ValueError, match=r"1 files differ .*a\.png \(changed\)"):
        manifest.verify(sample=3)
    (data.parent / "faces/valid/c.png").unlink()
    with pytest.raises(ValueError, match=r"c\.png \(missing\)"):
        manifest.verify(sample=1)
