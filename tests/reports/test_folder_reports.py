"""Folders scored and compared: the numbers of the library, on files, with pages that open anywhere."""

import json
import re
import shutil
from pathlib import Path

import browsing
import numpy as np
import pytest

from hifacegan_lib import cli
from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.evaluation.scoring import evaluate
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.reports import folder_reports
from hifacegan_lib.utils.images import load_image, save_image, to_float

N, SIDE = 7, 48
BASIC = ("psnr", "ssim", "sharpness")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clean/, damaged/, and two restorers' outputs: blurred/ and, a little nearer, mixed/."""
    root = tmp_path_factory.mktemp("faces")
    recipe = load_recipe("report")
    for n in range(N):
        clean = portrait(n, SIDE)
        damaged = recipe.sample(n, grid=SIDE).apply(clean)
        mixed = np.round(0.3 * clean + 0.7 * damaged).astype(np.uint8)
        for name, face in {"clean": clean, "damaged": damaged, "mixed": mixed}.items():
            save_image(root / name / "sub" / f"{n}.png", face)
    return root


@pytest.fixture(scope="module")
def scored(folders: Path) -> tuple[Evaluation, Path]:
    out = folders / "scores"
    found = folder_reports.evaluate_folders(
        folders / "mixed", folders / "clean", out, folders / "damaged", BASIC, bootstrap_samples=100
    )
    return found, out


def test_the_numbers_are_those_of_an_evaluation_in_memory(folders: Path, scored: tuple[Evaluation, Path]) -> None:
    def stack(name: str) -> object:
        import torch

        return torch.stack([to_float(load_image(folders / name / "sub" / f"{n}.png")) for n in range(N)])

    batch = {"clean": stack("clean"), "degraded": stack("damaged"), "key": [f"sub/{n}" for n in range(N)]}
    expected = evaluate({"restored": lambda _: stack("mixed")}, [batch], 100, 0, metrics=standard(BASIC))
    assert expected.keys == scored[0].keys and expected.rows == scored[0].rows
    assert expected.conditions["clean_sha256"] == scored[0].conditions["clean_sha256"]


def test_everything_is_written_and_says_its_conditions(scored: tuple[Evaluation, Path]) -> None:
    found, out = scored
    assert {p.name for p in out.iterdir()} == {"metrics.json", "metrics.csv", "pictures.json", "report.html"}
    again = Evaluation.load(out / "metrics.json")
    assert again.to_json() == found.to_json()
    for name in ("colour", "file_format", "resize_kernel", "crop", "metrics", "backbones", "n", "unreadable"):
        assert name in found.conditions
    assert found.conditions["file_format"] == f"reference: PNG {N}; degraded: PNG {N}; restored: PNG {N}"


def test_an_evaluation_is_not_overwritten_unasked(folders: Path, scored: tuple[Evaluation, Path]) -> None:
    with pytest.raises(FileExistsError, match="holds an evaluation; --overwrite replaces it"):
        folder_reports.evaluate_folders(folders / "mixed", folders / "clean", scored[1], metrics=BASIC)


