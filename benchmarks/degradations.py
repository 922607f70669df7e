"""Claim: the `report` mix at least 6 times as fast as the seed's way, 2 times as fast as the fastest other library.

One process, one thread, drawn portraits, milliseconds of processor time. All implementations apply each operation with
the same numbers. The result on the first image is compared with ours: PSNR, or the standard deviation of noise on a
grey field. The mix is a set of traces of the recipe, with every combination of its choices equally often. The script
also reports the share of each operation in our time, a lower bound (JPEG encoder and decoder plus one pass of random
numbers), and the speed of the data loader with two workers and without.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy and torch are loaded

import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from _bench import OURS, Call, Times, finish, machine, milliseconds, options, race, ratio, table
from _ways import NotShared, Way, ways

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.data.face_loader import FaceLoader, LoaderConfig
from hifacegan_lib.data.preparation import prepare
from hifacegan_lib.degradations.recipes import Step, Trace, load_recipe
from hifacegan_lib.utils.images import Pixels, save_image

RECIPE = "report"
MIX = f"{RECIPE} mix"
PEERS = ("seed", "albumentations", "kornia")
OPERATIONS = (
    {"op": "downsample", "ratio": 0.18, "kernel": "area"},
    {"op": "gaussian_noise", "sigma": 12, "seed": 1},
    {"op": "laplace_noise", "scale": 9, "seed": 1},
    {"op": "gaussian_blur", "sigma": 2},
    {"op": "gaussian_blur", "sigma": 5},
    {"op": "median_blur", "size": 5},
    {"op": "median_blur", "size": 9},
    {"op": "motion_blur", "length": 15, "angle": 20},
    {"op": "jpeg", "quality": 70},
    {"op": "webp", "quality": 70},
)


def main() -> None:
    parser = options(__doc__ or "", "python benchmarks/degradations.py --quick")
    parser.add_argument("--size", type=int, default=512, help="side of the pictures, pixels (512)")
    parser.add_argument("--skip-loader", action="store_true", help="skip the data loader, which starts processes")
    choice = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    found, absent = ways()
    for name, reason in absent.items():
        print(f"{name}: {reason}; its numbers are null")
    faces = [portrait(seed, choice.size) for seed in range(2 if choice.quick else 8)]
    print(f"{choice.size} px, one thread\n")

    rounds = 5 if choice.quick else 15
    share = spent(balanced(16, choice.size), faces, rounds)
    print(table(("our time in the mix", "ms when it comes", "ms a picture", "share"), share["rows"]))
    print(f"floor {share['floor_ms']:.2f} ms: the mix takes {share['mix_over_floor']:.2f} times that\n")
    load = None if choice.skip_loader else loader(faces, 2 if choice.quick else 7)
    if load:
        print(f"loader: {load['alone']:.1f} pictures a second without workers, {load['workers_2']:.1f} with two\n")

    traces = balanced(4 if choice.quick else 16, choice.size)
    duels = {way.name: duel(way, found[0], faces, traces, rounds) for way in found[1:]}
    print("milliseconds a picture (how many times ours); right: how like ours their pictures are\n")
    print_duels(duels)
    forms = next((conversion(way, faces, rounds) for way in found if way.name == "kornia"), None)
    if forms:
        print(f"kornia's numbers are without uint8 to tensor ({forms[0]:.2f} ms) and back ({forms[1]:.2f} ms)")
    print()

    ratios = {f"vs_{peer}": duels[peer][MIX]["ratio"] if peer in duels else None for peer in PEERS}
    ratios["loader_efficiency"] = load["efficiency"] if load else None
    packages = ("numpy", "opencv-python-headless", "torch", "albumentations", "kornia")
    record = {"machine": machine(*packages), "size": choice.size, "quick": choice.quick, "absent": absent}
    finish(choice.out, ratios, **record, duels=duels, conversion_ms=forms, spent=share, loader=load)


def duel(
    peer: Way, mine: Way, faces: Sequence[Pixels], traces: Sequence[Trace], rounds: int
) -> dict[str, dict[str, Any]]:
    """Compare the common operations, then the mix; in pairs, since one peer's use of memory slows down others."""
    lines = {}
    for operation in OPERATIONS:
        step = Trace.of("benchmark", operation).operations[0]
        with suppress(NotShared):
            lines[str(step)] = compare(step, peer, mine, faces, rounds)
    return lines | {MIX: mix(traces, peer, mine, faces, rounds)}


