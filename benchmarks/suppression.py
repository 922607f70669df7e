"""Claim: on the CPU the paper's convolution, forward and backward, takes at most 1.8 times a plain one's time.

Its memory is at most that of the plain one. Contestants take turns on the same features: ours (correlations and
modulated convolution fused, without the embedding G), `F.conv2d` of the same shapes, and the unfold form (all K^2
copies at once, PyTorch's own backward). Float32, window 3, stride 1, d = 8, all cores. Peak memory is that of one step
above its inputs; each contestant has its own process (Linux only).

`--device cuda` measures the GPU kernels in the same way, in float32 (TF32 on both sides, as PyTorch's convolutions) and
bfloat16; the goal there is 1.5 times. There "plain" takes part too: PyTorch's operators, which compute the convolution
on a card without a measurement. Without a GPU the script prints an error and exits with code 2.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from _bench import OURS, finish, machine, milliseconds, options, race, ratio, table

from hifacegan_lib.models.suppression import correlation_maps, inner_product_conv2d, suppress

SHAPES = ((4, 32, 128, 128, 64), (4, 64, 64, 64, 128), (4, 128, 32, 32, 256), (1, 48, 512, 512, 96))
DIM = 8  # of the embedding
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def unfold_form(f: torch.Tensor, g: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """H f as K^2 copies, then one matrix product."""
    n, c, height, width = f.shape
    window = weight.shape[-1]
    h = correlation_maps(g, window)  # N, K^2, H, W
    copies = F.unfold(f, window, padding=window // 2).view(n, c, window**2, -1) * h.flatten(2)[:, None]
    return (weight.flatten(1) @ copies.flatten(1, 2)).view(n, -1, height, width)


def plain_form(f: torch.Tensor, g: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """PyTorch's operators alone."""
    return inner_product_conv2d(f, correlation_maps(g, weight.shape[-1]), weight)


WAYS: dict[str, Callable[..., torch.Tensor]] = {
    OURS: suppress,
    "conv2d": lambda f, _, weight: F.conv2d(f, weight, padding=weight.shape[-1] // 2),
    "unfold": unfold_form,
    "plain": plain_form,
}
ON_CPU = (OURS, "conv2d", "unfold")


def step(
    way: str, shape: tuple[int, ...], device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Callable[[], object]:
    """Forward and backward once, on features, embedding and kernel that need gradients."""
    n, c, height, width, out = shape
    draw = torch.Generator().manual_seed(0)
    f, g, weight, pull = (
        torch.randn(*size, generator=draw).to(device, dtype)
        for size in ((n, c, height, width), (n, DIM, height, width), (out, c, 3, 3), (n, out, height, width))
    )
    if device == "cuda":  # as PyTorch advises for its own convolutions
        f, weight, pull = (x.contiguous(memory_format=torch.channels_last) for x in (f, weight, pull))
    given = [x.requires_grad_() for x in ((f, weight) if way == "conv2d" else (f, g, weight))]

    def call() -> object:
        gradients = torch.autograd.grad(WAYS[way](f, g, weight), given, pull)
        if device == "cuda":
            torch.cuda.synchronize()
        return gradients

    return call


def peak(way: str, shape: tuple[int, ...]) -> float | None:
    """Peak memory of one step above its inputs in MB; None if the system does not report it."""
    if not RESET.exists():
        return None
    command = [sys.executable, __file__, "--peak", way, "--shape", *map(str, shape)]
    returns = {"MALLOC_MMAP_THRESHOLD_": "65536"}  # freed memory is returned at once, so that the peak is exact
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | returns)
    return float(json.loads(done.stdout))


def measure_peak(way: str, shape: tuple[int, ...]) -> float:
    step(way, (1, 8, 16, 16, 8))()  # loads libraries and starts threads
    call = step(way, shape)
    RESET.write_text("5")
    before = _status("VmRSS")
    _ = call()
    return (_status("VmHWM") - before) / 1024


def _status(name: str) -> int:
    """A value in kB from the process's status file."""
    return next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith(name))


def peak_on_gpu(way: str, shape: tuple[int, ...], dtype: torch.dtype) -> float:
    """Peak memory of one step above its inputs in MB, by PyTorch's allocator."""
    call = step(way, shape, "cuda", dtype)
    call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def compare(shape: tuple[int, ...], rounds: int, device: str, dtype: torch.dtype) -> dict[str, Any]:
    ways = ON_CPU if device == "cpu" else tuple(WAYS)
    times = race({way: [step(way, shape, device, dtype)] for way in ways}, rounds, patience=30)
    memory = {way: peak(way, shape) if device == "cpu" else peak_on_gpu(way, shape, dtype) for way in ways}
    mine, conv = memory[OURS], memory["conv2d"]
    return {
        "shape": shape,
        "dtype": str(dtype).removeprefix("torch."),
        "ms": {way: milliseconds(seconds) for way, seconds in times.items()},
        "memory_mb": memory,
        "vs_conv2d": 1 / ratio(times, "conv2d"),
        "vs_unfold": ratio(times, "unfold"),
        "vs_plain": ratio(times, "plain") if "plain" in times else None,
        "memory_vs_conv2d": mine / conv if mine and conv else None,
    }


def main() -> None:
    parser = options(__doc__ or "", "python benchmarks/suppression.py --quick")
    parser.add_argument("--peak", choices=list(WAYS), help="only print one contestant's peak memory (internal)")
    parser.add_argument("--shape", type=int, nargs=5, metavar=("N", "C", "H", "W", "O"), help="only this shape")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    choice = parser.parse_args()
    if choice.device == "cuda" and not torch.cuda.is_available():
        print("suppression.py: --device cuda: PyTorch sees no GPU here; nothing was measured", file=sys.stderr)
        sys.exit(2)
    torch.set_num_threads(os.cpu_count() or 1)
    os.environ["HIFACEGAN_TRITON"] = "1"  # the kernels are measured, also on a new card
    shapes = [tuple(choice.shape)] if choice.shape else SHAPES
    if choice.peak:
        print(json.dumps(measure_peak(choice.peak, shapes[0])))
        return
    rounds = 3 if choice.quick else 11
    kinds = [torch.float32] if choice.device == "cpu" else [torch.float32, torch.bfloat16]
    rows = [compare(shape, rounds, choice.device, dtype) for dtype in kinds for shape in shapes]
    head = (
        "N x C x H x W -> O",
        "ours, ms",
        "conv2d",
        "unfold",
        "cost of conv2d's",
        "unfold's of ours",
        "memory of conv2d's",
    )
    lines = []
    for row in rows:
        *size, out = row["shape"]
        ms, ratios = row["ms"], [row[name] for name in ("vs_conv2d", "vs_unfold", "memory_vs_conv2d")]
        lines.append([f"{' x '.join(map(str, size))} -> {out}, {row['dtype']}", *(ms[way] for way in ON_CPU), *ratios])
    print(table(head, lines) + "\n")
    worst = {
        "vs_conv2d": max(row["vs_conv2d"] for row in rows),
        "vs_unfold": min(row["vs_unfold"] for row in rows),
        "vs_plain": min((row["vs_plain"] for row in rows if row["vs_plain"]), default=None),
        "memory_vs_conv2d": max((row["memory_vs_conv2d"] for row in rows if row["memory_vs_conv2d"]), default=None),
    }
    finish(
        choice.out,
        worst,
        machine={
            **machine("numpy", "torch"),
            "gpu": torch.cuda.get_device_name() if choice.device == "cuda" else None,
        },
        threads=torch.get_num_threads(),
        quick=choice.quick,
        table=rows,
    )


if __name__ == "__main__":
    main()
