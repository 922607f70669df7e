"""The Python of README and docs is run, in a folder that has the files that it names."""

import re
from pathlib import Path

import cv2
import pytest
import torch
from restorers import SMALL, made
from skimage import data

from hifacegan_lib import portrait
from hifacegan_lib.utils import images

ROOT = Path(__file__).parents[2]
NOT_RUN = {
    "colab.md": "runs on Colab alone; tests/test_colab.py runs it under a stand-in",
    "sweep.md": "reads a finished sweep; tests/test_sweeps.py calls the same",
}


def blocks(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if blocks(path)]


@pytest.mark.parametrize("page", [p for p in PAGES if p.name not in NOT_RUN], ids=lambda page: page.name)
def test_python_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HIFACEGAN_HOME", str(tmp_path))
    images.save_image(tmp_path / "family.jpg", data.astronaut()[:260, 60:400])
    for n in range(4):
        face = portrait(n, 64)
        images.save_image(tmp_path / "clean" / f"{n}.png", face)
        images.save_image(tmp_path / "theirs" / f"{n}.png", cv2.GaussianBlur(face, (0, 0), 1))
        images.save_image(tmp_path / "damaged" / f"{n}.png", cv2.GaussianBlur(face, (0, 0), 2))
    torch.save(made(SMALL["NAFNet"]).state_dict(), tmp_path / "theirs.pth")
    exec("\n".join(blocks(page)), {"__name__": page.stem})


def test_pages_that_are_not_run_have_code() -> None:
    assert NOT_RUN.keys() <= {page.name for page in PAGES}
