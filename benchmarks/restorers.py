"""Claim: on a CPU the shipped network restores a face of 512 pixels faster than each network of the field.

Ours (compact-256, at 256 and at 512 pixels) and GFPGAN, RestoreFormer, CodeFormer, NAFNet (width 32, as for SIDD) and
SwinIR (as DiffBIR's first stage has it) at 512 pixels: spandrel's classes with random weights, since speed does not
depend on them, each written to a file, read by `load_model` and drawn by `Model.restore`, one face a call, uint8 to
uint8, float32. All take turns in one process. CodeFormer needs spandrel_extra_arches (`pip install
spandrel_extra_arches`; non-commercial licences); without it its row is null.

Peak memory is of a process of its own for each: it starts, reads the file, restores one face and ends.
"""

import importlib
import importlib.util
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from _bench import OURS, finish, machine, options, race, ratio, table

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.restoration import pretrained
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.utils import images

SMALL = "ours_256"
OTHERS = ("gfpgan", "restoreformer", "codeformer", "nafnet", "swinir")
SWINIR = {"img_size": 64, "embed_dim": 180, "depths": [6] * 8, "num_heads": [6] * 8, "window_size": 8, "mlp_ratio": 2}


def built(name: str) -> Any:
    """A network of spandrel with random weights; None where its package is missing."""
    package = "spandrel_extra_arches" if name == "codeformer" else "spandrel"
    if importlib.util.find_spec(package) is None:
        return None
    cased = {"gfpgan": "GFPGAN", "restoreformer": "RestoreFormer", "codeformer": "CodeFormer", "nafnet": "NAFNet"}
    module = cased.get(name, "SwinIR")
    make = getattr(importlib.import_module(f"{package}.architectures.{module}"), module)
    if name == "restoreformer":
        return make(ch_mult=(1, 2, 2, 4, 4, 8), attn_resolutions=(16,))
    if name == "nafnet":
        return make(width=32, middle_blk_num=12, enc_blk_nums=[2, 2, 4, 8], dec_blk_nums=[2, 2, 2, 2])
    if name == "swinir":
        return make(**SWINIR, upscale=8, upsampler="nearest+conv", resi_connection="1conv", start_unshuffle=8)
    return make()


def written(name: str, folder: Path) -> Path | None:
    """The file of a network, with the published names of its tensors; None where its package is missing."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of architectures that were written for older versions of PyTorch
        torch.manual_seed(0)
        network = built(name)
    if network is None:
        return None
    prefix = "conv_first." if name == "swinir" else " "  # published: the unshuffling is its part 0
    weights = {n.replace(prefix, f"{prefix}1."): values for n, values in network.state_dict().items()}
    torch.save({"params_ema": weights}, folder / f"{name}.pth")
    return folder / f"{name}.pth"


def loaded(name: str, file: Path | None, device: str) -> Model:
    """A contestant; ours at 512 pixels is the same network on a larger frame."""
    if file is not None:
        return pretrained.load_model(file, device=device)
    model = pretrained.load_model(device=device)
    return model if name == SMALL else replace(model, card=replace(model.card, size=512))


def side_of(model: Model, side: int) -> int:
    """Side of the face that a contestant is given: the one that it works at, else ``side``."""
    return model.card.size or side


def peak(name: str, file: Path | None, choice: Any) -> float:
    """GiB of a process of its own."""
    command = [sys.executable, __file__, "--alone", name, "--device", choice.device, "--side", str(choice.side)]
    given = command + (["--file", str(file)] if file else [])
    return float(subprocess.run(given, check=True, capture_output=True, text=True).stdout.split()[-1])


def alone(choice: Any) -> None:
    """Restore one face and print the peak of this process, or of the GPU, in GiB."""
    model = loaded(choice.alone, choice.file, choice.device)
    side = side_of(model, choice.side)
    model.restore([portrait(0, side)])
    if choice.device == "cuda":
        import torch

        print(torch.cuda.max_memory_allocated() / 2**30)
    else:
        print(resident() / 2**20)


def resident() -> int:
    """KiB at the peak of this process; the resource module would count the parent's too."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return found[0] if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> int:
    parser = options(__doc__ or "", "python benchmarks/restorers.py --quick")
    parser.add_argument("--methods", nargs="+", choices=OTHERS, default=OTHERS, help="beside ours (all)")
    parser.add_argument("--side", type=int, default=512, help="of faces for networks that take any size, pixels (512)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--alone", help="the process of one contestant, for its memory")
    parser.add_argument("--file", type=Path, help="its weights")
    choice = parser.parse_args()
    if choice.alone:
        alone(choice)
        return 0
    rows, times, absent = [], {}, []
    with tempfile.TemporaryDirectory() as folder:
        files = {name: written(name, Path(folder)) for name in choice.methods}
        absent = [name for name, file in files.items() if file is None]
        files = {SMALL: None, OURS: None, **{name: file for name, file in files.items() if file}}
        models = {name: loaded(name, file, choice.device) for name, file in files.items()}
        times = race(contestants(models, choice.side), 1 if choice.quick else 3, patience=float("inf"))
        for name, model in models.items():
            seconds = statistics.median(times[name])
            facts = [model.card.architecture, side_of(model, choice.side), (model.card.parameters or 0) / 1e6]
            rows.append([name, *facts, seconds, 1 / seconds, peak(name, files[name], choice)])
    head = ("", "architecture", "side, px", "parameters, M", "s a face", "faces/s", "peak memory, GiB")
    print(table(head, rows))
    if absent:
        print(f"not installed here: {', '.join(absent)} (spandrel_extra_arches)", file=sys.stderr)
    ratios = {f"vs_{name}": ratio(times, name) if name in times else None for name in choice.methods}
    finish(
        choice.out,
        ratios,
        machine=machine("numpy", "torch", "onnxruntime", "spandrel", "spandrel_extra_arches"),
        threads=os.cpu_count(),
        quick=choice.quick,
        conditions={"device": choice.device, "side": choice.side, "faces_a_call": 1, "precision": "float32"},
        absent=absent,
        seconds=times,
        table=[dict(zip(("method", *head[1:]), row, strict=True)) for row in rows],
    )
    return 0


def contestants(models: dict[str, Model], side: int) -> dict[str, list[Callable[[], object]]]:
    """One face for each, of the size that it works at."""

    def call(model: Model) -> Callable[[], object]:
        face = [images.resize(portrait(0, 512), *2 * (side_of(model, side),))]
        return lambda: model.restore(face)

    return {name: [call(model)] for name, model in models.items()}


if __name__ == "__main__":
    sys.exit(main())
