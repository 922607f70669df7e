"""Preparation: a split that nothing shifts, a manifest that says all, and no file touched that is not ours."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hifacegan_lib.data import checks, preparation, sources
from hifacegan_lib.data.manifest import NAME, Manifest
from hifacegan_lib.data.preparation import prepare, sample
from hifacegan_lib.utils.images import load_image, save_image

quick = settings(deadline=None, max_examples=60)
names = st.text("ab/.", max_size=5)
keys_and_sizes = st.sets(names, max_size=40).flatmap(
    lambda keys: st.tuples(st.just(keys), st.integers(0, len(keys))).flatmap(
        lambda pair: st.tuples(st.just(pair[0]), st.just(pair[1]), st.integers(0, len(pair[0]) - pair[1]))
    )
)


def noise(seed: int, height: int = 20, width: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Twelve pictures in train/, six in valid/."""
    for number in range(12):
        save_image(tmp_path / f"faces/train/{number:02d}.png", noise(number))
    for number in range(6):
        save_image(tmp_path / f"faces/valid/{number:02d}.png", noise(100 + number))
    return tmp_path / "faces"


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def from_folder(source: Path, data_dir: Path, **changed: Any) -> Manifest:
    options = {"train_size": 6, "valid_size": 3, "progress": False} | changed
    return prepare(source="folder", source_path=source, data_dir=data_dir, **options)


def drawn(data_dir: Path, **changed: Any) -> Manifest:
    options = {"train_size": 3, "valid_size": 2, "synthetic_size": 24, "progress": False} | changed
    return prepare(source="synthetic", data_dir=data_dir, **options)


def keys(manifest: Manifest, split: str) -> set[str]:
    return {entry.key for entry in manifest.files(split)}


# the split


@given(keys_and_sizes, st.integers(0, 2**32 - 1))
@quick
def test_splits_are_disjoint_and_of_the_asked_size(drawn: tuple[set[str], int, int], seed: int) -> None:
    pool, train, valid = drawn
    split = sample(pool, train, valid, seed)
    assert set(split) <= pool and len(split) == train + valid
    assert list(split.values()).count("train") == train


@given(keys_and_sizes, st.sets(names), st.integers(0, 9))
@quick
def test_new_images_move_none_across_the_splits(drawn: tuple[set[str], int, int], new: set[str], seed: int) -> None:
    pool, train, valid = drawn
    before, after = sample(pool, train, valid, seed), sample(pool | new, train, valid, seed)
    assert all(before[key] == after[key] for key in before.keys() & after.keys())


