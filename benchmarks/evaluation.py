"""Claim: scoring a folder is at least 3 times as fast as with scikit-image, and no slower than with piq.

500 pairs of drawn faces, 256 pixels, PNG files, one process. All contestants read the same files and compute the same
metrics: PSNR and SSIM against scikit-image; PSNR, SSIM and MS-SSIM against piq (Gaussian window of 11, sigma 1.5, RGB,
windows inside the image). Ours is `hifacegan evaluate`, with intervals. scikit-image reads and scores pair by pair with
its own reader. piq scores batches of 16 that torchvision reads, with all threads of PyTorch. The table shows the means.
Memory is the growth of the peak of a process; each number of pairs has its own process.
"""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from _bench import OURS, finish, machine, options, race, ratio, table
from skimage import io
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchvision.io import ImageReadMode, decode_image

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.evaluation.folder_pairs import pair_folders
from hifacegan_lib.evaluation.scoring import evaluate
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.utils.images import save_image

SCIKIT, PIQ, OURS_THREE = "scikit-image", "piq", "ours, three metrics"
SIDE, BATCH, DRAWN = (
    256,
    16,
    50,
)  # pixels; piq's pairs at a time; faces that are drawn, the others are copies moved by a pixel


def make(folder: Path, count: int) -> None:
    """Write ``count`` pairs to clean/ and restored/ below ``folder``."""
    recipe = load_recipe("report")
    for n in range(count):
        clean = np.roll(portrait(n % DRAWN, SIDE), n // DRAWN, axis=1)
        save_image(folder / "clean" / f"{n:04}.png", clean)
        save_image(folder / "restored" / f"{n:04}.png", recipe.sample(n, grid=SIDE).apply(clean))


def files(folder: Path) -> list[tuple[Path, Path]]:
    return [(path, folder / "clean" / path.name) for path in sorted((folder / "restored").iterdir())]


def ours(folder: Path, names: Sequence[str]) -> dict[str, float]:
    pairs = pair_folders(folder / "clean", {"restored": folder / "restored"})
    (row,) = evaluate({}, pairs, metrics=standard(names)).rows
    return {name: row[name] for name in names}


def scikit(folder: Path) -> dict[str, float]:
    found = []
    for restored, clean in files(folder):
        a, b = io.imread(restored), io.imread(clean)
        window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        found.append(
            (
                peak_signal_noise_ratio(b, a, data_range=255),
                structural_similarity(a, b, **window, data_range=255, channel_axis=2),
            )
        )
    return dict(zip(("psnr", "ssim"), np.mean(found, 0), strict=True))


def piq_three(folder: Path) -> dict[str, float]:
    import piq

    found, pairs = [], files(folder)
    for start in range(0, len(pairs), BATCH):
        part = pairs[start : start + BATCH]
        a, b = (torch.stack([decode_image(str(p[n]), ImageReadMode.RGB) for p in part]).float() / 255 for n in (0, 1))
        scores = (piq.psnr, piq.ssim, piq.multi_scale_ssim)
        found.append(torch.stack([measure(a, b, data_range=1.0, reduction="none") for measure in scores]))
    return dict(zip(("psnr", "ssim", "ms_ssim"), torch.cat(found, 1).mean(1).tolist(), strict=True))


def peak_megabytes(folder: Path) -> float:
    """Print the growth of the peak memory when a process that has scored four pairs scores ``folder``."""
    command = [sys.executable, __file__, "--peak", str(folder)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _measure_peak(folder: Path) -> None:
    pairs = pair_folders(folder / "clean", {"restored": folder / "restored"})
    few = dict(list(pairs.reference.items())[:4])
    first = type(pairs)(few, {"restored": {name: pairs.columns["restored"][name] for name in few}})
    for each in (first, pairs):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        evaluate({}, each, metrics=standard(("psnr", "ssim", "ms_ssim")))
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main() -> int:
    parser = options(__doc__, "python benchmarks/evaluation.py --quick")
    parser.add_argument("--pairs", type=int, default=500, help="how many (500; --quick: 48)")
    parser.add_argument("--peak", type=Path, help="only print this folder's growth of the peak memory")
    choice = parser.parse_args()
    if choice.peak:
        _measure_peak(choice.peak)
        return 0
    count, rounds = (48, 2) if choice.quick else (choice.pairs, 3)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        make(folder, count)
        ways = {
            OURS: lambda: ours(folder, ("psnr", "ssim")),
            SCIKIT: lambda: scikit(folder),
            OURS_THREE: lambda: ours(folder, ("psnr", "ssim", "ms_ssim")),
        }
        try:
            import piq  # noqa: F401

            ways[PIQ] = lambda: piq_three(folder)
        except ImportError:
            print("piq is not installed (benchmarks/requirements.txt): its row is missing", file=sys.stderr)
        means = {name: way() for name, way in ways.items()}
        times = race({name: [way] for name, way in ways.items()}, rounds, patience=600)
        small = folder / "fifth"
        make(small, count // 5)
        peaks = {count // 5: peak_megabytes(small), count: peak_megabytes(folder)}
    rows = [
        [name, count / np.median(times[name]), *(means[name].get(m) for m in ("psnr", "ssim", "ms_ssim"))]
        for name in ways
    ]
    head = ["", "pairs/s", "PSNR", "SSIM", "MS-SSIM"]
    print(table(head, rows))
    print(
        "peak memory over a process that has scored 4 pairs: "
        + ", ".join(f"{n} pairs {v:.0f} MB" for n, v in peaks.items())
    )
    against = {name: times[name] for name in (PIQ, OURS_THREE) if name in times}
    ratios = {
        "vs_scikit_image": ratio(times, SCIKIT),
        "vs_piq": ratio({**against, OURS: times[OURS_THREE]}, PIQ) if PIQ in times else None,
    }
    finish(
        choice.out,
        ratios,
        machine=machine("numpy", "torch", "opencv-python-headless", "scikit-image", "piq"),
        threads=torch.get_num_threads(),
        pairs=count,
        side=SIDE,
        pairs_per_second={name: count / float(np.median(times[name])) for name in ways},
        means=means,
        peak_megabytes={str(n): round(v, 1) for n, v in peaks.items()},
    )
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    sys.exit(main())
