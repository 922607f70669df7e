"""Claim: of the time that a photograph with one face takes, less than 20% is not the network's.

Photographs of the astronaut (public domain, in scikit-image) at three sizes, from file to file: read, find the face,
align, restore, paste, write. The share is of the seconds that the network does not take, detection among them, in the
median of the rounds. Photographs a second are end to end, one process, all its threads. The peak is of the process
with all that it loaded; `--sides 7072` makes photographs of 50 megapixels.

`--start` measures another claim: from the start of the process to one restored photograph of 512 pixels, `hifacegan
restore` takes at most half of what `python -c "import torch"` alone takes. Both start by turns, five times; wall time
and processor's time.
"""

import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
from _bench import finish, machine, options, table
from skimage import data

from hifacegan_lib.restoration import pretrained
from hifacegan_lib.restoration.photos import restore
from hifacegan_lib.utils import images, weight_registry

SIDES = (512, 1024, 2048)


def main() -> int:
    parser = options(__doc__, "python benchmarks/photos.py --quick")
    parser.add_argument("--weights", default=pretrained.DEFAULT, help="a shipped name or a file (compact-256)")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16", "auto"], help="(float32)")
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES, help="pixels (512 1024 2048)")
    parser.add_argument("--start", action="store_true", help="time of a fresh process beside importing PyTorch")
    choice = parser.parse_args()
    if choice.start:
        return start(choice.out)
    rounds = 3 if choice.quick else 15
    model = pretrained.load_model(choice.weights, precision=choice.precision)
    detectors = ["yunet", "haar"] if weight_registry.is_present("yunet") else ["haar"]
    if "yunet" not in detectors:
        print("YuNet is not fetched (hifacegan weights fetch yunet): its rows are missing", file=sys.stderr)
    rows, shares, paces = [], {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for side in choice.sides:
            photo = cv2.resize(data.astronaut(), (side, side), interpolation=cv2.INTER_CUBIC)
            source = images.save_image(Path(folder) / f"{side}.jpg", photo)
            for detector in detectors:
                spent = [_once(source, model, detector) for _ in range(rounds + 1)][1:]
                total, network = (statistics.median(values) for values in zip(*spent, strict=True))
                share = statistics.median(1 - n / t for t, n in spent)
                rows.append([f"{side} px, {detector}", 1 / total, 1e3 * network, 1e3 * (total - network), 100 * share])
                shares[f"{side}_{detector}"], paces[f"{side}_{detector}"] = share, 1 / total
    print(table(["", "photos/s", "network, ms", "everything else, ms", "share of it, %"], rows))
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2:.2f} GiB")
    known = machine("numpy", "onnxruntime", "opencv-python-headless")
    ratios = {f"other_share_{name}": share for name, share in shares.items()}
    about = {"weights": choice.weights, "precision": choice.precision}
    finish(choice.out, ratios, machine=known, **about, photos_per_second=paces, quick=choice.quick)
    return 0


def start(out: Path | None) -> int:
    """`hifacegan restore` of one photograph beside `import torch`, each in processes of its own."""
    spent: dict[str, list[tuple[float, float]]] = {"restore": [], "import torch": []}
    with tempfile.TemporaryDirectory() as folder:
        images.save_image(Path(folder) / "photo.jpg", data.astronaut())
        restoring = ["-m", "hifacegan_lib.cli", "restore", "photo.jpg", "out", "--device", "cpu"]
        lines = {"restore": restoring, "import torch": ["-c", "import torch"]}
        for turn in range(6):
            for name in list(lines)[:: 1 if turn % 2 else -1]:
                shutil.rmtree(Path(folder) / "out", ignore_errors=True)
                before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
                subprocess.run([sys.executable, *lines[name]], cwd=folder, check=True, capture_output=True)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                spent[name].append((time.perf_counter() - began, busy))
    warm = {name: list(zip(*times[1:], strict=True)) for name, times in spent.items()}  # the first reads the disk
    ratios = {
        f"start_{clock}": statistics.median(warm["restore"][n]) / statistics.median(warm["import torch"][n])
        for n, clock in enumerate(("wall", "processor"))
    }
    detector = "yunet" if weight_registry.is_present("yunet") else "haar"
    finish(
        out,
        ratios,
        machine=machine("numpy", "torch", "onnxruntime"),
        detector=detector,
        seconds_wall_and_processor=warm,
    )
    return 0


def _once(source: Path, model: pretrained.Model, detector: str) -> tuple[float, float]:
    """Seconds of all and of the network."""
    spent = 0.0

    def timed(faces: Any) -> Any:
        nonlocal spent
        began = time.perf_counter()
        drawn = model.network(faces)
        spent += time.perf_counter() - began
        return drawn

    start = time.perf_counter()
    found = restore(source, replace(model, network=timed), detector, scale=1)  # type: ignore[arg-type]
    found.save(source.with_name("out.jpg"))
    if not found.faces:
        raise RuntimeError(f"{source}: no face found by {detector}")
    return time.perf_counter() - start, spent


if __name__ == "__main__":
    sys.exit(main())
