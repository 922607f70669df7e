"""One process or two: the same curve, each image once an epoch; and what Fabric is asked for."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from hifacegan_lib import pipeline
from hifacegan_lib.models import checkpoints
from hifacegan_lib.params import DataPreparation, ParamsError, Training
from hifacegan_lib.reports.run_log import read_lines
from hifacegan_lib.training import distributed

FACES = {"data_dir": "data/tiny", "synthetic_size": 32, "train_size": 20, "valid_size": 8}
RUN: dict[str, Any] = {
    "data_dir": "data/tiny",
    "image_size": 16,
    "width": 4,
    "hidden": 4,
    "discriminator_width": 4,
    "batch_size": 8,
    "steps": 10,
    "decay_steps": 5,
    "adversary_from": 3,
    "log_every": 1,
    "picture_every": 10,
    "checkpoint_every": 5,
    "progress": "plain",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of twenty drawn faces, and one run by one process."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIFACEGAN_HOME", str(folder))
        pipeline.prepare_data(DataPreparation.checked(FACES, "test"))
        pipeline.train_model(Training.checked({**RUN, "run_name": "one"}, "test"))
    return folder


def command(home: Path, name: str, **changes: Any) -> dict[str, Any]:
    """The same run by two processes that ``torchrun`` starts, as a user would, for ``subprocess``."""
    overrides = {**RUN, "run_name": name, **changes}
    options = [text for key, value in overrides.items() for text in ("-p", key, str(value))]
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "hifacegan_lib.cli", "train"]
    environment = {**os.environ, "HIFACEGAN_HOME": str(home), "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return {"args": [*start, "demo", *options], "env": environment, **pipes}


def together(home: Path, name: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(**command(home, name), check=False)


def journal(home: Path, name: str) -> list[dict[str, float]]:
    lines = read_lines(home / "runs" / name)
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def test_two_processes_draw_the_curve_of_one(home: Path) -> None:
    done = together(home, "two")
    assert done.returncode == 0, done.stderr
    one, two = journal(home, "one"), journal(home, "two")
    assert [line["step"] for line in two] == list(range(1, 11))
    for alone, shared in zip(one, two, strict=True):
        assert shared == pytest.approx(alone, rel=1e-3, abs=1e-4)
    assert "8 unseen faces: " in done.stdout and done.stdout.count("step 10/10") == 1
    found = [json.loads((home / "runs" / name / "result.json").read_text()) for name in ("one", "two")]
    assert found[1]["psnr"] == pytest.approx(found[0]["psnr"], abs=1e-3)
    faces = [
        checkpoints.load_generator(checkpoints.latest_generator(home / "runs" / name))[0] for name in ("one", "two")
    ]
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(faces[0](image), faces[1](image), atol=1e-3, rtol=0)


def test_a_run_of_one_process_is_gone_on_with_by_two(home: Path) -> None:
    """The number of processes is no part of a run, nor is the folder: its state is the same."""
    one, moved = (home / "runs" / name for name in ("one", "moved"))
    shutil.copytree(one, moved)
    shutil.rmtree(moved / "checkpoints" / "step_000010")
    (moved / "result.json").unlink()
    done = together(home, "moved")
    assert done.returncode == 0, done.stderr
    assert "step 6/10" in done.stdout and "step 5/10" not in done.stdout
    for alone, shared in zip(journal(home, "one"), journal(home, "moved"), strict=True):
        assert shared == pytest.approx(alone, rel=1e-3, abs=1e-4)


def test_two_processes_that_are_asked_to_stop_save_at_the_same_step(home: Path) -> None:
    long = {"steps": 100_000, "checkpoint_every": 100_000, "picture_every": 100_000}
    folder = home / "runs" / "stopped"
    with subprocess.Popen(**command(home, "stopped", **long), start_new_session=True) as process:
        patience = time.monotonic() + 180
        while len(journal(home, "stopped")) < 5:
            assert process.poll() is None and time.monotonic() < patience
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        said, _ = process.communicate(timeout=120)
    (saved,) = checkpoints.list_complete(folder / "checkpoints")
    step = checkpoints.load_state(saved)["step"]
    assert step >= 5 and f"at step {step} of 100000, all saved" in said
    assert process.returncode != 0 and not (folder / "result.json").exists()


def test_parts_of_a_batch() -> None:
    assert distributed.part_size(16, 1, 1) == 16
    assert distributed.part_size(16, 2, 4) == 2
    with pytest.raises(
        ParamsError, match="batch_size = 4: expected a multiple of 8, for processes x accumulate = 8 x 1"
    ):
        distributed.part_size(4, 8, 1)


def test_a_gradient_s_mean_changes_nothing_in_one_process() -> None:
    fabric, layer = distributed.launch("cpu"), torch.nn.Linear(2, 1)
    layer(torch.ones(1, 2)).backward()
    before = layer.weight.grad.clone()
    distributed.average_gradients(fabric, layer)
    assert torch.equal(layer.weight.grad, before)
    assert distributed.any_of(fabric, True) and not distributed.any_of(fabric, False)


@pytest.mark.parametrize(("precision", "inside"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_autocast_is_what_was_asked_for(precision: str, inside: torch.dtype) -> None:
    with distributed.launch("cpu", precision).autocast():
        assert torch.nn.Linear(2, 1)(torch.ones(1, 2)).dtype == inside


@pytest.fixture
def hosts() -> Iterator[list[str]]:
    """Two network namespaces that a cable joins, as two machines would be: 10.77.0.1 and 10.77.0.2."""
    names, ip = ["hifacegan1", "hifacegan2"], shutil.which("ip")
    made = [subprocess.run([ip, "netns", "add", name], capture_output=True, check=False) for name in names if ip]
    try:
        if not made or any(done.returncode for done in made):
            pytest.skip("this user cannot add network namespaces")
        commands = [f"link add c1 netns {names[0]} type veth peer name c2 netns {names[1]}"]
        for n, name in enumerate(names, 1):
            commands += [f"-n {name} addr add 10.77.0.{n}/24 dev c{n}", f"-n {name} link set c{n} up"]
            commands += [f"-n {name} link set lo up"]
        for text in commands:
            subprocess.run(["ip", *text.split()], check=True)
        yield names
    finally:
        for name in names if ip else ():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def on_two_hosts(home: Path, hosts: list[str], name: str, **changes: Any) -> "list[subprocess.Popen[str]]":
    """The command of docs/training.md on each host."""
    given = command(home, name, **changes)
    started = []
    for n, host in enumerate(hosts, 1):
        many = ["--nnodes", "2", "--nproc-per-node", "1", "--local-addr", f"10.77.0.{n}"]
        many += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "10.77.0.1:29500", "--rdzv-id", name]
        many += ["--rdzv-conf", f"is_host={2 - n}"]  # the namespaces share one name, by which torchrun would decide
        start, at = given["args"], given["args"].index("--nproc-per-node")
        given_here = {**given, "args": ["ip", "netns", "exec", host, *start[:at], *many, *start[at + 2 :]]}
        given_here["env"] = given["env"] | {"GLOO_SOCKET_IFNAME": f"c{n}", "HIFACEGAN_PATIENCE": "20"}
        started.append(subprocess.Popen(**given_here, start_new_session=True))
    return started


def kill_all(host: str) -> None:
    """torchrun and its processes."""
    for number in subprocess.check_output(["ip", "netns", "pids", host], text=True).split():
        with suppress(ProcessLookupError):
            os.kill(int(number), signal.SIGKILL)


def test_two_hosts_draw_the_curve_of_one_process(home: Path, hosts: list[str]) -> None:
    both = on_two_hosts(home, hosts, "hosts")
    ended = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    for alone, shared in zip(journal(home, "one"), journal(home, "hosts"), strict=True):
        assert shared == pytest.approx(alone, rel=1e-3, abs=1e-4)
    found = [json.loads((home / "runs" / name / "result.json").read_text()) for name in ("one", "hosts")]
    assert found[1]["psnr"] == pytest.approx(found[0]["psnr"], abs=1e-3)


@pytest.mark.parametrize("how", ["killed", "unplugged"])
def test_a_lost_host_ends_the_other_one_and_one_process_goes_on(home: Path, hosts: list[str], how: str) -> None:
    """The error names the lost process, and comes in a bounded time."""
    longer = {"steps": 60, "checkpoint_every": 4, "picture_every": 60}
    both = on_two_hosts(home, hosts, how, **longer)
    try:
        patience = time.monotonic() + 200
        while len(journal(home, how)) < 5:
            assert both[0].poll() is None and time.monotonic() < patience
            time.sleep(0.02)
        if how == "killed":
            kill_all(hosts[1])
        else:
            subprocess.run(["ip", "-n", hosts[1], "link", "set", "c2", "down"], check=True)
        said = both[0].communicate(timeout=120)[1]
        if how == "unplugged":
            end = threading.Timer(120, kill_all, hosts[1:])  # torchrun itself may wait for the network for long
            end.start()
            assert any("hifacegan: process 0 (or torchrun on 10.77.0.1): lost" in line for line in both[1].stderr)
            end.cancel()
    finally:
        for host in hosts:
            kill_all(host)
        for process in both:
            process.wait()
            process.stdout.close()
            process.stderr.close()
    assert both[0].returncode != 0
    assert "hifacegan: process 1 on " in said and "lost, nothing was heard" in said, said
    saved = checkpoints.load_state(checkpoints.list_complete(home / "runs" / how / "checkpoints")[-1])["step"]
    assert 4 <= saved < 60
    if how == "killed":
        given = command(home, how, **longer)
        alone = given["args"][given["args"].index("-m", 3) :]
        environment = {"capture_output": True, "text": True, "check": False, "env": given["env"]}
        done = subprocess.run([sys.executable, *alone], **environment)
        assert done.returncode == 0, done.stderr
        lines = [line["step"] for line in journal(home, how)]
        assert lines == list(range(1, 61)) and f"step {saved}/60" not in done.stdout
