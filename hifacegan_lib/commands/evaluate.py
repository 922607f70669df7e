"""``evaluate`` scores folders of images, ``compare`` compares two evaluations."""

import sys
from pathlib import Path
from typing import Any, Literal

from hifacegan_lib.commands.options import Words
from hifacegan_lib.names import DEFAULT_METRICS, TO_INPUT


def evaluate(
    *,
    restored: Path,
    reference: Path | None = None,
    degraded: Path | None = None,
    input: Path | None = None,
    out: Path | None = None,
    metrics: Words = None,
    resize: str = "",
    crop: int = 0,
    groups: Path | None = None,
    recogniser: Path | None = None,
    statistics: Path | None = None,
    ntire: Literal["wider", "webphoto", "lfw", "celebchild", "celeba"] | None = None,
    samples: int = 1000,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    jobs: int = 1,
    scheduler: str = "",
) -> int:
    """Score a folder of restored faces, by any restorer, against clean ones or without originals.

    For example:

        hifacegan evaluate --restored theirs/ --reference clean/ --degraded damaged/ --out scores/theirs
        hifacegan evaluate --restored x4/ --reference clean/ --metrics psnr ssim --resize bicubic --crop 4
        hifacegan evaluate --restored theirs/ --input damaged/

    Images are paired by name (path without suffix). A name in one folder only is an error. Pairs that cannot be read,
    and faces for which a metric fails, are counted, listed, and make the exit code 1. Some metrics need files: see
    `hifacegan weights list`.

    Without --reference there are no originals: metrics that need clean faces are left out, and named.

    Args:
        restored: folder of restored images.
        reference: folder of clean images (there are no originals).
        degraded: folder of the restorer's inputs, for the gain.
        input: like --degraded; identity to the input and the distance from it are measured too.
        out: folder for metrics.json, metrics.csv and report.html (runs/evaluate-NAME).
        metrics: names of metrics (the default list, as far as it can be measured).
        resize: area, bilinear, bicubic or lanczos: resize images to the reference's size, or inputs to the restored's.
        crop: pixels to ignore at each border.
        groups: CSV file with a column key and one or more columns of labels, for results by label.
        recogniser: ONNX file of ArcFace or AdaFace (FILE@bgr: it takes BGR) for the metrics of identity (SFace).
        statistics: statistics file, or folder of images, with which FID and KID compare (the clean faces).
        ntire: kind of set: print the score and the gate of NTIRE 2026; their metrics are measured too.
        samples: bootstrap resamples.
        seed: of the resamples.
        device: of the metrics' networks: auto, cpu, cuda, cuda:N or mps.
        overwrite: replace an existing evaluation.
        jobs: processes on this machine; 0: one for each core. The numbers are the same for any number.
        scheduler: address of a Dask cluster; all machines must see the same folders.
    """
    from hifacegan_lib import runs
    from hifacegan_lib.metrics.ntire import PARTS
    from hifacegan_lib.reports import folder_reports
    from hifacegan_lib.utils import inputs
    from hifacegan_lib.utils.machine import find_device

    out = out or runs.run_folder(f"evaluate-{restored.resolve().name}")
    names = ("metrics.csv", "metrics.json", "pictures.json", "report.html")
    inputs.refuse_inputs([out / name for name in names], [p for p in (groups, recogniser, statistics) if p])
    if degraded and input:
        raise ValueError(
            f"--degraded {degraded} and --input {input}: both name the restorer's inputs; give one of them"
        )
    chosen = metrics or ((*DEFAULT_METRICS, *TO_INPUT) if input or ntire else None)
    if ntire:
        chosen = tuple(dict.fromkeys((*(chosen or ()), *PARTS, "identity_to_input")))
    options: dict[str, Any] = {"resize_kernel": resize, "crop": crop, "labels": groups, "bootstrap_samples": samples}
    options |= {"jobs": jobs, "scheduler": scheduler}
    options |= {"device": find_device(device), "recogniser": recogniser, "statistics": statistics, "ntire": ntire or ""}
    found = folder_reports.evaluate_folders(
        restored, reference, out, input or degraded, chosen, **options, seed=seed, overwrite=overwrite
    )
    print(f"{len(found.keys)} faces of {found.sizes}; {found.conditions['file_format']}\n")
    print(found.summary().to_string() + "\n")
    if "psnr" in found.scores.get("degraded", {}):
        print(f"restored over degraded: {found.gain('restored')} dB, face by face\n")
    if not found.originals:
        print(f"no originals; left out: {found.conditions.get('left_out', 'none')}\n")
    if ntire:
        print(f"{found.ntire(ntire)}\n")
    for sentence in found.exclusions():
        print(sentence)
    for key, reason in found.conditions["unreadable"].items():
        print(f"unreadable: {key}: {reason}", file=sys.stderr)
    for name, failed in found.conditions.get("failed", {}).items():
        for key, reason in failed.items():
            print(f"no {found.metrics[name].label}: {key}: {reason}", file=sys.stderr)
    for name, reason in found.conditions["unavailable"].items():
        print(f"{found.metrics[name].label} is missing: {reason}")
    print(f"\nnumbers  {out / 'metrics.json'}\nreport   {out / 'report.html'}")
    return 1 if found.conditions["unreadable"] or "failed" in found.conditions else 0


def compare(run_a: str, run_b: str, /, *, method: str = "", metric: str = "", out: Path | None = None) -> int:
    """Compare two evaluations face by face: differences, intervals, wins, the faces with the largest changes.

    For example:

        hifacegan compare demo demo-lip
        hifacegan compare scores/theirs scores/ours --metric lpips

    Args:
        run_a: a run's name, or a folder with metrics.json.
        run_b: a second run's name or folder.
        method: row to compare, in both evaluations (model, or restored).
        metric: the table's first metric, which orders the faces (psnr).
        out: folder for comparison.json and comparison.html (runs/compare-A-B).
    """
    from hifacegan_lib import runs
    from hifacegan_lib.reports import folder_reports

    folders = [path if (path := Path(name)).is_dir() else runs.run_folder(name) for name in (run_a, run_b)]
    out = out or runs.run_folder(f"compare-{folders[0].name}-{folders[1].name}")
    found = folder_reports.compare_folders(folders[0], folders[1], out, method, metric)
    for caution in found.cautions:
        print(f"note: {caution}")
    print(f"{found.summary().to_string()}\n\n{found.verdict()}\n")
    for key, change in list(found.changed.items())[:5]:
        print(f"{change:+.{found.metrics['digits'].iloc[0]}f}  {key}")
    for name, (before, after) in found.params.items():
        print(f"{name}: {before} -> {after}")
    print(f"\nnumbers  {out / 'comparison.json'}\npage     {out / 'comparison.html'}")
    return 0