def compare(step: Step, peer: Way, mine: Way, faces: Sequence[Pixels], rounds: int) -> dict[str, Any]:
    """Compare one operation with the same numbers in both implementations."""
    damages = {way: way.make([step], len(faces[0])) for way in (mine, peer)}
    calls = {way.name: [partial(damage, way.enter(face)) for face in faces] for way, damage in damages.items()}
    line = _line(race(calls, rounds, clock=time.process_time), peer.name)
    noise = "noise" in step.op
    field = np.full_like(faces[0], 128) if noise else faces[0]
    ours, theirs = (way.leave(damage(way.enter(field))) for way, damage in damages.items())
    return line | {"alike": deviations(ours, theirs, field) if noise else likeness(ours, theirs)}


def _line(times: Times, peer: str) -> dict[str, Any]:
    return {"ours_ms": milliseconds(times[OURS]), "ms": milliseconds(times[peer]), "ratio": ratio(times, peer)}


def likeness(ours: Pixels, theirs: Pixels) -> str:
    """PSNR between two results, in dB."""
    error = np.mean((ours.astype(float) - theirs) ** 2)
    return "identical" if error == 0 else f"{10 * np.log10(255**2 / error):.0f} dB"


def deviations(ours: Pixels, theirs: Pixels, field: Pixels) -> str:
    """The measured standard deviation of the peer's noise and, in brackets, of ours."""
    return f"sd {np.std(theirs.astype(float) - field):.1f} ({np.std(ours.astype(float) - field):.1f})"


def conversion(way: Way, faces: Sequence[Pixels], rounds: int) -> tuple[float, float]:
    """Milliseconds for the conversion from uint8 pixels to the peer's format, and back."""
    forms = [way.enter(face) for face in faces]
    calls = {"enter": [partial(way.enter, face) for face in faces], "leave": [partial(way.leave, x) for x in forms]}
    times = race(calls, rounds, clock=time.process_time)
    return milliseconds(times["enter"]), milliseconds(times["leave"])


def balanced(number: int, size: int) -> list[Trace]:
    """The recipe's first ``number`` traces with each of its four combinations of choices equally often."""
    kinds: dict[tuple[str, ...], list[Trace]] = {}
    recipe, seed = load_recipe(RECIPE), 0
    while sum(map(len, kinds.values())) < number:
        trace = recipe.sample(seed, grid=size)
        same = kinds.setdefault(tuple(sorted(step.op for step in trace.operations)), [])
        if len(same) < number // 4:
            same.append(trace)
        seed += 1
    return [trace for group in zip(*kinds.values(), strict=True) for trace in group]


def mix(traces: Sequence[Trace], peer: Way, mine: Way, faces: Sequence[Pixels], rounds: int) -> dict[str, Any]:
    """Compare the recipe: a turn is all traces; our time includes their sampling. Slow peers take one turn."""
    pairs = [(trace, faces[number % len(faces)]) for number, trace in enumerate(traces)]
    results: dict[str, dict[int, Any]] = {mine.name: {}, peer.name: {}}
    calls = {
        way.name: [_whole(way, number, trace, face, results) for number, (trace, face) in enumerate(pairs)]
        for way in (mine, peer)
    }
    line = _line(race(calls, rounds, clock=time.process_time), peer.name)
    ours, theirs = (
        np.mean([(way.leave(results[way.name][n]).astype(float) - face) ** 2 for n, (_, face) in enumerate(pairs)])
        for way in (mine, peer)
    )
    strength = [10 * np.log10(255**2 / error) for error in (theirs, ours)]
    return line | {"alike": f"{strength[0]:.1f} dB ({strength[1]:.1f})"}


