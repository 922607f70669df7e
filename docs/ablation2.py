"""Networks under objectives: sweeps and tables of a second ablation.

    python docs/ablation2.py cost                  # processor seconds of a step -> runs/ablation2/cost.json
    python docs/ablation2.py train --jobs 2        # all sweeps, seed by seed; the same command goes on
    python docs/ablation2.py tables                # measures new runs on the 100 validation faces, then prints
    python docs/ablation2.py faces                 # draws docs/ablation2_faces.jpg

Data: ``hifacegan prepare --profile folder64 -p source_path FACES`` (the faces of docs/ablation.md).

A step of each network under each objective takes a time of its own. ``cost`` measures these times in turns, on one
thread; the time to make the pairs is included. In a ``time`` sweep each network gets the steps that ``SECONDS`` of one
core allow. In a ``steps`` sweep each network gets the steps of the paper's encoder, in a ``float32`` sweep too, for
processors that have no bfloat16. Each sweep has one network, one objective and the seeds. Two networks are compared
face by face: for a seed all see the same faces and damage.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import hifacegan_lib as hf
from hifacegan_lib import first_networks, pipeline
from hifacegan_lib.models import checkpoints
from hifacegan_lib.params import Training
from hifacegan_lib.reports import plots
from hifacegan_lib.runs import run_folder
from hifacegan_lib.sweeps import plan as sweep_plan
from hifacegan_lib.training import distributed, loop
from hifacegan_lib.training.state import Run
from hifacegan_lib.utils.files import read_json, write_json
from hifacegan_lib.utils.images import to_uint8
from hifacegan_lib.utils.measures import psnr
from hifacegan_lib.utils.statistics import t_interval

SECONDS = 660  # of one core, for each run of a ``time`` sweep
SEEDS = (0, 1, 2)
CLOSE = 0.1  # dB: nearer results need more than one seed
PAPER = "inner_product"
NAFNET = {"width": 24, "enc_blk_nums": [1, 1, 1, 2], "middle_blk_num": 1, "dec_blk_nums": [1, 1, 1, 1]}
NETWORKS: dict[str, dict[str, Any]] = {
    **{operator: {"suppression": operator} for operator in (PAPER, "lip", "conv")},
    "NAFNet": {"network": "spandrel:NAFNet", "network_options": json.dumps(NAFNET)},
}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "pixels": {},
    "flow": {"flow_mean": f"ablation2/time-pixels-{PAPER}/seed-0"},  # a run: its last checkpoint
    "adversarial": {"discriminator_detail": 30.0, "lr_discriminator": 0.0004},  # see the page: else it learns nothing
}
COMMON: dict[str, Any] = dict(  # noqa: C408 - shorter than a literal
    image_size=128, recipe="face_renov", batch_size=8, crop_min=0.85, precision="bfloat16", device="cpu",
    width=32, widest=4, stages=4, patch=2, hidden=32, discriminator_width=32,
    l1_weight=0, charbonnier_weight=100, charbonnier_epsilon=0.1, lr_generator=0.002, lr_discriminator=0.002,
    ema_decay=0.995, progress="none", log_every=50, picture_every=10000, keep_checkpoints=1,
)  # fmt: skip
PICTURE = Path(__file__).with_name("ablation2_faces.jpg")
TABLES = {objective: [("time", objective), ("steps", objective)] for objective in OBJECTIVES}  # budget, objective
TABLES["adversarial in float32"] = [("float32", "adversarial")]  # the steps of the paper's encoder
PLAN = [pair for pairs in TABLES.values() for pair in pairs]
METRICS = {"psnr": 2, "ssim": 4, "lpips": 4, "identity": 3}  # digits


def parameters(
    network: str, objective: str, steps: int, budget: str = "steps", mean: Path | None = None
) -> dict[str, Any]:
    """The parameters of notebook 04 that differ from folder64's; ``mean`` is the flow's, if not that of a run."""
    own = {"objective": objective, "steps": steps, "decay_steps": steps // 2, "adversary_from": steps // 2}
    own |= {"checkpoint_every": max(1, steps // 4)}
    own |= {"precision": "float32"} if budget == "float32" else {}
    own |= {"discriminator_warmup": steps // 4} if objective == "adversarial" else {}
    chosen = {**COMMON, **own, **OBJECTIVES[objective], **NETWORKS[network]}
    if objective == "flow":
        chosen["flow_mean"] = str(
            mean or checkpoints.list_complete(run_folder(chosen["flow_mean"]) / "checkpoints")[-1]
        )
    return chosen


def sweep_name(budget: str, objective: str, network: str) -> str:
    return f"ablation2/{budget}-{objective}-{network}"


Sweep = tuple[str, str, str, int]  # budget, objective, network, steps


def sweeps(costs: dict[str, dict[str, float]]) -> Iterator[Sweep]:
    """Budget, objective, network and steps of each sweep; the paper's encoder has both budgets in one."""
    for budget, objective in PLAN:
        for network in NETWORKS:
            if budget != "steps" or network != PAPER:
                seconds = costs[objective][network if budget == "time" else PAPER]
                yield budget, objective, network, 10 * round(SECONDS / seconds / 10)


