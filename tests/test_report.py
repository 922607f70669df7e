"""The report: one file that holds everything and asks for nothing."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from hifacegan_lib import figures, report
from hifacegan_lib.evaluation import Evaluation, Method, evaluate
from hifacegan_lib.metrics import standard


def judged(**methods: Method) -> Evaluation:
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(5, 3, 24, 24, generator=generator).mul(0.6).add(0.2)
    noise = 0.2 * torch.randn(clean.shape, generator=generator)
    batch = {"clean": clean, "degraded": (clean + noise).clamp(0, 1), "key": [f"face {n}" for n in range(5)]}
    metrics = {name: metric for name, metric in standard().items() if name != "lpips"}
    return evaluate(methods, [batch], 100, 0, {"recipe": "<noise> & blur"}, metrics)


def grey(x: torch.Tensor) -> torch.Tensor:
    return x * 0.5 + 0.25


def written(tmp_path: Path, evaluation: Evaluation) -> str:
    figure = figures.before_after(*(values["psnr"] for values in list(evaluation.scores.values())[:2]))
    environment = {"python": "3", "packages": {"torch": "2"}, "gpu": None}
    path = report.write_report(
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
    said = ("<noise> & blur", "every output to 8 bits", "torchmetrics", "Faces. Each a dot.", "torch 2", "image size")
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
    path = report.write_report(tmp_path / "report.html", evaluation, {}, {}, {})
    page = Reader(path.read_text(encoding="utf-8"))
    assert "No method beats the degraded input." in page.text
    assert "Pictures" not in page.text


def test_the_same_evaluation_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (written(tmp_path / name, judged(grey=grey)) for name in ("a", "b"))
    assert first == second
