"""Benchmarks: the same work on all sides, ratios the right way round, a run that ends in a line of JSON."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from published import draw, tensors

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.recipes import Trace

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if not path.name.startswith("_"))


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    """What the scripts share, imported as they do it."""
    sys.path.insert(0, str(FOLDER))
    try:
        import _authors
        import _bench
        import _gpu
        import _ways

        yield {"authors": _authors, "bench": _bench, "gpu": _gpu, "ways": _ways}
    finally:
        sys.path.remove(str(FOLDER))
        for name in ("_authors", "_bench", "_gpu", "_ways"):
            sys.modules.pop(name, None)


def both(ways: ModuleType, operation: dict[str, float | str]) -> tuple[np.ndarray, np.ndarray]:
    """Ours and the seed's result of one operation on a portrait of 128 pixels."""
    face = portrait(3, 128)
    steps = Trace.of("test", operation).operations
    return tuple(w.leave(w.make(steps, 128)(w.enter(face))).astype(float) for w in (ways.ours(), ways.seed()))


@pytest.mark.parametrize(
    ("operation", "tolerance"),
    [
        ({"op": "downsample", "ratio": 0.2, "kernel": "area"}, 0),
        ({"op": "median_blur", "size": 20}, 0),  # 5 pixels at this size, where ours is the exact one
        ({"op": "jpeg", "quality": 60}, 0),
        ({"op": "gaussian_blur", "sigma": 16}, 2),
    ],
    ids=lambda value: value["op"] if isinstance(value, dict) else "",
)
def test_the_seeds_functions_do_the_same_work_as_ours(
    modules: dict[str, ModuleType], operation: dict[str, float | str], tolerance: float
) -> None:
    ours, seed = both(modules["ways"], operation)
    assert np.abs(ours - seed).max() <= tolerance
    assert np.abs(ours - portrait(3, 128)).mean() > 0.5


@pytest.mark.parametrize("operation", [{"op": "gaussian_noise", "sigma": 12}, {"op": "laplace_noise", "scale": 9}])
def test_the_seeds_noise_is_as_strong_as_ours_and_does_not_wrap(
    modules: dict[str, ModuleType], operation: dict[str, float | str]
) -> None:
    ours, seed = both(modules["ways"], {**operation, "seed": 1})
    clean = portrait(3, 128).astype(float)
    assert np.std(seed - clean) == pytest.approx(np.std(ours - clean), rel=0.05)
    assert np.abs(seed - clean).max() < 130


def test_a_way_without_an_operation_says_so(modules: dict[str, ModuleType]) -> None:
    ways = modules["ways"]
    steps = Trace.of("test", {"op": "mosaic", "block": 16}).operations
    with pytest.raises(ways.NotShared, match="mosaic"):
        ways.seed().make(steps, 64)


def test_a_ratio_above_one_means_that_ours_is_faster(modules: dict[str, ModuleType]) -> None:
    times = {"ours": [1.0, 2.0, 4.0], "peer": [3.0, 6.0, 4.0], "slow": [20.0]}
    assert modules["bench"].ratio(times, "peer") == 3  # median of 3, 3, 1
    assert modules["bench"].ratio(times, "slow") == 10  # its one time against our median


def test_a_race_takes_turns_and_calls_the_slow_once(modules: dict[str, ModuleType]) -> None:
    called: list[str] = []
    calls = {name: [lambda name=name: called.append(name)] * 2 for name in ("ours", "a", "b")}
    times = modules["bench"].race(calls, rounds=3)
    order = ["ours", "a", "b", "ours", "a", "b", "a", "b", "ours", "b", "ours", "a"]
    assert called == [name for name in order for _ in range(2)]
    assert all(len(found) == 3 for found in times.values())
    called.clear()
    times = modules["bench"].race(calls | {"slow": [lambda: time.sleep(0.02)]}, rounds=2, patience=0.01)
    assert len(times["slow"]) == 1 and times["slow"][0] >= 0.02 and len(times["ours"]) == 2


