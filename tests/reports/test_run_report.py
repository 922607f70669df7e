"""The report: one file that holds everything and asks for nothing."""

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import browsing
import numpy as np
import pytest
import torch
from PIL import Image

from hifacegan_lib.evaluation.scoring import Evaluation, Method, evaluate
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.reports import evaluation_plots, run_report
from hifacegan_lib.reports.run_report import TrainingRecord
from hifacegan_lib.utils.images import grid, save_image


def judged(**methods: Method) -> Evaluation:
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(5, 3, 24, 24, generator=generator).mul(0.6).add(0.2)
    noise = 0.2 * torch.randn(clean.shape, generator=generator)
    batch = {"clean": clean, "degraded": (clean + noise).clamp(0, 1), "key": [f"face {n}" for n in range(5)]}
    metrics = standard(("psnr", "ssim", "ms_ssim"))
    return evaluate(methods, [batch], 100, 0, {"recipe": "<noise> & blur"}, metrics)


def grey(x: torch.Tensor) -> torch.Tensor:
    return x * 0.5 + 0.25


def written(tmp_path: Path, evaluation: Evaluation) -> str:
    figure = evaluation_plots.before_after(*(values["psnr"] for values in list(evaluation.scores.values())[:2]))
    environment = {"python": "3", "packages": {"torch": "2"}, "gpu": None}
    path = run_report.write_report(
        tmp_path / "new" / "report.html",
        evaluation,
        {"Faces. Each a dot.": figure},
        {"image_size": 24},
        environment,
        "T",
    )
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Checks that tags close in order; collects addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if "style" not in self.open else ""


def test_the_file_asks_for_nothing(tmp_path: Path) -> None:
    text = written(tmp_path, judged(grey=grey))
    page = Reader(text)
    assert len(page.addresses) == 1 and page.addresses[0].startswith("data:image/png;base64,")
    assert not re.search(r"<script|<link|@import|url\(|https?://", text)


def test_rows_intervals_conditions_and_captions_are_there(tmp_path: Path) -> None:
    evaluation = judged(grey=grey)
    page = Reader(written(tmp_path, evaluation))
    for row in evaluation.rows:
        assert f"{row['psnr']:.2f} [{row['psnr_low']:.2f}, {row['psnr_high']:.2f}]" in page.text
    said = ("<noise> & blur", "every output to 8 bits", "OpenCV", "Faces. Each a dot.", "torch 2", "image size")
    assert all(words in page.text for words in said)
    assert "MS-SSIM is not available: needs sides of at least 176 pixels, got 24 x 24." in page.text


def test_the_best_of_each_metric_is_marked_and_its_gain_told(tmp_path: Path) -> None:
    evaluation = judged(grey=grey, same=lambda x: x)
    text = written(tmp_path, evaluation)
    assert evaluation.best("psnr") == "grey"
    assert text.count('class="best"') == 2
    assert f"{evaluation.gain('grey').mean:+.2f} dB" in text
    assert "over same, the next best" in text


@pytest.mark.parametrize("methods", [{}, {"worse": lambda x: x * 0.1}])
def test_when_nothing_helps_the_report_says_so(tmp_path: Path, methods: dict[str, Method]) -> None:
    evaluation = judged(**methods)
    path = run_report.write_report(tmp_path / "report.html", evaluation, {}, {}, {})
    page = Reader(path.read_text(encoding="utf-8"))
    assert "No method beats the degraded input." in page.text
    assert "Pictures" not in page.text


def test_the_same_evaluation_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (written(tmp_path / name, judged(grey=grey)) for name in ("a", "b"))
    assert first == second


# training


