"""docs/results.md says what docs/results.json holds, which is what runs left behind."""

import json
from pathlib import Path
from types import ModuleType

import pytest
import scripts
import torch

from hifacegan_lib.evaluation import scoring
from hifacegan_lib.metrics import registry
from hifacegan_lib.utils import files

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return scripts.load("results")


@pytest.fixture(scope="module")
def numbers() -> dict[str, dict[str, object]]:
    return json.loads((DOCS / "results.json").read_text(encoding="utf-8"))


def test_the_page_is_written_from_the_numbers(script: ModuleType, numbers: dict[str, dict[str, object]]) -> None:
    assert (DOCS / "results.md").read_text(encoding="utf-8") == script.page(numbers), "run: python docs/results.py"


def test_every_picture_is_there_and_small(script: ModuleType, numbers: dict[str, dict[str, object]]) -> None:
    for name in numbers:
        for file in script.RUNS[name].pictures:
            assert (DOCS / file).stat().st_size < 450_000, file


def test_the_readme_says_the_same_numbers(numbers: dict[str, dict[str, object]]) -> None:
    lines = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    for name, command in (
        ("demo", "make demo"),
        ("folder64", "hifacegan run folder64"),
        ("shipped256", "run shipped256"),
    ):
        (line,) = [line for line in lines if command in line and "**" in line]
        psnr = next(row for row in numbers[name]["table"] if row["metric"] == "psnr")  # type: ignore[attr-defined]
        assert [cell.split()[0] for cell in psnr["cells"]] == [c.strip(" *") for c in line.split("|")[3:7]]
        gain = numbers[name]["gains"]["psnr"]["degraded"]  # type: ignore[index]
        assert line.endswith(f"| {gain['mean']:+.2f} [{gain['low']:.2f}, {gain['high']:.2f}] |")


def test_a_run_is_read_as_it_was_judged(script: ModuleType, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(6, 3, 32, 32, generator=generator)
    damaged = (clean + 0.1 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
    batch = {"clean": clean, "degraded": damaged, "key": [f"{n}.png" for n in range(6)]}
    found = scoring.evaluate(
        {"bicubic": lambda x: x, "model": lambda x: 0.5 * x + 0.25},
        [batch],
        100,
        metrics=registry.standard(["psnr", "ssim"]),
    )
    found.save(tmp_path / "metrics.json")
    row = {
        "protocol": "luma_only",
        "kind": "convention",
        "says": "Luma.",
        "metric": "psnr",
        "value": 1.0,
        "moved": -0.001,
    }
    for name, value in {
        "result": {"steps": 400, "seconds": 40.0, "parameters": 570_000, "device": "cpu"},
        "environment": {"cpus": 2, "threads": 1, "gpu": None, "python": "3.11", "packages": {"torch": "2"}},
        "surfaces": {mode: {"cliffs": [f"{mode} falls."], "faces": 3} for mode in ("within", "alone")},
        "protocols": [row],
    }.items():
        files.write_json(tmp_path / f"{name}.json", value)
    read = script.read(tmp_path)
    text = script.page({"demo": json.loads(json.dumps(read))})
    assert read["methods"] == ["degraded", "bicubic", "model"]
    assert f"{found.rows[2]['psnr']:.2f} [" in text
    assert read["gains"]["psnr"]["degraded"] == found.gain("model")._asdict()
    assert "within falls." in text
    assert "| `luma_only` | +0.00 |" in text
    assert "convention. Luma." in text


def test_a_run_that_nobody_judged_is_refused(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="notebook 05"):
        script.read(tmp_path)