def test_a_table_is_aligned(modules: dict[str, ModuleType]) -> None:
    lines = modules["bench"].table(("what", "ms"), [["one", 1.234], ["none", None], ["many", 12345.6]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].startswith("|---") and lines[1].endswith(":|")
    assert "1.23" in lines[2] and "12,346" in lines[4]


def test_the_machine_is_named_without_its_name_or_paths(modules: dict[str, ModuleType]) -> None:
    found = modules["bench"].machine("numpy", "no-such-package")
    assert found["numpy"] == np.__version__ and found["no-such-package"] is None
    assert found["processor"] and found["cores"] >= 1
    assert "/" not in "".join(str(found[name]) for name in ("system", "python", "numpy"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_help_comes_with_an_example(script: Path) -> None:
    result = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    assert "--quick" in result.stdout and f"example: python benchmarks/{script.name}" in result.stdout


def test_a_small_run_ends_in_a_line_of_json_and_writes_only_what_it_is_told_to(tmp_path: Path) -> None:
    out = tmp_path / "new/result.json"
    command = [sys.executable, FOLDER / "degradations.py", "--quick", "--size", "64", "--out", out]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    ratios = json.loads(result.stdout.splitlines()[-1])
    assert list(ratios) == ["vs_seed", "vs_albumentations", "vs_kornia", "loader_efficiency"]
    assert ratios["vs_seed"] > 0 and ratios["loader_efficiency"] > 0
    record = json.loads(out.read_text())
    assert record["ratios"] == ratios and record["machine"]["cores"] >= 1
    for peer in ("albumentations", "kornia"):
        assert (ratios[f"vs_{peer}"] is None) == (peer in record["absent"]) == (record["machine"][peer] is None)
    for peer, lines in record["duels"].items():
        assert lines["report mix"]["ratio"] == pytest.approx(ratios[f"vs_{peer}"], abs=1e-3)
        assert lines["jpeg q70"]["ms"] > 0
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "result.json"]


@pytest.mark.parametrize(
    ("command", "ratios"),
    [
        (
            ["inference.py", "--variant", "shipped", "--size", "64"],
            {"onnx_vs_torch", "bf16_vs_torch", "onnx_vs_authors"},
        ),
        (["growth.py", "--only", "prepare"], {"prepare_growth"}),
        (
            ["data.py", "--side", "48", "--sizes", "16"],
            {f"prepare_{kind}_{pair}" for kind in ("png", "jpg") for pair in ("all_vs_one", "one_vs_plain")}
            | {"pairs_16_shards_vs_files"},
        ),
        (
            ["films.py", "--frames", "6"],
            {"films", "films_processor", "flicker_over_input", "flicker_over_input_frame_by_frame"},
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_scripts_run_at_small_sizes_too(command: list[str], ratios: set[str], tmp_path: Path) -> None:
    """Those of gpu.sh run in its test."""
    script, *choice = command
    line = [sys.executable, FOLDER / script, "--quick", "--out", tmp_path / "result.json", *choice]
    result = subprocess.run(line, capture_output=True, text=True, check=True, cwd=tmp_path)
    found = json.loads(result.stdout.splitlines()[-1])
    assert set(found) == ratios and found == json.loads((tmp_path / "result.json").read_text())["ratios"]


@pytest.mark.parametrize("variant", ["hifacegan", "lipspade", "spade"])
def test_the_authors_way_draws_the_published_picture(modules: dict[str, ModuleType], variant: str) -> None:
    given, image = tensors(variant, 8), torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = modules["authors"].AuthorsGenerator(variant, 8)
    network.load_state_dict(given)
    with torch.no_grad():
        found = network.train()(image)
    assert (found - draw(variant, given, image, True)).abs().max() < 1e-4


def test_committed_results_name_their_machine_and_ratios() -> None:
    for path in (FOLDER / "results").glob("*.json"):
        record = json.loads(path.read_text())
        assert record["machine"]["processor"] and record["machine"]["numpy"]
        assert record.get("ratios") or record["parts"]
        assert not record.get("quick"), f"{path.name}: a quick look is no number to quote"


def test_all_that_needs_a_gpu_runs_dry_and_a_part_that_fails_costs_only_itself(tmp_path: Path) -> None:
    """An interpreter that fails for one part stands in for a broken part."""
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\ncase "$1" in *inference.py) echo broken; exit 3;; esac\nexec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    environment = os.environ | {"PYTHON": str(python), "OUT": str(tmp_path / "out")}
    command = [FOLDER / "gpu.sh", "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"card": "none", "passed": False, "slowest_vs_plain": 0, "failed": ["inference"]}, done.stdout
    parts = json.loads((tmp_path / "out" / "gpu-none.json").read_text())["parts"]
    assert done.returncode == 1 and (parts["inference"]["code"], parts["inference"]["last_line"]) == (3, "broken")
    assert {name: set(part["result"]["ratios"]) for name, part in parts.items() if "result" in part} == {
        "memory": {"demo_gb"},
        "restorers": {"vs_nafnet", "vs_codeformer"},
        "suppression": {"vs_conv2d", "vs_unfold", "vs_plain", "memory_vs_conv2d"},
        "training": {"step_vs_authors", "step_vs_authors_bfloat16", "memory_gb"},
    }


def test_the_limits_on_a_gpu_add_up_to_eight_minutes() -> None:
    parts = re.findall(r"^    (?:part|bench) \w+ (\d+) ", script_of("else"), re.M)
    assert len(parts) == 6 and sum(int(seconds) + 5 for seconds in parts) <= 480  # 5: until a part that hangs is killed


def script_of(word: str) -> str:
    """The lines of gpu.sh after the first line that is ``word``."""
    return (FOLDER / "gpu.sh").read_text().partition(f"\n{word}\n")[2]


def test_a_card_is_proven_by_tests_that_ran_and_by_a_measured_ratio(modules: dict[str, ModuleType]) -> None:
    verdict = modules["gpu"].verdict
    good = {
        "tests": {"code": 0, "last_line": "9 passed, 3 deselected in 5.1s"},
        "suppression": {"code": 0, "result": {"ratios": {"vs_plain": 1.4}}},
    }
    assert verdict(good) == {"passed": True, "slowest_vs_plain": 1.4}
    assert verdict(good | {"tests": {"code": 0, "last_line": "9 skipped in 1s"}})["passed"] is False
    assert verdict(good | {"tests": {"code": 1, "last_line": "1 failed, 8 passed in 5s"}})["passed"] is False
    assert verdict(good | {"suppression": {"code": 124}})["slowest_vs_plain"] == 0
