"""restore, degrade, evaluate and benchmark by several workers: the files of one process, bit for bit."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from hifacegan_lib import cli
from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.models import checkpoints
from hifacegan_lib.models.generator import Generator, GeneratorConfig
from hifacegan_lib.restoration.batch import JOURNAL
from hifacegan_lib.utils.folder_lock import locked
from hifacegan_lib.utils.images import save_image

COUNT = 19  # more than a block of pairs


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clean faces, one of another size, a file that is no image, a small network."""
    folder = tmp_path_factory.mktemp("home")
    for n in range(COUNT):
        save_image(folder / "clean" / f"{n:02}.png", portrait(n, 48 if n == 5 else 32))
    (folder / "clean" / "03.png").write_bytes(b"no image")
    generator = Generator(GeneratorConfig(width=4, hidden=4, widest=2))
    checkpoints.save_generator(folder / "net.safetensors", generator, {"image_size": 16})
    return folder


def commands(out: Path) -> dict[str, str]:
    damaged, restored = out / "degrade", out / "restore"
    ours, clean = "net.safetensors", "clean"
    return {
        "degrade": f"degrade {clean} {damaged} --recipe face_renov --seed 1",
        "restore": f"restore {damaged} {restored} --weights {ours} --aligned",
        "around": f"restore {clean} {out / 'around'} --weights {ours} --background {ours} --scale 2 --detector haar",
        "evaluate": f"evaluate --restored {restored} --reference {damaged} --metrics psnr niqe sharpness lpips"
        f" --out {out / 'evaluate'}",
        "benchmark": f"benchmark --methods {ours} bicubic@factor=2 --sets a={clean} --recipe face_renov --size 32"
        f" --metrics psnr ssim sharpness --out {out / 'benchmark'} --samples 50",
    }


def tree(folder: Path) -> dict[str, bytes | list[bytes]]:
    """Every file; of journals, the lines in any order."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: sorted(data.splitlines()) if name.endswith(JOURNAL) else data for name, data in found.items()}


@pytest.fixture(scope="module")
def alone(home: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert [cli.main(command.split()) for command in commands(Path("one/out")).values()] == [1, 0, 1, 0, 1]
    return home / "one"


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=":0") as dask:
        yield dask.scheduler_address


@pytest.mark.parametrize("name", ["degrade", "restore", "around", "evaluate", "benchmark"])
@pytest.mark.parametrize("where", ["jobs", "scheduler"])
def test_the_files_are_those_of_one_process(
    home: Path, alone: Path, name: str, where: str, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    monkeypatch.chdir(home)
    place = Path(where)
    (place / "out").mkdir(parents=True, exist_ok=True)
    for earlier in ("degrade", "restore"):
        if not (place / "out" / earlier).exists() and name != earlier:
            (place / "out" / earlier).symlink_to(alone / "out" / earlier, target_is_directory=True)
    (place / "out" / name).unlink(missing_ok=True)
    more = ["--jobs", "2"] if where == "jobs" else ["--scheduler", scheduler]
    assert cli.main([*commands(place / "out")[name].split(), *more]) == (name in ("degrade", "around", "benchmark"))
    here, there = tree(place / "out" / name), tree(alone / "out" / name)
    assert here.keys() == there.keys() and not [file for file in here if here[file] != there[file]]


def test_a_restoration_outlives_its_worker_and_its_own_process(home: Path, alone: Path) -> None:
    """Kill a worker: nothing is lost. Kill the process that writes the journal: the same command goes on."""
    source, out = alone / "out" / "degrade", home / "killed" / "out"
    given = ["restore", source, out, "--weights", "net.safetensors", "--aligned", "--jobs", "2"]
    command = [sys.executable, "-m", "hifacegan_lib.cli", *map(str, given)]

    def until(lines: int, process: "subprocess.Popen[bytes]") -> None:
        patience = time.monotonic() + 120
        while not (out / JOURNAL).exists() or len((out / JOURNAL).read_bytes().splitlines()) < lines:
            assert process.poll() is None and time.monotonic() < patience
            time.sleep(0.01)

    with subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(1, process)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(max(map(int, children)), signal.SIGKILL)
        until(4, process)
        process.kill()
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "done before" in done.stdout, done.stderr
    here, there = tree(out), tree(alone / "out" / "restore")
    assert {**here, JOURNAL: b""} == {**there, JOURNAL: b""}
    assert len(here[JOURNAL]) == COUNT - 1


def test_ctrl_c_ends_all_workers_and_keeps_what_is_done(home: Path) -> None:
    out = home / "stopped"
    given = ["restore", "clean", out, "--weights", "net.safetensors", "--aligned", "--jobs", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": home}
    pipes["preexec_fn"] = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
    command = [sys.executable, "-m", "hifacegan_lib.cli", *map(str, given)]
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:  # type: ignore[call-overload]
        patience = time.monotonic() + 120
        while not (out / ".lock").exists():
            assert process.poll() is None and time.monotonic() < patience
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        said = process.communicate(timeout=60)[1]  # returns when no process holds the pipes any more
    assert process.returncode == 130 and "stopped; finished work is kept" in said and "Traceback" not in said


@pytest.mark.parametrize("name", ["degrade", "restore", "evaluate", "benchmark"])
def test_two_processes_do_not_write_into_one_folder(
    home: Path, alone: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    out, before = Path("one/out") / name, tree(alone / "out" / name)
    with locked(out):
        assert cli.main([*commands(Path("one/out"))[name].split(), "--jobs", "2"]) == 1
        assert f"{out}: another process is writing into this folder" in capsys.readouterr().err
    assert tree(out) == before
