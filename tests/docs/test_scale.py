"""The page about growth has the tables of its script; its lines foretell a measurement that they were not fitted to."""

import subprocess
import sys
from pathlib import Path

import pytest

from hifacegan_lib.utils.files import read_json

ROOT = Path(__file__).parents[2]
FOUND = read_json(ROOT / "benchmarks" / "results" / "growth_cpu.json")


def test_the_page_has_the_tables_of_its_script() -> None:
    done = subprocess.run([sys.executable, "docs/scale.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    for table in done.stdout.strip().split("\n\n"):
        assert table in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8"), "run: python docs/scale.py"


def test_the_lines_foretell_the_point_ten_times_larger() -> None:
    part, check = FOUND["stages"]["prepare"], FOUND["check"]
    assert check["faces"] == 10 * max(run["faces"] for run in part["runs"])
    assert part["base"] + part["megabytes_face"] * check["faces"] == pytest.approx(check["megabytes"], rel=0.05)
    assert part["start"] + part["face"] * check["faces"] == pytest.approx(check["seconds"], rel=0.3)
