"""Where images come from: what is listed, what a glob takes, what is drawn, what is streamed."""

import builtins
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hifacegan_lib.data import sources
from hifacegan_lib.data.checks import check_face
from hifacegan_lib.utils.images import load_image, save_image

NOISE = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def encoded(image: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def write_parquet(path: Path, cells: list, column: str = "image") -> Path:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table({column: cells, "label": list(range(len(cells)))}), path)
    return path


def test_ffhq_layout_and_plain_folders_are_listed_by_relative_path(tmp_path: Path) -> None:
    names = ["00000/00000.png", "00000/00999.png", "69000/69999.png", "me.JPG", "a b/ü.webp"]
    touch(tmp_path, *names)
    found = sources.list_folder(tmp_path)
    assert found == {name: tmp_path / name for name in names}


def test_hidden_and_other_files_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", ".b.png", ".cache/c.png", "LICENSE.txt", "x/.hidden/d.png", "png", "._a.png")
    assert set(sources.list_folder(tmp_path)) == {"a.png"}


def test_symlink_loops_end_and_no_picture_has_two_keys(tmp_path: Path) -> None:
    touch(tmp_path, "faces/one.png", "faces/two.png")
    (tmp_path / "faces/loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "again").symlink_to(tmp_path / "faces", target_is_directory=True)
    (tmp_path / "a_link.png").symlink_to(tmp_path / "faces/one.png")
    assert set(sources.list_folder(tmp_path)) == {"faces/one.png", "faces/two.png"}


def test_links_out_of_the_folder_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/deep/one.png", "alone.png", "root/own.png")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "root", target_is_directory=True)
    for name, target in [("b", "elsewhere"), ("a", "elsewhere"), ("x.png", "alone.png"), ("y.png", "alone.png")]:
        (tmp_path / "root" / name).symlink_to(tmp_path / target)
    assert set(sources.list_folder(tmp_path / "root")) == {"own.png", "a/deep/one.png", "x.png"}


def test_nothing_below_the_results_folder_is_a_source(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "out/b.png", "out.png", "elsewhere/c.png")
    (tmp_path / "link").symlink_to(tmp_path / "out", target_is_directory=True)
    assert set(sources.list_folder(tmp_path, tmp_path / "out")) == {"a.png", "out.png", "elsewhere/c.png"}
    assert set(sources.list_folder(tmp_path / "elsewhere", tmp_path)) == {"c.png"}


def test_a_link_to_nothing_is_listed_so_that_it_can_be_reported(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    assert set(sources.list_folder(tmp_path)) == {"gone.png", "self.png"}


def test_no_folder_and_no_image_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder"):
        sources.list_folder(tmp_path / "nowhere")
    touch(tmp_path, "notes.txt")
    with pytest.raises(FileNotFoundError, match="no image below it"):
        sources.list_folder(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**", {"a.png", "train/b.png", "train/deep/c.jpg", "valid/d.png"}),
        ("*", {"a.png"}),
        ("train/*", {"train/b.png"}),
        ("train/**", {"train/b.png", "train/deep/c.jpg"}),
        ("**/*.png", {"a.png", "train/b.png", "valid/d.png"}),
        ("**/deep/**", {"train/deep/c.jpg"}),
        ("[tv]*/?.png", {"train/b.png", "valid/d.png"}),
        ("TRAIN/*", set()),
        ("nothing", set()),
    ],
)
def test_globs_choose_keys(pattern: str, expected: set[str]) -> None:
    keys = {"a.png", "train/b.png", "train/deep/c.jpg", "valid/d.png"}
    assert {key for key in keys if sources.matches(key, pattern)} == expected


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_globs_agree_with_pathlib(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("glob")
    name = st.text("ab", min_size=1, max_size=2)
    for parts in data.draw(st.lists(st.lists(name, min_size=1, max_size=3), max_size=6)):
        touch(root, "/".join([*parts[:-1], f"{parts[-1]}.png"]))
    keys = {path.relative_to(root).as_posix() for path in root.rglob("*.png")}
    pattern = "/".join([*data.draw(st.lists(st.sampled_from(["**", "*", "a*", "?b", "[ab]"]), max_size=3)), "*.png"])
    expected = {path.relative_to(root).as_posix() for path in root.glob(pattern)}
    assert {key for key in keys if sources.matches(key, pattern)} == expected


def test_portraits_are_drawn_by_number_alone(tmp_path: Path) -> None:
    few = sources.draw_portraits(tmp_path / "few", 2, 32, progress=False)
    more = sources.draw_portraits(tmp_path / "more", 3, 32, progress=False)
    assert list(more) == ["portrait_000000", "portrait_000001", "portrait_000002"]
    for key, path in few.items():
        assert path.name == f"{key}.png" and path.read_bytes() == more[key].read_bytes()
        assert load_image(path).shape == (32, 32, 3)


def test_small_faces_are_refused(tmp_path: Path) -> None:
    small, large = (check_face(save_image(tmp_path / f"{n}.png", NOISE[:n])) for n in (15, 16))
    assert small.error == "20 x 15 pixels, smallest side allowed is 16 (ValueError)"
    assert not large.error and (large.height, large.width) == (16, 20)


def fetch(folder: Path, source: Path, count: int, **changed: str) -> tuple[dict[str, Path], dict[str, str]]:
    options = {"name": "parquet", "split": "train", "column": "image"} | changed
    return sources.fetch_hub(folder, count, **options, source_path=source, progress=False)


def test_rows_of_a_parquet_file_become_files_with_the_same_bytes(tmp_path: Path) -> None:
    cells = [{"bytes": encoded(NOISE, kind), "path": None} for kind in ("PNG", "JPEG", "WEBP")]
    pool, rejected = fetch(tmp_path / "out", write_parquet(tmp_path / "a.parquet", cells), 3)
    assert [path.name for path in pool.values()] == ["row_000000.png", "row_000001.jpg", "row_000002.webp"]
    assert [path.read_bytes() for path in pool.values()] == [cell["bytes"] for cell in cells]
    assert list(pool) == ["row_000000", "row_000001", "row_000002"] and not rejected


def test_a_plain_binary_column_and_a_folder_of_parquet_files_work(tmp_path: Path) -> None:
    for name in ("data/b.parquet", "data/deep/a.parquet"):
        write_parquet(tmp_path / name, [encoded(NOISE)], column="face")
    pool, _ = fetch(tmp_path / "out", tmp_path / "data", 2, column="face")
    assert len(pool) == 2


def test_bad_rows_are_listed_and_the_next_takes_their_place(tmp_path: Path) -> None:
    good = {"bytes": encoded(NOISE), "path": None}
    bad = [encoded(NOISE)[:100], b"", b"junk", encoded(NOISE[:1, :1]), None]
    cells = [*({"bytes": data, "path": None} for data in bad), good, good, good]
    pool, rejected = fetch(tmp_path / "out", write_parquet(tmp_path / "a.parquet", cells), 2)
    assert list(pool) == ["row_000005", "row_000006"]
    assert list(rejected) == [f"row_{n:06d}" for n in range(5)]
    assert "1 x 1 pixels" in rejected["row_000003"] and rejected["row_000004"] == "the row holds no image (ValueError)"
    assert not any(str(tmp_path) in reason for reason in rejected.values())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["row_000005.png", "row_000006.png"]


def test_rows_that_only_name_a_file_are_read_from_there(tmp_path: Path) -> None:
    for number in range(2):
        save_image(tmp_path / f"set/{number}.png", NOISE)
    pool, _ = sources.fetch_hub(tmp_path / "out", 2, str(tmp_path / "set"), "train", "image", progress=False)
    assert np.array_equal(load_image(pool["row_000001"]), NOISE)


def test_too_few_rows_say_how_many_there_are(tmp_path: Path) -> None:
    source = write_parquet(
        tmp_path / "a.parquet", [{"bytes": encoded(NOISE), "path": None}, {"bytes": b"", "path": None}]
    )
    with pytest.raises(ValueError, match=r"5 images requested, 1 are usable \(1 rejected\)"):
        fetch(tmp_path / "out", source, 5)


def test_column_split_and_file_that_are_not_there_are_named(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "a.parquet", [{"bytes": encoded(NOISE), "path": None}])
    with pytest.raises(ValueError, match=r"image_column = 'face': no such column; there are: image, label"):
        fetch(tmp_path / "out", source, 1, column="face")
    with pytest.raises(ValueError, match="split 'test'"):
        fetch(tmp_path / "out", source, 1, split="test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no parquet file in it"):
        fetch(tmp_path / "out", tmp_path / "empty", 1)
    with pytest.raises(ValueError, match="needs source_path"):
        sources.fetch_hub(tmp_path / "out", 1, "parquet", "train", "image", progress=False)


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object, **options: object) -> object:
        if name == "datasets":
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'hifacegan-workbench\[hub\]'"):
        fetch(tmp_path / "out", tmp_path / "a.parquet", 1)