def train(jobs: int = 1) -> int:
    """Run each cell that is not done, ``jobs`` at once; 1 if a cell did not finish.

    The first cell runs before all others: its network is the mean of the flows. Then the first seed runs; of the other
    seeds first the sweeps that differ by less than ``CLOSE`` from the paper's encoder.
    """
    costs = read_json(run_folder("ablation2") / "cost.json")["seconds"]
    first, *others = sweeps(costs)
    code = cell(SEEDS[0], *first)
    with ThreadPool(jobs) as pool:

        def run(cells: list[tuple[Sweep, int]]) -> int:
            return max(pool.imap(lambda one: cell(one[1], *one[0]), cells, chunksize=1))

        code = code or run([(sweep, SEEDS[0]) for sweep in others])
        rest = [(sweep, seed) for seed in SEEDS[1:] for sweep in (first, *others)]
        return code or run(sorted(rest, key=lambda one: difference(one[0]) >= CLOSE))


def difference(sweep: Sweep) -> float:
    """Of the first seed's mean PSNR from that of the paper's encoder, without its sign, dB."""
    budget, objective, network, _ = sweep
    papers_budget = budget if budget == "float32" else "time"
    names = (sweep_name(budget, objective, network), sweep_name(papers_budget, objective, PAPER))
    ours, papers = (measured(run_folder(f"{name}/seed-{SEEDS[0]}")) for name in names)
    if not (ours and papers):
        return 0.0
    return abs(float(np.mean(np.array(ours["psnr"], float) - np.array(papers["psnr"], float))))


def cell(seed: int, budget: str, objective: str, network: str, steps: int) -> int:
    """Run one cell of a sweep by the command line, in a process of its own; 1: it did not finish.

    The command's own exit code says whether the sweep is whole, with all seeds.
    """
    values, name = parameters(network, objective, steps, budget), sweep_name(budget, objective, network)
    plan, _ = sweep_plan("04_training", "folder64", {k: [v] for k, v in values.items()} | {"seed": SEEDS}, name)
    plan.folder.mkdir(parents=True, exist_ok=True)
    plan.save()  # all seeds belong to it
    command = ["hifacegan", "sweep", "04_training", "folder64", "--name", name, "--jobs", "1", "-p", f"seed={seed}"]
    for key, value in values.items():
        command += ["-p", f"{key}={quoted(value)}"]
    print(f"\n{time.strftime('%d %b %H:%M')}  {shlex.join(command)}", flush=True)
    subprocess.call([str(Path(sys.executable).parent / command[0]), *command[1:]])
    return int(not (run_folder(f"{name}/seed-{seed}") / "result.json").exists())


def quoted(value: Any) -> Any:
    """A text as YAML reads it; JSON has commas, which separate a sweep's values."""
    return f"'{value}'" if isinstance(value, str) and value.startswith("{") else value


