"""Notebooks on Colab: executed whole under a stand-in, whose sessions end at any time and whose Drive stays."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import psutil
import pytest

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.params import NOTEBOOKS

ROOT = Path(__file__).parents[1]
GUARD = """
import os, sys

def guard(event, words):
    writes = event == "open" and isinstance(words[2], int) and words[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if (writes or event in ("os.mkdir", "os.rename", "os.remove")) and isinstance(words[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(words[0]))
        if not path.startswith((os.environ["COLAB_MACHINE"], "/dev/", "/proc/")):
            raise PermissionError(f"{path}: nothing may be written here")

sys.addaudithook(guard)
"""


DRIVE = """
import os

def mount(folder):
    if not os.path.exists(folder):
        os.symlink({!r}, folder)
    print("mounted", folder)
"""


class Colab:
    """A machine like Colab's. Its /content is new in each session, except for Drive, which is mounted in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.content, self.drive = folder, folder / "content", folder / "store" / "MyDrive"
        self.drive.mkdir(parents=True)
        modules = folder / "modules"
        (modules / "google" / "colab").mkdir(parents=True)
        (modules / "google" / "colab" / "drive.py").write_text(DRIVE.format(str(folder / "store")))
        (modules / "sitecustomize.py").write_text(GUARD)
        self.source = self.git_address()
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("HIFACEGAN", "TORCH_HOME", "XDG"))},
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PATH": f"{self.content / 'python' / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(modules),
            "COLAB_RELEASE_TAG": "test",
            "COLAB_MACHINE": str(folder.resolve()),
            "HIFACEGAN_SOURCE": self.source.as_uri(),
            "HOME": str(self.content / "root"),
            "TMPDIR": str(self.content / "tmp"),
            "OMP_NUM_THREADS": "1",
        }
        self.new_session()

    def git_address(self) -> Path:
        """The workbench as a repository; it says this machine's folder instead of /content."""
        source = self.folder / "source"
        for part in ("hifacegan_lib", "notebooks", "params"):
            shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / part, source)
        for path in [*source.glob("notebooks/*"), *source.glob("params/colab/*")]:
            path.write_text(self.placed(path.read_text(encoding="utf-8")), encoding="utf-8")
        author = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
        for command in (("init", "--quiet"), ("add", "."), (*author, "commit", "--quiet", "--message", "all")):
            subprocess.run(["git", "-C", str(source), *command], check=True)
        return source

    def placed(self, text: str) -> str:
        return re.sub(r"/content\b", str(self.content), text)

    def new_session(self) -> None:
        """Another machine: an interpreter without the workbench, and an empty /content."""
        shutil.rmtree(self.content, ignore_errors=True)
        for part in ("python", "root", "tmp", "executed"):
            (self.content / part).mkdir(parents=True)
        venv.create(self.content / "python", symlinks=True)
        packages = sysconfig.get_path("purelib", vars={"base": str(self.content / "python")})
        Path(packages, "colab.pth").write_text(sysconfig.get_path("purelib"))  # what Colab has; not the workbench

    def start(self, notebook: Path, *options: object) -> "subprocess.Popen[str]":
        """Papermill on a notebook, in the folder where Colab's kernels start."""
        executed = self.content / "executed" / notebook.name
        command = ["python", "-m", "papermill", str(notebook), str(executed), "--log-output", "--no-progress-bar"]
        where: dict[str, Any] = {"cwd": self.content, "env": self.environment, "text": True}
        return subprocess.Popen([*command, *map(str, options)], stderr=subprocess.PIPE, **where)

    def run(self, notebook: Path, *options: object) -> str:
        """Execute a notebook whole; what it printed."""
        process = self.start(notebook, *options)
        _, said = process.communicate()
        assert process.returncode == 0, said
        return said

    def profile(self, name: str, *options: object) -> tuple[Path, *tuple[object, ...]]:
        """A notebook with the values of the profile ``colab``, and others after them."""
        values = self.source / "params" / "colab" / f"{name}.yaml"
        return self.source / "notebooks" / f"{name}.ipynb", "-f", values, *options


def given(values: dict[str, object]) -> list[object]:
    return [word for name, value in values.items() for word in ("-p", name, value)]


