"""``benchmark`` judges methods on sets of faces."""

import sys
from pathlib import Path
from typing import Any

from hifacegan_lib.commands.options import Words
from hifacegan_lib.names import DEFAULT_METRICS, TO_INPUT


def benchmark(
    *,
    methods: Words,
    sets: Words,
    out: Path | None = None,
    recipe: str = "",
    size: int | None = None,
    seed: int = 0,
    metrics: Words = None,
    tune: Path | None = None,
    recogniser: str | None = None,
    statistics: Path | None = None,
    cards: Words = None,
    samples: int = 1000,
    device: str = "auto",
    jobs: int = 1,
    scheduler: str = "",
) -> int:
    """Judge restorers on sets of faces: one page with tables, ranks and faces, CSV, and a table for a paper.

    For example:

        hifacegan benchmark --methods compact-256 bicubic --sets ffhq100=faces/ --recipe face_renov --size 256
        hifacegan benchmark --methods results/vqfr/ ema.safetensors --sets celeba_test=celeba/ --out scores/field

    A set is pairs (subfolders clean/ and damaged/), clean faces that a recipe damages, or damaged faces alone. Outputs
    are kept and reused, and a run that was interrupted goes on. A method that fails is a row with its reason; then, and
    when faces cannot be read, the exit code is 1.

    Args:
        methods: shipped weights, files of weights, folders of results, or bicubic, non_local_means, bilateral; each as
            [LABEL=]NAME[@setting=number,...].
        sets: NAME=FOLDER each, or FOLDER. Known names: celeba_test, celeba_test_daefr, celebchild, ffhq100, lfw,
            webphoto, wider.
        out: folder for the page and all results (runs/benchmark).
        recipe: damages the sets of clean faces: a shipped recipe's name or a JSON file.
        size: side of the clean faces, pixels (as they are).
        seed: of the damage and of the resamples.
        metrics: names of metrics (all that `hifacegan evaluate` measures).
        tune: folder of clean training faces, on which the classical restorers are tuned (stated defaults).
        recogniser: ONNX file of ArcFace or AdaFace for identity, in place of SFace; FILE@bgr if it takes BGR.
        statistics: file of mu and sigma, or a folder, with which FID and KID compare (the clean faces).
        cards: JSON files that describe further sets.
        samples: bootstrap resamples.
        device: auto, cpu, cuda, cuda:N or mps.
        jobs: processes on this machine; 0: one for each core. The results are the same for any number.
        scheduler: address of a Dask cluster; all machines must see the same folders.
    """
    from hifacegan_lib import api, runs

    out = out or runs.run_folder("benchmark")
    how: dict[str, Any] = {"recipe": recipe, "size": size, "seed": seed, "tune": tune, "samples": samples}
    how |= {"recogniser": recogniser, "statistics": statistics, "cards": cards or (), "device": device}
    how |= {"jobs": jobs, "scheduler": scheduler}
    found = api.benchmark(methods or (), sets or (), out, metrics=metrics or (*DEFAULT_METRICS, *TO_INPUT), **how)
    for name in found.sets:
        print(f"\n{found.summary(name).to_string()}")
    for (name, method), reason in found.failed.items():
        print(f"failed: {method} on {name}: {reason}", file=sys.stderr)
    for name, faces in found.sets.items():
        for remark in faces.remarks:
            print(f"note: {remark}")
        for key, reason in faces.unreadable.items():
            print(f"unreadable: {name}: {key}: {reason}", file=sys.stderr)
    print(f"\npage     {out / 'benchmark.html'}\ntable    {out / 'benchmark.md'}\nnumbers  {out / 'benchmark.json'}")
    return 0 if found.complete else 1