def cost(turns: int = 7) -> None:
    """Write the medians of a step's processor seconds, all cells in turns."""
    runs: dict[tuple[str, str], Run] = {}
    pairs: list[float] = []
    mean = run_folder("ablation2") / "mean.safetensors"  # a new network costs as much as a trained one
    for objective in OBJECTIVES:
        for network in NETWORKS:
            p = hf.load_params("folder64", "04_training", **parameters(network, objective, 1000, mean=mean))
            assert isinstance(p, Training)
            if not runs:
                checkpoints.save_generator(mean, loop.build(p, torch.device("cpu"))[0])
                batches = iter(pipeline.training_pairs(p).batches(0))
                batch = next(batches)
            fabric = distributed.launch("cpu", p.precision)
            made = first_networks.make(p, fabric.device, None)
            runs[objective, network] = Run(p, fabric, made, {})
    found: dict[tuple[str, str, int], list[float]] = {}
    for turn in range(turns + 1):
        since = time.process_time()
        batch = next(batches)
        pairs.append(time.process_time() - since)
        for (objective, network), run in runs.items():
            for step in (0, 999) if objective == "adversarial" else (0,):  # without, with discriminator
                since = time.process_time()
                loop.train_step(run, step, batch)
                if turn:  # the first builds caches
                    found.setdefault((objective, network, step), []).append(time.process_time() - since)
    one = statistics.median(pairs)
    seconds: dict[str, dict[str, float]] = {objective: {} for objective in OBJECTIVES}
    for objective, network in runs:
        parts = [statistics.median(times) for (o, n, _), times in found.items() if (o, n) == (objective, network)]
        seconds[objective][network] = one + (parts[0] + 3 * parts[-1]) / 4  # three quarters have a discriminator
    write_json(run_folder("ablation2") / "cost.json", {"seconds": seconds, "pairs": one, "turns": turns})
    print(json.dumps(seconds, indent=2))


def network_of(folder: Path) -> torch.nn.Module:
    """The averaged weights of a run's last checkpoint."""
    last = checkpoints.list_complete(folder / "checkpoints")[-1]
    return checkpoints.load_generator(last / "ema.safetensors", torch.device("cpu"))[0]


def pairs(folder: Path) -> Iterable[Mapping[str, Any]]:
    """The validation faces of a run, with the damage of its seed."""
    return hf.pairs(Training.checked(read_json(folder / "params.json"), "params.json"))


def measured(folder: Path) -> dict[str, list[float | None]] | None:
    """Each metric's values on the validation faces, for a finished run and its input; kept in faces.json.

    None: no face was found, so there is no identity.
    """
    path = folder / "faces.json"
    if not (folder / "result.json").exists():
        return None
    if not path.exists():
        found = hf.evaluate({"model": network_of(folder)}, pairs(folder), metrics=tuple(METRICS), device="cpu")
        values = {
            f"{name}{end}": [None if np.isnan(value) else float(value) for value in found.scores[method][name]]
            for method, end in (("model", ""), ("degraded", "_degraded"))
            for name in METRICS
        }
        write_json(path, values)
    return read_json(path)


Runs = dict[int, dict[str, list[float | None]]]  # of a sweep: seed -> metric -> value of each face