FACES = {"train_size": 12, "valid_size": 6}
NETWORK = {"image_size": 32, "width": 4, "stages": 2, "hidden": 4, "discriminator_width": 4, "batch_size": 2}
TRAINING = NETWORK | {
    "steps": 120,
    "decay_steps": 40,
    "checkpoint_every": 20,
    "log_every": 10,
    "picture_every": 60,
    "perceptual_weight": 0,
    "precision": "float32",
    "workers": 0,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def colab(tmp_path_factory: pytest.TempPathFactory) -> Colab:
    machine = Colab(tmp_path_factory.mktemp("machine"))
    (machine.drive / "faces").mkdir()
    for seed in range(18):
        cv2.imwrite(str(machine.drive / "faces" / f"{seed:04}.png"), portrait(seed, 64)[..., ::-1])
    return machine


def steps(run: Path) -> list[int]:
    """Of the checkpoints on Drive."""
    return sorted(int(path.name.removeprefix("step_")) for path in (run / "checkpoints").glob("step_*"))


def cut(process: "subprocess.Popen[str]", run: Path, after: int, end: Callable[[psutil.Process], None]) -> str:
    """End a training in its middle, once it has a checkpoint later than step ``after``; what papermill printed."""
    while not any(step > after for step in steps(run)):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    for child in psutil.Process(process.pid).children(recursive=True):
        if "ipykernel_launcher" in " ".join(child.cmdline()):
            end(child)
    return process.communicate()[1]


def test_01_and_04_run_whole_and_04_goes_on_after_every_end_of_a_session(colab: Colab) -> None:
    run = colab.drive / "hifacegan" / "runs" / "colab"
    said = colab.run(*colab.profile("01_data_preparation", *given(FACES)))
    assert "mounted " in said and "pixels with 0 and with 2 workers" in said
    assert (colab.content / "workbench" / ".git").is_dir()
    assert (colab.drive / "hifacegan" / "data" / "colab" / "manifest.json").is_file()
    training = colab.profile("04_training", *given(TRAINING))

    process = colab.start(*training)  # the machine vanishes
    cut(process, run, 0, lambda kernel: (process.kill(), kernel.kill()))
    (killed_at, *_) = reversed(steps(run))
    assert killed_at < 120 and not (run / "result.json").exists()

    colab.new_session()  # a second one, where the stop button is pressed
    said = cut(colab.start(*training), run, killed_at, lambda kernel: kernel.send_signal(signal.SIGINT))
    assert "stopped early: run the training cell again, it goes on" in said
    (stopped_at, *_) = reversed(steps(run))
    assert killed_at < stopped_at < 120

    process = colab.start(*training)  # the machine shuts down in order: SIGTERM
    cut(process, run, stopped_at, lambda kernel: kernel.terminate())
    assert process.returncode
    (ended_at, *_) = reversed(steps(run))
    assert stopped_at < ended_at < 120

    colab.run(*training)
    result = json.loads((run / "result.json").read_text())
    logged = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert result["steps"] == logged[-1] == 120 and logged == sorted(set(logged))
    assert {"colab-edges", "colab-own"} <= {path.name for path in run.parent.iterdir()}

    colab.new_session()  # a third one, from the folder on Drive, with the cell of docs/colab.md
    shutil.copytree(colab.source, colab.drive / "face-renovation", ignore=shutil.ignore_patterns(".git"))
    (cell,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "colab.md").read_text(encoding="utf-8"), re.DOTALL)
    before, after = "hifacegan weights fetch vgg19 && hifacegan run colab", "hifacegan run colab --only 01 04"
    assert before in cell  # a download of 548 MB
    cell = cell.replace(before, " ".join([after, *map(str, given(FACES | TRAINING))]))
    trained = (run / "metrics.jsonl").read_bytes()
    said = colab.run(one_cell(colab.content / "cell.ipynb", colab.placed(cell)))
    assert "04_training" in said
    assert (run / "metrics.jsonl").read_bytes() == trained, "a finished run is not trained again"
    assert (run / "notebooks" / "04_training.ipynb").is_file()


def one_cell(path: Path, source: str) -> Path:
    cell = {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": [], "source": source}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook))
    return path


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name not in ("01_data_preparation", "04_training")])
def test_every_other_notebook_opens(colab: Colab, name: str) -> None:
    """Up to and with the check of its parameters."""
    notebook = json.loads((colab.source / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    last = next(n for n, c in enumerate(notebook["cells"]) if "from_namespace(globals())" in "".join(c["source"]))
    first = colab.content / f"{name}.ipynb"
    first.write_text(json.dumps(notebook | {"cells": notebook["cells"][: last + 1]}), encoding="utf-8")
    assert "mounted " in colab.run(first)


@pytest.mark.colab
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_notebook_runs_whole(colab: Colab, name: str) -> None:
    """At the size of the demo, which takes minutes."""
    assert "mounted " in colab.run(colab.source / "notebooks" / f"{name}.ipynb")


def test_nothing_can_be_written_elsewhere(colab: Colab, tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"open({str(tmp_path / 'a')!r}, 'w')"]
    done = subprocess.run(command, env=colab.environment, capture_output=True, text=True)
    assert "nothing may be written here" in done.stderr and not (tmp_path / "a").exists()


def test_colabs_script_constrains_what_colab_brings() -> None:
    script = (ROOT / "notebooks" / "colab.sh").read_text(encoding="utf-8")
    assert "^(torch|torchvision|numpy)==" in script
    assert "--constraint" in script