def test_the_command_prints_the_table_and_counts_what_it_could_not_read(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("mixed", "clean", "damaged"):
        for n in range(N):
            save_image(tmp_path / name / f"{n}.png", load_image(folders / name / "sub" / f"{n}.png"))
    (tmp_path / "mixed" / "2.png").write_bytes(b"half a file")
    command = ["evaluate", "--restored", f"{tmp_path / 'mixed'}", "--reference", f"{tmp_path / 'clean'}"]
    command += ["--degraded", f"{tmp_path / 'damaged'}", "--out", f"{tmp_path / 'out'}", "--metrics", "psnr", "lpips"]
    assert cli.main([*command, "--samples", "100"]) == 1
    said = capsys.readouterr()
    assert f"{N - 1} faces of 48 x 48" in said.out and "restored over degraded: +" in said.out
    assert f"1 of {N} pairs could not be read: 2." in said.out
    assert "unreadable: 2:" in said.err and "2.png: not an image" in said.err
    rows = json.loads((tmp_path / "out" / "metrics.json").read_text())["rows"]
    assert [row["unreadable"] for row in rows] == [1, 1]
    assert cli.main([*command, "--metrics", "speed", "--overwrite"]) == 1
    assert "metric 'speed': unknown; expected one of: psnr" in capsys.readouterr().err


def test_what_does_not_pair_stops_before_anything_is_written(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_image(tmp_path / "mixed" / "new.png", portrait(1, SIDE))
    out = tmp_path / "out"
    command = [
        "evaluate",
        "--restored",
        f"{tmp_path / 'mixed'}",
        "--reference",
        f"{folders / 'clean'}",
        "--out",
        f"{out}",
    ]
    assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert "only in" in said and "new" in said and "sub/0" in said and not out.exists()


def test_groups_get_a_table_in_the_report(folders: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("key,light\n" + "".join(f"sub/{n},{'dim' if n % 2 else 'bright'}\n" for n in range(N)))
    folder_reports.evaluate_folders(
        folders / "mixed", folders / "clean", tmp_path / "out", folders / "damaged", BASIC, labels=labels
    )
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "By light" in page and "bright" in page and "4 (few)" in page


def test_everything_works_without_the_degraded_faces(
    folders: Path, scored: tuple[Evaluation, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("key,light\n" + "".join(f"sub/{n},{'dim' if n % 2 else 'bright'}\n" for n in range(N)))
    command = ["evaluate", "--restored", f"{folders / 'mixed'}", "--reference", f"{folders / 'clean'}"]
    command += ["--out", f"{tmp_path / 'out'}", "--samples", "100", "--metrics", *BASIC, "--groups", f"{labels}"]
    assert cli.main(command) == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {p.name for p in scored[1].iterdir()}
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "degraded input" not in page and "By light" in page and "PSNR gain" not in page
    found = Evaluation.load(tmp_path / "out" / "metrics.json")
    with_input = {row["method"]: row for row in scored[0].rows}
    assert [row["psnr"] for row in found.rows] == [with_input["restored"]["psnr"]]
    assert cli.main(["compare", f"{tmp_path / 'out'}", f"{scored[1]}", "--out", f"{tmp_path / 'both'}"]) == 0
    assert "cannot be told from" in capsys.readouterr().out


def test_an_evaluation_that_fails_at_its_end_does_not_block_the_next(folders: Path, tmp_path: Path) -> None:
    labels, out = tmp_path / "labels.csv", tmp_path / "out"
    labels.write_text("key,light\nsomebody_else,dim\n")
    with pytest.raises(ValueError, match="no label is of an evaluated face"):
        folder_reports.evaluate_folders(folders / "mixed", folders / "clean", out, metrics=BASIC, labels=labels)
    assert not out.exists()
    folder_reports.evaluate_folders(folders / "mixed", folders / "clean", out, metrics=BASIC, bootstrap_samples=100)
    (out / "metrics.json").unlink()
    (out / "metrics.csv").unlink()
    (out / "metrics.csv").mkdir()  # where it cannot be written
    with pytest.raises(OSError, match=r"metrics\.csv"):
        folder_reports.evaluate_folders(folders / "mixed", folders / "clean", out, metrics=BASIC, bootstrap_samples=100)
    assert not (out / "metrics.json").exists()


def test_two_folders_are_compared_with_the_faces_that_changed_most(
    folders: Path, scored: tuple[Evaluation, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = tmp_path / "worse"
    folder_reports.evaluate_folders(folders / "damaged", folders / "clean", worse, folders / "damaged", BASIC)
    assert cli.main(["compare", f"{worse}", f"{scored[1]}", "--out", f"{tmp_path / 'both'}"]) == 0
    said = capsys.readouterr().out
    assert "is better than" in said and f"better on {N} of {N} faces" in said and "note:" not in said
    page = (tmp_path / "both" / "comparison.html").read_text(encoding="utf-8")
    assert page.count('class="slider"') == N
    saved = json.loads((tmp_path / "both" / "comparison.json").read_text(encoding="utf-8"))
    assert saved["metrics"][0]["wins"] == N


def test_a_comparison_finds_its_pictures_after_the_whole_tree_has_moved(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders, tmp_path / "before")
    before = tmp_path / "before"
    folder_reports.evaluate_folders(
        before / "damaged", before / "clean", before / "worse", before / "damaged", BASIC, bootstrap_samples=100
    )
    folder_reports.evaluate_folders(before / "mixed", before / "clean", before / "better", metrics=BASIC)
    before.rename(tmp_path / "after")
    after = tmp_path / "after"
    folder_reports.compare_folders(after / "worse", after / "better", tmp_path / "both")
    page = (tmp_path / "both" / "comparison.html").read_text(encoding="utf-8")
    assert page.count('class="slider"') == N


@pytest.mark.parametrize("width", [1280, 390])
def test_the_pages_fit_and_their_sliders_slide(
    scored: tuple[Evaluation, Path], folders: Path, tmp_path: Path, width: int
) -> None:
    folder_reports.evaluate_folders(
        folders / "damaged", folders / "clean", tmp_path / "other", folders / "damaged", BASIC
    )
    folder_reports.compare_folders(tmp_path / "other", scored[1], tmp_path / "both")
    with browsing.chromium() as browser:
        for path in (scored[1] / "report.html", tmp_path / "both" / "comparison.html"):
            assert not re.search(r"<script|<link|@import|url\(|https?://", path.read_text(encoding="utf-8"))
            page = browser.new_page(viewport={"width": width, "height": 900})
            problems: list[str] = []
            page.on("console", lambda m, problems=problems: problems.append(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda e, problems=problems: problems.append(str(e)))
            page.on(
                "request", lambda r, problems=problems: problems.append(r.url) if r.url.startswith("http") else None
            )
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            slider = page.locator(".slider").first
            slider.locator("input").focus()
            page.keyboard.press("Home")
            left = slider.evaluate("e => getComputedStyle(e).getPropertyValue('--at')")
            page.keyboard.press("End")
            right = slider.evaluate("e => getComputedStyle(e).getPropertyValue('--at')")
            assert (left.strip(), right.strip()) == ("0%", "100%")
            assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
            assert problems == []
            page.close()