def tables() -> None:
    """Print for each objective the means of input and networks, then the differences from the paper's encoder.

    The values of each face go to ``runs/ablation2/OBJECTIVE.csv``.
    """
    planned = list(sweeps(read_json(run_folder("ablation2") / "cost.json")["seconds"]))
    for title, parts in TABLES.items():
        found: dict[tuple[str, str], tuple[int, Runs]] = {}
        for budget, objective, network, steps in (sweep for sweep in planned if sweep[:2] in parts):
            done = {
                seed: measured(run_folder(f"{sweep_name(budget, objective, network)}/seed-{seed}")) for seed in SEEDS
            }
            if runs := {seed: values for seed, values in done.items() if values}:
                equal = "steps" if budget == "float32" else "both" if network == PAPER else budget
                found[network, equal] = steps, runs
        if not found:
            continue
        by_face({key: runs for key, (_, runs) in found.items()}).to_csv(
            run_folder("ablation2") / f"{title.replace(' ', '_')}.csv", index=False, float_format="%.5g"
        )
        paper = next(iter(found.values()))[1]
        lines = [["input", "", "", "", *(mean(paper, f"{m}_degraded", digits) for m, digits in METRICS.items())]]
        for (network, equal), (steps, runs) in found.items():
            means = [mean(runs, metric, digits) for metric, digits in METRICS.items()]
            lines.append([network, equal, f"{steps:,}", str(len(runs)), *means])
        print(f"## {title}\n")
        print(markdown(["network", "equal", "steps", "seeds", *METRICS], lines))
        lines = [
            [network, equal, *(less(runs, paper, metric, digits) for metric, digits in METRICS.items())]
            for (network, equal), (_, runs) in found.items()
            if network != PAPER
        ]
        print(markdown(["less the paper's encoder", "equal", *METRICS], lines))


def by_face(found: Mapping[tuple[str, str], Runs]) -> pd.DataFrame:
    """One line for each network, budget, seed and face; ``input`` is the damaged face."""
    lines = []
    for (network, equal), runs in found.items():
        for seed, values in runs.items():
            for name, end in [("input", "_degraded")] * (network == PAPER) + [(network, "")]:
                columns = pd.DataFrame({metric: values[f"{metric}{end}"] for metric in METRICS}, dtype=float)
                key = pd.DataFrame({"network": name, "equal": equal, "seed": seed, "face": columns.index})
                lines.append(key.join(columns))
    return pd.concat(lines)


def mean(runs: Runs, metric: str, digits: int) -> str:
    return f"{np.nanmean(np.array([values[metric] for values in runs.values()], float)):.{digits}f}"


def less(runs: Runs, paper: Runs, metric: str, digits: int) -> str:
    """Mean difference with its interval over faces, each face's mean over the seeds; for PSNR then each seed's mean."""
    seeds = sorted(runs.keys() & paper.keys())
    ours, theirs = (pd.DataFrame([found[seed][metric] for seed in seeds], dtype=float) for found in (runs, paper))
    by_seed = ours - theirs  # seeds x faces
    over = t_interval(by_seed.mean().dropna().to_numpy())
    parts = ", ".join(f"{value:+.{digits}f}" for value in by_seed.mean(axis=1))
    tail = f" ({parts})" if metric == "psnr" and len(seeds) > 1 else ""
    return f"{over.mean:+.{digits}f} ± {over.high - over.mean:.{digits}f}{tail}"


def draw_faces(count: int = 5, seed: int = SEEDS[0]) -> None:
    """Draw the first validation faces: damaged, restored by two networks under each objective, clean."""
    runs = {
        f"{objective}\n{'paper' if network == PAPER else network}": run_folder(
            f"{sweep_name('time', objective, network)}/seed-{seed}"
        )
        for objective in OBJECTIVES
        for network in (PAPER, "NAFNet")
    }
    batch = next(iter(pairs(next(iter(runs.values())))))
    rows = {"damaged": batch["degraded"]}
    with torch.no_grad():
        rows |= {name: network_of(folder).eval()(batch["degraded"]) for name, folder in runs.items()}
    shown = {name: [to_uint8(face) for face in faces[:count]] for name, faces in rows.items()}
    clean = [to_uint8(face) for face in batch["clean"][:count]]
    captions = {
        name: [f"{psnr(face, image):.1f} dB" for face, image in zip(clean, images, strict=True)]
        for name, images in shown.items()
    }
    plots.save(plots.image_rows({**shown, "clean": clean}, 1.0, captions=captions), PICTURE)


def markdown(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines)) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=("cost", "train", "tables", "faces"))
    parser.add_argument("--jobs", type=int, default=1, help="cells that train at once, each on one thread (1)")
    choice = parser.parse_args()
    if choice.work == "train":
        return train(choice.jobs)
    {"cost": cost, "tables": tables, "faces": draw_faces}[choice.work]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
