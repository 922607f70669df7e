"""A wheel holds all that a command needs: it is built, installed into an empty environment and used elsewhere."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``hifacegan`` command of an environment that has the built wheel; the dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, _copy(folder)], check=True
    )
    (wheel,) = folder.glob("*.whl")
    assert wheel.stat().st_size < 20e6
    venv.create(folder / "env")
    python = folder / "env" / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    # a path line leads to the tests' packages; the .pth file of their editable install is not read from there
    Path(site.stdout.strip(), "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", wheel], check=True)
    return folder / "env" / "bin" / "hifacegan"


def _copy(folder: Path) -> Path:
    """The files that git knows, so that the build leaves nothing in the checkout."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("docs/", "tests/")):
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    return folder / "source"


def run(command: Path, *words: str | Path, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "HIFACEGAN_HOME")}
    done = subprocess.run([command, *words], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_restores_a_photograph_from_any_folder(installed: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), data.astronaut()[..., ::-1])
    run(installed, "restore", "photo.png", "restored", cwd=tmp_path)
    restored = cv2.imread(str(tmp_path / "restored" / "photo.png"))
    assert restored.shape == (512, 512, 3) and (restored != data.astronaut()[..., ::-1]).any()


def test_the_wheel_has_recipes_and_profiles(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    cv2.imwrite(str(tmp_path / "faces" / "a.png"), np.full((64, 64, 3), 90, np.uint8))
    run(installed, "degrade", "faces", "damaged", cwd=tmp_path)
    assert (tmp_path / "damaged" / "a.png").is_file()
    options = ["-p", "train_size", "4", "-p", "valid_size", "2", "-p", "data_dir", "data/few"]
    run(installed, "prepare", *options, cwd=tmp_path)
    assert (tmp_path / "data" / "few" / "manifest.json").is_file()
