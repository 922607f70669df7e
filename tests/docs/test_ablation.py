"""docs/ablation.py: its tables of effects and seeds, against the page that it wrote."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
import scripts

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def ablation() -> ModuleType:
    return scripts.load("ablation")


def tables() -> list[list[list[str]]]:
    """The page's tables: head, rule, lines."""
    blocks = re.findall(r"(?:^\|.*\n)+", (DOCS / "ablation.md").read_text(encoding="utf-8"), re.MULTILINE)
    return [[line.strip("| ").split(" | ") for line in block.splitlines()] for block in blocks]


def test_the_effects_on_the_page_follow_from_its_grid(ablation: ModuleType) -> None:
    (head, _, *lines), (_, _, *printed) = tables()[:2]
    names = {"gain, dB": "gain", "SSIM": "ssim", "PSNR, dB": "psnr"}
    rows = [
        {names.get(k, k): v if k in ablation.FIRST else float(v) for k, v in zip(head, line, strict=True)}
        for line in lines
    ]
    assert ablation.grid(rows) == lines
    for found, expected in zip(sorted(ablation.effects(rows)), sorted(printed), strict=True):
        assert found[:2] == expected[:2]
        for cell, there, last in zip(found[2:], expected[2:], (0.001, 0.0001), strict=True):
            for a, b in zip(cell.split(" ± "), there.split(" ± "), strict=True):
                assert float(a) == pytest.approx(float(b), abs=2.01 * last)  # the grid is rounded


def test_seeds_are_read_from_a_sweeps_table(ablation: ModuleType, tmp_path: Path) -> None:
    metrics = {"gain": 1.0, "gain_high": 1.25, "ssim": 0.5, "ssim_high": 0.5625, "seconds": 9.0, "seconds_high": 11.0}
    table = {
        "rows": [{"suppression": "lip", **metrics}],
        "differences": [{"suppression": "conv", "less": "lip", **metrics}],
    }
    (tmp_path / "table.json").write_text(json.dumps(table))
    means, less = ablation.seeds(tmp_path)
    assert means == [["lip", "1.000 ± 0.250", "0.5000 ± 0.0625", "9 ± 2"]]
    assert less == [["conv", "+1.000 ± 0.250", "+0.5000 ± 0.0625"]]
