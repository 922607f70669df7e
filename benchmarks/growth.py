"""Claim: the time for a face and the memory of a stage do not grow with the number of faces.

Each stage runs on n, 2n, 4n and 8n drawn faces, each time in a process of its own; of two rounds, the one that took
less time counts. A line through the measurements,

    seconds = a + b n        megabytes = c + d n,

gives the costs that docs/scale.py extrapolates. A stage is flat if a face costs less than FLAT times as much at 8n
as at n, the start of the process left out. The files are in the system's cache: a disk's time is its own. With
`--check 10`, `prepare` runs on 80n faces too, and the line's prediction is compared with this measurement. The faces
are drawn once, into `--faces FOLDER` if it is given.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from _bench import finish, machine, options, table

SIZE = 256  # side of the drawn faces, pixels
FLAT = 1.25
MANY = {"manifest": 250, "steps": 8}  # faces for one of the other stages: these two cost little beside their start
NEVER = 10**6
TRAINING: dict[str, Any] = {"image_size": 64, "batch_size": 8, "width": 16, "hidden": 16, "objective": "pixels"}
TRAINING |= {"decay_steps": 0, "adversary_from": 0, "device": "cpu", "progress": "none"}
TRAINING |= {"log_every": NEVER, "picture_every": NEVER, "checkpoint_every": NEVER}


def draw(folder: Path, count: int) -> None:
    """The first ``count`` drawn portraits, as PNG files, 1,000 in a folder; those that exist are kept."""
    from joblib import Parallel, delayed

    from hifacegan_lib.data.drawn_portraits import portrait
    from hifacegan_lib.utils.images import save_image

    def one(path: Path, seed: int) -> None:
        save_image(path, portrait(seed, SIZE))

    wanted = [(folder / f"{seed // 1000:06}" / f"{seed:09}.png", seed) for seed in range(count)]
    Parallel(n_jobs=-1)(delayed(one)(path, seed) for path, seed in wanted if not path.exists())


def chosen(faces: Path, count: int) -> Path:
    """A folder of links to the first ``count`` faces."""
    folder = Path(os.environ["HIFACEGAN_HOME"], f"faces-{count}")
    for path in sorted(faces.rglob("*.png"))[:count] if not folder.exists() else []:
        link = folder / path.relative_to(faces)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.resolve())
    return folder


def manifest(_: Path, count: int) -> None:
    """The records of MANY times as many faces: written, read, and compared with 100 validation faces."""
    from hifacegan_lib.data.duplicates import near_duplicates
    from hifacegan_lib.data.manifest import Entry, Manifest

    rng, folder = np.random.default_rng(0), Path(os.environ["HIFACEGAN_HOME"], f"records-{count}")
    names = [f"{n // 1000:06}/{n:09}.png" for n in range(MANY["manifest"] * count)]
    entries = [
        Entry(key=name, file=name, sha256=f"{n:064x}", split="train", source="folder", height=SIZE, width=SIZE)
        for n, name in enumerate(names)
    ]
    folder.mkdir()
    made = Manifest(folder=folder, parameters={}, root=".", files=entries, rejected=[], near_duplicates=[])
    made.save()
    assert len(Manifest.load(folder).files("train")) == len(names)
    hashes = rng.integers(2**63, size=(len(names), 5), dtype=np.uint64)
    seen = {str(n): (h, h) for n, h in enumerate(rng.integers(2**63, size=(100, 5), dtype=np.uint64))}
    near_duplicates(dict(zip(names, hashes, strict=True)), seen)


def prepare(folder: Path, count: int) -> None:
    import hifacegan_lib as hf

    valid = 8
    hf.prepare(
        "folder64", source_path=str(folder), data_dir=f"data/{count}", train_glob="**", valid_glob="**",
        train_size=count - valid, valid_size=valid,
    )  # fmt: skip


def shards(_: Path, count: int) -> None:
    from hifacegan_lib.data.manifest import Manifest
    from hifacegan_lib.data.shards import write_shards

    manifest = Manifest.load(Path(os.environ["HIFACEGAN_HOME"], "data", str(count)))
    write_shards(manifest, manifest.folder / "shards", 64, 0.85)


def training(count: int, epochs: int = 1) -> Any:
    import hifacegan_lib as hf

    steps = max(1, epochs * count // TRAINING["batch_size"])
    values = {**TRAINING, "steps": steps, "run_name": f"growth-{count}"}
    return hf.load_params("folder64", "04_training", data_dir=f"data/{count}", **values)


def pairs(_: Path, count: int) -> None:
    from hifacegan_lib import pipeline

    p = training(count)
    for _batch in islice(pipeline.training_pairs(p).batches(0), p.steps):
        pass


def steps(_: Path, count: int) -> None:
    from hifacegan_lib import pipeline

    pipeline.train_model(training(count, MANY["steps"]))


def restore(folder: Path, count: int) -> None:
    from hifacegan_lib import cli

    assert cli.main(["restore", str(folder), str(folder.with_name(f"restored-{count}")), "--aligned"]) == 0


def evaluate(folder: Path, count: int) -> None:
    import hifacegan_lib as hf
    from hifacegan_lib.evaluation import pair_folders

    found = pair_folders(folder, {"restored": folder.with_name(f"restored-{count}")})
    hf.evaluate({}, found, metrics=("psnr", "ssim"))


STAGES: dict[str, Callable[[Path, int], None]] = {
    stage.__name__: stage for stage in (manifest, prepare, shards, pairs, steps, restore, evaluate)
}


def less_disturbed(stages: list[str], faces: Path, counts: list[int], home: Path) -> dict[str, list[dict[str, float]]]:
    """Of two rounds, each in a home of its own: for each stage and count the measurement that took less time."""
    rounds = []
    for number in range(2):
        os.environ["HIFACEGAN_HOME"] = str(home / f"round{number}")
        rounds.append({stage: [measured(stage, faces, count) for count in counts] for stage in stages})
    first, second = rounds
    return {s: [min(p, key=lambda m: m["seconds"]) for p in zip(first[s], second[s], strict=True)] for s in stages}


def measured(stage: str, faces: Path, count: int) -> dict[str, float]:
    """Seconds, processor seconds and peak megabytes of a stage, in a new process."""
    command = [sys.executable, __file__, "--stage", stage, "--faces", str(faces), "--count", str(count)]
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{stage} of {count} faces: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def here(stage: str, faces: Path, count: int) -> None:
    """Run one stage in this process and print what it took; imports are made before."""
    import hifacegan_lib.cli
    import hifacegan_lib.pipeline  # noqa: F401

    Path("/proc/self/clear_refs").write_text("5")  # the peak of the imports is forgotten
    folder = chosen(faces, count)
    for path in folder.rglob("*.png"):
        path.read_bytes()  # into the system's cache
    since, used = time.perf_counter(), time.process_time()
    STAGES[stage](folder, count)
    seconds, processor = time.perf_counter() - since, time.process_time() - used
    (peak,) = (row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    megabytes = int(peak.split()[1]) / 1024
    print(
        json.dumps(
            {"faces": MANY.get(stage, 1) * count, "seconds": seconds, "processor": processor, "megabytes": megabytes}
        )
    )


def line(counts: list[float], values: list[float]) -> tuple[float, float]:
    """Intercept and slope of a line with the least relative errors."""
    slope, intercept = np.polyfit(counts, values, 1, w=1 / np.array(values))
    return float(intercept), float(slope)


def main() -> int:
    parser = options(__doc__ or "", "python benchmarks/growth.py --quick")
    parser.add_argument("--smallest", type=int, default=100, metavar="N", help="n, faces")
    parser.add_argument("--check", type=int, default=0, metavar="TIMES", help="prepare TIMES as many faces as 8n too")
    parser.add_argument("--faces", type=Path, help="folder for the drawn faces, kept")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=STAGES,
        default=list(STAGES),
        help="stages; each needs those before; --out keeps others",
    )
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    choice = parser.parse_args()
    if choice.stage:
        here(choice.stage, choice.faces, choice.count)
        return 0
    n = 16 if choice.quick else choice.smallest
    counts = [n, 2 * n] if choice.quick else [n, 2 * n, 4 * n, 8 * n]
    with tempfile.TemporaryDirectory() as home:
        faces = choice.faces or Path(home, "drawn")
        draw(faces, counts[-1] * max(1, choice.check))
        found = less_disturbed(choice.only, faces, counts, Path(home))
        check = measured("prepare", faces, counts[-1] * choice.check) if choice.check else None
    stages: dict[str, Any] = {}
    rows: list[list[Any]] = []
    for stage, runs in found.items():
        faces_of = [run["faces"] for run in runs]
        start, slope = line(faces_of, [run["seconds"] for run in runs])
        base, bytes_ = line(faces_of, [run["megabytes"] for run in runs])
        growth = (runs[-1]["seconds"] - runs[-2]["seconds"]) / (faces_of[-1] - faces_of[-2]) / slope
        stages[stage] = {"runs": runs, "start": start, "face": slope, "base": base, "megabytes_face": bytes_}
        stages[stage] |= {"growth": growth}
        each = [1e3 * run["seconds"] / count for run, count in zip(runs, faces_of, strict=True)]
        memory = [run["megabytes"] for run in (runs[0], runs[-1])]
        rows.append([stage, *each, 1e3 * slope, *memory, growth, "flat" if growth < FLAT else "GROWS"])
    head = ["ms for a face", *(f"{k}n" for k in (1, 2, 4, 8)[: len(counts)]), "slope", "MB, first", "MB, last"]
    head += ["last / slope", f"n = {n}; {', '.join(f'{stage}: {times} n' for stage, times in MANY.items())}"]
    print(table(head, rows))
    ratios = {f"{stage}_growth": part["growth"] for stage, part in stages.items()}
    if check:
        count, part = counts[-1] * choice.check, stages["prepare"]
        predicted = {"seconds": part["start"] + part["face"] * count}
        predicted |= {"megabytes": part["base"] + part["megabytes_face"] * count}
        print(f"\nprepare, {count:,} faces: {check['seconds']:.0f} s, predicted {predicted['seconds']:.0f}; "
              f"{check['megabytes']:.0f} MB, predicted {predicted['megabytes']:.0f}")  # fmt: skip
        ratios |= {f"check_{name}": check[name] / value for name, value in predicted.items()}
    if choice.out and choice.out.exists() and not choice.quick:  # stages that were measured before stay
        stages = {**json.loads(choice.out.read_text())["stages"], **stages}
    known = machine("numpy", "torch", "opencv-python-headless")
    record = {"machine": known, "counts": counts, "stages": stages, "check": check}
    finish(choice.out, ratios, **record, quick=choice.quick, load=os.getloadavg()[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