@given(keys_and_sizes, st.integers(0, 9))
@quick
def test_larger_splits_hold_the_smaller_ones(drawn: tuple[set[str], int, int], seed: int) -> None:
    pool, train, valid = drawn
    split = sample(pool, train, valid, seed)
    assert sample(pool, train // 2, valid // 2, seed).items() <= split.items()


@given(keys_and_sizes, st.randoms())
@quick
def test_the_order_of_keys_does_not_count(drawn: tuple[set[str], int, int], random: Any) -> None:
    pool, train, valid = drawn
    shuffled = sorted(pool)
    random.shuffle(shuffled)
    assert sample(shuffled, train, valid, 3) == sample(sorted(pool), train, valid, 3)


def test_the_split_is_fixed_for_good_and_the_seed_counts() -> None:
    pool = [f"{n:05d}.png" for n in range(8)]
    valid = [{key for key, split in sample(pool, 3, 2, seed).items() if split == "valid"} for seed in (0, 1)]
    assert valid[0] == {"00000.png", "00003.png"}  # written down: a change here would mix everybody's splits
    assert valid[0] != valid[1]


def test_each_image_is_as_likely_to_validate() -> None:
    counts = np.zeros(10)
    for seed in range(600):
        for key, split in sample([str(n) for n in range(10)], 5, 3, seed).items():
            counts[int(key)] += split == "valid"
    assert np.abs(counts / 600 - 0.3).max() < 0.08  # four standard deviations


def test_sizes_beyond_the_data_say_how_many_there_are() -> None:
    with pytest.raises(ValueError, match="train_size = 4 and valid_size = 2 need 6 images, there are 5"):
        sample("abcde", 4, 2, 0)
    with pytest.raises(ValueError, match="expected 0 or more"):
        sample("abcde", -1, 2, 0)
    with pytest.raises(ValueError, match="distinct"):
        sample(["a", "a"], 1, 0, 0)


# the folder


def test_a_folder_is_listed_in_place(faces: Path, tmp_path: Path) -> None:
    before = tree(faces)
    manifest = from_folder(faces, tmp_path / "data")
    assert tree(faces) == before and set(tree(tmp_path / "data")) == {NAME}
    assert len(keys(manifest, "train")) == 6 and len(keys(manifest, "valid")) == 3
    assert not keys(manifest, "train") & keys(manifest, "valid")
    manifest.verify()
    for entry in manifest.files():
        assert entry.path == faces / entry.key and entry.source == "folder"
        assert load_image(entry.path).shape[:2] == (entry.height, entry.width)


def test_no_path_of_this_machine_is_written(faces: Path, tmp_path: Path) -> None:
    manifest = from_folder(faces, tmp_path / "data")
    assert str(tmp_path) not in (tmp_path / "data" / NAME).read_text()
    assert manifest.root == "../faces" and Manifest.load(tmp_path / "data") == manifest


def test_a_relative_path_is_the_same_folder(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = from_folder(faces, tmp_path / "data")
    monkeypatch.chdir(faces)
    assert from_folder(Path(), Path("../data")) == manifest


def test_added_images_move_none_across(faces: Path, tmp_path: Path) -> None:
    before = from_folder(faces, tmp_path / "a")
    for number in range(30):
        save_image(faces / f"new/{number}.png", noise(1000 + number))
    after = from_folder(faces, tmp_path / "b")
    assert not keys(before, "train") & keys(after, "valid") and not keys(before, "valid") & keys(after, "train")


def test_globs_give_each_split_its_own_images(faces: Path, tmp_path: Path) -> None:
    manifest = from_folder(faces, tmp_path / "data", train_glob="train/*", valid_glob="valid/*", train_size=12)
    assert {key.split("/")[0] for key in keys(manifest, "train")} == {"train"} and len(keys(manifest, "train")) == 12
    assert {key.split("/")[0] for key in keys(manifest, "valid")} == {"valid"}


def test_globs_that_overlap_or_fit_nothing_are_refused(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"share 6 of 18 and 6 images"):
        from_folder(faces, tmp_path / "data", valid_glob="valid/*")
    with pytest.raises(ValueError, match=r"train_glob = 'x/\*': matches none of 18 keys, for example 'train/00.png'"):
        from_folder(faces, tmp_path / "data", train_glob="x/*")
    with pytest.raises(ValueError, match="need 7 images, there are 6"):
        from_folder(faces, tmp_path / "data", train_glob="train/*", valid_glob="valid/*", valid_size=7)
    assert not (tmp_path / "data").exists()


def test_sizes_beyond_the_folder_say_how_many_there_are(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="need 20 images, there are 18"):
        from_folder(faces, tmp_path / "data", train_size=17)


def test_bad_files_are_listed_and_others_take_their_place(faces: Path, tmp_path: Path) -> None:
    whole = (faces / "train/00.png").read_bytes()
    bad = {
        "a.png": b"",
        "b.png": whole[:200],
        "c.jpg": b"junk",
        "d.png": None,
        "e.png": noise(0, 1, 1),
        "f.png": noise(0, 99, 15),
    }
    for name, content in bad.items():
        if content is None:
            (faces / name).symlink_to("nowhere.png")
        elif isinstance(content, bytes):
            (faces / name).write_bytes(content)
        else:
            save_image(faces / name, content)
    manifest = from_folder(faces, tmp_path / "data", train_size=12, valid_size=6)
    assert len(manifest.files("train")) == 12 and len(manifest.files("valid")) == 6
    assert [entry.file for entry in manifest.rejected] == sorted(bad)
    reasons = {entry.file: entry.reason for entry in manifest.rejected}
    assert reasons["a.png"] == "the file is empty (ValueError)" and "1 x 1 pixels" in reasons["e.png"]
    assert "15 x 99 pixels" in reasons["f.png"] and str(tmp_path) not in str(reasons)
    with pytest.raises(ValueError, match=r"need 19 images, there are 18; 6 more were rejected, for example"):
        from_folder(faces, tmp_path / "more", train_size=13, valid_size=6)


def test_the_split_is_that_of_the_good_files_alone(faces: Path, tmp_path: Path) -> None:
    clean = from_folder(faces, tmp_path / "clean")
    for number in range(40):
        (faces / f"bad_{number}.png").write_bytes(b"junk")
    dirty = from_folder(faces, tmp_path / "dirty")
    assert dirty.records == clean.records and dirty.rejected


def test_rejections_are_counted_aloud(faces: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (faces / "bad.png").touch()
    from_folder(faces, tmp_path / "data", train_size=12, valid_size=6, progress=True)
    assert "rejected images: 1, see manifest.json" in capfd.readouterr().out


def test_near_duplicates_across_the_splits_are_reported(faces: Path, tmp_path: Path) -> None:
    save_image(faces / "valid/copy.png", load_image(faces / "train/03.png")[:, ::-1])
    both = {"train_glob": "train/*", "valid_glob": "valid/*", "train_size": 12, "valid_size": 7}
    manifest = from_folder(faces, tmp_path / "data", **both)
    assert [(pair.train, pair.valid) for pair in manifest.near_duplicates] == [("train/03.png", "valid/copy.png")]


def test_names_that_are_not_utf_8_are_kept(faces: Path, tmp_path: Path) -> None:
    shutil.copyfile(faces / "train/00.png", os.fsencode(faces) + b"/\xff.png")
    shutil.copyfile(faces / "train/01.png", os.fsencode(faces) + b"/caf\xe9.png")
    manifest = from_folder(faces, tmp_path / "data", train_size=14, valid_size=6)
    loaded = Manifest.load(tmp_path / "data")
    assert {"\udcff.png", "caf\udce9.png"} < {entry.key for entry in loaded.files()} and not manifest.rejected
    loaded.verify()


# images that we write


def test_portraits_are_drawn_beside_the_manifest(tmp_path: Path) -> None:
    manifest = drawn(tmp_path / "data")
    names = {f"images/portrait_{n:06d}.png" for n in range(5)}
    assert set(tree(tmp_path / "data")) == {NAME, *names} and manifest.root == "."
    manifest.verify()
    assert {(entry.height, entry.width, entry.source) for entry in manifest.files()} == {(24, 24, "synthetic")}


def test_the_same_parameters_give_the_same_bytes(tmp_path: Path) -> None:
    drawn(tmp_path / "a")
    drawn(tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_the_data_folder_can_move(tmp_path: Path) -> None:
    drawn(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    Manifest.load(tmp_path / "b").verify()
    assert drawn(tmp_path / "b").files() == Manifest.load(tmp_path / "b").files()


def test_hub_rows_become_entries_and_are_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow
    import pyarrow.parquet

    cells = [{"bytes": save_image(tmp_path / "x.png", noise(n)).read_bytes(), "path": None} for n in range(6)]
    cells.insert(2, {"bytes": b"junk", "path": None})
    pyarrow.parquet.write_table(pyarrow.table({"face": cells}), tmp_path / "a.parquet")
    monkeypatch.setattr(checks, "check_face", None)  # again
    manifest = prepare(
        source="hub",
        source_path=tmp_path / "a.parquet",
        dataset_name="parquet",
        image_column="face",
        train_size=3,
        valid_size=2,
        data_dir=tmp_path / "data",
        progress=False,
    )
    manifest.verify()
    assert keys(manifest, "train") | keys(manifest, "valid") == {f"row_{n:06d}" for n in (0, 1, 3, 4, 5)}
    assert [entry.file for entry in manifest.rejected] == ["row_000002"]
    assert manifest.parameters["source_path"] == "../a.parquet"


# what is there already


def test_the_same_parameters_find_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = drawn(tmp_path)
    monkeypatch.setattr(sources, "draw_portraits", None)
    assert drawn(tmp_path) == first


@pytest.mark.parametrize("changed", [{"seed": 1}, {"synthetic_size": 32}, {"train_size": 2}, {"valid_size": 1}])
def test_other_parameters_are_an_error_that_names_them(tmp_path: Path, changed: dict[str, int]) -> None:
    drawn(tmp_path)
    before = tree(tmp_path)
    ((name, value),) = changed.items()
    with pytest.raises(FileExistsError, match=rf"{name} = \d+, requested {value}.*overwrite"):
        drawn(tmp_path, **changed)
    assert tree(tmp_path) == before


def test_another_source_is_an_error_and_overwrite_removes_only_ours(faces: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    drawn(data)
    for name in ("mine.txt", "images/mine.png", "runs/mine.pt"):
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_text("mine")
    with pytest.raises(FileExistsError, match="source = 'synthetic', requested 'folder'"):
        from_folder(faces, data)
    source = tree(faces)
    from_folder(faces, data, overwrite=True)
    assert set(tree(data)) == {NAME, "mine.txt", "images/mine.png", "runs/mine.pt"}
    drawn(data, overwrite=True)
    assert tree(faces) == source and len(tree(data)) == 9


def test_overwrite_never_removes_a_source(faces: Path) -> None:
    (faces / "train").rename(faces / "images")  # sources in the very folder that drawn images would go to
    source = tree(faces)
    from_folder(faces, faces)
    from_folder(faces, faces, overwrite=True, seed=1)
    drawn(faces, overwrite=True)
    assert source.items() <= tree(faces).items()


def test_a_file_in_the_way_is_not_replaced(tmp_path: Path) -> None:
    save_image(tmp_path / "images/portrait_000001.png", noise(0))
    before = tree(tmp_path)
    with pytest.raises(FileExistsError, match=r"portrait_000001\.png exists, and the manifest does not list it"):
        drawn(tmp_path, overwrite=True)
    assert tree(tmp_path) == before


def test_files_that_are_gone_are_named(tmp_path: Path) -> None:
    drawn(tmp_path)
    (tmp_path / "images/portrait_000002.png").unlink()
    with pytest.raises(FileExistsError, match=r"lists 1 files that are missing .*portrait_000002\.png"):
        drawn(tmp_path)
    drawn(tmp_path, overwrite=True).verify()


def test_a_broken_manifest_is_named_and_can_be_overwritten(tmp_path: Path) -> None:
    drawn(tmp_path)
    (tmp_path / NAME).write_text('{"version": 1')
    with pytest.raises(ValueError, match="not JSON"):
        drawn(tmp_path)
    drawn(tmp_path, overwrite=True).verify()


@pytest.mark.parametrize("where", ["draw", "install", "save"])
def test_an_interrupted_call_leaves_no_manifest_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    target, name = {"draw": (sources, "portrait"), "install": (Path, "replace"), "save": (Manifest, "save")}[where]
    with monkeypatch.context() as patch:
        patch.setattr(target, name, interrupt)
        with pytest.raises(KeyboardInterrupt):
            drawn(tmp_path / "data")
    assert not (tmp_path / "data" / NAME).exists()
    drawn(tmp_path / "data").verify()
    assert len(tree(tmp_path / "data")) == 6


def test_a_failed_overwrite_leaves_the_old_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn(tmp_path)
    before = tree(tmp_path)
    monkeypatch.setattr(preparation, "choose_images", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        drawn(tmp_path, overwrite=True, seed=1)
    assert tree(tmp_path) == before


def test_leftovers_of_a_killed_call_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".images.partial").mkdir()
    (tmp_path / ".images.partial/portrait_000077.png").touch()
    drawn(tmp_path)
    assert len(tree(tmp_path)) == 6


def test_an_unknown_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="source = 'ftp': expected synthetic, folder or hub"):
        prepare(source="ftp", train_size=1, valid_size=1, data_dir=tmp_path)  # type: ignore[arg-type]


def test_parameters_are_written_as_asked(tmp_path: Path) -> None:
    drawn(tmp_path)
    asked = json.loads((tmp_path / NAME).read_text())["parameters"]
    assert asked == {"source": "synthetic", "synthetic_size": 24, "train_size": 3, "valid_size": 2, "seed": 0}