def _whole(way: Way, number: int, trace: Trace, face: Pixels, results: dict[str, dict[int, Any]]) -> Call:
    picture, damage = way.enter(face), way.make(trace.operations, len(face))
    recipe = load_recipe(RECIPE) if way.name == OURS else None

    def call() -> None:
        if recipe:
            recipe.sample(number, grid=len(face))
        result = damage(picture)
        results[way.name].setdefault(number, result)  # only the first result: keeping all would allocate new memory

    return call


def print_duels(duels: dict[str, dict[str, dict[str, Any]]]) -> None:
    lines = []
    for label in [*(str(Trace.of("benchmark", operation).operations[0]) for operation in OPERATIONS), MIX]:
        found = [duels.get(name, {}).get(label) for name in PEERS]
        if not any(found):
            continue
        ours = statistics.median(line["ours_ms"] for line in found if line)
        speeds = [f"{line['ms']:.3g} ({line['ratio']:.1f}x)" if line else None for line in found]
        lines.append([label, ours, *speeds, *(line["alike"] if line else None for line in found)])
    print(table(("operation", OURS, *PEERS, *(f"like {name}" for name in PEERS)), lines))


def spent(traces: Sequence[Trace], faces: Sequence[Pixels], rounds: int) -> dict[str, Any]:
    """Our milliseconds for each operation of the mix and for sampling the trace, and the lower bound."""
    recipe = load_recipe(RECIPE)
    calls: dict[str, list[Call]] = {"draw the trace": [], "floor": []}
    for number, trace in enumerate(traces):
        image = faces[number % len(faces)]
        calls["draw the trace"].append(partial(recipe.sample, number, grid=len(image)))
        for step in trace.operations:
            alone = trace.model_copy(update={"operations": (step,)})
            calls.setdefault(step.op, []).append(partial(alone.apply, image))
            if step.op == "jpeg":
                calls["floor"].append(partial(_floor, image, dict(step.values)["quality"]))
            image = alone.apply(image)
    once = {name: milliseconds(times) for name, times in race(calls, rounds, clock=time.process_time).items()}
    floor = once.pop("floor")
    each = {name: ms * len(calls[name]) / len(traces) for name, ms in once.items()}
    total = sum(each.values())
    rows = [[n, once[n], ms, f"{ms / total:.0%}"] for n, ms in sorted(each.items(), key=lambda item: -item[1])]
    rows += [["all", None, total, "100%"], ["floor", None, floor, f"{floor / total:.0%}"]]
    return {"rows": rows, "floor_ms": floor, "mix_over_floor": total / floor}


def _floor(image: Pixels, quality: int) -> None:
    """JPEG encoder and decoder, and 16 random bits for each value of the image."""
    cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    np.random.PCG64(0).random_raw(image.size // 4)


def loader(faces: Sequence[Pixels], rounds: int) -> dict[str, Any]:
    """Images per second from the loader without workers and with two, in the best round.

    The efficiency is relative to the number of cores times the rate of one thread.
    """
    cores = min(2, os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number, face in enumerate([*faces, faces[0][:, ::-1]]):
            save_image(root / f"faces/{number}.png", face)
        sizes = {"train_size": len(faces), "valid_size": 1}
        prepare(source="folder", source_path=root / "faces", data_dir=root, progress=False, **sizes)
        rates: dict[int, list[float]] = {0: [], 2: []}
        for _ in range(rounds):
            for workers, found in rates.items():
                config = LoaderConfig(root, len(faces[0]), RECIPE, batch_size=min(4, len(faces)), workers=workers)
                batches = FaceLoader(config, "train").batches()
                found.append(_rate(batches))
                del batches  # ends the workers
    alone, two = max(rates[0]), max(rates[2])
    return {"alone": alone, "workers_2": two, "cores": cores, "efficiency": two / (cores * alone), "rounds": rates}


def _rate(batches: Any, warm: int = 6, measured: int = 24) -> float:
    """Images per second, measured after ``warm`` batches."""
    for _ in range(warm):
        next(batches)
    start = time.perf_counter()
    pictures = sum(len(next(batches)["key"]) for _ in range(measured))
    return pictures / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
