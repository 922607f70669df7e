"""`hifacegan evaluate` without a reference: any photographs, tables and pages as with originals, bad input named."""

import json
from pathlib import Path

import browsing
import numpy as np
import pytest
from skimage import data
from standins import real

from hifacegan_lib import cli
from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.utils.images import save_image

NAMES = ("Müller & Söhne", "two words", "c", "d", "e")
SIDES = (48, 48, 64, 40, 48)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/ of other sizes each, and two restorers' outputs: mine/ and theirs/."""
    root, recipe = tmp_path_factory.mktemp("real photographs, übel"), load_recipe("report")
    for n, (name, side) in enumerate(zip(NAMES, SIDES, strict=True)):
        clean = portrait(n, side)
        photo = recipe.sample(n, grid=side).apply(clean)
        for folder, share in (("photos", 0), ("mine", 0.6), ("theirs", 0.3)):
            save_image(root / folder / f"{name}.png", np.round(share * clean + (1 - share) * photo).astype(np.uint8))
    return root


def run(root: Path, restored: str, *more: object) -> int:
    quick = ("--samples", 50, *(() if "--metrics" in more else ("--metrics", "sharpness", "colour_cast", "moved")))
    command = ["evaluate", "--restored", root / restored, "--out", root / "scores" / restored, "--overwrite"]
    return cli.main([str(word) for word in (*command, *quick, *more)])


def test_the_restored_faces_alone_are_enough(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folders, "mine", "--metrics", "psnr", "sharpness", "moved") == 0
    said = capsys.readouterr().out
    assert "5 faces of 40 x 40, 48 x 48, 64 x 64; restored: PNG 5" in said
    assert "no originals; left out: psnr: need clean faces; moved: need the restorer's input" in said
    page = (folders / "scores" / "mine" / "report.html").read_text(encoding="utf-8")
    assert "There are no originals" in page and "Best, median and worst." in page and 'class="slider"' not in page


def test_beside_the_inputs_two_are_scored_and_compared(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for restored in ("mine", "theirs"):
        assert run(folders, restored, "--input", folders / "photos") == 0
    scores = folders / "scores"
    assert Evaluation.load(scores / "mine" / "metrics.json").scores["restored"]["moved"].min() > 0
    index = json.loads((scores / "mine" / "pictures.json").read_text(encoding="utf-8"))
    assert list(index) == ["degraded", "restored"] and index["degraded"]["two words"].endswith("photos/two words.png")
    page = (scores / "mine" / "report.html").read_text(encoding="utf-8")
    assert page.count('class="slider"') == 3 and "no better side without clean faces" in page
    capsys.readouterr()
    out = tmp_path / "both"
    assert cli.main(["compare", f"{scores / 'mine'}", f"{scores / 'theirs'}", "--out", f"{out}"]) == 0
    assert "note:" not in (said := capsys.readouterr().out) and "(no better side)" in said
    page = (out / "comparison.html").read_text(encoding="utf-8")
    assert page.count('class="slider"') == 5 and page.count("<span>degraded</span>") == 5
    assert json.loads((out / "comparison.json").read_text(encoding="utf-8"))["metrics"][0]["wins"] is None
    with browsing.chromium() as browser:
        for path in (scores / "mine" / "report.html", out / "comparison.html"):
            window = browser.new_page(viewport={"width": 390, "height": 900})
            window.goto(path.as_uri())
            assert window.evaluate("document.documentElement.scrollWidth") <= 390
            assert window.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


@real("yunet", "sface", "niqe")
def test_identity_to_the_input_without_a_face_is_told(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cup", "cups"):
        save_image(folders / name / "a.png", data.coffee()[:192, :192])
    more = ("--input", folders / "cups", "--metrics", "niqe", "identity_to_input")
    assert run(folders, "cup", *more) == 0
    assert "restored: no identity to input for 1 of 1 faces: a." in capsys.readouterr().out
    page = (folders / "scores" / "cup" / "report.html").read_text(encoding="utf-8")
    assert "Is it still the same person?" in page and "Not measured: no face was found." in page


def test_an_unreadable_picture_is_listed_and_the_rest_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a ä", "b"):
        save_image(tmp_path / "out" / f"{name}.png", portrait(1, 40))
    (tmp_path / "out" / "a ä.png").write_bytes(b"half a file")
    assert run(tmp_path, "out") == 1
    said = capsys.readouterr()
    assert "1 of 2 pictures could not be read: a ä." in said.out and "a ä.png: not an image" in said.err
    assert Evaluation.load(tmp_path / "scores" / "out" / "metrics.json").rows[0]["n"] == 1
    (tmp_path / "out" / "b.png").write_bytes(b"")
    assert run(tmp_path, "out") == 1
    assert "nothing to evaluate: no pair came" in capsys.readouterr().err


def test_bad_input_is_named_before_anything_is_written(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(restored: str, *more: object) -> str:
        assert run(tmp_path, restored, *more) == 1
        assert not (tmp_path / "scores").exists()
        return capsys.readouterr().err

    (tmp_path / "empty").mkdir()
    for name in ("1.png", "1.bmp", "x/2.png"):
        save_image(tmp_path / "twice" / name, portrait(1, 40))
    save_image(tmp_path / "few" / "x" / "2.png", portrait(1, 40))
    photos = folders / "photos"
    assert "empty: no image file below it" in said("empty")
    assert "two pictures of one name, which of them counts?" in said("twice")
    assert "only in" in (lacks := said("few", "--input", photos)) and "Müller & Söhne" in lacks and "x/2" in lacks
    assert "both name the restorer's inputs" in said("few", "--input", photos, "--degraded", photos)
    assert "no metric is left: psnr, fid: need clean faces" in said("few", "--metrics", "psnr", "fid")
    assert "no metric has a value\n  niqe: needs" in said("few", "--metrics", "niqe")
    assert "nothing.onnx" in said("few", "--recogniser", tmp_path / "nothing.onnx")
    fid = ("--metrics", "fid", "sharpness", "--statistics")
    np.savez(tmp_path / "other.npz", mu=np.zeros(64), sigma=np.eye(64))
    assert "nothing.npz: no such file or folder" in said("few", *fid, tmp_path / "nothing.npz")
    assert "other.npz: mu (64,), sigma (64, 64): statistics of other features" in said(
        "few", *fid, tmp_path / "other.npz"
    )


def test_with_statistics_fid_needs_no_clean_faces(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # no Inception: all but its features
    np.savez(tmp_path / "ffhq.npz", mu=np.zeros(2048), sigma=np.eye(2048))
    assert run(folders, "mine", "--metrics", "fid", "sharpness", "--statistics", tmp_path / "ffhq.npz") == 0
    c = Evaluation.load(folders / "scores" / "mine" / "metrics.json").conditions
    assert "left_out" not in c and "; against ffhq.npz (sha256 " in c["metrics"]["fid"]
    assert "hifacegan weights fetch inception" in c["unavailable"]["fid"]


def test_the_challenges_score_or_what_it_lacks_is_printed(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("--input", folders / "photos", "--metrics", "sharpness", "--ntire", "wider")
    assert run(folders, "mine", *more) == 0
    (said,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("no NTIRE score: ")]
    assert "fid" in said and "gate" not in said.partition(";")[0]
    page = (folders / "scores" / "mine" / "report.html").read_text(encoding="utf-8")
    assert "NTIRE 2026" in page and said in page