def strip(step: int, side: int = 16) -> np.ndarray:
    """Rows degraded, restored, clean, each of one grey; the restored one tells the step."""
    return grid([np.full((side, side, 3), grey, np.uint8) for grey in (10, step // 10, 250) for _ in range(8)], 8)


def run(folder: Path, *without: str) -> Path:
    """A finished run of 1500 steps, as a training leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    log = [
        {"step": n, "seconds": n / 5, "l1": 10 / n, "psnr": 20 + n / 500, "lr": 0.002} for n in range(100, 1501, 100)
    ]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in log), encoding="utf-8")
    warning = {"step": 1200, "warning": "colour cast: red is 0.051 too bright; see /home/jane/runs/demo/look.png"}
    (folder / "warnings.jsonl").write_text(json.dumps(warning) + "\n", encoding="utf-8")
    values = {
        "params": {"batch_size": 16, "image_size": 64, "steps": 1500, "data_dir": "/home/jane doe/faces"},
        "environment": {"python": "3", "gpu": None},
        "result": {"psnr": 25.93, "ssim": 0.81, "psnr_degraded": 23.24, "ssim_degraded": 0.7, "gain": 2.69, "faces": 64,
                   "steps": 1500, "seconds": 288.1, "parameters": 570544, "device": "cpu", "warnings": 1},
    }  # fmt: skip
    for name, value in values.items():
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    for step in (200, 400, 600, 800, 1000, 1200, 1400, 1500):
        save_image(folder / "figures" / f"step_{step:06d}.png", strip(step))
    save_image(folder / "figures" / "04_restored.png", strip(1))
    for name in without:
        shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
    return folder


def test_strips_come_by_rising_step_past_a_million(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    save_image(folder / "figures" / "step_1000000.png", strip(1500))
    found = TrainingRecord.load(folder)
    assert found is not None and [step for step, _ in found.strips][-1] == 1_000_000


def trained(tmp_path: Path, *without: str) -> TrainingRecord:
    found = TrainingRecord.load(run(tmp_path / "run", *without))
    assert found
    return found


def page_of(tmp_path: Path, training: TrainingRecord, evaluation: Evaluation | None = None) -> str:
    params = {"data_dir": training.params.get("data_dir", "")}
    path = run_report.write_report(tmp_path / "report.html", evaluation, {}, params, {"python": "3"}, "T", training)
    return path.read_text(encoding="utf-8")


def test_a_training_alone_tells_what_was_trained_how_long_and_what_it_is_worth(tmp_path: Path) -> None:
    text = page_of(tmp_path, trained(tmp_path))
    words = " ".join(Reader(text).text.split())
    assert (
        "A network of 570,544 parameters, trained for 1,500 steps on 24,000 faces of 64 pixels in 0:04:48 on the CPU."
        in words
    )
    said = (
        "+2.69 dB over the degraded input",
        "mean of 64 unseen faces",
        "25.93 dB PSNR",
        "0.192 s a step",
        "1 warning while",
    )
    said += (
        "83.3 faces a second",
        "step 1,200 colour cast: red is 0.051 too bright",
        "At the last step",
        "Environment",
    )
    assert not [part for part in said if part not in words]
    assert "Methods" not in words and "Conditions" not in words
    assert not re.search(r"<script|<link|@import|url\(|https?://", text)
    assert all(address.startswith("data:image/") for address in Reader(text).addresses)


def test_the_evaluation_stands_above_the_training(tmp_path: Path) -> None:
    evaluation, training = judged(grey=grey), trained(tmp_path)
    words = Reader(page_of(tmp_path, training, evaluation)).text
    order = [
        words.index(part) for part in ("Methods", "Conditions", "1 warning while", "Cost", "Parameters of the training")
    ]
    assert order == sorted(order)
    assert "5 faces of 24" in words and "mean of 64 unseen faces" not in words


def test_strips_are_few_from_first_to_last_and_share_one_input(tmp_path: Path) -> None:
    training = trained(tmp_path)
    assert [step for step, _ in training.strips] == [200, 600, 1200, 1500]
    faces = training.faces()
    assert list(faces) == ["degraded", "step 200", "step 600", "step 1,200", "step 1,500", "clean"]
    assert {name: (row.shape, row[:, :16].min(), row[:, :16].max()) for name, row in faces.items()} == {
        name: ((16, 142, 3), grey, grey) for name, grey in zip(faces, (10, 20, 60, 120, 150, 250), strict=True)
    }
    assert Reader(page_of(tmp_path, training)).text.count("step 600") == 1


def test_large_strips_are_made_small(tmp_path: Path) -> None:
    for step in (500, 1000):
        save_image(tmp_path / "run" / "figures" / f"step_{step:06d}.png", strip(step, 256))
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1000}\n', encoding="utf-8")
    training = TrainingRecord.load(tmp_path / "run")
    assert training and [step for step, _ in training.strips] == [500, 1000]
    found = re.findall(r"data:image/webp;base64,([\w+/=]+)", page_of(tmp_path, training))
    assert [Image.open(io.BytesIO(base64.b64decode(data))).size for data in found] == [(1600, 199)] * 4


@pytest.mark.parametrize(
    "missing", ["warnings.jsonl", "figures", "params.json", "environment.json", "result.json", "metrics.jsonl"]
)
def test_a_file_that_is_not_there_takes_only_its_own_part_away(tmp_path: Path, missing: str) -> None:
    training = trained(tmp_path, missing)
    words = Reader(page_of(tmp_path, training)).text
    assert training.steps == 1500
    assert ("not finished" in words) == (missing == "result.json")
    assert ("1 warning while" in words) == (missing != "warnings.jsonl")
    assert ("Validation faces" in words) == (missing != "figures")
    assert ("faces seen" in words) == (missing != "params.json")
    assert bool(training.curves()) == (missing != "metrics.jsonl")


def test_an_old_or_stopped_run_is_told_as_far_as_it_came(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", "warnings.jsonl", "figures", "environment.json", "result.json")
    (folder / "metrics.jsonl").write_text('{"step": 50, "l1": 0.5, "psnr": null}\n{"step": 100, "l1"', encoding="utf-8")
    training = TrainingRecord.load(folder)
    assert training and training.steps == 50 and training.seconds is None and list(training.curves()) == ["L1"]
    words = " ".join(Reader(page_of(tmp_path, training)).text.split())
    assert "A network, trained for 50 of 1,500 steps on 800 faces of 64 pixels. It is not finished" in words
    assert "No warning" not in words


def test_where_nothing_was_trained_there_is_no_record(tmp_path: Path) -> None:
    assert TrainingRecord.load(tmp_path) is None
    with pytest.raises(ValueError, match="an evaluation or a training"):
        run_report.write_report(tmp_path / "report.html", None, {}, {}, {})


@pytest.mark.parametrize("name", ["result.json", "metrics.jsonl"])
def test_a_broken_file_is_named(tmp_path: Path, name: str) -> None:
    folder = run(tmp_path / "run")
    (folder / name).write_text("{no JSON}", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"{name}: (not|expected a) JSON"):
        TrainingRecord.load(folder)


def test_no_path_from_the_root_is_told(tmp_path: Path) -> None:
    text = page_of(tmp_path, trained(tmp_path), judged(grey=grey))
    assert "…/faces" in text and "see …/look.png" in text
    assert "jane" not in text and str(tmp_path) not in text


def test_a_run_that_does_not_help_says_so(tmp_path: Path) -> None:
    training = trained(tmp_path)
    worse = TrainingRecord(training.log, result={**training.result, "gain": -0.4, "warnings": 0})
    words = Reader(page_of(tmp_path, worse)).text
    assert "It does not beat its own degraded input." in words and "No warning while it trained." in words


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_a_screen_and_a_telephone(tmp_path: Path, width: int) -> None:
    training = trained(tmp_path)
    result = {**training.result, "device": "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition, 96 GiB"}
    page_of(tmp_path, replace(training, result=result), judged(grey=grey))
    complaints: list[str] = []
    with browsing.chromium() as browser:
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda said: complaints.append(said.text))
        page.on("request", lambda asked: complaints.append(asked.url) if asked.url.startswith("http") else None)
        page.goto((tmp_path / "report.html").as_uri())
        page.evaluate("() => document.querySelectorAll('details').forEach(part => { part.open = true; })")
        assert page.evaluate("() => document.documentElement.scrollWidth") == width
        assert page.evaluate("() => [...document.images].every(image => image.complete && image.naturalWidth)")
    assert not complaints
