"""Claim: the profile `colab` trains on a T4, which has 16 GB.

The benchmark runs a training step of each profile in params/, with generator, discriminator, VGG-19, averaged weights
and optimizers. On a GPU the peak is measured, and steps a second. On a CPU it is counted, see `_memory.py`; float16 is
then counted as bfloat16, which has as many bytes.
"""

import contextlib
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

os.environ.setdefault("TQDM_DISABLE", "1")

import torch
from _bench import finish, machine, options, table
from _memory import without_numbers
from torchvision.models import vgg19

from hifacegan_lib.params import Training
from hifacegan_lib.runs import load_notebook
from hifacegan_lib.training import loop, perceptual

LIMIT = 16.0  # GB of a T4
NEVER = 10**6


class Enough(Exception):
    """Raised in place of the third batch, to end the loop."""


def run_steps(p: Training, device: str, count: int = 2) -> float:
    """Run the training loop on grey faces; seconds for each step after the second.

    VGG-19 has random weights, which take the same memory.
    """
    grey = torch.full((p.batch_size, 3, p.image_size, p.image_size), 0.5)
    starts: list[float] = []

    def batches() -> Iterator[dict[str, Any]]:
        for _ in range(count):
            yield {"clean": grey, "degraded": grey, "key": ["grey"] * p.batch_size}
            if device == "cuda":
                torch.cuda.synchronize()
            starts.append(time.perf_counter())
        raise Enough

    networks = loop.build(p, torch.device(device))
    vgg = mock.patch.object(perceptual, "load", lambda _: perceptual.full_loss(vgg19().features))
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Enough), vgg:
        loop.train(p, lambda _: batches(), {}, folder, networks)
    return (starts[-1] - starts[1]) / (count - 2) if count > 2 else math.nan


def peak(profile: str, device: str, steps: int) -> tuple[Training, float, float]:
    """The parameters of a profile, the peak memory of its step in GB, and steps a second (NaN on a CPU)."""
    values = load_notebook(profile, "04_training").model_dump()
    quiet = {"steps": NEVER, "decay_steps": 0, "log_every": NEVER, "picture_every": NEVER, "checkpoint_every": NEVER}
    there = device if device == "cuda" else "cpu"
    p = Training.checked({**values, **quiet, "adversary_from": 0, "device": there}, profile)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        seconds = run_steps(p, device, steps + 2)
        return p, torch.cuda.max_memory_allocated() / 1e9, 1 / seconds
    counted = p.model_copy(update={"precision": "bfloat16" if p.precision == "float16" else p.precision})
    with without_numbers() as ledger:
        run_steps(counted, "cpu")
    return p, ledger.peak / 1e9, math.nan


def main() -> None:
    parser = options(__doc__ or "", "python benchmarks/memory.py colab --quick")
    parser.add_argument("profiles", nargs="*", default=["colab", "folder256", "ffhq512"], help="folders below params/")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda: measured, not counted")
    parser.add_argument("--steps", type=int, default=20, help="on a GPU: steps that are timed")
    choice = parser.parse_args()
    if choice.device == "cuda" and not torch.cuda.is_available():
        print("memory.py: --device cuda: PyTorch sees no GPU here; nothing was measured", file=sys.stderr)
        sys.exit(2)
    profiles = choice.profiles[:1] if choice.quick else choice.profiles
    found = {profile: peak(profile, choice.device, choice.steps) for profile in profiles}
    how = "measured" if choice.device == "cuda" else "counted"
    lines = [[name, f"{p.image_size} px", p.batch_size, p.precision, gb, rate] for name, (p, gb, rate) in found.items()]
    print(table(("profile", "size", "batch", "precision", f"GB at the peak, {how}", "steps/s"), lines) + "\n")
    finish(
        choice.out,
        {f"{name}_gb": gb for name, (_, gb, _) in found.items()},
        steps_a_second={name: rate for name, (*_, rate) in found.items() if rate == rate},
        machine=machine("numpy", "torch", "torchvision"),
        how=how,
        device=torch.cuda.get_device_name() if choice.device == "cuda" else "cpu",
        quick=choice.quick,
        limit_gb=LIMIT,
    )


if __name__ == "__main__":
    main()
