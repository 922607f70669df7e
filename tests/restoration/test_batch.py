"""Folders of photographs: all that can be done is done, once; what cannot is told; nothing is lost."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from hifacegan_lib.restoration import batch
from hifacegan_lib.restoration.batch import Settings, restore_folder
from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.utils import images

FACE = data.astronaut()[20:220, 120:330]
DARKER = Model(lambda faces: faces * 0.5, Card("darker", sha256="0" * 64, size=64))
HAAR = Settings("haar")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    images.save_image(tmp_path / "in" / "a.png", FACE)
    images.save_image(tmp_path / "in" / "deep" / "b.jpg", FACE)
    images.save_image(tmp_path / "in" / "grey wall.jpg", np.full((80, 90, 3), 99, np.uint8))
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    return tmp_path / "in"


def run(album: Path, settings: Settings = HAAR, model: Model = DARKER, **more: bool) -> tuple[batch.Outcome, list[str]]:
    said: list[str] = []
    sources = sorted(path for path in album.rglob("*") if path.is_file())
    return restore_folder(sources, album, album.parent / "out", model, settings, report=said.append, **more), said


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_tree_and_the_formats_are_kept_and_what_fails_is_told(album: Path) -> None:
    done, said = run(album)
    assert tree(album.parent / "out") == ["a.png", "deep/b.jpg", "grey wall.jpg", "restored.jsonl"]
    assert len(done.failed) == 1 and "broken.png" in done.failed[0]
    assert any("broken.png" in line for line in said)
    assert (images.load_image(album.parent / "out" / "a.png") != FACE).mean() > 0.2


def test_a_photograph_without_a_face_is_copied_to_the_byte_and_said(album: Path) -> None:
    done, said = run(album)
    assert done.without_face == 1
    assert (album.parent / "out" / "grey wall.jpg").read_bytes() == (album / "grey wall.jpg").read_bytes()
    assert "grey wall.jpg: no face was found: nothing was restored" in said


def test_the_journal_says_what_was_done(album: Path) -> None:
    run(album)
    lines = [json.loads(line) for line in (album.parent / "out" / batch.JOURNAL).read_text().splitlines()]
    assert [line["file"] for line in lines] == ["a.png", "deep/b.jpg", "grey wall.jpg"]
    assert lines[0]["trace"]["weights"] == "darker" and len(lines[0]["trace"]["faces"]) == 1
    assert lines[0]["settings"]["strength"] == 1 and lines[0]["files"] == ["a.png"]


def test_the_same_command_does_nothing_twice_and_goes_on_where_it_stopped(album: Path) -> None:
    def stop(faces: object) -> object:
        calls.append(faces)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return faces

    calls: list[object] = []
    with pytest.raises(KeyboardInterrupt):
        run(album, model=replace(DARKER, network=stop))
    first = (album.parent / "out" / "a.png").stat().st_mtime_ns
    done, _ = run(album, model=replace(DARKER, network=lambda faces: faces))
    assert done.before == 1 and len(done.written) == 2
    assert (album.parent / "out" / "a.png").stat().st_mtime_ns == first
    again, _ = run(album)
    assert again.before == 3 and not again.written


def test_other_settings_or_another_photograph_are_done_anew(album: Path) -> None:
    run(album)
    done, _ = run(album, replace(HAAR, strength=0.5))
    assert done.before == 0 and len(done.written) == 3
    images.save_image(album / "a.png", FACE[:, ::-1])
    done, _ = run(album, replace(HAAR, strength=0.5))
    assert done.before == 2 and [path.name for path in done.written] == ["a.png"]


def test_a_file_of_somebody_else_is_not_replaced_unless_asked(album: Path) -> None:
    images.save_image(album.parent / "out" / "a.png", FACE)
    done, _ = run(album)
    assert any("a.png: exists already; --overwrite" in line for line in done.failed)
    done, _ = run(album, overwrite=True)
    assert len(done.failed) == 1  # the broken one


def test_the_input_is_never_replaced(album: Path) -> None:
    before = {path: path.read_bytes() for path in album.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"a\.png: the output would replace the input"):
        restore_folder(sorted(before), album, album, DARKER, HAAR, overwrite=True, report=lambda _: None)
    assert tree(album) == sorted(path.relative_to(album).as_posix() for path in before)
    assert all(path.read_bytes() == content for path, content in before.items())


def test_only_faces_and_comparisons(album: Path) -> None:
    run(album, replace(HAAR, only_faces=True, comparison=True))
    files = tree(album.parent / "out")
    assert "a_face1.png" in files and "deep/b_face1.png" in files and "a.png" not in files
    assert images.load_image(album.parent / "out" / "a_face1.png").shape == (64, 64, 3)
    assert images.load_image(album.parent / "out" / "a_comparison.jpg").shape == (200, 2 * 210 + batch.GAP, 3)


def test_crops_are_restored_whole(album: Path) -> None:
    run(album, Settings(aligned=True))
    dark = images.load_image(album.parent / "out" / "grey wall.jpg")
    assert abs(dark.mean() - 99 / 2) < 2


def test_a_journal_that_was_cut_off_is_read_as_far_as_it_goes(album: Path) -> None:
    run(album)
    journal = album.parent / "out" / batch.JOURNAL
    journal.write_text(journal.read_text()[:-40])
    done, _ = run(album)
    assert done.before == 2
