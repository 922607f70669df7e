"""The files of a benchmark: a page whose faces show any two methods, and a Markdown table with its conditions."""

import re
from pathlib import Path

import pytest
from browsing import chromium

import hifacegan_lib as hf
from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.evaluation.benchmark_results import Benchmark
from hifacegan_lib.utils.images import save_image


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    home = tmp_path_factory.mktemp("page")
    for n in range(5):
        save_image(home / "faces" / f"<{n}> ä.png", portrait(n, 64))
    save_image(home / "few" / "<0> ä.png", portrait(0, 64))
    files = {path.name: path for path in sorted((home / "faces").iterdir())}
    methods = {"bicubic@factor=2": "bicubic@factor=2", "bilateral": "bilateral", "few": home / "few"}
    return hf.benchmark(
        methods, {"Größe 64": files}, home / "out", "report", 64, metrics=["psnr", "ssim", "fid"], progress=False
    )


def test_any_two_methods_and_the_clean_face_can_be_put_side_by_side(found: Benchmark) -> None:
    with chromium() as browser:
        page, errors = browser.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda asked: errors.append(asked.url) if asked.url.startswith("http") else None)
        page.goto((found.folder / "benchmark.html").as_uri())
        card = page.locator(".bench .card").first
        images, tags = card.locator(".slider img"), card.locator(".tags b")
        before = [images.nth(n).get_attribute("src") for n in (0, 1)]
        assert tags.nth(0).inner_text() == "input"
        page.locator("select").nth(0).select_option("clean")
        page.locator("select").nth(1).select_option("bilateral")
        assert [tags.nth(n).inner_text() for n in (0, 1)] == ["clean", "bilateral"]
        after = [images.nth(n).get_attribute("src") for n in (0, 1)]
        assert len({*before, *after}) in (3, 4) and before[0] != after[0]
        assert page.locator(".bench .card").count() == 3
        card.locator("input").fill("80")
        assert card.locator(".slider").evaluate("box => box.style.getPropertyValue('--at')") == "80%"
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert errors == []


def test_the_page_names_remarks_failures_and_the_rule(found: Benchmark) -> None:
    text = (found.folder / "benchmark.html").read_text(encoding="utf-8")
    assert "share a rank" in text and "no picture for 4 of 5 faces: &lt;1&gt; ä" in text
    assert "fewer than 10" in text and "FID is missing" in text and found.sets["Größe 64"].fingerprint[:12] in text


def test_the_table_for_a_paper_has_a_row_for_each_method_and_says_its_conditions(found: Benchmark) -> None:
    text = (found.folder / "benchmark.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert [row[0].removeprefix("| ") for row in rows] == ["Method", "---", *found.cards]
    for row in rows[2:5]:
        mean = found.frame().loc[("Größe 64", row[0].removeprefix("| ")), "psnr"]
        assert f"{mean:.2f}" == row[1].strip("*")
        assert row[1].startswith("**") == (found.ranks["Größe 64"]["psnr"][row[0].removeprefix("| ")] == 1)
    assert "no numbers: no picture for 4 of 5" in rows[5][1]
    for said in ("5 faces of 64 x 64 pixels", "report, seed 0", "Fingerprint", "factor 2; given", "share a rank"):
        assert said in text
    assert len({row.count("|") for row in re.findall(r"^\|.*\|$", text, re.MULTILINE)}) == 1


def test_examples_are_the_best_the_middle_and_the_worst_of_the_methods_mean(found: Benchmark) -> None:
    values = (
        found.evaluations["Größe 64", "bilateral"].faces()["psnr"]
        + found.evaluations["Größe 64", "bicubic@factor=2"].faces()["psnr"].to_numpy()
    )
    order = [key for _, key in values.sort_values(ascending=False).index]
    assert found.examples("Größe 64") == {"best": order[0], "middle": order[2], "worst": order[-1]}


def test_no_private_path_is_in_any_file(found: Benchmark) -> None:
    for path in [*found.folder.glob("benchmark.*"), *found.folder.glob("*/methods/*/metrics.json")]:
        assert str(Path(found.folder).parent) not in path.read_text(encoding="utf-8"), path.name
