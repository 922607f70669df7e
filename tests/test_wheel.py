"""A wheel holds all that a command needs: it is built, installed into an empty environment and used elsewhere."""

import importlib
import importlib.metadata
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

from hifacegan_lib.metrics import registry
from hifacegan_lib.utils import machine

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
    assert wheel.stat().st_size < 26e6  # 18 MB are three networks in eight bits, 3 MB one more as its difference
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
    run(installed, "restore", "photo.png", "restored", "--scale", "1", cwd=tmp_path)
    restored = cv2.imread(str(tmp_path / "restored" / "photo.png"))
    assert restored.shape == (512, 512, 3) and (restored != data.astronaut()[..., ::-1]).any()


def test_the_wheel_evaluates_and_lists_recipes(installed: Path, tmp_path: Path) -> None:
    for folder, value in (("clean", 90), ("theirs", 95)):
        (tmp_path / folder).mkdir()
        for name in "ab":
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), np.full((64, 64, 3), value, np.uint8))
    words = ["evaluate", "--restored", "theirs", "--reference", "clean", "--metrics", "psnr", "ssim", "lpips"]
    said = run(installed, *words, cwd=tmp_path)
    assert "34.15" in said and (tmp_path / "runs" / "evaluate-theirs" / "report.html").is_file()  # 20 log10(255 / 5)
    assert "face_renov" in run(installed, "recipes", cwd=tmp_path)


def test_the_wheel_runs_a_notebook_from_any_folder(installed: Path, tmp_path: Path) -> None:
    small = ["-p", "train_size", "12", "-p", "valid_size", "6", "-p", "synthetic_size", "64"]
    said = run(installed, "run", "demo", "--only", "01", *small, cwd=tmp_path)
    assert "0 keys in both splits" in said
    assert (tmp_path / "runs" / "demo" / "notebooks" / "01_data_preparation.ipynb").is_file()


def test_the_wheel_writes_notebooks_to_work_on(installed: Path, tmp_path: Path) -> None:
    run(installed, "notebooks", "work", cwd=tmp_path)
    for part, pattern in (("notebooks", "*.ipynb"), ("params", "*/*.yaml")):
        ours, theirs = (
            {path.relative_to(root): path.read_bytes() for path in (root / part).glob(pattern)}
            for root in (ROOT, tmp_path / "work")
        )
        assert ours == theirs and len(ours) >= 6
    profile = tmp_path / "work" / "params" / "demo" / "04_training.yaml"
    profile.write_text("profile: demo\nsteps: 777\n")
    assert "steps: 777 " in run(installed, "params", "demo", "04_training", cwd=tmp_path / "work" / "notebooks")
    done = subprocess.run([installed, "notebooks", "work"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "04_training.yaml: other content than the package's" in done.stderr
    assert "steps: 777" in profile.read_text()
    assert "1 files written" in run(installed, "notebooks", "work", "--overwrite", cwd=tmp_path)
    assert profile.read_bytes() == (ROOT / "params" / "demo" / "04_training.yaml").read_bytes()


def test_any_distribution_of_opencv_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.distribution

    def without_opencv(name: str) -> importlib.metadata.Distribution:
        if name.startswith("opencv"):
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "distribution", without_opencv)
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("opencv-python-headless")
    assert machine.environment()["packages"]["opencv"] == cv2.__version__
    assert f"OpenCV {cv2.__version__}" in importlib.reload(registry).standard(["ssim"])["ssim"].implementation


def test_the_wheel_has_recipes_and_profiles(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    cv2.imwrite(str(tmp_path / "faces" / "a.png"), np.full((64, 64, 3), 90, np.uint8))
    run(installed, "degrade", "faces", "damaged", cwd=tmp_path)
    assert (tmp_path / "damaged" / "a.png").is_file()
    options = ["-p", "train_size", "4", "-p", "valid_size", "2", "-p", "data_dir", "data/few"]
    run(installed, "prepare", *options, cwd=tmp_path)
    assert (tmp_path / "data" / "few" / "manifest.json").is_file()
